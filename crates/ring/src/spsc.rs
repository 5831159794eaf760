//! A ring from one thread to one other.
//!
//! Both ends count: the producer how many values it put in, the consumer how many places it gave back. Each count has a
//! cache line for itself, is written by one side, and is read by the other only when what that saw last says full or
//! empty. Values and places change hands in batches: one store for each, not one per value.

use core::fmt;
use core::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Cell, Ordering};

struct Shared<T> {
    /// Values put in since the beginning, wrapping. Written by the producer.
    tail: CachePadded<AtomicUsize>,
    /// Places given back since the beginning, wrapping. Written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// One of the two ends is gone. Looked at rarely.
    abandoned: CachePadded<AtomicBool>,
    /// How many places there are: a power of two.
    capacity: usize,
    /// Place `i` holds a value when `i` is, modulo their number, one of `head..tail`. Made by the producer before the first
    /// value; from then on this cell is only read.
    places: Cell<Option<Places<T>>>,
}

type Places<T> = Box<[Cell<MaybeUninit<T>>]>;

// SAFETY: a value is written by the producer and read by the consumer, one after the other, so it is sent from one thread
// to the other and never shared.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; the two counts and the flag are atomic. The places themselves are made by the producer before it publishes the first
// value, and the consumer looks at them only for a value that was published.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// The caller is the producer, or knows of a value that was put in.
    #[inline]
    unsafe fn place(&self, count: usize) -> &Cell<MaybeUninit<T>> {
        self.places.read(|places| {
            // SAFETY: whoever knows of a value knows of the places, as they were made before; and the producer, who alone makes
            // them, is not doing it now.
            match unsafe { &*places } {
                Some(places) => &places[count & (places.len() - 1)],
                None => unreachable!("places are made before the first value"),
            }
        })
    }
}

/// The end that puts values in.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Values put in, those not published yet included.
    next: usize,
    /// Places given back, as last seen.
    head: usize,
    /// Places were made.
    has_places: bool,
}

/// The end that takes values out.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Values taken out.
    next: usize,
    /// Values put in, as last seen.
    tail: usize,
}

/// Bytes that a [`late_ring`] takes before its first value, at most: four pairs of cache lines, and one for the counts of who
/// holds it.
pub const LATE_RING: usize = 640;

/// Makes a ring for at least `capacity` values: the next power of two.
///
/// # Panics
/// When `capacity` is 0, or too much for any memory.
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (mut producer, consumer) = late_ring(capacity);
    producer.make_places();
    (producer, consumer)
}

/// The same for values that may never come: it allocates its places for the first one. Until then it takes
/// [`LATE_RING`] bytes.
///
/// # Panics
/// When `capacity` is 0; when the first value comes, if that is too much for any memory.
pub fn late_ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring for nothing");
    let shared = Arc::new(Shared {
        tail: CachePadded::new(AtomicUsize::new(0)),
        head: CachePadded::new(AtomicUsize::new(0)),
        abandoned: CachePadded::new(AtomicBool::new(false)),
        capacity: capacity.next_power_of_two(),
        places: Cell::new(None),
    });
    let consumer = Consumer { shared: shared.clone(), next: 0, tail: 0 };
    (Producer { shared, next: 0, head: 0, has_places: false }, consumer)
}

impl<T> Producer<T> {
    /// Puts one value in, for the consumer to see at once.
    ///
    /// # Errors
    /// Gives the value back when the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        self.batch().push(value)
    }

    /// Puts several values in; the consumer sees them when the batch is dropped.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_, T> {
        Batch { ring: self }
    }

    /// Places that are free; when there seem to be none the other side is asked.
    #[inline]
    pub fn room(&mut self) -> usize {
        let capacity = self.capacity();
        if self.next.wrapping_sub(self.head) == capacity {
            // Acquire: the consumer is done with what it took from these places.
            self.head = self.shared.head.load(Ordering::Acquire);
        }
        capacity - self.next.wrapping_sub(self.head)
    }

    /// Places in all.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// True when the consumer is gone: what is in the ring, or is put in, is dropped with it.
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    #[cold]
    fn make_places(&mut self) {
        let made = (0..self.shared.capacity).map(|_| Cell::new(MaybeUninit::uninit())).collect();
        self.shared.places.with(|places| {
            // SAFETY: only we write here, once, and no value was put in yet, so the consumer does not look.
            unsafe { *places = Some(made) };
        });
        self.has_places = true;
    }

    /// Puts a value in, which the consumer does not see yet.
    #[inline]
    fn put(&mut self, value: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(value);
        }
        if !self.has_places {
            self.make_places();
        }
        // SAFETY: we are the producer.
        unsafe { self.shared.place(self.next) }.with(|place| {
            // SAFETY: `next` is not one of `head..tail`, so the consumer does not look at its place, and nothing is in it.
            unsafe { (*place).write(value) };
        });
        self.next = self.next.wrapping_add(1);
        Ok(())
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        // Release: whoever sees this sees all that was put in.
        self.shared.abandoned.store(true, Ordering::Release);
    }
}

