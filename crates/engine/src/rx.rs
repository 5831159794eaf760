//! Receiving: from a burst of frames to segments in connections. Every frame is used, or dropped and counted by reason
//! (`S50`).
//!
//! All segments that have arrived are processed before anything is sent: a burst of ACKs then opens the window once, and
//! what goes out is as large as it can be.

use std::mem;
use std::net::{IpAddr, SocketAddr};

use tcp::conn::Connection;
use tcp::endpoint::{ListenerId, Unmatched};
use tcp::wire::{
    ChecksumBy, Icmpv4, Ipv4Header, Ipv4Packet, Malformed, PROTOCOL_ICMP, PROTOCOL_TCP, Sum, TcpPacket,
    parse_quoted_v4, parse_tcp,
};
use tcp::{FourTuple, Payload, Time};

use crate::engine::Engine;
use crate::frame::{
    BROADCAST, ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, is_other_station,
};
use crate::nic::{Nic, RxChecksum, RxPiece};
use crate::outrun::is_outrun;
use crate::slot::Slot;

/// Pieces of one burst at most. A burst is processed before the next one is asked for, while it is in the cache.
pub(crate) const RX_BURST: u16 = 64;

impl<N: Nic> Engine<N> {
    /// Receives bursts until the port has no more or the bound is reached; returns the number of frames.
    ///
    /// What is sent before the port is empty adds to what waits there: the peer's ACKs would overflow its queue.
    ///
    /// A frame's time is that at which it was fetched. It may have arrived long after the turn began, or after the caller looked
    /// at the clock: a process that lost its CPU there would measure round trips shorter than the path is, and believe them for
    /// ten seconds.
    pub(crate) fn receive(&mut self) -> u32 {
        let mut pieces = mem::take(&mut self.received);
        let mut left = usize::from(self.cfg.bounds.rx_pieces);
        let mut frames = 0;
        while left > 0 && self.nic.rx_burst(&mut pieces) > 0 {
            left = left.saturating_sub(pieces.len());
            let now = self.nic.now().map_or(self.now, |fetched| fetched.max(self.now));
            self.now = now;
            let mut rest = &mut pieces[..];
            while !rest.is_empty() {
                // A frame ends with the first piece that nothing follows, or with the burst.
                let len = rest.iter().position(|p| !p.more).map_or(rest.len(), |last| last + 1);
                let (frame, tail) = rest.split_at_mut(len);
                rest = tail;
                frames += 1;
                if let ([this], Some(next)) = (&*frame, rest.first_mut())
                    && is_outrun(this, next)
                {
                    self.outrun += 1;
                    self.counters.rx_bytes += this.buf.len() as u64;
                    continue;
                }
                self.frame(frame, now);
                self.counters.rx_acks_outrun += u64::from(mem::take(&mut self.outrun));
            }
            pieces.clear();
        }
        self.received = pieces;
        self.counters.rx_frames += u64::from(frames);
        frames
    }

