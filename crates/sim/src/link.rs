//! One direction of a network path: a bottleneck with a bounded queue, and everything that can happen to a
//! frame behind it.

use std::collections::VecDeque;

use tcp::{Nanos, Time};

use crate::rng::Rng;

/// How a path treats frames.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Bits per second of the bottleneck.
    pub rate: u64,
    /// Time from the bottleneck to the other end.
    pub delay: Nanos,
    /// Up to this much is added to the delay of each frame; the order is kept.
    pub jitter: Nanos,
    /// Frames the bottleneck's queue holds; those that find it full are dropped.
    pub queue: usize,
    /// Probability that a frame is lost.
    pub loss: f64,
    /// Frames lost together when one is.
    pub loss_burst: u64,
    /// Probability that a frame is overtaken by later ones.
    pub reorder: f64,
    /// How late an overtaken frame arrives, at most.
    pub reorder_by: Nanos,
    /// Probability that a frame arrives twice.
    pub duplicate: f64,
    /// Probability that one bit of a frame is flipped.
    pub corrupt: f64,
    /// Nothing passes from the first time to the second.
    pub outage: Option<(Time, Time)>,
}

/// What a path did to frames.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkCounts {
    /// Frames that entered.
    pub frames: u64,
    /// Lost by chance or in an outage.
    pub lost: u64,
    /// Dropped at the full queue.
    pub overflowed: u64,
    /// Overtaken.
    pub reordered: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered with a bit flipped.
    pub corrupted: u64,
}

/// One direction of a path, in motion.
#[derive(Debug)]
pub struct Link {
    cfg: LinkConfig,
    rng: Rng,
    /// When each frame in the bottleneck's queue will have left it.
    departures: VecDeque<Time>,
    /// Frames still to be lost of the burst under way.
    losing: u64,
    last_arrival: Time,
    counts: LinkCounts,
}

