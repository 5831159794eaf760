//! DPDK's error numbers, readable.

use core::ffi::CStr;
use core::fmt;

/// A positive error number, as the C library and DPDK number them.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// What DPDK last stored for this thread.
    pub(crate) fn last() -> Errno {
        // SAFETY: reads a thread-local integer.
        Errno(unsafe { dpdk_sys::shim_errno() })
    }

    /// From a function that returns 0 or more on success and a negated number on failure.
    pub(crate) fn check(rc: i32) -> Result<i32, Errno> {
        if rc >= 0 { Ok(rc) } else { Err(Errno(rc.wrapping_neg())) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any integer, returns a pointer to a NUL-terminated string in thread-local or static
        // storage, valid until this thread calls it again; it is read before that.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.0)) };
        write!(f, "{} (error {})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({})", self.0)
    }
}
