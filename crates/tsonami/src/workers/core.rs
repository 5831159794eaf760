//! A worker: one thread, one [`LocalEngine`], and the connections that other threads hold the handles of.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use ring::{Consumer, Producer, Sleeper};
use tcp::conn::State;
use tcp::endpoint::ListenerId;
use tcp::{Offset, SendTime, Time};

use super::connection::Connection;
use super::copiers::Watch;
use super::crew::{Ended, Member};
use super::desk::{Desk, LANE, Order};
use super::link::{Link, Opening};
use super::listener::Arrivals;
use super::wake::become_worker;
use crate::{ConnId, ConnectOptions, Error, Event, LocalEngine, Payload, ShutdownError, TrySendError};

/// Orders taken from one lane in one turn. Few enough that the device is looked at in between.
const ORDERS: usize = 256;

/// Pieces of received payload that are handed over before the application took any.
pub(crate) const PIECES: usize = 64;

/// Times of sends that are kept before the application took any.
pub(crate) const TIMES: usize = 1024;

/// What a worker knows of a connection that the application holds.
struct Client {
    id: ConnId,
    link: Arc<Link>,
    /// The number of the order that comes next.
    next: u32,
    /// Orders that came too early: their connection changed threads.
    early: Vec<Order>,
    /// Orders behind a send that was granted, and refused by the engine all the same: memory was short.
    backlog: VecDeque<Order>,
    received: Producer<Payload>,
    /// Where payload goes that is reclaimed, if the application wants it back.
    reclaimed: Option<Producer<(Offset, Payload)>>,
    /// Where times of sends go, if the application wants them.
    times: Option<Producer<SendTime>>,
    /// Something is to be told.
    touched: bool,
    /// There is more to read than the application has taken.
    unread: bool,
}

/// See the module.
pub(crate) struct Core {
    engine: LocalEngine,
    desk: Arc<Desk>,
    sleeper: Sleeper,
    /// By [`ConnId::index`].
    clients: Vec<Option<Client>>,
    listeners: HashMap<ListenerId, Arc<Arrivals>>,
    /// What it knows of buffers that somebody waits for.
    copiers: Watch,
    /// Connections of which something is to be told in this turn.
    touched: Vec<ConnId>,
    /// Connections whose reader is behind.
    unread: Vec<ConnId>,
    /// Connections whose payload goes back to the application.
    returning: Vec<ConnId>,
    /// Connections that were given up, and whose futures are still to be told.
    left: Vec<Arc<Link>>,
    /// When everything is to have ended.
    stop: Option<Time>,
    /// It was told to stop, and everything was told to end.
    finishing: bool,
    /// Connections that ended since, and whose reader may be behind.
    ended: Vec<ConnId>,
}

impl Core {
    pub(crate) fn new(engine: LocalEngine, desk: Arc<Desk>, sleeper: Sleeper) -> Core {
        Core {
            engine,
            desk,
            sleeper,
            clients: Vec::new(),
            listeners: HashMap::new(),
            copiers: Watch::default(),
            touched: Vec::new(),
            unread: Vec::new(),
            returning: Vec::new(),
            left: Vec::new(),
            stop: None,
            finishing: false,
            ended: Vec::new(),
        }
    }

