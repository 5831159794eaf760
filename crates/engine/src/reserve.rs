//! A few header buffers kept back (`S5`): when the pool is empty, ACKs and retransmissions still leave. They are what
//! makes the peer acknowledge, and so what refills the pool.

use tcp::{Nanos, Time};

use crate::nic::Nic;

/// Buffers kept back. Small enough that a pool of 64 can spare them.
const RESERVE: usize = 16;

/// How long to wait before looking for buffers again, the first time; doubled each time that was in vain.
const RETRY: Nanos = Nanos::from_micros(50);
/// Doublings at most: 3.2 ms.
const MAX_DOUBLINGS: u32 = 6;
/// A shortage this long ago is over.
const FORGET: Nanos = Nanos::from_millis(20);

#[derive(Debug)]
pub(crate) struct Reserve<H> {
    kept: Vec<H>,
    retry_at: Time,
    in_vain: u32,
}

impl<H> Reserve<H> {
    pub(crate) fn new() -> Reserve<H> {
        Reserve { kept: Vec::with_capacity(RESERVE), retry_at: Time::ZERO, in_vain: 0 }
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
                    if self.ran_dry(now) {
                        nic.reclaim();
                    }
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

    /// Notes at `now` that buffers are short. False when that is known and the next look is still to come.
    pub(crate) fn ran_dry(&mut self, now: Time) -> bool {
        if self.retry_at > now {
            return false;
        }
        if now.since(self.retry_at) > FORGET {
            self.in_vain = 0;
        }
        self.retry_at = now + RETRY * (1 << self.in_vain);
        self.in_vain = (self.in_vain + 1).min(MAX_DOUBLINGS);
        true
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
