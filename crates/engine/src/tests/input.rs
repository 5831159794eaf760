//! Whatever arrives is used, or dropped and counted; nothing panics (`S50`).

use std::net::SocketAddr;

use etherparse::{PacketBuilder, TcpHeader, TransportSlice};
use proptest::prelude::*;
use tcp::conn::SendFlags;
use tcp::{Nanos, Time};

use super::*;
use crate::fake::limits;

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A TCP segment from B's address to A, right in every respect, then edited and given the checksums it then has.
fn tcp_frame(payload: &[u8], edit: impl FnOnce(&mut TcpHeader)) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(MAC_B, MAC_A).ipv4(B.octets(), A.octets(), 64);
    let mut tcp = TcpHeader::new(4000, 5000, 77, 1000);
    tcp.syn = true;
    edit(&mut tcp);
    let builder = builder.tcp_header(tcp);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn echo_frame(len: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_B, MAC_A)
        .ipv4(B.octets(), A.octets(), 64)
        .icmpv4_echo_request(7, 9)
        .write(&mut frame, &data)
        .unwrap();
    frame
}

/// A single engine that gets `frame` and is polled once.
fn feed(frame: &[u8]) -> TestEngine {
    let mut e = engine(A, limits());
    e.fake().inject(frame);
    e.poll(Time::from_nanos(1_000_000_000));
    e
}

