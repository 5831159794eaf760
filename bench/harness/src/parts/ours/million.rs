//! P7: many established connections of which few send, and what opening one, keeping one and a burst cost.

use std::fs;
use std::io::{Error, Result as IoResult};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use clap::Args;
use dpdk::{Clock, Eal};
use engine::nic::memory::MemoryNic;
use engine::{ConnId, Engine, EngineConfig, EngineEvent};
use tcp::conn::ConnConfig;
use tcp::{Event, Nanos, Time};

use super::bulk::{Own, in_memory};
use super::counter::PairCost;
use super::memory::{Acks, MemoryArgs, clock, ends};
use super::sender::{Look, Run, Source, secrets};
use super::template::MSS;
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Payload bytes of a burst: 64 KiB as far as an IP packet holds whole segments.
const BURST: usize = 45 * MSS as usize;

/// Bytes that are sent over and over.
const SOURCE: usize = 8 << 20;

/// The first of our addresses, beside the peer's in the network for benchmarks (RFC 2544).
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
const PREFIX: u8 = 15;

/// Connections from one address to the one peer: few enough of its ports that the first one tried is mostly free.
const OF_AN_ADDRESS: u32 = 16_384;

/// Bursts of each sender before anything counts: by then its window holds a whole one.
const WARM_UP: usize = 20;

/// How long opening may take, and warming up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Fewer connections weigh less than the pages that anything takes.
const WEIGHABLE: u32 = 1000;

/// Many established connections of which few send, over the in-memory NIC
#[derive(Args, Debug)]
pub(crate) struct MillionArgs {
    /// Connections that are established
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    connections: u32,
    /// Those of them that send, spread over all
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    active: u32,
    /// Connections that are given a burst between two turns of the loop
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    at_once: u32,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// Turns of the loop in which nothing happens until everything has.
const IDLE_TURNS: u32 = 4096;

/// Opens them, lets them come to rest, and has some send.
pub(crate) fn run(setting: &Setting, args: &MillionArgs) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let eal = args.memory.eal(1, SOURCE)?;
    let mut many = Many::new(&eal, args)?;
    let empty = resident()?;
    let opening = many.open(args)?;
    many.rest()?;
    let grown = resident()?.saturating_sub(empty);
    let idle = many.engine.counters().connections_folded;

    let time = Duration::from_secs_f64(setting.time);
    many.warm_up(time / 5)?;
    let before = many.look();
    let end = many.now() + Nanos::from_nanos(time.as_nanos() as u64);
    while many.now() < end {
        many.turn()?;
    }
    let run = Run::new(before, many.look());
    run.check()?;

    let own = Own::of(&run, PairCost::measure());
    let hz = many.clock.hz() as f64;
    let bursts = run.count(|c| c.tx_bursts);
    let line = Line::new(Medium::Memory)
        .bulk(run.acked, run.elapsed, own.cycles / hz)
        .figure("burst", run.count(|c| c.tx_payload_bytes) / bursts, Unit::Bytes)
        .figure("bursts_per_turn", bursts / run.count(|c| c.iterations_busy), Unit::Count)
        .figure("retransmitted", run.count(|c| c.tx_retransmitted_bytes), Unit::Bytes)
        .figure("opened", f64::from(args.connections) / opening, Unit::PerSecond)
        .figure("connections", f64::from(args.connections), Unit::Count)
        .figure("active", many.senders.len() as f64, Unit::Count)
        .figure("folded_at_rest", idle as f64, Unit::Count)
        .figure("folded", run.count(|c| c.connections_folded), Unit::Count)
        .figure("unfolded", run.count(|c| c.connections_unfolded), Unit::Count);
    let line = if args.connections < WEIGHABLE {
        line
    } else {
        line.figure("bytes_per_connection", grown as f64 / f64::from(args.connections), Unit::Bytes).note(
            "Bytes per connection are what the process's resident memory (RSS) grew by until all were established and \
             nothing was left to be done, by their number.",
        )
    };
    Ok(in_memory(own.stages(line, &run, bursts)))
}

/// An engine, its connections, and those of them that send in turn.
struct Many {
    engine: Engine<MemoryNic>,
    clock: Clock,
    established: u32,
    senders: Vec<ConnId>,
    /// The sender whose turn it is.
    next: usize,
    at_once: u32,
    source: Source,
}

