//! Settings that change while a connection lives.

use engine::ConnId;

use crate::stack::on;
use crate::{Keepalive, LocalEngine};

impl LocalEngine {
    /// Turns Nagle's algorithm off (`true`), which lets out what it or cork hold back, or on.
    pub fn set_no_delay(&mut self, id: ConnId, on: bool) {
        on!(&mut self.stack, engine => engine.set_no_delay(id, on));
    }

    /// Holds back short segments until this is unset, they are filled, or one retransmission timeout is over.
    pub fn set_cork(&mut self, id: ConnId, on: bool) {
        on!(&mut self.stack, engine => engine.set_cork(id, on));
    }

    /// Turns keepalive on, changes it, or turns it off. Silence so far counts.
    pub fn set_keepalive(&mut self, id: ConnId, keepalive: Option<Keepalive>) {
        let keepalive = keepalive.map(Keepalive::protocol);
        on!(&mut self.stack, engine => engine.set_keepalive(id, keepalive));
    }
}
