//! Errors in C: a number to decide by, and a text for people.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::io::ErrorKind;

use tsonami::{Error, ListenError, PoolError, RegionError, RequestError};

/// Why a call failed. Functions return these as they are: negative numbers.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsonamiError {
    /// Nothing failed.
    Ok = 0,
    /// Not now, or not within the time given: try again later. Nothing was done.
    WouldBlock = -1,
    /// An argument makes no sense: a null pointer, text that is not UTF-8, an address that is none.
    Invalid = -2,
    /// The connection is over, or its sending direction is closed; or the listener was closed.
    Closed = -3,
    /// The peer refused the connection.
    Refused = -4,
    /// The peer reset the connection.
    Reset = -5,
    /// Nobody answered in time.
    TimedOut = -6,
    /// There is no way to the peer.
    Unreachable = -7,
    /// The connection was aborted here.
    Aborted = -8,
    /// The device, DPDK, or a file failed.
    Device = -9,
    /// When the engine was closed something was not in order: a leak, bytes not delivered, a faulty frame.
    Unclean = -10,
    /// The program was compiled for another version of the interface.
    Version = -11,
    /// The handle is null, of something else, of another thread's engine, or was given up before.
    Handle = -12,
    /// Another thread uses the same half of the connection, or the listener, at this moment; or there is a pool over the
    /// region.
    Busy = -13,
    /// The engine was shut down.
    EngineGone = -14,
    /// There is not enough memory, or no free address.
    NoMemory = -15,
    /// A defect in tsonami. What the call was about can no longer be used; it can be given up.
    Panic = -16,
}

impl TsonamiError {
    const ALL: [(TsonamiError, &'static CStr); 17] = [
        (TsonamiError::Ok, c"nothing failed"),
        (TsonamiError::WouldBlock, c"not now, or not within the time given: try again later"),
        (TsonamiError::Invalid, c"an argument makes no sense"),
        (
            TsonamiError::Closed,
            c"the connection is over, its sending direction is closed, or the listener is",
        ),
        (TsonamiError::Refused, c"the peer refused the connection"),
        (TsonamiError::Reset, c"the peer reset the connection"),
        (TsonamiError::TimedOut, c"nobody answered in time"),
        (TsonamiError::Unreachable, c"there is no way to the peer"),
        (TsonamiError::Aborted, c"the connection was aborted here"),
        (TsonamiError::Device, c"the device, DPDK, or a file failed"),
        (TsonamiError::Unclean, c"something was not in order when the engine was closed"),
        (TsonamiError::Version, c"the program was compiled for another version of the interface"),
        (TsonamiError::Handle, c"the handle is null, of something else, or was given up before"),
        (TsonamiError::Busy, c"something else uses this at this moment"),
        (TsonamiError::EngineGone, c"the engine was shut down"),
        (TsonamiError::NoMemory, c"there is not enough memory, or no free address"),
        (TsonamiError::Panic, c"a defect in tsonami"),
    ];

    /// The number C sees.
    pub(crate) fn code(self) -> i32 {
        self as i32
    }

    /// What it means in general.
    fn text(self) -> &'static CStr {
        TsonamiError::ALL
            .iter()
            .find(|(error, _)| *error == self)
            .map_or(c"an unknown error", |(_, text)| text)
    }
}

impl From<ErrorKind> for TsonamiError {
    fn from(kind: ErrorKind) -> TsonamiError {
        match kind {
            ErrorKind::WouldBlock => TsonamiError::WouldBlock,
            ErrorKind::InvalidInput => TsonamiError::Invalid,
            ErrorKind::BrokenPipe | ErrorKind::NotConnected => TsonamiError::Closed,
            ErrorKind::ConnectionRefused => TsonamiError::Refused,
            ErrorKind::ConnectionReset => TsonamiError::Reset,
            ErrorKind::TimedOut => TsonamiError::TimedOut,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => TsonamiError::Unreachable,
            ErrorKind::ConnectionAborted => TsonamiError::Aborted,
            ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => TsonamiError::NoMemory,
            _ => TsonamiError::Device,
        }
    }
}

