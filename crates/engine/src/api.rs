//! What the application calls between two polls.

use std::net::SocketAddr;

use hdrhistogram::Histogram;
use tcp::conn::{ConnConfig, ConnStats, Keepalive, Setting, State};
use tcp::endpoint::{EndpointCounters, ListenError, ListenerId};
use tcp::{Event, FourTuple, Marks, Offset, Time};

use crate::counters::{self, Counters};
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::events::EngineEvent;
use crate::flow::ConnId;
use crate::nic::Nic;
use crate::slot::Slot;

impl<N: Nic> Engine<N> {
    /// Opens a connection to `remote`, from a port of our choice, and from each of our addresses in turn where we have several. The handshake takes place in later polls;
    /// [`Event::Connected`] or [`Event::Closed`] says how it went. The MTU in `cfg` is lowered to the engine's.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was sent then.
    pub fn connect(
        &mut self,
        now: Time,
        remote: SocketAddr,
        cfg: &ConnConfig,
    ) -> Result<ConnId, ConnectError> {
        self.connect_from(now, None, remote, cfg)
    }

    /// Like [`connect`](Engine::connect), from the given local port.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was sent then.
    pub fn connect_from(
        &mut self,
        now: Time,
        local_port: Option<u16>,
        remote: SocketAddr,
        cfg: &ConnConfig,
    ) -> Result<ConnId, ConnectError> {
        self.now = self.now.max(now);
        let now = self.now;
        let to = self.routes.destination(remote)?;
        let hop = self.routes.next_hop(*to.ip())?;
        if self.slots.is_full() {
            return Err(ConnectError::TooManyConnections(self.cfg.max_connections));
        }
        let neighbour = self
            .neighbours
            .hold(hop, now)
            .map_err(|_| ConnectError::TooManyNeighbours(self.cfg.neighbours.max))?;
        let cfg = self.fitting(cfg);
        let (flows, slots) = (&self.flows, &self.slots);
        let in_use = |t: &FourTuple| flows.contains(t, |k, t| slots.is(k, t));
        let nic = &self.nic;
        let made =
            self.endpoint.connect(now, self.routes.sources(), local_port, remote, &cfg, in_use, |tuple| {
                nic.owns(tuple)
            });
        let added = made.map_err(ConnectError::from).and_then(|(tuple, conn)| {
            let slot = Slot::new(conn, neighbour);
            let full = ConnectError::TooManyConnections(self.cfg.max_connections);
            let id = self.slots.insert(slot).map_err(|_| full.clone())?;
            if self.flows.insert(&tuple, id.index).is_err() {
                self.slots.remove(id.index);
                return Err(full);
            }
            Ok(id)
        });
        match &added {
            Ok(id) => {
                self.counters.connections_opened += 1;
                self.used(id.index);
            }
            Err(_) => self.neighbours.release(neighbour),
        }
        added
    }

