//! What can go wrong on a connection, where in the stream, and what to do.

use std::io;

use engine::{ConnectError, SendRefusal};
use tcp::{ConnError, ConnErrorKind, Offset};

/// An error of a connection. It converts into [`std::io::Error`] with the fitting kind.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The send buffer is full, or the handshake is not complete.
    #[error(
        "the send buffer is full, or the handshake not complete: wait for room, or for a LocalEngine's Writable or Connected event"
    )]
    Full,
    /// No buffer is free to copy into.
    #[error(
        "no buffer is free to copy into: wait for one, or for a LocalEngine's Writable event; pools.send_bytes is what there is of them"
    )]
    PoolExhausted,
    /// The sending direction was closed.
    #[error(
        "the sending direction is closed: nothing can be sent after shutdown_write or the end of the connection"
    )]
    Finished,
    /// What was waited for did not happen in the time given to the wait. The connection goes on.
    #[error("nothing happened in the time given to the wait; the connection goes on")]
    WaitTimedOut,
    /// The wait was cancelled. The connection goes on.
    #[error("the wait was cancelled; the connection goes on")]
    Cancelled,
    /// The handle is stale.
    #[error("the connection is gone: its handle was released")]
    Gone,
    /// The listener was closed, and accepts no more.
    #[error("the listener was closed")]
    ListenerClosed,
    /// It could not be started.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The peer answered our SYN with RST.
    #[error("the peer refused the connection: nothing listens on that port there")]
    Refused,
    /// The peer reset the connection.
    #[error("the peer reset the connection after acknowledging {acked} bytes")]
    Reset {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// Nobody answered the SYN within the connect timeout.
    #[error("nobody answered within the connect timeout")]
    ConnectTimedOut,
    /// Nobody answered within the user timeout.
    #[error("the peer stopped answering after acknowledging {acked} bytes")]
    TimedOut {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// Keepalive is on, and the peer answered none of the probes.
    #[error("the peer answered no keepalive probe; it had acknowledged {acked} bytes")]
    Silent {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// A router or the peer's host says by ICMP that there is no way.
    #[error("the peer cannot be reached, as ICMP says; it had acknowledged {acked} bytes")]
    Unreachable {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// The next hop answers no ARP.
    #[error("the next hop to the peer answers no ARP; the peer had acknowledged {acked} bytes")]
    NoNeighbour {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// We aborted it.
    #[error("the connection was aborted here; the peer had acknowledged {acked} bytes")]
    Aborted {
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// The engine's worker ended before the connection did.
    #[error(
        "the engine's worker {worker} ended before the connection did; the peer had acknowledged {acked} bytes"
    )]
    WorkerGone {
        /// Which one, counted from 0.
        worker: u16,
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
    /// The device refused every frame for too long.
    #[error(
        "the device took no frame for too long{}: its link is down, or it does not take frames of this size; \
         the peer had acknowledged {acked} bytes",
        errno.map(|e| format!(" ({})", io::Error::from_raw_os_error(e))).unwrap_or_default()
    )]
    DeviceStuck {
        /// The driver's error number, if it gave one.
        errno: Option<i32>,
        /// Bytes the peer had acknowledged.
        acked: Offset,
    },
}

impl Error {
    /// What ended a connection. `established`: the handshake had been completed.
    pub(crate) fn ended(error: ConnError, established: bool) -> Error {
        let acked = error.acked;
        match error.kind {
            ConnErrorKind::Refused => Error::Refused,
            ConnErrorKind::TimedOut if !established => Error::ConnectTimedOut,
            ConnErrorKind::TimedOut => Error::TimedOut { acked },
            ConnErrorKind::Silent => Error::Silent { acked },
            ConnErrorKind::Unreachable => Error::Unreachable { acked },
            ConnErrorKind::NoNeighbour => Error::NoNeighbour { acked },
            ConnErrorKind::Aborted => Error::Aborted { acked },
            // Also what kinds added later are, until they have a name of their own: the connection is over.
            _ => Error::Reset { acked },
        }
    }

    /// The kind of [`std::io::Error`] this is.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            // The last one as a kernel's socket with SO_SNDTIMEO or SO_RCVTIMEO.
            Error::Full | Error::PoolExhausted | Error::WaitTimedOut => io::ErrorKind::WouldBlock,
            // Not Interrupted: that is for trying again, which `Write::write_all` would do for ever.
            Error::Cancelled => io::ErrorKind::Other,
            Error::Finished => io::ErrorKind::BrokenPipe,
            Error::Gone | Error::ListenerClosed => io::ErrorKind::NotConnected,
            Error::Connect(ConnectError::NoRoute { .. }) => io::ErrorKind::NetworkUnreachable,
            Error::Connect(ConnectError::Family(_) | ConnectError::Destination(_)) => {
                io::ErrorKind::InvalidInput
            }
            Error::Connect(_) => io::ErrorKind::AddrNotAvailable,
            Error::Refused => io::ErrorKind::ConnectionRefused,
            Error::Reset { .. } => io::ErrorKind::ConnectionReset,
            Error::ConnectTimedOut | Error::TimedOut { .. } | Error::Silent { .. } => io::ErrorKind::TimedOut,
            Error::Unreachable { .. } | Error::NoNeighbour { .. } => io::ErrorKind::HostUnreachable,
            Error::Aborted { .. } | Error::WorkerGone { .. } => io::ErrorKind::ConnectionAborted,
            Error::DeviceStuck { .. } => io::ErrorKind::NetworkDown,
        }
    }

    /// How far the peer had acknowledged the stream when the connection ended.
    pub fn acked(&self) -> Option<Offset> {
        match self {
            Error::Reset { acked }
            | Error::TimedOut { acked }
            | Error::Silent { acked }
            | Error::Unreachable { acked }
            | Error::NoNeighbour { acked }
            | Error::Aborted { acked }
            | Error::WorkerGone { acked, .. }
            | Error::DeviceStuck { acked, .. } => Some(*acked),
            Error::Refused | Error::ConnectTimedOut => Some(Offset::ZERO),
            _ => None,
        }
    }
}

