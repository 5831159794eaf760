//! From a burst to a frame: the Ethernet, IPv4 and TCP headers, and who computes which checksum.

use core::ops::Range;
use std::net::{IpAddr, SocketAddrV4};

use tcp::wire::{ChecksumBy, IPV4_HEADER_LEN, Ipv4Header, PROTOCOL_TCP, Sum, TCP_HEADER_LEN, TcpHeader};
use tcp::{Burst, Payload};

use crate::nic::{NicLimits, TxMeta};

/// Length of an Ethernet header without VLAN tag.
pub(crate) const ETHERNET_LEN: usize = 14;
/// IPv4 and TCP headers at the longest we send: no IP options, 40 bytes of TCP options.
pub(crate) const MAX_TCP_IP_HEADERS: usize = IPV4_HEADER_LEN + TCP_HEADER_LEN + 40;
/// All headers of a frame, at the longest.
pub(crate) const MAX_HEADERS: usize = ETHERNET_LEN + MAX_TCP_IP_HEADERS;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_VLAN: [u16; 2] = [0x8100, 0x88a8];
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

/// Whether `mac` is one station's address, and not `own`: somebody a frame can come from and go to.
pub(crate) fn is_other_station(mac: [u8; 6], own: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6] && mac != own
}

/// Whom a frame is for.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Address {
    pub(crate) mac: [u8; 6],
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
    /// IPv4 identification. Meaningless with DF set (RFC 6864 §4.1), but devices that segment count on from it.
    pub(crate) ip_id: u16,
}

/// Writes headers for one port.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Framer {
    mac: [u8; 6],
    ttl: u8,
    ip_checksum: bool,
    tcp_checksum: bool,
    /// Bytes of a header buffer.
    room: usize,
    /// Buffers of a frame.
    max_chain: usize,
    /// Buffers of one segment of a TSO frame.
    max_chain_per_segment: usize,
}

impl Framer {
    pub(crate) fn new(nic: &NicLimits, mac: [u8; 6], ttl: u8) -> Framer {
        Framer {
            mac,
            ttl,
            ip_checksum: nic.tx_ip_checksum,
            tcp_checksum: nic.tx_tcp_checksum,
            room: usize::from(nic.header_room),
            max_chain: usize::from(nic.max_chain.max(1)),
            max_chain_per_segment: usize::from(nic.max_chain_per_segment.max(1)),
        }
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }

    pub(crate) fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Writes the Ethernet header.
    pub(crate) fn ethernet(&self, to: [u8; 6], ethertype: u16, out: &mut [u8]) {
        out[..6].copy_from_slice(&to);
        out[6..12].copy_from_slice(&self.mac);
        out[12..14].copy_from_slice(&ethertype.to_be_bytes());
    }

    /// Writes all headers of `burst`, with the TCP checksum still to be [finished](Framer::finish); returns their
    /// length and what the device must know. `tso` says that the device cuts it.
    pub(crate) fn headers(&self, to: &Address, burst: &Burst, tso: bool, out: &mut [u8]) -> (usize, TxMeta) {
        self.ethernet(to.mac, ETHERTYPE_IPV4, out);
        let (src, dst) = (*to.local.ip(), *to.remote.ip());
        let l4 = &mut out[ETHERNET_LEN + IPV4_HEADER_LEN..];
        let header = TcpHeader {
            src_port: to.local.port(),
            dst_port: to.remote.port(),
            seq: burst.seq,
            ack: burst.ack,
            flags: burst.flags,
            window: burst.window,
            urgent: 0,
        };
        let l4_len = header.emit(&burst.options, l4);
        let tcp_len = l4_len as u32 + burst.len;
        if self.tcp_checksum {
            // For TSO the device adds each segment's length itself.
            let len = if tso { 0 } else { tcp_len };
            let pseudo = Sum::pseudo_header(IpAddr::V4(src), IpAddr::V4(dst), PROTOCOL_TCP, len);
            TcpHeader::set_checksum(l4, pseudo.folded());
        }
        let ip = Ipv4Header {
            src,
            dst,
            protocol: PROTOCOL_TCP,
            tos: burst.ecn(),
            ttl: self.ttl,
            id: to.ip_id,
            dont_fragment: true,
            payload_len: tcp_len as u16,
        };
        let by = if self.ip_checksum { ChecksumBy::Device } else { ChecksumBy::Software };
        ip.emit(&mut out[ETHERNET_LEN..], by);
        let meta = TxMeta {
            l2_len: ETHERNET_LEN as u8,
            l3_len: IPV4_HEADER_LEN as u16,
            l4_len: l4_len as u8,
            ipv6: false,
            ip_checksum: self.ip_checksum,
            tcp_checksum: self.tcp_checksum,
            tso_segsz: if tso { burst.mss } else { 0 },
            payload_len: 0,
            stamp: false,
        };
        (ETHERNET_LEN + IPV4_HEADER_LEN + l4_len, meta)
    }

