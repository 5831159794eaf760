//! The engine in C.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::net::SocketAddr;
use std::time::Duration;

use tsonami::{Config, ConnId, LocalEngine, Payload, SendFlags};

use crate::error::{TsonamiError, note};
use crate::event::TsonamiEvent;

/// An engine. It belongs to the thread that opened it: no other may use it.
pub struct Tsonami {
    pub(crate) engine: LocalEngine,
    /// What a read buffer was too small for.
    pub(crate) rests: HashMap<ConnId, Payload>,
}

/// How far a stream has come, in bytes: accepted ≥ sent ≥ acked ≥ reclaimed.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default)]
pub struct TsonamiMarks {
    /// Taken from the application.
    pub accepted: u64,
    /// Handed to the device at least once.
    pub sent: u64,
    /// Acknowledged by the peer.
    pub acked: u64,
    /// Acknowledged, and no longer read by the device.
    pub reclaimed: u64,
}

/// # Safety
/// `text` is null or NUL-terminated and stays valid and unchanged during the call.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, TsonamiError> {
    if text.is_null() {
        return Err(note(TsonamiError::Invalid, "a text is a null pointer"));
    }
    // SAFETY: not null, and NUL-terminated by the contract.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| note(TsonamiError::Invalid, "a text is not UTF-8"))
}

/// # Safety
/// `engine` is null or came from [`tsonami_open`], was not closed, and nobody else uses it during the call.
pub(crate) unsafe fn opened<'a>(engine: *mut Tsonami) -> Result<&'a mut Tsonami, TsonamiError> {
    // SAFETY: by the contract.
    unsafe { engine.as_mut() }.ok_or_else(|| note(TsonamiError::Invalid, "the engine is a null pointer"))
}

fn code(result: Result<(), TsonamiError>) -> i32 {
    result.map_or_else(TsonamiError::code, |()| 0)
}

pub(crate) fn failed(error: tsonami::Error) -> TsonamiError {
    note(error.kind().into(), error)
}

fn stale() -> TsonamiError {
    note(TsonamiError::Closed, "the connection is gone: its handle was released")
}

/// Starts DPDK and the device, and makes an engine on the calling thread. `config` is TOML, as tsonami's
/// configuration files are, for example `device = "tap"` and `address = "10.77.0.2/24"` on two lines. Null on failure.
/// DPDK starts once per process.
///
/// # Safety
/// `config` is null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_open(config: *const c_char) -> *mut Tsonami {
    let open = || {
        // SAFETY: by the contract.
        let config = unsafe { text(config)? };
        let config = Config::from_toml(config).map_err(|e| note(TsonamiError::Invalid, e))?;
        let engine = LocalEngine::builder(config).build_local().map_err(|e| note(TsonamiError::Device, e))?;
        Ok::<_, TsonamiError>(Box::new(Tsonami { engine, rests: HashMap::new() }))
    };
    open().map_or(std::ptr::null_mut(), Box::into_raw)
}

/// Ends every connection, in good order within `drain_ms` milliseconds and by reset after that, closes the device and
/// frees the engine, whatever it returns. Zero, or `TSONAMI_ERROR_UNCLEAN` when something was not in order.
///
/// # Safety
/// `engine` is null or came from [`tsonami_open`], was not closed, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_close(engine: *mut Tsonami, drain_ms: u32) -> i32 {
    if engine.is_null() {
        return note(TsonamiError::Invalid, "the engine is a null pointer").code();
    }
    // SAFETY: made by `Box::into_raw` in `tsonami_open`, and given up by the caller.
    let Tsonami { engine, rests } = *unsafe { Box::from_raw(engine) };
    drop(rests);
    let closed = engine.shutdown(Duration::from_millis(drain_ms.into()));
    code(closed.map_err(|e| note(TsonamiError::Unclean, e)))
}

