//! P10: how long a turn of the loop takes under full load, and how much of that was the machine's doing.
//!
//! On any machine but a quiet one, the longest turns are those in which something else had the core: an interrupt, another
//! thread, the hypervisor. Three things tell them apart. Slices of the loop and slices of a loop that only waits take turns, the
//! waiting ones in turns as long as the engine's median: what their histogram shows, the machine did. Slices in which the kernel
//! took the core away (`ru_nivcsw` grew) are left out of the figures called quiet. And for the engine no time passes while the
//! other loop has its slice, so that it does not have to catch up.

use std::time::Duration;

use clap::Args;
use dpdk::cycles;
use engine::nic::memory::MemoryNic;
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use tcp::Rate;
use tcp::conn::ConnConfig;

use super::memory::{Acks, MemoryArgs, clock, ends};
use super::sender::{Sender, Source};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Length of a slice: some tens of turns, and shorter than what the kernel gives a thread at a time, so that there are quiet ones
/// on a busy machine too.
const SLICE: Duration = Duration::from_millis(1);

/// How many times as long as asked for it goes on at most, while no slice was quiet.
const PATIENCE: u64 = 10;

/// The turns of our loop under load, over the in-memory NIC
#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    /// Connections that send as fast as they can
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    bulk: u32,
    /// Connections that send at a rate, by timers
    #[arg(long, default_value_t = 64)]
    paced: u32,
    /// Bits per second of each of these
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(8_000..))]
    rate: u64,
    /// How often the pretended receiver acknowledges
    #[arg(long, value_enum, default_value_t = Acks::TwoSegments)]
    acks: Acks,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// Turns of a loop, in cycles: all, and those of slices in which nobody else had the core.
struct Turns {
    all: Histogram<u64>,
    quiet: Histogram<u64>,
    slices: u64,
    quiet_slices: u64,
}

impl Turns {
    fn new() -> Turns {
        Turns { all: histogram(), quiet: histogram(), slices: 0, quiet_slices: 0 }
    }

    /// Adds the turns of a slice, and empties `slice`.
    fn add(&mut self, slice: &mut Histogram<u64>, disturbed: bool) {
        self.slices += 1;
        // The same bounds, so they fit.
        let fits = self.all.add(&*slice).is_ok();
        debug_assert!(fits);
        if !disturbed {
            self.quiet_slices += 1;
            let fits = self.quiet.add(&*slice).is_ok();
            debug_assert!(fits);
        }
        slice.reset();
    }
}

/// Of cycles, up to minutes.
fn histogram() -> Histogram<u64> {
    // Bounds that are constants and right.
    Histogram::new_with_bounds(1, 1 << 40, 3).unwrap_or_else(|_| unreachable!())
}

/// Times that another thread took the core from this one.
fn preemptions() -> Result<i64, Failure> {
    Ok(getrusage(UsageWho::RUSAGE_THREAD).map_err(Failure::new)?.involuntary_context_switches())
}

pub(crate) fn run(setting: &Setting, args: &LatencyArgs) -> Result<Line, Failure> {
    pin(setting.sender_cpu)?;
    let size = 65_536;
    let eal = args.memory.eal(1, 16 << 20)?;
    let nic = args.memory.nic(&eal, args.acks)?;
    let source = Source::reference(&eal, 16 << 20, size)?;
    let mut options = vec![ConnConfig::default(); args.bulk as usize];
    let paced = ConnConfig { max_pacing_rate: Some(Rate::from_bps(args.rate)), ..ConnConfig::default() };
    options.extend(vec![paced; args.paced as usize]);
    let (address, peer) = ends();
    let mut sender = Sender::new(nic, clock(&eal), address, peer, &options, source)?;
    let hz = sender.hz();
    let slice = (SLICE.as_secs_f64() * hz) as u64;

    // To get into its stride, and to know its median.
    let mut turns = histogram();
    let warm_up = sender.now() + tcp::Nanos::from_nanos((setting.time / 5.0 * 1e9) as u64);
    while sender.now() < warm_up {
        engine_slice(&mut sender, slice, &mut turns)?;
    }
    let median = turns.value_at_quantile(0.5).max(1);
    turns.reset();

    let (mut ours, mut machine) = (Turns::new(), Turns::new());
    let fired = sender.engine.counters().timers_fired;
    let (began, length) = (cycles(), (setting.time * hz) as u64);
    loop {
        let before = preemptions()?;
        engine_slice(&mut sender, slice, &mut turns)?;
        let between = preemptions()?;
        ours.add(&mut turns, between != before);
        sender.pause(|| waiting_slice(slice, median, &mut turns));
        machine.add(&mut turns, preemptions()? != between);
        let spent = cycles().wrapping_sub(began);
        let quiet = ours.quiet_slices > 0 && machine.quiet_slices > 0;
        if spent >= length && (quiet || spent >= length.saturating_mul(PATIENCE)) {
            break;
        }
    }
    let lost = sender.engine.nic().counters().answers_lost;
    if lost > 0 {
        return Err(Failure::new(format!("{lost} answers were lost: the receive ring was full"))
            .mend("--rx-ring 8192"));
    }
    if ours.quiet_slices == 0 || machine.quiet_slices == 0 {
        return Err(Failure::new("other threads took the core in every slice")
            .mend("run it when the machine has nothing else to do"));
    }
    let fired = sender.engine.counters().timers_fired - fired;
    Ok(line(&sender, &ours, &machine, median, fired as f64, hz))
}

