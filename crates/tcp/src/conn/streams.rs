//! What the application does with the two streams: it writes (RFC 9293 §3.10.2), reads (§3.10.3), and takes back what was
//! acknowledged.

use core::fmt;

use super::{Connection, Fin, SendFlags, State};
use crate::{Offset, Payload};

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
    /// The send buffer has no room for it now; [`Event::Writable`](crate::Event::Writable) tells when to try again.
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

impl<P: Payload> Connection<P> {
    /// Queues `payload`, all or nothing (`S3`), and returns the offset of its first byte. Before ESTABLISHED it
    /// waits there for that (RFC 9293 §3.10.2), as Fast Open needs; an owner whose callers shall wait instead (`S2`) asks
    /// the [state](Connection::state) first. An empty payload is taken and dropped at once. When nothing is queued any length is taken.
    ///
    /// Makes `poll_transmit` productive, also when it is refused.
    ///
    /// # Errors
    /// [`WriteError`] with the payload: [`Full`](WriteErrorKind::Full) until [`Event::Writable`](crate::Event::Writable);
    /// [`Finished`](WriteErrorKind::Finished) after `shutdown_write`; [`Closed`](WriteErrorKind::Closed).
    pub fn write(&mut self, payload: P, flags: SendFlags) -> Result<Offset, WriteError<P>> {
        if let Some(reason) = self.write_closed() {
            return Err(WriteError { payload, reason });
        }
        if !self.admit(&payload) {
            return Err(WriteError { payload, reason: WriteErrorKind::Full });
        }
        let at = self.queue.write(payload, flags);
        self.cork.on_write(flags);
        self.autocork.on_write(at, flags.part);
        self.shares.writer_starves = false;
        if flags.timestamp && at < self.queue.end() {
            self.send_times.ask(self.queue.end());
        }
        Ok(at)
    }

    /// Why nothing can be written any more, if that is so; never [`Full`](WriteErrorKind::Full).
    pub fn write_closed(&self) -> Option<WriteErrorKind> {
        match self.state {
            State::Closed => Some(WriteErrorKind::Closed),
            state if self.fin != Fin::Open || !state.may_write() => Some(WriteErrorKind::Finished),
            _ => None,
        }
    }

    /// The next payload in stream order, `None` when there is none yet. Reading opens the window: it makes
    /// `poll_transmit` productive.
    pub fn read(&mut self) -> Option<P> {
        self.read_up_to(usize::MAX)
    }

    /// What [`read`](Connection::read) would yield, left where it is.
    pub fn peek(&self) -> Option<&P> {
        self.recv.front()
    }

    /// Like [`read`](Connection::read), at most `max` bytes: of a longer payload its beginning. `None` for 0 too.
    pub fn read_up_to(&mut self, max: usize) -> Option<P> {
        let payload = self.recv.pop_up_to(max)?;
        if self.state.may_receive() && self.recv_window.update_due(self.room()) {
            self.ack.now();
        }
        Some(payload)
    }

    /// Bytes that [`read`](Connection::read) would yield.
    pub fn readable(&self) -> u64 {
        self.recv.readable()
    }

    /// The next payload that is acknowledged (or, once the connection is over, no longer needed) and that no
    /// device reads, with the offset of its first byte. Writes that continued each other in memory come back as
    /// one. Advances [`Marks::reclaimed`](crate::Marks::reclaimed). Ask again later while the device still holds the oldest.
    pub fn pop_reclaimed(&mut self) -> Option<(Offset, P)> {
        self.queue.pop_reclaimed(self.state == State::Closed)
    }

    /// Whether [`pop_reclaimed`](Connection::pop_reclaimed) has something to give, if no device reads it. Of a payload
    /// that is acknowledged in part it has not: that waits for the peer.
    #[inline]
    pub fn has_reclaimable(&self) -> bool {
        self.queue.has_done(self.state == State::Closed)
    }

    /// The next payload of a connection that is over and whose application has let go of it. Unlike
    /// [`pop_reclaimed`](Connection::pop_reclaimed) this waits for no device: one that still reads the payload has
    /// a reference of its own, and may never drop it while it is idle. `None` while the connection lives.
    pub fn pop_abandoned(&mut self) -> Option<P> {
        let over = matches!(self.state, State::Closed | State::TimeWait);
        if over { self.queue.pop().map(|(_, payload)| payload) } else { None }
    }
}
