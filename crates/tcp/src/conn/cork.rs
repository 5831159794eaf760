//! Holding back the short segment at the end of the queue (`S17`).
//!
//! Three things hold it: the `cork` setting, until it is unset; the `more` flag of a send, until anything else happens:
//! another send, or an ACK; and the end of a part of a send, until the rest comes. All end when the writer waits for room,
//! and after a retransmission timeout, 200 ms at least, with nothing in flight. Whole segments leave all the time.

use super::timers::Timer;
use super::{Connection, Fin};
use crate::conn::SendFlags;
use crate::{Nanos, Payload, Time};

/// The least time that a cork holds: a retransmission timeout of a datacentre would end it before the application comes
/// back. Linux has the same floor, and calls it its bound (tcp(7), TCP_CORK).
const LEAST_WAIT: Nanos = Nanos::from_millis(200);

/// What holds, and what was let go.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cork {
    /// The last send said that more is coming at once.
    more: bool,
    /// The rest of the last send has not come yet. No ACK says that it will not: those that come between two parts are
    /// for what left before (`S20`).
    part: bool,
    /// What is queued leaves all the same, short or not.
    release: bool,
    /// The wait was over: the released segment has PSH.
    push: bool,
}

impl Cork {
    /// The application wrote.
    pub(super) fn on_write(&mut self, SendFlags { more, part, .. }: SendFlags) {
        *self = Cork { more, part, release: false, push: false };
    }

    /// The peer acknowledged, maybe nothing new: a send whose `more` was not followed by anything waits no longer.
    pub(super) fn on_ack(&mut self) {
        self.more = false;
    }

    /// All that was queued left.
    pub(super) fn on_drained(&mut self) {
        *self = Cork::default();
    }

    /// What is queued leaves now.
    pub(super) fn release(&mut self) {
        self.release = true;
    }

    /// Whoever would write the rest waits for room: what is queued leaves and is pushed.
    pub(super) fn push_out(&mut self) {
        (self.release, self.push) = (true, true);
    }

    /// Waited long enough.
    pub(super) fn on_timer(&mut self) {
        (self.release, self.push) = (true, true);
    }

    /// The rest of the last send has not come.
    pub(super) fn is_part(&self) -> bool {
        self.part
    }

    /// What leaves now was held and has PSH.
    pub(super) fn pushes(&self) -> bool {
        self.push
    }

    /// What leaves now was held or is flushed: Nagle's algorithm has no say.
    pub(super) fn is_released(&self) -> bool {
        self.release
    }
}

impl<P: Payload> Connection<P> {
    /// A short segment stays for now. Not in front of a FIN.
    pub(super) fn is_corked(&self) -> bool {
        (self.cfg.cork || self.cork.more || self.cork.part) && !self.cork.release && self.fin == Fin::Open
    }

    /// The send of which a [part](SendFlags::part) was written last ends there after all, with these flags: no rest comes.
    /// Does nothing behind a send that has its end. What left already has no PSH any more. It makes
    /// [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn end_send(&mut self, flags: SendFlags, now: Time) {
        if !self.autocork.is_open() || self.fin != Fin::Open {
            return;
        }
        let end = self.queue.end();
        self.queue.end_send(flags);
        self.cork.on_write(flags);
        self.autocork.on_write(end, flags.part);
        if flags.timestamp {
            self.send_times.ask(end);
            // It may have left, and more.
            self.send_times.advance(self.queue.nxt(), self.queue.una(), now);
        }
    }

    /// A short segment is held and nothing is in flight whose ACK would release it: bounds the wait.
    pub(super) fn bound_cork(&mut self, now: Time) {
        if self.flight.is_empty() && self.proposed.bursts == 0 {
            self.timers.arm_if_idle(Timer::Cork, now + self.rtt.rto().max(LEAST_WAIT));
        }
    }
}

folds! { struct Cork { more, part, release, push } }
