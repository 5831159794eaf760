//! A receiver that keeps no state: whatever it must know is in the frame it answers.
//!
//! It acknowledges all it sees, so a frame's own numbers say what to answer: the acknowledgement is the end of the
//! frame's payload, the sequence number is what the frame acknowledges. It serves any number of connections at
//! any address and port, and costs no memory. It never loses, reorders or sends data.

/// How often the peer acknowledges.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AckPolicy {
    /// Once for every frame, however long: a receiver that coalesces (GRO, LRO).
    PerBurst,
    /// Once for every two full segments, and at each frame's end: RFC 9293 §3.8.6.3 without coalescing.
    PerTwoSegments,
}

/// The stateless receiver.
#[derive(Copy, Clone, Debug)]
pub struct Peer {
    acks: AckPolicy,
    mss: u16,
}

/// Its Ethernet address.
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];

/// Its initial sequence number, on every connection.
const ISS: u32 = 0x1000_0000;

/// Its window scale: with a window field of 65535, 1 GiB.
const SCALE: u8 = 14;

const ETH: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Longest answer: a SYN-ACK with all options.
const MAX_ANSWER: usize = ETH + IP + TCP + 20;

/// Where the acknowledgement number and the checksum are in an answer.
const ACK_AT: usize = ETH + IP + 8;
const SUM_AT: usize = ETH + IP + 16;

/// The frames that answer one frame: they differ in their acknowledgement number only.
#[derive(Debug)]
pub(super) struct Answers {
    bytes: [u8; MAX_ANSWER],
    len: usize,
    /// Frames left.
    left: u32,
    /// Acknowledgement number of the next but the last, its step, and that of the last.
    next: u32,
    step: u32,
    last: u32,
    /// Sum of the TCP header's words with the acknowledgement number and checksum as 0, pseudo-header included;
    /// `None` when it is not TCP.
    sum: Option<u32>,
}

