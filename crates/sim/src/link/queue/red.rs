//! Random early detection, RED (Floyd and Jacobson 1993), with marks where packets can carry them (RFC 3168 §7).

use tcp::{Nanos, Time};

use super::{Manager, Queue, Queued, TailDrop};
use crate::link::LinkCounts;
use crate::rng::Rng;

/// The parameters of RED, with the names of the paper; the queue is measured in bytes.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct RedConfig {
    /// Below this average nothing happens.
    pub min_threshold: usize,
    /// From this average on everything is dropped.
    pub max_threshold: usize,
    /// The probability just below `max_threshold`.
    pub max_probability: f64,
    /// How much the newest length counts in the average.
    pub weight: f64,
    /// The time a frame takes to be sent: how fast the average falls while nothing waits.
    pub frame_time: Nanos,
    /// Packets that can carry a mark are marked instead of dropped, below `max_threshold`.
    pub ecn: bool,
}

/// The average, and whom it hits.
#[derive(Debug)]
pub(in super::super) struct Red {
    cfg: RedConfig,
    rng: Rng,
    average: f64,
    /// Frames since the last that was marked or dropped; -1 while the average is below the lower threshold.
    count: i64,
    idle_since: Option<Time>,
}

impl Red {
    pub(in super::super) fn new(cfg: RedConfig, rng: Rng) -> Red {
        Red { cfg, rng, average: 0.0, count: -1, idle_since: None }
    }

    fn measure(&mut self, now: Time, waiting: usize) {
        let weight = self.cfg.weight;
        if let Some(since) = self.idle_since.take() {
            // As if so many frames had found the queue empty. Beyond a few thousand nothing is left of the average.
            let frames = now.since(since).as_nanos() / self.cfg.frame_time.as_nanos().max(1);
            for _ in 0..frames.min(10_000) {
                self.average *= 1.0 - weight;
            }
        }
        self.average = (1.0 - weight) * self.average + weight * waiting as f64;
    }

    /// Whether the frame that just came is chosen.
    fn chosen(&mut self) -> bool {
        let (min, max) = (self.cfg.min_threshold as f64, self.cfg.max_threshold as f64);
        self.count += 1;
        let p_b = self.cfg.max_probability * (self.average - min) / (max - min).max(1.0);
        // Spread evenly: the longer none was chosen, the likelier.
        let p_a = p_b / (1.0 - self.count as f64 * p_b).max(p_b);
        let chosen = self.rng.chance(p_a);
        if chosen {
            self.count = 0;
        }
        chosen
    }
}

impl Manager for Red {
    fn enqueue(&mut self, now: Time, mut item: Queued, queue: &mut TailDrop, counts: &mut LinkCounts) {
        self.measure(now, queue.bytes());
        if self.average < self.cfg.min_threshold as f64 {
            self.count = -1;
        } else if self.average < self.cfg.max_threshold as f64 {
            if self.chosen() && !(self.cfg.ecn && item.mark(counts)) {
                counts.early += u64::from(item.is_real());
                return;
            }
        } else {
            // RFC 3168 §7: above the upper threshold packets are dropped, capable or not.
            self.count = 0;
            counts.early += u64::from(item.is_real());
            return;
        }
        queue.enqueue(now, item, counts);
    }

    fn dequeue(&mut self, now: Time, queue: &mut TailDrop, counts: &mut LinkCounts) -> Option<Queued> {
        let item = queue.dequeue(now, counts);
        if queue.frames() == 0 {
            self.idle_since = Some(now);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::segment;
    use super::super::{Managed, item};
    use super::*;

    const FRAME: usize = 1_000;

    fn red(weight: f64, ecn: bool) -> (Managed<Red>, LinkCounts) {
        let cfg = RedConfig {
            min_threshold: 5 * FRAME,
            max_threshold: 15 * FRAME,
            max_probability: 0.1,
            weight,
            frame_time: Nanos::from_millis(1),
            ecn,
        };
        let manager = Red::new(cfg, Rng::new(1));
        (Managed { manager, queue: TailDrop::new(1_000, usize::MAX) }, LinkCounts::default())
    }

    fn frame(ecn: u8) -> Queued {
        item(segment(1, ecn, 0, FRAME - 54))
    }

    /// How many of ten thousand frames are marked that find so many waiting, the average being what is there.
    fn marked(waiting: usize) -> u64 {
        let (mut red, mut counts) = red(1.0, true);
        for _ in 0..waiting {
            red.queue.enqueue(Time::ZERO, frame(0), &mut counts);
        }
        for _ in 0..10_000 {
            red.enqueue(Time::ZERO, frame(0b10), &mut counts);
            let waits = red.frames();
            red.dequeue(Time::ZERO, &mut counts);
            assert_eq!(waits, waiting + 1);
        }
        counts.marked
    }

    #[test]
    fn red_marks_as_often_as_the_paper_says() {
        assert_eq!(marked(4), 0);
        // Half-way p_b is 0.05. With `count` the distance of two marks is uniform on 1..=1/p_b: (1/p_b + 1) / 2 = 10.5.
        let half = marked(10);
        assert!((870..1_040).contains(&half), "{half}");
        let low = marked(6);
        assert!((170..230).contains(&low), "{low} at p_b = 0.01, one in 50.5");
    }

    #[test]
    fn red_drops_what_cannot_be_marked_and_everything_above_the_upper_threshold() {
        for (waiting, ecn, early) in [(10, 0b00, 1..1_000), (16, 0b10, 2_000..2_001)] {
            let (mut red, mut counts) = red(1.0, true);
            (0..waiting).for_each(|_| red.queue.enqueue(Time::ZERO, frame(0), &mut counts));
            for _ in 0..2_000 {
                red.enqueue(Time::ZERO, frame(ecn), &mut counts);
                if red.frames() > waiting {
                    red.dequeue(Time::ZERO, &mut counts);
                }
            }
            assert!(early.contains(&counts.early) && counts.marked == 0, "{counts:?}");
        }
    }

    #[test]
    fn red_follows_the_average_and_lets_it_fall_while_nothing_waits() {
        let (mut red, mut counts) = red(0.002, false);
        (0..60).for_each(|_| red.enqueue(Time::ZERO, frame(0), &mut counts));
        // Σ w(1-w)^(59-k)·k frames: the paper's filter after a burst of sixty.
        let law: f64 = (0..60).map(|k| 0.002 * 0.998_f64.powi(59 - k) * f64::from(k) * FRAME as f64).sum();
        assert!((red.manager.average - law).abs() < 1.0, "{} and {law}", red.manager.average);
        while red.dequeue(Time::ZERO, &mut counts).is_some() {}
        let before = red.manager.average;
        red.enqueue(Time::ZERO + Nanos::from_millis(500), frame(0), &mut counts);
        assert!((red.manager.average / before - 0.998_f64.powi(501)).abs() < 1e-9);
    }
}
