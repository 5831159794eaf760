//! What to send next, and why (RFC 9293 §3.8, `S16`, `S21` to `S23`).
//!
//! A proposal moves no mark of the stream: all that is remembered of it is [`Proposed`], so that taking it back is
//! forgetting it. Time does pass in it: a window that was idle restarts, timers of what is held are armed, and the share
//! of time is booked. What becomes of proposals is `commit.rs`.

use super::ack::Owed;
use super::defer::Prospect;
use super::send_queue::{Slices, Span};
use super::timers::Timer;
use super::{Connection, Fin, First, State};
use crate::wire::{OptionBytes, TcpFlags};
use crate::{Burst, BurstKind, Offset, Payload, Seq, Time, TxLimits};

/// What was proposed and neither committed nor taken back. SND.NXT's counterpart is in the send queue.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Proposed {
    /// Bursts outstanding.
    pub(crate) bursts: u32,
    /// One of them acknowledges.
    ack: bool,
    /// One of them says what arrived twice.
    pub(super) twice: bool,
    /// One of them is the SYN, the RST or the probe that is due.
    pub(super) special: bool,
    /// One of them carries the FIN for the first time.
    fin: bool,
    /// One of them is a probe of the path MTU: where it begins, and the bytes of its IP packet.
    pub(super) mtu_probe: Option<(Offset, u16)>,
    /// One of them says that the window was reduced.
    pub(super) cwr: bool,
    /// Where the search for lost ranges goes on.
    retransmit: Offset,
    /// Lost bytes proposed again.
    pub(super) retransmit_bytes: u64,
    /// End of the last new segment shorter than the MSS, where there is one.
    small_end: Offset,
    /// End of the last new full segment, where there is one.
    full_end: Offset,
    /// End of the last new segment with PSH, where there is one.
    pushed: Offset,
    /// What stopped the proposals: nothing to do with pacing (`true`), or pacing.
    pub(super) rests: Option<bool>,
    /// What stopped them armed the timer of departures.
    pub(super) waits: bool,
}

/// Short segments that may be in the network whatever cwnd is: as many as full ones at the start (RFC 6928).
const SHORT_SEGMENTS: u64 = 10;

/// Why nothing leaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    /// There is nothing of this kind.
    Empty,
    /// The peer's window is closed or too small to be worth it.
    Window,
    /// As much is in the network as may be.
    Congestion,
    /// The port holds enough of this connection.
    Device,
    /// The rate is used up (`S25`).
    Pacing,
    /// An ACK that is due will make a longer burst of it (`S22`).
    Defer,
    /// A short segment waits for company (RFC 896).
    Nagle,
    /// A short segment waits until the application lets it go (`S17`).
    Cork,
    /// A small send waits until the port lets go of an earlier burst (`S18`).
    Autocork,
}

/// New bytes to send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct New {
    len: u64,
    /// The slices of a burst ran out at the end of a send: PSH (`S14`).
    cut: bool,
}

impl<P: Payload> Connection<P> {
    /// Proposes the next burst, `None` when nothing is to be sent now. Several may be outstanding: each proposal
    /// continues behind the one before. [`on_sent`](Connection::on_sent) or
    /// [`on_refused`](Connection::on_refused) must follow for each, in order, before anything else is fed in.
    ///
    /// `limits.budget` is what the port may still take of new payload: the caller subtracts what is proposed and not
    /// committed yet.
    ///
    /// Call it until it returns `None` after any of `connect`, `accept`, `on_segment`, `on_timer`, `on_icmp`,
    /// `write`, `read`, `shutdown_write`, `close` and `abort`, and when the limits became wider. Call
    /// `next_timeout` afterwards.
    pub fn poll_transmit(&mut self, now: Time, limits: &TxLimits) -> Option<Burst> {
        let mut burst = self.propose(now, limits)?;
        self.ecn_mark(&mut burst);
        self.proposed.bursts += 1;
        self.proposed.ack |= burst.flags.has(TcpFlags::ACK);
        self.proposed.cwr |= burst.flags.has(TcpFlags::CWR);
        self.send_times.schedule(burst.offset + u64::from(burst.len), now);
        Some(burst)
    }

