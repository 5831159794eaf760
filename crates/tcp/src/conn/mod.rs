//! One connection.

pub mod cc;
mod config;
mod reassembly;
mod state;
mod stats;
mod time_wait;

use core::fmt;
use core::ops::Range;

pub use config::{ConnConfig, Linger, SendFlags};
pub use reassembly::{Pushed, RecvQueue};
pub use state::State;
pub use stats::ConnStats;
pub use time_wait::{TimeWait, TimeWaitTimestamps};

use crate::{
    Burst, Event, FourTuple, IcmpError, Marks, Nanos, Offset, Payload, Segment, Seq, Time, TxLimits,
};

/// The timestamp clock of RFC 7323 at `now`: one tick per millisecond, before the connection's own offset.
pub fn timestamp_clock(now: Time) -> u32 {
    now.as_millis() as u32
}

/// Why a write was refused, with the payload back.
#[derive(Clone, PartialEq, Eq)]
pub struct WriteError<P> {
    /// What was to be written, untouched.
    pub payload: P,
    /// Why it was not.
    pub reason: WriteErrorKind,
}

/// Why a write was refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum WriteErrorKind {
    /// The send buffer has no room for it now; [`Event::Writable`] tells when to try again.
    Full,
    /// We finished our direction, by `shutdown_write` or `close`.
    Finished,
    /// The connection is over.
    Closed,
}

impl<P> fmt::Debug for WriteError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Connection<P> {
    tuple: FourTuple,
    state: State,
    recv: RecvQueue<P>,
}

impl<P: Payload> Connection<P> {
    /// Opens actively; the SYN comes from [`poll_transmit`](Connection::poll_transmit).
    pub fn connect(cfg: &ConnConfig, tuple: FourTuple, _iss: Seq, _ts_offset: u32, _now: Time) -> Self {
        Connection { tuple, state: State::SynSent, recv: RecvQueue::new(cfg.receive_buffer) }
    }

    /// Answers the SYN `syn`.
    pub fn accept(
        cfg: &ConnConfig,
        tuple: FourTuple,
        _iss: Seq,
        _ts_offset: u32,
        _syn: &Segment<P>,
        _now: Time,
    ) -> Self {
        Connection { tuple, state: State::SynReceived, recv: RecvQueue::new(cfg.receive_buffer) }
    }

    /// A segment arrived.
    pub fn on_segment(&mut self, _now: Time, _seg: Segment<P>) {}

    /// A deadline may have passed.
    pub fn on_timer(&mut self, _now: Time) {}

    /// When to call `on_timer`.
    pub fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// Queues `payload`, all or nothing.
    pub fn write(&mut self, payload: P, _flags: SendFlags) -> Result<Offset, WriteError<P>> {
        Err(WriteError { payload, reason: WriteErrorKind::Full })
    }

    /// Bytes of send buffer free.
    pub fn capacity(&self) -> usize {
        0
    }

    /// Proposes what to send next.
    pub fn poll_transmit(&mut self, _now: Time, _limits: &TxLimits) -> Option<Burst> {
        None
    }

    /// The payload of a proposed burst.
    pub fn slices<'a>(&'a self, _burst: &Burst) -> impl Iterator<Item = (&'a P, Range<usize>)> + 'a {
        core::iter::empty()
    }

    /// Commits a proposal.
    pub fn on_sent(&mut self, _burst: &Burst, _now: Time) {}

    /// Takes a proposal back.
    pub fn on_refused(&mut self, _burst: &Burst) {}

    /// What the application should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// The next in-order payload.
    pub fn read(&mut self) -> Option<P> {
        self.recv.pop()
    }

    /// FIN behind what is queued; reading goes on.
    pub fn shutdown_write(&mut self) {}

    /// The application is done with it in both directions.
    pub fn close(&mut self, _now: Time) {}

    /// Resets.
    pub fn abort(&mut self) {}

    /// An ICMP error about one of our segments.
    pub fn on_icmp(&mut self, _now: Time, _e: IcmpError) {}

    /// Neighbour resolution failed.
    pub fn on_unreachable(&mut self, _now: Time) {}

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Its watermarks.
    pub fn marks(&self) -> Marks {
        Marks::default()
    }

    /// Its counters.
    pub fn stats(&self) -> ConnStats {
        ConnStats::default()
    }

    /// Its addresses.
    pub fn tuple(&self) -> &FourTuple {
        &self.tuple
    }

    /// The newest RTT sample since last asked.
    pub fn take_rtt_sample(&mut self) -> Option<Nanos> {
        None
    }

    /// The next payload that is acknowledged and that no device reads any more.
    pub fn pop_reclaimed(&mut self) -> Option<(Offset, P)> {
        None
    }

    /// Bytes sent, not acknowledged.
    pub fn in_flight(&self) -> u64 {
        0
    }

    /// Some in TIME-WAIT, once nothing is left to send.
    pub fn time_wait(&self) -> Option<TimeWait> {
        None
    }

    /// True when nothing is left to do.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}
