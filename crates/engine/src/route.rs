//! Where a packet goes next: to the host itself, or to the gateway.

use core::ops::RangeInclusive;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use tcp::endpoint::AddressRange;

use crate::error::ConnectError;

/// The smallest MTU IPv4 knows (RFC 791).
pub(crate) const MIN_MTU: u16 = 68;

/// Our addresses, their network, and a way out of it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Routes {
    first: Ipv4Addr,
    /// How many follow the first.
    more: u32,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

impl Routes {
    /// `prefix` is 1 to 32; all `addresses` lie in one network.
    pub(crate) fn new(addresses: RangeInclusive<Ipv4Addr>, prefix: u8, gateway: Option<Ipv4Addr>) -> Routes {
        let (first, last) = addresses.into_inner();
        Routes { first, more: u32::from(last).saturating_sub(u32::from(first)), prefix, gateway }
    }

    /// Our first address: the one that asks for others.
    pub(crate) fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// Where connections can come from: all our addresses.
    pub(crate) fn sources(&self) -> AddressRange {
        let last = Ipv4Addr::from(u32::from(self.first).wrapping_add(self.more));
        AddressRange::new(self.first.into(), last.into())
            .unwrap_or(AddressRange::from(IpAddr::V4(self.first)))
    }

    /// Whether a packet for `a` is for us.
    #[inline]
    pub(crate) fn is_ours(&self, a: Ipv4Addr) -> bool {
        u32::from(a).wrapping_sub(u32::from(self.first)) <= self.more
    }

    fn mask(&self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }

    fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first) & self.mask())
    }

    /// Whether `a` is reached without a gateway.
    pub(crate) fn is_on_link(&self, a: Ipv4Addr) -> bool {
        (u32::from(a) ^ u32::from(self.first)) & self.mask() == 0
    }

    /// The address that means every host of our network, where there is one.
    pub(crate) fn broadcast(&self) -> Option<Ipv4Addr> {
        (self.prefix < 31).then(|| Ipv4Addr::from(u32::from(self.first) | !self.mask()))
    }

    /// Whether `a` means every host of our network, or the network itself. A /31 and a /32 have neither (RFC 3021).
    pub(crate) fn is_network_broadcast(&self, a: Ipv4Addr) -> bool {
        let host = u32::from(a) & !self.mask();
        self.prefix < 31 && self.is_on_link(a) && (host == 0 || host == !self.mask())
    }

    /// Whether a host may have `a` as its address and send from it to us (RFC 1122 §3.2.1.3).
    pub(crate) fn is_peer(&self, a: Ipv4Addr) -> bool {
        !(a.is_unspecified()
            || a.is_multicast()
            || a.is_broadcast()
            || a.is_loopback()
            || self.is_ours(a)
            || self.is_network_broadcast(a))
    }

    /// Checks that `remote` can be connected to.
    pub(crate) fn destination(&self, remote: SocketAddr) -> Result<SocketAddrV4, ConnectError> {
        match remote {
            SocketAddr::V6(_) => Err(ConnectError::Family(remote)),
            SocketAddr::V4(v4) if !self.is_peer(*v4.ip()) || v4.port() == 0 => {
                Err(ConnectError::Destination(remote))
            }
            SocketAddr::V4(v4) => Ok(v4),
        }
    }

    /// The neighbour that a packet to `remote` is handed to.
    pub(crate) fn next_hop(&self, remote: Ipv4Addr) -> Result<Ipv4Addr, ConnectError> {
        if self.is_on_link(remote) {
            return Ok(remote);
        }
        self.gateway.ok_or(ConnectError::NoRoute {
            remote: remote.into(),
            network: self.network(),
            prefix: self.prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(s: &str) -> Ipv4Addr {
        s.parse().unwrap()
    }

    fn routes(address: &str, prefix: u8, gateway: Option<Ipv4Addr>) -> Routes {
        Routes::new(ip(address)..=ip(address), prefix, gateway)
    }

    #[test]
    fn every_address_of_the_range_is_ours_and_no_peer() {
        let r = Routes::new(ip("10.1.2.3")..=ip("10.1.3.4"), 16, None);
        for ours in ["10.1.2.3", "10.1.2.255", "10.1.3.0", "10.1.3.4"] {
            assert!(r.is_ours(ip(ours)) && !r.is_peer(ip(ours)), "{ours}");
        }
        for other in ["10.1.2.2", "10.1.3.5", "9.255.255.255", "10.1.9.9"] {
            assert!(!r.is_ours(ip(other)) && r.is_peer(ip(other)), "{other}");
        }
        assert_eq!((r.sources().first(), r.sources().count()), (ip("10.1.2.3").into(), 258));
    }

    #[test]
    fn on_link_is_reached_directly_and_the_rest_by_the_gateway() {
        let r = routes("10.1.2.3", 24, Some(ip("10.1.2.1")));
        assert_eq!(r.next_hop(ip("10.1.2.200")), Ok(ip("10.1.2.200")));
        assert_eq!(r.next_hop(ip("10.1.3.1")), Ok(ip("10.1.2.1")));
        assert_eq!(r.first(), ip("10.1.2.3"));
    }

    #[test]
    fn without_a_gateway_the_error_names_the_network() {
        let r = routes("10.1.2.3", 24, None);
        let e = r.next_hop(ip("8.8.8.8")).unwrap_err().to_string();
        assert!(e.contains("8.8.8.8") && e.contains("10.1.2.0/24"), "{e}");
    }

    #[test]
    fn only_unicast_hosts_are_peers() {
        let r = routes("10.1.2.3", 24, None);
        for bad in
            ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "10.1.2.3", "10.1.2.0", "10.1.2.255"]
        {
            assert!(!r.is_peer(ip(bad)), "{bad}");
            assert!(r.destination((ip(bad), 80).into()).is_err(), "{bad}");
        }
        assert!(r.is_peer(ip("10.1.3.255")));
        assert!(r.destination("10.1.2.4:0".parse().unwrap()).is_err());
        assert!(r.destination("10.1.2.4:1".parse().unwrap()).is_ok());
        assert_eq!(
            r.destination("[fe80::1]:80".parse().unwrap()),
            Err(ConnectError::Family("[fe80::1]:80".parse().unwrap()))
        );
    }

    #[test]
    fn both_ends_of_a_slash_31_are_hosts() {
        let r = routes("10.0.0.1", 31, None);
        assert!(r.is_peer(ip("10.0.0.0")));
        let r = routes("10.0.0.1", 32, None);
        assert!(r.next_hop(ip("10.0.0.2")).is_err());
    }
}
