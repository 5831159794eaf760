//! Accurate ECN (RFC 9768, `S35`): instead of *something was marked*, ACKs say how many packets were.
//!
//! The three bits that RFC 3168 and the nonce had in the header count marked packets modulo eight (ACE); an option counts
//! marked bytes modulo 2^24, for ACKs of so much that three bits may have come around. Every segment has the count, so
//! nothing has to be repeated until it is answered. Of the option only marked bytes are read.
//!
//! A device that segments clears one of the three bits, the old CWR, in all segments but the first: while the count has that
//! bit, bursts are single segments ([`Ecn::is_cut_by_devices`](super::ecn::Ecn::is_cut_by_devices)). Who only sends counts
//! nothing and stays at five, which has it not.

use super::{Connection, First};
use crate::wire::{CE, ECT_0, ECT_1, OptionBytes, TcpFlags, TcpOptions};
use crate::{Burst, BurstKind, Offset, Payload, Segment};

/// What both counts of packets begin with (§3.2.1): neither of the two values that a middlebox would leave behind.
const FIRST_COUNT: u32 = 5;
/// Marked packets for which an ACK is owed at once (§3.2.2.5.1).
const MARKS_PER_ACK: u32 = 2;
/// The same while no data waits for an ACK: ACKs that are marked themselves would answer each other for ever.
const MARKS_PER_IDLE_ACK: u32 = 3;
/// More packets than that in one ACK may hide that ACE came around.
const AMBIGUOUS: u64 = 7;
/// Packets of an ordinary ACK beyond which ACKs are long because the peer coalesces, not because some were lost.
const COALESCED: u64 = 4;
/// The option leaves again after so many bytes at the latest, or its fields could come around unseen.
const BYTES_PER_OPTION: u32 = 1 << 22;

/// The ACE field.
const ACE: TcpFlags = TcpFlags(TcpFlags::AE.0 | TcpFlags::CWR.0 | TcpFlags::ECE.0);

/// The field's number.
fn number(flags: TcpFlags) -> u32 {
    u32::from((flags.0 & ACE.0) >> 6)
}

/// A number as the field has it.
fn ace(count: u32) -> TcpFlags {
    TcpFlags(((count & 7) as u16) << 6)
}

/// How the handshake says with what ECN field a SYN or SYN,ACK arrived (§3.1.1, table 2; §3.2.2.1, table 3).
fn arrived_with(ecn: u8) -> TcpFlags {
    ace(match ecn {
        ECT_0 => 0b100,
        ECT_1 => 0b011,
        CE => 0b110,
        _ => 0b010,
    })
}

/// What a SYN asks with.
pub(super) const ASK: TcpFlags = ACE;

/// What a SYN or SYN,ACK says to somebody who asks for, or was asked for, Accurate ECN (§3.1.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Offer {
    None,
    Classic,
    Accurate,
}

/// Reads it.
pub(super) fn offer(flags: TcpFlags) -> Offer {
    match (flags.has(TcpFlags::ACK), number(flags)) {
        // Seven in a SYN,ACK is what hosts send back that do not know what they say.
        (_, 0) | (true, 7) => Offer::None,
        (true, 1 | 5) | (false, 3) => Offer::Classic,
        // Of a SYN whatever else there may be some day.
        _ => Offer::Accurate,
    }
}

/// What is counted in both directions.
#[derive(Copy, Clone, Debug)]
pub(super) struct Counts {
    /// The ECN field of the peer's SYN or SYN,ACK.
    syn: u8,
    /// No segment but a SYN was received yet.
    fresh: bool,
    /// r.cep: packets that arrived marked.
    marked: u32,
    /// Of these, since an ACK left.
    pending: u32,
    /// The last packet was marked.
    was_marked: bool,
    /// r.e0b, r.ceb, r.e1b: bytes that arrived, by ECN field.
    bytes: [u32; 3],
    /// The first and the last of them when the option left last.
    told: [u32; 2],
    /// How often the option is to leave.
    options: u8,
    /// s.cep: packets of ours that the peer says were marked.
    pub(super) known: u64,
    /// What the peer says cannot be true, and is not heeded (§3.2.2.4).
    unheeded: bool,
    /// Bytes of ours that it says were.
    pub(super) known_bytes: u64,
    /// The longest segment that we may have sent.
    segment: u64,
    /// Packets of an ACK, on average, times eight: many, as long as nothing is known.
    usual: u64,
    /// The peer sent the option: it will do so where the count alone would not tell.
    has_option: bool,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            syn: 0,
            fresh: true,
            marked: FIRST_COUNT,
            pending: 0,
            was_marked: false,
            bytes: [1, 0, 1],
            told: [1, 1],
            options: 0,
            known: u64::from(FIRST_COUNT),
            unheeded: false,
            known_bytes: 0,
            segment: 1,
            usual: 8 * AMBIGUOUS,
            has_option: false,
        }
    }
}

