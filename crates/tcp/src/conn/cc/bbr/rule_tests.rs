//! The rules of BBR one at a time, on ACKs made up for them. Those of ProbeBW stand beside it; how all of them act together
//! is in `tests.rs`.

use super::*;
use crate::conn::cc::tests as cc_tests;
use crate::conn::delivery::RateSample;

const MSS: u64 = 1000;
pub(super) const MBIT: u64 = 1_000_000;

const STATES: [State; 7] =
    [State::Startup, State::Drain, State::Down, State::Cruise, State::Refill, State::Up, State::ProbeRtt];

pub(super) fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

/// An ACK at `ms` that says nothing.
pub(super) fn ack(ms: u64) -> Ack {
    Ack {
        now: at(ms),
        newly_acked: 0,
        inflight: 0,
        cwnd_limited: true,
        rtt: None,
        delivered: 0,
        bw: 0,
        rs_delivered: 0,
        prior_delivered: None,
        tx_in_flight: 0,
        lost: 0,
        app_limited: false,
    }
}

/// It knows its path, and is in `state`: 80 Mbit/s for 40 ms are 400 segments, which is its window too.
pub(super) fn known(state: State) -> (Bbr, Window) {
    let mut window = Window { cwnd: 400 * MSS, ssthresh: u64::MAX, mss: MSS, pacing_rate: None };
    let mut bbr = Bbr::new(&mut window);
    bbr.model.update_max_bw(&Ack { bw: 80 * MBIT, ..ack(0) });
    bbr.model.min_rtt = Nanos::from_millis(40);
    (bbr.state, bbr.full_bw_reached) = (state, state != State::Startup);
    window.pacing_rate = None;
    (bbr, window)
}

#[test]
fn bbr_each_state_has_its_gains() {
    let gains = STATES.map(|state| known(state).0.gains());
    assert_eq!(gains, [(277, 200), (50, 200), (90, 200), (100, 200), (100, 200), (125, 225), (100, 50)]);
}

#[test]
fn bbr_a_round_trip_ends_when_something_is_acknowledged_that_was_sent_in_the_next() {
    let (mut b, _) = known(State::Cruise);
    let mut after = |delivered, prior_delivered| {
        b.delivered = delivered;
        b.update_round(&Ack { prior_delivered, ..ack(0) });
        (b.round_start, b.round_count, b.rounds_since_probe_up)
    };
    assert_eq!(after(10_000, Some(0)), (true, 1, 1));
    assert_eq!(after(15_000, Some(9_999)), (false, 1, 1));
    assert_eq!(after(16_000, None), (false, 1, 1));
    assert_eq!(after(20_000, Some(10_000)), (true, 2, 2));
    assert_eq!(after(25_000, Some(19_999)), (false, 2, 2));
}

#[test]
fn bbr_a_round_trip_of_losses_begins_with_the_first_of_them() {
    let (mut b, window) = known(State::Cruise);
    (b.delivered, b.loss_round_delivered) = (7000, 3000);
    b.note_loss(&window);
    b.delivered = 9000;
    b.note_loss(&window);
    let mut after = |delivered, prior_delivered| {
        b.update_latest_delivery_signals(&Ack { delivered, prior_delivered, ..ack(0) });
        (b.loss_round_start, b.loss_round_delivered)
    };
    assert_eq!(after(10_000, Some(6_999)), (false, 7000));
    assert_eq!(after(10_000, None), (false, 7000));
    assert_eq!(after(11_000, Some(7_000)), (true, 11_000));
}

#[test]
fn bbr_a_round_trip_of_losses_lowers_the_bounds_unless_it_probed() {
    let lowered = |state, start, loss| {
        let (mut b, window) = known(state);
        (b.loss_round_start, b.is_loss_in_round) = (start, loss);
        b.update_congestion_signals(&window, &ack(0));
        assert_eq!(b.is_loss_in_round, loss && !start);
        b.model.bw_short != INFINITE
    };
    // Startup, Refill and Up probe.
    let states = STATES.map(|state| lowered(state, true, true));
    assert_eq!(states, [false, true, true, true, false, false, true]);
    assert!(!lowered(State::Cruise, false, true) && !lowered(State::Cruise, true, false));
}

