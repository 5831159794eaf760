//! One thing the doctor found.

use std::fmt;

use serde::Serialize;

/// How something is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// As it should be.
    Ok,
    /// Nothing is wrong; worth knowing.
    Note,
    /// Some devices or speeds are out of reach.
    Missing,
    /// `tsonami send` cannot work.
    Broken,
}

/// One thing the doctor looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) subject: String,
    /// How it is.
    pub(crate) health: Health,
    /// What was seen, and what it means.
    pub(crate) state: String,
    /// Commands that mend it; any one of them will do.
    pub(crate) mend: Vec<String>,
}

impl Finding {
    fn new(health: Health, subject: impl fmt::Display, state: impl fmt::Display) -> Finding {
        Finding { subject: subject.to_string(), health, state: state.to_string(), mend: Vec::new() }
    }

    pub(crate) fn good(subject: impl fmt::Display, state: impl fmt::Display) -> Finding {
        Finding::new(Health::Ok, subject, state)
    }

    pub(crate) fn note(subject: impl fmt::Display, state: impl fmt::Display) -> Finding {
        Finding::new(Health::Note, subject, state)
    }

    pub(crate) fn missing(subject: impl fmt::Display, state: impl fmt::Display) -> Finding {
        Finding::new(Health::Missing, subject, state)
    }

    pub(crate) fn broken(subject: impl fmt::Display, state: impl fmt::Display) -> Finding {
        Finding::new(Health::Broken, subject, state)
    }

    /// Adds a command that mends it.
    #[must_use]
    pub(crate) fn mend(mut self, command: impl fmt::Display) -> Finding {
        self.mend.push(command.to_string());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.health {
            Health::Ok => "[ok]",
            Health::Note => "[note]",
            Health::Missing => "[missing]",
            Health::Broken => "[broken]",
        };
        write!(f, "{mark:<9} {}: {}", self.subject, self.state)?;
        for (i, command) in self.mend.iter().enumerate() {
            let label = if i == 0 { "mend it:" } else { "     or:" };
            write!(f, "\n          {label} {command}")?;
        }
        Ok(())
    }
}
