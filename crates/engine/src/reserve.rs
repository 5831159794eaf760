//! A few header buffers kept back (`S5`): when the pool is empty, ACKs and retransmissions still leave. They are what
//! makes the peer acknowledge, and so what refills the pool.

use tcp::{Nanos, Time};

use crate::nic::Nic;

/// Buffers kept back. Small enough that a pool of 64 can spare them.
const RESERVE: usize = 16;

/// How long to wait before looking for buffers again.
const RETRY: Nanos = Nanos::from_micros(50);

#[derive(Debug)]
pub(crate) struct Reserve<H> {
    kept: Vec<H>,
    retry_at: Time,
}

impl<H> Reserve<H> {
    pub(crate) fn new() -> Reserve<H> {
        Reserve { kept: Vec::with_capacity(RESERVE), retry_at: Time::ZERO }
    }

    /// Fills up from the NIC's pool. False when the pool is too empty for that: then new data has to wait.
    #[inline]
    pub(crate) fn refill<N: Nic<Header = H>>(&mut self, nic: &mut N, now: Time) -> bool {
        if self.kept.len() == RESERVE {
            return true;
        }
        while self.kept.len() < RESERVE {
            match nic.lend_header() {
                Some(h) => self.kept.push(h),
                None => {
                    self.retry_at = now + RETRY;
                    nic.reclaim();
                    return false;
                }
            }
        }
        true
    }

    /// One of those kept back.
    pub(crate) fn take(&mut self) -> Option<H> {
        self.kept.pop()
    }

    /// Notes at `now` that the pool was empty.
    pub(crate) fn ran_dry(&mut self, now: Time) {
        self.retry_at = now + RETRY;
    }

    /// When to look for buffers again.
    pub(crate) fn retry_at(&self) -> Time {
        self.retry_at
    }

    /// Gives all of them back.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
