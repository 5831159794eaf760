//! Sizes, rates and lengths of time as people write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tsonami::{Keepalive, UserTimeoutOption};

/// A number of bytes, as typed: `1500`, `128K`, `512M`, `10GiB`, `1.5G`, `100MB`.
///
/// One letter and `KiB`-style suffixes are powers of 1024, as in iperf3; `KB`-style suffixes are powers of 1000.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// Why a size or a length of time could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("'{0}' does not begin with a number")]
    NoNumber(String),
    #[error("'{unit}' is no unit: use {known}")]
    UnknownUnit { unit: String, known: &'static str },
    #[error("'{0}' is too large")]
    TooLarge(String),
    #[error("'{0}' is too long: 8760h (a year) at the most")]
    TooLong(String),
    #[error("'{0}' is no number of probes")]
    NoProbes(String),
    #[error("'{0}' has more than a time, an interval and a number of probes")]
    TooMany(String),
    #[error("'{0}' is neither 'announce' nor 'adapt[,SHORTEST[,LONGEST]]'")]
    NoUserTimeoutOption(String),
    #[error("'{0}' must be more than zero")]
    Zero(String),
}

/// Splits `text` into its number and what follows it.
fn split_number(text: &str) -> Result<(f64, &str), UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().map_err(|_| UnitError::NoNumber(text.to_owned()))?;
    Ok((number, text[end..].trim_start()))
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Size, UnitError> {
        let (number, unit) = split_number(text)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => {
                return Err(UnitError::UnknownUnit {
                    unit: unit.to_owned(),
                    known: "K, M, G, T (powers of 1024, as are KiB, MiB, ...) or KB, MB, GB, TB (powers of 1000)",
                });
            }
        };
        // Whole numbers stay exact; only fractions such as 1.5G go through floating point.
        let whole = text.trim().trim_end_matches(|c: char| !c.is_ascii_digit());
        let bytes = match whole.parse::<u64>() {
            Ok(n) => n.checked_mul(factor),
            Err(_) => {
                let bytes = number * factor as f64;
                (bytes < u64::MAX as f64).then_some(bytes as u64)
            }
        };
        bytes.map(Size).ok_or_else(|| UnitError::TooLarge(text.to_owned()))
    }
}

impl Size {
    /// Parses a size that must not be zero.
    pub(crate) fn parse_positive(text: &str) -> Result<Size, UnitError> {
        match text.parse()? {
            Size(0) => Err(UnitError::Zero(text.to_owned())),
            size => Ok(size),
        }
    }
}

impl fmt::Display for Size {
    /// Three significant digits in powers of 1024: `512 MiB`, `1.50 GiB`, `999 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if unit == 0 || value >= 99.95 {
            write!(f, "{value:.0} {}", UNITS[unit])
        } else if value >= 9.995 {
            write!(f, "{value:.1} {}", UNITS[unit])
        } else {
            write!(f, "{value:.2} {}", UNITS[unit])
        }
    }
}

/// Bits per second, as typed: `10M`, `2.5G`, `800k`, `40Gbit`. Powers of 1000, as link rates are.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct BitRate(pub(crate) u64);

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<BitRate, UnitError> {
        let (number, unit) = split_number(text)?;
        let lower = unit.to_ascii_lowercase();
        let prefix = ["bit/s", "bps", "bit"].iter().find_map(|end| lower.strip_suffix(end)).unwrap_or(&lower);
        let factor = match prefix {
            "" => 1.0,
            "k" => 1e3,
            "m" => 1e6,
            "g" => 1e9,
            "t" => 1e12,
            _ => {
                return Err(UnitError::UnknownUnit {
                    unit: unit.to_owned(),
                    known: "k, M, G, T, with or without bit: powers of 1000, bits per second",
                });
            }
        };
        let bits = (number * factor).round();
        match bits {
            bits if bits < 1.0 => Err(UnitError::Zero(text.to_owned())),
            // Far beyond any link, and exact.
            bits if bits > 1e15 => Err(UnitError::TooLarge(text.to_owned())),
            bits => Ok(BitRate(bits as u64)),
        }
    }
}

/// The longest time that can be asked for: a year. Times are counted in nanoseconds, and sums of them must not overflow.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// A length of time as typed: `10` (seconds), `2.5s`, `500ms`, `50us`, `2m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split_number(text)?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => number,
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                known: "us, ms, s (the default), m or h",
            });
        }
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time <= LONGEST_TIME => Ok(time),
        _ => Err(UnitError::TooLong(text.to_owned())),
    }
}

/// Parses a length of time that must not be zero.
pub(crate) fn parse_positive_duration(text: &str) -> Result<Duration, UnitError> {
    match parse_duration(text)? {
        Duration::ZERO => Err(UnitError::Zero(text.to_owned())),
        duration => Ok(duration),
    }
}

