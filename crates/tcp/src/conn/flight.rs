//! What is in flight: one record per burst, apart from the payload (RFC 6298, RFC 6582, `S37`, `S43`).
//!
//! The records tile SND.UNA..SND.NXT. Offsets here go one further than the payload: a FIN stands at the offset
//! behind the last byte. The SACK scoreboard is a mark on them ([`scoreboard`](super::scoreboard)), and so is what RACK
//! believes lost ([`overdue`](super::overdue)).
//!
//! Memory is bounded by what is in flight: marks change at the borders of the segments that left, so there are never
//! more records than segments, and neighbours that arrived become one.

use std::collections::VecDeque;

use super::delivery::{Losses, Stamp};
use super::overdue::Overdue;
use crate::{Offset, Time};

/// What is believed of a record.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is in the network.
    Unknown,
    /// It is lost and was not sent again yet.
    Lost,
    /// The peer has it (RFC 2018), and may yet drop it.
    Sacked,
}

/// One burst, or what is left of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// When it left first.
    pub(super) first_sent: Time,
    /// When it left last.
    pub(super) last_sent: Time,
    /// Bytes of the segments it was cut into when it left last.
    pub(super) mss: u16,
    /// It left more than once.
    pub(super) resent: bool,
    /// It did, or may have: an ACK for it measures nothing (Karn, MUST-18).
    pub(super) ambiguous: bool,
    pub(super) fate: Fate,
    /// Of what the peer has: how many segments it came in.
    pub(super) segments: u32,
    /// What was delivered when it left last (`S27`).
    pub(super) stamp: Stamp,
}

impl Record {
    pub(super) fn len(&self) -> u64 {
        self.end.since(self.start)
    }
}

/// A burst as it left.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Departure {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Bytes of its segments.
    pub(crate) mss: u16,
    pub(crate) at: Time,
    pub(crate) stamp: Stamp,
}

/// What arrived, as an ACK tells.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arrived {
    /// Bytes it acknowledged, FIN counted.
    pub(crate) acked: u64,
    /// Bytes the peer was not known to have before: acknowledged or reported by SACK.
    pub(crate) delivered: u64,
    /// When the oldest of them left; `None` when any of those that were acknowledged left more than once.
    pub(crate) sent: Option<Time>,
    /// Some of what was acknowledged left more than once.
    pub(crate) ambiguous: bool,
    /// Where the first of them is that left once.
    pub(crate) original: Option<Offset>,
    /// What the one of them that left last was stamped with, and when it left.
    pub(crate) newest: Option<(Stamp, Time)>,
    /// The one that left last by RACK's order, and whether it left more than once, or may have (RFC 8985 §6.2 step 2).
    pub(crate) latest: Option<(Time, Offset, bool)>,
    /// When the last of them in the order of the stream left, and whether more than once.
    pub(crate) last: Option<(Time, bool)>,
    /// Bytes of the longest segment among them.
    pub(crate) longest: u64,
    /// The lowest of them that left once and was overtaken: something sent after it was known to have arrived before.
    pub(crate) overtaken: Option<Offset>,
    /// The acknowledgement ends within a segment. Only looked for where a reduction is in doubt.
    pub(crate) cut: bool,
}

impl Arrived {
    /// `bytes` of `record` arrived, which ends at `end` as far as it did. `fack` is the highest end known to have
    /// arrived before.
    #[inline]
    pub(super) fn note(&mut self, record: &Record, bytes: u64, end: Offset, fack: Offset) {
        self.delivered += bytes;
        self.longest = self.longest.max(bytes.min(record.mss.into()));
        self.last = Some((record.last_sent, record.ambiguous));
        if self.newest.is_none_or(|newest| record.stamp.is_newer(record.last_sent, &newest)) {
            self.newest = Some((record.stamp, record.last_sent));
        }
        if self.latest.is_none_or(|(sent, to, _)| (record.last_sent, end) > (sent, to)) {
            self.latest = Some((record.last_sent, end, record.ambiguous));
        }
        if !record.ambiguous {
            self.original = Some(self.original.map_or(record.start, |at| at.min(record.start)));
            if end < fack && self.overtaken.is_none_or(|at| record.start < at) {
                self.overtaken = Some(record.start);
            }
        }
    }
}

