//! Frames built by etherparse go through the simulated NIC with every offload on, and come out as etherparse and
//! TCP say they must; wrong metadata comes out wrong.

use core::iter;

use engine::nic::{Checked, Nic, NicLimits, TxFrame, TxMeta, TxStop};
use etherparse::PacketBuilder;
use sim::{Decoded, Faults, NicConfig, Release, Rng, SimBuf, SimNic, decode};
use tcp::{Nanos, Payload, Time};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn config() -> NicConfig {
    NicConfig {
        mac: MAC,
        limits: NicLimits {
            mtu: 1500,
            header_room: 256,
            tso_max_len: 65_000,
            tso_max_segments: 64,
            tso_min_mss: 200,
            tso_ipv6: false,
            max_chain: 20,
            max_chain_per_segment: 20,
            tx_ip_checksum: true,
            tx_tcp_checksum: true,
            tx_ring: 8,
            tx_batch: 8,
            link_bps: None,
        },
        release: Release::Prompt,
        reports_completions: true,
        reclaims: true,
        rx_checksum: true,
        rx_ring: 8,
        rx_buffers: 100,
        rx_piece: 2048,
        tail_len: 1000,
        tail_buffers: 1_000_000,
        tx_buffers: 100,
        faults: Faults::default(),
    }
}

fn nic(cfg: NicConfig) -> Checked<SimNic> {
    Checked::new(SimNic::new(cfg, Rng::new(3)))
}

