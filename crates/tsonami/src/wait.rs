//! What a core does when there is nothing to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcp::{Nanos, Time};

/// What the core does when an iteration of the loop found nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitStrategy {
    /// Polls again at once: the lowest latency, a whole core.
    Spin,
    /// Polls on, but lets the core's other hyperthread run in between; yields to the scheduler now and then.
    #[default]
    Pause,
    /// After a while sleeps up to 50 µs at a time: for machines that have other things to do.
    Park,
}

/// Iterations without work after which [`WaitStrategy::Pause`] begins to pause.
const SPINS: u32 = 64;
/// Iterations without work after which the scheduler is asked for a turn of somebody else.
const PAUSES: u32 = 4096;
/// The longest sleep: what a parked core adds to a round trip at most, timer slack aside.
const LONGEST_SLEEP: Nanos = Nanos::from_micros(50);

/// Carries out a [`WaitStrategy`]: tell it after each iteration whether there was work.
#[derive(Clone, Debug)]
pub struct Waiter {
    strategy: WaitStrategy,
    idle: u32,
}

/// What a [`Waiter`] decided to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Rest {
    Nothing,
    Pause,
    Yield,
    Sleep(Nanos),
}

impl Waiter {
    /// A waiter that has seen work just now.
    pub fn new(strategy: WaitStrategy) -> Waiter {
        Waiter { strategy, idle: 0 }
    }

    /// Whether [`wait`](Waiter::wait) looks at its times: only a core that sleeps does.
    pub fn needs_deadline(&self) -> bool {
        self.strategy == WaitStrategy::Park && self.idle >= PAUSES
    }

    /// Waits as the strategy says. `busy`: the iteration did something, so poll again at once. `deadline`: when the
    /// engine wants to be polled whatever happens; no wait goes beyond it.
    pub fn wait(&mut self, busy: bool, now: Time, deadline: Option<Time>) {
        self.wait_by(busy, now, deadline, std::thread::sleep);
    }

    /// [`wait`](Waiter::wait), with a sleep that somebody may end.
    pub(crate) fn wait_by(
        &mut self,
        busy: bool,
        now: Time,
        deadline: Option<Time>,
        sleep: impl FnOnce(Duration),
    ) {
        match self.decide(busy, now, deadline) {
            Rest::Nothing => {}
            Rest::Pause => core::hint::spin_loop(),
            Rest::Yield => std::thread::yield_now(),
            Rest::Sleep(time) => sleep(Duration::from(time)),
        }
    }

    fn decide(&mut self, busy: bool, now: Time, deadline: Option<Time>) -> Rest {
        if busy {
            self.idle = 0;
            return Rest::Nothing;
        }
        self.idle = self.idle.saturating_add(1);
        match self.strategy {
            WaitStrategy::Spin => Rest::Nothing,
            _ if self.idle <= SPINS => Rest::Nothing,
            _ if self.idle <= PAUSES => Rest::Pause,
            WaitStrategy::Pause => {
                // Yielding costs a system call: once in a while is enough.
                if self.idle.is_multiple_of(PAUSES) { Rest::Yield } else { Rest::Pause }
            }
            WaitStrategy::Park => {
                let left = deadline.map_or(LONGEST_SLEEP, |d| d.since(now)).min(LONGEST_SLEEP);
                if left == Nanos::ZERO { Rest::Nothing } else { Rest::Sleep(left) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(strategy: WaitStrategy, idle: u32, deadline: Option<Time>) -> Rest {
        let mut waiter = Waiter { strategy, idle };
        waiter.decide(false, Time::ZERO, deadline)
    }

    #[test]
    fn spinning_never_rests() {
        assert_eq!(after(WaitStrategy::Spin, 1 << 30, None), Rest::Nothing);
    }

    #[test]
    fn pausing_never_sleeps_but_yields_now_and_then() {
        assert_eq!(after(WaitStrategy::Pause, 0, None), Rest::Nothing);
        assert_eq!(after(WaitStrategy::Pause, SPINS, None), Rest::Pause);
        assert_eq!(after(WaitStrategy::Pause, 2 * PAUSES - 1, None), Rest::Yield);
        assert_eq!(after(WaitStrategy::Pause, 2 * PAUSES, None), Rest::Pause);
    }

    #[test]
    fn parking_sleeps_and_never_beyond_the_deadline() {
        let idle = PAUSES;
        assert_eq!(after(WaitStrategy::Park, idle, None), Rest::Sleep(LONGEST_SLEEP));
        let soon = Some(Time::from_nanos(7_000));
        assert_eq!(after(WaitStrategy::Park, idle, soon), Rest::Sleep(Nanos::from_micros(7)));
        assert_eq!(after(WaitStrategy::Park, idle, Some(Time::ZERO)), Rest::Nothing);
    }

    #[test]
    fn work_ends_the_rest() {
        let mut waiter = Waiter { strategy: WaitStrategy::Park, idle: u32::MAX };
        assert_eq!(waiter.decide(true, Time::ZERO, None), Rest::Nothing);
        assert_eq!(waiter.decide(false, Time::ZERO, None), Rest::Nothing);
    }
}