/// Turns of the loop, without what the pretended peer took of each.
fn engine_slice(
    sender: &mut Sender<MemoryNic>,
    slice: u64,
    turns: &mut Histogram<u64>,
) -> Result<(), Failure> {
    let began = cycles();
    loop {
        sender.send()?;
        let peer = sender.engine.nic().counters().peer_cycles;
        let before = cycles();
        sender.poll()?;
        let after = cycles();
        let peer = sender.engine.nic().counters().peer_cycles - peer;
        turns.saturating_record(after.wrapping_sub(before).saturating_sub(peer).max(1));
        if after.wrapping_sub(began) >= slice {
            return Ok(());
        }
    }
}

/// Turns of a loop that waits for `turn` cycles in each: what is longer, the machine took.
fn waiting_slice(slice: u64, turn: u64, turns: &mut Histogram<u64>) {
    let began = cycles();
    loop {
        let before = cycles();
        let mut after = before;
        while after.wrapping_sub(before) < turn {
            after = cycles();
        }
        turns.saturating_record(after.wrapping_sub(before).max(1));
        if after.wrapping_sub(began) >= slice {
            return;
        }
    }
}

fn line(sender: &Sender<MemoryNic>, ours: &Turns, machine: &Turns, median: u64, fired: f64, hz: f64) -> Line {
    let nanos = |cycles: u64| cycles as f64 / hz * 1e9;
    let in_nanos = |turns: &Histogram<u64>| {
        let mut times = histogram();
        turns.iter_recorded().for_each(|at| {
            times.saturating_record_n(nanos(at.value_iterated_to()) as u64, at.count_at_value())
        });
        times
    };
    let mut line = Line::new(Medium::Memory).latency(&in_nanos(&ours.all));
    let with_peer = sender.engine.iteration_histogram();
    for (what, turns) in [
        ("quiet", &ours.quiet),
        ("machine", &machine.all),
        ("machine_quiet", &machine.quiet),
        ("engine_with_peer", with_peer),
    ] {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)] {
            line = line.figure(
                &format!("{what}_{name}"),
                nanos(turns.value_at_quantile(quantile)),
                Unit::Nanoseconds,
            );
        }
        line = line.figure(&format!("{what}_max"), nanos(turns.max()), Unit::Nanoseconds);
    }
    let share = |turns: &Turns| turns.quiet_slices as f64 / turns.slices as f64 * 100.0;
    line.figure("quiet_slices", share(ours), Unit::Percent)
        .figure("machine_quiet_slices", share(machine), Unit::Percent)
        .figure("machine_turn", nanos(median), Unit::Nanoseconds)
        .figure("timers_fired", fired, Unit::Count)
        .figure("frames_per_turn", sender.engine.counters().tx_frames as f64 / sender.engine.counters().iterations_busy as f64, Unit::Count)
        .note(format!("{}.", MemoryNic::CAVEAT))
        .note("Turns of the loop without the pretended peer's part; 'engine_with_peer' is the engine's own histogram, which has it.")
        .note(
            "'machine' is a loop that waits for as long as the median turn, in slices of 1 ms by turns with ours: what it shows above \
             that is the machine's. 'quiet' leaves out slices in which another thread had the core.",
        )
}