    /// One frame, in one or several buffers.
    fn frame(&mut self, frame: &[RxPiece<N::Buf>], now: Time) {
        let len: usize = match frame {
            [whole] => whole.buf.len(),
            pieces => pieces.iter().map(|p| p.buf.len()).sum(),
        };
        self.counters.rx_bytes += len as u64;
        let head = frame[0].buf.as_slice();
        let Some((ethernet, rest)) = head.split_first_chunk::<ETHERNET_LEN>() else {
            self.counters.drop_runt += 1;
            return;
        };
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *ethernet;
        let (dst, src) = ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]);
        // Replies go back to where a frame came from: not to a group, nor to nobody, nor to ourselves.
        if !is_other_station(src, self.framer.mac()) {
            self.counters.drop_source_mac += 1;
            return;
        }
        let to_us = dst == self.framer.mac();
        match u16::from_be_bytes([t0, t1]) {
            ETHERTYPE_IPV4 if to_us => self.ipv4(frame, len - ETHERNET_LEN, src, now),
            ETHERTYPE_ARP if to_us || dst == BROADCAST => {
                // Every worker has to know who is where; one answers.
                let answer = self.nic.share(frame);
                self.arp(rest, answer, now);
            }
            _ if dst[0] & 1 != 0 => self.counters.rx_ignored_multicast += 1,
            _ if !to_us => self.counters.drop_not_our_mac += 1,
            ETHERTYPE_IPV6 => self.counters.drop_ipv6 += 1,
            t if ETHERTYPE_VLAN.contains(&t) => self.counters.drop_vlan += 1,
            _ => self.counters.drop_ethertype += 1,
        }
    }

    /// An IPv4 packet for our Ethernet address; `len` bytes follow the Ethernet header, padding included.
    fn ipv4(&mut self, frame: &[RxPiece<N::Buf>], len: usize, src_mac: [u8; 6], now: Time) {
        let head = &frame[0].buf.as_slice()[ETHERNET_LEN..];
        let by = match frame[0].ip_checksum {
            RxChecksum::Unknown => ChecksumBy::Software,
            RxChecksum::Good => ChecksumBy::Device,
            RxChecksum::Bad => {
                self.counters.drop_ip_checksum += 1;
                return;
            }
        };
        let ip = match Ipv4Header::parse(head, len, by) {
            Ok(ip) => ip,
            Err(Malformed::Ipv4Checksum) => {
                self.counters.drop_ip_checksum += 1;
                return;
            }
            Err(Malformed::Ipv4Truncated) if head.len() < len => {
                self.counters.drop_split_headers += 1;
                return;
            }
            Err(_) => {
                self.counters.drop_ip_malformed += 1;
                return;
            }
        };
        let header = &ip.header;
        if !self.routes.is_ours(header.dst) {
            self.counters.drop_ip_not_ours += 1;
        } else if ip.is_fragment {
            self.counters.drop_ip_fragment += 1;
        } else if !self.routes.is_peer(header.src) {
            self.counters.drop_ip_source += 1;
        } else {
            match header.protocol {
                PROTOCOL_TCP => self.tcp(frame, &ip, src_mac, now),
                PROTOCOL_ICMP => self.icmp(frame, &ip, src_mac, now),
                _ => self.counters.drop_ip_protocol += 1,
            }
        }
    }

    /// A TCP segment for our address.
    fn tcp(&mut self, frame: &[RxPiece<N::Buf>], ip: &Ipv4Packet, src_mac: [u8; 6], now: Time) {
        let head = frame[0].buf.as_slice();
        let (start, end) = (ETHERNET_LEN + ip.payload.start, ETHERNET_LEN + ip.payload.end);
        let tcp = match parse_tcp(&head[start.min(head.len())..end.min(head.len())]) {
            Ok(tcp) => tcp,
            Err(Malformed::TcpTruncated) if head.len() < end => {
                self.counters.drop_split_headers += 1;
                return;
            }
            Err(_) => {
                self.counters.drop_tcp_malformed += 1;
                return;
            }
        };
        let good = match frame[0].l4_checksum {
            RxChecksum::Good => true,
            RxChecksum::Bad => false,
            RxChecksum::Unknown => checksum_is_right(frame, ip, start, end),
        };
        if !good {
            self.counters.drop_tcp_checksum += 1;
            return;
        }
        let tuple = FourTuple {
            local: SocketAddr::from((ip.header.dst, tcp.header.dst_port)),
            remote: SocketAddr::from((ip.header.src, tcp.header.src_port)),
        };
        let ecn = ip.ecn();
        let slots = &self.slots;
        match self.flows.find(&tuple, |k, t| slots.is(k, t)) {
            Some(index) => {
                self.counters.rx_segments += 1;
                self.counters.rx_payload_bytes += (end - start - tcp.header_len) as u64;
                let Some(slot) = self.slots.get_mut(index) else { return };
                slot.conn.on_outrun(self.outrun);
                each_piece(frame, start + tcp.header_len, end, |at, last, payload| {
                    slot.conn.on_segment(now, tcp.piece(at, last, ecn, payload));
                });
                self.notice(index);
            }
            // Another worker's, who counts it.
            None if self.nic.pass_on(&tuple, frame) => {}
            None => {
                self.counters.rx_segments += 1;
                self.counters.rx_payload_bytes += (end - start - tcp.header_len) as u64;
                self.unmatched(frame, tuple, &tcp, (start + tcp.header_len, end), ecn, src_mac, now);
            }
        }
    }

    /// A segment of no connection: for a listener, for TIME-WAIT, or for nobody.
    #[allow(clippy::too_many_arguments)]
    fn unmatched(
        &mut self,
        frame: &[RxPiece<N::Buf>],
        tuple: FourTuple,
        tcp: &TcpPacket,
        (start, end): (usize, usize),
        ecn: u8,
        src_mac: [u8; 6],
        now: Time,
    ) {
        let first = frame[0].buf.slice(start..end.min(frame[0].buf.len()).max(start));
        let last = end <= frame[0].buf.len();
        // Its first piece says all that an answer depends on.
        let segment = tcp.piece(0, last, ecn, first);
        match self.endpoint.on_unmatched(now, tuple, &segment) {
            Unmatched::Drop(_) => self.counters.drop_tcp_unmatched += 1,
            Unmatched::Reply(burst) => self.send_reply(&tuple, &burst, src_mac),
            Unmatched::Accept(listener, conn) => self.accept(listener, conn, now),
        }
    }

    /// An ICMP message for our address.
    fn icmp(&mut self, frame: &[RxPiece<N::Buf>], ip: &Ipv4Packet, src_mac: [u8; 6], now: Time) {
        let head = frame[0].buf.as_slice();
        let (start, end) = (ETHERNET_LEN + ip.payload.start, ETHERNET_LEN + ip.payload.end);
        let Some(bytes) = head.get(start..end) else {
            self.counters.drop_split_headers += 1;
            return;
        };
        let message = match Icmpv4::parse(bytes) {
            Ok(m) => m,
            Err(Malformed::IcmpChecksum) => {
                self.counters.drop_icmp_checksum += 1;
                return;
            }
            Err(_) => {
                self.counters.drop_icmp_malformed += 1;
                return;
            }
        };
        if let Icmpv4::EchoRequest { id, seq, data } = message {
            self.counters.rx_echo_requests += 1;
            self.send_echo_reply(&ip.header, src_mac, &Icmpv4::EchoReply { id, seq, data });
            return;
        }
        let Some((kind, quoted)) = message.error() else {
            self.counters.drop_icmp_other += 1;
            return;
        };
        let Ok((tuple, error)) = parse_quoted_v4(kind, quoted) else {
            self.counters.drop_icmp_malformed += 1;
            return;
        };
        let slots = &self.slots;
        let found = self.flows.find(&tuple, |k, t| slots.is(k, t));
        let Some((index, slot)) = found.and_then(|k| Some((k, self.slots.get_mut(k)?))) else {
            if !self.nic.pass_on(&tuple, frame) {
                self.counters.drop_icmp_unmatched += 1;
            }
            return;
        };
        self.counters.rx_icmp_errors += 1;
        slot.conn.on_icmp(now, error);
        self.notice(index);
    }

    /// Gives a connection that a peer opened a slot. Without one it is forgotten: the peer repeats its SYN.
    fn accept(&mut self, listener: ListenerId, conn: Connection<N::Buf>, now: Time) {
        let tuple = *conn.tuple();
        let IpAddr::V4(remote) = tuple.remote.ip() else { return };
        let held = self.routes.next_hop(remote).ok().and_then(|hop| self.neighbours.hold(hop, now).ok());
        let Some(neighbour) = held else {
            self.counters.drop_no_slot += 1;
            self.endpoint.settled(listener);
            return;
        };
        let mut slot = Slot::new(conn, neighbour);
        slot.accepted_by = Some(listener);
        slot.embryonic = true;
        match self.slots.insert(slot) {
            Ok(id) if self.flows.insert(&tuple, id.index).is_ok() => {
                self.counters.connections_accepted += 1;
                self.notice(id.index);
                return;
            }
            Ok(id) => drop(self.slots.remove(id.index)),
            Err(_) => {}
        }
        self.neighbours.release(neighbour);
        self.endpoint.settled(listener);
        self.counters.drop_no_slot += 1;
    }
}