    fn propose(&mut self, now: Time, limits: &TxLimits) -> Option<Burst> {
        if self.first != First::Nothing
            && let Some(burst) = self.propose_first(now)
        {
            return Some(burst);
        }
        match self.state {
            State::Closed | State::Listen => return None,
            State::SynSent | State::SynReceived if self.syn.due => return self.propose_syn(now),
            State::SynSent => return None,
            State::FinWait2 => self.account_closing(now),
            _ => {}
        }
        if self.state.may_send() {
            if self.has_work() {
                self.timers.arm_if_idle(Timer::User, now + self.cfg.user_timeout);
            }
            if self.tail_probe.is_due()
                && let Some(burst) = self.propose_tail_probe(now, limits)
            {
                return Some(burst);
            }
            self.restart_after_idle(now);
            let new = match self.propose_repair(now, limits) {
                // What is lost and may not leave yet goes before anything new: small new segments would fill the
                // room it waits for, and nothing acknowledges them before it arrives.
                Err(Hold::Empty) => self.propose_new(now, limits),
                lost => lost,
            };
            let hold = match new {
                Ok(burst) => {
                    self.account_burst(now);
                    return Some(burst);
                }
                Err(hold) => hold,
            };
            self.account_hold(now, hold);
            match hold {
                Hold::Window if self.flight.is_empty() && self.proposed.bursts == 0 => {
                    self.timers.arm_if_idle(Timer::Persist, now + self.persist.interval(&self.rtt));
                }
                hold => self.on_hold(now, hold, limits),
            }
            if let Some(burst) = self.propose_probe(now) {
                return Some(burst);
            }
        }
        if let Some(burst) = self.propose_keepalive(now) {
            return Some(burst);
        }
        let owed = self.ack.owed() == Owed::Now && (!self.proposed.ack || self.owes_duplicate());
        owed.then(|| self.bare_ack(now))
    }

    /// What leaves before anything else, unless it is proposed. Of a connection that lives on, having been told what its
    /// handshake did not say, the rest follows.
    #[cold]
    fn propose_first(&mut self, now: Time) -> Option<Burst> {
        match self.first {
            First::Reset { seq, ack } if !self.proposed.special => {
                self.proposed.special = true;
                let flags = if ack.is_some() { TcpFlags::ACK } else { TcpFlags::NONE };
                // RFC 7323 §3.2: timestamps on a RST too, once agreed on.
                let options = self.plain_options(now);
                let bare = self.bare(flags | TcpFlags::RST, BurstKind::Reset);
                // Nobody is to send anything: no window.
                Some(Burst { seq, ack: ack.unwrap_or_default(), options, window: 0, ..bare })
            }
            First::Reflection if !self.proposed.ack && self.state.is_synchronized() => {
                Some(self.bare_ack(now))
            }
            _ => None,
        }
    }

    fn bare_ack(&mut self, now: Time) -> Burst {
        let options = self.bare_ack_options(now);
        let bare = self.bare(TcpFlags::ACK, BurstKind::Ack);
        let flags = self.bare_ack_flags(bare.flags);
        Burst { options, flags, seq: self.snd_seq(self.proposed_nxt().max(self.known)), ..bare }
    }

    /// Nothing may leave at `now`, for the reason `hold`.
    fn on_hold(&mut self, now: Time, hold: Hold, limits: &TxLimits) {
        match hold {
            Hold::Pacing => {
                self.wait_for_departure(now, limits);
                if self.flight.is_empty() && self.proposed.bursts == 0 {
                    // Nobody owes us an answer: what the rate holds back is no silence of the peer's.
                    self.timers.stop(Timer::User);
                }
            }
            Hold::Device => return,
            Hold::Window | Hold::Congestion if !self.is_rate_controlled() => return,
            Hold::Cork => {
                self.bound_cork(now);
                self.note_app_limit();
            }
            Hold::Autocork => {
                self.bound_autocork(now);
                self.note_app_limit();
            }
            Hold::Empty | Hold::Nagle => self.note_app_limit(),
            Hold::Defer => self.bound_deferral(),
            Hold::Window | Hold::Congestion => {}
        }
        self.note_rest(hold != Hold::Pacing);
    }

