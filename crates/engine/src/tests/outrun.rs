//! ACKs of one receive burst: the last of a connection's speaks for those right before it.

use tcp::Nanos;
use tcp::conn::SendFlags;

use super::*;
use crate::fake::limits;

/// Sends ten segments from A, lets B acknowledge every second one, holds the ACKs back and then lets A have them in one burst,
/// the last of them after `spoil`. `trusted`: A's device verified their checksums. Returns the network, A's connection, and how
/// many ACKs there were.
fn acks_at_once(trusted: bool, spoil: impl Fn(&mut [u8])) -> (Net, ConnId, u64) {
    // Devices without TSO, so that B sees single segments.
    let mut net = Net::new(NicLimits { tso_max_len: 0, ..limits() });
    let (a, _) = net.connected(&cfg());
    let data = pattern(1, 10 * 1448);
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()), Ok(data.len()));
    net.run(Nanos::from_secs(1), |n| n.a.counters().tx_payload_bytes == data.len() as u64);
    // What B receives now it answers in its own time; its ACKs are kept.
    let mut acks: Vec<Sent> = Vec::new();
    net.now += Nanos::from_millis(1);
    while let Some((_, from_a, sent)) = net.wire.pop_front() {
        assert!(from_a, "nothing is under way to A");
        deliver(&mut net.b, &sent);
        net.b.poll(net.now);
        acks.extend(net.b.sent());
    }
    let before = net.a.counters().clone();
    for (n, sent) in acks.iter().enumerate() {
        let verdict = if trusted { RxChecksum::Good } else { RxChecksum::Unknown };
        let mut bytes = sent.bytes.clone();
        if !trusted {
            seal(&mut bytes);
        }
        if n + 1 == acks.len() {
            spoil(&mut bytes);
        }
        net.a.fake().inject_as(&[&bytes], verdict, verdict);
    }
    net.a.poll(net.now);
    assert_eq!(net.a.counters().rx_frames - before.rx_frames, acks.len() as u64);
    (net, a, acks.len() as u64)
}

/// Writes the checksums that a device would have computed.
fn seal(frame: &mut [u8]) {
    use tcp::wire::{Sum, TcpHeader};
    frame[24..26].fill(0);
    let sum = tcp::wire::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let segment = &mut frame[34..];
    TcpHeader::set_checksum(segment, 0);
    let mut sum = Sum::pseudo_header(B.into(), A.into(), 6, segment.len() as u32);
    sum.add(segment);
    TcpHeader::set_checksum(segment, sum.checksum());
}

#[test]
fn s41_of_acks_in_a_burst_only_the_last_is_processed() {
    for trusted in [true, false] {
        let (net, a, acks) = acks_at_once(trusted, |_| {});
        assert!(acks >= 3, "{acks} ACKs");
        let c = net.a.counters();
        assert_eq!(c.rx_acks_outrun, acks - 1, "checksums verified by the device: {trusted}");
        let stats = net.a.stats(a).expect("it lives");
        assert_eq!(stats.bytes_acked, 10 * 1448);
        // The SYN,ACK, and all ACKs: also those that nobody looked at arrived.
        assert_eq!(stats.segments_received, 1 + acks);
        net.finish();
    }
}

#[test]
fn s50_a_broken_ack_outruns_nothing() {
    // Its TCP checksum, and IP's.
    for at in [50, 24] {
        let (net, a, acks) = acks_at_once(false, |last| last[at] ^= 0x10);
        let c = net.a.counters();
        assert_eq!(c.rx_acks_outrun, acks - 2, "the last but one speaks for those before it");
        assert_eq!(c.drop_tcp_checksum + c.drop_ip_checksum, 1);
        assert_eq!(net.a.stats(a).expect("it lives").bytes_acked, 9 * 1448, "with quick ACKs, one for each");
    }
}
