//! Memory to send from: regions, pools, buffers, payload.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tsonami::{BufMut, BufPool, Payload, Region};

use crate::arguments::{code, count, out};
use crate::error::{TsonamiError, later, note};
use crate::names::{Kind, Table};

/// Memory outside DPDK's that a device can read. Any thread may use it; it goes when its handle was freed and every pool over
/// it is gone.
pub struct TsonamiRegion(());

/// Buffers that a device can read. Any thread may use it. Freeing the handle leaves what was taken from the pool alone.
pub struct TsonamiPool(());

/// A buffer of a pool that is being filled. One thread at a time writes to it.
pub struct TsonamiBuffer(());

/// Bytes that never change: filled by the application, or received. Any thread may use it, and any number of sends, each of
/// which keeps the bytes as long as it needs them: whoever got the handle frees it, at any time.
pub struct TsonamiPayload(());

pub(crate) static REGIONS: Table<Region, TsonamiRegion> = Table::new(Kind::Region);
pub(crate) static POOLS: Table<BufPool, TsonamiPool> = Table::new(Kind::Pool);
pub(crate) static BUFFERS: Table<BufMut, TsonamiBuffer> = Table::new(Kind::Buffer);
pub(crate) static PAYLOADS: Table<Payload, TsonamiPayload> = Table::new(Kind::Payload);

/// Gives a payload a handle.
pub(crate) fn tell_payload(
    payload: Payload,
    to: &mut MaybeUninit<*mut TsonamiPayload>,
) -> Result<(), TsonamiError> {
    to.write(PAYLOADS.insert(payload)?);
    Ok(())
}

/// Where the region is: its first byte, and how many there are. The program may write there what it likes, except to what was
/// frozen and is not home again: a send needs its bytes until they are reclaimed, whether or not there is still a handle on them.
///
/// # Safety
/// `bytes` and `length` are null or point to memory for one each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_region_bytes(
    region: *const TsonamiRegion,
    bytes: *mut *mut c_void,
    length: *mut usize,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (bytes, length) = unsafe { (out(bytes, "address")?, out(length, "length")?) };
        REGIONS.with(region, |region| {
            let addresses = region.addresses();
            bytes.write(std::ptr::with_exposed_provenance_mut(addresses.start));
            length.write(addresses.len());
            Ok(())
        })
    })
}

/// Gives the handle up. The memory goes when every pool over it and every buffer of these is gone.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_region_free(region: *mut TsonamiRegion) -> i32 {
    code(|| REGIONS.take(region).map(drop))
}

/// Takes a buffer out of the pool. `TSONAMI_ERROR_WOULD_BLOCK` when all are out: they come back when their bytes are
/// acknowledged. Free it with `tsonami_buffer_free`.
///
/// # Safety
/// `buffer` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_pool_alloc(
    pool: *const TsonamiPool,
    buffer: *mut *mut TsonamiBuffer,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(buffer, "buffer")? };
        let taken = POOLS.with(pool, |pool| pool.try_alloc().ok_or_else(later))?;
        to.write(BUFFERS.insert(taken)?);
        Ok(())
    })
}

/// How many buffers are in the pool now.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_pool_available(pool: *const TsonamiPool) -> isize {
    count(|| POOLS.with(pool, |pool| Ok(pool.available() as usize)))
}

/// Gives the handle up. Its buffers may outlive it.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_pool_free(pool: *mut TsonamiPool) -> i32 {
    code(|| POOLS.take(pool).map(drop))
}

/// Where to write, and how many bytes there is room for: behind what was frozen. The memory is the program's until it is
/// frozen or the buffer freed.
///
/// # Safety
/// `bytes` and `room` are null or point to memory for one each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_buffer_room(
    buffer: *const TsonamiBuffer,
    bytes: *mut *mut c_void,
    room: *mut usize,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (bytes, room) = unsafe { (out(bytes, "address")?, out(room, "room")?) };
        BUFFERS.with(buffer, |buffer| {
            let spare = buffer.spare_mut();
            bytes.write(spare.as_mut_ptr().cast());
            room.write(spare.len());
            Ok(())
        })
    })
}

/// Makes the next `length` bytes of the buffer payload, which nobody writes to any more. The buffer goes on behind them. Free
/// the payload with `tsonami_payload_free`.
///
/// # Safety
/// `payload` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_buffer_freeze(
    buffer: *const TsonamiBuffer,
    length: usize,
    payload: *mut *mut TsonamiPayload,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(payload, "payload")? };
        let frozen = BUFFERS.with(buffer, |buffer| match buffer.spare().len() {
            room if length <= room => Ok(Payload::from(buffer.freeze(length))),
            room => Err(note(
                TsonamiError::Invalid,
                format_args!("{length} bytes are to be frozen and the buffer has room for {room}"),
            )),
        })?;
        tell_payload(frozen, to)
    })
}

/// Gives the buffer up. It goes home to its pool when no payload in it is left.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_buffer_free(buffer: *mut TsonamiBuffer) -> i32 {
    code(|| BUFFERS.take(buffer).map(drop))
}

/// Where the bytes are, and how many. They stay there until the handle is freed.
///
/// # Safety
/// `bytes` and `length` are null or point to memory for one each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_payload_bytes(
    payload: *const TsonamiPayload,
    bytes: *mut *const c_void,
    length: *mut usize,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let (bytes, length) = unsafe { (out(bytes, "address")?, out(length, "length")?) };
        PAYLOADS.with(payload, |payload| {
            bytes.write(payload.as_ptr().cast());
            length.write(payload.len());
            Ok(())
        })
    })
}

/// A further handle, on `length` of the bytes from `offset` on. Nothing is copied. Free it as the first.
///
/// # Safety
/// `part` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_payload_slice(
    payload: *const TsonamiPayload,
    offset: usize,
    length: usize,
    part: *mut *mut TsonamiPayload,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(part, "part")? };
        let whole = PAYLOADS.get(payload)?;
        match offset.checked_add(length) {
            Some(end) if end <= whole.len() => tell_payload(whole.slice(offset..end), to),
            _ => Err(note(
                TsonamiError::Invalid,
                format_args!(
                    "the payload has {} bytes, none from {offset} to {length} behind that",
                    whole.len()
                ),
            )),
        }
    })
}

/// Gives the handle up. Sends that need the bytes keep them.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_payload_free(payload: *mut TsonamiPayload) -> i32 {
    code(|| PAYLOADS.take(payload).map(drop))
}
