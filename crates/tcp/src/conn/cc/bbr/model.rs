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
        self.bdp_at(self.bw())
    }

    /// What a path of this bandwidth holds.
    pub(super) fn bdp_at(&self, bw: u64) -> Option<u64> {
        (self.min_rtt != Nanos::MAX).then(|| bytes_in(bw, self.min_rtt))
    }

    /// UpdateMaxBw: a sample that the application limited counts where it shows more all the same.
    pub(super) fn update_max_bw(&mut self, ack: &Ack) {
        if ack.bw >= self.max_bw() || !ack.app_limited {
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

    /// The handshake's round trip is as good as any.
    pub(super) fn init_min_rtt(&mut self, srtt: Nanos, now: Time) {
        (self.min_rtt, self.min_rtt_at) = (srtt, now);
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

folds! {
    struct Model {
        max_bw, bw_short, inflight_short, inflight_long, bw_latest, inflight_latest, min_rtt, min_rtt_at,
        probe_rtt_min, probe_rtt_min_at, extra_acked, extra_acked_rounds, extra_acked_began, extra_acked_delivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::bbr::rule_tests::{MBIT, ack, at};

    #[test]
    fn bbr_the_bandwidth_is_the_best_of_this_cycle_and_the_one_before() {
        let mut m = Model::new();
        let mut after = |mbit, app_limited| {
            m.update_max_bw(&Ack { bw: mbit * MBIT, app_limited, ..ack(0) });
            m.max_bw() / MBIT
        };
        // A slow application shows nothing, unless it shows more.
        assert_eq!([after(10, false), after(9, true), after(12, true), after(11, false)], [10, 10, 12, 12]);
        m.advance_max_bw();
        m.update_max_bw(&Ack { bw: 5 * MBIT, ..ack(0) });
        assert_eq!(m.max_bw() / MBIT, 12);
        m.advance_max_bw();
        assert_eq!(m.max_bw() / MBIT, 5);
        // Cycles that measured nothing.
        m.advance_max_bw();
        m.advance_max_bw();
        assert_eq!(m.max_bw() / MBIT, 5);
        (m.bw_short, m.min_rtt) = (4 * MBIT, Nanos::from_millis(10));
        assert_eq!((m.bw() / MBIT, m.bdp()), (4, Some(5000)));
        assert_eq!(Model::new().bdp(), None);
    }

    #[test]
    fn bbr_the_round_trip_is_the_shortest_of_ten_seconds_and_looked_for_after_five() {
        let mut m = Model::new();
        let mut after = |ms, rtt: Option<u64>| {
            let expired = m.update_min_rtt(&Ack { rtt: rtt.map(Nanos::from_millis), ..ack(ms) });
            (expired, m.min_rtt.as_millis())
        };
        assert_eq!(after(1000, Some(50)), (false, 50));
        // As short is no shorter: it does not put off the next look.
        assert_eq!(after(3000, Some(50)), (false, 50));
        assert_eq!(after(6000, Some(60)), (false, 50));
        assert_eq!(after(6001, Some(60)), (true, 50));
        assert_eq!(after(11_000, None), (false, 50));
        assert_eq!(after(11_001, None), (false, 60));
        // A shorter one counts at once, and for as long.
        assert_eq!(after(12_000, Some(40)), (true, 40));
        assert_eq!(after(17_001, Some(70)), (true, 40));
        assert_eq!(after(22_000, Some(70)), (false, 40));
        assert_eq!(after(22_001, Some(70)), (false, 70));
    }

    #[test]
    fn bbr_acks_that_bunch_up_are_remembered_for_ten_round_trips() {
        // 8 Mbit/s are a thousand bytes per millisecond.
        let mut m = Model::new();
        m.update_max_bw(&Ack { bw: 8 * MBIT, ..ack(0) });
        let mut after = |ms, newly_acked, round_start| {
            m.update_aggregation(&Ack { newly_acked, ..ack(ms) }, 100_000, round_start, true);
            m.extra_acked()
        };
        assert_eq!(after(100, 3000, false), 3000);
        // 7000 in 2 ms, of which 2000 were to be expected.
        assert_eq!(after(102, 4000, false), 5000);
        assert_eq!(after(110, 1000, false), 5000);
        // Four round trips later the newer slot still has it, then the older one for five more.
        for _ in 0..9 {
            assert_eq!(after(200, 0, true), 5000);
        }
        assert_eq!(after(200, 0, true), 0);
        // Never more than the window; and after a silence the count begins with it.
        m.update_aggregation(&Ack { newly_acked: 9000, ..ack(300) }, 4500, false, true);
        assert_eq!(m.extra_acked(), 4500);
        m.restart_aggregation(at(305));
        m.update_aggregation(&Ack { newly_acked: 1000, ..ack(306) }, 100_000, false, true);
        assert_eq!(m.extra_acked(), 9000);
    }

    #[test]
    fn bbr_in_startup_a_bunch_of_acks_is_forgotten_with_its_round_trip() {
        let mut m = Model::new();
        m.update_max_bw(&Ack { bw: 8 * MBIT, ..ack(0) });
        m.update_aggregation(&Ack { newly_acked: 3000, ..ack(100) }, 100_000, true, false);
        assert_eq!(m.extra_acked(), 3000);
        m.update_aggregation(&ack(200), 100_000, true, false);
        assert_eq!(m.extra_acked(), 0);
    }

    #[test]
    fn bbr_losses_lower_the_bounds_to_seven_tenths_or_what_was_delivered() {
        let mut m = Model::new();
        m.update_max_bw(&Ack { bw: 100 * MBIT, ..ack(0) });
        let bounds = |m: &Model| (m.bw_short / MBIT, m.inflight_short);
        m.lower_bounds(10_000);
        assert_eq!(bounds(&m), (70, 7000));
        // The window that was is what it begins with, no more.
        m.lower_bounds(90_000);
        assert_eq!(bounds(&m), (49, 4900));
        m.update_latest(&Ack { bw: 60 * MBIT, rs_delivered: 5000, ..ack(0) });
        m.update_latest(&Ack { bw: 50 * MBIT, rs_delivered: 6000, ..ack(0) });
        m.lower_bounds(90_000);
        assert_eq!(bounds(&m), (60, 6000));
        m.advance_latest(&Ack { bw: 55 * MBIT, rs_delivered: 5500, ..ack(0) });
        m.lower_bounds(90_000);
        assert_eq!(bounds(&m), (55, 5500));
        m.reset_latest();
        m.lower_bounds(90_000);
        assert_eq!(bounds(&m), (38, 3850));
        m.reset_short();
        assert_eq!((m.bw_short, m.inflight_short), (INFINITE, INFINITE));
    }
}
