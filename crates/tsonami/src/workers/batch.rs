//! Many payloads in one send.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tcp::conn::SendFlags;

use super::send_half::SendHalf;
use super::wait::block_on;
use crate::{Error, Payload, Wait};

impl SendHalf {
    /// Sends all payloads, as [`try_send_batch`](SendHalf::try_send_batch) does, waiting for room as often as need be. Ready
    /// with how many were sent: all, or fewer when the connection ended, as the next call tells. Dropped before it is ready,
    /// those that were sent are no longer in `payloads`.
    pub fn send_batch<'a>(&'a mut self, payloads: &'a mut Vec<Payload>, flags: SendFlags) -> Batching<'a> {
        Batching { half: self, payloads, flags, sent: 0 }
    }

    /// One step of [`send_batch`](SendHalf::send_batch): ready with how many payloads were sent, at least one unless there
    /// are none.
    ///
    /// # Errors
    /// As [`try_send_batch`](SendHalf::try_send_batch), without those that mean later.
    pub fn poll_send_batch(
        &mut self,
        cx: &mut Context<'_>,
        payloads: &mut Vec<Payload>,
        flags: SendFlags,
    ) -> Poll<Result<usize, Error>> {
        let first = payloads.first().map_or(0, |first| first.len() as u64);
        self.poll_until(cx, first, |half| half.try_send_batch(payloads, flags))
    }
}

/// See [`SendHalf::send_batch`].
#[derive(Debug)]
#[must_use = "it sends when it is awaited or waited for"]
pub struct Batching<'a> {
    half: &'a mut SendHalf,
    payloads: &'a mut Vec<Payload>,
    flags: SendFlags,
    sent: usize,
}

impl Future for Batching<'_> {
    type Output = Result<usize, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while !this.payloads.is_empty() {
            match this.half.poll_send_batch(cx, this.payloads, this.flags) {
                Poll::Ready(Ok(n)) => this.sent += n,
                Poll::Ready(Err(error)) if this.sent == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(this.sent))
    }
}

impl Batching<'_> {
    /// Blocks until all were sent, or the wait is over: then it returns how many were, if any. The others stay where they
    /// are.
    ///
    /// # Errors
    /// When none was sent: how the connection ended, [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(mut self, wait: &Wait) -> Result<usize, Error> {
        match block_on(&mut self, wait) {
            Ok(sent) => sent,
            Err(_) if self.sent > 0 => Ok(self.sent),
            Err(error) => Err(error),
        }
    }
}
