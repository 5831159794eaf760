//! One answer from a worker to one question.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::wake::wake;

/// Where the answer will be.
#[derive(Debug)]
struct Slot<T> {
    answer: Option<T>,
    /// The one who asked, or the one who was to answer, is gone.
    closed: bool,
    waker: Option<Waker>,
}

/// Gives the answer.
#[derive(Debug)]
pub(crate) struct Reply<T>(Arc<Mutex<Slot<T>>>);

/// Waits for it: `None` when nobody will give one.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// The two ends.
pub(crate) fn answer<T>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot { answer: None, closed: false, waker: None }));
    (Reply(slot.clone()), Answer(slot))
}

impl<T> Reply<T> {
    pub(crate) fn give(self, answer: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answer = Some(answer);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.closed = true;
        let waker = slot.waker.take();
        drop(slot);
        wake(waker);
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // Not cloned nor dropped under the lock: that is the application's code.
        let mut waker = Some(cx.waker().clone());
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.closed {
            return Poll::Ready(slot.answer.take());
        }
        std::mem::swap(&mut slot.waker, &mut waker);
        drop(slot);
        Poll::Pending
    }
}
