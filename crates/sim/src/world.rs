//! Hosts, the path between them, and the clock that moves from one thing that happens to the next.

use core::fmt;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use engine::nic::{Checked, PcapWriter};
use engine::{ConnId, Engine, EngineConfig, EngineEvent, Secrets};
use tcp::conn::ConnStats;
use tcp::endpoint::ListenerId;
use tcp::{Nanos, Time};

use crate::app::{Session, Stream};
use crate::link::{Link, LinkCounts, transmission_time};
use crate::nic::SimNic;
use crate::observer::Observer;
use crate::peer::Peer;
use crate::rng::Rng;
use crate::scenario::{HostPlan, Scenario};
use crate::trace::{Recorder, Trace};

/// The NIC of a simulated host: every frame is checked.
pub type Port = Checked<SimNic>;

/// Virtual time after which whatever still goes on is taken to hang.
const PATIENCE: Nanos = Nanos::from_secs(4 * 3_600);
/// Turns a host may take at one moment without coming to rest.
const TURNS: u32 = 20_000;
/// Moments a run may have beside those of [`LOOK`]: far more than any needs, unless something polls without end.
const MOMENTS: u64 = 500_000;
/// How often a loop looks for buffers that its device has not let go of, at last: a device may keep them while nothing is sent,
/// and then as many moments pass as the run is long.
const LOOK: Nanos = Nanos::from_millis(10);

/// What a run came to.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outcome {
    /// Payload bytes that applications read.
    pub bytes: u64,
    /// TCP segments that left a NIC.
    pub segments: u64,
    /// Frames handed to a NIC and checked.
    pub frames: u64,
    /// Virtual time it took.
    pub time: Nanos,
    /// Times that memory for sending became short on a host, and that it was no more.
    pub pressure: (u64, u64),
    /// Sends that had to wait for memory.
    pub memory_waits: u64,
}

/// What one connection came to, in the direction from the side that opened it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowResult {
    /// When it was opened.
    pub opened: Time,
    /// Payload bytes that the application at the other end has read.
    pub received: u64,
    /// When that had everything.
    pub complete: Option<Time>,
    /// What the sender counted, as long as it had the connection.
    pub stats: ConnStats,
}

/// A run that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {:?}: {}", self.seed, self.at, self.what)
    }
}

impl std::error::Error for Failure {}

struct Host {
    engine: Engine<Port>,
    plan: HostPlan,
    sessions: Vec<Session>,
    by_id: HashMap<ConnId, usize>,
    listeners: HashMap<ListenerId, usize>,
    path: Link,
    peer: Peer,
    /// Frames between the NIC and the path, and when the path has them whole.
    wire: VecDeque<(Time, Vec<u8>)>,
    /// The NIC is putting a frame onto the wire until then.
    wire_busy: Time,
    /// The loop's turn takes until then.
    loop_busy: Time,
    /// The last turn did something, so that another is due at once.
    again: bool,
    /// When the engine wants its next turn, by the world's clock, as it said when it was last used.
    deadline: Option<Time>,
    capture: Option<PcapWriter<BufWriter<File>>>,
    rng: Rng,
}

/// The whole simulation.
pub struct World {
    scenario: Scenario,
    now: Time,
    hosts: Vec<Host>,
    /// `None` when nobody watches: it keeps every byte of every stream.
    observer: Option<Observer>,
    recorder: Option<Recorder>,
    opened: Vec<bool>,
    results: Vec<FlowResult>,
}

impl World {
    /// Builds what `scenario` says.
    ///
    /// # Panics
    /// When two of its connections are for the same port of a host.
    pub fn new(scenario: Scenario) -> World {
        let mut rng = Rng::new(scenario.seed ^ 0x0077_6f72_6c64);
        let mut hosts: Vec<Host> = (0..2).map(|i| host(&scenario, i, &mut rng)).collect();
        for (index, conn) in scenario.conns.iter().enumerate() {
            let server = 1 - conn.client;
            let local = SocketAddr::V4(SocketAddrV4::new(address(server), conn.port));
            let cfg = hosts[server].plan.conn.clone();
            match hosts[server].engine.listen(local, 16, cfg) {
                Ok(listener) => hosts[server].listeners.insert(listener, index),
                Err(error) => panic!("cannot listen on {local}: {error}"),
            };
        }
        let mtu = usize::from(scenario.hosts[0].nic.limits.mtu);
        World {
            opened: vec![false; scenario.conns.len()],
            results: vec![FlowResult::default(); scenario.conns.len()],
            scenario,
            now: Time::ZERO,
            hosts,
            observer: Some(Observer::new(mtu)),
            recorder: None,
        }
    }

