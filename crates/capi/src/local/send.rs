//! Sending with an engine that its caller polls.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tsonami::{ConnId, Piece, SendFlags};

use super::{Local, TsonamiLocal, with};
use crate::arguments::{bytes, code, count, flags, out, yes};
use crate::connection::TsonamiPiece;
use crate::error::{TsonamiError, failed};
use crate::forward::{file_failed, opened};
use crate::memory::{PAYLOADS, TsonamiPayload, tell_payload};

/// Sends payload without a copy: all of it or nothing. `flags`, `offset` and what becomes of the handle: as in
/// `tsonami_connection_send`. `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
///
/// # Safety
/// `offset` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_send(
    engine: *const TsonamiLocal,
    connection: u64,
    payload: *const TsonamiPayload,
    flags: u32,
    offset: *mut u64,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { offset.cast::<MaybeUninit<u64>>().as_mut() };
        let (payload, flags) = (PAYLOADS.get(payload)?, self::flags(flags)?);
        let at = with(engine, |local| {
            let sent = local.engine.send(ConnId::from_bits(connection), payload, flags);
            sent.map_err(|refused| failed(refused.reason))
        })?;
        if let Some(to) = to {
            to.write(at.0);
        }
        Ok(())
    })
}

/// Copies up to `length` bytes into the connection's send buffer; how many, or an error when none:
/// `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
///
/// # Safety
/// `bytes` is null or points to `length` bytes that do not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_send_copy(
    engine: *const TsonamiLocal,
    connection: u64,
    bytes: *const c_void,
    length: usize,
    flags: u32,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let bytes = unsafe { self::bytes(bytes, length)? };
        let flags = self::flags(flags)?;
        let id = ConnId::from_bits(connection);
        with(engine, |local| local.engine.send_copy(id, bytes, flags).map_err(failed))
    })
}

/// Sends pieces in order, as one send: as `tsonami_connection_send_pieces`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_send_pieces(
    engine: *const TsonamiLocal,
    connection: u64,
    pieces: *mut TsonamiPiece,
    number: usize,
    flags: u32,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        let send = |known: &mut [Piece<'_, _>]| {
            let id = ConnId::from_bits(connection);
            with(engine, |local| local.engine.send_pieces(id, known, flags).map_err(failed))
        };
        // SAFETY: by the contract.
        unsafe { TsonamiPiece::send(pieces, number, send) }
    })
}

/// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads; how
/// many, 0 at the end of the file, or an error when none. The file's own position stays.
///
/// # Safety
/// `file` is a descriptor that stays open during the call, or negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_send_file(
    engine: *const TsonamiLocal,
    connection: u64,
    file: i32,
    offset: u64,
    length: usize,
    flags: u32,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        // SAFETY: by the contract.
        let file = unsafe { opened(file)? };
        let id = ConnId::from_bits(connection);
        with(engine, |local| local.engine.send_file(id, &file, offset, length, flags).map_err(file_failed))
    })
}

/// Sends on `to` up to `length` bytes that `from` received and `tsonami_local_read` has not read, without copying them; how
/// many, 0 when there are none now, or an error when `to` takes none. They stay unread then.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_splice(
    engine: *const TsonamiLocal,
    from: u64,
    to: u64,
    length: usize,
    flags: u32,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        let (from, to) = (ConnId::from_bits(from), ConnId::from_bits(to));
        with(engine, |local| splice(local, from, to, length, flags))
    })
}

fn splice(
    local: &mut Local,
    from: ConnId,
    to: ConnId,
    length: usize,
    flags: SendFlags,
) -> Result<usize, TsonamiError> {
    let Some(rest) = local.rests.get(&from).cloned() else {
        return local.engine.splice(from, to, length, flags).map_err(failed);
    };
    // What a read buffer was too small for comes first.
    let here = rest.slice(..rest.len().min(length));
    let sent = here.len();
    local.engine.send(to, here, flags).map_err(|e| failed(e.reason))?;
    match sent == rest.len() {
        true => local.rests.remove(&from),
        false => local.rests.insert(from, rest.slice(sent..)),
    };
    Ok(sent)
}

/// Lets out what is held back, as `tsonami_connection_flush`.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_flush(engine: *const TsonamiLocal, connection: u64) -> i32 {
    code(|| {
        with(engine, |local| {
            local.engine.flush(ConnId::from_bits(connection));
            Ok(())
        })
    })
}

/// From now on payload comes back by `tsonami_local_pop_reclaimed` when it is acknowledged and no device reads it any more.
/// Without this it goes home to its pool by itself.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_keep_reclaimed(engine: *const TsonamiLocal, connection: u64) -> i32 {
    code(|| {
        with(engine, |local| {
            local.engine.keep_reclaimed(ConnId::from_bits(connection), true);
            Ok(())
        })
    })
}

/// The next payload that is acknowledged and that no device reads any more, as `tsonami_connection_pop_reclaimed`.
///
/// # Safety
/// `payload` is null or points to memory for a handle, `offset` is null or to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_pop_reclaimed(
    engine: *const TsonamiLocal,
    connection: u64,
    payload: *mut *mut TsonamiPayload,
    offset: *mut u64,
) -> i32 {
    yes(|| {
        // SAFETY: by the contract.
        let (to, at) = unsafe { (out(payload, "payload")?, offset.cast::<MaybeUninit<u64>>().as_mut()) };
        let popped = with(engine, |local| Ok(local.engine.pop_reclaimed(ConnId::from_bits(connection))))?;
        let Some((offset, reclaimed)) = popped else { return Ok(false) };
        tell_payload(reclaimed, to)?;
        if let Some(at) = at {
            at.write(offset.0);
        }
        Ok(true)
    })
}
