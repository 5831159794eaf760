//! Segments that do not belong: RFC 5961, RFC 7323 §5, RFC 9293 §3.10.7.4.

use super::script::*;
use crate::conn::{ConnConfig, SendFlags, State};
use crate::{ConnError, ConnErrorKind, Event, Nanos, Offset};

fn reset(acked: u64) -> Event {
    Event::Closed(Err(ConnError { kind: ConnErrorKind::Reset, acked: Offset(acked) }))
}

#[test]
fn must_12_a_reset_is_told_once_with_the_offset_reached() {
    let mut s = Script::established(&plain(), 9000);
    s.write(3000).inject(". 1:1(0) ack 2001");
    s.sent.clear();
    s.inject("R 1:1(0)").inject("R 1:1(0)").nothing();
    assert_eq!(s.events(), [Event::Acked, reset(2000)]);
    assert_eq!(s.events(), []);
    assert!(s.conn.is_closed() && s.conn.next_timeout().is_none());
    assert_eq!(s.conn.in_flight(), 0);
}

#[test]
fn rfc5961_only_the_exact_sequence_number_resets() {
    let mut s = Script::established(&plain(), 9000);
    // Outside the window: nothing. Inside: a challenge.
    s.inject("R 0:0(0)").inject("R 70000:70000(0)").nothing();
    // The first sequence number beyond the window is outside.
    s.inject("R 65536:65536(0)").nothing();
    assert_eq!(s.conn.stats().segments_unacceptable, 3);
    s.inject("R 2:2(0)").expect(". 1:1(0) ack 1").inject("R. 65000:65000(0) ack 1").expect(". 1:1(0) ack 1");
    assert_eq!((s.state(), s.conn.stats().challenge_acks), (State::Established, 2));
    s.inject("R. 1:1(0) ack 1").nothing();
    assert_eq!(s.events(), [reset(0)]);
}

#[test]
fn shld_2_a_reset_may_carry_data() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("R. 1:21(20) ack 1").nothing();
    assert_eq!((s.events(), s.read()), (vec![reset(0)], 0));
}

#[test]
fn rfc5961_a_syn_is_challenged_wherever_it_stands() {
    let mut s = Script::established(&plain(), 9000);
    for text in ["S 0:0(0)", "S 1:1(0)", "S. 5000:5000(0) ack 1", "S 900000:900000(0)"] {
        s.inject(text).expect(". 1:1(0) ack 1").nothing();
    }
    assert_eq!((s.state(), s.events()), (State::Established, vec![]));
}

#[test]
fn rfc5961_acks_out_of_range_are_challenged_and_their_text_dropped() {
    let mut s = Script::established(&plain(), 9000);
    s.write(1000).expect("P. 1:1001(1000) ack 1");
    // Of what was not sent; further back than the largest window.
    s.inject("P. 1:11(10) ack 1002").expect(". 1001:1001(0) ack 1");
    s.inject("P. 1:11(10) ack -8999").at(140).expect_at(140, ". 1001:1001(0) ack 11");
    s.inject("P. 11:21(10) ack -9000").expect(". 1001:1001(0) ack 11");
    assert_eq!(s.read(), 10);
}

#[test]
fn rfc5961_challenges_are_limited() {
    let mut s = Script::established(&plain(), 9000);
    for _ in 0..50 {
        s.inject("R 2:2(0)");
    }
    assert_eq!(s.ranges().len(), 10);
    s.at(1100).inject("R 2:2(0)").expect(". 1:1(0) ack 1");
    assert_eq!(s.conn.stats().challenge_acks, 11);
}

#[test]
fn two_connections_out_of_step_do_not_answer_each_other_for_ever() {
    let mut s = Script::established(&plain(), 9000);
    for _ in 0..1000 {
        s.inject(". 80000:80000(0) ack 1");
    }
    assert!(s.ranges().len() <= 10);
    // Text that was seen is answered always: the peer waits for the ACK.
    s.at(2000).inject("P. 1:11(10) ack 1").expect_at(2040, ". 1:1(0) ack 11");
    for _ in 0..30 {
        s.inject("P. 1:11(10) ack 1").expect(". 1:1(0) ack 11");
    }
}

#[test]
fn rfc9293_text_at_the_edge_is_unacceptable_a_bare_ack_there_is_not() {
    let mut s = Script::established(&plain(), 9000);
    s.write(2000);
    s.sent.clear();
    s.inject("P. 65536:65546(10) ack 1001").expect(". 2001:2001(0) ack 1");
    assert_eq!(s.conn.in_flight(), 2000);
    s.inject(". 65536:65536(0) ack 1001").nothing();
    assert_eq!(s.conn.in_flight(), 1000);
    s.inject(". 65537:65537(0) ack 2001").expect(". 2001:2001(0) ack 1");
    assert_eq!(s.conn.in_flight(), 1000);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("P 1:11(10)").silence_until(10_000);
    assert_eq!(s.read(), 0);
}

#[test]
fn keepalives_of_the_peer_are_answered() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 0:0(0) ack 1").expect(". 1:1(0) ack 1");
    s.inject(". 0:1(1) ack 1").expect(". 1:1(0) ack 1");
    s.inject("P. 1:11(10) ack 1").expect_at(140, ". 1:1(0) ack 11");
    s.inject(". 10:11(1) ack 1").expect(". 1:1(0) ack 11");
    assert_eq!(s.read(), 10);
}

