//! `tsonami serve`: accepts connections, reads each to its end, counts and hashes what arrives, or answers it.

mod answer;
mod report;
mod sink;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tsonami::{ConnId, Event, LocalEngine, Nanos, Time};

use crate::args::ServeArgs;
use crate::console::Console;
use crate::engine_errors;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::{Asked, Signals};
use crate::verdict::Verdict;
use crate::{settings, start};
pub(crate) use answer::Lengths;
use answer::{Answered, Answerer};
use report::{Cut, Loops, Received, Total};
use sink::Sink;

/// Time between looks at signals.
const TICK: Nanos = Nanos::from_millis(20);
/// How long connections may still take once no more are accepted and Ctrl-C was pressed.
const STOP_GRACE: Nanos = Nanos::from_secs(2);
/// How long closed connections may take to say their last.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Runs `tsonami serve`.
pub(crate) fn run(args: &ServeArgs, console: &Console) -> Result<Exit, Failure> {
    let mut config = settings::config(&args.device, &args.tuning, &args.watch)?;
    settings::connection::set_receiving(&mut config, &args.connection)?;
    let signals =
        Signals::watch().map_err(|e| Failure::new(Exit::Start, format!("cannot watch for Ctrl-C: {e}")))?;
    if let Some(out) = &args.out {
        Sink::try_out(out)?;
    }
    let workers = settings::set_workers(&mut config, &args.workers);
    // One listener for all our addresses.
    let own = config.address;
    let any = if own.first().is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let local = SocketAddr::new(if own.count() == 1 { own.first() } else { any }, args.port);
    let wanted = if args.once { Some(1) } else { args.connections };
    let tally = Tally::default();
    let listening = Barrier::new(workers.into());
    let work = |worker: u16, engine: &mut LocalEngine| {
        let listens = engine.listen(local, args.backlog as usize, None);
        listening.wait();
        // They listen on the same, so either all do or none.
        listens.map_err(|e| Failure::new(Exit::Usage, format!("cannot listen on {local}: {e}")))?;
        if worker == 0 {
            start::announce(engine, &config);
            if !args.json {
                console.print(&format!("listening on {local}, {}\n", config.device))?;
            }
        }
        let began = engine.now();
        let served = match args.answer {
            Some(lengths) => {
                Served::Answered(Answerer::new(lengths, args.close, wanted, &tally).go(engine, &signals))
            }
            None => {
                let mut server = Server {
                    args,
                    console,
                    wanted,
                    tally: &tally,
                    readers: HashMap::new(),
                    total: Total::default(),
                    patience: config.connection.user_timeout,
                    silent: None,
                    failure: None,
                };
                server.go(engine, &signals);
                Served::Read { total: server.total, failure: server.failure.or(server.silent) }
            }
        };
        // Connections that sent us their all may still owe the peer an acknowledgement of its FIN, or wait for one.
        if signals.asked() == Asked::Nothing || args.answer.is_some() {
            engine.drain(CLOSE_GRACE);
        }
        Ok((served, Loops::of(engine, engine.now().since(began))))
    };
    let built = start::builder(&config, console)?.build_each(work);
    let (served, closed) = built.map_err(|e| start::failure(&e, &config))?;
    let closed = closed.map_err(|e| engine_errors::shutdown(&e));
    let (mut total, mut failure) = (Total::default(), None);
    let mut answered: Option<Answered> = None;
    let mut loops = Loops::default();
    for served in served {
        let (served, ran) = served?;
        loops += ran;
        match served {
            Served::Answered(part) => *answered.get_or_insert_default() += &part,
            Served::Read { total: part, failure: failed } => {
                total += part;
                failure = failure.or(failed);
            }
        }
    }
    let text = match answered {
        Some(answered) if args.json => loops.json(&answered, signals.exit()),
        Some(answered) => answered.to_string(),
        None if args.json => loops.json(&total, signals.exit()),
        None => total.to_string(),
    };
    console.print(&text)?;
    Ok(Verdict { signal: signals.exit(), failure, unclean: closed.err() }.announce())
}

/// What one worker did.
enum Served {
    Answered(Answered),
    Read { total: Total, failure: Option<Failure> },
}

/// What all workers did together.
#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    read: AtomicU64,
    failed: AtomicBool,
}

struct Server<'a> {
    args: &'a ServeArgs,
    console: &'a Console,
    /// Connections to take, if there is a number.
    wanted: Option<u64>,
    tally: &'a Tally,
    readers: HashMap<ConnId, Reader>,
    total: Total,
    /// How long a connection may bring neither bytes nor its end.
    patience: Duration,
    /// The first connection that was given up for its silence. The others are served on.
    silent: Option<Failure>,
    failure: Option<Failure>,
}

