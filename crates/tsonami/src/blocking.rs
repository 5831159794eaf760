//! Waiting (`S2`): calls that return when something happened, for programs that do not turn the loop themselves.
//!
//! There is no other thread: whoever waits runs the loop. So all connections go on while one is waited for, and their
//! events stay in the queue for [`poll_event`](LocalEngine::poll_event); of the connection waited for only the event that
//! a call itself reports is not told again. Nothing is recomputed after a wait, since segment size and burst size are
//! decided anew with every burst.
//!
//! | | waits for | a time limit means |
//! |---|---|---|
//! | [`connect_wait`](LocalEngine::connect_wait) | the handshake, under the connect timeout too | the connection is given up |
//! | [`accept_wait`](LocalEngine::accept_wait) | a connection | the receive timeout |
//! | [`send_wait`](LocalEngine::send_wait), [`send_payload_wait`](LocalEngine::send_payload_wait) | room, and before that the handshake | the send timeout |
//! | [`acked_wait`](LocalEngine::acked_wait), [`finish_wait`](LocalEngine::finish_wait) | acknowledgement | the send timeout |
//! | [`read_wait`](LocalEngine::read_wait) | bytes or the peer's end | the receive timeout |

use std::net::SocketAddr;
use std::time::Duration;

use tcp::conn::{SendFlags, State};
use tcp::endpoint::ListenerId;
use tcp::{Offset, Time};

use crate::stack::on;
use crate::{Cancel, ConnId, ConnectOptions, Error, Event, LocalEngine, Payload, TrySendError};

/// How long to wait, and who may end it before.
#[derive(Clone, Debug, Default)]
pub struct Wait {
    timeout: Option<Duration>,
    cancel: Option<Cancel>,
}

impl Wait {
    /// Until it happens or fails: connections that go nowhere fail of their own timeouts.
    pub fn forever() -> Wait {
        Wait::default()
    }

