//! Application memory that devices send by reference: external buffers.
//!
//! A [`BufPool`] is carved from EAL memory, which every device can reach (vhost-user backends see nothing else).
//! A buffer is taken as a [`BufMut`], filled from the front, and frozen piece by piece into [`Slice`]s.
//!
//! # Two counts
//! DPDK counts references to an external buffer in 16 bits, which wrap silently. So the handles are counted in
//! 32 bits of our own, and DPDK's count holds one reference for all of them together plus one per mbuf attached
//! in a device, the latter capped at [`MAX_DEVICE_REFERENCES`]. Whoever takes DPDK's count to zero, the last
//! handle or the last mbuf, sends the buffer home: exactly one of them does.
//!
//! The owners' common reference is what makes attaching from several threads sound. DPDK frees without an atomic
//! operation when it reads a count of 1, in the belief that nobody else can add to it. As attaching needs a
//! handle, and handles keep the count above a lone device's 1, that belief is true.

use core::ffi::c_void;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Weak};

use crate::free_list::FreeList;
use crate::mempool::unique_name;
use crate::{Eal, Errno, PoolError, Reads, Region};

/// Mbufs in devices that may refer to one buffer at the same time. Below 2¹⁶ with room for drivers that take
/// references of their own (net_tap: one per segment it cuts).
pub const MAX_DEVICE_REFERENCES: u16 = 60_000;

/// Handles on one buffer, at most. Each is 16 bytes, so only forgetting them gets here.
const MAX_OWNERS: u32 = u32::MAX / 2;

/// What a pool of application buffers looks like.
#[derive(Clone, Debug)]
pub struct BufPoolConfig {
    /// What it is for.
    pub name: &'static str,
    /// Buffers in it, at least 1.
    pub count: u32,
    /// Bytes of each, at least 64; rounded up to a multiple of 64.
    pub size: u32,
    /// Memory of this NUMA node; `None`: any.
    pub socket: Option<i32>,
}

/// A pool of application buffers. Clones refer to the same one. Its memory goes back to EAL when the last clone
/// and the last buffer are gone.
#[derive(Clone, Debug)]
pub struct BufPool {
    inner: Arc<Inner>,
}

struct Inner {
    free: FreeList,
    buffers: Box<[Buffer]>,
    size: u32,
    zones: Vec<NonNull<dpdk_sys::rte_memzone>>,
    /// Or where the memory is the application's.
    region: Option<Region>,
    eal: ManuallyDrop<Eal>,
}

/// One buffer's book-keeping; in our own memory, never in the buffer or an mbuf.
#[repr(align(64))]
struct Buffer {
    shared: dpdk_sys::rte_mbuf_ext_shared_info,
    owners: AtomicU32,
    index: u32,
    addr: NonNull<u8>,
    iova: u64,
    /// The pool, with one strong count while the buffer is out.
    pool: *const Inner,
}

// SAFETY: the raw pointers lead to EAL memory and to the pool itself. Who may touch the memory is decided by the
// handles; all shared state is atomic.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buffers of {} bytes, {} free", self.buffers.len(), self.size, self.free.len())
    }
}

impl BufPool {
    /// Makes a pool.
    ///
    /// # Errors
    /// [`PoolError`], mostly when there is not memory enough.
    pub fn new(eal: &Eal, config: &BufPoolConfig) -> Result<BufPool, PoolError> {
        let count = config.count;
        let error = |errno| PoolError { name: config.name, count, size: config.size, errno };
        if count == 0 || count == u32::MAX || config.size < 64 || config.size > u32::MAX - 63 {
            return Err(error(Errno(libc::EINVAL)));
        }
        let size = config.size.next_multiple_of(64);

        // Owns the zones from here on: an early return gives them back.
        let mut inner = Inner {
            free: FreeList::full(count),
            buffers: Box::new([]),
            size,
            zones: Vec::new(),
            region: None,
            eal: ManuallyDrop::new(eal.clone()),
        };
        // Every buffer must be contiguous for the device too. With physical addresses a large zone may not be
        // had, so it is tried in ever smaller ones, down to a buffer each.
        let mut places = Vec::with_capacity(count as usize);
        let mut per_zone = count;
        while (places.len() as u32) < count {
            let want = per_zone.min(count - places.len() as u32);
            let zone = match inner.reserve(config.name, want, config.socket) {
                Ok(zone) => zone,
                Err(errno) if per_zone == 1 => return Err(error(errno)),
                Err(_) => {
                    per_zone = per_zone.div_ceil(2);
                    continue;
                }
            };
            // SAFETY: the zone was just reserved; its descriptor stays valid until it is freed.
            let (addr, iova) = unsafe { ((*zone.as_ptr()).__bindgen_anon_1.addr, (*zone.as_ptr()).iova) };
            let Some(addr) = NonNull::new(addr.cast::<u8>()) else { return Err(error(Errno(libc::ENOMEM))) };
            for i in 0..want {
                let offset = i as usize * size as usize;
                // SAFETY: `want` buffers of `size` bytes were reserved.
                places.push((unsafe { addr.add(offset) }, iova + offset as u64));
            }
        }
        Ok(BufPool::made(inner, places))
    }

