//! What is in flight: one record per burst, apart from the payload (RFC 6298, RFC 6582, `S43`).
//!
//! The records tile SND.UNA..SND.NXT. Offsets here go one further than the payload: a FIN stands at the offset
//! behind the last byte. A SACK scoreboard and RACK find their per-burst times here; what they add is a
//! `sacked` mark beside `lost`.

use std::collections::VecDeque;

use super::delivery::Stamp;
use crate::{Offset, Time};

/// One burst, or what is left of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Record {
    start: Offset,
    end: Offset,
    /// When it left first.
    first_sent: Time,
    /// When it left last.
    last_sent: Time,
    /// It left more than once, or may have: an ACK for it measures nothing (Karn, MUST-18).
    retransmitted: bool,
    /// Believed lost and not sent again yet: not in the pipe.
    lost: bool,
    /// What was delivered when it left last (`S27`).
    stamp: Stamp,
}

/// What an ACK took out of flight.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Acked {
    /// Bytes, FIN counted.
    pub(crate) bytes: u64,
    /// When the oldest of them left; `None` when any of them left more than once.
    pub(crate) sent: Option<Time>,
    /// Some of them left more than once.
    pub(crate) retransmitted: bool,
    /// What the one of them that left last was stamped with, and when it left.
    pub(crate) newest: Option<(Stamp, Time)>,
}

/// The records, oldest first. There are as many as bursts are in flight, and one more for each retransmission
/// that did not end where its burst did; the deque grows to the most there ever were and stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flight {
    records: VecDeque<Record>,
    /// Bytes marked lost.
    lost: u64,
    /// Records marked lost.
    lost_records: usize,
}

