//! Settings that change while a connection lives.

use super::{Connection, Linger};
use crate::{Nanos, Payload};

impl<P: Payload> Connection<P> {
    /// Turns Nagle's algorithm off (`true`) or on (MUST-17). Turning it off lets out what is held back by it or by
    /// cork (`S16`): it makes [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn set_no_delay(&mut self, on: bool) {
        self.cfg.no_delay = on;
        if on {
            self.cork.release();
        }
    }

    /// Holds back short segments from now on, or lets them out (`S17`); see
    /// [`ConnConfig::cork`](super::ConnConfig::cork). Unsetting makes `poll_transmit` productive.
    pub fn set_cork(&mut self, on: bool) {
        self.cfg.cork = on;
        if !on {
            self.cork.release();
        }
    }

    /// Changes what closing does with bytes that are not acknowledged (`S45`); in force for a close to come.
    pub fn set_linger(&mut self, linger: Linger) {
        self.cfg.linger = linger;
    }

    /// Changes R2 (RFC 9293 §3.8.3, MUST-21): counted anew from the next progress.
    pub fn set_user_timeout(&mut self, timeout: Nanos) {
        self.cfg.user_timeout = timeout;
    }

    /// Changes how many bytes may wait in the send queue (`S4`). Nothing that is queued is lost when that is less.
    /// An [`Event::Writable`](crate::Event::Writable) may follow.
    pub fn set_send_buffer(&mut self, bytes: usize) {
        self.queue.set_limit(bytes);
        self.tell_writable();
    }
}
