//! When paced bursts leave, and how long they are: `S22`, `S25`.

use super::script::*;
use crate::conn::{ConnConfig, Share, State};
use crate::{Nanos, Rate, Time, TxLimits};

fn capped(bps: u64) -> ConnConfig {
    ConnConfig { max_pacing_rate: Some(Rate::from_bps(bps)), ..plain() }
}

/// A window of 80 segments, nothing in flight, at 400 ms; the round trip is 100 ms. Only then the cap is set.
fn warm(cfg: &ConnConfig) -> Script {
    let mut s = Script::established(&ConnConfig { max_pacing_rate: None, ..cfg.clone() }, 65535);
    let mut acked = 1;
    for (ms, segments) in [(200, 10), (300, 20), (400, 40)] {
        s.write(segments * 1000);
        acked += segments * 1000;
        s.at(ms).inject(&format!(". 1:1(0) ack {acked}"));
    }
    s.ranges();
    s.conn.set_max_pacing_rate(cfg.max_pacing_rate);
    s
}

/// What was sent, as microseconds after `from` and lengths.
fn times(s: &mut Script, from: u64) -> Vec<(u64, u32)> {
    let from = Time::from_nanos(from * 1_000_000);
    s.sent.drain(..).map(|(at, burst)| (at.since(from).as_nanos() / 1000, burst.len)).collect()
}

#[test]
fn s25_segments_leave_exactly_when_the_cap_lets_them() {
    let mut s = Script::established(&capped(1_000_000), 65535);
    // A thousand bytes are 8 ms at 1 Mbit/s; the first finds an idle line.
    s.write(10_000).expect(". 1:1001(1000) ack 1");
    s.expect_at(108, ". 1001:2001(1000) ack 1");
    s.expect_at(116, ". 2001:3001(1000) ack 1");
    s.silence_until(123).expect_at(124, ". 3001:4001(1000) ack 1");
    // An ACK widens the window and changes nothing here.
    s.at(125).inject(". 1:1(0) ack 4001").silence_until(131).expect_at(132, ". 4001:5001(1000) ack 1");
    s.at(180);
    assert_eq!(s.ranges().len(), 5);
}

