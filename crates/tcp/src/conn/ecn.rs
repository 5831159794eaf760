//! Explicit Congestion Notification (RFC 3168, `S35`): routers mark instead of dropping, receivers echo marks, and senders
//! answer them like a loss, without one.
//!
//! Both directions are here: what our data says and what we do when the peer echoes a mark, and how we echo the marks on
//! what the peer sends. Neither costs anything until the handshake agreed on it.
//!
//! A receiver whose controller is DCTCP echoes marks one by one instead of repeating each until it is answered (RFC 8257
//! §3.2), and such a sender is told which bytes every ACK says were marked.

use super::accurate_ecn::{ASK, Counts, Marks, Offer, offer};
use super::recovery::Phase;
use super::{Connection, State};
use crate::wire::TcpFlags;
use crate::{Burst, BurstKind, Offset, Payload, Segment, Time};

/// Whether a connection uses Explicit Congestion Notification.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum EcnMode {
    /// Neither ask for it nor agree to it.
    Off,
    /// Ask for it when we open, agree to it when the peer does.
    On,
    /// Ask for Accurate ECN (RFC 9768), and agree to that or to what RFC 3168 has, whichever the peer knows.
    Accurate,
    /// Agree to it when the peer, who opens, asks for it: the default, as in Linux. With a controller that lives on marks,
    /// as [`On`](EcnMode::On).
    #[default]
    Passive,
}

/// What was settled, and what is owed to whom.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Ecn {
    /// A SYN of ours asked for it.
    asked: bool,
    /// For Accurate ECN.
    asked_accurate: bool,
    /// One that was repeated did not any more.
    gave_up: bool,
    /// Both ends agreed on RFC 3168.
    agreed: bool,
    /// Or on RFC 9768: what is counted is in `counts`.
    accurate: bool,
    pub(super) counts: Counts,
    /// New data may be marked.
    pub(super) capable: bool,
    /// The option of RFC 9768 is due.
    option_due: bool,
    /// What every segment with an ACK says.
    says: TcpFlags,
    /// Up to here a window was sent that was reduced already: what else is said of it is no news.
    answered: Offset,
    /// Reductions of the window that the peer was told of.
    told: u32,
    /// The newest ACK says that what it acknowledges was marked.
    echoed: bool,
    /// How much of it, with Accurate ECN.
    marks: Marks,
    /// Our ACKs say that the peer's data was marked.
    echo: bool,
}

impl Ecn {
    /// Both ends agreed on it, in one form or the other.
    pub(super) fn is_agreed(&self) -> bool {
        self.agreed || self.accurate
    }

    /// On Accurate ECN.
    #[inline]
    pub(super) fn is_accurate(&self) -> bool {
        self.accurate
    }

    /// The option of Accurate ECN is due.
    #[inline]
    pub(super) fn is_option_due(&self) -> bool {
        self.option_due
    }

    /// What every segment says has the bit that devices clear in all segments of a burst but the first.
    #[inline]
    pub(super) fn is_cut_by_devices(&self) -> bool {
        self.says.has(TcpFlags::CWR)
    }

    /// Both ends agreed on Accurate ECN; `capable`: and what is sent may be marked.
    pub(super) fn begin_accurate(&mut self, capable: bool) {
        (self.agreed, self.accurate, self.capable) = (false, true, capable);
        self.show_count();
    }

    /// The path, or the peer, does something to the ECN field that makes it worthless: our data is not to be marked.
    pub(super) fn disable_marking(&mut self) {
        self.capable = false;
    }

    /// The count of marks, or what is due, changed.
    pub(super) fn show_count(&mut self) {
        self.says = self.counts.field();
        self.option_due = self.counts.is_option_due();
    }

    /// Up to here a window was sent that was reduced for a mark.
    pub(super) fn answered(&self) -> Offset {
        self.answered
    }

    /// What every segment with an ACK says.
    #[inline]
    pub(super) fn echo(&self) -> TcpFlags {
        self.says
    }

    /// Of `acked` bytes of the newest ACK, those that it says were marked.
    #[inline]
    pub(super) fn marked_of(&self, acked: u64) -> u64 {
        match self.echoed {
            false => 0,
            true if self.accurate => self.marks.bytes.min(acked),
            true => acked,
        }
    }

