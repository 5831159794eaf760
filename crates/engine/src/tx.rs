//! Sending: connections take turns, propose bursts, and hear what became of them.
//!
//! Propose, stage, offer, then commit or refuse, in the order of the proposals. A burst the port did not take was
//! not sent (`S24`): nothing of it remains in the connection's state, and its connection is first in line next time.

use core::iter;

use tcp::{Burst, BurstKind, Nanos, Payload, Time, TxLimits};

use crate::engine::Engine;
use crate::frame::{Address, COPY_BREAK, MAX_HEADERS};
use crate::nic::{Nic, StageError, TailBuf, TxFrame, TxStop};
use crate::segment::{Cuts, part};
use crate::slot::Slot;

/// Turns of one iteration for each frame it may send. Most turns of an idle iteration find nothing to send.
const TURNS_PER_FRAME: usize = 4;

/// Connections that leave the parking place in one iteration.
const MAX_UNPARKED: usize = 64;

/// Frames staged, waiting for the port's word.
#[derive(Debug)]
pub(crate) enum Staged {
    /// A reply that no connection knows of.
    Reply { bytes: u32, reset: bool, echo: bool },
    /// The first `frames` frames of a connection's burst.
    Burst { index: u32, burst: Burst, cuts: Cuts, frames: u32, header_bytes: u32 },
}

/// Why a frame could not be staged.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Shortage {
    Header,
    Buffers,
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
        self.refusals += 1;
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

/// How a turn ended.
#[derive(PartialEq, Eq)]
enum Turn {
    Done,
    /// The port takes no more for now.
    PortFull,
}

impl<N: Nic> Engine<N> {
    /// Lets connections send until all had their turn, the bound is reached or the port is full. Returns the number of
    /// frames sent.
    pub(crate) fn transmit(&mut self, now: Time) -> u32 {
        let before = self.counters.tx_frames;
        let ample = self.reserve.refill(&mut self.nic, now);
        if ample && self.reserve.retry_at() <= now {
            while let Some(index) = self.starved.pop_front() {
                if let Some(slot) = self.slots.get_mut(index).filter(|s| s.starved) {
                    slot.starved = false;
                    self.enqueue(index);
                }
            }
        }
        self.port.advance(now);
        self.unpark();
        if self.backoff.may_send(now) {
            let mut left = u32::from(self.cfg.bounds.tx_frames);
            let mut turns = usize::from(self.cfg.bounds.tx_frames) * TURNS_PER_FRAME;
            let mut ample = ample;
            while left > 0 && turns > 0 {
                turns -= 1;
                let Some((index, served)) = self.whose_turn() else { break };
                if self.turn(index, served, &mut left, &mut ample, now) == Turn::PortFull {
                    break;
                }
            }
        }
        self.flush(now);
        (self.counters.tx_frames - before) as u32
    }

    /// The next connection, and whether it waited for room in the port's queue. Those come first, in the order in which
    /// they came: else the ones whose ACKs arrive would take every byte of room that the ACKs make.
    fn whose_turn(&mut self) -> Option<(u32, bool)> {
        while !self.queue_waiters.is_empty() && self.port.has_room(self.staged_bytes, self.worth()) {
            let Some(index) = self.queue_waiters.pop_front() else { break };
            if let Some(slot) = self.slots.get_mut(index).filter(|s| s.waits_for_queue) {
                slot.waits_for_queue = false;
                slot.queued = true;
                return Some((index, true));
            }
        }
        self.run.pop_front().map(|index| (index, false))
    }

    /// Half a burst is worth a turn; less would make the frames small.
    fn worth(&self) -> u32 {
        self.cutter.limits().max_len / 2
    }