/// Values on their way in: see [`Producer::batch`].
pub struct Batch<'a, T> {
    ring: &'a mut Producer<T>,
}

impl<T> Batch<'_, T> {
    /// Adds one.
    ///
    /// # Errors
    /// Gives the value back when the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        self.ring.put(value)
    }

    /// Places that are free.
    #[inline]
    pub fn room(&mut self) -> usize {
        self.ring.room()
    }
}

impl<T> Drop for Batch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: the values are written.
        self.ring.shared.tail.store(self.ring.next, Ordering::Release);
    }
}

impl<T> Consumer<T> {
    /// Takes one value out.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.take(1).next()
    }

    /// Takes at most so many values out, of those that are in by now. Their places are given back together, when the
    /// iterator is dropped; what it did not come to stays.
    #[inline]
    pub fn take(&mut self, most: usize) -> Take<'_, T> {
        if self.tail == self.next {
            self.look();
        }
        let left = self.tail.wrapping_sub(self.next).min(most);
        Take { ring: self, left }
    }

    /// True when nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Acquire only where values are taken.
        self.shared.tail.load(Ordering::Relaxed) == self.next
    }

    /// True when the producer is gone and nothing is left of what it put in.
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire) && self.is_empty()
    }

    /// Looks what came in since.
    #[inline]
    fn look(&mut self) {
        // Acquire: the values up to there are written.
        self.tail = self.shared.tail.load(Ordering::Acquire);
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both ends are gone. What nobody took is dropped here.
        let (mut at, tail) = (self.head.load(Ordering::Relaxed), self.tail.load(Ordering::Relaxed));
        while at != tail {
            // SAFETY: a value was put in, and this is the last look at it.
            unsafe { self.place(at) }.with(|place| {
                // SAFETY: one of `head..tail`, so there is a value, which nobody took and nobody will.
                unsafe { (*place).assume_init_drop() };
            });
            at = at.wrapping_add(1);
        }
    }
}

/// Values on their way out: see [`Consumer::take`].
pub struct Take<'a, T> {
    ring: &'a mut Consumer<T>,
    left: usize,
}

