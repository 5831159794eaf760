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
/// Round trips of one sample, so few that most samples are taken without anybody interrupting.
const TRIPS: u32 = 100;
/// Samples of a probe; 1 to 4 ms altogether.
const SAMPLES: usize = 101;
/// On a busy machine as many as fit in here will do.
const BUDGET: Duration = Duration::from_secs(1);
/// But one must be had within this time, or somebody else has one of the CPUs for himself.
const PATIENCE: Duration = Duration::from_secs(20);

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
        "CPU {one} and CPU {other}: {ns:.0} ns there and back, lower quartile of {SAMPLES} samples ({})\n",
        Distance::of(ns, ns).says()
    ))
}

/// A cache line of its own. Even values are one side's to raise, odd ones the other's.
#[repr(align(128))]
struct Ball(AtomicU64);

/// Nobody plays any more.
const OVER: u64 = u64::MAX;

/// Nanoseconds for a cache line from one CPU to the other and back.
///
/// Whatever interrupts makes a sample longer, never shorter, so it is the lower quartile of many.
pub(crate) fn between(one: usize, other: usize) -> Result<f64, Failure> {
    if one == other {
        return Err(Failure::new(format!("CPU {one} is at no distance from itself")).mend("name two CPUs"));
    }
    let ball = Ball(AtomicU64::new(0));
    let (samples, returned) = std::thread::scope(|scope| {
        let returning = scope.spawn(|| {
            play(other, &ball, |ball| {
                give_back(ball);
                Ok(())
            })
        });
        let serving = scope.spawn(|| play(one, &ball, |ball| Ok(serve(ball))));
        (join(serving), join(returning))
    });
    returned?;
    let mut samples = samples?;
    samples.sort_by(f64::total_cmp);
    live::quantile::quantile(&samples, 0.25).ok_or_else(|| {
        Failure::new(format!("no cache line went between CPU {one} and CPU {other} for {PATIENCE:?}"))
            .mend("end what else runs on these CPUs")
    })
}

/// One side, on its CPU; when it ends, however it does, so does the other.
fn play<T>(cpu: usize, ball: &Ball, side: impl FnOnce(&Ball) -> Result<T, Failure>) -> Result<T, Failure> {
    let played = pin(cpu).map_err(Failure::from).and_then(|()| side(ball));
    ball.0.store(OVER, Ordering::Release);
    played
}

/// Samples, as many as there shall be or can be.
fn serve(ball: &Ball) -> Vec<f64> {
    let began = Instant::now();
    let mut samples = Vec::with_capacity(SAMPLES);
    let mut next = 0;
    // The first waits for the other side to start.
    let mut started = false;
    while samples.len() < SAMPLES && (samples.is_empty() || began.elapsed() < BUDGET) {
        let sample = Instant::now();
        for _ in 0..TRIPS {
            pass(ball, next);
            next += 2;
            if !catch(ball, next, began + PATIENCE) {
                return samples;
            }
        }
        if started {
            samples.push(sample.elapsed().as_nanos() as f64 / f64::from(TRIPS));
        }
        started = true;
    }
    samples
}

fn give_back(ball: &Ball) {
    let deadline = Instant::now() + PATIENCE;
    let mut next = 1;
    while catch(ball, next, deadline) {
        pass(ball, next);
        next += 2;
    }
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the probe ended early")))
}

/// Raises this value, unless it is over.
fn pass(ball: &Ball, value: u64) {
    // Nobody but the other side's end changes it meanwhile.
    let _ = ball.0.compare_exchange(value, value + 1, Ordering::Release, Ordering::Relaxed);
}

/// Waits for this value; false when it is over or takes too long.
fn catch(ball: &Ball, value: u64, deadline: Instant) -> bool {
    let mut turns = 0_u32;
    loop {
        match ball.0.load(Ordering::Acquire) {
            OVER => return false,
            there if there == value => return true,
            _ => std::hint::spin_loop(),
        }
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(1 << 16) && Instant::now() > deadline {
            return false;
        }
    }
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
        let ns = between(0, 1).expect("two CPUs");
        assert!(ns > 1.0, "{ns}");
        let failure = between(0, 100_000).expect_err("no such CPU").to_string();
        assert!(failure.contains("100000"), "{failure}");
    }
}