/// One bounded turn of the loop: receives, lets timers fire, sends, returns buffers. 1 when it did something, 0 when
/// not.
///
/// # Safety
/// `engine` is null or came from [`tsonami_open`] on this thread and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_poll(engine: *mut Tsonami) -> i32 {
    // SAFETY: by the contract.
    match unsafe { opened(engine) } {
        Ok(t) => {
            let now = t.engine.now();
            i32::from(t.engine.poll(now).is_busy())
        }
        Err(e) => e.code(),
    }
}

/// Rests as the configuration's `wait` says when nothing was to be done; `busy`: this turn did something, so no rest.
///
/// # Safety
/// As [`tsonami_poll`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_rest(engine: *mut Tsonami, busy: bool) {
    // SAFETY: by the contract.
    if let Ok(t) = unsafe { opened(engine) } {
        t.engine.rest(busy);
    }
}

/// Takes the next event. 1 when there was one, which is then in `event`; 0 when not.
///
/// # Safety
/// As [`tsonami_poll`]; `event` is null or points to memory for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_next_event(engine: *mut Tsonami, event: *mut TsonamiEvent) -> i32 {
    // SAFETY: by the contract.
    let t = match unsafe { opened(engine) } {
        Ok(t) => t,
        Err(e) => return e.code(),
    };
    if event.is_null() {
        return note(TsonamiError::Invalid, "the event is a null pointer").code();
    }
    while let Some((id, happened)) = t.engine.poll_event() {
        if let Some(told) = TsonamiEvent::new(id, happened) {
            // SAFETY: not null, and valid for writing by the contract; what was there needs no drop.
            unsafe { event.write(told) };
            return 1;
        }
    }
    0
}

/// Opens a connection to `peer`, for example `"10.77.0.1:5001"`; its handle is then in `connection`. The event
/// `TSONAMI_EVENT_KIND_CONNECTED` or `TSONAMI_EVENT_KIND_CLOSED` follows.
///
/// # Safety
/// As [`tsonami_poll`]; `peer` is null or NUL-terminated; `connection` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connect(
    engine: *mut Tsonami,
    peer: *const c_char,
    connection: *mut u64,
) -> i32 {
    let connect = || {
        // SAFETY: by the contract.
        let (t, peer) = unsafe { (opened(engine)?, text(peer)?) };
        if connection.is_null() {
            return Err(note(TsonamiError::Invalid, "the connection is a null pointer"));
        }
        let peer: SocketAddr = peer.parse().map_err(|_| {
            note(TsonamiError::Invalid, format!("'{peer}' is no address and port, such as 10.77.0.1:5001"))
        })?;
        let now = t.engine.now();
        let id = t.engine.connect(peer, None, now).map_err(failed)?;
        // SAFETY: not null, and valid for writing by the contract.
        unsafe { connection.write(id.to_bits()) };
        Ok(())
    };
    code(connect())
}

/// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open.
///
/// # Safety
/// As [`tsonami_poll`]; `local` is null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_listen(engine: *mut Tsonami, local: *const c_char, backlog: usize) -> i32 {
    let listen = || {
        // SAFETY: by the contract.
        let (t, local) = unsafe { (opened(engine)?, text(local)?) };
        let local: SocketAddr = local.parse().map_err(|_| {
            note(TsonamiError::Invalid, format!("'{local}' is no address and port, such as 10.77.0.2:5001"))
        })?;
        t.engine.listen(local, backlog, None).map(drop).map_err(|e| note(TsonamiError::Invalid, e))
    };
    code(listen())
}

