//! When requests are due.

use tsonami::{Nanos, Time};

/// How soon a due time is worth staying awake for.
const NEAR: Nanos = Nanos::from_micros(100);

/// The times at which requests are due: each at its own, or as soon as somebody may ask.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    began: Time,
    /// Requests per second, if they have times of their own.
    rate: Option<u64>,
    /// How many were taken so far.
    taken: u64,
    /// How many there are in all.
    limit: Option<u64>,
    /// Nothing is due from here on.
    end: Time,
}

impl Schedule {
    pub(super) fn new(began: Time, rate: Option<u64>, limit: Option<u64>, end: Time) -> Schedule {
        Schedule { began, rate, taken: 0, limit, end }
    }

    /// When the request after those taken is due; `None` when there is none.
    fn next(&self, now: Time) -> Option<Time> {
        if self.limit.is_some_and(|limit| self.taken >= limit) {
            return None;
        }
        let due = match self.rate {
            Some(rate) => {
                let nanos = u128::from(self.taken) * 1_000_000_000 / u128::from(rate);
                self.began + Nanos::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
            None => now,
        };
        (due < self.end).then_some(due)
    }

    /// Takes the next request that is due by `now`; when that was.
    pub(super) fn take(&mut self, now: Time) -> Option<Time> {
        let due = self.next(now).filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }

    /// Whether requests may still come at `now` or later.
    pub(super) fn goes_on(&self, now: Time) -> bool {
        self.next(now).is_some()
    }

    /// The next request is due so soon that it is not worth going to sleep.
    pub(super) fn is_near(&self, now: Time) -> bool {
        self.rate.is_some() && self.next(now).is_some_and(|due| due.since(now) <= NEAR)
    }

    /// Ends it: nothing that was not taken is due. Returns how many were by `now`, and were not taken.
    pub(super) fn stop(&mut self, now: Time) -> u64 {
        let mut missed = 0;
        if let Some(rate) = self.rate {
            let until = now.min(self.end).since(self.began).as_nanos();
            let due = u64::try_from(u128::from(until) * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX);
            missed = due.min(self.limit.unwrap_or(u64::MAX)).saturating_sub(self.taken);
        }
        self.limit = Some(self.taken);
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Time {
        Time::from_nanos(us * 1_000)
    }

    #[test]
    fn requests_at_a_rate_are_due_at_times_of_their_own_however_late_they_are_taken() {
        let mut schedule = Schedule::new(at(50), Some(10_000), None, at(1_000_000));
        assert_eq!(schedule.take(at(49)), None);
        assert_eq!(schedule.take(at(50)), Some(at(50)));
        assert!(!schedule.is_near(at(40)) && schedule.is_near(at(51)));
        assert_eq!(schedule.take(at(149)), None);
        // A stall of the taker: what was due meanwhile has its own time still.
        assert_eq!([schedule.take(at(400)), schedule.take(at(400))], [Some(at(150)), Some(at(250))]);
        assert_eq!([schedule.take(at(400)), schedule.take(at(400))], [Some(at(350)), None]);
        assert_eq!(schedule.stop(at(1_050)), 6, "due at 450 to 950");
        assert!(!schedule.goes_on(at(1_050)));
    }

    #[test]
    fn without_a_rate_each_is_due_when_it_is_taken() {
        let mut schedule = Schedule::new(at(0), None, Some(2), at(100));
        assert_eq!(
            [schedule.take(at(10)), schedule.take(at(20)), schedule.take(at(30))],
            [Some(at(10)), Some(at(20)), None]
        );
        assert_eq!(Schedule::new(at(0), None, None, at(100)).take(at(100)), None, "the time is over");
        assert_eq!(schedule.stop(at(40)), 0);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_keeps_its_average() {
        let mut schedule = Schedule::new(at(0), Some(3), None, at(10_000_000));
        let due: Vec<_> = (0..4).filter_map(|_| schedule.take(at(2_000_000))).map(|t| t.as_nanos()).collect();
        assert_eq!(due, [0, 333_333_333, 666_666_666, 1_000_000_000]);
    }
}
