//! P8: several queues, each with an engine of its own, on cores of their own or all on one.
//!
//! Whose a connection is, is computed as on a port that workers share; each has a queue of an in-memory NIC, whose peer answers
//! where it was spoken to.

use std::io::{Error, Result as IoResult};
use std::sync::Barrier;
use std::time::Duration;

use clap::Args;
use dpdk::{Eal, cycles};
use engine::nic::memory::MemoryNic;
use engine::nic::rss::Steering;
use engine::nic::{Buf, Seat, Shared};
use tcp::conn::ConnConfig;

use super::bulk::{Own, in_memory};
use super::counter::PairCost;
use super::memory::{Acks, MemoryArgs, clock, ends};
use super::sender::{Run, Sender, Source};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Several of our engines, each with a queue of its own, over in-memory NICs
#[derive(Args, Debug)]
pub(crate) struct WorkersArgs {
    /// Queues, and an engine for each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    queues: u16,
    /// All on the sender's CPU, in turns, instead of one on each CPU from 0 on
    #[arg(long)]
    one_core: bool,
    /// Connections of each
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// How often the pretended receiver acknowledges
    #[arg(long, value_enum, default_value_t = Acks::Burst)]
    acks: Acks,
    #[command(flatten)]
    memory: MemoryArgs,
}

const SIZE: usize = 65_536;
/// Bytes that each sends over and over.
const SOURCE: usize = 8 << 20;

type Worker = Sender<Shared<MemoryNic>>;

pub(crate) fn run(setting: &Setting, args: &WorkersArgs) -> Result<Line, Failure> {
    let eal = args.memory.eal(args.queues.into(), SOURCE * usize::from(args.queues))?;
    let time = Duration::from_secs_f64(setting.time);
    let seats = Seat::for_all(Steering::new(None, args.queues, args.queues));
    if args.one_core {
        on_one_core(setting, args, &eal, seats, time)
    } else {
        on_many(args, &eal, seats, time)
    }
}

fn worker(args: &WorkersArgs, eal: &Eal, seat: Seat<Buf>) -> IoResult<Worker> {
    let nic = Shared::new(args.memory.nic(eal, args.acks)?, seat);
    let source = Source::reference(eal, SOURCE, SIZE)?;
    let options = vec![ConnConfig::default(); args.connections as usize];
    let (address, peer) = ends();
    Sender::new(nic, clock(eal), address, peer, &options, source)
}

/// Segments that arrived at the wrong worker: none, as each speaks from ports whose answers are computed to be its own.
fn not_astray(worker: &Worker) -> IoResult<()> {
    match worker.engine.nic().counters().rx_misdirected {
        0 => Ok(()),
        astray => Err(Error::other(format!("{astray} frames arrived at another worker"))),
    }
}

fn on_many(args: &WorkersArgs, eal: &Eal, seats: Vec<Seat<Buf>>, time: Duration) -> Result<Line, Failure> {
    let together = Barrier::new(seats.len());
    let runs: Vec<IoResult<(Run, f64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(seats)
            .map(|(cpu, seat)| {
                let together = &together;
                scope.spawn(move || {
                    let prepared = pin(cpu).and_then(|()| {
                        let registered =
                            eal.register_thread().map_err(|errno| Error::other(errno.to_string()))?;
                        Ok((worker(args, eal, seat)?, registered))
                    });
                    // All come here, whatever happened.
                    together.wait();
                    let (mut worker, _registered) = prepared?;
                    let run = worker.measure(time / 5, time)?;
                    run.check()?;
                    not_astray(&worker)?;
                    Ok((run, worker.hz()))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err(Error::other("a worker panicked"))))
            .collect()
    });
    let cost = PairCost::measure();
    let (mut acked, mut busy, mut bursts, mut rates, mut elapsed) = (0, 0.0, 0.0, Vec::new(), 0.0_f64);
    for run in runs {
        let (run, hz) = run?;
        let own = Own::of(&run, cost);
        acked += run.acked;
        busy += own.cycles / hz;
        bursts += run.count(|c| c.tx_bursts);
        rates.push(run.acked as f64 * 8.0 / (own.cycles / hz) / 1e9);
        elapsed = elapsed.max(run.elapsed);
    }
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    let line = Line::new(Medium::Memory)
        .bulk(acked, elapsed, busy)
        .figure("least_per_busy_core", least, Unit::GbitPerBusyCore)
        .figure("most_per_busy_core", most, Unit::GbitPerBusyCore)
        .figure("bursts", bursts, Unit::Count)
        .figure("queues", f64::from(args.queues), Unit::Count)
        .note("A queue, a thread and a CPU for each engine.");
    Ok(in_memory(line))
}

fn on_one_core(
    setting: &Setting,
    args: &WorkersArgs,
    eal: &Eal,
    seats: Vec<Seat<Buf>>,
    time: Duration,
) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let mut workers = seats.into_iter().map(|seat| worker(args, eal, seat)).collect::<IoResult<Vec<_>>>()?;
    let hz = clock(eal).hz() as f64;
    let length = time.as_secs_f64() * hz;
    in_turns(&mut workers, (length / 5.0) as u64)?;
    let before: Vec<_> = workers.iter().map(Sender::look).collect();
    let spent = in_turns(&mut workers, length as u64)? as f64;
    let runs: Vec<Run> =
        before.into_iter().zip(&workers).map(|(look, worker)| Run::new(look, worker.look())).collect();
    runs.iter().try_for_each(Run::check)?;
    workers.iter().try_for_each(not_astray)?;

    let cost = PairCost::measure();
    let peer: f64 = runs.iter().map(|run| Own::of(run, cost).taken()).sum();
    let (acked, bursts) = (
        runs.iter().map(|run| run.acked).sum(),
        runs.iter().map(|run| run.count(|c| c.tx_bursts)).sum::<f64>(),
    );
    let own = spent - peer;
    let line = Line::new(Medium::Memory)
        .bulk(acked, spent / hz, own / hz)
        .figure("cycles", own / bursts, Unit::CyclesPerBurst)
        .figure("cycles_of_peer", peer / bursts, Unit::CyclesPerBurst)
        .figure("queues", f64::from(args.queues), Unit::Count)
        .note("All engines in turns on one core, which is busy all the time.");
    Ok(in_memory(line))
}

/// Turns of each, one after the other, for so many cycles or a little more; returns how many.
fn in_turns(workers: &mut [Worker], length: u64) -> IoResult<u64> {
    let began = cycles();
    loop {
        for worker in &mut *workers {
            worker.send()?;
            worker.poll()?;
        }
        let spent = cycles().wrapping_sub(began);
        if spent >= length {
            return Ok(spent);
        }
    }
}
