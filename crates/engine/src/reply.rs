//! Frames that belong to no connection: ARP, echo replies, resets. They are sent once and not kept: whoever wanted
//! them asks again.

use core::iter;
use std::net::{Ipv4Addr, SocketAddr};

use tcp::wire::{ChecksumBy, ICMP_HEADER_LEN, IPV4_HEADER_LEN, Icmpv4, Ipv4Header, PROTOCOL_ICMP, Sum};
use tcp::{Burst, FourTuple, Nanos, Time};

use crate::arp::{self, Arp, Op};
use crate::commit::Staged;
use crate::engine::Engine;
use crate::frame::{Address, BROADCAST, ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, is_other_station};
use crate::neigh::Learned;
use crate::nic::{Nic, TxFrame, TxMeta};

/// Data of an echo request that is answered, at most: what a header buffer of any port has room for.
const MAX_ECHO: usize = 1472;

/// Shortest time between two claims of our own address (RFC 5227 §1.1, DEFEND_INTERVAL).
const DEFEND_INTERVAL: Nanos = Nanos::from_secs(10);

impl<N: Nic> Engine<N> {
    /// An ARP packet arrived (RFC 826). `answer`: if it asks for something, it is for us to answer.
    pub(crate) fn arp(&mut self, packet: &[u8], answer: bool, now: Time) {
        self.counters.rx_arp += 1;
        let Some(arp) = Arp::parse(packet) else {
            self.counters.drop_arp_malformed += 1;
            return;
        };
        let asked = self.routes.is_ours(arp.target_ip);
        if self.routes.is_ours(arp.sender_ip) && arp.sender_mac != self.framer.mac() {
            // Somebody else claims an address of ours: say once in a while whose it is (RFC 5227 §2.4 b), learn nothing.
            self.counters.arp_conflicts += 1;
            if answer && self.defended_at.is_none_or(|t| now.since(t) >= DEFEND_INTERVAL) {
                self.defended_at = Some(now);
                self.send_arp(BROADCAST, Op::Request, arp.sender_ip, [0; 6], arp.sender_ip);
            }
            return;
        }
        // The sender's address can be that of a probe, 0.0.0.0; or of no station that frames can be sent to.
        let station = is_other_station(arp.sender_mac, self.framer.mac());
        if self.routes.is_peer(arp.sender_ip) && station {
            let asks_us = arp.op == Op::Request && asked && !arp.is_gratuitous();
            let (learned, waited) = self.neighbours.learn(arp.sender_ip, arp.sender_mac, asks_us, now);
            match learned {
                Learned::Ignored => {}
                Learned::Resolved => self.counters.arp_resolved += 1,
                Learned::Changed => self.counters.arp_changed += 1,
            }
            self.wake(waited, None);
        }
        if answer && arp.op == Op::Request && asked && station {
            if self.send_arp(arp.sender_mac, Op::Reply, arp.target_ip, arp.sender_mac, arp.sender_ip) {
                self.counters.arp_replies_sent += 1;
            } else {
                self.counters.tx_replies_dropped += 1;
            }
        }
    }

    /// Asks who has `ip`, everybody or only `to`. False when no buffer was left.
    pub(crate) fn send_arp_request(&mut self, ip: Ipv4Addr, to: Option<[u8; 6]>) -> bool {
        self.send_arp(to.unwrap_or(BROADCAST), Op::Request, self.routes.first(), [0; 6], ip)
    }

    fn send_arp(
        &mut self,
        to: [u8; 6],
        op: Op,
        sender_ip: Ipv4Addr,
        target_mac: [u8; 6],
        target_ip: Ipv4Addr,
    ) -> bool {
        let arp = Arp { op, sender_mac: self.framer.mac(), sender_ip, target_mac, target_ip };
        let framer = self.framer;
        self.stage_reply(false, false, |out| {
            framer.ethernet(to, ETHERTYPE_ARP, out);
            out[ETHERNET_LEN..][..arp::LEN].copy_from_slice(&arp.to_bytes());
            let meta = TxMeta { l2_len: ETHERNET_LEN as u8, ..TxMeta::default() };
            (ETHERNET_LEN + arp::LEN, meta)
        })
    }