impl Many {
    fn new(eal: &Eal, args: &MillionArgs) -> IoResult<Many> {
        let mut config = EngineConfig::new(FIRST, PREFIX, secrets());
        let addresses = args.connections.div_ceil(OF_AN_ADDRESS);
        config.last_address = Some(Ipv4Addr::from(u32::from(FIRST) + addresses - 1));
        config.max_connections = config.max_connections.max(args.connections);
        let engine = Engine::new(args.memory.nic(eal, Acks::Burst)?, config).map_err(Error::other)?;
        Ok(Many {
            engine,
            clock: clock(eal),
            established: 0,
            senders: Vec::new(),
            next: 0,
            at_once: args.at_once,
            source: Source::reference(eal, SOURCE, BURST)?,
        })
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.clock.now())
    }

    /// One turn of the loop, and what it tells; whether there is more to do at once.
    #[inline]
    fn poll(&mut self) -> IoResult<bool> {
        let now = self.now();
        let more = self.engine.poll(now).more;
        while let Some((_, event)) = self.engine.poll_event() {
            match event {
                EngineEvent::Conn(Event::Connected) => self.established += 1,
                EngineEvent::Conn(Event::Closed(_) | Event::PeerFinished) | EngineEvent::Stuck { .. } => {
                    return Err(Error::other(format!("a connection ended: {event:?}")));
                }
                _ => {}
            }
        }
        Ok(more)
    }

    /// Opens all; how many seconds that took.
    fn open(&mut self, args: &MillionArgs) -> IoResult<f64> {
        let (_, peer) = ends();
        let options = ConnConfig::default();
        let (began, mut asked) = (Instant::now(), 0);
        // No more answers are on their way than the receive ring has room for.
        let at_a_time = args.memory.rx_ring / 2;
        let apart = args.connections / args.active.min(args.connections);
        while self.established < args.connections {
            while asked < args.connections && asked - self.established < at_a_time {
                let now = self.now();
                let id = self.engine.connect(now, peer, &options).map_err(Error::other)?;
                if asked % apart == 0 && self.senders.len() < args.active as usize {
                    self.senders.push(id);
                }
                asked += 1;
            }
            self.poll()?;
            if began.elapsed() > PATIENCE {
                let (open, all) = (self.established, args.connections);
                return Err(Error::other(format!(
                    "{open} of {all} connections were established within {PATIENCE:?}"
                )));
            }
        }
        Ok(began.elapsed().as_secs_f64())
    }

    /// Turns the loop until it has nothing more to do, and has folded whom it folds: no turn is made for that, so each that changes
    /// something is followed by as many as the hand takes to go round.
    fn rest(&mut self) -> IoResult<()> {
        let (mut idle, mut folded) = (0, 0);
        while idle < IDLE_TURNS {
            let more = self.poll()?;
            let now = self.engine.counters().connections_folded;
            idle = if more || now != folded { 0 } else { idle + 1 };
            folded = now;
        }
        Ok(())
    }

    /// A burst for each of the next senders, and one turn of the loop.
    #[inline]
    fn turn(&mut self) -> IoResult<()> {
        for _ in 0..self.at_once {
            // Whoever takes no more, alone or among few, has its turn again after the loop's.
            if !self.source.send(&mut self.engine, self.senders[self.next])? {
                break;
            }
            self.next = if self.next + 1 == self.senders.len() { 0 } else { self.next + 1 };
        }
        self.poll()?;
        Ok(())
    }

    /// Sends until windows have grown, and for so long at least.
    fn warm_up(&mut self, time: Duration) -> IoResult<()> {
        let (began, goal) = (Instant::now(), (WARM_UP * self.senders.len() * BURST) as u64);
        let sent = self.engine.counters().tx_payload_bytes;
        while began.elapsed() < time || self.engine.counters().tx_payload_bytes - sent < goal {
            self.turn()?;
            if began.elapsed() > PATIENCE {
                return Err(Error::other(format!("{WARM_UP} bursts of each took longer than {PATIENCE:?}")));
            }
        }
        Ok(())
    }

    fn look(&self) -> Look {
        Look::new(self.now(), &self.engine, &self.senders)
    }
}

/// Bytes of memory that the process holds.
fn resident() -> IoResult<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| Error::other(format!("/proc/self/statm says '{}'", statm.trim())))?;
    Ok(pages * rustix::param::page_size() as u64)
}