impl Counts {
    /// The peer's SYN or SYN,ACK arrived with the ECN field `syn`.
    pub(super) fn begin(syn: u8) -> Counts {
        Counts { syn, ..Counts::default() }
    }

    /// It arrived once more: the latest counts (§3.1.5).
    pub(super) fn on_syn_again(&mut self, syn: u8) {
        self.syn = syn;
    }

    /// A mark on a SYN,ACK counts, once however often that comes. One on a SYN does not: our SYN,ACK, which is repeated until
    /// it arrives, says so (§3.2.2.2).
    fn on_answer(&mut self, syn: u8) {
        self.syn = syn;
        if syn == CE {
            self.marked = self.marked.max(FIRST_COUNT + 1);
        }
    }

    /// What our SYN,ACK says.
    pub(super) fn answer(&self) -> TcpFlags {
        arrived_with(self.syn)
    }

    /// The option is to leave.
    pub(super) fn is_option_due(&self) -> bool {
        self.options > 0
    }

    /// The count, for every segment.
    pub(super) fn field(&self) -> TcpFlags {
        ace(self.marked)
    }
}

impl<P: Payload> Connection<P> {
    /// The peer agreed, in `flags` of a SYN,ACK, and says there how our SYN arrived: as it left, not to be marked, or the
    /// field does not survive the path and nothing is sent that depends on it (§3.2.2.3).
    pub(super) fn begin_accurate(&mut self, flags: TcpFlags, syn: u8, unhindered: bool) {
        self.ecn.counts = Counts::begin(syn);
        let answered = flags.has(TcpFlags::ACK);
        if answered {
            self.ecn.counts.on_answer(syn);
            self.reflect_first();
            // The first ACK shows whether the option survives the path.
            self.ecn.counts.options = 1;
        }
        self.ecn.begin_accurate(unhindered && (!answered || number(flags) == number(arrived_with(0))));
    }

    /// A SYN,ACK came again, and is answered: our ACK of it was lost.
    pub(super) fn reflect_again(&mut self, syn: u8) {
        if self.ecn.is_accurate() && !self.passive && self.rcv_nxt() == Offset::ZERO {
            self.ecn.counts.on_answer(syn);
            self.reflect_first();
            self.ecn.show_count();
        }
    }

    /// A bare ACK says so before anything else leaves, but for a reset that the handshake owes somebody.
    fn reflect_first(&mut self) {
        if self.first == First::Nothing {
            self.first = First::Reflection;
        }
    }

    /// The ACK of our SYN,ACK says how that arrived (§3.2.2.1, table 4), if it is a bare one; zero is what middleboxes leave
    /// (§3.2.2.4).
    #[cold]
    pub(super) fn on_handshake_ace(&mut self, seg: &Segment<P>) {
        if self.ecn.is_accurate() {
            let bare = seg.payload.is_empty();
            self.ecn.counts.fresh = false;
            match number(seg.flags) {
                0 => self.disbelieve(),
                // It left as what nobody may mark.
                3 | 4 if bare => self.ecn.disable_marking(),
                6 if bare => {
                    self.ecn.disable_marking();
                    // The peer counted that. Who opened too was told of its SYN, which does not count.
                    self.ecn.counts.known += u64::from(self.passive);
                }
                // One, five and seven mean nothing here, and nothing bad.
                _ => {}
            }
            self.ecn.counts.options = 1;
            self.ecn.show_count();
        }
    }

    /// A first count of zero: nothing is sent that may be marked, and no count is heeded (§3.2.2.4).
    fn disbelieve(&mut self) {
        self.ecn.disable_marking();
        self.ecn.counts.unheeded = true;
    }

    /// The flags of a bare ACK.
    pub(super) fn bare_ack_flags(&self, flags: TcpFlags) -> TcpFlags {
        match self.first {
            First::Reflection => TcpFlags(flags.0 & !ACE.0) | arrived_with(self.ecn.counts.syn),
            _ => flags,
        }
    }

