//! The timers of a connection: one table, one deadline each.

use crate::Time;

/// What a deadline is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// What was overtaken has had its time to arrive (RFC 8985 §6.2).
    Reordering,
    /// Oldest unacknowledged byte, or the SYN: RFC 6298 §5.
    Retransmit,
    /// The last ACKs of a flight are late: probe (RFC 8985 §7).
    TailProbe,
    /// The peer's window is closed, or too small to use: probe it (RFC 9293 §3.8.6.1).
    Persist,
    /// A short segment is held back by cork or a send that said more is coming (`S17`).
    Cork,
    /// A small send waits for the port to let go of an earlier burst (`S18`).
    Autocork,
    /// A burst that pacing holds, or that waits to become longer, may leave (`S22`, `S25`).
    Departure,
    /// An ACK is owed (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// The handshake takes too long.
    Connect,
    /// No progress for R2 (RFC 9293 §3.8.3).
    User,
    /// The peer was silent for long (RFC 9293 §3.8.4).
    Keepalive,
    /// Closed by the application, which bounded how long delivery may take.
    Linger,
    /// FIN-WAIT-2 without an application.
    FinWait,
    /// TIME-WAIT, until the endpoint takes over.
    TimeWait,
}

impl Timer {
    pub(crate) const ALL: [Timer; 14] = [
        Timer::Reordering,
        Timer::Retransmit,
        Timer::TailProbe,
        Timer::Persist,
        Timer::Cork,
        Timer::Autocork,
        Timer::Departure,
        Timer::DelayedAck,
        Timer::Connect,
        Timer::User,
        Timer::Keepalive,
        Timer::Linger,
        Timer::FinWait,
        Timer::TimeWait,
    ];
}

/// Deadlines by [`Timer`]; `Time::MAX` where none is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Timers([Time; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers([Time::MAX; Timer::ALL.len()])
    }

    pub(crate) fn arm(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = at;
    }

    /// Arms it unless it runs already.
    pub(crate) fn arm_if_idle(&mut self, timer: Timer, at: Time) {
        if !self.is_armed(timer) {
            self.arm(timer, at);
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = Time::MAX;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Timers::new();
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Time::MAX
    }

    /// No other one is set.
    pub(crate) fn runs_at_most(&self, timer: Timer) -> bool {
        Timer::ALL.iter().all(|&other| other == timer || !self.is_armed(other))
    }

    /// Stops `timer` and returns true when its deadline has come.
    pub(crate) fn take_expired(&mut self, timer: Timer, now: Time) -> bool {
        let expired = self.is_armed(timer) && self.0[timer as usize] <= now;
        if expired {
            self.stop(timer);
        }
        expired
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.iter().copied().min().filter(|&t| t != Time::MAX)
    }
}

impl super::fold::Fold for Timers {
    fn fold(&self, to: &mut super::fold::Folder<'_>) {
        self.0.fold(to);
    }
    fn unfold(from: &mut super::fold::Unfolder<'_>) -> Self {
        Timers(super::fold::Fold::unfold(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_next_and_expires_once() {
        let t = Time::from_nanos;
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        timers.arm(Timer::Retransmit, t(30));
        timers.arm(Timer::DelayedAck, t(10));
        timers.arm_if_idle(Timer::DelayedAck, t(5));
        assert_eq!(timers.next(), Some(t(10)));
        assert!(!timers.take_expired(Timer::DelayedAck, t(9)));
        assert!(timers.take_expired(Timer::DelayedAck, t(10)));
        assert!(!timers.take_expired(Timer::DelayedAck, t(10)));
        assert_eq!(timers.next(), Some(t(30)));
        timers.stop_all();
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn every_timer_has_its_own_slot() {
        for (i, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, i);
        }
    }
}