    /// The newest ACK says that what it acknowledges was marked.
    #[inline]
    pub(super) fn is_echoed(&self) -> bool {
        self.echoed
    }
}

/// What a SYN asks with.
const SETUP: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

impl<P: Payload> Connection<P> {
    /// Flags of our SYN or SYN,ACK beside those that make it one (RFC 3168 §6.1.1).
    ///
    /// A SYN that is sent again does not ask: somebody on the path may have dropped the first for asking (RFC 3168
    /// §6.1.1.1). Whoever sent a SYN that does not ask sends nothing that may be marked on the connection.
    pub(super) fn ecn_syn_flags(&self) -> TcpFlags {
        match self.state {
            State::SynReceived if self.ecn.agreed => TcpFlags::ECE,
            // RFC 9768 §3.1.4: the first that is sent again still does.
            State::SynReceived if self.ecn.accurate && self.syn.retransmits == 0 => self.ecn.counts.answer(),
            State::SynSent if self.cfg.ecn == EcnMode::Accurate && self.syn.retransmits == 0 => ASK,
            State::SynSent if self.asks_for_ecn() && self.syn.sent.is_none() => SETUP,
            _ => TcpFlags::NONE,
        }
    }

    /// We were told to, or our controller lives on it.
    fn asks_for_ecn(&self) -> bool {
        match self.cfg.ecn {
            EcnMode::Off | EcnMode::Accurate => false,
            EcnMode::On => true,
            EcnMode::Passive => self.cc.wants_every_mark(),
        }
    }

    /// Our SYN left.
    pub(super) fn on_ecn_syn_sent(&mut self, flags: TcpFlags) {
        if self.state == State::SynSent {
            self.ecn.asked |= flags.has(SETUP);
            self.ecn.asked_accurate |= flags.has(ASK);
            self.ecn.gave_up = self.ecn.asked && !flags.has(SETUP);
        } else if self.ecn.accurate && !flags.any(ASK) {
            // RFC 9768 §3.1.5: whoever sent, or received, a SYN that asks for nothing sends nothing that may be marked.
            self.ecn.disable_marking();
        }
    }

    /// The peer's SYN or SYN,ACK arrived.
    pub(super) fn on_ecn_peer_syn(&mut self, flags: TcpFlags, ecn: u8) {
        let setup = match flags.has(TcpFlags::ACK) {
            _ if self.cfg.ecn == EcnMode::Accurate && (self.passive || self.ecn.asked_accurate) => {
                match offer(flags) {
                    Offer::None => false,
                    Offer::Classic => true,
                    Offer::Accurate => return self.begin_accurate(flags, ecn, !self.ecn.gave_up),
                }
            }
            // With CWR too it is what hosts of old send back, who do not know what they say (RFC 3168 §6.1.1).
            true => flags.has(TcpFlags::ECE) && !flags.has(TcpFlags::CWR),
            false => flags.has(SETUP),
        };
        self.ecn.agreed = setup && (self.ecn.asked || (self.passive && self.cfg.ecn != EcnMode::Off));
        // Whoever gave up asking may be agreed with all the same, for what it asked at first: it echoes marks, and sends
        // nothing that may be marked (RFC 3168 §6.1.1).
        self.ecn.capable = self.ecn.agreed && !self.ecn.gave_up;
    }

    /// The peer's SYN arrived once more: it may have given up asking (RFC 3168 §6.1.1). False when it asks for one form after
    /// the other: whoever knows both resets, for nobody could tell which is in force (RFC 9768 §3.1.5).
    pub(super) fn on_ecn_peer_syn_again(&mut self, flags: TcpFlags, ecn: u8) -> bool {
        let other = match offer(flags) {
            _ if self.cfg.ecn != EcnMode::Accurate => false,
            Offer::None => false,
            Offer::Classic => self.ecn.accurate,
            Offer::Accurate => self.ecn.agreed,
        };
        self.ecn.counts.on_syn_again(ecn);
        self.ecn.agreed &= flags.has(SETUP);
        self.ecn.capable &= match self.ecn.accurate {
            true => flags.any(ASK),
            false => self.ecn.agreed,
        };
        !other
    }

