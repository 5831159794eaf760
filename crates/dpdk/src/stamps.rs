//! When frames left, by the port's own clock.
//!
//! A port keeps the time of one frame at most, until it is read; all queues share that place. A frame asks for it by
//! [`TxOffload::stamp`](crate::TxOffload::stamp).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::queue::prepares;
use crate::{Chain, Clock, Errno, Mbuf, PortHandle, TxOffload};

/// Why a port does not tell when frames left.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoTxStamps {
    /// The driver has no such thing, or this card has not.
    #[error("its driver or card keeps no times (rte_eth_timesync_enable: {0})")]
    Unsupported(Errno),
    /// The clock cannot be read.
    #[error("its clock cannot be read (rte_eth_timesync_read_time: {0})")]
    NoClock(Errno),
    /// The driver refuses frames that ask.
    #[error(
        "its driver was built without them ({0} from rte_eth_tx_prepare): DPDK has to be built with \
         -Dc_args=-DRTE_LIBRTE_IEEE1588, which distributions leave out"
    )]
    LeftOut(Errno),
}

/// When a frame left, or what two clocks said at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TxStamp {
    /// Nanoseconds of the port's clock, which began whenever it did.
    pub device: u64,
    /// Nanoseconds of the [`Clock`].
    pub at: u64,
}

/// Asks a running port for the times of frames. Clones, one for each queue, share the port's one place.
#[derive(Clone, Debug)]
pub struct TxStamps {
    port: PortHandle,
    clock: Clock,
    taken: Arc<AtomicBool>,
}

impl TxStamps {
    /// Turns the port's clock on. `mbuf` is for a frame that is shown to the driver and not sent.
    ///
    /// # Errors
    /// [`NoTxStamps`]: the port goes on as before.
    pub fn enable(port: &PortHandle, clock: Clock, mbuf: Mbuf) -> Result<TxStamps, NoTxStamps> {
        // SAFETY: the port runs.
        let rc = unsafe { dpdk_sys::rte_eth_timesync_enable(port.info().id) };
        Errno::check(rc).map_err(NoTxStamps::Unsupported)?;
        let probe = Chain::new(mbuf, 60).finish(TxOffload { stamp: true, ..TxOffload::default() });
        prepares(port.info().id, 0, probe).map_err(NoTxStamps::LeftOut)?;
        let stamps = TxStamps { port: port.clone(), clock, taken: Arc::default() };
        stamps.device_time().map_err(NoTxStamps::NoClock)?;
        Ok(stamps)
    }

    /// Reserves the port's place for the time of one frame, and forgets what is in it. False while it is taken.
    pub fn claim(&self) -> bool {
        let claimed = !self.taken.swap(true, Ordering::Acquire);
        if claimed {
            // Of a frame whose time came too late.
            let _ = self.read();
        }
        claimed
    }

    /// Gives the place back.
    pub fn release(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// The time of the frame that the place was reserved for, once it left.
    pub fn take(&self) -> Option<TxStamp> {
        let device = self.read().ok()?;
        let now = self.now().ok()?;
        Some(TxStamp { device, at: now.at.saturating_sub(now.device.saturating_sub(device)) })
    }

    /// Both clocks at one moment: what the port's says, and ours half way between before it was asked and after.
    ///
    /// # Errors
    /// The driver's.
    pub fn now(&self) -> Result<TxStamp, Errno> {
        let before = self.clock.now();
        let device = self.device_time()?;
        Ok(TxStamp { device, at: before + (self.clock.now() - before) / 2 })
    }

    fn read(&self) -> Result<u64, Errno> {
        let mut time = dpdk_sys::timespec::default();
        // SAFETY: the port runs; one structure is written. Who calls has claimed the place: no two read at a time.
        let rc = unsafe { dpdk_sys::rte_eth_timesync_read_tx_timestamp(self.port.info().id, &raw mut time) };
        Errno::check(rc).map(|_| nanos(&time))
    }

    fn device_time(&self) -> Result<u64, Errno> {
        let mut time = dpdk_sys::timespec::default();
        // SAFETY: the port runs; one structure is written.
        let rc = unsafe { dpdk_sys::rte_eth_timesync_read_time(self.port.info().id, &raw mut time) };
        Errno::check(rc).map(|_| nanos(&time))
    }
}

fn nanos(time: &dpdk_sys::timespec) -> u64 {
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}
