//! Congestion controllers on the wire: `S41`.

use super::script::*;
use crate::conn::cc::ControllerKind;
use crate::conn::{ConnConfig, EcnMode};
use crate::{Nanos, Rate, TxLimits};

fn with(controller: ControllerKind) -> ConnConfig {
    ConnConfig { controller, ..plain() }
}

#[test]
fn s41_cubic_is_what_nobody_chose() {
    let stats = Script::established(&ConnConfig::default(), 65535).conn.stats();
    assert_eq!(stats.controller, ControllerKind::Cubic);
    let stats = Script::established(&plain(), 65535).conn.stats();
    assert_eq!(stats.controller, ControllerKind::NewReno);
}

#[test]
fn rfc9438_three_duplicates_leave_seven_tenths_of_the_window() {
    let mut s = Script::established(&with(ControllerKind::Cubic), 65535);
    s.write(30_000);
    assert_eq!(s.ranges().len(), 10);
    let dup = ". 1:1(0) ack 1";
    s.at(200).inject(dup).expect(". 10001:11001(1000) ack 1");
    s.inject(dup).expect(". 11001:12001(1000) ack 1");
    s.inject(dup).expect(". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (7, 7000));
    // Nine are in the pipe, of a window of seven: two more have to leave it before anything else may.
    s.inject(dup).inject(dup).nothing();
    s.inject(dup).expect(". 12001:13001(1000) ack 1").nothing();
    // The end of it: everything of then has arrived, one is in flight.
    s.at(300).inject(". 1:1(0) ack 12001");
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (2, 7000));
}

