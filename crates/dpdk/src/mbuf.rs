//! Packet buffers that we own alone.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use crate::Mempool;
use crate::offload::TxOffload;

/// One packet buffer: direct (the bytes are its own), a single segment, and referred to by nobody else.
/// Dropping it returns it to its pool.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<dpdk_sys::rte_mbuf>);

// SAFETY: it is owned alone, and its pool (see `Mempool`) may be used from any thread.
unsafe impl Send for Mbuf {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// # Safety
    /// `raw` is a valid, direct mbuf without a next segment, whose only reference passes to the result.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<dpdk_sys::rte_mbuf>) -> Mbuf {
        Mbuf(raw)
    }

    /// Gives up ownership without returning the buffer.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<dpdk_sys::rte_mbuf> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    #[inline]
    pub(crate) fn view(&self) -> &dpdk_sys::rte_mbuf {
        // SAFETY: valid by the type's invariant, and nobody writes while `self` is borrowed.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(crate) fn view_mut(&mut self) -> &mut dpdk_sys::rte_mbuf {
        // SAFETY: valid and owned alone by the type's invariant.
        unsafe { self.0.as_mut() }
    }

    /// The bytes behind the headroom.
    #[inline]
    pub fn room(&self) -> &[u8] {
        let m = self.view();
        // SAFETY: a direct mbuf's buffer is `buf_len` bytes at `buf_addr`, and `data_off` is inside it. The pool's
        // memory is mapped, zeroed at first and never uninitialised to us.
        unsafe {
            core::slice::from_raw_parts(
                m.buf_addr.cast::<u8>().add(usize::from(m.data_off)),
                usize::from(m.buf_len - m.data_off),
            )
        }
    }

    /// The bytes behind the headroom, to be written.
    #[inline]
    pub fn room_mut(&mut self) -> &mut [u8] {
        let m = self.view();
        // SAFETY: as in `room`; the buffer is ours alone.
        unsafe {
            core::slice::from_raw_parts_mut(
                m.buf_addr.cast::<u8>().add(usize::from(m.data_off)),
                usize::from(m.buf_len - m.data_off),
            )
        }
    }

    /// Makes a buffer that comes back from a device as good as newly allocated.
    #[inline]
    pub(crate) fn reset(&mut self) {
        let m = self.view_mut();
        m.next = core::ptr::null_mut();
        m.nb_segs = 1;
        m.ol_flags = 0;
        m.tx_offload = TxOffload::default().word();
        m.data_off = (dpdk_sys::RTE_PKTMBUF_HEADROOM as u16).min(m.buf_len);
        m.data_len = 0;
        m.pkt_len = 0;
        m.vlan_tci = 0;
        m.vlan_tci_outer = 0;
        m.refcnt.store(1, Ordering::Relaxed);
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the only reference, given back once.
        unsafe { dpdk_sys::shim_pktmbuf_free_seg(self.0.as_ptr()) }
    }
}

/// A few buffers taken from a pool ahead of need, so that most frames cost no call.
#[derive(Debug)]
pub struct MbufStash {
    /// Dropped before the pool, which is freed only with every buffer at home.
    have: Vec<Mbuf>,
    pool: Mempool,
}

/// Buffers taken at once.
const BATCH: usize = 32;

impl MbufStash {
    /// An empty stash of `pool`.
    pub fn new(pool: &Mempool) -> MbufStash {
        MbufStash { pool: pool.clone(), have: Vec::with_capacity(2 * BATCH) }
    }

    /// A buffer; `None` when the pool has none left.
    #[inline]
    pub fn take(&mut self) -> Option<Mbuf> {
        match self.have.pop() {
            Some(m) => Some(m),
            None => self.refill(),
        }
    }

    #[cold]
    fn refill(&mut self) -> Option<Mbuf> {
        // Near the pool's end a whole batch may not be there while one buffer is.
        if self.pool.alloc_bulk(&mut self.have, BATCH) { self.have.pop() } else { self.pool.alloc() }
    }

    /// Keeps a buffer for the next [`take`](MbufStash::take), or returns it to its pool when there are enough.
    #[inline]
    pub(crate) fn put(&mut self, m: Mbuf) {
        if self.have.len() < self.have.capacity() && m.view().pool == self.pool.raw() {
            self.have.push(m);
        }
    }

    /// Returns everything to the pool.
    pub fn clear(&mut self) {
        self.have.clear();
    }

    /// The pool it takes from.
    pub fn pool(&self) -> &Mempool {
        &self.pool
    }
}
