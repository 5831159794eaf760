//! Ending a connection from outside, by whoever holds no half of it.

use std::sync::{Arc, Weak};

use super::core::Core;
use super::desk::{Desk, Order};
use super::link::Link;

/// Resets a connection from any thread, though others hold its halves, wait on them, or wait for it to open: see
/// [`SendHalf::abort_handle`](crate::SendHalf::abort_handle). Clones do the same. It keeps neither connection nor engine.
#[derive(Clone, Debug)]
pub struct AbortHandle {
    desk: Weak<Desk>,
    link: Arc<Link>,
}

impl AbortHandle {
    pub(crate) fn new(desk: &Arc<Desk>, link: &Arc<Link>) -> AbortHandle {
        AbortHandle { desk: Arc::downgrade(desk), link: link.clone() }
    }

    /// Resets the connection; what the peer has not acknowledged is lost. It takes nothing to send from here on, and in its
    /// worker's next turn whoever waits is told [`Error::Aborted`](crate::Error::Aborted). A connection that is over, or whose
    /// halves were dropped, ends as it would have.
    pub fn abort(&self) {
        self.link.abort();
        if let Some(desk) = self.desk.upgrade() {
            let link = self.link.clone();
            desk.place(Order::Core(Box::new(move |core: &mut Core| _ = core.abort(&link))));
        }
    }

    /// Whether it was aborted, by this or another handle on it.
    pub fn is_aborted(&self) -> bool {
        self.link.is_aborted()
    }
}
