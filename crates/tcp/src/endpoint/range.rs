//! The addresses that one host has.

use core::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Addresses in a row, of one family, at least one. However many there are, it is as large as two.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AddressRange {
    first: IpAddr,
    /// How many follow the first.
    more: u32,
}

impl AddressRange {
    /// Those from `first` to `last`, both included. `None` where they are of two families, where `last` comes before `first`, and
    /// where there are more than 2^32.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<AddressRange> {
        let more = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => u32::from(last).checked_sub(u32::from(first))?,
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                u128::from(last).checked_sub(u128::from(first))?.try_into().ok()?
            }
            _ => return None,
        };
        Some(AddressRange { first, more })
    }

    /// The first.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The last: the first where there is no other.
    pub fn last(&self) -> IpAddr {
        self.nth(self.more.into())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        u64::from(self.more) + 1
    }

    /// The one that `n` others come before; those behind the last begin again with the first.
    pub fn nth(&self, n: u64) -> IpAddr {
        let n = n % self.count();
        match self.first {
            // No sum leaves the family: the last address is one of it.
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first).wrapping_add(n as u32)).into(),
            IpAddr::V6(first) => Ipv6Addr::from(u128::from(first).wrapping_add(n.into())).into(),
        }
    }

    /// Whether `ip` is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        AddressRange::new(self.first, ip).is_some_and(|to| to.more <= self.more)
    }
}

/// One address.
impl From<IpAddr> for AddressRange {
    fn from(first: IpAddr) -> AddressRange {
        AddressRange { first, more: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Option<AddressRange> {
        AddressRange::new(first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn both_ends_belong_to_a_range_and_nothing_beyond() {
        for (first, last, before, behind, count) in [
            ("10.0.0.2", "10.0.3.254", "10.0.0.1", "10.0.3.255", 1021),
            ("10.0.0.2", "10.0.0.2", "10.0.0.1", "10.0.0.3", 1),
            ("2001:db8::2", "2001:db8::1:1", "2001:db8::1", "2001:db8::1:2", 0x1_0000),
        ] {
            let range = range(first, last).unwrap();
            assert_eq!((range.first().to_string(), range.last().to_string()), (first.into(), last.into()));
            assert_eq!(range.count(), count);
            assert!(range.contains(first.parse().unwrap()) && range.contains(last.parse().unwrap()));
            assert!(!range.contains(before.parse().unwrap()) && !range.contains(behind.parse().unwrap()));
            assert_eq!(range.nth(count), range.first(), "they are taken by turns");
            assert!((0..count).all(|n| range.contains(range.nth(n))));
        }
        assert!(!range("10.0.0.2", "10.0.0.9").unwrap().contains("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn what_is_no_range_is_none() {
        assert_eq!(range("10.0.0.2", "10.0.0.1"), None);
        assert_eq!(range("10.0.0.2", "2001:db8::2"), None);
        assert_eq!(range("2001:db8::", "2001:db9::"), None);
        let all = range("0.0.0.0", "255.255.255.255").unwrap();
        assert_eq!((all.count(), all.last()), (1 << 32, "255.255.255.255".parse::<IpAddr>().unwrap()));
    }
}
