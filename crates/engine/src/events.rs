//! What the engine tells the application.

use tcp::Event;
use tcp::endpoint::ListenerId;

/// Something that happened to a connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EngineEvent {
    /// What the protocol has to say.
    Conn(Event),
    /// A peer opened this connection to a listener of ours; the handshake is complete. The first event of such a
    /// connection, in place of [`Event::Connected`].
    Accepted(ListenerId),
    /// The port refused every frame of this connection for longer than
    /// [`stuck_timeout`](crate::EngineConfig::stuck_timeout), or rejects even plain ones, with the driver's `errno` if
    /// it gave one: the link is down, or the MSS does not fit the port's MTU. The connection is over; nothing was
    /// sent to the peer.
    Stuck {
        /// The driver's positive error number.
        errno: Option<i32>,
    },
}

/// What one [`poll`](crate::Engine::poll) did.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Frames received.
    pub received: u32,
    /// Timers fired.
    pub timers: u32,
    /// Frames the port took.
    pub sent: u32,
    /// More is waiting than one bounded iteration does: poll again at once.
    pub more: bool,
}

/// The first half of an iteration is done ([`poll_receive`](crate::Engine::poll_receive)); the second goes on from here.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "an iteration ends with poll_transmit: nothing leaves before"]
pub struct Received {
    pub(crate) frames: u32,
    /// Connections were looked after.
    pub(crate) touched: bool,
    /// Cycles it took.
    pub(crate) cycles: u64,
}

impl Received {
    /// Frames received.
    pub fn frames(&self) -> u32 {
        self.frames
    }
}

impl Progress {
    /// Whether anything was done.
    pub fn is_busy(&self) -> bool {
        self.received != 0 || self.timers != 0 || self.sent != 0
    }
}
