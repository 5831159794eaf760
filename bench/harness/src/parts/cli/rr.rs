//! P5: `tsonami rr` asks `tsonami serve --answer` over a vhost-user wire.

use clap::Args;
use serde::Deserialize;

use super::{EndsArgs, Latency, SERVER, WARM_UP, pair};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Our program at both ends of a vhost-user wire, a byte there and a byte back
#[derive(Args, Debug)]
pub(crate) struct RrArgs {
    #[command(flatten)]
    ends: EndsArgs,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
}

/// What `tsonami rr` says.
#[derive(Deserialize)]
struct Asked {
    answered_per_second: f64,
    unanswered_requests: u64,
    retransmitted_segments: u64,
    busy_share: f64,
    latency: Option<Latency>,
}

pub(crate) fn run(setting: &Setting, args: &RrArgs) -> Result<Line, Failure> {
    let client =
        format!("rr {SERVER} --request 1 -P {} -t {} --warmup {WARM_UP}", args.connections, setting.time);
    let serve = format!("serve --answer 1:1 --backlog {}", args.connections);
    let said = pair::<Asked>(setting, Medium::VhostUser, args.ends, &serve, &client, 1)?;
    let asked = &said.client;
    let latency =
        asked.latency.as_ref().ok_or_else(|| Failure::new("no request was answered").mend("--time 5"))?;
    if asked.unanswered_requests > 0 {
        return Err(Failure::new(format!("{} requests had no answer", asked.unanswered_requests)));
    }
    let line = latency
        .add(Line::new(Medium::VhostUser))
        .figure("requests", asked.answered_per_second, Unit::PerSecond)
        .figure(
            "requests_per_busy_core",
            asked.answered_per_second / asked.busy_share,
            Unit::PerSecondPerBusyCore,
        )
        .figure("busy", asked.busy_share * 100.0, Unit::Percent)
        .figure("retransmitted_segments", asked.retransmitted_segments as f64, Unit::Count);
    Ok(said.commands(line).note("Both ends ours, each a process with a CPU of its own."))
}
