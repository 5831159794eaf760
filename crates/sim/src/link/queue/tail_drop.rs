//! First in, first out; a full queue drops the newest.

use tcp::Time;

use super::{Fifo, Queue, Queued};
use crate::link::LinkCounts;

/// The plainest queue.
#[derive(Debug)]
pub(in super::super) struct TailDrop {
    fifo: Fifo,
    most_frames: usize,
    most_bytes: usize,
}

impl TailDrop {
    pub(in super::super) fn new(most_frames: usize, most_bytes: usize) -> TailDrop {
        TailDrop { fifo: Fifo::default(), most_frames, most_bytes }
    }

    /// The frames themselves, for disciplines that build on this one.
    pub(super) fn fifo(&mut self) -> &mut Fifo {
        &mut self.fifo
    }
}

impl Queue for TailDrop {
    fn enqueue(&mut self, now: Time, mut item: Queued, counts: &mut LinkCounts) {
        // An empty queue takes any frame, however few bytes it holds: a path that passes nothing is an outage.
        let full = self.fifo.len() >= self.most_frames || self.fifo.bytes() + item.len > self.most_bytes;
        if full && self.fifo.len() > 0 {
            counts.overflowed += u64::from(item.is_real());
            return;
        }
        item.since = now;
        self.fifo.push(item);
    }

    fn dequeue(&mut self, _now: Time, _counts: &mut LinkCounts) -> Option<Queued> {
        self.fifo.pop()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool) {
        self.fifo.retain(keep);
    }

    fn frames(&self) -> usize {
        self.fifo.len()
    }

    fn bytes(&self) -> usize {
        self.fifo.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::item;
    use super::*;

    #[test]
    fn the_newest_is_dropped_by_frames_or_by_bytes() {
        for (frames, bytes) in [(3, usize::MAX), (usize::MAX, 350)] {
            let (mut queue, mut counts) = (TailDrop::new(frames, bytes), LinkCounts::default());
            (1..=5).for_each(|n| queue.enqueue(Time::ZERO, item(vec![n; 100]), &mut counts));
            assert_eq!((queue.frames(), queue.bytes(), counts.overflowed), (3, 300, 2));
            let left: Vec<u8> =
                std::iter::from_fn(|| queue.dequeue(Time::ZERO, &mut counts)).map(|i| i.frame[0]).collect();
            assert_eq!(left, [1, 2, 3]);
        }
    }
}
