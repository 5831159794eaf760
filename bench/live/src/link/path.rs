//! One direction: the simulator's model decides what becomes of each frame and when, the real clock is waited for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use sim::{Link, LinkConfig, LinkCounts, Rng, transmission_time};
use tcp::{Nanos, Time};

use super::wire::Wire;

/// A frame under way, ordered by when it is due; of two due together the first to come.
type Due = Reverse<(Time, u64, Vec<u8>)>;

pub(crate) struct Path {
    cfg: LinkConfig,
    link: Link,
    due: BinaryHeap<Due>,
    number: u64,
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
    /// What each frame waited in the bottleneck's queue, by the model, ns.
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
            link: Link::new(cfg.clone(), rng),
            cfg,
            due: BinaryHeap::new(),
            number: 0,
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
        let (now, sending) = (self.latest, transmission_time(frame.len(), self.cfg.rate));
        let (due, number, queueing) = (&mut self.due, &mut self.number, &mut self.queueing);
        self.link.send(now, frame, |at, frame| {
            let waited = at.since(now + sending + self.cfg.delay);
            queueing.saturating_record(waited.as_nanos());
            *number += 1;
            due.push(Reverse((at, *number, frame)));
        });
    }

    /// When the next frame is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Lets out the next frame if it is due at `now`.
    pub(crate) fn leave(&mut self, now: Time, wire: &mut Wire) -> bool {
        if self.next().is_none_or(|at| at > now) {
            return false;
        }
        let Some(Reverse((at, _, frame))) = self.due.pop() else { return false };
        self.lateness.saturating_record(now.since(at).as_nanos());
        self.delivered += 1;
        self.delivered_bytes += frame.len() as u64;
        wire.send(&frame);
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

/// How a direction that only delays, loses and queues treats frames.
pub(crate) fn plain(rate: u64, delay: Nanos, loss: f64, queue: usize) -> LinkConfig {
    LinkConfig {
        rate,
        delay,
        jitter: Nanos::ZERO,
        queue,
        loss,
        loss_burst: 1,
        reorder: 0.0,
        reorder_by: Nanos::ZERO,
        duplicate: 0.0,
        corrupt: 0.0,
        outage: None,
    }
}
