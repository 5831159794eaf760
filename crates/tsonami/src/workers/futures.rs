//! What a connection does that takes time, as futures that can also be waited for without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tcp::Offset;
use tcp::conn::SendFlags;

use super::link::Link;
use super::recv_half::RecvHalf;
use super::send_half::SendHalf;
use super::wait::block_on;
use crate::{Error, Payload, TrySendError, Wait};

/// See [`SendHalf::send`].
#[derive(Debug)]
#[must_use = "it sends when it is awaited or waited for"]
pub struct Sending<'a> {
    half: &'a mut SendHalf,
    payload: Option<Payload>,
    flags: SendFlags,
}

impl Future for Sending<'_> {
    type Output = Result<Offset, TrySendError<Payload>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.half.poll_send(cx, &mut this.payload, this.flags).map_err(|reason| TrySendError {
            // It is there unless it was sent.
            payload: this.payload.take().expect("a payload that was refused"),
            reason,
        })
    }
}

impl<'a> Sending<'a> {
    pub(crate) fn new(half: &'a mut SendHalf, payload: Payload, flags: SendFlags) -> Sending<'a> {
        Sending { half, payload: Some(payload), flags }
    }

    /// Blocks until it was sent.
    ///
    /// # Errors
    /// The payload comes back inside the error: how the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    #[expect(clippy::missing_panics_doc, reason = "what was not sent is still there")]
    pub fn wait(mut self, wait: &Wait) -> Result<Offset, TrySendError<Payload>> {
        match block_on(&mut self, wait) {
            Ok(sent) => sent,
            Err(reason) => {
                let payload = self.payload.take().expect("a payload that was not sent");
                Err(TrySendError { payload, reason })
            }
        }
    }
}

/// See [`SendHalf::send_copy`].
#[derive(Debug)]
#[must_use = "it sends when it is awaited or waited for"]
pub struct Copying<'a> {
    half: &'a mut SendHalf,
    bytes: &'a [u8],
    flags: SendFlags,
    taken: usize,
}

impl Future for Copying<'_> {
    type Output = Result<usize, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while this.taken < this.bytes.len() {
            match this.half.poll_send_copy(cx, &this.bytes[this.taken..], this.flags) {
                Poll::Ready(Ok(n)) => this.taken += n,
                Poll::Ready(Err(error)) if this.taken == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(this.taken))
    }
}

impl<'a> Copying<'a> {
    pub(crate) fn new(half: &'a mut SendHalf, bytes: &'a [u8], flags: SendFlags) -> Copying<'a> {
        Copying { half, bytes, flags, taken: 0 }
    }

    /// Blocks until all was taken, or the wait is over: then it returns how many bytes were, if any.
    ///
    /// # Errors
    /// When none was taken: how the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(mut self, wait: &Wait) -> Result<usize, Error> {
        match block_on(&mut self, wait) {
            Ok(taken) => taken,
            Err(_) if self.taken > 0 => Ok(self.taken),
            Err(error) => Err(error),
        }
    }
}

/// See [`SendHalf::acked`].
#[derive(Clone, Debug)]
#[must_use = "it waits when it is awaited or waited for"]
pub struct Acked {
    link: Arc<Link>,
    upto: Offset,
}

impl Future for Acked {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.link.poll_acked(self.upto, cx.waker()).map(|()| match self.link.end() {
            _ if self.link.acked() >= self.upto => Ok(()),
            Some(Err(error)) => Err(error),
            _ => Err(Error::Finished),
        })
    }
}

impl Acked {
    pub(crate) fn new(link: Arc<Link>, upto: Offset) -> Acked {
        Acked { link, upto }
    }

    /// Blocks until it is acknowledged.
    ///
    /// # Errors
    /// How the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(self, wait: &Wait) -> Result<(), Error> {
        block_on(self, wait)?
    }
}

/// See [`SendHalf::finish`].
#[derive(Clone, Debug)]
pub struct Finish {
    link: Arc<Link>,
}

impl Future for Finish {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.link.poll_acked(Offset(u64::MAX - 1), cx.waker()).map(|()| match self.link.end() {
            _ if self.link.is_finished() => Ok(()),
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        })
    }
}

impl Finish {
    pub(crate) fn new(link: Arc<Link>) -> Finish {
        Finish { link }
    }

    /// Blocks until the peer has everything.
    ///
    /// # Errors
    /// How the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(self, wait: &Wait) -> Result<(), Error> {
        block_on(self, wait)?
    }
}

/// See [`RecvHalf::read`].
#[derive(Debug)]
#[must_use = "it reads when it is awaited or waited for"]
pub struct Reading<'a> {
    half: &'a mut RecvHalf,
}

impl Future for Reading<'_> {
    type Output = Result<Option<Payload>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().half.poll_read(cx)
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn new(half: &'a mut RecvHalf) -> Reading<'a> {
        Reading { half }
    }

    /// Blocks until something arrived.
    ///
    /// # Errors
    /// How the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(self, wait: &Wait) -> Result<Option<Payload>, Error> {
        block_on(self, wait)?
    }
}
