//! P4: small messages.

use std::time::Duration;

use clap::Args;
use tcp::conn::ConnConfig;

use super::bulk::{Own, in_memory};
use super::counter::PairCost;
use super::memory::{Acks, MemoryArgs, clock, ends};
use super::sender::{Sender, Source};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Our engine, sending small messages by copy over the in-memory NIC
#[derive(Args, Debug)]
pub(crate) struct SmallArgs {
    /// Bytes of a message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    size: u32,
    /// Send at once what Nagle's algorithm would hold back
    #[arg(long)]
    no_delay: bool,
    /// Messages between two turns of the loop; 1: each is offered to the NIC before the next is sent
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connections: u32,
    /// How often the pretended receiver acknowledges
    #[arg(long, value_enum, default_value_t = Acks::Burst)]
    acks: Acks,
    #[command(flatten)]
    memory: MemoryArgs,
}

pub(crate) fn run(setting: &Setting, args: &SmallArgs) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let eal = args.memory.eal(1, 0)?;
    let nic = args.memory.nic(&eal, args.acks)?;
    let (address, peer) = ends();
    let config = ConnConfig { no_delay: args.no_delay, ..ConnConfig::default() };
    let options = vec![config; args.connections as usize];
    let source = Source::copy(1 << 20, args.size as usize);
    let sender = Sender::new(nic, clock(&eal), address, peer, &options, source)?;
    let mut sender = sender.sends_per_turn(args.batch as usize);
    let time = Duration::from_secs_f64(setting.time);
    let run = sender.measure(time / 5, time)?;
    run.check()?;

    let hz = sender.hz();
    let own = Own::of(&run, PairCost::measure());
    let (sends, frames) = (run.acked as f64 / f64::from(args.size), run.count(|c| c.tx_bursts));
    let line = Line::new(Medium::Memory)
        .figure("sends_per_busy_core", sends * hz / own.cycles, Unit::PerSecondPerBusyCore)
        .figure("sends", sends / run.elapsed, Unit::PerSecond)
        .figure("time_per_send", own.cycles / hz * 1e9 / sends, Unit::Nanoseconds)
        .figure("cycles_per_send", own.cycles / sends, Unit::Cycles)
        .figure("sends_per_frame", sends / frames, Unit::Count)
        .figure("acks_per_frame", run.pretended(|c| c.answers) / frames, Unit::Count)
        .figure("retransmitted", run.count(|c| c.tx_retransmitted_bytes), Unit::Bytes);
    Ok(in_memory(own.stages(line, &run, frames)))
}