/// Fixes the IPv4 header checksum of an edited frame.
fn seal_ip(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = tcp::wire::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn an_unknown_segment_gets_a_reset() {
    let mut e = feed(&tcp_frame(b"", |_| {}));
    let sent = e.sent();
    assert_eq!(sent.len(), 1);
    let rst = tcp_of(&sent[0]).unwrap();
    assert!(rst.rst && rst.ack && !rst.syn);
    assert_eq!((rst.acknowledgment_number, rst.sequence_number), (78, 0));
    assert_eq!((rst.source_port, rst.destination_port), (5000, 4000));
    assert_eq!(sent[0].bytes[..6], MAC_B);
    assert_eq!(e.counters().tx_resets, 1);
    let mut e = feed(&tcp_frame(b"", |t| t.rst = true));
    assert_eq!(e.sent().len(), 0, "a RST is never answered");
    assert_eq!(e.counters().drop_tcp_unmatched, 1);
}

#[test]
fn icmp_echo_is_answered_with_its_own_data() {
    for len in [0, 1, 56, 1472] {
        let frame = echo_frame(len);
        let mut e = feed(&frame);
        let sent = e.sent();
        assert_eq!(sent.len(), 1, "{len} bytes");
        let reply = SlicedPacket::from_ethernet(&sent[0].bytes).unwrap();
        let Some(TransportSlice::Icmpv4(icmp)) = reply.transport else { panic!("no ICMP") };
        assert_eq!(icmp.payload(), &frame[42..]);
        assert_eq!(icmp.type_u8(), 0);
        assert_eq!(icmp.header().checksum, icmp.icmp_type().calc_checksum(icmp.payload()));
        assert_eq!((e.counters().rx_echo_requests, e.counters().tx_echo_replies), (1, 1));
    }
    let mut e = feed(&echo_frame(1473));
    assert_eq!(e.sent().len(), 0, "an answer that does not fit is not sent");
    assert_eq!(e.counters().tx_replies_dropped, 1);
}

#[test]
fn bad_checksums_are_dropped_and_counted() {
    let mut frame = tcp_frame(b"payload", |_| {});
    *frame.last_mut().unwrap() ^= 1;
    let mut e = feed(&frame);
    assert_eq!((e.counters().drop_tcp_checksum, e.sent().len()), (1, 0));

    let mut frame = tcp_frame(b"", |_| {});
    frame[24] ^= 1;
    assert_eq!(feed(&frame).counters().drop_ip_checksum, 1);

    let mut frame = echo_frame(8);
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(feed(&frame).counters().drop_icmp_checksum, 1);
}

#[test]
fn a_devices_verdict_is_believed() {
    let mut wrong = tcp_frame(b"payload", |_| {});
    *wrong.last_mut().unwrap() ^= 1;
    wrong[24] ^= 1;
    let mut e = engine(A, limits());
    e.fake().inject_as(&[&wrong], RxChecksum::Good, RxChecksum::Good);
    let right = tcp_frame(b"payload", |_| {});
    e.fake().inject_as(&[&right], RxChecksum::Good, RxChecksum::Bad);
    e.fake().inject_as(&[&right], RxChecksum::Bad, RxChecksum::Good);
    e.poll(Time::from_nanos(1));
    let c = e.counters();
    assert_eq!((c.rx_segments, c.drop_tcp_checksum, c.drop_ip_checksum), (1, 1, 1));
}

#[test]
fn a_checksum_spans_all_pieces_of_a_frame() {
    let payload: Vec<u8> = (0..999).map(|i| i as u8).collect();
    let frame = tcp_frame(&payload, |_| {});
    for cuts in [[55, 56], [60, 301], [54, 1000]] {
        let mut e = engine(A, limits());
        let pieces = [&frame[..cuts[0]], &frame[cuts[0]..cuts[1]], &frame[cuts[1]..]];
        e.fake().inject_as(&pieces, RxChecksum::Unknown, RxChecksum::Unknown);
        e.poll(Time::from_nanos(1));
        assert_eq!((e.counters().rx_segments, e.counters().drop_tcp_checksum), (1, 0), "{cuts:?}");
    }
    let mut e = engine(A, limits());
    e.fake().inject_as(&[&frame[..40], &frame[40..]], RxChecksum::Unknown, RxChecksum::Unknown);
    e.poll(Time::from_nanos(1));
    assert_eq!(e.counters().drop_split_headers, 1);
}

#[test]
fn a_frame_of_several_pieces_arrives_whole() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(20, 10_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.a.shutdown_write(a);
    let end = net.now + Nanos::from_secs(5);
    while net.received_b(b).len() < data.len() {
        assert!(net.now < end);
        net.a.poll(net.now);
        for sent in net.a.sent() {
            // Headers and a little payload, then odd pieces.
            let pieces: Vec<&[u8]> = match sent.bytes.len() {
                n if n > 2000 => {
                    let (head, rest) = sent.bytes.split_at(101);
                    std::iter::once(head).chain(rest.chunks(1333)).collect()
                }
                _ => vec![&sent.bytes],
            };
            net.b.fake().inject_as(&pieces, RxChecksum::Good, RxChecksum::Good);
        }
        net.step();
    }
    assert!(net.received_b(b) == data);
    net.run(Nanos::from_secs(1), |n| n.has_b(b, EngineEvent::Conn(Event::PeerFinished)));
    net.finish();
}

#[test]
fn s50_ethernet_padding_is_no_payload() {
    let mut frame = tcp_frame(b"", |t| t.rst = true);
    frame.resize(60, 0xaa);
    let e = feed(&frame);
    let c = e.counters();
    assert_eq!((c.rx_segments, c.rx_payload_bytes, c.drop_tcp_checksum), (1, 0, 0));
}

#[test]
fn what_is_said_to_groups_is_counted_apart_and_no_drop() {
    let all_stations: &[u8] = &[0xff; 6];
    for group in [all_stations, &[0x33, 0x33, 0, 0, 0, 2], &[1, 0, 0x5e, 0, 0, 1]] {
        let mut frame = tcp_frame(b"data", |_| {});
        frame[..6].copy_from_slice(group);
        if group[0] == 0x33 {
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        }
        let e = feed(&frame);
        assert_eq!((e.counters().rx_ignored_multicast, e.counters().dropped()), (1, 0), "{group:?}");
        assert_eq!(e.counters().rx_segments, 0);
    }
}

#[test]
fn s50_each_defect_has_its_counter() {
    let edited = |edit: fn(&mut Vec<u8>)| {
        let mut frame = tcp_frame(b"data", |_| {});
        edit(&mut frame);
        let e = feed(&frame);
        let c = e.counters();
        assert_eq!(c.dropped(), 1, "exactly one reason");
        c.iter().find(|(n, v, _)| n.starts_with("drop_") && *v == 1).map(|(n, _, _)| n).unwrap()
    };
    assert_eq!(edited(|f| f.truncate(13)), "drop_runt");
    assert_eq!(edited(|f| f[5] = 9), "drop_not_our_mac");
    assert_eq!(edited(|f| f[6] |= 1), "drop_source_mac");
    assert_eq!(edited(|f| f[6..12].fill(0)), "drop_source_mac");
    assert_eq!(edited(|f| f.copy_within(..6, 6)), "drop_source_mac");
    assert_eq!(edited(|f| f[12..14].copy_from_slice(&[0x88, 0xcc])), "drop_ethertype");
    assert_eq!(edited(|f| f[12..14].copy_from_slice(&[0x86, 0xdd])), "drop_ipv6");
    assert_eq!(edited(|f| f[12..14].copy_from_slice(&[0x81, 0])), "drop_vlan");
    assert_eq!(edited(|f| f[14] = 0x65), "drop_ip_malformed");
    assert_eq!(edited(|f| f[14] = 0x44), "drop_ip_malformed");
    assert_eq!(edited(|f| f.truncate(30)), "drop_ip_malformed");
    assert_eq!(edited(|f| f.truncate(57)), "drop_ip_malformed");
    assert_eq!(
        edited(|f| {
            f[20] = 0x20;
            seal_ip(f);
        }),
        "drop_ip_fragment"
    );
    assert_eq!(
        edited(|f| {
            f[33] = 77;
            seal_ip(f);
        }),
        "drop_ip_not_ours"
    );
    assert_eq!(
        edited(|f| {
            f[29] = 255;
            seal_ip(f);
        }),
        "drop_ip_source"
    );
    assert_eq!(
        edited(|f| {
            f[26..30].copy_from_slice(&A.octets());
            seal_ip(f);
        }),
        "drop_ip_source"
    );
    assert_eq!(
        edited(|f| {
            f[23] = 17;
            seal_ip(f);
        }),
        "drop_ip_protocol"
    );
    assert_eq!(edited(|f| f[46] = 0x40), "drop_tcp_malformed");
    assert_eq!(edited(|f| f[46] = 0xf0), "drop_tcp_malformed");
    assert_eq!(edited(|f| f[55] ^= 4), "drop_tcp_checksum");
}

#[test]
fn an_icmp_error_reaches_the_connection_it_quotes() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    // A's latest bytes are lost on the way, so that something is in flight to be quoted.
    net.filter = Box::new(|_, _| false);
    net.a.send_copy(a, b"something", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    let quoted: Vec<u8> =
        net.a.sent().iter().find(|s| payload_of(s) == b"something").unwrap().bytes[14..42].to_vec();
    let unreachable = |quoted: &[u8]| {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC_B, MAC_A)
            .ipv4([10, 0, 0, 254], A.octets(), 64)
            .icmpv4_raw(3, 1, [0; 4])
            .write(&mut frame, quoted)
            .unwrap();
        frame
    };
    net.a.fake().inject(&unreachable(&quoted));
    net.a.poll(net.now);
    assert_eq!(net.a.counters().rx_icmp_errors, 1);
    assert_eq!(net.a.stats(a).unwrap().icmp_errors, 1);
    let mut other = quoted.clone();
    other[21] ^= 1; // another source port
    net.a.fake().inject(&unreachable(&other));
    net.a.fake().inject(&unreachable(&quoted[..20]));
    net.a.poll(net.now);
    assert_eq!((net.a.counters().drop_icmp_unmatched, net.a.counters().drop_icmp_malformed), (1, 1));
    net.filter = Box::new(|_, _| true);
    net.finish();
}

