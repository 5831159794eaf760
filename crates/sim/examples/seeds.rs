//! Runs the simulator over many seeds and says which of them show a fault.
//!
//! `cargo run -p tsonami-sim --profile checked --example seeds -- --seeds 10000 --jobs 2`

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sim::{Outcome, Scenario, World};

const USAGE: &str = "usage: seeds [--seeds N] [--from N] [--jobs N] [--keep-going] [--pcap PREFIX] [--show]
  --seeds N      how many seeds to run (default 1000)
  --from N       the first of them (default 0)
  --jobs N       threads (default 2)
  --keep-going   run on after a failure, and list every failing seed
  --pcap PREFIX  write PREFIX-0.pcap and PREFIX-1.pcap, what passed each host's NIC; for one seed
  --show         print what the seeds stand for";

/// Seeds between two lines of progress.
const PROGRESS: u64 = 1_000;

struct Options {
    seeds: u64,
    from: u64,
    jobs: u64,
    keep_going: bool,
    pcap: Option<PathBuf>,
    show: bool,
}

fn options() -> Result<Options, String> {
    let mut o = Options { seeds: 1_000, from: 0, jobs: 2, keep_going: false, pcap: None, show: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or(format!("{arg} needs a number"))?;
            value.parse::<u64>().map_err(|error| format!("{arg} {value}: {error}"))
        };
        match arg.as_str() {
            "--seeds" => o.seeds = number()?,
            "--from" => o.from = number()?,
            "--jobs" => o.jobs = number()?.max(1),
            "--keep-going" => o.keep_going = true,
            "--show" => o.show = true,
            "--pcap" => o.pcap = Some(args.next().ok_or("--pcap needs a prefix")?.into()),
            _ => return Err(format!("{arg}: unknown\n{USAGE}")),
        }
    }
    if o.pcap.is_some() && o.seeds != 1 {
        return Err("--pcap goes with --seeds 1".into());
    }
    Ok(o)
}

fn run(seed: u64, o: &Options) -> Result<Outcome, String> {
    let run = AssertUnwindSafe(|| {
        let scenario = Scenario::from_seed(seed);
        if o.show {
            println!("{scenario:#?}");
        }
        let mut world = World::new(scenario);
        if let Some(prefix) = &o.pcap {
            world.capture(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
        }
        world.run().map_err(|failure| failure.to_string())
    });
    // The panic's own message is on stderr already.
    catch_unwind(run).unwrap_or_else(|_| Err(format!("seed {seed}: panicked")))
}

/// A number for what a seed came to. The sum over the same seeds is the same, in whatever order they ran, unless a
/// change of the program changed an outcome.
fn fingerprint(seed: u64, outcome: &Outcome) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, outcome).hash(&mut hasher);
    hasher.finish()
}

fn main() -> ExitCode {
    let o = match options() {
        Ok(o) => o,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let [next, done, failed, bytes, segments, sum] = [const { AtomicU64::new(0) }; 6];
    std::thread::scope(|threads| {
        for _ in 0..o.jobs {
            threads.spawn(|| {
                while o.keep_going || failed.load(Ordering::Relaxed) == 0 {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= o.seeds {
                        break;
                    }
                    let seed = o.from + index;
                    match run(seed, &o) {
                        Ok(outcome) => {
                            bytes.fetch_add(outcome.bytes, Ordering::Relaxed);
                            segments.fetch_add(outcome.segments, Ordering::Relaxed);
                            sum.fetch_add(fingerprint(seed, &outcome), Ordering::Relaxed);
                        }
                        Err(what) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            eprintln!(
                                "FAILED: {what}\nagain, with captures: cargo run -p tsonami-sim --profile checked \
                                 --example seeds -- --from {seed} --seeds 1 --pcap /tmp/seed-{seed}"
                            );
                        }
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(PROGRESS) {
                        let seconds = started.elapsed().as_secs_f64();
                        let failed = failed.load(Ordering::Relaxed);
                        eprintln!(
                            "{done} of {} seeds, {failed} failed, {seconds:.0} s, {:.0} seeds/s",
                            o.seeds,
                            done as f64 / seconds
                        );
                    }
                }
            });
        }
    });
    let [done, failed, bytes, segments, sum] =
        [&done, &failed, &bytes, &segments, &sum].map(|n| n.load(Ordering::Relaxed));
    println!(
        "{done} seeds from {}: {failed} failed, {:.1} MB delivered and verified in {segments} segments, \
         outcomes {sum:016x}, {:.1} s",
        o.from,
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
