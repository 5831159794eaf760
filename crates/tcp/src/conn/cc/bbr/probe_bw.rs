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
                let drained = ack.inflight <= self.inflight_with_headroom(window)
                    && ack.inflight <= self.inflight(window, 100);
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
