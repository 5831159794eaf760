//! An engine on threads of its own.

use std::ffi::{c_char, c_void};

use tsonami::{Config, Engine};

use crate::arguments::{address, caught, code, memory, options, out, text, time, wait};
use crate::connection::{TsonamiConnection, tell_connection};
use crate::error::{TsonamiError, failed, not_done, note};
use crate::listener::{TsonamiListener, tell_listener};
use crate::memory::{POOLS, REGIONS, TsonamiPool, TsonamiRegion};
use crate::names::{Kind, Table};
use crate::same_version;

/// TCP over a device, on one thread of its own or several (`workers` in its configuration). Any thread may use it, several at
/// once.
pub struct TsonamiEngine(());

pub(crate) static ENGINES: Table<Engine, TsonamiEngine> = Table::new(Kind::Engine);

/// Starts DPDK and the device, on threads of their own. `version`: `TSONAMI_ABI_VERSION`. `config` is TOML, as tsonami's
/// configuration files are, for example `device = "tap"` and `address = "10.77.0.2/24"` on two lines. End it with
/// `tsonami_engine_shutdown`. DPDK starts once per process.
///
/// # Safety
/// `config` is null or NUL-terminated; `engine` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_open(
    version: u32,
    config: *const c_char,
    engine: *mut *mut TsonamiEngine,
) -> i32 {
    code(|| {
        same_version(version)?;
        // SAFETY: by the contract.
        let (config, to) = unsafe { (text(config, "configuration")?, out(engine, "engine")?) };
        let config = Config::from_toml(config).map_err(|e| note(TsonamiError::Invalid, e))?;
        let made = Engine::builder(config).build().map_err(|e| note(TsonamiError::Device, e))?;
        to.write(ENGINES.insert(made)?);
        Ok(())
    })
}

/// Ends every connection, in good order within `drain` nanoseconds and by reset after that, and closes the device. The handle
/// is gone then, whatever the result. Whoever still waits for something of this engine, in any thread, gets
/// `TSONAMI_ERROR_ENGINE_GONE`; handles of its connections and memory are to be given up all the same. 0, or
/// `TSONAMI_ERROR_UNCLEAN` when something was not in order: buffers that the program still holds, bytes that were not
/// delivered.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_engine_shutdown(engine: *mut TsonamiEngine, drain: i64) -> i32 {
    code(|| {
        let drain = time(drain, "drain")?;
        ENGINES.take(engine)?.shutdown(drain).map_err(|e| note(TsonamiError::Unclean, e))
    })
}

/// Opens a connection to `peer`, for example `"10.77.0.1:5001"`, and waits until it is open, `timeout` nanoseconds at most
/// (`TSONAMI_FOREVER`: as long as its connect timeout allows). `options`: TOML, as the section `connection` of a configuration
/// file, for example `no_delay = true`; null for those of the engine's configuration. Nothing is left of it when it fails.
/// Close it with `tsonami_connection_close`. Who does not want to wait, or wants to end the wait from another thread, begins
/// by `tsonami_engine_begin_connect`.
///
/// # Safety
/// `peer` is null or NUL-terminated, `options` too; `connection` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_connect(
    engine: *const TsonamiEngine,
    peer: *const c_char,
    options: *const c_char,
    timeout: i64,
    connection: *mut *mut TsonamiConnection,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (peer, options, to) =
            unsafe { (address(peer, "peer")?, self::options(options)?, out(connection, "connection")?) };
        let mut connecting = ENGINES.get(engine)?.connect(peer, options.as_ref());
        tell_connection(connecting.wait(&wait(timeout)).map_err(failed)?, to)
    })
}

/// How many workers the engine has: threads, each with its own share of the connections.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_engine_workers(engine: *const TsonamiEngine) -> i32 {
    caught(|| Ok(ENGINES.get(engine)?.workers().into())).unwrap_or_else(TsonamiError::code)
}

/// A worker of an engine, which C names by a number.
pub(crate) fn worker(engine: &Engine, number: u32) -> Result<u16, TsonamiError> {
    let workers = engine.workers();
    u16::try_from(number).ok().filter(|&number| number < workers).ok_or_else(|| {
        note(
            TsonamiError::Invalid,
            format_args!("there is no worker {number}: they are 0 to {}", workers - 1),
        )
    })
}

