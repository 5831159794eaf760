//! How short the core is of memory for what is queued, and what follows from it (`S5`).
//!
//! Two things are scarce: the NIC's buffers that copying sends fill, and, where the configuration bounds it, the memory
//! that all send queues together hold. For whoever copies, that of which more is used counts; a send by reference takes
//! none of the former, and only the latter counts for it. The marks are those of Linux's `tcp_mem`:
//!
//! - at three quarters, *pressure* begins: a connection that writes has its send buffer shrunk, unless the user fixed its
//!   size, and no buffer grows;
//! - at fifteen sixteenths it is *full*: a connection that has something queued gets no more, so that one with nothing
//!   queued still gets a segment's worth;
//! - below a half everything is as before.
//!
//! Writers that were refused for it wait, those for a buffer to copy into in one queue and those by reference in another, and
//! are woken in turn, each with the buffer it waited for.
//! Linux cannot queue them at the memory and lets each sleep for 2 to 200 ms at random; here nobody is woken in vain,
//! and nobody is overtaken.
//!
//! Mbufs are another matter: frames in the port hold them, not what is queued, so smaller send buffers would free
//! none. Of these a [reserve](crate::reserve) is kept, new data waits while it is not full, and that counts as pressure.

use crate::counters::Counters;
use crate::engine::Engine;
use crate::nic::Nic;
use crate::slot::Slot;

/// Waiters woken in one iteration.
const MAX_WOKEN: usize = 64;

/// How short of memory it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Level {
    Easy,
    Pressed,
    Full,
}

impl Level {
    /// Where `used` of `total` is, coming from `before`.
    fn of(used: u64, total: u64, before: Level) -> Level {
        let begins = if before == Level::Easy { total - total / 4 } else { total / 2 + 1 };
        match used {
            _ if used >= total - total / 16 => Level::Full,
            _ if used >= begins => Level::Pressed,
            _ => Level::Easy,
        }
    }
}

/// The state of the core's memory.
#[derive(Debug)]
pub(crate) struct Pressure {
    /// Of the buffers that copies fill.
    copies: Level,
    /// Of what all queues may hold.
    queues: Level,
    /// Memory that all send queues together may hold.
    bound: Option<u64>,
    /// What they do.
    queued: u64,
    /// The reserve of mbufs could not be filled.
    mbufs_short: bool,
}

impl Pressure {
    pub(crate) fn new(bound: Option<u64>) -> Pressure {
        Pressure { copies: Level::Easy, queues: Level::Easy, bound, queued: 0, mbufs_short: false }
    }

    /// How short it is of what a send needs that `copies`, or does not.
    fn level(&self, copies: bool) -> Level {
        if copies { self.copies.max(self.queues) } else { self.queues }
    }

    /// A send that `copies`, or does not, gets nothing behind what its connection has queued.
    pub(crate) fn is_full(&self, copies: bool) -> bool {
        self.level(copies) == Level::Full
    }

    /// What the queues hold is counted.
    pub(crate) fn is_bounded(&self) -> bool {
        self.bound.is_some()
    }

    /// A queue that held `before` holds `now`.
    pub(crate) fn charge(&mut self, before: u64, now: u64) {
        self.queued = (self.queued + now).saturating_sub(before);
    }

    /// Looks at what is in use; `copies` of `total` bytes of the buffers that copying sends fill.
    fn look(&mut self, copies: u64, total: Option<u64>, counters: &mut Counters) {
        let before = self.level(true);
        self.copies = total.map_or(Level::Easy, |total| Level::of(copies, total, self.copies));
        self.queues = self.bound.map_or(Level::Easy, |bound| Level::of(self.queued, bound, self.queues));
        let now = self.level(true);
        if now != before {
            counters.memory_pressure_entered += u64::from(before == Level::Easy);
            counters.memory_pressure_left += u64::from(now == Level::Easy);
            counters.memory_full += u64::from(now == Level::Full);
        }
    }

    /// Whether header buffers are `ample`: the reserve is full.
    pub(crate) fn mbufs(&mut self, ample: bool, counters: &mut Counters) {
        if self.mbufs_short == ample {
            self.mbufs_short = !ample;
            counters.mbuf_pressure_entered += u64::from(!ample);
            counters.mbuf_pressure_left += u64::from(ample);
        }
    }
}

impl<N: Nic> Engine<N> {
    /// Looks at the memory in use.
    #[inline]
    pub(crate) fn look_at_memory(&mut self) {
        self.pressure.look(self.nic.tail_bytes_out(), self.nic.tail_bytes(), &mut self.counters);
    }

    /// Before a connection writes something that it `copies`, or does not: its buffer follows the core's memory. False when
    /// there is none for it now.
    #[inline]
    pub(crate) fn memory_for(&mut self, index: u32, copies: bool) -> bool {
        match self.slots.working(index) {
            Some(slot) if slot.pressed || self.pressure.level(copies) != Level::Easy => {
                self.memory_under_pressure(index, copies)
            }
            _ => true,
        }
    }

    #[cold]
    fn memory_under_pressure(&mut self, index: u32, copies: bool) -> bool {
        self.look_at_memory();
        let level = self.pressure.level(copies);
        let Some(slot) = self.slots.get_mut(index) else { return true };
        slot.pressed = level != Level::Easy;
        slot.conn.on_memory_pressure(slot.pressed);
        let marks = slot.conn.marks();
        level != Level::Full || marks.acked == marks.accepted
    }

