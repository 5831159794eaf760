//! When the last byte of a send had its turn, when it was handed to the device, when that sent it, and when the peer
//! acknowledged it: for sends that ask (`S1`, `S33`). Keyed by stream offset, since nothing else of a send outlives being queued.

use std::collections::VecDeque;

use super::Connection;
use crate::{Burst, BurstKind, DeviceTime, Offset, Payload, SendTime, SendTimeKind, Time};

/// Sends of one connection that wait for a time, at most. Who asks for more loses the newest, counted.
const MAX_WAITING: usize = 64;

/// Times that wait to be polled, at most: these, and the device's.
const MAX_TOLD: usize = (KINDS + 1) * MAX_WAITING;

/// Times of a send that are ours to tell.
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
    /// Ends of sends whose frame the device was asked to time.
    timed: Vec<Offset>,
    untimed: u64,
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
        let SendTimes { waiting, told, lost, .. } = self;
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
        let SendTimes { waiting, told, lost, .. } = self;
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

    /// Where sends that asked end, behind `start` and not behind `end`.
    fn ends(&self, start: Offset, end: Offset) -> impl Iterator<Item = Offset> + '_ {
        self.waiting.iter().map(|w| w.end).filter(move |&at| at > start && at <= end)
    }

    /// Whether a send that asked ends there, so that the device's time is wanted of what leaves.
    pub(crate) fn wants_device(&self, start: Offset, end: Offset) -> bool {
        self.ends(start, end).next().is_some()
    }

    /// What lies there left for the first time; whether the device tells when.
    pub(crate) fn asked_device(&mut self, start: Offset, end: Offset, asked: bool) {
        match asked {
            true => {
                let ends = self.ends(start, end).collect::<Vec<_>>();
                self.timed.extend(ends);
            }
            false => self.untimed += self.ends(start, end).count() as u64,
        }
    }

    /// The device told of what it was asked for, or will not.
    pub(crate) fn device(&mut self, time: Option<DeviceTime>) {
        let SendTimes { timed, told, lost, untimed, .. } = self;
        for end in timed.drain(..) {
            match time {
                None => *untimed += 1,
                Some(_) if told.len() >= MAX_TOLD => *lost += 1,
                Some(DeviceTime { at, clock }) => {
                    told.push_back(SendTime { end, kind: SendTimeKind::Device { clock }, at });
                }
            }
        }
    }

    /// Sends that asked, of which the device did not tell.
    pub(crate) fn untimed(&self) -> u64 {
        self.untimed
    }

    /// No send waits for a time, and none waits to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.told.is_empty() && self.timed.is_empty()
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

impl<P: Payload> Connection<P> {
    /// Whether the device's time of this burst is wanted: a send that asked for times ends in it (`S33`).
    pub fn wants_device_time(&self, burst: &Burst) -> bool {
        burst.kind == BurstKind::New && self.send_times.wants_device(burst.offset, end(burst))
    }

    /// What [`on_sent`](Connection::on_sent) was just told of left with its last frame timed by the device, or not. In the first case
    /// [`on_device_time`](Connection::on_device_time) follows, before this is called again.
    pub fn on_sent_timed(&mut self, burst: &Burst, timed: bool) {
        if burst.kind == BurstKind::New {
            self.send_times.asked_device(burst.offset, end(burst), timed);
        }
    }

    /// The device's time of the burst that was last said to be timed; `None` when it tells none.
    pub fn on_device_time(&mut self, time: Option<DeviceTime>) {
        self.send_times.device(time);
    }
}

/// The offset behind a burst.
fn end(burst: &Burst) -> Offset {
    burst.offset + u64::from(burst.len)
}

folds! { struct SendTimes { lost, untimed } empty { waiting, told, timed } }

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
        assert_eq!(told.len(), KINDS * MAX_WAITING);
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
        assert_eq!(
            times.lost(),
            3 * 936 + 3 * 128 - 64,
            "what the device might have told leaves a little room"
        );
    }

    #[test]
    fn s33_the_device_tells_of_what_it_was_asked_for_and_what_it_was_not_is_counted() {
        let mut times = SendTimes::default();
        (1..=4).for_each(|i| times.ask(Offset(i * 10)));
        assert!(times.wants_device(Offset(0), Offset(10)) && times.wants_device(Offset(19), Offset(35)));
        assert!(!times.wants_device(Offset(10), Offset(19)), "a send that ended where this begins");
        let now = Time::from_nanos(5);
        times.advance(Offset(40), Offset(0), now);
        times.asked_device(Offset(0), Offset(20), true);
        times.asked_device(Offset(20), Offset(30), false);
        assert_eq!(times.untimed(), 1);
        // The ACK may be told first.
        times.advance(Offset(40), Offset(40), now);
        std::iter::from_fn(|| times.pop()).for_each(drop);
        times.device(Some(DeviceTime { at: Time::from_nanos(3), clock: 77 }));
        let kind = SendTimeKind::Device { clock: 77 };
        let told: Vec<_> = std::iter::from_fn(|| times.pop()).collect();
        let at = Time::from_nanos(3);
        assert_eq!(told, [10, 20].map(|end| SendTime { end: Offset(end), kind, at }));
        times.device(Some(DeviceTime { at, clock: 78 }));
        assert_eq!(times.pop(), None, "each is told once");
        times.ask(Offset(50));
        times.asked_device(Offset(40), Offset(50), true);
        times.device(None);
        assert_eq!((times.pop(), times.untimed()), (None, 2));
    }
}
