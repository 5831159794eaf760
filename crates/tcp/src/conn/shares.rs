//! Where the time went (`S28`): at every moment of its life a connection is in exactly one [`Share`], so that the shares
//! add up to the life, to the nanosecond.
//!
//! Linux's `tcpi_busy_time`, `tcpi_rwnd_limited` and `tcpi_sndbuf_limited` are the model, but there one time lies inside
//! the other, and what no clock covers is left over. Its busy time is all of ours between opening and closing that is
//! not idle.
//!
//! The share is decided where sending is: what the last proposal came to, or what held it back, holds until the next
//! one. Connections are asked again after everything that is fed in, so no time passes in between. What only the
//! owner knows, a full ring or an empty pool, it tells by [`on_held`](Connection::on_held).

use super::output::Hold;
use super::{Connection, Fin};
use crate::{Nanos, Payload, Time};

/// What a moment of a connection's life went to.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Share {
    /// The handshake.
    Opening,
    /// Nothing was queued and nothing was in flight.
    Idle,
    /// Nothing held us back: bursts left, or all that was written was under way, or all but a short segment behind full
    /// ones.
    Busy,
    /// The peer's window was closed, or too small to be worth a segment.
    PeerWindow,
    /// All that was queued was under way, and the application had been refused: a larger send buffer would have kept
    /// more in flight.
    SendBuffer,
    /// As much was in the network as congestion control allows, losses to be repaired included.
    Congestion,
    /// The pacing rate had been reached.
    Pacing,
    /// The port took no more, or this connection had its share of it, or the neighbour's address was not known.
    Device,
    /// A short segment was held back, by Nagle's algorithm, cork, more or autocork, and nothing but short ones was under
    /// way. The end of what a writer is still at is none: nothing holds it but that.
    Held,
    /// There were no packet buffers, or so few that send buffers were kept small.
    Memory,
    /// All bytes were acknowledged and no more could come: our FIN, then the peer's. TIME-WAIT is no part of a life.
    Closing,
}

impl Share {
    /// How many there are.
    pub const COUNT: usize = Share::ALL.len();

    /// All of them, in the order of the variants.
    pub const ALL: [Share; 11] = [
        Share::Opening,
        Share::Idle,
        Share::Busy,
        Share::PeerWindow,
        Share::SendBuffer,
        Share::Congestion,
        Share::Pacing,
        Share::Device,
        Share::Held,
        Share::Memory,
        Share::Closing,
    ];

    /// Its name, in the words of this enum.
    pub const fn name(self) -> &'static str {
        match self {
            Share::Opening => "opening",
            Share::Idle => "idle",
            Share::Busy => "busy",
            Share::PeerWindow => "peer_window",
            Share::SendBuffer => "send_buffer",
            Share::Congestion => "congestion",
            Share::Pacing => "pacing",
            Share::Device => "device",
            Share::Held => "held",
            Share::Memory => "memory",
            Share::Closing => "closing",
        }
    }
}

/// The life of a connection, divided (`S28`).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TimeShares {
    spent: [Nanos; Share::COUNT],
    life: Nanos,
}

impl TimeShares {
    /// The time that went to `share`.
    pub fn of(&self, share: Share) -> Nanos {
        self.spent[share as usize]
    }

    /// Every share and its time.
    pub fn iter(&self) -> impl Iterator<Item = (Share, Nanos)> + '_ {
        Share::ALL.into_iter().map(|share| (share, self.of(share)))
    }

    /// From the opening to [`Event::Closed`](crate::Event::Closed), or until now: the sum of all shares.
    pub fn life(&self) -> Nanos {
        self.life
    }
}

/// What keeps the owner of a connection from handing its bursts to the device.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HeldBy {
    /// The port refuses frames, or nobody knows the neighbour's address.
    Port,
    /// There are no buffers to build frames from.
    Memory,
}

/// The clock that is always in one share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShareClock {
    born: Time,
    /// In `share` since then; the end, once it is over.
    since: Time,
    share: Share,
    over: bool,
    /// The application had bytes to write and there was no buffer to copy them into.
    pub(super) writer_starves: bool,
    spent: [Nanos; Share::COUNT],
}

impl ShareClock {
    pub(crate) fn new(now: Time) -> ShareClock {
        ShareClock {
            born: now,
            since: now,
            share: Share::Opening,
            over: false,
            writer_starves: false,
            spent: [Nanos::ZERO; Share::COUNT],
        }
    }

    /// From `now` on time goes to `share`.
    #[inline]
    fn enter(&mut self, now: Time, share: Share) {
        if share as u8 != self.share as u8 && !self.over {
            self.turn(now);
            self.share = share;
        }
    }

    /// Books what passed since the last turn.
    fn turn(&mut self, now: Time) {
        let spent = &mut self.spent[self.share as usize];
        *spent = *spent + now.since(self.since);
        self.since = self.since.max(now);
    }

