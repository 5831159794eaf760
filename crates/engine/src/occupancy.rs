//! What a connection still has in the port (`S24`), estimated.
//!
//! Ports finish frames in the order they took them, so one number says it all: how many frames have left. It is
//! the highest of what the port reports as completed, of the frames whose payload the peer acknowledged (what is
//! acknowledged has left, and so has everything before it), of those the link has had time for, and of what the
//! ring cannot hold any more. A connection remembers a few marks: this many bytes up to that frame.
//!
//! An estimate frees *budget*. It never frees memory: a buffer is free when the device dropped its reference, and
//! an optimistic ACK cannot make that happen.

use tcp::{Nanos, Offset, Rate, Time};

use crate::config::DeviceBudget;
use crate::nic::NicLimits;

/// Fixed-point bits of the time that the link needs for a byte.
const RATE_SHIFT: u32 = 20;

#[derive(Copy, Clone, Default, Debug)]
struct Leaving {
    /// Bytes handed to the port up to and including this frame.
    bytes_after: u64,
    /// When the link will have had time for it.
    done: Time,
}

/// How much of the port's queue one connection may have (`S24`).
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Allowance {
    /// Bytes, at most: two bursts or more.
    limit: u32,
    /// Bytes of its longest burst.
    pub(crate) burst: u32,
}

impl Allowance {
    /// Bytes that may be added when `held` are in the port.
    #[inline]
    pub(crate) fn left(self, held: u32) -> u32 {
        self.limit.saturating_sub(held)
    }
}

/// The port's queue as a whole.
#[derive(Debug)]
pub(crate) struct PortQueue {
    frames: Box<[Leaving]>,
    mask: u64,
    /// Frames the ring holds at most.
    ring: u64,
    /// Frames the port took.
    sent: u64,
    /// Frames that have left, of those.
    left: u64,
    bytes_sent: u64,
    bytes_left: u64,
    /// When the link will be done with everything it has.
    link_free: Time,
    /// Nanoseconds the link needs for a byte, shifted left by [`RATE_SHIFT`].
    nanos_per_byte: u64,
    /// What one connection may have here that is not paced.
    unpaced: Allowance,
    /// How long a paced connection may need at its rate for what it has here.
    time: Nanos,
    /// Bytes all may have here.
    queue_limit: u64,
}

impl PortQueue {
    /// `burst` is the largest burst, in bytes.
    pub(crate) fn new(limits: &NicLimits, budget: &DeviceBudget, burst: u32) -> PortQueue {
        let ring = u64::from(limits.tx_ring.max(1));
        let bps = limits.link_bps.filter(|&b| b != 0).unwrap_or(budget.assumed_bps).max(1);
        let two_bursts = burst.saturating_mul(2);
        let in_time = u128::from(budget.time.as_nanos()) * u128::from(bps) / 8_000_000_000;
        let in_time = u32::try_from(in_time).unwrap_or(u32::MAX);
        PortQueue {
            frames: vec![Leaving::default(); ring.next_power_of_two() as usize].into_boxed_slice(),
            mask: ring.next_power_of_two() - 1,
            ring,
            sent: 0,
            left: 0,
            bytes_sent: 0,
            bytes_left: 0,
            link_free: Time::ZERO,
            nanos_per_byte: (8_000_000_000u64 << RATE_SHIFT) / bps,
            unpaced: Allowance { limit: in_time.min(budget.connection_bytes).max(two_bursts), burst },
            time: budget.time,
            queue_limit: u64::from(budget.queue_bytes.max(two_bursts)),
        }
    }

    /// Notes that the port took a frame of `bytes` bytes; returns its number, counted from 1.
    #[inline]
    pub(crate) fn push(&mut self, bytes: u32, now: Time) -> u64 {
        let needed = u64::from(bytes).saturating_mul(self.nanos_per_byte) >> RATE_SHIFT;
        self.link_free = self.link_free.max(now) + Nanos::from_nanos(needed);
        self.bytes_sent += u64::from(bytes);
        // It found a descriptor, so the frame that had it before is gone: noted before its entry is used again.
        self.leave((self.sent + 1).saturating_sub(self.ring));
        self.frames[(self.sent & self.mask) as usize] =
            Leaving { bytes_after: self.bytes_sent, done: self.link_free };
        self.sent += 1;
        self.sent
    }

    /// The first `frames` frames have left the port.
    #[inline]
    pub(crate) fn leave(&mut self, frames: u64) {
        let frames = frames.min(self.sent);
        if frames > self.left {
            self.left = frames;
            self.bytes_left = self.frames[((frames - 1) & self.mask) as usize].bytes_after;
        }
    }

    /// Lets go of what the link has had time for.
    pub(crate) fn advance(&mut self, now: Time) {
        let mut left = self.left;
        while left < self.sent && self.frames[(left & self.mask) as usize].done <= now {
            left += 1;
        }
        self.leave(left);
    }

