//! One direction of a network path: a bottleneck with a queue, and everything that can happen to a frame before and behind
//! it.
//!
//! A [`Link`] is a value: frames are [offered](Link::offer) at a time, and [taken](Link::take) when that has come at
//! which they leave; in between [`Link::next`] says when to look again. It knows no clock and no hosts, so the simulator
//! and a process between two real interfaces use it alike.
//!
//! ```
//! use sim::{Link, LinkConfig, Rng};
//! use tcp::{Nanos, Time};
//!
//! let cfg = LinkConfig { rate: 1_000_000_000, delay: Nanos::from_millis(5), ..LinkConfig::default() };
//! let mut link = Link::new(cfg, Rng::new(1));
//! link.offer(Time::ZERO, vec![0; 1_226]);
//! let at = Time::from_nanos(5_010_000);
//! assert_eq!(link.next(), Some(at));
//! assert!(link.take(Time::from_nanos(5_009_999)).is_none());
//! let delivery = link.take(at).expect("it has arrived");
//! assert_eq!((delivery.at, delivery.back, delivery.frame.len()), (at, false, 1_226));
//! ```

mod cross;
pub(crate) mod frame;
mod loss;
mod queue;
mod reorder;
mod route;
mod thinning;

use std::collections::BTreeMap;

use tcp::{Nanos, Time};

use crate::rng::Rng;
use crate::world::earliest;
use cross::Cross;
use loss::Losses;
use queue::{Queue, Queued};
use reorder::{Held, IN_ORDER};

pub use cross::CrossTraffic;
pub use loss::{GilbertElliott, Loss};
pub use queue::{CodelConfig, Discipline, FqCodelConfig, QueueConfig, RedConfig};
pub use reorder::{FallBack, Reorder};
pub use route::RouteChange;
pub use thinning::Thinning;

/// How a path treats frames. The default is a perfect gigabit path of no length.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkConfig {
    /// Bits per second of the bottleneck.
    pub rate: u64,
    /// Time from the bottleneck to the other end.
    pub delay: Nanos,
    /// Up to this much is added to the delay of each frame, drawn evenly; the order is kept.
    pub jitter: Nanos,
    /// What waits for the bottleneck.
    pub queue: QueueConfig,
    /// What is lost behind the bottleneck.
    pub loss: Loss,
    /// What is overtaken.
    pub reorder: Reorder,
    /// Probability that a frame arrives twice.
    pub duplicate: f64,
    /// How much later the second arrives, at most; drawn evenly.
    pub duplicate_within: Nanos,
    /// Probability that one bit of a frame is flipped.
    pub corrupt: f64,
    /// Nothing passes from the first time to the second.
    pub outage: Option<(Time, Time)>,
    /// Bytes of the largest IP packet that passes.
    pub mtu: u16,
    /// The sender of a packet that is too big is told (RFC 1191). False: a black hole (RFC 2923 §2.1).
    pub icmp: bool,
    /// ACKs that are thrown away for later ones.
    pub thinning: Thinning,
    /// Others that use the bottleneck.
    pub cross: Option<CrossTraffic>,
    /// How the path changes, in the order of time.
    pub changes: Vec<RouteChange>,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            rate: 1_000_000_000,
            delay: Nanos::ZERO,
            jitter: Nanos::ZERO,
            queue: QueueConfig::frames(10_000),
            loss: Loss::None,
            reorder: IN_ORDER,
            duplicate: 0.0,
            duplicate_within: Nanos::ZERO,
            corrupt: 0.0,
            outage: None,
            mtu: u16::MAX,
            icmp: true,
            thinning: Thinning::None,
            cross: None,
            changes: Vec::new(),
        }
    }
}

/// What a path did to frames. Those of cross traffic are not counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkCounts {
    /// Frames that entered.
    pub frames: u64,
    /// Frames that the bottleneck sent.
    pub sent: u64,
    /// Lost by chance or in an outage.
    pub lost: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// Dropped by the queue's discipline before it was full.
    pub early: u64,
    /// Marked with CE by it.
    pub marked: u64,
    /// ACKs thrown away for later ones.
    pub thinned: u64,
    /// Dropped because the packet exceeded the path's MTU.
    pub too_big: u64,
    /// Overtaken.
    pub reordered: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered with a bit flipped.
    pub corrupted: u64,
    /// The time all that were sent have waited, together.
    pub waited: Nanos,
    /// The longest that one waited.
    pub longest_wait: Nanos,
}

