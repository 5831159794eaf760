//! The peer's window: closed, reopened, shrunk, a trifle (RFC 9293 §3.8.6, `S21`).

use super::script::*;
use crate::conn::ConnConfig;
use crate::{ConnErrorKind, Event, Nanos, Time};

/// The peer took 3000 bytes and closed its window; 2000 more wait.
fn closed() -> Script {
    let mut s = Script::established(&plain(), 3000);
    s.write(5000);
    assert_eq!(s.ranges().len(), 3);
    s.at(200).inject(". 1:1(0) ack 3001 win 0").nothing();
    // Two samples of 100 ms: RTTVAR 37.5.
    assert_eq!(s.conn.stats().rto, ms(250));
    s
}

#[test]
fn shld_29_shld_30_must_36_the_probes_ladder() {
    let mut s = closed();
    for t in [450, 950, 1950, 3950, 7950] {
        s.expect_at(t, ". 3001:3002(1) ack 1");
        s.inject(". 1:1(0) ack 3001 win 0");
    }
    assert_eq!((s.conn.stats().window_probes, s.conn.stats().timeouts), (5, 0));
    // SND.NXT did not move.
    assert_eq!((s.conn.marks().sent.0, s.conn.in_flight()), (3000, 0));
}

#[test]
fn must_37_an_answered_probe_keeps_the_connection_for_ever() {
    let mut s = closed();
    for _ in 0..200 {
        while s.sent.is_empty() {
            let next = s.conn.next_timeout().expect("a probe to come");
            s.until(next);
        }
        s.expect(". 3001:3002(1) ack 1").inject(". 1:1(0) ack 3001 win 0");
    }
    // 120 s between probes: hours.
    assert!(s.now.as_millis() > 20_000_000);
    assert_eq!(s.events(), [Event::Acked]);
}

#[test]
fn must_20_unanswered_probes_end_it() {
    let mut s = closed();
    s.at(400_000);
    let end = s.events().pop();
    assert!(matches!(end, Some(Event::Closed(Err(e))) if e.kind == ConnErrorKind::TimedOut), "{end:?}");
}

#[test]
fn s21_a_reopened_window_is_used_at_once() {
    let mut s = closed();
    s.expect_at(450, ". 3001:3002(1) ack 1");
    s.at(500).inject(". 1:1(0) ack 3001 win 3000");
    s.expect("P. 3001:4001(1000) ack 1").expect("P. 4001:5001(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 5001 win 3000").silence_until(10_000);
    // The ladder begins anew.
    s.write(4000);
    s.sent.clear();
    s.inject(". 1:1(0) ack 8001 win 0");
    let rto = s.conn.stats().rto;
    s.until(s.now + rto).expect(". 8001:8002(1) ack 1");
}

#[test]
fn a_probe_that_the_peer_takes_is_acknowledged() {
    let mut s = closed();
    s.expect_at(450, ". 3001:3002(1) ack 1");
    s.inject(". 1:1(0) ack 3002 win 0").nothing();
    let marks = s.conn.marks();
    assert_eq!((marks.sent.0, marks.acked.0), (3001, 3001));
    s.expect_at(950, ". 3002:3003(1) ack 1").inject(". 1:1(0) ack 3003 win 3000");
    s.expect("P. 3003:4003(1000) ack 1").expect("P. 4003:5001(998) ack 1");
    // Nothing but a probe may be acknowledged ahead of SND.NXT.
    s.inject(". 1:1(0) ack 5002").expect(". 5001:5001(0) ack 1");
}

