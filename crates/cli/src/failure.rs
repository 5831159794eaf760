//! What the user reads when something failed: what happened, and the exact command that mends it.

use std::fmt;

use crate::exit::Exit;

/// A failure that ends the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What happened, one sentence without a full stop.
    pub(crate) what: String,
    /// What mends it: commands to type, or advice; any one of them will do.
    pub(crate) mend: Vec<String>,
}

impl Failure {
    /// A failure nothing more is known about.
    pub(crate) fn new(exit: Exit, what: impl fmt::Display) -> Failure {
        Failure { exit, what: what.to_string(), mend: Vec::new() }
    }

    /// Adds a way to mend it.
    #[must_use]
    pub(crate) fn mend(mut self, mend: impl fmt::Display) -> Failure {
        self.mend.push(mend.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tsonami: {}", self.what)?;
        for (i, mend) in self.mend.iter().enumerate() {
            let label = if i == 0 { "mend it:" } else { "     or:" };
            // A way to mend it may span lines; they line up.
            let mut lines = mend.lines();
            write!(f, "\n  {label} {}", lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n           {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_what_happened_then_how_to_mend_it() {
        let failure = Failure::new(Exit::Start, "no permission to open /dev/net/tun")
            .mend("sudo tsonami send 10.77.0.1")
            .mend("unshare -Urn sh -c '\n  tsonami send 10.77.0.1'");
        assert_eq!(
            failure.to_string(),
            "tsonami: no permission to open /dev/net/tun\n\
             \x20 mend it: sudo tsonami send 10.77.0.1\n\
             \x20      or: unshare -Urn sh -c '\n\
             \x20            tsonami send 10.77.0.1'"
        );
    }
}
