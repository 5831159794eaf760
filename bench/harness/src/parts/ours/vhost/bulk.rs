//! Our engine over the wire, to our own receiver.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use tcp::conn::ConnConfig;

use super::{PORT, Receiver, SINK, open};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;
use crate::parts::ours::sender::{Sender, Source};

/// Our engine, sending in bulk over a vhost-user wire to another that receives
#[derive(Args, Debug)]
pub(crate) struct BulkArgs {
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// Copy what is sent, instead of referring to it
    #[arg(long)]
    copy: bool,
    /// Bytes of one send
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    size: u32,
    /// MiB that are sent over and over
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    source: u32,
    /// Normal pages instead of hugepages
    #[arg(long)]
    no_huge: bool,
}

pub(crate) fn run(setting: &Setting, args: &BulkArgs) -> Result<Line, Failure> {
    let receiver = Receiver::start(setting, true, args.no_huge)?;
    let (eal, nic) = open(receiver.device(), args.no_huge)?;
    pin(setting.sender_cpu)?;
    let clock = nic.clock();
    let (total, size) = ((args.source as usize) << 20, args.size as usize);
    let source = if args.copy { Source::copy(total, size) } else { Source::reference(&eal, total, size)? };
    let (address, peer) = (Ipv4Addr::new(198, 18, 0, 2), SocketAddr::from((SINK, PORT)));
    let options = vec![ConnConfig::default(); args.connections as usize];
    let mut sender = Sender::new(nic, clock, address, peer, &options, source)?;
    let time = Duration::from_secs_f64(setting.time);
    let run = sender.measure(time / 5, time)?;
    run.check()?;

    let hz = sender.hz();
    let (bursts, busy) = (run.count(|c| c.tx_bursts), run.stages.total());
    let command = receiver.command.clone();
    let sink = receiver.finish()?;
    let mut line = Line::new(Medium::VhostUser).bulk(run.acked, run.elapsed, busy / hz);
    for (name, cycles) in run.stages.each() {
        line = line.stage(name, cycles / bursts);
    }
    Ok(line
        .figure("cycles", busy / bursts, Unit::CyclesPerBurst)
        .figure("busy", busy / hz / run.elapsed * 100.0, Unit::Percent)
        .figure("burst", run.count(|c| c.tx_payload_bytes) / bursts, Unit::Bytes)
        .figure("bursts_per_turn", bursts / run.count(|c| c.iterations_busy), Unit::Count)
        .figure("acks_per_burst", run.count(|c| c.rx_segments) / bursts, Unit::Count)
        .figure("retransmitted", run.count(|c| c.tx_retransmitted_bytes), Unit::Bytes)
        .figure("source", f64::from(args.source) * 1048576.0, Unit::Bytes)
        .figure("receiver_busy", sink.figures["busy"].value, Unit::Percent)
        .command(command)
        .note("Both ends ours. The receiver copies each frame into a buffer of its own, and lets go of it."))
}
