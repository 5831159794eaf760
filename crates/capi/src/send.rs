//! Further ways to send in C: pieces, files, and what another connection received.

use std::ffi::c_void;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use tsonami::{ConnId, SendFlags};

use crate::engine::{Tsonami, failed, opened};
use crate::error::{TsonamiError, note};

/// One piece of `tsonami_send_pieces`.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct TsonamiPiece {
    /// Its bytes.
    pub bytes: *const c_void,
    /// How many.
    pub length: usize,
}

/// Copies `count` pieces in order into the connection's send buffer, as one send; how many bytes, or a negative
/// `TsonamiError` when none: `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`. With `more` another send
/// follows at once, and a short segment at the end waits for it.
///
/// # Safety
/// As [`tsonami_poll`](crate::tsonami_poll); `pieces` is null or points to `count` pieces, the bytes of each of which are
/// null or `length` bytes long, and nothing of it changes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_send_pieces(
    engine: *mut Tsonami,
    connection: u64,
    pieces: *const TsonamiPiece,
    count: usize,
    more: bool,
) -> isize {
    let send = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        if pieces.is_null() && count > 0 {
            return Err(note(TsonamiError::Invalid, "the pieces are a null pointer"));
        }
        // SAFETY: not null, `count` long and unchanging by the contract; C has no larger arrays than `isize::MAX`.
        let pieces = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(pieces, count) } };
        if pieces.iter().any(|piece| piece.bytes.is_null() && piece.length > 0) {
            return Err(note(TsonamiError::Invalid, "the bytes of a piece are a null pointer"));
        }
        let mut left = pieces.iter().filter(|piece| piece.length > 0).peekable();
        let flags = SendFlags { more, ..SendFlags::default() };
        let mut taken = 0usize;
        while let Some(piece) = left.next() {
            let before = taken;
            let length = piece.length.min(isize::MAX as usize - taken);
            // SAFETY: not null, and `length` bytes long and unchanging by the contract.
            let bytes = unsafe { std::slice::from_raw_parts(piece.bytes.cast::<u8>(), length) };
            let flags = if left.peek().is_none() { flags } else { flags.of_a_part() };
            match t.engine.send_copy(ConnId::from_bits(connection), bytes, flags) {
                Ok(n) => taken += n,
                Err(e) if taken == 0 => return Err(failed(e)),
                Err(_) => break,
            }
            if taken < before + piece.length {
                break;
            }
        }
        Ok(taken)
    };
    send().map_or_else(|e| e.code() as isize, |taken| taken as isize)
}

/// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads; how
/// many, 0 at the end of the file, or a negative `TsonamiError` when none. The file's own position stays.
///
/// # Safety
/// As [`tsonami_poll`](crate::tsonami_poll); `file` is a descriptor that stays open during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_send_file(
    engine: *mut Tsonami,
    connection: u64,
    file: i32,
    offset: u64,
    length: usize,
) -> isize {
    let send = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        if file < 0 {
            return Err(note(TsonamiError::Invalid, "the file is no descriptor"));
        }
        // SAFETY: open by the contract, and never closed by us.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(file) });
        let length = length.min(isize::MAX as usize);
        let id = ConnId::from_bits(connection);
        let sent = t.engine.send_file(id, &file, offset, length, SendFlags::default());
        sent.map_err(|e| note(e.kind().into(), e))
    };
    send().map_or_else(|e| e.code() as isize, |sent| sent as isize)
}

/// Sends on `to` up to `length` bytes that `from` received and `tsonami_read` has not read, without copying them; how many,
/// 0 when there are none now, or a negative `TsonamiError` when `to` takes none. They stay unread then.
///
/// # Safety
/// As [`tsonami_poll`](crate::tsonami_poll).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_splice(engine: *mut Tsonami, from: u64, to: u64, length: usize) -> isize {
    let splice = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        let (from, to) = (ConnId::from_bits(from), ConnId::from_bits(to));
        let length = length.min(isize::MAX as usize);
        let Some(rest) = t.rests.get(&from).cloned() else {
            return t.engine.splice(from, to, length, SendFlags::default()).map_err(failed);
        };
        // What a read buffer was too small for comes first.
        let here = rest.slice(..rest.len().min(length));
        let sent = here.len();
        t.engine.send(to, here, SendFlags::default()).map_err(|e| failed(e.reason))?;
        match sent == rest.len() {
            true => t.rests.remove(&from),
            false => t.rests.insert(from, rest.slice(sent..)),
        };
        Ok(sent)
    };
    splice().map_or_else(|e| e.code() as isize, |moved| moved as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_null_pointers_are_refused() {
        let invalid = TsonamiError::Invalid.code() as isize;
        // SAFETY: null is what the contract allows, and all that is looked at.
        unsafe {
            assert_eq!(tsonami_send_pieces(std::ptr::null_mut(), 1, std::ptr::null(), 0, false), invalid);
            assert_eq!(tsonami_send_file(std::ptr::null_mut(), 1, 0, 0, 1), invalid);
            assert_eq!(tsonami_splice(std::ptr::null_mut(), 1, 2, 1), invalid);
        }
    }
}