    /// Makes a pool of as many buffers of `size` bytes as fit into a region; rounded up to a multiple of 64, at least 64.
    /// Where devices use physical addresses, bytes that are not in one piece for them are left out. A region has one pool at a
    /// time: another can be made when that, its clones and its buffers are gone.
    ///
    /// # Errors
    /// [`PoolError`] when not one fits, or there is a pool over the region.
    pub fn over(eal: &Eal, region: &Region, size: u32) -> Result<BufPool, PoolError> {
        let error = PoolError { name: "region", count: 1, size, errno: Errno(libc::EINVAL) };
        if !(64..=u32::MAX - 63).contains(&size) {
            return Err(error);
        }
        let size = size.next_multiple_of(64);
        let (mut places, mut offset) = (Vec::new(), 0);
        while offset + size as usize <= region.len() && places.len() < u32::MAX as usize - 1 {
            match region.place(offset, size as usize) {
                Some(place) => {
                    places.push(place);
                    offset += size as usize;
                }
                // On to the next page: the one before ends where it does.
                None => offset = (offset + 1).next_multiple_of(region.page()),
            }
        }
        if places.is_empty() {
            return Err(error);
        }
        if !region.claim() {
            return Err(PoolError { errno: Errno(libc::EBUSY), ..error });
        }
        let inner = Inner {
            free: FreeList::full(places.len() as u32),
            buffers: Box::new([]),
            size,
            zones: Vec::new(),
            region: Some(region.clone()),
            eal: ManuallyDrop::new(eal.clone()),
        };
        Ok(BufPool::made(inner, places))
    }

    fn made(mut inner: Inner, places: Vec<(NonNull<u8>, u64)>) -> BufPool {
        let inner = Arc::new_cyclic(|weak| {
            let pool = weak.as_ptr();
            inner.buffers = (0u32..)
                .zip(places)
                .map(|(index, (addr, iova))| Buffer {
                    shared: dpdk_sys::rte_mbuf_ext_shared_info {
                        free_cb: Some(last_device_reference_gone),
                        fcb_opaque: core::ptr::null_mut(),
                        refcnt: 0.into(),
                    },
                    owners: AtomicU32::new(0),
                    index,
                    addr,
                    iova,
                    pool,
                })
                .collect();
            for b in &mut inner.buffers {
                let this: *mut Buffer = b;
                b.shared.fcb_opaque = this.cast();
            }
            inner
        });
        BufPool { inner }
    }

    /// Takes a buffer; `None` when all are out, which is back-pressure.
    #[inline]
    pub fn try_alloc(&self) -> Option<BufMut> {
        let index = self.inner.free.pop()?;
        let buffer = &self.inner.buffers[index as usize];
        // The buffer's last users are done: `pop` sees what the `push` that brought it home saw.
        buffer.owners.store(1, Ordering::Relaxed);
        buffer.shared.refcnt.store(1, Ordering::Relaxed);
        // SAFETY: `Arc` gave out this pointer (see `buffer.pool`), and `self` holds a count. The count added here
        // belongs to the buffer; `go_home` takes it back.
        unsafe { Arc::increment_strong_count(Arc::as_ptr(&self.inner)) };
        Some(BufMut { owner: Owner(NonNull::from(buffer)), filled: 0 })
    }

    /// Buffers at home; exact when none is on its way.
    pub fn available(&self) -> u32 {
        self.inner.free.len()
    }

    /// Bytes of the buffers that are out; exact when none is on its way.
    pub fn bytes_out(&self) -> u64 {
        u64::from(self.count().saturating_sub(self.available())) * u64::from(self.buffer_size())
    }

    /// Buffers in all.
    pub fn count(&self) -> u32 {
        self.inner.buffers.len() as u32
    }

    /// Bytes of each buffer.
    pub fn buffer_size(&self) -> u32 {
        self.inner.size
    }

    /// True when every buffer is home.
    pub fn is_full(&self) -> bool {
        self.available() == self.count()
    }
}

