//! The send queue: what the application wrote, from the oldest byte a device may still read to the newest
//! (`S9`, `S11`, `S29`).
//!
//! One queue of payload handles, keyed by stream offset, and four watermarks in it:
//! `reclaimed ≤ una ≤ nxt ≤ end`. Sending moves no payload and acknowledging drops none: both move a watermark.
//! Only the reclaim walk drops a handle, once it is acknowledged and no device reads it.

use core::ops::Range;
use std::collections::VecDeque;

use super::SendFlags;
use super::fold::{Fold, Folder, Unfolder};
use crate::{Offset, Payload};

/// What a chunk costs beside its bytes (`S4`): its place in the queue and in the record of what is in flight.
/// Charged so that a flood of tiny writes cannot queue without bound.
pub(crate) const CHUNK_COST: u64 = 64;

/// How far back a write looks for a chunk of its own buffer: headers and bodies from two pools take turns.
const RECENT: usize = 4;

/// Payload of one or several writes.
#[derive(Debug)]
struct Chunk<P> {
    start: Offset,
    end: Offset,
    payload: P,
    /// Bytes that the buffer behind it holds and that are not in the queue. The last chunk of a buffer carries them for
    /// all.
    slack: u64,
    /// A segment that ends where this chunk ends carries PSH.
    push: bool,
    /// A record ends where this chunk ends: nothing behind it shares a segment with it (`S19`).
    eor: bool,
    /// The send that this is a part of goes on behind it.
    part: bool,
}

/// A position in the queue that knows its chunk, so that nobody has to search for it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
struct Cursor {
    offset: Offset,
    /// Number of the chunk since the connection began. Its bytes reach up to `offset` at least; it is the last
    /// one when `offset` is the end of the queue.
    chunk: u64,
}

/// How much of a range one burst can carry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// Bytes.
    pub(crate) len: u64,
    /// The number of slices ended it, at the end of a send.
    pub(crate) cut: bool,
    /// A record ended it, inside of a segment.
    pub(crate) record: bool,
}

/// What a payload would add to the queue (`S4`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cost {
    /// Its bytes and its place.
    pub(crate) bytes: u64,
    /// What its buffer holds beside them, if that is not in the queue already.
    pub(crate) slack: u64,
    /// A recent chunk is of the same buffer.
    pub(crate) shared: bool,
}

/// The queue. Each chunk that waits for acknowledgement is charged 64 bytes and more, so that the send buffer bounds
/// their number; the deque grows to the most that there ever were and stays, so that nothing is allocated per segment.
#[derive(Debug)]
pub(crate) struct SendQueue<P> {
    chunks: VecDeque<Chunk<P>>,
    /// Chunks that were ever taken off the front.
    popped: u64,
    reclaimed: Offset,
    una: Cursor,
    nxt: Cursor,
    /// SND.NXT once every outstanding proposal is committed.
    proposed: Cursor,
    end: Offset,
    /// Sum of all chunks' that are not wholly acknowledged.
    slack: u64,
    /// End of the newest record that has one.
    records: Offset,
}

impl<P: Payload> SendQueue<P> {
    /// An empty queue.
    pub(crate) fn new() -> SendQueue<P> {
        SendQueue {
            chunks: VecDeque::new(),
            popped: 0,
            reclaimed: Offset::ZERO,
            una: Cursor::default(),
            nxt: Cursor::default(),
            proposed: Cursor::default(),
            end: Offset::ZERO,
            slack: 0,
            records: Offset::ZERO,
        }
    }

    pub(crate) fn reclaimed(&self) -> Offset {
        self.reclaimed
    }

    pub(crate) fn una(&self) -> Offset {
        self.una.offset
    }

    pub(crate) fn nxt(&self) -> Offset {
        self.nxt.offset
    }

