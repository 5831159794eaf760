//! The path MTU: what lowers it, and who is believed about it (`S7`, RFC 1191, RFC 8201, RFC 5927 §7).
//!
//! Whoever can guess an address pair and a sequence number in flight can claim that packets are too big. The first such
//! claims are believed at once: nothing large has arrived yet, and discovery must not cost a timeout. Once a full
//! segment was acknowledged, the path is known to carry its size; a claim to the contrary then waits until what it quotes
//! times out, and is forgotten when that is acknowledged instead (RFC 5927 §7.2).

use super::Connection;
use super::mtu_probe::{MtuSearch, RAISE_AFTER};
use crate::{Burst, Offset, Payload, Time};

/// Nothing was sent there.
const NOWHERE: Offset = Offset(u64::MAX);

/// What is known of the path.
#[derive(Clone, Debug)]
pub(super) struct PathMtu {
    /// Bytes of the largest IP packet that passes, as far as known.
    pub(super) mtu: u16,
    /// Behind the first full segment sent at this MTU: once it is acknowledged, the path carries such.
    proof: Offset,
    /// A smaller MTU that was claimed, and the segment that was said to be too big.
    claim: Option<(u16, Offset)>,
    /// What is known of larger sizes.
    pub(super) search: MtuSearch,
}

impl PathMtu {
    pub(super) fn new(mtu: u16) -> PathMtu {
        PathMtu { mtu, proof: NOWHERE, claim: None, search: MtuSearch::at(Time::MAX) }
    }

    /// It is `mtu` from now on, whatever was known before; larger sizes are tried when they are `due`.
    pub(super) fn settle(&mut self, mtu: u16, due: Time) {
        *self = PathMtu { search: MtuSearch::at(due), ..PathMtu::new(mtu) };
    }

    /// A packet of `mtu` bytes passed: one whose payload ends at `end`.
    pub(super) fn grow(&mut self, mtu: u16, end: Offset) {
        (self.mtu, self.proof, self.claim) = (mtu, end, None);
    }

    /// New bytes leave.
    #[inline]
    pub(super) fn on_sent(&mut self, burst: &Burst) {
        if self.proof == NOWHERE && burst.len >= u32::from(burst.mss) {
            self.proof = burst.offset + u64::from(burst.mss);
        }
    }
}

impl<P: Payload> Connection<P> {
    /// Somebody says that our segment at `at`, which is in flight, does not fit a next hop that takes `mtu` bytes.
    pub(super) fn on_packet_too_big(&mut self, now: Time, mtu: Option<u32>, at: Offset) {
        let smallest = if self.tuple.local.is_ipv6() { 1280 } else { 576 };
        let mtu = mtu.unwrap_or(smallest);
        // RFC 8201 §4: no IPv6 link is smaller. RFC 1191 would go lower, but that serves forgers more than anybody.
        if mtu < smallest && self.tuple.local.is_ipv6() {
            return;
        }
        let mtu = u16::try_from(mtu.max(smallest)).unwrap_or(u16::MAX);
        if mtu >= self.path.mtu {
            self.is_mtu_probe_refused(at, mtu);
            return;
        }
        if self.snd_una() >= self.path.proof {
            self.path.claim = Some((mtu, at));
        } else {
            self.lower_mtu(now, mtu);
        }
    }

    /// What is in flight timed out: a claim about something in it was true.
    pub(super) fn settle_mtu_claim(&mut self, now: Time) {
        if let Some((mtu, at)) = self.path.claim.take()
            && at >= self.snd_una()
        {
            self.lower_mtu(now, mtu);
        }
    }

    /// What is in flight was dropped and is cut anew (RFC 1191 §6.5). The path may grow again (§6.3).
    fn lower_mtu(&mut self, now: Time, mtu: u16) {
        self.path.settle(mtu, now + RAISE_AFTER);
        self.cc.set_mss(self.mss());
        self.flight.mark_all_lost();
        // No congestion: no controller is to hear of it.
        self.flight.losses.take();
    }
}

folds! { struct PathMtu { mtu, proof, claim, search } }