    /// Whether the TCP checksum is computed here: the device does not.
    pub(crate) fn sums(&self) -> bool {
        !self.tcp_checksum
    }

    /// Writes the TCP checksum where the device does not: over the header, which `headers` wrote into `frame`, and
    /// `payload`, the sum of `payload_len` bytes wherever they lie.
    pub(crate) fn finish(
        &self,
        to: &Address,
        meta: &TxMeta,
        frame: &mut [u8],
        payload_len: u32,
        payload: Sum,
    ) {
        if self.tcp_checksum {
            return;
        }
        let (src, dst) = (IpAddr::V4(*to.local.ip()), IpAddr::V4(*to.remote.ip()));
        let l4_len = u32::from(meta.l4_len);
        let l4 = &mut frame[ETHERNET_LEN + IPV4_HEADER_LEN..][..l4_len as usize];
        let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, l4_len + payload_len);
        sum.add(l4);
        sum.append(payload);
        TcpHeader::set_checksum(l4, sum.checksum());
    }

    /// Whether `len` bytes of payload fit behind `headers` bytes of headers in one header buffer.
    pub(crate) fn fits_behind(&self, headers: usize, len: u32) -> bool {
        headers + len as usize <= self.room
    }

    /// Whether the port takes a frame of these slices: all of them, and (`S10`) those of each stretch of one MSS, the
    /// header buffer included both times.
    pub(crate) fn chain_fits<'p, B: Payload + 'p>(
        &self,
        tso_segsz: u16,
        slices: impl Iterator<Item = (&'p B, Range<usize>)> + Clone,
    ) -> bool {
        let per_segment = self.max_chain_per_segment.min(self.max_chain);
        if slices.clone().nth(per_segment - 1).is_none() {
            // With its header no more buffers than one segment may have.
            return true;
        }
        let mss = usize::from(tso_segsz);
        let mut chain = 1;
        let mut stretch = 1; // buffers of the segment being laid out, its header included
        let mut left = mss; // payload bytes it still lacks
        for (_, range) in slices {
            chain += 1;
            if chain > self.max_chain {
                return false;
            }
            stretch += 1;
            if stretch > per_segment {
                return false;
            }
            if mss == 0 {
                continue;
            }
            let mut len = range.len();
            if len >= left {
                // Segments that lie in this slice entirely span two buffers each; what counts is how it ends.
                len = (len - left) % mss;
                left = mss;
                stretch = 1 + usize::from(len > 0);
            }
            left -= len;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{FakeNic, limits};

    /// The same by laying out each segment: it spans its header and every slice it has a byte of.
    fn fits(max_chain: usize, per_segment: usize, mss: usize, slices: &[usize]) -> bool {
        let total: usize = slices.iter().sum();
        let per_segment = per_segment.min(max_chain);
        let segment = if mss == 0 { total } else { mss };
        let spans = |from: usize, to: usize| {
            let mut at = 0;
            let touched = slices.iter().filter(|&&len| {
                at += len;
                at - len < to && at > from
            });
            1 + touched.count()
        };
        slices.len() < max_chain
            && (0..total.div_ceil(segment)).all(|n| spans(n * segment, (n + 1) * segment) <= per_segment)
    }

    proptest! {
        #[test]
        fn s10_a_chain_fits_when_each_of_its_segments_does(
            max_chain in 1..12u16,
            per_segment in 1..6u16,
            mss in 0..40u16,
            slices in proptest::collection::vec(1..60usize, 1..12),
        ) {
            let nic = NicLimits { max_chain, max_chain_per_segment: per_segment, ..limits() };
            let framer = Framer::new(&nic, [2; 6], 64);
            let buf = FakeNic::new(limits(), 1).buf(&[0; 64]);
            let chain = slices.iter().map(|&len| (&buf, 0..len));
            let expected = fits(max_chain.into(), per_segment.into(), mss.into(), &slices);
            prop_assert_eq!(framer.chain_fits(mss, chain), expected);
        }
    }

    #[test]
    fn s15_payload_fits_behind_its_header_to_the_last_byte() {
        let framer = Framer::new(&NicLimits { header_room: 200, ..limits() }, [2; 6], 64);
        assert!(framer.fits_behind(54, 146) && !framer.fits_behind(54, 147));
    }
}
