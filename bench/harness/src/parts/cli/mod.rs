//! Our program, `tsonami`, at both ends of a wire of shared memory: what its user gets, its own figures included.
//!
//! Each end has a CPU. The socket is in a folder of its own, and both ends end with this process.

mod crr;
mod program;
mod rr;
mod send;

pub(crate) use crr::{CrrArgs, run as crr};
pub(crate) use rr::{RrArgs, run as rr};
pub(crate) use send::{SendArgs, run as send};

use std::net::Ipv4Addr;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::program::{Client, Server};
use super::Setting;
use crate::failure::Failure;
use crate::line::{Distribution, Line, Medium, Unit};
use crate::needs::TSONAMI;

/// Who listens.
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The first address of who connects, in the same network; others follow it.
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
const PREFIX: u8 = 15;
/// Memory of each process over a vhost-user wire, MiB: most of it are buffers of 64 KiB to receive into.
const MEMORY_MIB: u32 = 512;

/// Seconds before anything counts: the wire comes up, and both ends learn where the other is, even if they have to ask twice.
const WARM_UP: f64 = 1.5;

/// How both ends wait when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Waiting {
    /// Awake, polling without rest
    Spin,
    /// Awake, with pauses between polls after a while
    Pause,
    /// Asleep for up to 50 µs after a while
    Park,
}

/// What all of these parts are told.
#[derive(Args, Clone, Copy, Debug)]
struct EndsArgs {
    /// How both ends wait when there is nothing to do
    #[arg(long, value_enum, default_value = "spin")]
    wait: Waiting,
    /// Normal pages instead of hugepages, which only the vhost-user wire uses
    #[arg(long)]
    no_huge: bool,
}

/// What the line of the end that listens is read for.
#[derive(Deserialize, Debug)]
struct Served {
    busy_seconds: f64,
    total: Total,
}

#[derive(Deserialize, Debug)]
struct Total {
    received_bytes: u64,
    failed_connections: u64,
    /// Where requests are answered.
    #[serde(default)]
    requests: u64,
}

/// What `rr` and `crr` say of a distribution, microseconds with all digits of the nanoseconds.
#[derive(Deserialize, Debug)]
struct Latency {
    samples: u64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p99_9_us: f64,
    p99_99_us: f64,
    max_us: f64,
}

impl Latency {
    /// Adds it to a line, as [`Line::latency`] would: as figures, and as a curve of these points.
    fn add(&self, mut line: Line) -> Line {
        let named = [
            ("p50", 50.0, self.p50_us),
            ("p90", 90.0, self.p90_us),
            ("p99", 99.0, self.p99_us),
            ("p99.9", 99.9, self.p99_9_us),
            ("p99.99", 99.99, self.p99_99_us),
            ("max", 100.0, self.max_us),
        ];
        let nanos = named.map(|(name, percentile, us)| (name, percentile, (us * 1e3).round()));
        for (name, _, ns) in nanos {
            line = line.figure(name, ns, Unit::Nanoseconds);
        }
        let points = nanos.iter().map(|&(_, percentile, ns)| (percentile, ns as u64)).collect();
        line.latency = Some(Distribution { count: self.samples, points });
        line.figure("samples", self.samples as f64, Unit::Count)
    }
}

/// What both ends said, and how they were started.
struct Said<T> {
    client: T,
    server: Served,
    commands: [String; 2],
}

impl<T> Said<T> {
    /// The commands as a part of a line.
    fn commands(&self, line: Line) -> Line {
        self.commands.iter().fold(line, |line, command| line.command(command.clone()))
    }
}

/// Lets a client have its way with a server. `serve` and `client` are the words of each, those of device, addresses, core and
/// memory aside; the client has so many addresses.
fn pair<T: DeserializeOwned>(
    setting: &Setting,
    medium: Medium,
    ends: EndsArgs,
    serve: &str,
    client: &str,
    addresses: u32,
) -> Result<Said<T>, Failure> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("wire.sock");
    let at = socket.display();
    let (served, connected, memory) = match medium {
        Medium::VhostUser => {
            let pages = if ends.no_huge { "off" } else { "on" };
            let memory = format!("--hugepages {pages} --memory {MEMORY_MIB}M");
            (format!("vhost:{at}"), format!("virtio-user:{at}"), memory)
        }
        _ => (format!("memif:{at},server"), format!("memif:{at}"), "--hugepages off".to_owned()),
    };
    let wait = match ends.wait {
        Waiting::Spin => "spin",
        Waiting::Pause => "pause",
        Waiting::Park => "park",
    };
    let both = format!("{memory} --wait {wait} --json");
    let serve =
        format!("{serve} --dev {served} --addr {SERVER}/{PREFIX} --core {} {both}", setting.receiver_cpu);
    let client = format!(
        "{client} --dev {connected} --addr {CLIENT}-{}/{PREFIX} --core {} {both}",
        Ipv4Addr::from_bits(CLIENT.to_bits() + addresses - 1),
        setting.sender_cpu
    );
    let program =
        TSONAMI.find().ok_or_else(|| Failure::new("tsonami is not installed").mend(TSONAMI.install))?;
    let server = Server::start(&program, &serve, &socket)?;
    let said = Client::run(&program, &client)?;
    let served = server.finish()?;
    let commands = [format!("tsonami {serve}"), format!("tsonami {client}")];
    let said = Said { client: read(&said, &commands[1])?, server: read(&served, &commands[0])?, commands };
    match said.server.total.failed_connections {
        0 => Ok(said),
        n => Err(Failure::new(format!("{n} connections ended early at the end that listens"))),
    }
}

/// What an end printed last: an object, or the last one of a line each.
fn read<T: DeserializeOwned>(said: &str, command: &str) -> Result<T, Failure> {
    let last = || said.lines().last().unwrap_or_default();
    serde_json::from_str(said).or_else(|_| serde_json::from_str(last())).map_err(|error| {
        Failure::new(format!("not what this program's version prints ({error}): {command}: {said}"))
            .mend(TSONAMI.install)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_their_nanoseconds() {
        let said = r#"{"samples":7,"min_us":0.5,"p50_us":1.023,"p90_us":2.0,"p99_us":3.5,"p99_9_us":4.001,
            "p99_99_us":5.0,"max_us":6.0,"mean_us":1.0}"#;
        let latency: Latency = read(said, "tsonami rr").expect("a distribution");
        let line = latency.add(Line::new(Medium::Memif));
        assert_eq!((line.figures["p50"].value, line.figures["p99.9"].value), (1023.0, 4001.0));
        assert_eq!(line.figures["samples"].value, 7.0);
        let curve = line.latency.expect("a curve");
        assert_eq!((curve.count, curve.points.last()), (7, Some(&(100.0, 6000))));
    }

    #[test]
    fn the_last_line_of_a_server_is_its_total() {
        let said = "{\"connection\":1}\n{\"busy_seconds\":0.5,\"total\":{\"received_bytes\":9,\"failed_connections\":0}}\n";
        let served: Served = read(said, "tsonami serve").expect("a total");
        assert_eq!((served.busy_seconds, served.total.received_bytes, served.total.requests), (0.5, 9, 0));
        let why = read::<Served>("{}", "tsonami serve").expect_err("no total").to_string();
        assert!(why.contains("tsonami serve") && why.contains(TSONAMI.install), "{why}");
    }
}
