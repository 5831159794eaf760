//! Payload: read-only bytes in memory that the device can reach.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};

use engine::nic::Buf;

/// Read-only bytes that can be sent by reference, or that were received. They do not move or change while any handle
/// on them exists; cloning and slicing make further handles and copy nothing.
///
/// One to send is made from a [`BufMut`](crate::BufMut): `Payload::from(buffer.freeze(n))`.
#[derive(Clone)]
pub struct Payload(pub(crate) Buf);

impl Payload {
    /// What a copying send made: counted as that.
    pub(crate) fn copied(slice: dpdk::Slice) -> Payload {
        Payload(Buf::Copied(slice))
    }

    /// A handle on a part of the same bytes.
    ///
    /// # Panics
    /// When the range does not lie inside `0..len`.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Payload {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        Payload(tcp::Payload::slice(&self.0, start..end))
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        tcp::Payload::as_slice(&self.0)
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Buf> for Payload {
    fn from(buf: Buf) -> Payload {
        Payload(buf)
    }
}

impl From<Payload> for Buf {
    fn from(payload: Payload) -> Buf {
        payload.0
    }
}

impl engine::Reference<Buf> for Payload {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl From<dpdk::Slice> for Payload {
    fn from(slice: dpdk::Slice) -> Payload {
        Payload(Buf::from(slice))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}
