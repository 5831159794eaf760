//! A received segment, parsed and checked, with its payload still where the NIC put it.

use std::net::SocketAddr;

use crate::Seq;
use crate::wire::{TcpFlags, TcpOptions};

/// Who talks to whom, seen from here.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct FourTuple {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// A segment as it arrived. Its checksum was verified by whoever built this.
#[derive(Clone, Debug)]
pub struct Segment<P> {
    /// Sequence number of the first payload byte, or of the SYN.
    pub seq: Seq,
    /// Acknowledgement number; meaningful when `flags` has ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// The urgent pointer; meaningful when `flags` has URG.
    pub urgent: u16,
    /// Parsed options.
    pub options: TcpOptions,
    /// The ECN field of its IP header (RFC 3168 §5).
    pub ecn: u8,
    /// A further piece of a packet that came in several buffers.
    pub continues: bool,
    /// The payload; may be many MSS long where the device coalesced.
    pub payload: P,
}
