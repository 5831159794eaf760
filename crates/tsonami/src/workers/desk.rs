//! Where a worker takes orders.
//!
//! Each thread that gives orders to a worker has a lane there, a ring of its own, so threads never wait for each other. A
//! handle on a connection may move to another thread and so to another lane; as lanes know nothing of each other, the
//! orders of one connection are numbered, and the worker holds back what comes too early.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

use dpdk::BufMut;
use ring::{Bell, Consumer, Producer};
use tcp::Time;
use tcp::conn::SendFlags;

use super::answer::{Answer, answer};
use super::copiers::{Copiers, Watch};
use super::copies::Copies;
use super::core::Core;
use super::wait::block_on;
use super::wake::is_worker;
use crate::{ConnId, Payload, Wait};

/// Orders that a lane has room for.
pub(crate) const LANE: usize = 1024;

/// What a worker is to do.
pub(crate) enum Order {
    /// Send this, and no doubt about it: there was room.
    Send { conn: ConnId, number: u32, payload: Payload, flags: SendFlags },
    /// Anything else that concerns a connection, in its turn.
    Conn { conn: ConnId, number: u32, call: ConnCall },
    /// Anything that concerns no connection, or one that has no name yet.
    Core(CoreCall),
}

/// See [`Order::Conn`].
pub(crate) type ConnCall = Box<dyn FnOnce(&mut Core, ConnId) + Send>;
/// See [`Order::Core`].
pub(crate) type CoreCall = Box<dyn FnOnce(&mut Core) + Send>;

impl Order {
    /// Which connection it concerns, and its number among the orders for that.
    pub(crate) fn conn(&self) -> Option<(ConnId, u32)> {
        match self {
            Order::Send { conn, number, .. } | Order::Conn { conn, number, .. } => Some((*conn, *number)),
            Order::Core(_) => None,
        }
    }
}

/// Why an order was not taken; it comes back.
#[derive(Debug)]
pub(crate) enum Declined {
    /// The lane is full: the worker is busy with what came before.
    Full(Order),
    /// The worker is gone.
    Gone(Order),
}

/// Where a worker takes orders: see the module. Every worker's lies in cache lines of its own, in pairs as they are fetched.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Desk {
    worker: u16,
    bell: Bell,
    /// Where copying sends copy to.
    copies: Copies,
    copiers: Copiers,
    /// Lanes the worker has not seen yet.
    new_lanes: Mutex<Vec<Consumer<Order>>>,
    has_new_lanes: AtomicBool,
    gone: AtomicBool,
}

/// This thread's lane to one worker.
struct Lane {
    /// A thread that once gave an order keeps no engine, and none of its memory.
    desk: Weak<Desk>,
    orders: Producer<Order>,
}