    /// Frames that have left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Frames handed to the port that it may still hold.
    #[cfg(test)]
    pub(crate) fn frames(&self) -> u64 {
        self.sent - self.left
    }

    /// Bytes it may still hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_sent - self.bytes_left
    }

    /// When the next frame will have left by the link's rate.
    pub(crate) fn next(&self) -> Option<Time> {
        (self.left < self.sent).then(|| self.frames[(self.left & self.mask) as usize].done)
    }

    /// What a connection that is not paced may have here.
    #[inline]
    pub(crate) fn unpaced(&self) -> Allowance {
        self.unpaced
    }

    /// What a connection may have here that is paced at `rate`, in bursts of `burst` bytes: no more than the rate takes
    /// away in the budget's time, so that what it sends is not late already when it gets its turn on the wire.
    pub(crate) fn paced(&self, rate: Rate, burst: u64) -> Allowance {
        let burst = u32::try_from(burst).unwrap_or(u32::MAX).min(self.unpaced.burst);
        let in_time = u32::try_from(rate.bytes_in(self.time)).unwrap_or(u32::MAX);
        Allowance { limit: in_time.max(burst.saturating_mul(2)).min(self.unpaced.limit), burst }
    }

    /// Payload bytes that a connection with `held` bytes in the port may add, when `staged` bytes of anybody are about
    /// to go there.
    #[inline]
    pub(crate) fn budget(&self, allowance: Allowance, held: u32, staged: u32) -> u32 {
        let queue = self.queue_limit.saturating_sub(self.bytes() + u64::from(staged));
        allowance.left(held).min(u32::try_from(queue).unwrap_or(u32::MAX))
    }

    /// Whether the queue, with `staged` bytes added, has room for `bytes` more. An empty one always has.
    pub(crate) fn has_room(&self, staged: u32, bytes: u32) -> bool {
        let used = self.bytes() + u64::from(staged);
        used == 0 || used + u64::from(bytes) <= self.queue_limit
    }
}

/// Marks a connection keeps. More bursts in the port than this share the last mark: the estimate is then late, never
/// early.
const MARKS: usize = 4;

#[derive(Copy, Clone, Default, Debug)]
struct Mark {
    /// The last frame it covers.
    frame: u64,
    /// Bytes in the frames it covers.
    bytes: u32,
    /// The first payload byte of the frames it covers.
    start: Offset,
    /// The end of the last. What lies between may be more than what was sent.
    end: Offset,
    /// Everything in it was sent for the first time: an ACK for it says that the frames have left. The ACK of a
    /// retransmission may be the original's.
    fresh: bool,
}

/// One connection's share of the port's queue.
#[derive(Debug, Default)]
pub(crate) struct Occupancy {
    marks: [Mark; MARKS],
    len: u8,
    bytes: u32,
}

impl Occupancy {
    /// Bytes in the port, at most.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The last frame of it; 0 when there is none.
    pub(crate) fn last_frame(&self) -> u64 {
        self.marks[..usize::from(self.len)].last().map_or(0, |mark| mark.frame)
    }

    /// Adds `bytes` payload bytes from `start` on, which leave with frame number `frame`; `fresh` when they were never
    /// sent before.
    #[inline]
    pub(crate) fn push(&mut self, frame: u64, start: Offset, bytes: u32, fresh: bool) {
        self.bytes += bytes;
        let len = usize::from(self.len);
        let end = start + u64::from(bytes);
        if len < MARKS {
            self.marks[len] = Mark { frame, bytes, start, end, fresh };
            self.len += 1;
        } else {
            let last = &mut self.marks[MARKS - 1];
            *last = Mark {
                frame,
                bytes: last.bytes + bytes,
                start: last.start.min(start),
                end: last.end.max(end),
                fresh: last.fresh && fresh,
            };
        }
    }

    /// The frame that has to leave before the port certainly holds nothing of the payload from `start` up to
    /// `start + len`; `None` when that is so already.
    pub(crate) fn holds(&self, start: Offset, len: u32) -> Option<u64> {
        let end = start + u64::from(len);
        let marks = &self.marks[..usize::from(self.len)];
        marks.iter().rev().find(|m| m.start < end && start < m.end).map(|m| m.frame)
    }

    /// The peer has everything up to `upto`. Returns the frame that must have left for this, if it was one of ours.
    #[inline]
    pub(crate) fn acked(&mut self, upto: Offset) -> Option<u64> {
        let marks = &self.marks[..usize::from(self.len)];
        let gone = marks.iter().rposition(|m| m.fresh && m.end <= upto)? + 1;
        let frame = self.marks[gone - 1].frame;
        self.drop_first(gone);
        Some(frame)
    }

    /// The first `frames` frames of the port have left.
    #[inline]
    pub(crate) fn settle(&mut self, frames: u64) {
        let marks = &self.marks[..usize::from(self.len)];
        let gone = marks.iter().take_while(|m| m.frame <= frames).count();
        self.drop_first(gone);
    }