#[test]
fn s25_r2_does_not_run_while_the_rate_alone_holds_back_what_waits() {
    let cfg = ConnConfig { user_timeout: Nanos::from_millis(500), ..capped(8_000) };
    let mut s = Script::established(&cfg, 65535);
    // A second for each segment: twice as long as the peer may be silent.
    s.write(4000).expect(". 1:1001(1000) ack 1").at(200).inject(". 1:1(0) ack 1001");
    s.silence_until(1099).expect_at(1100, ". 1001:2001(1000) ack 1");
    s.at(1200).inject(". 1:1(0) ack 2001");
    // It is counted from when something left, and ends the connection when nobody answers.
    s.silence_until(2099).expect_at(2100, ". 2001:3001(1000) ack 1").at(2599);
    assert_ne!(s.state(), State::Closed);
    s.at(2600);
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn s25_r2_runs_while_a_window_is_probed_whatever_the_rate() {
    let cfg = ConnConfig { user_timeout: Nanos::from_millis(500), ..capped(8_000) };
    let mut s = Script::established(&cfg, 65535);
    s.write(4000).expect(". 1:1001(1000) ack 1").at(200).inject(". 1:1(0) ack 1001 win 0");
    // Nobody answers the probes.
    s.at(699);
    assert_ne!(s.state(), State::Closed);
    s.at(700);
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn s25_a_cap_that_rises_or_goes_does_not_wait_for_a_departure_at_the_old_one() {
    let changed_at_108 = |cap: Option<Rate>| {
        let mut s = Script::established(&capped(8_000), 65535);
        s.write(4000).expect(". 1:1001(1000) ack 1").at(108);
        s.conn.set_max_pacing_rate(cap);
        s.flush().at(200);
        (times(&mut s, 100), s.conn.next_timeout())
    };
    // Ten milliseconds each from now on: the first that left has had eight of them.
    let retransmission = Some(Time::ZERO + ms(400));
    let faster = changed_at_108(Some(Rate::from_bps(800_000)));
    assert_eq!(faster, (vec![(10_000, 1000), (20_000, 1000), (30_000, 1000)], retransmission));
    // Not paced at all: everything leaves, and no departure is waited for.
    let unpaced = changed_at_108(None);
    assert_eq!(unpaced, (vec![(8_000, 1000); 3], retransmission));
    // A cap that falls holds from the next burst on.
    assert_eq!(changed_at_108(Some(Rate::from_bps(8_000))).0, []);
}

#[test]
fn s25_without_a_rate_the_window_leaves_at_once() {
    let mut s = Script::established(&plain(), 65535);
    s.write(10_000);
    assert_eq!((s.ranges().len(), s.conn.stats().pacing_rate), (10, None));
}

#[test]
fn s25_a_window_is_spread_over_half_a_round_trip_and_after_a_loss_over_most_of_one() {
    let mut s = Script::established(&ConnConfig { pacing: true, ..plain() }, 65535);
    // Ten segments per 100 ms, twice.
    assert_eq!(s.conn.stats().pacing_rate, Some(Rate::from_bps(1_600_000)));
    s.write(100_000).at(199);
    assert_eq!(times(&mut s, 100), (0..10).map(|i| (5_000 * i, 1000)).collect::<Vec<_>>());
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 1");
    }
    s.at(200).inject(". 1:1(0) ack 10001");
    // The window was halved: now 1.2 times what it is.
    let stats = s.conn.stats();
    let srtt = stats.srtt.expect("a sample").as_nanos();
    let flight = s.conn.in_flight().max(stats.cwnd);
    assert_eq!(stats.pacing_rate, Rate::of(flight, Nanos::from_nanos(srtt)).map(|rate| rate.percent(120)));
}

#[test]
fn s25_a_cap_bounds_a_windows_rate() {
    let cfg = ConnConfig { pacing: true, ..capped(1_000_000) };
    let s = Script::established(&cfg, 65535);
    assert_eq!(s.conn.stats().pacing_rate, Some(Rate::from_bps(1_000_000)));
    let cfg = ConnConfig { pacing: true, ..capped(1_000_000_000) };
    let s = Script::established(&cfg, 65535);
    assert_eq!(s.conn.stats().pacing_rate, Some(Rate::from_bps(1_600_000)));
}

#[test]
fn s25_idleness_is_not_saved_up() {
    let mut s = Script::established(&capped(1_000_000), 65535);
    s.write(1000).at(200).inject(". 1:1(0) ack 1001");
    s.at(250).write(4000).at(300);
    // One segment at once, as long after the last as it is; then the rate.
    assert_eq!(
        times(&mut s, 100),
        [(0, 1000), (150_000, 1000), (158_000, 1000), (166_000, 1000), (174_000, 1000)]
    );
}

#[test]
fn s25_a_window_that_was_full_is_made_up_for_under_a_cap_and_not_at_a_controllers_rate() {
    let opened_at_60 = |cfg: &ConnConfig| {
        let mut s = Script::established(cfg, 2000);
        s.write(6000).at(160).inject(". 1:1(0) ack 1 win 6000").at(200);
        times(&mut s, 100).into_iter().map(|(us, _)| us).collect::<Vec<_>>()
    };
    // Eight milliseconds each; half of that until the average is met.
    assert_eq!(opened_at_60(&capped(1_000_000)), [0, 8_000, 60_000, 63_000, 67_000, 71_000]);
    // Half a round trip for ten segments: five milliseconds each.
    let controlled = ConnConfig { pacing: true, ..plain() };
    assert_eq!(opened_at_60(&controlled), [0, 5_000, 60_000, 65_000, 70_000, 75_000]);
}

#[test]
fn s25_retransmissions_are_held_and_counted_and_acks_are_not() {
    let mut s = Script::established(&capped(1_000_000), 65535);
    s.write(20_000).at(176);
    assert_eq!(s.ranges().len(), 10);
    // Three duplicates at 177 ms: the first segment is due again, and waits for its time.
    for _ in 0..3 {
        s.at(177).inject(". 1:1(0) ack 1");
    }
    s.nothing();
    // The peer's data is acknowledged meanwhile.
    s.inject(". 1:1001(1000) ack 1").inject(". 2001:3001(1000) ack 1").expect(". 10001:10001(0) ack 1001");
    s.silence_until(179).expect_at(180, ". 1:1001(1000) ack 1001");
    // New data after it is 8 ms later.
    s.silence_until(187);
    s.at(187).inject(". 2001:2001(0) ack 10001").nothing();
    s.expect_at(188, ". 10001:11001(1000) ack 1001");
}

#[test]
fn s25_a_tail_loss_probe_is_not_held_back_and_counts() {
    let cfg = ConnConfig { sack: true, min_rto: ms(1_000), ..capped(16_000) };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)")
        .at(100)
        .inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>")
        .expect(". 1:1(0) ack 1");
    // A thousand bytes are half a second. The probe comes before the second thousand may leave, and brings them.
    s.write(3000).expect(". 1:1001(1000) ack 1").silence_until(499);
    s.expect_at(500, ". 1001:2001(1000) ack 1");
    // Two thousand bytes after the first: a second.
    s.silence_until(1_099).expect_at(1_100, "P. 2001:3001(1000) ack 1");
}

