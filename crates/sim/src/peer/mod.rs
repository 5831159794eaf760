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

use tcp::wire::TcpFlags;
use tcp::{Nanos, Time};

use crate::rng::Rng;
use segment::{Segment, ahead, read};

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
    /// What follows all that left in sequence space.
    next: Option<u32>,
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
        flow.renege.arrives(&segment);
        flow.autotune.arrives(&segment);
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
        // The sender reads no ACK from a keepalive probe (RFC 9293 §3.10.7.4): that takes no ACK's place, and is none.
        if flow.is_probe(&segment) {
            return vec![frame];
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

impl Flow {
    /// Whether a segment that leaves is a keepalive probe: empty, and before what has left. Notes how far that is.
    fn is_probe(&mut self, segment: &Segment) -> bool {
        let phantom = u32::from(begins(segment)) + u32::from(segment.flags.has(TcpFlags::FIN));
        let end = segment.seq.wrapping_add(segment.len() + phantom);
        let behind = self.next.filter(|&next| !begins(segment) && ahead(next, end) > 0);
        self.next = behind.or(Some(end));
        behind.is_some() && segment.is_bare_ack()
    }
}

/// A new connection began: what was known of the ports belongs to another.
fn begins(segment: &Segment) -> bool {
    segment.flags.has(TcpFlags::SYN)
}

#[cfg(test)]
mod tests {
    use super::segment::tests::build;
    use super::*;

    #[test]
    fn rfc9293_a_keepalive_probe_takes_no_acks_place() {
        let ms = |n| Time::ZERO + Nanos::from_millis(n);
        let cfg = PeerConfig { stretch: Some((4_000, Nanos::from_millis(50))), ..PeerConfig::default() };
        let mut peer = Peer::new(cfg, Rng::new(1));
        let mut leaves = |at, seq, ack| peer.leaves(ms(at), build(true, (seq, ack), 100, 0, &[]));
        assert_eq!(leaves(0, 10, 1).len(), 1);
        assert_eq!(leaves(1, 10, 1_001).len(), 0, "an ACK waits");
        let probe = leaves(2, 9, 1_001);
        assert_eq!(read(&probe[0]).map(|s| (s.seq, s.ack)), Some((9, 1_001)), "a probe does not");
        assert_eq!(leaves(3, 10, 2_001).len(), 0);
        assert_eq!(peer.next(), Some(ms(51)));
        let acks: Vec<_> =
            peer.expired(ms(51)).iter().filter_map(|f| read(f)).map(|s| (s.seq, s.ack)).collect();
        assert_eq!(acks, [(10, 2_001)]);
    }
}
