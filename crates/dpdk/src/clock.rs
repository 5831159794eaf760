//! The cycle counter as a clock.

use crate::Eal;

/// The processor's time-stamp counter.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a counter; every x86-64 processor DPDK runs on has it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads a counter.
    unsafe {
        dpdk_sys::shim_rdtsc()
    }
}

/// Nanoseconds since the clock was made, from the cycle counter: no system call, about 20 cycles.
///
/// Monotonic on one core; across cores as far as the processor keeps its counters in step (a constant,
/// synchronised TSC, which DPDK needs anyway).
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    start: u64,
    hz: u64,
    /// Nanoseconds per cycle, in 2⁻³².
    scale: u64,
}

impl Clock {
    /// A clock that starts now, at DPDK's measure of the counter's rate.
    pub fn new(_eal: &Eal) -> Clock {
        // SAFETY: reads what EAL measured at start; EAL runs, the argument shows it.
        let hz = unsafe { dpdk_sys::rte_get_tsc_hz() }.max(1);
        let scale = (1_000_000_000u128 << 32) / u128::from(hz);
        Clock { start: cycles(), hz, scale: u64::try_from(scale).unwrap_or(u64::MAX) }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub fn now(&self) -> u64 {
        self.nanos(cycles().saturating_sub(self.start))
    }

    /// `cycles` in nanoseconds.
    #[inline]
    pub fn nanos(&self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.scale)) >> 32) as u64
    }

    /// Cycles per second.
    pub fn hz(&self) -> u64 {
        self.hz
    }
}
