//! The standard library's atomics and threads, or loom's, which try every order of things.

#[cfg(not(loom))]
pub(crate) use {
    std::sync::Arc,
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    std::thread::{Thread, current},
};

#[cfg(loom)]
pub(crate) use {
    loom::sync::Arc,
    loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    loom::thread::{Thread, current},
};

/// Blocks the thread until it is unparked, or for so long; or returns for no reason.
#[cfg(not(loom))]
pub(crate) fn park(at_most: std::time::Duration) {
    std::thread::park_timeout(at_most);
}

/// In loom there is no time: whoever would only be saved by the timeout hangs, and loom reports it.
#[cfg(loom)]
pub(crate) fn park(_at_most: std::time::Duration) {
    loom::thread::park();
}

/// A cell whose accesses loom checks against each other.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Cell<T>(loom::cell::UnsafeCell<T>);

/// A cell.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Cell<T>(core::cell::UnsafeCell<T>);

impl<T> Cell<T> {
    pub(crate) fn new(value: T) -> Cell<T> {
        #[cfg(loom)]
        return Cell(loom::cell::UnsafeCell::new(value));
        #[cfg(not(loom))]
        return Cell(core::cell::UnsafeCell::new(value));
    }

    /// Runs `f` with the address. Whether it may be written to, the caller must know.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        #[cfg(loom)]
        return self.0.with_mut(f);
        #[cfg(not(loom))]
        return f(self.0.get());
    }

    /// Runs `f` with the address, which is only read from.
    #[inline]
    pub(crate) fn read<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        #[cfg(loom)]
        return self.0.with(f);
        #[cfg(not(loom))]
        return f(self.0.get());
    }
}
