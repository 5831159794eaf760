//! The loop of `tsonami send`.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tsonami::{Config, ConnId, Error, Event, LocalEngine, Nanos, Time};

use super::board::Board;
use super::flow::{Flow, Phase, share};
use super::part::Part;
use super::source::{Source, Stop};
use crate::args::SendArgs;
use crate::console::Console;
use crate::engine_errors;
use crate::failure::Failure;
use crate::report::{ConnectionSummary, Device, Goal, Interval, Intervals, Progress, stats};
use crate::signals::{Asked, Signals};
use crate::units::{Rate, Short, Size, bits_per_second};

/// How long to send when nothing says how much.
pub(crate) const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// Between two interval lines, when nothing says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// The longest copying write.
pub(crate) const LONGEST_COPY: usize = 16 << 20;
/// The longest write by reference: one buffer.
pub(crate) const LONGEST_REFERENCE: usize = 1 << 20;
/// Registered memory for a file on its way.
pub(crate) const REGISTERED_BYTES: usize = 64 << 20;
/// Registered buffers for a file on its way, at least and at most.
pub(crate) const LEAST_BUFFERS: usize = 16;
/// See [`LEAST_BUFFERS`].
pub(crate) const MOST_BUFFERS: usize = 65_536;
/// Writes between two turns of the engine's loop, at most.
const WRITES_PER_TURN: usize = 64;
/// Time between looks at the clock for progress, signals and time limits.
const TICK: Nanos = Nanos::from_millis(20);
/// How long what is under way may still take after Ctrl-C.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// What the protocol's own timeout gets before ours, which knows less about the cause.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);
/// How long aborted connections may take to say so.
const ABORT_GRACE: Duration = Duration::from_millis(200);

/// How much to send.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Quota {
    /// Each connection so many bytes.
    Each(u64),
    /// All connections together.
    Shared(u64),
    /// Until so much time has passed.
    Time(Duration),
}

/// How far the run as a whole has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Opening and sending.
    Sending,
    /// Nothing more is written: what is queued drains, by this time at the latest if there is one.
    Draining(Option<Time>),
    /// Every connection was reset; by this time it is over.
    Aborting(Time),
}