/// Sums over the records that are not simply in the network.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) lost: u64,
    pub(super) lost_records: usize,
    pub(super) sacked: u64,
    pub(super) sacked_records: usize,
    pub(super) sacked_segments: u64,
    /// Bytes in the network again.
    pub(super) resent: u64,
}

impl Tally {
    pub(super) fn add(&mut self, record: &Record) {
        match record.fate {
            Fate::Unknown if record.resent => self.resent += record.len(),
            Fate::Unknown => {}
            Fate::Lost => {
                self.lost += record.len();
                self.lost_records += 1;
            }
            Fate::Sacked => {
                self.sacked += record.len();
                self.sacked_records += 1;
                self.sacked_segments += u64::from(record.segments);
            }
        }
    }

    pub(super) fn remove(&mut self, record: &Record) {
        match record.fate {
            Fate::Unknown if record.resent => self.resent -= record.len(),
            Fate::Unknown => {}
            Fate::Lost => {
                self.lost -= record.len();
                self.lost_records -= 1;
            }
            Fate::Sacked => {
                self.sacked -= record.len();
                self.sacked_records -= 1;
                self.sacked_segments -= u64::from(record.segments);
            }
        }
    }
}

/// The records, oldest first. The deque grows to the most there ever were and stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flight {
    pub(super) records: VecDeque<Record>,
    /// From the first record's start to the last one's end.
    bytes: u64,
    pub(super) tally: Tally,
    /// What was ever found lost.
    pub(super) losses: Losses,
    pub(super) overdue: Overdue,
    /// The highest end that is known to have arrived: RACK.fack.
    pub(super) fack: Offset,
    /// No record before this is lost.
    lost_from: Offset,
}

impl Flight {
    /// Bytes between SND.UNA and SND.NXT.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes believed lost that were not sent again yet.
    pub(crate) fn lost(&self) -> u64 {
        self.tally.lost
    }

    /// Bytes that the peer has beyond a gap.
    pub(crate) fn sacked(&self) -> u64 {
        self.tally.sacked
    }

    /// Segments that the peer has beyond a gap.
    pub(crate) fn sacked_segments(&self) -> u64 {
        self.tally.sacked_segments
    }

    /// Bytes sent again of which nothing is known yet.
    pub(crate) fn resent(&self) -> u64 {
        self.tally.resent
    }

    /// Bytes in the network: sent, less what arrived, less what is lost, and again what was sent again (RFC 6675 §4;
    /// architecture: invariant 2).
    pub(crate) fn pipe(&self) -> u64 {
        self.bytes() - self.tally.lost - self.tally.sacked
    }

    /// When the oldest burst in flight left last.
    pub(crate) fn oldest_sent(&self) -> Option<Time> {
        self.records.front().map(|record| record.last_sent)
    }

    /// Bytes of the segments that the oldest burst in flight was cut into.
    pub(crate) fn oldest_segment(&self) -> u64 {
        self.records.front().map_or(0, |record| record.len().min(record.mss.into()))
    }

    /// Marks lost what lies in `start..end` and is in the network.
    pub(crate) fn mark_lost_within(&mut self, start: Offset, end: Offset) {
        self.mark_lost_if(|record| start <= record.start && record.end <= end);
    }

    /// Bursts in the network: those that neither arrived nor are lost.
    pub(crate) fn bursts(&self) -> u64 {
        (self.records.len() - self.tally.lost_records - self.tally.sacked_records) as u64
    }

