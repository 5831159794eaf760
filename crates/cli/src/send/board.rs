//! What the workers of a run tell each other while it lasts.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

/// One for all workers. Each writes its own totals, the first one reads them all.
pub(crate) struct Board {
    totals: Vec<CachePadded<Totals>>,
    /// Nanoseconds until the last acknowledgement, of workers that came to their end.
    elapsed: AtomicU64,
    /// Workers that are there.
    running: AtomicUsize,
    /// A worker resets its connections; so do all.
    aborted: AtomicBool,
}

#[derive(Default)]
struct Totals {
    acked: AtomicU64,
    retransmitted: AtomicU64,
}

impl Board {
    pub(crate) fn new(workers: u16) -> Board {
        Board {
            totals: (0..workers).map(|_| CachePadded::default()).collect(),
            elapsed: AtomicU64::new(0),
            running: AtomicUsize::new(workers.into()),
            aborted: AtomicBool::new(false),
        }
    }

    pub(crate) fn workers(&self) -> u16 {
        self.totals.len() as u16
    }

    /// How far a worker has come: bytes acknowledged, segments retransmitted.
    pub(crate) fn tell(&self, worker: u16, (acked, retransmitted): (u64, u64)) {
        let own = &self.totals[usize::from(worker)];
        own.acked.store(acked, Ordering::Relaxed);
        own.retransmitted.store(retransmitted, Ordering::Relaxed);
    }

    /// How far all have come.
    pub(crate) fn sum(&self) -> (u64, u64) {
        self.totals.iter().fold((0, 0), |(acked, retransmitted), own| {
            (
                acked + own.acked.load(Ordering::Relaxed),
                retransmitted + own.retransmitted.load(Ordering::Relaxed),
            )
        })
    }

    /// A worker's last acknowledgement came after this time.
    pub(crate) fn took(&self, elapsed: Duration) {
        self.elapsed.fetch_max(elapsed.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The longest of these times.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    /// A worker is there until this is dropped; what it told before is its last.
    pub(crate) fn presence(&self) -> Presence<'_> {
        Presence(self)
    }

    /// Whether one worker is left: who asks.
    pub(crate) fn is_alone(&self) -> bool {
        self.running.load(Ordering::Acquire) <= 1
    }

    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }
}

/// See [`Board::presence`].
pub(crate) struct Presence<'a>(&'a Board);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_tell_is_summed_up() {
        let board = Board::new(2);
        board.tell(0, (10, 1));
        board.tell(1, (5, 0));
        board.tell(0, (20, 2));
        assert_eq!(board.sum(), (25, 2));
        board.took(Duration::from_secs(2));
        board.took(Duration::from_secs(1));
        assert_eq!(board.longest(), Duration::from_secs(2));
        let (first, second) = (board.presence(), board.presence());
        assert!(!board.is_alone() && !board.is_aborted());
        drop(second);
        board.abort();
        assert!(board.is_alone() && board.is_aborted());
        drop(first);
    }
}
