//! A link between two interfaces of this namespace: the simulator's model, driven by the real clock.

mod clock;
mod flows;
mod path;
mod wire;

use std::fs::File;
use std::io::{BufWriter, Result, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use engine::nic::PcapWriter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sim::{LinkConfig, Loss, QueueConfig, Rng};
use tcp::{Nanos, Time};

use self::clock::Clock;
use self::flows::Flows;
use self::path::Path;
use self::wire::{Arrival, Faults, Wire};

pub(crate) use self::flows::FlowReport;
pub(crate) use self::path::PathReport;

/// Frames moved before somebody else has his turn. All that have come in are given to the model before it is asked what is
/// due now, unless that is more than this: what it has been asked about is its past.
const BATCH: usize = 4096;
/// The kernel wakes us later than asked, by about this much; what is due sooner is waited for awake. Not more: who is
/// awake for too large a share of a second is put to sleep by the scheduler, whatever its priority.
const SPIN: Nanos = Nanos::from_micros(20);

/// Joins two interfaces of this namespace until SIGINT or SIGTERM, then says as JSON what passed.
#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    /// The interface at the sender's side
    sender: String,
    /// The interface at the receiver's side
    receiver: String,
    /// Bits per second of each direction, framing included
    #[arg(long)]
    rate: u64,
    /// Round trip of an empty link, half of it each way, microseconds
    #[arg(long)]
    rtt_us: u64,
    /// Frames that wait at the bottleneck towards the receiver, at most
    #[arg(long)]
    queue: usize,
    /// Share of frames lost on the way to the receiver, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records every frame as it comes in, from both sides, in this file
    #[arg(long)]
    pcap: Option<PathBuf>,
    /// Ends by itself after so many seconds
    #[arg(long, default_value_t = 3600)]
    at_most: u64,
}

/// What passed.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Report {
    rate_bps: u64,
    rtt_us: u64,
    queue_frames: usize,
    loss: f64,
    seed: u64,
    seconds: f64,
    pub(crate) to_receiver: PathReport,
    to_sender: PathReport,
    sender_side: Faults,
    receiver_side: Faults,
    pub(crate) flows: Vec<FlowReport>,
}

impl Report {
    /// What was not as on a wire, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        [self.sender_side, self.receiver_side].iter().find(|f| f.any()).map(|faults| format!("{faults:?}"))
    }

    /// By how much frames left too late: 99 % of them at most, and all.
    pub(crate) fn lateness(&self) -> (Duration, Duration) {
        let (there, back) = (&self.to_receiver.lateness_ns, &self.to_sender.lateness_ns);
        (Duration::from_nanos(there.p99.max(back.p99)), Duration::from_nanos(there.max.max(back.max)))
    }
}

/// Runs a link; prints `up` when frames pass, and `data` whenever a connection has sent its first.
pub(crate) fn run(args: &LinkArgs) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let towards_receiver = LinkConfig {
        rate: args.rate,
        delay: Nanos::from_nanos(args.rtt_us * 500),
        queue: QueueConfig::frames(args.queue),
        loss: Loss::random(args.loss),
        ..LinkConfig::default()
    };
    // Acknowledgements find room, and none of them is lost.
    let towards_sender =
        LinkConfig { queue: LinkConfig::default().queue, loss: Loss::None, ..towards_receiver.clone() };
    let mut rng = Rng::new(args.seed);
    let mut there = Path::new(towards_receiver, rng.fork());
    let mut back = Path::new(towards_sender, rng.fork());
    let mut pcap = match &args.pcap {
        Some(path) => Some(PcapWriter::new(BufWriter::new(File::create(path)?))?),
        None => None,
    };
    let mut sender = Wire::open(&args.sender)?;
    let mut receiver = Wire::open(&args.receiver)?;
    let mut flows = Flows::default();
    let clock = Clock::new();
    say("up")?;

    let end = Time::ZERO + Nanos::from_secs(args.at_most);
    while !stop.load(Ordering::Relaxed) && clock.now() < end {
        let mut moved = false;
        for _ in 0..BATCH {
            let Some(arrival) = sender.receive(&clock)? else { break };
            record(&mut pcap, &arrival);
            if flows.on_data(arrival.at, arrival.frame) {
                say("data")?;
            }
            there.enter(arrival.at, arrival.frame.to_vec());
            moved = true;
        }
        for _ in 0..BATCH {
            let Some(arrival) = receiver.receive(&clock)? else { break };
            record(&mut pcap, &arrival);
            flows.on_ack(arrival.at, arrival.frame);
            back.enter(arrival.at, arrival.frame.to_vec());
            moved = true;
        }
        for _ in 0..BATCH {
            let one = there.leave(clock.now(), &mut receiver, &mut sender);
            let other = back.leave(clock.now(), &mut sender, &mut receiver);
            if !one && !other {
                break;
            }
            moved = true;
        }
        if !moved {
            wait(&clock, [&sender, &receiver], [&there, &back].into_iter().filter_map(Path::next).min())?;
        }
    }
    if let Some(pcap) = pcap {
        pcap.finish()?;
    }
    let report = Report {
        rate_bps: args.rate,
        rtt_us: args.rtt_us,
        queue_frames: args.queue,
        loss: args.loss,
        seed: args.seed,
        seconds: clock.now().since(Time::ZERO).as_secs_f64(),
        to_receiver: there.report(),
        to_sender: back.report(),
        sender_side: sender.faults,
        receiver_side: receiver.faults,
        flows: flows.report(),
    };
    say(&serde_json::to_string(&report)?)
}

fn record(pcap: &mut Option<PcapWriter<BufWriter<File>>>, arrival: &Arrival<'_>) {
    if let Some(pcap) = pcap {
        pcap.write(arrival.at.as_nanos(), &[arrival.frame]);
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Sleeps until shortly before a frame is due or until one comes. A signal ends it too.
fn wait(clock: &Clock, wires: [&Wire; 2], next: Option<Time>) -> Result<()> {
    let now = clock.now();
    // Often enough to end when it is time to.
    let longest = Nanos::from_millis(100);
    let left = next.map_or(longest, |at| at.since(now).min(longest)).saturating_sub(SPIN);
    if left == Nanos::ZERO {
        std::hint::spin_loop();
        return Ok(());
    }
    let mut fds = wires.map(|wire| PollFd::new(wire, PollFlags::IN));
    let limit = Timespec::try_from(Duration::from(left)).map_err(std::io::Error::other)?;
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
