//! Settings that the application changes while a connection lives.

use tcp::conn::Keepalive;

use crate::engine::Engine;
use crate::flow::ConnId;
use crate::nic::Nic;

impl<N: Nic> Engine<N> {
    /// Turns Nagle's algorithm off (`true`), which lets out what is held back, or on (`S16`).
    pub fn set_no_delay(&mut self, id: ConnId, on: bool) {
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.set_no_delay(on);
            self.used(id.index);
        }
    }

    /// Holds back short segments, or lets them out (`S17`).
    pub fn set_cork(&mut self, id: ConnId, on: bool) {
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.set_cork(on);
            self.used(id.index);
        }
    }

    /// Turns keepalive on, changes it, or turns it off (`S47`).
    pub fn set_keepalive(&mut self, id: ConnId, keepalive: Option<Keepalive>) {
        let now = self.now;
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.set_keepalive(now, keepalive);
            self.used(id.index);
        }
    }
}
