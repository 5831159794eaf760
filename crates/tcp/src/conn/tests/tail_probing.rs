//! Tail loss probes: RFC 8985 §7 (`S38`).

use super::script::*;
use crate::conn::ConnConfig;
use crate::conn::timers::Timer;
use crate::{Nanos, Offset, Time};

/// Established at 100 ms with a peer that knows SACK; SRTT is 100 ms, the timeout 300 ms.
fn established(cfg: &ConnConfig) -> Script {
    let mut s = Script::connect(cfg);
    s.expect("S 0:0(0)").at(100);
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>").expect(". 1:1(0) ack 1");
    s
}

fn sack() -> ConnConfig {
    ConnConfig { sack: true, ..plain() }
}

#[test]
fn s38_the_newest_segment_leaves_again_after_two_round_trips() {
    let mut s = established(&sack());
    s.write(3000);
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000), (2000, 3000)]);
    s.silence_until(301).expect_at(302, "P. 2001:3001(1000) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.cwnd()), (1, 10));
    // One probe, then the timeout, counted from the probe.
    s.silence_until(601).expect_at(602, ". 1:1001(1000) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().timeouts), (1, 1));
}

#[test]
fn s38_there_is_one_probe_at_a_time() {
    let mut s = established(&sack());
    s.write(3000).sent.clear();
    s.expect_at(302, "P. 2001:3001(1000) ack 1");
    // New data begins no wait for another; the timer counts from the probe.
    s.at(310).write(2000);
    assert_eq!(s.ranges(), [(3000, 4000), (4000, 5000)]);
    s.silence_until(601).expect_at(602, ". 1:1001(1000) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().timeouts), (1, 1));
}

#[test]
fn s38_new_data_is_the_better_probe_and_passes_a_full_cwnd() {
    let mut s = established(&ConnConfig { initial_window: 2, ..sack() });
    s.write(5000);
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000)]);
    s.silence_until(301).expect_at(302, ". 2001:3001(1000) ack 1").nothing();
    assert_eq!(s.conn.in_flight(), 3000);
    // Acknowledged: no harm was done, and the next flight has a probe of its own.
    s.at(310).inject(". 1:1(0) ack 3001");
    s.sent.clear();
    s.at(800);
    assert_eq!((s.conn.stats().tail_probes, s.cwnd()), (2, 5));
}

#[test]
fn s38_a_single_segment_waits_for_a_delayed_ack_too() {
    let mut s = established(&sack());
    s.write(100).expect("P. 1:101(100) ack 1");
    // 2 · 100 + 200 ms is beyond the timeout of 300 ms: that comes first.
    s.silence_until(399).expect_at(400, "P. 1:101(100) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().timeouts), (0, 1));
    // Where the timeout is longer the probe leaves then.
    let mut s = established(&ConnConfig { min_rto: Nanos::from_secs(1), ..sack() });
    s.write(100).expect("P. 1:101(100) ack 1").silence_until(499).expect_at(500, "P. 1:101(100) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().timeouts), (1, 0));
}

#[test]
fn s38_less_than_two_full_segments_wait_for_a_delayed_ack_too() {
    // RFC 9293 §3.8.6.3 lets a receiver wait for a second full segment.
    let mut s = established(&sack());
    s.write(1500);
    assert_eq!(s.ranges(), [(0, 1000), (1000, 1500)]);
    s.silence_until(399).expect_at(400, ". 1:1001(1000) ack 1");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().timeouts), (0, 1));
}

#[test]
fn s38_no_probe_leaves_within_two_milliseconds_however_short_the_round_trip() {
    let us = |n: u64| Time::ZERO + Nanos::from_micros(n);
    let mut s = Script::connect(&sack());
    s.expect("S 0:0(0)").until(us(50)).inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>");
    s.expect(". 1:1(0) ack 1").write(3000);
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000), (2000, 3000)]);
    // Left at 50 us; two round trips are 100 us.
    s.until(us(2_149)).nothing().until(us(2_150)).expect("P. 2001:3001(1000) ack 1");
}

