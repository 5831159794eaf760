//! What became of the frames that were offered: bursts are committed or refused in the order of their proposals.

use tcp::conn::HeldBy;
use tcp::{Burst, BurstKind, Nanos, Time};

use crate::engine::Engine;
use crate::nic::{Nic, TxStop};
use crate::segment::{Cuts, part};

/// Frames staged, waiting for the port's word.
#[derive(Debug)]
pub(crate) enum Staged {
    /// A reply that no connection knows of.
    Reply { bytes: u32, reset: bool, echo: bool },
    /// The first `frames` frames of a connection's burst.
    Burst { index: u32, burst: Burst, cuts: Cuts, frames: u32, header_bytes: u32 },
}

/// When to offer frames again after the port took none (`S24`): soon, since a ring drains in microseconds, then ever
/// later, since a link that is down may stay so.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    refusals: u32,
    retry_at: Time,
}

impl Backoff {
    const FIRST: Nanos = Nanos::from_micros(2);
    const LAST: Nanos = Nanos::from_millis(1);

    fn refused(&mut self, now: Time) {
        let delay = Nanos::from_nanos(Self::FIRST.as_nanos() << self.refusals.min(20)).min(Self::LAST);
        self.refusals = self.refusals.saturating_add(1);
        self.retry_at = now + delay;
    }

    fn taken(&mut self) {
        self.refusals = 0;
        self.retry_at = Time::ZERO;
    }

    pub(crate) fn may_send(&self, now: Time) -> bool {
        self.retry_at <= now
    }

    pub(crate) fn retry_at(&self) -> Time {
        self.retry_at
    }
}

impl<N: Nic> Engine<N> {
    /// Offers what is staged to the port and tells each connection what became of it. True when the port took
    /// everything and nothing had been left out.
    pub(crate) fn flush(&mut self, now: Time) -> bool {
        if self.staged.is_empty() {
            return true;
        }
        let outcome = self.nic.tx_burst();
        self.staged_frames = 0;
        self.staged_bytes = 0;
        let mut taken = u32::try_from(outcome.sent).unwrap_or(u32::MAX);
        if taken > 0 {
            self.backoff.taken();
        }
        let mut complete = true;
        let mut rejected = match outcome.stop {
            Some(TxStop::Rejected(errno)) => Some(errno),
            _ => None,
        };
        let mut staged = std::mem::take(&mut self.staged);
        for s in staged.drain(..) {
            match s {
                Staged::Reply { bytes, reset, echo } => {
                    if taken > 0 {
                        taken -= 1;
                        self.count_frame(bytes, now);
                        self.counters.tx_segments += u64::from(reset);
                        self.counters.tx_resets += u64::from(reset);
                        self.counters.tx_echo_replies += u64::from(echo);
                    } else {
                        self.counters.tx_replies_dropped += 1;
                        rejected = None;
                    }
                }
                Staged::Burst { index, burst, cuts, frames, header_bytes } => {
                    let sent = taken.min(frames);
                    taken -= sent;
                    // Frames that were not even staged say nothing about the port.
                    let by_port = sent < frames;
                    self.commit(index, &burst, &cuts, sent, header_bytes, by_port, now);
                    if sent < frames
                        && let Some(errno) = rejected.take()
                    {
                        self.rejected(index, cuts.copy, errno, now);
                    }
                    complete &= sent == cuts.frames;
                }
            }
        }
        self.staged = staged;
        self.line_up();
        match outcome.stop {
            Some(TxStop::RingFull) => {
                self.counters.tx_ring_full += 1;
                self.backoff.refused(now);
                false
            }
            Some(TxStop::Rejected(_)) => false,
            None => complete,
        }
    }

