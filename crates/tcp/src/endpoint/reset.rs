//! Resets to segments that belong to no connection.

use crate::wire::{OptionBytes, TcpFlags};
use crate::{Burst, BurstKind, Offset, Payload, Segment, Seq};

/// The answer of a CLOSED connection (RFC 9293 §3.10.7.1), and of a listener to an ACK (§3.10.7.2): `None`
/// for a RST, which is never answered by another.
pub(super) fn reset_for<P: Payload>(seg: &Segment<P>) -> Option<Burst> {
    if seg.flags.has(TcpFlags::RST) {
        return None;
    }
    Some(if seg.flags.has(TcpFlags::ACK) {
        reply(TcpFlags::RST, seg.ack, Seq(0), BurstKind::Reset)
    } else {
        let end = seg.seq + sequence_len(seg);
        reply(TcpFlags::RST | TcpFlags::ACK, Seq(0), end, BurstKind::Reset)
    })
}

/// SEG.LEN: the sequence numbers a segment takes up, SYN and FIN among them.
pub(super) fn sequence_len<P: Payload>(seg: &Segment<P>) -> u32 {
    let flag = |f| u32::from(seg.flags.has(f));
    // An IP packet's payload fits 32 bits.
    seg.payload.len() as u32 + flag(TcpFlags::SYN) + flag(TcpFlags::FIN)
}

/// A segment without payload, options or window.
pub(super) fn reply(flags: TcpFlags, seq: Seq, ack: Seq, kind: BurstKind) -> Burst {
    Burst {
        seq,
        ack,
        flags,
        window: 0,
        options: OptionBytes::EMPTY,
        offset: Offset::ZERO,
        len: 0,
        // No payload to cut: any size will do.
        mss: 1,
        kind,
        ect: false,
    }
}
