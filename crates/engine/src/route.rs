//! Where a packet goes next: to the host itself, or to the gateway.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::error::ConnectError;

/// The smallest MTU IPv4 knows (RFC 791).
pub(crate) const MIN_MTU: u16 = 68;

/// One address, its network, and a way out of it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Routes {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

impl Routes {
    /// `prefix` is 1 to 32.
    pub(crate) fn new(address: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>) -> Routes {
        Routes { address, prefix, gateway }
    }

    /// Our address: the source of whatever we send.
    pub(crate) fn source(&self) -> Ipv4Addr {
        self.address
    }

    fn mask(&self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }

    fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) & self.mask())
    }

    fn on_link(&self, a: Ipv4Addr) -> bool {
        (u32::from(a) ^ u32::from(self.address)) & self.mask() == 0
    }

    /// The address that means every host of our network, where there is one.
    pub(crate) fn broadcast(&self) -> Option<Ipv4Addr> {
        (self.prefix < 31).then(|| Ipv4Addr::from(u32::from(self.address) | !self.mask()))
    }

    /// Whether `a` means every host of our network, or the network itself. A /31 and a /32 have neither (RFC 3021).
    pub(crate) fn is_network_broadcast(&self, a: Ipv4Addr) -> bool {
        let host = u32::from(a) & !self.mask();
        self.prefix < 31 && self.on_link(a) && (host == 0 || host == !self.mask())
    }

    /// Whether a host may have `a` as its address and send from it to us (RFC 1122 §3.2.1.3).
    pub(crate) fn is_peer(&self, a: Ipv4Addr) -> bool {
        !(a.is_unspecified()
            || a.is_multicast()
            || a.is_broadcast()
            || a.is_loopback()
            || a == self.address
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
        if self.on_link(remote) {
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

    #[test]
    fn on_link_is_reached_directly_and_the_rest_by_the_gateway() {
        let r = Routes::new(ip("10.1.2.3"), 24, Some(ip("10.1.2.1")));
        assert_eq!(r.next_hop(ip("10.1.2.200")), Ok(ip("10.1.2.200")));
        assert_eq!(r.next_hop(ip("10.1.3.1")), Ok(ip("10.1.2.1")));
        assert_eq!(r.source(), ip("10.1.2.3"));
    }

    #[test]
    fn without_a_gateway_the_error_names_the_network() {
        let r = Routes::new(ip("10.1.2.3"), 24, None);
        let e = r.next_hop(ip("8.8.8.8")).unwrap_err().to_string();
        assert!(e.contains("8.8.8.8") && e.contains("10.1.2.0/24"), "{e}");
    }

    #[test]
    fn only_unicast_hosts_are_peers() {
        let r = Routes::new(ip("10.1.2.3"), 24, None);
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
        let r = Routes::new(ip("10.0.0.1"), 31, None);
        assert!(r.is_peer(ip("10.0.0.0")));
        let r = Routes::new(ip("10.0.0.1"), 32, None);
        assert!(r.next_hop(ip("10.0.0.2")).is_err());
    }
}