    pub(crate) fn proposed(&self) -> Offset {
        self.proposed.offset
    }

    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// True when everything went back to its owner.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.chunks.is_empty() && self.una.offset == self.end
    }

    /// True when nothing waits for acknowledgement.
    pub(crate) fn is_empty(&self) -> bool {
        self.una.offset == self.end
    }

    /// What its content is charged (`S4`): bytes that are not acknowledged, 64 for each chunk, and what buffers hold
    /// beside them, the last only `with_slack`. What is acknowledged is charged no more even while a device reads it:
    /// nothing that sends waits for a device.
    pub(crate) fn charge(&self, with_slack: bool) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let first = self.una.chunk.saturating_sub(self.popped) as usize;
        // SND.UNA stays with the last chunk there was when it was reached.
        let done = self.chunks.get(first).is_some_and(|chunk| chunk.end <= self.una.offset);
        let chunks = (self.chunks.len() - first) as u64 - u64::from(done);
        self.end.since(self.una.offset) + chunks * CHUNK_COST + if with_slack { self.slack } else { 0 }
    }

    /// What `payload` would add.
    pub(crate) fn cost(&self, payload: &P) -> Cost {
        let len = payload.len() as u64;
        let beside = (payload.footprint() as u64).saturating_sub(len);
        let shared = beside > 0 && self.recent(payload).is_some();
        Cost { bytes: len + CHUNK_COST, slack: if shared { 0 } else { beside }, shared }
    }

    /// The newest chunk of the buffer that `payload` is a part of, when it is among the last few and not acknowledged.
    fn recent(&self, payload: &P) -> Option<usize> {
        let n = self.chunks.len();
        (n.saturating_sub(RECENT)..n).rev().find(|&i| {
            let chunk = &self.chunks[i];
            chunk.end > self.una.offset && chunk.payload.shares_buffer(payload)
        })
    }

    /// Appends `payload` and returns the offset of its first byte.
    pub(crate) fn write(&mut self, payload: P, flags: SendFlags) -> Offset {
        let len = payload.len() as u64;
        let start = self.end;
        if len == 0 {
            return start;
        }
        let mut slack = (payload.footprint() as u64).saturating_sub(len);
        if slack > 0
            && let Some(i) = self.recent(&payload)
        {
            // What the buffer holds was charged with its first chunk, and this one takes its share of that.
            let carried = std::mem::take(&mut self.chunks[i].slack);
            self.slack -= carried;
            slack = carried.saturating_sub(len);
        }
        self.slack += slack;
        self.end += len;
        let SendFlags { more, eor, part, .. } = flags;
        let push = !more;
        if eor {
            self.records = self.end;
        }
        // Nothing joins a record that is complete, nor what was sent: a segment sent again is the one that was sent,
        // and what is acknowledged is on its way back to its owner (`S9`).
        if let Some(tail) = self.chunks.back_mut()
            && tail.end > self.nxt.offset
            && !tail.eor
            && tail.payload.try_merge(&payload)
        {
            (tail.push, tail.eor, tail.part) = (push, eor, part);
            tail.slack += slack;
            tail.end = self.end;
            return start;
        }
        self.chunks.push_back(Chunk { start, end: self.end, payload, slack, push, eor, part });
        start
    }

    /// What was written last is the end of its send after all.
    pub(crate) fn end_send(&mut self, SendFlags { more, eor, part, .. }: SendFlags) {
        if eor {
            self.records = self.end;
        }
        if let Some(tail) = self.chunks.back_mut() {
            (tail.push, tail.eor, tail.part) = (!more, eor, part);
        }
    }

    /// Moves SND.NXT over `len` bytes that left.
    pub(crate) fn commit(&mut self, len: u64) {
        self.nxt = self.moved(self.nxt, self.nxt.offset + len);
        if self.proposed.offset < self.nxt.offset {
            self.proposed = self.nxt;
        }
    }

    /// Moves the end of what is proposed.
    pub(crate) fn propose(&mut self, len: u64) {
        self.proposed = self.moved(self.proposed, self.proposed.offset + len);
    }

    /// Takes every proposal back.
    pub(crate) fn retract(&mut self) {
        self.proposed = self.nxt;
    }

    /// Moves SND.UNA up to `to`, at most to SND.NXT.
    #[inline]
    pub(crate) fn acknowledge(&mut self, to: Offset) {
        let to = to.min(self.nxt.offset);
        if to > self.una.offset {
            let before = self.una.chunk.max(self.popped);
            self.una = self.moved(self.una, to);
            if self.slack > 0 {
                self.release_slack(before);
            }
        }
    }

    /// Chunks from number `first` up to the one of SND.UNA are acknowledged, that one too when the queue is empty.
    fn release_slack(&mut self, first: u64) {
        let last = self.una.chunk + u64::from(self.is_empty());
        for number in first..last {
            if let Some(chunk) = self.chunks.get_mut((number - self.popped) as usize) {
                self.slack -= std::mem::take(&mut chunk.slack);
            }
        }
    }

    /// The oldest chunk is acknowledged to its end, or there is one and `all` are free to go.
    #[inline]
    pub(crate) fn has_done(&self, all: bool) -> bool {
        self.chunks.front().is_some_and(|front| all || front.end <= self.una.offset)
    }

    /// Takes the oldest chunk off, when it is acknowledged (or `all` are free to go) and no device reads it.
    pub(crate) fn pop_reclaimed(&mut self, all: bool) -> Option<(Offset, P)> {
        if !self.has_done(all) || self.chunks.front()?.payload.in_device() {
            return None;
        }
        self.pop()
    }

    /// Takes the oldest chunk off, whoever still has a use for it.
    pub(crate) fn pop(&mut self) -> Option<(Offset, P)> {
        let chunk = self.chunks.pop_front()?;
        self.popped += 1;
        // Unless it was acknowledged, the connection is over.
        self.slack = self.slack.saturating_sub(chunk.slack);
        self.reclaimed = chunk.end;
        Some((chunk.start, chunk.payload))
    }

    /// How much of `len` bytes from `from` fits `max_slices` slices, in segments of `mss` bytes. The end of a record is
    /// the end of a segment (`S19`): where it is not a segment's end anyway, the rest has to wait for the next burst.
    pub(crate) fn span(&self, from: Offset, len: u64, mss: u64, max_slices: u16) -> Span {
        let (mut covered, mut part) = (0, false);
        let first = self.index_of(from);
        for chunk in self.chunks.range(first..).take(usize::from(max_slices)) {
            if covered >= len {
                break;
            }
            (covered, part) = (chunk.end.since(from), chunk.part);
            if chunk.eor && covered <= len && covered % mss != 0 {
                return Span { len: covered, cut: false, record: true };
            }
        }
        Span { len: covered.min(len), cut: covered < len && !part, record: false }
    }

    /// True when a record ends behind `from`.
    pub(crate) fn has_record_behind(&self, from: Offset) -> bool {
        self.records > from
    }

    /// True when a record ends with the newest byte.
    pub(crate) fn ends_with_record(&self) -> bool {
        self.records == self.end
    }

    /// Where the record begins that the byte before `to` belongs to, at least `from`.
    pub(crate) fn record_start(&self, from: Offset, to: Offset) -> Offset {
        if !self.has_record_behind(from) {
            return from;
        }
        let inside = self.chunks.range(self.index_of(from)..).take_while(|chunk| chunk.end < to);
        inside.filter(|chunk| chunk.eor).last().map_or(from, |chunk| chunk.end)
    }

    /// True when a segment that ends at `at` carries PSH: a write ends there that asked for it.
    pub(crate) fn pushes_at(&self, at: Offset) -> bool {
        // The chunk of the byte before, since `at` itself belongs to the next one.
        at > Offset::ZERO
            && self.chunks.get(self.index_of(at - 1)).is_some_and(|chunk| chunk.end == at && chunk.push)
    }

    /// The payload of `len` bytes from `from`.
    #[inline]
    pub(crate) fn slices(&self, from: Offset, len: u64) -> Slices<'_, P> {
        let next = if len == 0 { self.chunks.len() } else { self.index_of(from) };
        Slices { chunks: &self.chunks, next, from, to: from + len }
    }

    /// Index of the chunk that holds byte `offset`; the number of chunks when none does.
    #[inline]
    fn index_of(&self, offset: Offset) -> usize {
        // What is asked for is nearly always what was just proposed, or comes next; else it is at SND.NXT.
        self.near(self.proposed, offset)
            .or_else(|| self.near(self.nxt, offset))
            .unwrap_or_else(|| self.chunks.partition_point(|chunk| chunk.end <= offset))
    }

    /// The same for the chunk of `cursor` and its neighbours.
    #[inline]
    fn near(&self, cursor: Cursor, offset: Offset) -> Option<usize> {
        let at = cursor.chunk.saturating_sub(self.popped) as usize;
        let chunk = self.chunks.get(at)?;
        if chunk.start <= offset && offset < chunk.end {
            return Some(at);
        }
        let at = if offset < chunk.start { at.checked_sub(1)? } else { at + 1 };
        self.chunks.get(at).is_some_and(|chunk| chunk.start <= offset && offset < chunk.end).then_some(at)
    }

    /// `cursor` moved forward to `to`: passes the chunks that end before or at it, except the last.
    fn moved(&self, cursor: Cursor, to: Offset) -> Cursor {
        let mut chunk = cursor.chunk.max(self.popped);
        while chunk + 1 < self.popped + self.chunks.len() as u64
            && self.chunks[(chunk - self.popped) as usize].end <= to
        {
            chunk += 1;
        }
        Cursor { offset: to, chunk }
    }

    /// Asserts what always holds (architecture: invariants 3 and 6).
    pub(crate) fn check_invariants(&self) {
        assert!(self.una.offset <= self.nxt.offset, "SND.UNA beyond SND.NXT");
        assert!(self.nxt.offset <= self.proposed.offset, "SND.NXT beyond what was proposed");
        assert!(self.proposed.offset <= self.end, "proposed beyond the end of the queue");
        let mut at = self.reclaimed;
        for chunk in &self.chunks {
            assert!(chunk.start == at && !chunk.payload.is_empty(), "a gap or an empty chunk at {at}");
            at += chunk.payload.len() as u64;
            assert_eq!(chunk.end, at, "a chunk that ends elsewhere than its payload");
        }
        assert_eq!(at, self.end, "chunks do not reach the end");
        let waiting = self.chunks.iter().filter(|chunk| chunk.end > self.una.offset);
        assert_eq!(
            self.slack,
            waiting.map(|chunk| chunk.slack).sum::<u64>(),
            "slack is not what chunks carry"
        );
        for cursor in [self.una, self.nxt, self.proposed] {
            let index = cursor.chunk.checked_sub(self.popped).map(|i| i as usize);
            let there = match index.map(|i| self.chunks.get(i)) {
                Some(Some(chunk)) => chunk.start <= cursor.offset && cursor.offset <= chunk.end,
                Some(None) => self.chunks.is_empty() && cursor.offset == self.end,
                // Its chunk was reclaimed.
                None => cursor.offset <= self.reclaimed,
            };
            assert!(there, "{cursor:?} lost its chunk");
        }
    }
}

