//! Where the time went (`S28`), of one connection or of several together.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tsonami::{Nanos, Share, TimeShares};

/// Shares of time. In JSON nanoseconds by name, with the life that they add up to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TimeSummary([u64; Share::COUNT]);

impl TimeSummary {
    pub(crate) fn sum<'a>(all: impl IntoIterator<Item = &'a TimeSummary>) -> TimeSummary {
        let mut sum = TimeSummary::default();
        for one in all {
            for (sum, one) in sum.0.iter_mut().zip(one.0) {
                *sum = sum.saturating_add(one);
            }
        }
        sum
    }

    fn life(&self) -> u64 {
        self.0.iter().fold(0, |sum, &share| sum.saturating_add(share))
    }

    /// Tenths of a per cent, which add up to 1000 unless nothing ever lived: what rounding down leaves over goes to the
    /// shares that lost most by it.
    fn permille(&self) -> [u64; Share::COUNT] {
        let life = u128::from(self.life());
        if life == 0 {
            return [0; Share::COUNT];
        }
        let exact = self.0.map(|share| u128::from(share) * 1000);
        let mut rounded = exact.map(|share| (share / life) as u64);
        let mut by_loss: Vec<usize> = (0..Share::COUNT).collect();
        by_loss.sort_by_key(|&i| std::cmp::Reverse(exact[i] % life));
        let missing = 1000 - rounded.iter().sum::<u64>();
        for &i in by_loss.iter().take(missing as usize) {
            rounded[i] += 1;
        }
        rounded
    }
}

impl From<TimeShares> for TimeSummary {
    fn from(time: TimeShares) -> TimeSummary {
        TimeSummary(Share::ALL.map(|share| Nanos::as_nanos(time.of(share))))
    }
}

impl Serialize for TimeSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Share::COUNT + 1))?;
        map.serialize_entry("life_ns", &self.life())?;
        for (share, nanos) in Share::ALL.iter().zip(self.0) {
            map.serialize_entry(&format!("{}_ns", share.name()), &nanos)?;
        }
        map.end()
    }
}

/// The largest share first; those that round to nothing are left out.
impl fmt::Display for TimeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permille = self.permille();
        let mut shares: Vec<(Share, u64)> =
            Share::ALL.into_iter().zip(permille).filter(|(_, p)| *p > 0).collect();
        shares.sort_by_key(|&(_, p)| std::cmp::Reverse(p));
        if shares.is_empty() {
            return write!(f, "nowhere");
        }
        for (i, (share, p)) in shares.into_iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}.{} % {}", p / 10, p % 10, words(share))?;
        }
        Ok(())
    }
}

fn words(share: Share) -> &'static str {
    match share {
        Share::Opening => "opening",
        Share::Idle => "idle",
        Share::Busy => "busy",
        Share::PeerWindow => "peer's window",
        Share::SendBuffer => "send buffer",
        Share::Congestion => "congestion window",
        Share::Pacing => "pacing",
        Share::Device => "device",
        Share::Held => "held back (Nagle, cork)",
        Share::Memory => "no packet buffers",
        Share::Closing => "closing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(of: &[(Share, u64)]) -> TimeSummary {
        let mut time = TimeSummary::default();
        for &(share, nanos) in of {
            time.0[share as usize] = nanos;
        }
        time
    }

    #[test]
    fn s28_percentages_add_up_to_a_hundred_and_the_largest_comes_first() {
        let thirds = time(&[(Share::Opening, 1), (Share::Busy, 1), (Share::Closing, 1)]);
        assert_eq!(thirds.to_string(), "33.4 % opening, 33.3 % busy, 33.3 % closing");
        let text = time(&[(Share::Busy, 201), (Share::PeerWindow, 712), (Share::Congestion, 87)]).to_string();
        assert_eq!(text, "71.2 % peer's window, 20.1 % busy, 8.7 % congestion window");
        for n in 1..200u64 {
            let odd = TimeSummary(std::array::from_fn(|i| (n * 7919 + 1) * (i as u64 * 104_729 % 97)));
            assert_eq!(odd.permille().iter().sum::<u64>(), 1000, "{odd:?}");
        }
        assert_eq!(time(&[(Share::Busy, 1 << 40), (Share::Idle, 1)]).to_string(), "100.0 % busy");
        assert_eq!(TimeSummary::default().to_string(), "nowhere");
        assert_eq!(time(&[(Share::Busy, u64::MAX)]).to_string(), "100.0 % busy");
    }

    #[test]
    fn s28_json_has_every_share_in_nanoseconds_and_the_life_they_add_up_to() {
        let one = time(&[(Share::Busy, 20), (Share::Idle, 5)]);
        let json = serde_json::to_value(TimeSummary::sum([&one, &one])).unwrap();
        let shares = json.as_object().unwrap();
        assert_eq!((json["life_ns"].as_u64(), json["busy_ns"].as_u64()), (Some(50), Some(40)));
        assert_eq!(shares.len(), Share::COUNT + 1);
        let sum: u64 = shares.iter().filter(|(k, _)| *k != "life_ns").filter_map(|(_, v)| v.as_u64()).sum();
        assert_eq!(sum, 50);
    }
}
