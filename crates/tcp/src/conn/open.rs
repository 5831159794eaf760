//! Opening: the two ways in, the options both sides settle on, and what begins with ESTABLISHED
//! (RFC 9293 §3.5, §3.7.1, RFC 7323, RFC 2018, `S44`).

use super::cc::{self, Cc};
use super::state::Trigger;
use super::timers::Timer;
use super::{Connection, Fin, Peer, Stamps, State, timestamp_clock};
use crate::wire::{OptionBytes, TcpFlags, TcpOptions, Timestamps};
use crate::{ConnErrorKind, Event, Nanos, Offset, Payload, Segment, Seq, Time};

/// TCP header without options.
const TCP_HEADER: u32 = 20;

/// The smallest MSS a peer is believed: below it every segment would be nearly all header.
const SMALLEST_MSS: u32 = 88;

/// SYNs sent again before the path is taken to be so bad that the initial window is one segment. One lost SYN says
/// little at a one-second timer (RFC 6928 §2).
const SYN_LOSSES_FORGIVEN: u32 = 1;

/// Our SYN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Syn {
    /// It shall leave, first time or again.
    pub(crate) due: bool,
    /// When it left last, once it did.
    pub(crate) sent: Option<Time>,
    /// How often it left again.
    pub(crate) retransmits: u32,
}

impl<P: Payload> Connection<P> {
    /// IP and TCP header without any options, bytes.
    pub(super) fn headers(&self) -> u32 {
        TCP_HEADER + if self.tuple.local.is_ipv6() { 40 } else { 20 }
    }

    /// The MSS we announce (MUST-67, RFC 6691): what the interface's MTU allows, options not subtracted.
    pub(super) fn announced_mss(&self) -> u32 {
        let by_mtu = u32::from(self.cfg.mtu) - self.headers();
        self.cfg.max_mss.map_or(by_mtu, |max| by_mtu.min(u32::from(max).max(SMALLEST_MSS)))
    }

    /// Payload bytes of a full segment whose options take `options` bytes: Eff.snd.MSS of RFC 9293 §3.7.1
    /// (MUST-16).
    fn full_mss(&self, options: usize) -> u32 {
        let path = u32::from(self.path.mtu) - self.headers();
        let limit = self.cfg.max_mss.map_or(path, |max| path.min(u32::from(max).max(SMALLEST_MSS)));
        limit.min(self.peer.mss.max(SMALLEST_MSS)) - options as u32
    }

    /// The same, and at most half the largest window the peer ever offered, but never a segment of less than 68
    /// bytes for it (`S8`).
    pub(super) fn segment_mss(&self, options: usize) -> u32 {
        let full = self.full_mss(options);
        match self.window.half() {
            0 => full,
            half => full.min(u32::try_from(half).unwrap_or(u32::MAX).max(48 - options as u32)),
        }
    }

    /// Payload bytes of a full segment as the congestion controller counts them.
    pub(super) fn mss(&self) -> u32 {
        self.full_mss(if self.peer.timestamps { 12 } else { 0 })
    }

    /// The options of our SYN or SYN,ACK. A SYN,ACK repeats only what the peer's SYN offered.
    pub(super) fn syn_options(&self, now: Time) -> OptionBytes {
        let answer = self.state == State::SynReceived;
        let offer = |wanted: bool, agreed: bool| if answer { agreed } else { wanted };
        let timestamps = offer(self.cfg.timestamps, self.peer.timestamps).then(|| self.stamp(now));
        OptionBytes::syn(&TcpOptions {
            mss: Some(self.announced_mss() as u16),
            window_scale: offer(self.cfg.window_scale, self.peer.scaled).then_some(self.our_shift()),
            sack_permitted: offer(self.cfg.sack, self.peer.sack),
            timestamps,
            user_timeout: self.user_timeout_of_syn(),
            ..TcpOptions::default()
        })
    }

    fn our_shift(&self) -> u8 {
        super::window::RecvWindow::shift_for(self.recv.capacity())
    }

    /// The Timestamps option of a segment that leaves at `now`.
    pub(super) fn stamp(&self, now: Time) -> Timestamps {
        let ecr = if self.peer.timestamps { self.stamps.recent } else { 0 };
        Timestamps { val: timestamp_clock(now).wrapping_add(self.stamps.offset), ecr }
    }

