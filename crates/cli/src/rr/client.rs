//! The loop of `tsonami rr` and `tsonami crr`: asks what is due, and measures how long answers take.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tcp::endpoint::ConnectError::PortsExhausted;
use tsonami::{ConnId, ConnectError, Error, Event, LocalEngine, Nanos, SendFlags, Time};

use super::latency::Latencies;
use super::schedule::Schedule;
use crate::args::CloseArg;
use crate::conns::Conns;
use crate::console::Console;
use crate::engine_errors;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::{Goal, Progress};
use crate::signals::{Asked, Signals};
use crate::units::{Grouped, Short};

/// Time between looks at signals and time limits.
const TICK: Nanos = Nanos::from_millis(20);
/// How long answers may still take after Ctrl-C.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Requests between two turns of the engine's loop, at most.
const ASKS_PER_TURN: usize = 64;
/// Bytes of a request that are written at once, at most.
const WRITE: usize = 64 << 10;

/// What is asked, and over what.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) peer: SocketAddr,
    pub(super) request: u64,
    pub(super) response: u64,
    pub(super) parallel: u32,
    pub(super) kind: Kind,
    pub(super) rate: Option<u64>,
    pub(super) requests: Option<u64>,
    pub(super) time: Option<Duration>,
    pub(super) warmup: Duration,
    /// How long nobody may answer.
    pub(super) patience: Duration,
}

impl Plan {
    /// One worker's share of it.
    pub(super) fn share(&self, worker: u16, workers: u16) -> Plan {
        let of =
            |all: u64| all / u64::from(workers) + u64::from(u64::from(worker) < all % u64::from(workers));
        Plan {
            parallel: of(self.parallel.into()) as u32,
            rate: self.rate.map(of),
            requests: self.requests.map(of),
            ..self.clone()
        }
    }
}

/// How connections are used.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// They stay, and each may wait for so many answers.
    Stay { pipeline: usize },
    /// One request each; who closes them.
    Close(CloseArg),
}

/// What came of it.
#[derive(Default, Debug)]
pub(super) struct Outcome {
    /// Answers that were waited for to the end, and measured.
    pub(super) answered: u64,
    /// From the first measured request's time to the last answer.
    pub(super) elapsed: Duration,
    /// Asked, and not answered.
    pub(super) unanswered: u64,
    /// Due, and never asked: nobody was free to.
    pub(super) unasked: u64,
    /// Connections that came about.
    pub(super) connected: u64,
    /// Times that no local port was free.
    pub(super) port_waits: u64,
    /// Connections that failed, by what became of them.
    pub(super) failed: BTreeMap<&'static str, u64>,
    pub(super) failure: Option<Failure>,
}

/// Times, the oldest first. One alone needs no memory of its own.
#[derive(Default)]
struct Due {
    first: Option<Time>,
    rest: VecDeque<Time>,
}

impl Due {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, time: Time) {
        match self.first {
            None => self.first = Some(time),
            Some(_) => self.rest.push_back(time),
        }
    }

    fn pop(&mut self) -> Option<Time> {
        let next = self.rest.pop_front();
        std::mem::replace(&mut self.first, next)
    }
}

struct Conn {
    open: bool,
    /// When the requests that wait for their answers were due.
    due: Due,
    /// Bytes of requests that the engine has yet to take.
    unsent: u64,
    /// Bytes of the next answer that have come.
    got: u64,
    /// It may ask, and stands in line to.
    in_line: bool,
    /// It has done its work: that it ends is as it should be.
    done: bool,
}

