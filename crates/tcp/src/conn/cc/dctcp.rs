//! DCTCP (RFC 8257): the window shrinks by as much as was marked, not always by half. For networks of one's own, whose
//! switches mark early and whose receivers echo every mark (`wants_every_mark`).
//!
//! Where nothing is marked it is NewReno.

use super::newreno::NewReno;
use super::{AckSample, Controller, Window};
use crate::{Offset, Time};

/// One, as DCTCP.Alpha is written.
const ONE: u64 = 1 << 20;
/// g is 1/16 (§3.3).
const GAIN: u64 = 16;

/// NewReno, with another answer to marks.
#[derive(Clone, Debug)]
pub(super) struct Dctcp {
    reno: NewReno,
    /// DCTCP.Alpha: the part of the bytes that was marked, of late, of [`ONE`].
    alpha: u64,
    /// DCTCP.BytesAcked and DCTCP.BytesMarked, since the window of observation began.
    acked: u64,
    marked: u64,
    /// DCTCP.WindowEnd.
    window_end: Offset,
}

impl Dctcp {
    /// Begins in slow start. Before anything is known the first mark halves the window (§3.3: Alpha is 1).
    pub(super) fn new(window: &mut Window) -> Dctcp {
        let reno = NewReno::new(window);
        Dctcp { reno, alpha: ONE, acked: 0, marked: 0, window_end: Offset::ZERO }
    }

    /// §3.3, steps 1 to 8.
    fn observe(&mut self, sample: &AckSample) {
        self.acked += sample.acked;
        self.marked += sample.marked.min(sample.acked);
        if sample.una <= self.window_end {
            return;
        }
        let fraction = self.marked.min(self.acked).saturating_mul(ONE) / self.acked.max(1);
        // Rounded down twice, so that what is no longer marked is forgotten in the end.
        self.alpha = self.alpha - self.alpha.div_ceil(GAIN) + fraction / GAIN;
        (self.acked, self.marked) = (0, 0);
        self.window_end = sample.una + sample.flight;
    }
}

impl Controller for Dctcp {
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
        self.observe(sample);
        self.reno.on_ack(window, sample);
    }

    /// §3.5: what is lost was worse than marked.
    fn on_loss(&mut self, window: &mut Window, now: Time, flight: u64) {
        self.reno.on_loss(window, now, flight);
    }

    fn on_rto(&mut self, window: &mut Window, now: Time, flight: u64) {
        self.reno.on_rto(window, now, flight);
    }

    /// §3.3, step 9: cwnd = cwnd * (1 - DCTCP.Alpha / 2).
    fn on_ecn(&mut self, window: &mut Window, _now: Time, _flight: u64) {
        let part = u128::from(window.cwnd) * u128::from(self.alpha) / u128::from(2 * ONE);
        window.cwnd = window.cwnd.saturating_sub(part as u64).max(2 * window.mss);
        window.ssthresh = window.cwnd;
    }

    fn wants_every_mark(&self) -> bool {
        true
    }
}

folds! { struct Dctcp { reno, alpha, acked, marked, window_end } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::tests::ack;

    const MSS: u64 = 1000;

    fn dctcp(segments: u64) -> (Dctcp, Window) {
        let mut window =
            Window { cwnd: segments * MSS, ssthresh: segments * MSS, mss: MSS, pacing_rate: None };
        (Dctcp::new(&mut window), window)
    }

    /// A window of segments is acknowledged, of which `marked` with marks.
    fn round(cc: &mut Dctcp, window: &mut Window, una: &mut u64, marked: u64) {
        let n = window.cwnd / MSS;
        for i in 0..n {
            *una += MSS;
            let sample = AckSample {
                una: Offset(*una),
                flight: (n - 1) * MSS,
                marked: if i < marked { MSS } else { 0 },
                cwnd_limited: false,
                ..ack(MSS)
            };
            cc.on_ack(window, &sample);
        }
    }

    #[test]
    fn rfc8257_the_first_mark_halves_the_window() {
        let (mut cc, mut window) = dctcp(100);
        cc.on_ecn(&mut window, Time::ZERO, 100 * MSS);
        assert_eq!((window.cwnd, window.ssthresh), (50 * MSS, 50 * MSS));
    }

    #[test]
    fn rfc8257_alpha_moves_by_a_sixteenth_towards_what_was_marked() {
        let (mut cc, mut window) = dctcp(100);
        let mut una = 0;
        round(&mut cc, &mut window, &mut una, 0);
        // The first ACK ends the first window of observation: nothing of it was marked.
        assert_eq!(cc.alpha, ONE / 16 * 15);
        let mut expected = cc.alpha as f64;
        for _ in 0..200 {
            round(&mut cc, &mut window, &mut una, 20);
            expected += (0.2 * ONE as f64 - expected) / 16.0;
        }
        assert!((cc.alpha as f64 - expected).abs() < ONE as f64 / 100.0, "{} {expected}", cc.alpha);
        // A fifth is marked: a tenth of the window goes.
        let before = window.cwnd;
        cc.on_ecn(&mut window, Time::ZERO, before);
        let kept = window.cwnd * 1000 / before;
        assert!((895..=905).contains(&kept), "{kept}");
    }

    #[test]
    fn rfc8257_what_is_no_longer_marked_is_forgotten() {
        let (mut cc, mut window) = dctcp(10);
        let mut una = 0;
        for _ in 0..400 {
            round(&mut cc, &mut window, &mut una, 0);
        }
        assert_eq!(cc.alpha, 0);
        cc.on_ecn(&mut window, Time::ZERO, 10 * MSS);
        assert_eq!(window.cwnd, 10 * MSS);
    }

    #[test]
    fn rfc8257_a_loss_halves_whatever_is_marked() {
        let (mut cc, mut window) = dctcp(100);
        cc.alpha = 0;
        cc.on_loss(&mut window, Time::ZERO, 100 * MSS);
        assert_eq!((window.cwnd, window.ssthresh), (50 * MSS, 50 * MSS));
        cc.on_rto(&mut window, Time::ZERO, 50 * MSS);
        assert_eq!((window.cwnd, window.ssthresh), (MSS, 25 * MSS));
        // Never below two segments by marks.
        cc.alpha = ONE;
        cc.on_ecn(&mut window, Time::ZERO, MSS);
        assert_eq!(window.cwnd, 2 * MSS);
    }
}
