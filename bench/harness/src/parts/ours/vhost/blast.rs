//! What the wire takes: the frames that our engine sends, without TCP.

use clap::Args;
use dpdk::cycles;
use engine::nic::dpdk::DpdkNic;
use engine::nic::{Buf, Nic as _};

use super::{Receiver, open};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;
use crate::parts::ours::memory::clock;
use crate::parts::ours::sender::blocks;
use crate::parts::ours::template::{MSS, Template};

/// Frames without TCP, over a vhost-user wire to a process that lets go of them
#[derive(Args, Debug)]
pub(crate) struct BlastArgs {
    /// Payload bytes of a burst
    #[arg(long, default_value_t = 45 * MSS, value_parser = clap::value_parser!(u16).range(1..=65_160))]
    size: u16,
    /// Bursts offered at once, at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,
    /// MiB that are sent over and over
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    source: u32,
    /// Normal pages instead of hugepages
    #[arg(long)]
    no_huge: bool,
}

#[derive(Default)]
struct Spent {
    bursts: u64,
    cycles: u64,
    busy: u64,
}

pub(crate) fn run(setting: &Setting, args: &BlastArgs) -> Result<Line, Failure> {
    let receiver = Receiver::start(setting, false, args.no_huge)?;
    let (eal, mut nic) = open(receiver.device(), args.no_huge)?;
    pin(setting.sender_cpu)?;
    let clock = clock(&eal);
    let hz = clock.hz() as f64;
    let mut template = Template::new(&nic, [2, 0, 0, 0, 0, 2], args.size);
    let blocks = blocks(&eal, (args.source as usize) << 20, args.size.into())?;
    let mut source = blocks.iter().map(|block| Buf::Pool(block.clone())).cycle();
    let warm_up = blast(&mut nic, &mut template, args, &mut source, (setting.time / 5.0 * hz) as u64);
    let spent = blast(&mut nic, &mut template, args, &mut source, (setting.time * hz) as u64);

    // All that the device took has arrived once the ring is empty, and nothing on the way gets lost.
    let command = receiver.command.clone();
    let sink = receiver.finish()?;
    let (sent, arrived) = (warm_up.bursts + spent.bursts, sink.figures["frames"].value);
    if arrived < sent as f64 {
        return Err(Failure::new(format!("{sent} frames were sent and {arrived} arrived")));
    }
    Ok(Line::new(Medium::VhostUser)
        .bulk(spent.bursts * u64::from(args.size), spent.cycles as f64 / hz, spent.busy as f64 / hz)
        .figure("cycles", spent.busy as f64 / spent.bursts as f64, Unit::CyclesPerBurst)
        .figure("busy", spent.busy as f64 / spent.cycles as f64 * 100.0, Unit::Percent)
        .figure("burst", f64::from(args.size), Unit::Bytes)
        .figure("source", f64::from(args.source) * 1048576.0, Unit::Bytes)
        .figure("receiver_busy", sink.figures["busy"].value, Unit::Percent)
        .command(command)
        .note("No TCP. The receiving end copies each frame into a buffer of its own, as it does with TCP."))
}

/// Offers bursts for so many cycles. Busy are those in which the device took something.
fn blast(
    nic: &mut DpdkNic,
    template: &mut Template,
    args: &BlastArgs,
    source: &mut impl Iterator<Item = Buf>,
    time: u64,
) -> Spent {
    let mut spent = Spent::default();
    let began = cycles();
    let mut before = began;
    while before.wrapping_sub(began) < time {
        let mut staged = 0;
        while staged < args.batch && source.next().is_some_and(|block| template.stage(nic, &block)) {
            staged += 1;
        }
        let sent = nic.tx_burst().sent as u64;
        // Header buffers come back once the device is done.
        nic.tx_completed();
        let after = cycles();
        spent.busy += if sent > 0 { after.wrapping_sub(before) } else { 0 };
        spent.bursts += sent;
        before = after;
    }
    spent.cycles = before.wrapping_sub(began);
    spent
}
