//! The receive queue: what arrived, put in order (RFC 9293 §3.10.7.4, RFC 2018, `S46`).
//!
//! Bytes stay where the NIC put them: the queue holds payload handles. Handles in order wait for the
//! application; handles beyond a gap are held back, disjoint and ordered, until the gap closes. Of bytes that
//! arrive twice the first win, so that what was once acknowledged can never change.

use core::ops::Range;
use std::collections::VecDeque;

use super::fold::{Fold, Folder, Unfolder};
use crate::{Offset, Payload};

/// Bytes of capacity for each piece that may be held out of order. A piece pins a whole buffer of the NIC,
/// commonly 2 KiB, however small it is: so held pieces pin at most twice the capacity.
const CAPACITY_PER_PIECE: u64 = 1024;

/// Pieces that may be held with the smallest of capacities.
const MIN_HELD: u64 = 64;

/// Received bytes of one direction, from any order into stream order.
///
/// Positions are stream [`Offset`]s; the owner translates sequence numbers, and counts SYN and FIN itself.
///
/// The window is the queue's to give: it takes bytes up to [`right_edge`](RecvQueue::right_edge), which is
/// `capacity` beyond what the application read and so never moves left. What is held out of order lies inside
/// the window too, so `capacity` bounds all that is buffered.
///
/// Allocates only when more pieces are queued than ever before.
#[derive(Debug)]
pub struct RecvQueue<P> {
    /// The next byte expected: RCV.NXT as an offset.
    next: Offset,
    /// In order, not read yet; none is empty.
    ready: VecDeque<P>,
    /// Bytes in `ready`.
    ready_len: u64,
    /// Out of order: ascending, disjoint, all beyond `next`; none is empty.
    held: VecDeque<Held<P>>,
    /// The runs of contiguous bytes that `held` forms, most recently touched first.
    blocks: Vec<Range<Offset>>,
    /// Where the stream ends, once the peer's FIN said so.
    end: Option<Offset>,
    /// Bytes buffered at most.
    capacity: u64,
}

/// A piece that cannot be read yet.
#[derive(Debug)]
struct Held<P> {
    start: Offset,
    payload: P,
}

impl<P: Payload> Held<P> {
    fn end(&self) -> Offset {
        self.start + self.payload.len() as u64
    }
}

/// What became of a pushed payload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pushed {
    /// Bytes that can be read in order now and could not before: how far RCV.NXT advances.
    pub advanced: u64,
    /// Something of it was held back: there is a gap in front, so the ACK goes out at once (RFC 5681 §4.2).
    pub out_of_order: bool,
    /// It closed a gap, or a part of one: the ACK goes out at once (RFC 5681 §4.2).
    pub filled_gap: bool,
    /// The first range of it that had arrived before, for RFC 2883.
    pub duplicate: Option<Range<Offset>>,
    /// Bytes not taken: beyond the window, beyond the end of the stream, or one held piece too many. The peer
    /// will send them again.
    pub refused: u64,
}

impl Pushed {
    /// Remembers the first range of duplicates; adjacent ranges are one.
    fn note_duplicate(&mut self, range: Range<Offset>) {
        match &mut self.duplicate {
            _ if range.is_empty() => {}
            None => self.duplicate = Some(range),
            Some(first) if first.end == range.start => first.end = range.end,
            Some(_) => {}
        }
    }
}

impl<P: Payload> RecvQueue<P> {
    /// An empty queue that expects byte 0 and buffers up to `capacity` bytes.
    pub fn new(capacity: usize) -> RecvQueue<P> {
        RecvQueue {
            next: Offset::ZERO,
            ready: VecDeque::new(),
            ready_len: 0,
            held: VecDeque::new(),
            blocks: Vec::new(),
            end: None,
            capacity: capacity as u64,
        }
    }

