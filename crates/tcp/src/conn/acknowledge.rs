//! The ACK field of a segment: SND.UNA, the peer's window, RTT, recovery and congestion control
//! (RFC 9293 §3.10.7.4 fifth, RFC 5681, RFC 6582, RFC 6298 §5).

use super::cc::AckSample;
use super::recovery::{Phase, Progress};
use super::timers::Timer;
use super::{Connection, Fin, State};
use crate::wire::{TcpFlags, Timestamps};
use crate::{Event, Offset, Payload, Segment, Time};

impl<P: Payload> Connection<P> {
    /// Processes the ACK of a segment `at` bytes from RCV.NXT. False when the segment is dropped with it.
    pub(super) fn on_ack_field(
        &mut self,
        now: Time,
        at: i64,
        seg: &Segment<P>,
        stamp: Option<Timestamps>,
    ) -> bool {
        let ecr = stamp.map(|ts| ts.ecr);
        let una = self.snd_una();
        let delta = i64::from(seg.ack.diff(self.snd_seq(una)));
        let seq = Offset((self.rcv_nxt().0 as i64 + at).max(0) as u64);

        if self.state == State::SynReceived {
            // Nothing but our SYN is there to be acknowledged.
            if self.syn.sent.is_none() || delta != 0 {
                self.queue_reset(seg.ack, None);
                return false;
            }
            self.establish(now, ecr);
            self.window.begin(seq, una, self.window.scaled(seg.window));
            return true;
        }

        // RFC 5961 §5.2: neither far behind nor ahead of what was sent, or may have been.
        let ahead = self.snd_nxt().max(self.offered).since(una) as i64;
        if delta > ahead || delta < -(self.window.max() as i64) {
            self.counts.segments_unacceptable += 1;
            self.challenge(now);
            return false;
        }
        self.unreachable = None;
        self.pulse.on_heard(now);
        self.cork.on_ack();
        if delta > 0 {
            let ack = una + delta as u64;
            self.on_new_ack(now, una, ack, ecr);
            if self.state == State::Closed {
                return false;
            }
            self.window.update(seq, ack, seg.window);
        } else if delta == 0 {
            let dup = self.is_duplicate_ack(seg);
            self.window.update(seq, una, seg.window);
            if dup {
                self.on_duplicate_ack(now);
            }
        }
        let ack = Offset((una.0 as i64 + delta).max(0) as u64);
        self.on_tail_probe_acked(now, ack, seg, delta == 0 && seg.payload.is_empty());
        self.on_window(now);
        true
    }

    /// An ACK that repeats SND.UNA and speaks of a loss.
    ///
    /// With SACK it reports bytes beyond a gap that were not reported before, whatever else it carries (RFC 6675
    /// §2); the block that changed last comes first (RFC 2018 §4), so one is enough to remember. A peer that got
    /// something twice reports only what is acknowledged already (RFC 2883), and that is no loss.
    ///
    /// Without SACK, by RFC 5681 §2: (a) data is outstanding, (b) no text, (c) neither SYN nor FIN, (d) it repeats
    /// SND.UNA, (e) the window is the same. Answers to window probes look alike and are none.
    fn is_duplicate_ack(&mut self, seg: &Segment<P>) -> bool {
        if self.flight.is_empty() || self.window.right() <= self.snd_una() {
            return false;
        }
        if self.peer.sack {
            let newest = seg.options.sack.as_slice().iter().copied().find(|&(_, right)| seg.ack.lt(right));
            return newest.is_some() && std::mem::replace(&mut self.last_sack, newest) != newest;
        }
        seg.payload.is_empty()
            && !seg.flags.has(TcpFlags::FIN)
            && self.window.scaled(seg.window) == self.window.wnd()
    }

    fn on_duplicate_ack(&mut self, now: Time) {
        self.counts.dup_acks += 1;
        let mss = u64::from(self.mss());
        let limited = self.recovery.limited();
        if self.recovery.on_dup_ack(self.snd_una(), self.snd_nxt(), mss) {
            self.counts.fast_recoveries += 1;
            self.tail_probe.cancel();
            self.timers.stop(Timer::TailProbe);
            self.cc.on_loss(now, self.flight.bytes().saturating_sub(limited));
            self.flight.mark_first_lost(mss);
        }
    }

