//! Connections that peers open.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

use tsonami::{CloseHandle, Listener};

use crate::arguments::{code, out, wait};
use crate::connection::{TsonamiConnection, tell_connection};
use crate::error::{TsonamiError, failed, later};
use crate::names::{Kind, Table, alone};

/// Accepts connections. One thread at a time accepts; any may close it meanwhile.
pub struct TsonamiListener(());

/// What a handle stands for.
struct Ear {
    listener: Mutex<Listener>,
    close: CloseHandle,
}

static LISTENERS: Table<Arc<Ear>, TsonamiListener> = Table::new(Kind::Listener);

/// Gives a listener a handle.
pub(crate) fn tell_listener(
    listener: Listener,
    to: &mut MaybeUninit<*mut TsonamiListener>,
) -> Result<(), TsonamiError> {
    let close = listener.close_handle();
    to.write(LISTENERS.insert(Arc::new(Ear { listener: Mutex::new(listener), close }))?);
    Ok(())
}

/// The next connection that a peer opened; waits for one for `timeout` nanoseconds at most: 0 looks whether there is one,
/// `TSONAMI_FOREVER` waits. `TSONAMI_ERROR_WOULD_BLOCK` when there is none. Close it with `tsonami_connection_close`.
///
/// # Safety
/// `connection` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_listener_accept(
    listener: *const TsonamiListener,
    timeout: i64,
    connection: *mut *mut TsonamiConnection,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(connection, "connection")? };
        let ear = LISTENERS.get(listener)?;
        let mut listener = alone(&ear.listener, "the listener")?;
        let accepted = match listener.try_accept().map_err(failed)? {
            Some(accepted) => accepted,
            None if timeout == 0 => return Err(later()),
            None => listener.accept().wait(&wait(timeout)).map_err(failed)?,
        };
        tell_connection(accepted, to)
    })
}

/// Accepts no more, resets connections that nobody took, and gives the handle up. A thread that waits for a connection gets
/// `TSONAMI_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_listener_close(listener: *mut TsonamiListener) -> i32 {
    code(|| {
        LISTENERS.take(listener)?.close.close();
        Ok(())
    })
}
