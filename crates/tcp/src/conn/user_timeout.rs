//! How long bytes may stay unacknowledged: R2 of RFC 9293 §3.8.3, and the User Timeout option (RFC 5482, `S36`), by which
//! each end tells the other how long it will wait.
//!
//! The timeout in force is `cfg.user_timeout`, wherever it comes from, so an ACK costs what it did before. The option
//! travels in SYNs, in the first segment after them, and in the next one whenever the application changes the timeout; it
//! need not arrive (§3.2).

use super::timers::Timer;
use super::{Connection, Keepalive};
use crate::wire::{OptionBytes, TcpOptions, UserTimeout};
use crate::{Burst, BurstKind, Nanos, Payload, Time};

/// The User Timeout option on a connection (ENABLED of RFC 5482 §3).
///
/// Off unless asked for, as §3 has it: who follows it holds the memory of a connection for longer because a stranger says so
/// (§6), and it takes room for options.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct UserTimeoutOption {
    /// The timeout follows what the peer announces (CHANGEABLE), until the application changes it itself. Default true.
    pub adapt: bool,
    /// The shortest timeout that following yields (L_LIMIT). At least the retransmission timeout of the moment. Default
    /// 100 s (RFC 5482 §3.1, SHLD-11).
    pub shortest: Nanos,
    /// The longest (U_LIMIT). At least `shortest`; less is raised to that. Default one hour.
    pub longest: Nanos,
}

impl Default for UserTimeoutOption {
    fn default() -> UserTimeoutOption {
        UserTimeoutOption { adapt: true, shortest: Nanos::from_secs(100), longest: Nanos::from_secs(3600) }
    }
}

/// What was said, and is to be said, of user timeouts.
#[derive(Copy, Clone, Debug)]
pub(super) struct Announced {
    /// Ours, as the application wants it (ADV_UTO).
    ours: Nanos,
    /// The peer's newest (REMOTE_UTO).
    peers: Option<Nanos>,
    /// The application changed the timeout of a connection that lived: the peer has no say any more (§3).
    fixed: bool,
    /// The next segment carries the option.
    due: bool,
}

impl Announced {
    pub(super) fn new(ours: Nanos) -> Announced {
        Announced { ours, peers: None, fixed: false, due: false }
    }

    /// The peer's newest.
    pub(super) fn peers(&self) -> Option<Nanos> {
        self.peers
    }

    /// The next segment carries the option.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

impl<P: Payload> Connection<P> {
    /// Changes R2 (RFC 9293 §3.8.3, MUST-21): counted anew from the next progress. With the User Timeout option it is
    /// announced, and follows the peer's no more (RFC 5482 §3).
    pub fn set_user_timeout(&mut self, timeout: Nanos) {
        self.cfg.user_timeout = timeout;
        self.announced.ours = timeout;
        self.announced.fixed = true;
        self.announced.due = self.cfg.user_timeout_option.is_some() && self.state.is_synchronized();
    }

    /// The option of our SYN or SYN,ACK.
    pub(super) fn user_timeout_of_syn(&self) -> Option<UserTimeout> {
        self.cfg.user_timeout_option.map(|_| UserTimeout::of(self.announced.ours))
    }

    /// RFC 5482 §3: the first segment after the SYNs has it too, for a peer that kept nothing of the SYN (SYN cookies).
    pub(super) fn announce_user_timeout(&mut self) {
        self.announced.due = self.cfg.user_timeout_option.is_some();
    }

    /// Adds the option, which is due, to others.
    #[cold]
    pub(super) fn add_user_timeout(&self, options: &mut OptionBytes) {
        options.push_user_timeout(UserTimeout::of(self.announced.ours));
    }

    /// `burst` left while the option was due: it had it, unless SACK blocks took all the room.
    #[cold]
    pub(super) fn on_announcing_sent(&mut self, burst: &Burst) {
        let announces = TcpOptions::parse(burst.options.as_slice()).user_timeout.is_some();
        self.announced.due &= !announces || burst.kind == BurstKind::Syn;
    }

    /// The peer says how long it will wait (§3.1): whoever waits longer is followed, between the limits.
    #[cold]
    pub(super) fn on_peer_user_timeout(&mut self, now: Time, peers: UserTimeout) {
        let Some(option) = self.cfg.user_timeout_option else { return };
        self.announced.peers = Some(peers.time());
        if !option.adapt || self.announced.fixed {
            return;
        }
        // Whoever gives up before the first retransmission gives up for nothing.
        let shortest = option.shortest.max(self.rtt.rto());
        let adopted = self.announced.ours.max(peers.time()).max(shortest).min(option.longest.max(shortest));
        if adopted == self.cfg.user_timeout {
            return;
        }
        self.cfg.user_timeout = adopted;
        if self.timers.is_armed(Timer::User) {
            // The peer was heard just now.
            self.timers.arm(Timer::User, now + adopted);
        }
    }

    /// The settings of keepalive, such that silence is no reason to probe, and to give up, before the timeout that was
    /// announced is over (RFC 5482 §4.2).
    pub(super) fn keepalive(&self) -> Option<Keepalive> {
        let keepalive = self.cfg.keepalive?;
        Some(match self.cfg.user_timeout_option {
            Some(_) => keepalive.no_sooner_than(self.cfg.user_timeout),
            None => keepalive,
        })
    }
}

folds! { struct UserTimeoutOption { adapt, shortest, longest } }
folds! { struct Announced { ours, peers, fixed, due } }