    /// A write was refused for want of memory: its connection waits, for a buffer to copy into when it wants a `tail`. What
    /// it has queued leaves before, however short it is.
    pub(crate) fn wait_for_memory(&mut self, index: u32, tail: bool) {
        self.counters.memory_waits += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.conn.push_before_waiting();
        slot.conn.wait_for_memory(self.now);
        (slot.wants_memory, slot.wants_tail) = (true, tail);
        let queue = usize::from(tail);
        if !slot.in_memory_queue[queue] {
            slot.in_memory_queue[queue] = true;
            self.memory_waiters[queue].push_back(index);
        }
        self.used(index);
    }

    /// Somebody waits for memory.
    pub(crate) fn has_memory_waiters(&self) -> bool {
        self.memory_waiters.iter().any(|queue| !queue.is_empty())
    }

    /// Wakes connections that wait for memory, first come first served, while there is some. True when there may be more,
    /// for those whose turn comes in the next iteration.
    pub(crate) fn serve_memory_waiters(&mut self) -> bool {
        self.serve_waiters_for(false) | self.serve_waiters_for(true)
    }

    /// Those that want a buffer to copy into, or those that do not.
    fn serve_waiters_for(&mut self, copies: bool) -> bool {
        let queue = usize::from(copies);
        for _ in 0..MAX_WOKEN {
            let Some(&index) = self.memory_waiters[queue].front() else { return false };
            let wants = |s: &&Slot<N>| s.wants_memory && s.wants_tail == copies && !s.is_over();
            if let Some(slot) = self.slots.working(index).filter(wants) {
                let marks = slot.conn.marks();
                if self.pressure.is_full(copies) && marks.acked != marks.accepted {
                    return false;
                }
                let tail = if copies && slot.tail.is_none() {
                    let Some(tail) = self.nic.alloc_small_tail() else { return false };
                    Some(tail)
                } else {
                    None
                };
                let Some(slot) = self.slots.get_mut(index) else { return false };
                if tail.is_some() {
                    slot.tail = tail;
                }
                (slot.memory_ready, slot.wants_memory) = (true, false);
                slot.conn.has_memory(self.now);
                self.tell(index);
                self.look_at_memory();
            }
            self.memory_waiters[queue].pop_front();
            if let Some(slot) = self.slots.get_mut(index) {
                slot.in_memory_queue[queue] = false;
            }
        }
        !self.memory_waiters[queue].is_empty()
    }

    /// What the connection's queue holds counts for the core's memory. Nothing once it is over: what it had queued goes back
    /// to its owners as fast as devices let go of it, and whoever keeps the handle of a dead connection takes nothing from
    /// the others.
    #[inline]
    pub(crate) fn charge_queue(&mut self, index: u32) {
        if self.pressure.is_bounded()
            && let Some(slot) = self.slots.get_mut(index)
        {
            let now = if slot.is_over() { 0 } else { slot.conn.queued_memory() };
            self.pressure.charge(slot.charged, now);
            slot.charged = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_pressure_begins_at_three_quarters_and_ends_below_a_half() {
        let (mut p, mut c) = (Pressure::new(None), Counters::default());
        let mut level = |used: u64| {
            p.look(used, Some(1600), &mut c);
            p.level(true)
        };
        use Level::{Easy, Full, Pressed};
        for (used, expected) in [
            (0, Easy),
            (1199, Easy),
            (1200, Pressed),
            (1499, Pressed),
            (1500, Full),
            (1499, Pressed),
            (801, Pressed),
            (800, Easy),
            (1199, Easy),
            (1600, Full),
            (0, Easy),
        ] {
            assert_eq!(level(used), expected, "{used}");
        }
        assert_eq!((c.memory_pressure_entered, c.memory_pressure_left, c.memory_full), (2, 2, 2));
    }

    #[test]
    fn s5_the_scarcer_of_copies_and_queues_counts() {
        let (mut p, mut c) = (Pressure::new(Some(1000)), Counters::default());
        p.charge(0, 800);
        p.look(0, Some(100), &mut c);
        assert_eq!((p.level(true), p.level(false)), (Level::Pressed, Level::Pressed));
        p.charge(800, 100);
        p.look(80, Some(100), &mut c);
        assert_eq!(
            (p.level(true), p.level(false)),
            (Level::Pressed, Level::Easy),
            "copies bother copies only"
        );
        p.look(0, Some(100), &mut c);
        assert_eq!(p.level(true), Level::Easy);
        // A NIC that knows no bound puts nobody under pressure.
        let mut p = Pressure::new(None);
        p.charge(0, u64::MAX / 2);
        p.look(0, None, &mut c);
        assert_eq!(p.level(true), Level::Easy);
    }

    #[test]
    fn s5_mbuf_pressure_is_counted_when_it_begins_and_ends() {
        let (mut p, mut c) = (Pressure::new(None), Counters::default());
        for ample in [true, false, false, true, true, false] {
            p.mbufs(ample, &mut c);
        }
        assert_eq!((c.mbuf_pressure_entered, c.mbuf_pressure_left), (2, 1));
    }
}
