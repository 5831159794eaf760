//! Raw bindings to the system's DPDK.
//!
//! Generated at build time from whatever libdpdk pkg-config finds (22.11 or newer), from a narrow allowlist.
//! What DPDK offers only as static inlines, or as structures that differ between versions, is behind a C shim
//! (`shim_…`). Hot structures are written down in [`layout`] and pinned by assertions that the C compiler checks.
//!
//! Nothing here is safe to call without reading DPDK's documentation: use the `dpdk` crate.

pub mod layout;

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    rustdoc::all
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
pub use layout::{FILE, rte_mbuf, rte_mbuf_ext_shared_info, rte_mempool};