    /// Commits the first `sent` frames of a burst and refuses the rest.
    #[allow(clippy::too_many_arguments)] // What a staged burst consists of.
    fn commit(
        &mut self,
        index: u32,
        burst: &Burst,
        cuts: &Cuts,
        sent: u32,
        header_bytes: u32,
        by_port: bool,
        now: Time,
    ) {
        if sent > 0 {
            let covered = cuts.covered(burst, sent);
            let mut last = 0;
            for n in 0..sent {
                last = self.count_frame(header_bytes + cuts.len_of(burst, n), now);
            }
            self.count_burst(burst, cuts, sent, covered);
            let Some(slot) = self.slots.get_mut(index) else { return };
            slot.staged = 0;
            if covered > 0 {
                slot.occupancy.push(last, burst.offset, covered, burst.kind == BurstKind::New);
            }
            slot.refused_since = None;
            if sent == cuts.frames {
                slot.plain &= burst.len == 0;
                slot.conn.on_sent(burst, now);
            } else {
                slot.conn.on_sent(&cuts.first(burst, sent), now);
            }
        }
        if self.stamps.is_on() {
            self.committed_stamp(index, burst, cuts, sent, now);
        }
        if sent < cuts.frames {
            let covered = cuts.covered(burst, sent);
            let by = if by_port { HeldBy::Port } else { HeldBy::Memory };
            self.refuse(index, &part(burst, covered, burst.len - covered), by_port, by, now);
        }
        self.touch(index);
    }

    /// Takes a burst back and puts its connection in line again. `offered` says that the port itself refused it, which
    /// it may not do for ever; being short of buffers never ends a connection (`S5`).
    pub(crate) fn refuse(&mut self, index: u32, burst: &Burst, offered: bool, by: HeldBy, now: Time) {
        self.counters.tx_refused_bursts += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.staged = 0;
        slot.conn.on_refused(burst);
        slot.conn.on_held(now, by);
        let since = if offered { *slot.refused_since.get_or_insert(now) } else { now };
        if now.since(since) > self.cfg.stuck_timeout {
            self.give_up(index);
        } else {
            self.refused.push(index);
        }
        self.touch(index);
    }

    /// The driver will never take the frame at hand. Plain frames come next; if even those are rejected, later tries
    /// are few, until the connection is given up.
    fn rejected(&mut self, index: u32, was_plain: bool, errno: i32, now: Time) {
        self.counters.tx_rejected_frames += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.errno = Some(errno);
        slot.plain = true;
        if was_plain {
            self.counters.tx_rejected_plain += 1;
            slot.retry_at = Some(now + Nanos::from_millis(10));
        }
    }

    /// Ends a connection whose frames the port does not take.
    fn give_up(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index).filter(|s| !s.stuck) else { return };
        slot.stuck = true;
        slot.tell_stuck = true;
        slot.conn.abort(self.now);
        // One end, and the better reason (`S6`).
        slot.conn.take_error();
        self.counters.connections_stuck += 1;
    }

    /// Counts a frame the port took; returns its number.
    fn count_frame(&mut self, bytes: u32, now: Time) -> u64 {
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += u64::from(bytes);
        self.port.push(bytes, now)
    }

    fn count_burst(&mut self, burst: &Burst, cuts: &Cuts, sent: u32, covered: u32) {
        let c = &mut self.counters;
        let segments = if cuts.tso { covered.div_ceil(u32::from(burst.mss)) } else { sent };
        c.tx_segments += u64::from(segments);
        c.tx_payload_bytes += u64::from(covered);
        if covered > 0 {
            c.tx_bursts += 1;
        }
        if cuts.tso {
            c.tx_tso_bursts += 1;
            c.tx_tso_bytes += u64::from(covered);
        }
        match burst.kind {
            BurstKind::Retransmit => {
                c.tx_retransmitted_segments += u64::from(segments);
                c.tx_retransmitted_bytes += u64::from(covered);
            }
            BurstKind::Ack => c.tx_acks += 1,
            BurstKind::Syn => c.tx_syns += 1,
            BurstKind::Reset => c.tx_resets += 1,
            BurstKind::WindowProbe => c.tx_window_probes += 1,
            BurstKind::Keepalive => c.tx_keepalive_probes += 1,
            BurstKind::New => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_down_for_ever_is_tried_now_and_then() {
        let mut backoff = Backoff { refusals: u32::MAX, retry_at: Time::ZERO };
        backoff.refused(Time::ZERO);
        assert_eq!(backoff.retry_at(), Time::ZERO + Backoff::LAST);
        backoff.taken();
        assert!(backoff.may_send(Time::ZERO));
    }
}