#[test]
fn rfc9438_after_a_timeout_one_segment_and_seven_tenths_as_the_goal() {
    let mut s = Script::established(&with(ControllerKind::Cubic), 65535);
    s.write(10_000);
    assert_eq!(s.ranges().len(), 10);
    s.expect_at(400, ". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (1, 7000));
    // Again for the same byte: nothing new is known.
    s.expect_at(1000, ". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (1, 7000));
    s.at(1100).inject(". 1:1(0) ack 1001");
    s.expect(". 1001:2001(1000) ack 1").expect(". 2001:3001(1000) ack 1").nothing();
}

/// Slow start over round trips of these lengths, in milliseconds, an ACK for each segment: the window after each.
fn slow_start(controller: ControllerKind, round_trips: &[u64]) -> Vec<u64> {
    let mut s = Script::established(&with(controller), 65535);
    s.write(2_000_000);
    let (mut now, mut una, mut windows) = (100, 1, vec![]);
    for rtt in round_trips {
        now += rtt;
        for _ in 0..s.conn.in_flight() / 1000 {
            una += 1000;
            s.at(now).inject(&format!(". 1:1(0) ack {una} win 65535"));
        }
        windows.push(s.cwnd());
    }
    windows
}

#[test]
fn rfc9406_round_trips_that_grow_longer_end_the_doubling() {
    let round_trips = [100, 100, 120, 120];
    // The peer's window is 65 segments.
    assert_eq!(slow_start(ControllerKind::NewReno, &round_trips), [20, 40, 80, 130]);
    // The first round that is all of long round trips begins with the third of these, two segments late: seven ACKs
    // count in full until it is noticed.
    let cubic = slow_start(ControllerKind::Cubic, &round_trips);
    assert_eq!(cubic[..3], [20, 40, 80]);
    assert!((80..100).contains(&cubic[3]), "{cubic:?}");
    assert_eq!(slow_start(ControllerKind::Cubic, &[100, 100, 110, 110]), [20, 40, 80, 130]);
}

#[test]
fn s41_a_fixed_rate_keeps_its_pace_through_a_loss() {
    // A thousand bytes in a millisecond.
    let rate = ControllerKind::Fixed(Rate::from_bps(8_000_000));
    let mut s = Script::established(&with(rate), 65535);
    assert_eq!(s.conn.stats().pacing_rate, Some(Rate::from_bps(8_000_000)));
    s.write(100_000).expect(". 1:1001(1000) ack 1");
    for i in 1..20 {
        s.expect_at(100 + i, &format!(". {}:{}(1000) ack 1", i * 1000 + 1, i * 1000 + 1001));
    }
    // Twice the initial window is out, and more follows, whatever is lost.
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 1");
    }
    s.expect_at(120, ". 1:1001(1000) ack 1");
    s.expect_at(121, ". 20001:21001(1000) ack 1");
    s.silence_until(121).expect_at(122, ". 21001:22001(1000) ack 1");
    assert_eq!(s.conn.stats().ssthresh, u64::MAX);
}

#[test]
fn s41_the_window_of_a_fixed_rate_is_the_peers() {
    let rate = ControllerKind::Fixed(Rate::from_bps(1_000_000_000_000));
    let mut s = Script::established(&ConnConfig { autosize: Nanos::from_millis(1), ..with(rate) }, 30_000);
    s.write(100_000).at(101);
    let sent = s.ranges();
    assert_eq!((sent.len(), sent.last()), (30, Some(&(29_000, 30_000))));
}

#[test]
fn rfc8257_dctcp_asks_for_ecn_and_answers_marks_by_their_share() {
    let mut s = Script::connect(&with(ControllerKind::Dctcp));
    s.expect("SEW 0:0(0)");
    s.at(100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    s.write(60_000);
    assert_eq!(s.ranges().len(), 10);
    // Nothing of the first window is marked: Alpha falls from 1 to 15/16. Slow start.
    s.at(200).inject(". 1:1(0) ack 10001");
    assert_eq!((s.cwnd(), s.ranges().len()), (20, 20));
    // A mark, the first: 20 segments less 15/32 of them. It ends slow start, and the next segment says so.
    s.at(300).inject("E. 1:1(0) ack 12001");
    let stats = s.conn.stats();
    assert_eq!((stats.ecn_reductions, stats.ssthresh), (1, 20_000 - 20_000 * 15 / 32));
    // The rest of the window is marked as well: once is enough.
    s.inject("E. 1:1(0) ack 28001");
    assert_eq!(s.conn.stats().ecn_reductions, 1);
}

#[test]
fn rfc8257_dctcp_that_may_not_ask_is_newreno() {
    let cfg = ConnConfig { ecn: EcnMode::Off, ..with(ControllerKind::Dctcp) };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)");
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    s.write(10_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject("E. 1:1(0) ack 5001");
    assert_eq!((s.cwnd(), s.conn.stats().ecn_reductions), (15, 0));
}

/// A fixed rate over a round trip of `rtt`, with a device that segments 64 KiB and a loop that comes every `period`: the
/// bursts of a millisecond, or a fifth of one at 100 Gbit/s, as nanoseconds from one to the next and bytes.
fn bursts(gigabits: u64, rtt: Nanos, period: Nanos) -> Vec<(u64, u32)> {
    let rate = Rate::from_bps(gigabits * 1_000_000_000);
    let cfg = ConnConfig {
        window_scale: true,
        send_buffer: Some(64 << 20),
        controller: ControllerKind::Fixed(rate),
        ..plain()
    };
    let mut s = Script::connect(&cfg);
    s.limits = TxLimits { loop_period: period, ..TSO };
    s.sent.clear();
    let opened = s.now + rtt;
    s.until(opened).inject("S. 0:0(0) ack 1 win 65535 <mss 1000,wscale 14>");
    // The window of a SYN is not scaled.
    s.inject(". 1:1(0) ack 1 win 65535");
    s.sent.clear();
    let span = if gigabits < 100 { Nanos::from_millis(1) } else { Nanos::from_micros(200) };
    s.write(rate.bytes_in(span * 4) as usize);
    let (from, to) = (opened + span * 2, opened + span * 3);
    match period {
        Nanos::ZERO => {
            s.until(to);
        }
        // Timers expire when the loop comes round.
        period => {
            while s.now < to {
                s.now += period;
                s.conn.on_timer(s.now);
                s.flush();
            }
        }
    }
    let sent: Vec<_> = s.sent.iter().filter(|(at, _)| (from..to).contains(at)).collect();
    sent.windows(2).map(|pair| (pair[1].0.since(pair[0].0).as_nanos(), pair[0].1.len)).collect()
}

#[test]
fn s22_s25_bursts_at_1_10_and_100_gigabits() {
    let (short, long) = (Nanos::from_micros(100), Nanos::from_millis(20));
    for (gigabits, rtt, bytes) in [
        // A tenth of a millisecond where the round trip is short: 12 of its 12.5 KB.
        (1, short, 12_000),
        // A millisecond where it is long: more than a device takes at once, 64 segments.
        (1, long, 64_000),
        (10, short, 64_000),
        (10, long, 64_000),
        (100, short, 64_000),
        (100, long, 64_000),
    ] {
        let bursts = bursts(gigabits, rtt, Nanos::ZERO);
        // A burst's time apart, but for the rounding of a nanosecond.
        let apart = u64::from(bytes) * 8 / gigabits;
        assert!(bursts.len() as u64 + 2 >= 200_000 / apart, "{gigabits} Gbit/s: {} bursts", bursts.len());
        for (time, len) in bursts {
            assert_eq!(len, bytes, "{gigabits} Gbit/s, {rtt}");
            assert!(time.abs_diff(apart) <= 1, "{gigabits} Gbit/s, {rtt}: {time} ns, not {apart}");
        }
    }
}

#[test]
fn s22_s25_at_100_gigabits_a_loop_of_20_microseconds_keeps_the_rate() {
    // 250 KB pass in a turn: several bursts leave in each, and the rate is met all the same.
    for gigabits in [1, 10, 100] {
        let period = 20_000;
        let bursts = bursts(gigabits, Nanos::from_micros(100), Nanos::from_nanos(period));
        assert!(bursts.iter().all(|(time, _)| time % period == 0));
        let time: u64 = bursts.iter().map(|(time, _)| time).sum();
        let sent: u64 = bursts.iter().map(|(_, len)| u64::from(*len)).sum();
        // But for what the first and the last turn of them send too much or too little.
        let expected = gigabits * time / 8;
        let turn = gigabits * period / 8 + 64_000;
        assert!(sent.abs_diff(expected) <= turn, "{gigabits} Gbit/s: {sent} bytes in {time} ns");
    }
}
