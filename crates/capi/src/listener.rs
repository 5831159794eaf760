//! Connections that peers open.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

use tsonami::Listener;

use crate::arguments::{code, out, wait};
use crate::connection::{TsonamiConnection, tell_connection};
use crate::error::{TsonamiError, failed, later};
use crate::names::{Kind, Table, alone};

/// Accepts connections. One thread at a time uses it.
pub struct TsonamiListener(());

static LISTENERS: Table<Arc<Mutex<Listener>>, TsonamiListener> = Table::new(Kind::Listener);

/// Gives a listener a handle.
pub(crate) fn tell_listener(
    listener: Listener,
    to: &mut MaybeUninit<*mut TsonamiListener>,
) -> Result<(), TsonamiError> {
    to.write(LISTENERS.insert(Arc::new(Mutex::new(listener)))?);
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
        let listener = LISTENERS.get(listener)?;
        let mut listener = alone(&listener, "the listener")?;
        let accepted = match listener.try_accept().map_err(failed)? {
            Some(accepted) => accepted,
            None if timeout == 0 => return Err(later()),
            None => listener.accept().wait(&wait(timeout)).map_err(failed)?,
        };
        tell_connection(accepted, to)
    })
}

/// Accepts no more, and resets connections that nobody took. `TSONAMI_ERROR_BUSY` while another thread waits for one.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_listener_close(listener: *mut TsonamiListener) -> i32 {
    code(|| {
        let unused = |listener: &Arc<Mutex<Listener>>| match alone(listener, "the listener") {
            Err(TsonamiError::Busy) => Err(TsonamiError::Busy),
            // What a defect left behind may be given up.
            _ => Ok(()),
        };
        LISTENERS.take_if(listener, unused).map(drop)
    })
}
