//! Round-trip time and the retransmission timeout (RFC 6298, `S36`).

use crate::Nanos;

/// Clock granularity G of RFC 6298 §2: time is in nanoseconds, but timers are served by a loop and a wheel.
const GRANULARITY: Nanos = Nanos::from_millis(1);

/// No timeout is longer, whatever the configuration says: it has to end some time.
const LONGEST: Nanos = Nanos::from_secs(24 * 3600);

/// Doublings after which the timeout stays; the upper bound is reached long before.
const MAX_BACKOFF: u32 = 16;

/// RFC 6298 §5.7: the timeout when data transmission begins after the SYN's timer expired.
const AFTER_SYN_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Smoothed round-trip time, its deviation, and the timeout they yield.
#[derive(Clone, Debug)]
pub(crate) struct RttEstimator {
    srtt: Option<Nanos>,
    rttvar: Nanos,
    min: Option<Nanos>,
    /// Not asked for yet by [`take_latest`](RttEstimator::take_latest).
    latest: Option<Nanos>,
    newest: Option<Nanos>,
    /// Before backoff.
    base: Nanos,
    backoff: u32,
    /// With backoff: what every ACK and every burst arms a timer with.
    rto: Nanos,
    lower: Nanos,
    upper: Nanos,
}

impl RttEstimator {
    pub(crate) fn new(initial: Nanos, lower: Nanos, upper: Nanos) -> RttEstimator {
        let lower = lower.clamp(GRANULARITY, LONGEST);
        let upper = upper.clamp(lower, LONGEST);
        RttEstimator {
            srtt: None,
            rttvar: Nanos::ZERO,
            min: None,
            latest: None,
            newest: None,
            base: initial.clamp(lower, upper),
            backoff: 0,
            rto: initial.clamp(lower, upper),
            lower,
            upper,
        }
    }

    /// A new measurement `r` (RFC 6298 §2.2, §2.3). It also ends the backoff (§5, last note).
    pub(crate) fn sample(&mut self, r: Nanos) {
        let srtt = match self.srtt {
            None => {
                self.rttvar = r / 2;
                r
            }
            Some(srtt) => {
                let error = srtt.max(r).saturating_sub(srtt.min(r));
                // RTTVAR before SRTT: it uses the old one. Alpha is 1/8, beta 1/4.
                self.rttvar = (self.rttvar * 3 + error) / 4;
                (srtt * 7 + r) / 8
            }
        };
        self.srtt = Some(srtt);
        self.min = Some(self.min.map_or(r, |m| m.min(r)));
        (self.latest, self.newest) = (Some(r), Some(r));
        // K is 4. §2.4 bounds the timeout as a whole. Linux bounds what is added to SRTT, which is the kinder where a round
        // trip is longer than the bound and never varies, and an ACK then is delayed; here such a timeout is found out and
        // taken back (S40), while every other one comes a round trip sooner.
        self.base = (srtt + (self.rttvar * 4).max(GRANULARITY)).max(self.lower);
        self.set_backoff(0);
    }

    /// The timeout as it is now, backoff included (RFC 6298 §2.4, §2.5, §5.5).
    pub(crate) fn rto(&self) -> Nanos {
        self.rto
    }

    /// `base` or the number of doublings changed.
    #[inline]
    fn set_backoff(&mut self, n: u32) {
        (self.backoff, self.rto) = (n, self.probe_interval(n));
    }

    /// `n` doublings of the timeout without its backoff: the ladder of window probes.
    pub(crate) fn probe_interval(&self, n: u32) -> Nanos {
        (self.base * (1 << n.min(MAX_BACKOFF))).min(self.upper)
    }

    /// A timeout proved needless: the newest sample, of what was late, says how long to wait at least (RFC 4015 §3.3).
    pub(crate) fn on_spurious_timeout(&mut self) {
        let Some((srtt, late)) = self.srtt.zip(self.newest) else { return };
        let srtt = srtt.max(late);
        self.srtt = Some(srtt);
        self.rttvar = self.rttvar.max(late / 2);
        self.base = (srtt + (self.rttvar * 4).max(GRANULARITY)).max(self.lower);
        self.set_backoff(0);
    }