#[test]
fn rfc1337_a_reset_does_not_end_time_wait() {
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject("F. 1:1(0) ack 2").expect(". 2:2(0) ack 2");
    s.inject("R 2:2(0)").nothing();
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn a_reset_after_everything_was_delivered_is_an_end_like_another() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("F. 1:1(0) ack 1").expect(". 1:1(0) ack 2").shutdown().expect("F. 1:1(0) ack 2");
    s.inject("R 2:2(0)");
    assert_eq!(s.events(), [Event::PeerFinished, Event::Closed(Ok(()))]);
    // With bytes outstanding it is not.
    let mut s = Script::established(&plain(), 9000);
    s.inject("F. 1:1(0) ack 1").expect(". 1:1(0) ack 2").write(10).shutdown();
    s.inject("R 2:2(0)");
    assert_eq!(s.events(), [Event::PeerFinished, reset(0)]);
}

fn stamped() -> Script {
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..plain() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 <mss 1000,TS val 1000 ecr 0>").expect(". 1:1(0) ack 1");
    s
}

#[test]
fn rfc7323_paws_rejects_and_answers_what_is_older() {
    let mut s = stamped();
    s.inject("P. 1:11(10) ack 1 <TS val 999 ecr 0>").expect(". 1:1(0) ack 1 <TS val 0 ecr 1000>");
    assert_eq!((s.conn.stats().paws_rejected, s.read()), (1, 0));
    // Equal is not older; wrapping is newer.
    s.inject("P. 1:11(10) ack 1 <TS val 1000 ecr 0>").expect_at(40, ". 1:1(0) ack 11");
    s.inject("P. 11:21(10) ack 1 <TS val 2147484647 ecr 0>")
        .expect_at(80, ". 1:1(0) ack 21 <TS val 80 ecr 2147484647>");
    s.inject("P. 21:31(10) ack 1 <TS val 0 ecr 0>").expect_at(120, ". 1:1(0) ack 31 <TS val 120 ecr 0>");
    assert_eq!(s.read(), 30);
}

#[test]
fn rfc7323_paws_does_not_apply_to_resets_or_after_24_days() {
    let mut s = stamped();
    s.at(24 * 86_400_000 + 1).inject("P. 1:11(10) ack 1 <TS val 5 ecr 0>");
    assert_eq!(s.read(), 10);
    s.inject("R 11:11(0) <TS val 1 ecr 0>");
    assert_eq!(s.events(), [Event::Connected, Event::Readable, reset(0)]);
    let mut s = stamped();
    s.inject("R 1:1(0)");
    assert!(s.conn.is_closed());
}

#[test]
fn rfc7323_a_segment_without_the_agreed_timestamp_is_dropped() {
    let mut s = stamped();
    s.inject("P. 1:11(10) ack 1").silence_until(1000);
    assert_eq!(s.read(), 0);
}

#[test]
fn must_5_options_of_a_syn_mean_nothing_later() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1:1(0) ack 1 win 9000 <mss 100,wscale 9,sackOK>");
    assert_eq!((s.conn.stats().mss, s.conn.stats().send_window), (1000, 9000));
}

#[test]
fn a_user_timeout_with_nothing_outstanding_does_not_run() {
    let cfg = ConnConfig { user_timeout: Nanos::from_secs(1), ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.write(1000).expect("P. 1:1001(1000) ack 1").inject(". 1:1(0) ack 1001").silence_until(1_000_000);
    assert_eq!(s.state(), State::Established);
}

#[test]
fn rfc7323_a_segment_with_a_bad_ack_does_not_move_ts_recent() {
    let cfg = ConnConfig { timestamps: true, ..plain() };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)")
        .inject("S. 0:0(0) ack 1 win 9000 <mss 1000,TS val 100 ecr 0>")
        .expect(". 1:1(0) ack 1");
    // Forged: of what was never sent, with a timestamp of tomorrow.
    s.inject("F. 1:1(0) ack 9999 <TS val 200000 ecr 0>").expect(". 1:1(0) ack 1 <TS val 0 ecr 100>");
    // Else this would fail PAWS.
    s.inject("P. 1:501(500) ack 1 <TS val 101 ecr 0>");
    assert_eq!((s.read(), s.conn.stats().paws_rejected), (500, 0));
}

#[test]
fn bytes_that_left_although_refused_do_not_lock_both_ends_out() {
    // Of our second segment the device said no and sent it all the same; the same befell the peer. Each then waits for an
    // acknowledgement with a sequence number that the other has left behind, and would drop it for that.
    let mut s = Script::established(&plain(), 9000);
    s.write_quietly(2000, SendFlags::default());
    let first = s.conn.poll_transmit(s.now, &PLAIN).expect("a segment");
    let second = s.conn.poll_transmit(s.now, &PLAIN).expect("another");
    s.conn.on_sent(&first, s.now);
    s.conn.on_refused(&second);
    s.limits.budget = 0;
    s.inject("P. 1:101(100) ack 1").inject(". 101:201(100) ack 1").nothing();
    // The peer does not know that its second segment arrived, and repeats the first. It is old, so what it says of our
    // bytes counts for nothing but this: where it expects us to be.
    s.inject("P. 1:101(100) ack 2001").expect(". 2001:2001(0) ack 201");
    assert_eq!(s.conn.marks().acked, Offset(0));
    // Beyond anything that may have left nobody is believed.
    s.inject("P. 1:101(100) ack 2002").expect(". 2001:2001(0) ack 201");
    s.inject("P. 201:301(100) ack 2001");
    assert_eq!((s.conn.marks().acked, s.conn.marks().sent), (Offset(2000), Offset(2000)));
}