    /// Takes in the peer's SYN: its sequence number and what its options agree to.
    pub(super) fn on_peer_syn(&mut self, now: Time, seq: Seq, options: &TcpOptions) {
        self.irs = seq;
        // MUST-15: without the option the peer takes 536, or 1220 over IPv6.
        let default = if self.tuple.local.is_ipv6() { 1220 } else { 536 };
        self.peer = Peer {
            mss: options.mss.map_or(default, u32::from),
            timestamps: self.cfg.timestamps && options.timestamps.is_some(),
            sack: self.cfg.sack && options.sack_permitted,
            scaled: self.cfg.window_scale && options.window_scale.is_some(),
        };
        if let (true, Some(shift)) = (self.peer.scaled, options.window_scale) {
            self.window.scale = shift;
            self.recv_window.scale = self.our_shift();
        }
        if let (true, Some(ts)) = (self.peer.timestamps, options.timestamps) {
            self.stamps = Stamps { recent: ts.val, recent_at: now, ..self.stamps };
        }
        if let Some(timeout) = options.user_timeout {
            self.on_peer_user_timeout(now, timeout);
        }
    }

    /// Both sides know each other's SYN: ESTABLISHED. `ecr` is the timestamp of ours that the peer echoed.
    pub(super) fn establish(&mut self, now: Time, ecr: Option<u32>) {
        self.transition(Trigger::SynAcked);
        self.timers.stop(Timer::Connect);
        self.timers.stop(Timer::Retransmit);
        self.pulse.on_heard(now);
        self.watch_pulse(now);
        self.announce_user_timeout();
        match self.syn.sent {
            // Karn's rule holds for the SYN too (MUST-22).
            Some(sent) if self.syn.retransmits == 0 => self.rtt.sample(now.since(sent)),
            _ => self.sample_by_timestamp(now, ecr),
        }
        if self.syn.retransmits > 0 {
            self.rtt.forget_syn_timeouts();
        }
        let segments = if self.syn.retransmits > SYN_LOSSES_FORGIVEN { 1 } else { self.cfg.initial_window };
        self.begin_mtu_search();
        let mss = self.mss();
        self.quiet_since = now;
        self.cc = Cc::new(self.cfg.controller, cc::initial_window(segments, mss), mss);
        if let Some(srtt) = self.rtt.srtt() {
            self.cc.on_connected(now, srtt);
        }
        self.events.push(Event::Connected);
        if self.fin == Fin::Queued {
            self.transition(Trigger::Finish);
        }
    }

    /// RFC 7323 §4: a round trip measured by the echo of our own clock; good for what was sent more than once.
    pub(super) fn sample_by_timestamp(&mut self, now: Time, ecr: Option<u32>) {
        let Some(ecr) = ecr.filter(|_| self.peer.timestamps) else { return };
        let elapsed = timestamp_clock(now).wrapping_add(self.stamps.offset).wrapping_sub(ecr);
        // An echo from the future, or of something sent weeks ago, is no measurement.
        if elapsed < 1 << 30 {
            self.rtt.sample(Nanos::from_millis(u64::from(elapsed.max(1))));
        }
    }

    /// RFC 9293 §3.10.7.3: a segment in SYN-SENT.
    pub(super) fn on_segment_syn_sent(&mut self, now: Time, mut seg: Segment<P>) {
        let has_ack = seg.flags.has(TcpFlags::ACK);
        // First, the ACK: only our SYN can be acknowledged, once it left.
        if has_ack && (self.syn.sent.is_none() || seg.ack != self.iss + 1) {
            if !seg.flags.has(TcpFlags::RST) {
                self.queue_reset(seg.ack, None);
            }
            return;
        }
        // Second, RST: believed only with an ACK (RFC 5961 §3.2 leaves it so).
        if seg.flags.has(TcpFlags::RST) {
            if has_ack {
                self.die(now, Err(ConnErrorKind::Refused));
            }
            return;
        }
        // Fourth, SYN.
        if !seg.flags.has(TcpFlags::SYN) {
            return;
        }
        self.on_peer_syn(now, seg.seq, &seg.options);
        self.on_ecn_peer_syn(seg.flags, seg.ecn);
        // A window on a SYN is not scaled (RFC 7323 §2.2).
        self.window.begin(Offset::ZERO, Offset::ZERO, u64::from(seg.window));
        if has_ack {
            self.establish(now, seg.options.timestamps.map(|ts| ts.ecr));
            self.ack.now();
            // Whatever else it brings stands behind the SYN.
            seg.seq += 1;
            seg.flags = seg.flags.without(TcpFlags::SYN);
            return self.on_text(now, 0, seg);
        }
        // Simultaneous open (MUST-10): our SYN leaves again as a SYN,ACK. Text waits for the peer to repeat it.
        self.transition(Trigger::Syn);
        self.syn.due = true;
    }
}

folds! { struct Syn { due, sent, retransmits } }
