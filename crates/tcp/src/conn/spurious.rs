//! Reductions that prove needless, and are taken back (`S40`): nothing was lost, only late.
//!
//! Three proofs, whichever comes first. The echoed timestamp of the ACK for the first retransmission is older than that
//! is (Eifel, RFC 3522). After a timeout the second ACK covers what was sent only once, although the sender went on with
//! new data instead of repairing (F-RTO, RFC 5682 §3.1). The peer reports that every single retransmission arrived
//! twice (RFC 2883). Then the window is restored (RFC 4015), what was not sent again counts as in the network, and the
//! retransmission timer learns from the delay.

use super::flight::{Arrived, Flight};
use super::recovery::Phase;
use super::timers::Timer;
use super::{Connection, timestamp_clock};
use crate::{Burst, Offset, Payload, Time};

/// New segments that F-RTO sends before it knows (RFC 5682 §3.1 step 2b).
const PROBES: u64 = 2;

/// What the last reduction may be proven needless by.
#[derive(Copy, Clone, Debug)]
pub(super) struct Doubt {
    /// The timer began it.
    timeout: bool,
    /// SND.UNA when it began.
    una: Offset,
    /// SND.NXT when it began: RecoveryPoint of RFC 5682.
    recover: Offset,
    /// The timestamp of its first retransmission, when that was of the oldest byte, until an ACK is judged by it.
    stamp: Option<u32>,
    /// Bytes sent again that the peer did not report to have twice.
    unreported: u64,
    /// Something was sent again.
    resent: bool,
    /// Behind what the timeout itself sent again.
    resent_to: Offset,
    frto: Frto,
    /// Once the recovery is over: SND.NXT then. What is acknowledged behind it cannot prove anything any more.
    until: Option<Offset>,
}

/// Where F-RTO is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Frto {
    /// It is not tried, or did not say.
    Off,
    /// The oldest segment was sent again.
    First,
    /// An ACK came for it: new data leaves, and the next ACK decides.
    Second,
}

impl Doubt {
    fn new(timeout: bool, una: Offset, recover: Offset) -> Doubt {
        let frto = if timeout { Frto::First } else { Frto::Off };
        Doubt {
            timeout,
            una,
            recover,
            stamp: None,
            unreported: 0,
            resent: false,
            resent_to: una,
            frto,
            until: None,
        }
    }
}

impl Flight {
    /// Whether `at` lies within a segment that left once.
    pub(super) fn cuts_segment(&self, at: Offset) -> bool {
        let i = self.records.partition_point(|record| record.end <= at);
        self.records.get(i).is_some_and(|record| {
            let mss = u64::from(record.mss.max(1));
            record.start < at && !record.ambiguous && !at.since(record.start).is_multiple_of(mss)
        })
    }
}

impl<P: Payload> Connection<P> {
    /// Fast recovery begins.
    pub(super) fn doubt_recovery(&mut self) {
        self.doubt = Some(Doubt::new(false, self.snd_una(), self.snd_nxt()));
    }

    /// The retransmission timer expired, in the phase `was`; `repeated` without progress since it did before: the first
    /// time is what is in doubt then.
    pub(super) fn doubt_timeout(&mut self, was: Phase, repeated: bool) {
        let known = self.doubt.filter(|doubt| repeated && doubt.timeout);
        let mut doubt = known.unwrap_or(Doubt::new(true, self.snd_una(), self.snd_nxt()));
        // RFC 5682 §3.1 step 1: not while an earlier timeout is repaired.
        if repeated || matches!(was, Phase::Loss { .. }) {
            doubt.frto = Frto::Off;
        }
        self.doubt = Some(doubt);
    }