    /// Less than a segment waits and cwnd has room: the application limits us (`S27`).
    fn note_app_limit(&mut self) {
        if self.flight.lost() == 0 && self.pipe() < self.cwnd() {
            self.delivery.on_app_limited(self.flight.bytes());
        }
    }

    /// A segment without payload at SND.NXT.
    pub(super) fn bare(&self, flags: TcpFlags, kind: BurstKind) -> Burst {
        let nxt = self.proposed_nxt();
        let flags = if flags.any(TcpFlags::SYN | TcpFlags::RST) { flags } else { flags | self.ecn.echo() };
        Burst {
            seq: self.snd_seq(nxt),
            ack: self.rcv_seq(self.rcv_nxt()),
            flags,
            window: self.recv_window.field(self.room()),
            options: OptionBytes::EMPTY,
            offset: nxt.min(self.queue.end()),
            len: 0,
            mss: self.mss() as u16,
            kind,
            ect: false,
        }
    }

    /// Timestamps alone.
    fn plain_options(&self, now: Time) -> OptionBytes {
        OptionBytes::established(self.peer.timestamps.then(|| self.stamp(now)), [])
    }

    /// Timestamps, SACK blocks where there is a gap (RFC 2018 §4), and behind them what else is due.
    #[inline]
    pub(super) fn ack_options(&self, now: Time) -> OptionBytes {
        match self.announced.is_due() | self.ecn.is_option_due() {
            false => self.sack_options(now),
            true => self.more_options(now),
        }
    }

    /// Timestamps and SACK blocks.
    fn sack_options(&self, now: Time) -> OptionBytes {
        if !self.peer.sack || !self.recv.has_gap() {
            return self.plain_options(now);
        }
        let blocks = self.recv.sack_blocks().map(|b| (self.rcv_seq(b.start), self.rcv_seq(b.end)));
        OptionBytes::established(self.peer.timestamps.then(|| self.stamp(now)), blocks)
    }

    /// The same with what is due beside: hardly any segment has it.
    #[cold]
    fn more_options(&self, now: Time) -> OptionBytes {
        let mut options = self.sack_options(now);
        if self.announced.is_due() {
            self.add_user_timeout(&mut options);
        }
        if self.ecn.is_option_due() {
            self.add_accurate_ecn(&mut options);
        }
        options
    }

    fn propose_syn(&mut self, now: Time) -> Option<Burst> {
        if self.proposed.special {
            return None;
        }
        self.proposed.special = true;
        let answer = self.state == State::SynReceived;
        let flags = if answer { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::SYN };
        Some(Burst {
            seq: self.iss,
            ack: if answer { self.rcv_seq(self.rcv_nxt()) } else { Seq::default() },
            window: super::window::RecvWindow::syn_field(self.room()),
            options: self.syn_options(now),
            ..self.bare(flags | self.ecn_syn_flags(), BurstKind::Syn)
        })
    }

    /// SND.NXT once every proposal left.
    fn proposed_nxt(&self) -> Offset {
        let fin = self.proposed.fin || matches!(self.fin, Fin::Sent | Fin::Acked);
        self.queue.proposed() + u64::from(fin)
    }

    /// Bytes in the network once every proposal left.
    pub(super) fn pipe(&self) -> u64 {
        self.committed_pipe() + self.proposed_payload()
    }

    /// Bytes in the network: sent, less what is lost, less what SACK reports or duplicate ACKs count (architecture:
    /// invariant 2).
    pub(super) fn committed_pipe(&self) -> u64 {
        self.flight.pipe().saturating_sub(self.recovery.credit())
    }

    /// Bytes proposed and not committed, first time or again.
    pub(super) fn proposed_payload(&self) -> u64 {
        self.queue.proposed().since(self.queue.nxt()) + self.proposed.retransmit_bytes
    }

