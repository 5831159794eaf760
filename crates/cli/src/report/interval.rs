//! Interval lines: what happened since the last one.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::units::{Rate, Size, bits_per_second};

/// One interval of a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Interval {
    /// Since the run began.
    pub(crate) start_seconds: f64,
    /// Since the run began.
    pub(crate) end_seconds: f64,
    /// Acknowledged in the interval.
    pub(crate) acknowledged_bytes: u64,
    /// Over the interval.
    pub(crate) bits_per_second: f64,
    /// In the interval.
    pub(crate) retransmitted_segments: u64,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.2} - {:<7.2} s  {:>10}  {:>12}  {:>6} retransmitted",
            self.start_seconds,
            self.end_seconds,
            Size(self.acknowledged_bytes).to_string(),
            Rate(self.bits_per_second).to_string(),
            self.retransmitted_segments,
        )
    }
}

/// Cuts a run into intervals.
#[derive(Debug)]
pub(crate) struct Intervals {
    every: Duration,
    last: Duration,
    last_bytes: u64,
    last_retransmitted: u64,
    done: Vec<Interval>,
}

/// Intervals that are kept for the JSON, at most; a run may last for days.
const KEPT: usize = 100_000;

impl Intervals {
    /// Intervals of the given length; zero for none.
    pub(crate) fn new(every: Duration) -> Intervals {
        Intervals { every, last: Duration::ZERO, last_bytes: 0, last_retransmitted: 0, done: Vec::new() }
    }

    /// Tells the totals at `elapsed`; returns the interval that ended, if one did.
    pub(crate) fn update(&mut self, elapsed: Duration, bytes: u64, retransmitted: u64) -> Option<&Interval> {
        if self.every.is_zero() || elapsed < self.last + self.every || self.done.len() >= KEPT {
            return None;
        }
        self.close(elapsed, bytes, retransmitted)
    }

    /// Ends the last interval, however short.
    pub(crate) fn finish(&mut self, elapsed: Duration, bytes: u64, retransmitted: u64) -> Option<&Interval> {
        if self.every.is_zero() || elapsed <= self.last || bytes == self.last_bytes {
            return None;
        }
        self.close(elapsed, bytes, retransmitted)
    }

    /// All that ended so far.
    pub(crate) fn into_done(self) -> Vec<Interval> {
        self.done
    }

    fn close(&mut self, elapsed: Duration, bytes: u64, retransmitted: u64) -> Option<&Interval> {
        let moved = bytes.saturating_sub(self.last_bytes);
        self.done.push(Interval {
            start_seconds: self.last.as_secs_f64(),
            end_seconds: elapsed.as_secs_f64(),
            acknowledged_bytes: moved,
            bits_per_second: bits_per_second(moved, elapsed - self.last),
            retransmitted_segments: retransmitted.saturating_sub(self.last_retransmitted),
        });
        (self.last, self.last_bytes, self.last_retransmitted) = (elapsed, bytes, retransmitted);
        self.done.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_differences_not_totals() {
        let mut intervals = Intervals::new(Duration::from_secs(1));
        assert_eq!(intervals.update(Duration::from_millis(999), 100, 0), None);
        let first = intervals.update(Duration::from_secs(1), 125_000, 2).unwrap().clone();
        assert_eq!((first.acknowledged_bytes, first.retransmitted_segments), (125_000, 2));
        assert_eq!(first.bits_per_second, 1e6);
        let second = intervals.update(Duration::from_secs(3), 375_000, 3).unwrap().clone();
        assert_eq!((second.acknowledged_bytes, second.retransmitted_segments), (250_000, 1));
        assert_eq!((second.start_seconds, second.end_seconds, second.bits_per_second), (1.0, 3.0, 1e6));
        let last = intervals.finish(Duration::from_millis(3500), 400_000, 3).unwrap().clone();
        assert_eq!(last.acknowledged_bytes, 25_000);
        assert_eq!(intervals.into_done().len(), 3);
    }

    #[test]
    fn no_intervals_when_not_asked_for() {
        let mut intervals = Intervals::new(Duration::ZERO);
        assert_eq!(intervals.update(Duration::from_secs(100), 1, 0), None);
        assert_eq!(intervals.finish(Duration::from_secs(100), 1, 0), None);
    }

    #[test]
    fn an_interval_line_reads_as_time_bytes_rate() {
        let interval = Interval {
            start_seconds: 1.0,
            end_seconds: 2.0,
            acknowledged_bytes: 512 << 20,
            bits_per_second: 4.29e9,
            retransmitted_segments: 0,
        };
        assert_eq!(
            interval.to_string(),
            "   1.00 - 2.00    s     512 MiB   4.29 Gbit/s       0 retransmitted"
        );
    }
}
