//! The TCP header (RFC 9293 §3.1).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Malformed, OptionBytes, TcpFlags, TcpOptions};
use crate::{Burst, FourTuple, Segment, Seq};

/// The protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;

/// Length of the header without options, bytes.
pub const TCP_HEADER_LEN: usize = 20;

/// Where the checksum stands in the header.
const CHECKSUM_AT: usize = 16;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    src_port: U16,
    dst_port: U16,
    seq: U32,
    ack: U32,
    /// Data offset (4 bits), reserved (3), control bits (9).
    offset_flags: U16,
    window: U16,
    checksum: U16,
    urgent: U16,
}

/// What the fixed part of a TCP header says, except data offset and checksum.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgement number.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, as on the wire.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// A parsed TCP header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TcpPacket {
    /// The fixed part.
    pub header: TcpHeader,
    /// The options.
    pub options: TcpOptions,
    /// Bytes from the header's start to the payload's.
    pub header_len: usize,
}

/// Reads the TCP header at the start of `bytes`, the payload of an IP packet or the first part of it. The
/// header must lie in `bytes` entirely. The checksum is the caller's to verify, with [`Sum`](super::Sum): it
/// spans all buffers of a frame, or a device vouched for it.
///
/// # Errors
/// [`Malformed::TcpTruncated`] or [`Malformed::TcpDataOffset`].
#[inline]
pub fn parse_tcp(bytes: &[u8]) -> Result<TcpPacket, Malformed> {
    let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::TcpTruncated)?;
    let offset_flags = raw.offset_flags.get();
    let header_len = usize::from(offset_flags >> 12) * 4;
    if header_len < TCP_HEADER_LEN {
        return Err(Malformed::TcpDataOffset);
    }
    let options = bytes.get(TCP_HEADER_LEN..header_len).ok_or(Malformed::TcpTruncated)?;
    Ok(TcpPacket {
        header: TcpHeader {
            src_port: raw.src_port.get(),
            dst_port: raw.dst_port.get(),
            seq: Seq(raw.seq.get()),
            ack: Seq(raw.ack.get()),
            flags: TcpFlags(offset_flags & 0x1ff),
            window: raw.window.get(),
            urgent: raw.urgent.get(),
        },
        options: TcpOptions::parse(options),
        header_len,
    })
}

impl TcpPacket {
    /// The segment with `payload`, which is all of the packet's: one received in a single buffer.
    pub fn segment<P>(&self, ecn: u8, payload: P) -> Segment<P> {
        self.piece(0, true, ecn, payload)
    }

    /// The segment for one buffer of a packet received in several: `payload` begins `at` bytes into the
    /// packet's payload, and `last` says that nothing follows. Pieces are consecutive segments: SYN stays on
    /// the first, FIN and PSH on the last.
    pub fn piece<P>(&self, at: u32, last: bool, ecn: u8, payload: P) -> Segment<P> {
        let TcpHeader { seq, ack, mut flags, window, urgent, .. } = self.header;
        let mut seq = seq + at;
        if at > 0 && flags.has(TcpFlags::SYN) {
            // The SYN took the first sequence number.
            seq += 1;
            flags = flags.without(TcpFlags::SYN);
        }
        if !last {
            flags = flags.without(TcpFlags::FIN | TcpFlags::PSH);
        }
        // The pointer counts from the segment's own sequence number.
        let urgent = u32::from(urgent).saturating_sub(at) as u16;
        Segment { seq, ack, flags, window, urgent, options: self.options, ecn, continues: at > 0, payload }
    }
}

impl TcpHeader {
    /// The header that goes in front of `burst`.
    pub fn of_burst(tuple: &FourTuple, burst: &Burst) -> TcpHeader {
        TcpHeader {
            src_port: tuple.local.port(),
            dst_port: tuple.remote.port(),
            seq: burst.seq,
            ack: burst.ack,
            flags: burst.flags,
            window: burst.window,
            urgent: 0,
        }
    }

    /// Writes the header and `options` to the front of `out`, with a checksum of zero, and returns their
    /// length. The bytes behind them, as far as the longest header would reach, become zero where `out` is that long.
    ///
    /// # Panics
    /// When `out` is shorter than 20 bytes and the options.
    pub fn emit(&self, options: &OptionBytes, out: &mut [u8]) -> usize {
        let header_len = TCP_HEADER_LEN + options.len();
        let raw = Raw {
            src_port: self.src_port.into(),
            dst_port: self.dst_port.into(),
            seq: self.seq.0.into(),
            ack: self.ack.0.into(),
            offset_flags: ((header_len as u16 / 4) << 12 | self.flags.0 & 0x1ff).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: self.urgent.into(),
        };
        out[..TCP_HEADER_LEN].copy_from_slice(raw.as_bytes());
        match out.get_mut(TCP_HEADER_LEN..TCP_HEADER_LEN + OptionBytes::MAX_LEN) {
            // A copy of a length that is known is three instructions, any other a call.
            Some(room) => room.copy_from_slice(options.padded()),
            None => out[TCP_HEADER_LEN..header_len].copy_from_slice(options.as_slice()),
        }
        header_len
    }

    /// Puts `sum` into the checksum field of the emitted header at the start of `header`: the finished
    /// [`checksum`](super::Sum::checksum), or for a device that computes it the
    /// [`folded`](super::Sum::folded) pseudo-header.
    ///
    /// # Panics
    /// When `header` is shorter than 20 bytes.
    pub fn set_checksum(header: &mut [u8], sum: u16) {
        header[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Timestamps;

    fn header() -> TcpHeader {
        TcpHeader {
            src_port: 1000,
            dst_port: 80,
            seq: Seq(u32::MAX),
            ack: Seq(5),
            flags: TcpFlags::SYN | TcpFlags::FIN | TcpFlags::PSH | TcpFlags::ACK,
            window: 65535,
            urgent: 3,
        }
    }

    #[test]
    fn s50_each_defect_has_its_reason() {
        let mut bytes = [0; 40];
        let options = OptionBytes::established(Some(Timestamps { val: 1, ecr: 2 }), []);
        assert_eq!(header().emit(&options, &mut bytes), 32);
        let parsed = parse_tcp(&bytes).unwrap();
        assert_eq!((parsed.header, parsed.header_len), (header(), 32));
        assert_eq!(parsed.options.timestamps, Some(Timestamps { val: 1, ecr: 2 }));
        assert_eq!(parse_tcp(&bytes[..19]), Err(Malformed::TcpTruncated));
        assert_eq!(parse_tcp(&bytes[..31]), Err(Malformed::TcpTruncated));
        bytes[12] = 0x40;
        assert_eq!(parse_tcp(&bytes), Err(Malformed::TcpDataOffset));
    }

    #[test]
    fn pieces_of_a_packet_are_consecutive_segments() {
        let packet = TcpPacket { header: header(), options: TcpOptions::default(), header_len: 20 };
        let first = packet.piece(0, false, 3, ());
        assert_eq!((first.seq, first.flags), (Seq(u32::MAX), TcpFlags::SYN | TcpFlags::ACK));
        let last = packet.piece(10, true, 3, ());
        assert_eq!((last.seq, last.flags), (Seq(10), TcpFlags::FIN | TcpFlags::PSH | TcpFlags::ACK));
        let whole = packet.segment(0, ());
        assert_eq!((whole.seq, whole.flags, whole.ecn), (Seq(u32::MAX), header().flags, 0));
    }
}
