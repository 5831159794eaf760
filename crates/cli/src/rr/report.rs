//! What `tsonami rr` and `crr` tell at their end. The field names are the keys of the JSON, so they carry their units.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tsonami::{Config, Histogram};

use super::client::{Kind, Plan};
use super::latency::LatencySummary;
use super::part::Part;
use crate::report::{Device, ErrorSummary, Options, row};
use crate::settings;
use crate::units::{Grouped, Short, Size};
use crate::verdict::Verdict;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    version: &'static str,
    /// `rr` or `crr`.
    mode: &'static str,
    peer: String,
    device: Device,
    options: Options,
    request_bytes: u64,
    response_bytes: u64,
    /// At the same time.
    connections: u32,
    /// Requests that may wait on each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<usize>,
    /// Who closes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<&'static str>,
    /// `null`: as fast as answers came.
    asked_per_second: Option<u64>,
    warmup_seconds: f64,
    complete: bool,
    error: Option<ErrorSummary>,
    elapsed_seconds: f64,
    answered_requests: u64,
    answered_per_second: f64,
    unanswered_requests: u64,
    /// Due, and nobody was free to ask.
    unasked_requests: u64,
    pub(super) opened_connections: u64,
    failed_connections: BTreeMap<&'static str, u64>,
    /// Times that no local port was free for a connection that was due.
    port_waits: u64,
    latency: Option<LatencySummary>,
    /// From when a connection was due until it was open.
    connecting: Option<LatencySummary>,
    retransmitted_segments: u64,
    /// Of the loops' time; of one core each.
    busy_share: f64,
    /// Cycles of busy turns for each answer.
    cycles_per_request: f64,
    /// What each worker had of it, where there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workers: Vec<WorkerSummary>,
    /// Whether connections arrived at their workers' queues, where there were several workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    steering: Option<String>,
    counters: BTreeMap<&'static str, u64>,
}

/// One worker's part.
#[derive(Clone, Debug, Serialize)]
struct WorkerSummary {
    answered_requests: u64,
    opened_connections: u64,
    busy_share: f64,
    counters: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Of all workers' parts, of which there is one at least.
    pub(super) fn new(plan: &Plan, config: &Config, parts: &[Part]) -> Summary {
        let sum = |count: fn(&Part) -> u64| parts.iter().map(count).sum::<u64>();
        let elapsed = parts.iter().map(|part| part.outcome.elapsed).max().unwrap_or_default().as_secs_f64();
        let answered = sum(|part| part.outcome.answered);
        let all = |one: fn(&Part) -> &Histogram<u64>| {
            let mut all = one(&parts[0]).clone();
            for part in &parts[1..] {
                // They have one range.
                let _ = all.add(one(part));
            }
            LatencySummary::of(&all)
        };
        let mut failed_connections = BTreeMap::new();
        for (name, count) in parts.iter().flat_map(|part| &part.outcome.failed) {
            *failed_connections.entry(*name).or_insert(0) += count;
        }
        let mut counters = BTreeMap::new();
        for (name, count, _) in parts.iter().flat_map(|part| &part.counts) {
            *counters.entry(*name).or_insert(0) += count;
        }
        let workers = match parts {
            [_] => Vec::new(),
            parts => parts.iter().map(WorkerSummary::new).collect(),
        };
        let (mode, pipeline, close) = match plan.kind {
            Kind::Stay { pipeline } => ("rr", Some(pipeline), None),
            Kind::Close(close) => ("crr", None, Some(close.name())),
        };
        Summary {
            version: env!("CARGO_PKG_VERSION"),
            mode,
            peer: plan.peer.to_string(),
            device: parts[0].device.clone(),
            options: Options::new(&config.connection, &settings::connection::defaults()),
            request_bytes: plan.request,
            response_bytes: plan.response,
            connections: plan.parallel,
            pipeline,
            close,
            asked_per_second: plan.rate,
            warmup_seconds: plan.warmup.as_secs_f64(),
            complete: false,
            error: None,
            elapsed_seconds: elapsed,
            answered_requests: answered,
            answered_per_second: ratio(answered as f64, elapsed),
            unanswered_requests: sum(|part| part.outcome.unanswered),
            unasked_requests: sum(|part| part.outcome.unasked),
            opened_connections: sum(|part| part.outcome.connected),
            failed_connections,
            port_waits: sum(|part| part.outcome.port_waits),
            latency: all(|part| &part.answers),
            connecting: all(|part| &part.connects),
            retransmitted_segments: sum(|part| part.counters.tx_retransmitted_segments),
            busy_share: parts.iter().map(Part::busy_share).sum::<f64>() / parts.len() as f64,
            cycles_per_request: ratio(sum(|part| part.counters.busy_cycles()) as f64, answered as f64),
            workers,
            steering: parts[0].steering.map(|report| report.to_string()),
            counters,
        }
    }

