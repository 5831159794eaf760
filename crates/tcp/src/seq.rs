//! Sequence numbers of the wire (32 bits, wrapping) and stream offsets (64 bits, never wrapping).

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number, compared modulo 2^32 (RFC 9293 §3.4).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// `self < other`, in the sense of RFC 9293 §3.4: right while the two lie within 2^31 of each other.
    pub const fn lt(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self ≤ other`, with the same proviso as [`lt`](Seq::lt).
    pub const fn le(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }

    /// The signed distance from `other` to `self`.
    pub const fn diff(self, other: Seq) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq {}", self.0)
    }
}

/// A position in a byte stream. The first payload byte of a direction has offset 0, whatever the initial
/// sequence number was; SYN and FIN have no offset of their own.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The start of the stream.
    pub const ZERO: Offset = Offset(0);

    /// Bytes from `earlier` to here, zero if `earlier` lies beyond.
    pub const fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Offset {
    type Output = Offset;
    fn add(self, n: u64) -> Offset {
        Offset(self.0 + n)
    }
}

impl AddAssign<u64> for Offset {
    fn add_assign(&mut self, n: u64) {
        self.0 += n;
    }
}

impl Sub<u64> for Offset {
    type Output = Offset;
    fn sub(self, n: u64) -> Offset {
        Offset(self.0 - n)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
