//! Who waits for connections, and how many of them are half open.

use core::fmt;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::conn::ConnConfig;

/// Names a listener; never used again for another one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(u64);

/// Why listening failed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ListenError {
    /// There is a listener on exactly this address and port.
    InUse(SocketAddr),
    /// Nobody can connect to a multicast or broadcast address, or to port 0.
    InvalidAddress(SocketAddr),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::InUse(at) => write!(f, "there is a listener on {at} already"),
            ListenError::InvalidAddress(at) => {
                write!(f, "cannot listen on {at}: a unicast or unspecified address and a port are needed")
            }
        }
    }
}

impl core::error::Error for ListenError {}

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: ListenerId,
    pub(super) cfg: ConnConfig,
    backlog: usize,
    half_open: usize,
}

/// All listeners, by exact address; the unspecified address of a family stands for all of its addresses
/// (MUST-42).
#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_address: BTreeMap<SocketAddr, Listener>,
    addresses: BTreeMap<ListenerId, SocketAddr>,
    next_id: u64,
}

impl Listeners {
    /// `local` was checked. A backlog of zero counts as one.
    pub(super) fn insert(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        cfg: ConnConfig,
    ) -> Result<ListenerId, ListenError> {
        let local = plain(local);
        if self.by_address.contains_key(&local) {
            return Err(ListenError::InUse(local));
        }
        let id = ListenerId(self.next_id);
        self.next_id += 1;
        self.by_address.insert(local, Listener { id, cfg, backlog: backlog.max(1), half_open: 0 });
        self.addresses.insert(id, local);
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: ListenerId) -> bool {
        let address = self.addresses.remove(&id);
        address.is_some_and(|address| self.by_address.remove(&address).is_some())
    }

    pub(super) fn contains(&self, id: ListenerId) -> bool {
        self.addresses.contains_key(&id)
    }

    /// A listener by its name.
    pub(super) fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.addresses.get(&id).and_then(|address| self.by_address.get_mut(address))
    }

    /// The listener for segments to `local`: on that address, or else on all addresses.
    pub(super) fn find(&self, local: &SocketAddr) -> Option<&Listener> {
        let local = plain(*local);
        self.by_address.get(&local).or_else(|| self.by_address.get(&wildcard(local)))
    }

    /// The listener for a SYN to `local`, with one more connection counted as half open; `None` when its
    /// backlog is full.
    pub(super) fn admit(&mut self, local: &SocketAddr) -> Option<&Listener> {
        let local = plain(*local);
        let key = if self.by_address.contains_key(&local) { local } else { wildcard(local) };
        let listener = self.by_address.get_mut(&key).filter(|l| l.half_open < l.backlog)?;
        listener.half_open += 1;
        Some(listener)
    }

    /// One connection less is half open.
    pub(super) fn settle(&mut self, id: ListenerId) {
        if let Some(listener) = self.get_mut(id) {
            debug_assert!(listener.half_open > 0, "settled more often than accepted");
            listener.half_open = listener.half_open.saturating_sub(1);
        }
    }
}

/// Without an IPv6 flow label and scope, which say nothing about who listens.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

fn wildcard(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn found(listeners: &Listeners, address: &str) -> Option<ListenerId> {
        listeners.find(&at(address)).map(|l| l.id)
    }

    #[test]
    fn must_42_listeners_share_a_port_and_the_exact_address_goes_first() {
        let mut listeners = Listeners::default();
        let mut listen = |a: &str| listeners.insert(at(a), 1, ConnConfig::default());
        let any = listen("0.0.0.0:80").unwrap();
        let one = listen("10.0.0.1:80").unwrap();
        let two = listen("10.0.0.2:80").unwrap();
        let six = listen("[::]:80").unwrap();
        assert_eq!(listen("10.0.0.1:80"), Err(ListenError::InUse(at("10.0.0.1:80"))));
        assert_eq!(found(&listeners, "10.0.0.1:80"), Some(one));
        assert_eq!(found(&listeners, "10.0.0.2:80"), Some(two));
        assert_eq!(found(&listeners, "10.0.0.3:80"), Some(any));
        assert_eq!(found(&listeners, "[fe80::1%3]:80"), Some(six));
        assert_eq!(found(&listeners, "10.0.0.1:81"), None);
        assert!(listeners.remove(one) && !listeners.remove(one));
        assert_eq!(found(&listeners, "10.0.0.1:80"), Some(any));
    }

    #[test]
    fn s44_the_backlog_bounds_half_open_connections() {
        let mut listeners = Listeners::default();
        let id = listeners.insert(at("0.0.0.0:80"), 2, ConnConfig::default()).unwrap();
        let admit = |listeners: &mut Listeners| listeners.admit(&at("10.0.0.1:80")).is_some();
        assert!(admit(&mut listeners) && admit(&mut listeners) && !admit(&mut listeners));
        listeners.settle(id);
        assert!(admit(&mut listeners) && !admit(&mut listeners));
        listeners.remove(id);
        listeners.settle(id);
    }
}