    /// An acceptable packet arrived: what its ECN field says is counted, and told at once where it is news (§3.2.2.5.1).
    #[inline(never)]
    pub(super) fn count_marks(&mut self, seg: &Segment<P>) {
        let len = seg.payload.len() as u32;
        let waits = len > 0 || self.acked_to < self.rcv_nxt();
        let counts = &mut self.ecn.counts;
        let ce = seg.ecn == CE;
        let news = ce && !seg.continues;
        counts.marked = counts.marked.wrapping_add(u32::from(news));
        counts.pending += u32::from(news);
        let field = match seg.ecn {
            ECT_0 => Some(0),
            CE => Some(1),
            ECT_1 => Some(2),
            _ => None,
        };
        if let Some(field) = field {
            counts.bytes[field] = counts.bytes[field].wrapping_add(len);
        }
        if ce && len > 0 {
            // Twice, for one may be lost.
            counts.options = 2;
        } else if counts.bytes[0].wrapping_sub(counts.told[0]) >= BYTES_PER_OPTION
            || counts.bytes[2].wrapping_sub(counts.told[1]) >= BYTES_PER_OPTION
        {
            counts.options = counts.options.max(1);
        }
        let begins = len > 0 && ce && !counts.was_marked;
        let due = begins || counts.pending >= if waits { MARKS_PER_ACK } else { MARKS_PER_IDLE_ACK };
        counts.was_marked = ce;
        if len > 0 {
            self.counts.ecn_marked_segments += u64::from(news);
        }
        self.ecn.show_count();
        if due {
            self.ack.now();
        }
    }

    /// The option, where it is due.
    #[inline(never)]
    pub(super) fn add_accurate_ecn(&self, options: &mut OptionBytes) {
        options.push_accurate_ecn(self.ecn.counts.bytes);
    }

    /// A segment left.
    #[inline(never)]
    pub(super) fn on_count_sent(&mut self, burst: &Burst) {
        if matches!(burst.kind, BurstKind::Syn | BurstKind::Reset) {
            return;
        }
        if self.first == First::Reflection {
            self.first = First::Nothing;
        }
        let counts = &mut self.ecn.counts;
        counts.pending = 0;
        if counts.options > 0 && TcpOptions::parse(burst.options.as_slice()).marked_bytes.is_some() {
            counts.told = [counts.bytes[0], counts.bytes[2]];
            counts.options -= 1;
        }
        self.ecn.show_count();
    }

    /// An ACK of something new says how much of ours was marked: the packets since the last, at least. That is heeded whether
    /// what leaves may be marked or not (§3.1.5).
    pub(super) fn on_count(&mut self, acked: u64, flags: TcpFlags, marked_bytes: Option<[u8; 3]>) -> Marks {
        let mss = u64::from(self.mss());
        let number = number(flags);
        if core::mem::take(&mut self.ecn.counts.fresh) && number == 0 {
            self.disbelieve();
        }
        let counts = &mut self.ecn.counts;
        if counts.unheeded {
            return Marks::default();
        }
        counts.segment = counts.segment.max(mss);
        let acked_packets = acked.div_ceil(mss);
        counts.usual = counts.usual - counts.usual / 8 + acked_packets.min(1 << 20);
        let mut packets = u64::from(number).wrapping_sub(counts.known) & 7;
        let mut bytes = packets * mss;
        if let Some([a, b, c]) = marked_bytes {
            let field = u32::from_be_bytes([0, a, b, c]);
            counts.has_option = true;
            // Modulo 2^24; one that is behind is of an older ACK.
            let more = (field.wrapping_sub(counts.known_bytes as u32) << 8) as i32 >> 8;
            let more = u64::try_from(more).unwrap_or(0);
            counts.known_bytes += more;
            bytes = bytes.max(more);
            // So many bytes are so many packets at least.
            let least = counts.known_bytes.div_ceil(counts.segment);
            let have = counts.known - u64::from(FIRST_COUNT) + packets;
            packets += least.saturating_sub(have).next_multiple_of(8);
        } else if acked_packets > AMBIGUOUS && !counts.has_option && counts.usual / 8 <= COALESCED {
            // ACKs were lost: the count may have come around as often as there is room for (appendix A.2.1).
            packets = acked_packets - (acked_packets - packets) % 8;
            bytes = packets * mss;
        }
        counts.known += packets;
        self.counts.ecn_marks_reported += packets;
        Marks { packets, bytes }
    }
}

/// What an ACK says was marked.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Marks {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

folds! {
    struct Counts {
        syn, fresh, marked, pending, was_marked, bytes, told, options, known, unheeded, known_bytes, segment, usual,
        has_option,
    }
}
folds! { struct Marks { packets, bytes } }
