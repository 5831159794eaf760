//! A lock-free stack of small integers: which buffers of a pool are free.
//!
//! Last in, first out, so that a buffer is used again while it is still in the cache.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// No entry.
const NONE: u32 = u32::MAX;

/// A stack that holds each index below its size at most once.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// Top index in the low half; in the high half a count of changes, so that a top that went and came back
    /// in the meantime is noticed (the ABA problem).
    head: AtomicU64,
    /// The index below each index.
    next: Box<[AtomicU32]>,
    len: AtomicU32,
}

impl FreeList {
    /// A stack with every index of `0..size` in it, 0 on top.
    pub(crate) fn full(size: u32) -> FreeList {
        let next = (0..size).map(|i| AtomicU32::new(if i + 1 < size { i + 1 } else { NONE })).collect();
        let top = if size == 0 { NONE } else { 0 };
        FreeList { head: AtomicU64::new(u64::from(top)), next, len: AtomicU32::new(size) }
    }

    /// Takes the top index. What its last [`push`](FreeList::push)er wrote before is visible.
    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let top = head as u32;
            if top == NONE {
                return None;
            }
            // May be stale when another thread takes `top` first; then the exchange fails.
            let below = self.next[top as usize].load(Ordering::Relaxed);
            match self.head.compare_exchange_weak(
                head,
                changed(head, below),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.len.fetch_sub(1, Ordering::Relaxed);
                    return Some(top);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Puts back an index that [`pop`](FreeList::pop) gave out.
    #[inline]
    pub(crate) fn push(&self, index: u32) {
        // Counted first, so that the count is never below what can be popped.
        self.len.fetch_add(1, Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.next[index as usize].store(head as u32, Ordering::Relaxed);
            match self.head.compare_exchange_weak(
                head,
                changed(head, index),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Indices in it; exact when nobody is changing it.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }
}

fn changed(head: u64, top: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;

    #[test]
    fn gives_each_index_once_and_the_last_one_back_first() {
        let list = FreeList::full(4);
        let all: Vec<_> = std::iter::from_fn(|| list.pop()).collect();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(list.len(), 0);
        list.push(2);
        list.push(0);
        assert_eq!((list.pop(), list.pop(), list.pop()), (Some(0), Some(2), None));
    }

    #[test]
    fn an_empty_list_is_empty() {
        assert_eq!(FreeList::full(0).pop(), None);
    }

    #[test]
    fn threads_never_hold_the_same_index() {
        let list = Arc::new(FreeList::full(64));
        let held = Arc::new((0..64).map(|_| AtomicU32::new(0)).collect::<Vec<_>>());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (list, held) = (list.clone(), held.clone());
                std::thread::spawn(move || {
                    for round in 0..20_000 {
                        let mine: Vec<_> = (0..round % 7).filter_map(|_| list.pop()).collect();
                        for &i in &mine {
                            assert_eq!(held[i as usize].fetch_add(1, Ordering::SeqCst), 0, "{i} held twice");
                        }
                        for &i in &mine {
                            held[i as usize].fetch_sub(1, Ordering::SeqCst);
                            list.push(i);
                        }
                    }
                })
            })
            .collect();
        for t in threads {
            t.join().expect("no thread saw an index twice");
        }
        assert_eq!(list.len(), 64);
        assert_eq!(std::iter::from_fn(|| list.pop()).collect::<HashSet<_>>().len(), 64);
    }
}