#[test]
fn bbr_inflight_is_too_high_beyond_two_percent_of_loss_and_without_sack_with_any() {
    let (mut b, _) = known(State::Up);
    assert!(!b.is_too_high(2000, 100_000) && b.is_too_high(2001, 100_000));
    b.sack = false;
    assert!(!b.is_too_high(0, 100_000) && b.is_too_high(1, 100_000));
}

/// 100 000 bytes were in the network, of which `lost` are, the last 2000 of them just now.
fn loss(lost: u64) -> LossSample {
    LossSample { bytes: 2000, ranges: 2, tx_in_flight: 100_000, lost, app_limited: false }
}

#[test]
fn bbr_a_probe_is_too_high_where_its_losses_cross_the_threshold() {
    let (mut b, mut window) = known(State::Refill);
    window.cwnd = 100_000;
    // Nobody probed; and two percent.
    b.handle_lost(&window, at(0), &loss(3000));
    b.is_bw_probe_sample = true;
    b.handle_lost(&window, at(0), &loss(2000));
    assert_eq!((b.lost_ranges, b.prev_probe_too_high, b.model.inflight_long), (4, false, INFINITE));
    // 1000 had been lost of 98 000: of the next n bytes all were, until 1000 + n is a fiftieth of 98 000 + n.
    b.handle_lost(&window, at(0), &loss(3000));
    assert_eq!((b.prev_probe_too_high, b.model.inflight_long), (true, 98_000 + 979));
    // Once for each probe.
    assert!(!b.is_bw_probe_sample);
    b.handle_lost(&window, at(0), &LossSample { tx_in_flight: 50_000, ..loss(3000) });
    assert_eq!((b.state, b.model.inflight_long), (State::Refill, 98_979));
    // No less than seven tenths of what the path holds.
    (b.is_bw_probe_sample, window.cwnd) = (true, 400_000);
    b.handle_lost(&window, at(0), &loss(3000));
    assert_eq!(b.model.inflight_long, 280_000);
}

#[test]
fn bbr_a_probe_that_is_too_high_ends_and_a_slow_application_proves_no_bound() {
    for (app_limited, long) in [(false, 280_000), (true, INFINITE)] {
        let (mut b, window) = known(State::Up);
        b.is_bw_probe_sample = true;
        b.handle_lost(&window, at(0), &LossSample { app_limited, ..loss(3000) });
        assert_eq!((b.state, b.undo_state, b.prev_probe_too_high), (State::Down, Some(State::Up), true));
        assert_eq!(b.model.inflight_long, long);
    }
    // A mark is a loss of what is in flight.
    let (mut b, mut window) = known(State::Up);
    b.on_ecn(&mut window, at(0), 350_000);
    assert_eq!((b.state, b.is_loss_in_round), (State::Up, true));
    b.is_bw_probe_sample = true;
    b.on_ecn(&mut window, at(0), 350_000);
    assert_eq!((b.state, b.model.inflight_long), (State::Down, 350_000));
}

#[test]
fn bbr_the_pipe_is_full_after_three_round_trips_without_a_quarter_more() {
    let (mut b, _) = known(State::Startup);
    let mut after = |mbit, round_start, app_limited| {
        b.round_start = round_start;
        b.check_full_bw_reached(&Ack { bw: mbit * MBIT, app_limited, ..ack(0) });
        (b.full_bw_count, b.full_bw_now)
    };
    assert_eq!(after(100, true, false), (0, false));
    assert_eq!(after(124, true, false), (1, false));
    assert_eq!(after(125, true, false), (0, false));
    assert_eq!(after(130, true, false), (1, false));
    // Within a round trip, of a slow application, and of nothing.
    assert_eq!([after(90, false, false), after(90, true, true), after(0, true, false)], [(1, false); 3]);
    assert_eq!(after(156, true, false), (2, false));
    assert_eq!(after(90, true, false), (3, true));
    assert_eq!(after(900, true, false), (3, true));
    assert!(b.full_bw_reached);
}

