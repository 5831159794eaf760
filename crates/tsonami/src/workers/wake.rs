//! Waking the application from a worker's thread.
//!
//! A waker is the application's code, and it runs where everybody's connections are looked after. It may do anything but
//! wait: poll its task there and then, drop handles, panic. None of that may end or stop the worker.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Wakes it, if there is one, with no lock held. Should it panic, nobody else has to do with that; it was printed.
pub(crate) fn wake(waker: impl Into<Option<Waker>>) {
    if let Some(waker) = waker.into() {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// This thread is a worker's from now on.
pub(crate) fn become_worker() {
    IS_WORKER.set(true);
}

/// Whether this thread is a worker's, where nobody may wait for a worker.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}
