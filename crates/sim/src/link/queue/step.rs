//! Marks by the length of the queue at this moment, as DCTCP wants it (RFC 8257 §3.1).

use tcp::Time;

use super::{Manager, Queue, Queued, TailDrop};
use crate::link::LinkCounts;

/// One threshold.
#[derive(Debug)]
pub(in super::super) struct Step {
    /// Bytes.
    pub(super) threshold: usize,
}

impl Manager for Step {
    fn enqueue(&mut self, now: Time, mut item: Queued, queue: &mut TailDrop, counts: &mut LinkCounts) {
        // What cannot carry a mark is dropped at the full queue only: nobody would fill a link beside marked flows else.
        if queue.bytes() + item.len > self.threshold {
            item.mark(counts);
        }
        queue.enqueue(now, item, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::segment;
    use super::super::{Managed, item};
    use super::*;

    #[test]
    fn rfc8257_a_frame_is_marked_when_more_than_k_bytes_wait_with_it() {
        let queue = TailDrop::new(5, usize::MAX);
        let mut queue = Managed { manager: Step { threshold: 3_000 }, queue };
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
