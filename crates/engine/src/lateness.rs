//! How long the loop is away between its turns, for what must not be cut finer than that (`S25`).

use tcp::Nanos;

/// A timer later than this was not late for the loop's sake alone: the machine was busy with something else.
const LATEST: Nanos = Nanos::from_millis(4);

/// The mean lateness of timers when they fire.
///
/// A deadline falls anywhere between two turns of the loop, so it is served half a period late in the mean. That holds
/// for a loop that spins, is busy with many connections, or sleeps, and costs nothing while no timer fires.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    mean: Nanos,
}

impl Lateness {
    /// A timer fired so late.
    pub(crate) fn note(&mut self, late: Nanos) {
        self.mean = (self.mean * 15 + late.min(LATEST)) / 16;
    }

    /// About how long a turn of the loop takes.
    pub(crate) fn loop_period(&self) -> Nanos {
        self.mean * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s25_the_loops_period_follows_the_lateness_of_timers() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.loop_period(), Nanos::ZERO);
        // Deadlines anywhere in turns of 20 us.
        for i in 0..400 {
            lateness.note(Nanos::from_micros(i * 7 % 20));
        }
        let period = lateness.loop_period();
        assert!(Nanos::from_micros(15) < period && period < Nanos::from_micros(25), "{period}");
        // One long absence does not make it slow for long.
        lateness.note(Nanos::from_secs(1));
        assert!(lateness.loop_period() < Nanos::from_millis(2));
        for _ in 0..100 {
            lateness.note(Nanos::ZERO);
        }
        assert!(lateness.loop_period() < Nanos::from_micros(10));
    }
}
