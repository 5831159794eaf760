//! How a run that got under way ends: what is told on standard error, and the exit code.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::ErrorSummary;

/// Everything that decides how a run ends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    /// The exit code that a signal asks for.
    pub(crate) signal: Option<Exit>,
    /// What went wrong first.
    pub(crate) failure: Option<Failure>,
    /// What was not in order when the device was closed.
    pub(crate) unclean: Option<Failure>,
}

impl Verdict {
    /// What the user is told: everything that went wrong, however the run was ended.
    fn told(&self) -> impl Iterator<Item = &Failure> {
        self.failure.iter().chain(&self.unclean)
    }

    /// The exit code: of what went wrong first. An interrupted run ends with the signal's, since its connections
    /// were cut off on purpose; but what was not in order at the end is no consequence of that.
    fn exit(&self) -> Exit {
        let (failure, unclean) =
            (self.failure.as_ref().map(|f| f.exit), self.unclean.as_ref().map(|f| f.exit));
        match self.signal {
            Some(signal) => unclean.unwrap_or(signal),
            None => failure.or(unclean).unwrap_or(Exit::Success),
        }
    }

    /// What a summary says went wrong: the first of it, or that a signal ended the run.
    pub(crate) fn error(&self) -> Option<ErrorSummary> {
        let failure = self.failure.as_ref().or(self.unclean.as_ref()).map(ErrorSummary::from);
        failure
            .or(self.signal.map(|exit| ErrorSummary { what: "interrupted".into(), exit_code: exit.code() }))
    }

    /// Tells what went wrong, and returns the exit code.
    pub(crate) fn announce(&self) -> Exit {
        for failure in self.told() {
            eprintln!("{failure}");
        }
        self.exit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_even_after_ctrl_c() {
        let leak = || Some(Failure::new(Exit::Device, "buffers were missing"));
        let reset = || Some(Failure::new(Exit::Reset, "reset"));
        let signal = Some(Exit::Signal(2));
        for (signal, failure, unclean, exit, told) in [
            (None, None, None, Exit::Success, 0),
            (None, reset(), None, Exit::Reset, 1),
            (None, reset(), leak(), Exit::Reset, 2),
            (None, None, leak(), Exit::Device, 1),
            (signal, None, None, Exit::Signal(2), 0),
            (signal, reset(), None, Exit::Signal(2), 1),
            (signal, None, leak(), Exit::Device, 1),
            (signal, reset(), leak(), Exit::Device, 2),
        ] {
            let verdict = Verdict { signal, failure, unclean };
            assert_eq!((verdict.exit(), verdict.told().count()), (exit, told), "{verdict:?}");
        }
    }
}
