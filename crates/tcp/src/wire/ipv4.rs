//! The IPv4 header (RFC 791).

use core::ops::Range;
use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ECN_MASK, Malformed, Sum, checksum};

/// Length of the header without options, bytes: what we send.
pub const IPV4_HEADER_LEN: usize = 20;

/// Version 4, and a header of five words.
const VERSION_IHL: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    id: U16,
    fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    src: [u8; 4],
    dst: [u8; 4],
}

/// Who computes, or has verified, a checksum.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ChecksumBy {
    /// We do: computed when emitting, verified when parsing.
    Software,
    /// The device does: left zero when emitting, believed when parsing.
    Device,
}

/// What an IPv4 header says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ipv4Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Protocol number of the payload.
    pub protocol: u8,
    /// DSCP (upper six bits) and ECN field (lower two).
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Identification; without meaning in a packet with DF set (RFC 6864 §4.1).
    pub id: u16,
    /// DF: routers shall not fragment it.
    pub dont_fragment: bool,
    /// Bytes behind the header.
    pub payload_len: u16,
}

/// A parsed IPv4 packet: its header, and where in the given bytes its payload lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipv4Packet {
    /// The header.
    pub header: Ipv4Header,
    /// Where the payload lies, counted from the IPv4 header's first byte; options are skipped. Ends before
    /// any Ethernet padding, and beyond the given bytes when the frame goes on in another buffer.
    pub payload: Range<usize>,
    /// It is a fragment of a packet, first or later.
    pub is_fragment: bool,
}

impl Ipv4Packet {
    /// The ECN field (RFC 3168 §5).
    pub fn ecn(&self) -> u8 {
        self.header.tos & ECN_MASK
    }
}

impl Ipv4Header {
    /// Reads the header at the start of `bytes`. `frame_len` is how many bytes the frame has from there on;
    /// it is more than `bytes.len()` when the frame was received in several buffers.
    ///
    /// # Errors
    /// One of the `Ipv4…` reasons.
    pub fn parse(bytes: &[u8], frame_len: usize, checksum_by: ChecksumBy) -> Result<Ipv4Packet, Malformed> {
        let (raw, header_len) = header_bytes(bytes)?;
        if checksum_by == ChecksumBy::Software && checksum(&bytes[..header_len]) != 0 {
            return Err(Malformed::Ipv4Checksum);
        }
        let total_len = usize::from(raw.total_len.get());
        if total_len < header_len || total_len > frame_len {
            return Err(Malformed::Ipv4TotalLength);
        }
        Ok(raw.packet(header_len))
    }

    /// Reads the header of a packet that an ICMP error quotes: cut off somewhere behind its header, and with
    /// a checksum and a total length that routers may have edited on the way.
    ///
    /// # Errors
    /// One of the `Ipv4…` reasons.
    pub fn parse_quoted(bytes: &[u8]) -> Result<Ipv4Packet, Malformed> {
        let (raw, header_len) = header_bytes(bytes)?;
        Ok(raw.packet(header_len))
    }