/// A range of the stream as the payload it lies in: handles, and which of their bytes.
#[derive(Debug)]
pub struct Slices<'a, P> {
    chunks: &'a VecDeque<Chunk<P>>,
    next: usize,
    from: Offset,
    to: Offset,
}

impl<P> Clone for Slices<'_, P> {
    #[inline]
    fn clone(&self) -> Self {
        Slices { ..*self }
    }
}

impl<'a, P: Payload> Iterator for Slices<'a, P> {
    type Item = (&'a P, Range<usize>);

    #[inline]
    fn next(&mut self) -> Option<(&'a P, Range<usize>)> {
        let chunk = self.chunks.get(self.next).filter(|chunk| chunk.start < self.to)?;
        self.next += 1;
        let start = self.from.since(chunk.start) as usize;
        let end = self.to.min(chunk.end).since(chunk.start) as usize;
        Some((&chunk.payload, start..end))
    }
}

folds! { struct Cursor { offset, chunk } }

impl<P> Fold for SendQueue<P> {
    /// All but what is in it, of which there is nothing in a connection at rest.
    fn fold(&self, to: &mut Folder<'_>) {
        self.end.fold(to);
        (self.popped, self.slack, self.records, self.reclaimed).fold(to);
        (self.una, self.nxt, self.proposed).fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        let end = Fold::unfold(from);
        let (popped, slack, records, reclaimed) = Fold::unfold(from);
        let (una, nxt, proposed) = Fold::unfold(from);
        SendQueue { chunks: VecDeque::new(), popped, reclaimed, una, nxt, proposed, end, slack, records }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestBuf;

    fn byte(i: u64) -> u8 {
        (i % 251) as u8
    }

    /// What the queue must agree with: plain numbers.
    #[derive(Default)]
    struct Oracle {
        una: u64,
        nxt: u64,
        proposed: u64,
        end: u64,
        /// Ends of writes that were not merged, with their PSH and whether they end a record.
        ends: Vec<(u64, bool, bool)>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write { len: usize, push: bool, eor: bool, continues: bool },
        Propose(u64),
        Retract,
        Commit(u64),
        Acknowledge(u64),
        Reclaim,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..50usize, any::<bool>(), prop::bool::weighted(0.2), any::<bool>())
                .prop_map(|(len, push, eor, continues)| Step::Write { len, push, eor, continues }),
            (0..120u64).prop_map(Step::Propose),
            Just(Step::Retract),
            (0..120u64).prop_map(Step::Commit),
            (0..120u64).prop_map(Step::Acknowledge),
            Just(Step::Reclaim),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn agrees_with_plain_numbers(steps in prop::collection::vec(step(), 1..120)) {
            let mut q: SendQueue<TestBuf> = SendQueue::new();
            let mut o = Oracle::default();
            // Writes that continue each other come from one buffer.
            let pool = TestBuf::from(&(0..10_000u64).map(byte).collect::<Vec<_>>()[..]);
            for step in steps {
                match step {
                    Step::Write { len, push, eor, continues } => {
                        let at = o.end as usize;
                        let payload = match continues {
                            true => pool.slice(at..at + len),
                            false => TestBuf::from(pool.slice(at..at + len).as_slice()),
                        };
                        let merges = q.chunks.back().is_some_and(|c| {
                            c.end.0 > o.nxt && !c.eor && c.payload.clone().try_merge(&payload)
                        });
                        let flags = SendFlags { more: !push, eor, ..SendFlags::default() };
                        prop_assert_eq!(q.write(payload, flags), Offset(o.end));
                        if merges {
                            o.ends.pop();
                        }
                        o.end += len as u64;
                        o.ends.push((o.end, push, eor));
                    }
                    Step::Propose(n) => {
                        let n = n.min(o.end - o.proposed);
                        q.propose(n);
                        o.proposed += n;
                    }
                    Step::Retract => {
                        q.retract();
                        o.proposed = o.nxt;
                    }
                    Step::Commit(n) => {
                        let n = n.min(o.end - o.nxt);
                        q.commit(n);
                        o.nxt += n;
                        o.proposed = o.proposed.max(o.nxt);
                    }
                    Step::Acknowledge(n) => {
                        o.una = (o.una + n).min(o.nxt);
                        q.acknowledge(Offset(o.una));
                    }
                    Step::Reclaim => {
                        let before = q.reclaimed();
                        if let Some((at, payload)) = q.pop_reclaimed(false) {
                            prop_assert_eq!(at, before);
                            prop_assert_eq!(q.reclaimed(), at + payload.len() as u64);
                        }
                        prop_assert!(q.reclaimed().0 <= o.una);
                        // Nothing acknowledged as a whole is kept back.
                        let whole = o.ends.iter().any(|e| e.0 > before.0 && e.0 <= o.una);
                        prop_assert_eq!(q.reclaimed() > before, whole);
                    }
                }
                q.check_invariants();
                let marks = [q.una().0, q.nxt().0, q.proposed().0, q.end().0];
                prop_assert_eq!(marks, [o.una, o.nxt, o.proposed, o.end]);
                for (name, from, to) in
                    [("unsent", o.proposed, o.end), ("proposed", o.nxt, o.proposed), ("sent", o.una, o.nxt)]
                {
                    let got: Vec<u8> = q
                        .slices(Offset(from), to - from)
                        .flat_map(|(p, r)| p.as_slice()[r].to_vec())
                        .collect();
                    prop_assert_eq!(got, (from..to).map(byte).collect::<Vec<_>>(), "{}", name);
                    let len = to - from;
                    let two = q.slices(Offset(from), len).take(2).map(|(_, r)| r.len() as u64).sum();
                    let inside = |&&(end, ..): &&(u64, bool, bool)| end > from && end <= from + two;
                    let mut ends = o.ends.iter().filter(inside).map(|e| (e.0 - from, e.2));
                    // In segments of 7 bytes.
                    let record = ends.find(|&(at, eor)| eor && at % 7 != 0).map(|(at, _)| at);
                    prop_assert_eq!(q.span(Offset(from), len, 7, 2), Span {
                        len: record.unwrap_or(two),
                        cut: record.is_none() && two < len,
                        record: record.is_some(),
                    });
                    let begins = o.ends.iter().filter(|e| e.2 && e.0 > from && e.0 < to).map(|e| e.0).next_back();
                    prop_assert_eq!(q.record_start(Offset(from), Offset(to)).0, begins.unwrap_or(from));
                }
                for at in o.una.max(q.reclaimed().0 + 1)..=o.end {
                    let push = o.ends.iter().any(|&(end, push, _)| end == at && push);
                    prop_assert_eq!(q.pushes_at(Offset(at)), push, "PSH at {}", at);
                }
            }
        }
    }

    #[test]
    fn an_acknowledged_tail_is_not_extended() {
        let whole = TestBuf::from(&[0; 100][..]);
        let mut q: SendQueue<TestBuf> = SendQueue::new();
        q.write(whole.slice(0..50), SendFlags::default());
        q.commit(50);
        q.acknowledge(Offset(50));
        q.write(whole.slice(50..100), SendFlags::default());
        assert_eq!(q.pop_reclaimed(false).map(|(at, p)| (at.0, p.len())), Some((0, 50)));
        assert!(q.pop_reclaimed(false).is_none());
    }
}