#[test]
fn s38_a_fin_alone_is_probed_with() {
    let mut s = established(&sack());
    s.write(3000).shutdown();
    s.sent.clear();
    s.silence_until(301).expect_at(302, "F. 3001:3001(0) ack 1");
    s.inject(". 1:1(0) ack 3002").silence_until(2000);
}

#[test]
fn s38_a_loss_that_the_probe_repaired_unseen_halves_the_window() {
    let mut s = established(&sack());
    s.write(3000).at(302).sent.clear();
    s.at(350).inject(". 1:1(0) ack 3001");
    assert_eq!(s.conn.stats().ssthresh, u64::MAX);
    // Beyond the probe, and nothing said that it arrived twice: one of the two was lost.
    s.write(1000).at(420).inject(". 1:1(0) ack 4001");
    assert_ne!(s.conn.stats().ssthresh, u64::MAX);
    // The peer got it twice (RFC 2883).
    let mut s = established(&sack());
    s.write(3000).at(302).sent.clear();
    s.inject(". 1:1(0) ack 3001 <sack 2001:3001>");
    s.write(1000).inject(". 1:1(0) ack 4001");
    assert_eq!((s.conn.stats().tail_probes, s.conn.stats().ssthresh), (1, u64::MAX));
}

#[test]
fn s38_no_probe_without_sack_or_when_it_is_turned_off() {
    for (cfg, options) in
        [(sack(), "<mss 1000>"), (ConnConfig { tail_loss_probe: false, ..sack() }, "<mss 1000,sackOK>")]
    {
        let mut s = Script::connect(&cfg);
        s.at(100).inject(&format!("S. 0:0(0) ack 1 win 65535 {options}")).write(3000).sent.clear();
        s.silence_until(399).expect_at(400, ". 1:1001(1000) ack 1");
    }
}

/// Three segments are out, nothing is known of them, and no timer but that of retransmission runs.
fn three_out(change: impl Fn(&mut Script)) -> Script {
    let mut s = established(&sack());
    s.write(3000).sent.clear();
    s.conn.timers.stop(Timer::TailProbe);
    change(&mut s);
    s
}

#[test]
fn s38_nobody_waits_for_a_probe_while_losses_are_repaired_or_looked_for() {
    let waits = |change: &dyn Fn(&mut Script)| {
        let mut s = three_out(change);
        s.conn.schedule_tail_probe(s.now);
        s.conn.timers.is_armed(Timer::TailProbe)
    };
    assert!(waits(&|_| {}));
    assert!(!waits(&|s| s.conn.cfg.tail_loss_probe = false));
    assert!(!waits(&|s| s.conn.peer.sack = false));
    assert!(!waits(&|s| s.conn.tail_probe.on_sent(Offset(3000), true)));
    assert!(!waits(&|s| s.conn.on_tail_probe_timer()));
    assert!(!waits(&|s| {
        s.conn.recovery.on_lost(Offset(0), Offset(3000));
    }));
    assert!(!waits(&|s| s.conn.flight.clear()));
    assert!(!waits(&|s| s.conn.flight.mark_first_lost(1000)));
    assert!(!waits(&|s| {
        s.inject(". 1:1(0) ack 1 <sack 2001:3001>");
    }));
    // What was waited for before, too.
    let mut s = three_out(|_| {});
    s.conn.schedule_tail_probe(s.now);
    s.conn.flight.mark_first_lost(1000);
    s.conn.schedule_tail_probe(s.now);
    assert!(!s.conn.timers.is_armed(Timer::TailProbe));
}

#[test]
fn s38_no_probe_is_due_while_losses_are_repaired_or_nothing_is_out() {
    let due = |change: &dyn Fn(&mut Script)| {
        let mut s = three_out(change);
        s.conn.on_tail_probe_timer();
        s.conn.tail_probe.is_due()
    };
    assert!(due(&|_| {}));
    assert!(!due(&|s| {
        s.conn.recovery.on_timeout(Offset(0), Offset(3000));
    }));
    assert!(!due(&|s| s.conn.flight.clear()));
    assert!(!due(&|s| s.conn.flight.mark_first_lost(1000)));
    assert!(!due(&|s| {
        s.abort();
    }));
}