thread_local! {
    static LANES: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

impl Lane {
    fn leads_to(&self, desk: &Arc<Desk>) -> bool {
        core::ptr::eq(self.desk.as_ptr(), Arc::as_ptr(desk))
    }
}

impl Desk {
    /// The desk of the worker that `bell` wakes.
    pub(crate) fn new(worker: u16, bell: Bell, copies: Copies) -> Desk {
        Desk {
            worker,
            bell,
            copies,
            copiers: Copiers::default(),
            new_lanes: Mutex::default(),
            has_new_lanes: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// Which worker's it is.
    pub(crate) fn worker(&self) -> u16 {
        self.worker
    }

    /// Gives orders, in this order, as many as the lane has room for and `next` has; the worker sees them together. `next`
    /// is asked only when there is room. False when the worker is gone, and then nothing was asked for.
    pub(crate) fn place_all(self: &Arc<Self>, mut next: impl FnMut() -> Option<Order>) -> bool {
        if self.is_gone() {
            return false;
        }
        self.with_lane(|lane| {
            let mut batch = lane.batch();
            while batch.room() > 0
                && let Some(order) = next()
            {
                // There is room.
                let _ = batch.push(order);
            }
        });
        self.bell.ring();
        if self.is_gone() {
            // It did not see them, perhaps. They end as what was under way when it ended.
            self.close_lane();
        }
        true
    }

    /// Whether this thread's lane has room for an order. It has until this thread gives one: no other puts any in.
    pub(crate) fn has_room(self: &Arc<Self>) -> bool {
        let mut room = false;
        self.with_lane(|lane| room = lane.room() > 0);
        room
    }

    /// Gives one order.
    pub(crate) fn try_place(self: &Arc<Self>, order: Order) -> Result<(), Declined> {
        let mut order = Some(order);
        let there = self.place_all(|| order.take());
        match order {
            None => Ok(()),
            Some(order) if there => Err(Declined::Full(order)),
            Some(order) => Err(Declined::Gone(order)),
        }
    }

    /// Gives one order, however long the lane is full: the worker takes what is in it whatever happens. On a worker's thread,
    /// where a waker gives up handles, nobody waits: the order gets a lane for itself. False when the worker is gone.
    pub(crate) fn place(self: &Arc<Self>, mut order: Order) -> bool {
        loop {
            match self.try_place(order) {
                Ok(()) => return true,
                Err(Declined::Gone(_)) => return false,
                Err(Declined::Full(back)) if is_worker() => {
                    self.place_apart(back);
                    return true;
                }
                Err(Declined::Full(back)) => order = back,
            }
            std::thread::yield_now();
        }
    }

    /// Gives one order in a lane for this once. It may overtake those given before.
    fn place_apart(&self, order: Order) {
        // There is room.
        let _ = self.new_lane(1).push(order);
        self.bell.ring();
        if self.is_gone() {
            self.drop_unseen();
        }
    }

    /// Asks the worker, and waits for the answer; `None` when it is gone.
    pub(crate) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Option<T> {
        block_on(self.question(question), &Wait::forever()).ok().flatten()
    }

    /// Asks the worker; the answer is `None` when it is gone.
    pub(crate) fn question<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = answer();
        // A worker that is gone drops the question, and the reply with it.
        self.place(Order::Core(Box::new(move |core: &mut Core| reply.give(question(core)))));
        answer
    }

    /// A buffer to copy so many bytes into.
    pub(crate) fn buffer(&self, bytes: usize) -> Option<BufMut> {
        self.copies.buffer(bytes)
    }

    /// Whether such a buffer is not to be kept for later.
    pub(crate) fn is_short_of(&self, buffer: &BufMut) -> bool {
        self.copies.is_short_of(buffer)
    }

    /// Has somebody woken when there is a buffer to copy into. Whoever waits tries again after this.
    pub(crate) fn wait_for_buffer(&self, waker: &Waker) {
        self.copiers.add(waker);
    }

    /// The worker ended, well or badly.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Runs `f` with this thread's lane.
    fn with_lane(self: &Arc<Self>, mut f: impl FnMut(&mut Producer<Order>)) {
        let known = LANES.try_with(|lanes| {
            let mut lanes = lanes.borrow_mut();
            let at = lanes.iter().position(|lane| lane.leads_to(self)).unwrap_or_else(|| {
                lanes.retain(|lane| lane.desk.strong_count() > 0);
                lanes.push(Lane { desk: Arc::downgrade(self), orders: self.new_lane(LANE) });
                lanes.len() - 1
            });
            f(&mut lanes[at].orders);
        });
        if known.is_err() {
            // The thread is ending and its lanes are gone: one for this once, which the worker empties.
            f(&mut self.new_lane(LANE));
        }
    }

    /// Drops this thread's lane, and what is in it.
    fn close_lane(self: &Arc<Self>) {
        // Dropped outside: what lies in it may give orders itself, to other workers.
        let closed: Vec<Lane> = LANES
            .try_with(|lanes| lanes.borrow_mut().extract_if(.., |lane| lane.leads_to(self)).collect())
            .unwrap_or_default();
        drop(closed);
        self.drop_unseen();
    }

    /// Drops what lies in lanes that the worker, which is gone, never saw.
    fn drop_unseen(&self) {
        // Whoever put it there either sees that the worker is gone, or its order is seen here.
        fence(Ordering::SeqCst);
        let unseen = mem::take(&mut *self.new_lanes.lock().unwrap_or_else(PoisonError::into_inner));
        unseen.into_iter().for_each(empty);
    }

    fn new_lane(&self, room: usize) -> Producer<Order> {
        let (producer, consumer) = ring::ring(room);
        self.new_lanes.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
        self.has_new_lanes.store(true, Ordering::Release);
        producer
    }
}

/// The worker's side.
impl Desk {
    /// Lanes that threads opened since the last call.
    pub(crate) fn take_new_lanes(&self, lanes: &mut Vec<Consumer<Order>>) {
        if self.has_new_lanes() && self.has_new_lanes.swap(false, Ordering::Acquire) {
            lanes.append(&mut self.new_lanes.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Wakes those who wait for a buffer, as far as there are some.
    pub(crate) fn wake_copiers(&self, watch: &mut Watch, now: Time) {
        self.copiers.serve(watch, now, || self.copies.available());
    }

    /// Wakes those who wait for a buffer: nobody will look after them any more.
    pub(crate) fn dismiss_copiers(&self) {
        self.copiers.dismiss();
    }

    /// Whether there are some.
    pub(crate) fn has_new_lanes(&self) -> bool {
        self.has_new_lanes.load(Ordering::Relaxed)
    }

    /// The worker ends: who gives an order from now on is told, and what was given before is dropped here.
    pub(crate) fn leave(&self, lanes: &mut Vec<Consumer<Order>>) {
        self.gone.store(true, Ordering::Release);
        // The other side's is in `Bell::ring`: either it sees that the worker is gone, or its order is seen here.
        fence(Ordering::SeqCst);
        self.take_new_lanes(lanes);
        lanes.drain(..).for_each(empty);
    }
}

/// Drops what lies in a lane; its other end may live on.
fn empty(mut lane: Consumer<Order>) {
    while let Some(order) = lane.pop() {
        drop(order);
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Send { conn, number, payload, .. } => write!(f, "Send({conn:?} {number} {payload:?})"),
            Order::Conn { conn, number, .. } => write!(f, "Conn({conn:?} {number})"),
            Order::Core(_) => write!(f, "Core"),
        }
    }
}
