//! What a router or the peer's host says about a segment we sent, in the terms of TCP.

use crate::Seq;

/// An ICMP error about one of our segments, of either family.
///
/// Anybody can forge one. A connection believes it only when [`seq`](IcmpError::seq) lies in SND.UNA..SND.NXT
/// (RFC 5927 §4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct IcmpError {
    /// What it says.
    pub kind: IcmpErrorKind,
    /// The sequence number of the segment it quotes.
    pub seq: Seq,
}

/// What an ICMP error says, sorted by what TCP has to do (RFC 9293 §3.9.2.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum IcmpErrorKind {
    /// The packet does not fit the next hop and may not be fragmented (RFC 1191 §4, RFC 8201 §4): lower the MSS.
    PacketTooBig {
        /// Bytes of the largest IP packet that fits; `None` when an old router left the field zero. Then the quoted
        /// packet's length says more: see [`parse_quoted_v4`](crate::wire::parse_quoted_v4).
        mtu: Option<u32>,
    },
    /// The host has no such protocol or port, or an administrator forbids it. Hard (SHLD-26), but in
    /// synchronised states a forger's first choice: there it counts as soft (RFC 5927 §5.2).
    HardUnreachable,
    /// A network or host could not be reached, or a source route failed. Passing trouble: never ends a
    /// connection by itself (MUST-56).
    SoftUnreachable,
    /// The hop limit ran out, or reassembly timed out. Soft.
    TimeExceeded,
    /// A header field made no sense to somebody. Soft.
    ParameterProblem,
}
