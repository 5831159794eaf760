//! The offload checker: what a device is about to be told of a frame, against the frame itself.
//!
//! No device catches every wrong field: one recomputes what another trusts, and a wrong `l4_len` is caught by
//! none. So this reads the bytes with a parser of its own (it shares no code with what built the frame), works
//! out what each field must be, and reports every difference. It runs over staged frames ([`Checker::staged`])
//! and over what mbufs say once the driver's `tx_prepare` has edited them ([`Checker::prepared`]).
//!
//! It is stateless: one frame, one port, nothing remembered.

mod chain;
mod options;
mod violation;

#[cfg(test)]
mod tests;

use chain::Chain;
pub use violation::Violation;

use super::{NicLimits, TxMeta};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTO_ICMP: u8 = 1;
const PROTO_TCP: u8 = 6;
const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
const URG: u16 = 0x20;

/// Which pseudo-header sum a TSO frame's checksum field holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsoSum {
    /// Without the TCP length: what DPDK asks of the application, and most drivers pass on.
    WithoutLength,
    /// With the length of the whole frame: what virtio's `tx_prepare` turns it into.
    WithLength,
}

/// A frame's offload fields as its first mbuf holds them, each flag on its own, for [`Checker::prepared`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MbufFacts {
    /// `l2_len`, bytes.
    pub l2_len: u8,
    /// `l3_len`, bytes.
    pub l3_len: u16,
    /// `l4_len`, bytes.
    pub l4_len: u8,
    /// `tso_segsz`, bytes.
    pub tso_segsz: u16,
    /// `RTE_MBUF_F_TX_IPV4`.
    pub ipv4: bool,
    /// `RTE_MBUF_F_TX_IPV6`.
    pub ipv6: bool,
    /// `RTE_MBUF_F_TX_IP_CKSUM`.
    pub ip_checksum: bool,
    /// `RTE_MBUF_F_TX_TCP_CKSUM`.
    pub tcp_checksum: bool,
    /// `RTE_MBUF_F_TX_TCP_SEG`.
    pub tcp_seg: bool,
    /// `pkt_len`, bytes.
    pub pkt_len: u32,
    /// `nb_segs`.
    pub nb_segs: u16,
}

/// Checks frames for one port.
#[derive(Copy, Clone, Debug)]
pub struct Checker<'a> {
    limits: &'a NicLimits,
    mac: [u8; 6],
}

/// Takes the violations of one frame as they are found.
type Report<'r> = &'r mut dyn FnMut(Violation);

impl<'a> Checker<'a> {
    /// A checker for the port with these limits and this Ethernet address.
    pub fn new(limits: &'a NicLimits, mac: [u8; 6]) -> Self {
        Checker { limits, mac }
    }

    /// Checks a frame as the engine stages it: `chain` is its buffers, headers in the first.
    pub fn staged(&self, chain: &[&[u8]], meta: &TxMeta, report: Report<'_>) {
        let bytes = Chain(chain);
        let payload = bytes.len() - chain.first().map_or(0, |first| first.len());
        if payload != meta.payload_len as usize {
            report(Violation::PayloadLen(meta.payload_len, payload));
        }
        self.frame(bytes, meta, TsoSum::WithoutLength, report);
    }

