//! What BBR believes of the path: how fast it delivers, how long it is, how much fits, and how ACKs bunch up.

use super::{Ack, INFINITE, scale};
use crate::{Nanos, Rate, Time};

/// BBR.ExtraAckedFilterLen is ten round trips: two slots of five, of which the older is complete.
const EXTRA_ACKED_ROUNDS: u64 = 5;
/// BBR.MinRTTFilterLen.
const MIN_RTT_FILTER_LEN: Nanos = Nanos::from_secs(10);
/// BBR.ProbeRTTInterval.
const PROBE_RTT_INTERVAL: Nanos = Nanos::from_secs(5);
/// BBR.Beta, percent.
pub(super) const BETA: u64 = 70;

/// The model of the path (§5.5 of the draft). Bandwidths are bits per second.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// BBR.max_bw_filter: the best of this ProbeBW cycle and of the one before.
    max_bw: [u64; 2],
    /// BBR.bw_shortterm.
    pub(super) bw_short: u64,
    /// BBR.inflight_shortterm.
    pub(super) inflight_short: u64,
    /// BBR.inflight_longterm.
    pub(super) inflight_long: u64,
    /// BBR.bw_latest and BBR.inflight_latest: the best of this round trip.
    bw_latest: u64,
    pub(super) inflight_latest: u64,
    /// BBR.min_rtt, and when it was measured.
    pub(super) min_rtt: Nanos,
    min_rtt_at: Time,
    /// BBR.probe_rtt_min_delay, and when it was measured.
    probe_rtt_min: Nanos,
    pub(super) probe_rtt_min_at: Time,
    /// BBR.extra_acked_filter, and the round trips of its newer slot.
    extra_acked: [u64; 2],
    extra_acked_rounds: u64,
    extra_acked_began: Time,
    extra_acked_delivered: u64,
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            max_bw: [0; 2],
            bw_short: INFINITE,
            inflight_short: INFINITE,
            inflight_long: INFINITE,
            bw_latest: 0,
            inflight_latest: 0,
            min_rtt: Nanos::MAX,
            min_rtt_at: Time::ZERO,
            probe_rtt_min: Nanos::MAX,
            probe_rtt_min_at: Time::ZERO,
            extra_acked: [0; 2],
            extra_acked_rounds: 0,
            extra_acked_began: Time::ZERO,
            extra_acked_delivered: 0,
        }
    }

    /// BBR.max_bw.
    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// BBR.bw.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_short)
    }

    /// BBR.bdp: `None` before a round trip was measured.
    pub(super) fn bdp(&self) -> Option<u64> {
        (self.min_rtt != Nanos::MAX).then(|| bytes_in(self.bw(), self.min_rtt))
    }

    /// UpdateMaxBw: a sample that the application limited counts where it shows more all the same.
    pub(super) fn update_max_bw(&mut self, ack: &Ack) {
        if ack.bw > 0 && (ack.bw >= self.max_bw() || !ack.app_limited) {
            self.max_bw[0] = self.max_bw[0].max(ack.bw);
        }
    }

    /// AdvanceMaxBwFilter. A cycle that measured nothing says nothing.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[0] > 0 {
            self.max_bw = [0, self.max_bw[0]];
        }
    }

    /// UpdateLatestDeliverySignals, but for the round trip.
    pub(super) fn update_latest(&mut self, ack: &Ack) {
        self.bw_latest = self.bw_latest.max(ack.bw);
        self.inflight_latest = self.inflight_latest.max(ack.rs_delivered);
    }

    /// AdvanceLatestDeliverySignals: a round trip of losses begins.
    pub(super) fn advance_latest(&mut self, ack: &Ack) {
        (self.bw_latest, self.inflight_latest) = (ack.bw, ack.rs_delivered);
    }

    /// The part of ResetCongestionSignals that is measured.
    pub(super) fn reset_latest(&mut self) {
        (self.bw_latest, self.inflight_latest) = (0, 0);
    }

    /// InitLowerBounds and LossLowerBounds: a round trip saw a loss while nobody probed.
    pub(super) fn lower_bounds(&mut self, cwnd: u64) {
        if self.bw_short == INFINITE {
            self.bw_short = self.max_bw();
        }
        if self.inflight_short == INFINITE {
            self.inflight_short = cwnd;
        }
        self.bw_short = self.bw_latest.max(scale(self.bw_short, BETA));
        self.inflight_short = self.inflight_latest.max(scale(self.inflight_short, BETA));
    }

    /// ResetShortTermModel.
    pub(super) fn reset_short(&mut self) {
        (self.bw_short, self.inflight_short) = (INFINITE, INFINITE);
    }

    /// UpdateMinRTT; true when BBR.probe_rtt_expired.
    pub(super) fn update_min_rtt(&mut self, ack: &Ack) -> bool {
        let expired = ack.now > self.probe_rtt_min_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = ack.rtt
            && (rtt < self.probe_rtt_min || expired)
        {
            (self.probe_rtt_min, self.probe_rtt_min_at) = (rtt, ack.now);
        }
        let min_expired = ack.now > self.min_rtt_at + MIN_RTT_FILTER_LEN;
        if self.probe_rtt_min < self.min_rtt || min_expired {
            (self.min_rtt, self.min_rtt_at) = (self.probe_rtt_min, self.probe_rtt_min_at);
        }
        expired
    }

    /// UpdateACKAggregation.
    pub(super) fn update_aggregation(&mut self, ack: &Ack, cwnd: u64, round_start: bool, full: bool) {
        if round_start {
            self.extra_acked_rounds += 1;
            // In Startup a round trip is all that is remembered.
            if !full || self.extra_acked_rounds >= EXTRA_ACKED_ROUNDS {
                self.extra_acked = if full { [0, self.extra_acked[0]] } else { [0; 2] };
                self.extra_acked_rounds = 0;
            }
        }
        let mut expected = bytes_in(self.bw(), ack.now.since(self.extra_acked_began));
        if self.extra_acked_delivered <= expected {
            // ACKs come no faster than the path delivers: no bunch, or the end of one.
            (self.extra_acked_delivered, expected) = (0, 0);
            self.extra_acked_began = ack.now;
        }
        self.extra_acked_delivered += ack.newly_acked;
        let extra = (self.extra_acked_delivered - expected).min(cwnd);
        self.extra_acked[0] = self.extra_acked[0].max(extra);
    }

    /// A silence is no bunch of ACKs.
    pub(super) fn restart_aggregation(&mut self, now: Time) {
        self.extra_acked_began = now;
    }

    /// BBR.extra_acked.
    pub(super) fn extra_acked(&self) -> u64 {
        self.extra_acked[0].max(self.extra_acked[1])
    }
}

/// Bytes that go by in `time` at `bw`.
fn bytes_in(bw: u64, time: Nanos) -> u64 {
    if bw == 0 { 0 } else { Rate::from_bps(bw).bytes_in(time) }
}
