//! What crosses the boundary: arguments that are looked at before they are believed, and results.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Duration;

use tsonami::{ConnectOptions, SendFlags, Wait};

use crate::error::{TsonamiError, note};

/// Waits as long as it takes; connections that go nowhere fail of their own timeouts.
pub const TSONAMI_FOREVER: i64 = -1;

/// Flag of sends: more follows at once. There is no PSH at the end of this send, and a short segment there waits for the next.
pub const TSONAMI_SEND_MORE: u32 = 1;
/// Flag of sends: a record ends here. No later byte joins its last segment.
pub const TSONAMI_SEND_EOR: u32 = 2;
/// Flag of sends: tell when the device took the last byte, and when the peer acknowledged it.
pub const TSONAMI_SEND_TIMESTAMP: u32 = 4;

/// Runs what a function does; what it says, unless it panics: unwinding must not reach C.
pub(crate) fn caught<T>(call: impl FnOnce() -> Result<T, TsonamiError>) -> Result<T, TsonamiError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = said(&*panic);
        Err(note(TsonamiError::Panic, format_args!("this is a defect in tsonami, please report it: {text}")))
    })
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

/// 0, or an error.
pub(crate) fn code(call: impl FnOnce() -> Result<(), TsonamiError>) -> i32 {
    caught(call).map_or_else(TsonamiError::code, |()| 0)
}

/// 1 for yes, 0 for no, or an error.
pub(crate) fn yes(call: impl FnOnce() -> Result<bool, TsonamiError>) -> i32 {
    caught(call).map_or_else(TsonamiError::code, i32::from)
}

/// How many, or an error.
pub(crate) fn count(call: impl FnOnce() -> Result<usize, TsonamiError>) -> isize {
    caught(call).map_or_else(|error| error.code() as isize, |n| isize::try_from(n).unwrap_or(isize::MAX))
}

/// # Safety
/// `text` is null or NUL-terminated and stays valid and unchanged as long as the result is used.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, TsonamiError> {
    if text.is_null() {
        return Err(note(TsonamiError::Invalid, format_args!("the {what} is a null pointer")));
    }
    // SAFETY: not null, and NUL-terminated by the contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| note(TsonamiError::Invalid, format_args!("the {what} is not UTF-8")))
}

/// # Safety
/// As [`text`].
pub(crate) unsafe fn address(from: *const c_char, what: &str) -> Result<SocketAddr, TsonamiError> {
    // SAFETY: by the contract.
    let text = unsafe { text(from, what)? };
    text.parse().map_err(|_| {
        note(TsonamiError::Invalid, format_args!("'{text}' is no address and port, such as 10.77.0.1:5001"))
    })
}

/// Options of a connection; none: those of the settings.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn options(from: *const c_char) -> Result<Option<ConnectOptions>, TsonamiError> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: by the contract.
    let text = unsafe { text(from, "options")? };
    toml::from_str(text).map(Some).map_err(|error| note(TsonamiError::Invalid, error))
}

/// Where a result goes.
///
/// # Safety
/// `to` is null or points to memory for one that nobody else uses while the result is used.
pub(crate) unsafe fn out<'a, T>(to: *mut T, what: &str) -> Result<&'a mut MaybeUninit<T>, TsonamiError> {
    // SAFETY: by the contract, and whatever is there is not looked at.
    let to = unsafe { to.cast::<MaybeUninit<T>>().as_mut() };
    to.ok_or_else(|| note(TsonamiError::Invalid, format_args!("where the {what} goes is a null pointer")))
}

/// # Safety
/// `at` is null or points to `len` elements that do not change while the result is used.
pub(crate) unsafe fn slice<'a, T>(at: *const T, len: usize, what: &str) -> Result<&'a [T], TsonamiError> {
    match (len, at.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(note(TsonamiError::Invalid, format_args!("the {what} are a null pointer"))),
        _ if len > isize::MAX as usize / size_of::<T>().max(1) => {
            Err(note(TsonamiError::Invalid, format_args!("so many {what} do not exist: a negative length?")))
        }
        // SAFETY: not null, no more than memory has, and by the contract.
        _ => Ok(unsafe { std::slice::from_raw_parts(at, len) }),
    }
}

/// # Safety
/// `at` is null or points to `len` bytes that do not change while the result is used.
pub(crate) unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Result<&'a [u8], TsonamiError> {
    // SAFETY: by the contract.
    unsafe { slice(at.cast(), len, "bytes") }
}

