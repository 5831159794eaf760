//! What a caller asks that turns the loop itself until something happened (`S2`). Nothing here takes an event away from
//! anybody but the one that is waited for: all others stay where [`poll_event`](Engine::poll_event) finds them.

use tcp::Event;
use tcp::endpoint::ListenerId;

use crate::engine::Engine;
use crate::events::EngineEvent;
use crate::flow::ConnId;
use crate::nic::Nic;

impl<N: Nic> Engine<N> {
    /// A send would be refused now, and not later: the handshake is under way, or an earlier send was refused for want of
    /// room or of a buffer, and no [`Event::Writable`] was due since.
    pub fn must_wait(&self, id: ConnId) -> bool {
        let waits = self.ask(id, |s| {
            let waits = s.conn.state().is_opening() || s.wants_memory || s.conn.awaits_room();
            waits && s.conn.write_closed().is_none()
        });
        waits.unwrap_or(false)
    }

    /// Takes the news that a connection of ours is open: [`Event::Connected`] is not told any more.
    pub fn take_connected(&mut self, id: ConnId) -> bool {
        let slot = self.slots.find_mut(id).filter(|s| !s.released && s.accepted_by.is_none());
        slot.is_some_and(|s| s.conn.take_event(Event::Connected))
    }

    /// Whether there is such a listener: otherwise nobody needs to wait for it.
    pub fn has_listener(&self, id: ListenerId) -> bool {
        self.endpoint.has_listener(id)
    }

    /// The connection that `listener` accepted first and nobody was told of; [`EngineEvent::Accepted`] is not told any
    /// more.
    pub fn take_accepted(&mut self, listener: ListenerId) -> Option<ConnId> {
        let slots = &mut self.slots;
        let index = self.events.iter().copied().find(|&index| {
            slots.get_mut(index).is_some_and(|s| {
                let told = s.accepted_by != Some(listener) || s.embryonic || s.released;
                !told && s.conn.take_event(Event::Connected)
            })
        })?;
        self.slots.get_mut(index)?.accepted_by = None;
        self.slots.id_of(index)
    }

    /// Why the connection failed, by [`Event::Closed`] or [`EngineEvent::Stuck`], unless it was told already; it is not
    /// told any more.
    pub fn take_error(&mut self, id: ConnId) -> Option<EngineEvent> {
        let slot = self.slots.find_mut(id).filter(|s| !s.released && !s.embryonic)?;
        slot.take_error()
    }
}
