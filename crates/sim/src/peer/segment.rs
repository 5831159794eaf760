//! A TCP segment over IPv4 in a frame, read by our own parsers, to be rewritten.

use std::net::IpAddr;

use tcp::wire::{
    ChecksumBy, Ipv4Header, PROTOCOL_TCP, Sum, TCP_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions, parse_tcp,
};

/// Bytes of Ethernet header.
const L2: usize = 14;
/// The options that are rewritten.
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// What a receiver's behaviour looks at.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Where the TCP header begins, and where its payload and the packet end.
    at: usize,
    payload: usize,
    end: usize,
    pub(super) src: u16,
    pub(super) dst: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
    pub(super) options: TcpOptions,
}

/// Reads a frame that arrived or leaves whole; `None` for what is none. A spoilt segment is not seen by the receiver either.
pub(super) fn read(frame: &[u8]) -> Option<Segment> {
    let bytes = frame.get(L2..).filter(|_| frame[12..14] == [8, 0])?;
    let ip = Ipv4Header::parse(bytes, bytes.len(), ChecksumBy::Device).ok()?;
    let tcp = bytes.get(ip.payload.clone()).filter(|_| ip.header.protocol == PROTOCOL_TCP)?;
    if !sum(&ip.header, tcp).is_valid() {
        return None;
    }
    let packet = parse_tcp(tcp).ok()?;
    let at = L2 + ip.payload.start;
    let TcpHeader { src_port: src, dst_port: dst, seq, ack, flags, window, .. } = packet.header;
    let (payload, end) = (at + packet.header_len, L2 + ip.payload.end);
    let (seq, ack, options) = (seq.0, ack.0, packet.options);
    Some(Segment { at, payload, end, src, dst, seq, ack, flags, window, options })
}

/// The sum over a segment and its pseudo-header.
fn sum(ip: &Ipv4Header, tcp: &[u8]) -> Sum {
    let [src, dst] = [ip.src, ip.dst].map(IpAddr::V4);
    let mut sum = Sum::pseudo_header(src, dst, PROTOCOL_TCP, tcp.len() as u32);
    sum.add(tcp);
    sum
}

impl Segment {
    /// Bytes of payload.
    pub(super) fn len(&self) -> u32 {
        (self.end - self.payload) as u32
    }

    /// Nothing but an ACK, with whatever options.
    pub(super) fn is_bare_ack(&self) -> bool {
        self.flags == TcpFlags::ACK && self.len() == 0
    }

    /// SACK blocks.
    pub(super) fn sack(&self) -> impl Iterator<Item = (u32, u32)> {
        self.options.sack.as_slice().iter().map(|(left, right)| (left.0, right.0))
    }

    /// Where the option of kind `kind` lies in the frame.
    fn option(&self, frame: &[u8], kind: u8) -> Option<core::ops::Range<usize>> {
        let mut at = self.at + TCP_HEADER_LEN;
        while at < self.payload {
            match frame[at] {
                0 => return None,
                1 => at += 1,
                found => {
                    let length = usize::from(*frame.get(at + 1)?);
                    if length < 2 || at + length > self.payload {
                        return None;
                    }
                    if found == kind {
                        return Some(at..at + length);
                    }
                    at += length;
                }
            }
        }
        None
    }

    /// Echoes this timestamp, if it is newer than the one that is echoed.
    pub(super) fn echo(&self, frame: &mut [u8], value: u32) {
        if let (Some(at), Some(times)) = (self.option(frame, TIMESTAMPS), self.options.timestamps)
            && ahead(value, times.ecr) > 0
        {
            frame[at.start + 6..at.start + 10].copy_from_slice(&value.to_be_bytes());
            self.rewrite(frame, self.ack, self.window, true);
        }
    }

    /// Writes another acknowledgement and window, and takes SACK blocks out if they shall not be there.
    pub(super) fn rewrite(&self, frame: &mut [u8], ack: u32, window: u16, keep_sack: bool) {
        let tcp = self.at;
        frame[tcp + 8..tcp + 12].copy_from_slice(&ack.to_be_bytes());
        frame[tcp + 14..tcp + 16].copy_from_slice(&window.to_be_bytes());
        if let (false, Some(at)) = (keep_sack, self.option(frame, SACK)) {
            frame[at].fill(1); // no-operation
        }
        TcpHeader::set_checksum(&mut frame[tcp..], 0);
        let bytes = &frame[L2..];
        if let Ok(ip) = Ipv4Header::parse(bytes, bytes.len(), ChecksumBy::Device) {
            let checksum = sum(&ip.header, &frame[tcp..self.end]).checksum();
            TcpHeader::set_checksum(&mut frame[tcp..], checksum);
        }
    }
}

/// How far `a` lies behind `b` in sequence space.
pub(super) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::link::frame::tests::framed;

    /// What a test segment says: from one of two hosts, with SACK blocks.
    pub(in super::super) fn build(
        to_sender: bool,
        (seq, ack): (u32, u32),
        window: u16,
        payload: usize,
        sack: &[(u32, u32)],
    ) -> Vec<u8> {
        use etherparse::TcpOptionElement::{Noop, SelectiveAcknowledgement};
        let (src, dst) = if to_sender { (80, 1) } else { (1, 80) };
        let mut header = etherparse::TcpHeader::new(src, dst, seq, window);
        (header.ack, header.acknowledgment_number) = (true, ack);
        if let Some(&first) = sack.first() {
            let mut more = [None; 3];
            more.iter_mut().zip(&sack[1..]).for_each(|(slot, &block)| *slot = Some(block));
            header.set_options(&[Noop, Noop, SelectiveAcknowledgement(first, more)]).expect("fits");
        }
        let addresses =
            if to_sender { ([10, 0, 0, 2], [10, 0, 0, 1]) } else { ([10, 0, 0, 1], [10, 0, 0, 2]) };
        framed(addresses, 0, header, payload)
    }

    #[test]
    fn what_is_rewritten_reads_back_with_its_checksum_right() {
        let mut frame = build(true, (7, 100), 500, 0, &[(200, 300), (400, 500)]);
        let segment = read(&frame).expect("whole");
        assert_eq!((segment.ack, segment.window, segment.len()), (100, 500, 0));
        assert_eq!(segment.sack().collect::<Vec<_>>(), [(200, 300), (400, 500)]);
        segment.rewrite(&mut frame, 150, 450, true);
        assert_eq!(read(&frame).map(|s| (s.ack, s.window, s.sack().count())), Some((150, 450, 2)));
        segment.rewrite(&mut frame, 150, 450, false);
        assert_eq!(read(&frame).map(|s| s.sack().count()), Some(0));
        frame[40] ^= 1;
        assert_eq!(read(&frame), None);
        assert!((0..frame.len()).all(|cut| read(&frame[..cut]).is_none()));
    }
}
