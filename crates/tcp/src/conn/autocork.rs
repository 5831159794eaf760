//! Automatic corking (`S18`): while the port still holds an earlier burst of the connection, a small send waits for
//! company. It could not leave the port before that burst anyway, and by then it may be larger.
//!
//! Linux does the same (`tcp_autocorking`), whether Nagle's algorithm is on or off, for whatever is shorter than a burst
//! could be. Two differences. The end of a long send does not wait: it is no small send, and whoever waits for all of it
//! would wait longer. And there is a bound in time, since drivers tell late that a frame has left, or never.

use super::timers::Timer;
use super::{Connection, Fin};
use crate::{Nanos, Offset, Payload, Time};

/// The longest wait: what two bursts of 64 KiB take on a link of 10 Gbit/s, and less than the round trips that Nagle's
/// algorithm waits for.
const LONGEST_WAIT: Nanos = Nanos::from_micros(100);

/// Where sends begin, and whether the wait is over.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Autocork {
    /// Where the newest send begins.
    start: Offset,
    /// Its rest follows.
    open: bool,
    /// What waits has waited long enough.
    over: bool,
}

impl Autocork {
    /// The application wrote at `at`, all of a send or a part of it.
    pub(super) fn on_write(&mut self, at: Offset, part: bool) {
        if !self.open {
            self.start = at;
        }
        self.open = part;
    }

    /// The newest send is a part of one, whose rest has not come.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Something left.
    pub(super) fn on_sent(&mut self) {
        self.over = false;
    }

    /// Waited long enough.
    pub(super) fn on_timer(&mut self) {
        self.over = true;
    }
}

impl<P: Payload> Connection<P> {
    /// True when the `len` bytes from `from`, which are all that is unsent, are better kept while the port holds `held`
    /// bytes of the connection. `goal` is what a burst could carry.
    pub(super) fn is_autocorked(&self, from: Offset, len: u64, goal: u64, held: u32) -> bool {
        let small = held > 0 && len < goal && self.cfg.autocork;
        // Not in front of a FIN, nor when nothing could join it, nor what was flushed.
        small
            && from <= self.autocork.start
            && !self.autocork.over
            && self.fin == Fin::Open
            && !self.cork.is_released()
            && !self.queue.ends_with_record()
    }

    /// A small send waits for the port: bounds the wait.
    pub(super) fn bound_autocork(&mut self, now: Time) {
        if !self.timers.is_armed(Timer::Autocork) {
            self.timers.arm(Timer::Autocork, now + LONGEST_WAIT);
            self.counts.autocorks += 1;
        }
    }

    /// True when a small send waits until the port has let go of what it holds of this connection
    /// ([`TxLimits::held`](crate::TxLimits::held)): call [`poll_transmit`](Connection::poll_transmit) then.
    pub fn waits_for_port(&self) -> bool {
        self.timers.is_armed(Timer::Autocork)
    }
}

folds! { struct Autocork { start, open, over } }
