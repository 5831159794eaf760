//! How fast a sender sends: by a cap, and by what BBR finds out. Nothing here is exact, and nothing has to be on time: what
//! is compared are ratios, rounded.

use std::time::Duration;

use crate::link::Sample;
use crate::same_as_linux;
use crate::scenario::Step::*;
use crate::scripted::{MS, ROUND_TRIP, scripted};

/// Payload of a segment.
const SEGMENT: u64 = 1000;

/// The cap of the paced transfer, and the bottleneck of BBR's, bytes per second.
const CAP: u64 = 200_000;
const BOTTLENECK: u64 = 1_000_000;

/// What came by `at`.
fn by(flow: &[Sample], at: Duration) -> Sample {
    let past = flow.partition_point(|sample| sample.at <= at);
    past.checked_sub(1).map_or(Sample { at, sent: 0, acked: 0 }, |n| flow[n])
}

/// The rate between two moments, by the bytes that came and by those that were acknowledged.
fn rates(flow: &[Sample], from: Duration, to: Duration) -> [f64; 2] {
    let [a, b] = [from, to].map(|at| by(flow, at));
    [b.sent - a.sent, b.acked - a.acked].map(|bytes| bytes as f64 / (to - from).as_secs_f64())
}

fn paced(flow: &[Sample]) -> Vec<String> {
    let [rate, _] = rates(flow, 300 * MS, 1300 * MS);
    let sends: Vec<&Sample> = flow.windows(2).filter(|w| w[1].sent > w[0].sent).map(|w| &w[1]).collect();
    // Bursts stand apart by what a segment takes at the least; within one nothing does.
    let apart = Duration::from_secs_f64(SEGMENT as f64 / CAP as f64) / 2;
    let mut bursts: Vec<usize> = sends.chunk_by(|a, b| b.at - a.at < apart).map(<[_]>::len).collect();
    bursts.sort_unstable();
    let usual = bursts[bursts.len() / 2];
    vec![format!("{:.1} of the cap", rate / CAP as f64), format!("in bursts of {usual}")]
}

/// Until when startup and drain are over, by far, and ProbeRTT has not come.
const STEADY: [Duration; 2] = [Duration::from_secs(2), Duration::from_millis(4800)];

/// The phases of BBR, by what is in flight: one pipe is what the path holds without a queue.
fn phases(flow: &[Sample]) -> Vec<String> {
    let pipe = BOTTLENECK as f64 * ROUND_TRIP.as_secs_f64();
    let quarter = ROUND_TRIP / 4;
    let levels: Vec<f64> = (0..4 * 60)
        .map(|n| by(flow, quarter * n))
        .map(|sample| (sample.sent - sample.acked) as f64 / pipe)
        .collect();
    let at = |time: Duration| (time.as_millis() / quarter.as_millis()) as usize;
    let most = |levels: &[f64]| levels.iter().copied().fold(0.0, f64::max);
    let least = |levels: &[f64]| levels.iter().copied().fold(f64::INFINITY, f64::min);

    let [second, fifth] = [1, 4].map(|n| rates(flow, ROUND_TRIP * n, ROUND_TRIP * (n + 1))[0]);
    let growth = (fifth / second).powf(1.0 / 3.0);
    let startup = most(&levels[..at(STEADY[0])]);
    let drained = least(&levels[at(ROUND_TRIP * 8)..at(STEADY[0])]);
    let [_, delivered] = rates(flow, STEADY[0], STEADY[1]);
    // A peak stands out from what was a round before it and comes a round later.
    let peaks = (at(STEADY[0])..at(STEADY[1]))
        .filter(|&n| levels[n] == most(&levels[n - 4..=n + 4]) && levels[n] > most(&levels[n - 4..n]))
        .filter(|&n| levels[n] - levels[n - 4] > 0.12 && levels[n] - levels[n + 4] > 0.12)
        .count();
    let resting = least(&levels[at(STEADY[1])..]);
    vec![
        format!("each round of startup sends {growth:.0} times as much"),
        format!("at most {startup:.0} pipes in flight"),
        format!("drained to {drained:.0}"),
        format!("{:.1} of the bottleneck", delivered / BOTTLENECK as f64),
        format!(
            "probes for more {} in three seconds",
            if peaks < 2 { "once at most" } else { "again and again" }
        ),
        format!(
            "{} in flight after five seconds",
            if resting < 0.75 { "half a pipe" } else { "no less than a pipe" }
        ),
    ]
}

#[test]
fn s25_a_cap_as_linux() {
    let scenario =
        scripted("a cap", [Stream(1500 * MS, paced)]).through(u64::MAX, 20 * MS).with_cap(CAP).but(
            "S22: a paced burst has two segments at least; the kernel's device takes one at a time here",
            &[(0, &["1.0 of the cap", "in bursts of 1"], &["1.0 of the cap", "in bursts of 2"])],
        );
    same_as_linux("rates::s25_a_cap_as_linux", &[scenario]);
}

#[test]
fn s41_bbr_as_linux() {
    let scenario = scripted("the phases", [Stream(6000 * MS, phases)]).through(BOTTLENECK, ROUND_TRIP).with_bbr().but(
        "S41: Linux has BBRv1. BBRv3 begins with a window of 2 pipes and not 2.89, probes every two to three seconds and not \
         every eight rounds, and looks for the shortest round trip after five seconds and not ten",
        &[(
            0,
            &[
                "each round of startup sends 2 times as much",
                "at most 3 pipes in flight",
                "drained to 1",
                "1.0 of the bottleneck",
                "probes for more again and again in three seconds",
                "no less than a pipe in flight after five seconds",
            ],
            &[
                "each round of startup sends 2 times as much",
                "at most 2 pipes in flight",
                "drained to 1",
                "1.0 of the bottleneck",
                "probes for more once at most in three seconds",
                "half a pipe in flight after five seconds",
            ],
        )],
    );
    same_as_linux("rates::s41_bbr_as_linux", &[scenario]);
}