impl Answers {
    fn none() -> Answers {
        Answers { bytes: [0; MAX_ANSWER], len: 0, left: 0, next: 0, step: 0, last: 0, sum: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Passes over the next one.
    pub(super) fn skip(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.next = self.next.wrapping_add(self.step);
    }

    /// Writes the next one to the front of `to`, which has room for it, and returns its length.
    pub(super) fn write(&mut self, to: &mut [u8]) -> u16 {
        if let Some(sum) = self.sum {
            let ack = if self.left == 1 { self.last } else { self.next };
            self.bytes[ACK_AT..ACK_AT + 4].copy_from_slice(&ack.to_be_bytes());
            let sum = !fold(sum + (ack >> 16) + (ack & 0xffff));
            self.bytes[SUM_AT..SUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
        }
        to[..self.len].copy_from_slice(&self.bytes[..self.len]);
        self.skip();
        self.len as u16
    }
}

impl Peer {
    /// A peer on a wire with this MTU.
    pub fn new(acks: AckPolicy, mtu: u16) -> Peer {
        Peer { acks, mss: mtu.saturating_sub((IP + TCP) as u16) }
    }

    /// What it answers to a frame of `len` bytes whose first buffer is `header`, cut into segments of `segsz`
    /// bytes of payload (0: not cut).
    pub(super) fn answer(&self, header: &[u8], len: u32, segsz: u16) -> Answers {
        match header.get(12..14) {
            Some([0x08, 0x00]) => self.tcp(header, len, segsz).unwrap_or_else(Answers::none),
            Some([0x08, 0x06]) => arp(header).unwrap_or_else(Answers::none),
            _ => Answers::none(),
        }
    }

    fn tcp(&self, frame: &[u8], len: u32, segsz: u16) -> Option<Answers> {
        let ip = frame.get(ETH..)?;
        if *ip.first()? != 0x45 || *ip.get(9)? != 6 {
            // With IP options, or not TCP: nothing the engine sends on a connection.
            return None;
        }
        let tcp = ip.get(IP..)?;
        let (seq, ack) = (word(tcp, 4)?, word(tcp, 8)?);
        let (data_offset, flags) = (usize::from(*tcp.get(12)? >> 4) * 4, *tcp.get(13)?);
        let options = tcp.get(TCP..data_offset)?;
        let payload = len.checked_sub((ETH + IP + data_offset) as u32)?;
        if flags & RST != 0 {
            return None;
        }
        let mut answer_flags = ACK;
        let mut answer_seq = ack;
        let mut ends = seq.wrapping_add(payload);
        if flags & SYN != 0 {
            answer_flags |= SYN;
            answer_seq = ISS;
            ends = seq.wrapping_add(1);
        } else if flags & FIN != 0 {
            // It closes as soon as the other end does.
            answer_flags |= FIN;
            ends = ends.wrapping_add(1);
        } else if payload == 0 {
            return None;
        }

        let mut a = Answers::none();
        // Ethernet and IP, back to where it came from.
        a.bytes[..6].copy_from_slice(&frame[6..12]);
        a.bytes[6..12].copy_from_slice(&MAC);
        a.bytes[12..14].copy_from_slice(&[0x08, 0x00]);
        let timestamp = timestamps(options);
        let mut at = ETH + IP + TCP;
        if flags & SYN != 0 {
            let mss = self.mss.to_be_bytes();
            // MSS, window scale, SACK permitted.
            a.bytes[at..at + 10].copy_from_slice(&[2, 4, mss[0], mss[1], 1, 3, 3, SCALE, 4, 2]);
            at += 10;
            if timestamp.is_none() {
                a.bytes[at..at + 2].copy_from_slice(&[1, 1]);
                at += 2;
            }
        } else if timestamp.is_some() {
            a.bytes[at..at + 2].copy_from_slice(&[1, 1]);
            at += 2;
        }
        if let Some(value) = timestamp {
            // Its clock is the other end's: what comes back is what was sent, and never runs backwards.
            a.bytes[at..at + 2].copy_from_slice(&[8, 10]);
            a.bytes[at + 2..at + 6].copy_from_slice(&value);
            a.bytes[at + 6..at + 10].copy_from_slice(&value);
            at += 10;
        }
        a.len = at;
        let ip_len = (at - ETH) as u16;
        let head = &mut a.bytes[ETH..];
        head[0] = 0x45;
        head[2..4].copy_from_slice(&ip_len.to_be_bytes());
        head[6] = 0x40;
        head[8] = 64;
        head[9] = 6;
        head[12..16].copy_from_slice(&ip[16..20]);
        head[16..20].copy_from_slice(&ip[12..16]);
        let ip_sum = !fold(sum(&head[..IP]));
        head[10..12].copy_from_slice(&ip_sum.to_be_bytes());
        let out = &mut a.bytes[ETH + IP..at];
        out[0..2].copy_from_slice(&tcp[2..4]);
        out[2..4].copy_from_slice(&tcp[0..2]);
        out[4..8].copy_from_slice(&answer_seq.to_be_bytes());
        out[12] = ((out.len() / 4) as u8) << 4;
        out[13] = answer_flags;
        out[14..16].copy_from_slice(&[0xff, 0xff]);
        let pseudo = sum(&ip[12..20]) + 6 + out.len() as u32;
        a.sum = Some(pseudo + sum(out));

        // Full pairs of segments inside the frame, then its end.
        let pair = 2 * u32::from(segsz);
        let pairs = match self.acks {
            AckPolicy::PerTwoSegments if pair > 0 => payload.saturating_sub(1) / pair,
            _ => 0,
        };
        // Only the last carries the FIN's answer; earlier ones would acknowledge less, which a FIN must not.
        let pairs = if answer_flags & FIN != 0 { 0 } else { pairs };
        a.left = pairs + 1;
        a.next = seq.wrapping_add(pair);
        a.step = pair;
        a.last = ends;
        Some(a)
    }
}

/// Every address is the peer's, but for one asked for by its owner.
fn arp(frame: &[u8]) -> Option<Answers> {
    let request = frame.get(ETH..ETH + 28)?;
    let (sender, target) = (&request[14..18], &request[24..28]);
    if request[..8] != [0, 1, 8, 0, 6, 4, 0, 1] || sender == target || sender == [0; 4] {
        return None;
    }
    let mut a = Answers::none();
    a.bytes[..6].copy_from_slice(&frame[6..12]);
    a.bytes[6..12].copy_from_slice(&MAC);
    a.bytes[12..14].copy_from_slice(&[0x08, 0x06]);
    let reply = &mut a.bytes[ETH..ETH + 28];
    reply[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
    reply[8..14].copy_from_slice(&MAC);
    reply[14..18].copy_from_slice(target);
    reply[18..24].copy_from_slice(&request[8..14]);
    reply[24..28].copy_from_slice(sender);
    a.len = 60;
    a.left = 1;
    Some(a)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The value of a timestamps option.
fn timestamps(mut options: &[u8]) -> Option<[u8; 4]> {
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [8, 10, value @ ..] => return value.get(..4)?.try_into().ok(),
            [0, ..] | [] => return None,
            [_, len, ..] if *len >= 2 => options = options.get(usize::from(*len)..)?,
            _ => return None,
        }
    }
}

/// Sum of an even number of bytes as 16-bit words.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use tcp::wire::{ChecksumBy, Ipv4Header, Sum, TcpFlags, TcpOptions, parse_tcp};

    /// A frame as the engine would stage it; only what the peer looks at is filled in.
    fn frame(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut f = vec![0xee; 6];
        f.extend([2, 0, 0, 0, 0, 1, 8, 0]);
        f.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        f.extend([0x9c, 0x40, 0x13, 0x89]);
        f.extend(1000u32.to_be_bytes());
        f.extend(77u32.to_be_bytes());
        f.extend([((20 + options.len()) / 4 * 16) as u8, flags, 0xff, 0xff, 0, 0, 0, 0]);
        f.extend(options);
        f
    }

    const TS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 3];

    /// All answers, parsed by the product's own parser, checksums verified.
    fn answers(
        policy: AckPolicy,
        header: &[u8],
        payload: u32,
        segsz: u16,
    ) -> Vec<(u32, u32, TcpFlags, TcpOptions)> {
        let mut a = Peer::new(policy, 1500).answer(header, header.len() as u32 + payload, segsz);
        let mut all = Vec::new();
        while !a.is_empty() {
            let mut buf = [0; 256];
            let len = usize::from(a.write(&mut buf));
            let packet =
                Ipv4Header::parse(&buf[ETH..len], len - ETH, ChecksumBy::Software).expect("a packet");
            let tcp = &buf[ETH + IP..len];
            let (src, dst): (IpAddr, IpAddr) = (packet.header.src.into(), packet.header.dst.into());
            assert_eq!((src, dst), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
            let mut sum = Sum::pseudo_header(src, dst, 6, tcp.len() as u32);
            sum.add(tcp);
            assert!(sum.is_valid(), "a wrong checksum");
            let parsed = parse_tcp(tcp).expect("a segment");
            let s = parsed.segment(0, ());
            assert_eq!(s.window, 0xffff);
            all.push((s.seq.0, s.ack.0, s.flags, s.options));
        }
        all
    }

    #[test]
    fn a_syn_gets_a_syn_ack_with_what_the_peer_can_do() {
        let a = answers(AckPolicy::PerBurst, &frame(SYN, &TS), 0, 0);
        let [(seq, ack, flags, options)] = a.as_slice() else { panic!("{a:?}") };
        assert_eq!((*seq, *ack, *flags), (ISS, 1001, TcpFlags::SYN | TcpFlags::ACK));
        assert_eq!((options.mss, options.window_scale, options.sack_permitted), (Some(1460), Some(14), true));
        assert_eq!(options.timestamps.map(|t| (t.val, t.ecr)), Some((9, 9)));
        let a = answers(AckPolicy::PerBurst, &frame(SYN, &[]), 0, 0);
        assert!(a[0].3.timestamps.is_none());
    }

    #[test]
    fn a_burst_is_acknowledged_once_or_every_two_segments() {
        let acks = |policy, payload, segsz| -> Vec<u32> {
            answers(policy, &frame(ACK, &TS), payload, segsz).iter().map(|a| a.1).collect()
        };
        assert_eq!(acks(AckPolicy::PerBurst, 10 * 1448, 1448), [1000 + 14480]);
        assert_eq!(
            acks(AckPolicy::PerTwoSegments, 5 * 1448, 1448),
            [1000 + 2896, 1000 + 5792, 1000 + 7240],
            "the odd one at the end too"
        );
        assert_eq!(acks(AckPolicy::PerTwoSegments, 4 * 1448, 1448), [1000 + 2896, 1000 + 5792]);
        assert_eq!(acks(AckPolicy::PerTwoSegments, 100, 0), [1100], "a frame that is not cut");
        assert_eq!(acks(AckPolicy::PerBurst, 0, 0), [0u32; 0], "an ACK is not answered");
    }

    #[test]
    fn a_fin_is_answered_with_a_fin_and_a_reset_with_nothing() {
        let a = answers(AckPolicy::PerTwoSegments, &frame(FIN | ACK, &TS), 5000, 1448);
        assert_eq!(a.len(), 1);
        assert_eq!((a[0].0, a[0].1, a[0].2), (77, 6001, TcpFlags::FIN | TcpFlags::ACK));
        assert!(answers(AckPolicy::PerBurst, &frame(RST | ACK, &[]), 0, 0).is_empty());
    }

    #[test]
    fn every_address_answers_arp_but_ones_own() {
        let mut f = vec![0xff; 6];
        f.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        f.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        let peer = Peer::new(AckPolicy::PerBurst, 1500);
        let mut a = peer.answer(&f, f.len() as u32, 0);
        let mut buf = [0; 256];
        assert_eq!(a.write(&mut buf), 60);
        assert_eq!(&buf[..6], &[2, 0, 0, 0, 0, 1]);
        assert_eq!(&buf[ETH + 8..ETH + 18], &[2, 0, 0, 0, 0, 2, 10, 0, 0, 1]);
        f[41] = 2;
        assert!(peer.answer(&f, f.len() as u32, 0).is_empty(), "the engine asks for its own address");
    }

    #[test]
    fn nonsense_is_not_answered() {
        let peer = Peer::new(AckPolicy::PerTwoSegments, 1500);
        let whole = frame(ACK, &TS);
        for cut in 0..whole.len() {
            assert!(peer.answer(&whole[..cut], 9000, 1448).left <= 4, "cut at {cut}");
        }
        assert!(peer.answer(&whole, 20, 1448).is_empty(), "shorter than its headers");
    }
}
