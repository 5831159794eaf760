//! P1 and P2: what a sender can do in bulk, for each core that it keeps busy.

use std::time::Duration;

use clap::Args;
use engine::nic::memory::MemoryNic;
use tcp::conn::ConnConfig;

use super::counter::PairCost;
use super::memory::{Acks, MemoryArgs, clock, ends};
use super::sender::{Run, Sender, Source};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Our engine, sending in bulk over the in-memory NIC
#[derive(Args, Debug)]
pub(crate) struct BulkArgs {
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connections: u32,
    /// How often the pretended receiver acknowledges
    #[arg(long, value_enum, default_value_t = Acks::Burst)]
    acks: Acks,
    /// Copy what is sent, instead of referring to it
    #[arg(long)]
    copy: bool,
    /// Bytes of one send
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    size: u32,
    /// MiB that are sent over and over; more than the cache holds, for a copy that reads memory
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    source: u32,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// What a run over the in-memory NIC costs the sender alone.
pub(crate) struct Own {
    /// Busy cycles without the pretended peer's.
    pub(crate) cycles: f64,
    /// The peer's, and what measuring them cost.
    peer: f64,
    measuring: f64,
    cost: PairCost,
}

impl Own {
    /// The pretended peer works within what the engine counts as sending. Its cycles are measured and taken away, and so is
    /// what of the two readings of the counter is not among them.
    pub(crate) fn of(run: &Run, cost: PairCost) -> Own {
        let peer = run.pretended(|c| c.peer_cycles);
        let measuring = run.pretended(|c| c.peer_spans) * cost.outside();
        Own { cycles: run.stages.total() - peer - measuring, peer, measuring, cost }
    }

    /// What was taken away.
    pub(crate) fn taken(&self) -> f64 {
        self.peer + self.measuring
    }

    /// Adds cycles per `count` things: each stage, and what was taken away.
    pub(crate) fn stages(&self, mut line: Line, run: &Run, count: f64) -> Line {
        for (name, cycles) in run.stages.each() {
            let taken = if name == "tx" { self.taken() } else { 0.0 };
            line = line.stage(name, (cycles - taken) / count);
        }
        line.figure("cycles", self.cycles / count, Unit::CyclesPerBurst)
            .figure("cycles_of_peer", self.peer / count, Unit::CyclesPerBurst)
            .figure("cycles_of_measuring", self.measuring / count, Unit::CyclesPerBurst)
            .figure("counter_pair", self.cost.whole, Unit::Cycles)
            .figure("counter_pair_inside", self.cost.inside, Unit::Cycles)
    }
}

/// What all lines of parts over the in-memory NIC say.
pub(crate) fn in_memory(line: Line) -> Line {
    line.note(format!("{}.", MemoryNic::CAVEAT)).note(
        "The pretended peer's cycles are measured and taken out of 'tx', with what of reading the cycle counter around them \
         they do not contain; 'goodput' and rates per second of time have them still.",
    )
}

pub(crate) fn run(setting: &Setting, args: &BulkArgs) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let (source, size) = ((args.source as usize) << 20, args.size as usize);
    let eal = args.memory.eal(1, if args.copy { 0 } else { source })?;
    let nic = args.memory.nic(&eal, args.acks)?;
    let source = if args.copy { Source::copy(source, size) } else { Source::reference(&eal, source, size)? };
    let (address, peer) = ends();
    let options = vec![ConnConfig::default(); args.connections as usize];
    let mut sender = Sender::new(nic, clock(&eal), address, peer, &options, source)?;
    let time = Duration::from_secs_f64(setting.time);
    let run = sender.measure(time / 5, time)?;
    run.check()?;
    Ok(line(args, &run, sender.hz()))
}

fn line(args: &BulkArgs, run: &Run, hz: f64) -> Line {
    let own = Own::of(run, PairCost::measure());
    let (bursts, turns) = (run.count(|c| c.tx_bursts), run.count(|c| c.iterations_busy));
    let per_core = |cycles: f64| run.acked as f64 * 8.0 * hz / cycles / 1e9;
    let line = Line::new(Medium::Memory)
        .bulk(run.acked, run.elapsed, own.cycles / hz)
        // With what is taken away left in, one after the other.
        .figure("per_busy_core_with_measuring", per_core(own.cycles + own.measuring), Unit::GbitPerBusyCore)
        .figure("per_busy_core_with_peer", per_core(run.stages.total()), Unit::GbitPerBusyCore)
        .figure("cycles_per_64_kib", own.cycles * 65_536.0 / run.acked as f64, Unit::Cycles)
        .figure("time_per_burst", own.cycles / hz * 1e9 / bursts, Unit::Nanoseconds)
        .figure("burst", run.count(|c| c.tx_payload_bytes) / bursts, Unit::Bytes)
        .figure("bursts_per_turn", bursts / turns, Unit::Count)
        .figure("acks_per_burst", run.pretended(|c| c.answers) / bursts, Unit::Count)
        .figure("retransmitted", run.count(|c| c.tx_retransmitted_bytes), Unit::Bytes)
        .figure("turns_in_vain", run.count(|c| c.iterations_idle) / turns * 100.0, Unit::Percent)
        .figure("source", f64::from(args.source) * 1048576.0, Unit::Bytes)
        .figure("ring", f64::from(args.memory.ring), Unit::Count);
    let line = if args.copy {
        line.figure("ring_memory", args.memory.ring_bytes() as f64, Unit::Bytes)
    } else {
        line
    };
    in_memory(own.stages(line, run, bursts))
}
