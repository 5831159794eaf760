//! Finding losses by duplicate ACKs and timeouts, and the order of repair (RFC 5681 §3.2, RFC 6582, RFC 3042).
//!
//! Where RFC 5681 inflates cwnd for each duplicate ACK, this takes a segment out of the pipe: a duplicate ACK says
//! that one left the network, though not which. The same segments may leave, and `pipe + n ≤ cwnd` stays true
//! with a cwnd that means what it says. With SACK the scoreboard says which, and RACK what is lost: of this file only
//! the phases are used then.

use crate::Offset;

/// Duplicate ACKs that mean a loss (RFC 5681 §3.2).
const DUP_THRESHOLD: u32 = 3;

/// Duplicate ACKs that let a new segment out before that (RFC 3042 §2).
const LIMITED_TRANSMIT: u32 = DUP_THRESHOLD - 1;

/// Where the sender stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No loss is known.
    Open,
    /// Fast recovery, until `recover` is acknowledged; `partial` once a partial ACK came.
    Fast {
        /// SND.NXT when it began.
        recover: Offset,
        /// A partial ACK came.
        partial: bool,
    },
    /// After a timeout, until `recover` is acknowledged.
    Loss {
        /// SND.NXT when it began.
        recover: Offset,
    },
}

/// What an ACK of new data means for the recovery.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Nothing is being recovered, or a timeout's recovery goes on: the window may grow.
    Normal,
    /// A partial ACK (RFC 6582 §3.2 step 3).
    Partial {
        /// First of this recovery.
        first: bool,
        /// The first segment not acknowledged is lost too. Otherwise this recovery sent it again already, as one of
        /// several short ones that took the place of a full one.
        lost: bool,
    },
    /// Fast recovery is complete.
    Recovered,
}

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    dup_acks: u32,
    /// Bytes that duplicate ACKs say have left the network.
    credit: u64,
    /// SND.NXT when the last recovery, of either kind, began.
    last: Option<Offset>,
    /// Limited transmit sent this much since duplicate ACKs began.
    limited: u64,
    /// The next retransmission leaves whatever the pipe holds.
    forced: bool,
    /// Up to where this fast recovery sent again what was lost.
    repaired: Offset,
    /// SND.UNA at the last timeout.
    timed_out_at: Option<Offset>,
}

