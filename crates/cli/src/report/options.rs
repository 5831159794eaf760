//! The settings of connections that were in force.

use serde::Serialize;
use tsonami::ConnectOptions;

/// In JSON every one of them, named and written as in the configuration file; in text those that somebody changed.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Options {
    all: ConnectOptions,
    #[serde(skip)]
    changed: Vec<String>,
}

impl Options {
    /// `all` were in force; `defaults` would have been.
    pub(crate) fn new(all: &ConnectOptions, defaults: &ConnectOptions) -> Options {
        let table = |options| toml::Table::try_from(options).unwrap_or_default();
        let defaults = table(defaults);
        let changed = table(all)
            .into_iter()
            .filter(|(name, value)| defaults.get(name) != Some(value))
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        Options { all: all.clone(), changed }
    }

    /// Those that somebody changed, as they would stand in the configuration file.
    pub(crate) fn changed(&self) -> &[String] {
        &self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn text_has_what_was_changed_and_json_everything() {
        let defaults = ConnectOptions::default();
        let changed = ConnectOptions {
            no_delay: true,
            mss: Some(1000),
            min_rto: Duration::from_millis(5),
            ..defaults.clone()
        };
        let options = Options::new(&changed, &defaults);
        let mut lines = options.changed().to_vec();
        lines.sort();
        assert_eq!(lines, ["min_rto = \"5ms\"", "mss = 1000", "no_delay = true"]);
        let json = serde_json::to_value(&options).unwrap();
        assert_eq!(json["mss"], 1000);
        assert_eq!(json["min_rto"], "5ms");
        assert_eq!(json["sack"], true);
        assert!(Options::new(&defaults, &defaults).changed().is_empty());
    }
}
