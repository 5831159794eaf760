//! Flow queues with CoDel, FQ-CoDel (RFC 8290): flows take turns, each under a control law of its own; whoever has just
//! begun goes first.

use std::collections::VecDeque;

use tcp::Time;

use super::codel::{CodelConfig, Control};
use super::{Fifo, Queue, Queued};
use crate::link::LinkCounts;

/// The parameters of FQ-CoDel.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FqCodelConfig {
    /// Of each flow's queue.
    pub codel: CodelConfig,
    /// Queues that flows are hashed into. RFC 8290 §5.2.5: 1024.
    pub flows: usize,
    /// Bytes a flow sends in its turn. RFC 8290 §5.2.4: 1514.
    pub quantum: usize,
}

impl Default for FqCodelConfig {
    fn default() -> FqCodelConfig {
        FqCodelConfig { codel: CodelConfig::default(), flows: 1_024, quantum: 1_514 }
    }
}

#[derive(Debug)]
struct Flow {
    fifo: Fifo,
    control: Control,
    /// Bytes left of its turn.
    credits: i64,
    /// It is in one of the two lists.
    active: bool,
}

/// The scheduler (RFC 8290 §4).
#[derive(Debug)]
pub(in super::super) struct FqCodel {
    cfg: FqCodelConfig,
    flows: Vec<Flow>,
    new: VecDeque<usize>,
    old: VecDeque<usize>,
    most_frames: usize,
    most_bytes: usize,
}

impl FqCodel {
    pub(in super::super) fn new(cfg: FqCodelConfig, most_frames: usize, most_bytes: usize) -> FqCodel {
        let flow =
            || Flow { fifo: Fifo::default(), control: Control::new(cfg.codel), credits: 0, active: false };
        let flows = (0..cfg.flows.max(1)).map(|_| flow()).collect();
        FqCodel { cfg, flows, new: VecDeque::new(), old: VecDeque::new(), most_frames, most_bytes }
    }
}

impl Queue for FqCodel {
    fn enqueue(&mut self, now: Time, mut item: Queued, counts: &mut LinkCounts) {
        item.since = now;
        let index = (item.flow % self.flows.len() as u64) as usize;
        let flow = &mut self.flows[index];
        flow.fifo.push(item);
        if !flow.active {
            flow.active = true;
            flow.credits = self.cfg.quantum as i64;
            self.new.push_back(index);
        }
        // §4.1: beyond the limit the fattest flow loses from its head, whoever came last.
        while self.frames() > self.most_frames.max(1) || (self.bytes() > self.most_bytes && self.frames() > 1)
        {
            let Some(fattest) = self.flows.iter_mut().max_by_key(|flow| flow.fifo.bytes()) else { return };
            counts.overflowed += u64::from(fattest.fifo.pop().is_some_and(|item| item.is_real()));
        }
    }

    fn dequeue(&mut self, now: Time, counts: &mut LinkCounts) -> Option<Queued> {
        loop {
            // §4.2: new flows before old ones.
            let from_new = !self.new.is_empty();
            let list = if from_new { &mut self.new } else { &mut self.old };
            let index = *list.front()?;
            let flow = &mut self.flows[index];
            if flow.credits <= 0 {
                flow.credits += self.cfg.quantum.max(1) as i64;
                list.pop_front();
                self.old.push_back(index);
                continue;
            }
            if let Some(item) = flow.control.dequeue(now, &mut flow.fifo, counts) {
                flow.credits -= item.len as i64;
                return Some(item);
            }
            // A new flow that is empty waits behind the old ones once, or it could come back as new at once (§4.2).
            list.pop_front();
            if from_new {
                self.old.push_back(index);
            } else {
                flow.active = false;
            }
        }
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued) -> bool) {
        self.flows.iter_mut().for_each(|flow| flow.fifo.retain(keep));
    }

    fn frames(&self) -> usize {
        self.active().map(|flow| flow.fifo.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.active().map(|flow| flow.fifo.bytes()).sum()
    }
}

