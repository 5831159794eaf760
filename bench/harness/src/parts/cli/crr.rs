//! P6: `tsonami crr` opens, asks and closes, and `tsonami serve --answer` is the other end, over memif.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use super::{EndsArgs, Latency, SERVER, WARM_UP, pair};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Our program at both ends of memif: connect, ask, be answered, close
#[derive(Args, Debug)]
pub(crate) struct CrrArgs {
    #[command(flatten)]
    ends: EndsArgs,
    /// Connections under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Bytes of a request, and of its answer
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    request: u32,
}

/// What `tsonami crr` says.
#[derive(Deserialize)]
struct Asked {
    options: Options,
    answered_per_second: f64,
    failed_connections: BTreeMap<String, u64>,
    port_waits: u64,
    retransmitted_segments: u64,
    busy_share: f64,
    latency: Option<Latency>,
}

#[derive(Deserialize)]
struct Options {
    time_wait: String,
}

/// Local ports of an address.
const PORTS: f64 = 28_232.0;
/// More connections a second than there will be, each of which keeps a port for longer than a run takes.
const MOST_PER_SECOND: f64 = 1e6;
/// Addresses of the network that are left for who connects.
const ADDRESSES: f64 = 60_000.0;

pub(crate) fn run(setting: &Setting, args: &CrrArgs) -> Result<Line, Failure> {
    let addresses = ((setting.time + WARM_UP) * MOST_PER_SECOND / PORTS).ceil().min(ADDRESSES) as u32;
    let CrrArgs { connections, request, .. } = args;
    let client =
        format!("crr {SERVER} --request {request} -P {connections} -t {} --warmup {WARM_UP}", setting.time);
    let serve = format!("serve --answer {request}:{request} --backlog {connections}");
    let said = pair::<Asked>(setting, Medium::Memif, args.ends, &serve, &client, addresses)?;
    let (asked, served) = (&said.client, &said.server);
    let latency =
        asked.latency.as_ref().ok_or_else(|| Failure::new("no connection was answered").mend("--time 5"))?;
    if !asked.failed_connections.is_empty() {
        return Err(Failure::new(format!("connections failed: {:?}", asked.failed_connections)));
    }
    if asked.port_waits > 0 {
        let waits = asked.port_waits;
        return Err(Failure::new(format!("{waits} times all ports were in TIME-WAIT")).mend("--time 5"));
    }
    let rate = asked.answered_per_second;
    let line = latency
        .add(Line::new(Medium::Memif))
        .figure("connections", rate, Unit::PerSecond)
        .figure("connections_per_busy_core", rate / asked.busy_share, Unit::PerSecondPerBusyCore)
        .figure(
            "connections_per_busy_server_core",
            served.total.requests as f64 / served.busy_seconds,
            Unit::PerSecondPerBusyCore,
        )
        .figure("busy", asked.busy_share * 100.0, Unit::Percent)
        .figure("retransmitted_segments", asked.retransmitted_segments as f64, Unit::Count);
    Ok(said.commands(line).note(format!(
        "Both ends ours, each a process with a CPU of its own. The client closes first and keeps TIME-WAIT for {}; it has {addresses} \
         addresses, so that no port is used twice.",
        asked.options.time_wait
    )))
}
