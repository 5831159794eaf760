//! The SACK scoreboard: what the peer reports beyond a gap (RFC 2018, RFC 2883, RFC 6675; `S37`).
//!
//! Only whole segments count: marks are set at the borders at which segments left, so that a peer that reports byte by
//! byte makes no more records than there are segments. What a peer reports it may still drop (RFC 2018 §8), so nothing
//! is released before the cumulative acknowledgement; when the timer expires while the oldest byte is marked, the marks
//! go ([`forget_sacked`](Flight::forget_sacked)).

use super::Connection;
use super::flight::{Arrived, Fate, Flight, Record};
use crate::{Offset, Payload, Segment};

/// What the SACK option of a segment says.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Report {
    /// Ranges above the acknowledgement and inside of what was sent, lowest first.
    blocks: [(Offset, Offset); 4],
    len: usize,
    /// What arrived more than once (RFC 2883 §4).
    pub(super) dsack: Option<(Offset, Offset)>,
}

impl Report {
    pub(super) fn blocks(&self) -> &[(Offset, Offset)] {
        &self.blocks[..self.len]
    }

    fn push(&mut self, block: (Offset, Offset)) {
        if self.len < self.blocks.len() {
            self.blocks[self.len] = block;
            self.len += 1;
            self.blocks[..self.len].sort_unstable();
        }
    }
}

impl<P: Payload> Connection<P> {
    /// Reads the SACK option of `seg`. A block that cannot be true says nothing.
    pub(super) fn sack_report(&self, seg: &Segment<P>) -> Report {
        let (una, nxt) = (self.snd_una(), self.snd_nxt());
        let origin = self.snd_seq(una);
        let at = |seq: crate::Seq| una.0 as i64 + i64::from(seq.diff(origin));
        let blocks = seg.options.sack.as_slice();
        let mut report = Report::default();
        for (i, &(left, right)) in blocks.iter().enumerate() {
            let (start, end) = (at(left), at(right));
            if start < 0 || start >= end || end > nxt.0 as i64 {
                continue;
            }
            let block = (Offset(start as u64), Offset(end as u64));
            // RFC 2883 §4: the first block, when the acknowledgement or the second block has all of it.
            let second = blocks.get(1).map(|&(left, right)| (at(left), at(right)));
            let again = i == 0
                && (end <= at(seg.ack) || second.is_some_and(|(left, right)| left <= start && end <= right));
            if again {
                report.dsack = Some(block);
            } else if block.1 > una {
                report.push((block.0.max(una), block.1));
            }
        }
        report
    }
}

impl Record {
    /// The border between segments at `at` or behind it.
    fn border_behind(&self, at: Offset) -> Offset {
        let mss = u64::from(self.mss.max(1));
        (self.start + at.since(self.start).div_ceil(mss) * mss).min(self.end)
    }

    /// The border between segments at `at` or before it.
    fn border_before(&self, at: Offset) -> Offset {
        let mss = u64::from(self.mss.max(1));
        if at >= self.end { self.end } else { self.start + at.since(self.start) / mss * mss }
    }
}

impl Flight {
    /// The peer has `start..end`: notes what of it is news.
    pub(super) fn on_sacked(&mut self, start: Offset, end: Offset, arrived: &mut Arrived) {
        let mut i = self.records.partition_point(|record| record.end <= start);
        while let Some(record) = self.records.get(i).filter(|record| record.start < end) {
            let (from, to) = (record.border_behind(start), record.border_before(end));
            if record.fate == Fate::Sacked || from >= to {
                i += 1;
                continue;
            }
            arrived.note(record, to.since(from), to, self.fack);
            self.fack = self.fack.max(to);
            i = self.mark_sacked(i, from, to) + 1;
        }
    }

    /// Marks `from..to` of the record at `i`, and joins it with neighbours that are marked. Returns where the mark is.
    fn mark_sacked(&mut self, i: usize, from: Offset, to: Offset) -> usize {
        if self.shift(i, from, to) {
            return i - 1;
        }
        self.split(from);
        self.split(to);
        let mut i = if self.records[i].start < from { i + 1 } else { i };
        let record = &mut self.records[i];
        self.tally.remove(record);
        record.segments = record.len().div_ceil(u64::from(record.mss.max(1))) as u32;
        record.fate = Fate::Sacked;
        self.tally.add(record);
        for first in [i, i.wrapping_sub(1)] {
            if let (Some(&a), Some(&b)) = (self.records.get(first), self.records.get(first.wrapping_add(1)))
                && a.fate == Fate::Sacked
                && b.fate == Fate::Sacked
            {
                self.tally.remove(&a);
                self.tally.remove(&b);
                let joined = Record {
                    end: b.end,
                    last_sent: a.last_sent.max(b.last_sent),
                    resent: a.resent || b.resent,
                    ambiguous: a.ambiguous || b.ambiguous,
                    segments: a.segments + b.segments,
                    ..a
                };
                self.tally.add(&joined);
                self.records[first] = joined;
                self.records.remove(first + 1);
                i = first;
            }
        }
        i
    }

    /// The usual case, that a run the peer has grows by `from..to`, the first part of the record at `i`: no record
    /// comes or goes.
    fn shift(&mut self, i: usize, from: Offset, to: Offset) -> bool {
        let Some(before) = i.checked_sub(1) else { return false };
        let (a, b) = (self.records[before], self.records[i]);
        if a.fate != Fate::Sacked || from > b.start || to >= b.end {
            return false;
        }
        self.tally.remove(&a);
        self.tally.remove(&b);
        let segments = to.since(from).div_ceil(u64::from(b.mss.max(1))) as u32;
        self.records[before] = Record { end: to, segments: a.segments + segments, ambiguous: true, ..a };
        self.records[i].start = to;
        self.tally.add(&self.records[before]);
        self.tally.add(&self.records[i]);
        true
    }

    /// The peer says it has the oldest byte in flight and does not acknowledge it: it dropped what it had reported.
    pub(super) fn is_reneged(&self) -> bool {
        self.records.front().is_some_and(|record| record.fate == Fate::Sacked)
    }

    /// Nothing that was reported counts any more.
    pub(super) fn forget_sacked(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.fate == Fate::Sacked) {
            self.tally.remove(record);
            record.fate = Fate::Unknown;
            record.segments = 0;
            self.tally.add(record);
        }
    }
}