impl Recovery {
    pub(crate) fn new() -> Recovery {
        Recovery {
            phase: Phase::Open,
            dup_acks: 0,
            credit: 0,
            last: None,
            limited: 0,
            forced: false,
            repaired: Offset::ZERO,
            timed_out_at: None,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes to take off the pipe.
    pub(crate) fn credit(&self) -> u64 {
        self.credit
    }

    /// Bytes that left by limited transmit alone: they do not count where ssthresh is halved (RFC 5681 §3.2
    /// step 2).
    pub(crate) fn limited(&self) -> u64 {
        self.limited
    }

    /// True while the next retransmission may leave although the pipe is full.
    pub(crate) fn is_forced(&self) -> bool {
        self.forced
    }

    /// Lets the next retransmission leave whatever the pipe holds.
    pub(crate) fn force(&mut self) {
        self.forced = true;
    }

    /// A retransmission left that ends at `end`.
    pub(crate) fn on_retransmitted(&mut self, end: Offset) {
        self.forced = false;
        self.repaired = self.repaired.max(end);
    }

    /// New data left beyond what cwnd alone allows. True when limited transmit is why: duplicate ACKs are
    /// counted, and a loss is not certain yet.
    pub(crate) fn on_limited(&mut self, bytes: u64, sacked: bool) -> bool {
        let limited = self.phase == Phase::Open && (sacked || self.credit > 0);
        if limited {
            self.limited += bytes;
        }
        limited
    }

    /// A duplicate ACK, with `una..nxt` in flight. True when fast recovery begins: the caller marks the first
    /// segment lost and tells the controller.
    pub(crate) fn on_dup_ack(&mut self, una: Offset, nxt: Offset, mss: u64) -> bool {
        self.dup_acks = self.dup_acks.saturating_add(1);
        match self.phase {
            Phase::Fast { .. } => {
                self.credit += mss;
                false
            }
            // After a timeout they are answers to what was sent twice: no sign of anything.
            Phase::Loss { .. } => false,
            Phase::Open if self.dup_acks <= LIMITED_TRANSMIT => {
                self.credit += mss;
                false
            }
            // RFC 6582 §3.2 step 1: not again for losses of the same window of data.
            Phase::Open if self.dup_acks == DUP_THRESHOLD && self.last.is_none_or(|last| una > last) => {
                self.credit = u64::from(DUP_THRESHOLD) * mss;
                self.phase = Phase::Fast { recover: nxt, partial: false };
                self.last = Some(nxt);
                self.forced = true;
                self.repaired = una;
                true
            }
            Phase::Open => false,
        }
    }

    /// RACK found something lost in `una..nxt`. True when fast recovery begins with that.
    pub(crate) fn on_lost(&mut self, una: Offset, nxt: Offset) -> bool {
        let begins = self.phase == Phase::Open;
        if begins {
            self.phase = Phase::Fast { recover: nxt, partial: false };
            self.last = Some(nxt);
            self.forced = true;
            self.repaired = una;
        }
        begins
    }

    /// SND.UNA moved to `una`, over `acked` bytes. With a peer that knows SACK what is lost is RACK's to find.
    #[inline]
    pub(crate) fn on_ack(&mut self, una: Offset, acked: u64, mss: u64, sack: bool) -> Progress {
        self.dup_acks = 0;
        match self.phase {
            Phase::Fast { recover, .. } if una < recover && sack => {
                Progress::Partial { first: true, lost: false }
            }
            Phase::Fast { recover, partial } if una < recover => {
                // Of what was acknowledged one segment was the hole; the others had been counted by duplicates.
                self.credit = self.credit.saturating_sub(acked.saturating_sub(mss));
                self.phase = Phase::Fast { recover, partial: true };
                let lost = una >= self.repaired;
                self.forced |= lost;
                Progress::Partial { first: !partial, lost }
            }
            Phase::Fast { .. } => {
                self.leave();
                Progress::Recovered
            }
            Phase::Loss { recover } if una < recover => Progress::Normal,
            Phase::Open | Phase::Loss { .. } => {
                self.leave();
                Progress::Normal
            }
        }
    }

    /// The recovery was needless: nothing of it remains.
    pub(crate) fn take_back(&mut self) {
        self.leave();
        (self.last, self.timed_out_at, self.dup_acks) = (None, None, 0);
    }

    fn leave(&mut self) {
        self.phase = Phase::Open;
        self.credit = 0;
        self.limited = 0;
        self.forced = false;
    }

    /// The retransmission timer expired. True when it had before without progress since.
    pub(crate) fn on_timeout(&mut self, una: Offset, nxt: Offset) -> bool {
        self.leave();
        self.dup_acks = 0;
        self.phase = Phase::Loss { recover: nxt };
        self.last = Some(nxt);
        self.timed_out_at.replace(una) == Some(una)
    }
}

folds! { enum Phase { Open, Fast { recover, partial }, Loss { recover } } }
folds! { struct Recovery { phase, dup_acks, credit, last, limited, forced, repaired, timed_out_at } }

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    fn dups(r: &mut Recovery, n: u32, una: u64, nxt: u64) -> u32 {
        (0..n).filter(|_| r.on_dup_ack(Offset(una), Offset(nxt), MSS)).count() as u32
    }

    #[test]
    fn rfc5681_the_third_duplicate_begins_recovery_and_no_other() {
        let mut r = Recovery::new();
        assert_eq!(dups(&mut r, 2, 0, 10_000), 0);
        assert_eq!((r.phase(), r.credit()), (Phase::Open, 2000));
        assert_eq!(dups(&mut r, 1, 0, 10_000), 1);
        assert_eq!(r.phase(), Phase::Fast { recover: Offset(10_000), partial: false });
        assert!(r.is_forced());
        assert_eq!((dups(&mut r, 4, 0, 10_000), r.credit()), (0, 7000));
    }

    #[test]
    fn an_ack_between_duplicates_starts_the_count_anew() {
        let mut r = Recovery::new();
        dups(&mut r, 2, 0, 10_000);
        assert!(r.on_limited(1000, false));
        assert_eq!(r.on_ack(Offset(1000), 1000, MSS, false), Progress::Normal);
        assert_eq!((r.credit(), r.limited()), (0, 0));
        assert!(!r.on_limited(1000, false));
        assert_eq!(dups(&mut r, 2, 1000, 10_000), 0);
    }

    #[test]
    fn rfc6582_partial_acks_deflate_and_the_full_one_ends_it() {
        let mut r = Recovery::new();
        dups(&mut r, 6, 0, 10_000);
        r.on_retransmitted(Offset(1000));
        assert_eq!(r.on_ack(Offset(3000), 3000, MSS, false), Progress::Partial { first: true, lost: true });
        assert_eq!((r.credit(), r.is_forced()), (4000, true));
        assert_eq!(r.on_ack(Offset(5000), 2000, MSS, false), Progress::Partial { first: false, lost: true });
        assert_eq!(r.on_ack(Offset(10_000), 5000, MSS, false), Progress::Recovered);
        assert_eq!((r.phase(), r.credit(), r.is_forced()), (Phase::Open, 0, false));
        // Duplicates that the repair itself caused begin no second one.
        assert_eq!(dups(&mut r, 9, 10_000, 20_000), 0);
        r.on_ack(Offset(11_000), 1000, MSS, false);
        assert_eq!(dups(&mut r, 9, 11_000, 20_000), 1);
    }

    #[test]
    fn what_was_sent_again_before_a_recovery_is_none_of_its_repairs() {
        let mut r = Recovery::new();
        r.on_retransmitted(Offset(9000));
        dups(&mut r, 3, 0, 10_000);
        assert_eq!(r.on_ack(Offset(1000), 1000, MSS, false), Progress::Partial { first: true, lost: true });
    }

    #[test]
    fn rfc6582_no_fast_retransmit_for_what_a_timeout_repairs() {
        let mut r = Recovery::new();
        assert!(!r.on_timeout(Offset(0), Offset(10_000)));
        assert_eq!(dups(&mut r, 5, 0, 10_000), 0);
        assert_eq!(r.credit(), 0);
        assert!(r.on_timeout(Offset(0), Offset(10_000)));
        assert_eq!(r.on_ack(Offset(5000), 5000, MSS, false), Progress::Normal);
        assert_eq!(r.phase(), Phase::Loss { recover: Offset(10_000) });
        assert!(!r.on_timeout(Offset(5000), Offset(12_000)));
        assert_eq!(r.on_ack(Offset(12_000), 7000, MSS, false), Progress::Normal);
        assert_eq!(r.phase(), Phase::Open);
    }
}
