//! ACKs that the next one makes superfluous.
//!
//! A receiver acknowledges every second segment, so a burst of 64 KiB comes back as 22 ACKs, and what a zero-copy sender
//! costs is what they cost. Of those that arrive in one receive burst, one right behind the other, only the last says anything:
//! it acknowledges more, and knows the newer window and timestamp. Receivers that coalesce segments (GRO, LRO) send one ACK in
//! the first place; this is the same, done at the other end.
//!
//! The headers alone decide, before anything is looked up. Whatever a connection wants to hear of one by one makes them
//! differ here: a repeated acknowledgement (RFC 5681 §2), SACK blocks, another ECN count, any control bit but ACK, payload.

use std::net::IpAddr;

use tcp::Payload;
use tcp::wire::{ChecksumBy, IPV4_HEADER_LEN, Ipv4Header, PROTOCOL_TCP, Sum, TCP_HEADER_LEN};

use crate::frame::ETHERNET_LEN;
use crate::nic::{RxChecksum, RxPiece};

/// Where the TCP header of an IPv4 packet without options begins.
const TCP: usize = ETHERNET_LEN + IPV4_HEADER_LEN;
/// Bytes of a bare ACK's headers without TCP options.
const PLAIN: usize = TCP + TCP_HEADER_LEN;
/// The same with timestamps.
const STAMPED: usize = PLAIN + TIMESTAMPS.len() + 8;

/// EtherType IPv4, IP version 4, a header of 20 bytes.
const IPV4: [u8; 3] = [0x08, 0x00, 0x45];
/// Timestamps as everybody aligns them: NOP, NOP, kind 8, length 10 (RFC 7323 appendix A).
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// Data offset and the six control bits that are not ECN's.
const OFFSET_AND_CONTROL: u16 = 0xf03f;
/// A header of five words, or of eight, and of those bits ACK alone.
const PLAIN_ACK: u16 = 0x5010;
const STAMPED_ACK: u16 = 0x8010;

/// True when frame `next` says all that frame `this` does, and more: both are bare ACKs of one connection, and `next`
/// acknowledges what `this` does not. `next` arrived right behind `this`; its checksums are not looked at.
#[inline]
fn says_more(this: &[u8], next: &[u8]) -> bool {
    let (Some(a), Some(b)) = (this.first_chunk::<PLAIN>(), next.first_chunk::<PLAIN>()) else {
        return false;
    };
    // All but what differs from packet to packet: IP's identification and checksum, acknowledgement, window, checksum.
    let same =
        a[..18] == b[..18] && a[20..24] == b[20..24] && a[26..42] == b[26..42] && a[46..48] == b[46..48];
    let marked = b[15] & 3 == 3;
    let whole = u16_at(b, 20) & 0x3fff == 0;
    if !same || b[12..15] != IPV4 || marked || !whole || b[23] != PROTOCOL_TCP {
        return false;
    }
    if !is_later(u32_at(a, 42), u32_at(b, 42)) {
        return false;
    }
    match (u16_at(b, 46) & OFFSET_AND_CONTROL, usize::from(u16_at(b, 16))) {
        (PLAIN_ACK, len) => ETHERNET_LEN + len == PLAIN,
        (STAMPED_ACK, len) => {
            let (Some(a), Some(b)) = (this.first_chunk::<STAMPED>(), next.first_chunk::<STAMPED>()) else {
                return false;
            };
            ETHERNET_LEN + len == STAMPED
                && a[PLAIN..PLAIN + 4] == TIMESTAMPS
                && b[PLAIN..PLAIN + 4] == TIMESTAMPS
                && !is_later(u32_at(b, PLAIN + 4), u32_at(a, PLAIN + 4))
                && !is_later(u32_at(b, PLAIN + 8), u32_at(a, PLAIN + 8))
        }
        _ => false,
    }
}