impl Inner {
    fn reserve(
        &mut self,
        name: &str,
        buffers: u32,
        socket: Option<i32>,
    ) -> Result<NonNull<dpdk_sys::rte_memzone>, Errno> {
        let name = unique_name(name);
        let len = buffers as usize * self.size as usize;
        // SAFETY: EAL runs; the name is copied; the alignment is a power of two.
        let zone = unsafe {
            dpdk_sys::rte_memzone_reserve_aligned(
                name.as_ptr(),
                len,
                socket.unwrap_or(-1),
                dpdk_sys::RTE_MEMZONE_IOVA_CONTIG,
                64,
            )
        };
        let zone = NonNull::new(zone.cast_mut()).ok_or_else(Errno::last)?;
        self.zones.push(zone);
        Ok(zone)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Every buffer that is out holds a count of the `Arc` around this: all are home.
        for zone in &self.zones {
            // SAFETY: reserved by us, freed once, and nothing refers to it any more.
            unsafe { dpdk_sys::rte_memzone_free(zone.as_ptr()) };
        }
        if let Some(region) = &self.region {
            region.give_up();
        }
        // SAFETY: dropped once, here, after the memory that needs it.
        unsafe { ManuallyDrop::drop(&mut self.eal) }
    }
}

/// A pool that may be gone, for whoever is not to keep it.
#[derive(Clone, Debug)]
pub struct WeakPool(Weak<Inner>);

impl WeakPool {
    /// A handle that does not keep the pool.
    pub fn of(pool: &BufPool) -> WeakPool {
        WeakPool(Arc::downgrade(&pool.inner))
    }

    /// The pool, unless the last handle on it and its last buffer are gone.
    pub fn upgrade(&self) -> Option<BufPool> {
        self.0.upgrade().map(|inner| BufPool { inner })
    }
}

/// A device dropped the last reference while no handle existed.
unsafe extern "C" fn last_device_reference_gone(_addr: *mut c_void, opaque: *mut c_void) {
    // DPDK may have read the count of 1, which the last handle left behind, with a relaxed load. The fence makes
    // what that handle's holder did happen before the buffer's next use.
    fence(Ordering::Acquire);
    // SAFETY: `opaque` is this buffer's record (set in `BufPool::new`), kept alive by the pool's count that the
    // buffer holds. DPDK's count reached zero, which happens once per time out.
    unsafe { go_home(opaque.cast()) }
}

/// # Safety
/// `buffer` is out, and its last reference, handles' or device's, has just gone.
unsafe fn go_home(buffer: *const Buffer) {
    // SAFETY: the record lives inside the pool, which lives until the count below is given back.
    let (pool, index) = unsafe { ((*buffer).pool, (*buffer).index) };
    // SAFETY: `pool` came from the `Arc` and this buffer's count keeps it alive; the count is given back once.
    // The pool may be freed by that, so nothing is touched after it.
    unsafe {
        (*pool).free.push(index);
        Arc::decrement_strong_count(pool);
    }
}

/// One of the handles that own a buffer.
struct Owner(NonNull<Buffer>);

// SAFETY: counts are atomic, and bytes behind a handle are either read-only or the handle's alone.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

impl Owner {
    #[inline]
    fn buffer(&self) -> &Buffer {
        // SAFETY: the record lives as long as any handle: handles keep the buffer out, which keeps the pool.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Owner {
    #[inline]
    fn clone(&self) -> Owner {
        // A new handle is made from an existing one, so nothing needs ordering (as in `Arc`).
        if self.buffer().owners.fetch_add(1, Ordering::Relaxed) > MAX_OWNERS {
            // Only reached by forgetting billions of handles; going on would free memory in use.
            std::process::abort();
        }
        Owner(self.0)
    }
}

impl Drop for Owner {
    #[inline]
    fn drop(&mut self) {
        let buffer = self.buffer();
        // Handles are made from handles: while this is the only one, nobody else changes the count, and nothing need be locked.
        if buffer.owners.load(Ordering::Acquire) != 1 && buffer.owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // All other handles' uses happen before what follows.
        fence(Ordering::Acquire);
        // The owners' common reference. A device that still refers to the buffer sends it home when done.
        if buffer.shared.refcnt.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: it was the last reference of all.
            unsafe { go_home(self.0.as_ptr()) }
        }
    }
}

/// A buffer being filled from the front. The filled part can be frozen piece by piece; the pieces are shared,
/// the rest stays ours alone.
pub struct BufMut {
    owner: Owner,
    filled: u32,
}

impl BufMut {
    fn size(&self) -> u32 {
        // SAFETY: the pool is alive while a buffer of it is out.
        unsafe { (*self.owner.buffer().pool).size }
    }

    /// Bytes frozen so far.
    pub fn filled(&self) -> usize {
        self.filled as usize
    }

    /// The part not frozen yet, to be read.
    pub fn spare(&self) -> &[u8] {
        let (at, len) = self.spare_range();
        // SAFETY: see `spare_range`; nobody writes while `self` is borrowed.
        unsafe { core::slice::from_raw_parts(at, len) }
    }

