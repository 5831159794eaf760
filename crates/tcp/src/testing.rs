//! What the unit tests of this crate share.

use core::ops::Range;
use std::rc::Rc;

use crate::Payload;

/// A handle on a part of shared bytes, as a NIC's buffers are.
#[derive(Clone, Debug)]
pub(crate) struct TestBuf {
    bytes: Rc<[u8]>,
    range: Range<usize>,
}

impl From<&[u8]> for TestBuf {
    fn from(bytes: &[u8]) -> TestBuf {
        TestBuf { bytes: Rc::from(bytes), range: 0..bytes.len() }
    }
}

impl Payload for TestBuf {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }

    fn slice(&self, range: Range<usize>) -> TestBuf {
        assert!(range.start <= range.end && range.end <= self.range.len(), "{range:?} of {:?}", self.range);
        let start = self.range.start;
        TestBuf { bytes: self.bytes.clone(), range: start + range.start..start + range.end }
    }

    fn footprint(&self) -> usize {
        self.bytes.len()
    }

    fn shares_buffer(&self, other: &TestBuf) -> bool {
        Rc::ptr_eq(&self.bytes, &other.bytes)
    }

    fn try_merge(&mut self, next: &TestBuf) -> bool {
        let continues = Rc::ptr_eq(&self.bytes, &next.bytes) && self.range.end == next.range.start;
        if continues {
            self.range.end = next.range.end;
        }
        continues
    }
}
