//! A TCP segment on the wire as an independent decoder (etherparse) reads it.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    NetSlice, SlicedPacket, TcpOptionElement, TcpOptionReadError, TcpOptionsIterator, TransportSlice,
};

/// What a segment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Where it comes from.
    pub src: SocketAddrV4,
    /// Where it goes.
    pub dst: SocketAddrV4,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, when there is one.
    pub ack: Option<u32>,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// PSH.
    pub psh: bool,
    /// The ECN field of the IP header.
    pub ecn: u8,
    /// ECE.
    pub ece: bool,
    /// CWR.
    pub cwr: bool,
    /// AE.
    pub ae: bool,
    /// The window field.
    pub window: u16,
    /// Bytes of IP packet.
    pub ip_len: usize,
    /// Bytes of options.
    pub options_len: usize,
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps: value, echo.
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks.
    pub sack: Vec<(u32, u32)>,
    /// Payload.
    pub payload: &'a [u8],
}

/// What a frame is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decoded<'a> {
    /// A TCP segment.
    Tcp(Packet<'a>),
    /// Anything else that decodes.
    Other,
    /// Not what a sender may put on the wire, and why.
    Malformed(String),
}

/// Decodes a frame and verifies every checksum in it.
pub fn decode(frame: &[u8]) -> Decoded<'_> {
    let sliced = match SlicedPacket::from_ethernet(frame) {
        Ok(sliced) => sliced,
        Err(error) => return Decoded::Malformed(error.to_string()),
    };
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else { return Decoded::Other };
    let header = ip.header();
    if header.to_header().calc_header_checksum() != header.header_checksum() {
        return Decoded::Malformed(format!("IPv4 checksum {:#06x}", header.header_checksum()));
    }
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { return Decoded::Other };
    if !header.dont_fragment() || ip.is_payload_fragmented() {
        return Decoded::Malformed("DF clear, or a fragment".into());
    }
    match tcp.calc_checksum_ipv4(header.source(), header.destination()) {
        Ok(right) if right == tcp.checksum() => {}
        Ok(right) => {
            return Decoded::Malformed(format!("TCP checksum {:#06x}, right {right:#06x}", tcp.checksum()));
        }
        Err(error) => return Decoded::Malformed(error.to_string()),
    }
    let mut packet = Packet {
        src: SocketAddrV4::new(Ipv4Addr::from(header.source()), tcp.source_port()),
        dst: SocketAddrV4::new(Ipv4Addr::from(header.destination()), tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then_some(tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        psh: tcp.psh(),
        ecn: header.ecn().value(),
        ece: tcp.ece(),
        cwr: tcp.cwr(),
        ae: tcp.ns(),
        window: tcp.window_size(),
        ip_len: usize::from(header.total_len()),
        options_len: tcp.options().len(),
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: Vec::new(),
        payload: tcp.payload(),
    };
    let mut rest = tcp.options();
    while let Some((option, behind)) = split(rest) {
        rest = behind;
        match option {
            Ok(TcpOptionElement::MaximumSegmentSize(mss)) => packet.mss = Some(mss),
            Ok(TcpOptionElement::WindowScale(shift)) => packet.window_scale = Some(shift),
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => packet.sack_permitted = true,
            Ok(TcpOptionElement::Timestamp(val, ecr)) => packet.timestamps = Some((val, ecr)),
            Ok(TcpOptionElement::SelectiveAcknowledgement(first, more)) => {
                packet.sack.push(first);
                packet.sack.extend(more.iter().flatten());
            }
            Ok(TcpOptionElement::Noop) => {}
            // The decoder does not know it: four bytes, and neither zero seconds nor zero minutes (RFC 5482 §3.5).
            Err(TcpOptionReadError::UnknownId(28)) => {
                match &tcp.options()[..tcp.options().len() - rest.len()] {
                    [.., 28, 4, a, b] if (a & 0x7f, *b) != (0, 0) => {}
                    _ => return Decoded::Malformed("a user timeout that means nothing".into()),
                }
            }
            // Accurate ECN: whole fields of three bytes (RFC 9768 §3.2.3).
            Err(TcpOptionReadError::UnknownId(172 | 174)) if !packet.syn => {}
            Err(error) => return Decoded::Malformed(error.to_string()),
        }
    }
    Decoded::Tcp(packet)
}

/// The first of these options, and those behind it.
fn split(options: &[u8]) -> Option<(Result<TcpOptionElement, TcpOptionReadError>, &[u8])> {
    let len = match options {
        [] | [0, ..] => return None,
        [1, ..] => 1,
        // A length that cannot be is the decoder's to refuse.
        [_, len, ..] => usize::from(*len).clamp(2, options.len()),
        [_] => 1,
    };
    let (first, rest) = options.split_at(len);
    TcpOptionsIterator::from_slice(first).next().map(|option| (option, rest))
}
