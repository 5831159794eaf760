//! The application's own memory, made known to DPDK.
//!
//! EAL's memory is the first choice: every device reaches it. But an application may have its data in an arena of its own,
//! or in memory that somebody else gave it. DPDK is told of such a [`Region`], each device that is to read it maps it for DMA, and
//! a [`BufPool`](crate::BufPool) is made over it.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::alloc::{self, Layout};
use std::sync::{Arc, Mutex, PoisonError};

use crate::port::WeakPort;
use crate::{Eal, Errno, PortHandle};

/// The smallest page.
const PAGE: usize = 4096;

/// Ports that map a region, at most.
const MOST_PORTS: usize = 8;

/// Which memory a port's device reads.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Reads {
    /// All that the processor reads, since that does it.
    Everything,
    /// EAL's only.
    Eal,
    /// EAL's, and regions that were mapped for the port with this serial number.
    Mapped(u64),
}

/// Memory outside EAL that devices can read. Clones refer to the same one; it ends with the last clone and the last buffer in
/// it.
#[derive(Clone)]
pub struct Region {
    inner: Arc<Inner>,
}

struct Inner {
    at: NonNull<u8>,
    len: usize,
    page: usize,
    /// Where each page is for a device; `None`: where it is for the processor.
    places: Option<Box<[u64]>>,
    /// How to give it back, if it is ours.
    arena: Option<(Layout, Pages)>,
    /// Ports that read it, if they are still open, and what DPDK calls their devices.
    mapped: Mutex<Vec<(WeakPort, *mut dpdk_sys::rte_device)>>,
    /// The ports of those, by their serial numbers, for whoever sends; 0: none.
    serials: [AtomicU64; MOST_PORTS],
    /// There is a pool over it.
    pooled: AtomicBool,
    eal: ManuallyDrop<Eal>,
}

/// Of what an arena is made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Pages {
    Huge,
    Normal,
}

// SAFETY: the memory is plain bytes, which only the handles on buffers in it touch; the list of devices is behind a lock, and DPDK's
// calls on it may come from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// Why memory could not be made known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// Its beginning or its length is no multiple of a page.
    #[error("memory is registered in whole pages: its address and length must be multiples of {page} bytes")]
    Unaligned {
        /// Bytes of a page.
        page: usize,
    },
    /// There is not that much memory.
    #[error("{bytes} bytes of memory are not to be had")]
    NoMemory {
        /// What was asked for.
        bytes: usize,
    },
    /// The kernel would share it with children of the process.
    #[error("the memory cannot be kept from processes that are forked (madvise: {errno})")]
    Fork {
        /// The reason.
        errno: Errno,
    },
    /// DPDK does not take it.
    #[error("DPDK does not take the memory: {errno}")]
    Register {
        /// The reason.
        errno: Errno,
    },
    /// Devices here use physical addresses, and nobody knows those of this memory, or the kernel may change them.
    #[error(
        "where the memory is for a device is not known, or may change: devices use physical addresses here; take hugepages and run as root, or use vfio with an IOMMU"
    )]
    NoAddress,
    /// The device cannot map it: an IOMMU has no addresses or no entries for it, or its driver cannot.
    #[error(
        "{port} cannot map the memory: {errno}. Larger pages need fewer entries of the IOMMU (dma_entry_limit of vfio_iommu_type1)"
    )]
    Map {
        /// The port.
        port: String,
        /// The reason.
        errno: Errno,
    },
    /// The device reads EAL's memory only.
    #[error(
        "{port} reads DPDK's own memory only, which is what it shares with its peer: use a pool of the engine's"
    )]
    NotReachable {
        /// The port.
        port: String,
    },
}

impl Region {
    /// An arena of so many bytes, rounded up to whole pages: hugepages, or normal ones where there are none, as
    /// [`is_huge`](Region::is_huge) tells. Its memory is zero at first. A child that the process forks does not have it (`MADV_DONTFORK`): memory
    /// that both had would be copied as soon as one of them writes to it, and the device would go on with the other's copy.
    ///
    /// # Errors
    /// [`RegionError`].
    pub fn arena(eal: &Eal, bytes: usize) -> Result<Region, RegionError> {
        let no_memory = RegionError::NoMemory { bytes };
        let huge = hugepage_size().and_then(|page| {
            let layout = Layout::from_size_align(bytes.max(1).checked_next_multiple_of(page)?, page).ok()?;
            // SAFETY: the size is not zero.
            let at = NonNull::new(unsafe { hugepage_rs::alloc(layout) })?;
            Some((at, layout, page, Pages::Huge))
        });
        let (at, layout, page, pages) = match huge {
            Some(arena) => arena,
            None => {
                let len = bytes.max(1).checked_next_multiple_of(PAGE).ok_or(no_memory.clone())?;
                let layout = Layout::from_size_align(len, PAGE).map_err(|_| no_memory.clone())?;
                // SAFETY: the size is not zero.
                let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(no_memory)?;
                (at, layout, PAGE, Pages::Normal)
            }
        };
        // SAFETY: whole pages, ours alone.
        if unsafe { libc::madvise(at.as_ptr().cast(), layout.size(), libc::MADV_DONTFORK) } != 0 {
            let errno = Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
            // SAFETY: made with this layout, and nobody knows of it yet.
            unsafe { release(at, layout, pages) };
            return Err(RegionError::Fork { errno });
        }
        Region::made(eal, at, layout.size(), page, Some((layout, pages)))
    }