/// Parses `IDLE[,INTERVAL[,PROBES]]`.
pub(crate) fn parse_keepalive(text: &str) -> Result<Keepalive, UnitError> {
    let mut keepalive = Keepalive::default();
    let mut parts = text.split(',');
    keepalive.idle = parse_positive_duration(parts.next().unwrap_or_default())?;
    if let Some(interval) = parts.next() {
        keepalive.interval = parse_positive_duration(interval)?;
    }
    if let Some(probes) = parts.next() {
        keepalive.probes = probes.trim().parse().map_err(|_| UnitError::NoProbes(probes.to_owned()))?;
    }
    match parts.next() {
        Some(_) => Err(UnitError::TooMany(text.to_owned())),
        None => Ok(keepalive),
    }
}

/// Bits per second of `bytes` moved in `elapsed`; zero when no time passed.
pub(crate) fn bits_per_second(bytes: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

/// A rate in powers of 1000, as link rates are given: `9.41 Gbit/s`, `880 Mbit/s`.
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            r if r >= 0.9995e9 => (r / 1e9, "Gbit/s"),
            r if r >= 0.9995e6 => (r / 1e6, "Mbit/s"),
            r if r >= 0.9995e3 => (r / 1e3, "kbit/s"),
            r => return write!(f, "{r:.0} bit/s"),
        };
        if value >= 99.95 {
            write!(f, "{value:.0} {unit}")
        } else if value >= 9.995 {
            write!(f, "{value:.1} {unit}")
        } else {
            write!(f, "{value:.2} {unit}")
        }
    }
}

/// A short length of time, such as a round trip: `87 µs`, `1.25 ms`.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos() as f64;
        if ns >= 0.9995e9 {
            write!(f, "{:.2} s", ns / 1e9)
        } else if ns >= 99.95e6 {
            write!(f, "{:.0} ms", ns / 1e6)
        } else if ns >= 0.9995e6 {
            write!(f, "{:.2} ms", ns / 1e6)
        } else if ns >= 99.95e3 {
            write!(f, "{:.0} µs", ns / 1e3)
        } else {
            write!(f, "{:.1} µs", ns / 1e3)
        }
    }
}

