//! ACKs that a return path throws away because a later one says more.

use super::frame::{bare_ack, same_flow};
use super::queue::{Queue, Queued};

/// What becomes of ACKs on a crowded return path.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Thinning {
    /// Each is forwarded.
    #[default]
    None,
    /// A bare ACK that still waits is dropped when one of the same connection that acknowledges more arrives (ACK
    /// filtering, RFC 3449 §5.2.1). Duplicate ACKs, SACK and window updates stay.
    Filter,
}

/// Drops what `newest` makes needless from the queue; how many frames.
pub(super) fn filter(queue: &mut dyn Queue, newest: &Queued) -> u64 {
    let Some(newer) = bare_ack(&newest.frame) else { return 0 };
    let mut dropped = 0;
    queue.retain(&mut |waiting| {
        let older = bare_ack(&waiting.frame).is_some_and(|older| {
            (newer.wrapping_sub(older) as i32) > 0 && same_flow(&waiting.frame, &newest.frame)
        });
        dropped += u64::from(older);
        !older
    });
    dropped
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::segment;
    use super::super::queue::{TailDrop, item};
    use super::*;
    use crate::link::LinkCounts;
    use tcp::Time;

    #[test]
    fn rfc3449_only_older_bare_acks_of_the_same_connection_go() {
        let mut queue = TailDrop::new(100, usize::MAX);
        let mut counts = LinkCounts::default();
        let data = segment(1, 0, 10, 5);
        for frame in [
            segment(1, 0, 10, 0), // older: goes
            segment(2, 0, 10, 0), // of another connection
            data.clone(),         // carries bytes
            segment(1, 0, 20, 0), // as old: a duplicate ACK
            segment(1, 0, 15, 0), // older: goes
        ] {
            queue.enqueue(Time::ZERO, item(frame), &mut counts);
        }
        assert_eq!(filter(&mut queue, &item(segment(1, 0, 20, 0))), 2);
        assert_eq!(queue.frames(), 3);
        assert_eq!(filter(&mut queue, &item(data)), 0);
        // Sequence numbers wrap.
        queue.enqueue(Time::ZERO, item(segment(3, 0, u32::MAX, 0)), &mut counts);
        assert_eq!(filter(&mut queue, &item(segment(3, 0, 1, 0))), 1);
    }
}