#[test]
fn s25_what_is_refused_is_not_counted_and_what_is_only_proposed_is() {
    let mut s = Script::established(&capped(1_000_000), 65535);
    s.write_quietly(10_000, Default::default());
    let first = s.conn.poll_transmit(s.now, &PLAIN).expect("a burst");
    assert!(s.conn.poll_transmit(s.now, &PLAIN).is_none(), "the first is not committed yet");
    assert_eq!(s.conn.next_timeout(), Some(s.now + ms(8)));
    s.conn.on_refused(&first);
    s.at(103)
        .flush()
        .expect(". 1:1001(1000) ack 1")
        .silence_until(110)
        .expect_at(111, ". 1001:2001(1000) ack 1");
}

/// Sends for `time` at `bps` with a loop that comes round every `period` only, and away for `stall` in the middle;
/// returns how many bytes that is off the rate.
fn off(bps: u64, time: Nanos, period: Nanos, loop_period: Nanos, stall: Nanos) -> u64 {
    let cfg = ConnConfig { window_scale: true, initial_window: 100_000, ..capped(bps) };
    let mut s = Script::connect(&ConnConfig { send_buffer: Some(1 << 27), ..cfg });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1000,wscale 14>").expect(". 1:1(0) ack 1");
    s.limits = TxLimits { loop_period, ..TSO };
    let payload = bytes(0, 251 * 400);
    let end = s.now + time;
    let mut stalls_at = s.now + time / 2;
    while s.now < end {
        while s.conn.stats().unsent < bps / 80 + 100_000 {
            assert!(s.conn.write(payload.clone(), Default::default()).is_ok());
        }
        if s.conn.next_timeout().is_some_and(|at| at <= s.now) {
            let nxt = s.conn.marks().sent.0;
            s.conn.on_segment(s.now, parse(&format!(". 1:1(0) ack {} win 65535", (nxt + 1) as u32)));
            s.conn.on_timer(s.now);
        }
        // Three are proposed before any of them is committed.
        loop {
            let bursts: Vec<_> = (0..3).map_while(|_| s.conn.poll_transmit(s.now, &s.limits)).collect();
            bursts.iter().for_each(|burst| s.conn.on_sent(burst, s.now));
            if bursts.len() < 3 {
                break;
            }
        }
        while s.conn.pop_reclaimed().is_some() || s.conn.poll_event().is_some() {}
        s.now += period;
        if s.now >= stalls_at {
            s.now += stall;
            stalls_at = Time::MAX;
        }
    }
    s.conn.marks().sent.0.abs_diff(Rate::from_bps(bps).bytes_in(time))
}

#[test]
fn s25_the_rate_is_exact_however_slow_the_loop() {
    let us = Nanos::from_micros;
    for (bps, time) in [(10_000_000, ms(1_000)), (77_777_777, ms(300)), (10_000_000_000, ms(15))] {
        for period in [us(7), us(50), us(900), us(3_100)] {
            for loop_period in [Nanos::ZERO, period] {
                // A loop that is away for longer than a burst has to be known to be.
                if loop_period == Nanos::ZERO && period > ms(1) {
                    continue;
                }
                let off = off(bps, time, period, loop_period, Nanos::ZERO);
                // However long it goes on: a burst, and what one turn of the loop is worth.
                let bound = 65_000 + Rate::from_bps(bps).bytes_in(period);
                assert!(off <= bound, "{bps} bit/s, loop of {period}, told {loop_period}: {off} bytes off");
            }
        }
    }
}