#[test]
fn a_fin_is_probed_for_like_a_byte() {
    let mut s = Script::established(&plain(), 1000);
    s.write(1000).expect(". 1:501(500) ack 1").expect("P. 501:1001(500) ack 1").shutdown().nothing();
    s.at(200).inject(". 1:1(0) ack 1001 win 0").nothing();
    s.expect_at(450, "F. 1001:1001(0) ack 1").inject(". 1:1(0) ack 1001 win 0");
    s.expect_at(950, "F. 1001:1001(0) ack 1").inject(". 1:1(0) ack 1002 win 0");
    assert_eq!(s.events(), [Event::Acked, Event::Finished]);
    s.silence_until(400_000);
    assert_eq!(s.state(), crate::conn::State::FinWait2);
}

#[test]
fn must_38_a_trifle_of_window_is_not_used_until_the_override_timer() {
    let mut s = closed();
    s.inject(". 1:1(0) ack 3001 win 100").silence_until(449);
    s.expect_at(450, ". 3001:3101(100) ack 1").nothing();
    // Half the largest window is worth it even though it is no full segment.
    let mut s = Script::established(&plain(), 1200);
    s.write(1200).expect(". 1:601(600) ack 1").expect("P. 601:1201(600) ack 1").write(2000);
    s.inject(". 1:1(0) ack 1201 win 599").nothing();
    s.inject(". 1:1(0) ack 1201 win 600").expect(". 1201:1801(600) ack 1").nothing();
}

#[test]
fn must_38_half_of_a_tiny_window_is_worth_a_segment_when_idle() {
    let cfg = ConnConfig { no_delay: false, ..plain() };
    let mut s = Script::established(&cfg, 500);
    s.write(2000).expect("P. 1:501(500) ack 1").nothing();
    s.inject(". 1:1(0) ack 501 win 249").nothing();
    s.inject(". 1:1(0) ack 501 win 250").expect(". 501:751(250) ack 1").nothing();
    // Not idle.
    s.inject(". 1:1(0) ack 501 win 500").nothing();
}

#[test]
fn must_34_shld_15_nothing_new_leaves_into_a_shrunk_window() {
    let mut s = Script::established(&plain(), 5000);
    s.write(8000);
    assert_eq!(s.ranges().len(), 5);
    // The edge moves from 5000 to 3000, left of SND.NXT.
    s.inject(". 1:1(0) ack 1001 win 2000").nothing();
    s.inject(". 1:1(0) ack 2001 win 1000").nothing();
    // SHLD-16: what is inside of it is sent again.
    let at = s.conn.next_timeout().expect("the timer");
    s.until(at).expect(". 2001:3001(1000) ack 1").nothing();
    // SHLD-17: what is beyond is probed for, not timed out.
    let timeouts = s.conn.stats().timeouts;
    s.inject(". 1:1(0) ack 3001 win 0").nothing();
    for _ in 0..12 {
        while s.sent.is_empty() {
            let next = s.conn.next_timeout().expect("a probe to come");
            s.until(next);
        }
        s.expect(". 3001:3002(1) ack 1").inject(". 1:1(0) ack 3001 win 0");
    }
    assert_eq!((s.conn.stats().timeouts, s.conn.state()), (timeouts, crate::conn::State::Established));
    // Reopened: the timer sends again what was beyond the edge, and the probes are over.
    s.inject(". 1:1(0) ack 3001 win 5000");
    let at = s.conn.next_timeout().expect("the timer");
    s.until(at);
    assert_eq!(s.ranges().first(), Some(&(3000, 4000)));
    let probes = s.conn.stats().window_probes;
    s.until(at + ms(200_000));
    assert_eq!(s.conn.stats().window_probes, probes);
}

#[test]
fn a_window_update_that_is_older_does_not_count() {
    let mut s = Script::established(&plain(), 1000);
    s.write(3000).expect(". 1:501(500) ack 1").expect("P. 501:1001(500) ack 1");
    s.inject("P. 1:11(10) ack 1001 win 0").nothing();
    // Reordered: sent before the text above.
    s.inject(". 1:1(0) ack 1001 win 1000").expect(". 1001:1001(0) ack 11").nothing();
    assert_eq!(s.conn.stats().send_window, 0);
    // The same with text that is partly new.
    s.inject(". 11:11(0) ack 1001 win 0");
    s.inject("P. 5:21(16) ack 1001 win 1000").expect(". 1001:1001(0) ack 21").nothing();
    assert_eq!(s.conn.stats().send_window, 0);
    s.inject(". 21:21(0) ack 1001 win 1000");
    assert_eq!(s.ranges(), [(1000, 1500), (1500, 2000)]);
}