    /// `burst` left again at `now`, as a repair.
    pub(super) fn note_repair(&mut self, burst: &Burst, now: Time) {
        let (una, stamp) = (self.snd_una(), timestamp_clock(now).wrapping_add(self.stamps.offset));
        let timestamps = self.peer.timestamps;
        if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.until.is_none()) {
            if !doubt.resent && timestamps && burst.offset == una {
                doubt.stamp = Some(stamp);
            }
            if doubt.frto == Frto::Second {
                // It found nothing new to send.
                doubt.frto = Frto::Off;
            }
            if doubt.frto == Frto::First {
                doubt.resent_to = doubt.resent_to.max(burst.offset + u64::from(burst.len));
            }
            doubt.resent = true;
            doubt.unreported += u64::from(burst.len);
        }
    }

    /// An ACK of what `arrived` moved SND.UNA to `ack`, or (`None`) only reported something by SACK.
    #[inline]
    pub(super) fn judge_arrival(
        &mut self,
        now: Time,
        arrived: &Arrived,
        ack: Option<Offset>,
        ecr: Option<u32>,
    ) {
        if self.doubt.is_some() {
            self.judge(now, arrived, ack, ecr);
        }
    }

    fn judge(&mut self, now: Time, arrived: &Arrived, ack: Option<Offset>, ecr: Option<u32>) {
        let may_probe = self.window.right() > self.snd_nxt() && self.queue.nxt() < self.queue.end();
        let Some(doubt) = &mut self.doubt else { return };
        if doubt.until.is_some_and(|until| ack.is_some_and(|ack| ack >= until)) {
            self.doubt = None;
            return;
        }
        let mut needless = false;
        if let (Some(_), Some(ecr), Some(stamp)) = (ack, ecr, doubt.stamp) {
            // RFC 3522 §3.2: the first acceptable ACK decides.
            needless = (ecr.wrapping_sub(stamp) as i32) < 0;
            doubt.stamp = None;
        }
        if doubt.frto != Frto::Off {
            // Who acknowledges a part of a segment acknowledges one arrival in several pieces (Savage et al. 1999): the second
            // of them tells no more than the first.
            let whole = !arrived.cut;
            doubt.frto = match doubt.frto {
                // Nothing was sent again yet: it is the original that arrived.
                Frto::First if ack.is_some() && !doubt.resent => {
                    needless = true;
                    Frto::Off
                }
                // Step 2b: all that the timeout sent again, and not all there was.
                Frto::First
                    if ack.is_some_and(|ack| doubt.resent_to <= ack && ack < doubt.recover)
                        && whole
                        && may_probe =>
                {
                    Frto::Second
                }
                // Step 3b: what was sent once, before the timeout, arrived after it.
                Frto::Second if whole && arrived.original.is_some_and(|at| at < doubt.recover) => {
                    needless = true;
                    Frto::Off
                }
                // Step 3a.
                Frto::Second => return self.end_probing(),
                // Step 2a.
                _ => Frto::Off,
            };
        }
        if needless {
            if !doubt.timeout {
                // As good a reason to wait longer as a DSACK, and not every peer sends these (RFC 8985 §3.3.2).
                self.on_needless();
            }
            self.take_back(now);
        }
    }

    /// A duplicate ACK came that reports nothing (RFC 5682 §2.1 steps 2a and 3a).
    pub(super) fn judge_duplicate(&mut self) {
        if self.doubt.is_some_and(|doubt| doubt.frto != Frto::Off) {
            self.end_probing();
        }
    }

    /// The peer reports that it has `start..end` twice.
    pub(super) fn judge_dsack(&mut self, now: Time, start: Offset, end: Offset) {
        let Some(doubt) = &mut self.doubt else { return };
        let bytes = end.since(start.max(doubt.una));
        if doubt.unreported > 0 {
            doubt.unreported = doubt.unreported.saturating_sub(bytes);
            if doubt.unreported == 0 {
                self.take_back(now);
            }
        }
    }

    /// A recovery ended. What the peer got twice it reports for another round trip.
    pub(super) fn bound_doubt(&mut self) {
        let nxt = self.snd_nxt();
        if let Some(doubt) = &mut self.doubt {
            (doubt.until, doubt.stamp, doubt.frto) = (Some(nxt), None, Frto::Off);
        }
    }

    /// F-RTO sends new data, and nothing again: true with room for more of it, false without.
    pub(super) fn probes_with_new(&self) -> Option<bool> {
        let doubt = self.doubt.as_ref().filter(|doubt| doubt.frto == Frto::Second)?;
        Some(self.queue.proposed().since(doubt.recover) < PROBES * u64::from(self.mss()))
    }

    /// F-RTO sent something new.
    pub(super) fn has_probed(&self) -> bool {
        self.doubt.is_some_and(|doubt| self.queue.proposed() > doubt.recover)
    }

    /// F-RTO says no more: what is lost is repaired, at once although the new data fills the window (step 3a).
    pub(super) fn end_probing(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            if doubt.frto == Frto::Second {
                self.recovery.force();
            }
            doubt.frto = Frto::Off;
        }
    }

    /// Nothing had been lost.
    fn take_back(&mut self, now: Time) {
        let Some(doubt) = self.doubt.take() else { return };
        self.cc.on_spurious();
        self.prr = None;
        self.rack.forget_latest();
        if doubt.timeout {
            self.counts.spurious_timeouts += 1;
            self.rtt.on_spurious_timeout();
        } else {
            self.counts.spurious_recoveries += 1;
            // All of it arrived late: that is what the window for reordering is for.
            self.rack.on_late();
        }
        if self.recovery.phase() != Phase::Open {
            self.recovery.take_back();
            self.flight.unmark_lost();
            if !self.flight.is_empty() {
                self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
            }
        }
    }
}

folds! { enum Frto { Off, First, Second } }
folds! { struct Doubt { timeout, una, recover, stamp, unreported, resent, resent_to, frto, until } }
