//! The ARP packet for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

/// Bytes of a packet, without the Ethernet header.
pub(crate) const LEN: usize = 28;

/// Ethernet, IPv4, and the lengths of their addresses: how every packet of ours begins.
const PREFIX: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What a packet is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Who has `target_ip`?
    Request,
    /// `sender_ip` is at `sender_mac`.
    Reply,
}

/// An ARP packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Arp {
    pub(crate) op: Op,
    pub(crate) sender_mac: [u8; 6],
    pub(crate) sender_ip: Ipv4Addr,
    pub(crate) target_mac: [u8; 6],
    pub(crate) target_ip: Ipv4Addr,
}

impl Arp {
    /// `None` when truncated, or not about IPv4 over Ethernet, or neither request nor reply.
    pub(crate) fn parse(b: &[u8]) -> Option<Arp> {
        let b: &[u8; LEN] = b.first_chunk()?;
        if b[..6] != PREFIX {
            return None;
        }
        let op = match [b[6], b[7]] {
            [0, 1] => Op::Request,
            [0, 2] => Op::Reply,
            _ => return None,
        };
        let mac = |at: usize| [b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5]];
        let ip = |at: usize| Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]);
        Some(Arp { op, sender_mac: mac(8), sender_ip: ip(14), target_mac: mac(18), target_ip: ip(24) })
    }

    /// The packet as bytes.
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let mut b = [0; LEN];
        b[..6].copy_from_slice(&PREFIX);
        b[7] = match self.op {
            Op::Request => 1,
            Op::Reply => 2,
        };
        b[8..14].copy_from_slice(&self.sender_mac);
        b[14..18].copy_from_slice(&self.sender_ip.octets());
        b[18..24].copy_from_slice(&self.target_mac);
        b[24..28].copy_from_slice(&self.target_ip.octets());
        b
    }

    /// True for an announcement: the sender asks for, or answers with, its own address (RFC 5227 §1.1).
    pub(crate) fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let a = Arp {
            op: Op::Reply,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender_ip: Ipv4Addr::new(10, 0, 0, 1),
            target_mac: [2, 0, 0, 0, 0, 2],
            target_ip: Ipv4Addr::new(10, 0, 0, 2),
        };
        let bytes = a.to_bytes();
        assert_eq!(Arp::parse(&bytes), Some(a));
        assert_eq!(Arp::parse(&bytes[..27]), None);
        let mut other = bytes;
        other[7] = 3;
        assert_eq!(Arp::parse(&other), None);
        other = bytes;
        other[1] = 6;
        assert_eq!(Arp::parse(&other), None);
    }
}
