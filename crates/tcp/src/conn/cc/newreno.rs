//! NewReno: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582).

use super::{AckSample, Controller};
use crate::{Rate, Time};

/// The controller that everything else is measured against.
///
/// Two deliberate readings of RFC 5681:
/// - Slow start counts bytes without a bound per ACK, as RFC 9406 §4.2 allows a sender that does not emit the
///   whole growth in one burst: bursts are bounded at half the window (`S22`), and a receiver that coalesces
///   (GRO) sends a single ACK for dozens of segments. After a timeout the bound is one MSS (RFC 3465 §2.3).
/// - Fast recovery does not inflate the window with duplicate ACKs: the connection takes the segments they
///   stand for out of the pipe instead, which admits exactly the same segments.
#[derive(Clone, Debug)]
pub struct NewReno {
    cwnd: u64,
    ssthresh: u64,
    mss: u64,
    /// Bytes acknowledged in congestion avoidance since cwnd last grew.
    acked: u64,
}

impl NewReno {
    /// Begins with a window of `initial` bytes, in slow start.
    pub fn new(initial: u64, mss: u32) -> NewReno {
        NewReno { cwnd: initial, ssthresh: u64::MAX, mss: u64::from(mss), acked: 0 }
    }

    /// RFC 5681 §3.1 equation 4.
    fn halve(&mut self, flight: u64) {
        self.ssthresh = (flight / 2).max(2 * self.mss);
        self.acked = 0;
    }
}

impl Controller for NewReno {
    fn on_sent(&mut self, _now: Time, _bytes: u64, _pipe: u64) {}

    fn on_ack(&mut self, sample: &AckSample) {
        if !sample.cwnd_limited {
            return;
        }
        if self.cwnd < self.ssthresh {
            let bound = if sample.after_rto { self.mss } else { u64::MAX };
            // Never beyond ssthresh by slow start alone: a stretch ACK would overshoot what loss has taught.
            let grown = self.cwnd + sample.acked.min(bound);
            self.cwnd = grown.min(self.ssthresh.max(self.cwnd + self.mss.min(sample.acked)));
            return;
        }
        // RFC 5681 §3.1, the counting of bytes it recommends: one MSS per window of acknowledged bytes.
        self.acked += sample.acked;
        if self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.cwnd += self.mss;
        }
    }

    fn on_loss(&mut self, _now: Time, flight: u64) {
        self.halve(flight);
        self.cwnd = self.ssthresh;
    }

    fn on_recovered(&mut self, flight: u64) {
        // RFC 6582 §3.2 step 3, option 1: no burst when little is in flight.
        self.cwnd = self.ssthresh.min(flight.max(self.mss) + self.mss);
    }

    fn on_rto(&mut self, _now: Time, flight: u64, repeated: bool) {
        // RFC 5681 §3.1: ssthresh is held constant when the same segment times out again.
        if !repeated {
            self.halve(flight);
        }
        self.cwnd = self.mss;
        self.acked = 0;
    }

    fn on_ecn(&mut self, now: Time, flight: u64) {
        // RFC 3168 §6.1.2: as for a loss, without a retransmission.
        self.on_loss(now, flight);
    }

    fn set_mss(&mut self, mss: u32) {
        self.mss = u64::from(mss);
        // A window below one segment could never send one.
        self.cwnd = self.cwnd.max(self.mss);
    }

    fn cwnd(&self) -> u64 {
        self.cwnd
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }

    fn on_idle(&mut self, timeouts: u64, restart: u64) {
        // Slow start may return quickly to where it was: RFC 7661 §4.4.2 keeps 3/4 of the window in ssthresh.
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let halved = self.cwnd.checked_shr(u32::try_from(timeouts).unwrap_or(u32::MAX)).unwrap_or(0);
        self.cwnd = halved.max(restart.min(self.cwnd));
        self.acked = 0;
    }

    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    fn ack(acked: u64) -> AckSample {
        AckSample {
            now: Time::ZERO,
            acked,
            flight: 0,
            cwnd_limited: true,
            after_rto: false,
            rtt: None,
            rate: None,
        }
    }

    #[test]
    fn slow_start_doubles_per_round_trip() {
        let mut cc = NewReno::new(10 * MSS, MSS as u32);
        for _ in 0..5 {
            cc.on_ack(&ack(2 * MSS));
        }
        assert_eq!(cc.cwnd(), 20 * MSS);
        cc.on_ack(&ack(20 * MSS));
        assert_eq!(cc.cwnd(), 40 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_one_mss_per_window() {
        let mut cc = NewReno::new(40 * MSS, MSS as u32);
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
        let mut cc = NewReno::new(10 * MSS, MSS as u32);
        cc.on_ack(&AckSample { cwnd_limited: false, ..ack(MSS) });
        assert_eq!(cc.cwnd(), 10 * MSS);
    }

    #[test]
    fn slow_start_stops_at_ssthresh_even_on_a_stretch_ack() {
        let mut cc = NewReno::new(100 * MSS, MSS as u32);
        cc.on_rto(Time::ZERO, 100 * MSS, false);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 50 * MSS));
        cc.on_ack(&AckSample { after_rto: true, ..ack(40 * MSS) });
        assert_eq!(cc.cwnd(), 2 * MSS);
        cc.on_ack(&ack(70 * MSS));
        assert_eq!(cc.cwnd(), 50 * MSS);
    }

    #[test]
    fn rfc5681_a_repeated_timeout_keeps_ssthresh() {
        let mut cc = NewReno::new(16 * MSS, MSS as u32);
        cc.on_rto(Time::ZERO, 16 * MSS, false);
        cc.on_rto(Time::ZERO, MSS, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 8 * MSS));
    }

    #[test]
    fn rfc6582_leaving_recovery_makes_no_burst() {
        let mut cc = NewReno::new(40 * MSS, MSS as u32);
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
            let mut cc = NewReno::new(100 * MSS, MSS as u32);
            cc.on_loss(Time::ZERO, 160 * MSS);
            cc.on_idle(timeouts, 10 * MSS);
            (cc.cwnd() / MSS, cc.ssthresh() / MSS)
        };
        assert_eq!([idle(0), idle(1), idle(2), idle(3)], [(80, 80), (40, 80), (20, 80), (10, 80)]);
        assert_eq!([idle(4), idle(64), idle(u64::MAX)], [(10, 80); 3]);
        // What was in use is remembered as far as slow start may return to it.
        let mut cc = NewReno::new(100 * MSS, MSS as u32);
        cc.on_rto(Time::ZERO, 20 * MSS, false);
        cc.cwnd = 40 * MSS;
        cc.on_idle(2, 10 * MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * MSS, 30 * MSS));
        // Not raised by idling.
        let mut cc = NewReno::new(3 * MSS, MSS as u32);
        cc.on_idle(1, 10 * MSS);
        assert_eq!(cc.cwnd(), 3 * MSS);
    }

    #[test]
    fn the_window_never_falls_below_one_segment() {
        let mut cc = NewReno::new(MSS, MSS as u32);
        cc.on_loss(Time::ZERO, 0);
        assert_eq!(cc.cwnd(), 2 * MSS);
        cc.on_rto(Time::ZERO, 0, false);
        cc.set_mss(9000);
        assert_eq!(cc.cwnd(), 9000);
    }
}
