//! The ACK field of a segment: SND.UNA, the peer's window, RTT, recovery and congestion control
//! (RFC 9293 §3.10.7.4 fifth, RFC 5681, RFC 6582, RFC 6298 §5).

use super::cc::AckSample;
use super::flight::Arrived;
use super::recovery::{Phase, Progress};
use super::scoreboard::Report;
use super::timers::Timer;
use super::{Connection, Fin, State};
use crate::wire::{TcpFlags, Timestamps};
use crate::{Event, Nanos, Offset, Payload, Segment, Time};

/// The least wait for an ACK that takes the suspicion of reneging away.
const RENEGED_PATIENCE: Nanos = Nanos::from_millis(10);

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
            self.on_handshake_ace(seg);
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
        if delta >= 0 {
            self.on_ecn_ack(now, una, una + delta as u64, seg);
        }
        // Nearly every ACK has no SACK option: all of this is off its path.
        let report = match self.peer.sack && !seg.options.sack.as_slice().is_empty() {
            true => Some(self.sack_report(seg)),
            false => None,
        };
        if delta > 0 {
            let ack = una + delta as u64;
            self.on_new_ack(now, una, ack, ecr, report.as_ref());
            if self.state == State::Closed {
                return false;
            }
            self.window.update(seq, ack, seg.window);
        } else {
            if delta == 0 {
                let dup = self.is_duplicate_ack(seg);
                self.window.update(seq, una, seg.window);
                if dup {
                    self.on_duplicate_ack(now);
                }
            }
            // What an ACK reports by SACK counts, however late the ACK is.
            if let Some(report) = &report {
                self.on_sack(now, ecr, report);
            }
        }
        let ack = Offset((una.0 as i64 + delta).max(0) as u64);
        let twice = report.is_some_and(|report| report.dsack.is_some());
        self.on_tail_probe_acked(now, ack, twice, delta == 0 && seg.payload.is_empty() && report.is_none());
        self.on_window(now);
        true
    }

    /// An ACK that repeats SND.UNA and speaks of a loss.
    ///
    /// Without SACK, by RFC 5681 §2: (a) data is outstanding, (b) no text, (c) neither SYN nor FIN, (d) it repeats
    /// SND.UNA, (e) the window is the same. Answers to window probes look alike and are none. With SACK nobody counts.
    fn is_duplicate_ack(&mut self, seg: &Segment<P>) -> bool {
        if self.peer.sack || self.flight.is_empty() || self.window.right() <= self.snd_una() {
            return false;
        }
        seg.payload.is_empty()
            && !seg.flags.has(TcpFlags::FIN)
            && self.window.scaled(seg.window) == self.window.wnd()
    }

    fn on_duplicate_ack(&mut self, now: Time) {
        self.counts.dup_acks += 1;
        let mss = u64::from(self.mss());
        let limited = self.recovery.limited();
        self.judge_duplicate();
        if self.recovery.on_dup_ack(self.snd_una(), self.snd_nxt(), mss) {
            self.counts.fast_recoveries += 1;
            self.doubt_recovery();
            self.tail_probe.cancel();
            self.timers.stop(Timer::TailProbe);
            self.reduce_for_loss(now, self.flight.bytes().saturating_sub(limited));
            // What a mark began goes on as RFC 6582 has it.
            self.prr = None;
            self.flight.mark_first_lost(mss);
        }
    }

    /// SND.UNA moves from `una` to `ack`.
    fn on_new_ack(&mut self, now: Time, una: Offset, ack: Offset, ecr: Option<u32>, report: Option<&Report>) {
        let mut acked = Arrived::default();
        if self.doubt.is_some() {
            acked.cut = self.flight.cuts_segment(ack);
        }
        self.flight.on_acked(ack, &mut acked);
        if let Some(report) = report {
            self.take_report(now, report, &mut acked);
        }
        if ack > self.snd_nxt() {
            self.commit_offered(ack);
            // When what came last left is unknown.
            acked.sent = None;
        }
        if ack >= self.path.search.awaited {
            self.on_mtu_probe_acked();
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
            None if acked.ambiguous => self.sample_by_timestamp(now, ecr),
            None => {}
        }

        let mss = self.cc.mss();
        // What duplicate ACKs told of has let out new segments already: it opens no window (RFC 3042 §2).
        let told = if self.recovery.phase() == Phase::Open { self.recovery.credit() } else { 0 };
        self.note_arrival(now, &acked, ecr);
        self.judge_arrival(now, &acked, Some(ack), ecr);
        let rate = self.delivery.on_acked(
            now,
            acked.delivered,
            acked.newest,
            self.rtt.min(),
            self.flight.losses.total(),
        );
        let was = self.recovery.phase();
        let progress = self.recovery.on_ack(ack, ack.since(una), mss, self.peer.sack);
        match progress {
            Progress::Normal => {}
            Progress::Partial { lost: true, .. } => self.flight.mark_first_lost(mss),
            Progress::Partial { lost: false, .. } => {}
            Progress::Recovered if self.prr.take().is_some() => {
                // RFC 9937 §6.2: the pipe was brought there on the way.
                self.cc.on_recovered(self.flight.bytes().max(self.cc.ssthresh()));
            }
            Progress::Recovered => self.cc.on_recovered(self.flight.bytes()),
        }
        let marked = self.ecn.is_echoed();
        self.cc.on_ack(&AckSample {
            now,
            acks: self.outrun + 1,
            // What cwnd let out; not what the device refused and the peer has all the same.
            acked: acked.delivered.saturating_sub(told).max(1),
            una: ack,
            flight: self.flight.bytes(),
            pipe: self.committed_pipe(),
            delivered: self.delivery.delivered(),
            // RFC 3168 §6.1.2: nor for an ACK that echoes a mark.
            cwnd_limited: progress == Progress::Normal
                && self.prr.is_none()
                && self.is_cwnd_limited(una)
                && (!marked || self.cc.wants_every_mark()),
            window_full: self.was_window_full(una),
            after_rto: matches!(self.recovery.phase(), Phase::Loss { .. }),
            rtt: acked.sent.map(|sent| now.since(sent)),
            srtt: self.rtt.srtt(),
            rate,
            marked: self.ecn.marked_of(acked.delivered),
            sack: self.peer.sack,
            lost: self.flight.losses.take(),
        });
        let over = was != Phase::Open && self.recovery.phase() == Phase::Open;
        if over {
            self.rack.on_recovered();
            self.bound_doubt();
        }
        self.end_marked_reduction();
        if self.is_suspicious() {
            self.repair(now, &acked, over);
        } else if self.prr.is_some() {
            self.reduce(&acked, 0);
        }
        self.tune_send_buffer();

        // RFC 6298 §5.2 and §5.3; of partial ACKs only the first restarts the timer (RFC 6582 §4, "impatient").
        if self.flight.is_empty() {
            self.timers.stop(Timer::Retransmit);
        } else if !matches!(progress, Progress::Partial { first: false, .. }) {
            self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
        }
        self.schedule_tail_probe(now);
        if self.flight.sacked() > 0 && self.flight.is_reneged() {
            self.hurry_reneged(now);
        }
        if self.has_work() {
            self.timers.arm(Timer::User, now + self.cfg.user_timeout);
        } else {
            self.timers.stop(Timer::User);
        }

        if self.fin == Fin::Sent && ack > self.queue.end() {
            self.on_fin_acked(now);
        }
    }

    /// An ACK of nothing new reports something by SACK.
    fn on_sack(&mut self, now: Time, ecr: Option<u32>, report: &Report) {
        let mut arrived = Arrived::default();
        self.take_report(now, report, &mut arrived);
        if arrived.delivered == 0 {
            return;
        }
        self.counts.dup_acks += 1;
        let rtt = match arrived.latest {
            Some((sent, _, false)) => Some(now.since(sent)),
            _ => None,
        };
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt);
        }
        self.note_arrival(now, &arrived, ecr);
        self.judge_arrival(now, &arrived, None, ecr);
        let rate = self.delivery.on_acked(
            now,
            arrived.delivered,
            arrived.newest,
            self.rtt.min(),
            self.flight.losses.total(),
        );
        self.cc.on_ack(&AckSample {
            now,
            acks: self.outrun + 1,
            acked: arrived.delivered,
            una: self.snd_una(),
            flight: self.flight.bytes(),
            pipe: self.committed_pipe(),
            delivered: self.delivery.delivered(),
            // What arrived out of order opens no window (RFC 3042 §2).
            cwnd_limited: false,
            window_full: self.was_window_full(self.snd_una()),
            after_rto: matches!(self.recovery.phase(), Phase::Loss { .. }),
            rtt,
            srtt: self.rtt.srtt(),
            rate,
            marked: self.ecn.marked_of(arrived.delivered),
            sack: self.peer.sack,
            lost: self.flight.losses.take(),
        });
        self.tail_probe.retire();
        self.timers.stop(Timer::TailProbe);
        self.repair(now, &arrived, false);
    }

    /// Marks what `report` says the peer has.
    fn take_report(&mut self, now: Time, report: &Report, arrived: &mut Arrived) {
        let before = self.flight.sacked();
        for &(start, end) in report.blocks() {
            self.flight.on_sacked(start, end, arrived);
        }
        self.counts.bytes_sacked += self.flight.sacked().saturating_sub(before);
        if let Some((start, end)) = report.dsack {
            self.counts.dsacks += 1;
            if !self.is_tail_probe(end) {
                self.on_needless();
                self.judge_dsack(now, start, end);
            }
        }
    }

    /// Something may be lost that was not found yet.
    fn is_suspicious(&self) -> bool {
        self.peer.sack
            && (self.flight.sacked() > 0
                || self.recovery.phase() != Phase::Open
                || self.timers.is_armed(Timer::Reordering))
    }

    /// What was overtaken has had its time.
    pub(super) fn on_reordering_timer(&mut self, now: Time) {
        self.repair(now, &Arrived::default(), false);
    }

    /// Finds what is lost and begins or continues fast recovery (RFC 6675 §5), after an ACK of what `arrived` or when time
    /// passed. `over`: a recovery just ended.
    fn repair(&mut self, now: Time, arrived: &Arrived, over: bool) {
        let lost = self.detect_losses(now);
        if lost > 0 && self.is_mtu_probe_lost(now) {
            return;
        }
        // What a recovery left behind was lost after it began: that is another one.
        if (lost > 0 || (over && self.flight.lost() > 0))
            && self.recovery.on_lost(self.snd_una(), self.snd_nxt())
        {
            self.counts.fast_recoveries += 1;
            self.doubt_recovery();
            self.tail_probe.cancel();
            self.timers.stop(Timer::TailProbe);
            // What limited transmit sent beyond the window does not count (RFC 6675 §5 step 4.2).
            self.reduce_for_loss(now, self.flight.bytes().min(self.cc.cwnd()));
            self.begin_reduction(arrived);
        }
        self.reduce(arrived, lost);
    }

    /// The peer acknowledges up to what it had reported and not that: unless an ACK on its way says otherwise, it dropped
    /// that, and only a timeout sends it again (RFC 2018 §8). As in Linux that comes after half a round trip, 10 ms at
    /// least, and after the retransmission timeout at most.
    fn hurry_reneged(&mut self, now: Time) {
        let half = self.rtt.srtt().unwrap_or(Nanos::ZERO) / 2;
        self.timers.stop(Timer::TailProbe);
        self.timers.arm(Timer::Retransmit, now + half.max(RENEGED_PATIENCE).min(self.rtt.rto()));
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
