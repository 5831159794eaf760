//! The User Timeout option (RFC 5482 §3.3): how long its sender lets bytes stay unacknowledged.

use core::num::NonZeroU16;

use crate::Nanos;

/// The bit that says that the number counts minutes.
const MINUTES: u16 = 0x8000;
/// The largest number.
const MOST: u64 = 0x7fff;

/// The value of the option: a number that is not zero, of seconds or of minutes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct UserTimeout(NonZeroU16);

impl UserTimeout {
    /// The option's two bytes; `None` for zero of either unit, which is reserved and to be ignored (RFC 5482 §3.5).
    pub fn from_bits(bits: u16) -> Option<UserTimeout> {
        NonZeroU16::new(bits).filter(|bits| bits.get() != MINUTES).map(UserTimeout)
    }

    /// The option's two bytes.
    pub fn bits(self) -> u16 {
        self.0.get()
    }

    /// What says `time`, rounded up: in seconds up to nine hours, else in minutes, of which 32 767 are the most.
    pub fn of(time: Nanos) -> UserTimeout {
        let seconds = time.as_nanos().div_ceil(1_000_000_000).max(1);
        let bits = match seconds {
            ..=MOST => seconds as u16,
            _ => MINUTES | seconds.div_ceil(60).min(MOST) as u16,
        };
        UserTimeout(NonZeroU16::new(bits).unwrap_or(NonZeroU16::MIN))
    }

    /// The time it says.
    pub fn time(self) -> Nanos {
        let number = u64::from(self.bits() & !MINUTES);
        Nanos::from_secs(if self.bits() & MINUTES == 0 { number } else { number * 60 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5482_seconds_as_long_as_they_fit_then_minutes() {
        let of = |seconds| UserTimeout::of(Nanos::from_secs(seconds)).bits();
        assert_eq!([of(0), of(1), of(300), of(32_767)], [1, 1, 300, 32_767]);
        assert_eq!([of(32_768), of(36_000)], [0x8000 | 547, 0x8000 | 600]);
        assert_eq!([of(10_000_000), UserTimeout::of(Nanos::MAX).bits()], [0xffff; 2]);
        assert_eq!(UserTimeout::of(Nanos::from_millis(1_001)).bits(), 2);
    }

    #[test]
    fn rfc5482_zero_of_either_unit_is_reserved() {
        assert_eq!([UserTimeout::from_bits(0), UserTimeout::from_bits(0x8000)], [None; 2]);
        let time = |bits| UserTimeout::from_bits(bits).map(UserTimeout::time);
        assert_eq!(time(7), Some(Nanos::from_secs(7)));
        assert_eq!(time(0x8007), Some(Nanos::from_secs(420)));
    }
}
