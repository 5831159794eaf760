//! Connections that are being opened, of an engine on threads of its own.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tsonami::{AbortHandle, Connecting, Connection, Error};

use crate::arguments::{address, code, options, out, wait};
use crate::connection::{TsonamiConnection, tell_connection};
use crate::engine::{ENGINES, TsonamiEngine, worker};
use crate::error::{TsonamiError, failed, note};
use crate::names::{Kind, Table, alone};

/// A connection that is being opened. One thread at a time waits for it; any may close it meanwhile.
pub struct TsonamiConnecting(());

/// What a handle stands for.
struct Opening {
    connecting: Mutex<Connecting>,
    /// Somebody has the connection.
    given_out: AtomicBool,
    abort: AbortHandle,
}

impl Opening {
    /// The connection, once it is open.
    fn wait(&self, timeout: i64) -> Result<Connection, TsonamiError> {
        let mut connecting = alone(&self.connecting, "what waits for the connection to open")?;
        match connecting.wait(&wait(timeout)) {
            Ok(opened) => {
                self.given_out.store(true, Ordering::Relaxed);
                Ok(opened)
            }
            Err(Error::Gone) => Err(note(TsonamiError::Closed, "how this ended was told before: close it")),
            Err(error) => Err(failed(error)),
        }
    }

    /// Gives it up, unless somebody has the connection. The connection is told and not who waits: a thread may have looked the
    /// handle up, and be about to wait.
    fn close(&self) {
        if !self.given_out.load(Ordering::Relaxed) {
            self.abort.abort();
        }
    }
}

static OPENINGS: Table<Arc<Opening>, TsonamiConnecting> = Table::new(Kind::Connecting);

/// Gives a connection that is being opened a handle.
fn tell_connecting(
    connecting: Connecting,
    to: &mut MaybeUninit<*mut TsonamiConnecting>,
) -> Result<(), TsonamiError> {
    let abort = connecting.abort_handle();
    let (connecting, given_out) = (Mutex::new(connecting), AtomicBool::new(false));
    to.write(OPENINGS.insert(Arc::new(Opening { connecting, given_out, abort }))?);
    Ok(())
}

/// Begins to open a connection to `peer`, and does not wait: `tsonami_connecting_wait` does, or looks whether it is open. `peer`
/// and `options` as in `tsonami_engine_connect`. Close it with `tsonami_connecting_close`, opened or not.
///
/// # Safety
/// `peer` is null or NUL-terminated, `options` too; `connecting` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_begin_connect(
    engine: *const TsonamiEngine,
    peer: *const c_char,
    options: *const c_char,
    connecting: *mut *mut TsonamiConnecting,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (peer, options, to) =
            unsafe { (address(peer, "peer")?, self::options(options)?, out(connecting, "handle")?) };
        tell_connecting(ENGINES.get(engine)?.connect(peer, options.as_ref()), to)
    })
}

/// Begins to open a connection that worker `worker` looks after, counted from 0.
///
/// # Safety
/// As `tsonami_engine_begin_connect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_begin_connect_at(
    engine: *const TsonamiEngine,
    worker: u32,
    peer: *const c_char,
    options: *const c_char,
    connecting: *mut *mut TsonamiConnecting,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (peer, options, to) =
            unsafe { (address(peer, "peer")?, self::options(options)?, out(connecting, "handle")?) };
        let engine = ENGINES.get(engine)?;
        tell_connecting(engine.connect_at(self::worker(&engine, worker)?, peer, options.as_ref()), to)
    })
}

/// The connection, once it is open; waits for that for `timeout` nanoseconds at most: 0 looks whether it is, `TSONAMI_FOREVER`
/// waits as long as its connect timeout allows. `TSONAMI_ERROR_WOULD_BLOCK` while it is not: it goes on, wait again. It is given
/// out once; so is the error when it does not open. Close it with `tsonami_connection_close`.
///
/// # Safety
/// `connection` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connecting_wait(
    connecting: *const TsonamiConnecting,
    timeout: i64,
    connection: *mut *mut TsonamiConnection,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(connection, "connection")? };
        tell_connection(OPENINGS.get(connecting)?.wait(timeout)?, to)
    })
}

/// Gives the handle up. A connection that it gave out is not concerned. One that is not open yet is given up, and whoever waits
/// for it in another thread gets `TSONAMI_ERROR_ABORTED`.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connecting_close(connecting: *mut TsonamiConnecting) -> i32 {
    code(|| {
        OPENINGS.take(connecting)?.close();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::arguments::TSONAMI_FOREVER;
    use crate::engine::{tsonami_engine_open, tsonami_engine_shutdown};
    use crate::version::TSONAMI_ABI_VERSION;

    #[test]
    fn who_looked_the_handle_up_and_is_about_to_wait_is_told_too() {
        let (mut engine, mut connecting) = (null_mut(), null_mut());
        let config =
            c"device = 'null'\naddress = '10.0.0.2/24'\nwait = 'park'\n[connection]\nconnect_timeout = '1h'";
        // SAFETY: text that ends with NUL, and places for handles.
        unsafe {
            assert_eq!(tsonami_engine_open(TSONAMI_ABI_VERSION, config.as_ptr(), &raw mut engine), 0);
            let peer = c"10.0.0.1:5001".as_ptr();
            let begun = tsonami_engine_begin_connect(engine, peer, std::ptr::null(), &raw mut connecting);
            assert_eq!(begun, 0);
        }
        let looked_up = OPENINGS.get(connecting).expect("a handle");
        assert_eq!(tsonami_connecting_close(connecting), 0);
        assert_eq!(looked_up.wait(TSONAMI_FOREVER).map(drop), Err(TsonamiError::Aborted));
        assert_eq!(tsonami_engine_shutdown(engine, 0), 0);
    }
}
