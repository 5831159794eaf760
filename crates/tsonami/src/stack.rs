//! The engine over the device, plain or watched.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use engine::Engine;
use engine::nic::dpdk::DpdkNic;
use engine::nic::{CheckReport, Checked, Direction, FrameSink, PcapWriter, Shared, Traced};

/// An engine, and what stands between it and its device. Which of the three it is, is decided when it is built: within
/// an iteration of the loop no call goes through a table.
pub(crate) enum Stack {
    /// Nothing: the fast path.
    Plain(Box<Engine<DpdkNic>>),
    /// Workers beside it, to which frames may have to be handed over.
    Shared(Box<Engine<Shared<DpdkNic>>>),
    /// Every frame is looked at on its way.
    Watched(Box<Engine<Watched>>),
}

/// A device whose frames are captured and checked.
pub(crate) type Watched = Checked<Traced<Shared<DpdkNic>, Capture>>;

/// Runs an expression with `$engine` as the engine, whichever it is.
macro_rules! on {
    ($stack:expr, $engine:ident => $body:expr) => {
        match $stack {
            $crate::stack::Stack::Plain($engine) => $body,
            $crate::stack::Stack::Shared($engine) => $body,
            $crate::stack::Stack::Watched($engine) => $body,
        }
    };
}
pub(crate) use on;

/// A capture file, or none.
pub(crate) struct Capture(Option<PcapWriter<BufWriter<File>>>);

impl Capture {
    /// A capture into `path`, if there is one.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Capture> {
        let open = |path| PcapWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
        Ok(Capture(path.map(open).transpose()?))
    }

    /// Writes what is left.
    fn finish(self) -> io::Result<()> {
        self.0.map_or(Ok(()), |writer| writer.finish().map(drop))
    }
}

impl FrameSink for Capture {
    fn frame(&mut self, direction: Direction, pieces: &[&[u8]]) {
        if let Some(writer) = &mut self.0 {
            writer.frame(direction, pieces);
        }
    }
}

/// What is left of an engine that ended.
pub(crate) struct Remains {
    pub(crate) nic: DpdkNic,
    /// What was wrong with frames, in the engine's words and in the driver's; `None` unless they were checked.
    pub(crate) checks: Option<CheckReport>,
    /// How the capture ended.
    pub(crate) capture: io::Result<()>,
}

impl Stack {
    /// The device.
    pub(crate) fn nic(&self) -> &DpdkNic {
        match self {
            Stack::Plain(engine) => engine.nic(),
            Stack::Shared(engine) => engine.nic().inner(),
            Stack::Watched(engine) => engine.nic().inner().inner().inner(),
        }
    }

    /// What is shared with other workers, if there are any.
    pub(crate) fn shared(&self) -> Option<&Shared<DpdkNic>> {
        match self {
            Stack::Plain(_) => None,
            Stack::Shared(engine) => Some(engine.nic()),
            Stack::Watched(engine) => Some(engine.nic().inner().inner()).filter(|nic| nic.report().is_some()),
        }
    }

    /// Takes the engine apart. Its connections and their buffers are gone then.
    pub(crate) fn end(self) -> Remains {
        match self {
            Stack::Plain(engine) => Remains { nic: engine.into_nic(), checks: None, capture: Ok(()) },
            Stack::Shared(engine) => {
                Remains { nic: engine.into_nic().into_inner(), checks: None, capture: Ok(()) }
            }
            Stack::Watched(engine) => {
                let (traced, mut checks) = engine.into_nic().into_parts();
                let (nic, capture) = traced.into_parts();
                let nic = nic.into_inner();
                if let Some(prepared) = nic.check_report() {
                    checks.violations += prepared.violations;
                    checks.first.extend(prepared.first.iter().cloned());
                }
                Remains { nic, checks: Some(checks), capture: capture.finish() }
            }
        }
    }
}