    /// One connection's turn: bursts until it has no more, or its quantum or a budget is used up. `served` says that it
    /// has waited for room in the port's queue; `ample` turns false when buffers run out.
    fn turn(&mut self, index: u32, served: bool, left: &mut u32, ample: &mut bool, now: Time) -> Turn {
        let Some(slot) = self.slots.get_mut(index).filter(|s| s.queued) else { return Turn::Done };
        slot.queued = false;
        if slot.is_over() || slot.retry_at.is_some() {
            return Turn::Done;
        }
        let Some(mac) = self.neighbours.mac(slot.neighbour, now) else {
            if !slot.waiting {
                slot.waiting = true;
                self.neighbours.wait(slot.neighbour, index);
            }
            return Turn::Done;
        };
        // What a burst took beyond the last quantum is paid back first; what was left of it is not saved up.
        slot.deficit = slot.deficit.min(0) + i64::from(self.cfg.bounds.quantum.max(1));
        slot.occupancy.settle(self.port.left());
        loop {
            let Some(slot) = self.slots.get_mut(index) else { return Turn::Done };
            if *left == 0 {
                self.first_in_line(index);
                return Turn::Done;
            }
            if slot.deficit <= 0 {
                self.enqueue(index);
                return Turn::Done;
            }
            let whole = *self.cutter.limits();
            // Without buffers to spare, or with others waiting, only what budgets do not bind: ACKs, retransmissions.
            let budget = if *ample && (served || self.queue_waiters.is_empty()) {
                self.port.budget(slot.occupancy.bytes() + slot.staged, self.staged_bytes)
            } else {
                0
            };
            let Some(burst) = slot.conn.poll_transmit(now, &TxLimits { budget, ..whole }) else {
                self.nothing_to_send(index, *ample, budget < whole.max_len);
                return Turn::Done;
            };
            slot.deficit -= i64::from(burst.len) + MAX_HEADERS as i64;
            let frames = self.cutter.cuts(&burst, slot.plain).frames;
            // A burst is not torn across two offers if it fits one.
            let batch = u32::from(self.nic.limits().tx_batch.max(1));
            if self.staged_frames > 0 && u32::from(self.staged_frames) + frames > batch && !self.flush(now) {
                // Something before it was refused, perhaps of the same connection: so must this be.
                self.refuse(index, &burst, now);
                self.line_up();
                return Turn::PortFull;
            }
            let (all, shortage) = self.stage_burst(index, burst, mac, batch.min(*left));
            *left = left.saturating_sub(frames);
            if all {
                continue;
            }
            // What was not staged has to be refused after what was is committed.
            self.flush(now);
            if shortage.is_none() || !self.backoff.may_send(now) {
                return if self.backoff.may_send(now) { Turn::Done } else { Turn::PortFull };
            }
            self.reserve.ran_dry(now);
            self.nic.reclaim();
            if !std::mem::replace(ample, false) {
                self.starve(index);
                return Turn::Done;
            }
            // Once more, for what the reserve is for.
        }
    }

    /// A connection has nothing to send, or nothing that it may: sees to it that it has its turn again.
    fn nothing_to_send(&mut self, index: u32, ample: bool, budget_bound: bool) {
        self.touch(index);
        let whole_burst = self.cutter.limits().max_len;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let marks = slot.conn.marks();
        if marks.accepted == marks.sent {
            return;
        }
        let held = slot.occupancy.bytes() + slot.staged;
        if !ample {
            self.starve(index);
        } else if budget_bound && held > 0 && self.port.connection_budget(held) < whole_burst {
            if !slot.parked {
                slot.parked = true;
                self.parked.push_back(index);
                self.counters.tx_budget_limited += 1;
            }
        } else if budget_bound && !slot.waits_for_queue {
            slot.waits_for_queue = true;
            self.queue_waiters.push_back(index);
            self.counters.tx_queue_limited += 1;
        }
    }

    /// A connection waits for buffers. Its place in the run queue, if it has one, is void.
    fn starve(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.queued = false;
        if !slot.starved {
            slot.starved = true;
            self.starved.push_back(index);
        }
    }

    /// Stages up to `max` frames of a burst. Returns whether that was all of it, and what was lacking.
    fn stage_burst(&mut self, index: u32, burst: Burst, mac: [u8; 6], max: u32) -> (bool, Option<Shortage>) {
        let Some(slot) = self.slots.get_mut(index) else { return (true, None) };
        let mut cuts = self.cutter.cuts(&burst, slot.plain);
        let (mut frames, mut shortage, mut header_bytes) = (0, None, 0);
        while frames < cuts.frames.min(max) {
            match self.stage_frame(index, &burst, &cuts, frames, mac) {
                Ok(headers) => {
                    header_bytes = headers;
                    frames += 1;
                }
                Err(why) => {
                    shortage = Some(why);
                    break;
                }
            }
        }
        let urgent = matches!(burst.kind, BurstKind::Retransmit | BurstKind::WindowProbe);
        if frames == 0 && shortage == Some(Shortage::Buffers) && urgent {
            // No buffer to refer to its payload, but one for headers: copy a segment behind them.
            cuts = self.cutter.last_resort(&burst);
            if let Ok(headers) = self.stage_frame(index, &burst, &cuts, 0, mac) {
                header_bytes = headers;
                frames = 1;
            }
        }
        if !cuts.tso && cuts.frames > 1 {
            self.counters.tx_soft_segmented += 1;
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.staged += burst.len;
        }
        self.staged_bytes += burst.len;
        self.staged_frames += frames as u16;
        self.staged.push(Staged::Burst { index, burst, cuts, frames, header_bytes });
        (frames == cuts.frames, shortage)
    }

