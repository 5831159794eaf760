//! Optimistic ACKs: for bytes that have not arrived.

use tcp::{Nanos, Time};

use super::begins;
use super::segment::{Segment, ahead, read};

/// When no news come for so long, the truth is told, so that a sender that was asked for too much can go on.
const REMORSE: Nanos = Nanos::from_millis(100);

/// What arrived, and the ACK that tells the truth.
#[derive(Debug, Default)]
pub(super) struct Optimistic {
    highest: Option<u32>,
    truth: Option<(Time, Vec<u8>)>,
}

impl Optimistic {
    /// A segment of the sender arrives.
    pub(super) fn arrives(&mut self, segment: &Segment) {
        let end = segment.seq.wrapping_add(segment.len());
        if begins(segment) {
            self.highest = None;
        } else if segment.len() > 0 && self.highest.is_none_or(|highest| ahead(end, highest) > 0) {
            self.highest = Some(end);
        }
    }

    /// The ACK in the place of this one: `lead` bytes ahead of the highest that arrived.
    pub(super) fn leaves(&mut self, now: Time, mut frame: Vec<u8>, lead: u32) -> Vec<Vec<u8>> {
        let Some((segment, highest)) = read(&frame).zip(self.highest) else { return vec![frame] };
        if !segment.is_bare_ack() {
            return vec![frame];
        }
        self.truth = Some((now + REMORSE, frame.clone()));
        segment.rewrite(&mut frame, highest.wrapping_add(lead), segment.window, false);
        vec![frame]
    }

    /// When the truth is told.
    pub(super) fn next(&self) -> Option<Time> {
        self.truth.as_ref().map(|(at, _)| *at)
    }

    /// It, if that has come.
    pub(super) fn expired(&mut self, now: Time) -> Option<Vec<u8>> {
        self.truth.take_if(|(at, _)| *at <= now).map(|(_, frame)| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::build;
    use super::*;

    #[test]
    fn bytes_that_never_arrived_are_acknowledged_until_the_truth_is_told() {
        let mut optimistic = Optimistic::default();
        let ack = |frame: &[u8]| read(frame).map(|s| s.ack);
        let data = build(false, (5_001, 1), 100, 1_000, &[]);
        optimistic.arrives(&read(&data).expect("whole"));
        // Bytes up to 1000 arrived in order; the gap behind them is never asked for.
        let out = optimistic.leaves(Time::ZERO, build(true, (1, 1_001), 100, 0, &[(5_001, 6_001)]), 3_000);
        assert_eq!(out.iter().map(|f| ack(f)).collect::<Vec<_>>(), [Some(9_001)]);
        assert!(read(&out[0]).expect("whole").sack().next().is_none());
        assert_eq!(optimistic.expired(Time::ZERO), None);
        let truth = optimistic.expired(Time::ZERO + REMORSE).expect("remorse");
        assert_eq!((ack(&truth), optimistic.next()), (Some(1_001), None));
    }
}
