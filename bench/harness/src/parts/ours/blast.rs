//! What no sender over DPDK can pass: the same frames without TCP, their payload by reference or copied first, and the copy
//! alone.

use std::hint::black_box;

use clap::{Args, ValueEnum};
use dpdk::{BufPool, BufPoolConfig, cycles};
use engine::nic::{Buf, HeaderBuf, Nic, TailBuf};

use super::counter::PairCost;
use super::memory::{Acks, MemoryArgs, clock};
use super::sender::{Wire, fill};
use super::template::{MSS, Template};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Who takes the frames.
#[derive(ValueEnum, Copy, Clone, PartialEq, Eq, Debug)]
enum To {
    /// The in-memory NIC, which holds them for a ring's depth
    Memory,
    /// Nobody: the payload is copied and that is all
    Nobody,
}

/// Frames without TCP, in memory
#[derive(Args, Debug)]
pub(crate) struct BlastArgs {
    /// Who takes the frames
    #[arg(long, value_enum, default_value_t = To::Memory)]
    to: To,
    /// Copy the payload into a buffer for each burst, instead of referring to the same one
    #[arg(long)]
    copy: bool,
    /// Payload bytes of a burst
    #[arg(long, default_value_t = 45 * MSS, value_parser = clap::value_parser!(u16).range(1..=65_160))]
    size: u16,
    /// Bursts offered at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,
    /// MiB that are copied over and over
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    source: u32,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// What was spent on how much.
#[derive(Default)]
struct Spent {
    bursts: u64,
    cycles: u64,
}

pub(crate) fn run(setting: &Setting, args: &BlastArgs) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let eal = args.memory.eal(1, 0)?;
    let clock = clock(&eal);
    let mut payload = Payload::new(args);
    let time = |share: f64| (setting.time * share * clock.hz() as f64) as u64;
    let mut peer = 0.0;
    let spent = match args.to {
        To::Memory => {
            let mut nic = args.memory.nic(&eal, Acks::Burst)?;
            let cost = PairCost::measure();
            let mut template = Template::new(&nic, [2, 0, 0, 0, 0, 2], args.size).unanswered();
            blast(&mut nic, &mut template, args, &mut payload, time(0.2))?;
            let before = nic.pretended();
            let spent = blast(&mut nic, &mut template, args, &mut payload, time(1.0))?;
            let after = nic.pretended();
            peer = (after.peer_cycles - before.peer_cycles) as f64
                + (after.peer_spans - before.peer_spans) as f64 * cost.outside();
            spent
        }
        To::Nobody => {
            // As many buffers as frames would keep.
            let count = u32::from(args.memory.ring);
            let config = BufPoolConfig { name: "targets", count, size: 65_536, socket: None };
            let pool = BufPool::new(&eal, &config).map_err(Failure::new)?;
            let mut targets: Vec<_> = (0..count).map_while(|_| pool.try_alloc()).collect();
            let mut copies = |time: u64| {
                let (began, mut bursts) = (cycles(), 0);
                while cycles().wrapping_sub(began) < time {
                    for target in &mut targets {
                        payload.copy_next(target.spare_mut());
                        black_box(&target);
                        bursts += 1;
                    }
                }
                Spent { bursts, cycles: cycles().wrapping_sub(began) }
            };
            copies(time(0.2));
            copies(time(1.0))
        }
    };
    let hz = clock.hz() as f64;
    let (elapsed, own) = (spent.cycles as f64 / hz, spent.cycles as f64 - peer);
    let line = Line::new(Medium::Memory)
        .bulk(spent.bursts * u64::from(args.size), elapsed, own / hz)
        .figure("cycles", own / spent.bursts as f64, Unit::CyclesPerBurst)
        .figure("cycles_of_peer", peer / spent.bursts as f64, Unit::CyclesPerBurst)
        .figure("burst", f64::from(args.size), Unit::Bytes)
        .figure("source", f64::from(args.source) * 1048576.0, Unit::Bytes)
        .figure("ring_memory", args.memory.ring_bytes() as f64, Unit::Bytes);
    Ok(line.note(match args.to {
        To::Memory => "No TCP; in memory: no device, no receiver.",
        To::Nobody => "Copies alone: no TCP, no frames.",
    }))
}

/// What is sent: a buffer that stays as it is, or copies of memory that is larger than the cache.
struct Payload {
    bytes: Vec<u8>,
    at: usize,
    burst: usize,
}

impl Payload {
    fn new(args: &BlastArgs) -> Payload {
        let burst = usize::from(args.size);
        let mut bytes = vec![0; ((args.source as usize) << 20).max(burst)];
        fill(&mut bytes);
        Payload { bytes, at: 0, burst }
    }

    /// Copies the next burst to the front of `to`.
    #[inline]
    fn copy_next(&mut self, to: &mut [u8]) {
        if self.at + self.burst > self.bytes.len() {
            self.at = 0;
        }
        to[..self.burst].copy_from_slice(&self.bytes[self.at..self.at + self.burst]);
        self.at += self.burst;
    }

    /// The next burst in a buffer of the NIC's.
    #[inline]
    fn copied<N: Nic<Buf = Buf>>(&mut self, nic: &mut N) -> Result<Buf, Failure> {
        let tail = nic.alloc_tail().and_then(|mut tail| (tail.spare().len() >= self.burst).then_some(tail));
        let mut tail = tail.ok_or_else(|| Failure::new("no buffer is free to copy to"))?;
        self.copy_next(tail.spare());
        Ok(tail.freeze(self.burst))
    }
}

/// Stages and offers bursts for so many cycles.
fn blast<N: Nic<Buf = Buf, Header = HeaderBuf>>(
    nic: &mut N,
    template: &mut Template,
    args: &BlastArgs,
    payload: &mut Payload,
    time: u64,
) -> Result<Spent, Failure> {
    let same = payload.copied(nic)?;
    let (began, mut bursts) = (cycles(), 0);
    while cycles().wrapping_sub(began) < time {
        for _ in 0..args.batch {
            let staged = if args.copy {
                let copied = payload.copied(nic)?;
                template.stage(nic, &copied)
            } else {
                template.stage(nic, &same)
            };
            if !staged {
                return Err(Failure::new("no buffer is free for a frame"));
            }
        }
        let sent = nic.tx_burst().sent;
        if sent != usize::from(args.batch) {
            return Err(Failure::new(format!("{sent} frames of {} were taken", args.batch)));
        }
        bursts += u64::from(args.batch);
    }
    Ok(Spent { bursts, cycles: cycles().wrapping_sub(began) })
}
