//! `tsonami send`: opens connections, keeps them full, waits until everything is acknowledged, and tells how it went.

mod bitrate;
mod board;
mod flow;
mod part;
mod run;
mod source;

use tsonami::{Config, LocalEngine, SendFlags};

use crate::args::{DEFAULT_PORT, SendArgs};
use crate::console::Console;
use crate::engine_errors;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::{Options, Summary};
use crate::signals::Signals;
use crate::units::Size;
use crate::verdict::Verdict;
use crate::{settings, start};
use board::Board;
use part::Part;
use source::{FileSource, Source};

/// Runs `tsonami send`.
pub(crate) fn run(args: &SendArgs, console: &Console) -> Result<Exit, Failure> {
    let mut config = settings::config(&args.device, &args.tuning, &args.watch)?;
    let peer = args.peer.resolve(args.port, DEFAULT_PORT).map_err(|e| Failure::new(Exit::Usage, e))?;
    settings::check_peer(peer, &config)?;
    let file = args.file.as_deref().map(FileSource::open).transpose()?;
    let write = write_length(args)?;
    let workers = settings::set_workers(&mut config, &args.workers);
    settings::set_connections(&mut config, args.parallel, workers)?;
    settings::connection::set_sending(&mut config, &args.connection)?;
    if let Some(total) = args.bitrate {
        bitrate::share(&mut config, total, args.parallel)?;
    }
    if args.zerocopy {
        // Nothing is copied but what this program never sends.
        config.pools.send_bytes.get_or_insert(1 << 20);
    }

    // From here on Ctrl-C must close the device and report.
    let signals =
        Signals::watch().map_err(|e| Failure::new(Exit::Start, format!("cannot watch for Ctrl-C: {e}")))?;
    let quota = match (&file, args.bytes) {
        (Some(file), _) => run::Quota::Each(file.size),
        (None, Some(size)) => run::Quota::Shared(size.0),
        (None, None) => run::Quota::Time(args.time.unwrap_or(run::DEFAULT_TIME)),
    };
    let board = Board::new(workers);
    let work = |worker: u16, engine: &mut LocalEngine| {
        let _presence = board.presence();
        if worker == 0 {
            start::announce(engine, &config);
        }
        let file = file.as_ref().map(FileSource::again).transpose();
        let source = file.and_then(|file| source(args, write, file, engine, &config));
        let run = run::Run::new(args, console, &signals, peer, quota, &config, (&board, worker));
        match source {
            // Before anything was sent there is nothing to tell of.
            _ if signals.exit().is_some() => Ok(None),
            Ok(source) => {
                let source = source.with(SendFlags { eor: args.eor, ..SendFlags::default() });
                Ok(Some(run.go(engine, source)))
            }
            Err(failure) => {
                board.abort();
                Err(failure)
            }
        }
    };
    let built = start::builder(&config, console)?.build_each(work);
    let (parts, closed) = built.map_err(|e| start::failure(&e, &config))?;
    let closed = closed.map_err(|e| engine_errors::shutdown(&e));
    let parts: Option<Vec<Part>> = parts.into_iter().collect::<Result<_, _>>()?;
    match (parts, signals.exit()) {
        (Some(parts), _) => {
            let options = Options::new(&config.connection, &settings::connection::defaults());
            let (summary, failure) = part::summary(parts, args, peer.to_string(), options);
            finish(args, console, summary, failure, closed, &signals)
        }
        (None, exit) => closed.map(|()| exit.unwrap_or(Exit::Success)),
    }
}

/// Bytes of each write.
fn write_length(args: &SendArgs) -> Result<usize, Failure> {
    // A longer copying write gains nothing, and its buffer must fit in memory; one by reference is one buffer.
    let (longest, mend) = match args.zerocopy {
        true => (run::LONGEST_REFERENCE, "--length 1M"),
        false => (run::LONGEST_COPY, "--length 16M"),
    };
    usize::try_from(args.length.0).ok().filter(|write| *write <= longest).ok_or_else(|| {
        let what = format!("writes of {} are too long: {} at most", args.length, Size(longest as u64));
        Failure::new(Exit::Usage, what).mend(mend)
    })
}

/// What will be sent, and how.
fn source(
    args: &SendArgs,
    write: usize,
    file: Option<FileSource>,
    engine: &mut LocalEngine,
    config: &Config,
) -> Result<Source, Failure> {
    if !args.zerocopy {
        return Ok(match file {
            Some(file) => Source::file(file, write),
            None => Source::pattern(write),
        });
    }
    let buffers = match &file {
        // What may be waiting for acknowledgement, within bounds; the file waits when all are out.
        Some(_) => (run::REGISTERED_BYTES / write).clamp(run::LEAST_BUFFERS, run::MOST_BUFFERS),
        None => source::BLOCKS,
    };
    let pool = engine
        .make_pool(buffers as u32, (write as u32).max(64))
        .map_err(|e| start::failure(&e.into(), config))?;
    match file {
        Some(file) => Ok(Source::file_in_place(file, pool, write)),
        None => Source::pattern_in_place(&pool, write),
    }
}

/// Prints the summary whatever happened; then the first failure decides how the program ends.
fn finish(
    args: &SendArgs,
    console: &Console,
    mut summary: Summary,
    failure: Option<Failure>,
    closed: Result<(), Failure>,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let verdict = Verdict { signal: signals.exit(), failure, unclean: closed.err() };
    summary.error = summary.error.or_else(|| verdict.error());
    summary.complete = summary.error.is_none();
    if args.json {
        console.print_json(&summary)?;
    } else if summary.accepted_bytes > 0 || (verdict.failure.is_none() && verdict.unclean.is_none()) {
        // Where not even one connection came about, there is nothing to sum up.
        console.print(&summary.to_string())?;
    }
    Ok(verdict.announce())
}