#[test]
fn bbr_six_ranges_lost_in_a_round_trip_of_recovery_end_startup() {
    let state = |change: &dyn Fn(&mut Bbr, &mut Ack)| {
        let (mut b, _) = known(State::Startup);
        (b.recovery, b.round_count, b.loss_round_start, b.lost_ranges) = (Some(3), 4, true, 6);
        b.model.inflight_latest = 410_000;
        let mut ack = Ack { lost: 2001, tx_in_flight: 100_000, ..ack(0) };
        change(&mut b, &mut ack);
        b.check_startup_done(&ack);
        let left = b.state == State::Drain;
        assert_eq!((b.full_bw_reached, b.full_bw_now, b.undo_state.is_some()), (left, left, left));
        assert_eq!(b.model.inflight_long, if left { 410_000 } else { INFINITE });
        assert_eq!(b.drain_start_round, if left { 4 } else { 0 });
        b.state
    };
    assert_eq!(state(&|_, _| {}), State::Drain);
    assert_eq!(state(&|b, _| b.round_count = 3), State::Startup);
    assert_eq!(state(&|b, _| b.recovery = None), State::Startup);
    assert_eq!(state(&|b, _| b.loss_round_start = false), State::Startup);
    assert_eq!(state(&|b, _| b.lost_ranges = 5), State::Startup);
    assert_eq!(state(&|_, ack| ack.lost = 2000), State::Startup);
    // Without SACK one will do, as soon as it is repaired.
    let crude = |recovery, ranges| {
        state(&|b, ack| {
            (b.sack, b.recovery, b.loss_round_start, b.lost_ranges) = (false, recovery, false, ranges);
            ack.lost = 0;
        })
    };
    assert_eq!([crude(Some(4), 1), crude(Some(4), 0), crude(None, 1)], {
        [State::Drain, State::Startup, State::Startup]
    });
}

#[test]
fn bbr_drain_ends_with_what_the_path_holds_or_after_three_round_trips() {
    let state = |inflight, round_count| {
        let (mut b, window) = known(State::Drain);
        (b.drain_start_round, b.round_count) = (4, round_count);
        b.check_drain_done(&window, &Ack { inflight, ..ack(0) });
        b.state
    };
    assert_eq!([state(400_000, 4), state(400_001, 7), state(400_001, 8)], {
        [State::Down, State::Drain, State::Down]
    });
}

#[test]
fn bbr_probe_rtt_lasts_200_ms_and_a_round_trip_with_little_in_flight() {
    let (mut b, mut window) = known(State::Cruise);
    (b.recovery, b.prior_cwnd, window.cwnd) = (None, 900_000, 500_000);
    b.check_probe_rtt(&mut window, &ack(0), false);
    assert_eq!(b.state, State::Cruise);
    b.check_probe_rtt(&mut window, &Ack { inflight: 200_001, delivered: 7, ..ack(0) }, true);
    assert_eq!((b.state, b.ack_phase, b.prior_cwnd), (State::ProbeRtt, AckPhase::ProbeStopping, 500_000));
    assert_eq!((b.probe_rtt_done, b.limited_until), (None, 200_008));
    window.cwnd = 200_000;
    let mut after = |ms, inflight, round_start| {
        b.round_start = round_start;
        b.check_probe_rtt(&mut window, &Ack { inflight, ..ack(ms) }, true);
        (b.state, b.probe_rtt_done, b.probe_rtt_round_done, window.cwnd)
    };
    let done = Some(at(210));
    assert_eq!(after(10, 200_000, true), (State::ProbeRtt, done, false, 200_000));
    assert_eq!(after(20, 200_000, false), (State::ProbeRtt, done, false, 200_000));
    // Time alone is not enough.
    assert_eq!(after(300, 200_000, false), (State::ProbeRtt, done, false, 200_000));
    assert_eq!(after(210, 200_000, true), (State::ProbeRtt, done, true, 200_000));
    assert_eq!(after(211, 200_000, false), (State::Cruise, done, true, 500_000));
    assert_eq!(b.model.probe_rtt_min_at, at(211));
}