pub(super) struct Client<'a> {
    plan: &'a Plan,
    console: &'a Console,
    signals: &'a Signals,
    schedule: Schedule,
    conns: Conns<Conn>,
    /// Connections that may ask.
    line: VecDeque<ConnId>,
    bytes: Vec<u8>,
    /// Requests that wait for their answers.
    pending: u64,
    began: Time,
    newest: Time,
    /// Since then somebody waits and nobody is answered.
    silent_since: Time,
    /// No more is asked; when waiting for answers is over.
    stopping: Option<Time>,
    pub(super) answers: Latencies<'a>,
    pub(super) connects: Latencies<'a>,
    outcome: Outcome,
    progress: Progress,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        console: &'a Console,
        signals: &'a Signals,
        answers: Latencies<'a>,
        quiet: bool,
    ) -> Client<'a> {
        let goal = match (plan.requests, plan.time) {
            (Some(requests), _) => Goal::Bytes(requests),
            (None, time) => Goal::Time(time.unwrap_or_default()),
        };
        Client {
            plan,
            console,
            signals,
            schedule: Schedule::new(Time::ZERO, None, Some(0), Time::ZERO),
            conns: Conns::new(),
            line: VecDeque::new(),
            bytes: vec![b'?'; usize::try_from(plan.request).unwrap_or(WRITE).min(WRITE)],
            pending: 0,
            began: Time::ZERO,
            newest: Time::ZERO,
            silent_since: Time::ZERO,
            stopping: None,
            answers,
            connects: Latencies::new(None),
            outcome: Outcome::default(),
            progress: Progress::new(goal, console.interactive() && !quiet),
        }
    }

    /// Runs to the end, and says how it went.
    pub(super) fn go(&mut self, engine: &mut LocalEngine) -> Outcome {
        if let Kind::Stay { .. } = self.plan.kind {
            self.open_all(engine);
            self.wait_for_connections(engine);
        }
        self.began = engine.now();
        self.newest = self.began;
        let end = self.plan.time.map_or(Time::MAX, |time| self.began + Nanos::from(self.plan.warmup + time));
        self.schedule = Schedule::new(self.began, self.plan.rate, self.plan.requests, end);
        let mut next_tick = self.began;
        while !self.is_over(engine.now()) {
            let now = engine.now();
            let received = engine.poll_receive(now);
            let busy = self.events(engine) | self.ask(engine);
            let progress = engine.poll_transmit(received);
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
            }
            engine.rest(progress.is_busy() || busy || self.schedule.is_near(now));
        }
        self.progress.finish();
        let measured = self.began + Nanos::from(self.plan.warmup);
        self.outcome.elapsed = self.newest.since(measured).into();
        self.outcome.unanswered += self.pending;
        if let Err(failure) = self.answers.tick(engine.now().since(self.began).into(), true) {
            self.fail(failure);
        }
        self.leave(engine);
        std::mem::take(&mut self.outcome)
    }

    fn open_all(&mut self, engine: &mut LocalEngine) {
        for _ in 0..self.plan.parallel {
            let now = engine.now();
            if let Err(error) = self.open(engine, now) {
                self.fail(engine_errors::connection(&error, self.plan.peer, self.plan.patience));
                return;
            }
        }
    }

    fn open(&mut self, engine: &mut LocalEngine, due: Time) -> Result<(), Error> {
        let id = engine.connect(self.plan.peer, None, engine.now())?;
        let conn = Conn {
            open: false,
            due: Due { first: Some(due), rest: VecDeque::new() },
            unsent: 0,
            got: 0,
            in_line: false,
            done: false,
        };
        self.conns.insert(id, conn);
        Ok(())
    }

    /// Until every connection came about, or failed.
    fn wait_for_connections(&mut self, engine: &mut LocalEngine) {
        while self.conns.values().any(|conn| !conn.open) && self.signals.asked() == Asked::Nothing {
            let progress = engine.poll(engine.now());
            let busy = self.events(engine);
            engine.rest(progress.is_busy() || busy);
        }
    }

    /// Nothing more is due, and nothing is waited for any longer.
    fn is_over(&self, now: Time) -> bool {
        let waits = match self.plan.kind {
            Kind::Stay { .. } => self.pending > 0,
            Kind::Close(_) => !self.conns.is_empty(),
        };
        let asks = self.schedule.goes_on(now) && self.stopping.is_none();
        let alone = matches!(self.plan.kind, Kind::Stay { .. }) && self.conns.is_empty();
        alone || (!waits && !asks) || self.stopping.is_some_and(|limit| now >= limit)
    }

    /// Asks what is due; true if anything was.
    fn ask(&mut self, engine: &mut LocalEngine) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let mut any = false;
        for _ in 0..ASKS_PER_TURN {
            let asked = match self.plan.kind {
                Kind::Stay { pipeline } => self.ask_again(engine, pipeline),
                Kind::Close(_) => self.ask_anew(engine),
            };
            if !asked {
                break;
            }
            any = true;
        }
        any
    }

    /// Asks over a connection that is there.
    fn ask_again(&mut self, engine: &mut LocalEngine, pipeline: usize) -> bool {
        let Some(&id) = self.line.front() else { return false };
        let Some(conn) = self.conns.get_mut(id) else {
            self.line.pop_front();
            return true;
        };
        let Some(due) = self.schedule.take(engine.now()) else { return false };
        self.line.pop_front();
        conn.due.push(due);
        conn.unsent += self.plan.request;
        conn.in_line = conn.due.len() < pipeline;
        if conn.in_line {
            self.line.push_back(id);
        }
        self.note_pending(engine.now());
        self.send(engine, id);
        true
    }

    fn note_pending(&mut self, now: Time) {
        if self.pending == 0 {
            self.silent_since = now;
        }
        self.pending += 1;
    }

    /// Opens a connection that will ask.
    fn ask_anew(&mut self, engine: &mut LocalEngine) -> bool {
        if self.conns.len() >= self.plan.parallel as usize {
            return false;
        }
        let mut schedule = self.schedule.clone();
        let Some(due) = schedule.take(engine.now()) else { return false };
        match self.open(engine, due) {
            Ok(()) => {
                self.schedule = schedule;
                self.note_pending(engine.now());
                true
            }
            // Ports that are in TIME-WAIT come back: what is due waits, and its time counts.
            Err(Error::Connect(ConnectError::Endpoint(PortsExhausted { .. }))) => {
                self.outcome.port_waits += 1;
                false
            }
            Err(error) => {
                self.fail(engine_errors::connection(&error, self.plan.peer, self.plan.patience));
                self.stopping = Some(engine.now());
                false
            }
        }
    }

    /// Gives the engine what it takes of the requests.
    fn send(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        while conn.unsent > 0 {
            let length = usize::try_from(conn.unsent).unwrap_or(WRITE).min(self.bytes.len());
            // What was refused goes on when there is room, or the connection's end says why not.
            let Ok(took) = engine.send_copy(id, &self.bytes[..length], SendFlags::default()) else { return };
            conn.unsent -= took as u64;
        }
    }

    /// Takes everything the engine has to tell; true if there was anything.
    fn events(&mut self, engine: &mut LocalEngine) -> bool {
        let mut any = false;
        while let Some((id, event)) = engine.poll_event() {
            any = true;
            match event {
                Event::Connected => self.connected(engine, id),
                Event::Writable => self.send(engine, id),
                Event::Readable => self.read(engine, id),
                Event::PeerFinished => {
                    self.read(engine, id);
                    if let Some(conn) = self.conns.get_mut(id) {
                        // A server that closes early: the end says so.
                        engine.shutdown_write(id);
                        conn.in_line = false;
                    }
                }
                Event::Closed(end) => {
                    self.read(engine, id);
                    self.closed(engine, id, end);
                }
                _ => {}
            }
        }
        any
    }

    fn connected(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.outcome.connected += 1;
        conn.open = true;
        match self.plan.kind {
            Kind::Stay { .. } => {
                let opened = conn.due.pop();
                conn.in_line = true;
                self.line.push_back(id);
                if let Some(opened) = opened {
                    self.connects.record(engine.now().since(opened));
                }
            }
            Kind::Close(_) => {
                let due = conn.due.first.unwrap_or(self.began);
                conn.unsent = self.plan.request;
                if self.is_measured(due) {
                    self.connects.record(engine.now().since(due));
                }
                self.send(engine, id);
            }
        }
    }

    fn is_measured(&self, due: Time) -> bool {
        due >= self.began + Nanos::from(self.plan.warmup)
    }

    fn read(&mut self, engine: &mut LocalEngine, id: ConnId) {
        while let Some(payload) = engine.read(id) {
            let Some(conn) = self.conns.get_mut(id) else { return };
            conn.got += payload.len() as u64;
        }
        let now = engine.now();
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return };
            if conn.got < self.plan.response {
                if conn.got > 0 && conn.due.is_empty() {
                    self.too_much(engine, id);
                }
                return;
            }
            let Some(due) = conn.due.pop() else { return self.too_much(engine, id) };
            conn.got -= self.plan.response;
            self.pending -= 1;
            self.newest = now;
            self.silent_since = now;
            if self.is_measured(due) {
                self.outcome.answered += 1;
                self.answers.record(now.since(due));
            }
            self.answered(engine, id);
        }
    }

    /// An answer is complete.
    fn answered(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match self.plan.kind {
            Kind::Stay { .. } => {
                if !conn.in_line {
                    conn.in_line = true;
                    self.line.push_back(id);
                }
            }
            Kind::Close(close) => {
                conn.done = true;
                match close {
                    CloseArg::Us => engine.shutdown_write(id),
                    CloseArg::Peer => {}
                    CloseArg::Reset => engine.abort(id),
                }
            }
        }
    }

    /// The peer sends what nobody asked for.
    fn too_much(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let what = format!(
            "{} answers more than {} bytes to each request of {}",
            self.plan.peer,
            Grouped(self.plan.response),
            Grouped(self.plan.request)
        );
        self.fail(
            Failure::new(Exit::Usage, what).mend("give the length of its answers: --response SIZE").mend(
                format!(
                    "tsonami serve --answer {}:{}      (at the peer)",
                    self.plan.request, self.plan.response
                ),
            ),
        );
        engine.abort(id);
        self.stopping = Some(engine.now());
    }

    fn closed(&mut self, engine: &mut LocalEngine, id: ConnId, end: Result<(), Error>) {
        let Some(conn) = self.conns.remove(id) else { return };
        engine.release(id);
        let lost =
            if conn.open || matches!(self.plan.kind, Kind::Close(_)) { conn.due.len() as u64 } else { 0 };
        self.pending -= lost;
        self.outcome.unanswered += lost;
        if conn.done || (self.stopping.is_some() && lost == 0) {
            return;
        }
        let (name, failure) = match &end {
            Ok(()) => {
                let what = format!("{} closed a connection before it had answered", self.plan.peer);
                ("closed by the peer", Failure::new(Exit::Reset, what))
            }
            Err(error) => (name(error), engine_errors::connection(error, self.plan.peer, self.plan.patience)),
        };
        *self.outcome.failed.entry(name).or_default() += 1;
        self.fail(failure);
    }

    fn tick(&mut self, now: Time) {
        let elapsed: Duration = now.since(self.began).into();
        if let Err(failure) = self.answers.tick(elapsed, false) {
            self.fail(failure);
            self.stop(now, Duration::ZERO);
        }
        if self.pending > 0 && now.since(self.silent_since) >= Nanos::from(self.plan.patience) {
            let what = format!("{} answered nothing for {}", self.plan.peer, Short(self.plan.patience));
            self.fail(
                Failure::new(Exit::TimedOut, what)
                    .mend(format!(
                        "tsonami serve --answer {}:{}      (at the peer)",
                        self.plan.request, self.plan.response
                    ))
                    .mend("give the length of its answers, if they are shorter: --response SIZE"),
            );
            self.stop(now, Duration::ZERO);
        }
        match self.signals.asked() {
            Asked::Nothing if self.schedule.goes_on(now) => {}
            Asked::Nothing => self.stop(now, self.plan.patience),
            Asked::Stop => self.stop(now, STOP_GRACE),
            Asked::Abort => {
                self.stop(now, Duration::ZERO);
                self.stopping = Some(now);
            }
        }
        if self.console.interactive() {
            let position = match self.plan.requests {
                Some(_) => self.outcome.answered,
                None => elapsed.as_millis() as u64,
            };
            let rate = self.outcome.answered as f64 / elapsed.as_secs_f64().max(1e-3);
            let p99 = Short(self.answers.p99());
            self.progress.update(position, format!("{} requests/s, p99 {p99}", Grouped(rate as u64)));
        }
    }

    /// Asks no more, and waits so long for what was asked.
    fn stop(&mut self, now: Time, patience: Duration) {
        if self.stopping.is_none() {
            self.outcome.unasked = self.schedule.stop(now);
            self.stopping = Some(now + Nanos::from(patience));
        }
    }

    /// Ends every connection that is left.
    fn leave(&mut self, engine: &mut LocalEngine) {
        for (id, conn) in self.conns.drain() {
            if conn.due.is_empty() && conn.open {
                engine.shutdown_write(id);
            } else {
                engine.abort(id);
            }
            engine.release(id);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.outcome.failure.get_or_insert(failure);
    }
}

