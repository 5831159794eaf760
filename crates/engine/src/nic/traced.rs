//! A NIC that lets somebody watch: every frame received, and every frame the device took, goes to a sink.

use core::ops::Range;

use tcp::{FourTuple, Payload};

use super::forward::leave_to_inner;
use super::{Nic, RxPiece, StageError, TxFrame, TxOutcome};

/// Which way a frame went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the wire to us.
    Received,
    /// From us to the device: before segmentation, and with whatever checksums it will fill in, as a kernel's
    /// own capture shows it.
    Sent,
}

/// Takes the frames that passed, in order. It keeps its own clock.
pub trait FrameSink {
    /// One frame, Ethernet header first, possibly in pieces.
    fn frame(&mut self, direction: Direction, pieces: &[&[u8]]);
}

/// Shows the frames of the NIC it wraps to a [`FrameSink`]. Frames the device refused were not sent and are not
/// shown. Copies every sent frame; not for the fast path.
#[derive(Debug)]
pub struct Traced<N, S> {
    inner: N,
    sink: S,
    /// Staged frames end to end, and where each ends.
    staged: Vec<u8>,
    ends: Vec<usize>,
}

impl<N, S> Traced<N, S> {
    /// Wraps `inner`; `sink` sees what passes.
    pub fn new(inner: N, sink: S) -> Self {
        Traced { inner, sink, staged: Vec::new(), ends: Vec::new() }
    }

    /// The wrapped NIC.
    pub fn inner(&self) -> &N {
        &self.inner
    }

    /// The wrapped NIC.
    pub fn inner_mut(&mut self) -> &mut N {
        &mut self.inner
    }

    /// The sink.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The wrapped NIC and the sink.
    pub fn into_parts(self) -> (N, S) {
        (self.inner, self.sink)
    }
}

impl<N: Nic, S: FrameSink> Nic for Traced<N, S> {
    type Buf = N::Buf;
    type Header = N::Header;
    type Tail = N::Tail;

    leave_to_inner!(N);

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<N::Buf>>) -> usize {
        let before = out.len();
        let pieces = self.inner.rx_burst(out);
        let mut frame = Vec::new();
        for piece in &out[before..] {
            frame.push(piece.buf.as_slice());
            if !piece.more {
                self.sink.frame(Direction::Received, &frame);
                frame.clear();
            }
        }
        pieces
    }

    fn owns(&self, tuple: &FourTuple) -> bool {
        self.inner.owns(tuple)
    }

    fn pass_on(&mut self, tuple: &FourTuple, frame: &[RxPiece<N::Buf>]) -> bool {
        self.inner.pass_on(tuple, frame)
    }

    fn share(&mut self, frame: &[RxPiece<N::Buf>]) -> bool {
        self.inner.share(frame)
    }

    fn relay(&mut self) {
        self.inner.relay();
    }

    fn stage<'a, I>(&mut self, frame: TxFrame<N::Header>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a N::Buf, Range<usize>)>,
        N::Buf: 'a,
    {
        let start = self.staged.len();
        self.staged.extend_from_slice(&frame.header[..usize::from(frame.header_len)]);
        let staged = &mut self.staged;
        let seen = payload.inspect(|(buf, range)| staged.extend_from_slice(&buf.as_slice()[range.clone()]));
        let result = self.inner.stage(frame, seen);
        match result {
            Ok(()) => self.ends.push(self.staged.len()),
            Err(_) => self.staged.truncate(start),
        }
        result
    }

    fn tx_burst(&mut self) -> TxOutcome {
        let outcome = self.inner.tx_burst();
        let mut start = 0;
        for &end in self.ends.iter().take(outcome.sent) {
            self.sink.frame(Direction::Sent, &[&self.staged[start..end]]);
            start = end;
        }
        self.ends.clear();
        self.staged.clear();
        outcome
    }
}