    /// How many records there are.
    #[cfg(test)]
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// New bytes left; `again` when some of them may have left before.
    pub(crate) fn on_sent(&mut self, burst: Departure, again: bool) {
        let Departure { start, end, mss, at, stamp } = burst;
        debug_assert!(start < end && self.records.back().is_none_or(|last| last.end == start));
        self.bytes += end.since(start);
        self.records.push_back(Record {
            start,
            end,
            first_sent: at,
            last_sent: at,
            mss,
            resent: false,
            ambiguous: again,
            fate: Fate::Unknown,
            segments: 0,
            stamp,
        });
    }

    /// Everything before `to` was acknowledged: notes what of it is news. A partial ACK trims its record.
    #[inline]
    pub(super) fn on_acked(&mut self, to: Offset, arrived: &mut Arrived) {
        let mut measures = true;
        while let Some(record) = self.records.front_mut()
            && record.start < to
        {
            let end = record.end.min(to);
            let bytes = end.since(record.start);
            arrived.acked += bytes;
            if record.fate != Fate::Sacked {
                if arrived.sent.is_none() {
                    arrived.sent = Some(record.first_sent);
                }
                measures &= !record.ambiguous;
                arrived.note(record, bytes, end, self.fack);
            }
            // Nearly every record is in no sum: it left once, and is in the network.
            let counted = record.resent || record.fate != Fate::Unknown;
            if counted {
                self.tally.remove(record);
            }
            if end < record.end {
                if counted {
                    record.segments -= (u64::from(record.segments) * bytes / record.len()) as u32;
                }
                record.start = to;
                if counted {
                    self.tally.add(record);
                }
                break;
            }
            self.records.pop_front();
        }
        self.bytes -= arrived.acked;
        self.fack = self.fack.max(to);
        if !measures {
            (arrived.sent, arrived.ambiguous) = (None, true);
        }
    }

    /// Marks the first `len` bytes lost, except those that are already.
    pub(crate) fn mark_first_lost(&mut self, len: u64) {
        let Some(first) = self.records.front() else { return };
        let to = first.start + len;
        self.split(to);
        self.mark_lost_if(|record| record.end <= to);
    }

    /// Marks everything lost that the peer does not have.
    pub(crate) fn mark_all_lost(&mut self) {
        self.mark_lost_if(|_| true);
    }

    /// Marks lost what `is` says, of what is in the network.
    pub(super) fn mark_lost_if(&mut self, is: impl Fn(&Record) -> bool) {
        for record in self.records.iter_mut().filter(|r| r.fate == Fate::Unknown && is(r)) {
            self.tally.remove(record);
            record.fate = Fate::Lost;
            self.tally.add(record);
            self.losses.note(record.len(), record.stamp);
            self.lost_from = self.lost_from.min(record.start);
        }
    }

    /// Marks the record at `i` lost.
    pub(super) fn mark_lost(&mut self, i: usize) {
        let record = &mut self.records[i];
        self.tally.remove(record);
        record.fate = Fate::Lost;
        self.tally.add(record);
        self.losses.note(record.len(), record.stamp);
        self.lost_from = self.lost_from.min(record.start);
    }