    /// Turns the engine until it is told to stop, then ends it. Whoever still has a handle is told, even after a panic.
    pub(crate) fn run(mut self, mut member: Member) -> Result<(), ShutdownError> {
        become_worker();
        // Not in `self`: what lies in the lanes is there to be dropped however a turn ended.
        let mut lanes = Vec::new();
        let turned = catch_unwind(AssertUnwindSafe(|| self.turn_until_stopped(&mut lanes)));
        self.take_leave(&mut lanes);
        let Core { mut engine, .. } = self;
        let drained = turned.is_ok();
        // After a panic, what state it is in nobody knows. It is taken apart all the same, if it can be, and what is missing then
        // is told too.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            if drained {
                // What the peer has wholly is not reset because it has not ended its own side.
                engine.close_all();
            }
            engine.wind_up(drained, || {
                member.leave();
                drained && !member.all_left()
            })
        }));
        let (wreck, again) = match ended {
            Ok(wreck) => (Some(wreck), None),
            Err(again) => (None, Some(ShutdownError::panicked(&*again, None))),
        };
        let panic = match turned {
            Ok(()) => again,
            Err(panic) => Some(ShutdownError::panicked(&*panic, again)),
        };
        member.end(Ended { wreck, panic })
    }

    fn turn_until_stopped(&mut self, lanes: &mut Vec<Consumer<Order>>) {
        loop {
            let mut busy = self.take_orders(lanes);
            if self.stop.is_some() && !mem::replace(&mut self.finishing, true) {
                // What other threads sent before lies in their lanes.
                (0..LANE / ORDERS).for_each(|_| _ = self.take_orders(lanes));
                self.finish_all();
            }
            let now = self.engine.now();
            let progress = self.engine.poll(now);
            busy |= progress.is_busy() || progress.more;
            self.hear();
            self.read_on();
            self.give_back();
            self.tell();
            self.desk.wake_copiers(&mut self.copiers, now);
            self.let_go();
            if self.stop.is_some_and(|by| now >= by || self.engine.is_idle()) {
                return;
            }
            let Core { engine, desk, sleeper, .. } = &mut *self;
            engine.rest_by(busy, |time| {
                sleeper.rest(time, || lanes.iter().all(Consumer::is_empty) && !desk.has_new_lanes());
            });
        }
    }

    /// The engine, for whoever gives an order that is not about a connection.
    pub(crate) fn engine(&mut self) -> &mut LocalEngine {
        &mut self.engine
    }

    /// What it counted, and its engine.
    pub(crate) fn every_count(&self) -> Vec<(&'static str, u64, &'static str)> {
        let woken = self.sleeper.woken() as u64;
        let mut counts = self.engine.every_count();
        counts.push((
            "worker_woken",
            woken,
            "times a thread woke the worker, which slept: each is a system call",
        ));
        counts
    }

    /// Ends every connection, properly if that takes no longer than `drain`.
    pub(crate) fn stop(&mut self, drain: Duration) {
        self.stop.get_or_insert(self.engine.now() + drain.into());
    }

    /// Finishes every connection behind what was sent, and takes no new ones. Until they end their handles are told as ever.
    fn finish_all(&mut self) {
        for (id, arrivals) in mem::take(&mut self.listeners) {
            self.engine.unlisten(id);
            arrivals.close(self.desk.worker());
        }
        let worker = self.desk.worker();
        let all: Vec<ConnId> = self.clients.iter().flatten().map(|client| client.id).collect();
        for id in all {
            match self.engine.state(id) {
                Some(state) if state.is_opening() => {
                    if let Some(client) = self.client(id) {
                        client.link.close(Err(Error::WorkerGone { worker, acked: Offset::ZERO }));
                    }
                    self.engine.abort(id);
                }
                state if is_past(state) => self.ended.push(id),
                // The number is that of no order in a lane: this one is not.
                _ => {
                    self.queue(id, Order::Conn { conn: id, number: 0, call: Box::new(Core::shutdown_write) });
                }
            }
        }
    }

    fn shutdown_write(&mut self, id: ConnId) {
        self.engine.shutdown_write(id);
    }

    /// Forgets connections that ended, once what they received is read: nothing is left to wait for.
    fn let_go(&mut self) {
        let mut ended = mem::take(&mut self.ended);
        ended.retain(|&id| {
            let unread = self.client(id).is_some_and(|client| client.unread);
            if !unread {
                self.engine.release(id);
                if let Some(client) = find(&mut self.clients, id) {
                    // What else it ended with was told.
                    client.link.close(Ok(()));
                    self.left.push(client.link.clone());
                }
            }
            unread
        });
        self.ended = ended;
    }

    /// Opens a connection, of which `link` will tell.
    pub(crate) fn connect(
        &mut self,
        opening: &Opening,
        received: Producer<Payload>,
        peer: SocketAddr,
        options: Option<&ConnectOptions>,
    ) {
        let link = &opening.link;
        // Who connects to an engine that ends is told when `opening` is dropped.
        if link.is_aborted() || self.finishing {
            return;
        }
        let now = self.engine.now();
        match self.engine.connect(peer, options, now) {
            Ok(id) => self.adopt(id, link.clone(), received),
            // It is told when `opening` is dropped.
            Err(error) => link.close(Err(error)),
        }
    }

    /// Resets a connection, if there is one: it may not have been made yet, or its handle be given up.
    pub(crate) fn abort(&mut self, link: &Arc<Link>) -> Option<ConnId> {
        let id = link.id()?;
        self.client(id).filter(|client| Arc::ptr_eq(&client.link, link))?;
        self.engine.abort(id);
        Some(id)
    }

    /// Gives up a connection that was not open yet when the application lost interest.
    pub(crate) fn abandon(&mut self, link: &Arc<Link>) {
        if let Some(id) = self.abort(link) {
            self.release(id);
        }
    }

    /// Accepts connections for `arrivals`.
    pub(crate) fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: Option<&ConnectOptions>,
        arrivals: &Arc<Arrivals>,
    ) -> Result<ListenerId, crate::ListenError> {
        let id = self.engine.listen(local, backlog, options)?;
        self.listeners.insert(id, arrivals.clone());
        Ok(id)
    }

    /// Accepts no more there.
    pub(crate) fn unlisten(&mut self, listener: ListenerId) {
        self.engine.unlisten(listener);
        self.listeners.remove(&listener);
    }

    /// The application gave its handle up. What it sent is delivered.
    pub(crate) fn release(&mut self, id: ConnId) {
        let slot = self.clients.get_mut(id.index());
        if let Some(client) = slot.and_then(|slot| slot.take_if(|client| client.id == id)) {
            self.engine.release(id);
            // A future may outlive the handle it is from.
            client.link.close(Err(Error::Gone));
            self.left.push(client.link);
        }
    }

    /// Payload that is reclaimed goes there from now on.
    pub(crate) fn give_back_to(&mut self, id: ConnId, reclaimed: Producer<(Offset, Payload)>) {
        if let Some(client) = self.client(id)
            && client.reclaimed.replace(reclaimed).is_none()
        {
            self.engine.keep_reclaimed(id, true);
            self.returning.push(id);
        }
    }

    /// Times of sends go there from now on.
    pub(crate) fn tell_times_to(&mut self, id: ConnId, times: Producer<SendTime>) {
        if let Some(client) = self.client(id) {
            client.times = Some(times);
        }
    }

    fn adopt(&mut self, id: ConnId, link: Arc<Link>, received: Producer<Payload>) {
        link.name(id);
        if self.clients.len() <= id.index() {
            self.clients.resize_with(id.index() + 1, || None);
        }
        self.clients[id.index()] = Some(Client {
            id,
            link,
            next: 0,
            early: Vec::new(),
            backlog: VecDeque::new(),
            received,
            reclaimed: None,
            times: None,
            touched: false,
            unread: false,
        });
    }

    fn client(&mut self, id: ConnId) -> Option<&mut Client> {
        find(&mut self.clients, id)
    }

    /// Takes what lies in the lanes; whether there was anything.
    fn take_orders(&mut self, lanes: &mut Vec<Consumer<Order>>) -> bool {
        self.desk.take_new_lanes(lanes);
        let mut any = false;
        lanes.retain_mut(|lane| {
            for order in lane.take(ORDERS) {
                any = true;
                self.take(order);
            }
            !lane.is_abandoned()
        });
        any
    }

    /// Takes an order in its turn.
    fn take(&mut self, order: Order) {
        let Some((conn, number)) = order.conn() else {
            let _ = self.carry_out(order);
            return;
        };
        // None comes after the one that releases the handle.
        let Some(client) = self.client(conn) else { return };
        if number != client.next {
            client.early.push(order);
            return;
        }
        let mut order = Some(order);
        while let Some(due) = order {
            self.queue(conn, due);
            let Some(client) = self.client(conn) else { return };
            client.next = client.next.wrapping_add(1);
            let next = Some((conn, client.next));
            let early = client.early.iter().position(|order| order.conn() == next);
            order = early.map(|at| client.early.swap_remove(at));
        }
    }

    /// Carries an order out, behind those that wait.
    fn queue(&mut self, id: ConnId, order: Order) {
        let waits = self.client(id).is_some_and(|client| !client.backlog.is_empty());
        let refused = if waits { Some(order) } else { self.carry_out(order) };
        if let Some(refused) = refused
            && let Some(client) = self.client(id)
        {
            client.backlog.push_back(refused);
        }
    }

    /// Carries out what waited.
    fn resume(&mut self, id: ConnId) {
        while let Some(order) = self.client(id).and_then(|client| client.backlog.pop_front()) {
            if let Some(refused) = self.carry_out(order) {
                if let Some(client) = self.client(id) {
                    client.backlog.push_front(refused);
                }
                return;
            }
        }
    }

    /// Carries an order out. A send for which there is no memory comes back.
    fn carry_out(&mut self, order: Order) -> Option<Order> {
        match order {
            Order::Core(call) => call(self),
            Order::Conn { conn, call, .. } => call(self, conn),
            Order::Send { conn, number, payload, flags } => match self.engine.send(conn, payload, flags) {
                Ok(_) => self.touch(conn),
                Err(TrySendError { payload, reason: Error::Full | Error::PoolExhausted }) => {
                    return Some(Order::Send { conn, number, payload, flags });
                }
                // The connection is over, as its link says or will say.
                Err(_) => {}
            },
        }
        None
    }

    /// Something is to be told of this connection.
    fn touch(&mut self, id: ConnId) {
        if let Some(client) = self.client(id)
            && !mem::replace(&mut client.touched, true)
        {
            self.touched.push(id);
        }
    }

    /// What happened in the engine.
    fn hear(&mut self) {
        while let Some((id, event)) = self.engine.poll_event() {
            match event {
                Event::Accepted(listener) => self.accept(id, listener),
                Event::Connected => {
                    let tuple = self.engine.tuple(id);
                    if let Some(client) = self.client(id) {
                        client.link.open(tuple);
                    }
                }
                Event::Readable | Event::PeerFinished => self.read(id),
                Event::Writable => self.resume(id),
                Event::SendTime(time) => {
                    if let Some(client) = self.client(id)
                        && let Some(times) = &mut client.times
                        && times.push(time).is_err()
                    {
                        client.link.lose_time();
                    }
                }
                Event::Finished => {
                    self.reach(id);
                    if let Some(client) = self.client(id) {
                        client.link.finished();
                    }
                }
                Event::Closed(end) => {
                    self.reach(id);
                    if let Some(client) = self.client(id) {
                        client.link.close(end);
                    }
                    self.read(id);
                    // Sends fail now, and what waits behind them has its turn.
                    self.resume(id);
                }
                _ => {}
            }
            self.touch(id);
            if self.finishing && is_past(self.engine.state(id)) {
                self.ended.push(id);
            }
        }
    }

    /// Says how far a stream came, before it is said that it is over: whoever waits for an acknowledgement and sees the one sees
    /// the other.
    fn reach(&mut self, id: ConnId) {
        if let Some(marks) = self.engine.marks(id)
            && let Some(client) = self.client(id)
        {
            client.link.reach(marks);
        }
    }

    fn accept(&mut self, id: ConnId, listener: ListenerId) {
        let Some(arrivals) = self.listeners.get(&listener).cloned() else {
            // Nobody will ever take it.
            self.engine.abort(id);
            self.engine.release(id);
            return;
        };
        let link = Arc::new(Link::default());
        let (received, pieces) = ring::late_ring(PIECES);
        self.adopt(id, link.clone(), received);
        link.open(self.engine.tuple(id));
        if let Some(unwanted) = arrivals.push(Connection::new(self.desk.clone(), link, id, pieces)) {
            unwanted.abort();
        }
    }

    /// Hands received bytes over, as many pieces as the application has room for. The rest stays where it is, and closes the
    /// window to the peer.
    fn read(&mut self, id: ConnId) {
        let Some(client) = find(&mut self.clients, id) else {
            return;
        };
        let mut batch = client.received.batch();
        let (mut left, mut any) = (true, false);
        while batch.room() > 0 {
            let Some(payload) = self.engine.read(id) else {
                left = false;
                break;
            };
            // There is room.
            let _ = batch.push(payload);
            any = true;
        }
        drop(batch);
        if left {
            if !mem::replace(&mut client.unread, true) {
                self.unread.push(id);
            }
        } else {
            client.unread = false;
            if self.engine.state(id).is_none_or(|state| state.has_peer_finished() || state == State::Closed) {
                client.link.read_out();
                any = true;
            }
        }
        if any {
            self.touch(id);
        }
    }

    /// Looks after readers that were behind.
    fn read_on(&mut self) {
        // Those still behind come again behind these. The list keeps its memory: this is where bytes pass.
        let behind = self.unread.len();
        for at in 0..behind {
            let id = self.unread[at];
            let Some(client) = self.client(id) else { continue };
            client.unread = false;
            self.read(id);
        }
        self.unread.drain(..behind);
    }

    /// Gives back payload that was reclaimed, as far as the application has room for it.
    fn give_back(&mut self) {
        let mut returning = mem::take(&mut self.returning);
        returning.retain(|&id| {
            let Some(client) = find(&mut self.clients, id) else {
                return false;
            };
            let Some(reclaimed) = &mut client.reclaimed else { return false };
            let mut any = false;
            while reclaimed.room() > 0
                && let Some(returned) = self.engine.pop_reclaimed(id)
            {
                any |= reclaimed.push(returned).is_ok();
            }
            if any && !mem::replace(&mut client.touched, true) {
                self.touched.push(id);
            }
            true
        });
        self.returning = returning;
    }

    /// Publishes how far connections have come, and wakes who waits for it.
    fn tell(&mut self) {
        if self.touched.is_empty() && self.left.is_empty() {
            return;
        }
        for &id in &self.touched {
            let Some(client) = find(&mut self.clients, id) else {
                continue;
            };
            client.touched = false;
            if let Some(marks) = self.engine.marks(id) {
                let capacity = if client.backlog.is_empty() { self.engine.capacity(id) } else { 0 };
                client.link.publish(marks, capacity);
            }
        }
        fence(Ordering::SeqCst);
        // As in `read_on`.
        let told = self.touched.len();
        for at in 0..told {
            let id = self.touched[at];
            if self.client(id).is_some_and(|client| !client.link.wake()) {
                self.touch(id);
            }
        }
        self.touched.drain(..told);
        self.left.retain(|link| !link.wake());
    }

    /// Tells whoever still has a handle that there is nobody any more.
    fn take_leave(&mut self, lanes: &mut Vec<Consumer<Order>>) {
        self.desk.leave(lanes);
        for link in self.left.drain(..) {
            link.dismiss();
        }
        for client in self.clients.drain(..).flatten() {
            client
                .link
                .close(Err(Error::WorkerGone { worker: self.desk.worker(), acked: client.link.acked() }));
            client.link.read_out();
            client.link.dismiss();
        }
        for (_, arrivals) in self.listeners.drain() {
            arrivals.close(self.desk.worker());
        }
        self.desk.dismiss_copiers();
    }
}

