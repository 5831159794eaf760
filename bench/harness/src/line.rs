//! The contract with what is measured: a part prints one line of JSON last, with figures that have units.
//!
//! ```json
//! {"medium":"veth","figures":{"goodput":{"value":61.2,"unit":"Gbit/s"}},"stages":[],"latency":null,"commands":[],"notes":[]}
//! ```

use std::collections::BTreeMap;
use std::io::{Error, Result, Write as _};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What the figures went through. A reader must know it to make anything of them, so there is no line without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Medium {
    /// A pretended NIC in our own memory.
    Memory,
    /// A pair of the kernel's interfaces in namespaces.
    Veth,
    /// Shared rings that carry whole TSO frames.
    VhostUser,
    /// Shared rings that carry frames of an MTU.
    Memif,
}

impl Medium {
    /// As tables and captions say it.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Medium::Memory => "in memory: no device, no receiver",
            Medium::Veth => "kernel, veth pair",
            Medium::VhostUser => "vhost-user",
            Medium::Memif => "memif",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// Payload.
    #[serde(rename = "Gbit/s")]
    GbitPerSecond,
    /// Payload over the time the sender's core worked.
    #[serde(rename = "Gbit/s per busy core")]
    GbitPerBusyCore,
    /// Sends, requests, connections.
    #[serde(rename = "1/s")]
    PerSecond,
    /// The same over the time the sender's core worked.
    #[serde(rename = "1/s per busy core")]
    PerSecondPerBusyCore,
    /// Of the sender's core, for a thousand bytes of payload.
    #[serde(rename = "ns/kB")]
    NanosecondsPerKilobyte,
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "s")]
    Seconds,
    /// Of the time-stamp counter.
    #[serde(rename = "cycles")]
    Cycles,
    /// The same for each burst.
    #[serde(rename = "cycles/burst")]
    CyclesPerBurst,
    #[serde(rename = "bytes")]
    Bytes,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "count")]
    Count,
}

impl Unit {
    /// As a line of JSON has it.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Unit::GbitPerSecond => "Gbit/s",
            Unit::GbitPerBusyCore => "Gbit/s per busy core",
            Unit::PerSecond => "1/s",
            Unit::PerSecondPerBusyCore => "1/s per busy core",
            Unit::NanosecondsPerKilobyte => "ns/kB",
            Unit::Nanoseconds => "ns",
            Unit::Seconds => "s",
            Unit::Cycles => "cycles",
            Unit::CyclesPerBurst => "cycles/burst",
            Unit::Bytes => "bytes",
            Unit::Percent => "%",
            Unit::Count => "count",
        }
    }
}

/// A value and its unit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// A stage of the loop and the cycles it takes for a burst.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) cycles: f64,
}

/// A distribution of times, as points of percentile and nanoseconds, both rising.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) points: Vec<(f64, u64)>,
}

/// The percentiles that are figures of their own.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

/// What a part prints last.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) medium: Medium,
    pub(crate) figures: BTreeMap<String, Figure>,
    /// Cycles per burst, in the order of the loop; empty when the part has no stages.
    #[serde(default)]
    pub(crate) stages: Vec<Stage>,
    #[serde(default)]
    pub(crate) latency: Option<Distribution>,
    /// Programs that the part started, as they could be typed.
    #[serde(default)]
    pub(crate) commands: Vec<String>,
    /// What a reader of the figures has to know, a sentence each.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

