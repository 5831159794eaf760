//! What `tsonami serve` tells: a line per connection, and one at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tsonami::{Error, LocalEngine, Nanos};

use crate::exit::Exit;
use crate::units::{Grouped, Rate, Short, Size, bits_per_second};

/// Why a connection was not read to its end, in a receiver's words: the library's speak of bytes acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the peer sent neither bytes nor its end for {}", Short(*.0))]
    Silence(Duration),
    #[error("the peer did not answer what we sent")]
    Unanswered,
    #[error("the peer answered no keepalive probe")]
    Silent,
    #[error("the peer reset the connection")]
    Reset,
    #[error("the peer became unreachable (no ARP answer, or ICMP says so)")]
    Unreachable,
    #[error("the run was interrupted here")]
    Interrupted,
    #[error("{0}")]
    Other(String),
}

impl From<&Error> for Cut {
    fn from(error: &Error) -> Cut {
        match error {
            Error::TimedOut { .. } => Cut::Unanswered,
            Error::Silent { .. } => Cut::Silent,
            Error::Reset { .. } => Cut::Reset,
            Error::Unreachable { .. } | Error::NoNeighbour { .. } => Cut::Unreachable,
            Error::Aborted { .. } => Cut::Interrupted,
            other => Cut::Other(other.to_string()),
        }
    }
}

/// One connection that was read. Its field names are the keys of the JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Received {
    /// Counted from 1, in the order of acceptance.
    connection: u64,
    remote: String,
    pub(super) received_bytes: u64,
    /// From the handshake to the last byte.
    elapsed_seconds: f64,
    bits_per_second: f64,
    sha256: Option<String>,
    error: Option<String>,
}

impl Received {
    pub(super) fn new(
        connection: u64,
        remote: SocketAddr,
        bytes: u64,
        elapsed: Duration,
        sha256: Option<String>,
        cut: Option<&Cut>,
    ) -> Received {
        Received {
            connection,
            remote: remote.to_string(),
            received_bytes: bytes,
            elapsed_seconds: elapsed.as_secs_f64(),
            bits_per_second: bits_per_second(bytes, elapsed),
            sha256,
            error: cut.map(|cut| format!("{cut}, after {} bytes were received", Grouped(bytes))),
        }
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        format!("{}\n", serde_json::json!(self))
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} from {}: {} bytes ({}) in {:.2} s, {}",
            self.connection,
            self.remote,
            Grouped(self.received_bytes),
            Size(self.received_bytes),
            self.elapsed_seconds,
            Rate(self.bits_per_second),
        )?;
        if let Some(sha256) = &self.sha256 {
            write!(f, "\n  sha256 {sha256}")?;
        }
        if let Some(error) = &self.error {
            write!(f, "\n  ended early: {error}")?;
        }
        writeln!(f)
    }
}

/// All connections together.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Total {
    pub(super) connections: u64,
    received_bytes: u64,
    failed_connections: u64,
}

impl std::ops::AddAssign for Total {
    fn add_assign(&mut self, other: Total) {
        self.connections += other.connections;
        self.received_bytes += other.received_bytes;
        self.failed_connections += other.failed_connections;
    }
}

impl Total {
    pub(super) fn add(&mut self, received: &Received) {
        self.connections += 1;
        self.received_bytes += received.received_bytes;
        self.failed_connections += u64::from(received.error.is_some());
    }
}

/// What the workers' loops did. Its field names are keys of the JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Loops {
    /// Time of turns that did work, of all workers together.
    busy_seconds: f64,
    counters: BTreeMap<&'static str, u64>,
}

impl Loops {
    /// One loop, which ran for so long.
    pub(super) fn of(engine: &LocalEngine, ran: Nanos) -> Loops {
        let (busy, idle) = (engine.counters().busy_cycles(), engine.counters().idle_cycles());
        let share = if busy > 0 { busy as f64 / (busy + idle) as f64 } else { 0.0 };
        Loops {
            busy_seconds: share * Duration::from(ran).as_secs_f64(),
            counters: engine.every_count().into_iter().map(|(name, count, _)| (name, count)).collect(),
        }
    }

    /// The last line of JSON, with what was served.
    pub(super) fn json(&self, total: &impl Serialize, interrupted: Option<Exit>) -> String {
        let all = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "total": total,
            "busy_seconds": self.busy_seconds,
            "counters": self.counters,
            "interrupted": interrupted.is_some(),
        });
        format!("{all}\n")
    }
}

impl std::ops::AddAssign for Loops {
    fn add_assign(&mut self, other: Loops) {
        self.busy_seconds += other.busy_seconds;
        for (name, count) in other.counters {
            *self.counters.entry(name).or_insert(0) += count;
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} bytes ({})",
            self.connections,
            Grouped(self.received_bytes),
            Size(self.received_bytes)
        )?;
        if self.failed_connections > 0 {
            write!(f, ", {} ended early", self.failed_connections)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(cut: Option<&Cut>) -> Received {
        let remote = "10.77.0.1:40000".parse().unwrap();
        Received::new(1, remote, 512 << 20, Duration::from_secs(1), Some("ba78".into()), cut)
    }

    #[test]
    fn a_connection_reads_as_who_how_much_and_the_hash() {
        assert_eq!(
            received(None).to_string(),
            "1 from 10.77.0.1:40000: 536 870 912 bytes (512 MiB) in 1.00 s, 4.29 Gbit/s\n  sha256 ba78\n"
        );
        let acked = tsonami::Offset(1);
        for (error, words) in [
            (Error::Reset { acked }, "the peer reset the connection, after 536 870 912 bytes were received"),
            (Error::Silent { acked }, "the peer answered no keepalive probe, after 536 870 912 bytes"),
            (Error::TimedOut { acked }, "the peer did not answer what we sent, after 536 870 912 bytes"),
        ] {
            let text = received(Some(&Cut::from(&error))).to_string();
            assert!(text.contains(&format!("\n  ended early: {words}")), "{text}");
            assert!(!text.contains("acknowledg"), "a receiver's peer sends: {text}");
        }
    }

    #[test]
    fn the_total_counts_what_ended_early() {
        let mut total = Total::default();
        total.add(&received(None));
        assert_eq!(total.to_string(), "1 connections, 536 870 912 bytes (512 MiB)\n");
        total.add(&received(Some(&Cut::Reset)));
        assert_eq!(total.to_string(), "2 connections, 1 073 741 824 bytes (1.00 GiB), 1 ended early\n");
        let json: serde_json::Value = serde_json::from_str(&Loops::default().json(&total, None)).unwrap();
        assert_eq!(json["total"]["failed_connections"], 1);
    }

    #[test]
    fn json_lines_are_lines() {
        let json = received(None).json();
        assert_eq!(json.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["received_bytes"], 536_870_912);
        assert_eq!(json["sha256"], "ba78");
    }
}
