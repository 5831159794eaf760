//! `tsonami rr` and `tsonami crr`: how long answers take, over connections that stay and over one for each request.

mod client;
mod latency;
mod part;
mod report;
mod schedule;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tsonami::LocalEngine;

use crate::args::{AskArgs, CloseArg, CommonArgs, CrrArgs, DEFAULT_PORT, RrArgs};
use crate::console::Console;
use crate::engine_errors;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Device;
use crate::signals::Signals;
use crate::verdict::Verdict;
use crate::{settings, start};
use client::{Client, Kind, Plan};
use latency::{Latencies, LogFile};
use part::Part;
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
    let workers = settings::set_workers(&mut config, &common.workers);
    settings::set_connections(&mut config, ask.parallel, workers)?;
    if let Some(rate) = ask.rate.filter(|rate| *rate < u64::from(workers)) {
        let what = format!("{rate} requests a second cannot be shared by {workers} workers");
        return Err(Failure::new(Exit::Usage, what).mend("--workers 1"));
    }
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
    let files = (0..workers).map(|worker| LogFile::of_worker(common.hdr.as_deref(), worker).map(Mutex::new));
    let files: Vec<_> = files.collect::<Result<_, _>>()?;
    // From here on Ctrl-C must close the device and report.
    let signals =
        Signals::watch().map_err(|e| Failure::new(Exit::Start, format!("cannot watch for Ctrl-C: {e}")))?;
    let work = |worker: u16, engine: &mut LocalEngine| {
        if worker == 0 {
            start::announce(engine, &config);
        }
        // Each worker has its own, so nobody waits.
        let mut file = files[usize::from(worker)].lock().unwrap_or_else(PoisonError::into_inner);
        let log = file.as_mut().map(LogFile::begin).transpose()?;
        let plan = plan.share(worker, workers);
        let mut client =
            Client::new(&plan, console, &signals, Latencies::new(log), common.json || worker > 0);
        let mut outcome = client.go(engine);
        engine.drain(CLOSE_GRACE);
        let failure = outcome
            .failure
            .take()
            .map(|failure| engine_errors::with_interface(failure, engine.tap_name()))
            .map(|failure| engine_errors::with_checksums(failure, engine.counters().drop_tcp_checksum));
        let part = Part::new(client, outcome, engine, Device::new(&config, engine.device()));
        Ok(Part { failure, ..part })
    };
    let built = start::builder(&config, console)?.build_each(work);
    let (parts, closed) = built.map_err(|e| start::failure(&e, &config))?;
    let mut parts: Vec<Part> = parts.into_iter().collect::<Result<_, Failure>>()?;
    let failure = parts.iter_mut().find_map(|part| part.failure.take());
    let mut summary = Summary::new(&plan, &config, &parts);
    let closed = closed.map_err(|e| engine_errors::shutdown(&e));
    let verdict = Verdict { signal: signals.exit(), failure, unclean: closed.err() };
    summary.settle(&verdict);
    if common.json {
        console.print_json(&summary)?;
    } else if summary.opened_connections > 0 || verdict.failure.is_none() {
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
