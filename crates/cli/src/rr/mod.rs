//! `tsonami rr` and `tsonami crr`: how long answers take, over connections that stay and over one for each request.

mod client;
mod latency;
mod report;
mod schedule;

use std::time::Duration;

use crate::args::{AskArgs, CloseArg, CommonArgs, CrrArgs, DEFAULT_PORT, RrArgs};
use crate::console::Console;
use crate::engine_errors;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::verdict::Verdict;
use crate::{settings, start};
use client::{Client, Kind, Plan};
use latency::{Latencies, LogFile};
use report::Summary;

/// How long to ask when nothing says how much.
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// How long connections may take to close at the end.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Runs `tsonami rr`.
pub(crate) fn run(args: &RrArgs, console: &Console) -> Result<Exit, Failure> {
    measure(&args.ask, Kind::Stay { pipeline: args.pipeline as usize }, &args.common, console)
}

/// Runs `tsonami crr`.
pub(crate) fn run_closing(args: &CrrArgs, console: &Console) -> Result<Exit, Failure> {
    measure(&args.ask, Kind::Close(args.close), &args.common, console)
}

fn measure(ask: &AskArgs, kind: Kind, common: &CommonArgs, console: &Console) -> Result<Exit, Failure> {
    let mut config = settings::config(&common.device, &common.tuning, &common.watch)?;
    let peer = ask.peer.resolve(ask.port, DEFAULT_PORT).map_err(|e| Failure::new(Exit::Usage, e))?;
    settings::check_peer(peer, &config)?;
    settings::set_connections(&mut config, ask.parallel)?;
    settings::connection::set_sending(&mut config, &common.connection)?;
    let plan = Plan {
        peer,
        request: ask.request.0,
        response: ask.response.unwrap_or(ask.request).0,
        parallel: ask.parallel,
        kind,
        rate: ask.rate,
        requests: common.requests,
        time: common.requests.is_none().then(|| common.time.unwrap_or(DEFAULT_TIME)),
        warmup: common.warmup,
        patience: config.connection.user_timeout,
    };
    let mut file = common.hdr.as_deref().map(LogFile::create).transpose()?;
    let log = file.as_mut().map(LogFile::begin).transpose()?;
    // From here on Ctrl-C must close the device and report.
    let signals =
        Signals::watch().map_err(|e| Failure::new(Exit::Start, format!("cannot watch for Ctrl-C: {e}")))?;
    let mut engine = start::engine(&config, console)?;
    let mut client = Client::new(&plan, console, &signals, Latencies::new(log), common.json);
    let mut outcome = client.go(&mut engine);
    let failure = outcome
        .failure
        .take()
        .map(|failure| engine_errors::with_interface(failure, engine.tap_name()))
        .map(|failure| engine_errors::with_checksums(failure, engine.counters().drop_tcp_checksum));
    let mut summary = Summary::new(&plan, &config, &engine, &outcome);
    summary.latency = client.answers.summary();
    summary.connecting = client.connects.summary();
    let closed = engine.shutdown(CLOSE_GRACE).map_err(|e| engine_errors::shutdown(&e));
    let verdict = Verdict { signal: signals.exit(), failure, unclean: closed.err() };
    summary.settle(&verdict);
    if common.json {
        console.print_json(&summary)?;
    } else if outcome.connected > 0 || verdict.failure.is_none() {
        // Where not even one connection came about, there is nothing to sum up.
        console.print(&summary.to_string())?;
    }
    Ok(verdict.announce())
}

impl CloseArg {
    /// As typed.
    fn name(self) -> &'static str {
        match self {
            CloseArg::Us => "us",
            CloseArg::Peer => "peer",
            CloseArg::Reset => "reset",
        }
    }
}
