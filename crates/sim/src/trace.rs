//! What happened in a run, over time: for plots.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use tcp::conn::ConnStats;
use tcp::{Nanos, Time};

use crate::packet::{Decoded, Packet, decode};

/// Everything that was written down. Connections have the order of the scenario; the direction of data is that from the
/// side that opened.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// The connections.
    pub flows: Vec<FlowTrace>,
    /// What waited at each host's path: when, frames, bytes. Only changes.
    pub queues: [Vec<(Time, usize, usize)>; 2],
}

/// One connection.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FlowTrace {
    /// What the sender knew and decided; only changes.
    pub samples: Vec<Sample>,
    /// Segments that left the sender's NIC.
    pub segments: Vec<SegmentTrace>,
    /// Acknowledgements that reached it, as offsets of the stream.
    pub acks: Vec<(Time, u64)>,
    isn: u32,
    /// The end of what was sent.
    sent: u64,
}

/// A sender's view at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow start threshold, bytes; `u64::MAX` while unknown.
    pub ssthresh: u64,
    /// Smoothed round-trip time.
    pub srtt: Option<Nanos>,
    /// Bytes sent and not acknowledged.
    pub flight: u64,
}

/// A segment with payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SegmentTrace {
    /// When its first bit left.
    pub at: Time,
    /// The offset of its first byte in the stream.
    pub start: u64,
    /// The offset behind its last.
    pub end: u64,
    /// All its bytes had been sent before.
    pub again: bool,
}

/// Writes a [`Trace`].
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    trace: Trace,
    /// Connections by the addresses of their data.
    known: HashMap<(SocketAddrV4, SocketAddrV4), usize>,
}

impl Recorder {
    pub(crate) fn new(flows: usize) -> Recorder {
        let trace = Trace { flows: vec![FlowTrace::default(); flows], ..Trace::default() };
        Recorder { trace, known: HashMap::new() }
    }

    pub(crate) fn into_trace(self) -> Trace {
        self.trace
    }

    pub(crate) fn opened(&mut self, flow: usize, path: (SocketAddrV4, SocketAddrV4)) {
        self.known.insert(path, flow);
    }

    pub(crate) fn queue(&mut self, host: usize, at: Time, (frames, bytes): (usize, usize)) {
        let queue = &mut self.trace.queues[host];
        if queue.last().is_none_or(|last| (last.1, last.2) != (frames, bytes)) {
            queue.push((at, frames, bytes));
        }
    }

    pub(crate) fn stats(&mut self, flow: usize, at: Time, stats: &ConnStats) {
        let flight = self.trace.flows[flow].sent.saturating_sub(stats.bytes_acked);
        let sample = Sample { at, cwnd: stats.cwnd, ssthresh: stats.ssthresh, srtt: stats.srtt, flight };
        let samples = &mut self.trace.flows[flow].samples;
        if samples.last().is_none_or(|last| Sample { at, ..*last } != sample) {
            samples.push(sample);
        }
    }

    /// A frame leaves a NIC.
    pub(crate) fn leaves(&mut self, at: Time, frame: &[u8]) {
        let Decoded::Tcp(p) = decode(frame) else { return };
        let Some(flow) = self.flow(p.src, p.dst) else { return };
        if p.syn {
            flow.isn = p.seq;
        }
        if p.payload.is_empty() {
            return;
        }
        let start = flow.offset(p.seq);
        let end = start + p.payload.len() as u64;
        flow.segments.push(SegmentTrace { at, start, end, again: end <= flow.sent });
        flow.sent = flow.sent.max(end);
    }

    /// A frame reaches a NIC.
    pub(crate) fn reaches(&mut self, at: Time, frame: &[u8]) {
        let Decoded::Tcp(Packet { src, dst, ack: Some(ack), .. }) = decode(frame) else { return };
        let Some(flow) = self.flow(dst, src) else { return };
        let ack = flow.offset(ack).min(flow.sent);
        if flow.acks.last().is_none_or(|last| last.1 < ack) {
            flow.acks.push((at, ack));
        }
    }

    fn flow(&mut self, src: SocketAddrV4, dst: SocketAddrV4) -> Option<&mut FlowTrace> {
        self.known.get(&(src, dst)).map(|&flow| &mut self.trace.flows[flow])
    }
}

impl FlowTrace {
    /// The offset of a sequence number, which is near the end of what was sent.
    fn offset(&self, seq: u32) -> u64 {
        let end = self.isn.wrapping_add(1).wrapping_add(self.sent as u32);
        self.sent.saturating_add_signed(i64::from(seq.wrapping_sub(end) as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_outlive_the_wrap_of_sequence_numbers() {
        let mut flow = FlowTrace { isn: u32::MAX - 10, ..FlowTrace::default() };
        assert_eq!(flow.offset(u32::MAX - 9), 0);
        assert_eq!(flow.offset(5), 15);
        flow.sent = 5 << 32;
        assert_eq!(flow.offset(flow.isn.wrapping_add(1)), 5 << 32);
        assert_eq!(flow.offset(flow.isn.wrapping_sub(999)), (5 << 32) - 1_000);
    }
}