    /// Most bytes of one burst of `mss`-byte segments, a multiple of `mss` (`S8`, `S22`).
    fn size_goal(&self, mss: u64, limits: &TxLimits) -> u64 {
        let cut = u64::from(limits.max_len) >= 2 * mss && mss >= u64::from(limits.min_tso_mss);
        if !cut || self.ecn.is_cut_by_devices() {
            return mss;
        }
        let paced = self.pacing_rate().map_or(u64::MAX, |rate| self.paced_burst(rate, limits));
        // Half the largest window and half of cwnd: two bursts keep either busy.
        let bytes = u64::from(limits.max_len).min(self.window.half()).min(self.cwnd() / 2).min(paced);
        (bytes / mss).min(u64::from(limits.max_segments)).max(1) * mss
    }

    /// What is lost; or what F-RTO sends in its place (RFC 5682 §3.1 step 2b).
    fn propose_repair(&mut self, now: Time, limits: &TxLimits) -> Result<Burst, Hold> {
        match self.probes_with_new() {
            None => {}
            Some(false) => return Err(Hold::Congestion),
            Some(true) => match self.propose_new(now, limits) {
                Err(hold @ (Hold::Pacing | Hold::Device)) => return Err(hold),
                // What left may be answered yet.
                Err(_) if self.has_probed() => return Err(Hold::Congestion),
                // There is nothing new to send: what is lost is repaired.
                Err(_) => {}
                probe => return probe,
            },
        }
        self.propose_retransmission(now, limits)
    }

    /// What is marked lost leaves first, in units as large as new data, trimmed to what is not acknowledged
    /// (`S43`), inside the window (SHLD-16).
    fn propose_retransmission(&mut self, now: Time, limits: &TxLimits) -> Result<Burst, Hold> {
        if self.flight.lost() == 0 {
            return Err(Hold::Empty);
        }
        let options = self.ack_options(now);
        let mss = u64::from(self.segment_mss(options.len()));
        let goal = self.size_goal(mss, limits);
        // One byte more than a burst takes tells whether it ends the range.
        let lost = self.flight.next_lost(self.proposed.retransmit, goal + 1);
        let (start, whole) = lost.ok_or(Hold::Empty)?;
        let end = whole.min(self.window.right());
        if end <= start {
            return Err(Hold::Empty);
        }
        let slices = limits.max_slices.max(1);
        let data = end.min(self.queue.end()).since(start);
        let forced = self.recovery.is_forced() && self.proposed.retransmit_bytes == 0;
        if end < whole && !forced && data * 2 < self.window.max() {
            // A trifle of window is no better used by what leaves again (RFC 9293 §3.8.6.2.1). The retransmission timer
            // takes the place of the override timer.
            let least = self.least(start, whole.min(self.queue.end()).since(start), mss, slices);
            if data < least {
                return Err(Hold::Window);
            }
        }
        let pipe = self.pipe();
        let mut room = self.cwnd().saturating_sub(pipe);
        if pipe == 0 || forced {
            room = room.max(mss);
        }
        if room < self.least(start, data, mss, slices) {
            return Err(Hold::Congestion);
        }
        if self.is_paced_at(now) {
            return Err(Hold::Pacing);
        }
        let wanted = data.min(room).min(goal);
        let Span { len, record, .. } = self.queue.span(start, wanted, mss, slices);
        if record && pipe > 0 && !forced && self.are_too_many(mss) {
            return Err(Hold::Congestion);
        }
        // Whole segments, unless this is the rest of the range or of a record, or slices are so short that none is
        // whole.
        let len = if len < data && len > mss && !record { len - len % mss } else { len };
        let fin = end > self.queue.end() && len == data && len <= mss;
        let stop = start + len;
        self.proposed.retransmit = stop + u64::from(fin);
        self.proposed.retransmit_bytes += len + u64::from(fin);
        Ok(self.data_burst(start, len, fin, BurstKind::Retransmit, mss, options))
    }