/// One worker's part of a run.
pub(crate) struct Run<'a> {
    args: &'a SendArgs,
    console: &'a Console,
    signals: &'a Signals,
    peer: SocketAddr,
    quota: Quota,
    config: &'a Config,
    /// What is known of other workers, and which one this is.
    board: &'a Board,
    worker: u16,
    flows: Vec<Flow>,
    by_id: HashMap<ConnId, usize>,
    ready: VecDeque<usize>,
    over: usize,
    /// Connections whose peer has everything and did not close in time.
    left_open: usize,
    remarks: Vec<String>,
    stage: Stage,
    began: Time,
    /// When the newest acknowledgement came.
    newest: Time,
    failure: Option<Failure>,
    intervals: Intervals,
    progress: Progress,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        args: &'a SendArgs,
        console: &'a Console,
        signals: &'a Signals,
        peer: SocketAddr,
        quota: Quota,
        config: &'a Config,
        (board, worker): (&'a Board, u16),
    ) -> Run<'a> {
        let goal = match quota {
            Quota::Each(bytes) => Goal::Bytes(bytes * u64::from(args.parallel)),
            Quota::Shared(bytes) => Goal::Bytes(bytes),
            Quota::Time(time) => Goal::Time(time),
        };
        Run {
            args,
            console,
            signals,
            peer,
            quota,
            config,
            board,
            worker,
            flows: Vec::with_capacity(args.parallel as usize),
            by_id: HashMap::with_capacity(args.parallel as usize),
            ready: VecDeque::new(),
            over: 0,
            left_open: 0,
            remarks: Vec::new(),
            stage: Stage::Sending,
            began: Time::ZERO,
            newest: Time::ZERO,
            failure: None,
            // The first worker's are those of all.
            intervals: Intervals::new(match worker {
                0 => args.interval.unwrap_or(DEFAULT_INTERVAL),
                _ => Duration::ZERO,
            }),
            progress: Progress::new(goal, console.interactive() && !args.json && worker == 0),
        }
    }

    /// Runs to the end, and says how it went.
    pub(crate) fn go(mut self, engine: &mut LocalEngine, mut source: Source) -> Part {
        tracing::info!(peer = %self.peer, connections = self.args.parallel, quota = ?self.quota, "sending");
        self.began = engine.now();
        self.newest = self.began;
        self.open(engine);
        let mut next_tick = self.began;
        // The first worker shows how far all have come, until they are through.
        while self.over < self.flows.len() || self.shows() && !self.board.is_alone() {
            let now = engine.now();
            let progress = engine.poll(now);
            let events = self.events(engine, now);
            let wrote = self.write(engine, &mut source, now);
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(engine, now);
            }
            engine.rest(progress.is_busy() || events || wrote);
        }
        self.board.tell(self.worker, self.totals(engine));
        let elapsed: Duration = self.newest.since(self.began).into();
        self.board.took(elapsed);
        let (acked, retransmitted) = self.board.sum();
        let interval = self.intervals.finish(self.board.longest(), acked, retransmitted).cloned();
        self.line(interval);
        self.progress.finish();
        if self.left_open > 0 {
            let remark = format!(
                "{} has everything of {} and did not close within {}: left open there, without a reset",
                self.peer,
                if self.left_open == 1 {
                    "1 connection".into()
                } else {
                    format!("{} connections", self.left_open)
                },
                Short(self.timeout()),
            );
            self.remark(remark);
        }
        self.part(engine, elapsed)
    }

    /// Whether it is this one that shows how the run goes.
    fn shows(&self) -> bool {
        self.worker == 0
    }

    /// Opens every connection.
    fn open(&mut self, engine: &mut LocalEngine) {
        // By turns at each worker.
        for index in (u32::from(self.worker)..self.args.parallel).step_by(self.board.workers().into()) {
            let now = engine.now();
            let quota = match self.quota {
                Quota::Each(bytes) => Some(bytes),
                Quota::Shared(bytes) => Some(share(bytes, self.args.parallel, index)),
                Quota::Time(_) => None,
            };
            match engine.connect(self.peer, None, now) {
                Ok(id) => {
                    self.by_id.insert(id, self.flows.len());
                    self.flows.push(Flow::new(id, quota, self.args.sha256, now));
                }
                Err(e) => {
                    self.fail(engine_errors::connection(&e, self.peer, self.timeout()));
                    break;
                }
            }
        }
        if self.failure.is_some() {
            self.abort(engine);
        }
    }

    /// Takes everything the engine has to tell; true if there was anything.
    fn events(&mut self, engine: &mut LocalEngine, now: Time) -> bool {
        let mut any = false;
        while let Some((id, event)) = engine.poll_event() {
            any = true;
            let Some(&index) = self.by_id.get(&id) else { continue };
            let flow = &mut self.flows[index];
            match event {
                Event::Connected => {
                    if let Some(tuple) = engine.tuple(id) {
                        tracing::info!(local = %tuple.local, remote = %tuple.remote, "connected");
                    }
                    flow.phase = Phase::Sending;
                    flow.moved = now;
                    self.make_ready(index);
                }
                Event::Writable => self.make_ready(index),
                Event::Acked => {
                    flow.moved = now;
                    flow.acked = acked(engine, id);
                    self.newest = now;
                }
                Event::Readable => {
                    while let Some(payload) = engine.read(id) {
                        flow.received += payload.len() as u64;
                    }
                    flow.moved = now;
                }
                Event::PeerFinished => {
                    flow.peer_finished = true;
                    flow.moved = now;
                }
                Event::Finished => {
                    flow.phase = Phase::Acknowledged;
                    flow.acked = acked(engine, id);
                    flow.moved = now;
                    self.newest = now;
                }
                Event::Closed(end) => self.closed(index, end),
                _ => {}
            }
        }
        any
    }

    fn make_ready(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        if !flow.ready && flow.phase == Phase::Sending {
            flow.ready = true;
            self.ready.push_back(index);
        }
    }

    /// A connection is over. The first that ended early decides how the run ends; the others go on.
    fn closed(&mut self, index: usize, end: Result<(), Error>) {
        let flow = &mut self.flows[index];
        if flow.phase == Phase::Over {
            return;
        }
        tracing::info!(connection = index, ?end, "closed");
        let acknowledged = flow.phase == Phase::Acknowledged;
        flow.phase = Phase::Over;
        flow.refused = None;
        self.over += 1;
        let error = match end {
            Ok(()) => return,
            // Everything was acknowledged, so nothing of ours was lost: how the peer leaves is its own affair.
            Err(_) if acknowledged => return,
            // What we did ourselves was told when it was done.
            Err(Error::Aborted { .. }) if matches!(self.stage, Stage::Aborting(_)) => return,
            Err(error) => error,
        };
        if !matches!(self.stage, Stage::Aborting(_)) {
            self.fail(engine_errors::connection(&error, self.peer, self.timeout()));
        }
        self.flows[index].error = Some(error);
    }

    /// Lets connections that can take more have it, in turns.
    fn write(&mut self, engine: &mut LocalEngine, source: &mut Source, now: Time) -> bool {
        if self.stage != Stage::Sending {
            return false;
        }
        let mut wrote = false;
        for _ in 0..WRITES_PER_TURN {
            let Some(index) = self.ready.pop_front() else { break };
            let flow = &mut self.flows[index];
            flow.ready = false;
            if flow.phase != Phase::Sending {
                continue;
            }
            let outcome = if flow.next_write(1) == 0 { Ok(0) } else { source.write(engine, flow) };
            match outcome {
                Ok(_) => {
                    wrote = true;
                    if flow.next_write(1) == 0 {
                        flow.phase = Phase::Draining;
                        flow.moved = now;
                        engine.shutdown_write(flow.id);
                    } else {
                        self.make_ready(index);
                    }
                }
                // Its Writable or Closed event makes it ready or ends it.
                Err(Stop::Full | Stop::Closed) => {}
                Err(Stop::NoBuffer) => {
                    // Buffers come home with any connection's acknowledgements: ask again next turn.
                    self.make_ready(index);
                    break;
                }
                Err(Stop::Failed(failure)) => {
                    self.fail(failure);
                    self.abort(engine);
                    break;
                }
            }
        }
        wrote
    }

    /// What need not be looked at in every turn.
    fn tick(&mut self, engine: &mut LocalEngine, now: Time) {
        let elapsed: Duration = now.since(self.began).into();
        if self.board.is_aborted() && !matches!(self.stage, Stage::Aborting(_)) {
            self.abort(engine);
        }
        match (self.signals.asked(), self.stage) {
            (Asked::Abort, Stage::Sending | Stage::Draining(_)) => self.abort(engine),
            (Asked::Stop, Stage::Sending) => self.drain(engine, Some(now + STOP_GRACE.into()), now),
            (Asked::Stop, Stage::Draining(None)) => {
                self.stage = Stage::Draining(Some(now + STOP_GRACE.into()))
            }
            (_, Stage::Draining(Some(limit))) if now >= limit => self.abort(engine),
            (_, Stage::Aborting(limit)) if now >= limit => self.over = self.flows.len(),
            (_, Stage::Sending) => {
                if let Quota::Time(time) = self.quota
                    && elapsed >= time
                {
                    self.drain(engine, None, now);
                }
            }
            _ => {}
        }
        if !matches!(self.stage, Stage::Aborting(_)) {
            self.give_up_on_the_silent(engine, now);
        }
        self.show(engine, elapsed);
    }

    /// Writes nothing more: every connection finishes what it has.
    fn drain(&mut self, engine: &mut LocalEngine, limit: Option<Time>, now: Time) {
        tracing::info!("draining");
        self.stage = Stage::Draining(limit);
        self.ready.clear();
        for flow in &mut self.flows {
            flow.ready = false;
            flow.refused = None;
            if flow.phase == Phase::Opening && limit.is_some() {
                // It has nothing to finish.
                engine.abort(flow.id);
                flow.phase = Phase::Over;
                self.over += 1;
            } else if matches!(flow.phase, Phase::Opening | Phase::Sending) {
                flow.phase = Phase::Draining;
                flow.moved = now;
                engine.shutdown_write(flow.id);
            }
        }
    }

    /// Resets every connection.
    fn abort(&mut self, engine: &mut LocalEngine) {
        tracing::info!("resetting every connection");
        self.board.abort();
        self.stage = Stage::Aborting(engine.now() + ABORT_GRACE.into());
        self.ready.clear();
        for flow in &mut self.flows {
            flow.refused = None;
            match flow.phase {
                Phase::Over => {}
                // The peer has everything: it may read it in peace.
                Phase::Acknowledged => {
                    flow.let_go(engine);
                    self.over += 1;
                }
                _ => engine.abort(flow.id),
            }
        }
    }

    /// Ends connections that do not get on: the peer answers, or the protocol would have ended them, but it does
    /// not read, or does not close.
    fn give_up_on_the_silent(&mut self, engine: &mut LocalEngine, now: Time) {
        let patience = Nanos::from(self.timeout().saturating_add(TIMEOUT_GRACE));
        for index in 0..self.flows.len() {
            let flow = &mut self.flows[index];
            let waits = match flow.phase {
                Phase::Over | Phase::Opening => false,
                // With nothing outstanding there is nothing to wait for.
                Phase::Sending => flow.accepted > flow.acked,
                Phase::Draining | Phase::Acknowledged => true,
            };
            if waits && is_held_here(engine, flow) {
                flow.moved = now;
            }
            if !waits || now.since(flow.moved) < patience {
                continue;
            }
            self.over += 1;
            if flow.phase == Phase::Acknowledged {
                // Nothing of ours is lost, and a reset could take from the peer what it has yet to read.
                flow.let_go(engine);
                self.left_open += 1;
                continue;
            }
            let acked = flow.acked;
            engine.abort(flow.id);
            flow.phase = Phase::Over;
            flow.refused = None;
            flow.error = Some(Error::TimedOut { acked: tsonami::Offset(acked) });
            self.fail(engine_errors::not_reading(self.peer, acked, self.timeout()));
        }
    }

    /// How long nobody may answer.
    fn timeout(&self) -> Duration {
        self.config.connection.user_timeout
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Says something worth knowing that is no failure: on standard error, and in the JSON.
    fn remark(&mut self, text: String) {
        self.progress.remark(&text);
        self.remarks.push(text);
    }

    fn totals(&self, engine: &LocalEngine) -> (u64, u64) {
        (self.flows.iter().map(|f| f.acked).sum(), engine.counters().tx_retransmitted_segments)
    }

    /// Prints an interval line: above the bar for a person who watches, among the results for who asked for lines.
    fn line(&mut self, interval: Option<Interval>) {
        let Some(interval) = interval else { return };
        if self.console.interactive() || self.args.json {
            self.progress.line(&interval);
        } else if self.args.interval.is_some()
            && let Err(failure) = self.console.print(&format!("{interval}\n"))
        {
            self.fail(failure);
        }
    }

    fn show(&mut self, engine: &LocalEngine, elapsed: Duration) {
        self.board.tell(self.worker, self.totals(engine));
        if !self.shows() {
            return;
        }
        let (acked, retransmitted) = self.board.sum();
        let interval = self.intervals.update(elapsed, acked, retransmitted).cloned();
        self.line(interval);
        if self.console.interactive() {
            let position = match self.quota {
                Quota::Time(time) => elapsed.min(time).as_millis() as u64,
                _ => acked,
            };
            let rate = Rate(bits_per_second(acked, elapsed));
            self.progress.update(position, format!("{}, {rate}", Size(acked)));
        }
    }

    /// What is to be told of this worker's part.
    fn part(mut self, engine: &LocalEngine, elapsed: Duration) -> Part {
        let connections: Vec<ConnectionSummary> = self
            .flows
            .iter()
            .map(|flow| {
                let (tuple, counts) = flow.words(engine);
                ConnectionSummary {
                    local: tuple.map_or_else(String::new, |t| t.local.to_string()),
                    remote: self.peer.to_string(),
                    accepted_bytes: flow.accepted,
                    acknowledged_bytes: flow.acked,
                    received_bytes: flow.received,
                    sent_segments: counts.segments_sent,
                    sent_bursts: counts.bursts,
                    retransmitted_segments: counts.segments_retransmitted,
                    time: counts.time.into(),
                    mss_bytes: counts.mss,
                    stats: stats::named(&counts),
                    sha256: flow.sha256(),
                    error: flow.error.as_ref().map(ToString::to_string),
                }
            })
            .collect();
        Part {
            connections,
            elapsed,
            timeouts: self.flows.iter().map(|f| f.words(engine).1.timeouts).sum(),
            counters: engine.counters().clone(),
            counts: engine.every_count(),
            rtt: engine.rtt_histogram().clone(),
            device: Device::new(self.config, engine.device()),
            steering: engine.steering(),
            remarks: std::mem::take(&mut self.remarks),
            intervals: std::mem::replace(&mut self.intervals, Intervals::new(Duration::ZERO)).into_done(),
            failure: self
                .failure
                .map(|failure| engine_errors::with_interface(failure, engine.tap_name()))
                .map(|failure| engine_errors::with_checksums(failure, engine.counters().drop_tcp_checksum)),
        }
    }
}

/// Bytes the peer has acknowledged.
fn acked(engine: &LocalEngine, id: ConnId) -> u64 {
    engine.marks(id).map_or(0, |marks| marks.acked.0)
}

/// What waits was never sent, and the peer's window has room for it: our own rate holds it back, and nobody owes us an
/// answer. A port that takes nothing is the protocol's to notice.
fn is_held_here(engine: &LocalEngine, flow: &Flow) -> bool {
    let idle =
        engine.marks(flow.id).is_some_and(|marks| marks.sent == marks.acked && marks.sent < marks.accepted);
    let has_room = |stats: tsonami::ConnStats| stats.send_window >= u64::from(stats.mss);
    idle && engine.stats(flow.id).is_some_and(has_room)
}
