//! Receivers that are not like ours: what some put on the wire, made of what our receiver would have.
//!
//! A [`Peer`] stands between a host and its path. It sees what arrives and rewrites the ACKs that leave, so that the
//! sender at the other end has to do with a receiver that acknowledges seldom, too often, too early, or takes back
//! what it said. Like a link it is a value without a clock.

mod autotune;
mod divide;
mod optimistic;
mod renege;
mod segment;
mod stretch;

use std::collections::BTreeMap;

use tcp::{Nanos, Time};

use crate::rng::Rng;
use segment::{Segment, read};

/// How a receiver behaves. All can be combined.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct PeerConfig {
    /// Acknowledges only every so many bytes, or when the oldest of them has waited for so long: stretch ACKs (RFC 2525
    /// §2.13), as GRO and Wi-Fi make them.
    pub stretch: Option<(u32, Nanos)>,
    /// Acknowledges what arrived in so many pieces (Savage et al. 1999; RFC 3465 §2.1).
    pub divide: u32,
    /// Acknowledges so many bytes more than arrived (Savage et al. 1999; RFC 5681 §6). What is lost then stays lost.
    pub optimistic: u32,
    /// Forgets with this probability what it reported by SACK, when the gap before it closes (RFC 2018 §8).
    pub renege: f64,
    /// Offers a window of so many bytes at first, and twice as much whenever a whole window has arrived.
    pub autotune: Option<u32>,
}

/// A receiver's behaviour in motion.
#[derive(Debug)]
pub struct Peer {
    cfg: PeerConfig,
    rng: Rng,
    /// By the sender's port and its own.
    flows: BTreeMap<(u16, u16), Flow>,
}

/// One connection.
#[derive(Debug, Default)]
struct Flow {
    stretch: stretch::Stretch,
    divide: divide::Divide,
    optimistic: optimistic::Optimistic,
    renege: renege::Renege,
    autotune: autotune::Autotune,
}

impl Peer {
    /// Behaves like that from the first segment on.
    pub fn new(cfg: PeerConfig, rng: Rng) -> Peer {
        Peer { cfg, rng, flows: BTreeMap::new() }
    }

    /// A frame reaches the receiver.
    pub fn arrives(&mut self, frame: &[u8]) {
        if self.cfg == PeerConfig::default() {
            return;
        }
        let Some(segment) = read(frame) else { return };
        let flow = self.flows.entry((segment.src, segment.dst)).or_default();
        flow.optimistic.arrives(&segment);
        flow.renege.arrives(&segment, frame);
        flow.autotune.arrives(&segment, frame);
    }

    /// A frame leaves the receiver at `now`: what appears on the wire in its place.
    pub fn leaves(&mut self, now: Time, mut frame: Vec<u8>) -> Vec<Vec<u8>> {
        let Some(segment) = (self.cfg != PeerConfig::default()).then(|| read(&frame)).flatten() else {
            return vec![frame];
        };
        let flow = self.flows.entry((segment.dst, segment.src)).or_default();
        if self.cfg.renege > 0.0 {
            flow.renege.leaves(&mut frame, self.cfg.renege, &mut self.rng);
        }
        if let Some(initial) = self.cfg.autotune {
            flow.autotune.leaves(&mut frame, initial);
        }
        let mut out = match self.cfg.stretch {
            Some((bytes, hold)) => flow.stretch.leaves(now, frame, bytes, hold),
            None => vec![frame],
        };
        if self.cfg.optimistic > 0 {
            out = out.into_iter().flat_map(|f| flow.optimistic.leaves(now, f, self.cfg.optimistic)).collect();
        }
        if self.cfg.divide > 1 {
            out = out.into_iter().flat_map(|f| flow.divide.leaves(f, self.cfg.divide)).collect();
        }
        out
    }

    /// When something leaves of itself.
    pub fn next(&self) -> Option<Time> {
        self.flows.values().flat_map(|flow| [flow.stretch.next(), flow.optimistic.next()]).flatten().min()
    }

    /// What leaves of itself by `now`.
    pub fn expired(&mut self, now: Time) -> Vec<Vec<u8>> {
        let expired = |flow: &mut Flow| [flow.stretch.expired(now), flow.optimistic.expired(now)];
        self.flows.values_mut().flat_map(expired).flatten().collect()
    }
}

/// A new connection began: what was known of the ports belongs to another.
fn begins(segment: &Segment) -> bool {
    segment.flags & segment::SYN != 0
}
