//! What becomes of proposals: committed when the device took them, forgotten when it did not (`S24`).
//!
//! Everything a segment that left entails happens in `on_sent`. All that is remembered of a burst that was refused is
//! that the peer may have some of it all the same.

use super::delivery::Snapshot;
use super::flight::Departure;
use super::output::Proposed;
use super::recovery::Phase;
use super::timers::Timer;
use super::{Connection, Fin, First, State};
use crate::wire::TcpFlags;
use crate::{Burst, BurstKind, Offset, Payload, Time};

impl<P: Payload> Connection<P> {
    /// `burst` was handed to the device at `now`: commits it. Proposals are committed in the order they were made;
    /// of a burst that left only in part, commit [`Burst::first`] and refuse the burst.
    ///
    /// Afterwards `next_timeout` and `time_wait` may answer anew.
    pub fn on_sent(&mut self, burst: &Burst, now: Time) {
        self.proposed.bursts = self.proposed.bursts.saturating_sub(1);
        self.counts.segments_sent += u64::from(burst.segments());
        self.counts.bursts += u64::from(burst.len > 0);
        if self.state == State::Closed && burst.kind != BurstKind::Reset {
            return;
        }
        if self.announced.is_due() {
            self.on_announcing_sent(burst);
        }
        if self.ecn.is_accurate() {
            self.on_count_sent(burst);
        }
        let end = end_of(burst);
        match burst.kind {
            BurstKind::Syn => {
                self.counts.segments_retransmitted += u64::from(self.syn.sent.is_some());
                self.syn.retransmits += u32::from(self.syn.sent.is_some());
                self.syn.sent = Some(now);
                self.on_ecn_syn_sent(burst.flags);
                self.syn.due = false;
                self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
            }
            BurstKind::New => self.commit_new(burst, end, now),
            BurstKind::Retransmit => self.commit_retransmission(burst, end, now),
            BurstKind::WindowProbe => {
                self.counts.window_probes += 1;
                self.persist.on_probe();
                self.note_offered(burst.offset, end);
            }
            BurstKind::Keepalive => self.commit_keepalive(now),
            BurstKind::Ack => self.ack.on_bare_sent(),
            BurstKind::Reset => self.first = First::Nothing,
        }
        if burst.kind != BurstKind::Reset && (burst.flags.has(TcpFlags::ACK) || burst.kind == BurstKind::Syn)
        {
            self.commit_ack(burst);
        }
        if self.proposed.bursts == 0 {
            self.commit_rest();
            self.retract();
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    /// The device did not take `burst`: leaves everything as it was before the proposal. All proposals made after
    /// it must be refused too, before the next one is asked for.
    ///
    /// A driver that segments in software may have sent the first segments of it before it failed. So an ACK for
    /// bytes that were refused is believed: they count as sent then.
    pub fn on_refused(&mut self, burst: &Burst) {
        // Devices take frames in order and stop at the first that fails: nothing behind that one can have left.
        let first = burst.offset <= self.queue.nxt();
        if matches!(burst.kind, BurstKind::New | BurstKind::Retransmit | BurstKind::WindowProbe) && first {
            self.note_offered(burst.offset, end_of(burst));
            // And its window: the edge that the peer may have seen is not taken back (SHLD-14).
            let wnd = u64::from(burst.window) << self.recv_window.scale;
            self.recv_window.on_sent(self.recv.next(), wnd);
        }
        self.retract();
    }

    /// The peer may have `start..end` from now on, whatever SND.NXT says.
    fn note_offered(&mut self, start: Offset, end: Offset) {
        self.offered = self.offered.max(end);
        self.flight.on_offered(start, end);
    }

    /// Forgets every proposal.
    pub(super) fn retract(&mut self) {
        self.queue.retract();
        self.proposed = Proposed::default();
    }

    fn commit_new(&mut self, burst: &Burst, end: Offset, now: Time) {
        let len = u64::from(burst.len);
        let cwnd = self.cwnd();
        debug_assert!(end <= self.window.right(), "SND.NXT beyond the window");
        self.queue.commit(len);
        if burst.flags.has(TcpFlags::FIN) {
            self.fin = Fin::Sent;
        }
        let idle = self.flight.is_empty();
        if idle {
            self.cc.on_start(now);
        }
        let stamp = self.delivery.on_sent(now, idle, self.snapshot(len));
        let left = Departure { start: burst.offset, end, mss: burst.mss, at: now, stamp };
        self.flight.on_sent(left, burst.offset < self.offered);
        self.quiet_since = now;
        self.end_wait();
        self.on_paced_sent(now, len);
        self.counts.bytes_sent += len;
        self.send_times.advance(self.queue.nxt(), self.queue.una(), now);
        if len > 0 {
            self.ack.on_answer(now, self.delayed_ack());
        }
        self.path.on_sent(burst);
        if let Some((_, size)) = self.proposed.mtu_probe.take_if(|(at, _)| *at == burst.offset) {
            self.on_mtu_probe_sent(size, burst.offset, end);
        }
        if burst.flags.has(TcpFlags::CWR) {
            self.on_cwr_sent();
        }
        let tail = len % u64::from(burst.mss);
        if tail != 0 {
            self.small_end = burst.offset + len;
        }
        if tail != len {
            self.full_end = burst.offset + (len - tail);
        }
        if burst.flags.has(TcpFlags::PSH) {
            self.pushed = burst.offset + len;
        }
        let outstanding = self.flight.bytes() - self.flight.lost();
        let pipe = self.committed_pipe();
        // A bare FIN is no matter of cwnd.
        let probe = self.tail_probe.is_due();
        debug_assert!(len == 0 || probe || pipe <= cwnd.max(u64::from(burst.mss)) + 1, "pipe beyond cwnd");
        if outstanding > cwnd && self.recovery.on_limited(len, self.flight.sacked() > 0) {
            self.counts.limited_transmits += u64::from(burst.segments());
        }
        self.on_reduced_sent(len);
        self.note_cwnd_limit(pipe, cwnd);
        if self.queue.nxt() == self.queue.end() {
            self.cork.on_drained();
        }
        if self.send_buffer.waits_for_sending() {
            self.tell_writable();
        }
        self.timers.stop(Timer::Cork);
        self.timers.stop(Timer::Autocork);
        self.autocork.on_sent();
        self.timers.stop(Timer::Persist);
        self.persist.stop();
        // RFC 6298 §5.1.
        self.timers.arm_if_idle(Timer::Retransmit, now + self.rtt.rto());
        match probe {
            true => self.commit_tail_probe(now, false),
            false => self.schedule_tail_probe(now),
        }
    }

    fn commit_retransmission(&mut self, burst: &Burst, end: Offset, now: Time) {
        let len = u64::from(burst.len);
        let cwnd = self.cwnd();
        self.proposed.retransmit_bytes =
            self.proposed.retransmit_bytes.saturating_sub(end.since(burst.offset));
        // After a timeout all of it is lost, and nothing under way (draft-ietf-ccwg-bbr §4.1.2.2: C.inflight is zero). The wait
        // for the timer is not the path's: were it counted, a few timeouts in a row would make a fast path look like
        // bits per second, and who paces by that never finds out.
        let idle = self.flight.pipe() == 0;
        let stamp = self.delivery.on_sent(now, idle, self.snapshot(len));
        self.flight.on_retransmitted(Departure { start: burst.offset, end, mss: burst.mss, at: now, stamp });
        self.quiet_since = now;
        self.end_wait();
        self.on_paced_sent(now, len);
        let pipe = self.committed_pipe();
        if self.recovery.is_forced() {
            self.counts.recovery_exceptions += u64::from(pipe > cwnd);
        }
        self.recovery.on_retransmitted(end);
        self.on_reduced_sent(len);
        self.counts.bytes_retransmitted += len;
        let segments = u64::from(burst.segments());
        self.counts.segments_retransmitted += segments;
        match self.recovery.phase() {
            _ if self.tail_probe.is_due() => self.counts.probe_retransmits += segments,
            Phase::Loss { .. } => self.counts.timeout_retransmits += segments,
            Phase::Open | Phase::Fast { .. } => self.counts.fast_retransmits += segments,
        }
        if !self.tail_probe.is_due() {
            self.note_repair(burst, now);
        }
        self.note_cwnd_limit(pipe, cwnd);
        self.timers.arm_if_idle(Timer::Retransmit, now + self.rtt.rto());
        if self.tail_probe.is_due() {
            self.commit_tail_probe(now, true);
        }
    }

    /// The network as a burst of `len` bytes leaves that is not in flight yet.
    fn snapshot(&self, len: u64) -> Snapshot {
        Snapshot { in_flight: self.committed_pipe() + len, lost: self.flight.losses.total() }
    }

    /// Remembers up to where the window was what held us back, in bytes or in segments, and the most that was in the
    /// network at once in the last window of data.
    fn note_cwnd_limit(&mut self, pipe: u64, cwnd: u64) {
        let mss = self.cc.mss();
        if pipe + mss > cwnd || self.are_too_many(mss) {
            self.limited_until = self.snd_nxt();
        }
        if pipe > self.peak || self.snd_una() >= self.peak_until {
            (self.peak, self.peak_until) = (pipe, self.snd_nxt());
        }
    }

    /// The window may grow for an ACK of what begins at `una`: it was the limit. In slow start half of it is enough,
    /// since it doubles while ACKs for the first half arrive (RFC 7661 §4.1).
    pub(super) fn is_cwnd_limited(&self, una: Offset) -> bool {
        let cwnd = self.cc.cwnd();
        self.was_window_full(una) || (cwnd < self.cc.ssthresh() && cwnd < 2 * self.peak)
    }

    /// Of what was outstanding when an ACK of what begins at `una` came, something left with a full window.
    pub(super) fn was_window_full(&self, una: Offset) -> bool {
        una < self.limited_until
    }

    /// The ACK and window fields of `burst` are on their way.
    fn commit_ack(&mut self, burst: &Burst) {
        let syn = burst.kind == BurstKind::Syn;
        let wnd = u64::from(burst.window) << if syn { 0 } else { self.recv_window.scale };
        if !burst.flags.has(TcpFlags::ACK) {
            self.recv_window.on_sent(Offset::ZERO, wnd);
            return;
        }
        let everything = burst.ack == self.rcv_seq(self.rcv_nxt());
        let behind = self.rcv_seq(self.rcv_nxt()).diff(burst.ack).max(0) as u64;
        self.acked_to = self.acked_to.max(self.rcv_nxt() - behind);
        self.recv_window.on_sent(self.recv.next() - behind.min(self.recv.next().0), wnd);
        // A keepalive probe is one the peer does not accept: it answers and reads nothing of it, not even the ACK (RFC 9293
        // §3.10.7.4). Whatever ACK is owed is owed still (`S47`).
        if burst.kind == BurstKind::Keepalive {
            return;
        }
        self.ack.on_sent(everything);
        if everything {
            self.timers.stop(Timer::DelayedAck);
        }
    }
}

/// The offset behind everything `burst` carries, FIN included.
fn end_of(burst: &Burst) -> Offset {
    burst.offset + u64::from(burst.len) + u64::from(burst.flags.has(TcpFlags::FIN))
}
