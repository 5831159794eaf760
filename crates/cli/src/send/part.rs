//! What each worker tells of a run, and the summary of all.

use std::collections::BTreeMap;
use std::time::Duration;

use tsonami::{Counters, Histogram, SteeringReport};

use crate::args::SendArgs;
use crate::failure::Failure;
use crate::report::{
    ConnectionSummary, Device, Drop, Interval, Options, Rtt, Summary, TimeSummary, WorkerSummary,
};
use crate::units::bits_per_second;

/// One worker's part.
pub(crate) struct Part {
    pub(crate) connections: Vec<ConnectionSummary>,
    /// From the first connect to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// Retransmission timeouts.
    pub(crate) timeouts: u64,
    pub(crate) counters: Counters,
    /// Every count: name, value, help.
    pub(crate) counts: Vec<(&'static str, u64, &'static str)>,
    pub(crate) rtt: Histogram<u64>,
    pub(crate) device: Device,
    pub(crate) steering: Option<SteeringReport>,
    pub(crate) remarks: Vec<String>,
    /// Of all workers, in the first one's part.
    pub(crate) intervals: Vec<Interval>,
    pub(crate) failure: Option<Failure>,
}

impl Part {
    fn acknowledged(&self) -> u64 {
        self.connections.iter().map(|c| c.acknowledged_bytes).sum()
    }

    /// Share of the core's cycles in iterations that did work.
    fn busy_share(&self) -> f64 {
        let busy = self.counters.busy_cycles();
        mean(busy, busy + self.counters.idle_cycles())
    }
}

/// The summary of all parts, of which there is one at least, and what failed first.
pub(crate) fn summary(
    mut parts: Vec<Part>,
    args: &SendArgs,
    peer: String,
    options: Options,
) -> (Summary, Option<Failure>) {
    let elapsed = parts.iter().map(|part| part.elapsed).max().unwrap_or_default();
    let acknowledged = parts.iter().map(Part::acknowledged).sum();
    let rate = bits_per_second(acknowledged, elapsed);
    // Of one core each: their sum is how many cores were busy.
    let busy: f64 = parts.iter().map(Part::busy_share).sum();
    let sum = |count: fn(&Counters) -> u64| parts.iter().map(|part| count(&part.counters)).sum::<u64>();
    let bursts = sum(|c| c.tx_tso_bursts);
    let mut rtt = parts[0].rtt.clone();
    for part in &parts[1..] {
        // They have one range.
        let _ = rtt.add(&part.rtt);
    }
    let mut counters = BTreeMap::new();
    for (name, count, _) in parts.iter().flat_map(|part| &part.counts) {
        *counters.entry(*name).or_insert(0) += count;
    }
    let drops = parts[0].counters.iter().filter(|(name, ..)| name.starts_with("drop_"));
    let drops = drops.map(|(name, _, help)| Drop { reason: reason(help), frames: counters[name] });
    let workers: Vec<WorkerSummary> = match parts.as_slice() {
        [_] => Vec::new(),
        parts => parts
            .iter()
            .map(|part| WorkerSummary {
                connections: part.connections.len(),
                acknowledged_bytes: part.acknowledged(),
                busy_share: part.busy_share(),
                counters: part.counts.iter().map(|(name, count, _)| (*name, *count)).collect(),
            })
            .collect(),
    };
    let mut summary = Summary {
        version: env!("CARGO_PKG_VERSION"),
        peer,
        device: parts[0].device.clone(),
        options,
        write_bytes: args.length.0,
        zerocopy: args.zerocopy,
        copied_after_all_bytes: sum(|c| c.copied_after_all),
        complete: false,
        error: None,
        remarks: Vec::new(),
        elapsed_seconds: elapsed.as_secs_f64(),
        accepted_bytes: parts.iter().flat_map(|part| &part.connections).map(|c| c.accepted_bytes).sum(),
        acknowledged_bytes: acknowledged,
        bits_per_second: rate,
        asked_bits_per_second: args.bitrate.map(|rate| rate.0),
        sent_segments: sum(|c| c.tx_segments),
        retransmitted_bytes: sum(|c| c.tx_retransmitted_bytes),
        retransmitted_segments: sum(|c| c.tx_retransmitted_segments),
        retransmission_timeouts: parts.iter().map(|part| part.timeouts).sum(),
        time: TimeSummary::sum(parts.iter().flat_map(|part| &part.connections).map(|c| &c.time)),
        rtt: Rtt::from_histogram(&rtt),
        tso_bursts: bursts,
        tso_burst_mean_bytes: mean(sum(|c| c.tx_tso_bytes), bursts),
        ring_full_events: sum(|c| c.tx_ring_full),
        no_buffer_events: sum(|c| c.tx_no_header + c.tx_no_buffers + c.tail_exhausted),
        busy_share: busy / parts.len() as f64,
        bits_per_busy_second: if busy > 0.0 { rate / busy } else { 0.0 },
        drops: drops.filter(|drop| drop.frames > 0).collect(),
        workers,
        steering: parts[0].steering.map(|report| report.to_string()),
        counters,
        connections: Vec::new(),
        intervals: std::mem::take(&mut parts[0].intervals),
    };
    if let Some(wrong) = parts[0].steering.filter(|report| report.is_wrong()) {
        eprintln!("tsonami: {wrong}");
        summary.remarks.push(wrong.to_string());
    }
    let mut failure = None;
    for part in parts {
        summary.remarks.extend(part.remarks);
        summary.connections.extend(part.connections);
        failure = failure.or(part.failure);
    }
    (summary, failure)
}

/// The reason in a drop counter's help: what stands behind "dropped: ".
fn reason(help: &str) -> String {
    let text = help.split_once("dropped: ").map_or(help, |(_, reason)| reason);
    text.trim_end_matches('.').to_owned()
}

fn mean(sum: u64, count: u64) -> f64 {
    if count > 0 { sum as f64 / count as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_reasons_come_from_the_counters_help() {
        assert_eq!(reason("Frames dropped: tagged with a VLAN."), "tagged with a VLAN");
        assert_eq!(
            reason("Connections refused: every slot is taken."),
            "Connections refused: every slot is taken"
        );
    }

    #[test]
    fn the_mean_of_nothing_is_nothing() {
        assert_eq!(mean(0, 0), 0.0);
        assert_eq!(mean(30, 2), 15.0);
    }
}
