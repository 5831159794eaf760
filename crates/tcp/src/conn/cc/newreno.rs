//! NewReno: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582).

use super::{AckSample, Controller, Window};
use crate::Time;

/// The controller that everything else is measured against.
///
/// One deliberate reading of RFC 5681: fast recovery does not inflate the window with duplicate ACKs. The connection takes
/// the segments they stand for out of the pipe instead, which admits exactly the same segments.
#[derive(Clone, Debug)]
pub(super) struct NewReno {
    /// Bytes acknowledged in congestion avoidance since cwnd last grew.
    acked: u64,
}

impl NewReno {
    /// Begins in slow start.
    pub(super) fn new(_window: &mut Window) -> NewReno {
        NewReno { acked: 0 }
    }

    /// RFC 5681 §3.1 equation 4.
    fn halve(&mut self, window: &mut Window, flight: u64) {
        window.ssthresh = (flight / 2).max(2 * window.mss);
        self.acked = 0;
    }
}

impl Controller for NewReno {
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
        if !sample.cwnd_limited {
            return;
        }
        if window.is_in_slow_start() {
            return window.slow_start(sample);
        }
        // RFC 5681 §3.1, the counting of bytes it recommends: one MSS per window of acknowledged bytes.
        self.acked += sample.acked;
        if self.acked >= window.cwnd {
            self.acked -= window.cwnd;
            window.cwnd += window.mss;
        }
    }

    fn on_loss(&mut self, window: &mut Window, _now: Time, flight: u64) {
        self.halve(window, flight);
        window.cwnd = window.ssthresh;
    }

    fn on_rto(&mut self, window: &mut Window, _now: Time, flight: u64) {
        self.halve(window, flight);
        window.cwnd = window.mss;
    }
}

folds! { struct NewReno { acked } }

#[cfg(test)]
mod tests {
    use crate::Time;
    use crate::conn::cc::tests::ack;
    use crate::conn::cc::{AckSample, Cc, ControllerKind};

    const MSS: u64 = 1000;

    fn newreno(initial: u64) -> Cc {
        Cc::new(ControllerKind::NewReno, initial, MSS as u32)
    }

    #[test]
    fn slow_start_doubles_per_round_trip() {
        let mut cc = newreno(10 * MSS);
        for _ in 0..5 {
            cc.on_ack(&ack(2 * MSS));
        }
        assert_eq!(cc.cwnd(), 20 * MSS);
        cc.on_ack(&ack(20 * MSS));
        assert_eq!(cc.cwnd(), 40 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_one_mss_per_window() {
        let mut cc = newreno(40 * MSS);
        cc.on_loss(Time::ZERO, 40 * MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (20 * MSS, 20 * MSS));
        for _ in 0..19 {
            cc.on_ack(&ack(MSS));
        }
        assert_eq!(cc.cwnd(), 20 * MSS);
        cc.on_ack(&ack(MSS));
        assert_eq!(cc.cwnd(), 21 * MSS);
        cc.on_ack(&ack(21 * MSS));
        assert_eq!(cc.cwnd(), 22 * MSS);
    }

    #[test]
    fn rfc7661_an_idle_sender_gains_no_window() {
        let mut cc = newreno(10 * MSS);
        cc.on_ack(&AckSample { cwnd_limited: false, ..ack(MSS) });
        assert_eq!(cc.cwnd(), 10 * MSS);
    }

    #[test]
    fn slow_start_stops_at_ssthresh_even_on_a_stretch_ack() {
        let mut cc = newreno(100 * MSS);
        cc.on_rto(Time::ZERO, 100 * MSS, false);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 50 * MSS));
        cc.on_ack(&AckSample { after_rto: true, ..ack(40 * MSS) });
        assert_eq!(cc.cwnd(), 2 * MSS);
        cc.on_ack(&ack(70 * MSS));
        assert_eq!(cc.cwnd(), 50 * MSS);
    }

    #[test]
    fn rfc5681_a_repeated_timeout_keeps_ssthresh() {
        let mut cc = newreno(16 * MSS);
        cc.on_rto(Time::ZERO, 16 * MSS, false);
        cc.on_rto(Time::ZERO, MSS, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 8 * MSS));
    }

    #[test]
    fn rfc6582_leaving_recovery_makes_no_burst() {
        let mut cc = newreno(40 * MSS);
        cc.on_loss(Time::ZERO, 40 * MSS);
        cc.on_recovered(0);
        assert_eq!(cc.cwnd(), 2 * MSS);
        cc.on_loss(Time::ZERO, 40 * MSS);
        cc.on_recovered(30 * MSS);
        assert_eq!(cc.cwnd(), 20 * MSS);
    }

    #[test]
    fn s26_each_timeout_of_idleness_halves_the_window_down_to_the_restart_window() {
        let idle = |timeouts| {
            let mut cc = newreno(100 * MSS);
            cc.on_loss(Time::ZERO, 160 * MSS);
            cc.on_idle(timeouts, 10 * MSS);
            (cc.cwnd() / MSS, cc.ssthresh() / MSS)
        };
        assert_eq!([idle(0), idle(1), idle(2), idle(3)], [(80, 80), (40, 80), (20, 80), (10, 80)]);
        assert_eq!([idle(4), idle(64), idle(u64::MAX)], [(10, 80); 3]);
        // What was in use is remembered as far as slow start may return to it.
        let mut cc = newreno(40 * MSS);
        cc.on_loss(Time::ZERO, 80 * MSS);
        cc.on_loss(Time::ZERO, 20 * MSS);
        for _ in 0..31 {
            cc.on_ack(&ack(cc.cwnd()));
        }
        assert_eq!((cc.cwnd(), cc.ssthresh()), (41 * MSS, 10 * MSS));
        cc.on_idle(2, 10 * MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (41 * MSS / 4, 30_750));
        // Not raised by idling.
        let mut cc = newreno(3 * MSS);
        cc.on_idle(1, 10 * MSS);
        assert_eq!(cc.cwnd(), 3 * MSS);
    }

    #[test]
    fn the_window_never_falls_below_one_segment() {
        let mut cc = newreno(MSS);
        cc.on_loss(Time::ZERO, 0);
        assert_eq!(cc.cwnd(), 2 * MSS);
        cc.on_rto(Time::ZERO, 0, false);
        cc.set_mss(9000);
        assert_eq!(cc.cwnd(), 9000);
    }
}