/// What became of a connection, as the summary counts it.
fn name(error: &Error) -> &'static str {
    match error {
        Error::Refused => "refused",
        Error::Reset { .. } => "reset by the peer",
        Error::ConnectTimedOut | Error::TimedOut { .. } | Error::Silent { .. } => "timed out",
        Error::Unreachable { .. } | Error::NoNeighbour { .. } => "unreachable",
        _ => "failed here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_out_in_the_order_they_went_in() {
        let mut due = Due::default();
        let at = |us| Time::from_nanos(us);
        for round in 0..3 {
            assert_eq!((due.pop(), due.is_empty()), (None, true));
            (0..=round).for_each(|n| due.push(at(n)));
            assert_eq!(due.len() as u64, round + 1);
            assert_eq!(due.pop(), Some(at(0)));
            due.push(at(99));
            let rest: Vec<_> = std::iter::from_fn(|| due.pop()).collect();
            assert_eq!(rest, (1..=round).chain([99]).map(at).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_shares_of_a_plan_are_the_plan() {
        let plan = Plan {
            peer: ([10, 0, 0, 1], 1).into(),
            request: 1,
            response: 1,
            parallel: 7,
            kind: Kind::Stay { pipeline: 1 },
            rate: Some(1000),
            requests: Some(2),
            time: None,
            warmup: Duration::ZERO,
            patience: Duration::ZERO,
        };
        let shares: Vec<_> = (0..3).map(|worker| plan.share(worker, 3)).collect();
        assert_eq!(shares.iter().map(|s| s.parallel).collect::<Vec<_>>(), [3, 2, 2]);
        assert_eq!(shares.iter().filter_map(|s| s.rate).collect::<Vec<_>>(), [334, 333, 333]);
        assert_eq!(shares.iter().filter_map(|s| s.requests).collect::<Vec<_>>(), [1, 1, 0]);
    }
}