/// A connection that is read.
struct Reader {
    number: u64,
    remote: SocketAddr,
    began: Time,
    /// When the last byte came.
    newest: Time,
    sink: Sink,
}

impl Server<'_> {
    /// Serves until enough connections were read, a file failed, or a signal came.
    fn go(&mut self, engine: &mut LocalEngine, signals: &Signals) {
        let mut next_tick = Time::ZERO;
        let mut stop_at = None;
        loop {
            let now = engine.now();
            let progress = engine.poll(now);
            let mut busy = progress.is_busy();
            while let Some((id, event)) = engine.poll_event() {
                busy = true;
                self.event(engine, id, event, now);
            }
            if self.failure.is_some() {
                self.tally.failed.store(true, Ordering::Relaxed);
                return;
            }
            if self.wanted.is_some_and(|n| self.tally.read.load(Ordering::Relaxed) >= n) {
                return;
            }
            if now >= next_tick {
                next_tick = now + TICK;
                self.give_up_on_the_silent(engine, now);
                if self.tally.failed.load(Ordering::Relaxed) {
                    return;
                }
                match signals.asked() {
                    Asked::Nothing => {}
                    Asked::Stop if !self.readers.is_empty() => {
                        if now >= *stop_at.get_or_insert(now + STOP_GRACE) {
                            return self.give_up(engine);
                        }
                    }
                    Asked::Stop | Asked::Abort => return self.give_up(engine),
                }
            }
            engine.rest(busy);
        }
    }

    fn event(&mut self, engine: &mut LocalEngine, id: ConnId, event: Event, now: Time) {
        match event {
            Event::Accepted(_) => self.accept(engine, id, now),
            Event::Readable => self.read(engine, id, now),
            Event::PeerFinished => {
                self.read(engine, id, now);
                engine.shutdown_write(id);
                self.done(engine, id, None);
            }
            Event::Closed(end) => {
                self.read(engine, id, now);
                self.done(engine, id, end.err().as_ref().map(Cut::from));
            }
            _ => {}
        }
    }

    fn accept(&mut self, engine: &mut LocalEngine, id: ConnId, now: Time) {
        let Some(tuple) = engine.tuple(id) else { return };
        let number = self.tally.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        if self.wanted.is_some_and(|n| number > n) {
            engine.abort(id);
            engine.release(id);
            return;
        }
        match Sink::open(self.args.out.as_deref(), number, !self.args.no_hash) {
            Ok(sink) => {
                let reader = Reader { number, remote: tuple.remote, began: now, newest: now, sink };
                self.readers.insert(id, reader);
            }
            Err(failure) => {
                self.failure.get_or_insert(failure);
                engine.abort(id);
                engine.release(id);
            }
        }
    }

    fn read(&mut self, engine: &mut LocalEngine, id: ConnId, now: Time) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        while let Some(payload) = engine.read(id) {
            reader.newest = now;
            if let Err(failure) = reader.sink.take(&payload) {
                self.failure.get_or_insert(failure);
                return;
            }
        }
    }

    /// A connection's last byte came, or it failed: reports it, and leaves its end to the engine.
    fn done(&mut self, engine: &mut LocalEngine, id: ConnId, cut: Option<Cut>) {
        let Some(reader) = self.readers.remove(&id) else { return };
        let elapsed = reader.newest.since(reader.began).into();
        let (bytes, sha256) = reader.sink.finish();
        if cut == Some(Cut::Silence(self.patience)) || cut == Some(Cut::Unanswered) {
            self.silent
                .get_or_insert_with(|| engine_errors::silent_sender(reader.remote, bytes, self.patience));
        }
        let received = Received::new(reader.number, reader.remote, bytes, elapsed, sha256, cut.as_ref());
        engine.release(id);
        let text = if self.args.json { received.json() } else { received.to_string() };
        self.total.add(&received);
        self.tally.read.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = self.console.print(&text) {
            self.failure.get_or_insert(failure);
        }
    }

    /// Ends connections that bring nothing: their peers may be gone, and we would never learn it, since we have
    /// nothing to send them.
    fn give_up_on_the_silent(&mut self, engine: &mut LocalEngine, now: Time) {
        let patience = self.patience.into();
        let silent = self.readers.iter().filter(|(_, reader)| now.since(reader.newest) >= patience);
        for id in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            engine.abort(id);
            self.done(engine, id, Some(Cut::Silence(self.patience)));
        }
    }

    /// Ends what is still open.
    fn give_up(&mut self, engine: &mut LocalEngine) {
        let open: Vec<ConnId> = self.readers.keys().copied().collect();
        for id in open {
            engine.abort(id);
            self.done(engine, id, Some(Cut::Interrupted));
        }
    }
}
