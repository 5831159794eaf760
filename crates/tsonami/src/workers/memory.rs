//! Memory to send from.

use std::ptr::NonNull;

use dpdk::{BufPool, PoolError, Region, RegionError};

use super::core::Core;
use super::{Engine, RequestError};

impl Engine {
    /// A pool of registered memory to send from, at whatever worker: `count` buffers of `size` bytes each (at least 64).
    ///
    /// # Errors
    /// Mostly when there is not memory enough.
    pub fn make_pool(&self, count: u32, size: u32) -> Result<BufPool, RequestError<PoolError>> {
        Ok(self
            .first()
            .ask(move |core| core.engine().make_pool(count, size))
            .ok_or(RequestError::WorkerGone)??)
    }

    /// An arena of the application's own, of hugepages where there are any, that the device can read: to be made a pool by
    /// [`make_pool_over`](Engine::make_pool_over). Its memory is zero at first.
    ///
    /// # Errors
    /// [`RegionError`](crate::RegionError).
    pub fn make_arena(&self, bytes: usize) -> Result<Region, RequestError<RegionError>> {
        Ok(self
            .first()
            .ask(move |core| core.engine().make_arena(bytes))
            .ok_or(RequestError::WorkerGone)??)
    }

    /// Makes memory that the caller has known to the device: to be made a pool by
    /// [`make_pool_over`](Engine::make_pool_over). `page`: bytes of its pages. In a program that forks it should be kept from the
    /// children (`MADV_DONTFORK`), as an arena is.
    ///
    /// # Errors
    /// [`RegionError`](crate::RegionError).
    ///
    /// # Safety
    /// It stays mapped and where it is, and is written only through the result, until that, its clones and every buffer of a
    /// pool over it are gone. Its pages are as large as `page` says, and all its bytes are initialised.
    #[allow(unsafe_code)] // passes the caller's promise on
    pub unsafe fn register(
        &self,
        memory: NonNull<[u8]>,
        page: usize,
    ) -> Result<Region, RequestError<RegionError>> {
        // A pointer does not go to another thread by itself.
        let (at, bytes) = (memory.cast::<u8>().expose_provenance(), memory.len());
        let register = move |core: &mut Core| {
            let memory = NonNull::slice_from_raw_parts(NonNull::with_exposed_provenance(at), bytes);
            // SAFETY: the caller's promise, who waits for this.
            unsafe { core.engine().register(memory, page) }
        };
        Ok(self.first().ask(register).ok_or(RequestError::WorkerGone)??)
    }

    /// A pool over a region of the application's: as many buffers of `size` bytes as fit into it.
    ///
    /// # Errors
    /// When not one fits, or there is a pool over the region.
    pub fn make_pool_over(&self, region: &Region, size: u32) -> Result<BufPool, RequestError<PoolError>> {
        let region = region.clone();
        let pool = self.first().ask(move |core| core.engine().make_pool_over(&region, size));
        Ok(pool.ok_or(RequestError::WorkerGone)??)
    }
}
