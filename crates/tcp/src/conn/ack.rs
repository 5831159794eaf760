//! When an ACK is owed (RFC 9293 §3.8.6.3, RFC 5681 §4.2), and how many we give away (RFC 5961 §7).

use core::ops::Range;

use crate::{Nanos, Offset, Time};

/// ACKs in answer to segments that may be forged, per [`CHALLENGE_PERIOD`].
const CHALLENGE_LIMIT: u32 = 10;

/// The period of [`CHALLENGE_LIMIT`].
const CHALLENGE_PERIOD: Nanos = Nanos::from_secs(1);

/// A full segment of the peer is taken to be at least this long, until a longer one shows (RFC 9293 §3.7.1).
const SMALLEST_FULL: u64 = 536;

/// What is owed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owed {
    /// Nothing.
    Nothing,
    /// An ACK, before the delayed-ACK timer ends.
    Later,
    /// An ACK, with the next segment or alone.
    Now,
}

/// The state of acknowledging.
#[derive(Clone, Debug)]
pub(crate) struct AckState {
    owed: Owed,
    /// Bytes received in order since an ACK left.
    unacked: u64,
    /// Length of the peer's full segments, as far as seen.
    segment: u64,
    /// Our MSS: no segment of the peer is longer; what is was coalesced.
    mss: u64,
    /// ACKs that are not delayed any more from now on.
    quick: u32,
    /// When data arrived last.
    data_at: Option<Time>,
    /// What arrived twice, and is not reported yet (RFC 2883).
    twice: Option<Range<Offset>>,
    challenges: u32,
    challenges_since: Time,
}

impl AckState {
    /// `mss` is what we announced; the first `quick` ACKs of data are not delayed.
    pub(crate) fn new(mss: u32, quick: u32) -> AckState {
        let mss = u64::from(mss);
        AckState {
            owed: Owed::Nothing,
            unacked: 0,
            segment: SMALLEST_FULL.min(mss),
            mss,
            quick,
            data_at: None,
            twice: None,
            challenges: 0,
            challenges_since: Time::ZERO,
        }
    }

    pub(crate) fn owed(&self) -> Owed {
        self.owed
    }

    /// An ACK goes out at once.
    pub(crate) fn now(&mut self) {
        self.owed = Owed::Now;
    }

    /// `bytes` became readable by a segment of `len`: more than those when it closed a gap. An ACK is owed now for at
    /// least every second full segment (SHLD-19), later otherwise (SHLD-18). At first always now: a peer in slow
    /// start lives on our ACKs.
    pub(crate) fn on_data(&mut self, now: Time, bytes: u64, len: u64) {
        self.data_at = Some(now);
        // What is longer than our MSS was coalesced, and says nothing. Options take their room of the MSS: a full segment
        // taken to be longer than those of the peer are would have every third of them acknowledged.
        if len <= self.mss {
            self.segment = self.segment.max(len);
        }
        self.unacked += bytes;
        if self.unacked >= 2 * self.segment || self.quick > 0 {
            self.owed = Owed::Now;
        } else if self.owed == Owed::Nothing {
            self.owed = Owed::Later;
        }
    }

    /// A segment left that acknowledges; `everything` when it says all that was received.
    pub(crate) fn on_sent(&mut self, everything: bool) {
        if everything {
            self.quick -= u32::from(self.unacked > 0 && self.quick > 0);
            self.owed = if self.twice.is_some() { Owed::Now } else { Owed::Nothing };
            self.unacked = 0;
        }
    }

    /// `range` arrived again. Of several only one can be reported: what adjoins, or else the newest (RFC 2883 §4).
    pub(crate) fn on_twice(&mut self, range: Range<Offset>) {
        let joined = self.twice.take().filter(|known| known.start <= range.end && range.start <= known.end);
        self.twice = Some(match joined {
            Some(known) => known.start.min(range.start)..known.end.max(range.end),
            None => range,
        });
    }

    /// What arrived twice and is not reported yet.
    pub(crate) fn twice(&self) -> Option<Range<Offset>> {
        self.twice.clone()
    }

    /// A bare ACK leaves: it reports that.
    pub(crate) fn on_bare_sent(&mut self) {
        self.twice = None;
    }

    /// Bytes of ours leave. Soon after the peer's, that is an answer: its next ACK can ride on the next answer, and
    /// is delayed for it.
    pub(crate) fn on_answer(&mut self, now: Time, delay: Nanos) {
        if self.data_at.is_some_and(|at| now.since(at) < delay) {
            self.quick = 0;
        }
    }

