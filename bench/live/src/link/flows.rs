//! What TCP does, seen from the link: the same judge for every sender.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use serde::{Deserialize, Serialize};
use tcp::Time;

/// Acknowledged bytes are noted this often, from the first data segment on, ns.
const INTERVAL: u64 = 100_000_000;

type Ends = (SocketAddrV4, SocketAddrV4);

/// All connections whose data goes one way.
#[derive(Default)]
pub(crate) struct Flows(HashMap<Ends, Flow>);

/// One connection. Sequence numbers are counted from the SYN's, in 64 bits.
struct Flow {
    /// When data was sent first.
    first: Option<Time>,
    isn: u32,
    /// The highest sequence number sent, and the highest acknowledged.
    sent: u64,
    acked: u64,
    last_ack: Option<Time>,
    segments: u64,
    retransmitted_segments: u64,
    retransmitted_bytes: u64,
    acked_by_interval: Vec<u64>,
}

/// What one connection did before the link could lose anything of it.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct FlowReport {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    /// The first data segment and the last acknowledgement of data, since the link came up.
    pub(crate) first_data_ns: u64,
    pub(crate) last_ack_ns: u64,
    pub(crate) acked_bytes: u64,
    pub(crate) segments: u64,
    pub(crate) retransmitted_segments: u64,
    pub(crate) retransmitted_bytes: u64,
    /// Acknowledged bytes at the end of each tenth of a second since the first data segment.
    pub(crate) acked_each_100ms: Vec<u64>,
}

impl Flows {
    /// A frame on its way to the receiver, as the sender made it. True for the first data of a connection.
    pub(crate) fn on_data(&mut self, at: Time, frame: &[u8]) -> bool {
        let Some(segment) = Segment::of(frame) else { return false };
        if segment.syn {
            self.0.entry(segment.ends).or_insert_with(|| Flow::new(segment.seq));
        }
        let Some(flow) = self.0.get_mut(&segment.ends).filter(|_| segment.len > 0) else { return false };
        let begins = flow.first.is_none();
        flow.first.get_or_insert(at);
        flow.segments += 1;
        let begin = flow.absolute(segment.seq, flow.sent);
        let end = begin + segment.len;
        let again = flow.sent.min(end).saturating_sub(begin);
        flow.retransmitted_bytes += again;
        flow.retransmitted_segments += u64::from(again > 0);
        flow.sent = flow.sent.max(end);
        begins
    }

    /// A frame from the receiver as the sender will get it.
    pub(crate) fn on_ack(&mut self, at: Time, frame: &[u8]) {
        let Some(segment) = Segment::of(frame) else { return };
        let (Some(ack), (to, from)) = (segment.ack, segment.ends) else { return };
        let Some(flow) = self.0.get_mut(&(from, to)) else { return };
        // A FIN is acknowledged as a byte that nobody sent.
        let acked = flow.absolute(ack, flow.acked).min(flow.sent);
        if let (true, Some(first)) = (acked > flow.acked, flow.first) {
            let interval = (at.since(first).as_nanos() / INTERVAL) as usize;
            let so_far = flow.acked;
            flow.acked_by_interval.resize(interval.max(flow.acked_by_interval.len()), so_far);
            flow.acked = acked;
            flow.last_ack = Some(at);
        }
    }

    pub(crate) fn report(&self) -> Vec<FlowReport> {
        let mut all: Vec<_> = self.0.iter().map(|(ends, flow)| flow.report(*ends)).collect();
        all.sort_by_key(|flow| flow.first_data_ns);
        all
    }
}

impl Flow {
    fn new(isn: u32) -> Flow {
        Flow {
            first: None,
            isn,
            sent: 0,
            acked: 0,
            last_ack: None,
            segments: 0,
            retransmitted_segments: 0,
            retransmitted_bytes: 0,
            acked_by_interval: Vec::new(),
        }
    }