/// Nothing will happen on a connection in this state that anybody waits for.
fn is_past(state: Option<State>) -> bool {
    matches!(state, Some(State::Closed | State::TimeWait) | None)
}

/// The client of this name, unless it is gone. Not a method: the engine is used while it is borrowed.
fn find(clients: &mut [Option<Client>], id: ConnId) -> Option<&mut Client> {
    clients.get_mut(id.index())?.as_mut().filter(|client| client.id == id)
}

#[cfg(test)]
mod tests {
    use super::super::held::Held;
    use super::*;

    #[test]
    fn an_idle_connection_takes_little_beside_what_it_takes_of_its_engine() {
        /// What is counted lies behind its counts.
        fn counted<T>() -> usize {
            size_of::<T>() + align_of::<T>().max(2 * size_of::<usize>())
        }
        let (worker, link, ring) = (size_of::<Option<Client>>(), counted::<Link>(), ring::LATE_RING);
        let handle = size_of::<Connection>() + counted::<Held>();
        let all = worker + link + ring + handle;
        println!("worker {worker}, link {link}, ring {ring}, handle {handle}: {all} bytes");
        println!("the ring's places, with the first piece: {}", PIECES * size_of::<Payload>());
        assert!(all <= 2048, "{all} bytes");
    }
}
