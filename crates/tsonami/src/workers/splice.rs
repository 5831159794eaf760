//! From one connection into another (`S1`), without a copy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tcp::conn::SendFlags;

use super::recv_half::RecvHalf;
use super::send_half::SendHalf;
use super::wait::block_on;
use crate::{Error, Wait};

/// Payload up to this length is copied: a receive buffer is worth more (`S15`).
const SHORT: usize = 256;

/// Which of the two connections ended a splice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpliceError {
    /// The one that is read from; [`Error::Finished`]: all there will ever be was spliced.
    #[error("the connection that is spliced from: {0}")]
    From(#[source] Error),
    /// The one that is sent on. What it did not take stays to be read.
    #[error("the connection that is spliced to: {0}")]
    To(#[source] Error),
}

impl SendHalf {
    /// Sends up to `max` bytes that `from` received, by reference; returns how many, 0 when `from` has none now. What is
    /// not taken stays to be read. A receive buffer stays with its payload until our peer has acknowledged it, so short
    /// payload is copied, and an engine most of whose receive buffers are held by somebody copies what it receives.
    ///
    /// # Errors
    /// When none was sent. [`SpliceError::To`] with [`Error::Full`] or [`Error::PoolExhausted`]: later.
    pub fn try_splice(
        &mut self,
        from: &mut RecvHalf,
        max: usize,
        flags: SendFlags,
    ) -> Result<usize, SpliceError> {
        let mut moved = 0;
        while moved < max {
            let piece = match from.try_read() {
                Ok(Some(piece)) => piece,
                Err(error) if moved == 0 => return Err(SpliceError::From(error)),
                Ok(None) | Err(_) => break,
            };
            let n = piece.len().min(max - moved);
            let is_last = moved + n == max || (n == piece.len() && from.is_empty());
            let flags = if is_last { flags } else { flags.of_a_part() };
            let taken = if n <= SHORT {
                self.try_send_copy(&piece[..n], flags)
            } else {
                self.try_send(piece.slice(..n), flags).map(|_| n).map_err(|refused| refused.reason)
            };
            from.put_back(piece.slice(taken.as_ref().map_or(0, |&n| n)..));
            match taken {
                Ok(n) => moved += n,
                Err(reason) if moved == 0 => return Err(SpliceError::To(reason)),
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// Sends `max` bytes that `from` receives, or all until its end if that is less, waiting for both as often as need be.
    /// Ready with how many that were. Dropped before it is ready, nothing is lost: what was not sent is still to be read.
    pub fn splice<'a>(&'a mut self, from: &'a mut RecvHalf, max: u64, flags: SendFlags) -> Splicing<'a> {
        Splicing { half: self, from, max, flags, moved: 0 }
    }

    /// One step of [`splice`](SendHalf::splice): ready with how many bytes were sent, at least one unless `max` is 0; 0 at the
    /// end of `from`.
    ///
    /// # Errors
    /// How one of the connections ended.
    pub fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut RecvHalf,
        max: usize,
        flags: SendFlags,
    ) -> Poll<Result<usize, SpliceError>> {
        if max == 0 {
            return Poll::Ready(Ok(0));
        }
        match from.poll_read(cx) {
            // Nothing may come for longer than this connection lives.
            Poll::Pending => return self.poll_over(cx).map(|reason| Err(SpliceError::To(reason))),
            Poll::Ready(Ok(None)) => return Poll::Ready(Ok(0)),
            Poll::Ready(Ok(Some(piece))) => from.put_back(piece),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(SpliceError::From(error))),
        }
        let moved = self.poll_until(cx, 1, |half| match half.try_splice(from, max, flags) {
            Err(SpliceError::To(reason)) => Err(reason),
            done => Ok(done),
        });
        match moved {
            Poll::Ready(moved) => Poll::Ready(moved.unwrap_or_else(|reason| Err(SpliceError::To(reason)))),
            // What was received before another end of `from` is sent all the same.
            Poll::Pending => from.poll_aborted(cx).map(|reason| Err(SpliceError::From(reason))),
        }
    }
}

/// See [`SendHalf::splice`].
#[derive(Debug)]
#[must_use = "it sends when it is awaited or waited for"]
pub struct Splicing<'a> {
    half: &'a mut SendHalf,
    from: &'a mut RecvHalf,
    max: u64,
    flags: SendFlags,
    moved: u64,
}

impl Future for Splicing<'_> {
    type Output = Result<u64, SpliceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while this.moved < this.max {
            let left = usize::try_from(this.max - this.moved).unwrap_or(usize::MAX);
            match this.half.poll_splice(cx, this.from, left, this.flags) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(n)) => this.moved += n as u64,
                Poll::Ready(Err(error)) if this.moved == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(this.moved))
    }
}

impl Splicing<'_> {
    /// Blocks until all was sent, or the wait is over: then it returns how many bytes were, if any.
    ///
    /// # Errors
    /// When none was sent: how one of the connections ended; [`SpliceError::To`] with [`Error::WaitTimedOut`] or
    /// [`Error::Cancelled`].
    pub fn wait(mut self, wait: &Wait) -> Result<u64, SpliceError> {
        match block_on(&mut self, wait) {
            Ok(moved) => moved,
            Err(_) if self.moved > 0 => Ok(self.moved),
            Err(error) => Err(SpliceError::To(error)),
        }
    }
}