    /// Checks a frame as its mbufs describe it after `tx_prepare`. `tso_sum` is what this driver wants in the
    /// checksum field of TSO frames.
    pub fn prepared(&self, chain: &[&[u8]], mbuf: &MbufFacts, tso_sum: TsoSum, report: Report<'_>) {
        let bytes = Chain(chain);
        if bytes.len() != mbuf.pkt_len as usize {
            report(Violation::PktLen(mbuf.pkt_len, bytes.len()));
        }
        if chain.len() != usize::from(mbuf.nb_segs) {
            report(Violation::NbSegs(mbuf.nb_segs, chain.len()));
        }
        if mbuf.tcp_seg != (mbuf.tso_segsz != 0) {
            report(Violation::SegFlag(mbuf.tcp_seg, mbuf.tso_segsz));
        }
        let offloads = mbuf.ip_checksum || mbuf.tcp_checksum || mbuf.tcp_seg;
        if (mbuf.ipv4 && mbuf.ipv6) || (offloads && !mbuf.ipv4 && !mbuf.ipv6) {
            report(Violation::FamilyFlags(mbuf.ipv4, mbuf.ipv6));
        }
        let payload = bytes.len() - chain.first().map_or(0, |first| first.len());
        let meta = TxMeta {
            l2_len: mbuf.l2_len,
            l3_len: mbuf.l3_len,
            l4_len: mbuf.l4_len,
            ipv6: mbuf.ipv6,
            ip_checksum: mbuf.ip_checksum,
            // `RTE_MBUF_F_TX_TCP_SEG` implies the checksum.
            tcp_checksum: mbuf.tcp_checksum || mbuf.tcp_seg,
            tso_segsz: if mbuf.tcp_seg { mbuf.tso_segsz } else { 0 },
            payload_len: u32::try_from(payload).unwrap_or(u32::MAX),
            stamp: false,
        };
        self.frame(bytes, &meta, tso_sum, report);
    }

    fn frame(&self, bytes: Chain<'_>, meta: &TxMeta, tso_sum: TsoSum, report: Report<'_>) {
        self.chain(bytes, meta, report);
        self.abilities(meta, report);
        let head = bytes.head();
        if head.len() < 14 {
            return report(Violation::Runt(head.len()));
        }
        self.addresses(head, report);
        let (l2_len, ethertype) = match be16(head, 12) {
            ETHERTYPE_VLAN if head.len() >= 18 => (18, be16(head, 16)),
            ethertype => (14, ethertype),
        };
        if usize::from(meta.l2_len) != l2_len {
            report(Violation::L2Len(meta.l2_len, l2_len));
        }
        match ethertype {
            ETHERTYPE_IPV4 => self.ipv4(bytes, l2_len, meta, tso_sum, report),
            ETHERTYPE_IPV6 => self.ipv6(bytes, l2_len, meta, tso_sum, report),
            ETHERTYPE_ARP => self.arp(bytes, l2_len, meta, report),
            other => report(Violation::Ethertype(other)),
        }
    }

    /// The chain as such, whatever it carries.
    fn chain(&self, bytes: Chain<'_>, meta: &TxMeta, report: Report<'_>) {
        if let Some(empty) = bytes.0.iter().position(|s| s.is_empty()) {
            report(Violation::EmptySegment(empty));
        }
        let max = usize::from(self.limits.max_chain.max(1));
        if bytes.0.len() > max {
            report(Violation::ChainTooLong(bytes.0.len(), max));
        }
        let max = usize::from(self.limits.max_chain_per_segment.max(1));
        let headers = usize::from(meta.l2_len) + usize::from(meta.l3_len) + usize::from(meta.l4_len);
        let spanned = bytes.longest_stretch(headers, usize::from(meta.tso_segsz));
        if spanned > max {
            report(Violation::StretchTooLong(spanned, max));
        }
    }

    /// What the metadata asks, against what the port can do.
    fn abilities(&self, meta: &TxMeta, report: Report<'_>) {
        if meta.ip_checksum && !self.limits.tx_ip_checksum {
            report(Violation::NotOffered("an IPv4 checksum"));
        }
        if meta.tcp_checksum && !self.limits.tx_tcp_checksum {
            report(Violation::NotOffered("a TCP checksum"));
        }
        if meta.tso_segsz != 0 && (self.limits.tso_max_len == 0 || (meta.ipv6 && !self.limits.tso_ipv6)) {
            report(Violation::NotOffered("segmentation"));
        }
        if meta.stamp && meta.tso_segsz != 0 {
            report(Violation::TimedTso);
        }
        if meta.ipv6 && meta.ip_checksum {
            report(Violation::Ipv6HeaderChecksum);
        }
    }