    /// Nothing was lost after all: what was not sent again is in the network still.
    pub(crate) fn unmark_lost(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.fate == Fate::Lost) {
            self.tally.remove(record);
            record.fate = Fate::Unknown;
            // Of what was sent again and believed lost again the times are no longer kept apart.
            record.resent = false;
            self.tally.add(record);
        }
        self.overdue.begin_anew();
    }

    /// The newest burst in flight: where it begins and ends.
    pub(crate) fn newest(&self) -> Option<(Offset, Offset)> {
        self.records.back().map(|record| (record.start, record.end))
    }

    /// The first contiguous range marked lost at or behind `from`; a range longer than `most` may be cut to a part
    /// that is no shorter, so that a long one costs no walk over all of its records.
    pub(crate) fn next_lost(&self, from: Offset, most: u64) -> Option<(Offset, Offset)> {
        if self.tally.lost == 0 {
            return None;
        }
        let from = from.max(self.lost_from);
        let first = self.records.partition_point(|r| r.end <= from);
        let mut rest = self.records.range(first..).skip_while(|r| r.fate != Fate::Lost);
        let found = rest.next()?;
        let start = found.start.max(from);
        let mut end = found.end;
        while end.since(start) < most
            && let Some(next) = rest.next().filter(|r| r.fate == Fate::Lost)
        {
            end = next.end;
        }
        Some((start, end))
    }

    /// A burst left again: one record from now on. What of it was acknowledged meanwhile counts no more.
    pub(crate) fn on_retransmitted(&mut self, burst: Departure) {
        let Departure { end, mss, at, stamp, .. } = burst;
        let Some(una) = self.records.front().map(|record| record.start) else { return };
        let start = burst.start.max(una);
        self.split(start);
        self.split(end);
        let first = self.records.partition_point(|r| r.end <= start);
        let last = self.records.partition_point(|r| r.end <= end);
        if first >= last || self.records.range(first..last).any(|record| record.fate == Fate::Sacked) {
            return;
        }
        for record in self.records.range(first..last) {
            self.tally.remove(record);
        }
        self.records.drain(first + 1..last);
        let record = &mut self.records[first];
        *record = Record {
            end,
            last_sent: at,
            mss,
            resent: true,
            ambiguous: true,
            fate: Fate::Unknown,
            stamp,
            ..*record
        };
        self.tally.add(record);
        if start <= self.lost_from {
            self.lost_from = self.lost_from.max(end);
        }
        self.overdue.on_retransmitted(at, start, end);
    }

    /// `start..end` may have reached the peer again: a window probe, which it most likely drops, or what a device
    /// refused, which it most likely never sent. It stays lost if it was, but an ACK for it measures nothing any more.
    pub(crate) fn on_offered(&mut self, start: Offset, end: Offset) {
        let first = self.records.partition_point(|r| r.end <= start);
        for record in self.records.range_mut(first..).take_while(|r| r.start < end) {
            record.ambiguous = true;
        }
    }

    /// Nothing is in flight any more: the connection is over.
    pub(crate) fn clear(&mut self) {
        *self = Flight { records: std::mem::take(&mut self.records), ..Flight::default() };
        self.records.clear();
    }

    /// Makes `at` a border between records, if it lies inside of one.
    pub(super) fn split(&mut self, at: Offset) {
        let i = self.records.partition_point(|r| r.end <= at);
        if let Some(record) = self.records.get_mut(i)
            && record.start < at
        {
            self.tally.remove(record);
            let part = at.since(record.start);
            let segments = (u64::from(record.segments) * part / record.len()) as u32;
            let head = Record { end: at, segments, ..*record };
            record.start = at;
            record.segments -= segments;
            self.tally.add(&head);
            self.tally.add(record);
            self.records.insert(i, head);
        }
    }

    /// Asserts what always holds: the records tile `una..nxt` (architecture: invariant 3).
    pub(crate) fn check_invariants(&self, una: Offset, nxt: Offset) {
        let mut at = una;
        let mut tally = Tally::default();
        for record in &self.records {
            assert!(record.start == at && record.end > at, "a gap in the records at {at}");
            assert!(record.first_sent <= record.last_sent, "sent again before it was sent");
            assert!(record.fate != Fate::Lost || record.end > self.lost_from, "a loss would be overlooked");
            assert!(record.ambiguous || !record.resent, "what was sent again would be measured");
            at = record.end;
            tally.add(record);
        }
        assert_eq!(at, nxt, "the records do not reach SND.NXT");
        assert_eq!(tally, self.tally, "miscounted");
        assert_eq!(self.bytes, nxt.since(una), "miscounted");
    }
}

folds! { struct Tally { lost, lost_records, sacked, sacked_records, sacked_segments, resent } }
folds! { struct Flight { bytes, tally, losses, overdue, fack, lost_from } empty { records } }

