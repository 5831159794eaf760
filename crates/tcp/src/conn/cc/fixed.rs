//! A fixed rate, whatever the network does: for links of one's own, where the rate is known and loss is an accident.
//!
//! It yields to nobody. On a path that others use it is what congestion control was invented against (RFC 2914).

use super::{AckSample, Controller, Window};
use crate::{Rate, Time};

/// No peer's window is larger (RFC 7323 §2.3).
const ANY_WINDOW: u64 = 1 << 30;

/// The slowest rate that pacing knows.
const SLOWEST: Rate = Rate::from_bps(8_000);

/// Sends at one rate; the peer's window is the only other bound.
#[derive(Clone, Debug)]
pub(super) struct Fixed;

impl Fixed {
    /// At `rate` from the first byte on.
    pub(super) fn new(window: &mut Window, rate: Rate) -> Fixed {
        (window.cwnd, window.pacing_rate) = (ANY_WINDOW, Some(rate.max(SLOWEST)));
        Fixed
    }
}

impl Controller for Fixed {
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
        match sample.after_rto {
            true => window.slow_start(sample),
            false => window.cwnd = ANY_WINDOW,
        }
    }

    fn on_loss(&mut self, _window: &mut Window, _now: Time, _flight: u64) {}

    fn on_rto(&mut self, window: &mut Window, _now: Time, _flight: u64) {
        // Nobody answers: one segment asks, until somebody does. What was out leaves again by slow start, or a queue that
        // dropped it would do so once more.
        window.cwnd = window.mss;
    }

    fn on_recovered(&mut self, _window: &mut Window, _flight: u64) {}

    fn on_idle(&mut self, _window: &mut Window, _timeouts: u64, _restart: u64) {}

    fn runs_recovery(&self) -> bool {
        true
    }
}

folds! { struct Fixed {} }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::tests::ack;
    use crate::conn::cc::{Cc, ControllerKind};

    #[test]
    fn s41_a_fixed_rate_knows_no_loss_and_only_a_timeout_stops_it() {
        let rate = Rate::from_bps(10_000_000_000);
        let mut cc = Cc::new(ControllerKind::Fixed(rate), 14_600, 1460);
        let open = (1 << 30, u64::MAX, Some(rate));
        let state = |cc: &Cc| (cc.cwnd(), cc.ssthresh(), cc.pacing_rate());
        assert_eq!(state(&cc), open);
        cc.on_loss(Time::ZERO, 100_000);
        cc.on_ecn(Time::ZERO, 100_000);
        cc.on_recovered(0);
        cc.on_idle(9, 14_600);
        assert_eq!(state(&cc), open);
        assert!(cc.runs_recovery());
        cc.on_rto(Time::ZERO, 100_000, false);
        cc.on_rto(Time::ZERO, 100_000, true);
        assert_eq!(state(&cc), (1460, u64::MAX, Some(rate)));
        cc.on_ack(&AckSample { after_rto: true, ..ack(1460) });
        assert_eq!(state(&cc), (2920, u64::MAX, Some(rate)));
        cc.on_ack(&ack(1460));
        assert_eq!(state(&cc), open);
        // No slower than pacing can be.
        let slow = Cc::new(ControllerKind::Fixed(Rate::from_bps(1)), 14_600, 1460);
        assert_eq!(slow.pacing_rate(), Some(Rate::from_bps(8_000)));
    }
}