    /// Without the observer of the wire, who keeps every byte of every stream: for long runs that measure.
    #[must_use]
    pub fn unobserved(mut self) -> World {
        self.observer = None;
        self
    }

    /// Writes down from now on what [`World::take_trace`] gives. It takes time and memory.
    pub fn record(&mut self) {
        self.recorder = Some(Recorder::new(self.opened.len()));
    }

    /// What was written down since [`World::record`].
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.recorder.take().map(Recorder::into_trace)
    }

    /// What the connections have come to, in the order of the scenario.
    pub fn results(&self) -> &[FlowResult] {
        &self.results
    }

    /// What each host's path did to frames.
    pub fn paths(&self) -> impl Iterator<Item = &LinkCounts> {
        self.hosts.iter().map(|host| host.path.counts())
    }

    /// Writes what passes a host's NIC to `path`, as tcpdump would on that host behind a NIC without offloads. The file
    /// is whole after [`World::run`] or [`World::end`].
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn capture_at(&mut self, host: usize, path: &Path) -> io::Result<()> {
        self.hosts[host].capture = Some(PcapWriter::new(BufWriter::new(File::create(path)?))?);
        Ok(())
    }

    /// Runs on to the moment `until`, in the midst of whatever happens then.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn run_until(&mut self, until: Time) -> Result<(), Failure> {
        self.advance(until, u64::MAX).map_err(|what| self.failure(format!("{what}\n{}", self.describe())))?;
        self.now = self.now.max(until);
        Ok(())
    }

    /// Completes the captures of a run that is not run to its end.
    ///
    /// # Errors
    /// When one could not be written.
    pub fn end(&mut self) -> Result<(), Failure> {
        for host in &mut self.hosts {
            if let Some(capture) = host.capture.take()
                && let Err(error) = capture.finish()
            {
                return Err(self.failure(format!("the capture could not be written: {error}")));
            }
        }
        Ok(())
    }

    /// Writes what passes each host's NIC to `prefix-0.pcap` and `prefix-1.pcap`, as tcpdump would on that host
    /// behind a NIC without offloads.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn capture(&mut self, prefix: &Path) -> io::Result<()> {
        (0..self.hosts.len()).try_for_each(|i| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(format!("-{i}.pcap"));
            self.capture_at(i, Path::new(&name))
        })
    }

    /// Runs to the end: every application done, every connection gone, every buffer home.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn run(&mut self) -> Result<Outcome, Failure> {
        let result = self.advance(Time::MAX, MOMENTS).and_then(|()| self.finish());
        self.end()?;
        result.map_err(|what| self.failure(format!("{what}\n{}", self.describe())))
    }

    fn failure(&self, what: String) -> Failure {
        Failure { seed: self.scenario.seed, at: self.now, what }
    }

    /// Goes from one thing that happens to the next, until nothing will happen, or not before `until`.
    fn advance(&mut self, until: Time, most: u64) -> Result<(), String> {
        let (mut turns, mut moments) = (0, 0_u64);
        loop {
            self.deliver();
            self.open()?;
            for host in 0..self.hosts.len() {
                self.turn(host).map_err(|what| format!("host {host}: {what}"))?;
            }
            self.transmit()?;
            let Some(next) = self.next().filter(|&next| next <= until) else { return Ok(()) };
            if next.since(Time::ZERO) > PATIENCE {
                return Err("still not over".into());
            }
            moments += 1;
            let looks = self.hosts.len() as u64 * (next.since(Time::ZERO).as_nanos() / LOOK.as_nanos());
            if moments > most.saturating_add(looks) {
                return Err("busy for ever".into());
            }
            turns = if next > self.now { 0 } else { turns + 1 };
            if turns > TURNS {
                return Err(format!("spins: {TURNS} turns of the loop at one moment"));
            }
            self.now = next.max(self.now);
        }
    }

    /// Frames whose time has come reach the path, and those that have come through it their NIC.
    fn deliver(&mut self) {
        for from in 0..self.hosts.len() {
            let host = &mut self.hosts[from];
            host.wire.extend(host.peer.expired(self.now).into_iter().map(|frame| (self.now, frame)));
            while let Some((at, frame)) = host.wire.pop_front_if(|(at, _)| *at <= self.now) {
                host.path.offer(at, frame);
            }
            while let Some(delivery) = self.hosts[from].path.take(self.now) {
                if let Some(observer) = &mut self.observer {
                    observer.reaches(&delivery.frame);
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.reaches(self.now, &delivery.frame);
                }
                let host = &mut self.hosts[if delivery.back { from } else { 1 - from }];
                if let Some(capture) = &mut host.capture {
                    capture.write(self.now.as_nanos(), &[&delivery.frame]);
                }
                host.peer.arrives(&delivery.frame);
                host.engine.nic_mut().inner_mut().deliver(delivery.frame);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.queue(from, self.now, self.hosts[from].path.backlog());
            }
        }
    }

    fn open(&mut self) -> Result<(), String> {
        for index in 0..self.opened.len() {
            let conn = &self.scenario.conns[index];
            if self.opened[index] || conn.start > self.now {
                continue;
            }
            self.opened[index] = true;
            let remote = SocketAddr::V4(SocketAddrV4::new(address(1 - conn.client), conn.port));
            let host = &mut self.hosts[conn.client];
            let cfg = conn.settings.clone().unwrap_or_else(|| host.plan.conn.clone());
            self.results[index].opened = self.now;
            match host.engine.connect(self.now + host.plan.clock, remote, &cfg) {
                Ok(id) => {
                    let path = host.add(&self.scenario, index, id, false, self.now);
                    host.deadline = host.engine.next_deadline().map(|at| at - host.plan.clock);
                    if let (Some(recorder), Some(path)) = (&mut self.recorder, path) {
                        recorder.opened(index, path);
                    }
                }
                Err(error) => return Err(format!("cannot connect to {remote}: {error}")),
            }
        }
        Ok(())
    }

    /// One turn of a host's loop, unless the last one still takes.
    fn turn(&mut self, index: usize) -> Result<(), String> {
        let host = &mut self.hosts[index];
        if host.loop_busy > self.now {
            return Ok(());
        }
        let now = self.now + host.plan.clock;
        host.engine.nic_mut().inner_mut().advance(self.now);
        let progress = host.engine.poll(now);
        let mut busy = progress.is_busy() || progress.more;
        busy |= host.events(&self.scenario, self.now)?;
        for session in &mut host.sessions {
            if session.is_done() {
                continue;
            }
            let Some(stats) = host.engine.stats(session.id) else {
                return Err(format!("{:?}: no statistics of a live connection", session.id));
            };
            busy |= session
                .step(&mut host.engine, &stats, self.now)
                .map_err(|what| format!("{:?}: {what}", session.id))?;
            let records = session.take_records();
            if let (Some((src, dst)), Some(observer)) = (session.path, &mut self.observer) {
                records.into_iter().for_each(|at| observer.record_ends(src, dst, at));
            }
            let result = &mut self.results[session.index];
            if !session.was_accepted() {
                result.stats = stats;
                if let Some(recorder) = &mut self.recorder {
                    recorder.stats(session.index, self.now, &stats);
                }
            } else {
                result.received = session.received();
                if result.complete.is_none() && session.has_received_all() {
                    result.complete = Some(self.now);
                }
            }
        }
        host.again = busy;
        host.deadline = host.engine.next_deadline().map(|at| at - host.plan.clock);
        host.loop_busy = self.now + host.plan.loop_time;
        host.checks()
    }

    /// NICs put frames onto the wire, one after the other at their rate.
    fn transmit(&mut self) -> Result<(), String> {
        for (i, host) in self.hosts.iter_mut().enumerate() {
            while host.wire_busy <= self.now {
                let nic = host.engine.nic_mut().inner_mut();
                nic.advance(self.now);
                let Some(frame) = nic.next_wire_frame() else { break };
                host.wire_busy = self.now + transmission_time(frame.len(), host.plan.nic_rate);
                if let Some(capture) = &mut host.capture {
                    capture.write(self.now.as_nanos(), &[&frame]);
                }
                if let Some(observer) = &mut self.observer {
                    observer.leaves(&frame).map_err(|what| format!("host {i}: {what}"))?;
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.leaves(self.now, &frame);
                }
                let at = host.wire_busy;
                host.wire.extend(host.peer.leaves(self.now, frame).into_iter().map(|frame| (at, frame)));
            }
        }
        Ok(())
    }

    /// When something happens next; `None` when nothing ever will.
    fn next(&mut self) -> Option<Time> {
        let now = self.now;
        let opening = self.scenario.conns.iter().zip(&self.opened).filter(|(_, opened)| !**opened);
        let mut next = opening.map(|(conn, _)| conn.start).min();
        for host in &mut self.hosts {
            let wire = host.wire.front().map(|(at, _)| *at);
            next = earliest([next, host.path.next(), wire, host.peer.next(), host.next(now)]);
        }
        next
    }

    /// Nothing will happen any more: was everything done, and is everything home?
    fn finish(&mut self) -> Result<Outcome, String> {
        let done = self.hosts.iter().all(|h| h.sessions.iter().all(Session::is_done));
        let sessions: usize = self.hosts.iter().map(|h| h.sessions.len()).sum();
        if !done {
            return Err("hangs: nothing will ever happen again".into());
        }
        // A connection that was reset before the handshake was over never reached the other side.
        let resets = (0..self.opened.len()).filter(|index| self.scenario.may_reset(*index)).count();
        if sessions + resets < 2 * self.opened.len() {
            return Err(format!(
                "{sessions} sides of {} connections\n{}",
                self.opened.len(),
                self.describe()
            ));
        }
        for session in self.hosts.iter().flat_map(|h| &h.sessions) {
            if let (Some((src, dst)), Some(end), Some(observer)) =
                (session.path, session.push_at_end(), &self.observer)
            {
                observer.ended(src, dst, end)?;
            }
        }
        let mut outcome =
            Outcome { segments: self.observer.as_ref().map_or(0, Observer::segments), ..Outcome::default() };
        outcome.time = self.now.since(Time::ZERO);
        for (i, host) in self.hosts.drain(..).enumerate() {
            outcome.bytes += host.sessions.iter().map(Session::received).sum::<u64>();
            drop(host.sessions);
            let c = host.engine.counters();
            outcome.pressure.0 += c.memory_pressure_entered;
            outcome.pressure.1 += c.memory_pressure_left;
            outcome.memory_waits += c.memory_waits;
            let open = host.engine.connections();
            if open != 0 {
                return Err(format!("host {i}: {open} connections are left"));
            }
            let (mut nic, report) = host.engine.into_nic().into_parts();
            outcome.frames += report.frames;
            nic.close();
            if nic.live_buffers() != 0 {
                return Err(format!("host {i}: {} buffers were not returned", nic.live_buffers()));
            }
        }
        Ok(outcome)
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (i, host) in self.hosts.iter().enumerate() {
            let nic = host.engine.nic().inner();
            text += &format!(
                "host {i}: deadline {:?}, NIC holds {}, {:?}, path {:?}\n",
                host.engine.next_deadline().map(|t| t - host.plan.clock),
                nic.held_frames(),
                nic.counts(),
                host.path.counts()
            );
            let counters =
                host.engine.counters().iter().filter(|(name, n, _)| *n > 0 && !name.starts_with("cycles"));
            let counters: Vec<String> = counters.map(|(name, n, _)| format!("{name} {n}")).collect();
            text += &format!("  {}\n", counters.join(", "));
            for session in &host.sessions {
                text += &format!("  {}\n", session.describe(&host.engine));
            }
        }
        text
    }
}

