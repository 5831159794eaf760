//! C ABI over [`tsonami::LocalEngine`]: one engine, polled by the thread that opened it.
//!
//! Handles are opaque pointers and numbers. A function that can fail returns a negative [`TsonamiError`] or a null
//! pointer; [`tsonami_error_message`] then says what happened and what mends it. A panic, which would be a defect,
//! aborts the process instead of unwinding into C.

mod engine;
mod error;
mod event;
mod send;

pub use engine::*;
pub use error::*;
pub use event::*;
pub use send::*;

/// Version of this interface. It grows by one when something that was there changes; additions leave it.
pub const TSONAMI_ABI_VERSION: u32 = 1;

/// The version of the interface that the library was built with: compare it with [`TSONAMI_ABI_VERSION`] of the header.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_abi_version() -> u32 {
    TSONAMI_ABI_VERSION
}
