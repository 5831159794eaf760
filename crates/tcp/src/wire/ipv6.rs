//! The IPv6 header (RFC 8200 §3).

use core::ops::Range;
use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ECN_MASK, Malformed};

/// Length of the header, bytes.
pub const IPV6_HEADER_LEN: usize = 40;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    /// Version, traffic class and flow label: 4, 8 and 20 bits.
    version_class_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

/// What an IPv6 header says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ipv6Header {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Type of the header that follows: an extension or the payload's protocol.
    pub next_header: u8,
    /// DSCP (upper six bits) and ECN field (lower two).
    pub traffic_class: u8,
    /// Flow label, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// Bytes behind the header, extensions included.
    pub payload_len: u16,
}

/// A parsed IPv6 packet: its header, and where in the given bytes what follows lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipv6Packet {
    /// The header.
    pub header: Ipv6Header,
    /// Extensions and payload, counted from the IPv6 header's first byte; ends before any Ethernet padding.
    pub payload: Range<usize>,
}

impl Ipv6Packet {
    /// The ECN field (RFC 3168 §5).
    pub fn ecn(&self) -> u8 {
        self.header.traffic_class & ECN_MASK
    }
}

impl Ipv6Header {
    /// Reads the header at the start of `bytes`. `frame_len` is how many bytes the frame has from there on;
    /// it is more than `bytes.len()` when the frame was received in several buffers.
    ///
    /// # Errors
    /// One of the `Ipv6…` reasons.
    pub fn parse(bytes: &[u8], frame_len: usize) -> Result<Ipv6Packet, Malformed> {
        let packet = Ipv6Header::parse_quoted(bytes)?;
        if packet.payload.end > frame_len {
            return Err(Malformed::Ipv6PayloadLength);
        }
        Ok(packet)
    }

    /// Reads the header of a packet that an ICMPv6 error quotes, cut off somewhere behind its header.
    ///
    /// # Errors
    /// One of the `Ipv6…` reasons.
    pub fn parse_quoted(bytes: &[u8]) -> Result<Ipv6Packet, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::Ipv6Truncated)?;
        let word = raw.version_class_flow.get();
        if word >> 28 != 6 {
            return Err(Malformed::Ipv6Version);
        }
        let header = Ipv6Header {
            src: raw.src.into(),
            dst: raw.dst.into(),
            next_header: raw.next_header,
            traffic_class: (word >> 20) as u8,
            flow_label: word & 0xf_ffff,
            hop_limit: raw.hop_limit,
            payload_len: raw.payload_len.get(),
        };
        let end = IPV6_HEADER_LEN + usize::from(header.payload_len);
        Ok(Ipv6Packet { header, payload: IPV6_HEADER_LEN..end })
    }

    /// Writes the header, 40 bytes, to the front of `out`. Of the flow label the lower 20 bits count.
    ///
    /// # Panics
    /// When `out` is shorter than that.
    pub fn emit(&self, out: &mut [u8]) {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        let raw = Raw {
            version_class_flow: word.into(),
            payload_len: self.payload_len.into(),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out[..IPV6_HEADER_LEN].copy_from_slice(raw.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s50_each_defect_has_its_reason() {
        let header = Ipv6Header {
            src: Ipv6Addr::LOCALHOST,
            dst: Ipv6Addr::LOCALHOST,
            next_header: 6,
            traffic_class: 0xa3,
            flow_label: 0xabcde,
            hop_limit: 64,
            payload_len: 10,
        };
        let mut bytes = [0; 60];
        header.emit(&mut bytes);
        let parsed = Ipv6Header::parse(&bytes, 60).unwrap();
        assert!(parsed.header == header && parsed.payload == (40..50) && parsed.ecn() == crate::wire::CE);
        assert_eq!(Ipv6Header::parse(&bytes[..39], 60), Err(Malformed::Ipv6Truncated));
        assert_eq!(Ipv6Header::parse(&bytes, 49), Err(Malformed::Ipv6PayloadLength));
        bytes[0] = 0x45;
        assert_eq!(Ipv6Header::parse(&bytes, 60), Err(Malformed::Ipv6Version));
    }
}
