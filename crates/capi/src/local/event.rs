//! Events of an engine that its caller polls.

use tsonami::{ConnId, Event};

use crate::error::{TsonamiError, failed};
use crate::times::{TsonamiSendTime, TsonamiSendTimeKind};

/// What happened to a connection.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsonamiEventKind {
    /// A connection of ours is open.
    Connected = 1,
    /// A peer opened this connection to a listener of ours.
    Accepted = 2,
    /// There is something to read.
    Readable = 3,
    /// There is room in the send buffer again.
    Writable = 4,
    /// The acknowledged mark moved.
    Acked = 5,
    /// The peer finished its direction.
    PeerFinished = 6,
    /// Everything sent, and the end of our direction, is acknowledged.
    Finished = 7,
    /// The connection is over. `error` says why; `TSONAMI_ERROR_OK` when it ended in good order.
    Closed = 8,
    /// A time that a send asked for by `TSONAMI_SEND_TIMESTAMP`: `time`.
    SendTime = 9,
}

/// Something that happened.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct TsonamiEvent {
    /// The connection it happened to.
    pub connection: u64,
    /// What it was.
    pub kind: TsonamiEventKind,
    /// With `TSONAMI_EVENT_KIND_CLOSED`: why. `tsonami_last_error` says more.
    pub error: TsonamiError,
    /// With `TSONAMI_EVENT_KIND_SEND_TIME`: what happened when.
    pub time: TsonamiSendTime,
}

impl TsonamiEvent {
    /// The library's event in C; `None` for one that this interface has no word for.
    pub(crate) fn new(id: ConnId, event: Event) -> Option<TsonamiEvent> {
        let time = match event {
            Event::SendTime(time) => Some(time),
            _ => None,
        };
        let (kind, error) = match event {
            Event::Connected => (TsonamiEventKind::Connected, TsonamiError::Ok),
            Event::Accepted(_) => (TsonamiEventKind::Accepted, TsonamiError::Ok),
            Event::Readable => (TsonamiEventKind::Readable, TsonamiError::Ok),
            Event::Writable => (TsonamiEventKind::Writable, TsonamiError::Ok),
            Event::Acked => (TsonamiEventKind::Acked, TsonamiError::Ok),
            Event::PeerFinished => (TsonamiEventKind::PeerFinished, TsonamiError::Ok),
            Event::Finished => (TsonamiEventKind::Finished, TsonamiError::Ok),
            Event::Closed(Ok(())) => (TsonamiEventKind::Closed, TsonamiError::Ok),
            Event::Closed(Err(e)) => (TsonamiEventKind::Closed, failed(e)),
            Event::SendTime(_) => (TsonamiEventKind::SendTime, TsonamiError::Ok),
            _ => return None,
        };
        let time = match time {
            Some(time) => TsonamiSendTime::new(time)?,
            None => TsonamiSendTime { end: 0, at: 0, kind: TsonamiSendTimeKind::Sent },
        };
        Some(TsonamiEvent { connection: id.to_bits(), kind, error, time })
    }
}
