//! Errors in C: a number to decide by, and a text for people.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::fmt;
use std::io::ErrorKind;

/// Why a call failed. Functions return these as they are: negative numbers.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsonamiError {
    /// Nothing failed.
    Ok = 0,
    /// Not now: try again after the next `TSONAMI_EVENT_KIND_WRITABLE`.
    WouldBlock = -1,
    /// An argument makes no sense: a null pointer, text that is not UTF-8, an address that is none.
    Invalid = -2,
    /// The connection is gone, or its sending direction is closed.
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
    /// The device, or DPDK, failed.
    Device = -9,
    /// When the engine was closed something was not in order: a leak, a faulty frame, an incomplete capture.
    Unclean = -10,
}

impl TsonamiError {
    /// The number C sees.
    pub(crate) fn code(self) -> i32 {
        self as i32
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
            _ => TsonamiError::Device,
        }
    }
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Notes what happened, for [`tsonami_error_message`].
pub(crate) fn note(error: TsonamiError, message: impl fmt::Display) -> TsonamiError {
    let text = message.to_string().replace('\0', "?");
    MESSAGE.with(|slot| *slot.borrow_mut() = CString::new(text).unwrap_or_default());
    error
}

/// What the last failure on this thread was, and what mends it: UTF-8, valid until the next failure on this thread,
/// never null.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_error_message() -> *const c_char {
    MESSAGE.with(|slot| slot.borrow().as_ptr())
}
