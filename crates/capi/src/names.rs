//! Names for C to hold things by.
//!
//! A handle looks like a pointer, so that a C compiler tells an engine from a connection, but it is no address: it is the
//! number of a slot, how often that slot was used, and what kind of thing it is of. So a handle that was given up, a null
//! pointer, or a handle of something else is found out, and is an error instead of an access to somebody else's memory.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use crate::error::{TsonamiError, note};

/// What a handle is of.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Engine = 1,
    Listener,
    Connection,
    Pool,
    Region,
    Buffer,
    Payload,
    Local,
    Connecting,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Engine,
        Kind::Listener,
        Kind::Connection,
        Kind::Pool,
        Kind::Region,
        Kind::Buffer,
        Kind::Payload,
        Kind::Local,
        Kind::Connecting,
    ];
    const BITS: u32 = 4;

    /// What it is called, behind its article.
    fn one(self) -> &'static str {
        match self {
            Kind::Engine => "an engine",
            Kind::Listener => "a listener",
            Kind::Connection => "a connection",
            Kind::Pool => "a pool",
            Kind::Region => "a region",
            Kind::Buffer => "a buffer",
            Kind::Payload => "a payload",
            Kind::Local => "a local engine",
            Kind::Connecting => "a connection that is being opened",
        }
    }

    fn word(self) -> &'static str {
        self.one().split_once(' ').map_or("", |(_, word)| word)
    }

    /// A name without its kind, if it is one of this kind.
    pub(crate) fn strip<T>(self, name: *const T) -> Result<u64, TsonamiError> {
        let bits = name.addr() as u64;
        if bits == 0 {
            return Err(note(TsonamiError::Handle, format_args!("the {} is a null pointer", self.word())));
        }
        match Kind::ALL.into_iter().find(|kind| *kind as u64 == bits & ((1 << Kind::BITS) - 1)) {
            Some(kind) if kind == self => Ok(bits >> Kind::BITS),
            Some(kind) => Err(note(
                TsonamiError::Handle,
                format_args!("a handle of {} stands where one of {} is wanted", kind.one(), self.one()),
            )),
            None => Err(note(TsonamiError::Handle, format_args!("this is no handle of {}", self.one()))),
        }
    }

    /// The name C gets.
    pub(crate) fn name<T>(self, bits: u64) -> *mut T {
        std::ptr::without_provenance_mut((bits << Kind::BITS | self as u64) as usize)
    }

    /// What is said of a handle that was given up.
    pub(crate) fn stale(self) -> TsonamiError {
        note(
            TsonamiError::Handle,
            format_args!("this handle of {} was given up before, or never made", self.one()),
        )
    }
}

const _: () = assert!(size_of::<usize>() == 8, "a handle is a pointer of 64 bits");

/// Bits that number a slot.
const INDEX_BITS: u32 = 28;
/// Slots of the first block; each further one has twice as many.
const FIRST: usize = 64;
const BLOCKS: usize = (INDEX_BITS - FIRST.ilog2()) as usize;

/// Everything of one kind that C holds: `T`, by handles that C sees as pointers to `N`.
pub(crate) struct Table<T, N> {
    kind: Kind,
    blocks: [Block<T>; BLOCKS],
    free: Mutex<Free>,
    names: PhantomData<fn() -> N>,
}

/// Slots that are made when the first of them is needed, and stay.
type Block<T> = OnceLock<Box<[Mutex<Slot<T>>]>>;

struct Slot<T> {
    /// How often it was used. One that was used as often as can be told apart is not used again.
    generation: u32,
    value: Option<T>,
}

struct Free {
    slots: Vec<u32>,
    /// Slots that were ever used.
    used: u32,
}

impl<T, N> Table<T, N> {
    pub(crate) const fn new(kind: Kind) -> Table<T, N> {
        Table {
            kind,
            blocks: [const { OnceLock::new() }; BLOCKS],
            free: Mutex::new(Free { slots: Vec::new(), used: 0 }),
            names: PhantomData,
        }
    }

    /// Gives a thing a name.
    pub(crate) fn insert(&self, value: T) -> Result<*mut N, TsonamiError> {
        let index = {
            let mut free = lock(&self.free);
            match free.slots.pop() {
                Some(index) => index,
                None if (free.used as usize) < FIRST * ((1 << BLOCKS) - 1) => {
                    free.used += 1;
                    free.used - 1
                }
                None => {
                    let one = self.kind.one();
                    return Err(note(TsonamiError::NoMemory, format_args!("too many handles of {one}")));
                }
            }
        };
        let mut slot = lock(self.slot(index));
        slot.generation += 1;
        slot.value = Some(value);
        Ok(self.kind.name(u64::from(slot.generation) << INDEX_BITS | u64::from(index)))
    }

