//! What is not in the program's memory, sent on a connection of an engine on threads of its own: files, and what another
//! connection receives.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use tsonami::{Error, SendFileError, SendFileReason, SendFlags, SendHalf, SpliceError};

use crate::arguments::{count, flags, wait};
use crate::connection::{Receives, TsonamiConnection, connection};
use crate::error::{TsonamiError, failed, later, note};

/// A file that is not ours to close.
///
/// # Safety
/// `file` is a descriptor that stays open while the result is used, or negative.
pub(crate) unsafe fn opened(file: i32) -> Result<ManuallyDrop<File>, TsonamiError> {
    if file < 0 {
        return Err(note(TsonamiError::Invalid, "the file is no descriptor"));
    }
    // SAFETY: open by the contract, and never closed by us.
    Ok(ManuallyDrop::new(unsafe { File::from_raw_fd(file) }))
}

/// What is wrong with a file, or inside with the connection.
pub(crate) fn file_failed(error: io::Error) -> TsonamiError {
    match error.downcast::<Error>() {
        Ok(error) => failed(error),
        Err(error) => note(TsonamiError::Device, error),
    }
}

/// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads. Waits
/// for room for `timeout` nanoseconds at most: 0 takes what there is room for now, `TSONAMI_FOREVER` waits until all are
/// taken. How many were; 0 at the end of the file; or an error when none. The file's own position stays. The calling thread
/// reads the file, and waits as long as the disk does.
///
/// # Safety
/// `file` is a descriptor that stays open during the call, or negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_send_file(
    connection: *const TsonamiConnection,
    file: i32,
    offset: u64,
    length: usize,
    flags: u32,
    timeout: i64,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        // SAFETY: by the contract.
        let file = unsafe { opened(file)? };
        self::connection(connection)?.sending(|half| {
            if timeout == 0 {
                return half.try_send_file(&file, offset, length, flags).map_err(file_failed);
            }
            match half.send_file(&file, offset, length as u64, flags).wait(&wait(timeout)) {
                Ok(sent) => Ok(sent as usize),
                // What is wrong now is so at the next call.
                Err(error) if error.sent > 0 => Ok(error.sent as usize),
                Err(SendFileError { reason: SendFileReason::Connection(error), .. }) => Err(failed(error)),
                Err(error) => Err(note(TsonamiError::Device, error)),
            }
        })
    })
}

/// Sends on `to` up to `length` bytes that `from` receives and that were not read, without copying them. Waits for bytes and
/// for room for `timeout` nanoseconds at most: 0 takes what is there now, `TSONAMI_FOREVER` waits until all were sent or `from`
/// is at its end. How many were; 0 at the end of `from`; or an error when none. What was not sent is still to be read. It uses
/// the receiving half of `from` and the sending half of `to`, which may be the same connection.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_splice(
    from: *const TsonamiConnection,
    to: *const TsonamiConnection,
    length: usize,
    flags: u32,
    timeout: i64,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        let (from, to) = (connection(from)?, connection(to)?);
        let mut receives = from.receives()?;
        to.sending(|half| splice(half, &mut receives, length, flags, timeout))
    })
}

fn splice(
    half: &mut SendHalf,
    receives: &mut Receives,
    length: usize,
    flags: SendFlags,
    timeout: i64,
) -> Result<usize, TsonamiError> {
    if length == 0 {
        return Ok(0);
    }
    // What a read buffer was too small for comes first, and goes alone.
    if let Some(rest) = receives.rest.take() {
        let n = rest.len().min(length);
        let here = rest.slice(..n);
        let sent = match timeout {
            0 => half.try_send(here, flags),
            _ => half.send(here, flags).wait(&wait(timeout)),
        };
        let left = if sent.is_ok() { n } else { 0 };
        receives.rest = (left < rest.len()).then(|| rest.slice(left..));
        return sent.map(|_| n).map_err(|refused| failed(refused.reason));
    }
    let moved = match timeout {
        0 => half.try_splice(&mut receives.half, length, flags),
        _ => half.splice(&mut receives.half, length as u64, flags).wait(&wait(timeout)).map(|n| n as usize),
    };
    match moved {
        Ok(0) if timeout == 0 => Err(later()),
        Ok(moved) => Ok(moved),
        Err(SpliceError::From(Error::Finished)) => Ok(0),
        Err(SpliceError::From(error) | SpliceError::To(error)) => Err(failed(error)),
    }
}
