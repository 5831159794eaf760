//! What arrived twice is reported once, by the next bare ACK (RFC 2883 §4): a sender learns by it that it repaired
//! what was only late.

use core::ops::Range;

use super::Connection;
use crate::wire::OptionBytes;
use crate::{Offset, Payload, Time};

impl<P: Payload> Connection<P> {
    /// A segment with `len` bytes of text that is not taken lies `at` bytes from RCV.NXT: what of it stands before that
    /// arrived twice.
    pub(super) fn note_old(&mut self, at: i64, len: usize) {
        let next = self.recv.next();
        // Bytes before the stream's first have no offset, and nobody sent them.
        if let Ok(start) = u64::try_from(self.rcv_nxt().0 as i64 + at) {
            self.note_twice(Offset(start)..(Offset(start) + len as u64).min(next));
        }
    }

    /// `range` arrived again. A peer that does not know SACK is not told.
    pub(super) fn note_twice(&mut self, range: Range<Offset>) {
        if self.peer.sack && range.start < range.end {
            self.ack.on_twice(range);
        }
    }

    /// A bare ACK has to leave although another segment acknowledges: what arrived twice is reported once, and a burst
    /// may become many segments.
    pub(super) fn owes_duplicate(&self) -> bool {
        self.ack.twice().is_some() && !self.proposed.twice
    }

    /// The options of a bare ACK.
    pub(super) fn bare_ack_options(&mut self, now: Time) -> OptionBytes {
        let Some(twice) = self.ack.twice() else { return self.ack_options(now) };
        self.proposed.twice = true;
        // RFC 2883 §4: it comes first, and then the block that it is a part of.
        let around = |block: &Range<Offset>| block.start <= twice.start && twice.end <= block.end;
        let blocks = core::iter::once(twice.clone())
            .chain(self.recv.sack_blocks().filter(around))
            .chain(self.recv.sack_blocks().filter(|block| !around(block)))
            .map(|block| (self.rcv_seq(block.start), self.rcv_seq(block.end)));
        OptionBytes::established(self.peer.timestamps.then(|| self.stamp(now)), blocks)
    }
}
