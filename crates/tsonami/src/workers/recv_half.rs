//! The half of a connection that receives.

use std::sync::Arc;
use std::task::{Context, Poll};

use ring::Consumer;

use super::abort::AbortHandle;
use super::futures::Reading;
use super::held::Held;
use crate::{Error, Payload};

/// The half of a [`Connection`](crate::Connection) that receives. Dropping it does nothing while the other half lives: what arrives then stays
/// unread, and the peer's window closes.
#[derive(Debug)]
pub struct RecvHalf {
    held: Arc<Held>,
    pieces: Consumer<Payload>,
    /// What is left of a piece that was read in part.
    rest: Option<Payload>,
}

impl RecvHalf {
    pub(crate) fn new(held: Arc<Held>, pieces: Consumer<Payload>) -> RecvHalf {
        RecvHalf { held, pieces, rest: None }
    }

    /// The next bytes that arrived, in order, where the device put them; `None` when there are none now. Holding many of
    /// them for long makes the device copy or drop: copy out what is to be kept.
    ///
    /// # Errors
    /// How the connection ended, after all bytes; [`Error::Finished`] when the peer finished and all was read.
    pub fn try_read(&mut self) -> Result<Option<Payload>, Error> {
        if let Some(piece) = self.next_piece() {
            return Ok(Some(piece));
        }
        if !self.held.link.is_read_out() {
            return Ok(None);
        }
        // It came between the two looks.
        match (self.next_piece(), self.held.link.end()) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, Some(Err(error))) => Err(error),
            (None, _) => Err(Error::Finished),
        }
    }

    /// The next bytes that arrive, in order. Ready with `None` when the peer finished and all was read. Dropping the future
    /// loses nothing.
    pub fn read(&mut self) -> Reading<'_> {
        Reading::new(self)
    }

    /// [`read`](RecvHalf::read) for those who write futures themselves.
    ///
    /// # Errors
    /// How the connection ended, after all bytes.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Payload>, Error>> {
        for registered in [false, true] {
            match self.try_read() {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Err(Error::Finished) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(None) if !registered => self.held.link.wake_reader(cx.waker()),
                Ok(None) => {}
            }
        }
        Poll::Pending
    }

    /// What aborts the connection from another thread, whoever has the halves: see [`AbortHandle`].
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(&self.held.desk, &self.held.link)
    }

    /// Ready when the application has aborted the connection.
    pub(crate) fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<Error> {
        let link = &self.held.link;
        link.wake_reader(cx.waker());
        if link.is_aborted() { Poll::Ready(Error::Aborted { acked: link.acked() }) } else { Poll::Pending }
    }

    /// Puts back what is left of a piece.
    pub(crate) fn put_back(&mut self, rest: Payload) {
        self.rest = (!rest.is_empty()).then_some(rest);
    }

    /// Whether there is nothing to read now.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.pieces.is_empty()
    }

    fn next_piece(&mut self) -> Option<Payload> {
        self.rest.take().or_else(|| self.pieces.pop())
    }
}