#[test]
fn s25_the_rate_does_not_drift() {
    // A loop that is never on time: a burst is missing after a minute, no more than after a second.
    let period = Nanos::from_nanos(700_001);
    let off = off(33_333_333, Nanos::from_secs(60), period, Nanos::ZERO, Nanos::ZERO);
    assert!(off <= 8_000, "{off} bytes off");
}

#[test]
fn s25_a_late_loop_catches_up_within_bounds() {
    // Milliseconds' worth that is missing in the end: none up to a tenth of a second, then all beyond.
    let missing = |stall| off(100_000_000, ms(1_000), Nanos::from_micros(100), Nanos::ZERO, stall) / 12_500;
    assert_eq!([missing(ms(5)), missing(ms(50)), missing(ms(90))], [0, 0, 0]);
    assert_eq!(missing(ms(400)), 300);
}

#[test]
fn s25_lost_time_is_made_up_for_at_twice_the_rate() {
    let mut s = Script::established(&ConnConfig { initial_window: 60, ..capped(1_000_000) }, 65535);
    s.write_quietly(60_000, Default::default()).flush();
    // Away from 100 to 140 ms: five departures were missed.
    s.now += ms(40);
    s.conn.on_timer(s.now);
    s.flush().at(200);
    let times: Vec<_> = times(&mut s, 100).into_iter().map(|(us, _)| us).collect();
    // At 4 instead of 8 ms until the schedule is met.
    assert_eq!(
        times,
        [0, 40_000, 43_000, 47_000, 51_000, 55_000, 59_000, 63_000, 67_000, 72_000, 80_000, 88_000, 96_000]
    );
}

#[test]
fn s22_a_burst_is_a_millisecond_of_the_rate() {
    let first = |cfg: ConnConfig, limits: TxLimits| {
        let mut s = warm(&cfg);
        s.limits = limits;
        s.write(60_000);
        s.sent[0].1.len
    };
    assert_eq!(first(capped(100_000_000), TSO), 12_000);
    assert_eq!(first(capped(200_000_000), TSO), 25_000);
    let autosize = |us| ConnConfig { autosize: Nanos::from_micros(us), ..capped(100_000_000) };
    assert_eq!([first(autosize(500), TSO), first(autosize(3_000), TSO)], [6_000, 32_000]);
    // Two segments at least, half of the largest window, 64 kB, at most.
    assert_eq!([first(capped(1_000_000), TSO), first(capped(100_000_000_000), TSO)], [2_000, 32_000]);
    // No shorter than what passes while the loop is elsewhere.
    assert_eq!(first(capped(100_000_000), TxLimits { loop_period: ms(2), ..TSO }), 25_000);
    // A device that does not segment gets one segment at a time.
    assert_eq!(first(capped(100_000_000), PLAIN), 1_000);
    // Without a rate it is windows and device that decide.
    assert_eq!(first(plain(), TSO), 32_000);
}

#[test]
fn s22_bursts_are_short_where_the_round_trip_is() {
    let mut s = Script::connect(&capped(100_000_000));
    s.limits = TSO;
    s.expect("S 0:0(0)").until(Time::from_nanos(2_000_000));
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    // An eighth of 2 ms: 3125 bytes.
    s.write(10_000).expect(". 1:3001(3000) ack 1");
}

#[test]
fn s22_s25_bursts_leave_exactly_a_bursts_time_apart() {
    let mut s = warm(&capped(100_000_000));
    s.limits = TSO;
    s.write(60_000).at(405);
    assert_eq!(
        times(&mut s, 400),
        [(0, 12_000), (960, 12_000), (1_920, 12_000), (2_880, 12_000), (3_840, 12_000)]
    );
}

#[test]
fn s28_pacing_is_while_the_rate_is_used_up() {
    let mut s = Script::established(&capped(1_000_000), 65535);
    s.write(4000).at(200);
    // Four segments, at 100, 108, 116 and 124 ms; then all is under way.
    let shares = s.conn.time_shares(s.now);
    assert_eq!((shares.of(Share::Pacing), shares.of(Share::Busy)), (ms(24), ms(76)));
}
