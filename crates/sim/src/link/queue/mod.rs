//! What waits for a bottleneck, and what a router does when that is too much.

mod codel;
mod fq_codel;
mod managed;
mod red;
mod step;
mod tail_drop;

use core::fmt;
use std::collections::VecDeque;

use tcp::Time;

use super::LinkCounts;
use super::frame;
use crate::rng::Rng;

pub use codel::CodelConfig;
pub use fq_codel::FqCodelConfig;
pub use red::RedConfig;

pub(super) use fq_codel::FqCodel;
pub(super) use managed::{Managed, Manager};
pub(super) use red::Red;
pub(super) use step::Step;
pub(super) use tail_drop::TailDrop;

/// A bottleneck's queue. The frame that is being sent does not count.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct QueueConfig {
    /// Frames it holds.
    pub frames: usize,
    /// Bytes it holds.
    pub bytes: usize,
    /// What is dropped or marked, and when.
    pub discipline: Discipline,
}

impl QueueConfig {
    /// A queue of so many frames that drops the newest when it is full.
    pub fn frames(frames: usize) -> QueueConfig {
        QueueConfig { frames, bytes: usize::MAX, discipline: Discipline::TailDrop }
    }

    /// A queue of so many bytes that drops the newest when it is full.
    pub fn bytes(bytes: usize) -> QueueConfig {
        QueueConfig { frames: usize::MAX, bytes, discipline: Discipline::TailDrop }
    }
}

/// A queue discipline.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Discipline {
    /// First in, first out; a full queue drops the newest.
    TailDrop,
    /// Controlled delay (RFC 8289).
    Codel(CodelConfig),
    /// Flow queues, each with CoDel (RFC 8290).
    FqCodel(FqCodelConfig),
    /// Random early detection (Floyd and Jacobson 1993).
    Red(RedConfig),
    /// Marks whatever finds more than so many bytes waiting, as DCTCP wants it (RFC 8257 §3.1).
    Step {
        /// K of the RFC, bytes.
        threshold: usize,
    },
}

/// A frame in a queue.
#[derive(Debug)]
pub(super) struct Queued {
    /// Empty for cross traffic, which nobody receives.
    pub(super) frame: Vec<u8>,
    /// Bytes it takes.
    pub(super) len: usize,
    /// Of the same flow, the same number.
    pub(super) flow: u64,
    /// When it came.
    pub(super) since: Time,
}

impl Queued {
    /// Marks it where it can be marked. Cross traffic cannot.
    pub(super) fn mark(&mut self, counts: &mut LinkCounts) -> bool {
        let marked = frame::mark(&mut self.frame);
        counts.marked += u64::from(marked);
        marked
    }

    /// It is somebody's: cross traffic is counted nowhere.
    pub(super) fn is_real(&self) -> bool {
        !self.frame.is_empty()
    }
}

/// A queue discipline in motion.
pub(super) trait Queue: fmt::Debug + Send {
    /// Takes a frame, or drops one: this or another.
    fn enqueue(&mut self, now: Time, item: Queued, counts: &mut LinkCounts);

    /// The next to be sent; some may be dropped on the way.
    fn dequeue(&mut self, now: Time, counts: &mut LinkCounts) -> Option<Queued>;

    /// Drops what `keep` says no to, uncounted.
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool);

    /// Frames that wait.
    fn frames(&self) -> usize;

    /// Bytes that wait.
    fn bytes(&self) -> usize;
}

/// The queue that `cfg` describes.
pub(super) fn queue(cfg: &QueueConfig, rng: Rng) -> Box<dyn Queue> {
    let queue = TailDrop::new(cfg.frames, cfg.bytes);
    match cfg.discipline {
        Discipline::TailDrop => Box::new(queue),
        Discipline::Codel(codel) => Box::new(Managed { manager: codel::Control::new(codel), queue }),
        Discipline::FqCodel(fq) => Box::new(FqCodel::new(fq, cfg.frames, cfg.bytes)),
        Discipline::Red(red) => Box::new(Managed { manager: Red::new(red, rng), queue }),
        Discipline::Step { threshold } => Box::new(Managed { manager: Step { threshold }, queue }),
    }
}

/// Frames one behind the other, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    items: VecDeque<Queued>,
    bytes: usize,
}

impl Fifo {
    pub(super) fn push(&mut self, item: Queued) {
        self.bytes += item.len;
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len;
        Some(item)
    }

    pub(super) fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool) {
        self.items.retain(|item| keep(item));
        self.bytes = self.items.iter().map(|item| item.len).sum();
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A frame for tests of queues.
#[cfg(test)]
pub(super) fn item(frame: Vec<u8>) -> Queued {
    Queued { len: frame.len(), flow: frame::flow(&frame, 0), frame, since: Time::ZERO }
}