#[test]
fn a_syn_without_a_free_slot_is_dropped_and_the_backlog_is_freed() {
    let b = engine_with(EngineConfig { max_connections: 1, ..config(B) }, limits());
    let mut net = Net::with(engine(A, limits()), b);
    let (_, _) = net.connected(&cfg());
    let second = net.a.connect(net.now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    net.run(Nanos::from_secs(10), |n| n.b.counters().drop_no_slot >= 2);
    assert!(!net.has_a(second, EngineEvent::Conn(Event::Connected)));
    net.finish();
}

proptest! {
    #[test]
    fn s50_random_frames_never_panic(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut e = engine(A, limits());
        for f in &frames {
            e.fake().inject(f);
        }
        e.poll(Time::from_nanos(1_000_000_000));
        prop_assert_eq!(e.counters().rx_frames, frames.len() as u64);
    }

    #[test]
    fn s50_damaged_frames_never_panic(
        at in proptest::collection::vec((0..70usize, any::<u8>()), 1..6),
        cut in 0..80usize,
        split in 1..80usize,
        verdict in any::<bool>(),
    ) {
        // With the device vouching for checksums, damage gets past them.
        let verdict = if verdict { RxChecksum::Good } else { RxChecksum::Unknown };
        let mut e = engine(A, limits());
        e.listen(SocketAddr::from((A, 5000)), 10, cfg()).unwrap();
        let tuple = |t: &mut TcpHeader| t.source_port = 4001;
        for mut frame in [tcp_frame(b"0123456789", |_| {}), tcp_frame(b"x", tuple), echo_frame(20)] {
            for &(i, b) in &at {
                if let Some(x) = frame.get_mut(i) {
                    *x = b;
                }
            }
            frame.truncate(cut.max(1));
            let split = split.min(frame.len());
            let (head, tail) = frame.split_at(split);
            let pieces: Vec<&[u8]> = [head, tail].into_iter().filter(|p| !p.is_empty()).collect();
            e.fake().inject_as(&pieces, verdict, verdict);
        }
        let mut now = Time::from_nanos(1_000_000_000);
        for _ in 0..5 {
            e.poll(now);
            now += Nanos::from_millis(300);
        }
        let report = e.nic().report().clone();
        prop_assert_eq!(report.first, vec![]);
    }
}