/// # Safety
/// `at` is null or points to `len` elements that nobody else uses while the result is used.
pub(crate) unsafe fn room<'a, T>(
    at: *mut T,
    len: usize,
    what: &str,
) -> Result<&'a mut [MaybeUninit<T>], TsonamiError> {
    // SAFETY: by the contract.
    unsafe { slice(at.cast_const().cast::<MaybeUninit<T>>(), len, what) }?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as it was found there, and by the contract.
    Ok(unsafe { std::slice::from_raw_parts_mut(at.cast(), len) })
}

/// Memory of the program's own, which is not looked into.
pub(crate) fn memory(at: *mut c_void, len: usize) -> Result<NonNull<[u8]>, TsonamiError> {
    let at = NonNull::new(at.cast::<u8>())
        .ok_or_else(|| note(TsonamiError::Invalid, "the memory is a null pointer"))?;
    Ok(NonNull::slice_from_raw_parts(at, len))
}

/// A time to wait, of which a negative one has no end.
pub(crate) fn wait(nanoseconds: i64) -> Wait {
    u64::try_from(nanoseconds).map_or_else(|_| Wait::forever(), |ns| Wait::at_most(Duration::from_nanos(ns)))
}

/// A length of time.
pub(crate) fn time(nanoseconds: i64, what: &str) -> Result<Duration, TsonamiError> {
    let refuse = |_| note(TsonamiError::Invalid, format_args!("the {what} cannot be negative"));
    u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(refuse)
}

/// How a send differs from others.
pub(crate) fn flags(bits: u32) -> Result<SendFlags, TsonamiError> {
    if bits & !(TSONAMI_SEND_MORE | TSONAMI_SEND_EOR | TSONAMI_SEND_TIMESTAMP) != 0 {
        return Err(note(TsonamiError::Invalid, format_args!("{bits:#x} has flags that are not known")));
    }
    Ok(SendFlags {
        more: bits & TSONAMI_SEND_MORE != 0,
        eor: bits & TSONAMI_SEND_EOR != 0,
        timestamp: bits & TSONAMI_SEND_TIMESTAMP != 0,
        ..SendFlags::default()
    })
}

/// Copies as much of a text as there is room for, ends it with NUL, and says how long all of it is.
pub(crate) fn tell(text: &str, room: &mut [MaybeUninit<u8>]) -> usize {
    if let Some(most) = room.len().checked_sub(1) {
        let n = text.len().min(most);
        room[..n].write_copy_of_slice(&text.as_bytes()[..n]);
        room[n].write(0);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_room_ends_and_always_ends() {
        let mut room = [MaybeUninit::new(b'x'); 4];
        let there = |room: &[MaybeUninit<u8>]| {
            room.iter()
                .map(|byte| {
                    // SAFETY: all of them were written at the start.
                    unsafe { byte.assume_init() }
                })
                .collect::<Vec<u8>>()
        };
        assert_eq!(tell("abcdef", &mut room[..3]), 6);
        assert_eq!(there(&room), b"ab\0x");
        assert_eq!(tell("a", &mut room), 1);
        assert_eq!(there(&room), b"a\0\0x");
        assert_eq!(tell("abc", &mut []), 3);
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        // SAFETY: null is what the contracts allow; the others point to what they say.
        unsafe {
            assert_eq!(text(std::ptr::null(), "peer"), Err(TsonamiError::Invalid));
            assert_eq!(text(c"\xff".as_ptr(), "peer"), Err(TsonamiError::Invalid));
            assert_eq!(address(c"10.0.0.1".as_ptr(), "peer"), Err(TsonamiError::Invalid));
            assert!(address(c"10.0.0.1:80".as_ptr(), "peer").is_ok());
            assert_eq!(bytes(std::ptr::null(), 1), Err(TsonamiError::Invalid));
            assert_eq!(bytes(std::ptr::null(), 0), Ok(&[][..]));
            assert_eq!(
                bytes([1u8].as_ptr().cast(), usize::MAX),
                Err(TsonamiError::Invalid),
                "-1 as a length"
            );
            assert!(room::<u8>(std::ptr::null_mut(), 1, "bytes").is_err());
            assert!(out::<u64>(std::ptr::null_mut(), "offset").is_err());
            assert_eq!(options(c"no_dealy = true".as_ptr()), Err(TsonamiError::Invalid));
            assert!(options(c"no_delay = true".as_ptr()).unwrap().unwrap().no_delay);
            assert_eq!(options(std::ptr::null()), Ok(None));
        }
        assert_eq!(flags(8), Err(TsonamiError::Invalid));
        assert_eq!(time(-1, "drain"), Err(TsonamiError::Invalid));
        assert_eq!(flags(3), Ok(SendFlags { more: true, eor: true, ..SendFlags::default() }));
    }
}
