//! What a router sees of a frame: its flow, its ECN field, how long its packet is, whether it is a bare ACK.
//!
//! Frames may be spoilt or be of another protocol: what cannot be read has no flow, no mark and no ACK.

use core::ops::Range;

use crate::tso::{fold, sum};

/// Bytes of Ethernet header.
const L2: usize = 14;
/// CE, "Congestion Experienced" (RFC 3168 §5).
const CE: u8 = 0b11;

/// Where the IPv4 header and what follows it lie.
struct Ipv4 {
    header: Range<usize>,
    end: usize,
}

fn ipv4(frame: &[u8]) -> Option<Ipv4> {
    let ip = frame.get(L2..).filter(|ip| ip.len() >= 20 && frame[12..14] == [8, 0] && ip[0] >> 4 == 4)?;
    let length = usize::from(ip[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    (length >= 20 && total >= length && total <= ip.len())
        .then_some(Ipv4 { header: L2..L2 + length, end: L2 + total })
}

fn is_ipv6(frame: &[u8]) -> bool {
    frame.len() >= L2 + 40 && frame[12..14] == [0x86, 0xdd]
}

/// Bytes of the IP packet; `None` for what is no IP.
pub(super) fn ip_len(frame: &[u8]) -> Option<usize> {
    if is_ipv6(frame) {
        return Some(40 + usize::from(u16::from_be_bytes([frame[L2 + 4], frame[L2 + 5]])));
    }
    ipv4(frame).map(|ip| ip.end - L2)
}

/// A number for addresses, ports and protocol, the same for every packet of a flow (RFC 8290 §4.1.1); `salt` makes it
/// another one in every run.
pub(super) fn flow(frame: &[u8], salt: u64) -> u64 {
    let key: Vec<u8> = match ipv4(frame) {
        Some(ip) => {
            let (at, end) = (ip.header.start, ip.header.end);
            let ports = frame.get(end..end + 4).unwrap_or(&[]);
            [&frame[at + 9..at + 10], &frame[at + 12..at + 20], ports].concat()
        }
        None if is_ipv6(frame) => {
            let ports = frame.get(L2 + 40..L2 + 44).unwrap_or(&[]);
            [&frame[L2 + 6..L2 + 7], &frame[L2 + 8..L2 + 40], ports].concat()
        }
        None => frame.iter().take(L2).copied().collect(),
    };
    // FNV-1a, then a last stirring: neighbouring ports must not share low bits.
    let hash = key.iter().fold(salt ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// Marks an ECN-capable packet with CE; false for one that is not, which must be dropped instead (RFC 3168 §5).
pub(super) fn mark(frame: &mut [u8]) -> bool {
    if is_ipv6(frame) {
        let capable = frame[L2 + 1] >> 4 & CE != 0;
        if capable {
            frame[L2 + 1] |= CE << 4;
        }
        return capable;
    }
    let Some(ip) = ipv4(frame) else { return false };
    let at = ip.header.start;
    if frame[at + 1] & CE == 0 {
        return false;
    }
    frame[at + 1] |= CE;
    frame[at + 10..at + 12].fill(0);
    let checksum = !fold(sum(&frame[ip.header]));
    frame[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
    true
}

/// The acknowledgement number of a segment that is nothing but an ACK: no payload, no other flag, and no SACK or other
/// option beside timestamps.
pub(super) fn bare_ack(frame: &[u8]) -> Option<u32> {
    let ip = ipv4(frame)?;
    if frame[ip.header.start + 9] != 6 {
        return None;
    }
    let tcp = frame.get(ip.header.end..ip.end).filter(|tcp| tcp.len() >= 20)?;
    let header = usize::from(tcp[12] >> 4) * 4;
    let options = tcp.get(20..header)?;
    let plain = options.is_empty() || (options.len() == 12 && options[..4] == [1, 1, 8, 10]);
    (tcp.len() == header && tcp[13] == 0x10 && plain)
        .then(|| u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]))
}

/// Whether these two IPv4 packets are of the same TCP connection and direction.
pub(super) fn same_flow(a: &[u8], b: &[u8]) -> bool {
    let key = |frame: &[u8]| {
        let ip = ipv4(frame)?;
        let ports = frame.get(ip.header.end..ip.header.end + 4)?;
        let addresses = &frame[ip.header.start + 12..ip.header.start + 20];
        Some((addresses.to_vec(), ports.to_vec()))
    };
    key(a).is_some_and(|a| key(b) == Some(a))
}

/// Bytes of the packet that an error quotes, so that the error has 576 at most (RFC 1812 §4.3.2.3).
const QUOTED: usize = 548;
/// Bytes of the longest frame with an error.
pub(crate) const LONGEST_ERROR: usize = L2 + 20 + 8 + QUOTED;

/// The router that answers with ICMP errors: an address for documentation (RFC 5737).
const ROUTER: [u8; 4] = [192, 0, 2, 1];

/// "Fragmentation needed and DF set" with the MTU of the next hop (RFC 792, RFC 1191 §4), as the sender of `frame`
/// gets it; for IPv4 that may not be fragmented only.
pub(super) fn too_big(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let ip = ipv4(frame)?;
    if frame[ip.header.start + 6] & 0x40 == 0 {
        return None;
    }
    let quoted = &frame[L2..ip.end.min(L2 + QUOTED)];
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend(mtu.to_be_bytes());
    icmp.extend(quoted);
    let checksum = !fold(sum(&icmp));
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut header = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
    header[2..4].copy_from_slice(&(20 + icmp.len() as u16).to_be_bytes());
    header.extend(ROUTER);
    header.extend(&frame[ip.header.start + 12..ip.header.start + 16]);
    let checksum = !fold(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    Some([&frame[6..12], &frame[..6], &[8, 0], &header, &icmp].concat())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A TCP segment between two sockets, as it would be on the wire, checksums and all.
    pub(in super::super) fn segment(port: u16, ecn: u8, ack: u32, payload: usize) -> Vec<u8> {
        let mut header = etherparse::TcpHeader::new(port, 80, 1, 1_000);
        (header.ack, header.acknowledgment_number) = (true, ack);
        framed(([10, 0, 0, 1], [10, 0, 0, 2]), ecn, header, payload)
    }

    /// A frame from the first address to the second around `header` and so many bytes.
    pub(crate) fn framed(
        (from, to): ([u8; 4], [u8; 4]),
        ecn: u8,
        header: etherparse::TcpHeader,
        payload: usize,
    ) -> Vec<u8> {
        let mut ip = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, from, to).expect("short");
        ip.dont_fragment = true;
        ip.ecn = etherparse::IpEcn::try_new(ecn).expect("two bits");
        let mut frame = Vec::new();
        etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .tcp_header(header)
            .write(&mut frame, &vec![7; payload])
            .expect("writes to memory");
        frame
    }

    #[test]
    fn rfc3168_a_mark_is_for_packets_that_can_carry_it_and_keeps_the_checksum_right() {
        for (ecn, marked) in [(0b00, None), (0b01, Some(CE)), (0b10, Some(CE)), (CE, Some(CE))] {
            let mut frame = segment(1, ecn, 0, 10);
            assert_eq!(mark(&mut frame), marked.is_some());
            assert_eq!(frame[15] & CE, marked.unwrap_or(ecn));
            assert!(matches!(crate::decode(&frame), crate::Decoded::Tcp(_)));
        }
        assert!(!mark(&mut [0; 60]));
        assert!(!mark(&mut []));
    }

    #[test]
    fn a_bare_ack_is_told_from_what_must_not_be_lost() {
        assert_eq!(bare_ack(&segment(1, 0, 77, 0)), Some(77));
        assert_eq!(bare_ack(&segment(1, 0, 77, 1)), None);
        let mut fin = segment(1, 0, 77, 0);
        fin[47] |= 1;
        assert_eq!(bare_ack(&fin), None);
        assert!((0..54).all(|cut| bare_ack(&segment(1, 0, 77, 0)[..cut]).is_none()));
    }

    #[test]
    fn flows_differ_by_port_and_not_by_what_they_carry() {
        let a = flow(&segment(1, 0, 0, 0), 5);
        assert_eq!(a, flow(&segment(1, 0, 9, 100), 5));
        assert_ne!(a, flow(&segment(2, 0, 0, 0), 5));
        assert_ne!(a, flow(&segment(1, 0, 0, 0), 6));
        assert!(same_flow(&segment(1, 0, 1, 0), &segment(1, 0, 2, 9)));
        assert!(!same_flow(&segment(1, 0, 1, 0), &segment(2, 0, 1, 0)));
    }

    #[test]
    fn rfc1191_the_answer_names_the_mtu_and_quotes_the_packet() {
        let frame = segment(1, 0, 0, 1_000);
        let icmp = too_big(&frame, 1_000).expect("DF is set");
        assert_eq!(&icmp[..6], &frame[6..12]);
        assert_eq!((icmp.len(), LONGEST_ERROR), (14 + 576, 14 + 576));
        assert_eq!((&icmp[34..36], &icmp[40..42]), (&[3, 4][..], &1_000_u16.to_be_bytes()[..]));
        assert_eq!(&icmp[42..590], &frame[14..562]);
        assert_eq!((fold(sum(&icmp[14..34])), fold(sum(&icmp[34..]))), (0xffff, 0xffff));
        let mut fragments = frame;
        fragments[20] = 0;
        assert_eq!(too_big(&fragments, 1_000), None);
    }
}
