//! Explicit Congestion Notification on the wire: `S35`.

use tcp::conn::EcnMode;

use super::*;
use crate::fake::limits;

/// The ECN field of a frame's IP header.
fn ecn(sent: &Sent) -> u8 {
    sent.bytes[15] & 0b11
}

/// A router on the way marks it.
fn marked(sent: &Sent) -> Sent {
    let mut sent = sent.clone();
    sent.bytes[15] |= 0b11;
    // The device's verdict stands for the checksum.
    sent.meta.ip_checksum = true;
    sent
}

#[test]
fn s35_marks_in_the_ip_header_come_back_in_acks_and_reduce_the_window() {
    let mut net = Net::new(limits());
    let asking = ConnConfig { ecn: EcnMode::On, no_delay: true, quick_acks: 100, ..cfg() };
    let (a, b) = net.connected(&asking);
    net.a.sent();
    let data = pattern(35, 40_000);
    net.a.send_copy(a, &data, SendFlags::default()).unwrap();
    net.a.poll(net.now);
    let sent = net.a.sent();
    assert!(sent.len() > 1 && sent.iter().all(|frame| ecn(frame) == 0b10), "new data is ECT(0)");
    let window = net.a.stats(a).unwrap().cwnd;
    sent.iter().for_each(|frame| deliver(&mut net.b, &marked(frame)));
    net.b.poll(net.now);
    let acks = net.b.sent();
    assert!(!acks.is_empty());
    for ack in &acks {
        assert!(
            tcp_of(ack).expect("a segment").ece && ecn(ack) == 0,
            "an ACK echoes marks and is not to be marked"
        );
        deliver(&mut net.a, ack);
    }
    net.a.poll(net.now);
    let stats = net.a.stats(a).unwrap();
    assert_eq!((stats.ecn_reductions, stats.segments_retransmitted), (1, 0));
    assert!(stats.cwnd < window, "{} of {window} bytes", stats.cwnd);
    // What is sent next says so once, in a frame that no device has to cut.
    let next = net.a.sent();
    let says = |frame: &&Sent| tcp_of(frame).is_some_and(|tcp| tcp.cwr);
    assert_eq!(next.iter().filter(says).count(), 1);
    assert!(says(&&next[0]) && next[0].meta.tso_segsz == 0 && ecn(&next[0]) == 0b10);
    next.iter().for_each(|frame| deliver(&mut net.b, frame));
    net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
    assert_eq!(net.b.stats(b).unwrap().ecn_marked_segments, sent.len() as u64);
    net.finish();
}

#[test]
fn s35_without_agreement_nothing_can_be_marked() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    net.a.sent();
    net.a.send_copy(a, &pattern(35, 5_000), SendFlags::default()).unwrap();
    net.a.poll(net.now);
    let sent = net.a.sent();
    assert!(sent.iter().all(|frame| ecn(frame) == 0));
    sent.iter().for_each(|frame| deliver(&mut net.b, frame));
    net.finish();
}