impl Host {
    /// A side of a connection begins; its addresses.
    fn add(
        &mut self,
        scenario: &Scenario,
        index: usize,
        id: ConnId,
        accepted: bool,
        now: Time,
    ) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let plans = &scenario.conns[index].plans;
        let [mine, peer] = if accepted { [&plans[1], &plans[0]] } else { [&plans[0], &plans[1]] };
        let streams = [Stream(4 * index as u64), Stream(4 * index as u64 + 3)];
        let [mut writes, mut reads] = if accepted { [streams[1], streams[0]] } else { streams };
        // Who answers writes what it reads.
        if mine.answers {
            writes = reads;
        } else if peer.answers {
            reads = writes;
        }
        let expect = if peer.answers { mine.total } else { peer.total };
        let resets = scenario.may_reset(index);
        let pool = self.engine.nic().inner().pool().clone();
        let rng = self.rng.fork();
        self.engine.keep_reclaimed(id, mine.keeps);
        self.by_id.insert(id, self.sessions.len());
        self.sessions.push(Session::new(
            id,
            mine.clone(),
            writes,
            reads,
            expect,
            resets,
            accepted,
            pool,
            rng,
            now,
        ));
        let session = self.sessions.last_mut()?;
        session.index = index;
        let tuple = self.engine.tuple(id)?;
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (tuple.local, tuple.remote) else {
            return None;
        };
        session.path = Some((local, remote));
        session.path
    }

    fn events(&mut self, scenario: &Scenario, now: Time) -> Result<bool, String> {
        let mut busy = false;
        while let Some((id, event)) = self.engine.poll_event() {
            busy = true;
            match (event, self.by_id.get(&id)) {
                (EngineEvent::Accepted(listener), None) => {
                    let Some(&index) = self.listeners.get(&listener) else {
                        return Err(format!("{id:?} was accepted by an unknown listener"));
                    };
                    self.add(scenario, index, id, true, now);
                }
                (event, Some(&session)) => {
                    self.sessions[session].on_event(event, now).map_err(|what| format!("{id:?}: {what}"))?
                }
                (event, None) => return Err(format!("{event:?} for {id:?}, which is unknown")),
            }
        }
        Ok(busy)
    }

    /// What must hold after every turn.
    fn checks(&self) -> Result<(), String> {
        if let Some((frame, violation)) = self.engine.nic().report().first.first() {
            return Err(format!("frame {frame} handed to the NIC: {violation} ({violation:?})"));
        }
        // Invariant 9: what is queued has a timer, a turn of the loop, or the wire to wait for.
        let waits = self.again || self.deadline.is_some() || self.engine.nic().inner().has_wire_frame();
        match self.sessions.iter().find(|s| !waits && s.has_queued(&self.engine)) {
            Some(session) => {
                Err(format!("queued bytes wait for nothing\n{}", session.describe(&self.engine)))
            }
            None => Ok(()),
        }
    }

    fn next(&mut self, now: Time) -> Option<Time> {
        let apps = self.sessions.iter().filter_map(|s| s.wake(now)).min();
        let (deadline, loop_busy) = (self.deadline, self.loop_busy);
        let nic = self.engine.nic_mut().inner_mut();
        let release = nic.advance(now);
        let wire = nic.has_wire_frame().then_some(self.wire_busy);
        let received = (self.again || nic.has_received()).then_some(now);
        // What needs the loop happens at its next turn; the wire and the device go on without it.
        let turn = earliest([deadline, apps, received]).map(|at| at.max(loop_busy));
        earliest([turn, wire, release])
    }
}

