//! Waiting for a longer burst (`S22`, as Linux's TSO deferral).
//!
//! When a window leaves room for less than a whole burst, and the next ACK is about to widen it, a moment's patience
//! makes one long burst of two short ones. The price is bounded: only while something is in flight whose ACK is due,
//! only for the end of a window that is mostly in use, and for a millisecond at most.

use super::Connection;
use super::recovery::Phase;
use super::timers::Timer;
use crate::{Nanos, Payload, Time};

/// The longest wait, from when data left last.
const PATIENCE: Nanos = Nanos::from_millis(1);

/// With this part of a window to spare there is no waiting (Linux: `tcp_tso_win_divisor`).
const WINDOW_PART: u64 = 3;

/// What a burst could be.
#[derive(Copy, Clone, Debug)]
pub(super) struct Prospect {
    /// Bytes that both windows leave room for.
    pub(super) room: u64,
    /// Bytes of the longest burst.
    pub(super) goal: u64,
    /// Bytes in the queue.
    pub(super) waiting: u64,
}

impl<P: Payload> Connection<P> {
    /// The burst at hand had better wait.
    pub(super) fn defers(&self, now: Time, burst: Prospect) -> bool {
        let Prospect { room, goal, waiting } = burst;
        // A whole burst, which without TSO is one segment, or the last of the queue: nothing is gained.
        if room >= goal || room >= waiting || !self.cfg.tso_defer {
            return false;
        }
        // What tells of a loss has to leave as soon as it may: limited transmit, repairs.
        let window = self.window.wnd().min(self.cwnd());
        if room >= window / WINDOW_PART || self.suspects_loss() {
            return false;
        }
        // The ACK of what left first is more likely to come soon than not: half of its round trip is over.
        let (Some(first), Some(srtt)) = (self.flight.oldest_sent(), self.rtt.srtt()) else { return false };
        now.since(first) >= srtt / 2 && now < self.quiet_since + PATIENCE
    }

    fn suspects_loss(&self) -> bool {
        self.recovery.phase() != Phase::Open || self.recovery.credit() > 0
    }

    /// A burst waits: not for longer than patience lasts.
    pub(super) fn bound_deferral(&mut self) {
        self.counts.deferrals += u64::from(!self.timers.is_armed(Timer::Departure));
        if self.cwnd() < self.window.wnd() {
            self.limited_until = self.snd_nxt();
        }
        self.wait_until(self.quiet_since + PATIENCE);
    }
}