#[test]
fn bbr_probe_rtt_leads_back_to_startup_and_is_not_needed_after_a_silence() {
    let (mut b, mut window) = known(State::ProbeRtt);
    (b.full_bw_reached, b.probe_rtt_done) = (false, Some(at(100)));
    b.check_probe_rtt_done(&mut window, at(100));
    assert_eq!(b.state, State::ProbeRtt);
    b.check_probe_rtt_done(&mut window, at(101));
    assert_eq!(b.state, State::Startup);
    let (mut b, mut window) = known(State::Cruise);
    b.on_start(&mut window, at(0));
    b.check_probe_rtt(&mut window, &ack(1), true);
    assert_eq!((b.state, b.idle_restart), (State::Cruise, true));
    b.check_probe_rtt(&mut window, &Ack { newly_acked: 1, ..ack(1) }, true);
    assert_eq!((b.state, b.idle_restart), (State::Cruise, false));
    // A silence ends it when it is over by then.
    let (mut b, mut window) = known(State::ProbeRtt);
    b.probe_rtt_done = Some(at(100));
    b.on_start(&mut window, at(101));
    assert_eq!(b.state, State::Cruise);
}

#[test]
fn bbr_until_the_pipe_is_full_the_rate_only_grows() {
    let rate = |state, now: Option<u64>, gain| {
        let (b, mut window) = known(state);
        window.pacing_rate = now.map(|mbit| Rate::from_bps(mbit * MBIT));
        b.set_pacing_rate(&mut window, gain);
        window.pacing_rate.map(|rate| rate.as_bps() / 1000)
    };
    // 80 Mbit/s, less one percent.
    assert_eq!(rate(State::Cruise, Some(900), 100), Some(79_200));
    assert_eq!(rate(State::Up, Some(10), 125), Some(99_000));
    assert_eq!(rate(State::Startup, Some(900), 277), Some(900_000));
    assert_eq!([rate(State::Startup, Some(10), 277), rate(State::Startup, None, 277)], [Some(219_384); 2]);
    // Nothing is known.
    let mut window = Window { cwnd: 10_000, ssthresh: u64::MAX, mss: MSS, pacing_rate: None };
    let b = Bbr::new(&mut window);
    // The initial window in a millisecond.
    assert_eq!(window.pacing_rate.map(Rate::as_bps), Some(80 * MBIT / 100 * 277));
    window.pacing_rate = None;
    b.set_pacing_rate(&mut window, 277);
    assert_eq!((window.pacing_rate, initial_rate(0, Nanos::from_millis(1))), (None, None));
}

#[test]
fn bbr_the_window_has_room_for_three_bursts_and_two_segments_to_probe_with() {
    let quantized = |mbit, mss, state, inflight| {
        let (b, mut window) = known(state);
        (window.pacing_rate, window.mss) = (Some(Rate::from_bps(mbit * MBIT)), mss);
        b.quantized(&window, inflight)
    };
    // A burst is a millisecond: 10 000 bytes.
    assert_eq!(quantized(80, MSS, State::Cruise, 29_999), 30_000);
    assert_eq!(quantized(80, MSS, State::Cruise, 30_001), 30_001);
    assert_eq!(quantized(80, MSS, State::Up, 50_000), 52_000);
    // Two segments at the least, 64 KiB at the most.
    assert_eq!(quantized(1, MSS, State::Cruise, 0), 6000);
    assert_eq!(quantized(10_000, MSS, State::Cruise, 0), 3 * 65_536);
    assert_eq!(quantized(10_000, 40_000, State::Cruise, 0), 3 * 80_000);
}

