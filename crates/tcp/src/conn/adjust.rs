//! Settings that change while a connection lives.

use super::{Connection, Linger, SLOWEST_RATE};
use crate::{Nanos, Payload, Rate};

/// A setting that changes while a connection lives; what each means is said where
/// [`ConnConfig`](super::ConnConfig) has it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// Nagle's algorithm off or on: [`set_no_delay`](Connection::set_no_delay).
    NoDelay(bool),
    /// Short segments held or not: [`set_cork`](Connection::set_cork).
    Cork(bool),
    /// What closing does: [`set_linger`](Connection::set_linger).
    Linger(Linger),
    /// How long bytes may stay unacknowledged: [`set_user_timeout`](Connection::set_user_timeout).
    UserTimeout(Nanos),
    /// Bytes that may wait in the send queue: [`set_send_buffer`](Connection::set_send_buffer).
    SendBuffer(usize),
    /// Bytes never sent that stop the writer: [`set_notsent_lowat`](Connection::set_notsent_lowat).
    NotsentLowat(Option<usize>),
    /// The cap on the rate data is sent at: [`set_max_pacing_rate`](Connection::set_max_pacing_rate).
    MaxPacingRate(Option<Rate>),
}

impl<P: Payload> Connection<P> {
    /// Changes one setting. It may make [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::NoDelay(on) => self.set_no_delay(on),
            Setting::Cork(on) => self.set_cork(on),
            Setting::Linger(linger) => self.set_linger(linger),
            Setting::UserTimeout(timeout) => self.set_user_timeout(timeout),
            Setting::SendBuffer(bytes) => self.set_send_buffer(bytes),
            Setting::NotsentLowat(bytes) => self.set_notsent_lowat(bytes),
            Setting::MaxPacingRate(cap) => self.set_max_pacing_rate(cap),
        }
    }

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

    /// Lets out what is held back now, by cork, by `more` or by Nagle's algorithm, and pushes it (`S14`, `S17`): the settings
    /// stay. It makes [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn flush(&mut self) {
        self.cork.push_out();
    }

    /// Changes what closing does with bytes that are not acknowledged (`S45`); in force for a close to come.
    pub fn set_linger(&mut self, linger: Linger) {
        self.cfg.linger = linger;
    }

    /// Fixes how much memory may wait in the send queue (`S4`), for good. Nothing that is queued is lost when that is
    /// less. An [`Event::Writable`](crate::Event::Writable) may follow.
    pub fn set_send_buffer(&mut self, bytes: usize) {
        self.send_buffer.fix(bytes as u64);
        self.tell_writable();
    }

    /// Bounds the bytes that were never sent (`S4`); see [`ConnConfig::notsent_lowat`](super::ConnConfig::notsent_lowat).
    /// An [`Event::Writable`](crate::Event::Writable) may follow.
    pub fn set_notsent_lowat(&mut self, bytes: Option<usize>) {
        self.send_buffer.set_lowat(bytes);
        self.tell_writable();
    }

    /// Changes the cap on the rate data is sent at (`S25`). One that rises or goes is in force at once, which makes
    /// [`poll_transmit`](Connection::poll_transmit) productive; one that falls, from the next burst on.
    pub fn set_max_pacing_rate(&mut self, cap: Option<Rate>) {
        let old = self.pacing_rate();
        self.cfg.max_pacing_rate = cap.map(|rate| rate.max(SLOWEST_RATE));
        self.on_cap_changed(old);
    }
}