    /// Writes the header, 20 bytes, to the front of `out`.
    ///
    /// # Panics
    /// When `out` is shorter than that. In debug builds, when header and payload are longer than 65535 bytes.
    pub fn emit(&self, out: &mut [u8], checksum_by: ChecksumBy) {
        let total_len = self.payload_len.checked_add(IPV4_HEADER_LEN as u16);
        debug_assert!(total_len.is_some(), "{} bytes of payload", self.payload_len);
        let total_len = total_len.unwrap_or(u16::MAX);
        let fragment = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        let checksum = match checksum_by {
            ChecksumBy::Device => 0,
            ChecksumBy::Software => {
                // Over the fields, which are at hand, rather than over the bytes about to be written.
                let mut sum = Sum::ZERO;
                sum.add_u32(u32::from_be_bytes([VERSION_IHL, self.tos, 0, 0]) | u32::from(total_len));
                sum.add_u32(u32::from(self.id) << 16 | u32::from(fragment));
                sum.add_u32(u32::from_be_bytes([self.ttl, self.protocol, 0, 0]));
                sum.add_u32(self.src.to_bits());
                sum.add_u32(self.dst.to_bits());
                sum.checksum()
            }
        };
        let raw = Raw {
            version_ihl: VERSION_IHL,
            tos: self.tos,
            total_len: total_len.into(),
            id: self.id.into(),
            fragment: fragment.into(),
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: checksum.into(),
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out[..IPV4_HEADER_LEN].copy_from_slice(raw.as_bytes());
    }
}

impl Raw {
    fn packet(&self, header_len: usize) -> Ipv4Packet {
        let fragment = self.fragment.get();
        let total_len = usize::from(self.total_len.get()).max(header_len);
        Ipv4Packet {
            header: Ipv4Header {
                src: self.src.into(),
                dst: self.dst.into(),
                protocol: self.protocol,
                tos: self.tos,
                ttl: self.ttl,
                id: self.id.get(),
                dont_fragment: fragment & DONT_FRAGMENT != 0,
                payload_len: (total_len - header_len) as u16,
            },
            payload: header_len..total_len,
            is_fragment: fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0,
        }
    }
}

/// The fixed part, and the length with options; `bytes` is at least that long.
fn header_bytes(bytes: &[u8]) -> Result<(&Raw, usize), Malformed> {
    let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::Ipv4Truncated)?;
    if raw.version_ihl >> 4 != 4 {
        return Err(Malformed::Ipv4Version);
    }
    let header_len = usize::from(raw.version_ihl & 0xf) * 4;
    if header_len < IPV4_HEADER_LEN {
        return Err(Malformed::Ipv4HeaderLength);
    }
    if header_len > bytes.len() {
        return Err(Malformed::Ipv4Truncated);
    }
    Ok((raw, header_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Ipv4Header {
        Ipv4Header {
            src: Ipv4Addr::new(10, 0, 0, 1),
            dst: Ipv4Addr::new(10, 0, 0, 2),
            protocol: 6,
            tos: 0b11,
            ttl: 64,
            id: 7,
            dont_fragment: true,
            payload_len: 30,
        }
    }

    fn packet() -> Vec<u8> {
        let mut bytes = vec![0; 50];
        header().emit(&mut bytes, ChecksumBy::Software);
        bytes
    }

    /// Puts the right checksum into an edited header of `len` bytes.
    fn seal(bytes: &mut [u8], len: usize) {
        bytes[10..12].fill(0);
        let sum = checksum(&bytes[..len]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }

    fn parse(bytes: &[u8]) -> Result<Ipv4Packet, Malformed> {
        Ipv4Header::parse(bytes, bytes.len(), ChecksumBy::Software)
    }

    #[test]
    fn padding_behind_the_packet_is_left_out() {
        let mut bytes = packet();
        bytes.extend([0xee; 6]);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.header, parsed.payload.clone()), (header(), 20..50));
        assert!(parsed.ecn() == crate::wire::CE && !parsed.is_fragment);
    }

    #[test]
    fn a_frame_in_several_buffers_is_as_long_as_all_of_them() {
        let bytes = packet();
        assert_eq!(Ipv4Header::parse(&bytes[..24], 50, ChecksumBy::Software).unwrap().payload, 20..50);
        assert_eq!(
            Ipv4Header::parse(&bytes[..24], 49, ChecksumBy::Software),
            Err(Malformed::Ipv4TotalLength)
        );
    }

    #[test]
    fn header_options_are_skipped() {
        let mut bytes = packet();
        bytes[0] = 0x47;
        bytes[20..28].copy_from_slice(&[148, 4, 0, 0, 1, 1, 1, 0]);
        seal(&mut bytes, 28);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.header.payload_len, parsed.payload), (22, 28..50));
    }

    #[test]
    fn fragments_are_told_apart() {
        for (field, fragment) in
            [(0x2000u16, true), (0x0001, true), (0x3fff, true), (0x4000, false), (0x8000, false)]
        {
            let mut bytes = packet();
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            seal(&mut bytes, 20);
            assert_eq!(parse(&bytes).unwrap().is_fragment, fragment, "{field:#06x}");
        }
    }

    #[test]
    fn s50_each_defect_has_its_reason() {
        let good = packet();
        let edit = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            seal(&mut bytes, 20);
            bytes
        };
        assert_eq!(parse(&good[..19]), Err(Malformed::Ipv4Truncated));
        assert_eq!(parse(&edit(0, 0x4f)), Err(Malformed::Ipv4Truncated));
        assert_eq!(parse(&edit(0, 0x65)), Err(Malformed::Ipv4Version));
        assert_eq!(parse(&edit(0, 0x44)), Err(Malformed::Ipv4HeaderLength));
        assert_eq!(parse(&edit(3, 51)), Err(Malformed::Ipv4TotalLength));
        assert_eq!(parse(&edit(3, 19)), Err(Malformed::Ipv4TotalLength));
        let mut bad = good.clone();
        bad[8] ^= 1;
        assert_eq!(parse(&bad), Err(Malformed::Ipv4Checksum));
        assert!(Ipv4Header::parse(&bad, 50, ChecksumBy::Device).is_ok());
    }

    #[test]
    fn a_quoted_packet_may_be_cut_off_and_edited() {
        let mut bytes = packet();
        bytes[8] ^= 1;
        bytes[2..4].fill(0);
        let parsed = Ipv4Header::parse_quoted(&bytes[..28]).unwrap();
        assert_eq!((parsed.header.src, parsed.payload.start), (header().src, 20));
    }

    #[test]
    fn the_device_finds_a_zero_checksum() {
        let mut bytes = [0xff; 20];
        header().emit(&mut bytes, ChecksumBy::Device);
        assert_eq!(bytes[10..12], [0, 0]);
    }
}
