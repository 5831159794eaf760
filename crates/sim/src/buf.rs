//! Buffers on the heap that behave like a NIC's: counted, referenced by the device, merged when they continue
//! each other.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use engine::nic::TailBuf;
use tcp::Payload;

/// Counts what was taken from it and has not come back: the leak check (invariant 4). Cloning gives another
/// handle on the same pool.
#[derive(Clone, Debug, Default)]
pub struct Pool(Rc<PoolCounts>);

#[derive(Debug, Default)]
struct PoolCounts {
    live: Cell<usize>,
    taken: Cell<u64>,
    /// Memory of header and tail buffers that came back, with what was last in it, as a real pool has it.
    free: RefCell<Vec<Vec<u8>>>,
}

impl Pool {
    /// Buffers taken and not returned.
    pub fn live(&self) -> usize {
        self.0.live.get()
    }

    /// Buffers ever taken.
    pub fn taken(&self) -> u64 {
        self.0.taken.get()
    }

    fn take(&self) -> Pool {
        self.0.live.set(self.0.live.get() + 1);
        self.0.taken.set(self.0.taken.get() + 1);
        self.clone()
    }

    /// Memory of `room` bytes with rubbish in it.
    fn memory(&self, room: usize) -> Vec<u8> {
        let mut memory = self.0.free.borrow_mut().pop().unwrap_or_default();
        memory.resize(room, 0xa5);
        memory
    }

    fn keep(&self, memory: Vec<u8>) {
        self.0.free.borrow_mut().push(memory);
    }

    fn put_back(&self) {
        self.0.live.set(self.0.live.get() - 1);
    }

    /// A buffer holding `bytes`.
    pub fn buf(&self, bytes: Vec<u8>) -> SimBuf {
        let region = Rc::new(Region { pool: self.take(), device: Cell::new(0), copies: false });
        SimBuf { range: 0..bytes.len(), data: Rc::new(bytes), at: 0, region }
    }

    /// A header buffer of `room` bytes of rubbish.
    pub(crate) fn header(&self, room: usize) -> SimHeader {
        SimHeader { bytes: self.memory(room), pool: self.take() }
    }

    /// A buffer of `room` bytes for copying sends.
    pub(crate) fn tail(&self, room: usize) -> SimTail {
        let region = Rc::new(Region { pool: self.take(), device: Cell::new(0), copies: true });
        SimTail { bytes: self.memory(room), filled: 0, region }
    }
}

/// One buffer of a pool: lives as long as any handle on a part of it.
struct Region {
    pool: Pool,
    /// References the device holds.
    device: Cell<u32>,
    /// Copying sends fill it.
    copies: bool,
}

impl Drop for Region {
    fn drop(&mut self) {
        self.pool.put_back();
    }
}

/// A handle on a part of a buffer.
#[derive(Clone)]
pub struct SimBuf {
    data: Rc<Vec<u8>>,
    /// Which of `data` this is.
    range: Range<usize>,
    /// Where `data` begins in its region.
    at: usize,
    region: Rc<Region>,
}

impl SimBuf {
    /// True when both are parts of one buffer.
    pub fn same_buffer(&self, other: &SimBuf) -> bool {
        Rc::ptr_eq(&self.region, &other.region)
    }
}

impl fmt::Debug for SimBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {} of a buffer", self.range.len(), self.at + self.range.start)
    }
}

impl Payload for SimBuf {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.data[self.range.clone()]
    }

    fn slice(&self, range: Range<usize>) -> SimBuf {
        assert!(range.start <= range.end && range.end <= self.range.len(), "{range:?} of {:?}", self.range);
        let start = self.range.start;
        SimBuf { range: start + range.start..start + range.end, ..self.clone() }
    }

    fn try_merge(&mut self, next: &SimBuf) -> bool {
        let continues = self.same_buffer(next) && self.at + self.range.end == next.at + next.range.start;
        if !continues {
            return false;
        }
        if Rc::ptr_eq(&self.data, &next.data) {
            self.range.end = next.range.end;
            return true;
        }
        // Pieces of a tail. Safe Rust cannot lend out the front of a buffer while its end is written, so pieces
        // have memory of their own and merging copies.
        if self.range.end != self.data.len() {
            self.data = Rc::new(self.as_slice().to_vec());
            self.at += self.range.start;
            self.range = 0..self.data.len();
        }
        let data = Rc::make_mut(&mut self.data);
        data.extend_from_slice(next.as_slice());
        self.range.end = data.len();
        true
    }

    fn footprint(&self) -> usize {
        // What is copied has memory of its own, piece by piece.
        self.data.len()
    }

    fn shares_buffer(&self, other: &SimBuf) -> bool {
        self.same_buffer(other)
    }

    fn is_copy(&self) -> bool {
        self.region.copies
    }

    fn in_device(&self) -> bool {
        self.region.device.get() > 0
    }
}

