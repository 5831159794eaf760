//! The sender of every part of ours: one core's engine, and an application beside it that always has more to send.
//!
//! It is a real loop: whatever connections take is handed over, the engine has a turn, and its events say who takes more.

use std::collections::VecDeque;
use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dpdk::{BufPool, BufPoolConfig, Clock, Eal, Slice};
use engine::nic::dpdk::DpdkNic;
use engine::nic::memory::{MemoryCounters, MemoryNic};
use engine::nic::{Buf, Nic, Shared};
use engine::{ConnId, Counters, Engine, EngineConfig, EngineEvent, Progress, Secrets, SendRefusal};
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Event, Time};

use super::counter::Stages;

/// How long the handshakes of all connections may take together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a sender sends.
pub(crate) enum Source {
    /// Buffers of a pool, over and over, by reference.
    Reference { blocks: Vec<Slice>, next: usize },
    /// Writes of so many bytes out of memory of the application's own, over and over, copied.
    Copy { bytes: Vec<u8>, write: usize, at: usize },
}

impl Source {
    /// `total` bytes in buffers of `write` bytes each.
    pub(crate) fn reference(eal: &Eal, total: usize, write: usize) -> Result<Source> {
        Ok(Source::Reference { blocks: blocks(eal, total, write)?, next: 0 })
    }

    /// `total` bytes in writes of `write` bytes each.
    pub(crate) fn copy(total: usize, write: usize) -> Source {
        let mut bytes = vec![0; (total / write).max(1) * write];
        fill(&mut bytes);
        Source::Copy { bytes, write, at: 0 }
    }

    /// One send of the application. `Ok(false)`: the connection takes no more for now.
    #[inline]
    pub(crate) fn send<N: Nic<Buf = Buf>>(&mut self, engine: &mut Engine<N>, conn: ConnId) -> Result<bool> {
        let refusal = match self {
            Source::Reference { blocks, next } => {
                let block = Buf::Pool(blocks[*next].clone());
                match engine.send(conn, block, SendFlags::default()) {
                    Ok(_) => {
                        *next = if *next + 1 == blocks.len() { 0 } else { *next + 1 };
                        return Ok(true);
                    }
                    Err(error) => error.reason,
                }
            }
            Source::Copy { bytes, write, at } => {
                // What was taken in part goes on where it stopped.
                let end = (*at / *write + 1) * *write;
                match engine.send_copy(conn, &bytes[*at..end], SendFlags::default()) {
                    Ok(taken) => {
                        *at = if *at + taken == bytes.len() { 0 } else { *at + taken };
                        return Ok(true);
                    }
                    Err(error) => error.reason,
                }
            }
        };
        match refusal {
            SendRefusal::Full | SendRefusal::NoBuffers => Ok(false),
            reason => Err(Error::other(reason)),
        }
    }
}

/// `total` bytes in buffers of `size` bytes each.
pub(crate) fn blocks(eal: &Eal, total: usize, size: usize) -> Result<Vec<Slice>> {
    let count = (total / size).max(1);
    let config = BufPoolConfig {
        name: "source",
        count: u32::try_from(count).map_err(Error::other)?,
        size: u32::try_from(size).map_err(Error::other)?,
        socket: None,
    };
    let pool = BufPool::new(eal, &config).map_err(Error::other)?;
    let blocks = (0..count).map_while(|_| {
        let mut buffer = pool.try_alloc()?;
        fill(buffer.spare_mut());
        Some(buffer.freeze(size))
    });
    Ok(blocks.collect())
}

/// Bytes that are not all the same: pages of their own, and not the kernel's page of zeros.
pub(crate) fn fill(bytes: &mut [u8]) {
    bytes.iter_mut().zip(0_u32..).for_each(|(byte, i)| *byte = (i.wrapping_mul(2_654_435_761) >> 24) as u8);
}

/// None: the other end is ours, and runs are to be alike.
pub(crate) fn secrets() -> Secrets {
    Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] }
}

/// A NIC that may do another's work on our core.
pub(crate) trait Wire: Nic<Buf = Buf> {
    /// What it counted, of which the other end's cycles are part; nothing where the other end is elsewhere.
    fn pretended(&self) -> MemoryCounters {
        MemoryCounters::default()
    }
}

impl Wire for DpdkNic {}

impl Wire for MemoryNic {
    fn pretended(&self) -> MemoryCounters {
        self.counters()
    }
}

impl<N: Wire> Wire for Shared<N> {
    fn pretended(&self) -> MemoryCounters {
        self.inner().pretended()
    }
}

/// A look at what was counted so far.
pub(crate) struct Look {
    at: Time,
    acked: u64,
    counters: Counters,
    pretended: MemoryCounters,
}

impl Look {
    /// At `engine`, and at what was acknowledged of these connections.
    pub(crate) fn new<N: Wire>(at: Time, engine: &Engine<N>, conns: &[ConnId]) -> Look {
        let acked = conns.iter().filter_map(|conn| engine.marks(*conn)).map(|marks| marks.acked.0).sum();
        Look { at, acked, counters: engine.counters().clone(), pretended: engine.nic().pretended() }
    }
}

/// What a sender did between two looks.
pub(crate) struct Run {
    /// Seconds it took.
    pub(crate) elapsed: f64,
    /// Payload bytes acknowledged.
    pub(crate) acked: u64,
    /// Busy cycles, the pretended peer's included.
    pub(crate) stages: Stages,
    before: Look,
    after: Look,
}

