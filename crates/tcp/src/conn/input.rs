//! Segments that arrive, in the order of RFC 9293 §3.10.7, with the checks of RFC 5961 and RFC 7323.

use super::ack::Owed;
use super::timers::Timer;
use super::{Connection, State};
use crate::wire::{CE, TcpFlags, Timestamps};
use crate::{ConnErrorKind, Event, IcmpError, IcmpErrorKind, Nanos, Offset, Payload, Segment, Time};

/// A timestamp this old says nothing about order any more (RFC 7323 §5.5).
const TIMESTAMP_LIFETIME: Nanos = Nanos::from_secs(24 * 24 * 3600);

impl<P: Payload> Connection<P> {
    /// `n` bare ACKs arrived, and right behind them the segment that is fed in next: a bare ACK too, of more bytes. They are not
    /// fed in, since it says all that they did; only how many there were is news.
    #[inline]
    pub fn on_outrun(&mut self, n: u32) {
        self.outrun += n;
    }

    /// A segment of this connection arrived at `now`. Its checksum was verified, and its addresses are those of
    /// [`tuple`](Connection::tuple).
    ///
    /// Afterwards `poll_transmit`, `poll_event`, `read`, `pop_reclaimed`, `time_wait` and `next_timeout` may all
    /// answer anew. Feed every segment of a receive burst before polling: ACKs are aggregated (MUST-58).
    pub fn on_segment(&mut self, now: Time, seg: Segment<P>) {
        self.counts.segments_received += u64::from(self.outrun) + 1;
        match self.state {
            // Whoever owns the endpoint answers for what does not exist.
            State::Closed | State::Listen => self.outrun = 0,
            State::SynSent => self.on_segment_syn_sent(now, seg),
            _ => self.on_segment_synchronized(now, seg),
        }
        self.outrun = 0;
        if self.ack.owed() == Owed::Later {
            self.timers.arm_if_idle(Timer::DelayedAck, now + self.delayed_ack());
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    /// RFC 9293 §3.10.7.4: every state in which the peer's sequence numbers are known.
    fn on_segment_synchronized(&mut self, now: Time, mut seg: Segment<P>) {
        let flags = seg.flags;
        if self.state == State::SynReceived && flags.has(TcpFlags::SYN) && seg.seq == self.irs {
            if !flags.any(TcpFlags::ACK | TcpFlags::RST) {
                // The peer's SYN again: our SYN,ACK was lost, or is late.
                if !self.on_ecn_peer_syn_again(flags, seg.ecn) {
                    return self.abort(now);
                }
                self.syn.due |= self.ack.challenge(now);
                return;
            }
            // Simultaneous open, figure 7 of RFC 9293 §3.5: a SYN,ACK repeats a SYN we know.
            seg.seq += 1;
            seg.flags = flags.without(TcpFlags::SYN);
        }
        let flags = seg.flags;

        // First, the sequence number. `at` is where the segment lies relative to RCV.NXT.
        let at = i64::from(seg.seq.diff(self.rcv_seq(self.rcv_nxt())));
        let stamp = match self.check_timestamp(now, at, &seg) {
            Ok(stamp) => stamp,
            Err(Reject) => return,
        };
        if !self.is_acceptable(at, &seg) {
            let closed = self.rcv_wnd() == 0;
            if flags.has(TcpFlags::RST) {
                self.counts.segments_unacceptable += 1;
                return;
            }
            if closed && at == 0 && !flags.has(TcpFlags::SYN) {
                // MUST-66: a closed window keeps out text, not ACKs.
                self.ack.now();
                if flags.has(TcpFlags::ACK) {
                    seg.payload = seg.payload.slice(0..0);
                    seg.flags = flags.without(TcpFlags::FIN);
                    self.on_ack_field(now, at, &seg, stamp);
                }
                return;
            }
            // MUST-13. Old text too says that the peer does not have our last ACK, and its FIN stands behind it.
            let unfinished = flags.has(TcpFlags::FIN) || (at < 0 && !seg.payload.is_empty());
            if self.state == State::TimeWait && unfinished {
                self.enter_time_wait(now);
            }
            return self.answer_unacceptable(now, at, &seg);
        }

        // Second, RST (RFC 5961 §3.2): only the exact sequence number resets.
        if flags.has(TcpFlags::RST) {
            if at == 0 {
                self.on_reset(now);
            } else if at < self.rcv_wnd() as i64 {
                self.challenge(now);
            } else {
                // At the very edge is outside, for a RST.
                self.counts.segments_unacceptable += 1;
            }
            return;
        }

        // Fourth, SYN (RFC 5961 §4.2): never believed here, always challenged.
        if flags.has(TcpFlags::SYN) {
            return self.challenge(now);
        }

        // Fifth, ACK.
        let next = self.rcv_nxt().0 as i64 + at;
        if !flags.has(TcpFlags::ACK) || !self.on_ack_field(now, at, &seg, stamp) {
            return;
        }
        // After the ACK was found good: marks of who guesses at our sequence numbers do not count.
        if self.ecn.is_accurate() {
            self.count_marks(&seg);
        }
        if let Some(timeout) = seg.options.user_timeout {
            self.on_peer_user_timeout(now, timeout);
        }

        // RFC 7323 §4.3: the timestamp of what is next in order is the one to echo. After the ACK was found good: who
        // does not know our sequence numbers must not move it, or PAWS would drop all that follows.
        if let Some(ts) = stamp
            && next <= self.acked_to.0 as i64
            && ts.val.wrapping_sub(self.stamps.recent) as i32 >= 0
        {
            self.stamps.recent = ts.val;
            self.stamps.recent_at = now;
        }

        // Seventh, text; eighth, FIN. (Sixth, URG: urgent data is read in line.)
        if self.state.may_receive() && (!seg.payload.is_empty() || seg.flags.has(TcpFlags::FIN)) {
            self.on_text(now, at, seg);
        }
    }

    /// RFC 9293 §3.4: some of the segment lies in the window, or, when it occupies nothing, it stands there. A
    /// bare segment at the very edge passes too: a peer that filled our window sends its ACKs from there.
    fn is_acceptable(&self, at: i64, seg: &Segment<P>) -> bool {
        let wnd = self.rcv_wnd() as i64;
        let len = seg.payload.len() as i64 + i64::from(seg.flags.has(TcpFlags::FIN));
        if len == 0 { 0 <= at && at <= wnd } else { at < wnd && at + len > 0 }
    }

    /// RFC 7323 §5.3: the timestamp, when it is in order; else the segment is dropped and, if a segment that is
    /// late deserves it, answered.
    fn check_timestamp(
        &mut self,
        now: Time,
        at: i64,
        seg: &Segment<P>,
    ) -> Result<Option<Timestamps>, Reject> {
        if !self.peer.timestamps || seg.flags.has(TcpFlags::RST) {
            return Ok(None);
        }
        let Some(ts) = seg.options.timestamps else {
            // RFC 7323 §3.2: once agreed on, every segment carries one. A SYN is challenged for being one.
            if seg.flags.has(TcpFlags::SYN) {
                return Ok(None);
            }
            self.counts.segments_unacceptable += 1;
            return Err(Reject);
        };
        let older = (ts.val.wrapping_sub(self.stamps.recent) as i32) < 0;
        if older && now.since(self.stamps.recent_at) < TIMESTAMP_LIFETIME {
            self.counts.paws_rejected += 1;
            self.answer_unacceptable(now, at, seg);
            return Err(Reject);
        }
        Ok(Some(ts))
    }

    /// RFC 9293 §3.10.7.4, first: an ACK that says what is expected. What carries text was most likely sent
    /// twice and is answered always; bare segments could answer each other for ever and are limited.
    fn answer_unacceptable(&mut self, now: Time, at: i64, seg: &Segment<P>) {
        self.counts.segments_unacceptable += 1;
        let ahead = i64::from(seg.ack.diff(self.snd_seq(self.snd_nxt())));
        if seg.flags.has(TcpFlags::ACK) && (1..=self.offered.since(self.snd_nxt()) as i64).contains(&ahead) {
            self.known = self.known.max(self.snd_nxt() + ahead as u64);
        }
        if seg.payload.is_empty() && !seg.flags.has(TcpFlags::FIN) {
            self.challenge(now);
        } else {
            self.note_old(at, seg.payload.len());
            self.ack.now();
        }
        if seg.flags.has(TcpFlags::SYN | TcpFlags::ACK) && self.ack.owed() == Owed::Now {
            self.reflect_again(seg.ecn);
        }
    }

    /// A challenge ACK, as far as the limit allows (RFC 5961 §7).
    pub(super) fn challenge(&mut self, now: Time) {
        if self.ack.challenge(now) {
            self.counts.challenge_acks += 1;
        }
    }

    /// RFC 9293 §3.10.7.4, second: a RST that is believed.
    fn on_reset(&mut self, now: Time) {
        use State::*;
        match self.state {
            // An active open that was refused; a passive one goes back to LISTEN, which is the endpoint's (MUST-11).
            SynReceived if !self.passive => self.die(now, Err(ConnErrorKind::Refused)),
            // Everything was delivered; how the peer ends it is its own affair.
            Closing | LastAck if self.queue.una() == self.queue.end() => self.die(now, Ok(())),
            // RFC 1337: TIME-WAIT is not ended by a RST.
            TimeWait => {}
            _ => self.die(now, Err(ConnErrorKind::Reset)),
        }
    }

    /// Seventh and eighth: text and FIN, `at` bytes from RCV.NXT.
    pub(super) fn on_text(&mut self, now: Time, at: i64, mut seg: Segment<P>) {
        let fin = seg.flags.has(TcpFlags::FIN);
        if seg.payload.is_empty() && !fin {
            return;
        }
        // Bytes before the stream's first have no offset: a segment that claims them is cut there.
        let mut start = self.recv.next().0 as i64 + at;
        if start < 0 {
            let skip = (start.unsigned_abs() as usize).min(seg.payload.len());
            seg.payload = seg.payload.slice(skip..seg.payload.len());
            start = 0;
        }
        let start = Offset(start as u64);
        let len = seg.payload.len() as u64;
        if len > 0 {
            self.on_ecn_data(seg.ecn == CE, seg.flags);
            if self.detached && start + len > self.recv.next() {
                // Nobody will ever read it: RFC 9293 §3.10.4, SHLD-3.
                return self.abort(now);
            }
            let pushed = self.recv.push(start, seg.payload);
            if pushed.advanced > 0 {
                self.counts.bytes_received += pushed.advanced;
                self.ack.on_data(now, pushed.advanced, len);
                self.events.push(Event::Readable);
            }
            self.counts.segments_out_of_order += u64::from(pushed.out_of_order);
            // RFC 5681 §4.2: at once for whatever is not plainly the next piece.
            if pushed.out_of_order || pushed.filled_gap || pushed.duplicate.is_some() || pushed.refused > 0 {
                if let Some(range) = pushed.duplicate {
                    self.note_twice(range);
                }
                self.ack.now();
            }
        }
        if fin {
            self.recv.finish(start + len);
        }
        if self.recv.at_end() && !self.peer_fin {
            self.on_peer_fin(now);
        } else if fin {
            // Not in order yet, or seen before.
            self.ack.now();
        }
    }

    /// An ICMP error that quotes one of our segments. One that quotes what is not in flight is a forgery or too
    /// late, and changes nothing (RFC 5927 §4.1). Source quench never gets here (MUST-55).
    ///
    /// Makes `poll_transmit` productive when the path MTU shrank.
    pub fn on_icmp(&mut self, now: Time, e: IcmpError) {
        let syn = matches!(self.state, State::SynSent | State::SynReceived);
        let quoted = if syn {
            self.syn.sent.is_some() && e.seq == self.iss
        } else {
            let una = self.snd_una();
            let at = i64::from(e.seq.diff(self.snd_seq(una)));
            0 <= at && at < self.snd_nxt().since(una) as i64
        };
        if self.state == State::Closed || !quoted {
            return;
        }
        self.counts.icmp_errors += 1;
        match e.kind {
            IcmpErrorKind::PacketTooBig { mtu } => {
                let una = self.snd_una();
                self.on_packet_too_big(now, mtu, una + e.seq.diff(self.snd_seq(una)).max(0) as u64);
            }
            // SHLD-26; RFC 5927 §5.2 keeps it from synchronised connections.
            IcmpErrorKind::HardUnreachable if syn => {
                let kind = if self.passive { ConnErrorKind::Unreachable } else { ConnErrorKind::Refused };
                self.die(now, Err(kind));
            }
            IcmpErrorKind::HardUnreachable | IcmpErrorKind::SoftUnreachable => {
                self.unreachable = Some(ConnErrorKind::Unreachable);
            }
            IcmpErrorKind::TimeExceeded | IcmpErrorKind::ParameterProblem => {}
        }
    }

    /// The neighbour's address could not be resolved. Ends a connection that was not open yet; an open one goes
    /// on trying, and reports it should it time out.
    pub fn on_unreachable(&mut self, now: Time) {
        match self.state {
            State::Closed => {}
            State::SynSent | State::SynReceived => self.die(now, Err(ConnErrorKind::NoNeighbour)),
            _ => self.unreachable = Some(ConnErrorKind::NoNeighbour),
        }
    }
}

/// The segment was dropped.
struct Reject;