thread_local! {
    static LAST: RefCell<Cow<'static, CStr>> = const { RefCell::new(Cow::Borrowed(c"")) };
}

/// Notes what happened, for [`tsonami_last_error`].
pub(crate) fn note(error: TsonamiError, message: impl fmt::Display) -> TsonamiError {
    let text = CString::new(message.to_string().replace('\0', "?")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = Cow::Owned(text));
    error
}

/// The same for what is no failure of anything and may happen often: it allocates nothing.
pub(crate) fn later() -> TsonamiError {
    LAST.with(|last| *last.borrow_mut() = Cow::Borrowed(TsonamiError::WouldBlock.text()));
    TsonamiError::WouldBlock
}

/// An error of a connection.
pub(crate) fn failed(error: Error) -> TsonamiError {
    match error {
        Error::Full | Error::PoolExhausted | Error::WaitTimedOut => later(),
        Error::WorkerGone { .. } => note(TsonamiError::EngineGone, error),
        _ => note(error.kind().into(), error),
    }
}

/// What an engine may refuse, and what that is in C.
pub(crate) trait Refusal: fmt::Display {
    fn code(&self) -> TsonamiError;
}

impl Refusal for ListenError {
    fn code(&self) -> TsonamiError {
        TsonamiError::Invalid
    }
}

impl Refusal for PoolError {
    fn code(&self) -> TsonamiError {
        if self.is_taken() { TsonamiError::Busy } else { TsonamiError::NoMemory }
    }
}

impl Refusal for RegionError {
    fn code(&self) -> TsonamiError {
        match self {
            RegionError::Unaligned { .. } => TsonamiError::Invalid,
            RegionError::NoMemory { .. } => TsonamiError::NoMemory,
            // The rest is what DPDK or the device does not do.
            _ => TsonamiError::Device,
        }
    }
}

/// An error of what an engine that is polled was asked for.
pub(crate) fn refused(error: impl Refusal) -> TsonamiError {
    note(error.code(), error)
}

/// An error of what an engine on threads of its own was asked for.
pub(crate) fn not_done<E: Refusal>(error: RequestError<E>) -> TsonamiError {
    match error {
        RequestError::Failed(error) => refused(error),
        RequestError::WorkerGone => note(TsonamiError::EngineGone, "the engine was shut down"),
    }
}

/// What the last failure on this thread was, and what mends it: UTF-8, never null. It is valid until the next call of this
/// interface on this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// What a code means in general, in English, never null and valid for ever. `tsonami_last_error` says more.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_strerror(code: i32) -> *const c_char {
    let known = TsonamiError::ALL.iter().find(|(error, _)| error.code() == code);
    known.map_or(c"an unknown error", |(_, text)| text).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own() {
        let texts: std::collections::BTreeSet<_> = TsonamiError::ALL.iter().map(|(_, text)| *text).collect();
        assert_eq!(texts.len(), TsonamiError::ALL.len());
        for (at, (error, _)) in TsonamiError::ALL.iter().enumerate() {
            assert_eq!(error.code(), -(at as i32), "in order, and none left out");
        }
        // SAFETY: the pointer is never null, and valid for ever.
        let text = |code| unsafe { CStr::from_ptr(tsonami_strerror(code)) };
        assert_eq!(text(-13), c"something else uses this at this moment");
        assert_eq!((text(-17), text(1)), (c"an unknown error", c"an unknown error"));
    }

    #[test]
    fn a_message_with_a_nul_in_it_is_a_message_all_the_same() {
        note(TsonamiError::Invalid, "a\0b");
        // SAFETY: valid until the next failure on this thread.
        assert_eq!(unsafe { CStr::from_ptr(tsonami_last_error()) }, c"a?b");
    }
}