    /// Memory that the caller has. `page`: bytes of its pages. In a program that forks it should be kept from the children
    /// (`MADV_DONTFORK`), as an arena is.
    ///
    /// # Errors
    /// [`RegionError`].
    ///
    /// # Safety
    /// It stays mapped and where it is, and is written only through the result, until that, its clones and every buffer of a
    /// pool over it are gone. Its pages are as large as `page` says, and all its bytes are initialised.
    pub unsafe fn register(eal: &Eal, memory: NonNull<[u8]>, page: usize) -> Result<Region, RegionError> {
        let page = page.max(PAGE);
        if !page.is_power_of_two()
            || memory.is_empty()
            || !memory.addr().get().is_multiple_of(page)
            || !memory.len().is_multiple_of(page)
        {
            return Err(RegionError::Unaligned { page });
        }
        Region::made(eal, memory.cast(), memory.len(), page, None)
    }

    fn made(
        eal: &Eal,
        at: NonNull<u8>,
        len: usize,
        page: usize,
        arena: Option<(Layout, Pages)>,
    ) -> Result<Region, RegionError> {
        // SAFETY: EAL runs; the memory is there, in pages of this size (the arena's, or by the caller's word). Without a table of
        // addresses DPDK takes none for granted.
        let rc =
            unsafe { dpdk_sys::rte_extmem_register(at.as_ptr().cast(), len, core::ptr::null_mut(), 0, page) };
        if rc != 0 {
            if let Some((layout, pages)) = arena {
                // SAFETY: made with this layout, and nobody knows of it yet.
                unsafe { release(at, layout, pages) };
            }
            return Err(RegionError::Register { errno: Errno::last() });
        }
        let mut inner = Inner {
            at,
            len,
            page,
            places: None,
            arena,
            mapped: Mutex::default(),
            serials: [const { AtomicU64::new(0) }; MOST_PORTS],
            pooled: AtomicBool::new(false),
            eal: ManuallyDrop::new(eal.clone()),
        };
        // SAFETY: reads what EAL was started with.
        if unsafe { dpdk_sys::rte_eal_iova_mode() } == dpdk_sys::RTE_IOVA_PA {
            inner.places = Some(inner.find_places().ok_or(RegionError::NoAddress)?);
        }
        Ok(Region { inner: Arc::new(inner) })
    }

    /// Lets a device read it. What is sent through a port for which this was not done is copied first.
    ///
    /// # Errors
    /// [`RegionError::Map`], [`RegionError::NotReachable`], [`RegionError::NoAddress`].
    pub fn map(&self, port: &PortHandle) -> Result<(), RegionError> {
        // The kernel moves normal pages as it likes, locked ones too: the device would read, and send, somebody else's.
        if self.inner.places.is_some() && !self.is_huge() && matches!(port.reads(), Reads::Mapped(_)) {
            return Err(RegionError::NoAddress);
        }
        if port.reads() == Reads::Eal {
            return Err(RegionError::NotReachable { port: port.info().name.clone() });
        }
        let mut mapped = self.inner.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let device = port.device();
        mapped.retain(|(port, _)| port.upgrade().is_some());
        let knows = |known: &WeakPort| known.upgrade().is_some_and(|known| known.serial() == port.serial());
        if mapped.iter().any(|(known, _)| knows(known)) {
            return Ok(());
        }
        if mapped.len() == MOST_PORTS {
            return Err(RegionError::Map { port: port.info().name.clone(), errno: Errno(libc::ENOSPC) });
        }
        // A device with several ports maps it once.
        let rc = if mapped.iter().any(|&(_, known)| known == device) {
            0
        } else {
            // SAFETY: the port is open, so its device is there; the memory is registered and stays until `drop`.
            unsafe {
                dpdk_sys::rte_dev_dma_map(
                    device,
                    self.inner.at.as_ptr().cast(),
                    self.inner.iova(0),
                    self.inner.len,
                )
            }
        };
        if rc != 0 {
            let errno = Errno::last();
            // Software devices read memory where the processor does.
            if errno.0 != libc::ENOTSUP {
                return Err(RegionError::Map { port: port.info().name.clone(), errno });
            }
        }
        mapped.push((port.downgrade(), device));
        for (i, serial) in self.inner.serials.iter().enumerate() {
            let port = mapped.get(i).and_then(|(port, _)| port.upgrade());
            serial.store(port.map_or(0, |port| port.serial()), Ordering::Release);
        }
        Ok(())
    }