/// Opens a connection that worker `worker` looks after, counted from 0, as `tsonami_engine_connect` does at each in turn: to
/// have connections that one thread uses together at one worker.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_connect_at(
    engine: *const TsonamiEngine,
    worker: u32,
    peer: *const c_char,
    options: *const c_char,
    timeout: i64,
    connection: *mut *mut TsonamiConnection,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (peer, options, to) =
            unsafe { (address(peer, "peer")?, self::options(options)?, out(connection, "connection")?) };
        let engine = ENGINES.get(engine)?;
        let mut connecting = engine.connect_at(self::worker(&engine, worker)?, peer, options.as_ref());
        tell_connection(connecting.wait(&wait(timeout)).map_err(failed)?, to)
    })
}

/// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open. `options` as in
/// `tsonami_engine_connect`. Close it with `tsonami_listener_close`.
///
/// # Safety
/// `local` is null or NUL-terminated, `options` too; `listener` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_listen(
    engine: *const TsonamiEngine,
    local: *const c_char,
    backlog: usize,
    options: *const c_char,
    listener: *mut *mut TsonamiListener,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (local, options, to) =
            unsafe { (address(local, "address")?, self::options(options)?, out(listener, "listener")?) };
        let made = ENGINES.get(engine)?.listen(local, backlog, options.as_ref());
        tell_listener(made.map_err(not_done)?, to)
    })
}

/// A pool to send from: `count` buffers of `size` bytes each, at least 64, in memory near the device. Free it with
/// `tsonami_pool_free`.
///
/// # Safety
/// `pool` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_make_pool(
    engine: *const TsonamiEngine,
    count: u32,
    size: u32,
    pool: *mut *mut TsonamiPool,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(pool, "pool")? };
        let made = ENGINES.get(engine)?.make_pool(count, size);
        to.write(POOLS.insert(made.map_err(not_done)?)?);
        Ok(())
    })
}

/// Memory of the program's own that the device can read: `length` bytes, rounded up to whole pages, of hugepages where there
/// are any, zero at first. Make it a pool by `tsonami_engine_make_pool_over`. Free it with `tsonami_region_free`.
///
/// # Safety
/// `region` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_make_arena(
    engine: *const TsonamiEngine,
    length: usize,
    region: *mut *mut TsonamiRegion,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(region, "region")? };
        let made = ENGINES.get(engine)?.make_arena(length);
        to.write(REGIONS.insert(made.map_err(not_done)?)?);
        Ok(())
    })
}

/// Makes memory that the program has known to the device, whole pages of `page` bytes: to be made a pool by
/// `tsonami_engine_make_pool_over`. Free it with `tsonami_region_free`. In a program that forks it should be kept from the children
/// (`MADV_DONTFORK`), as an arena is.
///
/// # Safety
/// `bytes` points to `length` bytes that stay mapped and where they are, and that are written only through buffers of pools over
/// them, until the region, every pool over it and every buffer of these are gone. Each was written to at least once, if only by
/// the kernel that made the page. `region` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_register(
    engine: *const TsonamiEngine,
    bytes: *mut c_void,
    length: usize,
    page: usize,
    region: *mut *mut TsonamiRegion,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(region, "region")? };
        let memory = memory(bytes, length)?;
        // SAFETY: the caller's promise.
        let made = unsafe { ENGINES.get(engine)?.register(memory, page) };
        to.write(REGIONS.insert(made.map_err(not_done)?)?);
        Ok(())
    })
}

/// A pool over a region, which has one at a time: as many buffers of `size` bytes as fit into it. Free it with
/// `tsonami_pool_free`.
///
/// # Safety
/// `pool` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_make_pool_over(
    engine: *const TsonamiEngine,
    region: *const TsonamiRegion,
    size: u32,
    pool: *mut *mut TsonamiPool,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(pool, "pool")? };
        let made = ENGINES.get(engine)?.make_pool_over(&REGIONS.get(region)?, size);
        to.write(POOLS.insert(made.map_err(not_done)?)?);
        Ok(())
    })
}
