//! ICMP for IPv4 (RFC 792, RFC 1191 §4).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Malformed, Sum, checksum};
use crate::IcmpErrorKind;

/// The protocol number of ICMP for IPv4.
pub const PROTOCOL_ICMP: u8 = 1;

/// Length of the header in front of the data or the quoted packet, bytes.
pub const ICMP_HEADER_LEN: usize = 8;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Destination unreachable, code 4: it has to be fragmented and has DF set.
const FRAGMENTATION_NEEDED: u8 = 4;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    kind: u8,
    code: u8,
    checksum: U16,
    /// What the second word holds depends on the type.
    rest: [u8; 4],
}

/// A message of ICMP for IPv4.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Icmpv4<'a> {
    /// Echo request: to be answered with its own data (RFC 1122 §3.2.2.6).
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
        /// With code 4 the MTU of the next hop, zero from a router older than RFC 1191; else unused.
        next_hop_mtu: u16,
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
        pointer: u8,
        /// The start of the packet this is about.
        quoted: &'a [u8],
    },
    /// Any other type: none that TCP has to act on. Source quench is one (RFC 6633).
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl<'a> Icmpv4<'a> {
    /// Reads the message that fills `bytes`, the payload of an IPv4 packet.
    ///
    /// # Errors
    /// [`Malformed::IcmpTruncated`] or [`Malformed::IcmpChecksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Icmpv4<'a>, Malformed> {
        let (raw, body) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::IcmpTruncated)?;
        if checksum(bytes) != 0 {
            return Err(Malformed::IcmpChecksum);
        }
        let [a, b, c, d] = raw.rest;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let code = raw.code;
        Ok(match raw.kind {
            ECHO_REQUEST => Icmpv4::EchoRequest { id: first, seq: second, data: body },
            ECHO_REPLY => Icmpv4::EchoReply { id: first, seq: second, data: body },
            UNREACHABLE => Icmpv4::Unreachable { code, next_hop_mtu: second, quoted: body },
            TIME_EXCEEDED => Icmpv4::TimeExceeded { code, quoted: body },
            PARAMETER_PROBLEM => Icmpv4::ParameterProblem { code, pointer: a, quoted: body },
            kind => Icmpv4::Other { kind, code },
        })
    }

    /// Writes the message to the front of `out`, checksum included, and returns its length: 8 bytes and the
    /// data.
    ///
    /// # Panics
    /// When `out` is shorter than that.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let pair = |a: u16, b: u16| {
            let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
            [a, b, c, d]
        };
        let (kind, code, rest, body): (u8, u8, [u8; 4], &[u8]) = match *self {
            Icmpv4::EchoRequest { id, seq, data } => (ECHO_REQUEST, 0, pair(id, seq), data),
            Icmpv4::EchoReply { id, seq, data } => (ECHO_REPLY, 0, pair(id, seq), data),
            Icmpv4::Unreachable { code, next_hop_mtu, quoted } => {
                (UNREACHABLE, code, pair(0, next_hop_mtu), quoted)
            }
            Icmpv4::TimeExceeded { code, quoted } => (TIME_EXCEEDED, code, [0; 4], quoted),
            Icmpv4::ParameterProblem { code, pointer, quoted } => {
                (PARAMETER_PROBLEM, code, [pointer, 0, 0, 0], quoted)
            }
            Icmpv4::Other { kind, code } => (kind, code, [0; 4], &[]),
        };
        let mut raw = Raw { kind, code, checksum: 0.into(), rest };
        let mut sum = Sum::ZERO;
        sum.add(raw.as_bytes());
        sum.add(body);
        raw.checksum = sum.checksum().into();
        let len = ICMP_HEADER_LEN + body.len();
        out[..ICMP_HEADER_LEN].copy_from_slice(raw.as_bytes());
        out[ICMP_HEADER_LEN..len].copy_from_slice(body);
        len
    }

    /// What this means for TCP and the packet it is about, when it is an error.
    pub fn error(&self) -> Option<(IcmpErrorKind, &'a [u8])> {
        match *self {
            Icmpv4::Unreachable { code, next_hop_mtu, quoted } => {
                let kind = match code {
                    FRAGMENTATION_NEEDED => {
                        let mtu = (next_hop_mtu != 0).then_some(u32::from(next_hop_mtu));
                        IcmpErrorKind::PacketTooBig { mtu }
                    }
                    // Protocol, port (RFC 1122 §4.2.3.9); administratively prohibited (RFC 1122 §3.2.2.1,
                    // RFC 1812 §5.2.7.1).
                    2 | 3 | 9 | 10 | 13 => IcmpErrorKind::HardUnreachable,
                    _ => IcmpErrorKind::SoftUnreachable,
                };
                Some((kind, quoted))
            }
            Icmpv4::TimeExceeded { quoted, .. } => Some((IcmpErrorKind::TimeExceeded, quoted)),
            Icmpv4::ParameterProblem { quoted, .. } => Some((IcmpErrorKind::ParameterProblem, quoted)),
            Icmpv4::EchoRequest { .. } | Icmpv4::EchoReply { .. } | Icmpv4::Other { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreachable_codes_sort_into_hard_soft_and_too_big() {
        let kind = |code, next_hop_mtu| {
            let mut bytes = [0; 20];
            let len = Icmpv4::Unreachable { code, next_hop_mtu, quoted: &[1, 2, 3] }.emit(&mut bytes);
            let (kind, quoted) = Icmpv4::parse(&bytes[..len]).unwrap().error().unwrap();
            assert_eq!(quoted, [1, 2, 3]);
            kind
        };
        // MUST-56: these never end a connection.
        for code in [0, 1, 5, 6, 7, 8, 11, 12, 255] {
            assert_eq!(kind(code, 0), IcmpErrorKind::SoftUnreachable, "{code}");
        }
        for code in [2, 3, 9, 10, 13] {
            assert_eq!(kind(code, 0), IcmpErrorKind::HardUnreachable, "{code}");
        }
        assert_eq!(kind(4, 1400), IcmpErrorKind::PacketTooBig { mtu: Some(1400) });
        assert_eq!(kind(4, 0), IcmpErrorKind::PacketTooBig { mtu: None });
    }

    #[test]
    fn source_quench_is_no_error_to_tcp() {
        let mut bytes = [0; 8];
        Icmpv4::Other { kind: 4, code: 0 }.emit(&mut bytes);
        assert_eq!(Icmpv4::parse(&bytes).unwrap().error(), None);
    }

    #[test]
    fn s50_each_defect_has_its_reason() {
        let mut bytes = [0; 12];
        Icmpv4::EchoRequest { id: 1, seq: 2, data: &[1, 2, 3, 4] }.emit(&mut bytes);
        assert_eq!(Icmpv4::parse(&bytes[..7]), Err(Malformed::IcmpTruncated));
        bytes[11] ^= 1;
        assert_eq!(Icmpv4::parse(&bytes), Err(Malformed::IcmpChecksum));
    }
}
