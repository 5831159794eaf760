//! Rates, in bits per second.

use core::fmt;
use core::str::FromStr;

use crate::Nanos;

/// Bits in a byte, times nanoseconds in a second.
const BIT_NANOS: u64 = 8_000_000_000;

/// Powers of 1000, and what they are called.
const UNITS: [(char, u64); 4] =
    [('T', 1_000_000_000_000), ('G', 1_000_000_000), ('M', 1_000_000), ('k', 1_000)];

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

/// In the largest unit that says it without a fraction: `10G`, `2500M`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(char, u64)| self.0.is_multiple_of(*factor);
        match UNITS.iter().find(fits) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A number of bits per second, with `k`, `M`, `G` or `T` behind it: powers of 1000, as link rates are. Fractions are
/// for those who type: `2.5G`.
impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Rate, NoRate> {
        let unit = |(unit, _): &&(char, u64)| text.ends_with(|c: char| c.eq_ignore_ascii_case(unit));
        let (number, factor) = match UNITS.iter().find(unit) {
            Some((_, factor)) => (&text[..text.len() - 1], *factor),
            None => (text, 1),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        let (Some(Some(bits)), Some(Some(part))) = (digits(whole), digits(fraction)) else {
            return Err(NoRate);
        };
        let scale = u32::try_from(fraction.len()).ok().and_then(|n| 10_u64.checked_pow(n)).ok_or(NoRate)?;
        let part = u128::from(part) * u128::from(factor) / u128::from(scale);
        let bits = u128::from(bits) * u128::from(factor) + part;
        match u64::try_from(bits) {
            Ok(bits) if bits > 0 => Ok(Rate(bits)),
            _ => Err(NoRate),
        }
    }
}

/// The text is no rate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NoRate;

impl fmt::Display for NoRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no rate in bits per second, as 10M or 2.5G")
    }
}

impl core::error::Error for NoRate {}

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
    fn rates_are_written_as_links_are_and_read_back() {
        let read = |text: &str| text.parse::<Rate>().map(Rate::as_bps);
        assert_eq!(read("10G"), Ok(10_000_000_000));
        assert_eq!(read("2.5g"), Ok(2_500_000_000));
        assert_eq!(read("8000"), Ok(8_000));
        for wrong in [
            "",
            "G",
            "0",
            "0.0M",
            "-1",
            "+1",
            "1 G",
            "1x",
            "1.M",
            "99999999999999T",
            "ä",
            "1.99999999999999999999",
        ] {
            assert_eq!(read(wrong), Err(NoRate), "{wrong}");
        }
        for bits in [1, 999, 1_000, 2_500_000_000, 100_000_000_000, u64::MAX] {
            let rate = Rate::from_bps(bits);
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        assert_eq!(Rate::from_bps(2_500_000_000).to_string(), "2500M");
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
        // A hundred gigabits for half an hour overflow 64 bits, of bits times nanoseconds.
        assert_eq!(Rate::from_bps(100_000_000_000).bytes_in(Nanos::from_secs(1_800)), 22_500_000_000_000);
        assert_eq!(Rate::of(u64::MAX, Nanos::from_nanos(1)), Some(most));
        assert_eq!(Rate::from_bps(0).as_bps(), 1);
        assert_eq!(most.percent(200), most);
        assert_eq!(most.time_for(65_535, u64::MAX).0, Nanos::from_nanos(1));
    }
}