#[test]
fn bbr_the_window_grows_by_what_is_acknowledged_up_to_twice_what_the_path_holds() {
    let cwnd = |state, cwnd, delivered| {
        let (b, mut window) = known(state);
        window.cwnd = cwnd;
        b.set_cwnd(&mut window, &Ack { newly_acked: 1000, delivered, ..ack(0) });
        window.cwnd
    };
    for state in [State::Drain, State::Down, State::Cruise, State::Refill] {
        let grown = [700_000, 799_500, 900_000].map(|now| cwnd(state, now, 1 << 30));
        assert_eq!(grown, [701_000, 800_000, 800_000]);
    }
    assert_eq!(cwnd(State::Up, 1 << 30, 1 << 30), 902_000);
    // In Startup it does not shrink, and grows until the first window was delivered.
    assert_eq!([700_000, 799_999, 800_000].map(|now| cwnd(State::Startup, now, 1 << 30)), {
        [701_000, 800_999, 800_000]
    });
    let (b, _) = known(State::Startup);
    assert_eq!(cwnd(State::Startup, 800_000, b.initial_cwnd - 1), 801_000);
    assert_eq!(cwnd(State::Startup, 800_000, b.initial_cwnd), 800_000);
    // Never below four segments; in ProbeRTT half of what the path holds.
    assert_eq!(
        [cwnd(State::Cruise, 1000, 1 << 30), cwnd(State::ProbeRtt, 700_000, 1 << 30)],
        [4000, 200_000]
    );
    // ACKs that bunch up are added.
    let (mut b, mut window) = known(State::Cruise);
    b.model.update_aggregation(&Ack { newly_acked: 50_000, ..ack(1000) }, 1 << 30, false, true);
    window.cwnd = 1 << 30;
    b.set_cwnd(&mut window, &ack(0));
    assert_eq!(window.cwnd, 850_000);
}

#[test]
fn bbr_the_models_bounds_cap_the_window_with_headroom_for_others_while_it_cruises() {
    let capped = |state, long, short| {
        let (mut b, mut window) = known(state);
        (b.model.inflight_long, b.model.inflight_short) = (long, short);
        b.set_cwnd(&mut window, &ack(0));
        window.cwnd / MSS
    };
    assert_eq!(STATES.map(|state| capped(state, INFINITE, INFINITE)), [400, 400, 400, 400, 400, 400, 200]);
    assert_eq!(STATES.map(|state| capped(state, 300_000, INFINITE)), [400, 400, 300, 255, 300, 300, 200]);
    assert_eq!(STATES.map(|state| capped(state, INFINITE, 100_000)), [100; 7]);
    assert_eq!(STATES.map(|state| capped(state, INFINITE, 1000)), [4; 7]);
    let headroom = |long| {
        let (mut b, window) = known(State::Cruise);
        b.model.inflight_long = long;
        b.inflight_with_headroom(&window)
    };
    // 15 percent, a segment at the least.
    assert_eq!([headroom(100_000), headroom(6000), headroom(4500)], [85_000, 5000, 4000]);
    assert_eq!(headroom(INFINITE), INFINITE);
}

