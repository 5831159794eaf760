//! The summary of a run: plain data. Its field names are the keys of the JSON, so they carry their units.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;
use tsonami::{Config, DeviceInfo};

use super::{Interval, Options, TimeSummary};
use crate::failure::Failure;

/// Everything a run of `tsonami send` tells at its end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Version of tsonami.
    pub(crate) version: &'static str,
    /// Whom it sent to.
    pub(crate) peer: String,
    /// The port it used.
    pub(crate) device: Device,
    /// What every connection was told.
    pub(crate) options: Options,
    /// Bytes of each write.
    pub(crate) write_bytes: u64,
    /// Writes were from registered memory, without a copy.
    pub(crate) zerocopy: bool,
    /// Bytes of those that were copied all the same, because they were short or the port does not take them as they were.
    pub(crate) copied_after_all_bytes: u64,
    /// True when everything that was to be sent was acknowledged.
    pub(crate) complete: bool,
    /// What went wrong first, if anything did.
    pub(crate) error: Option<ErrorSummary>,
    /// Worth knowing, though nothing went wrong.
    pub(crate) remarks: Vec<String>,
    /// From the first connect to the last acknowledgement.
    pub(crate) elapsed_seconds: f64,
    /// Taken from the application.
    pub(crate) accepted_bytes: u64,
    /// Acknowledged by the peers, cumulatively.
    pub(crate) acknowledged_bytes: u64,
    /// Acknowledged bytes over elapsed time.
    pub(crate) bits_per_second: f64,
    /// The rate that was asked for, where one was.
    pub(crate) asked_bits_per_second: Option<u64>,
    /// Segments on the wire, as the peer sees them, of any kind.
    pub(crate) sent_segments: u64,
    /// Bytes of payload sent again.
    pub(crate) retransmitted_bytes: u64,
    /// Segments sent again.
    pub(crate) retransmitted_segments: u64,
    /// Retransmission timeouts.
    pub(crate) retransmission_timeouts: u64,
    /// Where the time of all connections went, together.
    pub(crate) time: TimeSummary,
    /// Round trips, where any was measured.
    pub(crate) rtt: Option<Rtt>,
    /// Frames that the device segmented.
    pub(crate) tso_bursts: u64,
    /// Mean payload of those.
    pub(crate) tso_burst_mean_bytes: f64,
    /// Times the transmit ring took less than it was offered.
    pub(crate) ring_full_events: u64,
    /// Times a pool of packet buffers was empty.
    pub(crate) no_buffer_events: u64,
    /// Share of the cores' cycles in iterations that did work, 0 to 1.
    pub(crate) busy_share: f64,
    /// Bits acknowledged per second of busy core: what a core of this speed could do if it never waited.
    pub(crate) bits_per_busy_second: f64,
    /// Frames dropped, by reason; reasons that never happened are left out.
    pub(crate) drops: Vec<Drop>,
    /// What each worker had of it, where there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) workers: Vec<WorkerSummary>,
    /// Whether connections arrived at their workers' queues, where there were several workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steering: Option<String>,
    /// Every count the loops keep, by its name.
    pub(crate) counters: BTreeMap<&'static str, u64>,
    /// How each connection went.
    pub(crate) connections: Vec<ConnectionSummary>,
    /// How each interval went.
    pub(crate) intervals: Vec<Interval>,
}

/// One worker's part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkerSummary {
    /// How many it had.
    pub(crate) connections: usize,
    /// Acknowledged by their peers.
    pub(crate) acknowledged_bytes: u64,
    /// Share of its core's cycles in iterations that did work, 0 to 1.
    pub(crate) busy_share: f64,
    /// Every count its loop keeps, by its name.
    pub(crate) counters: BTreeMap<&'static str, u64>,
}

/// The port, as far as the summary tells.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Device {
    /// As given to `--dev`.
    pub(crate) spec: String,
    /// The driver.
    pub(crate) driver: String,
    /// Largest IP packet.
    pub(crate) mtu_bytes: u16,
    /// The device segments.
    pub(crate) tso: bool,
    /// The device fills in TCP checksums.
    pub(crate) tcp_checksum_offload: bool,
}

impl Device {
    pub(crate) fn new(config: &Config, info: &DeviceInfo) -> Device {
        Device {
            spec: config.device.clone(),
            driver: info.port.driver.clone(),
            mtu_bytes: info.limits.mtu,
            tso: info.limits.tso_max_len > 0,
            tcp_checksum_offload: info.limits.tx_tcp_checksum,
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorSummary {
    /// What happened.
    pub(crate) what: String,
    /// The process's exit code.
    pub(crate) exit_code: u8,
}

impl From<&Failure> for ErrorSummary {
    fn from(failure: &Failure) -> ErrorSummary {
        ErrorSummary { what: failure.what.clone(), exit_code: failure.exit.code() }
    }
}

/// What is printed in place of a summary when a run did not even start.
pub(crate) fn error_json(failure: &Failure) -> String {
    let object = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "complete": false,
        "error": ErrorSummary::from(failure),
    });
    format!("{object}\n")
}

/// A distribution of times: of round trips, or of answers.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Rtt {
    /// How many were measured.
    pub(crate) samples: u64,
    /// The shortest, microseconds.
    pub(crate) min_us: f64,
    /// The median, microseconds.
    pub(crate) p50_us: f64,
    /// Nine of ten were shorter, microseconds.
    pub(crate) p90_us: f64,
    /// 99 of 100 were shorter, microseconds.
    pub(crate) p99_us: f64,
    /// 999 of 1000 were shorter, microseconds.
    pub(crate) p99_9_us: f64,
    /// The longest, microseconds.
    pub(crate) max_us: f64,
}

impl Rtt {
    /// Reads a histogram of nanoseconds; `None` when it is empty.
    pub(crate) fn from_histogram(histogram: &Histogram<u64>) -> Option<Rtt> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Rtt {
            samples: histogram.len(),
            min_us: histogram.min() as f64 / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
        })
    }
}

/// Frames dropped for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Drop {
    /// Why.
    pub(crate) reason: String,
    /// How many.
    pub(crate) frames: u64,
}

/// How one connection went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConnectionSummary {
    /// Our address and port.
    pub(crate) local: String,
    /// The peer's.
    pub(crate) remote: String,
    /// Taken from the application.
    pub(crate) accepted_bytes: u64,
    /// Acknowledged by the peer.
    pub(crate) acknowledged_bytes: u64,
    /// Answered by the peer, and read.
    pub(crate) received_bytes: u64,
    /// Segments sent, as the wire sees them, of any kind.
    pub(crate) sent_segments: u64,
    /// Bursts handed to the device that carried payload, of one segment or many.
    pub(crate) sent_bursts: u64,
    /// Segments sent again.
    pub(crate) retransmitted_segments: u64,
    /// Where its time went, from the SYN to its end.
    pub(crate) time: TimeSummary,
    /// Largest segment's payload in use.
    pub(crate) mss_bytes: u32,
    /// Everything else it counted, and its gauges at the end.
    pub(crate) stats: BTreeMap<&'static str, serde_json::Value>,
    /// SHA-256 of what was accepted, when asked for.
    pub(crate) sha256: Option<String>,
    /// Why it ended early, if it did.
    pub(crate) error: Option<String>,
}
