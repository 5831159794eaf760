//! C ABI over [`tsonami`]: engines on threads of their own with connections for any thread, and engines that their caller
//! polls.
//!
//! What C holds are names, not addresses (see `names.rs`): one that was given up, or that is of something else, is an error
//! and no access to memory. A function that can fail returns a negative [`TsonamiError`]; [`tsonami_last_error`] then says
//! what happened and what mends it. A panic, which would be a defect, ends at the boundary as [`TsonamiError::Panic`].

mod arguments;
mod connecting;
mod connection;
mod engine;
mod error;
mod forward;
mod listener;
mod local;
mod memory;
mod names;
mod receive;
mod settings;
mod stats;
mod times;
mod version;

pub use arguments::{TSONAMI_FOREVER, TSONAMI_SEND_EOR, TSONAMI_SEND_MORE, TSONAMI_SEND_TIMESTAMP};
pub use connecting::*;
pub use connection::*;
pub use engine::*;
pub use error::*;
pub use forward::*;
pub use listener::*;
pub use local::*;
pub use memory::*;
pub use receive::*;
pub use settings::*;
pub use stats::*;
pub use times::*;
pub use version::*;

use arguments::code;
use error::note;

/// The version of the interface that the library has: `TSONAMI_ABI_VERSION` of the header it was built with.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_abi_version() -> u32 {
    TSONAMI_ABI_VERSION
}

/// Whether a program compiled for `version` (pass `TSONAMI_ABI_VERSION`) can use this library: 0, or `TSONAMI_ERROR_VERSION`
/// with both versions in the message. What opens an engine asks this itself.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_check_version(version: u32) -> i32 {
    code(|| same_version(version))
}

/// Refuses a program that was compiled for another version.
pub(crate) fn same_version(version: u32) -> Result<(), TsonamiError> {
    match version {
        TSONAMI_ABI_VERSION => Ok(()),
        _ => Err(note(
            TsonamiError::Version,
            format!(
                "the program was compiled for version {version} of tsonami's interface and the library has version \
                 {TSONAMI_ABI_VERSION}: compile the program with the header that belongs to the library"
            ),
        )),
    }
}