    /// The stream's offset that a sequence number means, when `near` is not further away than half of all numbers.
    fn absolute(&self, seq: u32, near: u64) -> u64 {
        let offset = seq.wrapping_sub(self.isn).wrapping_sub(1);
        let distance = offset.wrapping_sub(near as u32) as i32;
        near.saturating_add_signed(i64::from(distance))
    }

    fn report(&self, (from, to): Ends) -> FlowReport {
        let mut acked_each_100ms = self.acked_by_interval.clone();
        acked_each_100ms.push(self.acked);
        FlowReport {
            from,
            to,
            first_data_ns: self.first.map_or(0, Time::as_nanos),
            last_ack_ns: self.last_ack.map_or(0, Time::as_nanos),
            acked_bytes: self.acked,
            segments: self.segments,
            retransmitted_segments: self.retransmitted_segments,
            retransmitted_bytes: self.retransmitted_bytes,
            acked_each_100ms,
        }
    }
}

struct Segment {
    ends: Ends,
    seq: u32,
    ack: Option<u32>,
    syn: bool,
    len: u64,
}

impl Segment {
    fn of(frame: &[u8]) -> Option<Segment> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport)
        else {
            return None;
        };
        let header = ip.header();
        Some(Segment {
            ends: (
                SocketAddrV4::new(header.source_addr(), tcp.source_port()),
                SocketAddrV4::new(header.destination_addr(), tcp.destination_port()),
            ),
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            syn: tcp.syn(),
            len: tcp.payload().len() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const ISN: u32 = u32::MAX - 1000;

    fn frame(from: u8, seq: u32, ack: Option<u32>, syn: bool, len: usize) -> Vec<u8> {
        let (a, b) = (from, 3 - from);
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, a], [10, 0, 0, b], 64).tcp(
            u16::from(a),
            u16::from(b),
            seq,
            1000,
        );
        let builder = if syn { builder.syn() } else { builder };
        let builder = if let Some(ack) = ack { builder.ack(ack) } else { builder };
        let mut frame = Vec::new();
        builder.write(&mut frame, &vec![0; len]).expect("a vector takes everything");
        frame
    }

    fn ms(n: u64) -> Time {
        Time::from_nanos(n * 1_000_000)
    }

    #[test]
    fn what_is_sent_below_the_highest_is_a_retransmission_to_the_byte_across_the_wrap() {
        let mut flows = Flows::default();
        flows.on_data(ms(0), &frame(1, ISN, None, true, 0));
        let start = ISN.wrapping_add(1);
        for (offset, len) in [(0, 700), (700, 700), (0, 700), (1000, 800)] {
            flows.on_data(ms(1), &frame(1, start.wrapping_add(offset), Some(1), false, len));
        }
        let all = flows.report();
        let flow = &all[0];
        assert_eq!((flow.segments, flow.retransmitted_segments, flow.retransmitted_bytes), (4, 2, 700 + 400));
    }

    #[test]
    fn acknowledged_bytes_are_noted_in_time_and_a_fin_is_none() {
        let mut flows = Flows::default();
        flows.on_data(ms(0), &frame(1, ISN, None, true, 0));
        let start = ISN.wrapping_add(1);
        flows.on_data(ms(1), &frame(1, start, Some(1), false, 1400));
        flows.on_ack(ms(10), &frame(2, 1, Some(start.wrapping_add(600)), false, 0));
        flows.on_ack(ms(20), &frame(2, 1, Some(start.wrapping_add(500)), false, 0));
        flows.on_ack(ms(250), &frame(2, 1, Some(start.wrapping_add(1401)), false, 0));
        let all = flows.report();
        assert_eq!(all[0].acked_bytes, 1400);
        assert_eq!(all[0].last_ack_ns, 250_000_000);
        assert_eq!(all[0].acked_each_100ms, [600, 600, 1400], "from 1 ms on");
    }

    #[test]
    fn what_did_not_begin_here_is_not_counted() {
        let mut flows = Flows::default();
        flows.on_data(ms(0), &frame(1, 5, Some(1), false, 100));
        flows.on_ack(ms(0), &frame(2, 5, Some(105), false, 0));
        assert!(flows.report().is_empty());
    }
}
