//! An engine without a thread: its caller polls it.

mod event;
mod send;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

use tsonami::{Config, ConnId, LocalEngine, Payload};

pub use self::event::*;
pub use self::send::*;
use crate::arguments::{address, code, count, memory, options, out, room, text, time, yes};
use crate::error::{TsonamiError, failed, note, refused};
use crate::memory::{POOLS, REGIONS, TsonamiPool, TsonamiRegion};
use crate::names::Kind;
use crate::same_version;
use crate::settings::setting;
use crate::stats::{TsonamiMarks, TsonamiStats, tell_stats};

/// An engine that its caller polls. It belongs to the thread that opened it: in others its handle is unknown. Connections of
/// it are numbers; one that is gone, or that was given up, is `TSONAMI_ERROR_CLOSED`.
pub struct TsonamiLocal(());

/// What a handle stands for.
pub(crate) struct Local {
    pub(crate) engine: LocalEngine,
    /// What a read buffer was too small for.
    pub(crate) rests: HashMap<ConnId, Payload>,
}

thread_local! {
    /// This thread's. One that is never closed ends with the process, and not with the thread, where DPDK may be gone.
    static LOCALS: RefCell<Vec<(u64, ManuallyDrop<Box<Local>>)>> = const { RefCell::new(Vec::new()) };
}

/// Names of local engines, which differ between threads too.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Uses an engine of this thread.
pub(crate) fn with<R>(
    name: *const TsonamiLocal,
    using: impl FnOnce(&mut Local) -> Result<R, TsonamiError>,
) -> Result<R, TsonamiError> {
    let number = Kind::Local.strip(name)?;
    LOCALS.with_borrow_mut(|locals| match locals.iter_mut().find(|(known, _)| *known == number) {
        Some((_, local)) => using(local),
        None => Err(unknown()),
    })
}

fn unknown() -> TsonamiError {
    note(TsonamiError::Handle, "this handle of a local engine was given up before, or is another thread's")
}

pub(crate) fn stale() -> TsonamiError {
    note(TsonamiError::Closed, "the connection is gone: it ended and was released, or never was")
}

/// Starts DPDK and the device, and makes an engine on the calling thread. `version`: `TSONAMI_ABI_VERSION`. `config` as in
/// `tsonami_engine_open`. End it with `tsonami_local_close`. DPDK starts once per process.
///
/// # Safety
/// `config` is null or NUL-terminated; `engine` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_open(
    version: u32,
    config: *const c_char,
    engine: *mut *mut TsonamiLocal,
) -> i32 {
    code(|| {
        same_version(version)?;
        // SAFETY: by the contract.
        let (config, to) = unsafe { (text(config, "configuration")?, out(engine, "engine")?) };
        let config = Config::from_toml(config).map_err(|e| note(TsonamiError::Invalid, e))?;
        let engine = LocalEngine::builder(config).build_local().map_err(|e| note(TsonamiError::Device, e))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let local = ManuallyDrop::new(Box::new(Local { engine, rests: HashMap::new() }));
        LOCALS.with_borrow_mut(|locals| locals.push((number, local)));
        to.write(Kind::Local.name(number));
        Ok(())
    })
}

/// Ends every connection, in good order within `drain` nanoseconds and by reset after that, and closes the device. The handle
/// is gone then, whatever the result. 0, or `TSONAMI_ERROR_UNCLEAN` when something was not in order.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_close(engine: *mut TsonamiLocal, drain: i64) -> i32 {
    code(|| {
        let drain = time(drain, "drain")?;
        let number = Kind::Local.strip(engine)?;
        let local = LOCALS.with_borrow_mut(|locals| {
            let at = locals.iter().position(|(known, _)| *known == number);
            at.map(|at| locals.swap_remove(at).1).ok_or_else(unknown)
        })?;
        let Local { engine, rests } = *ManuallyDrop::into_inner(local);
        drop(rests);
        engine.shutdown(drain).map_err(|e| note(TsonamiError::Unclean, e))
    })
}

/// Finishes every connection, and turns the loop until they have ended, for `at_most` nanoseconds: payload comes home, and what is
/// then missing is known before the engine is closed. 1 when they have ended, 0 when the time was over.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_drain(engine: *const TsonamiLocal, at_most: i64) -> i32 {
    yes(|| {
        let at_most = time(at_most, "time")?;
        with(engine, |local| Ok(local.engine.drain(at_most)))
    })
}

