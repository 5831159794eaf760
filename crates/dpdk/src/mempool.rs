//! Pools of packet buffers.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Eal, Errno, Mbuf};

/// What a pool of packet buffers looks like.
#[derive(Clone, Debug)]
pub struct MempoolConfig {
    /// What it is for; shows up in DPDK's tools. Made unique, cut to what DPDK allows.
    pub name: &'static str,
    /// Buffers in it.
    pub count: u32,
    /// Buffers that each lcore keeps to itself, at most 512 and at most two thirds of `count`: lowered to fit.
    pub cache: u32,
    /// Bytes of each buffer, the headroom of 128 included; 0 for buffers that only refer to others.
    pub data_room: u16,
    /// Memory of this NUMA node; `None`: any.
    pub socket: Option<i32>,
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the {name} pool of {count} buffers of {size} bytes could not be made: {errno}. {}", advice(*errno))]
pub struct PoolError {
    /// What it was for.
    pub name: &'static str,
    /// Buffers asked for.
    pub count: u32,
    /// Bytes of each.
    pub size: u32,
    /// The reason.
    pub errno: Errno,
}

impl PoolError {
    /// Whether the memory was to be had, and has a pool over it.
    pub fn is_taken(&self) -> bool {
        self.errno.0 == libc::EBUSY
    }
}

fn advice(errno: Errno) -> &'static str {
    match errno.0 {
        libc::ENOMEM => {
            "Give DPDK more memory (EAL's -m in MiB, or more hugepages: \
             `echo 1024 | sudo tee /proc/sys/vm/nr_hugepages`) or ask for fewer buffers"
        }
        libc::EBUSY => "There is another pool over this memory, or buffers of one are still out",
        _ => "",
    }
}

/// A pool of packet buffers. Clones refer to the same one.
///
/// When the last is dropped while buffers are out, the pool stays allocated for the rest of the process.
#[derive(Clone, Debug)]
pub struct Mempool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    raw: NonNull<dpdk_sys::rte_mempool>,
    size: u32,
    data_room: u16,
    eal: ManuallyDrop<Eal>,
}

// SAFETY: pools are made with DPDK's default ring of many producers and many consumers, whose every operation
// used here may run on any thread at any time.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// A name no other object of this process has, within DPDK's limit of 24 characters or more.
pub(crate) fn unique_name(what: &str) -> CString {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let what: String = what.chars().filter(char::is_ascii_graphic).take(12).collect();
    CString::new(format!("{what}_{n}")).unwrap_or_default()
}

impl Mempool {
    /// Makes a pool.
    ///
    /// # Errors
    /// [`PoolError`], mostly when there is not memory enough.
    pub fn new(eal: &Eal, config: &MempoolConfig) -> Result<Mempool, PoolError> {
        let name = unique_name(config.name);
        // DPDK refuses a cache that could swallow the pool: cache × 1.5 must not exceed its size.
        let cache = config.cache.min(dpdk_sys::RTE_MEMPOOL_CACHE_MAX_SIZE).min(config.count / 3 * 2);
        // SAFETY: EAL runs; the name is copied; the other arguments are plain numbers that DPDK checks.
        let raw = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                config.count,
                cache,
                0,
                config.data_room,
                config.socket.unwrap_or(-1),
            )
        };
        let Some(raw) = NonNull::new(raw) else {
            let size = u32::from(config.data_room) + size_of::<dpdk_sys::rte_mbuf>() as u32;
            return Err(PoolError { name: config.name, count: config.count, size, errno: Errno::last() });
        };
        // SAFETY: `raw` is the pool just made.
        let size = unsafe { dpdk_sys::shim_mempool_size(raw.as_ptr()) };
        let eal = ManuallyDrop::new(eal.clone());
        Ok(Mempool { inner: Arc::new(Inner { raw, size, data_room: config.data_room, eal }) })
    }

    /// Takes a buffer; `None` when there is none.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        let mut m = core::ptr::null_mut();
        // SAFETY: the pool is alive; one pointer is written on success.
        let rc = unsafe { dpdk_sys::shim_pktmbuf_alloc_bulk(self.raw(), &raw mut m, 1) };
        if rc != 0 {
            return None;
        }
        // SAFETY: a freshly allocated mbuf is direct, single, and ours alone.
        NonNull::new(m).map(|m| unsafe { Mbuf::from_raw(m) })
    }

    /// Takes `n` buffers at once, at most 64, and appends them to `out`; all or none. Returns whether it did.
    pub fn alloc_bulk(&self, out: &mut Vec<Mbuf>, n: usize) -> bool {
        let mut batch = [core::ptr::null_mut(); 64];
        let n = n.min(batch.len());
        // SAFETY: the pool is alive; `n` pointers fit into the array.
        let rc = unsafe { dpdk_sys::shim_pktmbuf_alloc_bulk(self.raw(), batch.as_mut_ptr(), n as u32) };
        if rc != 0 {
            return false;
        }
        // SAFETY: freshly allocated mbufs are direct, single, and ours alone.
        out.extend(batch[..n].iter().filter_map(|&m| NonNull::new(m)).map(|m| unsafe { Mbuf::from_raw(m) }));
        true
    }

    /// Buffers not handed out, those in lcores' caches included. Walks all lcores' caches: not for every packet.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is alive.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw()) }
    }

    /// Buffers in all.
    pub fn size(&self) -> u32 {
        self.inner.size
    }

    /// Bytes of each buffer, headroom included.
    pub fn data_room(&self) -> u16 {
        self.inner.data_room
    }

    /// True when every buffer is home.
    pub fn is_full(&self) -> bool {
        self.available() == self.size()
    }

    pub(crate) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.inner.raw.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the pool is alive.
        let available = unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) };
        if available == self.size {
            // SAFETY: every buffer is home and nobody can take another one: this was the last handle. The EAL
            // handle is dropped once, here, after the pool.
            unsafe {
                dpdk_sys::rte_mempool_free(self.raw.as_ptr());
                ManuallyDrop::drop(&mut self.eal);
            }
        }
        // Else buffers are still out. They must find the pool when they come home, so it stays, and EAL with it.
    }
}
