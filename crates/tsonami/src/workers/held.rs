//! What both halves of a connection hold: as long as one of them lives the connection is not given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::core::Core;
use super::desk::{Desk, Order};
use super::link::Link;
use crate::ConnId;

/// What both halves hold.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) desk: Arc<Desk>,
    pub(crate) link: Arc<Link>,
    pub(crate) id: ConnId,
    /// Orders given by the sending half when it was dropped.
    pub(crate) given: AtomicU32,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The last half's drop comes after the other's.
        let number = self.given.load(Ordering::Relaxed);
        let release = Box::new(|core: &mut Core, id| core.release(id));
        self.desk.place(Order::Conn { conn: self.id, number, call: release });
    }
}