/// Headers as etherparse writes them, checksum fields as DPDK wants them for offloading, and the metadata.
fn headers(payload: usize, segsz: u16) -> (Vec<u8>, TxMeta) {
    let builder = PacketBuilder::ethernet2(MAC, [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(4000, 80, 1_000, 500)
        .ack(77)
        .psh()
        .options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        .unwrap();
    let mut frame = Vec::new();
    builder.write(&mut frame, &vec![0; payload]).unwrap();
    frame.truncate(66);
    frame[18..20].copy_from_slice(&[0, 9]); // IP ID
    frame[24..26].fill(0);
    let length = if segsz == 0 { 32 + payload as u32 } else { 0 };
    let sum: u32 = 0x0a00 + 1 + 0x0a00 + 2 + 6 + length;
    frame[50..52].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
    let meta = TxMeta {
        l2_len: 14,
        l3_len: 20,
        l4_len: 32,
        ipv6: false,
        ip_checksum: true,
        tcp_checksum: true,
        tso_segsz: segsz,
        payload_len: payload as u32,
        stamp: false,
    };
    (frame, meta)
}

fn stage(nic: &mut Checked<SimNic>, headers: &[u8], meta: TxMeta, payload: &[SimBuf]) {
    let mut header = nic.lend_header().unwrap();
    header[..headers.len()].copy_from_slice(headers);
    let frame = TxFrame { header, header_len: headers.len() as u16, meta };
    nic.stage(frame, payload.iter().map(|b| (b, 0..b.len()))).unwrap();
}

fn wire(nic: &mut Checked<SimNic>) -> Vec<Vec<u8>> {
    iter::from_fn(|| nic.inner_mut().next_wire_frame()).collect()
}

fn payload(nic: &Checked<SimNic>, lengths: &[usize]) -> (Vec<SimBuf>, Vec<u8>) {
    let bytes: Vec<u8> = (0..lengths.iter().sum::<usize>()).map(|i| (i % 251) as u8).collect();
    let mut at = 0;
    let bufs = lengths.iter().map(|&n| {
        at += n;
        nic.inner().pool().buf(bytes[at - n..at].to_vec())
    });
    (bufs.collect(), bytes)
}

#[test]
fn tso_makes_the_segments_tcp_would_have_made() {
    let mut nic = nic(config());
    let (bufs, bytes) = payload(&nic, &[1, 2999, 77, 1300]);
    let (head, meta) = headers(bytes.len(), 1448);
    stage(&mut nic, &head, meta, &bufs);
    assert_eq!(nic.tx_burst().sent, 1);
    assert_eq!(nic.report().violations, 0, "{:?}", nic.report());
    let frames = wire(&mut nic);
    let mut stream = Vec::<u8>::new();
    for (i, frame) in frames.iter().enumerate() {
        let Decoded::Tcp(p) = decode(frame) else { panic!("{:?}", decode(frame)) };
        assert_eq!(p.seq, 1_000 + stream.len() as u32);
        assert_eq!(u16::from_be_bytes([frame[18], frame[19]]), 9 + i as u16, "IP ID");
        let last = i + 1 == frames.len();
        assert_eq!(frame[47] & 8 != 0, last, "PSH on the last only");
        assert_eq!(p.timestamps, Some((1, 2)));
        stream.extend(p.payload);
    }
    assert_eq!(stream, bytes);
    assert_eq!(frames.len(), 4);
}

#[test]
fn a_frame_without_tso_gets_its_checksums() {
    let mut nic = nic(config());
    let (bufs, bytes) = payload(&nic, &[3, 5]);
    let (head, meta) = headers(8, 0);
    stage(&mut nic, &head, meta, &bufs);
    nic.tx_burst();
    let frames = wire(&mut nic);
    let Decoded::Tcp(p) = decode(&frames[0]) else { panic!() };
    assert_eq!(p.payload, bytes);
    assert_eq!(nic.report().violations, 0);
}

#[test]
fn without_ip_checksum_offload_tso_keeps_a_right_checksum_right() {
    let mut cfg = config();
    cfg.limits.tx_ip_checksum = false;
    let mut nic = nic(cfg);
    let (bufs, _) = payload(&nic, &[3000]);
    let (mut head, mut meta) = headers(3000, 1448);
    meta.ip_checksum = false;
    let sum: u32 = head[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = !((sum + (sum >> 16)) as u16);
    head[24..26].copy_from_slice(&sum.to_be_bytes());
    stage(&mut nic, &head, meta, &bufs);
    nic.tx_burst();
    assert_eq!(nic.report().violations, 0, "{:?}", nic.report());
    for frame in wire(&mut nic) {
        assert!(matches!(decode(&frame), Decoded::Tcp(_)), "{:?}", decode(&frame));
    }
}

/// Spoils one thing; the checker must see it, and the wire must show it.
fn spoilt(spoil: impl Fn(&mut Vec<u8>, &mut TxMeta)) {
    let mut nic = nic(config());
    let (bufs, bytes) = payload(&nic, &[4000]);
    let (mut head, mut meta) = headers(4000, 1448);
    spoil(&mut head, &mut meta);
    stage(&mut nic, &head, meta, &bufs);
    nic.tx_burst();
    assert_ne!(nic.report().violations, 0);
    let mut stream = Vec::<u8>::new();
    for frame in wire(&mut nic) {
        match decode(&frame) {
            Decoded::Tcp(p) => stream.extend(p.payload),
            _ => return,
        }
    }
    assert_ne!(stream, bytes, "the wire does not show it");
}

#[test]
fn wrong_metadata_gives_wrong_packets() {
    spoilt(|head, _| head[51] ^= 1);
    spoilt(|head, _| head[25] = 1);
    spoilt(|_, meta| meta.l4_len = 28);
    spoilt(|_, meta| meta.l4_len = 36);
    spoilt(|_, meta| meta.l3_len = 24);
    spoilt(|_, meta| meta.l2_len = 16);
    spoilt(|_, meta| meta.tcp_checksum = false);
}

#[test]
fn a_full_ring_takes_no_more_and_frees_what_it_refused() {
    let mut nic = nic(config());
    for round in 0..2 {
        for _ in 0..5 {
            let (bufs, _) = payload(&nic, &[10]);
            let (head, meta) = headers(10, 0);
            stage(&mut nic, &head, meta, &bufs);
        }
        let outcome = nic.tx_burst();
        assert_eq!(outcome.sent, if round == 0 { 5 } else { 3 });
        assert_eq!(outcome.stop, (round == 1).then_some(TxStop::RingFull));
    }
    assert_eq!(nic.inner().live_buffers(), 16, "eight frames of a header and a payload");
    assert_eq!(nic.tx_completed(), Some(0));
    assert_eq!(wire(&mut nic).len(), 8);
    assert_eq!(nic.tx_completed(), Some(8));
    assert_eq!(nic.inner().live_buffers(), 0);
}

#[test]
fn finished_frames_are_released_when_the_policy_says() {
    let run = |release| {
        let mut nic = nic(NicConfig { release, ..config() });
        let (bufs, _) = payload(&nic, &[10]);
        let (head, meta) = headers(10, 0);
        let mut held = Vec::new();
        for _ in 0..12 {
            stage(&mut nic, &head, meta, &bufs);
            assert_eq!(nic.tx_burst().sent, 1);
            wire(&mut nic);
            held.push(nic.inner().held_frames());
        }
        nic.inner_mut().advance(Time::ZERO + Nanos::from_millis(1));
        assert_eq!(bufs[0].in_device(), nic.inner().held_frames() > 0);
        (held, nic.inner().held_frames())
    };
    assert_eq!(run(Release::Prompt), (vec![0; 12], 0));
    assert_eq!(run(Release::Batches(3)), ([1, 2, 0].repeat(4), 0));
    assert_eq!(run(Release::WhenFull).0, [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8]);
    let (held, after) = run(Release::After(Nanos::from_millis(1)));
    assert_eq!((held[7], after), (8, 0));
}

#[test]
fn received_frames_come_in_pieces_with_a_verdict() {
    use engine::nic::RxChecksum;
    let mut nic = nic(NicConfig { rx_piece: 40, mac: [2, 0, 0, 0, 0, 2], ..config() });
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC, [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1, 2, 3, 4)
        .write(&mut frame, &[7; 50])
        .unwrap();
    let mut bad = frame.clone();
    bad[100] ^= 4;
    let mut foreign = frame.clone();
    foreign[5] = 9;
    for frame in [&frame, &bad, &foreign] {
        nic.inner_mut().deliver(frame.clone());
    }
    let mut out = Vec::with_capacity(5);
    assert_eq!(nic.rx_burst(&mut out), 3, "a frame is delivered whole or not yet");
    assert_eq!(out.iter().map(|p| p.more).collect::<Vec<_>>(), [true, true, false]);
    assert!(out.iter().all(|p| p.l4_checksum == RxChecksum::Good));
    assert_eq!(out.iter().flat_map(|p| p.buf.as_slice().to_vec()).collect::<Vec<u8>>(), frame);
    out.clear();
    assert_eq!(nic.rx_burst(&mut out), 3);
    assert!(out.iter().all(|p| p.l4_checksum == RxChecksum::Bad && p.ip_checksum == RxChecksum::Good));
    assert_eq!(nic.inner().counts().rx_filtered, 1);
}

#[test]
fn a_trace_shows_what_was_received_and_what_the_device_took() {
    use engine::nic::{Direction, FrameSink, Traced};
    #[derive(Default)]
    struct Seen(Vec<(Direction, usize)>);
    impl FrameSink for Seen {
        fn frame(&mut self, direction: Direction, pieces: &[&[u8]]) {
            self.0.push((direction, pieces.iter().map(|p| p.len()).sum()));
        }
    }
    let mut cfg = config();
    cfg.limits.tx_ring = 1;
    let mut nic = Traced::new(SimNic::new(NicConfig { rx_piece: 40, ..cfg }, Rng::new(1)), Seen::default());
    let (head, meta) = headers(3000, 1448);
    let buf = nic.inner().pool().buf(vec![0; 3000]);
    for _ in 0..2 {
        let mut header = nic.lend_header().unwrap();
        header[..66].copy_from_slice(&head);
        nic.stage(TxFrame { header, header_len: 66, meta }, [(&buf, 0..3000)].into_iter()).unwrap();
    }
    assert_eq!(nic.tx_burst().sent, 1);
    let mut frame = MAC.to_vec();
    frame.extend([0; 94]);
    nic.inner_mut().deliver(frame);
    nic.rx_burst(&mut Vec::with_capacity(8));
    assert_eq!(nic.sink().0, [(Direction::Sent, 3066), (Direction::Received, 100)]);
}