    fn addresses(&self, head: &[u8], report: Report<'_>) {
        let (dst, src) = (&head[..6], &head[6..12]);
        if src != self.mac {
            report(Violation::SourceMac(mac(src), self.mac));
        }
        if dst == [0; 6] || dst == self.mac {
            report(Violation::DestinationMac(mac(dst)));
        }
    }

    fn ipv4(&self, bytes: Chain<'_>, l2: usize, meta: &TxMeta, tso_sum: TsoSum, report: Report<'_>) {
        let head = bytes.head();
        let Some(ip) = head.get(l2..).filter(|ip| ip.len() >= 20) else {
            return report(Violation::HeadersSplit(head.len()));
        };
        if ip[0] >> 4 != 4 {
            return report(Violation::IpVersion(ip[0] >> 4, 4));
        }
        let ihl = usize::from(ip[0] & 0xf) * 4;
        if ihl < 20 || ip.len() < ihl {
            return report(Violation::IpHeaderLength(ihl));
        }
        if meta.ipv6 {
            report(Violation::Family(meta.ipv6));
        }
        if usize::from(meta.l3_len) != ihl {
            report(Violation::L3Len(meta.l3_len, ihl));
        }
        let total = usize::from(be16(ip, 2));
        self.ip_length(total, bytes.len() - l2, meta, report);
        let field = be16(ip, 10);
        if meta.ip_checksum {
            if field != 0 {
                report(Violation::IpChecksumNotZero(field));
            }
        } else if fold(sum(&ip[..ihl])) != 0xffff {
            let right = !fold(sum(&ip[..ihl]) - u64::from(field));
            report(Violation::IpChecksum(field, right));
        }
        let fragment = be16(ip, 6);
        if fragment & 0xbfff != 0 {
            report(Violation::Fragment(fragment));
        }
        if ip[8] == 0 {
            report(Violation::HopLimit);
        }
        let (src, dst) = (&ip[12..16], &ip[16..20]);
        if src[0] == 0 || src[0] >= 224 {
            report(Violation::SourceAddress);
        }
        if dst == [0; 4] || dst == src {
            report(Violation::DestinationAddress);
        }
        match ip[9] {
            PROTO_TCP => {
                // RFC 1191 §3: path MTU discovery sets DF on every datagram.
                if fragment & 0x4000 == 0 {
                    report(Violation::DfClear);
                }
                let pseudo = sum(src) + sum(dst) + u64::from(PROTO_TCP);
                self.tcp(bytes, l2 + ihl, pseudo, meta, tso_sum, report);
            }
            PROTO_ICMP => {
                self.no_tcp(meta, report);
                let got = fold(bytes.sum_from(l2 + ihl));
                if got != 0xffff {
                    report(Violation::IcmpChecksum(got));
                }
            }
            other => report(Violation::Protocol(other)),
        }
    }

    fn ipv6(&self, bytes: Chain<'_>, l2: usize, meta: &TxMeta, tso_sum: TsoSum, report: Report<'_>) {
        let head = bytes.head();
        let Some(ip) = head.get(l2..).filter(|ip| ip.len() >= 40) else {
            return report(Violation::HeadersSplit(head.len()));
        };
        if ip[0] >> 4 != 6 {
            return report(Violation::IpVersion(ip[0] >> 4, 6));
        }
        if !meta.ipv6 {
            report(Violation::Family(meta.ipv6));
        }
        if meta.l3_len != 40 {
            report(Violation::L3Len(meta.l3_len, 40));
        }
        self.ip_length(usize::from(be16(ip, 4)) + 40, bytes.len() - l2, meta, report);
        if ip[7] == 0 {
            report(Violation::HopLimit);
        }
        let (src, dst) = (&ip[8..24], &ip[24..40]);
        if src[0] == 0xff {
            report(Violation::SourceAddress);
        }
        if dst == [0; 16] || dst == src {
            report(Violation::DestinationAddress);
        }
        match ip[6] {
            PROTO_TCP => {
                let pseudo = sum(src) + sum(dst) + u64::from(PROTO_TCP);
                self.tcp(bytes, l2 + 40, pseudo, meta, tso_sum, report);
            }
            58 => self.no_tcp(meta, report),
            other => report(Violation::Protocol(other)),
        }
    }

