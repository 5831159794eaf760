//! Controlled delay, CoDel (RFC 8289): a queue that has been too long for too long loses frames, ever faster, until it
//! is short again.

use tcp::{Nanos, Time};

use super::{Fifo, Manager, Queued, TailDrop};
use crate::link::LinkCounts;

/// The parameters of CoDel.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CodelConfig {
    /// The wait that is acceptable. RFC 8289 §4.4: 5 ms.
    pub target: Nanos,
    /// How long the wait may exceed it; about the longest round trip. RFC 8289 §4.3: 100 ms.
    pub interval: Nanos,
    /// Packets that can carry a mark are marked instead of dropped.
    pub ecn: bool,
}

impl Default for CodelConfig {
    fn default() -> CodelConfig {
        CodelConfig { target: Nanos::from_millis(5), interval: Nanos::from_millis(100), ecn: true }
    }
}

/// `maxpacket` of RFC 8289 §5: a queue of less than a full frame is never too long.
const FULL_FRAME: usize = 1_514;

/// The control law of one queue (RFC 8289 §5, with its names).
#[derive(Debug)]
pub(super) struct Control {
    cfg: CodelConfig,
    first_above_time: Option<Time>,
    drop_next: Time,
    count: u64,
    last_count: u64,
    dropping: bool,
}

impl Control {
    pub(super) fn new(cfg: CodelConfig) -> Control {
        Control {
            cfg,
            first_above_time: None,
            drop_next: Time::ZERO,
            count: 0,
            last_count: 0,
            dropping: false,
        }
    }

    /// The next frame to send; those dropped on the way are counted.
    pub(super) fn dequeue(&mut self, now: Time, fifo: &mut Fifo, counts: &mut LinkCounts) -> Option<Queued> {
        let (mut item, mut ok_to_drop) = self.pop(now, fifo);
        if self.dropping {
            self.dropping = ok_to_drop;
            while self.dropping && now >= self.drop_next {
                self.count += 1;
                if item.as_mut().is_some_and(|item| self.cfg.ecn && item.mark(counts)) {
                    self.drop_next = self.after(self.drop_next);
                    return item;
                }
                drop_early(item, counts);
                (item, ok_to_drop) = self.pop(now, fifo);
                self.dropping = ok_to_drop;
                if self.dropping {
                    self.drop_next = self.after(self.drop_next);
                }
            }
        } else if ok_to_drop {
            if !item.as_mut().is_some_and(|item| self.cfg.ecn && item.mark(counts)) {
                drop_early(item, counts);
                (item, _) = self.pop(now, fifo);
            }
            self.dropping = true;
            // Soon after the last time: go on at the rate that held the queue then.
            let delta = self.count - self.last_count;
            let recently = now.since(self.drop_next) < self.cfg.interval * 16;
            self.count = if delta > 1 && recently { delta } else { 1 };
            self.drop_next = self.after(now);
            self.last_count = self.count;
        }
        item
    }

    /// `dodequeue`: takes a frame, and whether it may be dropped.
    fn pop(&mut self, now: Time, fifo: &mut Fifo) -> (Option<Queued>, bool) {
        let Some(item) = fifo.pop() else {
            self.first_above_time = None;
            return (None, false);
        };
        if now.since(item.since) < self.cfg.target || fifo.bytes() <= FULL_FRAME {
            self.first_above_time = None;
            return (Some(item), false);
        }
        let first = *self.first_above_time.get_or_insert(now + self.cfg.interval);
        (Some(item), now >= first)
    }

    /// `control_law`: drops come closer together with the square root of their number.
    fn after(&self, t: Time) -> Time {
        t + Nanos::from_nanos((self.cfg.interval.as_nanos() as f64 / (self.count as f64).sqrt()) as u64)
    }
}

fn drop_early(item: Option<Queued>, counts: &mut LinkCounts) {
    counts.early += u64::from(item.is_some_and(|item| item.is_real()));
}

impl Manager for Control {
    fn dequeue(&mut self, now: Time, queue: &mut TailDrop, counts: &mut LinkCounts) -> Option<Queued> {
        self.dequeue(now, queue.fifo(), counts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::segment;
    use super::super::Queue;
    use super::super::{Managed, item};
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Nanos::from_millis(ms)
    }

    /// A frame comes every millisecond, and one leaves every millisecond, `wait` milliseconds later; the times at which
    /// frames were dropped or marked.
    fn events(cfg: CodelConfig, ecn: u8, wait: u64, until: u64) -> (Vec<u64>, LinkCounts) {
        let queue = TailDrop::new(usize::MAX, usize::MAX);
        let mut queue = Managed { manager: Control::new(cfg), queue };
        let mut counts = LinkCounts::default();
        let mut events = Vec::new();
        for ms in 0..until {
            // What was dropped is made up for, so that the wait stays the same.
            while queue.frames() as u64 <= wait {
                let since = at(ms.saturating_sub(wait - queue.frames() as u64));
                queue.enqueue(since, item(segment(1, ecn, 0, 1_000)), &mut counts);
            }
            let before = counts.early + counts.marked;
            let sent = queue.dequeue(at(ms), &mut counts);
            assert!(sent.is_some());
            events.extend((before..counts.early + counts.marked).map(|_| ms));
        }
        (events, counts)
    }

    #[test]
    fn rfc8289_drops_begin_after_an_interval_and_come_closer_with_the_square_root() {
        let (drops, counts) = events(CodelConfig::default(), 0, 20, 600);
        // The wait exceeds the target from 5 ms on, an interval later the first drop; then 100/√1, 100/√2, … ms apart.
        let first = drops[0];
        assert!((100..=125).contains(&first), "{drops:?}");
        let gaps: Vec<u64> = drops.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (n, gap) in gaps.iter().enumerate().take(8) {
            let law = 100.0 / ((n + 1) as f64).sqrt();
            assert!((*gap as f64 - law).abs() <= 1.5, "gap {n} is {gap} ms, {law} by the law: {drops:?}");
        }
        assert_eq!((counts.early, counts.marked, counts.overflowed), (drops.len() as u64, 0, 0));
    }

    #[test]
    fn rfc8289_a_wait_below_the_target_is_left_alone() {
        assert_eq!(events(CodelConfig::default(), 0, 4, 1_000).0, [0; 0]);
    }

    #[test]
    fn packets_that_can_carry_a_mark_are_marked_at_the_same_times() {
        let (drops, _) = events(CodelConfig::default(), 0, 20, 300);
        let (marks, counts) = events(CodelConfig::default(), 0b10, 20, 300);
        assert_eq!((counts.early, counts.marked), (0, marks.len() as u64));
        assert_eq!(marks[..3], drops[..3]);
        let (_, counts) = events(CodelConfig { ecn: false, ..CodelConfig::default() }, 0b10, 20, 300);
        assert!(counts.marked == 0 && counts.early > 0);
    }

    #[test]
    fn rfc8289_less_than_a_full_frame_behind_is_never_too_long() {
        let (mut queue, mut counts) = (
            Managed { manager: Control::new(CodelConfig::default()), queue: TailDrop::new(9, 9_999) },
            LinkCounts::default(),
        );
        for ms in (0..10_000).step_by(1_000) {
            queue.enqueue(at(ms), item(segment(1, 0, 0, 1_000)), &mut counts);
            queue.enqueue(at(ms), item(segment(1, 0, 0, 1_000)), &mut counts);
            for _ in 0..2 {
                assert!(queue.dequeue(at(ms + 900), &mut counts).is_some());
            }
        }
        assert_eq!(counts.early, 0);
    }
}