    /// Uses a thing for a moment.
    pub(crate) fn with<R>(
        &self,
        name: *const N,
        using: impl FnOnce(&mut T) -> Result<R, TsonamiError>,
    ) -> Result<R, TsonamiError> {
        let (mut slot, _) = self.find(name)?;
        using(slot.value.as_mut().ok_or_else(|| self.kind.stale())?)
    }

    /// A handle of its own on a thing that has such.
    pub(crate) fn get(&self, name: *const N) -> Result<T, TsonamiError>
    where
        T: Clone,
    {
        self.with(name, |value| Ok(value.clone()))
    }

    /// Takes a thing's name away, if `may` says so, and gives it out.
    pub(crate) fn take_if(
        &self,
        name: *const N,
        may: impl FnOnce(&T) -> Result<(), TsonamiError>,
    ) -> Result<T, TsonamiError> {
        let (mut slot, index) = self.find(name)?;
        may(slot.value.as_ref().ok_or_else(|| self.kind.stale())?)?;
        let value = slot.value.take().ok_or_else(|| self.kind.stale())?;
        let is_used_up = slot.generation == u32::MAX;
        drop(slot);
        if !is_used_up {
            lock(&self.free).slots.push(index);
        }
        Ok(value)
    }

    /// Takes a thing's name away, and gives it out.
    pub(crate) fn take(&self, name: *const N) -> Result<T, TsonamiError> {
        self.take_if(name, |_| Ok(()))
    }

    fn find(&self, name: *const N) -> Result<(MutexGuard<'_, Slot<T>>, u32), TsonamiError> {
        let bits = self.kind.strip(name)?;
        let index = (bits & ((1 << INDEX_BITS) - 1)) as u32;
        let (block, at) = place(index);
        // A name that never was may point behind everything.
        let slot = self.blocks.get(block).and_then(OnceLock::get).and_then(|block| block.get(at));
        let slot = lock(slot.ok_or_else(|| self.kind.stale())?);
        if slot.value.is_none() || u64::from(slot.generation) != bits >> INDEX_BITS {
            return Err(self.kind.stale());
        }
        Ok((slot, index))
    }

    fn slot(&self, index: u32) -> &Mutex<Slot<T>> {
        let (block, at) = place(index);
        let empty = || Mutex::new(Slot { generation: 0, value: None });
        &self.blocks[block].get_or_init(|| (0..FIRST << block).map(|_| empty()).collect())[at]
    }
}

/// The block that a slot is in, and where there.
fn place(index: u32) -> (usize, usize) {
    let numbered = index as usize + FIRST;
    let block = (numbered.ilog2() - FIRST.ilog2()) as usize;
    (block, numbered - (FIRST << block))
}