    /// New bytes, or the FIN behind them.
    fn propose_new(&mut self, now: Time, limits: &TxLimits) -> Result<Burst, Hold> {
        let from = self.queue.proposed();
        if from == self.queue.end() && (self.fin != Fin::Queued || self.proposed.fin) {
            return Err(Hold::Empty);
        }
        if now >= self.path.search.due
            && let Some(probe) = self.propose_mtu_probe(now, limits)
        {
            return probe;
        }
        let options = self.ack_options(now);
        let mss = u64::from(self.segment_mss(options.len()));
        let New { len, cut } = match self.new_len(now, mss, limits) {
            Err(Hold::Empty) if self.window.right() > from => New { len: 0, cut: false },
            Err(Hold::Empty) => return Err(Hold::Window),
            other => other?,
        };
        let stop = from + len;
        // A FIN, or PSH, on a frame that the device segments is lost by some devices: the FIN then follows alone.
        let fin =
            self.fin == Fin::Queued && stop == self.queue.end() && stop < self.window.right() && len <= mss;
        self.queue.propose(len);
        self.proposed.fin |= fin;
        let tail = len % mss;
        if tail != 0 {
            self.proposed.small_end = stop;
        }
        if tail != len {
            self.proposed.full_end = from + (len - tail);
        }
        let mut burst = self.data_burst(from, len, fin, BurstKind::New, mss, options);
        // S14: at least every half of the largest window, so that a receiver that acts on PSH alone never sits on more
        // than that. Counted in what leaves, since only there it is known where segments end.
        let pushed = self.pushed.max(self.proposed.pushed);
        let overdue = stop.since(pushed) > self.window.max() / 2;
        // A FIN that follows alone pushes nothing.
        if len > 0 && (cut || overdue || (self.cork.pushes() && stop == self.queue.end())) {
            burst.flags |= TcpFlags::PSH;
        }
        if burst.flags.has(TcpFlags::PSH) {
            self.proposed.pushed = stop;
        }
        Ok(burst)
    }

    /// Short segments could leave by the thousand while cwnd counts bytes, and be lost as soon: no more of them than of
    /// full ones, or ten where that is more. Linux's cwnd counts segments.
    pub(super) fn are_too_many(&self, mss: u64) -> bool {
        let bursts = self.flight.bursts() + u64::from(self.proposed.bursts);
        if bursts < SHORT_SEGMENTS {
            return false;
        }
        // Duplicate ACKs tell of segments that arrived.
        bursts >= self.recovery.credit() / mss + (self.cwnd() / mss).max(SHORT_SEGMENTS)
    }

    /// The least of `waiting` bytes from `from` that is worth sending: a full segment, what is left of a record, or all
    /// there is.
    fn least(&self, from: Offset, waiting: u64, mss: u64, slices: u16) -> u64 {
        let segment = waiting.min(mss);
        if !self.queue.has_record_behind(from) {
            return segment;
        }
        match self.queue.span(from, segment, mss, slices) {
            Span { len, record: true, .. } => len,
            _ => segment,
        }
    }

