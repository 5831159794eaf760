//! Received bytes, left where the port put them.
//!
//! As with [external buffers](crate::BufPool), handles are counted in 32 bits of our own, because DPDK's 16-bit
//! count wraps silently. Handles hold one DPDK reference together; each attachment to an outgoing frame holds
//! another. The count lives in a dynamic field, which every mbuf of every pool has.

use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

use crate::{Errno, MAX_DEVICE_REFERENCES};

/// Handles on one mbuf, at most.
const MAX_OWNERS: u32 = u32::MAX / 2;

/// Where the owner count is in every mbuf. Set once, before any mbuf exists.
static OWNER_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Reserves the field; called when EAL has started.
pub(crate) fn register_owner_count() -> Result<(), Errno> {
    let mut field = dpdk_sys::rte_mbuf_dynfield { size: 4, align: 4, ..Default::default() };
    for (to, from) in field.name.iter_mut().zip(b"tsonami_owners\0") {
        *to = *from as core::ffi::c_char;
    }
    // SAFETY: EAL runs; the description is copied.
    let offset = unsafe { dpdk_sys::rte_mbuf_dynfield_register(&raw const field) };
    if offset < 0 {
        return Err(Errno::last());
    }
    OWNER_COUNT.store(offset as usize, Ordering::Release);
    Ok(())
}

/// A read-only piece of a received frame. Cloning and slicing cost one atomic addition. When the last handle is
/// gone, and no outgoing frame refers to it, the buffer returns to its pool.
pub struct RxSlice {
    mbuf: NonNull<dpdk_sys::rte_mbuf>,
    off: u32,
    len: u32,
}

// SAFETY: counts are atomic, the bytes are read-only while a handle exists, and pools may be used on any thread.
unsafe impl Send for RxSlice {}
// SAFETY: as above.
unsafe impl Sync for RxSlice {}

impl RxSlice {
    /// All bytes of one segment.
    ///
    /// # Safety
    /// `mbuf` is a valid segment cut from its frame (no next segment); one reference to it, behind which no other
    /// `RxSlice` stands, passes to the result; nobody writes its bytes while the result or its clones exist.
    #[inline]
    pub(crate) unsafe fn from_segment(mbuf: NonNull<dpdk_sys::rte_mbuf>) -> RxSlice {
        // SAFETY: valid by the contract.
        let len = unsafe { (*mbuf.as_ptr()).data_len }.into();
        let slice = RxSlice { mbuf, off: 0, len };
        slice.owners().store(1, Ordering::Relaxed);
        slice
    }

    #[inline]
    fn view(&self) -> &dpdk_sys::rte_mbuf {
        // SAFETY: valid while a handle exists; only its atomic count changes meanwhile.
        unsafe { self.mbuf.as_ref() }
    }