    /// For this long at most. Zero does what can be done at once.
    pub fn at_most(timeout: Duration) -> Wait {
        Wait { timeout: Some(timeout), cancel: None }
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    pub(crate) fn can_be_cancelled(&self) -> bool {
        self.cancel.is_some()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    pub(crate) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// And until somebody cancels it.
    #[must_use]
    pub fn or(self, cancel: &Cancel) -> Wait {
        Wait { cancel: Some(cancel.clone()), ..self }
    }
}

impl LocalEngine {
    /// Opens a connection and waits until it is open. `options`: `None` for those of the settings.
    ///
    /// # Errors
    /// Why it did not open: [`Error::Refused`], [`Error::ConnectTimedOut`] (the connect timeout of the options),
    /// [`Error::Unreachable`] and so on; [`Error::WaitTimedOut`] and [`Error::Cancelled`]. Nothing is left of it then.
    pub fn connect_wait(
        &mut self,
        peer: SocketAddr,
        options: Option<&ConnectOptions>,
        wait: &Wait,
    ) -> Result<ConnId, Error> {
        let now = self.now();
        let id = self.connect(peer, options, now)?;
        let opened = self.turn_until(wait, |engine| match engine.state(id) {
            Some(state) if state.is_opening() => None,
            Some(State::Closed) => Some(Err(engine.take_error(id).unwrap_or(Error::Finished))),
            _ => Some(Ok(())),
        });
        match opened.and_then(|opened| opened) {
            Ok(()) => {
                self.opening.remove(&id);
                on!(&mut self.stack, engine => engine.take_connected(id));
                Ok(id)
            }
            Err(error) => {
                if self.state(id).is_some_and(State::is_opening) {
                    self.abort(id);
                }
                self.release(id);
                Err(error)
            }
        }
    }

    /// Waits for a connection to this listener.
    ///
    /// # Errors
    /// [`Error::WaitTimedOut`], [`Error::Cancelled`], and [`Error::ListenerClosed`] when there is no such listener.
    pub fn accept_wait(&mut self, listener: ListenerId, wait: &Wait) -> Result<ConnId, Error> {
        self.turn_until(wait, |engine| {
            on!(&mut engine.stack, engine => {
                let accepted = engine.take_accepted(listener).map(Ok);
                accepted.or_else(|| (!engine.has_listener(listener)).then_some(Err(Error::ListenerClosed)))
            })
        })
        .and_then(|accepted| accepted)
    }

    /// Copies all of `bytes` into the send buffer, waiting for room as often as need be; returns how many that was.
    /// Before the handshake is complete it waits for that.
    ///
    /// When a wait ends early after some bytes were taken, it returns how many, fewer than all; an error of the connection
    /// comes with the next call (`S3`).
    ///
    /// # Errors
    /// When nothing was taken: [`Error::WaitTimedOut`], [`Error::Cancelled`]; how the connection ended, once;
    /// [`Error::Finished`] from then on, or after [`shutdown_write`](LocalEngine::shutdown_write).
    pub fn send_wait(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        flags: SendFlags,
        wait: &Wait,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        let result = self.turn_until(wait, |engine| {
            while !engine.must_wait(id) {
                match engine.send_copy(id, &bytes[taken..], flags) {
                    Ok(n) => taken += n,
                    Err(Error::Full | Error::PoolExhausted) => return None,
                    Err(error) => return Some(Err(error)),
                }
                if taken == bytes.len() {
                    return Some(Ok(()));
                }
            }
            None
        });
        match result.and_then(|done| done) {
            Ok(()) => Ok(taken),
            Err(_) if taken > 0 => Ok(taken),
            Err(error) => Err(self.first_reason(id, error)),
        }
    }

    /// Sends registered memory without a copy, all or nothing, when there is room for it.
    ///
    /// # Errors
    /// As [`send_wait`](LocalEngine::send_wait), with the payload inside.
    pub fn send_payload_wait(
        &mut self,
        id: ConnId,
        payload: Payload,
        flags: SendFlags,
        wait: &Wait,
    ) -> Result<Offset, TrySendError<Payload>> {
        let deadline = self.deadline(wait);
        let mut payload = payload;
        loop {
            if !self.must_wait(id) {
                match self.send(id, payload, flags) {
                    Ok(offset) => return Ok(offset),
                    Err(TrySendError { payload: back, reason: Error::Full | Error::PoolExhausted }) => {
                        payload = back;
                    }
                    Err(TrySendError { payload, reason }) => {
                        return Err(TrySendError { payload, reason: self.first_reason(id, reason) });
                    }
                }
            }
            if let Err(reason) = self.turn(wait, deadline) {
                return Err(TrySendError { payload, reason });
            }
        }
    }

    /// Waits until the peer has acknowledged everything before `upto`, or all that was sent if that is less.
    ///
    /// # Errors
    /// As [`send_wait`](LocalEngine::send_wait) when nothing was taken.
    pub fn acked_wait(&mut self, id: ConnId, upto: Offset, wait: &Wait) -> Result<(), Error> {
        let acked = self.turn_until(wait, |engine| {
            let Some(marks) = engine.marks(id) else { return Some(Err(Error::Gone)) };
            if marks.acked >= upto.min(marks.accepted) {
                return Some(Ok(()));
            }
            (engine.state(id) == Some(State::Closed)).then_some(Err(Error::Finished))
        });
        acked.and_then(|acked| acked).map_err(|error| self.first_reason(id, error))
    }

    /// Finishes our direction and waits until the peer has acknowledged all of it, the FIN included. Reading goes on.
    ///
    /// # Errors
    /// As [`send_wait`](LocalEngine::send_wait) when nothing was taken.
    pub fn finish_wait(&mut self, id: ConnId, wait: &Wait) -> Result<(), Error> {
        self.shutdown_write(id);
        self.turn_until(wait, |engine| match engine.state(id) {
            None => Some(Err(Error::Gone)),
            Some(State::FinWait2 | State::TimeWait) => Some(Ok(())),
            Some(State::Closed) => Some(match engine.take_error(id) {
                Some(error) => Err(error),
                // It ended well, or the failure was told before: what counts is how far it came.
                None if engine.marks(id).is_some_and(|m| m.acked == m.accepted) => Ok(()),
                None => Err(Error::Finished),
            }),
            Some(_) => None,
        })
        .and_then(|finished| finished)
    }

    /// The next bytes that arrive, in order; `None` when the peer has finished and everything was read, and after the end
    /// of the connection.
    ///
    /// # Errors
    /// [`Error::WaitTimedOut`], [`Error::Cancelled`]; how the connection ended, once and after all bytes;
    /// [`Error::Gone`].
    pub fn read_wait(&mut self, id: ConnId, wait: &Wait) -> Result<Option<Payload>, Error> {
        self.turn_until(wait, |engine| {
            if let Some(payload) = engine.read(id) {
                return Some(Ok(Some(payload)));
            }
            match engine.state(id) {
                None => Some(Err(Error::Gone)),
                Some(State::Closed) => Some(engine.take_error(id).map_or(Ok(None), Err)),
                Some(state) if state.has_peer_finished() => Some(Ok(None)),
                Some(_) => None,
            }
        })
        .and_then(|read| read)
    }

    /// A send has to wait: for the handshake, or until a third of the buffer is free (`S4`).
    fn must_wait(&self, id: ConnId) -> bool {
        on!(&self.stack, engine => engine.must_wait(id))
    }

    /// Why a connection is over instead of the mere fact, if nobody was told yet (`S6`).
    fn first_reason(&mut self, id: ConnId, error: Error) -> Error {
        match error {
            Error::Finished => self.take_error(id).unwrap_or(error),
            error => error,
        }
    }

    /// Why the connection failed, if it did and nobody was told yet.
    fn take_error(&mut self, id: ConnId) -> Option<Error> {
        let end = on!(&mut self.stack, engine => engine.take_error(id))?;
        let established = !self.opening.remove(&id);
        let acked = self.marks(id).map_or(Offset::ZERO, |marks| marks.acked);
        match Event::from_engine(end, established, acked)? {
            Event::Closed(end) => end.err(),
            _ => None,
        }
    }

    /// Turns the loop until `ready` has an answer, or the wait is over.
    fn turn_until<T>(
        &mut self,
        wait: &Wait,
        mut ready: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = self.deadline(wait);
        loop {
            if let Some(answer) = ready(self) {
                return Ok(answer);
            }
            self.turn(wait, deadline)?;
        }
    }

    /// When a wait that begins now is over; `None`: never.
    fn deadline(&self, wait: &Wait) -> Option<Time> {
        wait.timeout.map(|timeout| self.now() + timeout.into())
    }

    /// One turn of the loop and the rest after it, unless the wait is over.
    fn turn(&mut self, wait: &Wait, deadline: Option<Time>) -> Result<(), Error> {
        if wait.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let now = self.now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Error::WaitTimedOut);
        }
        let progress = self.poll(now);
        self.rest(progress.is_busy() || progress.more);
        Ok(())
    }
}
