//! When the last byte of a send had its turn, when it was handed to the device, and when the peer acknowledged it: for sends
//! that ask (`S1`, `S33`). Keyed by stream offset, since nothing else of a send outlives being queued.

use std::collections::VecDeque;

use crate::{Offset, SendTime, SendTimeKind, Time};

/// Sends of one connection that wait for a time, at most. Who asks for more loses the newest, counted.
const MAX_WAITING: usize = 64;

/// Times that wait to be polled, at most.
const MAX_TOLD: usize = KINDS * MAX_WAITING;

/// Times of a send.
const KINDS: usize = 3;

#[derive(Copy, Clone, Debug)]
struct Waiting {
    /// Offset behind the last byte of the send.
    end: Offset,
    /// Its first time was told.
    scheduled: bool,
    /// Its second time was told.
    sent: bool,
}

/// The sends that asked, oldest first. Allocates nothing until the first one does.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendTimes {
    waiting: VecDeque<Waiting>,
    told: VecDeque<SendTime>,
    lost: u64,
}

impl SendTimes {
    /// A send that ends before `end` asks for its times.
    pub(crate) fn ask(&mut self, end: Offset) {
        match self.waiting.len() < MAX_WAITING {
            true => self.waiting.push_back(Waiting { end, scheduled: false, sent: false }),
            false => self.lost += KINDS as u64,
        }
    }

    /// A burst was made of what ends at `end`: it leaves when the device takes it.
    #[inline]
    pub(crate) fn schedule(&mut self, end: Offset, now: Time) {
        if !self.waiting.is_empty() {
            self.tell_scheduled(end, now);
        }
    }

    #[cold]
    fn tell_scheduled(&mut self, end: Offset, now: Time) {
        let SendTimes { waiting, told, lost } = self;
        for w in waiting.iter_mut().take_while(|w| w.end <= end).filter(|w| !w.scheduled) {
            w.scheduled = true;
            match told.len() < MAX_TOLD {
                true => told.push_back(SendTime { end: w.end, kind: SendTimeKind::Scheduled, at: now }),
                false => *lost += 1,
            }
        }
    }

    /// Everything before `nxt` left, at the latest now, and everything before `una` is acknowledged.
    #[inline]
    pub(crate) fn advance(&mut self, nxt: Offset, una: Offset, now: Time) {
        if !self.waiting.is_empty() {
            self.tell(nxt, una, now);
        }
    }

    #[cold]
    fn tell(&mut self, nxt: Offset, una: Offset, now: Time) {
        // A send may learn of its end when all of it has left.
        self.tell_scheduled(nxt, now);
        let SendTimes { waiting, told, lost } = self;
        let mut push = |end, kind| match told.len() < MAX_TOLD {
            true => told.push_back(SendTime { end, kind, at: now }),
            false => *lost += 1,
        };
        for w in waiting.iter_mut().take_while(|w| w.end <= nxt).filter(|w| !w.sent) {
            w.sent = true;
            push(w.end, SendTimeKind::Sent);
        }
        while let Some(w) = waiting.front().filter(|w| w.end <= una) {
            push(w.end, SendTimeKind::Acked);
            waiting.pop_front();
        }
    }

    /// The next time to tell, in the order in which they came to be.
    pub(crate) fn pop(&mut self) -> Option<SendTime> {
        self.told.pop_front()
    }

    /// Times that were asked for and are not told, because more were asked for than there is room for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_memory_for_times_is_bounded_and_what_is_lost_is_counted() {
        let mut times = SendTimes::default();
        for i in 1..=1_000 {
            times.ask(Offset(i));
        }
        times.advance(Offset(1_000), Offset(1_000), Time::from_nanos(9));
        let told: Vec<_> = std::iter::from_fn(|| times.pop()).collect();
        assert_eq!(told.len(), MAX_TOLD);
        assert_eq!((told[0].end, told[0].kind), (Offset(1), SendTimeKind::Scheduled));
        assert_eq!((told[64].end, told[64].kind), (Offset(1), SendTimeKind::Sent));
        assert_eq!(told.last().map(|t| (t.end, t.kind)), Some((Offset(64), SendTimeKind::Acked)));
        assert_eq!(times.lost(), 3 * 936);
        // Nobody polls: what is told already stays, the rest is counted.
        for i in 0..3 {
            for j in 1..=64 {
                times.ask(Offset(1_000 + i * 64 + j));
            }
            times.advance(Offset(9_999), Offset(9_999), Time::from_nanos(10));
        }
        assert_eq!(times.lost(), 3 * 936 + 3 * 128);
    }
}