#[test]
fn bbr_a_path_that_is_not_known_holds_the_initial_window() {
    let mut window = Window { cwnd: 20_000, ssthresh: u64::MAX, mss: MSS, pacing_rate: None };
    let mut b = Bbr::new(&mut window);
    assert_eq!((b.bdp_multiple(225), b.target_inflight(&window)), (20_000, 20_000));
    b.model.min_rtt = Nanos::from_millis(8);
    b.model.update_max_bw(&Ack { bw: 8 * MBIT, ..ack(0) });
    assert_eq!((b.bdp_multiple(225), b.target_inflight(&window)), (18_000, 8000));
    // Half of it is less than four segments: these it is.
    window.mss = 2000;
    assert_eq!((b.probe_rtt_cwnd(&window), scale(150, 50), scale(99, 50), scale(1_234_567, 70)), {
        (8000, 75, 49, 864_196)
    });
    // More than the window nobody has in flight.
    window.cwnd = 5000;
    assert_eq!(b.target_inflight(&window), 5000);
}

#[test]
fn bbr_the_window_before_a_reduction_is_what_is_returned_to() {
    let saved = |state, recovery, after_rto| {
        let (mut b, window) = known(state);
        (b.recovery, b.after_rto, b.prior_cwnd) = (recovery, after_rto, 500_000);
        b.save_cwnd(&window);
        b.prior_cwnd / MSS
    };
    // What it was in the calm, or the most there was.
    assert_eq!(saved(State::Cruise, None, false), 400);
    assert_eq!(saved(State::Cruise, Some(1), false), 500);
    assert_eq!(saved(State::Cruise, None, true), 500);
    assert_eq!(saved(State::ProbeRtt, None, false), 500);
}

#[test]
fn bbr_samples_of_its_own_restraint_are_application_limited() {
    let limited = |until, rate: Option<(u64, bool)>| {
        let (mut b, _) = known(State::Cruise);
        b.limited_until = until;
        let rate = rate.map(|(prior_delivered, app_limited)| RateSample {
            delivered: 1000,
            interval: Nanos::from_millis(1),
            prior_delivered,
            app_limited,
            tx_in_flight: 5000,
            lost: 3,
        });
        let ack = b.read(&AckSample { rate, ..cc_tests::ack(1000) });
        assert_eq!((ack.bw, ack.rs_delivered), if rate.is_some() { (8 * MBIT, 1000) } else { (0, 0) });
        assert_eq!((ack.tx_in_flight, ack.lost), if rate.is_some() { (5000, 3) } else { (0, 0) });
        ack.app_limited
    };
    assert!(limited(0, None) && !limited(0, Some((0, false))) && limited(0, Some((0, true))));
    assert!(limited(9000, Some((9000, false))) && !limited(9000, Some((9001, false))));
}

#[test]
fn bbr_what_losses_changed_is_undone_when_they_were_none() {
    let undone = |was, state| {
        let (mut b, mut window) = known(state);
        (b.undo_state, b.undo) = (was, (70, 7000, 8000));
        (b.model.bw_short, b.model.inflight_short, b.model.inflight_long) = (60, 9000, 500);
        (b.recovery, b.after_rto, b.is_loss_in_round, b.full_bw_count) = (Some(1), true, true, 2);
        (b.prior_cwnd, window.cwnd) = (500_000, 4000);
        b.on_spurious(&mut window);
        let bounds = (b.model.bw_short, b.model.inflight_short, b.model.inflight_long);
        // A probe begins anew without the bounds of short term.
        assert_eq!(
            bounds,
            if b.state == State::Refill { (INFINITE, INFINITE, 8000) } else { (70, 9000, 8000) }
        );
        assert_eq!((b.recovery, b.after_rto, b.is_loss_in_round, b.full_bw_count), (None, false, false, 0));
        assert_eq!((window.cwnd, b.undo_state), (500_000, None));
        (b.state, b.full_bw_reached)
    };
    assert_eq!(undone(None, State::Down), (State::Down, true));
    assert_eq!(undone(Some(State::Startup), State::Drain), (State::Startup, false));
    assert_eq!(undone(Some(State::Startup), State::ProbeRtt), (State::ProbeRtt, false));
    assert_eq!(undone(Some(State::Up), State::Down), (State::Refill, true));
    assert_eq!(undone(Some(State::Up), State::ProbeRtt), (State::ProbeRtt, true));
}
