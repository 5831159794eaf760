//! Bare IP packets, as packetdrill injects and expects them.

use std::net::{IpAddr, SocketAddr};

use tcp::wire::{
    ChecksumBy, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Icmpv4, Icmpv6, Ipv4Header, Ipv6Header, Malformed,
    PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, Sum, TCP_HEADER_LEN, TcpHeader, TcpOptions,
    parse_quoted_v4, parse_quoted_v6, parse_tcp,
};
use tcp::{Burst, FourTuple, IcmpError, Segment};

use crate::bytes::Bytes;
use crate::settings::Dialect;

/// What arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// A segment, its tuple seen from here.
    Tcp(FourTuple, Segment<Bytes>),
    /// An ICMP error about a segment of this connection.
    Icmp(FourTuple, IcmpError),
    /// Nothing that concerns TCP.
    Other,
}

/// Reads a packet.
///
/// # Errors
/// Why it is malformed.
pub(crate) fn parse(packet: &[u8]) -> Result<Arrived, Malformed> {
    match packet.first().map(|byte| byte >> 4) {
        Some(6) => {
            let ip = Ipv6Header::parse(packet, packet.len())?;
            let (src, dst) = (ip.header.src, ip.header.dst);
            let body = &packet[ip.payload.clone()];
            match ip.header.next_header {
                PROTOCOL_TCP => tcp(src.into(), dst.into(), ip.ecn(), body),
                PROTOCOL_ICMPV6 => Ok(match Icmpv6::parse(body, src, dst)?.error() {
                    Some((kind, quoted)) => {
                        parse_quoted_v6(kind, quoted).map(|(tuple, error)| Arrived::Icmp(tuple, error))?
                    }
                    None => Arrived::Other,
                }),
                _ => Ok(Arrived::Other),
            }
        }
        _ => {
            let ip = Ipv4Header::parse(packet, packet.len(), ChecksumBy::Software)?;
            let body = &packet[ip.payload.clone()];
            match ip.header.protocol {
                PROTOCOL_TCP => tcp(ip.header.src.into(), ip.header.dst.into(), ip.ecn(), body),
                PROTOCOL_ICMP => Ok(match Icmpv4::parse(body)?.error() {
                    Some((kind, quoted)) => {
                        parse_quoted_v4(kind, quoted).map(|(tuple, error)| Arrived::Icmp(tuple, error))?
                    }
                    None => Arrived::Other,
                }),
                _ => Ok(Arrived::Other),
            }
        }
    }
}

fn tcp(src: IpAddr, dst: IpAddr, ecn: u8, bytes: &[u8]) -> Result<Arrived, Malformed> {
    let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, bytes.len() as u32);
    sum.add(bytes);
    if !sum.is_valid() {
        return Err(Malformed::TcpChecksum);
    }
    let packet = parse_tcp(bytes)?;
    let tuple = FourTuple {
        local: SocketAddr::new(dst, packet.header.dst_port),
        remote: SocketAddr::new(src, packet.header.src_port),
    };
    Ok(Arrived::Tcp(tuple, packet.segment(ecn, Bytes::from(&bytes[packet.header_len..]))))
}

/// Writes the packet of `burst`, which is one segment, with `payload`.
pub(crate) fn emit(tuple: &FourTuple, burst: &Burst, payload: &[u8], dialect: Dialect) -> Vec<u8> {
    let mut tcp = vec![0; TCP_HEADER_LEN + burst.options.len()];
    TcpHeader::of_burst(tuple, burst).emit(&burst.options, &mut tcp);
    if dialect == Dialect::FreeBsd && burst.flags.has(tcp::wire::TcpFlags::SYN) {
        freebsd_syn_options(&mut tcp);
    }
    tcp.extend_from_slice(payload);
    let (src, dst) = (tuple.local.ip(), tuple.remote.ip());
    let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, tcp.len() as u32);
    sum.add(&tcp);
    TcpHeader::set_checksum(&mut tcp, sum.checksum());
    let payload_len = tcp.len() as u16;
    let mut packet = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                src,
                dst,
                protocol: PROTOCOL_TCP,
                tos: burst.ecn(),
                ttl: 64,
                id: 0,
                dont_fragment: true,
                payload_len,
            };
            let mut out = vec![0; IPV4_HEADER_LEN];
            header.emit(&mut out, ChecksumBy::Software);
            out
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header {
                src,
                dst,
                next_header: PROTOCOL_TCP,
                traffic_class: burst.ecn(),
                flow_label: 0,
                hop_limit: 64,
                payload_len,
            };
            let mut out = vec![0; IPV6_HEADER_LEN];
            header.emit(&mut out);
            out
        }
        _ => return Vec::new(),
    };
    packet.extend(tcp);
    packet
}

/// The same options in the order of FreeBSD, whose scripts compare them byte by byte: MSS, window scale, SACK
/// permitted, timestamps, ends. The protocol's own order is that of Linux.
fn freebsd_syn_options(tcp: &mut Vec<u8>) {
    let options = TcpOptions::parse(&tcp[TCP_HEADER_LEN..]);
    tcp.truncate(TCP_HEADER_LEN);
    if let Some(mss) = options.mss {
        tcp.extend([2, 4]);
        tcp.extend(mss.to_be_bytes());
    }
    if let Some(shift) = options.window_scale {
        tcp.extend([1, 3, 3, shift]);
    }
    if options.sack_permitted {
        tcp.extend([4, 2]);
    }
    if let Some(ts) = options.timestamps {
        if !options.sack_permitted {
            tcp.extend([1, 1]);
        }
        tcp.extend([8, 10]);
        tcp.extend(ts.val.to_be_bytes());
        tcp.extend(ts.ecr.to_be_bytes());
    }
    while !tcp.len().is_multiple_of(4) {
        tcp.push(0);
    }
    tcp[12] = (tcp[12] & 0x0f) | ((tcp.len() / 4) as u8) << 4;
}
