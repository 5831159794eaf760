//! Ending a wait from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends waits: clones share one flag, which any thread may set, and a signal handler too, since that takes one atomic
/// store. It stays set, for waits to come as well, until it is [reset](Cancel::reset).
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends the waits that look at it, within microseconds.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Lets waits wait again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A flag that somebody else sets, such as a signal handler's.
impl From<Arc<AtomicBool>> for Cancel {
    fn from(flag: Arc<AtomicBool>) -> Cancel {
        Cancel(flag)
    }
}