    /// Takes in the bytes of `payload`, the first of which is byte `at` of the stream. Whatever part is old,
    /// doubled or beyond the window is left out, and what fits is kept: nothing has to be trimmed beforehand.
    pub fn push(&mut self, at: Offset, payload: P) -> Pushed {
        let mut pushed = Pushed::default();
        if payload.is_empty() {
            return pushed;
        }
        let end = at + payload.len() as u64;
        let limit = self.end.map_or(self.right_edge(), |fin| fin.min(self.right_edge()));
        if at == self.next && end <= limit && self.held.is_empty() {
            pushed.advanced = payload.len() as u64;
            self.make_ready(payload);
            return pushed;
        }
        let stop = end.min(limit);
        pushed.refused = end.since(stop.max(at));

        let mut from = at;
        if from < self.next {
            pushed.note_duplicate(from..end.min(self.next));
            from = self.next;
        }
        let had_gap = !self.held.is_empty();
        let before = self.next;
        let max_held = (self.capacity / CAPACITY_PER_PIECE).max(MIN_HELD) as usize;
        // Each turn passes one gap or one held piece, of which there are not many.
        while from < stop {
            let i = self.held.partition_point(|h| h.end() <= from);
            let gap_end = match self.held.get(i) {
                Some(h) if h.start <= from => {
                    let seen = from..h.end().min(stop);
                    self.touch(seen.clone());
                    from = seen.end;
                    pushed.note_duplicate(seen);
                    continue;
                }
                Some(h) => h.start.min(stop),
                None => stop,
            };
            let piece = || payload.slice(from.since(at) as usize..gap_end.since(at) as usize);
            if from == self.next {
                self.make_ready(piece());
                self.release();
                from = self.next;
                pushed.note_duplicate(gap_end..from.min(stop));
            } else if self.held.len() < max_held {
                self.held.insert(i, Held { start: from, payload: piece() });
                self.touch(from..gap_end);
                pushed.out_of_order = true;
                from = gap_end;
            } else {
                pushed.refused += gap_end.since(from);
                from = gap_end;
            }
        }
        pushed.advanced = self.next.since(before);
        pushed.filled_gap = had_gap && pushed.advanced > 0;
        pushed
    }

    /// Notes that the stream ends at `at`: the offset behind its last byte, where the peer's FIN stands.
    /// Later bytes are refused.
    ///
    /// Returns false, and forgets it, when the end cannot be there: beyond the window, before bytes that were
    /// received, or elsewhere than an earlier FIN said.
    pub fn finish(&mut self, at: Offset) -> bool {
        match self.end {
            Some(end) => end == at,
            None => {
                let received = self.held.back().map_or(self.next, Held::end);
                let possible = received <= at && at <= self.right_edge();
                if possible {
                    self.end = Some(at);
                }
                possible
            }
        }
    }

    /// True when the FIN is next in order: all bytes before it have arrived. RCV.NXT then counts one more.
    pub fn at_end(&self) -> bool {
        self.end == Some(self.next)
    }

    /// Hands the next payload in stream order to the application; the right edge moves by its length.
    pub fn pop(&mut self) -> Option<P> {
        let payload = self.ready.pop_front()?;
        self.ready_len -= payload.len() as u64;
        Some(payload)
    }

    /// What [`pop`](RecvQueue::pop) would hand over.
    pub fn front(&self) -> Option<&P> {
        self.ready.front()
    }

    /// Like [`pop`](RecvQueue::pop), at most `max` bytes: of a longer payload its beginning. `None` for 0 too.
    pub fn pop_up_to(&mut self, max: usize) -> Option<P> {
        let front = self.ready.front_mut()?;
        if front.len() <= max {
            return self.pop();
        }
        if max == 0 {
            return None;
        }
        let beginning = front.slice(0..max);
        *front = front.slice(max..front.len());
        self.ready_len -= max as u64;
        Some(beginning)
    }

    /// The next byte expected in order.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The offset behind the last byte the queue would take: `capacity` beyond what was read. Never moves
    /// left.
    pub fn right_edge(&self) -> Offset {
        self.next + self.window()
    }

    /// Bytes from [`next`](RecvQueue::next) to the right edge: what RCV.WND may say.
    pub fn window(&self) -> u64 {
        self.capacity - self.ready_len
    }