    /// Whether the port with this serial number has it mapped.
    #[inline]
    pub(crate) fn is_mapped(&self, port: u64) -> bool {
        self.inner.serials.iter().any(|serial| serial.load(Ordering::Acquire) == port)
    }

    /// Takes it for a pool. False while there is another one, of which every buffer begins where one of this would: two could
    /// write to the same bytes.
    pub(crate) fn claim(&self) -> bool {
        // Acquire: whoever used the last pool's buffers is done.
        !self.inner.pooled.swap(true, Ordering::Acquire)
    }

    /// The pool over it is gone.
    pub(crate) fn give_up(&self) {
        self.inner.pooled.store(false, Ordering::Release);
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Never: there is a page at least.
    pub fn is_empty(&self) -> bool {
        self.inner.len == 0
    }

    pub(crate) fn page(&self) -> usize {
        self.inner.page
    }

    /// Whether it is in hugepages.
    pub fn is_huge(&self) -> bool {
        self.inner.page > PAGE
    }

    /// Where it is, for the processor.
    pub fn addresses(&self) -> Range<usize> {
        let start = self.inner.at.addr().get();
        start..start + self.inner.len
    }

    /// Where `size` bytes from `offset` on are, for the processor and for devices; `None` when they are not in one piece for a
    /// device.
    pub(crate) fn place(&self, offset: usize, size: usize) -> Option<(NonNull<u8>, u64)> {
        let end = offset.checked_add(size).filter(|&end| end <= self.inner.len)?;
        if let Some(places) = &self.inner.places {
            let pages = &places[offset / self.inner.page..end.div_ceil(self.inner.page)];
            if pages.windows(2).any(|pair| pair[1] != pair[0] + self.inner.page as u64) {
                return None;
            }
        }
        // SAFETY: inside the region.
        Some((unsafe { self.inner.at.add(offset) }, self.inner.iova(offset)))
    }
}

impl Inner {
    fn iova(&self, offset: usize) -> u64 {
        match &self.places {
            Some(places) => places[offset / self.page] + (offset % self.page) as u64,
            None => (self.at.addr().get() + offset) as u64,
        }
    }

    /// The physical address of each page; `None` when the kernel does not tell.
    fn find_places(&self) -> Option<Box<[u64]>> {
        let page = |i: usize| {
            // SAFETY: inside the region. Locking brings it in and keeps it where it is.
            let iova = unsafe {
                let at = self.at.add(i * self.page).as_ptr().cast();
                dpdk_sys::rte_mem_lock_page(at);
                dpdk_sys::rte_mem_virt2iova(at)
            };
            // RTE_BAD_IOVA
            (iova != u64::MAX).then_some(iova)
        };
        (0..self.len / self.page).map(page).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let iova = self.iova(0);
        let mut mapped = core::mem::take(self.mapped.get_mut().unwrap_or_else(PoisonError::into_inner));
        mapped.retain(|(port, _)| port.upgrade().is_some());
        // Once for each device.
        mapped.sort_by_key(|&(_, device)| device);
        mapped.dedup_by_key(|&mut (_, device)| device);
        for (port, device) in mapped {
            // A device that was closed has forgotten its mappings.
            if let Some(_open) = port.upgrade() {
                // SAFETY: mapped once, and the port, held here, keeps its device open.
                unsafe { dpdk_sys::rte_dev_dma_unmap(device, self.at.as_ptr().cast(), iova, self.len) };
            }
        }
        // SAFETY: registered by `made`; every buffer in it is home, for each holds a clone of the region.
        unsafe { dpdk_sys::rte_extmem_unregister(self.at.as_ptr().cast(), self.len) };
        if let Some((layout, pages)) = self.arena {
            // SAFETY: made with this layout, and nobody refers to it any more.
            unsafe { release(self.at, layout, pages) };
        }
        // SAFETY: dropped once, here, after what needs it.
        unsafe { ManuallyDrop::drop(&mut self.eal) }
    }
}

/// # Safety
/// Made by [`Region::arena`] with this layout of these pages, and not used any more.
unsafe fn release(at: NonNull<u8>, layout: Layout, pages: Pages) {
    match pages {
        // SAFETY: by the contract.
        Pages::Huge => unsafe { hugepage_rs::dealloc(at.as_ptr(), layout) },
        // SAFETY: by the contract. Whoever has these pages next may have to share them with a child.
        Pages::Normal => unsafe {
            libc::madvise(at.as_ptr().cast(), layout.size(), libc::MADV_DOFORK);
            alloc::dealloc(at.as_ptr(), layout);
        },
    }
}

/// Bytes of the kernel's default hugepage.
fn hugepage_size() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes in pages of {})", self.inner.len, self.inner.page)
    }
}
