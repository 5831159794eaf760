//! What the engine tells the application.

use engine::EngineEvent;
use tcp::endpoint::ListenerId;
use tcp::{Offset, SendTime};

use crate::Error;

/// Something that happened to a connection. Events are edges: the state itself is read from the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection of ours is open.
    Connected,
    /// A peer opened this connection to a listener of ours.
    Accepted(ListenerId),
    /// There is something to read.
    Readable,
    /// At least a third of the send buffer is free again after a send was refused.
    Writable,
    /// The acknowledged mark moved.
    Acked,
    /// `S33`: a time that a send asked for ([`SendFlags::timestamp`](crate::SendFlags::timestamp)).
    SendTime(SendTime),
    /// The peer finished its direction; everything before that can be read.
    PeerFinished,
    /// Everything sent, and the end of our direction, is acknowledged.
    Finished,
    /// The connection is over. After a failure the error says why and where in the stream; it comes once.
    Closed(Result<(), Error>),
}

impl Event {
    /// The engine's event in the library's words. `established`: the handshake had been completed; `acked`: how far
    /// the peer had acknowledged.
    pub(crate) fn from_engine(event: EngineEvent, established: bool, acked: Offset) -> Option<Event> {
        Some(match event {
            EngineEvent::Accepted(listener) => Event::Accepted(listener),
            EngineEvent::Stuck { errno } => Event::Closed(Err(Error::DeviceStuck { errno, acked })),
            EngineEvent::Conn(tcp::Event::Connected) => Event::Connected,
            EngineEvent::Conn(tcp::Event::Readable) => Event::Readable,
            EngineEvent::Conn(tcp::Event::Writable) => Event::Writable,
            EngineEvent::Conn(tcp::Event::Acked) => Event::Acked,
            EngineEvent::Conn(tcp::Event::SendTime(time)) => Event::SendTime(time),
            EngineEvent::Conn(tcp::Event::PeerFinished) => Event::PeerFinished,
            EngineEvent::Conn(tcp::Event::Finished) => Event::Finished,
            EngineEvent::Conn(tcp::Event::Closed(end)) => {
                Event::Closed(end.map_err(|error| Error::ended(error, established)))
            }
            // An event added later, which this version has no word for.
            _ => return None,
        })
    }
}
