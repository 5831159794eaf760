//! The in-memory NIC's memory: chains stay in its ring a ring's depth, and everything comes home.
//! One test per file: EAL starts once per process.

use dpdk::{Eal, EalConfig};
use engine::nic::memory::{AckPolicy, MemoryConfig, MemoryNic};
use engine::nic::{Nic, RxPiece, StageError, TailBuf, TxFrame, TxMeta};
use tcp::Payload;

const HEADERS: usize = 54;

/// Headers of a data segment; the peer looks at what is filled in here.
fn headers(seq: u32) -> [u8; HEADERS] {
    let mut h = [0; HEADERS];
    h[6..12].copy_from_slice(&MemoryNic::MAC);
    h[12..14].copy_from_slice(&[8, 0]);
    h[14] = 0x45;
    h[23] = 6;
    h[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
    h[38..42].copy_from_slice(&seq.to_be_bytes());
    h[46] = 0x50;
    h[47] = 0x10;
    h
}

fn meta(payload_len: u32) -> TxMeta {
    TxMeta {
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        tcp_checksum: true,
        tso_segsz: 1460,
        payload_len,
        stamp: false,
        ..TxMeta::default()
    }
}

#[test]
fn chains_stay_in_the_ring_and_everything_comes_home() {
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(64),
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let config = MemoryConfig {
        ring: 4,
        rx_ring: 16,
        headers: 63,
        links: 63,
        tail_buffers: 4,
        acks: AckPolicy::PerTwoSegments,
        ..MemoryConfig::default()
    };
    let mut nic = MemoryNic::new(&eal, &config).expect("enough memory");
    let mut tail = nic.alloc_tail().expect("a buffer");
    tail.spare()[..20_000].fill(7);
    let payload = tail.freeze(20_000);
    drop(tail);

    let mut rx: Vec<RxPiece<_>> = Vec::with_capacity(8);
    let mut seq = 1u32;
    for sent in 1..=10 {
        let mut header = nic.lend_header().expect("a header: the ring gives them back");
        header[..HEADERS].copy_from_slice(&headers(seq));
        let frame = TxFrame { header, header_len: HEADERS as u16, meta: meta(8760) };
        nic.stage(frame, [(&payload, 0..5000), (&payload, 5000..8760)].into_iter()).expect("staged");
        assert_eq!(nic.tx_burst().sent, 1);
        assert_eq!(nic.tx_completed(), Some(u64::saturating_sub(sent, 4)), "the ring holds four");
        assert!(payload.in_device());
        // 8760 bytes are six segments, hence three acknowledgements.
        assert_eq!(nic.rx_burst(&mut rx), 3);
        for (i, piece) in rx.drain(..).enumerate() {
            let ack = u32::from_be_bytes(piece.buf.as_slice()[42..46].try_into().expect("four bytes"));
            assert_eq!(ack, seq + 2920 * (i as u32 + 1));
        }
        seq += 8760;
    }
    let counted = nic.counters();
    assert_eq!((counted.frames, counted.answers, counted.answers_lost, counted.peer_spans), (10, 30, 0, 10));
    assert!(counted.peer_cycles > 0);

    // Nobody receives: what the ring has buffers for waits there, more is lost, and counted. It is filled in batches of 8: after
    // 30 answers three buffers are missing.
    for _ in 0..6 {
        let mut header = nic.lend_header().expect("a header");
        header[..HEADERS].copy_from_slice(&headers(seq));
        let frame = TxFrame { header, header_len: HEADERS as u16, meta: meta(8760) };
        nic.stage(frame, [(&payload, 0..8760)].into_iter()).expect("staged");
        assert_eq!(nic.tx_burst().sent, 1);
        seq += 8760;
    }
    assert_eq!((nic.counters().answers, nic.counters().answers_lost), (43, 5));
    assert_eq!(nic.rx_burst(&mut rx) + nic.rx_burst(&mut { Vec::with_capacity(8) }), 13);
    rx.clear();

    // Header buffers run out: a `None`, and later everything is as before.
    let mut held = Vec::new();
    while let Some(h) = nic.lend_header() {
        held.push(h);
        assert!(held.len() <= 63, "more than there are");
    }
    drop(held.pop());
    // Links run out: the frame is not staged, and what it took is back.
    let header = nic.lend_header().expect("the one just returned");
    let frame = TxFrame { header, header_len: HEADERS as u16, meta: meta(100) };
    assert_eq!(nic.stage(frame, (0..100).map(|i| (&payload, i..i + 1))), Err(StageError::NoBuffers));
    assert!(nic.lend_header().is_some());
    drop(held);

    nic.reclaim();
    assert!(!payload.in_device());
    drop(payload);
    let report = nic.close();
    assert!(report.all_home(), "{report}");
}