impl FqCodel {
    fn active(&self) -> impl Iterator<Item = &Flow> {
        self.new.iter().chain(&self.old).map(|&index| &self.flows[index])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::segment;
    use super::super::item;
    use super::*;
    use tcp::Nanos;

    fn queue(most_frames: usize) -> (FqCodel, LinkCounts) {
        (FqCodel::new(FqCodelConfig::default(), most_frames, usize::MAX), LinkCounts::default())
    }

    /// The ports of the frames that leave, in order.
    fn order(queue: &mut FqCodel, counts: &mut LinkCounts, n: usize) -> Vec<u8> {
        (0..n).filter_map(|_| queue.dequeue(Time::ZERO, counts)).map(|item| item.frame[35]).collect()
    }

    #[test]
    fn rfc8290_flows_take_turns_by_bytes() {
        let (mut queue, mut counts) = queue(1_000);
        for _ in 0..4 {
            queue.enqueue(Time::ZERO, item(segment(1, 0, 0, 1_460)), &mut counts);
        }
        for _ in 0..8 {
            queue.enqueue(Time::ZERO, item(segment(2, 0, 0, 703)), &mut counts);
        }
        // 1514 bytes of frame a turn: one long frame of the one, two short ones of the other.
        assert_eq!(order(&mut queue, &mut counts, 12), [1, 2, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2]);
    }

    #[test]
    fn rfc8290_a_flow_that_begins_goes_before_those_that_queue() {
        let (mut queue, mut counts) = queue(1_000);
        for _ in 0..20 {
            queue.enqueue(Time::ZERO, item(segment(1, 0, 0, 1_460)), &mut counts);
        }
        assert_eq!(order(&mut queue, &mut counts, 3), [1, 1, 1]);
        queue.enqueue(Time::ZERO, item(segment(3, 0, 0, 100)), &mut counts);
        assert_eq!(order(&mut queue, &mut counts, 2), [3, 1]);
        // Its queue is empty, but it is an old flow now: it waits for its turn.
        queue.enqueue(Time::ZERO, item(segment(3, 0, 0, 100)), &mut counts);
        assert_eq!(queue.frames(), 17);
        assert!(order(&mut queue, &mut counts, 3).contains(&3));
    }

    #[test]
    fn rfc8290_the_fattest_flow_pays_when_the_limit_is_exceeded() {
        let (mut queue, mut counts) = queue(10);
        (0..10).for_each(|_| queue.enqueue(Time::ZERO, item(segment(1, 0, 0, 1_000)), &mut counts));
        (0..3).for_each(|_| queue.enqueue(Time::ZERO, item(segment(2, 0, 0, 1_000)), &mut counts));
        assert_eq!((queue.frames(), counts.overflowed), (10, 3));
        assert_eq!(order(&mut queue, &mut counts, 10).iter().filter(|&&port| port == 2).count(), 3);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn rfc8290_a_flow_that_keeps_its_queue_short_loses_nothing_beside_one_that_does_not() {
        let (mut queue, mut counts) = queue(10_000);
        let (mut sent, mut dropped) = ([0; 2], [0; 2]);
        for ms in 0..2_000 {
            let now = Time::ZERO + Nanos::from_millis(ms);
            // A greedy flow of twice what the bottleneck sends, a frame each millisecond, and a sparse one.
            let mut flows = vec![1, 1];
            if ms % 10 == 0 {
                flows.push(2);
            }
            for port in flows {
                sent[usize::from(port) - 1] += 1;
                queue.enqueue(now, item(segment(port, 0, 0, 1_000)), &mut counts);
            }
            if let Some(item) = queue.dequeue(now, &mut counts) {
                dropped[usize::from(item.frame[35]) - 1] += 1;
            }
        }
        assert_eq!((sent[1], dropped[1]), (200, 200), "every frame of the sparse flow left");
        assert!(counts.early > 50, "{counts:?}");
    }
}
