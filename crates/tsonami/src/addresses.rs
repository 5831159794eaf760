//! Our own addresses, as settings name them.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;
use std::net::IpAddr;

use ipnet::{IpNet, PrefixLenError};
use serde::{Deserialize, Serialize};

/// Our own address with the length of its network's prefix, `10.0.0.2/24`, or several in a row, `10.0.0.2-10.0.3.254/16`.
///
/// An engine answers for all of them, and its connections leave from each in turn. So there are local ports for as many times 28232
/// connections to one peer, those in TIME-WAIT included. That many addresses cost no memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses {
    first: IpNet,
    last: IpAddr,
}

/// Why a text names no addresses of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressesError {
    /// There is no `/` and length behind the addresses.
    #[error("'{0}' lacks the length of its network, such as /24 behind it")]
    NoLength(String),
    /// What stands there is no address.
    #[error("'{0}' is no address: give ADDRESS/LENGTH, such as 10.0.0.2/24, or FIRST-LAST/LENGTH")]
    NotAnAddress(String),
    /// No length that an address of this family can have.
    #[error("'/{0}' is no length of a network: give 1 to 32, for example 10.0.0.2/24")]
    Length(String),
    /// The last one comes before the first, or is of another family or network.
    #[error("'{0}' is no range: its addresses must lie in one network, the smaller one first")]
    Range(String),
}

impl Addresses {
    /// Those from `first` to `last`, both included, in a network whose prefix has `prefix_len` bits.
    ///
    /// # Errors
    /// When the length is impossible, or the two do not lie in one network in this order.
    pub fn range(first: IpAddr, last: IpAddr, prefix_len: u8) -> Result<Addresses, ParseAddressesError> {
        let net = IpNet::new(first, prefix_len)
            .map_err(|_: PrefixLenError| ParseAddressesError::Length(prefix_len.to_string()))?;
        if !net.contains(&last) || last < first {
            return Err(ParseAddressesError::Range(format!("{first}-{last}/{prefix_len}")));
        }
        Ok(Addresses { first: net, last })
    }

    /// The first, or only, address.
    pub fn first(&self) -> IpAddr {
        self.first.addr()
    }

    /// The last address; the first where there is only one.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Bits of the network's prefix.
    pub fn prefix_len(&self) -> u8 {
        self.first.prefix_len()
    }

    /// How many there are; as many as a `u64` holds where there are more.
    pub fn count(&self) -> u64 {
        let more = match (self.first(), self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => u64::from(u32::from(last) - u32::from(first)),
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                u64::try_from(u128::from(last) - u128::from(first)).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        more.saturating_add(1)
    }

    /// Whether `ip` is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.all().contains(&ip)
    }

    /// Whether `ip` is an address of their network: theirs or a neighbour's.
    pub fn is_neighbourly(&self, ip: IpAddr) -> bool {
        self.first.contains(&ip)
    }

    pub(crate) fn all(&self) -> RangeInclusive<IpAddr> {
        self.first()..=self.last
    }
}

/// One address.
impl From<IpNet> for Addresses {
    fn from(first: IpNet) -> Addresses {
        Addresses { first, last: first.addr() }
    }
}

impl FromStr for Addresses {
    type Err = ParseAddressesError;

    fn from_str(text: &str) -> Result<Addresses, ParseAddressesError> {
        let address =
            |text: &str| text.parse().map_err(|_| ParseAddressesError::NotAnAddress(text.to_owned()));
        let (range, len) = match text.split_once('/') {
            Some((range, len)) => (range, Some(len)),
            None => (text, None),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (address(first)?, address(last)?);
        let len = len.ok_or_else(|| ParseAddressesError::NoLength(text.to_owned()))?;
        let bits = len.parse().map_err(|_| ParseAddressesError::Length(len.to_owned()))?;
        Addresses::range(first, last, bits)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first() == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}/{}", self.first(), self.last, self.prefix_len())
    }
}

impl TryFrom<String> for Addresses {
    type Error = ParseAddressesError;

    fn try_from(text: String) -> Result<Addresses, ParseAddressesError> {
        text.parse()
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> String {
        addresses.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (text, count) in [
            ("10.0.0.2/24", 1),
            ("10.0.0.2-10.0.3.254/16", 1021),
            ("2001:db8::2/64", 1),
            ("2001:db8::2-2001:db8::ffff/64", 0xfffe),
            ("2001:db8::-2001:db8::ffff:ffff:ffff:ffff/64", u64::MAX),
        ] {
            let addresses: Addresses = text.parse().unwrap();
            assert_eq!((addresses.to_string().as_str(), addresses.count()), (text, count));
            assert!(addresses.contains(addresses.first()) && addresses.contains(addresses.last()));
        }
        let one: Addresses = "10.0.0.2-10.0.0.2/24".parse().unwrap();
        assert_eq!(one, IpNet::new_assert("10.0.0.2".parse().unwrap(), 24).into());
        let several: Addresses = "10.0.0.2-10.0.0.9/24".parse().unwrap();
        assert!(!several.contains("10.0.0.10".parse().unwrap()));
        assert!(several.is_neighbourly("10.0.0.10".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| text.parse::<Addresses>().unwrap_err();
        assert_eq!(wrong("10.0.0.2"), ParseAddressesError::NoLength("10.0.0.2".into()));
        assert_eq!(wrong("10.0.0.2-10.0.0.3"), ParseAddressesError::NoLength("10.0.0.2-10.0.0.3".into()));
        assert_eq!(wrong("10.0.0.x-10.0.0.3/8"), ParseAddressesError::NotAnAddress("10.0.0.x".into()));
        assert_eq!(wrong("10.0.0.2-9/8"), ParseAddressesError::NotAnAddress("9".into()));
        assert_eq!(wrong("10.0.0.2/33"), ParseAddressesError::Length("33".into()));
        assert_eq!(wrong("10.0.0.2/"), ParseAddressesError::Length(String::new()));
        for range in ["10.0.0.3-10.0.0.2/24", "10.0.0.2-10.0.1.2/24", "10.0.0.2-::9/24"] {
            assert_eq!(wrong(range), ParseAddressesError::Range(range.into()));
        }
    }
}