    /// Bytes buffered at most.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Raises the capacity to `capacity` bytes; a lower value than now changes nothing, since a window once
    /// offered is not taken back (SHLD-14).
    pub fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity as u64);
    }

    /// Bytes in order that [`pop`](RecvQueue::pop) would yield.
    pub fn readable(&self) -> u64 {
        self.ready_len
    }

    /// Bytes held in memory, in order and out of order.
    pub fn buffered(&self) -> u64 {
        self.ready_len + self.blocks.iter().map(|b| b.end.since(b.start)).sum::<u64>()
    }

    /// True when nothing waits to be read or for a gap to close.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.ready.is_empty() && self.held.is_empty() && self.blocks.is_empty()
    }

    /// True when there are bytes beyond a gap.
    pub fn has_gap(&self) -> bool {
        !self.held.is_empty()
    }

    /// The contiguous blocks beyond the first gap, the one touched last first (RFC 2018 §4): a SACK option
    /// takes as many from the front as it has room for.
    pub fn sack_blocks(&self) -> impl Iterator<Item = Range<Offset>> + '_ {
        self.blocks.iter().cloned()
    }

    /// Drops every payload, read or not, and keeps the positions: for a connection nobody reads from any
    /// more.
    pub fn clear(&mut self) {
        self.ready.clear();
        self.ready_len = 0;
        self.held.clear();
        self.blocks.clear();
    }

    /// Appends in-order bytes.
    fn make_ready(&mut self, payload: P) {
        let len = payload.len() as u64;
        self.next += len;
        self.ready_len += len;
        // One handle instead of two where a coalescing device cut one buffer into several segments.
        if self.ready.back_mut().is_some_and(|last| last.try_merge(&payload)) {
            return;
        }
        self.ready.push_back(payload);
    }

    /// Moves over what no gap holds back any more.
    fn release(&mut self) {
        while self.held.front().is_some_and(|h| h.start == self.next)
            && let Some(h) = self.held.pop_front()
        {
            self.make_ready(h.payload);
        }
        let next = self.next;
        self.blocks.retain(|b| b.start > next);
    }

    /// Puts the block that `range` lies in, or extends, or joins, in front of the others.
    fn touch(&mut self, range: Range<Offset>) {
        let mut merged = range;
        self.blocks.retain(|b| {
            let apart = b.end < merged.start || merged.end < b.start;
            if !apart {
                merged = b.start.min(merged.start)..b.end.max(merged.end);
            }
            apart
        });
        self.blocks.insert(0, merged);
    }
}

