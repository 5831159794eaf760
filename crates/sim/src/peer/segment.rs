//! A TCP segment over IPv4 in a frame, to be read and rewritten.

use crate::tso::{fold, sum};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

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
    pub(super) flags: u8,
    pub(super) window: u16,
}

/// Reads a frame that arrived or leaves whole; `None` for what is none.
pub(super) fn read(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(14..).filter(|ip| ip.len() >= 40 && frame[12..14] == [8, 0] && ip[0] >> 4 == 4)?;
    let header = usize::from(ip[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let tcp = ip.get(header..total).filter(|tcp| header >= 20 && ip[9] == 6 && tcp.len() >= 20)?;
    // A spoilt segment is not seen by the receiver either.
    let pseudo = sum(&ip[12..20]) + 6 + tcp.len() as u64;
    if fold(pseudo + sum(tcp)) != 0xffff {
        return None;
    }
    let length = usize::from(tcp[12] >> 4) * 4;
    if !(20..=tcp.len()).contains(&length) {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    Some(Segment {
        at: 14 + header,
        payload: 14 + header + length,
        end: 14 + total,
        src: half(0),
        dst: half(2),
        seq: word(4),
        ack: word(8),
        flags: tcp[13],
        window: half(14),
    })
}

impl Segment {
    /// Bytes of payload.
    pub(super) fn len(&self) -> u32 {
        (self.end - self.payload) as u32
    }

    /// Nothing but an ACK, with whatever options.
    pub(super) fn is_bare_ack(&self) -> bool {
        self.flags == ACK && self.len() == 0
    }

    /// Where the options of kind `kind` lie in the frame.
    fn option(&self, frame: &[u8], kind: u8) -> Option<core::ops::Range<usize>> {
        let mut at = self.at + 20;
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

    /// The shift of a window scale option.
    pub(super) fn window_scale(&self, frame: &[u8]) -> Option<u8> {
        self.option(frame, 3).filter(|at| at.len() == 3).map(|at| frame[at.start + 2].min(14))
    }

    /// SACK blocks.
    pub(super) fn sack(&self, frame: &[u8]) -> Vec<(u32, u32)> {
        let Some(at) = self.option(frame, 5) else { return Vec::new() };
        let word = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        frame[at.start + 2..at.end].chunks_exact(8).map(|b| (word(&b[..4]), word(&b[4..]))).collect()
    }

    /// Timestamps: value, echo.
    pub(super) fn timestamps(&self, frame: &[u8]) -> Option<(u32, u32)> {
        let at = self.option(frame, 8).filter(|at| at.len() == 10)?.start;
        let word = |at: usize| u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        Some((word(at + 2), word(at + 6)))
    }

    /// Echoes this timestamp, if it is newer than the one that is echoed.
    pub(super) fn echo(&self, frame: &mut [u8], value: u32) {
        if let (Some(at), Some((_, echoed))) = (self.option(frame, 8), self.timestamps(frame))
            && ahead(value, echoed) > 0
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
        if let (false, Some(at)) = (keep_sack, self.option(frame, 5)) {
            frame[at].fill(1); // no-operation
        }
        frame[tcp + 16..tcp + 18].fill(0);
        let pseudo = sum(&frame[26..34]) + 6 + (self.end - tcp) as u64;
        let checksum = !fold(pseudo + sum(&frame[tcp..self.end]));
        frame[tcp + 16..tcp + 18].copy_from_slice(&checksum.to_be_bytes());
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
        assert_eq!(segment.sack(&frame), [(200, 300), (400, 500)]);
        segment.rewrite(&mut frame, 150, 450, true);
        assert_eq!(read(&frame).map(|s| (s.ack, s.window, s.sack(&frame).len())), Some((150, 450, 2)));
        segment.rewrite(&mut frame, 150, 450, false);
        assert_eq!(read(&frame).map(|s| s.sack(&frame)), Some(vec![]));
        frame[40] ^= 1;
        assert_eq!(read(&frame), None);
        assert!((0..frame.len()).all(|cut| read(&frame[..cut]).is_none()));
    }
}
