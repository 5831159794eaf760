//! The DPDK NIC when memory is short: it says so, loses nothing but the frame at hand, and recovers.
//! On net_ring, whose receive side gives back the very mbufs that were sent.

use dpdk::{DeviceSpec, Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::{Buf, Nic, RxPiece, SMALL_TAIL, StageError, TailBuf, TxFrame, TxMeta};
use tcp::Payload;

fn meta(payload_len: u32) -> TxMeta {
    TxMeta { payload_len, ..TxMeta::default() }
}

fn frame(nic: &mut DpdkNic, payload_len: u32) -> Option<TxFrame<engine::nic::HeaderBuf>> {
    let mut header = nic.lend_header()?;
    header[..60].fill(9);
    Some(TxFrame { header, header_len: 60, meta: meta(payload_len) })
}

#[test]
fn s10_a_port_short_of_mbufs_says_so_and_gives_small_buffers_for_large_ones() {
    let device: DeviceSpec = "vdev:net_ring0".parse().expect("a device");
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(64),
        devices: vec![device.clone()],
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let small = DpdkConfig {
        headers: 64,
        links: 64,
        rx_buffers: 64,
        tail_buffers: 1,
        small_tail_buffers: 1,
        ..DpdkConfig::default()
    };
    let bad = DpdkConfig { header_room: 100, ..small.clone() };
    assert!(DpdkNic::open(&eal, &device, &bad).expect_err("too small").to_string().contains("256 bytes"));
    let mut nic = DpdkNic::open(&eal, &device, &small).expect("a port");

    // S10: small ones where there is no large one, and the other way round.
    let all = (65_536 + SMALL_TAIL) as u64;
    assert_eq!((nic.tail_bytes(), nic.tail_bytes_out()), (Some(all), 0));
    let (mut small, mut large) =
        (nic.alloc_small_tail().expect("it"), nic.alloc_small_tail().expect("the large"));
    assert_eq!((small.spare().len(), large.spare().len()), (SMALL_TAIL, 65_536));
    drop((small, large));
    let mut tail = nic.alloc_tail().expect("the large one");
    let mut small = nic.alloc_tail().expect("the small one in its place");
    assert_eq!((tail.spare().len(), small.spare().len()), (65_536, SMALL_TAIL));
    assert!(nic.alloc_tail().is_none() && nic.alloc_small_tail().is_none(), "memory pressure is a `None`");
    assert_eq!(nic.tail_bytes_out(), all);
    let payload = tail.freeze(1000);
    // A piece that was copied counts for itself, one of the application's for all that it keeps (S4).
    assert_eq!(payload.footprint(), 1000);
    drop(tail);
    assert!(nic.alloc_tail().is_none(), "a piece of it is still there");
    drop(small);

    for round in 0..3 {
        // Sent frames keep their header mbufs until somebody takes the frames out of the ring.
        let mut sent = 0;
        while let Some(f) = frame(&mut nic, 10) {
            match nic.stage(f, [(&payload, 0..10)].into_iter()) {
                Ok(()) => assert_eq!(nic.tx_burst().sent, 1),
                Err(e) => panic!("{e:?} with {sent} sent"),
            }
            sent += 1;
            assert!(sent <= 64, "more frames than header mbufs");
        }
        assert!(sent >= 60, "{sent}: nearly all of 64 can be used");
        nic.reclaim();
        assert!(nic.lend_header().is_none(), "asking does not make more");
        assert!(payload.in_device());

        let mut rx: Vec<RxPiece<Buf>> = Vec::with_capacity(5);
        let mut pieces = 0;
        loop {
            // A frame of two pieces is never cut: at most two of them fit into a capacity of five.
            let n = nic.rx_burst(&mut rx);
            if n == 0 {
                break;
            }
            assert!(rx.capacity() == 5 && n.is_multiple_of(2) && rx[0].more && !rx[1].more);
            assert_eq!((rx[0].buf.len(), rx[1].buf.len()), (60, 10));
            pieces += n;
            rx.clear();
        }
        assert_eq!(pieces, 2 * sent);
        assert!(!payload.in_device());
        assert_eq!(nic.tx_completed(), Some((round + 1) * sent as u64));
    }

    // Links run out in the middle of a frame: nothing of it stays.
    let f = frame(&mut nic, 100).expect("a header");
    let slices = || (0..100).map(|i| (&payload, i..i + 1));
    assert_eq!(nic.stage(f, slices()), Err(StageError::NoBuffers));
    assert!(!payload.in_device());
    let f = frame(&mut nic, 40).expect("a header");
    nic.stage(f, slices().take(40)).expect("forty are there again");
    assert_eq!(nic.tx_burst().sent, 1);

    // A frame of more pieces than the engine ever takes is dropped and counted, and the next one arrives.
    let f = frame(&mut nic, 0).expect("a header");
    nic.stage(f, std::iter::empty()).expect("staged");
    assert_eq!(nic.tx_burst().sent, 1);
    let mut rx: Vec<RxPiece<Buf>> = Vec::with_capacity(8);
    let n: usize = (0..4).map(|_| nic.rx_burst(&mut rx)).sum();
    assert_eq!((n, nic.rx_counters().dropped_oversize), (1, 1));

    drop((rx, payload));
    let report = DpdkNic::close([nic]);
    assert!(report.all_home(), "{report}");
}