impl Link {
    /// An idle path.
    pub fn new(cfg: LinkConfig, rng: Rng) -> Link {
        Link {
            cfg,
            rng,
            departures: VecDeque::new(),
            losing: 0,
            last_arrival: Time::ZERO,
            counts: LinkCounts::default(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    /// Sends a frame at `now`; `arrive` is told when it comes out at the other end, if it does, and as what.
    pub fn send(&mut self, now: Time, mut frame: Vec<u8>, mut arrive: impl FnMut(Time, Vec<u8>)) {
        self.counts.frames += 1;
        while self.departures.front().is_some_and(|&at| at <= now) {
            self.departures.pop_front();
        }
        if self.departures.len() >= self.cfg.queue {
            self.counts.overflowed += 1;
            return;
        }
        let start = self.departures.back().copied().unwrap_or(now);
        let left = start + transmission_time(frame.len(), self.cfg.rate);
        self.departures.push_back(left);

        if self.cfg.outage.is_some_and(|(from, to)| (from..to).contains(&now)) || self.loses() {
            self.counts.lost += 1;
            return;
        }
        if self.rng.chance(self.cfg.corrupt) {
            self.counts.corrupted += 1;
            // Nothing but the frame check sequence, which is not simulated, protects ARP: it drops the frame.
            if frame.get(12..14) == Some(&[8, 6]) {
                return;
            }
            let bit = self.rng.range(0, frame.len() as u64 * 8 - 1) as usize;
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let mut at = left + self.cfg.delay + Nanos::from_nanos(self.rng.range(0, self.cfg.jitter.as_nanos()));
        if self.rng.chance(self.cfg.reorder) {
            self.counts.reordered += 1;
            at += Nanos::from_nanos(self.rng.range(0, self.cfg.reorder_by.as_nanos()));
        } else {
            at = at.max(self.last_arrival);
            self.last_arrival = at;
        }
        if self.rng.chance(self.cfg.duplicate) {
            self.counts.duplicated += 1;
            let later = Nanos::from_nanos(self.rng.range(0, self.cfg.reorder_by.as_nanos()));
            arrive(at + later, frame.clone());
        }
        arrive(at, frame);
    }

    fn loses(&mut self) -> bool {
        if self.losing > 0 {
            self.losing -= 1;
            return true;
        }
        // Bursts start less often, so that the share of lost frames stays what was asked for.
        let start = self.rng.chance(self.cfg.loss / self.cfg.loss_burst as f64);
        if start {
            self.losing = self.cfg.loss_burst - 1;
        }
        start
    }
}

/// The time `bytes` of frame occupy a link, with preamble, check sequence and gap.
pub fn transmission_time(bytes: usize, bits_per_second: u64) -> Nanos {
    let bits = (bytes as u64 + 24) * 8;
    Nanos::from_nanos(bits * 1_000_000_000 / bits_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect() -> LinkConfig {
        LinkConfig {
            rate: 1_000_000_000,
            delay: Nanos::from_millis(5),
            jitter: Nanos::ZERO,
            queue: 100,
            loss: 0.0,
            loss_burst: 1,
            reorder: 0.0,
            reorder_by: Nanos::ZERO,
            duplicate: 0.0,
            corrupt: 0.0,
            outage: None,
        }
    }

    /// Sends `n` frames at once and returns what arrives, in order of arrival.
    fn arrivals(cfg: LinkConfig, n: u32) -> (Vec<(Time, Vec<u8>)>, LinkCounts) {
        let mut link = Link::new(cfg, Rng::new(1));
        let mut all = Vec::new();
        for i in 0..n {
            let mut frame = vec![0; 1226];
            frame[..4].copy_from_slice(&i.to_be_bytes());
            link.send(Time::ZERO, frame, |at, frame| all.push((at, frame)));
        }
        all.sort_by_key(|(at, _)| *at);
        (all, *link.counts())
    }

    #[test]
    fn frames_leave_at_the_rate_and_arrive_after_the_delay() {
        let (all, _) = arrivals(perfect(), 3);
        let times: Vec<_> = all.iter().map(|(at, _)| at.as_nanos()).collect();
        assert_eq!(times, [5_010_000, 5_020_000, 5_030_000]);
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let (all, counts) = arrivals(LinkConfig { queue: 2, ..perfect() }, 5);
        assert_eq!((all.len(), counts.overflowed), (2, 3));
    }

    #[test]
    fn loss_comes_as_often_as_asked_alone_or_in_bursts() {
        for loss_burst in [1, 4] {
            let cfg = LinkConfig { loss: 0.1, loss_burst, queue: 100_000, ..perfect() };
            let (all, counts) = arrivals(cfg, 20_000);
            assert_eq!(all.len() as u64 + counts.lost, 20_000);
            assert!((1_600..2_400).contains(&counts.lost), "{counts:?}");
        }
    }

    #[test]
    fn corruption_flips_one_bit() {
        let (all, _) = arrivals(LinkConfig { corrupt: 1.0, ..perfect() }, 1);
        assert_eq!(all[0].1.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let order = |cfg| {
            let (all, counts) = arrivals(cfg, 50);
            let numbers: Vec<u8> = all.iter().map(|(_, f)| f[3]).collect();
            (numbers.is_sorted(), counts)
        };
        let jitter = Nanos::from_millis(3);
        assert!(order(LinkConfig { jitter, ..perfect() }).0);
        let (sorted, counts) = order(LinkConfig { reorder: 0.2, reorder_by: jitter, ..perfect() });
        assert!(!sorted && counts.reordered > 0);
    }

    #[test]
    fn duplicates_arrive_twice_and_outages_pass_nothing() {
        assert_eq!(arrivals(LinkConfig { duplicate: 1.0, ..perfect() }, 3).0.len(), 6);
        let outage = Some((Time::ZERO, Time::from_nanos(1)));
        assert_eq!(arrivals(LinkConfig { outage, ..perfect() }, 3).0.len(), 0);
    }
}
