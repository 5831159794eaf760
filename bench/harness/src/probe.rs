//! How far two CPUs are from each other: a cache line goes back and forth between them.
//!
//! On virtual machines the host may move either CPU at any time, and everything between two cores then takes several times
//! as long. So each run is measured between two probes, and what was near is kept apart from what was far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::affinity::pin;
use crate::failure::Failure;

/// There and back, nanoseconds: below it two CPUs share a cache, above it they do not.
pub(crate) const NEAR: f64 = 200.0;
/// Round trips of one sample.
const TRIPS: u64 = 1_000;
/// Samples of a probe; about 10 to 40 ms altogether.
const SAMPLES: usize = 101;
/// Both threads run within this time, or somebody else has one of the CPUs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures how long a cache line takes between two CPUs
#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// The two CPUs
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "0,1")]
    cpus: Vec<usize>,
}

/// Whether two CPUs were near each other all through a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Distance {
    /// Before and after.
    Near,
    Far,
    /// One of them before, the other after.
    Changed,
}

impl Distance {
    /// From the probes before and after a run, nanoseconds there and back.
    pub(crate) fn of(before: f64, after: f64) -> Distance {
        match (before < NEAR, after < NEAR) {
            (true, true) => Distance::Near,
            (false, false) => Distance::Far,
            _ => Distance::Changed,
        }
    }

    pub(crate) fn says(self) -> &'static str {
        match self {
            Distance::Near => "near",
            Distance::Far => "far",
            Distance::Changed => "changed",
        }
    }
}

/// What `tsonami-bench probe` prints.
pub(crate) fn print(args: &ProbeArgs) -> Result<String, Failure> {
    let [one, other] = args.cpus[..] else {
        return Err(Failure::new(format!("{} CPUs instead of two", args.cpus.len())).mend("--cpus 0,1"));
    };
    let ns = between(one, other)?;
    Ok(format!(
        "CPU {one} and CPU {other}: {ns:.0} ns there and back, median of {SAMPLES} samples ({})\n",
        Distance::of(ns, ns).says()
    ))
}

/// A cache line of its own.
#[repr(align(128))]
struct Ball(AtomicU64);

/// Nanoseconds for a cache line from one CPU to the other and back, the median of many samples.
pub(crate) fn between(one: usize, other: usize) -> Result<f64, Failure> {
    if one == other {
        return Err(Failure::new(format!("CPU {one} is at no distance from itself")).mend("name two CPUs"));
    }
    for cpu in [one, other] {
        // Where neither waits for the other.
        std::thread::scope(|scope| join(scope.spawn(|| Ok(pin(cpu)?))))?;
    }
    let ball = Ball(AtomicU64::new(0));
    let last = TRIPS * (SAMPLES as u64 + 1) * 2;
    let deadline = Instant::now() + PATIENCE;
    let (samples, returned) = std::thread::scope(|scope| {
        let returning = scope.spawn(|| {
            pin(other)?;
            // An odd value is theirs to raise.
            let mut next = 1;
            while next < last {
                catch(&ball, next, deadline)?;
                ball.0.store(next + 1, Ordering::Release);
                next += 2;
            }
            Ok(())
        });
        let serving = scope.spawn(|| {
            pin(one)?;
            let mut samples = Vec::with_capacity(SAMPLES);
            let mut next = 0;
            for sample in 0..=SAMPLES {
                let began = Instant::now();
                for _ in 0..TRIPS {
                    catch(&ball, next, deadline)?;
                    ball.0.store(next + 1, Ordering::Release);
                    next += 2;
                }
                // The first waits for the other thread to start.
                if sample > 0 {
                    samples.push(began.elapsed().as_nanos() as f64 / TRIPS as f64);
                }
            }
            Ok(samples)
        });
        (join(serving), join(returning))
    });
    returned?;
    let mut samples = samples?;
    samples.sort_by(f64::total_cmp);
    live::quantile::quantile(&samples, 0.5).ok_or_else(|| Failure::new("the probe took no sample"))
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the probe ended early")))
}

fn catch(ball: &Ball, value: u64, deadline: Instant) -> Result<(), Failure> {
    let mut turns = 0_u64;
    while ball.0.load(Ordering::Acquire) != value {
        std::hint::spin_loop();
        turns += 1;
        if turns.is_multiple_of(1 << 16) && Instant::now() > deadline {
            return Err(Failure::new(format!("no cache line came back within {PATIENCE:?}: a CPU is taken"))
                .mend("end what else runs on these CPUs"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_near_or_far_only_if_it_was_so_before_and_after() {
        assert_eq!(Distance::of(80.0, 120.0), Distance::Near);
        assert_eq!(Distance::of(380.0, 390.0), Distance::Far);
        assert_eq!(Distance::of(80.0, 390.0), Distance::Changed);
        assert_eq!(Distance::of(390.0, 80.0), Distance::Changed);
    }

    #[test]
    fn a_cpu_is_not_compared_with_itself_or_with_none() {
        assert!(between(0, 0).is_err());
        let failure = between(0, 100_000).expect_err("no such CPU").to_string();
        assert!(failure.contains("100000"), "{failure}");
    }
}
