//! The path of a scripted peer that acknowledges by itself: a bottleneck with a queue that never ends, then the way there and
//! back. What passes is written down.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The way is so much shorter for the SYNs and the first rounds: so the shortest round trip is found then, whatever happens later.
pub(crate) const FASTER_AT_FIRST: Duration = Duration::from_millis(10);

/// How many rounds.
const FIRST: u32 = 2;

/// A segment that came to the bottleneck, or an ACK that went to the sender.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sample {
    /// Since the first segment.
    pub(crate) at: Duration,
    /// Bytes that came until then.
    pub(crate) sent: u64,
    /// Bytes that were acknowledged until then.
    pub(crate) acked: u64,
}

#[derive(Debug)]
pub(crate) struct Link {
    bytes_per_second: u64,
    round_trip: Duration,
    began: Option<Instant>,
    /// When the bottleneck will have passed on what came.
    free: Instant,
    /// ACKs that are under way, and when they arrive.
    acks: VecDeque<(Instant, u32)>,
    first: u32,
    flow: Vec<Sample>,
}

impl Link {
    pub(crate) fn new(bytes_per_second: u64, round_trip: Duration) -> Link {
        let free = Instant::now();
        let (acks, flow) = (VecDeque::new(), Vec::new());
        Link { bytes_per_second, round_trip, began: None, free, acks, first: 0, flow }
    }

    /// A segment of `len` bytes comes to the bottleneck, and ends at `end` in the stream.
    pub(crate) fn on_segment(&mut self, len: u32, end: u32) {
        let now = Instant::now();
        if self.began.is_none() {
            (self.began, self.first) = (Some(now), end.wrapping_sub(len));
        }
        let takes = Duration::from_secs_f64(f64::from(len) / self.bytes_per_second as f64);
        self.free = self.free.max(now) + takes;
        let first = self.began.is_some_and(|began| now < began + self.round_trip * FIRST);
        let round_trip = self.round_trip - if first { FASTER_AT_FIRST } else { Duration::ZERO };
        self.acks.push_back((self.free + round_trip, end));
        let last = self.flow.last();
        let (sent, acked) = last.map_or((0, 0), |last| (last.sent, last.acked));
        self.note(now, sent.max(u64::from(end.wrapping_sub(self.first))), acked);
    }

    /// The next ACK, when it has arrived.
    pub(crate) fn due(&mut self) -> Option<u32> {
        let now = Instant::now();
        let &(_, end) = self.acks.front().filter(|(at, _)| *at <= now)?;
        self.acks.pop_front();
        let &last = self.flow.last()?;
        self.note(now, last.sent, last.acked.max(u64::from(end.wrapping_sub(self.first))));
        Some(end)
    }

    pub(crate) fn flow(&self) -> &[Sample] {
        &self.flow
    }

    fn note(&mut self, now: Instant, sent: u64, acked: u64) {
        let began = self.began.unwrap_or(now);
        self.flow.push(Sample { at: now - began, sent, acked });
    }
}
