//! What `tsonami rr` and `crr` tell at their end. The field names are the keys of the JSON, so they carry their units.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tsonami::{Config, LocalEngine};

use super::client::{Kind, Outcome, Plan};
use super::latency::LatencySummary;
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
    opened_connections: u64,
    failed_connections: BTreeMap<&'static str, u64>,
    /// Times that no local port was free for a connection that was due.
    port_waits: u64,
    pub(super) latency: Option<LatencySummary>,
    /// From when a connection was due until it was open.
    pub(super) connecting: Option<LatencySummary>,
    retransmitted_segments: u64,
    /// Of the loop's time.
    busy_share: f64,
    /// Cycles of busy turns for each answer.
    cycles_per_request: f64,
    counters: BTreeMap<&'static str, u64>,
}

impl Summary {
    pub(super) fn new(plan: &Plan, config: &Config, engine: &LocalEngine, outcome: &Outcome) -> Summary {
        let counters = engine.counters();
        let info = engine.device();
        let busy = counters.busy_cycles();
        let cycles = busy + counters.idle_cycles();
        let elapsed = outcome.elapsed.as_secs_f64();
        let (mode, pipeline, close) = match plan.kind {
            Kind::Stay { pipeline } => ("rr", Some(pipeline), None),
            Kind::Close(close) => ("crr", None, Some(close.name())),
        };
        Summary {
            version: env!("CARGO_PKG_VERSION"),
            mode,
            peer: plan.peer.to_string(),
            device: Device::new(config, info),
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
            answered_requests: outcome.answered,
            answered_per_second: ratio(outcome.answered as f64, elapsed),
            unanswered_requests: outcome.unanswered,
            unasked_requests: outcome.unasked,
            opened_connections: outcome.connected,
            failed_connections: outcome.failed.clone(),
            port_waits: outcome.port_waits,
            latency: None,
            connecting: None,
            retransmitted_segments: counters.tx_retransmitted_segments,
            busy_share: ratio(busy as f64, cycles as f64),
            cycles_per_request: ratio(busy as f64, outcome.answered as f64),
            counters: engine.every_count().into_iter().map(|(name, count, _)| (name, count)).collect(),
        }
    }

    /// How the run ended.
    pub(super) fn settle(&mut self, verdict: &Verdict) {
        self.error = verdict.error();
        self.complete = self.error.is_none();
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
            "core",
            format_args!(
                "{:.1} % busy, {} cycles per answer",
                self.busy_share * 100.0,
                Grouped(self.cycles_per_request as u64)
            ),
        )?;
        if !self.options.changed().is_empty() {
            row(f, "options", format_args!("{}", self.options.changed().join(", ")))?;
        }
        Ok(())
    }
}