    /// Builds frame number `n` of a burst and stages it; returns the length of its headers.
    fn stage_frame(
        &mut self,
        index: u32,
        burst: &Burst,
        cuts: &Cuts,
        n: u32,
        mac: [u8; 6],
    ) -> Result<u32, Shortage> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(Shortage::Buffers) };
        let cut = cuts.nth(burst, n);
        let tso = cuts.tso && cut.len > u32::from(cut.mss);
        let Some(to) = address(slot, mac) else { return Err(Shortage::Buffers) };

        let mut header = match self.nic.lend_header() {
            Some(h) => h,
            None => {
                self.counters.tx_no_header += 1;
                let urgent = !matches!(burst.kind, BurstKind::New | BurstKind::Syn);
                let kept = if urgent { self.reserve.take() } else { None };
                let kept = kept.ok_or(Shortage::Header)?;
                self.counters.tx_reserve_used += 1;
                kept
            }
        };
        let (headers, mut meta) = self.framer.headers(&to, &cut, tso, &mut header);
        let segments = if tso { cut.segments() } else { 1 };

        let behind = self.framer.fits_behind(headers, cut.len);
        let staged = if behind && (cuts.copy || cut.len <= COPY_BREAK) {
            let mut at = headers;
            for (buf, range) in slot.conn.slices(&cut) {
                let bytes = &buf.as_slice()[range];
                header[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len();
            }
            let (head, payload) = header.split_at_mut(headers);
            self.framer.finish(&to, &meta, head, cut.len, iter::once(&payload[..cut.len as usize]));
            if cut.len > 0 {
                self.counters.tx_payload_copied += 1;
            }
            let frame = TxFrame { header, header_len: at as u16, meta };
            self.nic.stage(frame, iter::empty())
        } else {
            meta.payload_len = cut.len;
            let whole = if cuts.copy {
                false
            } else {
                self.framer.chain_fits(meta.tso_segsz, slot.conn.slices(&cut))
            };
            if whole {
                let bytes = slot.conn.slices(&cut).map(|(b, r)| &b.as_slice()[r]);
                self.framer.finish(&to, &meta, &mut header, cut.len, bytes);
                let frame = TxFrame { header, header_len: headers as u16, meta };
                self.nic.stage(frame, slot.conn.slices(&cut))
            } else {
                self.counters.tx_linearised += 1;
                linearise(&mut self.nic, slot, &cut, &mut self.pieces)?;
                let pieces = || self.pieces.iter().map(|p| (p, 0..p.len()));
                if !self.framer.chain_fits(meta.tso_segsz, pieces()) {
                    // Tail buffers too small for this burst: smaller frames need fewer of them.
                    self.pieces.clear();
                    slot.plain = true;
                    return Err(Shortage::Buffers);
                }
                let bytes = self.pieces.iter().map(|p| p.as_slice());
                self.framer.finish(&to, &meta, &mut header, cut.len, bytes);
                let frame = TxFrame { header, header_len: headers as u16, meta };
                let staged = self.nic.stage(frame, pieces());
                self.pieces.clear();
                staged
            }
        };
        match staged {
            Ok(()) => {
                slot.ip_id = slot.ip_id.wrapping_add(segments as u16);
                Ok(headers as u32)
            }
            Err(StageError::NoBuffers) => {
                self.counters.tx_no_buffers += 1;
                Err(Shortage::Buffers)
            }
            Err(StageError::TooManyReferences) => {
                self.counters.tx_too_many_references += 1;
                Err(Shortage::Buffers)
            }
        }
    }

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
                    self.commit(index, &burst, &cuts, sent, header_bytes, now);
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
    fn commit(&mut self, index: u32, burst: &Burst, cuts: &Cuts, sent: u32, header_bytes: u32, now: Time) {
        if sent > 0 {
            let covered = cuts.covered(burst, sent);
            let mut last = 0;
            for n in 0..sent {
                let payload = cuts.nth(burst, n).len;
                last = self.count_frame(header_bytes + payload, now);
            }
            self.count_burst(burst, cuts, sent, covered);
            let Some(slot) = self.slots.get_mut(index) else { return };
            slot.staged = 0;
            if covered > 0 {
                let end = (burst.kind == BurstKind::New).then(|| burst.offset + u64::from(covered));
                slot.occupancy.push(last, covered, end);
            }
            slot.refused_since = None;
            if sent == cuts.frames {
                slot.plain = false;
                slot.conn.on_sent(burst, now);
            } else {
                slot.conn.on_sent(&cuts.first(burst, sent), now);
            }
        }
        if sent < cuts.frames {
            let covered = cuts.covered(burst, sent);
            self.refuse(index, &part(burst, covered, burst.len - covered), now);
        }
        self.touch(index);
    }

    /// Takes a burst back and puts its connection in line again.
    fn refuse(&mut self, index: u32, burst: &Burst, now: Time) {
        self.counters.tx_refused_bursts += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.staged = 0;
        slot.conn.on_refused(burst);
        let since = *slot.refused_since.get_or_insert(now);
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
        slot.conn.abort();
        self.counters.connections_stuck += 1;
    }

    /// Refused connections go first, in the order they had.
    fn line_up(&mut self) {
        let mut refused = std::mem::take(&mut self.refused);
        for index in refused.drain(..).rev() {
            self.first_in_line(index);
        }
        self.refused = refused;
    }

    fn first_in_line(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.run.push_front(index);
        }
    }

    /// Counts a frame the port took; returns its number.
    fn count_frame(&mut self, bytes: u32, now: Time) -> u64 {
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += u64::from(bytes);
        self.port.push(bytes, now)
    }

    fn count_burst(&mut self, burst: &Burst, cuts: &Cuts, sent: u32, covered: u32) {
        let c = &mut self.counters;
        let segments = if cuts.tso { covered.div_ceil(u32::from(burst.mss)) + sent - 1 } else { sent };
        c.tx_segments += u64::from(segments);
        c.tx_payload_bytes += u64::from(covered);
        if covered > 0 {
            c.tx_bursts += 1;
        }
        if cuts.tso {
            c.tx_tso_bursts += 1;
            c.tx_tso_bytes += u64::from(covered);
            c.tx_fin_split += u64::from(sent > 1);
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
            BurstKind::New => {}
        }
    }

    /// Connections whose bursts may have left the port go back into the run queue.
    fn unpark(&mut self) {
        let worth = self.worth();
        for _ in 0..self.parked.len().min(MAX_UNPARKED) {
            let Some(index) = self.parked.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(index).filter(|s| s.parked) else { continue };
            slot.occupancy.settle(self.port.left());
            let held = slot.occupancy.bytes();
            if self.port.connection_budget(held) >= worth || held == 0 {
                slot.parked = false;
                self.enqueue(index);
            } else {
                self.parked.push_back(index);
            }
        }
    }
}

