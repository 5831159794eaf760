//! What the protocol knows of a buffer: its length, its bytes, and how to refer to a part of it.

use core::ops::Range;

/// A cheap-to-clone, read-only handle on bytes that do not move or change while any handle exists.
///
/// The protocol queues, splits and merges handles; it never copies the bytes behind them.
pub trait Payload: Clone {
    /// Number of bytes.
    fn len(&self) -> usize;

    /// True when there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    fn as_slice(&self) -> &[u8];

    /// A handle on a part of the same bytes.
    ///
    /// # Panics
    /// When `range` is not inside `0..len`.
    #[must_use]
    fn slice(&self, range: Range<usize>) -> Self;

    /// Extends this handle over `next` when `next` continues it in memory, inside the same buffer (`S11`).
    /// Returns whether it did; `next` may then be dropped.
    fn try_merge(&mut self, next: &Self) -> bool;

    /// Bytes of memory that are not free while this handle exists (`S4`): of the whole buffer behind it, unless the rest
    /// of that is being filled by its owner and counted as it goes.
    fn footprint(&self) -> usize {
        self.len()
    }

    /// True when both handles are parts of one buffer, whose [`footprint`](Payload::footprint) then counts once.
    fn shares_buffer(&self, other: &Self) -> bool {
        let _ = other;
        false
    }

    /// True for what a copying send made: to copy it once more breaks no promise.
    fn is_copy(&self) -> bool {
        false
    }

    /// True while a device may still read the buffer behind this handle. A payload is given back to its owner
    /// only when it is acknowledged **and** this is false (`S29`).
    fn in_device(&self) -> bool {
        false
    }
}
