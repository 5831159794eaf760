//! Finding losses by time (RACK, RFC 8985 §6; `S38`), with peers that know SACK.
//!
//! What was sent before something that arrived, and has not arrived itself a reordering window later, is lost, first
//! time or again. The window begins at a quarter of the smallest round trip and closes while nothing was ever seen out
//! of order and three segments are beyond a gap; it grows for each round trip in which the peer says that a
//! retransmission was needless (RFC 2883), up to a whole round trip, and is reset when it has not for sixteen recoveries.

use super::flight::Arrived;
use super::recovery::Phase;
use super::timers::Timer;
use super::{Connection, timestamp_clock};
use crate::{Nanos, Offset, Payload, Time};

/// Segments beyond a gap that mean a loss where the path keeps order (RFC 8985 §4, DupThresh).
const DUP_THRESHOLD: u64 = 3;

/// Recoveries without needless retransmissions after which the window is as small as at first.
const PERSIST: u32 = 16;

/// The state of RACK.
#[derive(Clone, Debug)]
pub(super) struct Rack {
    /// Of what arrived the one that left last: when, and where it ends.
    latest: (Time, Offset),
    /// Its round trip.
    rtt: Nanos,
    /// Something sent later arrived earlier.
    reordered: bool,
    /// Quarters of the smallest round trip.
    quarters: u32,
    persist: u32,
    /// SND.NXT when the window grew last, until it is acknowledged.
    round: Option<Offset>,
}

impl Default for Rack {
    fn default() -> Rack {
        Rack {
            latest: (Time::ZERO, Offset::ZERO),
            rtt: Nanos::ZERO,
            reordered: false,
            quarters: 1,
            persist: 0,
            round: None,
        }
    }
}

impl Rack {
    /// The peer got something twice, with SND.UNA at `una`: what was sent again in this round trip was not lost.
    fn on_dsack(&mut self, una: Offset, nxt: Offset) {
        if self.round.is_none_or(|round| una >= round) {
            self.round = Some(nxt);
            self.quarters = self.quarters.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// Something taken for lost was only late.
    pub(super) fn on_late(&mut self) {
        self.reordered = true;
    }

    /// What arrived last may have been taken for a retransmission that it was not.
    pub(super) fn forget_latest(&mut self) {
        self.latest = (Time::ZERO, Offset::ZERO);
    }

    /// A recovery ended.
    pub(super) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }
}

impl<P: Payload> Connection<P> {
    /// Notes what arrived (RFC 8985 §6.2 steps 2 to 4); `ecr` is the timestamp it echoes.
    #[inline]
    pub(super) fn note_arrival(&mut self, now: Time, arrived: &Arrived, ecr: Option<u32>) {
        self.on_mtu_arrived(arrived.longest);
        if let Some((sent, end, resent)) = arrived.latest {
            let rtt = now.since(sent);
            // Of what left again the first may have arrived, not the last.
            if !resent || self.is_answer_to_last(sent, rtt, ecr) {
                // The round trip is that of the last in the order of the stream, as RFC 8985 goes through them: when a gap
                // closes what was late counts, and not what filled the gap.
                let last = arrived.last.filter(|&(_, again)| !again).map(|(sent, _)| now.since(sent));
                self.rack.rtt = last.unwrap_or(rtt);
                self.rack.latest = self.rack.latest.max((sent, end));
            }
        }
        if let Some(start) = arrived.overtaken {
            self.on_overtaken(start);
        }
    }

    #[cold]
    fn on_overtaken(&mut self, start: Offset) {
        self.rack.reordered = true;
        self.counts.reordered += 1;
        self.counts.reordering = self.counts.reordering.max(self.flight.fack.since(start));
    }

    fn is_answer_to_last(&self, sent: Time, rtt: Nanos, ecr: Option<u32>) -> bool {
        let stamp = timestamp_clock(sent).wrapping_add(self.stamps.offset);
        let earlier = self.peer.timestamps && ecr.is_some_and(|ecr| (ecr.wrapping_sub(stamp) as i32) < 0);
        !earlier && self.rtt.min().is_none_or(|min| rtt >= min)
    }

    /// The peer got something twice that is none of a tail loss probe's.
    pub(super) fn on_needless(&mut self) {
        self.rack.on_dsack(self.snd_una(), self.snd_nxt());
    }

    /// How much later than what was sent after it something may arrive (RFC 8985 §6.2 step 4).
    fn reordering_window(&self) -> Nanos {
        let suspicious =
            self.recovery.phase() != Phase::Open || self.flight.sacked_segments() >= DUP_THRESHOLD;
        if !self.rack.reordered && suspicious {
            return Nanos::ZERO;
        }
        let window = self.rtt.min().map_or(Nanos::ZERO, |min| min * u64::from(self.rack.quarters) / 4);
        window.min(self.rtt.srtt().unwrap_or(Nanos::ZERO))
    }

    /// How long after it left something has to have arrived, if something did that left after it.
    pub(super) fn patience(&self) -> Nanos {
        self.rack.rtt + self.reordering_window()
    }

    /// Marks what is lost (RFC 8985 §6.2 step 5) and returns how many bytes that are; what may yet arrive is looked at
    /// again in its time.
    pub(super) fn detect_losses(&mut self, now: Time) -> u64 {
        let patience = self.patience();
        let (lost, next) = self.flight.mark_overdue(now, self.rack.latest, patience);
        match next {
            Some(at) => self.timers.arm(Timer::Reordering, at),
            None => self.timers.stop(Timer::Reordering),
        }
        lost
    }
}

folds! { struct Rack { latest, rtt, reordered, quarters, persist, round } }
