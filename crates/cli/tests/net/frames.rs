//! What `tsonami send --pcap` recorded, read by a parser that is not ours. A burst that the device segments is one frame
//! here, as the device was given it.

use std::path::Path;

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};

/// One TCP frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Nanoseconds since the first frame of the capture.
    pub(crate) at: u64,
    /// It is ours, not the peer's.
    pub(crate) ours: bool,
    pub(crate) syn: bool,
    /// Sequence number of its first byte of payload, from the sender's SYN on.
    pub(crate) seq: u32,
    /// Bytes of payload.
    pub(crate) len: usize,
    pub(crate) options: Vec<TcpOptionElement>,
    /// The same as they are in the frame.
    pub(crate) raw_options: Vec<u8>,
}

/// The TCP frames of a capture, `address` being ours.
pub(crate) fn read(path: &Path, address: [u8; 4]) -> Vec<Frame> {
    let bytes = std::fs::read(path).expect("the capture exists");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(word(0), 0xa1b2_3c4d, "a little-endian capture with nanoseconds");
    let (mut frames, mut at, mut began) = (Vec::new(), 24, None);
    let mut first = [None; 2];
    while at + 16 <= bytes.len() {
        let time = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4));
        let began = *began.get_or_insert(time);
        let len = word(at + 8) as usize;
        let frame = &bytes[at + 16..at + 16 + len];
        at += 16 + len;
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { continue };
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport)
        else {
            continue;
        };
        let ours = ip.header().source() == address;
        let seq = tcp.sequence_number();
        let isn: u32 = *first[usize::from(ours)].get_or_insert(seq);
        frames.push(Frame {
            at: time - began,
            ours,
            syn: tcp.syn(),
            seq: seq.wrapping_sub(isn),
            len: tcp.payload().len(),
            raw_options: tcp.options().to_vec(),
            options: tcp.options_iterator().filter_map(Result::ok).collect(),
        });
    }
    frames
}
