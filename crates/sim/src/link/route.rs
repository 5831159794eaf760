//! A path that changes while it is in use.

use tcp::{Nanos, Time};

/// From a moment on, frames take another way. What a field does not say stays as it was.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RouteChange {
    /// When.
    pub at: Time,
    /// The new bottleneck's bits per second.
    pub rate: Option<u64>,
    /// The new delay. Frames on a shorter way overtake those still on the old one.
    pub delay: Option<Nanos>,
    /// The largest IP packet on the new way.
    pub mtu: Option<u16>,
}

impl RouteChange {
    /// A change of nothing at `at`, to be filled in.
    pub fn at(at: Time) -> RouteChange {
        RouteChange { at, rate: None, delay: None, mtu: None }
    }
}
