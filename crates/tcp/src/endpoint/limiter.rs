//! At most so many answers per second.

use crate::{Nanos, Time};

/// A second's worth may leave at once; after that one per interval. Keeps only the time at which the bucket
/// would be full again (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Limiter {
    interval: Nanos,
    full_at: Time,
}

impl Limiter {
    /// `per_second` answers; zero lets none through.
    pub(super) fn new(per_second: u32) -> Limiter {
        let interval = match per_second {
            0 => Nanos::MAX,
            n => Nanos::from_nanos(1_000_000_000 / u64::from(n)),
        };
        Limiter { interval, full_at: Time::ZERO }
    }

    /// Takes one from the bucket; false when it is empty.
    pub(super) fn allow(&mut self, now: Time) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let allowed = full_at.since(now) <= Nanos::from_secs(1);
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_answers_at_once_then_the_rate() {
        let mut limiter = Limiter::new(10);
        let start = Time::from_nanos(123);
        let allowed = |limiter: &mut Limiter, now| (0..100).filter(|_| limiter.allow(now)).count();
        assert_eq!(allowed(&mut limiter, start), 10);
        assert_eq!(allowed(&mut limiter, start + Nanos::from_millis(100)), 1);
        assert_eq!(allowed(&mut limiter, start + Nanos::from_secs(60)), 10);
    }

    #[test]
    fn zero_lets_nothing_through() {
        assert!(!Limiter::new(0).allow(Time::from_nanos(u64::MAX / 2)));
    }
}
