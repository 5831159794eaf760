//! Values of a scenario file: rates and sizes with their units, shares, and what is wrong with them.

use serde::{Deserialize, Deserializer, de};

use crate::units::{BitRate, Size};

/// A value that cannot be, and one that could.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) what: String,
    /// What would be right.
    pub(super) mend: String,
}

impl Fault {
    pub(super) fn new(key: &str, what: &str, mend: &str) -> Fault {
        Fault { what: format!("{key} {what}"), mend: mend.to_owned() }
    }
}

/// Bits per second: a number, or text such as "20M".
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Bits(pub(super) u64);

/// Bytes: a number, or text such as "64K".
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Bytes(pub(super) u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or a number with its unit as text")]
enum Quantity {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bits, D::Error> {
        match Quantity::deserialize(from)? {
            Quantity::Number(0) => Err(de::Error::custom("a rate must be more than zero")),
            Quantity::Number(bits) => Ok(Bits(bits)),
            Quantity::Text(text) => text.parse().map(|BitRate(bits)| Bits(bits)).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        match Quantity::deserialize(from)? {
            Quantity::Number(bytes) => Ok(Bytes(bytes)),
            Quantity::Text(text) => text.parse().map(|Size(bytes)| Bytes(bytes)).map_err(de::Error::custom),
        }
    }
}

/// A share or a probability.
pub(super) fn share(key: &str, value: f64) -> Result<f64, Fault> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err(Fault::new(key, &format!("is {value}, of 0 to 1"), "0.01 for one per cent")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers_or_text_with_a_unit() {
        #[derive(Deserialize)]
        struct Both {
            rate: Bits,
            size: Bytes,
        }
        for (text, rate, size) in
            [("rate = 1000\nsize = 5", 1_000, 5), ("rate = '2M'\nsize = '64K'", 2_000_000, 65_536)]
        {
            let both: Both = toml::from_str(text).unwrap();
            assert_eq!((both.rate, both.size), (Bits(rate), Bytes(size)));
        }
        for wrong in ["rate = 0\nsize = 1", "rate = '1X'\nsize = 1", "rate = 1\nsize = 1.5"] {
            assert!(toml::from_str::<Both>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_from_nothing_to_all() {
        assert!(share("loss", 0.0).is_ok() && share("loss", 1.0).is_ok());
        assert!(
            share("loss", 1.1).is_err() && share("loss", -0.1).is_err() && share("loss", f64::NAN).is_err()
        );
    }
}
