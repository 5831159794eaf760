//! The send queue: what the application wrote, from the oldest byte a device may still read to the newest
//! (`S9`, `S11`, `S29`).
//!
//! One queue of payload handles, keyed by stream offset, and four watermarks in it:
//! `reclaimed ≤ una ≤ nxt ≤ end`. Sending moves no payload and acknowledging drops none: both move a watermark.
//! Only the reclaim walk drops a handle, once it is acknowledged and no device reads it.

use core::ops::Range;
use std::collections::VecDeque;

use crate::{Offset, Payload};

/// What a chunk costs beside its bytes (`S4`): its place in the queue and in the record of what is in flight.
/// Charged so that a flood of tiny writes cannot queue without bound.
const CHUNK_COST: u64 = 64;

/// Payload of one or several writes.
#[derive(Debug)]
struct Chunk<P> {
    start: Offset,
    payload: P,
    /// A segment that ends where this chunk ends carries PSH.
    push: bool,
}

impl<P: Payload> Chunk<P> {
    fn end(&self) -> Offset {
        self.start + self.payload.len() as u64
    }
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
    /// The number of slices ended it, at the end of a chunk.
    pub(crate) cut: bool,
}

/// The queue. At most `limit / 64` chunks wait for acknowledgement; the deque grows to the most that ever did
/// and stays, so that nothing is allocated per segment.
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
    /// End of the last write that asked for PSH.
    pushed: Offset,
    limit: u64,
}

impl<P: Payload> SendQueue<P> {
    /// An empty queue for `limit` bytes.
    pub(crate) fn new(limit: usize) -> SendQueue<P> {
        SendQueue {
            chunks: VecDeque::new(),
            popped: 0,
            reclaimed: Offset::ZERO,
            una: Cursor::default(),
            nxt: Cursor::default(),
            proposed: Cursor::default(),
            end: Offset::ZERO,
            pushed: Offset::ZERO,
            limit: limit as u64,
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

    /// Bytes a write may bring now. What is acknowledged frees room even while a device still reads it: nothing
    /// that sends waits for a device.
    pub(crate) fn capacity(&self) -> u64 {
        let unacked = match self.una.offset == self.end {
            true => 0,
            false => self.chunks.len() as u64 - self.una.chunk.saturating_sub(self.popped),
        };
        let used = self.end.since(self.una.offset) + (unacked + 1) * CHUNK_COST;
        self.limit.saturating_sub(used)
    }

    /// True when at least a third of the limit is free (`S4`), or all is.
    pub(crate) fn has_room_again(&self) -> bool {
        self.capacity() * 3 >= self.limit || self.una.offset == self.end
    }

    /// Appends `payload` and returns the offset of its first byte, or hands it back when it does not fit. An
    /// empty queue takes any length: a zero-copy write larger than the limit would never be taken otherwise.
    ///
    /// `push` asks for PSH on the segment that ends this write; `half_window` asks for it as soon as more than
    /// that was written since the last one (`S14`).
    pub(crate) fn write(&mut self, payload: P, push: bool, half_window: u64) -> Result<Offset, P> {
        let len = payload.len() as u64;
        let start = self.end;
        if len == 0 {
            return Ok(start);
        }
        if len > self.capacity() && self.una.offset != self.end {
            return Err(payload);
        }
        self.end += len;
        let push = push || (half_window > 0 && self.end.since(self.pushed) > half_window);
        if push {
            self.pushed = self.end;
        }
        // A tail that is wholly acknowledged is on its way back to its owner: leave it alone.
        if let Some(tail) = self.chunks.back_mut()
            && tail.end() > self.una.offset
            && tail.payload.try_merge(&payload)
        {
            tail.push = push;
            return Ok(start);
        }
        self.chunks.push_back(Chunk { start, payload, push });
        Ok(start)
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
    pub(crate) fn acknowledge(&mut self, to: Offset) {
        let to = to.min(self.nxt.offset);
        if to > self.una.offset {
            self.una = self.moved(self.una, to);
        }
    }

    /// Takes the oldest chunk off, when it is acknowledged (or `all` are free to go) and no device reads it.
    pub(crate) fn pop_reclaimed(&mut self, all: bool) -> Option<(Offset, P)> {
        let front = self.chunks.front()?;
        let done = all || front.end() <= self.una.offset;
        if !done || front.payload.in_device() {
            return None;
        }
        self.pop()
    }

    /// Takes the oldest chunk off, whoever still has a use for it.
    pub(crate) fn pop(&mut self) -> Option<(Offset, P)> {
        let chunk = self.chunks.pop_front()?;
        self.popped += 1;
        self.reclaimed = chunk.end();
        Some((chunk.start, chunk.payload))
    }

    /// How much of `len` bytes from `from` fits `max_slices` slices.
    pub(crate) fn span(&self, from: Offset, len: u64, max_slices: u16) -> Span {
        let mut covered = 0;
        let first = self.index_of(from);
        for chunk in self.chunks.range(first..).take(usize::from(max_slices)) {
            covered = chunk.end().since(from);
            if covered >= len {
                return Span { len, cut: false };
            }
        }
        Span { len: covered, cut: true }
    }

    /// True when a segment that ends at `at` carries PSH: a write ends there that asked for it.
    pub(crate) fn pushes_at(&self, at: Offset) -> bool {
        // The chunk of the byte before, since `at` itself belongs to the next one.
        at > Offset::ZERO
            && self.chunks.get(self.index_of(at - 1)).is_some_and(|chunk| chunk.end() == at && chunk.push)
    }

    /// The payload of `len` bytes from `from`.
    pub(crate) fn slices(&self, from: Offset, len: u64) -> impl Iterator<Item = (&P, Range<usize>)> + '_ {
        let to = from + len;
        let first = if len == 0 { self.chunks.len() } else { self.index_of(from) };
        self.chunks.range(first..).take_while(move |chunk| chunk.start < to).map(move |chunk| {
            let start = from.since(chunk.start) as usize;
            let end = to.min(chunk.end()).since(chunk.start) as usize;
            (&chunk.payload, start..end)
        })
    }

    /// Index of the chunk that holds byte `offset`; the number of chunks when none does.
    fn index_of(&self, offset: Offset) -> usize {
        // New data is what is asked for nearly always: at SND.NXT, or a few chunks further.
        let near = self.nxt.chunk.saturating_sub(self.popped) as usize;
        for i in near..near + 3 {
            if let Some(chunk) = self.chunks.get(i)
                && chunk.start <= offset
                && offset < chunk.end()
            {
                return i;
            }
        }
        self.chunks.partition_point(|chunk| chunk.end() <= offset)
    }

    /// `cursor` moved forward to `to`: passes the chunks that end before or at it, except the last.
    fn moved(&self, cursor: Cursor, to: Offset) -> Cursor {
        let mut chunk = cursor.chunk.max(self.popped);
        while chunk + 1 < self.popped + self.chunks.len() as u64
            && self.chunks[(chunk - self.popped) as usize].end() <= to
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
            at = chunk.end();
        }
        assert_eq!(at, self.end, "chunks do not reach the end");
    }
}