    /// SND.UNA moves from `una` to `ack`.
    fn on_new_ack(&mut self, now: Time, una: Offset, ack: Offset, ecr: Option<u32>) {
        let mut acked = self.flight.on_acked(ack);
        if ack > self.snd_nxt() {
            self.commit_offered(ack);
            // When what came last left is unknown.
            acked.sent = None;
        }
        let before = self.queue.una();
        self.queue.acknowledge(ack);
        self.send_times.advance(self.queue.nxt(), self.queue.una(), now);
        let payload = self.queue.una().since(before);
        self.counts.bytes_acked += payload;
        if payload > 0 {
            self.events.push(Event::Acked);
            self.tell_writable();
        }

        match acked.sent {
            Some(sent) => self.rtt.sample(now.since(sent)),
            // RFC 7323 §4.1; Karn's rule without timestamps.
            None if acked.retransmitted => self.sample_by_timestamp(now, ecr),
            None => {}
        }

        let mss = u64::from(self.mss());
        // What duplicate ACKs told of has let out new segments already: it opens no window (RFC 3042 §2).
        let told = if self.recovery.phase() == Phase::Open { self.recovery.credit() } else { 0 };
        let rate = self.delivery.on_acked(now, acked.bytes, acked.newest, self.rtt.min());
        let progress = self.recovery.on_ack(ack, ack.since(una), mss);
        match progress {
            Progress::Normal => {}
            Progress::Partial { lost: true, .. } => self.flight.mark_first_lost(mss),
            Progress::Partial { lost: false, .. } => {}
            Progress::Recovered => self.cc.on_recovered(self.flight.bytes()),
        }
        self.cc.on_ack(&AckSample {
            now,
            // What cwnd let out; not what the device refused and the peer has all the same.
            acked: acked.bytes.saturating_sub(told).max(1),
            una: ack,
            flight: self.flight.bytes(),
            cwnd_limited: progress == Progress::Normal && self.is_cwnd_limited(una),
            after_rto: matches!(self.recovery.phase(), Phase::Loss { .. }),
            rtt: acked.sent.map(|sent| now.since(sent)),
            srtt: self.rtt.srtt(),
            rate,
        });
        self.tune_send_buffer();

        // RFC 6298 §5.2 and §5.3; of partial ACKs only the first restarts the timer (RFC 6582 §4, "impatient").
        if self.flight.is_empty() {
            self.timers.stop(Timer::Retransmit);
        } else if !matches!(progress, Progress::Partial { first: false, .. }) {
            self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
        }
        self.schedule_tail_probe(now);
        if self.has_work() {
            self.timers.arm(Timer::User, now + self.cfg.user_timeout);
        } else {
            self.timers.stop(Timer::User);
        }

        if self.fin == Fin::Sent && ack > self.queue.end() {
            self.on_fin_acked(now);
        }
    }

    /// The peer has what was offered up to `ack`, a probe or part of a burst that the device refused: it was sent after
    /// all, and is acknowledged with the same stroke. It was never in flight.
    fn commit_offered(&mut self, ack: Offset) {
        let bytes = ack.min(self.queue.end()).since(self.queue.nxt());
        self.queue.commit(bytes);
        self.counts.bytes_sent += bytes;
        if ack > self.queue.end() {
            self.fin = Fin::Sent;
        }
        if self.queue.nxt() == self.queue.end() {
            self.cork.on_drained();
            self.timers.stop(Timer::Cork);
        }
    }

    /// The peer's window may have changed: one of the retransmission timer and the persist timer runs.
    fn on_window(&mut self, now: Time) {
        let closed = self.window.right() <= self.snd_una();
        if !self.flight.is_empty() {
            if closed {
                // SHLD-17: what lies beyond the edge is not timed out but probed for.
                self.timers.stop(Timer::Retransmit);
                self.timers.arm_if_idle(Timer::Persist, now + self.persist.interval(&self.rtt));
            } else {
                self.timers.stop(Timer::Persist);
                self.persist.stop();
                self.timers.arm_if_idle(Timer::Retransmit, now + self.rtt.rto());
            }
        }
        if !self.has_work() {
            self.timers.stop(Timer::Persist);
            self.persist.stop();
        }
        // MUST-37: whoever answers probes stays, however long the window is closed.
        if self.timers.is_armed(Timer::Persist) {
            self.timers.arm(Timer::User, now + self.cfg.user_timeout);
        }
    }
}