    /// How much new payload leaves now.
    fn new_len(&self, now: Time, mss: u64, limits: &TxLimits) -> Result<New, Hold> {
        let from = self.queue.proposed();
        let waiting = self.queue.end().since(from);
        if waiting == 0 {
            return Err(Hold::Empty);
        }
        let slices = limits.max_slices.max(1);
        let least = self.least(from, waiting, mss, slices);
        let usable = self.window.right().since(from);
        let pipe = self.pipe();
        if usable < least {
            // RFC 9293 §3.8.6.2.1 (MUST-38): less only when it is half of the largest window and Nagle does not
            // object, or when the override timer, which is the persist timer, expired.
            let idle = self.flight.is_empty() && self.proposed.bursts == 0;
            let worth = usable * 2 >= self.window.max() && (idle || self.cfg.no_delay);
            let overridden = self.persist.is_due() && !self.proposed.special;
            if usable == 0 || !(worth || overridden) {
                return Err(Hold::Window);
            }
        }
        let room = match self.cwnd().saturating_sub(pipe) {
            room if pipe == 0 => room.max(mss),
            room => room,
        };
        if room < least.min(usable) {
            return Err(Hold::Congestion);
        }
        let budget = u64::from(limits.budget);
        if budget < least.min(usable) {
            return Err(Hold::Device);
        }
        if self.is_paced_at(now) {
            return Err(Hold::Pacing);
        }
        let goal = if self.cwr_is_due() { mss } else { self.size_goal(mss, limits) };
        // Segments are worth waiting for only up to a burst that the device cuts.
        let company = if mss < u64::from(limits.cut_below_mss) { mss } else { goal };
        if self.defers(now, Prospect { room: room.min(usable), goal: company, waiting }) {
            return Err(Hold::Defer);
        }
        let wanted = waiting.min(usable).min(room).min(goal);
        if budget < wanted && limits.held > 0 {
            // A moment later the port has room for all of it: a burst costs the same whatever its length.
            return Err(Hold::Device);
        }
        let wanted = wanted.min(budget);
        let span = self.queue.span(from, wanted, mss, slices);
        // A window worth a short segment, or slices too short for a long one: neither is Nagle's business.
        let tail = if span.len < least { 0 } else { span.len % mss };
        // S19: a record with another behind it cannot be joined with it, so there is nothing to wait for.
        let complete = span.record && span.len < waiting;
        let whole = tail == 0 || complete || (span.len == waiting && self.may_send_short());
        let new = if whole {
            New { len: span.len, cut: span.cut }
        } else {
            New { len: span.len - tail, cut: false }
        };
        match new.len {
            0 if self.is_corked() => Err(Hold::Cork),
            0 => Err(Hold::Nagle),
            len if (complete || len < mss) && self.are_too_many(mss) => Err(Hold::Congestion),
            len if len == waiting && self.is_autocorked(from, len, company, limits.held) => {
                Err(Hold::Autocork)
            }
            _ => Ok(new),
        }
    }

    /// Nagle's algorithm as Minshall modified it: a short segment waits only for another short one (`S16`).
    fn may_send_short(&self) -> bool {
        let small_end = self.small_end.max(self.proposed.small_end);
        let unhindered = self.probes_with_new().is_some()
            || self.cfg.no_delay
            || self.cork.is_released()
            || small_end <= self.queue.una();
        self.fin == Fin::Queued || (unhindered && !self.is_corked())
    }

    /// A full segment is under way.
    pub(super) fn has_full_segments_out(&self) -> bool {
        self.full_end.max(self.proposed.full_end) > self.queue.una()
    }

    /// A probe of a closed window: one byte, the first the peer has not acknowledged (RFC 9293 §3.8.6.1, MUST-36).
    fn propose_probe(&mut self, now: Time) -> Option<Burst> {
        if !self.persist.is_due() || self.proposed.special || self.proposed.bursts > 0 {
            return None;
        }
        let at = self.snd_una();
        if at >= self.queue.end() && self.fin == Fin::Open {
            return None;
        }
        self.proposed.special = true;
        let len = u64::from(at < self.queue.end());
        let options = self.ack_options(now);
        let mss = u64::from(self.segment_mss(options.len()));
        Some(self.data_burst(at, len, len == 0, BurstKind::WindowProbe, mss, options))
    }

    pub(super) fn data_burst(
        &self,
        from: Offset,
        len: u64,
        fin: bool,
        kind: BurstKind,
        mss: u64,
        options: OptionBytes,
    ) -> Burst {
        let mut flags = TcpFlags::ACK;
        if len > 0 && kind != BurstKind::WindowProbe && self.queue.pushes_at(from + len) {
            flags |= TcpFlags::PSH;
        }
        if fin {
            flags |= TcpFlags::FIN;
        }
        Burst {
            seq: self.snd_seq(from),
            offset: from,
            len: len as u32,
            mss: mss as u16,
            options,
            ..self.bare(flags, kind)
        }
    }

    /// The payload of a burst that was proposed and not taken back, in order.
    #[inline]
    pub fn slices(&self, burst: &Burst) -> Slices<'_, P> {
        self.queue.slices(burst.offset, u64::from(burst.len))
    }
}

folds! {
    struct Proposed {
        bursts, ack, twice, special, fin, mtu_probe, cwr, retransmit, retransmit_bytes, small_end, full_end, pushed,
        rests, waits,
    }
}
