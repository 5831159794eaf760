//! BBRv3 (draft-ietf-ccwg-bbr, as of its version 06): the rate is what the path was seen to deliver, and the window what
//! it holds at that rate. Loss bounds both; it is not what they are found by.
//!
//! The names are the draft's. What is left to implementations: the windowed filters have two slots each (`model.rs`), as in
//! Linux; losses are looked at once for each ACK and not for each packet; the dice of PickProbeWait are the bits of the
//! time; and a mark of congestion counts as a loss of its round trip, where the draft says nothing.

mod model;
mod probe_bw;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;

use self::model::{BETA, Model};
use super::{AckSample, Controller, LossSample, Window};
use crate::{Nanos, Rate, Time};

/// No bound.
const INFINITE: u64 = u64::MAX;

/// BBR.StartupPacingGain, percent, as are the other gains.
const STARTUP_PACING_GAIN: u64 = 277;
const DRAIN_PACING_GAIN: u64 = 50;
const DEFAULT_CWND_GAIN: u64 = 200;
const UP_CWND_GAIN: u64 = 225;
const PROBE_RTT_CWND_GAIN: u64 = 50;
/// BBR.PacingMarginPercent is 1.
const PACING_MARGIN: u64 = 99;
/// BBR.Headroom.
const HEADROOM: u64 = 15;
/// BBR.LossThresh: 2 percent is one in fifty.
const LOSS_THRESH: u64 = 50;
/// Lost ranges of a round trip that end Startup.
const STARTUP_FULL_LOSS_COUNT: u32 = 6;
/// BBR.MinPipeCwnd, segments.
const MIN_PIPE: u64 = 4;
const PROBE_RTT_DURATION: Nanos = Nanos::from_millis(200);
/// C.send_quantum, at most.
const LARGEST_QUANTUM: u64 = 64 << 10;

/// BBR.state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// BBR.ack_phase: what ACKs say of the bandwidth that is probed for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// The parts of an ACK that the model is made of: C and RS of the draft.
struct Ack {
    now: Time,
    newly_acked: u64,
    /// C.inflight.
    inflight: u64,
    cwnd_limited: bool,
    rtt: Option<Nanos>,
    /// C.delivered.
    delivered: u64,
    /// RS.delivery_rate, 0 where none was measured.
    bw: u64,
    rs_delivered: u64,
    /// RS.prior_delivered, if it is known.
    prior_delivered: Option<u64>,
    tx_in_flight: u64,
    lost: u64,
    app_limited: bool,
}

/// BBRv3.
#[derive(Clone, Debug)]
pub(super) struct Bbr {
    state: State,
    ack_phase: AckPhase,
    model: Model,
    initial_cwnd: u64,
    /// The pacing rate rests on a round trip that was measured.
    has_seen_rtt: bool,
    /// C.has_selective_acks.
    sack: bool,
    /// Of the newest ACK.
    delivered: u64,

    round_count: u64,
    next_round_delivered: u64,
    round_start: bool,

    full_bw_reached: bool,
    full_bw_now: bool,
    full_bw: u64,
    full_bw_count: u32,
    drain_start_round: u64,

    loss_round_delivered: u64,
    loss_round_start: bool,
    is_loss_in_round: bool,
    /// Ranges lost in this round trip.
    lost_ranges: u32,

    is_bw_probe_sample: bool,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    probe_up_acked_per_inc: u64,
    bw_probe_up_acked: u64,
    bw_probe_up_rounds: u32,
    rounds_since_probe_up: u64,
    bw_probe_wait: Nanos,
    cycle_stamp: Time,

    idle_restart: bool,
    probe_rtt_done: Option<Time>,
    probe_rtt_round_done: bool,
    /// What leaves in ProbeRTT is limited by that: its samples end with this much delivered.
    limited_until: u64,

    /// The round trip in which the recovery began that is not over.
    recovery: Option<u64>,
    after_rto: bool,
    prior_cwnd: u64,
    /// The state that losses ended, the bandwidth and the inflights before them.
    undo_state: Option<State>,
    undo: (u64, u64, u64),
}

