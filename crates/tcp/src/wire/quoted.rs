//! The packet an ICMP error is about, as far as it is quoted.

use std::net::{IpAddr, SocketAddr};

use super::{Ipv4Header, Ipv6Header, Malformed, PROTOCOL_TCP};
use crate::{FourTuple, IcmpError, IcmpErrorKind, Seq};

/// Reads from an IPv4 ICMP error which connection it concerns.
///
/// A router quotes at least 8 bytes behind the IP header (RFC 792): ports and sequence number. `quoted` was
/// sent by us, so its source is our end of the tuple. A packet that was too big for a next hop of unknown MTU is taken
/// to be too big for the next plateau (RFC 1191 §5, §7).
///
/// # Errors
/// [`Malformed::IcmpQuote`] when this is not the start of a TCP packet: of another protocol, a later
/// fragment, or too short.
pub fn parse_quoted_v4(kind: IcmpErrorKind, quoted: &[u8]) -> Result<(FourTuple, IcmpError), Malformed> {
    let ip = Ipv4Header::parse_quoted(quoted).map_err(|_| Malformed::IcmpQuote)?;
    // What we send has DF set: nobody may have cut it up.
    if ip.header.protocol != PROTOCOL_TCP || ip.is_fragment {
        return Err(Malformed::IcmpQuote);
    }
    let kind = match kind {
        IcmpErrorKind::PacketTooBig { mtu: None } => {
            IcmpErrorKind::PacketTooBig { mtu: below(ip.payload.end) }
        }
        kind => kind,
    };
    transport(kind, ip.header.src.into(), ip.header.dst.into(), &quoted[ip.payload.start..])
}

/// The MTUs of common links (RFC 1191 §7.1, table 7-1).
const PLATEAUS: [u32; 10] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296];

/// What a router older than RFC 1191 most likely meant that found `len` bytes too many: the next common MTU below. All
/// errors about packets of one length mean the same, so a whole flight of them is one step.
fn below(len: usize) -> Option<u32> {
    PLATEAUS.into_iter().find(|&mtu| (mtu as usize) < len)
}

/// Reads from an ICMPv6 error which connection it concerns; like [`parse_quoted_v4`]. We send no extension
/// headers, so a quote with any is not ours.
///
/// # Errors
/// [`Malformed::IcmpQuote`].
pub fn parse_quoted_v6(kind: IcmpErrorKind, quoted: &[u8]) -> Result<(FourTuple, IcmpError), Malformed> {
    let ip = Ipv6Header::parse_quoted(quoted).map_err(|_| Malformed::IcmpQuote)?;
    if ip.header.next_header != PROTOCOL_TCP {
        return Err(Malformed::IcmpQuote);
    }
    transport(kind, ip.header.src.into(), ip.header.dst.into(), &quoted[ip.payload.start..])
}

fn transport(
    kind: IcmpErrorKind,
    local: IpAddr,
    remote: IpAddr,
    tcp: &[u8],
) -> Result<(FourTuple, IcmpError), Malformed> {
    let Some(&[a, b, c, d, s0, s1, s2, s3]) = tcp.first_chunk::<8>() else {
        return Err(Malformed::IcmpQuote);
    };
    let tuple = FourTuple {
        local: SocketAddr::new(local, u16::from_be_bytes([a, b])),
        remote: SocketAddr::new(remote, u16::from_be_bytes([c, d])),
    };
    Ok((tuple, IcmpError { kind, seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])) }))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::wire::ChecksumBy;

    const TCP: [u8; 8] = [0x30, 0x39, 0, 80, 0, 0, 1, 0];
    const KIND: IcmpErrorKind = IcmpErrorKind::PacketTooBig { mtu: Some(1400) };

    fn v4(protocol: u8) -> Vec<u8> {
        let ip = Ipv4Header {
            src: Ipv4Addr::new(10, 0, 0, 1),
            dst: Ipv4Addr::new(10, 0, 0, 2),
            protocol,
            tos: 0,
            ttl: 1,
            id: 0,
            dont_fragment: true,
            payload_len: 1480,
        };
        let mut bytes = vec![0; 20];
        ip.emit(&mut bytes, ChecksumBy::Software);
        bytes.extend(TCP);
        bytes
    }

    #[test]
    fn s48_eight_quoted_bytes_name_connection_and_sequence_number() {
        let (tuple, error) = parse_quoted_v4(KIND, &v4(6)).unwrap();
        assert_eq!(tuple.local, "10.0.0.1:12345".parse().unwrap());
        assert_eq!(tuple.remote, "10.0.0.2:80".parse().unwrap());
        assert_eq!(error, IcmpError { kind: KIND, seq: Seq(256) });
    }

    #[test]
    fn s7_without_an_mtu_the_next_plateau_below_the_quoted_packet_is_meant() {
        let none = IcmpErrorKind::PacketTooBig { mtu: None };
        for (len, plateau) in
            [(1500u16, Some(1492)), (1492, Some(1006)), (1006, Some(508)), (9000, Some(8166)), (100, None)]
        {
            let mut bytes = v4(6);
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            let (_, error) = parse_quoted_v4(none, &bytes).unwrap();
            assert_eq!(error.kind, IcmpErrorKind::PacketTooBig { mtu: plateau }, "{len}");
        }
        // One that says it is believed.
        assert_eq!(parse_quoted_v4(KIND, &v4(6)).unwrap().1.kind, KIND);
    }

    #[test]
    fn a_quoted_v6_packet_likewise() {
        let ip = Ipv6Header {
            src: Ipv6Addr::LOCALHOST,
            dst: Ipv6Addr::UNSPECIFIED,
            next_header: 6,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 1,
            payload_len: 1000,
        };
        let mut bytes = vec![0; 40];
        ip.emit(&mut bytes);
        bytes.extend(TCP);
        let (tuple, error) = parse_quoted_v6(KIND, &bytes).unwrap();
        assert_eq!((tuple.local, error.seq), ("[::1]:12345".parse().unwrap(), Seq(256)));
        assert_eq!(parse_quoted_v6(KIND, &bytes[..47]), Err(Malformed::IcmpQuote));
        bytes[6] = 44;
        assert_eq!(parse_quoted_v6(KIND, &bytes), Err(Malformed::IcmpQuote));
    }

    #[test]
    fn s50_quotes_of_anything_else_are_refused() {
        assert_eq!(parse_quoted_v4(KIND, &v4(17)), Err(Malformed::IcmpQuote));
        assert_eq!(parse_quoted_v4(KIND, &v4(6)[..27]), Err(Malformed::IcmpQuote));
        assert_eq!(parse_quoted_v4(KIND, &v4(6)[..12]), Err(Malformed::IcmpQuote));
        let mut fragment = v4(6);
        fragment[6..8].copy_from_slice(&[0, 5]);
        assert_eq!(parse_quoted_v4(KIND, &fragment), Err(Malformed::IcmpQuote));
    }
}
