//! What a connection tells its owner, and how far it got.

use crate::{Offset, Time};

/// Something the application wants to know. Events are edges: state is read from the connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The three-way handshake is complete.
    Connected,
    /// In-order data can be read.
    Readable,
    /// At least a third of the send buffer is free again after a write was refused (`S4`).
    Writable,
    /// The acknowledged watermark moved.
    Acked,
    /// A time that a send asked for ([`SendFlags::timestamp`](crate::conn::SendFlags::timestamp)).
    SendTime(SendTime),
    /// The peer sent FIN and everything before it can be read.
    PeerFinished,
    /// Everything written and our FIN are acknowledged.
    Finished,
    /// The connection is over. After a failure the error says why and where; it comes once (`S6`).
    Closed(Result<(), ConnError>),
}

/// When something became of a send (`S1`, `S33`). Software time, that of the call which learned of it, but for
/// [`SendTimeKind::Device`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SendTime {
    /// Offset in the stream behind the send's last byte.
    pub end: Offset,
    /// What became of that byte.
    pub kind: SendTimeKind,
    /// When.
    pub at: Time,
}

/// What became of the last byte of a send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendTimeKind {
    /// It had its turn: no window, pace or rule held it back any more, and the device was to take it.
    Scheduled,
    /// The device took it, for the first time.
    Sent,
    /// The peer acknowledged it.
    Acked,
    /// The device put the frame with it on the wire: the device's own word, where it is asked for and gives it. It may come before or
    /// behind [`Acked`](SendTimeKind::Acked), and of what left for the first time only. `at` is that moment on our clock, as near as the two
    /// clocks can be read together.
    Device {
        /// The device's clock at that moment, nanoseconds from whenever it began.
        clock: u64,
    },
}

/// When a frame left, as the device says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeviceTime {
    /// On our clock.
    pub at: Time,
    /// On the device's, in nanoseconds.
    pub clock: u64,
}

/// Why a connection ended, and where in the stream (`S6`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ConnError {
    /// What happened.
    pub kind: ConnErrorKind,
    /// Bytes the peer had acknowledged by then.
    pub acked: Offset,
}

/// What ended a connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnErrorKind {
    /// The peer answered our SYN with RST.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// Nobody answered within the connect or user timeout.
    TimedOut,
    /// The peer answered none of the keepalive probes (`S47`).
    Silent,
    /// There is no way to the peer, as a router or its host says by ICMP.
    Unreachable,
    /// The next hop does not answer: its link address could not be resolved.
    NoNeighbour,
    /// We aborted it.
    Aborted,
}

/// How far the sending direction has come; `accepted ≥ sent ≥ acked ≥ reclaimed`, each only ever grows (`S29`). Once the
/// connection is closed, what the peer will never acknowledge is reclaimed too.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// Taken from the application.
    pub accepted: Offset,
    /// Handed to a device at least once.
    pub sent: Offset,
    /// Acknowledged by the peer, cumulatively.
    pub acked: Offset,
    /// Acknowledged and no longer read by any device: the buffers went back to their owner.
    pub reclaimed: Offset,
}