impl Bbr {
    /// Begins in Startup.
    pub(super) fn new(window: &mut Window) -> Bbr {
        window.pacing_rate = initial_rate(window.cwnd, Nanos::from_millis(1));
        Bbr {
            state: State::Startup,
            ack_phase: AckPhase::Init,
            model: Model::new(),
            initial_cwnd: window.cwnd,
            has_seen_rtt: false,
            sack: true,
            delivered: 0,
            round_count: 0,
            next_round_delivered: 0,
            round_start: false,
            full_bw_reached: false,
            full_bw_now: false,
            full_bw: 0,
            full_bw_count: 0,
            drain_start_round: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            is_loss_in_round: false,
            lost_ranges: 0,
            is_bw_probe_sample: false,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            probe_up_acked_per_inc: INFINITE,
            bw_probe_up_acked: 0,
            bw_probe_up_rounds: 0,
            rounds_since_probe_up: 0,
            bw_probe_wait: Nanos::ZERO,
            cycle_stamp: Time::ZERO,
            idle_restart: false,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            limited_until: 0,
            recovery: None,
            after_rto: false,
            prior_cwnd: 0,
            undo_state: None,
            undo: (INFINITE, INFINITE, INFINITE),
        }
    }

    fn is_in_probe_bw(&self) -> bool {
        matches!(self.state, State::Down | State::Cruise | State::Refill | State::Up)
    }

    fn is_probing_bw(&self) -> bool {
        matches!(self.state, State::Startup | State::Refill | State::Up)
    }

    /// The gains of each state, pacing and cwnd (§5.6.1).
    fn gains(&self) -> (u64, u64) {
        match self.state {
            State::Startup => (STARTUP_PACING_GAIN, DEFAULT_CWND_GAIN),
            State::Drain => (DRAIN_PACING_GAIN, DEFAULT_CWND_GAIN),
            State::Down => (90, DEFAULT_CWND_GAIN),
            State::Cruise | State::Refill => (100, DEFAULT_CWND_GAIN),
            State::Up => (125, UP_CWND_GAIN),
            State::ProbeRtt => (100, PROBE_RTT_CWND_GAIN),
        }
    }

    // Round trips (§5.5.1).

    fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    fn update_round(&mut self, ack: &Ack) {
        self.round_start = ack.prior_delivered.is_some_and(|prior| prior >= self.next_round_delivered);
        if self.round_start {
            self.start_round();
            self.round_count += 1;
            self.rounds_since_probe_up += 1;
        }
    }

    // Signals of congestion (§5.5.10).

    fn update_latest_delivery_signals(&mut self, ack: &Ack) {
        self.model.update_latest(ack);
        self.loss_round_start = ack.prior_delivered.is_some_and(|prior| prior >= self.loss_round_delivered);
        if self.loss_round_start {
            self.loss_round_delivered = ack.delivered;
        }
    }

    fn update_congestion_signals(&mut self, window: &Window, ack: &Ack) {
        self.update_round(ack);
        self.model.update_max_bw(ack);
        if self.loss_round_start && self.is_loss_in_round {
            if !self.is_probing_bw() {
                self.model.lower_bounds(window.cwnd);
            }
            self.is_loss_in_round = false;
        }
    }

    fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.model.reset_latest();
    }

    fn note_loss(&mut self, window: &Window) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = self.delivered;
            self.save_state_upon_loss(window);
        }
        self.is_loss_in_round = true;
    }

    /// HandleLostPacket, for what was found lost since the last ACK.
    fn handle_lost(&mut self, window: &Window, now: Time, loss: &LossSample) {
        self.note_loss(window);
        self.lost_ranges = self.lost_ranges.saturating_add(loss.ranges);
        if !self.is_bw_probe_sample || !self.is_too_high(loss.lost, loss.tx_in_flight) {
            return;
        }
        // InflightAtLoss: at which part of what was lost did losses cross the threshold?
        let inflight_prev = loss.tx_in_flight.saturating_sub(loss.bytes);
        let lost_prev = loss.lost.saturating_sub(loss.bytes);
        let prefix =
            (inflight_prev / LOSS_THRESH).saturating_sub(lost_prev) * LOSS_THRESH / (LOSS_THRESH - 1);
        self.handle_inflight_too_high(window, now, inflight_prev + prefix, loss.app_limited);
    }

    fn handle_inflight_too_high(&mut self, window: &Window, now: Time, inflight: u64, app_limited: bool) {
        self.prev_probe_too_high = true;
        // Once for each probe.
        self.is_bw_probe_sample = false;
        if !app_limited {
            self.model.inflight_long = inflight.max(scale(self.target_inflight(window), BETA));
        }
        if self.state == State::Up {
            self.undo_state = Some(State::Up);
            self.start_down(now);
        }
    }

    /// IsInflightTooHigh.
    fn is_too_high(&self, lost: u64, tx_in_flight: u64) -> bool {
        lost * LOSS_THRESH > tx_in_flight || (lost > 0 && !self.sack)
    }

    /// TargetInflight.
    fn target_inflight(&self, window: &Window) -> u64 {
        self.model.bdp().unwrap_or(window.cwnd).min(window.cwnd)
    }

    // Startup and Drain (§5.3.1, §5.3.2).

    fn reset_full_bw(&mut self, bw: u64) {
        (self.full_bw, self.full_bw_count, self.full_bw_now) = (bw, 0, false);
    }

    fn check_full_bw_reached(&mut self, ack: &Ack) {
        if self.full_bw_now || !self.round_start || ack.app_limited || ack.bw == 0 {
            return;
        }
        if ack.bw >= self.full_bw.saturating_add(self.full_bw / 4) {
            return self.reset_full_bw(ack.bw);
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= 3;
        self.full_bw_reached |= self.full_bw_now;
    }

    fn check_startup_done(&mut self, ack: &Ack) {
        if self.state != State::Startup {
            return;
        }
        let round_of_recovery = self.recovery.is_some_and(|began| self.round_count > began);
        let heavy = self.loss_round_start
            && round_of_recovery
            && self.lost_ranges >= STARTUP_FULL_LOSS_COUNT
            && self.is_too_high(ack.lost, ack.tx_in_flight);
        // Without SACK a round trip shows one loss at the most: any is as good as six.
        if heavy || (!self.sack && self.recovery.is_some() && self.lost_ranges > 0) {
            self.undo_state = Some(State::Startup);
            (self.full_bw_reached, self.full_bw_now) = (true, true);
            self.model.inflight_long = self.model.bdp().unwrap_or(0).max(self.model.inflight_latest);
        }
        if self.full_bw_reached {
            self.state = State::Drain;
            self.drain_start_round = self.round_count;
        }
    }

    fn check_drain_done(&mut self, window: &Window, ack: &Ack) {
        if self.state == State::Drain
            && (ack.inflight <= self.inflight(window, 100) || self.round_count > self.drain_start_round + 3)
        {
            self.start_down(ack.now);
        }
    }

    // ProbeRTT (§5.3.4).

    fn check_probe_rtt(&mut self, window: &mut Window, ack: &Ack, expired: bool) {
        if self.state != State::ProbeRtt && expired && !self.idle_restart {
            self.save_cwnd(window);
            self.state = State::ProbeRtt;
            self.probe_rtt_done = None;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            // MarkConnectionAppLimited.
            self.limited_until = (ack.delivered + ack.inflight).max(1);
            if self.probe_rtt_done.is_none() && ack.inflight <= self.probe_rtt_cwnd(window) {
                self.probe_rtt_done = Some(ack.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.start_round();
            } else if self.probe_rtt_done.is_some() {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(window, ack.now);
                }
            }
        }
        if ack.newly_acked > 0 {
            self.idle_restart = false;
        }
    }

    fn check_probe_rtt_done(&mut self, window: &mut Window, now: Time) {
        if self.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.model.probe_rtt_min_at = now;
        self.restore_cwnd(window);
        // ExitProbeRTT.
        self.model.reset_short();
        if self.full_bw_reached {
            self.start_down(now);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }

    // Pacing rate and cwnd (§5.6).

    /// InitPacingRate, once a round trip was measured.
    fn init_pacing_rate(&mut self, window: &mut Window, srtt: Nanos) {
        if !self.has_seen_rtt {
            self.has_seen_rtt = true;
            window.pacing_rate = initial_rate(self.initial_cwnd, srtt).or(window.pacing_rate);
        }
    }

    fn set_pacing_rate(&self, window: &mut Window, gain: u64) {
        let bw = self.model.bw();
        if bw == 0 {
            return;
        }
        let rate = Rate::from_bps(bw).percent(gain).percent(PACING_MARGIN);
        if self.full_bw_reached || window.pacing_rate.is_none_or(|now| rate > now) {
            window.pacing_rate = Some(rate);
        }
    }

    fn set_cwnd(&self, window: &mut Window, ack: &Ack) {
        let max_inflight =
            self.quantized(window, self.bdp_multiple(self.gains().1) + self.model.extra_acked());
        let grown = window.cwnd.saturating_add(ack.newly_acked);
        if self.full_bw_reached {
            window.cwnd = grown.min(max_inflight);
        } else if window.cwnd < max_inflight || ack.delivered < self.initial_cwnd {
            window.cwnd = grown;
        }
        window.cwnd = window.cwnd.max(MIN_PIPE * window.mss);
        if self.state == State::ProbeRtt {
            window.cwnd = window.cwnd.min(self.probe_rtt_cwnd(window));
        }
        // BoundCwndForModel.
        let cap = match self.state {
            State::Down | State::Refill | State::Up => self.model.inflight_long,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(window),
            State::Startup | State::Drain => INFINITE,
        };
        let cap = cap.min(self.model.inflight_short).max(MIN_PIPE * window.mss);
        window.cwnd = window.cwnd.min(cap);
    }

    fn bdp_multiple(&self, gain: u64) -> u64 {
        self.model.bdp().map_or(self.initial_cwnd, |bdp| scale(bdp, gain))
    }

    /// QuantizationBudget.
    fn quantized(&self, window: &Window, inflight: u64) -> u64 {
        // SetSendQuantum, UpdateOffloadBudget.
        let quantum = window.pacing_rate.map_or(0, |rate| rate.bytes_in(Nanos::from_millis(1)));
        let quantum = quantum.clamp(2 * window.mss, LARGEST_QUANTUM.max(2 * window.mss));
        let up = if self.state == State::Up { 2 * window.mss } else { 0 };
        // Three bursts are six segments at least: more than BBR.MinPipeCwnd.
        inflight.max(3 * quantum) + up
    }

    /// Inflight.
    fn inflight(&self, window: &Window, gain: u64) -> u64 {
        self.quantized(window, self.bdp_multiple(gain))
    }

    fn inflight_with_headroom(&self, window: &Window) -> u64 {
        match self.model.inflight_long {
            INFINITE => INFINITE,
            long => long.saturating_sub(scale(long, HEADROOM).max(window.mss)).max(MIN_PIPE * window.mss),
        }
    }

    fn probe_rtt_cwnd(&self, window: &Window) -> u64 {
        self.bdp_multiple(PROBE_RTT_CWND_GAIN).max(MIN_PIPE * window.mss)
    }

    // Recovery and its undoing (§5.5.11, §5.6.4.4).

    fn save_cwnd(&mut self, window: &Window) {
        let calm = self.recovery.is_none() && !self.after_rto && self.state != State::ProbeRtt;
        self.prior_cwnd = if calm { window.cwnd } else { self.prior_cwnd.max(window.cwnd) };
    }

    fn restore_cwnd(&self, window: &mut Window) {
        window.cwnd = window.cwnd.max(self.prior_cwnd);
    }

    fn save_state_upon_loss(&mut self, window: &Window) {
        self.save_cwnd(window);
        self.undo_state = None;
        self.undo = (self.model.bw_short, self.model.inflight_short, self.model.inflight_long);
    }

    /// What `sample` says, in the draft's words.
    fn read(&self, sample: &AckSample) -> Ack {
        let rate = sample.rate;
        Ack {
            now: sample.now,
            newly_acked: sample.acked,
            inflight: sample.pipe,
            cwnd_limited: sample.window_full,
            rtt: sample.rtt,
            delivered: sample.delivered,
            bw: rate.map_or(0, |rate| rate.rate().as_bps()),
            rs_delivered: rate.map_or(0, |rate| rate.delivered),
            prior_delivered: rate.map(|rate| rate.prior_delivered),
            tx_in_flight: rate.map_or(0, |rate| rate.tx_in_flight),
            lost: rate.map_or(0, |rate| rate.lost),
            app_limited: rate.is_none_or(|rate| {
                rate.app_limited || (self.limited_until > 0 && rate.prior_delivered <= self.limited_until)
            }),
        }
    }
}

impl Controller for Bbr {
    fn on_connected(&mut self, window: &mut Window, now: Time, srtt: Nanos) {
        // OnInit.
        self.model.init_min_rtt(srtt, now);
        self.init_pacing_rate(window, srtt);
    }

    fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
        let ack = self.read(sample);
        (self.delivered, self.sack) = (ack.delivered, sample.sack);
        if let Some(srtt) = sample.srtt {
            self.init_pacing_rate(window, srtt);
        }
        if self.after_rto && !sample.after_rto {
            self.after_rto = false;
            self.restore_cwnd(window);
        }
        if let Some(loss) = &sample.lost {
            self.handle_lost(window, ack.now, loss);
        }
        self.update_latest_delivery_signals(&ack);
        self.update_congestion_signals(window, &ack);
        self.model.update_aggregation(&ack, window.cwnd, self.round_start, self.full_bw_reached);
        self.check_full_bw_reached(&ack);
        self.check_startup_done(&ack);
        self.check_drain_done(window, &ack);
        self.update_probe_bw_cycle(window, &ack);
        let expired = self.model.update_min_rtt(&ack);
        self.check_probe_rtt(window, &ack, expired);
        if self.loss_round_start {
            self.model.advance_latest(&ack);
            self.lost_ranges = 0;
        }
        self.set_pacing_rate(window, self.gains().0);
        self.set_cwnd(window, &ack);
    }

    fn on_loss(&mut self, window: &mut Window, _now: Time, _flight: u64) {
        self.save_state_upon_loss(window);
        self.recovery = Some(self.round_count);
    }

    fn on_rto(&mut self, window: &mut Window, _now: Time, _flight: u64) {
        self.save_state_upon_loss(window);
        (self.recovery, self.after_rto) = (None, true);
        window.cwnd = window.mss;
    }

    fn on_ecn(&mut self, window: &mut Window, now: Time, flight: u64) {
        self.note_loss(window);
        if self.is_bw_probe_sample {
            self.handle_inflight_too_high(window, now, flight, false);
        }
    }

    fn on_recovered(&mut self, window: &mut Window, _flight: u64) {
        self.recovery = None;
        self.restore_cwnd(window);
    }

    fn on_spurious(&mut self, window: &mut Window) {
        (self.recovery, self.after_rto) = (None, false);
        self.restore_cwnd(window);
        self.is_loss_in_round = false;
        self.reset_full_bw(0);
        let (bw_short, inflight_short, inflight_long) = self.undo;
        self.model.bw_short = self.model.bw_short.max(bw_short);
        self.model.inflight_short = self.model.inflight_short.max(inflight_short);
        self.model.inflight_long = self.model.inflight_long.max(inflight_long);
        match self.undo_state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_bw_reached = false;
                if self.state != State::ProbeRtt {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if !matches!(self.state, State::Up | State::ProbeRtt) => self.start_refill(),
            _ => {}
        }
    }

    fn on_start(&mut self, window: &mut Window, now: Time) {
        // HandleRestartFromIdle.
        self.idle_restart = true;
        self.model.restart_aggregation(now);
        if self.is_in_probe_bw() {
            self.set_pacing_rate(window, 100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(window, now);
        }
    }

    /// A window is kept over a silence: what is sent then is paced, and bursts into nothing.
    fn on_idle(&mut self, _window: &mut Window, _timeouts: u64, _restart: u64) {}

    fn runs_recovery(&self) -> bool {
        true
    }
}

/// The rate of `cwnd` in each `rtt`, by Startup's gain; none before there is a window.
fn initial_rate(cwnd: u64, rtt: Nanos) -> Option<Rate> {
    (cwnd > 0).then_some(())?;
    Some(Rate::of(cwnd, rtt)?.percent(STARTUP_PACING_GAIN))
}

/// `percent` of `n`.
fn scale(n: u64, percent: u64) -> u64 {
    (n / 100).saturating_mul(percent).saturating_add(n % 100 * percent / 100)
}

folds! { enum State { Startup, Drain, Down, Cruise, Refill, Up, ProbeRtt } }
folds! { enum AckPhase { Init, Refilling, ProbeStarting, ProbeFeedback, ProbeStopping } }
folds! {
    struct Bbr {
        state, ack_phase, model, initial_cwnd, has_seen_rtt, sack, delivered, round_count, next_round_delivered,
        round_start, full_bw_reached, full_bw_now, full_bw, full_bw_count, drain_start_round, loss_round_delivered,
        loss_round_start, is_loss_in_round, lost_ranges, is_bw_probe_sample, prev_probe_too_high,
        prev_probe_precautionary, probe_up_acked_per_inc, bw_probe_up_acked, bw_probe_up_rounds,
        rounds_since_probe_up, bw_probe_wait, cycle_stamp, idle_restart, probe_rtt_done, probe_rtt_round_done,
        limited_until, recovery, after_rto, prior_cwnd, undo_state, undo,
    }
}