impl<P> Fold for RecvQueue<P> {
    /// All but what is in it, of which there is nothing in a connection at rest.
    fn fold(&self, to: &mut Folder<'_>) {
        (self.next, self.end, self.capacity).fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        let (next, end, capacity) = Fold::unfold(from);
        RecvQueue {
            next,
            ready: VecDeque::new(),
            ready_len: 0,
            held: VecDeque::new(),
            blocks: Vec::new(),
            end,
            capacity,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestBuf;

    fn bytes(range: Range<u64>) -> TestBuf {
        TestBuf::from(&range.map(|i| i as u8).collect::<Vec<_>>()[..])
    }

    fn push(q: &mut RecvQueue<TestBuf>, range: Range<u64>) -> Pushed {
        q.push(Offset(range.start), bytes(range))
    }

    fn drain(q: &mut RecvQueue<TestBuf>) -> Vec<u8> {
        std::iter::from_fn(|| q.pop()).flat_map(|p| p.as_slice().to_vec()).collect()
    }

    fn blocks(q: &RecvQueue<TestBuf>) -> Vec<(u64, u64)> {
        q.sack_blocks().map(|b| (b.start.0, b.end.0)).collect()
    }

    #[test]
    fn in_order_bytes_are_readable_at_once() {
        let mut q = RecvQueue::new(100);
        assert_eq!(push(&mut q, 0..10), Pushed { advanced: 10, ..Pushed::default() });
        assert_eq!((q.next(), q.readable(), q.window(), q.right_edge()), (Offset(10), 10, 90, Offset(100)));
        assert_eq!(drain(&mut q), (0..10).collect::<Vec<u8>>());
        assert_eq!((q.window(), q.right_edge()), (100, Offset(110)));
    }

    #[test]
    fn s46_a_gap_holds_bytes_back_until_it_closes() {
        let mut q = RecvQueue::new(100);
        let pushed = push(&mut q, 10..20);
        assert!(pushed.out_of_order && pushed.advanced == 0);
        assert!(q.pop().is_none() && q.has_gap());
        let pushed = push(&mut q, 0..10);
        assert!(pushed.filled_gap && pushed.advanced == 20 && !q.has_gap());
        assert_eq!(drain(&mut q), (0..20).collect::<Vec<u8>>());
    }

    #[test]
    fn sack_blocks_come_most_recent_first_and_merge() {
        let mut q = RecvQueue::new(1000);
        for r in [100..110, 200..210, 300..310, 400..410] {
            push(&mut q, r);
        }
        assert_eq!(blocks(&q), [(400, 410), (300, 310), (200, 210), (100, 110)]);
        push(&mut q, 210..220);
        assert_eq!(blocks(&q), [(200, 220), (400, 410), (300, 310), (100, 110)]);
        // A repeated segment names its block first again (RFC 2018 §4).
        assert_eq!(push(&mut q, 100..105).duplicate, Some(Offset(100)..Offset(105)));
        assert_eq!(blocks(&q), [(100, 110), (200, 220), (400, 410), (300, 310)]);
        push(&mut q, 105..305);
        assert_eq!(blocks(&q), [(100, 310), (400, 410)]);
        push(&mut q, 0..100);
        assert_eq!(blocks(&q), [(400, 410)]);
        assert_eq!(q.next(), Offset(310));
    }

    #[test]
    fn of_bytes_that_differ_the_first_win() {
        let mut q = RecvQueue::new(100);
        q.push(Offset(2), TestBuf::from(&[1, 1][..]));
        q.push(Offset(6), TestBuf::from(&[1, 1][..]));
        let pushed = q.push(Offset(0), TestBuf::from(&[2; 10][..]));
        assert_eq!(pushed.advanced, 10);
        assert_eq!(pushed.duplicate, Some(Offset(2)..Offset(4)));
        assert_eq!(drain(&mut q), [2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
    }

    #[test]
    fn bytes_beyond_the_window_are_refused() {
        let mut q = RecvQueue::new(10);
        assert_eq!(push(&mut q, 0..15), Pushed { advanced: 10, refused: 5, ..Pushed::default() });
        assert_eq!(q.window(), 0);
        assert_eq!(push(&mut q, 10..11).refused, 1);
        assert_eq!(push(&mut q, 50..60).refused, 10);
        q.pop();
        assert_eq!(push(&mut q, 10..15).advanced, 5);
        q.grow(30);
        q.grow(5);
        assert_eq!(q.right_edge(), Offset(40));
    }

    #[test]
    fn the_end_refuses_what_comes_after_it() {
        let mut q = RecvQueue::new(100);
        push(&mut q, 5..10);
        assert!(!q.finish(Offset(9)), "bytes beyond it were received");
        assert!(!q.finish(Offset(101)), "outside the window");
        assert!(q.finish(Offset(10)) && !q.at_end());
        assert!(!q.finish(Offset(11)), "a second FIN elsewhere");
        assert_eq!(push(&mut q, 10..20).refused, 10);
        assert_eq!(
            push(&mut q, 0..20),
            Pushed {
                advanced: 10,
                filled_gap: true,
                duplicate: Some(Offset(5)..Offset(10)),
                refused: 10,
                ..Pushed::default()
            }
        );
        assert!(q.at_end());
    }

    #[test]
    fn the_number_of_held_pieces_is_bounded_and_in_order_bytes_still_fit() {
        for (capacity, max) in [(1000, 64), (1 << 20, 1024)] {
            let mut q = RecvQueue::new(capacity);
            for i in 0..max + 10 {
                assert_eq!(push(&mut q, 1 + 2 * i..2 + 2 * i).refused, u64::from(i >= max), "{i}");
            }
            assert_eq!(q.buffered(), max);
            assert_eq!(push(&mut q, 0..1).advanced, 2);
            q.clear();
            assert_eq!((q.buffered(), q.next()), (0, Offset(2)));
        }
    }

    #[test]
    fn contiguous_handles_of_one_buffer_merge() {
        let whole = bytes(0..30);
        let mut q = RecvQueue::new(100);
        q.push(Offset(0), whole.slice(0..10));
        q.push(Offset(10), whole.slice(10..30));
        assert_eq!(q.pop().map(|p| p.len()), Some(30));
    }

    /// The queue as a plain array: which byte arrived first at each position.
    struct Oracle {
        first: Vec<Option<u8>>,
        read: usize,
        capacity: usize,
        next: usize,
    }

    impl Oracle {
        fn push(&mut self, at: usize, payload: &[u8]) {
            for (i, &b) in payload.iter().enumerate() {
                if (self.next..self.read + self.capacity).contains(&(at + i)) {
                    self.first[at + i].get_or_insert(b);
                }
            }
            while self.first[self.next].is_some() {
                self.next += 1;
            }
        }

        /// The maximal runs beyond `next`, ascending.
        fn blocks(&self) -> Vec<(u64, u64)> {
            let mut out: Vec<(u64, u64)> = Vec::new();
            for i in (self.next..self.first.len()).filter(|&i| self.first[i].is_some()) {
                match out.last_mut() {
                    Some((_, end)) if *end == i as u64 => *end += 1,
                    _ => out.push((i as u64, i as u64 + 1)),
                }
            }
            out
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { at: usize, payload: Vec<u8> },
        Pop,
        Grow(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0usize..300, prop::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(at, payload)| Step::Push { at, payload }),
            2 => Just(Step::Pop),
            1 => (0usize..200).prop_map(Step::Grow),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_an_array_of_bytes(steps in prop::collection::vec(step(), 1..80)) {
            let mut q = RecvQueue::new(100);
            let mut oracle = Oracle { first: vec![None; 1000], read: 0, capacity: 100, next: 0 };
            for step in steps {
                let edge = q.right_edge();
                match step {
                    Step::Push { at, payload } => {
                        let before = oracle.next;
                        let had_gap = !oracle.blocks().is_empty();
                        oracle.push(at, &payload);
                        let pushed = q.push(Offset(at as u64), TestBuf::from(&payload[..]));
                        prop_assert_eq!(pushed.advanced, (oracle.next - before) as u64);
                        prop_assert_eq!(pushed.filled_gap, had_gap && pushed.advanced > 0);
                        if pushed.out_of_order || (pushed.duplicate.is_some() && at >= oracle.next) {
                            // The block of the segment that caused the ACK comes first.
                            let first = q.sack_blocks().next().expect("a block");
                            let piece = at as u64..(at + payload.len()) as u64;
                            prop_assert!(first.start.0 < piece.end && piece.start < first.end.0);
                        }
                    }
                    Step::Pop => {
                        if let Some(p) = q.pop() {
                            for &b in p.as_slice() {
                                prop_assert_eq!(Some(b), oracle.first[oracle.read]);
                                oracle.read += 1;
                            }
                        }
                    }
                    Step::Grow(capacity) => {
                        q.grow(capacity);
                        oracle.capacity = oracle.capacity.max(capacity);
                    }
                }
                prop_assert_eq!(q.next().0, oracle.next as u64);
                prop_assert_eq!(q.readable(), (oracle.next - oracle.read) as u64);
                prop_assert_eq!(q.right_edge().0, (oracle.read + oracle.capacity) as u64);
                prop_assert!(q.right_edge() >= edge, "the right edge moved left");
                let mut blocks = blocks(&q);
                blocks.sort();
                prop_assert_eq!(blocks, oracle.blocks());
            }
        }
    }
}
