//! Marks by the length of the queue at this moment, as DCTCP wants it (RFC 8257 §3.1).

use tcp::Time;

use super::{Queue, Queued, TailDrop};
use crate::link::LinkCounts;

/// A queue with one threshold.
#[derive(Debug)]
pub(in super::super) struct Step {
    threshold: usize,
    tail_drop: TailDrop,
}

impl Step {
    pub(in super::super) fn new(threshold: usize, tail_drop: TailDrop) -> Step {
        Step { threshold, tail_drop }
    }
}

impl Queue for Step {
    fn enqueue(&mut self, now: Time, mut item: Queued, counts: &mut LinkCounts) {
        // What cannot carry a mark is dropped at the full queue only: nobody would fill a link beside marked flows else.
        if self.tail_drop.bytes() + item.len > self.threshold {
            item.mark(counts);
        }
        self.tail_drop.enqueue(now, item, counts);
    }

    fn dequeue(&mut self, now: Time, counts: &mut LinkCounts) -> Option<Queued> {
        self.tail_drop.dequeue(now, counts)
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool) {
        self.tail_drop.retain(keep);
    }

    fn frames(&self) -> usize {
        self.tail_drop.frames()
    }

    fn bytes(&self) -> usize {
        self.tail_drop.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::segment;
    use super::super::item;
    use super::*;

    #[test]
    fn rfc8257_a_frame_is_marked_when_more_than_k_bytes_wait_with_it() {
        let mut queue = Step::new(3_000, TailDrop::new(5, usize::MAX));
        let mut counts = LinkCounts::default();
        for _ in 0..5 {
            queue.enqueue(Time::ZERO, item(segment(1, 0b10, 0, 946)), &mut counts);
        }
        let marks: Vec<bool> = std::iter::from_fn(|| queue.dequeue(Time::ZERO, &mut counts))
            .map(|i| i.frame[15] & 3 == 3)
            .collect();
        assert_eq!(marks, [false, false, false, true, true]);
        assert_eq!((counts.marked, counts.early), (2, 0));
    }
}