    fn drop_first(&mut self, n: usize) {
        self.bytes -= self.marks[..n].iter().map(|m| m.bytes).sum::<u32>();
        self.marks.copy_within(n..usize::from(self.len), 0);
        self.len -= n as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::limits;

    fn port(bps: u64, ring: u16) -> PortQueue {
        let limits = NicLimits { link_bps: Some(bps), tx_ring: ring, ..limits() };
        PortQueue::new(&limits, &DeviceBudget::default(), 65_536)
    }

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn s24_the_link_rate_drains_the_estimate() {
        let mut p = port(8_000_000_000, 64); // a byte each nanosecond
        let mut c = Occupancy::default();
        let frame = p.push(1000, at(0));
        c.push(frame, Offset(0), 1000, true);
        let frame = p.push(500, at(0));
        c.push(frame, Offset(1000), 500, true);
        p.advance(at(999));
        assert_eq!((p.bytes(), p.next()), (1500, Some(at(1000))));
        p.advance(at(1000));
        c.settle(p.left());
        assert_eq!((p.bytes(), c.bytes(), p.frames()), (500, 500, 1));
        p.advance(at(1500));
        c.settle(p.left());
        assert_eq!((p.bytes(), c.bytes(), p.next()), (0, 0, None));
    }

    #[test]
    fn s24_an_ack_frees_the_frame_and_all_before_it_of_anybody() {
        let mut p = port(1_000, 64);
        let (mut a, mut b) = (Occupancy::default(), Occupancy::default());
        a.push(p.push(100, at(0)), Offset(0), 100, true);
        b.push(p.push(200, at(0)), Offset(0), 200, true);
        assert_eq!(b.acked(Offset(199)), None);
        let frame = b.acked(Offset(200)).unwrap();
        p.leave(frame);
        a.settle(p.left());
        assert_eq!((a.bytes(), b.bytes(), p.bytes()), (0, 0, 0));
    }

    #[test]
    fn s24_an_ack_says_nothing_of_a_retransmission() {
        let mut p = port(1_000, 64);
        let mut c = Occupancy::default();
        c.push(p.push(100, at(0)), Offset(0), 100, false);
        assert_eq!(c.acked(Offset(100)), None);
        assert_eq!(c.bytes(), 100);
        p.leave(1);
        c.settle(p.left());
        assert_eq!(c.bytes(), 0);
    }

    #[test]
    fn a_ring_cannot_hold_more_than_it_has() {
        let mut p = port(1_000, 4);
        for _ in 0..10 {
            p.push(10, at(0));
        }
        assert_eq!((p.left(), p.frames(), p.bytes()), (6, 4, 40));
    }

    #[test]
    fn more_bursts_than_marks_are_freed_late_and_never_early() {
        let mut p = port(1_000, 64);
        let mut c = Occupancy::default();
        for n in 0..6 {
            c.push(p.push(10, at(0)), Offset(n * 10), 10, true);
        }
        assert_eq!(c.bytes(), 60);
        assert_eq!(
            [c.holds(Offset(0), 1), c.holds(Offset(59), 9), c.holds(Offset(60), 1)],
            [Some(1), Some(6), None]
        );
        c.settle(5);
        assert_eq!(c.bytes(), 30);
        assert_eq!([c.holds(Offset(29), 1), c.holds(Offset(29), 2)], [None, Some(6)]);
        c.settle(6);
        assert_eq!(c.bytes(), 0);
    }

    #[test]
    fn s24_budgets_are_a_millisecond_but_at_least_two_bursts_and_capped() {
        let budget = |bps, held| {
            let p = port(bps, 64);
            p.budget(p.unpaced(), held, 0)
        };
        assert_eq!(budget(1_000_000_000, 0), 131_072);
        assert_eq!(budget(2_000_000_000, 0), 250_000);
        assert_eq!(budget(100_000_000_000, 0), DeviceBudget::default().connection_bytes);
        assert_eq!(budget(2_000_000_000, 249_999), 1);
        assert_eq!(budget(2_000_000_000, 300_000), 0);
        let mut p = port(100_000_000_000, 1024);
        for _ in 0..32 {
            p.push(65_536, at(0));
        }
        assert_eq!(p.budget(p.unpaced(), 0, 0), 0, "the whole queue is full");
    }

    #[test]
    fn s24_a_paced_connection_has_a_millisecond_of_its_rate_in_the_port() {
        let p = port(100_000_000_000, 64);
        let allowance = |bps, burst| {
            let allowance = p.paced(Rate::from_bps(bps), burst);
            (allowance.left(0), allowance.burst)
        };
        assert_eq!(allowance(1_000_000_000, 20_000), (125_000, 20_000));
        // Two bursts where that is more, and never more than anybody may have.
        assert_eq!(allowance(10_000_000, 2_896), (5_792, 2_896));
        assert_eq!(allowance(1_000_000_000, 1_000_000), (131_072, 65_536));
        assert_eq!(allowance(u64::MAX, 1_000_000).0, DeviceBudget::default().connection_bytes);
    }
}