/// A lock that is held for a moment, and never while anything can panic that leaves it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to use something that one thread at a time may use.
pub(crate) fn alone<'a, T>(mutex: &'a Mutex<T>, what: &str) -> Result<MutexGuard<'a, T>, TsonamiError> {
    mutex.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => note(
            TsonamiError::Busy,
            format_args!("another thread uses {what} at this moment: one at a time may"),
        ),
        TryLockError::Poisoned(_) => {
            note(TsonamiError::Panic, format_args!("{what} was left in disorder by a defect in tsonami"))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Thing;

    fn message() -> String {
        // SAFETY: never null, and valid until the next failure on this thread.
        let text = unsafe { std::ffi::CStr::from_ptr(crate::tsonami_last_error()) };
        text.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_name_that_was_given_up_stays_dead_though_its_slot_is_used_again() {
        let table: Table<u32, Thing> = Table::new(Kind::Pool);
        let first = table.insert(1).unwrap();
        assert_eq!((table.get(first), table.take(first)), (Ok(1), Ok(1)));
        assert_eq!(table.take(first), Err(TsonamiError::Handle), "twice");
        let second = table.insert(2).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.get(first), Err(TsonamiError::Handle));
        assert!(message().contains("this handle of a pool was given up before"));
        assert_eq!(table.get(second), Ok(2));
    }

    #[test]
    fn no_name_comes_a_second_time_however_often_its_slot_was_used() {
        let table: Table<u32, Thing> = Table::new(Kind::Pool);
        let first = table.insert(1).unwrap();
        table.take(first).unwrap();
        // As if it had been used four thousand million times in between.
        lock(table.slot(0)).generation = u32::MAX - 2;
        let names: Vec<_> = (0..4)
            .map(|value| {
                let name = table.insert(value).unwrap();
                assert_eq!((table.get(name), table.take(name)), (Ok(value), Ok(value)));
                name
            })
            .collect();
        let slots = names.iter().map(|name| Kind::Pool.strip(*name).unwrap() & ((1 << INDEX_BITS) - 1));
        assert_eq!(slots.collect::<Vec<_>>(), [0, 0, 1, 1], "used up, the first rests");
        for name in names.iter().chain([&first]) {
            assert_eq!(table.get(*name), Err(TsonamiError::Handle));
        }
        // One that is out is one: the last of all may be taken too.
        lock(table.slot(1)).generation = u32::MAX - 1;
        let last = table.insert(9).unwrap();
        assert_eq!((table.take(last), table.take(last)), (Ok(9), Err(TsonamiError::Handle)));
    }

    #[test]
    fn null_and_handles_of_other_things_are_told_apart() {
        let pools: Table<u32, Thing> = Table::new(Kind::Pool);
        let regions: Table<u32, Thing> = Table::new(Kind::Region);
        let pool = pools.insert(1).unwrap();
        let region = regions.insert(2).unwrap();
        assert_eq!(pools.get(std::ptr::null()), Err(TsonamiError::Handle));
        assert_eq!(message(), "the pool is a null pointer");
        assert_eq!(pools.get(region), Err(TsonamiError::Handle));
        assert_eq!(message(), "a handle of a region stands where one of a pool is wanted");
        assert_eq!(pools.get(std::ptr::without_provenance(usize::MAX)), Err(TsonamiError::Handle));
        assert_eq!(message(), "this is no handle of a pool");
        assert_eq!(Kind::Engine.strip(pool), Err(TsonamiError::Handle));
        assert_eq!(message(), "a handle of a pool stands where one of an engine is wanted");
        // Any number of the right kind, in no block, or in one that was never made.
        for bits in [0u64, 1, FIRST as u64, (1 << INDEX_BITS) - 1, u64::MAX >> Kind::BITS] {
            assert_eq!(pools.get(Kind::Pool.name::<Thing>(bits)), Err(TsonamiError::Handle), "{bits}");
        }
        assert_eq!((pools.get(pool), regions.get(region)), (Ok(1), Ok(2)));
    }

    #[test]
    fn every_slot_has_its_place() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(place((1 << INDEX_BITS) - FIRST as u32 - 1).0 < BLOCKS);
    }

    #[test]
    fn threads_share_a_table_and_every_thing_is_taken_once() {
        let table: Arc<Table<usize, Thing>> = Arc::new(Table::new(Kind::Payload));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let table = table.clone();
                std::thread::spawn(move || {
                    for round in 0..2_000 {
                        let values: Vec<usize> =
                            (0..round % 50).map(|i| worker << 32 | round << 8 | i).collect();
                        let names: Vec<_> = values.iter().map(|&v| table.insert(v).unwrap()).collect();
                        for (name, value) in names.iter().zip(values) {
                            assert_eq!(table.take(*name), Ok(value));
                            assert_eq!(table.take(*name), Err(TsonamiError::Handle));
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let free = lock(&table.free);
        assert_eq!(free.slots.len(), free.used as usize, "all are free");
    }

    #[test]
    fn what_a_panic_left_behind_and_what_others_use_is_refused() {
        let mutex = Mutex::new(1);
        {
            let _used = alone(&mutex, "it").unwrap();
            assert_eq!(alone(&mutex, "it").unwrap_err(), TsonamiError::Busy);
        }
        assert_eq!(*alone(&mutex, "it").unwrap(), 1);
        let panicked = crate::arguments::code(|| {
            let _used = alone(&mutex, "it")?;
            panic!("a defect");
        });
        assert_eq!(panicked, TsonamiError::Panic.code());
        assert!(message().contains("a defect"));
        assert_eq!(alone(&mutex, "it").unwrap_err(), TsonamiError::Panic);
    }
}