    /// The IP header's own idea of the packet's length, and whether one packet of it fits the wire.
    fn ip_length(&self, said: usize, found: usize, meta: &TxMeta, report: Report<'_>) {
        if found > 65_535 {
            report(Violation::IpTooLong(found));
        } else if said != found {
            report(Violation::IpLength(said, found));
        }
        let on_wire = match meta.tso_segsz {
            0 => found,
            segsz => usize::from(meta.l3_len) + usize::from(meta.l4_len) + usize::from(segsz),
        };
        if on_wire > usize::from(self.limits.mtu) {
            report(Violation::OverMtu(on_wire, self.limits.mtu));
        }
    }

    fn arp(&self, bytes: Chain<'_>, l2: usize, meta: &TxMeta, report: Report<'_>) {
        self.no_tcp(meta, report);
        if meta.l3_len != 0 {
            report(Violation::L3Len(meta.l3_len, 0));
        }
        if meta.ip_checksum {
            report(Violation::NotOffered("an IPv4 checksum of a frame that has none"));
        }
        let head = bytes.head();
        match head.get(l2..).filter(|arp| arp.len() >= 28) {
            // Hardware Ethernet, protocol IPv4, address lengths 6 and 4 (RFC 826), request or reply, and a
            // sender that is the frame's own.
            Some(arp)
                if arp[..6] == [0, 1, 8, 0, 6, 4]
                    && matches!(be16(arp, 6), 1 | 2)
                    && arp[8..14] == head[6..12] => {}
            Some(_) => report(Violation::Arp),
            None => report(Violation::HeadersSplit(head.len())),
        }
    }

    /// Frames that are not TCP ask for nothing that belongs to TCP.
    fn no_tcp(&self, meta: &TxMeta, report: Report<'_>) {
        if meta.l4_len != 0 || meta.tcp_checksum || meta.tso_segsz != 0 {
            report(Violation::NotTcp);
        }
    }

    fn tcp(&self, bytes: Chain<'_>, at: usize, pseudo: u64, meta: &TxMeta, tso: TsoSum, report: Report<'_>) {
        let head = bytes.head();
        let Some(tcp) = head.get(at..).filter(|tcp| tcp.len() >= 20) else {
            return report(Violation::HeadersSplit(head.len()));
        };
        let header = usize::from(tcp[12] >> 4) * 4;
        if header < 20 {
            return report(Violation::DataOffset(header));
        }
        if tcp.len() < header {
            return report(Violation::HeadersSplit(head.len()));
        }
        if usize::from(meta.l4_len) != header {
            report(Violation::L4Len(meta.l4_len, header));
        }
        let length = bytes.len() - at;
        let payload = length - header;
        let flags = be16(tcp, 12) & 0x1ff;
        if tcp[12] & 0x0e != 0 {
            report(Violation::ReservedBits(tcp[12] >> 1 & 7));
        }
        if be16(tcp, 0) == 0 || be16(tcp, 2) == 0 {
            report(Violation::PortZero);
        }
        // RFC 1122 §4.2.3.10: TCP is never sent to a group.
        if head[0] & 1 != 0 {
            report(Violation::DestinationMac(mac(&head[..6])));
        }
        self.tcp_flags(tcp, flags, payload, report);
        options::check(&tcp[20..header], flags & SYN != 0, report);
        if meta.tso_segsz != 0 {
            self.tso(meta, payload, flags, report);
        }
        self.tcp_checksum(bytes, at, pseudo, length, meta, tso, report);
    }

