//! Which of what is in flight ought to have arrived by now: the walk of RACK (RFC 8985 §6.2 step 5).
//!
//! RACK judges in the order of time, records lie in the order of the stream. Those that left once are in both orders, so
//! one walk remembers where it stopped; those that left again are also remembered in the order in which they did. An
//! ACK then costs what it finds lost, however much is in flight.

use std::collections::VecDeque;

use super::flight::{Fate, Flight};
use crate::{Nanos, Offset, Time};

/// A burst that left again.
#[derive(Copy, Clone, Debug)]
struct Again {
    at: Time,
    start: Offset,
    end: Offset,
}

/// Where the walk is.
#[derive(Clone, Debug, Default)]
pub(super) struct Overdue {
    /// Of what left once all before this is judged.
    judged: Offset,
    /// What left again and may not be judged yet, oldest first.
    again: VecDeque<Again>,
}

impl Overdue {
    pub(super) fn on_retransmitted(&mut self, at: Time, start: Offset, end: Offset) {
        self.again.push_back(Again { at, start, end });
    }

    /// Judgements were taken back.
    pub(super) fn begin_anew(&mut self) {
        self.judged = Offset::ZERO;
    }
}

impl Flight {
    /// Marks lost what left before the record that did so at `sent` and ends at `end`, which arrived, and longer ago
    /// than `patience`. Returns how many bytes, and when the next will be overdue if nothing arrives until then.
    ///
    /// That is sooner than RFC 8985 asks, which waits for the last of them to save timers: each is found in its time.
    pub(super) fn mark_overdue(
        &mut self,
        now: Time,
        (sent, end): (Time, Offset),
        patience: Nanos,
    ) -> (u64, Option<Time>) {
        let before = self.tally.lost;
        let mut next: Option<Time> = None;
        let mut i = self.records.partition_point(|record| record.end <= self.overdue.judged);
        while let Some(record) = self.records.get(i) {
            let to = record.end;
            if record.fate == Fate::Unknown && !record.resent {
                let due = record.last_sent + patience;
                if (record.last_sent, to) >= (sent, end) {
                    break;
                }
                if due > now {
                    next = Some(due);
                    break;
                }
                self.mark_lost(i);
            }
            self.overdue.judged = to;
            i += 1;
        }
        let una = self.records.front().map_or(Offset(u64::MAX), |record| record.start);
        while let Some(&again) = self.overdue.again.front() {
            if again.end > una {
                let due = again.at + patience;
                if (again.at, again.end) >= (sent, end) {
                    break;
                }
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                    break;
                }
                self.mark_again_lost(again);
            }
            self.overdue.again.pop_front();
        }
        (self.tally.lost - before, next)
    }

    /// What left again in `again`, and not once more since, is lost.
    fn mark_again_lost(&mut self, again: Again) {
        let mut i = self.records.partition_point(|record| record.end <= again.start);
        while let Some(record) = self.records.get(i).filter(|record| record.start < again.end) {
            if record.fate == Fate::Unknown && record.resent && record.last_sent == again.at {
                self.mark_lost(i);
            }
            i += 1;
        }
    }
}

folds! { struct Again { at, start, end } }
folds! { struct Overdue { judged, again } }