/// One bounded turn of the loop: receives, lets timers fire, sends, returns buffers. 1 when it did something, 0 when not.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_poll(engine: *const TsonamiLocal) -> i32 {
    yes(|| {
        with(engine, |local| {
            let now = local.engine.now();
            Ok(local.engine.poll(now).is_busy())
        })
    })
}

/// Rests as the configuration's `wait` says when nothing was to be done; `busy`: this turn did something, so no rest.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_rest(engine: *const TsonamiLocal, busy: bool) -> i32 {
    code(|| {
        with(engine, |local| {
            local.engine.rest(busy);
            Ok(())
        })
    })
}

/// Takes the next event. 1 when there was one, which is then in `event`; 0 when not.
///
/// # Safety
/// `event` is null or points to memory for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_next_event(
    engine: *const TsonamiLocal,
    event: *mut TsonamiEvent,
) -> i32 {
    yes(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(event, "event")? };
        with(engine, |local| {
            while let Some((id, happened)) = local.engine.poll_event() {
                if let Some(told) = TsonamiEvent::new(id, happened) {
                    to.write(told);
                    return Ok(true);
                }
            }
            Ok(false)
        })
    })
}

/// Opens a connection to `peer`, for example `"10.77.0.1:5001"`; its number is then in `connection`. The event
/// `TSONAMI_EVENT_KIND_CONNECTED` or `TSONAMI_EVENT_KIND_CLOSED` follows. `options` as in `tsonami_engine_connect`.
///
/// # Safety
/// `peer` is null or NUL-terminated, `options` too; `connection` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_connect(
    engine: *const TsonamiLocal,
    peer: *const c_char,
    options: *const c_char,
    connection: *mut u64,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (peer, options, to) =
            unsafe { (address(peer, "peer")?, self::options(options)?, out(connection, "connection")?) };
        with(engine, |local| {
            let now = local.engine.now();
            to.write(local.engine.connect(peer, options.as_ref(), now).map_err(failed)?.to_bits());
            Ok(())
        })
    })
}

/// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open, each told by
/// `TSONAMI_EVENT_KIND_ACCEPTED`. `options` as in `tsonami_engine_connect`.
///
/// # Safety
/// `local` is null or NUL-terminated, `options` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_listen(
    engine: *const TsonamiLocal,
    local: *const c_char,
    backlog: usize,
    options: *const c_char,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (at, options) = unsafe { (address(local, "address")?, self::options(options)?) };
        with(engine, |local| {
            let listening = local.engine.listen(at, backlog, options.as_ref());
            listening.map(drop).map_err(refused)
        })
    })
}

/// Copies up to `length` received bytes to `buffer`; how many, or 0 when there are none now: the events tell when there are,
/// and when the peer finished.
///
/// # Safety
/// `buffer` is null or points to `length` bytes that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_read(
    engine: *const TsonamiLocal,
    connection: u64,
    buffer: *mut c_void,
    length: usize,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { room(buffer.cast::<u8>(), length, "bytes")? };
        with(engine, |local| {
            let id = ConnId::from_bits(connection);
            if local.engine.state(id).is_none() {
                return Err(stale());
            }
            let mut copied = 0;
            while copied < to.len() {
                let Some(payload) = local.rests.remove(&id).or_else(|| local.engine.read(id)) else { break };
                let n = payload.len().min(to.len() - copied);
                to[copied..copied + n].write_copy_of_slice(&payload[..n]);
                copied += n;
                if n < payload.len() {
                    local.rests.insert(id, payload.slice(n..));
                }
            }
            Ok(copied)
        })
    })
}

/// How far the connection's stream has come.
///
/// # Safety
/// `marks` is null or points to memory for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_marks(
    engine: *const TsonamiLocal,
    connection: u64,
    marks: *mut TsonamiMarks,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(marks, "marks")? };
        with(engine, |local| {
            to.write(local.engine.marks(ConnId::from_bits(connection)).ok_or_else(stale)?.into());
            Ok(())
        })
    })
}