    /// Accepts connections to `local`, at most `backlog` of them half open at once. Each announces itself by
    /// [`EngineEvent::Accepted`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        cfg: ConnConfig,
    ) -> Result<ListenerId, ListenError> {
        let cfg = self.fitting(&cfg);
        self.endpoint.listen(local, backlog, cfg)
    }

    /// Ends a listener; its connections live on. False when there is no such listener.
    pub fn unlisten(&mut self, id: ListenerId) -> bool {
        self.endpoint.unlisten(id)
    }

    /// The next thing that happened, in the order in which the connections had something to tell.
    pub fn poll_event(&mut self) -> Option<(ConnId, EngineEvent)> {
        loop {
            let index = *self.events.front()?;
            let id = self.slots.id_of(index);
            let slot = self.slots.get_mut(index).filter(|s| s.eventful && !s.released);
            let (Some(id), Some(slot)) = (id, slot) else {
                self.events.pop_front();
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.eventful = false;
                }
                continue;
            };
            let handed = slot.memory_ready;
            if let Some(event) = slot.next_event() {
                self.app_active = true;
                if handed {
                    // Looked after again once the application had its chance: what it does not use goes to others.
                    self.touch(index);
                }
                return Some((id, event));
            }
            slot.eventful = false;
            self.events.pop_front();
        }
    }

    /// The next received bytes, in order. Reading opens the window to the peer.
    pub fn read(&mut self, id: ConnId) -> Option<N::Buf> {
        let payload = self.slots.find_mut(id)?.conn.read()?;
        self.used(id.index);
        Some(payload)
    }

    /// Whether payloads wait for [`pop_reclaimed`](Engine::pop_reclaimed), where the application must then take them, or
    /// are dropped once they are reclaimed, as they are by default.
    pub fn keep_reclaimed(&mut self, id: ConnId, keep: bool) {
        if let Some(slot) = self.slots.find_mut(id) {
            slot.returns = keep;
            self.touch(id.index);
        }
    }

    /// The next payload that was acknowledged and that the port no longer reads, with the offset it was sent at. Those
    /// of copying sends are among them, and may be dropped. Always `None` without
    /// [`keep_reclaimed`](Engine::keep_reclaimed).
    pub fn pop_reclaimed(&mut self, id: ConnId) -> Option<(Offset, N::Buf)> {
        let slot = self.slots.find_mut(id).filter(|s| s.returns && !s.released)?;
        self.app_active = true;
        slot.conn.pop_reclaimed()
    }

    /// Ends our direction behind what was sent; reading goes on.
    pub fn shutdown_write(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.find_mut(id) {
            slot.conn.shutdown_write();
            self.used(id.index);
        }
    }

    /// Changes a setting of the connection from now on; what that lets out leaves with the next poll.
    pub fn set(&mut self, id: ConnId, setting: Setting) {
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.set(setting);
            self.used(id.index);
        }
    }

    /// Lets out what is held back now, by cork, by `more` or by Nagle's algorithm (`S17`); it leaves with the next poll.
    pub fn let_out(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.flush();
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

    /// Resets the connection. The handle stays valid until it is [released](Engine::release).
    pub fn abort(&mut self, id: ConnId) {
        let now = self.now;
        if let Some(slot) = self.slots.find_mut(id) {
            slot.conn.abort(now);
            self.used(id.index);
        }
    }

    /// Gives up the handle, which is stale from here on. What was sent is still delivered, then the connection ends,
    /// within its linger time; what arrives is discarded. Payloads go back to their pools.
    pub fn release(&mut self, id: ConnId) {
        let now = self.now;
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.released = true;
            slot.conn.close(now);
            self.used(id.index);
        }
    }

    /// Bytes that can be sent now; 0 for a stale handle.
    pub fn capacity(&self, id: ConnId) -> usize {
        self.ask(id, |s| s.conn.capacity()).unwrap_or(0)
    }

    /// How far the stream has come; `None` for a stale handle.
    pub fn marks(&self, id: ConnId) -> Option<Marks> {
        self.ask(id, |s| s.conn.marks())
    }

    /// What the connection counted; `None` for a stale handle.
    pub fn stats(&self, id: ConnId) -> Option<ConnStats> {
        let now = self.now;
        self.ask(id, |s| ConnStats { time: s.conn.time_shares(now), ..s.conn.stats() })
    }

    /// Where the connection stands; `None` for a stale handle.
    pub fn state(&self, id: ConnId) -> Option<State> {
        self.ask(id, |s| s.conn.state())
    }

    /// Who talks to whom; `None` for a stale handle.
    pub fn tuple(&self, id: ConnId) -> Option<FourTuple> {
        self.ask(id, |s| *s.conn.tuple())
    }

    /// Connections that exist, those nobody holds any more included; without those in TIME-WAIT.
    pub fn connections(&self) -> usize {
        self.slots.len()
    }

    /// Everything the loop counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every count there is, of the loop and of the protocol beside its connections, as (name, value, help).
    pub fn every_count(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> + '_ {
        self.counters.iter().chain(counters::of_endpoint(self.endpoint.counters()))
    }

    /// What the protocol counts beside its connections.
    pub fn endpoint_counters(&self) -> &EndpointCounters {
        self.endpoint.counters()
    }

    /// Connections in TIME-WAIT.
    pub fn time_wait_count(&self) -> usize {
        self.endpoint.time_wait_count()
    }

    /// Round-trip times of all connections, nanoseconds.
    pub fn rtt_histogram(&self) -> &Histogram<u64> {
        &self.rtt
    }

    /// The MTU in force, bytes of an IP packet.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The NIC.
    pub fn nic(&self) -> &N {
        &self.nic
    }

    /// The NIC, for what the engine does not do: statistics, buffers for zero-copy sends.
    pub fn nic_mut(&mut self) -> &mut N {
        &mut self.nic
    }

    /// Ends the engine: every connection is dropped on the spot, without a word to its peer, and every buffer
    /// returned. To end them properly see [`close_all`](Engine::close_all).
    pub fn into_nic(self) -> N {
        self.nic
    }

    /// What `ask` says of a connection whose handle nobody gave up.
    pub(crate) fn ask<T>(&self, id: ConnId, ask: impl FnOnce(&Slot<N>) -> T) -> Option<T> {
        self.slots.ask(id, |slot| (!slot.released).then(|| ask(slot)))?
    }

    /// The application did something with this connection.
    pub(crate) fn used(&mut self, index: u32) {
        self.app_active = true;
        self.charge_queue(index);
        self.notice(index);
    }

    /// `cfg` with what the port cannot do lowered to what it can.
    fn fitting(&self, cfg: &ConnConfig) -> ConnConfig {
        let mut cfg = cfg.clone();
        cfg.mtu = cfg.mtu.min(self.mtu);
        cfg
    }
}

impl<N: Nic> Slot<N> {
    /// What the application is to hear next.
    fn next_event(&mut self) -> Option<EngineEvent> {
        if self.tell_stuck {
            return self.take_error();
        }
        if self.embryonic {
            // Not complete yet: the application does not know of it.
            return None;
        }
        if std::mem::take(&mut self.memory_ready) {
            return Some(EngineEvent::Conn(Event::Writable));
        }
        match self.conn.poll_event()? {
            Event::Connected => Some(match self.accepted_by.take() {
                Some(listener) => EngineEvent::Accepted(listener),
                None => EngineEvent::Conn(Event::Connected),
            }),
            event => Some(EngineEvent::Conn(event)),
        }
    }

    /// Why it failed, once.
    pub(crate) fn take_error(&mut self) -> Option<EngineEvent> {
        if std::mem::take(&mut self.tell_stuck) {
            return Some(EngineEvent::Stuck { errno: self.errno });
        }
        self.conn.take_error().map(|error| EngineEvent::Conn(Event::Closed(Err(error))))
    }
}