/// What comes out of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// When.
    pub at: Time,
    /// At the near end, where frames are offered: an ICMP error from within the path.
    pub back: bool,
    /// The frame.
    pub frame: Vec<u8>,
}

/// One direction of a path, in motion.
#[derive(Debug)]
pub struct Link {
    cfg: LinkConfig,
    rng: Rng,
    /// Makes flows hash differently in each run.
    salt: u64,
    now: Time,
    queue: Box<dyn Queue>,
    /// What the bottleneck sends, and until when.
    sending: Option<(Time, Queued)>,
    /// Frames in the queue or being sent that are not cross traffic.
    real: usize,
    losses: Losses,
    cross: Option<Cross>,
    /// Changes of the route made so far.
    changed: usize,
    /// Frames behind the bottleneck by the time at which they arrive; the number keeps equal times apart.
    flying: BTreeMap<(Time, u64), Delivery>,
    numbered: u64,
    held: Held,
    last_arrival: Time,
    counts: LinkCounts,
}

impl Link {
    /// An idle path.
    pub fn new(cfg: LinkConfig, mut rng: Rng) -> Link {
        Link {
            salt: rng.next(),
            now: Time::ZERO,
            queue: queue::queue(&cfg.queue, rng.fork()),
            sending: None,
            real: 0,
            losses: Losses::new(cfg.loss),
            cross: cfg.cross.map(|cross| Cross::new(cross, rng.fork())),
            changed: 0,
            flying: BTreeMap::new(),
            numbered: 0,
            held: Held::default(),
            last_arrival: Time::ZERO,
            counts: LinkCounts::default(),
            cfg,
            rng,
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    /// Frames and bytes that wait for the bottleneck, cross traffic included, when it was last looked at.
    pub fn backlog(&self) -> (usize, usize) {
        (self.queue.frames(), self.queue.bytes())
    }

    /// Takes a frame at `now`, which never goes back.
    pub fn offer(&mut self, now: Time, frame: Vec<u8>) {
        self.advance(now);
        let now = self.now;
        self.counts.frames += 1;
        if frame::ip_len(&frame).is_some_and(|length| length > usize::from(self.cfg.mtu)) {
            self.counts.too_big += 1;
            if let Some(error) = self.cfg.icmp.then(|| frame::too_big(&frame, self.cfg.mtu)).flatten() {
                // The narrow hop is half-way.
                self.fly(now + self.cfg.delay, true, error);
            }
            return;
        }
        let item = Queued { len: frame.len(), flow: frame::flow(&frame, self.salt), frame, since: now };
        if self.cfg.thinning == Thinning::Filter {
            self.counts.thinned += thinning::filter(&mut *self.queue, &item);
        }
        self.queue.enqueue(now, item, &mut self.counts);
        self.count_real();
        self.send(now);
    }

    /// When something may come out next: not before. `None` while nothing is under way.
    pub fn next(&self) -> Option<Time> {
        let flying = self.flying.first_key_value().map(|((at, _), _)| *at);
        let sending = self.sending.as_ref().filter(|_| self.real > 0);
        // Whatever is being sent, nothing that waits arrives before it could.
        let arrival = sending.map(|(until, _)| *until + self.cfg.delay);
        let change = sending.and(self.cfg.changes.get(self.changed)).map(|change| change.at);
        let waiting = arrival.map(|arrival| change.map_or(arrival, |change| arrival.min(change)));
        earliest([flying, waiting, self.held.next()])
    }

    /// Takes what has come out by `now`, the earliest first.
    pub fn take(&mut self, now: Time) -> Option<Delivery> {
        self.advance(now);
        for (at, frame) in self.held.expired(self.now) {
            self.fly(at, false, frame);
        }
        let first = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Everything that happens at the bottleneck up to `now`, in its order.
    fn advance(&mut self, now: Time) {
        if let Some(cross) = self.cross.as_mut().filter(|_| self.real == 0) {
            cross.skip(now);
        }
        loop {
            let change = self.cfg.changes.get(self.changed).map_or(Time::MAX, |change| change.at);
            let sent = self.sending.as_ref().map_or(Time::MAX, |(until, _)| *until);
            let cross = self.cross.as_ref().map_or(Time::MAX, Cross::next);
            let first = change.min(sent).min(cross);
            if first > now || first == Time::MAX {
                break;
            }
            if first == change {
                self.change();
            } else if first == sent {
                if let Some((_, item)) = self.sending.take() {
                    self.leave(first, item);
                }
                self.send(first);
            } else if let Some(len) = self.cross.as_mut().map(Cross::take) {
                let item = Queued { frame: Vec::new(), len, flow: self.salt, since: first };
                self.queue.enqueue(first, item, &mut self.counts);
                self.send(first);
            }
        }
        self.now = self.now.max(now);
    }

    fn change(&mut self) {
        let Some(change) = self.cfg.changes.get(self.changed) else { return };
        self.changed += 1;
        self.cfg.rate = change.rate.unwrap_or(self.cfg.rate);
        self.cfg.mtu = change.mtu.unwrap_or(self.cfg.mtu);
        if let Some(delay) = change.delay {
            self.cfg.delay = delay;
            // On another way there is nobody to keep the order with.
            self.last_arrival = Time::ZERO;
        }
    }

    /// The bottleneck begins with the next frame, if it is idle.
    fn send(&mut self, now: Time) {
        if self.sending.is_some() {
            return;
        }
        if let Some(item) = self.queue.dequeue(now, &mut self.counts) {
            if item.is_real() {
                let waited = now.since(item.since);
                self.counts.sent += 1;
                self.counts.waited = self.counts.waited + waited;
                self.counts.longest_wait = self.counts.longest_wait.max(waited);
            }
            self.sending = Some((now + transmission_time(item.len, self.cfg.rate), item));
        }
        self.count_real();
    }

    /// Frames that are somebody's and have neither left nor been dropped. Only cross traffic makes the difference.
    fn count_real(&mut self) {
        let c = &self.counts;
        let gone = c.sent + c.overflowed + c.early + c.thinned + c.too_big;
        self.real = (c.frames - gone) as usize
            + usize::from(self.sending.as_ref().is_some_and(|(_, item)| item.is_real()));
    }

    /// A frame left the bottleneck at `left`.
    fn leave(&mut self, left: Time, item: Queued) {
        if !item.is_real() {
            return;
        }
        let mut frame = item.frame;
        let out = self.cfg.outage.is_some_and(|(from, to)| (from..to).contains(&left));
        if out || self.losses.loses(&mut self.rng) {
            self.counts.lost += 1;
            return;
        }
        if self.rng.chance(self.cfg.corrupt) {
            self.counts.corrupted += 1;
            // Nothing but the frame check sequence, which is not simulated, protects ARP: it drops the frame.
            if frame.get(12..14) == Some(&[8, 6]) {
                return;
            }
            let bit = self.rng.range(0, frame.len() as u64 * 8 - 1) as usize;
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let at = left + self.cfg.delay + self.up_to(self.cfg.jitter);
        if self.rng.chance(self.cfg.duplicate) {
            self.counts.duplicated += 1;
            let later = self.up_to(self.cfg.duplicate_within);
            self.fly(at + later, false, frame.clone());
        }
        if self.rng.chance(self.cfg.reorder.share) {
            self.counts.reordered += 1;
            match self.cfg.reorder.by {
                FallBack::Time(most) => {
                    let later = self.up_to(most);
                    self.fly(at + later, false, frame);
                }
                FallBack::Distance { frames, patience } => self.held.hold(frames, at + patience, frame),
            }
            return;
        }
        let at = at.max(self.last_arrival);
        self.last_arrival = at;
        for (until, frame) in self.held.expired(at) {
            self.fly(until, false, frame);
        }
        self.fly(at, false, frame);
        for frame in self.held.passed() {
            self.fly(at, false, frame);
        }
    }

    fn fly(&mut self, at: Time, back: bool, frame: Vec<u8>) {
        self.numbered += 1;
        self.flying.insert((at, self.numbered), Delivery { at, back, frame });
    }

    fn up_to(&mut self, most: Nanos) -> Nanos {
        Nanos::from_nanos(self.rng.range(0, most.as_nanos()))
    }
}

/// The time `bytes` of frame occupy a link, with preamble, check sequence and gap.
pub fn transmission_time(bytes: usize, bits_per_second: u64) -> Nanos {
    let bits = (bytes as u64 + 24) * 8;
    Nanos::from_nanos(bits * 1_000_000_000 / bits_per_second.max(1))
}

#[cfg(test)]
mod tests;
