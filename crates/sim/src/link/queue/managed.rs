//! Disciplines that manage a queue which else drops at its tail.

use core::fmt;

use tcp::Time;

use super::{Queue, Queued, TailDrop};
use crate::link::LinkCounts;

/// What a discipline does with frames that come and go; by itself, what the queue does.
pub(in super::super) trait Manager: fmt::Debug + Send {
    /// A frame comes.
    fn enqueue(&mut self, now: Time, item: Queued, queue: &mut TailDrop, counts: &mut LinkCounts) {
        queue.enqueue(now, item, counts);
    }

    /// The bottleneck asks for one.
    fn dequeue(&mut self, now: Time, queue: &mut TailDrop, counts: &mut LinkCounts) -> Option<Queued> {
        queue.dequeue(now, counts)
    }
}

/// A queue and who manages it.
#[derive(Debug)]
pub(in super::super) struct Managed<M> {
    pub(super) manager: M,
    pub(super) queue: TailDrop,
}

impl<M: Manager> Queue for Managed<M> {
    fn enqueue(&mut self, now: Time, item: Queued, counts: &mut LinkCounts) {
        self.manager.enqueue(now, item, &mut self.queue, counts);
    }

    fn dequeue(&mut self, now: Time, counts: &mut LinkCounts) -> Option<Queued> {
        self.manager.dequeue(now, &mut self.queue, counts)
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool) {
        self.queue.retain(keep);
    }

    fn frames(&self) -> usize {
        self.queue.frames()
    }

    fn bytes(&self) -> usize {
        self.queue.bytes()
    }
}
