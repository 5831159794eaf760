//! Points in time and lengths of time, both in nanoseconds, kept apart by type.

use core::fmt;
use core::ops::{Add, AddAssign, Div, Mul, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since an origin the caller chose (boot, start of the simulation).
///
/// Wraps never: 2^64 ns are 584 years.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A length of time in nanoseconds.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);
    /// Later than any time that is reached.
    pub const MAX: Time = Time(u64::MAX);

    /// The point `ns` nanoseconds after the origin.
    pub const fn from_nanos(ns: u64) -> Time {
        Time(ns)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time passed since `earlier`, zero if `earlier` lies in the future.
    pub const fn since(self, earlier: Time) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Nanos {
    /// No time at all.
    pub const ZERO: Nanos = Nanos(0);
    /// The longest length of time.
    pub const MAX: Nanos = Nanos(u64::MAX);

    /// `n` nanoseconds.
    pub const fn from_nanos(n: u64) -> Nanos {
        Nanos(n)
    }

    /// `n` microseconds; saturates.
    pub const fn from_micros(n: u64) -> Nanos {
        Nanos(n.saturating_mul(1_000))
    }

    /// `n` milliseconds; saturates.
    pub const fn from_millis(n: u64) -> Nanos {
        Nanos(n.saturating_mul(1_000_000))
    }

    /// `n` seconds; saturates.
    pub const fn from_secs(n: u64) -> Nanos {
        Nanos(n.saturating_mul(1_000_000_000))
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The length in whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The length in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The difference, zero if `other` is longer.
    pub const fn saturating_sub(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(other.0))
    }
}

impl Add<Nanos> for Time {
    type Output = Time;
    fn add(self, d: Nanos) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}

impl AddAssign<Nanos> for Time {
    fn add_assign(&mut self, d: Nanos) {
        *self = *self + d;
    }
}

impl Sub<Nanos> for Time {
    type Output = Time;
    fn sub(self, d: Nanos) -> Time {
        Time(self.0.saturating_sub(d.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, d: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(d.0))
    }
}

impl Mul<u64> for Nanos {
    type Output = Nanos;
    fn mul(self, k: u64) -> Nanos {
        Nanos(self.0.saturating_mul(k))
    }
}

impl Div<u64> for Nanos {
    type Output = Nanos;
    fn div(self, k: u64) -> Nanos {
        Nanos(self.0 / k)
    }
}

impl From<Duration> for Nanos {
    fn from(d: Duration) -> Nanos {
        Nanos(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(d: Nanos) -> Duration {
        Duration::from_nanos(d.0)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", Nanos(self.0))
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Duration::from_nanos(self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let ms = Nanos::from_millis;
        let mut t = Time::ZERO + ms(1500);
        t += ms(500);
        assert_eq!(t, Time::from_nanos(2_000_000_000));
        assert_eq!((t - ms(1), t - ms(3000)), (Time::from_nanos(1_999_000_000), Time::ZERO));
        assert_eq!(Time::MAX + ms(1), Time::MAX);
        assert_eq!((t.since(Time::ZERO), Time::ZERO.since(t)), (ms(2000), Nanos::ZERO));
        assert_eq!(
            (ms(6) * 2, ms(6) / 4, ms(6).saturating_sub(ms(7))),
            (ms(12), Nanos::from_micros(1500), Nanos::ZERO)
        );
        assert_eq!((ms(1500).as_secs_f64(), ms(1500).as_millis()), (1.5, 1500));
        assert_eq!(t.as_millis(), 2000);
        assert_eq!(
            (Nanos::from(Duration::from_millis(7)), Duration::from(ms(7))),
            (ms(7), Duration::from_millis(7))
        );
        assert_eq!((format!("{:?}", t), ms(7).to_string()), ("@2s".to_owned(), "7ms".to_owned()));
    }
}