impl Flight {
    /// Bytes between SND.UNA and SND.NXT.
    pub(crate) fn bytes(&self) -> u64 {
        match (self.records.front(), self.records.back()) {
            (Some(first), Some(last)) => last.end.since(first.start),
            _ => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes believed lost that were not sent again yet.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// When the oldest burst in flight left last.
    pub(crate) fn oldest_sent(&self) -> Option<Time> {
        self.records.front().map(|record| record.last_sent)
    }

    /// Bursts in the network: those that are not lost.
    pub(crate) fn bursts(&self) -> u64 {
        (self.records.len() - self.lost_records) as u64
    }

    /// New bytes left; `again` when some of them may have left before.
    pub(crate) fn on_sent(&mut self, start: Offset, end: Offset, again: bool, now: Time, stamp: Stamp) {
        debug_assert!(start < end && self.records.back().is_none_or(|last| last.end == start));
        self.records.push_back(Record {
            start,
            end,
            first_sent: now,
            last_sent: now,
            retransmitted: again,
            lost: false,
            stamp,
        });
    }

    /// Everything before `to` was acknowledged. A partial ACK trims its record.
    pub(crate) fn on_acked(&mut self, to: Offset) -> Acked {
        let mut acked = Acked::default();
        while let Some(record) = self.records.front_mut()
            && record.start < to
        {
            let bytes = record.end.min(to).since(record.start);
            if acked.bytes == 0 {
                acked.sent = Some(record.first_sent);
            }
            acked.bytes += bytes;
            acked.retransmitted |= record.retransmitted;
            if acked.newest.is_none_or(|newest| record.stamp.is_newer(record.last_sent, &newest)) {
                acked.newest = Some((record.stamp, record.last_sent));
            }
            if record.lost {
                self.lost -= bytes;
            }
            if record.end > to {
                record.start = to;
                break;
            }
            self.lost_records -= usize::from(record.lost);
            self.records.pop_front();
        }
        if acked.retransmitted {
            acked.sent = None;
        }
        acked
    }

    /// Marks the first `len` bytes lost, except those that are already.
    pub(crate) fn mark_first_lost(&mut self, len: u64) {
        let Some(first) = self.records.front() else { return };
        let to = first.start + len;
        self.split(to);
        for record in self.records.iter_mut().take_while(|r| r.end <= to) {
            if !record.lost {
                record.lost = true;
                self.lost_records += 1;
                self.lost += record.end.since(record.start);
            }
        }
    }

    /// Marks everything lost.
    pub(crate) fn mark_all_lost(&mut self) {
        for record in &mut self.records {
            record.lost = true;
        }
        self.lost = self.bytes();
        self.lost_records = self.records.len();
    }

    /// The newest burst in flight: where it begins and ends.
    pub(crate) fn newest(&self) -> Option<(Offset, Offset)> {
        self.records.back().map(|record| (record.start, record.end))
    }

    /// The first contiguous range marked lost at or behind `from`; a range longer than `most` may be cut to a part
    /// that is no shorter, so that a long one costs no walk over all of its records.
    pub(crate) fn next_lost(&self, from: Offset, most: u64) -> Option<(Offset, Offset)> {
        if self.lost == 0 {
            return None;
        }
        let first = self.records.partition_point(|r| r.end <= from);
        let mut rest = self.records.range(first..).skip_while(|r| !r.lost);
        let found = rest.next()?;
        let start = found.start.max(from);
        let mut end = found.end;
        while end.since(start) < most
            && let Some(next) = rest.next().filter(|r| r.lost)
        {
            end = next.end;
        }
        Some((start, end))
    }

    /// `start..end` left again. What of it was acknowledged meanwhile counts no more.
    pub(crate) fn on_retransmitted(&mut self, start: Offset, end: Offset, now: Time, stamp: Stamp) {
        self.split(start);
        self.split(end);
        let first = self.records.partition_point(|r| r.end <= start);
        for record in self.records.range_mut(first..).take_while(|r| r.end <= end) {
            if record.lost {
                record.lost = false;
                self.lost_records -= 1;
                self.lost -= record.end.since(record.start);
            }
            record.retransmitted = true;
            record.last_sent = now;
            record.stamp = stamp;
        }
    }

    /// `start..end` may have reached the peer again: a window probe, which it most likely drops, or what a device
    /// refused, which it most likely never sent. It stays lost if it was, but an ACK for it measures nothing any more.
    pub(crate) fn on_offered(&mut self, start: Offset, end: Offset) {
        let first = self.records.partition_point(|r| r.end <= start);
        for record in self.records.range_mut(first..).take_while(|r| r.start < end) {
            record.retransmitted = true;
        }
    }

    /// Nothing is in flight any more: the connection is over.
    pub(crate) fn clear(&mut self) {
        *self = Flight { records: std::mem::take(&mut self.records), ..Flight::default() };
        self.records.clear();
    }

    /// Makes `at` a border between records, if it lies inside of one.
    fn split(&mut self, at: Offset) {
        let i = self.records.partition_point(|r| r.end <= at);
        if let Some(record) = self.records.get_mut(i)
            && record.start < at
        {
            let head = Record { end: at, ..*record };
            record.start = at;
            self.lost_records += usize::from(head.lost);
            self.records.insert(i, head);
        }
    }

    /// Asserts what always holds: the records tile `una..nxt` (architecture: invariant 3).
    pub(crate) fn check_invariants(&self, una: Offset, nxt: Offset) {
        let mut at = una;
        let mut lost = 0;
        for record in &self.records {
            assert!(record.start == at && record.end > at, "a gap in the records at {at}");
            assert!(record.first_sent <= record.last_sent, "sent again before it was sent");
            at = record.end;
            lost += if record.lost { record.end.since(record.start) } else { 0 };
        }
        assert_eq!(at, nxt, "the records do not reach SND.NXT");
        assert_eq!(lost, self.lost, "lost bytes miscounted");
        let lost = self.records.iter().filter(|record| record.lost).count();
        assert_eq!(lost, self.lost_records, "lost records miscounted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(n: u64) -> Time {
        Time::from_nanos(n)
    }

    fn flight() -> Flight {
        let mut flight = Flight::default();
        flight.on_sent(Offset(0), Offset(1000), false, t(1), Stamp::default());
        flight.on_sent(Offset(1000), Offset(3000), false, t(2), Stamp::default());
        flight.on_sent(Offset(3000), Offset(3500), false, t(3), Stamp::default());
        flight
    }

    #[test]
    fn s23_a_partial_ack_trims_its_record() {
        let mut f = flight();
        let newest = Some((Stamp::default(), t(2)));
        let acked = Acked { bytes: 1500, sent: Some(t(1)), retransmitted: false, newest };
        assert_eq!(f.on_acked(Offset(1500)), acked);
        f.check_invariants(Offset(1500), Offset(3500));
        assert_eq!(f.bytes(), 2000);
        assert_eq!(f.on_acked(Offset(1500)), Acked::default());
        // The rest of the trimmed burst still knows when it left.
        assert_eq!(f.on_acked(Offset(3500)).sent, Some(t(2)));
        assert!(f.is_empty());
    }

    #[test]
    fn must_18_an_ack_of_anything_sent_twice_measures_nothing() {
        let mut f = flight();
        f.mark_first_lost(500);
        f.on_retransmitted(Offset(0), Offset(500), t(9), Stamp::default());
        let acked = f.on_acked(Offset(1000));
        assert_eq!((acked.sent, acked.retransmitted), (None, true));
        assert_eq!(f.on_acked(Offset(3000)).sent, Some(t(2)));
    }

    #[test]
    fn must_18_nor_does_one_of_anything_that_may_have_been_sent_twice() {
        let mut f = flight();
        f.on_offered(Offset(500), Offset(1000));
        f.on_sent(Offset(3500), Offset(4000), true, t(4), Stamp::default());
        f.check_invariants(Offset(0), Offset(4000));
        assert_eq!((f.on_acked(Offset(1000)).sent, f.on_acked(Offset(3500)).sent), (None, Some(t(2))));
        assert_eq!(f.on_acked(Offset(4000)).sent, None);
    }

    #[test]
    fn lost_ranges_join_over_records_and_leave_the_count_when_sent_or_acked() {
        let mut f = flight();
        f.mark_all_lost();
        assert_eq!((f.lost(), f.next_lost(Offset(0), 9999)), (3500, Some((Offset(0), Offset(3500)))));
        f.on_retransmitted(Offset(0), Offset(1200), t(9), Stamp::default());
        f.check_invariants(Offset(0), Offset(3500));
        assert_eq!((f.lost(), f.next_lost(Offset(0), 9999)), (2300, Some((Offset(1200), Offset(3500)))));
        assert_eq!(f.next_lost(Offset(2000), 9999), Some((Offset(2000), Offset(3500))));
        assert_eq!(f.next_lost(Offset(3500), 9999), None);
        assert_eq!(f.next_lost(Offset(1200), 1000), Some((Offset(1200), Offset(3000))));
        f.on_acked(Offset(2000));
        assert_eq!(f.lost(), 1500);
        f.check_invariants(Offset(2000), Offset(3500));
        f.on_retransmitted(Offset(1200), Offset(3500), t(10), Stamp::default());
        assert_eq!((f.lost(), f.next_lost(Offset(0), 9999)), (0, None));
    }

    #[test]
    fn marking_the_first_segment_lost_twice_counts_it_once() {
        let mut f = flight();
        f.mark_first_lost(400);
        f.mark_first_lost(400);
        f.check_invariants(Offset(0), Offset(3500));
        assert_eq!(f.lost(), 400);
        f.mark_first_lost(9999);
        f.check_invariants(Offset(0), Offset(3500));
        assert_eq!(f.lost(), 3500);
    }
}