/// What the connection counted. `size`: `sizeof(TsonamiStats)`.
///
/// # Safety
/// `stats` is null or points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_stats(
    engine: *const TsonamiLocal,
    connection: u64,
    stats: *mut TsonamiStats,
    size: usize,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        unsafe { out(stats, "statistics")? };
        let told = with(engine, |local| local.engine.stats(ConnId::from_bits(connection)).ok_or_else(stale))?;
        // SAFETY: by the contract.
        unsafe { tell_stats(&told, stats, size) }
    })
}

/// Does something with a connection that is there.
fn of(
    engine: *const TsonamiLocal,
    connection: u64,
    using: impl FnOnce(&mut Local, ConnId) -> Result<(), TsonamiError>,
) -> i32 {
    code(|| {
        let id = ConnId::from_bits(connection);
        with(engine, |local| match local.engine.state(id) {
            Some(_) => using(local, id),
            None => Err(stale()),
        })
    })
}

/// Changes a setting, one of `TsonamiSetting`, from now on.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_set(
    engine: *const TsonamiLocal,
    connection: u64,
    setting: i32,
    value: i64,
) -> i32 {
    of(engine, connection, |local, id| {
        local.engine.set(id, self::setting(setting, value)?);
        Ok(())
    })
}

/// Ends our direction behind what was sent. Reading goes on.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_shutdown_write(engine: *const TsonamiLocal, connection: u64) -> i32 {
    of(engine, connection, |local, id| {
        local.engine.shutdown_write(id);
        Ok(())
    })
}

/// Resets the connection.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_abort(engine: *const TsonamiLocal, connection: u64) -> i32 {
    of(engine, connection, |local, id| {
        local.engine.abort(id);
        Ok(())
    })
}

/// Gives the connection up. What was sent is still delivered, then it ends.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_local_release(engine: *const TsonamiLocal, connection: u64) -> i32 {
    of(engine, connection, |local, id| {
        local.rests.remove(&id);
        local.engine.release(id);
        Ok(())
    })
}

/// A pool to send from, as `tsonami_engine_make_pool`.
///
/// # Safety
/// `pool` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_make_pool(
    engine: *const TsonamiLocal,
    count: u32,
    size: u32,
    pool: *mut *mut TsonamiPool,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(pool, "pool")? };
        let made = with(engine, |local| local.engine.make_pool(count, size).map_err(refused))?;
        to.write(POOLS.insert(made)?);
        Ok(())
    })
}

/// Memory of the program's own that the device can read, as `tsonami_engine_make_arena`.
///
/// # Safety
/// `region` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_make_arena(
    engine: *const TsonamiLocal,
    length: usize,
    region: *mut *mut TsonamiRegion,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(region, "region")? };
        let made = with(engine, |local| local.engine.make_arena(length).map_err(refused))?;
        to.write(REGIONS.insert(made)?);
        Ok(())
    })
}

/// Makes memory that the program has known to the device, whole pages of `page` bytes: to be made a pool by
/// `tsonami_local_make_pool_over`. In a program that forks it should be kept from the children (`MADV_DONTFORK`), as an arena is.
///
/// # Safety
/// `bytes` points to `length` bytes that stay mapped and where they are, and that are written only through buffers of pools over
/// them, until the region, every pool over it and every buffer of these are gone. Each was written to at least once, if only by
/// the kernel that made the page. `region` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_register(
    engine: *const TsonamiLocal,
    bytes: *mut c_void,
    length: usize,
    page: usize,
    region: *mut *mut TsonamiRegion,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(region, "region")? };
        let memory = memory(bytes, length)?;
        let made = with(engine, |local| {
            // SAFETY: the caller's promise.
            let made = unsafe { local.engine.register(memory, page) };
            made.map_err(refused)
        })?;
        to.write(REGIONS.insert(made)?);
        Ok(())
    })
}

/// A pool over a region, as `tsonami_engine_make_pool_over`.
///
/// # Safety
/// `pool` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_local_make_pool_over(
    engine: *const TsonamiLocal,
    region: *const TsonamiRegion,
    size: u32,
    pool: *mut *mut TsonamiPool,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(pool, "pool")? };
        let region = REGIONS.get(region)?;
        let made = with(engine, |local| local.engine.make_pool_over(&region, size).map_err(refused))?;
        to.write(POOLS.insert(made)?);
        Ok(())
    })
}
