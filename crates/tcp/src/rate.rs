//! Rates, in bits per second.

use core::fmt;

use crate::Nanos;

/// Bits in a byte, times nanoseconds in a second.
const BIT_NANOS: u64 = 8_000_000_000;

/// Payload per time: bits per second, as link rates are given.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// `bits` per second; at least 1.
    pub const fn from_bps(bits: u64) -> Rate {
        Rate(if bits == 0 { 1 } else { bits })
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// `bytes` in `time`; `None` when no time passed. Saturates.
    pub fn of(bytes: u64, time: Nanos) -> Option<Rate> {
        let bits = match bytes.checked_mul(BIT_NANOS) {
            Some(n) => n.checked_div(time.as_nanos())?,
            None => {
                let n = (u128::from(bytes) * u128::from(BIT_NANOS)).checked_div(time.as_nanos().into())?;
                u64::try_from(n).unwrap_or(u64::MAX)
            }
        };
        Some(Rate::from_bps(bits))
    }

    /// Whole bytes that go by in `time`. Saturates.
    pub fn bytes_in(self, time: Nanos) -> u64 {
        match self.0.checked_mul(time.as_nanos()) {
            Some(n) => n / BIT_NANOS,
            None => {
                let n = u128::from(self.0) * u128::from(time.as_nanos()) / u128::from(BIT_NANOS);
                u64::try_from(n).unwrap_or(u64::MAX)
            }
        }
    }

    /// How long `bytes` take, together with `carry` that an earlier call left over; and what is left over now, less
    /// than a nanosecond: so a sum of many is exact.
    pub(crate) fn time_for(self, bytes: u64, carry: u64) -> (Nanos, u64) {
        let n = bytes.saturating_mul(BIT_NANOS).saturating_add(carry);
        (Nanos::from_nanos(n / self.0), n % self.0)
    }

    /// How long what takes `time` at this rate takes at `other`. Saturates.
    pub(crate) fn rescale(self, time: Nanos, other: Rate) -> Nanos {
        let n = u128::from(time.as_nanos()) * u128::from(self.0) / u128::from(other.0);
        Nanos::from_nanos(u64::try_from(n).unwrap_or(u64::MAX))
    }

    /// `percent` of it. Saturates.
    pub(crate) fn percent(self, percent: u64) -> Rate {
        Rate::from_bps((self.0 / 100).saturating_mul(percent).saturating_add(self.0 % 100 * percent / 100))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_time_and_rate_agree() {
        let gigabit = Rate::from_bps(1_000_000_000);
        assert_eq!(gigabit.bytes_in(Nanos::from_millis(1)), 125_000);
        assert_eq!(Rate::of(125_000, Nanos::from_millis(1)), Some(gigabit));
        assert_eq!(gigabit.time_for(1000, 0), (Nanos::from_nanos(8_000), 0));
        assert_eq!(
            gigabit.rescale(Nanos::from_millis(3), Rate::from_bps(3_000_000_000)),
            Nanos::from_millis(1)
        );
        assert_eq!(gigabit.percent(120), Rate::from_bps(1_200_000_000));
        assert_eq!(Rate::of(1, Nanos::ZERO), None);
    }

    #[test]
    fn what_is_carried_over_makes_a_sum_exact() {
        let odd = Rate::from_bps(7_777_777);
        let (mut sum, mut carry) = (Nanos::ZERO, 0);
        for _ in 0..7_777_777 / 7 {
            let (time, left) = odd.time_for(7, carry);
            (sum, carry) = (sum + time, left);
        }
        // 7 bytes 1 111 111 times are 62 222 216 bits: eight seconds.
        assert_eq!((sum, carry), (Nanos::from_secs(8), 0));
    }

    #[test]
    fn extremes_saturate() {
        let most = Rate::from_bps(u64::MAX);
        assert_eq!(most.bytes_in(Nanos::MAX), u64::MAX);
        assert_eq!(Rate::of(u64::MAX, Nanos::from_nanos(1)), Some(most));
        assert_eq!(Rate::from_bps(0).as_bps(), 1);
        assert_eq!(most.percent(200), most);
        assert_eq!(most.time_for(65_535, u64::MAX).0, Nanos::from_nanos(1));
    }
}
