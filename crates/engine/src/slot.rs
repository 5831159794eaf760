//! What the engine keeps beside each connection.

use tcp::Time;
use tcp::conn::Connection;
use tcp::endpoint::ListenerId;

use crate::nic::Nic;
use crate::occupancy::{Allowance, Occupancy};

/// A connection and its place in the loop. A flag that says "in a queue" is true exactly while the slot's number is
/// in that queue; a number found in a queue whose flag is false is left over from a slot's former owner.
#[derive(Debug)]
pub(crate) struct Slot<N: Nic> {
    pub(crate) conn: Connection<N::Buf>,
    /// The neighbour its frames go to.
    pub(crate) neighbour: u32,
    pub(crate) occupancy: Occupancy,
    /// What it may have in the port, as of its last turn.
    pub(crate) allowance: Allowance,
    /// The frame of the port that a retransmission, or a small send, waits for.
    pub(crate) held_by: u64,
    /// Bytes it may still send in this turn (deficit round robin).
    pub(crate) deficit: i64,
    /// IPv4 identification of the next segment.
    pub(crate) ip_id: u16,
    /// Where copying sends go.
    pub(crate) tail: Option<N::Tail>,
    /// Payload bytes staged and not offered to the port yet.
    pub(crate) staged: u32,
    /// The listener it came from, until the application was told of it.
    pub(crate) accepted_by: Option<ListenerId>,
    /// Since when the port has refused all its frames.
    pub(crate) refused_since: Option<Time>,
    /// When a connection whose plain frames are rejected tries again.
    pub(crate) retry_at: Option<Time>,
    /// The errno of the last rejection.
    pub(crate) errno: Option<i32>,

    /// In the run queue: it may have something to send.
    pub(crate) queued: bool,
    /// In the list of those that changed and are to be looked after.
    pub(crate) touched: bool,
    /// In the event queue.
    pub(crate) eventful: bool,
    /// In the queue of those with buffers to return.
    pub(crate) reclaiming: bool,
    /// Waiting for its earlier bursts to leave the port.
    pub(crate) parked: bool,
    /// Waiting for room in the port's queue.
    pub(crate) waits_for_queue: bool,
    /// Waiting for header buffers.
    pub(crate) starved: bool,
    /// Waiting for its neighbour's address.
    pub(crate) waiting: bool,
    /// In the queues of those that wait for memory: for a send by reference, and for a buffer to copy into.
    pub(crate) in_memory_queue: [bool; 2],
    /// It still does.
    pub(crate) wants_memory: bool,
    /// What it wants is a buffer to copy into.
    pub(crate) wants_tail: bool,
    /// Memory came: the application is to hear `Writable`.
    pub(crate) memory_ready: bool,
    /// Its send buffer was told that memory is short.
    pub(crate) pressed: bool,
    /// What its queue counted for in the core's memory.
    pub(crate) charged: u64,

    /// The driver rejected a frame of it: build plain ones until one is taken.
    pub(crate) plain: bool,
    /// The port does not take its frames; given up.
    pub(crate) stuck: bool,
    /// Slices of its next burst at most: fewer than the port's limit after buffers to refer to them ran out, and more
    /// again as bursts get through.
    pub(crate) slices: u16,
    /// The application has still to hear that it is stuck.
    pub(crate) tell_stuck: bool,
    /// In the flow table: segments of its tuple come here.
    pub(crate) attached: bool,
    /// The endpoint counts it towards a listener's backlog.
    pub(crate) embryonic: bool,
    /// The application gave up its handle.
    pub(crate) released: bool,
    /// The application takes payloads back itself.
    pub(crate) returns: bool,

    /// Something happened to it since the hand of [`Slots`](crate::slots::Slots) came by.
    pub(crate) recent: bool,
    /// Where it is in the working set.
    pub(crate) place: u32,
}

impl<N: Nic> Slot<N> {
    pub(crate) fn new(conn: Connection<N::Buf>, neighbour: u32) -> Slot<N> {
        Slot {
            conn,
            neighbour,
            occupancy: Occupancy::default(),
            allowance: Allowance::default(),
            held_by: 0,
            deficit: 0,
            ip_id: 0,
            tail: None,
            staged: 0,
            accepted_by: None,
            refused_since: None,
            retry_at: None,
            errno: None,
            queued: false,
            touched: false,
            eventful: false,
            reclaiming: false,
            parked: false,
            waits_for_queue: false,
            starved: false,
            waiting: false,
            in_memory_queue: [false; 2],
            wants_memory: false,
            wants_tail: false,
            memory_ready: false,
            pressed: false,
            charged: 0,
            plain: false,
            slices: u16::MAX,
            stuck: false,
            tell_stuck: false,
            attached: true,
            embryonic: false,
            released: false,
            returns: false,
            recent: false,
            place: 0,
        }
    }

    /// True when it will neither send nor receive any more.
    pub(crate) fn is_over(&self) -> bool {
        self.stuck || !self.attached || self.conn.is_closed()
    }

    /// When it wants attention next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.stuck || !self.attached {
            return None;
        }
        match (self.conn.next_timeout(), self.retry_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