    /// How the run ended.
    pub(super) fn settle(&mut self, verdict: &Verdict) {
        self.error = verdict.error();
        self.complete = self.error.is_none();
    }
}

impl WorkerSummary {
    fn new(part: &Part) -> WorkerSummary {
        WorkerSummary {
            answered_requests: part.outcome.answered,
            opened_connections: part.outcome.connected,
            busy_share: part.busy_share(),
            counters: part.counts.iter().map(|(name, count, _)| (*name, *count)).collect(),
        }
    }
}

fn ratio(one: f64, other: f64) -> f64 {
    if other > 0.0 { one / other } else { 0.0 }
}

impl fmt::Display for LatencySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |us: f64| Short(Duration::from_nanos((us * 1e3) as u64));
        write!(
            f,
            "min {}, p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
            us(self.common.min_us),
            us(self.common.p50_us),
            us(self.common.p90_us),
            us(self.common.p99_us),
            us(self.common.p99_9_us),
            us(self.p99_99_us),
            us(self.common.max_us)
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = Duration::from_secs_f64(self.elapsed_seconds);
        let what = if self.mode == "rr" { "answers" } else { "connections" };
        row(
            f,
            what,
            format_args!(
                "{} in {}, {} per second",
                Grouped(self.answered_requests),
                Short(elapsed),
                Grouped(self.answered_per_second as u64)
            ),
        )?;
        row(
            f,
            "asked",
            format_args!(
                "{} of {}, answered by {}",
                self.peer,
                Size(self.request_bytes),
                Size(self.response_bytes)
            ),
        )?;
        let from = match self.asked_per_second {
            Some(rate) => format!("from when each was due, {} a second", Grouped(rate)),
            None => "from when each was asked".into(),
        };
        match &self.latency {
            Some(latency) => row(f, "latency", format_args!("{latency}      ({from})"))?,
            None => row(f, "latency", format_args!("none measured"))?,
        }
        if let Some(connecting) = &self.connecting {
            row(f, "connecting", format_args!("{connecting}"))?;
        }
        for (count, name) in [
            (self.unanswered_requests, "unanswered"),
            (self.unasked_requests, "due, never asked"),
            (self.port_waits, "waits for a port"),
            (self.retransmitted_segments, "retransmitted"),
        ] {
            if count > 0 {
                row(f, name, format_args!("{}", Grouped(count)))?;
            }
        }
        for (name, count) in &self.failed_connections {
            row(f, "failed", format_args!("{} connections: {name}", Grouped(*count)))?;
        }
        row(
            f,
            if self.workers.is_empty() { "core" } else { "cores" },
            format_args!(
                "{:.1} % busy, {} cycles per answer",
                self.busy_share * 100.0,
                Grouped(self.cycles_per_request as u64)
            ),
        )?;
        for (number, worker) in self.workers.iter().enumerate() {
            row(
                f,
                &format!("worker {number}"),
                format_args!(
                    "{} answered, {:.1} % busy",
                    Grouped(worker.answered_requests),
                    worker.busy_share * 100.0
                ),
            )?;
        }
        if let Some(steering) = &self.steering {
            row(f, "steering", format_args!("{steering}"))?;
        }
        if !self.options.changed().is_empty() {
            row(f, "options", format_args!("{}", self.options.changed().join(", ")))?;
        }
        Ok(())
    }
}
