//! Ctrl-C: once ends the run cleanly, twice aborts it, three times kills it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as SignalIterator;

use crate::exit::Exit;

/// What the user asked for by signal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Nothing: go on.
    Nothing,
    /// Stop sending, let what is under way finish for a moment, report.
    Stop,
    /// Reset the connections, close the device, report.
    Abort,
}

/// Watches SIGINT and SIGTERM on a thread of its own. Clones see the same signals.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// How many came, in the low half; the number of the first in the high half.
    state: Arc<AtomicU32>,
}

/// After this many the process ends at once: whatever hangs, the user gets the shell back.
const KILL_AFTER: u32 = 3;

impl Signals {
    /// Starts watching. From here on a single Ctrl-C no longer ends the process by itself.
    pub(crate) fn watch() -> io::Result<Signals> {
        let signals = Signals { state: Arc::new(AtomicU32::new(0)) };
        let mut iterator = SignalIterator::new([SIGINT, SIGTERM])?;
        let watched = signals.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for number in iterator.forever() {
                if watched.note(number as u32) >= KILL_AFTER {
                    std::process::exit(i32::from(Exit::Signal(number as u8).code()));
                }
            }
        })?;
        Ok(signals)
    }

    /// Records one signal; returns how many there were.
    fn note(&self, number: u32) -> u32 {
        let before = self.state.load(Ordering::Relaxed);
        let count = (before & 0xffff) + 1;
        let first = if before >> 16 == 0 { number } else { before >> 16 };
        self.state.store(first << 16 | count, Ordering::Relaxed);
        count
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Asked {
        match self.state.load(Ordering::Relaxed) & 0xffff {
            0 => Asked::Nothing,
            1 => Asked::Stop,
            _ => Asked::Abort,
        }
    }

    /// The exit code that the first signal asks for, if any came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.state.load(Ordering::Relaxed) >> 16 {
            0 => None,
            number => Some(Exit::Signal(number as u8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_stops_the_second_aborts_and_the_first_names_the_exit_code() {
        let signals = Signals { state: Arc::new(AtomicU32::new(0)) };
        assert_eq!((signals.asked(), signals.exit()), (Asked::Nothing, None));
        assert_eq!(signals.note(SIGTERM as u32), 1);
        assert_eq!((signals.asked(), signals.exit()), (Asked::Stop, Some(Exit::Signal(15))));
        assert_eq!(signals.note(SIGINT as u32), 2);
        assert_eq!((signals.asked(), signals.exit()), (Asked::Abort, Some(Exit::Signal(15))));
    }
}
