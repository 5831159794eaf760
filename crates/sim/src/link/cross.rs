//! Traffic of others through the same bottleneck: it takes place and time there, and goes nowhere.

use tcp::{Nanos, Time};

use crate::rng::Rng;

/// Frames of one size at one rate, all the time or now and then.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CrossTraffic {
    /// Bits per second while it is on, headers included.
    pub rate: u64,
    /// Bytes of each frame.
    pub frame: usize,
    /// How long it is on, on average; each time is drawn from an exponential distribution.
    pub on: Nanos,
    /// How long it is off in between, on average. Zero: it is always on.
    pub off: Nanos,
}

/// How far back it is worked out after a time in which nobody looked. Whatever a queue holds has left it by then.
const MEMORY: Nanos = Nanos::from_secs(1);

/// Cross traffic in motion.
#[derive(Debug)]
pub(super) struct Cross {
    cfg: CrossTraffic,
    rng: Rng,
    next: Time,
    on_until: Time,
}

impl Cross {
    pub(super) fn new(cfg: CrossTraffic, mut rng: Rng) -> Cross {
        let on_until =
            if cfg.off == Nanos::ZERO { Time::MAX } else { Time::ZERO + exponential(&mut rng, cfg.on) };
        Cross { cfg, rng, next: Time::ZERO, on_until }
    }

    /// When its next frame comes.
    pub(super) fn next(&self) -> Time {
        self.next
    }

    /// Takes that frame: its length.
    pub(super) fn take(&mut self) -> usize {
        let bits = self.cfg.frame as u64 * 8;
        let gap = Nanos::from_nanos(bits.saturating_mul(1_000_000_000) / self.cfg.rate.max(1));
        self.next += gap.max(Nanos::from_nanos(1));
        if self.next >= self.on_until {
            self.next = self.on_until + exponential(&mut self.rng, self.cfg.off);
            self.on_until = self.next + exponential(&mut self.rng, self.cfg.on);
        }
        self.cfg.frame
    }

    /// Nothing was in the queue until `now`: what came long before that has left without a trace.
    pub(super) fn skip(&mut self, now: Time) {
        let from = now - MEMORY;
        if self.next >= from {
            return;
        }
        if self.cfg.off == Nanos::ZERO {
            self.next = from;
            return;
        }
        // The process has no memory: any moment of it is as good as another to begin with.
        self.next = from + exponential(&mut self.rng, self.cfg.off);
        self.on_until = self.next + exponential(&mut self.rng, self.cfg.on);
    }
}

/// A length of time drawn from the exponential distribution with this mean.
fn exponential(rng: &mut Rng, mean: Nanos) -> Nanos {
    Nanos::from_nanos((-(1.0 - rng.unit()).ln() * mean.as_nanos() as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = Nanos::from_millis(1);

    /// Frames in the first minute.
    fn frames(cross: &mut Cross, until: Nanos) -> u64 {
        let mut frames = 0;
        while cross.next() < Time::ZERO + until {
            cross.take();
            frames += 1;
        }
        frames
    }

    #[test]
    fn a_constant_rate_is_kept_exactly() {
        // 1250 bytes at 10 Mbit/s: one each millisecond.
        let cfg = CrossTraffic { rate: 10_000_000, frame: 1_250, on: MS, off: Nanos::ZERO };
        let mut cross = Cross::new(cfg, Rng::new(1));
        assert_eq!(frames(&mut cross, Nanos::from_secs(60)), 60_000);
        assert_eq!(cross.next(), Time::ZERO + Nanos::from_secs(60));
    }

    #[test]
    fn on_and_off_in_the_shares_that_were_asked_for() {
        let cfg = CrossTraffic { rate: 10_000_000, frame: 1_250, on: MS * 100, off: MS * 300 };
        let frames = frames(&mut Cross::new(cfg, Rng::new(1)), Nanos::from_secs(4_000));
        let share = frames as f64 / 4_000_000.0;
        assert!((share - 0.25).abs() < 0.01, "{share}");
    }

    #[test]
    fn after_a_long_silence_only_the_last_second_is_made_up_for() {
        let cfg = CrossTraffic { rate: 10_000_000, frame: 1_250, on: MS, off: Nanos::ZERO };
        let mut cross = Cross::new(cfg, Rng::new(1));
        cross.skip(Time::ZERO + Nanos::from_secs(3_600));
        assert_eq!(frames(&mut cross, Nanos::from_secs(3_600)), 1_000);
    }
}