/// A reference the device holds on a buffer while its frame is in the ring.
pub(crate) struct DeviceRef(Rc<Region>);

impl DeviceRef {
    pub(crate) fn new(buf: &SimBuf) -> DeviceRef {
        buf.region.device.set(buf.region.device.get() + 1);
        DeviceRef(buf.region.clone())
    }
}

impl Drop for DeviceRef {
    fn drop(&mut self) {
        self.0.device.set(self.0.device.get() - 1);
    }
}

/// A lent header buffer.
#[derive(Debug)]
pub struct SimHeader {
    bytes: Vec<u8>,
    pool: Pool,
}

impl Drop for SimHeader {
    fn drop(&mut self) {
        self.pool.keep(core::mem::take(&mut self.bytes));
        self.pool.put_back();
    }
}

impl Deref for SimHeader {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for SimHeader {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Memory for copying sends.
pub struct SimTail {
    bytes: Vec<u8>,
    filled: usize,
    region: Rc<Region>,
}

impl fmt::Debug for SimTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tail buffer, {} of {} bytes filled", self.filled, self.bytes.len())
    }
}

impl Drop for SimTail {
    fn drop(&mut self) {
        self.region.pool.keep(core::mem::take(&mut self.bytes));
    }
}

impl TailBuf for SimTail {
    type Buf = SimBuf;

    fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    fn freeze(&mut self, n: usize) -> SimBuf {
        let piece = self.bytes[self.filled..self.filled + n].to_vec();
        let at = self.filled;
        self.filled += n;
        SimBuf { range: 0..n, data: Rc::new(piece), at, region: self.region.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_counts_buffers_until_their_last_handle_is_gone() {
        let pool = Pool::default();
        let buf = pool.buf(vec![1, 2, 3, 4]);
        let part = buf.slice(1..3);
        let header = pool.header(64);
        let mut tail = pool.tail(10);
        let piece = tail.freeze(4);
        assert_eq!(pool.live(), 3);
        drop((buf, header, tail));
        assert_eq!(pool.live(), 2, "handles on parts keep the whole");
        assert_eq!(part.as_slice(), [2, 3]);
        drop((part, piece));
        assert_eq!(pool.live(), 0);
        assert_eq!(pool.taken(), 3);
    }

    #[test]
    fn pieces_merge_exactly_when_they_continue_each_other() {
        let pool = Pool::default();
        let mut tail = pool.tail(100);
        tail.spare()[..6].copy_from_slice(b"abcdef");
        let mut first = tail.freeze(2);
        let second = tail.freeze(3);
        let third = tail.freeze(1);
        let kept = first.clone();
        assert!(!first.try_merge(&third));
        assert!(first.try_merge(&second));
        assert!(first.try_merge(&third));
        assert_eq!(first.as_slice(), b"abcdef");
        assert_eq!(kept.as_slice(), b"ab");
        let mut left = first.slice(1..2);
        assert!(left.try_merge(&first.slice(2..4)));
        assert_eq!(left.as_slice(), b"bcd");
        assert!(!left.try_merge(&pool.buf(vec![b'e'])));
        let mut middle = second.slice(1..2);
        assert!(middle.try_merge(&first.slice(4..6)), "{middle:?}");
        assert_eq!(middle.as_slice(), b"def");
    }

    #[test]
    fn every_handle_on_a_buffer_knows_that_the_device_reads_it() {
        let pool = Pool::default();
        let buf = pool.buf(vec![0; 8]);
        let other = buf.slice(4..8);
        let held = DeviceRef::new(&buf.slice(0..2));
        assert!(buf.in_device() && other.in_device());
        drop(held);
        assert!(!buf.in_device() && !other.in_device());
    }
}
