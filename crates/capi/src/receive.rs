//! Receiving on a connection of an engine on threads of its own.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tsonami::{Error, Payload};

use crate::arguments::{count, out, room, wait, yes};
use crate::connection::{Receives, TsonamiConnection, connection};
use crate::error::{TsonamiError, failed, later};
use crate::memory::{TsonamiPayload, tell_payload};

impl Receives {
    /// The next bytes; `None` at the end of the stream.
    fn next(&mut self, timeout: i64) -> Result<Option<Payload>, TsonamiError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        match self.half.try_read() {
            Ok(None) if timeout == 0 => Err(later()),
            Ok(None) => self.half.read().wait(&wait(timeout)).map_err(failed),
            Err(Error::Finished) => Ok(None),
            done => done.map_err(failed),
        }
    }

    /// Copies what is there now, until `to` is full or the stream is read out for now.
    fn copy(&mut self, first: Payload, to: &mut [MaybeUninit<u8>]) -> usize {
        let (mut next, mut copied) = (Some(first), 0);
        while let Some(piece) = next {
            let n = piece.len().min(to.len() - copied);
            to[copied..copied + n].write_copy_of_slice(&piece[..n]);
            copied += n;
            if n < piece.len() {
                self.rest = Some(piece.slice(n..));
                break;
            }
            // What is wrong now is so at the next call.
            next = if copied < to.len() { self.half.try_read().ok().flatten() } else { None };
        }
        copied
    }
}

/// Copies up to `length` received bytes to `buffer`. Waits for the first of them for `timeout` nanoseconds at most: 0 not at
/// all, `TSONAMI_FOREVER` until there is one. How many; 0 when the peer finished and all was received; or an error, such as
/// `TSONAMI_ERROR_WOULD_BLOCK`. An error of the connection comes behind everything that was received before it.
///
/// # Safety
/// `buffer` is null or points to `length` bytes that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_read(
    connection: *const TsonamiConnection,
    buffer: *mut c_void,
    length: usize,
    timeout: i64,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { room(buffer.cast::<u8>(), length, "bytes")? };
        let connection = self::connection(connection)?;
        let mut receives = connection.receives()?;
        if to.is_empty() {
            return Ok(0);
        }
        let first = receives.next(timeout)?;
        Ok(first.map_or(0, |first| receives.copy(first, to)))
    })
}

/// The next bytes that arrive, where the device put them: nothing is copied. Waits as `tsonami_connection_read`. 1 when there
/// are some, as payload to be freed; 0 when the peer finished and all was received. Holding many of them for long makes the
/// device copy or drop: copy out what is to be kept.
///
/// # Safety
/// `payload` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_receive(
    connection: *const TsonamiConnection,
    timeout: i64,
    payload: *mut *mut TsonamiPayload,
) -> i32 {
    yes(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(payload, "payload")? };
        let next = self::connection(connection)?.receives()?.next(timeout)?;
        next.map_or(Ok(false), |received| tell_payload(received, to).map(|()| true))
    })
}