    /// The part not frozen yet, to be written.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let (at, len) = self.spare_range();
        // SAFETY: see `spare_range`; slices only ever cover the bytes before it, so these are ours alone.
        unsafe { core::slice::from_raw_parts_mut(at, len) }
    }

    /// Start and length of `filled..size`, which is inside the buffer: `filled` never exceeds `size`. EAL's
    /// memory is mapped and initialised (the kernel hands it out zeroed).
    #[inline]
    fn spare_range(&self) -> (*mut u8, usize) {
        let size = self.size();
        // SAFETY: `filled <= size`, the buffer's length.
        let at = unsafe { self.owner.buffer().addr.as_ptr().add(self.filled as usize) };
        (at, (size - self.filled) as usize)
    }

    /// Freezes the next `n` bytes.
    ///
    /// # Panics
    /// When fewer are spare.
    #[inline]
    pub fn freeze(&mut self, n: usize) -> Slice {
        let spare = (self.size() - self.filled) as usize;
        assert!(n <= spare, "{n} bytes frozen, {spare} are spare");
        let off = self.filled;
        self.filled += n as u32;
        Slice { owner: self.owner.clone(), off, len: n as u32 }
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufMut({} of {} bytes frozen)", self.filled, self.size())
    }
}

/// A read-only piece of a buffer. Cloning and slicing cost one atomic addition; the bytes stay where they are.
#[derive(Clone)]
pub struct Slice {
    owner: Owner,
    off: u32,
    len: u32,
}

impl Slice {
    /// Bytes in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: inside the frozen part of the buffer, which nobody writes while a handle exists.
        unsafe {
            core::slice::from_raw_parts(
                self.owner.buffer().addr.as_ptr().add(self.off as usize),
                self.len as usize,
            )
        }
    }

    /// A handle on a part of it.
    ///
    /// # Panics
    /// When `range` is not inside it.
    #[inline]
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {} bytes", self.len);
        Slice {
            owner: self.owner.clone(),
            off: self.off + range.start as u32,
            len: (range.end - range.start) as u32,
        }
    }

    /// Extends this handle over `next` when that continues it in the same buffer. Returns whether it did.
    #[inline]
    pub fn try_merge(&mut self, next: &Slice) -> bool {
        let follows = self.owner.0 == next.owner.0 && self.off + self.len == next.off;
        if follows {
            self.len += next.len;
        }
        follows
    }

    /// Bytes of the whole buffer, which stays as long as any handle on any part of it.
    #[inline]
    pub fn buffer_size(&self) -> usize {
        // SAFETY: the pool is alive while a buffer of it is out.
        unsafe { (*self.owner.buffer().pool).size as usize }
    }

    /// Whether a device that reads so much reads this.
    #[inline]
    pub fn is_read_by(&self, device: Reads) -> bool {
        if device == Reads::Everything {
            return true;
        }
        // SAFETY: the pool is alive while a buffer of it is out.
        match (unsafe { &(*self.owner.buffer().pool).region }, device) {
            (None, _) => true,
            (Some(region), Reads::Mapped(port)) => region.is_mapped(port),
            (Some(_), _) => false,
        }
    }

    /// True when both are parts of one buffer.
    #[inline]
    pub fn same_buffer(&self, other: &Slice) -> bool {
        self.owner.0 == other.owner.0
    }

    /// True while a device holds a reference to the buffer, any part of it.
    #[inline]
    pub fn in_device(&self) -> bool {
        // One reference is the owners'. Acquire: what the device's driver did is over when this says so.
        self.owner.buffer().shared.refcnt.load(Ordering::Acquire) > 1
    }

    /// Handles that own the buffer, this one included, and references that devices hold. For tests and reports.
    pub fn references(&self) -> (u32, u16) {
        let b = self.owner.buffer();
        (b.owners.load(Ordering::Relaxed), b.shared.refcnt.load(Ordering::Relaxed).saturating_sub(1))
    }

    /// Takes one device reference and says where the bytes of `range` are.
    #[inline]
    pub(crate) fn lend(&self, range: &Range<usize>) -> Option<Lent> {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        let b = self.owner.buffer();
        // The owners' reference is there: `self` is one. So this never brings a count back from zero.
        if b.shared.refcnt.fetch_add(1, Ordering::Relaxed) > MAX_DEVICE_REFERENCES {
            b.shared.refcnt.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let at = self.off as usize + range.start;
        Some(Lent {
            // SAFETY: inside the buffer.
            addr: unsafe { b.addr.as_ptr().add(at) },
            iova: b.iova + at as u64,
            shinfo: (&raw const b.shared).cast_mut(),
        })
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes at {} of buffer {})", self.len, self.off, self.owner.buffer().index)
    }
}

/// A device reference that was taken and must be given back by freeing the mbuf it is attached to.
pub(crate) struct Lent {
    pub(crate) addr: *mut u8,
    pub(crate) iova: u64,
    pub(crate) shinfo: *mut dpdk_sys::rte_mbuf_ext_shared_info,
}
