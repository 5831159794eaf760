//! Looking after a connection once something happened to it: its timer, its events, its buffers, its end.

use tcp::Time;

use crate::engine::{Engine, MAX_SETTLED, has_unreclaimed};
use crate::nic::Nic;

impl<N: Nic> Engine<N> {
    /// Looks after connections that were touched, a bounded number at a time, in the order in which they were; true when
    /// there were any.
    pub(crate) fn look_after(&mut self, now: Time) -> bool {
        if self.touched.is_empty() {
            return false;
        }
        // What is touched meanwhile waits for the next call.
        for _ in 0..self.touched.len().min(MAX_SETTLED) {
            let Some(index) = self.touched.pop_front() else { break };
            self.settle(index, now);
        }
        true
    }

    fn settle(&mut self, index: u32, now: Time) {
        self.charge_queue(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.touched = false;

        if let Some(rtt) = slot.conn.take_rtt_sample() {
            self.rtt.saturating_record(rtt.as_nanos());
        }
        let marks = slot.conn.marks();
        if let Some(frame) = slot.occupancy.acked(marks.acked) {
            self.port.leave(frame);
        }
        if slot.embryonic && (slot.conn.state().is_synchronized() || slot.is_over()) {
            slot.embryonic = false;
            if let Some(listener) = slot.accepted_by {
                self.endpoint.settled(listener);
            }
            // One that never was complete: the application will not hear of it, so it cannot let go of it either.
            slot.released |= slot.is_over();
        }
        if slot.attached {
            let time_wait = slot.conn.time_wait();
            if time_wait.is_some() || slot.is_over() {
                self.detach(index);
            }
            if let Some(tw) = time_wait {
                self.endpoint.time_wait(now, tw);
            }
        }

        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.released {
            while slot.conn.poll_event().is_some() {}
        }
        // Buffers of an application that has no use for them go back from here.
        let unreclaimed = has_unreclaimed(slot);
        if unreclaimed && (!slot.returns || slot.released) && !slot.reclaiming {
            slot.reclaiming = true;
            self.reclaims.push_back(index);
        }
        if marks.acked == marks.accepted {
            if slot.wants_memory && self.pressure.is_full(slot.wants_tail) {
                // Nothing is queued any more, and there is something left for those: it need not wait its turn (`S5`).
                if slot.wants_tail && slot.tail.is_none() {
                    slot.tail = self.nic.alloc_small_tail();
                }
                if slot.tail.is_some() || !slot.wants_tail {
                    (slot.memory_ready, slot.wants_memory) = (true, false);
                    slot.conn.has_memory(now);
                }
            } else if !slot.memory_ready && !slot.wants_memory {
                // An idle connection holds no memory.
                slot.tail = None;
            }
        }
        match slot.deadline() {
            Some(at) => self.timers.insert_no_later(index, at),
            None => self.timers.remove(index),
        }
        if slot.released && slot.is_over() && !unreclaimed {
            self.free(index);
        } else if !slot.released {
            self.tell(index);
        }
    }

    /// Takes a connection out of the flow table: segments of its tuple are the endpoint's from now on.
    fn detach(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.attached = false;
        let tuple = *slot.conn.tuple();
        let slots = &self.slots;
        self.flows.remove(&tuple, |k| slots.tuple_of(k));
        self.timers.remove(index);
    }

    fn free(&mut self, index: u32) {
        if let Some(slot) = self.slots.remove(index) {
            self.pressure.charge(slot.charged, 0);
            self.neighbours.release(slot.neighbour);
            self.counters.connections_closed += 1;
        }
    }
}
