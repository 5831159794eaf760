//! Waiting for a future without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::wake::is_worker;
use crate::{Error, Wait};

/// How long a cancelled wait goes on at most: a flag wakes nobody.
const LOOK_FOR_CANCEL: Duration = Duration::from_millis(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until `future` is ready, as long as `wait` says.
///
/// # Panics
/// In a waker, which runs on the worker's thread: what it would wait for would never come.
pub(crate) fn block_on<F: Future>(future: F, wait: &Wait) -> Result<F::Output, Error> {
    assert!(!is_worker(), "a waker may not wait for the worker on whose thread it runs");
    // One that no clock will ever show is none.
    let deadline = wait.timeout().and_then(|timeout| Instant::now().checked_add(timeout));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        if wait.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let most = wait.can_be_cancelled().then_some(LOOK_FOR_CANCEL);
        match (left, most) {
            (Some(Duration::ZERO), _) => return Err(Error::WaitTimedOut),
            (Some(left), most) => thread::park_timeout(most.map_or(left, |most| most.min(left))),
            (None, Some(most)) => thread::park_timeout(most),
            (None, None) => thread::park(),
        }
    }
}
