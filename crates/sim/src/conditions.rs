//! What a seed makes of a path: conditions on top of its rate and delay.
//!
//! Their draws are a stream of their own, so that they do not shift those of the hosts.

use tcp::{Nanos, Time};

use crate::link::{
    CodelConfig, CrossTraffic, Discipline, FallBack, FqCodelConfig, GilbertElliott, LinkConfig, Loss,
    QueueConfig, RedConfig, Reorder, RouteChange, Thinning, transmission_time,
};
use crate::peer::PeerConfig;
use crate::rng::Rng;

/// Draws conditions for a path: each in a share of the runs, several at once in some.
pub(crate) fn draw(rng: &mut Rng, path: &mut LinkConfig) {
    if rng.chance(0.3) {
        path.queue = queue(rng, path);
    }
    if rng.chance(0.15) {
        path.loss = Loss::GilbertElliott(bursts(rng));
    }
    if rng.chance(0.15) {
        path.reorder = Reorder {
            share: rng.unit() * 0.1,
            by: FallBack::Distance {
                frames: rng.range(1, 50) as u32,
                patience: Nanos::from_nanos(rng.log_range(100_000, 100_000_000)),
            },
        };
    }
    if rng.chance(0.2) {
        path.thinning = Thinning::Filter;
    }
    if rng.chance(0.15) {
        path.cross = Some(cross(rng, path));
    }
    if rng.chance(0.15) {
        let changes = rng.range(1, 3);
        path.changes = (0..changes).map(|_| change(rng, path)).collect();
        path.changes.sort_by_key(|change| change.at);
        path.icmp = rng.chance(0.5);
    }
    let slowest = slowest(path);
    if let Some(cross) = &mut path.cross {
        cross.rate = cross.rate.min(slowest / 2);
    }
}

/// The bottleneck's rate on the slowest way that frames take. Half of that is the most others may have: they do not slow
/// down, so where they bring more than the path carries its queue is full for ever, and nearly all of a transfer is lost.
fn slowest(path: &LinkConfig) -> u64 {
    path.changes.iter().filter_map(|change| change.rate).fold(path.rate, u64::min)
}

/// Draws how a host behaves as a receiver. None acknowledges what it does not have: what is lost would stay lost.
pub(crate) fn peer(rng: &mut Rng) -> PeerConfig {
    let stretch =
        |rng: &mut Rng| (rng.log_range(2_000, 100_000) as u32, Nanos::from_millis(rng.range(1, 200)));
    PeerConfig {
        stretch: rng.chance(0.15).then(|| stretch(rng)),
        divide: if rng.chance(0.1) { rng.range(2, 10) as u32 } else { 0 },
        optimistic: 0,
        renege: if rng.chance(0.15) { rng.unit() } else { 0.0 },
        autotune: rng.chance(0.15).then(|| rng.log_range(4_000, 64_000) as u32),
    }
}

/// A queue discipline with parameters around those its authors recommend.
fn queue(rng: &mut Rng, path: &LinkConfig) -> QueueConfig {
    let codel = CodelConfig {
        target: Nanos::from_millis(rng.pick(&[1, 5, 5, 20])),
        interval: Nanos::from_millis(rng.pick(&[20, 100, 100, 200])),
        ecn: rng.chance(0.5),
    };
    let bytes = rng.log_range(20_000, 1_000_000) as usize;
    let discipline = match rng.range(0, 4) {
        0 => Discipline::TailDrop,
        1 => Discipline::Codel(codel),
        2 => Discipline::FqCodel(FqCodelConfig {
            codel,
            flows: rng.pick(&[1, 2, 1_024]),
            quantum: rng.pick(&[300, 1_514, 1_514, 9_014]),
        }),
        3 => Discipline::Red(RedConfig {
            min_threshold: bytes / 4,
            max_threshold: bytes / 4 * 3,
            max_probability: rng.pick(&[0.02, 0.1]),
            weight: rng.pick(&[0.002, 0.02, 1.0]),
            frame_time: transmission_time(1_500, path.rate),
            ecn: rng.chance(0.5),
        }),
        _ => Discipline::Step { threshold: bytes / 4 },
    };
    QueueConfig { bytes, discipline, ..path.queue }
}

/// Loss of at most 5 % in the long run, as with other seeds: everything arrives in the end.
fn bursts(rng: &mut Rng) -> GilbertElliott {
    let to_good = 1.0 / rng.range(2, 30) as f64;
    let loss_bad = rng.pick(&[0.3, 0.7, 1.0]);
    let share = rng.unit() * 0.05;
    // share = loss_bad · to_bad / (to_bad + to_good)
    let to_bad = share * to_good / (loss_bad - share);
    GilbertElliott { to_bad, to_good, loss_good: 0.0, loss_bad }
}

/// At most half the path, and never so many frames that a run takes for ever.
fn cross(rng: &mut Rng, path: &LinkConfig) -> CrossTraffic {
    let frame = rng.pick(&[100, 576, 1_514]);
    let most = (path.rate / 2).min(frame as u64 * 8 * 2_000);
    CrossTraffic {
        rate: rng.log_range(most / 20, most).max(1),
        frame,
        on: Nanos::from_millis(rng.range(10, 1_000)),
        off: Nanos::from_millis(rng.pick(&[0, 0, 10, 100, 1_000])),
    }
}

/// Another round trip, another rate, or both.
fn change(rng: &mut Rng, path: &LinkConfig) -> RouteChange {
    let mut change = RouteChange::at(Time::from_nanos(rng.log_range(1_000_000, 3_000_000_000)));
    if rng.chance(0.8) {
        change.delay = Some(Nanos::from_nanos(rng.log_range(1_000, 200_000_000)));
    }
    if rng.chance(0.3) {
        change.rate = Some(rng.log_range(path.rate / 4, path.rate * 4).max(500_000));
    }
    if rng.chance(0.3) {
        change.mtu = Some(rng.pick(&[576, 700, 1_000, 1_280, 1_400, 9_000]));
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_drawn_and_none_loses_more_than_a_run_can_bear() {
        let mut seen = [0; 6];
        for seed in 0..500 {
            let mut path = LinkConfig::default();
            draw(&mut Rng::new(seed), &mut path);
            if let Loss::GilbertElliott(ge) = path.loss {
                assert!(ge.share() <= 0.05 + 1e-9 && (0.0..=1.0).contains(&ge.to_bad), "{ge:?}");
                seen[0] += 1;
            }
            assert!(path.changes.is_sorted_by_key(|change| change.at));
            seen[1] += u32::from(path.queue.discipline != Discipline::TailDrop);
            seen[2] += u32::from(path.reorder.share > 0.0);
            seen[3] += u32::from(path.thinning == Thinning::Filter);
            seen[4] += u32::from(path.cross.is_some());
            seen[5] += u32::from(!path.changes.is_empty());
        }
        assert!(seen.iter().all(|&n| n > 40), "{seen:?}");
    }

    #[test]
    fn others_leave_half_of_the_path_on_the_slowest_of_its_ways() {
        let mut slowed = 0;
        for seed in 0..2_000 {
            let mut path = LinkConfig { rate: 3_000_000, ..LinkConfig::default() };
            draw(&mut Rng::new(seed), &mut path);
            let Some(cross) = path.cross else { continue };
            let ways = path.changes.iter().filter_map(|change| change.rate).chain([path.rate]);
            assert!(ways.clone().all(|rate| cross.rate <= rate / 2), "seed {seed}: {path:?}");
            slowed += u32::from(ways.min() < Some(path.rate));
        }
        assert!(slowed >= 5, "{slowed}");
    }
}