    /// Answers an echo request that came in a packet with the header `asked` (RFC 1122 §3.2.2.6).
    pub(crate) fn send_echo_reply(&mut self, asked: &Ipv4Header, mac: [u8; 6], reply: &Icmpv4<'_>) {
        let Icmpv4::EchoReply { data, .. } = reply else { return };
        let room = usize::from(self.nic.limits().header_room).saturating_sub(ETHERNET_LEN + IPV4_HEADER_LEN);
        let len = ICMP_HEADER_LEN + data.len();
        if data.len() > MAX_ECHO || len > room || IPV4_HEADER_LEN + len > usize::from(self.mtu) {
            self.counters.tx_replies_dropped += 1;
            return;
        }
        let framer = self.framer;
        let ip_checksum = self.nic.limits().tx_ip_checksum;
        let header = Ipv4Header {
            src: asked.dst,
            dst: asked.src,
            protocol: PROTOCOL_ICMP,
            tos: 0,
            ttl: framer.ttl(),
            id: 0,
            dont_fragment: true,
            payload_len: len as u16,
        };
        let sent = self.stage_reply(false, true, |out| {
            framer.ethernet(mac, ETHERTYPE_IPV4, out);
            let by = if ip_checksum { ChecksumBy::Device } else { ChecksumBy::Software };
            header.emit(&mut out[ETHERNET_LEN..], by);
            reply.emit(&mut out[ETHERNET_LEN + IPV4_HEADER_LEN..]);
            let meta = TxMeta {
                l2_len: ETHERNET_LEN as u8,
                l3_len: IPV4_HEADER_LEN as u16,
                ip_checksum,
                ..TxMeta::default()
            };
            (ETHERNET_LEN + IPV4_HEADER_LEN + len, meta)
        });
        if !sent {
            self.counters.tx_replies_dropped += 1;
        }
    }

    /// Sends what the endpoint answers to a segment: back to the station it came from.
    pub(crate) fn send_reply(&mut self, tuple: &FourTuple, burst: &Burst, mac: [u8; 6]) {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (tuple.local, tuple.remote) else { return };
        let to = Address { mac, local, remote, ip_id: 0 };
        let framer = self.framer;
        let burst = *burst;
        let reset = burst.flags.has(tcp::wire::TcpFlags::RST);
        let sent = self.stage_reply(reset, false, |out| {
            let (len, meta) = framer.headers(&to, &burst, false, out);
            framer.finish(&to, &meta, out, 0, Sum::ZERO);
            (len, meta)
        });
        if !sent {
            self.counters.tx_replies_dropped += 1;
        }
    }

    /// Stages a frame in one buffer that `write` fills; it leaves with the next offer. False when there is no buffer,
    /// or as many frames are staged as one offer holds.
    fn stage_reply(
        &mut self,
        reset: bool,
        echo: bool,
        write: impl FnOnce(&mut [u8]) -> (usize, TxMeta),
    ) -> bool {
        if self.staged_frames >= self.nic.limits().tx_batch.max(1) {
            let now = self.now;
            self.flush(now);
        }
        let Some(mut header) = self.nic.lend_header() else {
            self.counters.tx_no_header += 1;
            return false;
        };
        let (len, meta) = write(&mut header);
        let frame = TxFrame { header, header_len: len as u16, meta };
        if self.nic.stage(frame, iter::empty()).is_err() {
            self.counters.tx_no_buffers += 1;
            return false;
        }
        self.staged_frames += 1;
        self.staged.push(Staged::Reply { bytes: len as u32, reset, echo });
        true
    }
}