/// An integer with thousands separated: `1 234 567`.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(' ');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Parses `announce` and `adapt[,SHORTEST[,LONGEST]]`.
pub(crate) fn parse_user_timeout_option(text: &str) -> Result<UserTimeoutOption, UnitError> {
    let mut option = UserTimeoutOption::default();
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    match parts[..] {
        ["announce"] => option.adapt = false,
        ["adapt"] => {}
        ["adapt", shortest] => option.shortest = parse_positive_duration(shortest)?,
        ["adapt", shortest, longest] => {
            option.shortest = parse_positive_duration(shortest)?;
            option.longest = parse_positive_duration(longest)?;
        }
        _ => return Err(UnitError::NoUserTimeoutOption(text.to_owned())),
    }
    Ok(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> u64 {
        text.parse::<Size>().unwrap().0
    }

    #[test]
    fn sizes_follow_iperf3_and_iec_and_si() {
        assert_eq!(size("1500"), 1500);
        assert_eq!(size("0"), 0);
        assert_eq!(size("128K"), 128 << 10);
        assert_eq!(size("512M"), 512 << 20);
        assert_eq!(size("512m"), 512 << 20);
        assert_eq!(size("10GiB"), 10 << 30);
        assert_eq!(size("10 GiB"), 10 << 30);
        assert_eq!(size("100MB"), 100_000_000);
        assert_eq!(size("1.5G"), 3 << 29);
        assert_eq!(size("2T"), 2 << 40);
    }

    #[test]
    fn large_whole_sizes_stay_exact() {
        assert_eq!(size("18446744073709551615"), u64::MAX);
        assert_eq!(size("9007199254740993"), 9_007_199_254_740_993);
    }

    #[test]
    fn bad_sizes_say_what_is_wrong() {
        assert_eq!("M".parse::<Size>(), Err(UnitError::NoNumber("M".into())));
        assert_eq!("".parse::<Size>(), Err(UnitError::NoNumber(String::new())));
        assert_eq!("-3".parse::<Size>(), Err(UnitError::NoNumber("-3".into())));
        assert_eq!("1.2.3".parse::<Size>(), Err(UnitError::NoNumber("1.2.3".into())));
        assert_eq!("99999999T".parse::<Size>(), Err(UnitError::TooLarge("99999999T".into())));
        assert_eq!("99999999.5T".parse::<Size>(), Err(UnitError::TooLarge("99999999.5T".into())));
        assert_eq!(Size::parse_positive("0K"), Err(UnitError::Zero("0K".into())));
        let error = "10X".parse::<Size>().unwrap_err().to_string();
        assert!(error.contains("'X' is no unit") && error.contains("powers of 1024"), "{error}");
    }

    #[test]
    fn bit_rates_are_powers_of_a_thousand() {
        let rate = |text: &str| text.parse::<BitRate>().map(|rate| rate.0);
        assert_eq!(rate("10M"), Ok(10_000_000));
        assert_eq!(rate("2.5G"), Ok(2_500_000_000));
        assert_eq!(
            [rate("800k"), rate("800Kbit"), rate("800 kbit/s"), rate("800kbps")],
            [const { Ok(800_000) }; 4]
        );
        assert_eq!(
            [rate("9600"), rate("9600bit/s"), rate("0.1T")],
            [Ok(9_600), Ok(9_600), Ok(100_000_000_000)]
        );
        assert_eq!(rate("0"), Err(UnitError::Zero("0".into())));
        assert_eq!(rate("1001T"), Err(UnitError::TooLarge("1001T".into())));
        assert_eq!(rate("fast"), Err(UnitError::NoNumber("fast".into())));
        assert!(rate("10MiB").is_err() && rate("10MB").is_err());
    }

    #[test]
    fn durations_default_to_seconds() {
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_positive_duration("0"), Err(UnitError::Zero("0".into())));
        assert_eq!(parse_duration("8760h"), Ok(LONGEST_TIME));
        for text in ["8761h", "500000000000000h", "99999999999999999999999h"] {
            assert_eq!(parse_duration(text), Err(UnitError::TooLong(text.into())));
        }
        assert!(parse_duration("5 parsecs").is_err());
    }

    #[test]
    fn sizes_and_rates_show_three_digits() {
        assert_eq!(Size(0).to_string(), "0 B");
        assert_eq!(Size(999).to_string(), "999 B");
        assert_eq!(Size(1000).to_string(), "0.98 KiB");
        assert_eq!(Size(1 << 10).to_string(), "1.00 KiB");
        assert_eq!(Size(512 << 20).to_string(), "512 MiB");
        assert_eq!(Size(3 << 29).to_string(), "1.50 GiB");
        assert_eq!(Size(u64::MAX).to_string(), "16384 PiB");
        assert_eq!(Rate(9.412e9).to_string(), "9.41 Gbit/s");
        assert_eq!(Rate(47.3e9).to_string(), "47.3 Gbit/s");
        assert_eq!(Rate(880e6).to_string(), "880 Mbit/s");
        assert_eq!(Rate(12.0).to_string(), "12 bit/s");
        assert_eq!(Rate(0.0).to_string(), "0 bit/s");
    }

    #[test]
    fn rates_of_no_time_are_zero_not_infinite() {
        assert_eq!(bits_per_second(100, Duration::ZERO), 0.0);
        assert_eq!(bits_per_second(125, Duration::from_millis(1)), 1e6);
    }

    #[test]
    fn short_times_pick_their_unit() {
        assert_eq!(Short(Duration::from_nanos(8_700)).to_string(), "8.7 µs");
        assert_eq!(Short(Duration::from_micros(187)).to_string(), "187 µs");
        assert_eq!(Short(Duration::from_micros(1250)).to_string(), "1.25 ms");
        assert_eq!(Short(Duration::from_millis(200)).to_string(), "200 ms");
        assert_eq!(Short(Duration::from_secs(3)).to_string(), "3.00 s");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(Grouped(7).to_string(), "7");
        assert_eq!(Grouped(1_234_567).to_string(), "1 234 567");
        assert_eq!(Grouped(100).to_string(), "100");
    }

    #[test]
    fn s47_keepalive_is_a_time_an_interval_and_a_number() {
        let parsed =
            |text| parse_keepalive(text).map(|k| (k.idle.as_millis(), k.interval.as_millis(), k.probes));
        assert_eq!(parsed("2h"), Ok((7_200_000, 75_000, 9)));
        assert_eq!(parsed("30,5s"), Ok((30_000, 5_000, 9)));
        assert_eq!(parsed("30, 500ms, 3"), Ok((30_000, 500, 3)));
        assert_eq!(parsed("0"), Err(UnitError::Zero("0".into())));
        assert_eq!(parsed("1,2,x"), Err(UnitError::NoProbes("x".into())));
        assert_eq!(parsed("1,2,3,4"), Err(UnitError::TooMany("1,2,3,4".into())));
        assert_eq!(parsed(""), Err(UnitError::NoNumber("".into())));
    }

    #[test]
    fn s36_the_user_timeout_option_is_announced_or_adapts_between_two_times() {
        let parsed = |text| {
            parse_user_timeout_option(text).map(|o| (o.adapt, o.shortest.as_secs(), o.longest.as_secs()))
        };
        assert_eq!(parsed("announce"), Ok((false, 100, 3_600)));
        assert_eq!(parsed("adapt"), Ok((true, 100, 3_600)));
        assert_eq!(parsed("adapt, 10"), Ok((true, 10, 3_600)));
        assert_eq!(parsed("adapt,1m,2m"), Ok((true, 60, 120)));
        for wrong in ["", "10s", "announce,1", "adapt,1,2,3"] {
            assert_eq!(parsed(wrong), Err(UnitError::NoUserTimeoutOption(wrong.into())));
        }
        assert_eq!(parsed("adapt,0"), Err(UnitError::Zero("0".into())));
    }
}