fn host(scenario: &Scenario, index: usize, rng: &mut Rng) -> Host {
    let plan = scenario.hosts[index].clone();
    let mut key = || {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&rng.next().to_le_bytes());
        key[8..].copy_from_slice(&rng.next().to_le_bytes());
        key
    };
    let secrets = Secrets { isn: key(), ports: key(), flows: key() };
    let mut cfg = EngineConfig::new(address(index), 24, secrets);
    // Of every other seed connections at rest are folded at once: that may change nothing, so no draw is spent on it.
    if scenario.seed % 2 == 1 {
        cfg.working_set = 0;
    }
    // As with connections, nobody gives up: ARP goes on until it gets through.
    cfg.neighbours.attempts = u8::MAX;
    cfg.stuck_timeout = Nanos::from_secs(3_600);
    cfg.queued_bytes = plan.queued_bytes;
    let nic = Checked::new(SimNic::new(plan.nic.clone(), rng.fork()));
    let engine = match Engine::new(nic, cfg) {
        Ok(engine) => engine,
        Err(error) => panic!("seed {}: the scenario's engine is refused: {error}", scenario.seed),
    };
    Host {
        engine,
        sessions: Vec::new(),
        by_id: HashMap::new(),
        listeners: HashMap::new(),
        path: Link::new(scenario.paths[index].clone(), rng.fork()),
        peer: Peer::new(plan.peer, rng.fork()),
        wire: VecDeque::new(),
        wire_busy: Time::ZERO,
        loop_busy: Time::ZERO,
        again: false,
        deadline: None,
        capture: None,
        rng: rng.fork(),
        plan,
    }
}

/// The earliest of some times that may never come.
pub(crate) fn earliest<const N: usize>(times: [Option<Time>; N]) -> Option<Time> {
    let mut earliest = None;
    for time in times {
        if time.is_some_and(|time| earliest.is_none_or(|earliest| time < earliest)) {
            earliest = time;
        }
    }
    earliest
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 1 + host as u8)
}

/// Runs the scenario of one seed.
///
/// # Errors
/// What went wrong in it.
pub fn run_seed(seed: u64) -> Result<Outcome, Failure> {
    World::new(Scenario::from_seed(seed)).run()
}
