//! What a connection wants on the wire next: one header description over up to a TSO frame's worth of payload.

use crate::wire::{ECT_0, OptionBytes, TcpFlags};
use crate::{Nanos, Offset, Seq};

/// A proposal to send. It names a range of the stream; `Connection::slices`
/// yields the payload. Proposals are committed (`on_sent`) or taken back (`on_refused`) in the order they were
/// made, and after one was refused all later ones of that connection must be refused too.
///
/// A burst longer than [`mss`](Burst::mss) is for a device to segment: `seq` advances by `mss` from frame to
/// frame, PSH appears on the last only, CWR on the first only. FIN is on none: some devices lose it then, so it follows alone.
#[derive(Copy, Clone, Debug)]
pub struct Burst {
    /// Sequence number of the first byte (or of the SYN or FIN when there is no payload).
    pub seq: Seq,
    /// Acknowledgement number; meaningful when `flags` has ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field as it goes on the wire, already scaled.
    pub window: u16,
    /// Encoded TCP options, a multiple of four bytes long.
    pub options: OptionBytes,
    /// Stream offset of the first payload byte.
    pub offset: Offset,
    /// Payload bytes in all.
    pub len: u32,
    /// Payload bytes per wire segment; at least 1.
    pub mss: u16,
    /// Why it is sent.
    pub kind: BurstKind,
    /// The IP header says that both ends understand marks of congestion: ECT(0) (RFC 3168 §5).
    pub ect: bool,
}

impl Burst {
    /// The ECN field of its IP header.
    pub fn ecn(&self) -> u8 {
        if self.ect { ECT_0 } else { 0 }
    }
}

impl Burst {
    /// Wire segments this burst becomes; a burst without payload is one.
    pub fn segments(&self) -> u32 {
        self.len.div_ceil(u32::from(self.mss)).max(1)
    }

    /// The first `len` bytes of this burst alone: what is committed when a device took only part of it. FIN and
    /// PSH stay with the part that did not leave.
    #[must_use]
    pub fn first(&self, len: u32) -> Burst {
        if len >= self.len {
            return *self;
        }
        Burst { len, flags: self.flags.without(TcpFlags::FIN | TcpFlags::PSH), ..*self }
    }
}

/// Why a burst is sent: what to count, and which of the invariants may be excepted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BurstKind {
    /// Bytes, or a FIN, never sent before.
    New,
    /// Bytes sent before.
    Retransmit,
    /// A probe of a closed window (RFC 9293 §3.8.6.1).
    WindowProbe,
    /// A question to a peer that is silent (RFC 9293 §3.8.4).
    Keepalive,
    /// SYN or SYN,ACK, first or repeated.
    Syn,
    /// No payload, no SYN, no FIN.
    Ack,
    /// RST.
    Reset,
}

/// What the device can take in one burst (`S8`, `S10`); the caller derives it from the port's limits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TxLimits {
    /// Payload bytes of one burst, at most. With one MSS or less here, every burst is a single segment.
    pub max_len: u32,
    /// Wire segments of one burst, at most.
    pub max_segments: u16,
    /// Payload slices of one burst, at most: the chain's length without its header mbuf.
    pub max_slices: u16,
    /// Below this MSS the device cannot segment: bursts are then one MSS long.
    pub min_tso_mss: u16,
    /// Below this MSS it is the caller who cuts a burst into frames of one segment each: a longer burst saves nothing on
    /// the wire, so no segment waits for company (`S8`, `S18`, `S22`). `u16::MAX`: always, the device never segments.
    pub cut_below_mss: u16,
    /// Payload bytes the connection may still hand to the port (`S24`). Retransmissions and bursts without
    /// payload are not bound by it.
    pub budget: u32,
    /// Payload bytes of the connection that the port still holds, as far as the caller knows: while there are any, small
    /// sends may wait (`S18`).
    pub held: u32,
    /// About how long the caller may be away before it asks again: a paced burst is at least as long as this takes at
    /// its rate (`S25`). Zero where time stands still between calls.
    pub loop_period: Nanos,
}
