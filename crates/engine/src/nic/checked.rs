//! A NIC that looks over the engine's shoulder: every staged frame goes through the offload checker.

use core::ops::Range;

use tcp::{FourTuple, Payload};

use super::check::{Checker, Violation};
use super::forward::leave_to_inner;
use super::{Nic, RxPiece, StageError, TxFrame, TxOutcome};

/// Violations kept word for word; later ones are only counted.
const KEPT: usize = 16;

/// What the checker found so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// Frames looked at.
    pub frames: u64,
    /// Things wrong with them, in all.
    pub violations: u64,
    /// The first few of those, each with the number of its frame, counted from 1.
    pub first: Vec<(u64, Violation)>,
}

impl CheckReport {
    /// Counts `violation` against the newest frame.
    pub fn add(&mut self, violation: Violation) {
        self.violations += 1;
        if self.first.len() < KEPT {
            self.first.push((self.frames, violation));
        }
    }
}

/// Checks each frame on its way to the NIC it wraps, and changes nothing: a faulty frame is sent all the same,
/// so that a run shows every fault and the device's own reaction. Allocates; not for the fast path.
#[derive(Debug)]
pub struct Checked<N> {
    inner: N,
    report: CheckReport,
    staged: usize,
}

impl<N> Checked<N> {
    /// Wraps `inner`.
    pub fn new(inner: N) -> Self {
        Checked { inner, report: CheckReport::default(), staged: 0 }
    }

    /// What was found so far.
    pub fn report(&self) -> &CheckReport {
        &self.report
    }

    /// The wrapped NIC.
    pub fn inner(&self) -> &N {
        &self.inner
    }

    /// The wrapped NIC.
    pub fn inner_mut(&mut self) -> &mut N {
        &mut self.inner
    }

    /// The wrapped NIC, and what was found.
    pub fn into_parts(self) -> (N, CheckReport) {
        (self.inner, self.report)
    }
}

impl<N: Nic> Nic for Checked<N> {
    type Buf = N::Buf;
    type Header = N::Header;
    type Tail = N::Tail;

    leave_to_inner!(N);

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<N::Buf>>) -> usize {
        self.inner.rx_burst(out)
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
        let payload: Vec<_> = payload.collect();
        let mut chain = Vec::with_capacity(1 + payload.len());
        chain.push(&frame.header[..usize::from(frame.header_len)]);
        chain.extend(payload.iter().map(|(buf, range)| &buf.as_slice()[range.clone()]));
        self.report.frames += 1;
        let report = &mut self.report;
        Checker::new(self.inner.limits(), self.inner.mac())
            .staged(&chain, &frame.meta, &mut |violation| report.add(violation));
        let staged = self.inner.stage(frame, payload.into_iter());
        if staged.is_ok() {
            self.staged += 1;
            let batch = self.inner.limits().tx_batch;
            if self.staged > usize::from(batch) {
                self.report.add(Violation::OverBatch(self.staged, batch));
            }
        }
        staged
    }

    fn tx_burst(&mut self) -> TxOutcome {
        self.staged = 0;
        self.inner.tx_burst()
    }
}