impl Run {
    pub(crate) fn new(before: Look, after: Look) -> Run {
        Run {
            elapsed: after.at.since(before.at).as_secs_f64(),
            acked: after.acked - before.acked,
            stages: Stages::between(&before.counters, &after.counters),
            before,
            after,
        }
    }

    /// How much a counter of the engine's grew.
    pub(crate) fn count(&self, read: fn(&Counters) -> u64) -> f64 {
        read(&self.after.counters).wrapping_sub(read(&self.before.counters)) as f64
    }

    /// How much a counter of the pretended NIC's grew.
    pub(crate) fn pretended(&self, read: fn(&MemoryCounters) -> u64) -> f64 {
        read(&self.after.pretended).wrapping_sub(read(&self.before.pretended)) as f64
    }

    /// Refuses a run in which something went wrong that would make its figures worthless.
    pub(crate) fn check(&self) -> Result<()> {
        let lost = self.after.pretended.answers_lost;
        if lost > 0 {
            return Err(Error::other(format!(
                "{lost} answers were lost: the receive ring was full (a longer one: --rx-ring)"
            )));
        }
        let dropped = self.after.counters.dropped();
        if dropped > 0 {
            return Err(Error::other(format!(
                "the engine dropped {dropped} frames that it should have understood"
            )));
        }
        if self.acked == 0 {
            return Err(Error::other("nothing was acknowledged"));
        }
        Ok(())
    }
}

/// An engine with connections that always have something to send.
pub(crate) struct Sender<N: Wire> {
    pub(crate) engine: Engine<N>,
    clock: Clock,
    /// What the clock shows is that much ahead of the engine's time.
    paused: u64,
    conns: Vec<ConnId>,
    /// Connections that take more.
    ready: VecDeque<ConnId>,
    source: Source,
    /// Sends of a connection in one turn, at most.
    sends_per_turn: usize,
}

impl<N: Wire> Sender<N> {
    /// Connects to `peer`, once for each of `options`, and waits until all are established.
    pub(crate) fn new(
        nic: N,
        clock: Clock,
        address: Ipv4Addr,
        peer: SocketAddr,
        options: &[ConnConfig],
        source: Source,
    ) -> Result<Sender<N>> {
        let mut config = EngineConfig::new(address, 24, secrets());
        config.max_connections = config.max_connections.max(options.len() as u32);
        let mut engine = Engine::new(nic, config).map_err(Error::other)?;
        let now = Time::from_nanos(clock.now());
        let conns = options.iter().map(|options| engine.connect(now, peer, options).map_err(Error::other));
        let conns = conns.collect::<Result<Vec<_>>>()?;
        let (ready, sends_per_turn) = (VecDeque::with_capacity(conns.len()), usize::MAX);
        let mut sender = Sender { engine, clock, paused: 0, conns, ready, source, sends_per_turn };
        let deadline = Instant::now() + PATIENCE;
        while sender.ready.len() < sender.conns.len() {
            let missing = sender.conns.len() - sender.ready.len();
            if Instant::now() > deadline {
                return Err(Error::other(format!(
                    "{missing} connections were not established within {PATIENCE:?}"
                )));
            }
            sender.poll()?;
        }
        Ok(sender)
    }

    /// At most so many sends of a connection between two turns of the loop.
    pub(crate) fn sends_per_turn(mut self, sends: usize) -> Sender<N> {
        self.sends_per_turn = sends;
        self
    }

    /// The engine's time: the clock's, without pauses.
    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(self.clock.now() - self.paused)
    }

    /// For the engine, no time passes meanwhile.
    pub(crate) fn pause(&mut self, meanwhile: impl FnOnce()) {
        let before = self.clock.now();
        meanwhile();
        self.paused += self.clock.now() - before;
    }

    /// Hands over what connections take.
    #[inline]
    pub(crate) fn send(&mut self) -> Result<()> {
        for _ in 0..self.ready.len() {
            let Some(conn) = self.ready.pop_front() else { break };
            let mut left = self.sends_per_turn;
            while left > 0 && self.source.send(&mut self.engine, conn)? {
                left -= 1;
            }
            if left == 0 {
                self.ready.push_back(conn);
            }
        }
        Ok(())
    }

    /// One turn of the loop, and what it has to tell.
    #[inline]
    pub(crate) fn poll(&mut self) -> Result<Progress> {
        let now = self.now();
        let progress = self.engine.poll(now);
        while let Some((conn, event)) = self.engine.poll_event() {
            match event {
                EngineEvent::Conn(Event::Connected | Event::Writable) => self.ready.push_back(conn),
                EngineEvent::Conn(Event::Closed(_) | Event::PeerFinished) | EngineEvent::Stuck { .. } => {
                    return Err(Error::other(format!("a connection ended: {event:?}")));
                }
                _ => {}
            }
        }
        Ok(progress)
    }

    /// Sends for so long.
    pub(crate) fn go_on(&mut self, time: Duration) -> Result<()> {
        let end = self.now() + tcp::Nanos::from_nanos(time.as_nanos() as u64);
        while self.now() < end {
            self.send()?;
            self.poll()?;
        }
        Ok(())
    }

    /// Sends for so long, after another while to get into its stride.
    pub(crate) fn measure(&mut self, warm_up: Duration, time: Duration) -> Result<Run> {
        self.go_on(warm_up)?;
        let before = self.look();
        self.go_on(time)?;
        Ok(Run::new(before, self.look()))
    }

    /// Cycles of the counter in a second.
    pub(crate) fn hz(&self) -> f64 {
        self.clock.hz() as f64
    }

    /// What was counted so far.
    pub(crate) fn look(&self) -> Look {
        Look::new(self.now(), &self.engine, &self.conns)
    }
}