    /// A proposal as it leaves. New bytes are ECT(0), and the first after a reduction of the window say that there was one
    /// (RFC 3168 §6.1.2). What is sent again, or may have left before, is not, nor are probes and bare ACKs (§6.1.4 to
    /// §6.1.6).
    #[inline]
    pub(super) fn ecn_mark(&self, burst: &mut Burst) {
        if self.ecn.capable && burst.kind == BurstKind::New && burst.len > 0 && burst.offset >= self.offered {
            burst.ect = true;
            if self.cwr_is_due() {
                burst.flags |= TcpFlags::CWR;
            }
        }
    }

    /// The next new bytes say that the window was reduced. They leave in a segment of their own: of those that a device
    /// cuts out of one burst only the first may say so, and not every device knows.
    #[inline]
    pub(super) fn cwr_is_due(&self) -> bool {
        self.ecn.agreed && self.ecn.capable && self.ecn.told != self.cc.reductions() && !self.proposed.cwr
    }

    /// New bytes left that say so.
    pub(super) fn on_cwr_sent(&mut self) {
        self.ecn.told = self.cc.reductions();
    }

    /// An acceptable ACK of everything up to `ack` arrived.
    #[inline]
    pub(super) fn on_ecn_ack(&mut self, now: Time, una: Offset, ack: Offset, seg: &Segment<P>) {
        if self.ecn.agreed || self.ecn.accurate {
            self.on_ecn_feedback(now, una, ack, seg);
        }
    }

    /// The same, where both ends agreed.
    #[inline(never)]
    fn on_ecn_feedback(&mut self, now: Time, una: Offset, ack: Offset, seg: &Segment<P>) {
        self.ecn.echoed = match self.ecn.accurate {
            false => seg.flags.has(TcpFlags::ECE),
            // Counts are of one order only where ACKs are: those of nothing new may be old ones.
            true if ack > una => {
                self.ecn.marks = self.on_count(ack.since(una), seg.flags, seg.options.marked_bytes);
                self.ecn.marks.packets > 0
            }
            true => false,
        };
        if self.ecn.echoed {
            self.on_ecn_echo(now, ack);
        }
    }

    /// An echoed mark reduces the window as a loss does, once in a window of data, and not while a loss in it does (RFC
    /// 3168 §6.1.2). It takes an ACK of more than that window: only then can the peer know that we answered.
    fn on_ecn_echo(&mut self, now: Time, ack: Offset) {
        self.counts.ecn_echoes += 1;
        if ack <= self.ecn.answered || self.recovery.phase() != Phase::Open {
            return;
        }
        self.counts.ecn_reductions += 1;
        self.cc.on_ecn(now, self.flight.bytes());
        self.begin_marked_reduction();
        self.doubt = None;
        self.ecn.answered = self.snd_nxt();
    }

    /// Something was lost, with `flight` bytes outstanding: the window is reduced, unless it was for a mark in the same
    /// window of data (RFC 3168 §6.1.2).
    pub(super) fn reduce_for_loss(&mut self, now: Time, flight: u64) {
        if self.snd_una() >= self.ecn.answered {
            self.cc.on_loss(now, flight);
        } else {
            // The mark was no mistake, whatever becomes of the loss.
            self.doubt = None;
        }
    }

    /// Bytes of the peer arrived. Marks are echoed by every ACK until the peer says that it reduced its window (RFC 3168
    /// §6.1.3), or one for one (RFC 8257 §3.2).
    #[inline]
    pub(super) fn on_ecn_data(&mut self, ce: bool, flags: TcpFlags) {
        if self.ecn.agreed && (ce || self.ecn.echo) {
            self.counts.ecn_marked_segments += u64::from(ce);
            let echo = match self.cc.wants_every_mark() {
                true => ce,
                // Whoever says that it reduced, and was marked again since, is told again.
                false => ce || !flags.has(TcpFlags::CWR),
            };
            // A change is told at once: of congestion, because it is news; of its end, because who counts marks counts
            // what each ACK acknowledges by its flag.
            if echo != self.ecn.echo {
                self.ecn.echo = echo;
                self.ecn.says = if echo { TcpFlags::ECE } else { TcpFlags::NONE };
                self.ack.now();
            }
        }
    }
}

folds! { enum EcnMode { Off, On, Accurate, Passive } }
folds! {
    struct Ecn {
        asked, asked_accurate, gave_up, agreed, accurate, counts, capable, option_due, says, answered, told, echoed,
        marks, echo,
    }
}