    #[inline]
    fn owners(&self) -> &AtomicU32 {
        // SAFETY: the field was reserved for this in every mbuf, 4 bytes at a multiple of 4, and is only ever
        // accessed here.
        unsafe { &*self.mbuf.as_ptr().byte_add(OWNER_COUNT.load(Ordering::Relaxed)).cast::<AtomicU32>() }
    }

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
        let m = self.view();
        // SAFETY: a segment's data is `data_len` bytes at `buf_addr + data_off`, of which this is a part.
        unsafe {
            let data = m.buf_addr.cast::<u8>().add(usize::from(m.data_off));
            core::slice::from_raw_parts(data.add(self.off as usize), self.len as usize)
        }
    }

    /// A handle on a part of it.
    ///
    /// # Panics
    /// When `range` is not inside it.
    #[inline]
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> RxSlice {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {} bytes", self.len);
        let mut part = self.clone();
        part.off += range.start as u32;
        part.len = (range.end - range.start) as u32;
        part
    }

    /// Extends this handle over `next` when that continues it in the same buffer. Returns whether it did.
    #[inline]
    pub fn try_merge(&mut self, next: &RxSlice) -> bool {
        let follows = self.mbuf == next.mbuf && self.off + self.len == next.off;
        if follows {
            self.len += next.len;
        }
        follows
    }

    /// Bytes of the whole buffer, which stays as long as any handle on any part of it.
    #[inline]
    pub fn buffer_size(&self) -> usize {
        usize::from(self.view().buf_len)
    }

    /// True when both are parts of one buffer.
    #[inline]
    pub fn same_buffer(&self, other: &RxSlice) -> bool {
        self.mbuf == other.mbuf
    }

    /// True while an outgoing frame still refers to the buffer.
    #[inline]
    pub fn in_device(&self) -> bool {
        let m = self.view();
        let count = if m.ol_flags & dpdk_sys::RTE_MBUF_F_EXTERNAL != 0 {
            // SAFETY: an mbuf with this flag has its shared information, alive while the mbuf refers to it.
            unsafe { (*m.shinfo).refcnt.load(Ordering::Acquire) }
        } else {
            m.refcnt.load(Ordering::Acquire)
        };
        count > 1
    }

    /// Bytes of memory that holding this keeps from the receive pool.
    pub fn charge(&self) -> usize {
        self.view().buf_len.into()
    }

    /// Makes `link` refer to the bytes of `range`. False when a count is at its cap; nothing has then changed.
    ///
    /// # Safety
    /// `link` is a direct mbuf that is ours alone.
    #[inline]
    pub(crate) unsafe fn attach(&self, link: &mut dpdk_sys::rte_mbuf, range: &Range<usize>) -> bool {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        let m = self.view();
        // Whose count keeps the bytes alive: the external buffer's, or that of the mbuf that embeds them (this
        // one, or the one it is itself an indirect reference to).
        let external = m.ol_flags & dpdk_sys::RTE_MBUF_F_EXTERNAL != 0;
        let count = if external {
            // SAFETY: see `in_device`.
            unsafe { &(*m.shinfo).refcnt }
        } else if m.ol_flags & dpdk_sys::RTE_MBUF_F_INDIRECT != 0 {
            // SAFETY: an indirect mbuf's `buf_addr` follows the structure and private area of the mbuf that
            // embeds the buffer (`rte_mbuf_from_indirect`), which lives while referred to.
            unsafe {
                let behind = size_of::<dpdk_sys::rte_mbuf>() + usize::from(m.priv_size);
                &(*m.buf_addr.byte_sub(behind).cast::<dpdk_sys::rte_mbuf>()).refcnt
            }
        } else {
            &m.refcnt
        };
        // Never from zero: this handle's share is in it (compare `Slice::lend`).
        if count.fetch_add(1, Ordering::Relaxed) > MAX_DEVICE_REFERENCES {
            count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        link.buf_addr = m.buf_addr;
        link.buf_iova = m.buf_iova;
        link.buf_len = m.buf_len;
        // Inside the segment, hence inside 16 bits.
        link.data_off = m.data_off + (self.off as usize + range.start) as u16;
        if external {
            link.ol_flags = dpdk_sys::RTE_MBUF_F_EXTERNAL;
            link.shinfo = m.shinfo;
        } else {
            link.ol_flags = dpdk_sys::RTE_MBUF_F_INDIRECT;
            link.priv_size = m.priv_size;
        }
        true
    }
}

impl Clone for RxSlice {
    #[inline]
    fn clone(&self) -> RxSlice {
        if self.owners().fetch_add(1, Ordering::Relaxed) > MAX_OWNERS {
            // Only reached by forgetting billions of handles; going on would free memory in use.
            std::process::abort();
        }
        RxSlice { mbuf: self.mbuf, off: self.off, len: self.len }
    }
}

impl Drop for RxSlice {
    #[inline]
    fn drop(&mut self) {
        // As with `Slice`: the only handle's count is nobody else's to change.
        let owners = self.owners();
        if owners.load(Ordering::Acquire) != 1 && owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: the handles' common reference, given back once, by the last of them.
        unsafe { dpdk_sys::shim_pktmbuf_free_seg(self.mbuf.as_ptr()) }
    }
}

impl fmt::Debug for RxSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RxSlice({} bytes at {})", self.len, self.off)
    }
}
