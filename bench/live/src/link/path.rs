//! One direction: the simulator's model decides what becomes of each frame and when, and the real clock is waited for.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use sim::{Link, LinkConfig, LinkCounts, Rng};
use tcp::Time;

use super::wire::Wire;

/// Bytes of preamble, check sequence and gap around each frame.
const FRAMING: usize = 24;

pub(crate) struct Path {
    rate: u64,
    link: Link,
    /// The model's time never runs backwards, though stamps of frames may.
    latest: Time,
    queueing: Histogram<u64>,
    lateness: Histogram<u64>,
    delivered: u64,
    delivered_bytes: u64,
}

/// What one direction did.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct PathReport {
    frames: u64,
    delivered: u64,
    delivered_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) overflowed: u64,
    /// How long the queue would take to empty that each frame found, ns.
    pub(crate) queueing_ns: Spread,
    /// How much later than the model says frames left us, ns: the link's own error.
    pub(crate) lateness_ns: Spread,
}

/// A distribution, in short.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl From<&Histogram<u64>> for Spread {
    fn from(h: &Histogram<u64>) -> Spread {
        let at = |q| h.value_at_quantile(q);
        Spread { mean: h.mean(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: h.max() }
    }
}

impl Path {
    pub(crate) fn new(cfg: LinkConfig, rng: Rng) -> Path {
        // 60 s at three digits: bounds that are constants and right.
        let histogram =
            || Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap_or_else(|_| unreachable!());
        Path {
            rate: cfg.rate,
            link: Link::new(cfg, rng),
            latest: Time::ZERO,
            queueing: histogram(),
            lateness: histogram(),
            delivered: 0,
            delivered_bytes: 0,
        }
    }

    /// A frame came in at this time.
    pub(crate) fn enter(&mut self, at: Time, frame: Vec<u8>) {
        self.latest = self.latest.max(at);
        self.link.offer(self.latest, frame);
        let (frames, bytes) = self.link.backlog();
        let bits = (bytes + frames * FRAMING) as u64 * 8;
        self.queueing.saturating_record(bits * 1_000_000_000 / self.rate.max(1));
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Time> {
        self.link.next()
    }

    /// Lets out the next frame if it is due at `now`: ahead, or back where it came from.
    pub(crate) fn leave(&mut self, now: Time, ahead: &mut Wire, back: &mut Wire) -> bool {
        let Some(delivery) = self.link.take(now) else { return false };
        self.lateness.saturating_record(now.since(delivery.at).as_nanos());
        self.delivered += 1;
        self.delivered_bytes += delivery.frame.len() as u64;
        if delivery.back {
            back.send(&delivery.frame)
        } else {
            ahead.send(&delivery.frame)
        }
        true
    }

    pub(crate) fn report(&self) -> PathReport {
        let LinkCounts { frames, lost, overflowed, .. } = *self.link.counts();
        PathReport {
            frames,
            delivered: self.delivered,
            delivered_bytes: self.delivered_bytes,
            lost,
            overflowed,
            queueing_ns: Spread::from(&self.queueing),
            lateness_ns: Spread::from(&self.lateness),
        }
    }
}
