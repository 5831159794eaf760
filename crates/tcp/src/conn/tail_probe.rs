//! Tail loss probes (RFC 8985 §7, `S38`): when the last ACKs of a flight do not come, one segment asks for them
//! before the retransmission timer would, so that a loss at the tail is repaired by SACK and not by a timeout.

use super::recovery::Phase;
use super::timers::Timer;
use super::{Connection, State};
use crate::{Burst, BurstKind, Nanos, Offset, Payload, Time, TxLimits};

/// What a peer may add by delaying its ACK of less than two full segments (RFC 8985 §7.2, TLP.max_ack_delay).
const MAX_ACK_DELAY: Nanos = Nanos::from_millis(200);

/// What a peer may add in any case: where a round trip takes microseconds, the peer's being scheduled takes longer than
/// two of them. RFC 8985 §7.2 leaves the calculation open; Linux adds two ticks of its clock (`TCP_TIMEOUT_MIN`), which
/// is as much at 1000 Hz.
const SCHEDULING_DELAY: Nanos = Nanos::from_millis(2);

/// A probe that left.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Sent {
    /// TLP.end_seq: SND.NXT when it left.
    end: Offset,
    /// It was sent before (TLP.is_retrans).
    again: bool,
}

/// The state of probing. There is at most one probe outstanding.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TailProbe {
    due: bool,
    sent: Option<Sent>,
}

impl TailProbe {
    /// The timer expired and the probe has not left yet.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Nothing is due and nothing is outstanding.
    fn is_idle(&self) -> bool {
        !self.due && self.sent.is_none()
    }

    /// Something better than a probe happens.
    pub(super) fn cancel(&mut self) {
        *self = TailProbe::default();
    }

    /// A probe is no longer called for.
    pub(super) fn retire(&mut self) {
        self.due = false;
    }

    /// The probe left; SND.NXT is `end`. `again` when it was sent before.
    pub(super) fn on_sent(&mut self, end: Offset, again: bool) {
        (self.due, self.sent) = (false, Some(Sent { end, again }));
    }
}

impl<P: Payload> Connection<P> {
    /// New data left, or an ACK of new data came: begins the wait for the next ACK anew (RFC 8985 §7.2).
    pub(super) fn schedule_tail_probe(&mut self, now: Time) {
        self.timers.stop(Timer::TailProbe);
        let possible = self.cfg.tail_loss_probe
            && self.peer.sack
            && self.tail_probe.is_idle()
            && self.recovery.phase() == Phase::Open
            && !self.flight.is_empty()
            && self.flight.lost() == 0
            // RFC 8985 §7.2: while something is beyond a gap the reordering timer watches.
            && self.flight.sacked() == 0;
        let Some(srtt) = self.rtt.srtt().filter(|_| possible) else { return };
        // A receiver acknowledges every second full segment at once (RFC 9293 §3.8.6.3), and may sit on less.
        let delayed = self.flight.bytes() < 2 * self.cc.mss();
        let wait = srtt * 2 + if delayed { MAX_ACK_DELAY } else { SCHEDULING_DELAY };
        // Where the retransmission timer comes first there is nothing to gain.
        if wait < self.rtt.rto() {
            self.timers.arm(Timer::TailProbe, now + wait);
        }
    }

    /// The timer expired.
    pub(super) fn on_tail_probe_timer(&mut self) {
        let open = self.recovery.phase() == Phase::Open && self.state.may_send();
        self.tail_probe.due = open && !self.flight.is_empty() && self.flight.lost() == 0;
    }

    /// The probe that is due: a segment that asks for the ACKs of those before it, new data where there is some, else the newest again
    /// (RFC 8985 §7.3). Whatever cwnd says.
    pub(super) fn propose_tail_probe(&mut self, now: Time, limits: &TxLimits) -> Option<Burst> {
        if self.proposed.special || self.proposed.bursts > 0 {
            return None;
        }
        let options = self.ack_options(now);
        let mss = u64::from(self.segment_mss(options.len()));
        let slices = limits.max_slices.max(1);
        let from = self.queue.proposed();
        let new = self.queue.end().since(from).min(self.window.right().since(from)).min(mss);
        if new > 0 {
            let len = self.queue.span(from, new, mss, slices).len;
            self.proposed.special = true;
            self.queue.propose(len);
            return Some(self.data_burst(from, len, false, BurstKind::New, mss, options));
        }
        let (start, end) = self.flight.newest()?;
        let data_end = self.queue.end().min(end);
        let start = start.max(Offset(data_end.0.saturating_sub(mss)));
        let start = self.queue.record_start(start, data_end);
        let data = data_end.since(start);
        let len = if data > 0 { self.queue.span(start, data, mss, slices).len } else { 0 };
        let fin = end > self.queue.end() && len == data;
        self.proposed.special = true;
        Some(self.data_burst(start, len, fin, BurstKind::Retransmit, mss, options))
    }

    /// A probe left at `now`, with new data or `again`.
    pub(super) fn commit_tail_probe(&mut self, now: Time, again: bool) {
        self.counts.tail_probes += 1;
        self.tail_probe.on_sent(self.snd_nxt(), again);
        self.timers.stop(Timer::TailProbe);
        self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
    }

    /// `end` is where the probe ended that was sent before, if there is one.
    pub(super) fn is_tail_probe(&self, end: Offset) -> bool {
        self.tail_probe.sent.is_some_and(|probe| probe.again && probe.end == end)
    }

    /// Looks what an ACK of `ack` says of the probe (RFC 8985 §7.4.2). `twice` when it says that something arrived twice
    /// (RFC 2883 §4): the probe and not only the original. `duplicate` when it is a duplicate one.
    pub(super) fn on_tail_probe_acked(&mut self, now: Time, ack: Offset, twice: bool, duplicate: bool) {
        let Some(probe) = self.tail_probe.sent.filter(|probe| ack >= probe.end) else { return };
        if !probe.again || twice || duplicate {
            self.tail_probe.sent = None;
        } else if ack > probe.end {
            // Only one of the two arrived: there was a loss, and the probe repaired it unseen.
            self.tail_probe.sent = None;
            if self.state != State::Closed {
                self.doubt = None;
                self.reduce_for_loss(now, self.flight.bytes());
            }
        }
    }
}

folds! { struct Sent { end, again } }
folds! { struct TailProbe { due, sent } }