/// Calls `f` with each piece of a frame's payload, which spans bytes `start..end` of the frame: where it begins within
/// the payload, whether it is the last, and a handle on it. At least once, also when there is no payload.
#[inline]
fn each_piece<B: Payload>(frame: &[RxPiece<B>], start: usize, end: usize, mut f: impl FnMut(u32, bool, B)) {
    let mut begin = 0; // of the piece, within the frame
    for (n, piece) in frame.iter().enumerate() {
        let stop = begin + piece.buf.len();
        let (from, to) = (start.max(begin), end.min(stop));
        let last = stop >= end;
        if from < to || n == 0 && last {
            let to = to.max(from);
            f((from - start) as u32, last, piece.buf.slice(from - begin..to - begin));
        }
        if last {
            return;
        }
        begin = stop;
    }
}

/// Verifies the checksum over the TCP segment in bytes `start..end` of a frame, whatever buffers they lie in.
fn checksum_is_right<B: Payload>(frame: &[RxPiece<B>], ip: &Ipv4Packet, start: usize, end: usize) -> bool {
    let (src, dst) = (IpAddr::V4(ip.header.src), IpAddr::V4(ip.header.dst));
    let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, (end - start) as u32);
    let mut begin = 0;
    for piece in frame {
        let stop = begin + piece.buf.len();
        let (from, to) = (start.max(begin), end.min(stop));
        if from < to {
            sum.add(&piece.buf.as_slice()[from - begin..to - begin]);
        }
        begin = stop;
    }
    sum.is_valid()
}
