//! The real clock, as the model's time; and the kernel's stamps on it.

use nix::sys::time::TimeSpec;
use rustix::time::{ClockId, Timespec, clock_gettime};
use tcp::{Nanos, Time};

/// Stamps older than this are of another clock.
const OLDEST: u64 = 1_000_000_000;

/// Counts from its making.
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: nanos(clock_gettime(ClockId::Monotonic)) }
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(nanos(clock_gettime(ClockId::Monotonic)).saturating_sub(self.start))
    }

    /// The time of a stamp of the kernel, which are of the wall clock. A frame is stamped when it reaches its
    /// interface: however late we come to read it, the model sees it in time. Without a stamp that makes sense it is now.
    pub(crate) fn of_stamp(&self, stamp: Option<TimeSpec>) -> Time {
        let now = self.now();
        let wall = nanos(clock_gettime(ClockId::Realtime));
        let age = stamp
            .and_then(|s| Some((u64::try_from(s.tv_sec()).ok()?, u64::try_from(s.tv_nsec()).ok()?)))
            .and_then(|(s, ns)| wall.checked_sub(s * 1_000_000_000 + ns))
            .filter(|&age| age < OLDEST)
            .unwrap_or(0);
        now - Nanos::from_nanos(age.min(now.as_nanos()))
    }
}

fn nanos(time: Timespec) -> u64 {
    // Neither clock shows a time before its epoch.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