#[cfg(test)]
mod tests {
    use super::*;

    fn t(n: u64) -> Time {
        Time::from_nanos(n)
    }

    fn ack(f: &mut Flight, to: Offset) -> Arrived {
        let mut arrived = Arrived::default();
        f.on_acked(to, &mut arrived);
        arrived
    }

    fn left(start: u64, end: u64, at: u64) -> Departure {
        Departure { start: Offset(start), end: Offset(end), mss: 1000, at: t(at), stamp: Stamp::default() }
    }

    fn flight() -> Flight {
        let mut flight = Flight::default();
        flight.on_sent(left(0, 1000, 1), false);
        flight.on_sent(left(1000, 3000, 2), false);
        flight.on_sent(left(3000, 3500, 3), false);
        flight
    }

    #[test]
    fn s23_a_partial_ack_trims_its_record() {
        let mut f = flight();
        let newest = Some((Stamp::default(), t(2)));
        let acked = ack(&mut f, Offset(1500));
        assert_eq!((acked.acked, acked.delivered, acked.sent), (1500, 1500, Some(t(1))));
        assert_eq!((acked.newest, acked.latest), (newest, Some((t(2), Offset(1500), false))));
        f.check_invariants(Offset(1500), Offset(3500));
        assert_eq!(f.bytes(), 2000);
        assert_eq!(ack(&mut f, Offset(1500)), Arrived::default());
        // The rest of the trimmed burst still knows when it left.
        assert_eq!(ack(&mut f, Offset(3500)).sent, Some(t(2)));
        assert!(f.is_empty());
    }

    #[test]
    fn must_18_an_ack_of_anything_sent_twice_measures_nothing() {
        let mut f = flight();
        f.mark_first_lost(500);
        f.on_retransmitted(left(0, 500, 9));
        let acked = ack(&mut f, Offset(1000));
        assert_eq!((acked.sent, acked.ambiguous), (None, true));
        assert_eq!(ack(&mut f, Offset(3000)).sent, Some(t(2)));
    }

    #[test]
    fn must_18_nor_does_one_of_anything_that_may_have_been_sent_twice() {
        let mut f = flight();
        f.on_offered(Offset(500), Offset(1000));
        f.on_sent(left(3500, 4000, 4), true);
        f.check_invariants(Offset(0), Offset(4000));
        assert_eq!((ack(&mut f, Offset(1000)).sent, ack(&mut f, Offset(3500)).sent), (None, Some(t(2))));
        assert_eq!(ack(&mut f, Offset(4000)).sent, None);
    }