impl<T> Iterator for Take<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` counts values that `look` saw.
        let value = unsafe { self.ring.shared.place(self.ring.next) }.with(|place| {
            // SAFETY: `next` is one of `head..tail`, so the producer wrote it and does not write it again before its place
            // is given back. It is read once: `next` moves on.
            unsafe { (*place).assume_init_read() }
        });
        self.ring.next = self.ring.next.wrapping_add(1);
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Take<'_, T> {}

impl<T> Drop for Take<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: what was read from these places was read.
        self.ring.shared.head.store(self.ring.next, Ordering::Release);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({} of {} places taken)", self.next.wrapping_sub(self.head), self.capacity())
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({} of {} places taken)", self.tail.wrapping_sub(self.next), self.shared.capacity)
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch for {:?}", self.ring)
    }
}

impl<T> fmt::Debug for Take<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Take({} left)", self.left)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use std::sync::Arc as Counted;

    #[test]
    fn values_come_out_in_order_and_a_full_ring_gives_them_back() {
        let (mut tx, mut rx) = ring(3);
        assert_eq!(tx.capacity(), 4);
        for round in 0..10 {
            for i in 0..4 {
                assert_eq!(tx.push(round * 4 + i), Ok(()));
            }
            assert_eq!(tx.push(99), Err(99));
            assert_eq!(rx.take(3).collect::<Vec<_>>(), [round * 4, round * 4 + 1, round * 4 + 2]);
            assert_eq!(rx.pop(), Some(round * 4 + 3));
            assert_eq!(rx.pop(), None);
        }
    }

    #[test]
    fn a_batch_is_seen_when_it_is_whole() {
        let (mut tx, mut rx) = ring(8);
        let mut batch = tx.batch();
        assert_eq!((batch.push(1), batch.push(2)), (Ok(()), Ok(())));
        assert!(rx.is_empty());
        assert_eq!(rx.pop(), None);
        drop(batch);
        assert!(!rx.is_empty());
        assert_eq!(rx.take(8).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn places_are_given_back_together_and_what_was_not_taken_stays() {
        let (mut tx, mut rx) = ring(4);
        (0..4).for_each(|i| assert_eq!(tx.push(i), Ok(())));
        let mut some = rx.take(4);
        assert_eq!((some.next(), some.len()), (Some(0), 3));
        assert_eq!(tx.push(4), Err(4), "the place of the first is not given back yet");
        drop(some);
        assert_eq!(tx.push(4), Ok(()));
        assert_eq!(rx.take(9).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rx.pop(), Some(4));
    }

    #[test]
    fn a_late_ring_takes_memory_for_its_first_value_and_is_the_same_in_all_else() {
        let (mut tx, mut rx) = late_ring(3);
        assert_eq!((tx.capacity(), tx.room(), rx.pop(), rx.is_empty()), (4, 4, None, true));
        assert!(!tx.has_places);
        let value = Counted::new(());
        for _ in 0..4 {
            assert!(tx.push(value.clone()).is_ok());
        }
        assert!(tx.has_places && tx.push(value.clone()).is_err());
        drop(rx.take(3).collect::<Vec<_>>());
        drop((tx, rx));
        assert_eq!(Counted::strong_count(&value), 1);
        drop(late_ring::<Counted<()>>(8));
    }

    #[test]
    fn counts_may_wrap() {
        let (mut tx, mut rx) = ring(2);
        let near_the_end = usize::MAX - 2;
        (tx.next, tx.head, rx.next, rx.tail) = (near_the_end, near_the_end, near_the_end, near_the_end);
        tx.shared.tail.store(near_the_end, Ordering::Relaxed);
        tx.shared.head.store(near_the_end, Ordering::Relaxed);
        for i in 0..9 {
            assert_eq!(tx.push(i), Ok(()));
            assert_eq!(tx.push(-i), Ok(()));
            assert_eq!(tx.push(0), Err(0));
            assert_eq!(rx.take(2).collect::<Vec<_>>(), [i, -i]);
        }
    }

    #[test]
    fn what_nobody_took_is_dropped_once() {
        let value = Counted::new(());
        let (mut tx, mut rx) = ring(8);
        (0..5).for_each(|_| assert!(tx.push(value.clone()).is_ok()));
        drop(rx.take(2).collect::<Vec<_>>());
        assert_eq!(Counted::strong_count(&value), 4);
        drop(rx);
        assert!(tx.is_abandoned());
        assert!(tx.push(value.clone()).is_ok(), "there is room, and it is dropped with the rest");
        drop(tx);
        assert_eq!(Counted::strong_count(&value), 1);
    }

    #[test]
    fn what_a_producer_left_behind_is_there_to_take() {
        let (mut tx, mut rx) = ring(8);
        assert!(tx.push(1).is_ok());
        drop(tx);
        assert!(!rx.is_abandoned());
        assert_eq!(rx.pop(), Some(1));
        assert!(rx.is_abandoned());
    }

    /// A line is 64 bytes; its neighbour is fetched with it by processors that prefetch in pairs.
    #[test]
    fn neither_side_writes_a_line_that_the_other_writes_or_that_holds_the_places() {
        type S = Shared<u64>;
        let mut fields =
            [offset_of!(S, tail), offset_of!(S, head), offset_of!(S, abandoned), offset_of!(S, places)];
        fields.sort_unstable();
        let apart = if cfg!(target_arch = "x86_64") || cfg!(target_arch = "aarch64") { 128 } else { 64 };
        assert!(fields.windows(2).all(|pair| pair[1] - pair[0] >= apart), "{fields:?}");
        assert!(align_of::<S>() >= apart);
        assert!(size_of::<S>() + align_of::<S>() <= LATE_RING);
    }

    #[test]
    fn a_hundred_million_values_arrive_once_and_in_order() {
        const VALUES: u64 = 100_000_000;
        let (mut tx, mut rx) = ring(1024);
        let producer = std::thread::spawn(move || {
            let mut next = 0;
            while next < VALUES {
                let mut batch = tx.batch();
                let n = (batch.room() as u64).min(VALUES - next).min(1 + next % 61);
                (next..next + n).for_each(|i| assert_eq!(batch.push(i), Ok(())));
                drop(batch);
                next += n;
                if n == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < VALUES {
            let before = next;
            for value in rx.take(1 + (next % 97) as usize) {
                assert_eq!(value, next);
                next += 1;
            }
            if next == before {
                std::thread::yield_now();
            }
        }
        producer.join().expect("the producer put all in");
        assert!(rx.is_abandoned());
    }
}
