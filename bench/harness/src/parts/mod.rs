//! What takes turns: each part runs one contestant, by itself or by starting programs, and returns its line of figures.
//!
//! A part owns what it makes. It starts programs by [`live::place`] or in its own process group, so that they are gone with
//! it whatever ends it, and keeps files in the folder for temporary ones, which the runner removes.

mod cli;
mod iperf3;
pub(crate) mod kernel;
mod memcpy;
mod ours;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::line::Line;

/// What all parts are told.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Seconds that are measured
    #[arg(long, default_value_t = 5.0)]
    pub(crate) time: f64,
    /// The CPU that sends, or asks
    #[arg(long, default_value_t = 1)]
    pub(crate) sender_cpu: usize,
    /// The CPU that receives, or answers
    #[arg(long, default_value_t = 0)]
    pub(crate) receiver_cpu: usize,
}

/// Runs one contestant, and prints its figures as a line of JSON
#[derive(Parser, Debug)]
pub(crate) struct PartArgs {
    #[command(flatten)]
    pub(crate) setting: Setting,
    #[command(subcommand)]
    pub(crate) part: Part,
}

/// The parts.
#[derive(Subcommand, Debug)]
pub(crate) enum Part {
    /// The kernel's sockets, sending over a veth pair
    KernelBulk(kernel::bulk::BulkArgs),
    /// The kernel's sockets, a byte there and a byte back over a veth pair
    KernelRr(kernel::rr::RrArgs),
    /// The kernel's sockets: connect, a byte there, a byte back, close, over a veth pair
    KernelCrr(kernel::crr::CrrArgs),
    /// iperf3 over a veth pair
    Iperf3(iperf3::Iperf3Args),
    /// Copies in memory
    Memcpy(memcpy::MemcpyArgs),
    /// Our engine, sending in bulk over the in-memory NIC
    MemoryBulk(ours::BulkArgs),
    /// Our engine, sending small messages over the in-memory NIC
    MemorySmall(ours::SmallArgs),
    /// Frames without TCP, or copies alone, in memory
    MemoryBlast(ours::BlastArgs),
    /// Many established connections of ours of which few send, over the in-memory NIC
    Million(ours::MillionArgs),
    /// The turns of our loop under load, over the in-memory NIC
    LoopLatency(ours::LatencyArgs),
    /// Several of our engines, over in-memory NICs
    Workers(ours::WorkersArgs),
    /// Our engine, sending in bulk over a vhost-user wire
    VhostBulk(ours::VhostBulkArgs),
    /// Frames without TCP, over a vhost-user wire
    VhostBlast(ours::VhostBlastArgs),
    /// Our program at both ends of a vhost-user wire, a byte there and a byte back
    CliRr(cli::RrArgs),
    /// Our program at both ends of memif: connect, ask, be answered, close
    CliCrr(cli::CrrArgs),
    /// Our program at both ends of memif, in bulk and in frames of 1500 bytes
    CliSend(cli::SendArgs),
    /// The receiving end of a vhost-user wire; the other end's part starts it
    #[command(hide = true)]
    VhostSink(ours::VhostSinkArgs),
}

/// Runs one.
pub(crate) fn run(args: &PartArgs) -> Result<Line, Failure> {
    let setting = &args.setting;
    if !(setting.time > 0.0 && setting.time.is_finite()) {
        return Err(Failure::new(format!("{} seconds cannot be measured", setting.time)).mend("--time 5"));
    }
    match &args.part {
        Part::KernelBulk(args) => kernel::bulk::run(setting, args),
        Part::KernelRr(args) => kernel::rr::run(setting, args),
        Part::KernelCrr(args) => kernel::crr::run(setting, args),
        Part::Iperf3(args) => iperf3::run(setting, args),
        Part::Memcpy(args) => memcpy::run(setting, args),
        Part::MemoryBulk(args) => ours::bulk(setting, args),
        Part::MemorySmall(args) => ours::small(setting, args),
        Part::MemoryBlast(args) => ours::blast(setting, args),
        Part::Million(args) => ours::million(setting, args),
        Part::LoopLatency(args) => ours::latency(setting, args),
        Part::Workers(args) => ours::workers(setting, args),
        Part::VhostBulk(args) => ours::vhost_bulk(setting, args),
        Part::VhostBlast(args) => ours::vhost_blast(setting, args),
        Part::CliRr(args) => cli::rr(setting, args),
        Part::CliCrr(args) => cli::crr(setting, args),
        Part::CliSend(args) => cli::send(setting, args),
        Part::VhostSink(args) => ours::vhost_sink(setting, args),
    }
}