impl From<SendRefusal> for Error {
    fn from(refusal: SendRefusal) -> Error {
        match refusal {
            SendRefusal::Full => Error::Full,
            SendRefusal::NoBuffers => Error::PoolExhausted,
            SendRefusal::Finished => Error::Finished,
            _ => Error::Gone,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// A zero-copy send that was refused. The payload comes back unharmed.
pub struct TrySendError<T> {
    /// What was to be sent.
    pub payload: T,
    /// Why it was not.
    pub reason: Error,
}

impl<T> std::fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrySendError({:?})", self.reason)
    }
}

impl<T> std::fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.reason, f)
    }
}

impl<T> std::error::Error for TrySendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_connection_has_its_kind_and_its_place_in_the_stream() {
        let acked = Offset(4096);
        let ended = |kind, established| Error::ended(ConnError { kind, acked }, established);
        for (kind, established, io_kind, place) in [
            (ConnErrorKind::Refused, false, io::ErrorKind::ConnectionRefused, Offset::ZERO),
            (ConnErrorKind::Reset, true, io::ErrorKind::ConnectionReset, acked),
            (ConnErrorKind::TimedOut, false, io::ErrorKind::TimedOut, Offset::ZERO),
            (ConnErrorKind::TimedOut, true, io::ErrorKind::TimedOut, acked),
            (ConnErrorKind::Silent, true, io::ErrorKind::TimedOut, acked),
            (ConnErrorKind::Unreachable, false, io::ErrorKind::HostUnreachable, acked),
            (ConnErrorKind::NoNeighbour, true, io::ErrorKind::HostUnreachable, acked),
            (ConnErrorKind::Aborted, true, io::ErrorKind::ConnectionAborted, acked),
        ] {
            let error = ended(kind, established);
            assert_eq!((error.kind(), error.acked()), (io_kind, Some(place)), "{error}");
            assert_eq!(io::Error::from(error).kind(), io_kind);
        }
    }

    #[test]
    fn a_stuck_device_names_the_drivers_reason() {
        let error = Error::DeviceStuck { errno: Some(22), acked: Offset(7) };
        assert!(error.to_string().contains("(Invalid argument (os error 22))"), "{error}");
        assert!(error.to_string().contains("7 bytes"));
        let error = Error::DeviceStuck { errno: None, acked: Offset(7) };
        assert!(error.to_string().starts_with("the device took no frame for too long: "), "{error}");
    }

    #[test]
    fn back_pressure_is_would_block() {
        assert_eq!(Error::from(SendRefusal::Full).kind(), io::ErrorKind::WouldBlock);
        assert_eq!(Error::from(SendRefusal::NoBuffers).kind(), io::ErrorKind::WouldBlock);
        assert_eq!(Error::from(SendRefusal::Finished).kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(Error::WaitTimedOut.kind(), io::ErrorKind::WouldBlock);
        assert_ne!(Error::Cancelled.kind(), io::ErrorKind::Interrupted);
    }
}
