//! Accurate ECN (RFC 9768, `S35`): instead of *something was marked*, ACKs say how many packets were.
//!
//! The three bits that RFC 3168 and the nonce had in the header count marked packets modulo eight (ACE); an option counts
//! marked bytes modulo 2^24, for ACKs of so much that three bits may have come around. Every segment has the count, so
//! nothing has to be repeated until it is answered. Of the option only marked bytes are read.
//!
//! A device that segments clears one of the three bits, the old CWR, in all segments but the first: while the count has that
//! bit, bursts are single segments ([`Ecn::is_cut_by_devices`](super::ecn::Ecn::is_cut_by_devices)). Who only sends counts
//! nothing and stays at five, which has it not.

use super::Connection;
use crate::wire::{CE, ECT_0, ECT_1, OptionBytes, TcpFlags, TcpOptions};
use crate::{Burst, BurstKind, Offset, Payload, Segment};

/// What both counts of packets begin with (§3.2.1): neither of the two values that a middlebox would leave behind.
const FIRST_COUNT: u32 = 5;
/// Marked data packets for which an ACK is owed at once (§3.2.2.5.1).
const MARKS_PER_ACK: u32 = 2;
/// The same for packets without data, whose ACKs could answer each other for ever.
const MARKS_PER_IDLE_ACK: u32 = 5;
/// More packets than that in one ACK may hide that ACE came around.
const AMBIGUOUS: u32 = 7;
/// Packets of an ordinary ACK beyond which ACKs are long because the peer coalesces, not because some were lost.
const COALESCED: u32 = 4;
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
    /// A bare ACK says so: that of a SYN,ACK.
    reflects: bool,
    /// No segment but a SYN was received yet.
    fresh: bool,
    /// r.cep: packets that arrived marked.
    marked: u32,
    /// Of these, since an ACK left.
    pending: u32,
    /// The last packet with data was marked.
    was_marked: bool,
    /// r.e0b, r.ceb, r.e1b: bytes that arrived, by ECN field.
    bytes: [u32; 3],
    /// The first and the last of them when the option left last.
    told: [u32; 2],
    /// How often the option is to leave.
    options: u8,
    /// s.cep: packets of ours that the peer says were marked.
    known: u32,
    /// Bytes of ours that it says were.
    known_bytes: u64,
    /// The longest segment that we may have sent.
    segment: u64,
    /// Packets of an ACK, on average, times eight: many, as long as nothing is known.
    usual: u32,
    /// The peer sent the option: it will do so where the count alone would not tell.
    has_option: bool,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            syn: 0,
            reflects: false,
            fresh: true,
            marked: FIRST_COUNT,
            pending: 0,
            was_marked: false,
            bytes: [1, 0, 1],
            told: [1, 1],
            options: 0,
            known: FIRST_COUNT,
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
        let marked = FIRST_COUNT + u32::from(syn == CE);
        Counts { syn, marked, ..Counts::default() }
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
            // The first ACK shows whether the option survives the path.
            (self.ecn.counts.reflects, self.ecn.counts.options) = (true, 1);
        }
        self.ecn.begin_accurate(unhindered && (!answered || number(flags) == number(arrived_with(0))));
    }

    /// A SYN,ACK came again: our ACK of it was lost.
    pub(super) fn reflect_again(&mut self) {
        self.ecn.counts.reflects = self.ecn.is_accurate() && !self.passive && self.rcv_nxt() == Offset::ZERO;
    }

    /// The ACK of our SYN,ACK says how that arrived (§3.2.2.1), if it is a bare one; zero is what middleboxes leave (§3.2.2.4).
    #[cold]
    pub(super) fn on_handshake_ace(&mut self, seg: &Segment<P>) {
        if self.ecn.is_accurate() {
            let number = number(seg.flags);
            self.ecn.counts.fresh = false;
            // One, five and seven mean nothing here, and nothing bad.
            let mangled = seg.payload.is_empty() && matches!(number, 3 | 4 | 6);
            if number == 0 || mangled {
                self.ecn.disable_marking();
            }
            self.ecn.counts.options = 1;
            self.ecn.show_count();
        }
    }

    /// The flags of a bare ACK.
    pub(super) fn bare_ack_flags(&self, flags: TcpFlags) -> TcpFlags {
        match self.ecn.counts.reflects {
            true => TcpFlags(flags.0 & !ACE.0) | arrived_with(self.ecn.counts.syn),
            false => flags,
        }
    }

    /// An acceptable packet arrived: what its ECN field says is counted, and told at once where it is news (§3.2.2.5.1).
    #[inline(never)]
    pub(super) fn count_marks(&mut self, seg: &Segment<P>) {
        let counts = &mut self.ecn.counts;
        let len = seg.payload.len() as u32;
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
        let due = match len {
            0 => counts.pending >= MARKS_PER_IDLE_ACK,
            _ => counts.pending >= MARKS_PER_ACK || (ce && !counts.was_marked),
        };
        if len > 0 {
            counts.was_marked = ce;
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
        let counts = &mut self.ecn.counts;
        counts.reflects = false;
        counts.pending = 0;
        if counts.options > 0 && TcpOptions::parse(burst.options.as_slice()).marked_bytes.is_some() {
            counts.told = [counts.bytes[0], counts.bytes[2]];
            counts.options -= 1;
        }
        self.ecn.show_count();
    }

    /// An ACK of something new says how much of ours was marked: the packets since the last, at least.
    pub(super) fn on_count(&mut self, acked: u64, flags: TcpFlags, marked_bytes: Option<[u8; 3]>) -> Marks {
        let mss = u64::from(self.mss());
        let counts = &mut self.ecn.counts;
        let number = number(flags);
        if core::mem::take(&mut counts.fresh) && number == 0 {
            // §3.2.2.4.
            self.ecn.disable_marking();
        }
        let counts = &mut self.ecn.counts;
        if !self.ecn.capable {
            counts.known = counts.known.wrapping_add(number.wrapping_sub(counts.known) & 7);
            return Marks::default();
        }
        counts.segment = counts.segment.max(mss);
        let acked_packets = u32::try_from(acked.div_ceil(mss)).unwrap_or(u32::MAX);
        counts.usual = counts.usual - counts.usual / 8 + acked_packets.min(1 << 20);
        let mut packets = number.wrapping_sub(counts.known) & 7;
        let mut bytes = u64::from(packets) * mss;
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
            let have = u64::from(counts.known.wrapping_sub(FIRST_COUNT)) + u64::from(packets);
            packets += 8 * u32::try_from(least.saturating_sub(have).div_ceil(8)).unwrap_or(0);
        } else if acked_packets > AMBIGUOUS && !counts.has_option && counts.usual / 8 <= COALESCED {
            // ACKs were lost: the count may have come around as often as there is room for (appendix A.2.1).
            packets = acked_packets - (acked_packets.wrapping_sub(packets) & 7);
            bytes = u64::from(packets) * mss;
        }
        counts.known = counts.known.wrapping_add(packets);
        self.counts.ecn_marks_reported += u64::from(packets);
        Marks { packets, bytes }
    }
}

/// What an ACK says was marked.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Marks {
    pub(super) packets: u32,
    pub(super) bytes: u64,
}