    /// The life is over.
    pub(super) fn end(&mut self, now: Time) {
        if !self.over {
            self.turn(now);
            self.over = true;
        }
    }

    /// The shares by `now`.
    fn at(&self, now: Time) -> TimeShares {
        let mut clock = self.clone();
        if !clock.over {
            clock.turn(now);
        }
        TimeShares { spent: clock.spent, life: clock.since.since(clock.born) }
    }

    pub(super) fn check_invariants(&self) {
        let sum = self.spent.iter().fold(Nanos::ZERO, |sum, &spent| sum + spent);
        assert_eq!(sum, self.since.since(self.born), "the shares do not add up to the life");
    }
}

impl<P: Payload> Connection<P> {
    /// Where the time went until `now` (`S28`).
    pub fn time_shares(&self, now: Time) -> TimeShares {
        self.shares.at(now)
    }

    /// The same, as far as it was told the time.
    pub(super) fn time_shares_so_far(&self) -> TimeShares {
        self.shares.at(self.shares.since)
    }

    /// What was proposed cannot leave, or no proposal is asked for, for a reason that only the owner knows: until the
    /// next proposal the time goes there (`S28`). Nothing happens when there is nothing to send.
    pub fn on_held(&mut self, now: Time, by: HeldBy) {
        let waits = self.queue.nxt() < self.queue.end() || self.flight.lost() > 0;
        if waits && self.state.may_send() {
            self.shares.enter(now, by.into());
        }
    }

    /// A writer that has bytes found no buffer to copy them into. Until the next write, or until
    /// [`has_memory`](Connection::has_memory), that is what the time goes to (`S28`), unless something else holds what
    /// is queued.
    pub fn wait_for_memory(&mut self, now: Time) {
        self.shares.writer_starves = true;
        self.on_writer_waits(now);
    }

    /// A write was refused just now. While all that is queued is under way, a larger send buffer would have helped from
    /// here on (`S28`).
    pub fn on_writer_waits(&mut self, now: Time) {
        if self.state.may_send() && self.queue.nxt() == self.queue.end() && self.flight.lost() == 0 {
            self.shares.enter(now, self.drained());
        }
    }

    /// There is a buffer for the writer that [waited](Connection::wait_for_memory).
    pub fn has_memory(&mut self, now: Time) {
        if std::mem::take(&mut self.shares.writer_starves) && self.shares.share == Share::Memory {
            self.shares.enter(now, self.drained());
        }
    }

    /// A proposal was made.
    #[inline]
    pub(super) fn account_burst(&mut self, now: Time) {
        self.shares.enter(now, Share::Busy);
    }

    /// There is none, for this reason.
    #[inline]
    pub(super) fn account_hold(&mut self, now: Time, hold: Hold) {
        let share = match hold {
            Hold::Window => Share::PeerWindow,
            Hold::Congestion => Share::Congestion,
            Hold::Pacing => Share::Pacing,
            // It waits for the window that leaves less room.
            Hold::Defer if self.cwnd() <= self.window.wnd() => Share::Congestion,
            Hold::Defer => Share::PeerWindow,
            Hold::Device => Share::Device,
            // The writer is about to bring the rest of it.
            Hold::Cork if self.cork.is_part() => self.drained(),
            // Full segments are under way: waiting costs nothing yet.
            Hold::Nagle | Hold::Cork | Hold::Autocork if self.has_full_segments_out() => self.drained(),
            Hold::Nagle | Hold::Cork | Hold::Autocork => Share::Held,
            Hold::Empty => self.drained(),
        };
        self.shares.enter(now, share);
    }

    /// Our direction is finished and acknowledged; the peer's is not.
    pub(super) fn account_closing(&mut self, now: Time) {
        self.shares.enter(now, Share::Closing);
    }

    /// The share of a connection that has sent all it was given.
    fn drained(&self) -> Share {
        if self.flight.lost() > self.proposed.retransmit_bytes {
            // Lost, and behind the edge of a window that shrank (SHLD-16).
            Share::PeerWindow
        } else if self.queue.una() == self.queue.end() && self.fin != Fin::Open {
            Share::Closing
        } else if self.shares.writer_starves {
            Share::Memory
        } else if !self.has_work() {
            Share::Idle
        } else if self.awaits_room() {
            if self.send_buffer.is_pressed() { Share::Memory } else { Share::SendBuffer }
        } else {
            Share::Busy
        }
    }
}

impl From<HeldBy> for Share {
    fn from(by: HeldBy) -> Share {
        match by {
            HeldBy::Port => Share::Device,
            HeldBy::Memory => Share::Memory,
        }
    }
}

folds! {
    enum Share {
        Opening, Idle, Busy, PeerWindow, SendBuffer, Congestion, Pacing, Device, Held, Memory, Closing,
    }
}
folds! { struct ShareClock { born, since, share, over, writer_starves, spent } }
