//! The structures of the data path, written down by hand.
//!
//! Accessing an mbuf's fields through the shim would cost a call each; binding the C structure would bind
//! markers and anonymous unions that change between versions. The offsets are the same from 22.11 to 24.11, and
//! `shim.c` fails to compile where they are not.

use core::ffi::c_void;
use core::marker::{PhantomData, PhantomPinned};
use core::sync::atomic::AtomicU16;

/// `struct rte_mbuf`: one segment of a frame.
#[repr(C, align(64))]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct rte_mbuf {
    /// Start of the segment's buffer, headroom included.
    pub buf_addr: *mut c_void,
    /// The same, as the device sees it.
    pub buf_iova: u64,
    /// Offset of the data in the buffer.
    pub data_off: u16,
    /// References to this segment; atomic, since a clone may be freed on another core.
    pub refcnt: AtomicU16,
    /// Segments of the frame; valid in the first.
    pub nb_segs: u16,
    /// Port it was received on.
    pub port: u16,
    /// `RTE_MBUF_F_…`.
    pub ol_flags: u64,
    /// What the device recognised in a received frame.
    pub packet_type: u32,
    /// Bytes of the frame; valid in the first segment.
    pub pkt_len: u32,
    /// Bytes in this segment.
    pub data_len: u16,
    /// Tag of a received frame whose VLAN header was stripped.
    pub vlan_tci: u16,
    /// RSS hash of a received frame.
    pub rss_hash: u32,
    /// High half of the hash union.
    pub hash_hi: u32,
    /// Outer VLAN tag.
    pub vlan_tci_outer: u16,
    /// Length of the segment's buffer.
    pub buf_len: u16,
    /// Where it is returned to.
    pub pool: *mut rte_mempool,
    /// Next segment of the frame.
    pub next: *mut rte_mbuf,
    /// Header lengths and TSO segment size, as bit fields of one word.
    pub tx_offload: u64,
    /// Shared information of an attached external buffer.
    pub shinfo: *mut rte_mbuf_ext_shared_info,
    /// Size of the private area behind this structure.
    pub priv_size: u16,
    /// IEEE 1588 flags.
    pub timesync: u16,
    /// Space for dynamic fields.
    pub dynfield1: [u32; 9],
}

const _: () = assert!(size_of::<rte_mbuf>() == 128);

/// `struct rte_mbuf_ext_shared_info`: references to an external buffer.
#[repr(C)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct rte_mbuf_ext_shared_info {
    /// Called as `free_cb(buffer, fcb_opaque)` when the last reference goes.
    pub free_cb: Option<unsafe extern "C" fn(addr: *mut c_void, opaque: *mut c_void)>,
    /// Argument of `free_cb`.
    pub fcb_opaque: *mut c_void,
    /// References, at most 65535: beyond, it wraps silently.
    pub refcnt: AtomicU16,
}

const _: () = assert!(size_of::<rte_mbuf_ext_shared_info>() == 24);

/// `struct rte_mempool`, known by address only.
#[repr(C)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct rte_mempool {
    _opaque: [u8; 0],
    _not_send: PhantomData<(*mut u8, PhantomPinned)>,
}

/// C's `FILE`, known by address only.
#[repr(C)]
#[derive(Debug)]
pub struct FILE {
    _opaque: [u8; 0],
    _not_send: PhantomData<(*mut u8, PhantomPinned)>,
}
