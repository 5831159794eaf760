//! What a run came to, in numbers.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use sim::{LinkCounts, Trace, World};

use super::file::ScenarioFile;
use crate::units::{Rate, Short};

/// The result of a scenario. Keys carry their units.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Report {
    pub(super) title: String,
    pub(super) scenario: String,
    pub(super) seed: u64,
    /// Virtual time: the scenario's duration, or when the last flow was complete.
    pub(super) seconds: f64,
    pub(super) flows: Vec<Flow>,
    pub(super) goodput_bits_per_second: f64,
    /// Jain's index of what the flows received: 1 when all got the same.
    pub(super) fairness: f64,
    pub(super) path: PathCounts,
    #[serde(rename = "return")]
    pub(super) back: PathCounts,
    pub(super) files: [String; 2],
}

/// One connection.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Flow {
    pub(super) congestion: String,
    pub(super) received_bytes: u64,
    /// From the opening to the last byte, or to the end of the run.
    pub(super) goodput_bits_per_second: f64,
    pub(super) complete_seconds: Option<f64>,
    pub(super) retransmitted_bytes: u64,
    /// Of all payload sent.
    pub(super) retransmitted_share: f64,
    pub(super) timeouts: u64,
    pub(super) fast_recoveries: u64,
    pub(super) min_rtt_seconds: Option<f64>,
    pub(super) smoothed_rtt_seconds: Option<f64>,
    pub(super) cwnd_bytes: u64,
}

/// One direction.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub(super) struct PathCounts {
    frames: u64,
    lost: u64,
    overflowed: u64,
    dropped_early: u64,
    marked: u64,
    thinned: u64,
    too_big: u64,
    reordered: u64,
    duplicated: u64,
    corrupted: u64,
    mean_wait_seconds: f64,
    longest_wait_seconds: f64,
}

impl From<&LinkCounts> for PathCounts {
    fn from(c: &LinkCounts) -> PathCounts {
        PathCounts {
            frames: c.frames,
            lost: c.lost,
            overflowed: c.overflowed,
            dropped_early: c.early,
            marked: c.marked,
            thinned: c.thinned,
            too_big: c.too_big,
            reordered: c.reordered,
            duplicated: c.duplicated,
            corrupted: c.corrupted,
            mean_wait_seconds: c.waited.as_secs_f64() / c.sent.max(1) as f64,
            longest_wait_seconds: c.longest_wait.as_secs_f64(),
        }
    }
}

impl Report {
    pub(super) fn new(
        file: &ScenarioFile,
        path: &Path,
        world: &World,
        trace: &Trace,
        files: [&Path; 2],
    ) -> Report {
        let last = world.results().iter().filter_map(|r| r.complete).max();
        let whole = file.duration.map(|duration| duration.as_secs_f64());
        let everything = world.results().iter().all(|r| r.complete.is_some());
        let now = trace.flows.iter().filter_map(|f| f.samples.last()).map(|s| s.at).max();
        let end = if everything { last } else { now };
        let seconds = whole.unwrap_or(end.unwrap_or_default().since(tcp::Time::ZERO).as_secs_f64());
        let flow = |(table, r): (&super::file::FlowTable, &sim::FlowResult)| {
            let opened = r.opened.since(tcp::Time::ZERO).as_secs_f64();
            let complete = r.complete.map(|at| at.since(tcp::Time::ZERO).as_secs_f64());
            let took = (complete.unwrap_or(seconds) - opened).max(f64::MIN_POSITIVE);
            let sent = r.stats.bytes_sent + r.stats.bytes_retransmitted;
            Flow {
                congestion: table.connection.congestion.to_string(),
                received_bytes: r.received,
                goodput_bits_per_second: r.received as f64 * 8.0 / took,
                complete_seconds: complete,
                retransmitted_bytes: r.stats.bytes_retransmitted,
                retransmitted_share: r.stats.bytes_retransmitted as f64 / sent.max(1) as f64,
                timeouts: r.stats.timeouts,
                fast_recoveries: r.stats.fast_recoveries,
                min_rtt_seconds: r.stats.min_rtt.map(|rtt| rtt.as_secs_f64()),
                smoothed_rtt_seconds: r.stats.srtt.map(|rtt| rtt.as_secs_f64()),
                cwnd_bytes: r.stats.cwnd,
            }
        };
        let flows: Vec<Flow> = file.flows().zip(world.results()).map(flow).collect();
        let mut paths = world.paths().map(PathCounts::from);
        let (forward, back) = (paths.next(), paths.next());
        let none = || PathCounts::from(&LinkCounts::default());
        Report {
            title: file
                .title
                .clone()
                .unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into()),
            scenario: path.display().to_string(),
            seed: file.seed,
            seconds,
            goodput_bits_per_second: flows.iter().map(|f| f.received_bytes as f64).sum::<f64>() * 8.0
                / seconds.max(f64::MIN_POSITIVE),
            fairness: sim::fairness(flows.iter().map(|flow| flow.goodput_bits_per_second)),
            flows,
            path: forward.unwrap_or_else(none),
            back: back.unwrap_or_else(none),
            files: files.map(|path| path.display().to_string()),
        }
    }
}

fn rate(bits_per_second: f64) -> String {
    Rate(bits_per_second).to_string()
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or("-".into(), |seconds| {
        Short(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()).to_string()
    })
}

impl Report {
    /// The flows as cells of a table, with its head.
    pub(super) fn table(&self) -> Vec<[String; 8]> {
        let head = [
            "flow",
            "congestion",
            "goodput",
            "sent again",
            "recoveries",
            "timeouts",
            "least RTT",
            "smoothed",
        ];
        let row = |(i, f): (usize, &Flow)| {
            [
                (i + 1).to_string(),
                f.congestion.clone(),
                rate(f.goodput_bits_per_second),
                format!("{:.2} %", f.retransmitted_share * 100.0),
                f.fast_recoveries.to_string(),
                f.timeouts.to_string(),
                time(f.min_rtt_seconds),
                time(f.smoothed_rtt_seconds),
            ]
        };
        std::iter::once(head.map(String::from)).chain(self.flows.iter().enumerate().map(row)).collect()
    }

    /// What happened on the two paths, a line each.
    pub(super) fn paths(&self) -> [String; 2] {
        [("path", &self.path), ("return", &self.back)].map(|(name, p)| {
            let counts = [
                ("lost", p.lost),
                ("dropped at the full queue", p.overflowed),
                ("dropped early", p.dropped_early),
                ("marked", p.marked),
                ("thinned", p.thinned),
                ("too big", p.too_big),
                ("reordered", p.reordered),
                ("duplicated", p.duplicated),
                ("corrupted", p.corrupted),
            ];
            let counts = counts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!(", {n} {what}"));
            format!(
                "{name:<8}{} frames waited {} on average, {} at most{}",
                p.frames,
                time(Some(p.mean_wait_seconds)),
                time(Some(p.longest_wait_seconds)),
                counts.collect::<String>()
            )
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {:.3} s of virtual time, seed {}", self.title, self.seconds, self.seed)?;
        let table = self.table();
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        for row in &table {
            let cells = row.iter().enumerate().map(|(i, cell)| format!("{cell:>width$}", width = width(i)));
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  "))?;
        }
        if self.flows.len() > 1 {
            let total = rate(self.goodput_bits_per_second);
            writeln!(f, "together {total}, fairness {:.3} (Jain's index)", self.fairness)?;
        }
        self.paths().iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "wrote {} and {}", self.files[0], self.files[1])
    }
}
