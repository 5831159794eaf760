//! Which addresses can be an end of a connection.

use std::net::{IpAddr, Ipv4Addr};

use crate::FourTuple;

/// True for an address that one host can have: neither unspecified, nor multicast, nor limited broadcast, nor
/// one of
/// `broadcasts`, the directed broadcast addresses of our networks.
pub(super) fn is_unicast(ip: IpAddr, broadcasts: &[Ipv4Addr]) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && !broadcasts.contains(&ip)
        }
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// True when a segment between these two may be looked at (MUST-57, MUST-63). One that claims to come from
/// its own destination is forged, to make us answer ourselves; port 0 is reserved (RFC 6335 §6), and no answer can
/// be addressed to it.
pub(super) fn is_plausible(tuple: &FourTuple, broadcasts: &[Ipv4Addr]) -> bool {
    is_unicast(tuple.local.ip(), broadcasts)
        && is_unicast(tuple.remote.ip(), broadcasts)
        && tuple.local != tuple.remote
        && tuple.local.port() != 0
        && tuple.remote.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_can_talk() {
        let broadcasts = [Ipv4Addr::new(10, 0, 0, 255)];
        for good in ["10.0.0.1", "10.0.1.255", "2001:db8::1", "fe80::1"] {
            assert!(is_unicast(good.parse().unwrap(), &broadcasts), "{good}");
        }
        for bad in
            ["0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255", "10.0.0.255", "::", "ff02::1"]
        {
            assert!(!is_unicast(bad.parse().unwrap(), &broadcasts), "{bad}");
        }
    }
}