    /// The timer expired: RFC 6298 §5.5.
    pub(crate) fn back_off(&mut self) {
        self.set_backoff((self.backoff + 1).min(MAX_BACKOFF));
    }

    /// The SYN's timer expired and data transmission begins, without a sample (RFC 6298 §5.7).
    pub(crate) fn forget_syn_timeouts(&mut self) {
        if self.srtt.is_none() {
            self.base = self.base.max(AFTER_SYN_TIMEOUT).min(self.upper);
        }
        self.set_backoff(0);
    }

    pub(crate) fn srtt(&self) -> Option<Nanos> {
        self.srtt
    }

    pub(crate) fn rttvar(&self) -> Nanos {
        self.rttvar
    }

    pub(crate) fn min(&self) -> Option<Nanos> {
        self.min
    }

    /// The newest sample, once.
    pub(crate) fn take_latest(&mut self) -> Option<Nanos> {
        self.latest.take()
    }
}

folds! { struct RttEstimator { srtt, rttvar, min, latest, newest, base, backoff, rto, lower, upper } }

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Nanos {
        Nanos::from_millis(n)
    }

    fn estimator() -> RttEstimator {
        RttEstimator::new(ms(1000), ms(200), ms(120_000))
    }

    #[test]
    fn rfc6298_first_and_following_samples() {
        let mut e = estimator();
        assert_eq!(e.rto(), ms(1000));
        e.sample(ms(100));
        assert_eq!((e.srtt(), e.rttvar(), e.rto()), (Some(ms(100)), ms(50), ms(300)));
        e.sample(ms(180));
        // RTTVAR = 3/4·50 + 1/4·80, SRTT = 7/8·100 + 1/8·180.
        assert_eq!((e.srtt(), e.rttvar()), (Some(ms(110)), Nanos::from_micros(57_500)));
        assert_eq!(e.rto(), ms(340));
        assert_eq!((e.min(), e.take_latest(), e.take_latest()), (Some(ms(100)), Some(ms(180)), None));
    }

    #[test]
    fn rfc6298_the_minimum_is_configurable() {
        let mut e = RttEstimator::new(ms(1000), ms(1), ms(120_000));
        for _ in 0..200 {
            e.sample(Nanos::from_micros(50));
        }
        assert_eq!(e.rto(), Nanos::from_micros(1050));
        let mut e = estimator();
        e.sample(Nanos::from_micros(50));
        assert_eq!(e.rto(), ms(200));
    }

    #[test]
    fn rfc6298_5_5_backoff_doubles_up_to_the_maximum_and_a_sample_ends_it() {
        let mut e = estimator();
        e.sample(ms(100));
        let mut ladder = Vec::new();
        for _ in 0..12 {
            e.back_off();
            ladder.push(e.rto().as_millis());
        }
        assert_eq!(
            ladder,
            [600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 120000, 120000, 120000, 120000]
        );
        for _ in 0..100 {
            e.back_off();
        }
        assert_eq!(e.rto(), ms(120_000));
        e.sample(ms(100));
        assert!(e.rto() < ms(300));
    }

    #[test]
    fn the_timeout_doubles_sixteen_times_and_no_further_than_a_day_whatever_the_bound() {
        for (initial, seconds) in [(1000, 1 << 16), (2000, 24 * 3600)] {
            let mut e = RttEstimator::new(ms(initial), ms(200), Nanos::MAX);
            for _ in 0..20 {
                e.back_off();
            }
            assert_eq!(e.rto(), Nanos::from_secs(seconds));
        }
        assert_eq!(RttEstimator::new(Nanos::MAX, Nanos::MAX, Nanos::MAX).rto(), Nanos::from_secs(24 * 3600));
    }

    #[test]
    fn rfc6298_5_7_three_seconds_after_a_lost_syn() {
        let mut e = estimator();
        e.back_off();
        e.forget_syn_timeouts();
        assert_eq!(e.rto(), ms(3000));
    }

    #[test]
    fn extreme_samples_do_not_overflow() {
        let mut e = estimator();
        e.sample(Nanos::MAX);
        e.sample(Nanos::ZERO);
        e.sample(Nanos::MAX);
        e.back_off();
        assert_eq!(e.rto(), ms(120_000));
    }
}
