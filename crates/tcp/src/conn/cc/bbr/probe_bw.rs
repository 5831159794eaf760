//! ProbeBW (§5.3.3 of the draft): now and then more, to learn whether there is more, then less, so that the queue goes away,
//! and as much as is delivered in between.

use super::{Ack, AckPhase, Bbr, INFINITE, State};
use crate::conn::cc::Window;
use crate::{Nanos, Time};

impl Bbr {
    pub(super) fn start_down(&mut self, now: Time) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = INFINITE;
        self.pick_probe_wait(now);
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::Down;
    }

    pub(super) fn start_refill(&mut self) {
        self.model.reset_short();
        (self.bw_probe_up_rounds, self.bw_probe_up_acked) = (0, 0);
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::Refill;
    }

    fn start_up(&mut self, window: &Window, bw: u64) {
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw(bw);
        self.state = State::Up;
        self.raise_inflight_long_slope(window);
    }

    /// Two to three seconds, or about as many round trips as Reno needs to fill the pipe: neighbours are not to probe at
    /// the same time.
    fn pick_probe_wait(&mut self, now: Time) {
        // Nothing here is random: the low bits of the time and of what was delivered are as good.
        let dice = (now.as_nanos() ^ self.delivered).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.rounds_since_probe_up = dice & 1;
        self.bw_probe_wait = Nanos::from_secs(2) + Nanos::from_nanos((dice >> 1) % 1_000_000_000);
    }

    fn is_time_to_probe_bw(&mut self, window: &Window, now: Time) -> bool {
        // IsRenoCoexistenceProbeTime.
        let rounds = (self.target_inflight(window) / window.mss).min(63);
        let due = now > self.cycle_stamp + self.bw_probe_wait || self.rounds_since_probe_up >= rounds;
        if due {
            self.start_refill();
        }
        due
    }

    fn go_down_when_due(&mut self, window: &Window, ack: &Ack) {
        if self.is_time_to_go_down(window, ack) {
            self.prev_probe_too_high = false;
            self.start_down(ack.now);
        }
    }

    fn is_time_to_go_down(&mut self, window: &Window, ack: &Ack) -> bool {
        if self.prev_probe_too_high && ack.inflight >= self.model.inflight_long {
            self.prev_probe_precautionary = true;
            return true;
        }
        if ack.cwnd_limited && window.cwnd >= self.model.inflight_long {
            self.reset_full_bw(ack.bw);
            return false;
        }
        self.full_bw_now
    }

    pub(super) fn update_probe_bw_cycle(&mut self, window: &Window, ack: &Ack) {
        if !self.full_bw_reached || self.adapt_long_term_model(window, ack) {
            return;
        }
        match self.state {
            State::Down => {
                // By what the path was seen to deliver, not by what a loss made of it since.
                let bdp = self.model.bdp_at(self.model.max_bw()).unwrap_or(self.initial_cwnd);
                let drained = ack.inflight <= self.inflight_with_headroom(window)
                    && ack.inflight <= self.quantized(window, bdp);
                if !self.is_time_to_probe_bw(window, ack.now) && drained {
                    self.state = State::Cruise;
                }
            }
            State::Cruise => {
                self.is_time_to_probe_bw(window, ack.now);
            }
            State::Refill if self.round_start => {
                self.is_bw_probe_sample = true;
                self.start_up(window, ack.bw);
            }
            State::Up => self.go_down_when_due(window, ack),
            _ => {}
        }
    }

    /// True when it decided on a state.
    fn adapt_long_term_model(&mut self, window: &Window, ack: &Ack) -> bool {
        if self.ack_phase == AckPhase::ProbeStarting && self.round_start {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.ack_phase == AckPhase::ProbeStopping && self.round_start {
            self.is_bw_probe_sample = false;
            self.ack_phase = AckPhase::Init;
            if self.is_in_probe_bw() && !ack.app_limited {
                self.model.advance_max_bw();
            }
            if self.is_in_probe_bw() && self.prev_probe_precautionary && !self.prev_probe_too_high {
                self.start_refill();
                return true;
            }
        }
        if !self.is_too_high(ack.lost, ack.tx_in_flight) && self.model.inflight_long != INFINITE {
            self.model.inflight_long = self.model.inflight_long.max(ack.tx_in_flight);
            if self.state == State::Up {
                self.probe_inflight_long_upward(window, ack);
            }
        }
        false
    }

    fn raise_inflight_long_slope(&mut self, window: &Window) {
        let growth = 1 << self.bw_probe_up_rounds;
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
        self.probe_up_acked_per_inc = (window.cwnd / growth).max(window.mss);
    }

    fn probe_inflight_long_upward(&mut self, window: &Window, ack: &Ack) {
        if !ack.cwnd_limited || window.cwnd < self.model.inflight_long {
            return;
        }
        self.bw_probe_up_acked += ack.newly_acked;
        let steps = self.bw_probe_up_acked / self.probe_up_acked_per_inc;
        self.bw_probe_up_acked -= steps * self.probe_up_acked_per_inc;
        self.model.inflight_long = self.model.inflight_long.saturating_add(steps * window.mss);
        if self.round_start {
            self.raise_inflight_long_slope(window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::bbr::rule_tests::{MBIT, ack, at, known};

    #[test]
    fn bbr_a_probe_is_due_after_two_to_three_seconds_or_as_many_round_trips_as_reno_needs() {
        let (mut b, _) = known(State::Cruise);
        let mut odd = 0;
        let mut waits: Vec<u64> = (0..64)
            .map(|ms| {
                b.pick_probe_wait(at(ms));
                assert!(b.rounds_since_probe_up <= 1);
                odd += b.rounds_since_probe_up;
                b.bw_probe_wait.as_nanos()
            })
            .collect();
        assert!((10..=54).contains(&odd), "{odd}");
        waits.sort_unstable();
        assert!(waits[0] >= 2_000_000_000 && waits[0] < 2_200_000_000, "{waits:?}");
        assert!(waits[63] > 2_800_000_000 && waits[63] < 3_000_000_000, "{waits:?}");

        let due = |ms, rounds, cwnd| {
            let (mut b, mut window) = known(State::Cruise);
            (b.cycle_stamp, b.bw_probe_wait, b.rounds_since_probe_up) =
                (at(1000), Nanos::from_secs(2), rounds);
            window.cwnd = cwnd;
            let due = b.is_time_to_probe_bw(&window, at(ms));
            assert_eq!(b.state == State::Refill, due);
            due
        };
        assert!(!due(3000, 0, 400_000) && due(3001, 0, 400_000));
        assert!(!due(1000, 62, 400_000) && due(1000, 63, 400_000));
        assert!(!due(1000, 9, 10_000) && due(1000, 10, 10_000));
    }

    #[test]
    fn bbr_a_probe_ends_when_the_pipe_is_full_or_where_the_last_one_was_too_high() {
        let down = |change: &dyn Fn(&mut Bbr, &mut Ack)| {
            let (mut b, window) = known(State::Up);
            (b.model.inflight_long, b.full_bw_now, b.full_bw) = (500_000, true, 7);
            let mut ack = Ack { inflight: 450_000, bw: 9, ..ack(0) };
            change(&mut b, &mut ack);
            let down = b.is_time_to_go_down(&window, &ack);
            (down, b.full_bw, b.prev_probe_precautionary)
        };
        assert_eq!(down(&|_, _| {}), (true, 7, false));
        assert_eq!(down(&|b, _| b.full_bw_now = false), (false, 7, false));
        // The window is what holds it back: it has to grow first.
        assert_eq!(down(&|b, _| b.model.inflight_long = 400_000), (false, 9, false));
        assert_eq!(
            down(&|b, ack| (b.model.inflight_long, ack.cwnd_limited) = (400_000, false)),
            (true, 7, false)
        );
        // Where the last probe was too high this one stops.
        let high = |inflight| {
            down(&|b, ack| (b.prev_probe_too_high, b.full_bw_now, ack.inflight) = (true, false, inflight))
        };
        assert_eq!([high(500_000), high(499_999)], [(true, 7, true), (false, 7, false)]);

        let (mut b, window) = known(State::Up);
        (b.full_bw_now, b.prev_probe_too_high) = (true, true);
        b.go_down_when_due(&window, &ack(5));
        assert_eq!((b.state, b.prev_probe_too_high, b.cycle_stamp), (State::Down, false, at(5)));
    }

    #[test]
    fn bbr_the_cycle_goes_on_when_the_queue_is_gone_and_when_the_pipe_is_filled() {
        let state = |state, inflight, long, round_start| {
            let (mut b, window) = known(state);
            (b.bw_probe_wait, b.round_start, b.model.inflight_long) =
                (Nanos::from_secs(2), round_start, long);
            b.update_probe_bw_cycle(&window, &Ack { inflight, ..ack(0) });
            assert_eq!(b.is_bw_probe_sample, b.state == State::Up && state == State::Refill);
            b.state
        };
        assert_eq!(
            [400_000, 400_001].map(|n| state(State::Down, n, INFINITE, false)),
            [State::Cruise, State::Down]
        );
        assert_eq!(
            [255_000, 255_001].map(|n| state(State::Down, n, 300_000, false)),
            [State::Cruise, State::Down]
        );
        assert_eq!(
            [false, true].map(|round| state(State::Refill, 0, INFINITE, round)),
            [State::Refill, State::Up]
        );
        for other in [State::Startup, State::Drain, State::Cruise, State::ProbeRtt] {
            assert_eq!(state(other, 0, INFINITE, true), other);
        }
    }

    #[test]
    fn bbr_feedback_comes_a_round_trip_after_what_it_is_about() {
        let (mut b, window) = known(State::Up);
        b.ack_phase = AckPhase::ProbeStarting;
        b.adapt_long_term_model(&window, &ack(0));
        assert_eq!(b.ack_phase, AckPhase::ProbeStarting);
        b.round_start = true;
        b.adapt_long_term_model(&window, &ack(0));
        assert_eq!(b.ack_phase, AckPhase::ProbeFeedback);

        // Whether a cycle of the bandwidth filter ended, too.
        let stopped = |state, round_start, app_limited| {
            let (mut b, window) = known(state);
            (b.ack_phase, b.round_start, b.is_bw_probe_sample) = (AckPhase::ProbeStopping, round_start, true);
            b.adapt_long_term_model(&window, &Ack { app_limited, ..ack(0) });
            assert_eq!(b.is_bw_probe_sample, !round_start);
            assert_eq!(b.ack_phase == AckPhase::Init, round_start);
            b.model.update_max_bw(&Ack { bw: MBIT, ..ack(0) });
            b.model.advance_max_bw();
            b.model.max_bw() == MBIT
        };
        assert!(stopped(State::Down, true, false) && stopped(State::Cruise, true, false));
        assert!(!stopped(State::Down, false, false) && !stopped(State::Down, true, true));
        assert!(!stopped(State::ProbeRtt, true, false));

        // A probe that stopped for fear of the last one's losses is repeated when it had none.
        let again = |precautionary, too_high, state| {
            let (mut b, window) = known(state);
            (b.ack_phase, b.round_start) = (AckPhase::ProbeStopping, true);
            (b.prev_probe_precautionary, b.prev_probe_too_high) = (precautionary, too_high);
            b.adapt_long_term_model(&window, &ack(0)) && b.state == State::Refill
        };
        assert!(again(true, false, State::Down) && !again(true, true, State::Down));
        assert!(!again(false, false, State::Down) && !again(true, false, State::ProbeRtt));
    }

    #[test]
    fn bbr_what_was_in_flight_without_much_loss_fits() {
        let long = |long, lost, tx_in_flight| {
            let (mut b, window) = known(State::Cruise);
            b.model.inflight_long = long;
            b.adapt_long_term_model(&window, &Ack { lost, tx_in_flight, ..ack(0) });
            b.model.inflight_long
        };
        assert_eq!([long(300_000, 0, 310_000), long(300_000, 6200, 310_000)], [310_000; 2]);
        assert_eq!([long(300_000, 6201, 310_000), long(300_000, 0, 290_000)], [300_000; 2]);
        assert_eq!(long(INFINITE, 0, 310_000), INFINITE);
    }

    #[test]
    fn bbr_a_probe_raises_the_bound_by_more_segments_each_round_trip() {
        let (mut b, window) = known(State::Refill);
        b.start_refill();
        b.start_up(&window, 5);
        assert_eq!((b.state, b.ack_phase, b.full_bw), (State::Up, AckPhase::ProbeStarting, 5));
        // One segment for each window acknowledged, then two, four, and so on, up to all of it.
        let mut slopes = vec![b.probe_up_acked_per_inc];
        for _ in 0..40 {
            b.raise_inflight_long_slope(&window);
            slopes.push(b.probe_up_acked_per_inc);
        }
        assert_eq!(slopes[..5], [400_000, 200_000, 100_000, 50_000, 25_000]);
        assert_eq!((slopes[8], slopes[9], slopes[40], b.bw_probe_up_rounds), (1562, 1000, 1000, 30));

        let (mut b, window) = known(State::Up);
        (b.model.inflight_long, b.probe_up_acked_per_inc, b.bw_probe_up_rounds) = (400_000, 100_000, 3);
        let mut after = |newly_acked, round_start, cwnd_limited| {
            b.round_start = round_start;
            b.model.inflight_long = 400_000;
            b.probe_inflight_long_upward(&window, &Ack { newly_acked, cwnd_limited, ..ack(0) });
            (b.model.inflight_long, b.bw_probe_up_acked, b.probe_up_acked_per_inc)
        };
        assert_eq!(after(250_000, false, true), (402_000, 50_000, 100_000));
        assert_eq!(after(50_000, false, true), (401_000, 0, 100_000));
        assert_eq!(after(50_000, false, false), (400_000, 0, 100_000));
        assert_eq!(after(0, true, true), (400_000, 0, 50_000));
        b.model.inflight_long = 400_001;
        b.probe_inflight_long_upward(&window, &Ack { newly_acked: 100_000, ..ack(0) });
        assert_eq!(b.model.inflight_long, 400_001);
        // Nowhere but in Up.
        for (state, long) in [(State::Up, 402_000), (State::Cruise, 400_000)] {
            let (mut b, window) = known(state);
            (b.model.inflight_long, b.probe_up_acked_per_inc) = (400_000, 100_000);
            b.adapt_long_term_model(&window, &Ack { newly_acked: 200_000, ..ack(0) });
            assert_eq!(b.model.inflight_long, long);
        }
    }
}
