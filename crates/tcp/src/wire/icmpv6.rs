//! ICMPv6 (RFC 4443): echo and the errors that concern TCP.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ICMP_HEADER_LEN, Malformed, Sum};
use crate::IcmpErrorKind;

/// The next-header number of ICMPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;

const UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    kind: u8,
    code: u8,
    checksum: U16,
    /// What the second word holds depends on the type.
    rest: [u8; 4],
}

/// A message of ICMPv6.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Icmpv6<'a> {
    /// Echo request.
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
        /// The data.
        data: &'a [u8],
    },
    /// Echo reply.
    EchoReply {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
        /// The data.
        data: &'a [u8],
    },
    /// Destination unreachable.
    Unreachable {
        /// Why.
        code: u8,
        /// The start of the packet this is about.
        quoted: &'a [u8],
    },
    /// Packet too big.
    PacketTooBig {
        /// The MTU of the next hop.
        mtu: u32,
        /// The start of the packet this is about.
        quoted: &'a [u8],
    },
    /// Time exceeded.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// The start of the packet this is about.
        quoted: &'a [u8],
    },
    /// Parameter problem.
    ParameterProblem {
        /// What kind of problem.
        code: u8,
        /// The byte of the quoted packet it was found at.
        pointer: u32,
        /// The start of the packet this is about.
        quoted: &'a [u8],
    },
    /// Any other type, neighbour discovery among them.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl<'a> Icmpv6<'a> {
    /// Reads the message that fills `bytes`, the payload of an IPv6 packet from `src` to `dst`.
    ///
    /// # Errors
    /// [`Malformed::IcmpTruncated`] or [`Malformed::IcmpChecksum`].
    pub fn parse(bytes: &'a [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<Icmpv6<'a>, Malformed> {
        let (raw, body) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::IcmpTruncated)?;
        let mut sum = Sum::pseudo_header(src.into(), dst.into(), PROTOCOL_ICMPV6, bytes.len() as u32);
        sum.add(bytes);
        if !sum.is_valid() {
            return Err(Malformed::IcmpChecksum);
        }
        let [a, b, c, d] = raw.rest;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let word = u32::from_be_bytes(raw.rest);
        let code = raw.code;
        Ok(match raw.kind {
            ECHO_REQUEST => Icmpv6::EchoRequest { id: first, seq: second, data: body },
            ECHO_REPLY => Icmpv6::EchoReply { id: first, seq: second, data: body },
            UNREACHABLE => Icmpv6::Unreachable { code, quoted: body },
            PACKET_TOO_BIG => Icmpv6::PacketTooBig { mtu: word, quoted: body },
            TIME_EXCEEDED => Icmpv6::TimeExceeded { code, quoted: body },
            PARAMETER_PROBLEM => Icmpv6::ParameterProblem { code, pointer: word, quoted: body },
            kind => Icmpv6::Other { kind, code },
        })
    }

    /// Writes the message to the front of `out`, checksum included, and returns its length: 8 bytes and the
    /// data.
    ///
    /// # Panics
    /// When `out` is shorter than that.
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> usize {
        let pair = |a: u16, b: u16| (u32::from(a) << 16 | u32::from(b)).to_be_bytes();
        let (kind, code, rest, body): (u8, u8, [u8; 4], &[u8]) = match *self {
            Icmpv6::EchoRequest { id, seq, data } => (ECHO_REQUEST, 0, pair(id, seq), data),
            Icmpv6::EchoReply { id, seq, data } => (ECHO_REPLY, 0, pair(id, seq), data),
            Icmpv6::Unreachable { code, quoted } => (UNREACHABLE, code, [0; 4], quoted),
            Icmpv6::PacketTooBig { mtu, quoted } => (PACKET_TOO_BIG, 0, mtu.to_be_bytes(), quoted),
            Icmpv6::TimeExceeded { code, quoted } => (TIME_EXCEEDED, code, [0; 4], quoted),
            Icmpv6::ParameterProblem { code, pointer, quoted } => {
                (PARAMETER_PROBLEM, code, pointer.to_be_bytes(), quoted)
            }
            Icmpv6::Other { kind, code } => (kind, code, [0; 4], &[]),
        };
        let mut raw = Raw { kind, code, checksum: 0.into(), rest };
        let len = ICMP_HEADER_LEN + body.len();
        let mut sum = Sum::pseudo_header(src.into(), dst.into(), PROTOCOL_ICMPV6, len as u32);
        sum.add(raw.as_bytes());
        sum.add(body);
        raw.checksum = sum.checksum().into();
        out[..ICMP_HEADER_LEN].copy_from_slice(raw.as_bytes());
        out[ICMP_HEADER_LEN..len].copy_from_slice(body);
        len
    }

    /// What this means for TCP and the packet it is about, when it is an error.
    pub fn error(&self) -> Option<(IcmpErrorKind, &'a [u8])> {
        match *self {
            Icmpv6::Unreachable { code, quoted } => {
                let kind = match code {
                    // Administratively prohibited, port, and the two later policies (RFC 4443 §3.1; RFC 5461
                    // §2 puts codes 1 and 4 with the hard errors of IPv4).
                    1 | 4 | 5 | 6 => IcmpErrorKind::HardUnreachable,
                    _ => IcmpErrorKind::SoftUnreachable,
                };
                Some((kind, quoted))
            }
            Icmpv6::PacketTooBig { mtu, quoted } => {
                Some((IcmpErrorKind::PacketTooBig { mtu: (mtu != 0).then_some(mtu) }, quoted))
            }
            Icmpv6::TimeExceeded { quoted, .. } => Some((IcmpErrorKind::TimeExceeded, quoted)),
            Icmpv6::ParameterProblem { quoted, .. } => Some((IcmpErrorKind::ParameterProblem, quoted)),
            Icmpv6::EchoRequest { .. } | Icmpv6::EchoReply { .. } | Icmpv6::Other { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_sort_into_hard_soft_and_too_big() {
        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let kind = |message: Icmpv6<'_>| {
            let mut bytes = [0; 20];
            let len = message.emit(src, dst, &mut bytes);
            let parsed = Icmpv6::parse(&bytes[..len], src, dst).unwrap();
            assert_eq!(parsed, message);
            parsed.error().map(|(kind, _)| kind)
        };
        for code in [0, 2, 3, 7] {
            let error = kind(Icmpv6::Unreachable { code, quoted: &[] });
            assert_eq!(error, Some(IcmpErrorKind::SoftUnreachable), "{code}");
        }
        for code in [1, 4, 5, 6] {
            let error = kind(Icmpv6::Unreachable { code, quoted: &[] });
            assert_eq!(error, Some(IcmpErrorKind::HardUnreachable), "{code}");
        }
        let mtu = Some(IcmpErrorKind::PacketTooBig { mtu: Some(1280) });
        assert_eq!(kind(Icmpv6::PacketTooBig { mtu: 1280, quoted: &[] }), mtu);
        assert_eq!(kind(Icmpv6::Other { kind: 135, code: 0 }), None);
    }

    #[test]
    fn s50_each_defect_has_its_reason() {
        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let mut bytes = [0; 8];
        Icmpv6::EchoRequest { id: 1, seq: 2, data: &[] }.emit(src, dst, &mut bytes);
        assert_eq!(Icmpv6::parse(&bytes[..7], src, dst), Err(Malformed::IcmpTruncated));
        assert_eq!(Icmpv6::parse(&bytes, src, Ipv6Addr::UNSPECIFIED), Err(Malformed::IcmpChecksum));
    }
}
