//! What the user reads when something failed: what happened, and what mends it.

use std::fmt;
use std::io;

/// A failure that ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    mend: Option<String>,
}

impl Failure {
    /// One sentence without a full stop.
    pub(crate) fn new(what: impl fmt::Display) -> Failure {
        Failure { what: what.to_string(), mend: None }
    }

    /// With the command or setting that mends it.
    #[must_use]
    pub(crate) fn mend(mut self, mend: impl fmt::Display) -> Failure {
        self.mend = Some(mend.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tsonami-bench: {}", self.what)?;
        match &self.mend {
            Some(mend) => write!(f, "\n  mend it: {mend}"),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(error)
    }
}