    fn tcp_flags(&self, tcp: &[u8], flags: u16, payload: usize, report: Report<'_>) {
        // RFC 9293 §3.10.7.4: a segment without ACK is a SYN or an RST, or it is dropped.
        let sane = flags & (ACK | SYN | RST) != 0
            && !(flags & SYN != 0 && flags & (FIN | RST | PSH | URG) != 0)
            && !(flags & RST != 0 && flags & (FIN | URG) != 0)
            && !(flags & (FIN | PSH | URG) != 0 && flags & ACK == 0);
        if !sane {
            report(Violation::Flags(flags));
        }
        if flags & PSH != 0 && payload == 0 {
            report(Violation::PshWithoutPayload);
        }
        if flags & (SYN | RST) != 0 && payload != 0 {
            report(Violation::PayloadOnControl(flags, payload));
        }
        if flags & ACK == 0 && tcp[8..12] != [0; 4] {
            report(Violation::AckFieldWithoutAck);
        }
        if flags & URG == 0 && be16(tcp, 18) != 0 {
            report(Violation::UrgentPointerWithoutUrg);
        }
    }

    fn tso(&self, meta: &TxMeta, payload: usize, flags: u16, report: Report<'_>) {
        let segsz = usize::from(meta.tso_segsz);
        if !meta.tcp_checksum {
            report(Violation::TsoWithoutChecksum);
        }
        // `RTE_MBUF_F_TX_TCP_SEG`: over IPv4 it comes with `RTE_MBUF_F_TX_IP_CKSUM`, where that is offered.
        if !meta.ipv6 && !meta.ip_checksum && self.limits.tx_ip_checksum {
            report(Violation::TsoWithoutIpChecksum);
        }
        if payload <= segsz {
            report(Violation::TsoForOneSegment(payload, segsz));
        }
        if payload > self.limits.tso_max_len as usize {
            report(Violation::TsoTooLong(payload, self.limits.tso_max_len));
        }
        let segments = payload.div_ceil(segsz);
        if segments > usize::from(self.limits.tso_max_segments) {
            report(Violation::TsoSegments(segments, self.limits.tso_max_segments));
        }
        if segsz < usize::from(self.limits.tso_min_mss) {
            report(Violation::TsoMss(segsz, self.limits.tso_min_mss));
        }
        // A FIN on a frame that the device segments is lost by some (the emulated igb): it travels alone.
        if flags & (SYN | RST | URG | FIN) != 0 {
            report(Violation::TsoFlags(flags));
        }
    }

    #[allow(clippy::too_many_arguments)] // all of it comes from the two headers above, and goes nowhere else
    fn tcp_checksum(
        &self,
        bytes: Chain<'_>,
        at: usize,
        pseudo: u64,
        length: usize,
        meta: &TxMeta,
        tso: TsoSum,
        report: Report<'_>,
    ) {
        let field = be16(&bytes.head()[at..], 16);
        if meta.tcp_checksum {
            let with_length = meta.tso_segsz == 0 || tso == TsoSum::WithLength;
            let want = fold(pseudo + if with_length { length as u64 } else { 0 });
            if field != want {
                report(Violation::PseudoSum(field, want));
            }
        } else {
            let covered = pseudo + length as u64 + bytes.sum_from(at);
            if fold(covered) != 0xffff {
                report(Violation::TcpChecksum(field, !fold(covered - u64::from(field))));
            }
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn mac(bytes: &[u8]) -> [u8; 6] {
    let mut mac = [0; 6];
    mac.copy_from_slice(bytes);
    mac
}

/// The unfolded ones'-complement sum of `bytes` (RFC 1071), an odd last byte padded with zero.
fn sum(bytes: &[u8]) -> u64 {
    chain::sum(bytes)
}

/// Folds a sum to 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
