//! What can go wrong at the engine's surface. Each error says what happened, where, and what to do.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;

/// A configuration that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not 1 to 32.
    #[error("a prefix of /{0} is impossible for an IPv4 address: give 1 to 32, for example 10.0.0.2/24")]
    Prefix(u8),
    /// Not an address a host can have.
    #[error("{0} cannot be a host's address: give a unicast address that is not loopback")]
    Address(Ipv4Addr),
    /// The address of the network itself, or the one that means all its hosts.
    #[error(
        "{address}/{prefix} cannot be a host's address: it stands for the network or for all its hosts; give another \
         address inside it"
    )]
    NotAHost {
        /// Our address.
        address: Ipv4Addr,
        /// Our prefix length.
        prefix: u8,
    },
    /// Addresses that do not lie in one network, or too many.
    #[error(
        "the addresses {first} to {last} cannot all be ours: they must lie in one network of /{prefix}, the smaller one first, and \
         be at most 65536"
    )]
    Range {
        /// Our first address.
        first: Ipv4Addr,
        /// Our last one.
        last: Ipv4Addr,
        /// Our prefix length.
        prefix: u8,
    },
    /// Outside our network, no host's address, or ourselves.
    #[error(
        "the gateway {gateway} cannot be reached from {address}/{prefix}: it must be another address inside that network"
    )]
    Gateway {
        /// The gateway.
        gateway: Ipv4Addr,
        /// Our address.
        address: Ipv4Addr,
        /// Our prefix length.
        prefix: u8,
    },
    /// Below what IPv4 promises.
    #[error("an MTU of {0} bytes is too small: IPv4 needs at least 68, a useful path 576 or more")]
    Mtu(u16),
    /// Zero or beyond the bound.
    #[error("max_connections is {0}: give 1 to 16777216")]
    MaxConnections(u32),
    /// Something that must be at least 1.
    #[error("{0} is 0: it must be at least 1")]
    Zero(&'static str),
    /// The port's limits leave no room for a frame.
    #[error(
        "the port lends header buffers of {room} bytes, but a frame needs {needed}: give its pool larger buffers"
    )]
    HeaderRoom {
        /// What it offers.
        room: u16,
        /// What is needed.
        needed: u16,
    },
}

/// Why a connection could not be started.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// IPv6, for now.
    #[error("cannot connect to {0}: IPv6 is not sent yet; give an IPv4 address")]
    Family(SocketAddr),
    /// Nothing that can be connected to.
    #[error("cannot connect to {0}: not a unicast address of another host")]
    Destination(SocketAddr),
    /// Outside our network and no gateway.
    #[error("no route to {remote}: it is outside {network}/{prefix} and no gateway is set")]
    NoRoute {
        /// Who was to be reached.
        remote: IpAddr,
        /// Our network.
        network: Ipv4Addr,
        /// Its prefix length.
        prefix: u8,
    },
    /// Every slot is taken.
    #[error("{0} connections are open already: raise max_connections or close some")]
    TooManyConnections(u32),
    /// Too many neighbours.
    #[error("the neighbour table is full ({0} addresses): raise neighbours.max")]
    TooManyNeighbours(u32),
    /// The endpoint refused, for example because no port is free.
    #[error(transparent)]
    Endpoint(#[from] tcp::endpoint::ConnectError),
}

/// Why [`Engine::send`](crate::Engine::send) or [`send_copy`](crate::Engine::send_copy) took nothing. The payload of
/// a zero-copy send is inside: nothing is lost.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<B> {
    /// What was to be sent; `()` for copying sends.
    pub payload: B,
    /// Why it was not.
    pub reason: SendRefusal,
}

/// Why nothing was taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SendRefusal {
    /// The send buffer is full, or the handshake is not complete. A `Writable` or `Connected` event follows.
    #[error("the send buffer is full: wait for the Writable event")]
    Full,
    /// Memory is short (`S5`): no buffer to copy into, or all connections together have queued as much as they may. A
    /// `Writable` event follows when there is some again.
    #[error(
        "memory for sending is short: wait for the Writable event, or give it more (send_bytes, queued_bytes)"
    )]
    NoBuffers,
    /// The sending direction was closed, by us or with the connection.
    #[error("the sending direction is closed")]
    Finished,
    /// The handle is stale.
    #[error("the connection is gone: its handle was released, or it belongs to another engine")]
    NoSuchConnection,
}

impl<B> fmt::Debug for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({:?})", self.reason)
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl<B> std::error::Error for SendError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}