/// `b` comes behind `a` in the order of sequence numbers and timestamps.
#[inline]
fn is_later(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) as i32 > 0
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// True when the frame in `this` need not be processed, since the one in `next` says all that it does, and is right. What was
/// verified of `next` is noted there.
#[inline]
pub(crate) fn is_outrun<B: Payload>(this: &RxPiece<B>, next: &mut RxPiece<B>) -> bool {
    !this.more && !next.more && says_more(this.buf.as_slice(), next.buf.as_slice()) && is_right(next)
}

/// The checksums of a frame that is a bare ACK.
#[inline]
fn is_right<B: Payload>(frame: &mut RxPiece<B>) -> bool {
    if (frame.ip_checksum, frame.l4_checksum) == (RxChecksum::Good, RxChecksum::Good) {
        return true;
    }
    let packet = &frame.buf.as_slice()[ETHERNET_LEN..];
    if frame.ip_checksum == RxChecksum::Unknown {
        if Ipv4Header::parse(packet, packet.len(), ChecksumBy::Software).is_err() {
            return false;
        }
        frame.ip_checksum = RxChecksum::Good;
    }
    if frame.l4_checksum == RxChecksum::Unknown {
        let segment = &packet[IPV4_HEADER_LEN..usize::from(u16_at(packet, 2))];
        let [src, dst] = [u32_at(packet, 12), u32_at(packet, 16)].map(|a| IpAddr::V4(a.into()));
        let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, segment.len() as u32);
        sum.add(segment);
        if !sum.is_valid() {
            return false;
        }
        frame.l4_checksum = RxChecksum::Good;
    }
    (frame.ip_checksum, frame.l4_checksum) == (RxChecksum::Good, RxChecksum::Good)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};
    use proptest::prelude::*;

    use super::*;

    const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];

    /// A bare ACK with right checksums.
    fn ack(acked: u32, stamps: Option<(u32, u32)>, edit: impl FnOnce(&mut TcpHeader)) -> Vec<u8> {
        let mut tcp = TcpHeader::new(4000, 5000, 77, 1000);
        (tcp.ack, tcp.acknowledgment_number) = (true, acked);
        if let Some((val, ecr)) = stamps {
            let noop = TcpOptionElement::Noop;
            tcp.set_options(&[noop.clone(), noop, TcpOptionElement::Timestamp(val, ecr)]).expect("they fit");
        }
        edit(&mut tcp);
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1));
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv4(src.octets(), dst.octets(), 64);
        builder.tcp_header(tcp).write(&mut frame, &[]).expect("a Vec takes it");
        frame
    }

    #[test]
    fn rfc9293_an_ack_of_more_outruns_one_of_less() {
        for stamps in [None, Some((5, 6))] {
            let [a, b] = [1000, 3000].map(|n| ack(n, stamps, |_| {}));
            assert!(says_more(&a, &b), "{stamps:?}");
            assert!(!says_more(&b, &a), "{stamps:?}: never back");
            assert!(!says_more(&a, &a), "{stamps:?}: a repeated one speaks of a loss");
            // Across zero, with another window and later stamps.
            let a = ack(u32::MAX - 9, stamps, |_| {});
            let b = ack(10, stamps.map(|(v, e)| (v + 1, e + 1)), |tcp| tcp.window_size = 3);
            assert!(says_more(&a, &b), "{stamps:?}");
            // Shorter than its header, and padded to what a wire carries.
            assert!(!says_more(&a, &b[..b.len() - 1]) && !says_more(&a[..a.len() - 1], &b));
            let padded = |frame: &[u8]| [frame, &[0; 6]].concat();
            assert!(says_more(&padded(&a), &padded(&b)));
        }
        let [old, new] = [(5, 6), (6, 6)].map(|stamps| ack(1000, Some(stamps), |_| {}));
        assert!(!says_more(&ack(900, Some((6, 6)), |_| {}), &old), "older timestamps are PAWS's to judge");
        assert!(!says_more(&ack(900, Some((5, 7)), |_| {}), &new), "nor do echoes go back");
        assert!(!says_more(&ack(900, None, |_| {}), &new), "with timestamps and without");
    }

    #[test]
    fn what_a_connection_wants_to_hear_of_is_not_outrun() {
        type Edit = fn(&mut TcpHeader);
        let edits: [(&str, Edit); 8] = [
            ("PSH", |t| t.psh = true),
            ("FIN", |t| t.fin = true),
            ("RST", |t| t.rst = true),
            ("SYN", |t| t.syn = true),
            ("URG", |t| t.urg = true),
            ("another sequence number", |t| t.sequence_number += 1),
            ("another port", |t| t.source_port += 1),
            ("SACK", |t| {
                let sack = TcpOptionElement::SelectiveAcknowledgement((5000, 6000), [None; 3]);
                let noop = TcpOptionElement::Noop;
                t.set_options(&[noop.clone(), noop, sack]).expect("they fit");
            }),
        ];
        let plain = |n| ack(n, None, |_| {});
        for (what, edit) in edits {
            let both = [1000, 3000].map(|n| ack(n, None, edit));
            let only_one = [(&both[0], &plain(3000)), (&plain(1000), &both[1])].map(|(a, b)| says_more(a, b));
            assert_eq!(only_one, [false, false], "{what} on one");
            if !what.starts_with("another") {
                assert!(!says_more(&both[0], &both[1]), "{what} on both");
            }
        }
        // Echoes of marks, and counts of them, are told by change alone.
        let echo: Edit = |t| t.ece = true;
        assert!(says_more(&ack(1000, None, echo), &ack(3000, None, echo)));
        assert!(!says_more(&plain(1000), &ack(3000, None, echo)));
    }

    proptest! {
        /// Whatever the bytes: if one outruns the other, a parser that is not ours finds two bare ACKs that differ in nothing
        /// that matters.
        #[test]
        fn only_bare_acks_of_one_connection_are_outrun(
            stamped: bool,
            at in 0..STAMPED,
            bits in 1..=255u8,
            both: bool,
        ) {
            let stamps = stamped.then_some((5, 6));
            let [mut a, mut b] = [1000, 3000].map(|n| ack(n, stamps, |_| {}));
            let at = at % b.len();
            b[at] ^= bits;
            if both {
                a[at] ^= bits;
            }
            if !says_more(&a, &b) {
                return Ok(());
            }
            let [a, b] = [&a, &b].map(|frame| SlicedPacket::from_ethernet(frame).expect("a packet"));
            let (Some(NetSlice::Ipv4(ip_a)), Some(NetSlice::Ipv4(ip_b))) = (a.net, b.net) else { panic!("IPv4") };
            let (ip_a, ip_b) = (ip_a.header().to_header(), ip_b.header().to_header());
            prop_assert_eq!((ip_a.source, ip_a.destination), (ip_b.source, ip_b.destination));
            prop_assert!(!ip_b.is_fragmenting_payload() && ip_a.ecn == ip_b.ecn && ip_b.ecn.value() != 3);
            let (Some(TransportSlice::Tcp(a)), Some(TransportSlice::Tcp(b))) = (a.transport, b.transport) else {
                panic!("TCP")
            };
            prop_assert!(a.payload().is_empty() && b.payload().is_empty());
            let (a, b) = (a.to_header(), b.to_header());
            prop_assert_eq!((a.source_port, a.destination_port), (b.source_port, b.destination_port));
            prop_assert_eq!(a.sequence_number, b.sequence_number);
            prop_assert!((b.acknowledgment_number.wrapping_sub(a.acknowledgment_number) as i32) > 0);
            for t in [&a, &b] {
                prop_assert!(t.ack && !(t.fin | t.syn | t.rst | t.psh | t.urg));
            }
            prop_assert_eq!((a.ece, a.cwr, a.ns), (b.ece, b.cwr, b.ns));
            prop_assert_eq!(a.options.len(), b.options.len());
        }
    }
}