/// Whom this connection's frames are for. `None` for IPv6, which no connection here has.
fn address<N: Nic>(slot: &Slot<N>, mac: [u8; 6]) -> Option<Address> {
    use std::net::SocketAddr::V4;
    let tuple = slot.conn.tuple();
    match (tuple.local, tuple.remote) {
        (V4(local), V4(remote)) => Some(Address { mac, local, remote, ip_id: slot.ip_id }),
        _ => None,
    }
}

/// Copies the payload of `cut` into as few buffers as can be had.
fn linearise<N: Nic>(
    nic: &mut N,
    slot: &Slot<N>,
    cut: &Burst,
    out: &mut Vec<N::Buf>,
) -> Result<(), Shortage> {
    out.clear();
    let mut tail: Option<N::Tail> = None;
    let mut filled = 0;
    for (buf, range) in slot.conn.slices(cut) {
        let mut bytes = &buf.as_slice()[range];
        while !bytes.is_empty() {
            let room = match &mut tail {
                Some(t) => t.spare().len() - filled,
                None => 0,
            };
            if room == 0 {
                if let Some(t) = &mut tail {
                    out.push(t.freeze(filled));
                }
                filled = 0;
                tail = nic.alloc_tail();
                if tail.is_none() {
                    out.clear();
                    return Err(Shortage::Buffers);
                }
                continue;
            }
            let n = room.min(bytes.len());
            if let Some(t) = &mut tail {
                t.spare()[filled..filled + n].copy_from_slice(&bytes[..n]);
            }
            filled += n;
            bytes = &bytes[n..];
        }
    }
    if let Some(t) = &mut tail
        && filled > 0
    {
        out.push(t.freeze(filled));
    }
    Ok(())
}
