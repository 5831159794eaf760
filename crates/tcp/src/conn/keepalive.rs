//! Asking a silent peer whether it is still there (RFC 9293 §3.8.4, `S47`).
//!
//! Off unless asked for (MUST-24, MUST-25). The timer is lazy: what arrives only notes when, and the timer, when it
//! expires, looks how long ago that was and begins anew for the rest. So an ACK costs one store.

use super::timers::Timer;
use super::{Connection, State};
use crate::wire::TcpFlags;
use crate::{Burst, BurstKind, ConnErrorKind, Nanos, Payload, Time};

/// The shortest time between two probes: less is a flood, not a question.
const SHORTEST: Nanos = Nanos::from_millis(1);

/// When to probe a peer that is silent, and when to give it up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Silence before the first probe (MUST-27). Default 2 h, no less unless the application knows better (MUST-28).
    /// At least 1 ms; less is raised to that.
    pub idle: Nanos,
    /// From a probe that was not answered to the next. Default 75 s, as Linux. At least 1 ms; less is raised to that.
    pub interval: Nanos,
    /// Probes in a row that must stay without answer before the connection is given up (MUST-29). Default 9, as
    /// Linux. At least 1; 0 is raised to that.
    pub probes: u32,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { idle: Nanos::from_secs(7_200), interval: Nanos::from_secs(75), probes: 9 }
    }
}

impl Keepalive {
    /// Brings every field into its range.
    pub(super) fn bounded(self) -> Keepalive {
        Keepalive {
            idle: self.idle.max(SHORTEST),
            interval: self.interval.max(SHORTEST),
            probes: self.probes.max(1),
        }
    }

    /// The first probe leaves after more than `silence`.
    pub(super) fn no_sooner_than(self, silence: Nanos) -> Keepalive {
        let more = Nanos::from_nanos(silence.as_nanos().saturating_add(SHORTEST.as_nanos()));
        Keepalive { idle: self.idle.max(more), ..self }
    }
}

/// What is known of the peer's life.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Pulse {
    /// When a segment that acknowledges arrived last.
    heard: Time,
    /// When the last probe left.
    probed: Time,
    /// Probes that left since the peer was heard.
    unanswered: u32,
    /// A probe is to leave.
    due: bool,
}

impl Pulse {
    /// The peer lives.
    #[inline]
    pub(super) fn on_heard(&mut self, now: Time) {
        self.heard = now;
    }

    fn unanswered(&self) -> u32 {
        if self.heard >= self.probed { 0 } else { self.unanswered }
    }
}

impl<P: Payload> Connection<P> {
    /// Turns keepalive on, changes it, or turns it off (MUST-24, MUST-27). Silence so far counts.
    ///
    /// Afterwards `next_timeout` may answer anew.
    pub fn set_keepalive(&mut self, now: Time, keepalive: Option<Keepalive>) {
        self.cfg.keepalive = keepalive.map(Keepalive::bounded);
        self.pulse.due = false;
        self.timers.stop(Timer::Keepalive);
        if self.state.is_synchronized() && self.state != State::TimeWait {
            self.watch_pulse(now);
        }
    }

    /// The connection is established, or its settings changed.
    pub(super) fn watch_pulse(&mut self, now: Time) {
        if let Some(keepalive) = self.keepalive() {
            let at = self.probe_at(now, &keepalive);
            self.timers.arm(Timer::Keepalive, at.max(now));
        }
    }

    /// When a probe may leave, as things stand.
    fn probe_at(&self, now: Time, keepalive: &Keepalive) -> Time {
        if self.has_work() {
            // MUST-26: what is in flight, or waits for a window, is timed and probed for by itself.
            now + keepalive.idle
        } else if self.pulse.unanswered() > 0 {
            self.pulse.probed + keepalive.interval
        } else {
            self.pulse.heard + keepalive.idle
        }
    }

    /// Silent for long enough, it seems.
    pub(super) fn on_keepalive_timer(&mut self, now: Time) {
        let Some(keepalive) = self.keepalive() else { return };
        let at = self.probe_at(now, &keepalive);
        if at > now {
            self.timers.arm(Timer::Keepalive, at);
        } else if self.pulse.unanswered() < keepalive.probes {
            self.pulse.due = true;
        } else {
            // MUST-29: only a whole row of lost answers means that nobody is there. Should it be wrong, the peer is told.
            self.queue_reset(self.snd_seq(self.snd_nxt()), Some(self.rcv_seq(self.rcv_nxt())));
            self.die_of_silence(now, ConnErrorKind::Silent);
        }
    }

    /// The probe that is due: no payload (SHLD-12), at a sequence number the peer has acknowledged. It lies outside
    /// the peer's window, so that the peer answers with an ACK.
    pub(super) fn propose_keepalive(&mut self, now: Time) -> Option<Burst> {
        if !self.pulse.due || self.proposed.special {
            return None;
        }
        let keepalive = self.keepalive()?;
        let at = self.probe_at(now, &keepalive);
        if at > now {
            // The peer was heard, or something to send came up, before the device had room.
            self.pulse.due = false;
            self.timers.arm(Timer::Keepalive, at);
            return None;
        }
        self.proposed.special = true;
        // SND.NXT - 1: offsets count from behind the SYN.
        let seq = self.iss + self.snd_nxt().0 as u32;
        let options = self.ack_options(now);
        Some(Burst { seq, options, ..self.bare(TcpFlags::ACK, BurstKind::Keepalive) })
    }

    /// The probe left.
    pub(super) fn commit_keepalive(&mut self, now: Time) {
        self.counts.keepalive_probes += 1;
        self.pulse.unanswered = self.pulse.unanswered() + 1;
        self.pulse.probed = now;
        self.pulse.due = false;
        if let Some(keepalive) = self.cfg.keepalive {
            self.timers.arm(Timer::Keepalive, now + keepalive.interval);
        }
    }

    /// With keepalive on, a connection is never forgotten.
    pub(super) fn check_pulse(&self) {
        let watched = self.state.is_synchronized() && self.state != State::TimeWait;
        if self.cfg.keepalive.is_some() && watched {
            assert!(self.timers.is_armed(Timer::Keepalive) || self.pulse.due, "no keepalive timer");
        }
    }
}

folds! { struct Keepalive { idle, interval, probes } }
folds! { struct Pulse { heard, probed, unanswered, due } }
