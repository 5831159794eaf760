//! Payload as DPDK holds it: pieces of application buffers, and pieces of received frames.

use core::ops::Range;

use ::dpdk::{BufMut, RxSlice, Slice};
use tcp::Payload;

use super::TailBuf;

/// A read-only piece of memory that a device can send by reference.
#[derive(Clone, Debug)]
pub enum Buf {
    /// Of a buffer that the application filled.
    Pool(Slice),
    /// Of a buffer that copying sends of one connection fill from end to end: a piece stands for its own bytes, and the
    /// core counts the buffer (`S5`).
    Copied(Slice),
    /// Of a received frame, still where the port put it. Holding it keeps a receive buffer from the port.
    Rx(RxSlice),
}

impl From<Slice> for Buf {
    fn from(slice: Slice) -> Buf {
        Buf::Pool(slice)
    }
}

impl From<RxSlice> for Buf {
    fn from(slice: RxSlice) -> Buf {
        Buf::Rx(slice)
    }
}

impl Payload for Buf {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Buf::Pool(s) | Buf::Copied(s) => s.len(),
            Buf::Rx(s) => s.len(),
        }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Buf::Pool(s) | Buf::Copied(s) => s.as_slice(),
            Buf::Rx(s) => s.as_slice(),
        }
    }

    #[inline]
    fn slice(&self, range: Range<usize>) -> Buf {
        match self {
            Buf::Pool(s) => Buf::Pool(s.slice(range)),
            Buf::Copied(s) => Buf::Copied(s.slice(range)),
            Buf::Rx(s) => Buf::Rx(s.slice(range)),
        }
    }

    #[inline]
    fn try_merge(&mut self, next: &Buf) -> bool {
        match (self, next) {
            (Buf::Pool(a), Buf::Pool(b)) | (Buf::Copied(a), Buf::Copied(b)) => a.try_merge(b),
            (Buf::Rx(a), Buf::Rx(b)) => a.try_merge(b),
            _ => false,
        }
    }

    #[inline]
    fn footprint(&self) -> usize {
        match self {
            Buf::Pool(s) => s.buffer_size(),
            Buf::Copied(s) => s.len(),
            Buf::Rx(s) => s.buffer_size(),
        }
    }

    #[inline]
    fn shares_buffer(&self, other: &Buf) -> bool {
        match (self, other) {
            (Buf::Pool(a), Buf::Pool(b)) => a.same_buffer(b),
            (Buf::Rx(a), Buf::Rx(b)) => a.same_buffer(b),
            _ => false,
        }
    }

    #[inline]
    fn is_copy(&self) -> bool {
        matches!(self, Buf::Copied(_))
    }

    #[inline]
    fn in_device(&self) -> bool {
        match self {
            Buf::Pool(s) | Buf::Copied(s) => s.in_device(),
            Buf::Rx(s) => s.in_device(),
        }
    }
}

/// A buffer that copying sends fill from the front.
#[derive(Debug)]
pub struct Tail(pub(super) BufMut);

impl From<BufMut> for Tail {
    fn from(buf: BufMut) -> Tail {
        Tail(buf)
    }
}

impl TailBuf for Tail {
    type Buf = Buf;

    #[inline]
    fn spare(&mut self) -> &mut [u8] {
        self.0.spare_mut()
    }

    #[inline]
    fn freeze(&mut self, n: usize) -> Buf {
        Buf::Copied(self.0.freeze(n))
    }
}