#[test]
fn must_34_an_acknowledgement_of_everything_after_a_shrink() {
    let cfg = ConnConfig { min_rto: Nanos::from_millis(200), ..plain() };
    let mut s = Script::established(&cfg, 4000);
    s.write(6000);
    s.sent.clear();
    s.inject(". 1:1(0) ack 1 win 0").nothing();
    s.inject(". 1:1(0) ack 4001 win 0").nothing();
    s.inject(". 1:1(0) ack 4001 win 4000");
    assert_eq!(s.ranges(), [(4000, 5000), (5000, 6000)]);
}

#[test]
fn s21_a_shrunk_window_closed_for_an_hour_and_reopened_by_a_byte() {
    let mut s = Script::established(&plain(), 5000);
    s.write(8000);
    assert_eq!(s.ranges().len(), 5);
    // The edge moves from 5000 to 3000, left of SND.NXT; then the window closes there.
    s.at(200).inject(". 1:1(0) ack 1001 win 2000").nothing();
    s.inject(". 1:1(0) ack 3001 win 0").nothing();
    // Three samples of 100 ms: RTTVAR 28.125.
    let rto = Nanos::from_micros(212_500);
    assert_eq!(s.conn.stats().rto, rto);
    // One probe after the timeout, then twice as long each time, up to 120 s. The peer answers each.
    let (mut at, mut wait, mut ladder) = (s.now, rto, Vec::new());
    let hour = Time::from_nanos(3_600_000_000_000);
    while at + wait <= hour {
        at += wait;
        s.until(at).expect(". 3001:3002(1) ack 1").nothing();
        s.until(at + ms(50)).inject(". 1:1(0) ack 3001 win 0").nothing();
        ladder.push(wait);
        wait = (wait * 2).min(ms(120_000));
    }
    let doubling = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map(|n| rto * n);
    assert_eq!((&ladder[..10], ladder[10]), (&doubling[..], ms(120_000)));
    assert_eq!(s.conn.stats().window_probes, ladder.len() as u64);
    assert_eq!((s.conn.stats().timeouts, s.conn.marks().sent.0, s.conn.in_flight()), (0, 5000, 2000));
    s.until(hour).nothing();
    // A byte of window is not worth a segment: nothing leaves before the override timer, and then that byte.
    for n in 0..3 {
        s.inject(&format!(". 1:1(0) ack {} win 1", 3001 + n)).nothing();
        let before = s.now.as_millis();
        let next = s.conn.next_timeout().expect("the override timer");
        s.until(next).expect(&format!(". {}:{}(1) ack 1", 3001 + n, 3002 + n)).nothing();
        assert!(s.now.as_millis() - before >= 200, "a byte at {:?}", s.now);
        s.at(s.now.as_millis() + 50);
    }
    // As soon as there is room for a segment one leaves.
    s.inject(". 1:1(0) ack 3004 win 999").nothing();
    s.inject(". 1:1(0) ack 3004 win 1000");
    assert_eq!(s.ranges(), [(3003, 4003)]);
    s.inject(". 1:1(0) ack 4004 win 5000");
    let mut end = 4003;
    while s.conn.marks().acked.0 < 8000 {
        for (start, to) in s.ranges() {
            assert_eq!(start, end);
            assert!(to - start == 1000 || [5000, 8000].contains(&to), "{start}..{to}");
            end = to;
        }
        s.inject(&format!(". 1:1(0) ack {} win 5000", end + 1));
    }
}