impl Line {
    /// A line without figures.
    pub(crate) fn new(medium: Medium) -> Line {
        Line {
            medium,
            figures: BTreeMap::new(),
            stages: Vec::new(),
            latency: None,
            commands: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure. Names are those that the measures of a scenario ask for, or others for the tables of details.
    pub(crate) fn figure(mut self, name: &str, value: f64, unit: Unit) -> Line {
        self.figures.insert(name.to_owned(), Figure { value, unit });
        self
    }

    /// Adds what a bulk sender reached: `goodput`, `per_busy_core` and `cost`, from payload bytes, the time they took and
    /// how much of it the sender's core worked, seconds.
    pub(crate) fn bulk(self, bytes: u64, elapsed: f64, busy: f64) -> Line {
        let bits = bytes as f64 * 8.0;
        self.figure("goodput", bits / elapsed / 1e9, Unit::GbitPerSecond)
            .figure("per_busy_core", bits / busy / 1e9, Unit::GbitPerBusyCore)
            .figure("cost", busy * 1e12 / bytes as f64, Unit::NanosecondsPerKilobyte)
    }

    /// Adds a distribution of nanoseconds: the curve, and `p50` to `p99.99`, `max` and `samples` as figures.
    pub(crate) fn latency(mut self, times: &Histogram<u64>) -> Line {
        for (name, percentile) in PERCENTILES {
            self = self.figure(name, times.value_at_percentile(percentile) as f64, Unit::Nanoseconds);
        }
        // Halves of halves have few digits; what is more is noise.
        let percent = |quantile: f64| (quantile * 1e10).round() / 1e8;
        let points =
            times.iter_quantiles(5).map(|at| (percent(at.quantile_iterated_to()), at.value_iterated_to()));
        self.latency = Some(Distribution { count: times.len(), points: points.collect() });
        self.figure("max", times.max() as f64, Unit::Nanoseconds).figure(
            "samples",
            times.len() as f64,
            Unit::Count,
        )
    }

    /// Adds the next stage of the loop.
    pub(crate) fn stage(mut self, name: &str, cycles_per_burst: f64) -> Line {
        self.stages.push(Stage { name: name.to_owned(), cycles: cycles_per_burst });
        self
    }

    /// Adds a program that was started.
    pub(crate) fn command(mut self, words: impl Into<String>) -> Line {
        self.commands.push(words.into());
        self
    }

    /// Adds a sentence for the reader.
    pub(crate) fn note(mut self, sentence: impl Into<String>) -> Line {
        self.notes.push(sentence.into());
        self
    }

    /// Prints it. What is no number, such as a rate over no time, is refused: JSON has no word for it.
    pub(crate) fn print(&self) -> Result<()> {
        self.check()?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// The last line of what a part printed.
    pub(crate) fn parse(printed: &str) -> Result<Line> {
        let last = printed.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.ok_or_else(|| Error::other("it printed nothing"))?;
        let line: Line = serde_json::from_str(last).map_err(|error| {
            Error::other(format!("its last line is not what a part prints ({error}): {last}"))
        })?;
        line.check()?;
        Ok(line)
    }

    fn check(&self) -> Result<()> {
        if self.figures.is_empty() {
            return Err(Error::other("no figure"));
        }
        let figures = self.figures.iter().map(|(name, figure)| (name, figure.value));
        let stages = self.stages.iter().map(|stage| (&stage.name, stage.cycles));
        match figures.chain(stages).find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(Error::other(format!("the figure '{name}' is {value}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again_whatever_stands_before() {
        let mut times = Histogram::<u64>::new(3).expect("a histogram");
        (1..=1000).for_each(|n| times.record(n).expect("in range"));
        let line = Line::new(Medium::Memory)
            .bulk(1_000_000_000, 1.0, 0.5)
            .latency(&times)
            .stage("rx", 12.5)
            .command("iperf3 -s")
            .note("A sentence.");
        let text = format!("EAL: chatter\n{}\n\n", serde_json::to_string(&line).expect("JSON"));
        assert_eq!(Line::parse(&text).expect("a line"), line);
        assert_eq!(line.figures["goodput"], Figure { value: 8.0, unit: Unit::GbitPerSecond });
        assert_eq!(line.figures["per_busy_core"], Figure { value: 16.0, unit: Unit::GbitPerBusyCore });
        assert_eq!(line.figures["cost"], Figure { value: 500.0, unit: Unit::NanosecondsPerKilobyte });
        assert_eq!(line.figures["p50"].value, 500.0);
        assert!(text.contains(r#""unit":"Gbit/s per busy core""#), "{text}");
    }

    #[test]
    fn what_is_no_line_is_refused_with_a_reason() {
        let why = |text: &str| Line::parse(text).expect_err("refused").to_string();
        assert_eq!(why(" \n"), "it printed nothing");
        assert!(why("done").contains("its last line is not what a part prints"), "{}", why("done"));
        assert!(
            why(r#"{"medium":"veth","figures":{"x":{"value":1,"unit":"furlongs"}}}"#).contains("furlongs")
        );
        assert_eq!(why(r#"{"medium":"veth","figures":{}}"#), "no figure");
        let no_time = Line::new(Medium::Veth).bulk(1, 0.0, 1.0);
        assert_eq!(no_time.check().expect_err("refused").to_string(), "the figure 'goodput' is inf");
    }

    #[test]
    fn units_are_called_the_same_in_pages_as_in_lines() {
        for unit in
            [Unit::GbitPerBusyCore, Unit::PerSecond, Unit::Percent, Unit::CyclesPerBurst, Unit::Nanoseconds]
        {
            assert_eq!(serde_json::to_value(unit).expect("JSON"), unit.says());
        }
    }
}
