//! DPDK's own look at what leaves: a callback between `rte_eth_tx_burst` and the driver.

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::panic::{self, AssertUnwindSafe};

use crate::{Errno, Frame};

type Watch = Box<dyn FnMut(&Frame) + Send>;

/// Shows `watch` every frame that queue `queue` of port `port` hands to its driver from now on, just before the driver has
/// it: the mbufs themselves, with the addresses that the device will read. It runs on the thread that sends; when it panics
/// the process ends. It stays until the port is closed, and is never freed, since a burst may be under way at any time: it
/// is for tests and for diagnosis.
///
/// # Errors
/// `EINVAL` when there is no such queue, `ENOTSUP` when DPDK was built without callbacks.
pub fn watch_tx(port: u16, queue: u16, watch: impl FnMut(&Frame) + Send + 'static) -> Result<(), Errno> {
    let watch: Box<Watch> = Box::new(Box::new(watch));
    let watch = Box::into_raw(watch);
    // SAFETY: any numbers may be asked for. `show` gets what it wants, which is never freed once it was taken.
    let added = unsafe { dpdk_sys::rte_eth_add_tx_callback(port, queue, Some(show), watch.cast()) };
    if added.is_null() {
        let errno = Errno::last();
        // SAFETY: made above, and not taken.
        drop(unsafe { Box::from_raw(watch) });
        return Err(errno);
    }
    Ok(())
}

/// DPDK's callback (`rte_tx_callback_fn`): returns how many frames are to be sent.
unsafe extern "C" fn show(
    _port: u16,
    _queue: u16,
    frames: *mut *mut dpdk_sys::rte_mbuf,
    n: u16,
    watch: *mut c_void,
) -> u16 {
    // SAFETY: what `watch_tx` gave; a queue has one sender at a time, so nobody else is here.
    let watch = unsafe { &mut *watch.cast::<Watch>() };
    let look = AssertUnwindSafe(|| {
        for i in 0..usize::from(n) {
            // SAFETY: there are `n` pointers.
            let Some(frame) = NonNull::new(unsafe { *frames.add(i) }) else { continue };
            // SAFETY: a frame that is ours until the driver has it; the view is forgotten, not dropped.
            watch(&ManuallyDrop::new(unsafe { Frame::from_raw(frame) }));
        }
    });
    if panic::catch_unwind(look).is_err() {
        // Its message is out. Unwinding through C is not to be.
        std::process::abort();
    }
    n
}
