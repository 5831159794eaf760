//! Sending: connections take turns, propose bursts, and hear what became of them.
//!
//! Propose, stage, offer, then commit or refuse, in the order of the proposals. A burst the port did not take was
//! not sent (`S24`): nothing of it remains in the connection's state, and its connection is first in line next time.

use tcp::conn::HeldBy;
use tcp::{Burst, BurstKind, Time, TxLimits};

use crate::engine::Engine;
use crate::frame::MAX_HEADERS;
use crate::nic::Nic;
use crate::stage::Shortage;

/// Turns of one iteration for each frame it may send. Most turns of an idle iteration find nothing to send.
const TURNS_PER_FRAME: usize = 4;

/// Connections that come back to the run queue in one iteration, from each of the places where they wait.
const MAX_RESUMED: usize = 64;

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
        self.pressure.mbufs(ample, &mut self.counters);
        if ample && self.reserve.retry_at() <= now {
            for _ in 0..self.starved.len().min(MAX_RESUMED) {
                let Some(index) = self.starved.pop_front() else { break };
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

    /// A whole burst is worth a turn; for less a connection with something in the port would wait again.
    fn worth(&self) -> u32 {
        self.cutter.limits().max_len
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
            slot.conn.on_held(now, HeldBy::Port);
            if !slot.waiting {
                slot.waiting = true;
                self.neighbours.wait(slot.neighbour, index);
            }
            return Turn::Done;
        };
        // What a burst took beyond the last quantum is paid back first; what was left of it is not saved up.
        slot.deficit = slot.deficit.min(0) + i64::from(self.cfg.bounds.quantum.max(1));
        slot.occupancy.settle(self.port.left());
        let loop_period = self.lateness.loop_period();
        slot.allowance = match slot.conn.pacing_rate() {
            None => self.port.unpaced(),
            Some(rate) => {
                let limits = TxLimits { loop_period, ..*self.cutter.limits() };
                self.port.paced(rate, slot.conn.paced_burst(rate, &limits))
            }
        };
        loop {
            let Some(slot) = self.slots.get_mut(index) else { return Turn::Done };
            if *left == 0 {
                self.first_in_line(index);
                return Turn::Done;
            }
            if slot.deficit <= 0 {
                if !self.run.is_empty() || !self.queue_waiters.is_empty() {
                    self.enqueue(index);
                    return Turn::Done;
                }
                // Nobody else waits: the next turn is its own.
                slot.deficit += i64::from(self.cfg.bounds.quantum.max(1));
            }
            let whole = *self.cutter.limits();
            // Without buffers to spare, or with others waiting, only what budgets do not bind: ACKs, retransmissions.
            let budget = if *ample && (served || self.queue_waiters.is_empty()) {
                self.port.budget(slot.allowance, slot.occupancy.bytes() + slot.staged, self.staged_bytes)
            } else {
                0
            };
            let max_slices = whole.max_slices.min(slot.slices);
            let held = slot.occupancy.bytes() + slot.staged;
            let longest = slot.allowance.burst;
            let limits = TxLimits { budget, max_slices, held, loop_period, ..whole };
            let Some(burst) = slot.conn.poll_transmit(now, &limits) else {
                self.nothing_to_send(index, *ample, budget < longest);
                return Turn::Done;
            };
            if burst.kind == BurstKind::Retransmit
                && let Some(frame) = slot.occupancy.holds(burst.offset, burst.len)
            {
                self.hold(index, &burst, frame, now);
                return Turn::Done;
            }
            slot.deficit -= i64::from(burst.len) + MAX_HEADERS as i64;
            let cuts = self.cutter.cuts(&burst, slot.plain);
            // One more than that where the last is timed by the device.
            let frames = cuts.frames + u32::from(self.stamps.is_on());
            // A burst is not torn across two offers if it fits one.
            let batch = u32::from(self.nic.limits().tx_batch.max(1));
            if self.staged_frames > 0 && u32::from(self.staged_frames) + frames > batch && !self.flush(now) {
                // Something before it was refused, perhaps of the same connection: so must this be.
                self.refuse(index, &burst, false, HeldBy::Port, now);
                self.line_up();
                return Turn::PortFull;
            }
            let (all, shortage) = self.stage_burst(index, burst, cuts, mac, batch.min(*left));
            *left = left.saturating_sub(frames);
            if let Some(slot) = self.slots.get_mut(index) {
                // A burst that needs more buffers than will ever be free at once must not be tried for ever.
                slot.slices = match shortage {
                    Some(Shortage::Buffers) => (max_slices / 2).max(1),
                    _ => slot.slices.saturating_mul(2),
                };
            }
            if all {
                continue;
            }
            // What was not staged has to be refused after what was is committed.
            self.flush(now);
            if shortage.is_none() || !self.backoff.may_send(now) {
                return if self.backoff.may_send(now) { Turn::Done } else { Turn::PortFull };
            }
            if self.reserve.ran_dry(now) {
                self.nic.reclaim();
            }
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
        let Some(slot) = self.slots.get_mut(index) else { return };
        let marks = slot.conn.marks();
        if marks.accepted == marks.sent {
            return;
        }
        let held = slot.occupancy.bytes() + slot.staged;
        if !ample {
            self.starve(index);
        } else if held > 0 && slot.conn.waits_for_port() {
            // S18: until the last of it has left. What is staged has no number yet: the next turn sees it.
            slot.held_by = slot.held_by.max(slot.occupancy.last_frame());
            self.park(index);
        } else if budget_bound && held > 0 && slot.allowance.left(held) < slot.allowance.burst {
            self.counters.tx_budget_limited += u64::from(!slot.parked);
            self.park(index);
        } else if budget_bound && !slot.waits_for_queue {
            slot.waits_for_queue = true;
            self.queue_waiters.push_back(index);
            self.counters.tx_queue_limited += 1;
        }
    }

    /// What `burst` repeats is still in the port (`S43`): to send it again would only lengthen the queue. It waits until
    /// `frame` has left.
    fn hold(&mut self, index: u32, burst: &Burst, frame: u64, now: Time) {
        // Proposals are taken back after those made before are committed.
        self.flush(now);
        self.counters.tx_retransmissions_held += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.conn.on_refused(burst);
        slot.conn.on_held(now, HeldBy::Port);
        slot.held_by = frame;
        self.park(index);
        self.touch(index);
    }

    fn park(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.parked
        {
            slot.parked = true;
            self.parked.push_back(index);
        }
    }

    /// A connection waits for buffers. Its place in the run queue, if it has one, is void.
    fn starve(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.queued = false;
        slot.conn.on_held(self.now, HeldBy::Memory);
        if !slot.starved {
            slot.starved = true;
            self.starved.push_back(index);
        }
    }

    /// Refused connections go first, in the order they had.
    pub(crate) fn line_up(&mut self) {
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

    /// Connections whose bursts may have left the port go back into the run queue.
    fn unpark(&mut self) {
        for _ in 0..self.parked.len().min(MAX_RESUMED) {
            let Some(index) = self.parked.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(index).filter(|s| s.parked) else { continue };
            slot.occupancy.settle(self.port.left());
            let held = slot.occupancy.bytes();
            let left = slot.held_by <= self.port.left();
            if left && (slot.allowance.left(held) >= slot.allowance.burst || held == 0) {
                slot.parked = false;
                self.enqueue(index);
            } else {
                self.parked.push_back(index);
            }
        }
    }
}
