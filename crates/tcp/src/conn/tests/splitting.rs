//! Bursts are split where cwnd, the window or the device end, always between segments; what is acknowledged in part is
//! trimmed; a smaller MSS cuts the rest anew (`S23`).

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{BurstKind, IcmpError, IcmpErrorKind, Nanos, TxLimits};

#[test]
fn s23_what_is_queued_is_split_between_segments_by_cwnd_window_and_device() {
    // cwnd: ten segments, in two bursts; what is left of 12500 bytes waits.
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(12_500).expect(". 1:5001(5000) ack 1").expect(". 5001:10001(5000) ack 1").nothing();
    // Window: 8700 bytes, of which a burst takes half; the 700 are no segment and stay.
    let mut s = Script::established(&plain(), 8700);
    s.limits = TSO;
    s.write(12_500).expect(". 1:4001(4000) ack 1").expect("P. 4001:8001(4000) ack 1").nothing();
    // Device: 3500 bytes of a burst, three segments of it, or budget for 4999 bytes; then cwnd.
    let split = |limits| {
        let mut s = Script::established(&plain(), 65535);
        s.limits = limits;
        s.write_quietly(12_500, SendFlags::default()).flush().ranges()
    };
    let threes = [(0, 3000), (3000, 6000), (6000, 9000), (9000, 10_000)];
    assert_eq!(split(TxLimits { max_len: 3500, ..TSO }), threes);
    assert_eq!(split(TxLimits { max_segments: 3, ..TSO }), threes);
    assert_eq!(split(TxLimits { budget: 4999, ..TSO }), [(0, 4000), (4000, 8000), (8000, 10_000)]);
}

#[test]
fn s23_a_partial_ack_trims_what_is_sent_again() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(5000).expect("P. 1:5001(5000) ack 1");
    // Half a segment more than two of the burst's five: RTTVAR goes to 3/4 of 50 ms.
    s.at(200).inject(". 1:1(0) ack 2501").nothing();
    s.expect_at(450, ". 2501:3501(1000) ack 1").nothing();
    // cwnd is two segments now, a burst half of it; the PSH stays with the last byte.
    s.at(500).inject(". 1:1(0) ack 3501");
    s.expect(". 3501:4501(1000) ack 1").expect("P. 4501:5001(500) ack 1").nothing();
    assert_eq!(s.conn.stats().bytes_retransmitted, 2500);
}

#[test]
fn s23_an_ack_of_whole_bursts_trims_nothing() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(10_000).expect(". 1:5001(5000) ack 1").expect("P. 5001:10001(5000) ack 1");
    s.at(200).inject(". 1:1(0) ack 5001").nothing();
    s.expect_at(450, ". 5001:6001(1000) ack 1").nothing();
}

#[test]
fn s23_a_smaller_mss_cuts_the_unsent_and_leaves_what_is_sent() {
    let cfg = ConnConfig { max_mss: Some(1460), initial_window: 4, ..plain() };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)").at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1460>").expect(". 1:1(0) ack 1");
    s.limits = TSO;
    s.write(10_000);
    s.expect(". 1:2921(2920) ack 1").expect(". 2921:5841(2920) ack 1").nothing();
    // Something that is not in flight was too big: nothing changes.
    let too_big = |seq| IcmpError { kind: IcmpErrorKind::PacketTooBig { mtu: Some(1000) }, seq };
    s.conn.on_icmp(s.now, too_big(ISS + 9_999));
    s.flush().nothing();
    // The path became smaller, after the peer had got both bursts: their ACK, by the old borders, is as good as ever.
    s.conn.on_icmp(s.now, too_big(ISS + 1));
    s.inject_quietly(". 1:1(0) ack 5841").flush();
    let sent: Vec<_> = s.sent.drain(..).collect();
    assert!(sent.iter().all(|(_, b)| b.kind == BurstKind::New && b.mss == 960), "{sent:?}");
    let mut at = 5840;
    for (_, burst) in &sent {
        assert_eq!(burst.offset.0, at, "no byte twice, none left out");
        assert!(burst.len % 960 == 0 || at + u64::from(burst.len) == 10_000, "{sent:?}");
        at += u64::from(burst.len);
    }
    assert_eq!(at, 10_000);
    assert_eq!(s.conn.stats().bytes_retransmitted, 0);
}

#[test]
fn s33_a_send_that_asks_is_told_when_it_had_its_turn_left_and_was_acknowledged() {
    use crate::{Event, Offset, SendTime, SendTimeKind, Time};
    let told = |end, kind, ms| {
        Event::SendTime(SendTime { end: Offset(end), kind, at: Time::ZERO + Nanos::from_millis(ms) })
    };
    let ask = SendFlags { timestamp: true, ..SendFlags::default() };
    let mut s = Script::established(&ConnConfig { initial_window: 2, ..plain() }, 65535);
    // Nobody asks, nobody is told.
    s.write(500).expect("P. 1:501(500) ack 1");
    s.at(110).inject(". 1:1(0) ack 501");
    assert_eq!(s.events(), [Event::Acked]);
    // cwnd holds the end of the send back; its times are those of its last byte.
    s.at(200).write_quietly(2500, ask).flush().expect(". 501:1501(1000) ack 1");
    s.sent.clear();
    assert_eq!(s.events(), []);
    s.at(300).inject(". 1:1(0) ack 2501").expect("P. 2501:3001(500) ack 1");
    let (turn, sent) = (told(3000, SendTimeKind::Scheduled, 300), told(3000, SendTimeKind::Sent, 300));
    assert_eq!(s.events(), [turn, sent, Event::Acked]);
    s.at(350).inject(". 1:1(0) ack 3000");
    assert_eq!(s.events(), [Event::Acked], "a byte is missing");
    s.at(400).inject(". 1:1(0) ack 3001");
    assert_eq!(s.events(), [told(3000, SendTimeKind::Acked, 400), Event::Acked]);
    // What left a second time is not told again.
    s.at(500).write_quietly(10, ask).flush().expect("P. 3001:3011(10) ack 1");
    let (turn, sent) = (told(3010, SendTimeKind::Scheduled, 500), told(3010, SendTimeKind::Sent, 500));
    assert_eq!(s.events(), [turn, sent]);
    s.at(2000);
    assert!(s.conn.stats().segments_retransmitted > 0);
    assert_eq!(s.events(), []);
    // The end comes last.
    s.inject("R. 1:1(0) ack 3011");
    let events = s.events();
    assert!(matches!(events[..], [Event::Closed(Err(_))]), "{events:?}");
}

#[test]
fn s1_times_that_nobody_has_room_for_are_counted() {
    let mut s = Script::established(&plain(), 1000);
    let ask = SendFlags { timestamp: true, ..SendFlags::default() };
    for _ in 0..65 {
        s.write_quietly(10, ask);
    }
    // 64 sends may wait for their times; all of the last one's are lost.
    assert_eq!(s.conn.stats().send_times_lost, 3);
}
