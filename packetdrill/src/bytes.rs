//! Payload on the heap.

use core::ops::Range;
use std::sync::Arc;

use tcp::Payload;

/// A handle on a part of shared bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    all: Arc<[u8]>,
    range: Range<usize>,
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes { all: Arc::from(bytes), range: 0..bytes.len() }
    }
}

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.all[self.range.clone()]
    }

    fn slice(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.range.len(), "{range:?} of {:?}", self.range);
        let start = self.range.start;
        Bytes { all: self.all.clone(), range: start + range.start..start + range.end }
    }

    fn try_merge(&mut self, next: &Bytes) -> bool {
        let continues = Arc::ptr_eq(&self.all, &next.all) && self.range.end == next.range.start;
        if continues {
            self.range.end = next.range.end;
        }
        continues
    }
}
