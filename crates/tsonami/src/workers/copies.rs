//! Memory that copying sends copy to, on the application's side.
//!
//! A connection keeps a buffer that is not full, so that small sends join in it. So that many connections that send little do not hold
//! all memory, what begins with little gets a small one. Handles may outlive the engine, and their buffers with them.

use dpdk::{BufMut, BufPool, PoolError};

use crate::LocalEngine;

/// Bytes of a small buffer: a segment's worth.
const SMALL: u32 = 2 << 10;
/// Bytes of a large one: few enough pieces for a burst.
const LARGE: u32 = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Copies {
    small: BufPool,
    large: BufPool,
}

impl Copies {
    /// So many bytes in all, an eighth of them in small buffers.
    pub(crate) fn new(engine: &LocalEngine, bytes: u64) -> Result<Copies, PoolError> {
        let count =
            |bytes: u64, size: u32| u32::try_from(bytes / u64::from(size)).unwrap_or(u32::MAX - 1).max(1);
        let small = engine.new_pool("small copies", count(bytes / 8, SMALL), SMALL)?;
        let large = engine.new_pool("copies", count(bytes - bytes / 8, LARGE), LARGE)?;
        Ok(Copies { small, large })
    }

    /// A buffer for a send of so many bytes; of the other kind where there is none of the fitting one.
    pub(crate) fn buffer(&self, bytes: usize) -> Option<BufMut> {
        let (first, second) =
            if bytes <= SMALL as usize { (&self.small, &self.large) } else { (&self.large, &self.small) };
        first.try_alloc().or_else(|| second.try_alloc())
    }

    /// Whether no more than half of such buffers are there: then who has one keeps none for later. So those that never send again
    /// hold half of them at most.
    pub(crate) fn is_short_of(&self, buffer: &BufMut) -> bool {
        let small = buffer.filled() + buffer.spare().len() <= SMALL as usize;
        let pool = if small { &self.small } else { &self.large };
        pool.available() <= pool.count() / 2
    }

    /// How many there are.
    pub(crate) fn available(&self) -> usize {
        self.small.available() as usize + self.large.available() as usize
    }
}