/// Copies up to `length` bytes into the connection's send buffer; how many, or a negative `TsonamiError`:
/// `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
///
/// # Safety
/// As [`tsonami_poll`]; `bytes` is null or points to `length` bytes that do not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_send(
    engine: *mut Tsonami,
    connection: u64,
    bytes: *const c_void,
    length: usize,
) -> isize {
    let send = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        if bytes.is_null() && length > 0 {
            return Err(note(TsonamiError::Invalid, "the bytes are a null pointer"));
        }
        if length == 0 {
            return Ok(0);
        }
        // What is taken must be countable in the result; the rest is for the next call.
        let length = length.min(isize::MAX as usize);
        // SAFETY: not null, `length` bytes long and unchanging by the contract, and at most `isize::MAX`.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        t.engine.send_copy(ConnId::from_bits(connection), bytes, SendFlags::default()).map_err(failed)
    };
    send().map_or_else(|e| e.code() as isize, |taken| taken as isize)
}

/// Copies up to `length` received bytes to `buffer`; how many, 0 when there are none now, or a negative
/// `TsonamiError`.
///
/// # Safety
/// As [`tsonami_poll`]; `buffer` is null or points to `length` bytes that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_read(
    engine: *mut Tsonami,
    connection: u64,
    buffer: *mut c_void,
    length: usize,
) -> isize {
    let read = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        let id = ConnId::from_bits(connection);
        if t.engine.state(id).is_none() {
            return Err(stale());
        }
        if buffer.is_null() && length > 0 {
            return Err(note(TsonamiError::Invalid, "the buffer is a null pointer"));
        }
        let length = length.min(isize::MAX as usize);
        let mut copied = 0;
        while copied < length {
            let Some(payload) = t.rests.remove(&id).or_else(|| t.engine.read(id)) else { break };
            let n = payload.len().min(length - copied);
            // SAFETY: `buffer` has `length` bytes by the contract, of which `copied + n` at most are written; memory
            // of the engine does not overlap the caller's.
            unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), buffer.cast::<u8>().add(copied), n) };
            copied += n;
            if n < payload.len() {
                t.rests.insert(id, payload.slice(n..));
            }
        }
        Ok(copied)
    };
    read().map_or_else(|e: TsonamiError| e.code() as isize, |copied| copied as isize)
}

/// How far the connection's stream has come.
///
/// # Safety
/// As [`tsonami_poll`]; `marks` is null or points to memory for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_marks(
    engine: *mut Tsonami,
    connection: u64,
    marks: *mut TsonamiMarks,
) -> i32 {
    let look = || {
        // SAFETY: by the contract.
        let t = unsafe { opened(engine)? };
        if marks.is_null() {
            return Err(note(TsonamiError::Invalid, "the marks are a null pointer"));
        }
        let m = t.engine.marks(ConnId::from_bits(connection)).ok_or_else(stale)?;
        let told = TsonamiMarks {
            accepted: m.accepted.0,
            sent: m.sent.0,
            acked: m.acked.0,
            reclaimed: m.reclaimed.0,
        };
        // SAFETY: not null, and valid for writing by the contract.
        unsafe { marks.write(told) };
        Ok(())
    };
    code(look())
}

/// Ends our direction behind what was sent. Reading goes on.
///
/// # Safety
/// As [`tsonami_poll`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_shutdown_write(engine: *mut Tsonami, connection: u64) -> i32 {
    // SAFETY: by the contract.
    code(unsafe { opened(engine) }.map(|t| t.engine.shutdown_write(ConnId::from_bits(connection))))
}

/// Resets the connection.
///
/// # Safety
/// As [`tsonami_poll`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_abort(engine: *mut Tsonami, connection: u64) -> i32 {
    // SAFETY: by the contract.
    code(unsafe { opened(engine) }.map(|t| t.engine.abort(ConnId::from_bits(connection))))
}

/// Gives the handle up. What was sent is still delivered, then the connection ends.
///
/// # Safety
/// As [`tsonami_poll`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_release(engine: *mut Tsonami, connection: u64) -> i32 {
    let release = |t: &mut Tsonami| {
        let id = ConnId::from_bits(connection);
        t.rests.remove(&id);
        t.engine.release(id);
    };
    // SAFETY: by the contract.
    code(unsafe { opened(engine) }.map(release))
}
