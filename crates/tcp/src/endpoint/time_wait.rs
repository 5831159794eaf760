//! What TIME-WAIT answers (RFC 9293 §3.10.7.4, RFC 6191, RFC 1337, RFC 5961 §4).

use super::reset::{reply, sequence_len};
use super::time_wait_table::Kept;
use crate::conn::timestamp_clock;
use crate::wire::{OptionBytes, TcpFlags, Timestamps};
use crate::{Burst, BurstKind, Payload, Segment, Seq, Time};

/// How far a new incarnation's sequence numbers begin beyond the old one's: more than a window without
/// scaling, so that no old segment of ours looks new (RFC 1122 §4.2.2.13 a).
const NEW_INCARNATION_GAP: u32 = 65_537;

/// What to do about a segment for a connection in TIME-WAIT.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A reset: RFC 1337 §3 (F1) has TIME-WAIT live on.
    IgnoreReset,
    /// Neither ACK nor a clean SYN.
    IgnoreNonsense,
    /// Nothing new.
    Ignore,
    /// The peer's FIN again: our last ACK was lost. Acknowledge and begin 2 MSL anew (MUST-13).
    AckFin,
    /// Text from before the FIN again, whose ACK was our last: the peer still waits for it, and its FIN will follow.
    /// Acknowledge within the limits, and begin 2 MSL anew.
    AckText,
    /// Say what we expect, within the limits of a challenge ACK.
    Ack,
    /// A SYN that may take the tuple over, if somebody listens; else say what we expect.
    Reopen,
}

/// Judges `seg`. `timestamps` says whether a new incarnation would use them.
pub(super) fn judge<P: Payload>(kept: &Kept, seg: &Segment<P>, timestamps: bool) -> Action {
    let flags = seg.flags;
    if flags.has(TcpFlags::RST) {
        return Action::IgnoreReset;
    }
    if flags.has(TcpFlags::SYN) {
        return match (flags.has(TcpFlags::ACK), flags.has(TcpFlags::FIN)) {
            (false, false) if may_reopen(kept, seg, timestamps) => Action::Reopen,
            // RFC 9293 §3.10.7.4, fourth step: whatever its sequence number.
            _ => Action::Ack,
        };
    }
    if !flags.has(TcpFlags::ACK) {
        return Action::IgnoreNonsense;
    }
    // PAWS (RFC 7323 §5.3 R1): an old duplicate, even where it has a FIN, shows nothing about our last ACK.
    if let (Some(ours), Some(theirs)) = (kept.timestamps, seg.options.timestamps)
        && Seq(theirs.val).lt(Seq(ours.recent))
    {
        return Action::Ack;
    }
    let len = sequence_len(seg);
    if flags.has(TcpFlags::FIN) && seg.seq + len == kept.rcv_nxt {
        return Action::AckFin;
    }
    if !seg.payload.is_empty() && seg.seq.lt(kept.rcv_nxt) && (seg.seq + len).le(kept.rcv_nxt) {
        return Action::AckText;
    }
    // An acceptable segment without content is not answered, or two ends in TIME-WAIT would never stop.
    if len == 0 && seg.seq == kept.rcv_nxt { Action::Ignore } else { Action::Ack }
}

/// RFC 6191 §2.
fn may_reopen<P: Payload>(kept: &Kept, seg: &Segment<P>, timestamps: bool) -> bool {
    let newer_sequence = kept.rcv_nxt.le(seg.seq);
    match (kept.timestamps, seg.options.timestamps.filter(|_| timestamps)) {
        (Some(ours), Some(theirs)) if theirs.val == ours.recent => newer_sequence,
        (Some(ours), Some(theirs)) => Seq(ours.recent).lt(Seq(theirs.val)),
        (None, Some(_)) => true,
        (_, None) => newer_sequence,
    }
}

/// The initial sequence number for a tuple taken over: `isn`, unless the old incarnation came as far (RFC
/// 1122 §4.2.2.13 a).
pub(super) fn reopened_isn(kept: &Kept, isn: Seq) -> Seq {
    let least = kept.snd_nxt + NEW_INCARNATION_GAP;
    if isn.lt(least) { least } else { isn }
}

/// The ACK that says what we expect.
pub(super) fn ack(kept: &Kept, now: Time) -> Burst {
    let timestamps = kept
        .timestamps
        .map(|ts| Timestamps { val: timestamp_clock(now).wrapping_add(ts.offset), ecr: ts.recent });
    let mut burst = reply(TcpFlags::ACK, kept.snd_nxt, kept.rcv_nxt, BurstKind::Ack);
    burst.window = kept.window;
    burst.options = OptionBytes::established(timestamps, []);
    burst
}
