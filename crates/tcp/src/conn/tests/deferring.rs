//! Bursts that wait to become longer: `S22`.

use super::script::*;
use crate::conn::ConnConfig;
use crate::{Nanos, Time};

fn us(n: u64) -> Time {
    Time::ZERO + Nanos::from_micros(n)
}

/// Ten segments left at 100 ms as two bursts, 90 wait. At 200 ms the first is acknowledged: two leave.
fn acked_one(cfg: &ConnConfig) -> Script {
    let mut s = Script::established(cfg, 65535);
    s.limits = TSO;
    s.write(100_000).expect(". 1:5001(5000) ack 1").expect(". 5001:10001(5000) ack 1").nothing();
    s.at(200).inject(". 1:1(0) ack 1001").expect(". 10001:12001(2000) ack 1").nothing();
    s
}

#[test]
fn s22_a_burst_waits_for_the_acks_that_follow() {
    let mut s = acked_one(&plain());
    // Room for two of the five segments a burst may have: the ACKs behind this one will make it more.
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").nothing();
    assert_eq!((s.conn.stats().deferrals, s.conn.next_timeout()), (1, Some(us(201_000))));
    s.until(us(200_200)).inject(". 1:1(0) ack 3001").nothing();
    // Six are more than a third of the window: they leave as one.
    s.until(us(200_300)).inject(". 1:1(0) ack 4001").expect(". 12001:18001(6000) ack 1").nothing();
    assert_eq!(s.conn.stats().deferrals, 1);
}

#[test]
fn s22_a_wait_that_an_ack_ended_leaves_no_timer_behind() {
    let mut s = acked_one(&plain());
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").nothing();
    assert_eq!(s.conn.next_timeout(), Some(us(201_000)));
    s.until(us(200_200)).inject(". 1:1(0) ack 4001").expect(". 12001:18001(6000) ack 1");
    // What is armed is the retransmission timer.
    s.ranges();
    assert!(s.conn.next_timeout() > Some(us(400_000)), "{:?}", s.conn.next_timeout());
}

#[test]
fn s22_waiting_ends_after_a_millisecond_whatever_comes() {
    let mut s = acked_one(&plain());
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").nothing();
    s.until(us(200_999)).nothing();
    s.until(us(201_000)).expect(". 12001:14001(2000) ack 1");
}

#[test]
fn s22_off_or_without_tso_nothing_waits() {
    let mut s = acked_one(&ConnConfig { tso_defer: false, ..plain() });
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").expect(". 12001:14001(2000) ack 1");
    let mut s = acked_one(&plain());
    s.limits = PLAIN;
    s.until(us(200_100)).inject(". 1:1(0) ack 2001");
    assert_eq!((s.ranges().len(), s.conn.stats().deferrals), (2, 0));
    // Nor where bursts are long but cut by the caller, the device segmenting none of this MSS.
    let mut s = acked_one(&plain());
    s.limits.cut_below_mss = 1001;
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").expect(". 12001:14001(2000) ack 1");
    assert_eq!(s.conn.stats().deferrals, 0);
}

#[test]
fn s22_the_last_of_the_queue_does_not_wait() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(13_500).at(200).inject(". 1:1(0) ack 1001");
    s.ranges();
    s.until(us(200_100)).inject(". 1:1(0) ack 2001").expect("P. 12001:13501(1500) ack 1");
}

#[test]
fn s22_nothing_waits_while_acks_are_far_away() {
    let mut s = Script::established(&ConnConfig { initial_window: 40, ..plain() }, 10_000);
    s.limits = TSO;
    s.write(100_000);
    assert_eq!(s.ranges(), [(0, 5_000), (5_000, 10_000)]);
    // The window opens by little and little; what left first has been away for a tenth of a round trip.
    s.at(110).inject(". 1:1(0) ack 1001 win 10000").expect(". 10001:11001(1000) ack 1");
    s.until(us(110_100)).inject(". 1:1(0) ack 2001 win 10000").expect(". 11001:12001(1000) ack 1");
    // The same when it is due.
    s.at(160).inject(". 1:1(0) ack 3001 win 10000").expect(". 12001:13001(1000) ack 1");
    s.until(us(160_100)).inject(". 1:1(0) ack 4001 win 10000").nothing();
    s.until(us(160_200)).inject(". 1:1(0) ack 5001 win 10000").nothing();
    s.until(us(161_000)).expect(". 13001:15001(2000) ack 1");
}

#[test]
fn s22_nothing_waits_in_recovery() {
    let mut s = acked_one(&plain());
    for _ in 0..3 {
        s.until(us(200_100)).inject(". 1:1(0) ack 1001");
    }
    // Limited transmit, then the repair.
    assert_eq!(s.ranges(), [(12_000, 13_000), (13_000, 14_000), (1_000, 2_000)]);
    assert_eq!(s.conn.stats().deferrals, 0);
}