    /// An ACK in answer to something a forger could have sent: granted or not (RFC 5961 §7).
    pub(crate) fn challenge(&mut self, now: Time) -> bool {
        if now.since(self.challenges_since) >= CHALLENGE_PERIOD {
            (self.challenges_since, self.challenges) = (now, 0);
        }
        self.challenges += 1;
        let granted = self.challenges <= CHALLENGE_LIMIT;
        if granted {
            self.owed = Owed::Now;
        }
        granted
    }

    /// Length of the peer's full segments, as far as seen.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }
}

folds! { enum Owed { Nothing, Later, Now } }
folds! { struct AckState { owed, unacked, segment, mss, quick, data_at, twice, challenges, challenges_since } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shld_19_every_second_full_segment_is_acknowledged_at_once() {
        let mut a = AckState::new(1460, 0);
        a.on_data(Time::ZERO, 1460, 1460);
        assert_eq!(a.owed(), Owed::Later);
        a.on_data(Time::ZERO, 1460, 1460);
        assert_eq!(a.owed(), Owed::Now);
        a.on_sent(true);
        assert_eq!(a.owed(), Owed::Nothing);
        a.on_data(Time::ZERO, 100, 100);
        a.on_data(Time::ZERO, 100, 100);
        assert_eq!(a.owed(), Owed::Later);
        // Twenty segments coalesced to one are more than two, and tell no length. Nor does what closes a gap.
        a.on_data(Time::ZERO, 20 * 1460, 20 * 1460);
        assert_eq!(a.owed(), Owed::Now);
        let mut a = AckState::new(1460, 0);
        a.on_data(Time::ZERO, 3 * 1448, 1448);
        a.on_data(Time::ZERO, 2 * 1448, 2 * 1448);
        a.on_sent(true);
        a.on_data(Time::ZERO, 1448, 1448);
        assert_eq!(a.owed(), Owed::Later);
        a.on_data(Time::ZERO, 1448, 1448);
        assert_eq!(a.owed(), Owed::Now, "of 1460 bytes the options take twelve");
        // Before a longer one was seen 536 bytes are full (RFC 9293 §3.7.1), unless we announced less.
        for (mss, full) in [(1460, 536), (400, 400)] {
            let mut a = AckState::new(mss, 0);
            a.on_data(Time::ZERO, full, full);
            a.on_data(Time::ZERO, full - 1, full - 1);
            assert_eq!(a.owed(), Owed::Later);
            a.on_data(Time::ZERO, 1, 1);
            assert_eq!(a.owed(), Owed::Now);
        }
    }

    #[test]
    fn an_ack_of_less_than_everything_settles_nothing() {
        let mut a = AckState::new(1460, 0);
        a.now();
        a.on_sent(false);
        assert_eq!(a.owed(), Owed::Now);
    }

    #[test]
    fn rfc5961_challenge_acks_are_limited_per_second() {
        let mut a = AckState::new(1460, 0);
        let t = |ms| Time::ZERO + Nanos::from_millis(ms);
        let granted = |a: &mut AckState, at| (0..20).filter(|_| a.challenge(at)).count();
        assert_eq!(granted(&mut a, t(5)), 10);
        assert_eq!(granted(&mut a, t(999)), 0);
        assert_eq!(granted(&mut a, t(1000)), 10);
    }

    #[test]
    fn s46_the_first_acks_are_not_delayed_until_we_answer() {
        let t = |ms| Time::ZERO + Nanos::from_millis(ms);
        let mut a = AckState::new(1460, 2);
        for owed in [Owed::Now, Owed::Now, Owed::Later] {
            a.on_data(t(0), 100, 100);
            assert_eq!(a.owed(), owed);
            a.on_sent(true);
            // An ACK of nothing new counts for nothing.
            a.on_sent(true);
        }
        let mut a = AckState::new(1460, 2);
        a.on_data(t(0), 100, 100);
        a.on_answer(t(40), Nanos::from_millis(40));
        a.on_data(t(41), 100, 100);
        assert_eq!(a.owed(), Owed::Now);
        a.on_sent(true);
        a.on_answer(t(80), Nanos::from_millis(40));
        a.on_data(t(81), 100, 100);
        assert_eq!(a.owed(), Owed::Later);
    }
}