    #[test]
    fn lost_ranges_join_over_records_and_leave_the_count_when_sent_or_acked() {
        let mut f = flight();
        f.mark_all_lost();
        assert_eq!((f.lost(), f.next_lost(Offset(0), 9999)), (3500, Some((Offset(0), Offset(3500)))));
        f.on_retransmitted(left(0, 1200, 9));
        f.check_invariants(Offset(0), Offset(3500));
        assert_eq!((f.lost(), f.next_lost(Offset(0), 9999)), (2300, Some((Offset(1200), Offset(3500)))));
        assert_eq!(f.next_lost(Offset(2000), 9999), Some((Offset(2000), Offset(3500))));
        assert_eq!(f.next_lost(Offset(3500), 9999), None);
        assert_eq!(f.next_lost(Offset(1200), 1000), Some((Offset(1200), Offset(3000))));
        ack(&mut f, Offset(2000));
        assert_eq!(f.lost(), 1500);
        f.check_invariants(Offset(2000), Offset(3500));
        f.on_retransmitted(left(1200, 3500, 10));
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

    fn sack(f: &mut Flight, start: u64, end: u64) -> Arrived {
        let mut arrived = Arrived::default();
        f.on_sacked(Offset(start), Offset(end), &mut arrived);
        arrived
    }

    #[test]
    fn rfc6675_segments_beyond_a_gap_are_counted_however_their_records_are_cut() {
        let mut f = Flight::default();
        f.on_sent(left(0, 10_000, 1), false);
        // In the middle, then grown at its end, then joined at its beginning.
        for (start, end, sacked) in [(2000, 8000, 6000), (8000, 9000, 7000), (1000, 2000, 8000)] {
            assert_eq!(sack(&mut f, start, end).delivered, end - start);
            assert_eq!((f.sacked(), f.sacked_segments(), f.records()), (sacked, sacked / 1000, 3));
            f.check_invariants(Offset(0), Offset(10_000));
        }
        // Part of it is acknowledged, and the rest is cut.
        let acked = ack(&mut f, Offset(5000));
        assert_eq!((acked.acked, acked.delivered), (5000, 1000));
        assert_eq!((f.sacked(), f.sacked_segments()), (4000, 4));
        f.split(Offset(6000));
        assert_eq!(f.records.iter().map(|record| record.segments).collect::<Vec<_>>(), [1, 3, 0]);
        f.forget_sacked();
        assert_eq!((f.sacked(), f.sacked_segments(), f.pipe(), f.bursts()), (0, 0, 5000, 3));
        f.check_invariants(Offset(5000), Offset(10_000));
        // A short segment at the end is one too.
        let mut f = flight();
        sack(&mut f, 1000, 3500);
        assert_eq!((f.sacked(), f.sacked_segments(), f.bursts()), (2500, 3, 1));
    }

    #[test]
    fn rfc8985_of_what_arrived_the_one_that_left_last_counts_and_of_several_the_last_in_order() {
        let mut f = Flight::default();
        for (i, at) in [3, 5, 5, 4].into_iter().enumerate() {
            f.on_sent(left(i as u64 * 1000, i as u64 * 1000 + 1000, at), false);
        }
        let arrived = ack(&mut f, Offset(4000));
        assert_eq!(arrived.latest, Some((t(5), Offset(3000), false)));
        assert_eq!((arrived.last, arrived.sent), (Some((t(4), false)), Some(t(3))));
        assert_eq!((arrived.original, arrived.overtaken), (Some(Offset(0)), None));
    }

    #[test]
    fn rfc8985_what_something_later_overtook_is_told_unless_it_left_again() {
        let mut f = Flight::default();
        for i in 0..6 {
            f.on_sent(left(i * 1000, i * 1000 + 1000, i + 1), false);
        }
        assert_eq!(sack(&mut f, 4000, 5000).overtaken, None);
        // The lowest of them; what ends where nothing later arrived is none.
        assert_eq!(sack(&mut f, 2000, 4000).overtaken, Some(Offset(2000)));
        assert_eq!(sack(&mut f, 5000, 6000).overtaken, None);
        f.mark_first_lost(1000);
        f.on_retransmitted(left(0, 1000, 9));
        assert_eq!(ack(&mut f, Offset(1000)).overtaken, None);
        let late = ack(&mut f, Offset(6000));
        assert_eq!(
            (late.delivered, late.overtaken, late.original),
            (1000, Some(Offset(1000)), Some(Offset(1000)))
        );
    }

    #[test]
    fn only_what_lies_wholly_within_a_range_is_marked_lost() {
        let mut f = flight();
        f.mark_lost_within(Offset(500), Offset(3000));
        assert_eq!(f.next_lost(Offset(0), 9999), Some((Offset(1000), Offset(3000))));
        let mut f = flight();
        f.mark_lost_within(Offset(1000), Offset(3499));
        assert_eq!((f.lost(), f.bursts()), (2000, 2));
        // The oldest is a segment, or less.
        assert_eq!(f.oldest_segment(), 1000);
        ack(&mut f, Offset(3000));
        assert_eq!((f.oldest_segment(), f.newest()), (500, Some((Offset(3000), Offset(3500)))));
    }
}
