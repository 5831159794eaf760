//! Safe DPDK, as much of it as a TCP sender needs.
//!
//! * [`Eal`] starts the environment, once per process.
//! * [`Port`] is a probed device; starting it yields [`QueuePair`]s, each owned by one core.
//! * [`Mempool`], [`Mbuf`], [`Chain`] and [`Frame`] are packet buffers on their way out, [`RxSlice`] on their way in.
//! * [`BufPool`] is application memory that is sent by reference: external buffers with their own owner count.
//!
//! # What makes it sound
//! A pool that is dropped while buffers of it are out stays allocated, and keeps EAL running with it; a port is
//! stopped only when its last queue is gone. So no handle ever outlives the memory behind it, whatever the
//! order of drops. [`Mempool::is_full`] and [`BufPool::is_full`] tell when everything came home.

mod chain;
mod clock;
mod copy;
mod device;
mod eal;
mod errno;
mod ext;
mod free_list;
mod host;
mod log;
mod mbuf;
mod mempool;
mod offload;
mod port;
mod queue;
mod region;
mod relay;
mod rss;
mod rx;
mod stamps;
mod watch;

pub use chain::{AttachError, Chain, Frame, Pieces, Place, RawFlags, Segments};
pub use clock::{Clock, cycles};
pub use copy::copy_streaming;
pub use device::{DeviceSpec, Needs, ParseDeviceError};
pub use eal::{Eal, EalConfig, EalError, ThreadRegistration};
pub use errno::Errno;
pub use ext::{BufMut, BufPool, BufPoolConfig, MAX_DEVICE_REFERENCES, Slice, WeakPool};
pub use host::{HostError, KernelOwnsAddress, TapHost, TapInUse, refuse_kernel_address, refuse_used_tap};
pub use log::LogLevel;
pub use mbuf::{Mbuf, MbufStash};
pub use mempool::{Mempool, MempoolConfig, PoolError};
pub use offload::{RxFlags, RxOffloads, TxOffload, TxOffloads};
pub use port::{Link, Port, PortConfig, PortError, PortHandle, PortInfo, PortStats};
pub use queue::{QueuePair, TxResult};
pub use region::{Reads, Region, RegionError};
pub use relay::RelayCounters;
pub use rss::{RssInfo, RssUnknown};
pub use rx::RxSlice;
pub use stamps::{NoTxStamps, TxStamp, TxStamps};
pub use watch::watch_tx;

/// The version of the DPDK this runs with, for example `DPDK 22.11.11`.
pub fn version() -> String {
    // SAFETY: returns a pointer to a NUL-terminated string that lives as long as the library.
    unsafe { core::ffi::CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
}

/// Year and month of the release this runs with, for example `(22, 11)`.
pub fn release() -> (u32, u32) {
    // SAFETY: both read a constant.
    unsafe { (dpdk_sys::rte_version_year(), dpdk_sys::rte_version_month()) }
}
