//! The summary as text.

use std::fmt;
use std::time::Duration;

use super::Summary;
use crate::units::{Grouped, Rate, Short, Size};

/// Connections listed one by one, at most; the JSON has all.
const LISTED: usize = 16;

fn micros(us: f64) -> Short {
    Short(Duration::from_nanos((us * 1e3) as u64))
}

/// A line of a summary.
pub(crate) fn row(f: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{name:<18}{value}")
}

/// Bursts a run takes at the rate it was asked for before what it did can be compared with that: the first leaves at once.
const BURSTS_TO_COMPARE: u64 = 10;

impl Summary {
    /// The run was long enough to compare its rate with `asked`, in bits per second. The shortest burst that is paced is
    /// two segments.
    fn is_long_enough_to_tell(&self, asked: f64) -> bool {
        let burst: u64 = self.connections.iter().map(|c| 2 * u64::from(c.mss_bytes)).sum();
        asked * self.elapsed_seconds >= (BURSTS_TO_COMPARE * burst * 8) as f64
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.connections.len() > 1 || self.connections.iter().any(|c| c.sha256.is_some()) {
            for c in self.connections.iter().take(LISTED) {
                write!(f, "  {} -> {}  {}", c.local, c.remote, Size(c.acknowledged_bytes))?;
                if let Some(sha256) = &c.sha256 {
                    write!(f, "  sha256 {sha256}")?;
                }
                if let Some(error) = &c.error {
                    write!(f, "  {error}")?;
                }
                writeln!(f)?;
            }
            if let Some(more) = self.connections.len().checked_sub(LISTED + 1) {
                writeln!(f, "  and {} more", more + 1)?;
            }
        }
        row(
            f,
            "acknowledged",
            format_args!(
                "{} bytes ({}) in {:.2} s, {}",
                Grouped(self.acknowledged_bytes),
                Size(self.acknowledged_bytes),
                self.elapsed_seconds,
                Rate(self.bits_per_second),
            ),
        )?;
        if let Some(asked) = self.asked_bits_per_second {
            let asked = asked as f64;
            let off = (self.bits_per_second - asked) / asked * 100.0;
            if self.is_long_enough_to_tell(asked) {
                row(f, "bitrate", format_args!("{} asked for, {off:+.2} %", Rate(asked)))?;
            } else {
                row(f, "bitrate", format_args!("{} asked for, too short a run to compare", Rate(asked)))?;
            }
        }
        if self.acknowledged_bytes < self.accepted_bytes {
            let lost = self.accepted_bytes - self.acknowledged_bytes;
            row(f, "not acknowledged", format_args!("{} bytes", Grouped(lost)))?;
        }
        let received: u64 = self.connections.iter().map(|c| c.received_bytes).sum();
        if received > 0 {
            row(f, "received", format_args!("{} bytes ({})", Grouped(received), Size(received)))?;
        }
        row(
            f,
            "retransmitted",
            format_args!(
                "{} of {} segments, {} timeouts",
                Grouped(self.retransmitted_segments),
                Grouped(self.sent_segments),
                Grouped(self.retransmission_timeouts),
            ),
        )?;
        row(f, "time", format_args!("{}", self.time))?;
        match &self.rtt {
            Some(rtt) => row(
                f,
                "round trip",
                format_args!(
                    "min {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
                    micros(rtt.min_us),
                    micros(rtt.p50_us),
                    micros(rtt.p90_us),
                    micros(rtt.p99_us),
                    micros(rtt.p99_9_us),
                    micros(rtt.max_us),
                ),
            )?,
            None => row(f, "round trip", format_args!("none measured"))?,
        }
        if self.device.tso {
            row(
                f,
                "TSO bursts",
                format_args!("{}, mean {}", Grouped(self.tso_bursts), Size(self.tso_burst_mean_bytes as u64)),
            )?;
        } else {
            row(f, "TSO bursts", format_args!("none: the device does not segment"))?;
        }
        if !self.device.tcp_checksum_offload {
            row(f, "checksums", format_args!("in software: the device does not compute TCP's"))?;
        }
        if self.copied_after_all_bytes > 0 {
            let copied = self.copied_after_all_bytes;
            row(f, "copied after all", format_args!("{} bytes ({})", Grouped(copied), Size(copied)))?;
        }
        row(f, "ring full", format_args!("{} times", Grouped(self.ring_full_events)))?;
        if self.no_buffer_events > 0 {
            row(f, "pool empty", format_args!("{} times", Grouped(self.no_buffer_events)))?;
        }
        row(
            f,
            "core",
            format_args!(
                "{:.1} % busy, {} per busy core",
                self.busy_share * 100.0,
                Rate(self.bits_per_busy_second)
            ),
        )?;
        if !self.options.changed().is_empty() {
            row(f, "options", format_args!("{}", self.options.changed().join(", ")))?;
        }
        for drop in &self.drops {
            row(f, "dropped", format_args!("{} ({})", Grouped(drop.frames), drop.reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConnectionSummary, Device, Drop, Options, Rtt, TimeSummary};
    use super::*;
    use hdrhistogram::Histogram;
    use std::collections::BTreeMap;
    use tsonami::ConnectOptions;

    fn summary() -> Summary {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for us in 1..=1000 {
            histogram.record(us * 1000).unwrap();
        }
        Summary {
            version: "0.1.0",
            peer: "10.77.0.1:5001".into(),
            device: Device {
                spec: "tap".into(),
                driver: "net_tap".into(),
                mtu_bytes: 1500,
                tso: true,
                tcp_checksum_offload: true,
            },
            options: Options::new(&ConnectOptions::default(), &ConnectOptions::default()),
            write_bytes: 131_072,
            zerocopy: false,
            copied_after_all_bytes: 0,
            complete: true,
            error: None,
            remarks: Vec::new(),
            elapsed_seconds: 1.25,
            accepted_bytes: 512 << 20,
            acknowledged_bytes: 512 << 20,
            bits_per_second: 3.436e9,
            asked_bits_per_second: None,
            sent_segments: 374_000,
            retransmitted_bytes: 0,
            retransmitted_segments: 0,
            retransmission_timeouts: 0,
            time: TimeSummary::default(),
            rtt: Rtt::from_histogram(&histogram),
            tso_bursts: 12_000,
            tso_burst_mean_bytes: 44_739.0,
            ring_full_events: 3,
            no_buffer_events: 0,
            busy_share: 0.873,
            bits_per_busy_second: 3.94e9,
            drops: Vec::new(),
            workers: Vec::new(),
            steering: None,
            counters: BTreeMap::new(),
            connections: vec![connection(None)],
            intervals: Vec::new(),
        }
    }

    fn connection(error: Option<&str>) -> ConnectionSummary {
        ConnectionSummary {
            local: "10.77.0.2:40000".into(),
            remote: "10.77.0.1:5001".into(),
            accepted_bytes: 512 << 20,
            acknowledged_bytes: 512 << 20,
            received_bytes: 0,
            sent_segments: 374_000,
            sent_bursts: 12_000,
            retransmitted_segments: 0,
            time: TimeSummary::default(),
            mss_bytes: 1434,
            stats: BTreeMap::new(),
            sha256: None,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_clean_run_reads_in_seven_lines() {
        assert_eq!(
            summary().to_string(),
            "acknowledged      536 870 912 bytes (512 MiB) in 1.25 s, 3.44 Gbit/s\n\
             retransmitted     0 of 374 000 segments, 0 timeouts\n\
             time              nowhere\n\
             round trip        min 1.0 µs, p50 500 µs, p90 900 µs, p99 990 µs, p99.9 999 µs, max 1.00 ms\n\
             TSO bursts        12 000, mean 43.7 KiB\n\
             ring full         3 times\n\
             core              87.3 % busy, 3.94 Gbit/s per busy core\n"
        );
    }

    #[test]
    fn s25_a_run_of_a_few_bursts_tells_nothing_of_its_rate() {
        let mut summary = summary();
        summary.asked_bits_per_second = Some(16_000);
        summary.connections = vec![connection(None)];
        // The first two segments leave at once, and they are as much as 1.43 s at the rate.
        for (elapsed, line) in [
            (14.3, "bitrate           16.0 kbit/s asked for, too short a run to compare\n"),
            (14.4, "bitrate           16.0 kbit/s asked for, +10.00 %\n"),
        ] {
            (summary.elapsed_seconds, summary.bits_per_second) = (elapsed, 17_600.0);
            let text = summary.to_string();
            assert!(text.contains(line), "no line '{line}' in:\n{text}");
        }
    }

    #[test]
    fn what_went_wrong_shows_only_when_it_did() {
        let mut summary = summary();
        summary.acknowledged_bytes -= 1000;
        summary.no_buffer_events = 9;
        summary.copied_after_all_bytes = 4096;
        summary.asked_bits_per_second = Some(3_500_000_000);
        let options = ConnectOptions { no_delay: true, mss: Some(1000), ..ConnectOptions::default() };
        summary.options = Options::new(&options, &ConnectOptions::default());
        summary.rtt = None;
        summary.device.tso = false;
        summary.drops = vec![Drop { reason: "bad TCP checksum".into(), frames: 2 }];
        summary.connections = (0..20).map(|_| connection(Some("reset by the peer"))).collect();
        let text = summary.to_string();
        for line in [
            "not acknowledged  1 000 bytes",
            "pool empty        9 times",
            "copied after all  4 096 bytes (4.00 KiB)",
            "bitrate           3.50 Gbit/s asked for, -1.83 %",
            "options           mss = 1000, no_delay = true",
            "round trip        none measured",
            "TSO bursts        none: the device does not segment",
            "dropped           2 (bad TCP checksum)",
            "  10.77.0.2:40000 -> 10.77.0.1:5001  512 MiB  reset by the peer",
            "  and 4 more",
        ] {
            assert!(text.lines().any(|l| l == line), "no line '{line}' in:\n{text}");
        }
    }

    #[test]
    fn json_has_what_the_text_has_with_units_in_its_keys() {
        let json = serde_json::to_value(summary()).unwrap();
        assert_eq!(json["acknowledged_bytes"], 536_870_912);
        assert_eq!(json["elapsed_seconds"], 1.25);
        assert_eq!(json["tso_burst_mean_bytes"], 44_739.0);
        assert_eq!(json["rtt"]["samples"], 1000);
        assert!((json["rtt"]["p50_us"].as_f64().unwrap() - 500.0).abs() < 1.0);
        assert_eq!(json["device"]["driver"], "net_tap");
        assert_eq!(json["connections"][0]["mss_bytes"], 1434);
    }
}
