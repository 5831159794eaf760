//! The memory of TIME-WAIT: many small entries, bounded, each found by its tuple and forgotten when it is
//! time.
//!
//! One table for each family, so that an IPv4 entry is no larger than it must be: 40 bytes, and 64 for IPv6,
//! besides 5 to 10 in the index. Expiry is a ring of buckets a quarter of a second wide, each a doubly linked
//! list through the entries: everything is constant time, and nothing is allocated after the first entry of a
//! family.

use std::net::SocketAddr;

use hashbrown::HashTable;
use zerocopy::{Immutable, IntoBytes};

use super::secrets::Secret;
use crate::conn::{TimeWait, TimeWaitTimestamps};
use crate::{FourTuple, Nanos, Seq, Time};

/// Width of a bucket. Entries live up to this much longer than asked.
const TICK: Nanos = Nanos::from_millis(250);

/// Buckets of the ring: 256 seconds, so that four minutes fit (2 MSL of RFC 9293 §3.4.2). A wait and how late
/// its timer runs have to fit together; what does not is cut short.
const BUCKETS: usize = 1024;

/// No entry.
const NONE: u32 = u32::MAX;

/// In [`Entry::place`]: the connection used timestamps. The bits below are the bucket.
const TIMESTAMPS: u16 = 1 << 15;

/// The tuples of one family, as bytes.
trait Key: Copy + Eq + IntoBytes + Immutable {
    fn of(tuple: &FourTuple) -> Option<Self>;
}

#[derive(Copy, Clone, PartialEq, Eq, IntoBytes, Immutable, Debug)]
#[repr(C)]
struct V4 {
    local: [u8; 4],
    remote: [u8; 4],
    ports: [u16; 2],
}

#[derive(Copy, Clone, PartialEq, Eq, IntoBytes, Immutable, Debug)]
#[repr(C)]
struct V6 {
    local: [u8; 16],
    remote: [u8; 16],
    ports: [u16; 2],
}

impl Key for V4 {
    fn of(tuple: &FourTuple) -> Option<V4> {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (tuple.local, tuple.remote) else {
            return None;
        };
        let ports = [local.port(), remote.port()];
        Some(V4 { local: local.ip().octets(), remote: remote.ip().octets(), ports })
    }
}

impl Key for V6 {
    fn of(tuple: &FourTuple) -> Option<V6> {
        let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (tuple.local, tuple.remote) else {
            return None;
        };
        let ports = [local.port(), remote.port()];
        Some(V6 { local: local.ip().octets(), remote: remote.ip().octets(), ports })
    }
}

/// What is kept of a connection.
#[derive(Clone, Debug)]
struct Entry<K> {
    key: K,
    snd_nxt: Seq,
    rcv_nxt: Seq,
    ts_offset: u32,
    ts_recent: u32,
    /// Neighbours in the bucket's list; `next` also links free entries.
    prev: u32,
    next: u32,
    window: u16,
    /// Bucket, and [`TIMESTAMPS`].
    place: u16,
}

const _: () = assert!(size_of::<Entry<V4>>() == 40 && size_of::<Entry<V6>>() == 64);
const _: () = assert!(BUCKETS <= TIMESTAMPS as usize);

/// What an entry remembers, as far as answers depend on it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) snd_nxt: Seq,
    pub(super) rcv_nxt: Seq,
    pub(super) window: u16,
    pub(super) timestamps: Option<TimeWaitTimestamps>,
}

/// All connections in TIME-WAIT.
#[derive(Debug)]
pub(super) struct TimeWaitTable {
    v4: Table<V4>,
    v6: Table<V6>,
    secret: Secret,
}

impl TimeWaitTable {
    /// A table for `max` entries of each family.
    pub(super) fn new(max: usize, secret: Secret) -> TimeWaitTable {
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(NONE - 1);
        TimeWaitTable { v4: Table::new(max), v6: Table::new(max), secret }
    }

    /// Takes `tw` in, in place of an older entry with its tuple. Where the table is full, the entry nearest
    /// to its end has to go; returns whether one had to.
    pub(super) fn insert(&mut self, now: Time, tw: &TimeWait) -> bool {
        let secret = &self.secret;
        match (V4::of(&tw.tuple), V6::of(&tw.tuple)) {
            (Some(key), _) => self.v4.insert(secret, key, now, tw),
            (_, Some(key)) => self.v6.insert(secret, key, now, tw),
            // No connection spans two families.
            (None, None) => false,
        }
    }

    /// What is remembered of `tuple`.
    pub(super) fn get(&self, tuple: &FourTuple) -> Option<Kept> {
        let secret = &self.secret;
        match (V4::of(tuple), V6::of(tuple)) {
            (Some(key), _) => self.v4.get(secret, &key),
            (_, Some(key)) => self.v6.get(secret, &key),
            (None, None) => None,
        }
    }

    /// Begins the wait of `tuple` anew, and remembers the timestamp `recent` if there is one.
    pub(super) fn restart(&mut self, now: Time, tuple: &FourTuple, recent: Option<u32>) {
        let secret = &self.secret;
        match (V4::of(tuple), V6::of(tuple)) {
            (Some(key), _) => self.v4.restart(secret, &key, now, recent),
            (_, Some(key)) => self.v6.restart(secret, &key, now, recent),
            (None, None) => {}
        }
    }

    /// Forgets `tuple`.
    pub(super) fn remove(&mut self, tuple: &FourTuple) {
        let secret = &self.secret;
        match (V4::of(tuple), V6::of(tuple)) {
            (Some(key), _) => self.v4.remove_key(secret, &key),
            (_, Some(key)) => self.v6.remove_key(secret, &key),
            (None, None) => {}
        }
    }

    /// Forgets entries whose time has come, at most `budget` of each family.
    pub(super) fn expire(&mut self, now: Time, budget: usize) {
        self.v4.expire(&self.secret, now, budget);
        self.v6.expire(&self.secret, now, budget);
    }

    /// When [`expire`](TimeWaitTable::expire) has something to do.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        match (self.v4.next_expiry(), self.v6.next_expiry()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Entries now.
    pub(super) fn len(&self) -> usize {
        self.v4.index.len() + self.v6.index.len()
    }
}

/// The entries of one family.
#[derive(Debug)]
struct Table<K> {
    entries: Vec<Entry<K>>,
    max: u32,
    /// First of the entries that were used and are free again.
    free: u32,
    index: HashTable<u32>,
    /// First entry of each bucket, `NONE` where there is none.
    heads: Box<[u32; BUCKETS]>,
    /// One bit for each bucket that is not empty.
    occupied: [u64; BUCKETS / 64],
    /// All buckets up to this tick are empty; occupied ones belong to the `BUCKETS - 1` ticks after it.
    cursor: u64,
    /// The longest wait ever asked for, in ticks: how long a restarted one lasts. Commonly all are the same.
    longest: u64,
}

impl<K: Key> Table<K> {
    fn new(max: u32) -> Table<K> {
        Table {
            entries: Vec::new(),
            max,
            free: NONE,
            index: HashTable::new(),
            heads: Box::new([NONE; BUCKETS]),
            occupied: [0; BUCKETS / 64],
            cursor: 0,
            longest: 0,
        }
    }

    fn find(&self, secret: &Secret, key: &K) -> Option<u32> {
        let hash = secret.of_bytes(key.as_bytes());
        self.index.find(hash, |&slot| self.entries[slot as usize].key == *key).copied()
    }

    fn get(&self, secret: &Secret, key: &K) -> Option<Kept> {
        let entry = &self.entries[self.find(secret, key)? as usize];
        let timestamps = (entry.place & TIMESTAMPS != 0)
            .then_some(TimeWaitTimestamps { offset: entry.ts_offset, recent: entry.ts_recent });
        let &Entry { snd_nxt, rcv_nxt, window, .. } = entry;
        Some(Kept { snd_nxt, rcv_nxt, window, timestamps })
    }

    fn insert(&mut self, secret: &Secret, key: K, now: Time, tw: &TimeWait) -> bool {
        if self.max == 0 {
            return true;
        }
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(self.max as usize);
            self.index.reserve(self.max as usize, |_| 0);
        }
        self.remove_key(secret, &key);
        let full = self.index.len() == self.max as usize;
        if full && let Some(tick) = self.next_tick() {
            self.remove(secret, self.heads[bucket_of(tick)]);
        }
        self.advance(now);
        let ticks = tw.expires.since(now).as_nanos().div_ceil(TICK.as_nanos());
        self.longest = self.longest.max(ticks);

        let (used, TimeWaitTimestamps { offset, recent }) = match tw.timestamps {
            Some(timestamps) => (TIMESTAMPS, timestamps),
            None => (0, TimeWaitTimestamps { offset: 0, recent: 0 }),
        };
        let entry = Entry {
            key,
            snd_nxt: tw.snd_nxt,
            rcv_nxt: tw.rcv_nxt,
            ts_offset: offset,
            ts_recent: recent,
            prev: NONE,
            next: NONE,
            window: tw.window,
            place: used,
        };
        let slot = if self.free != NONE {
            let slot = self.free;
            self.free = self.entries[slot as usize].next;
            self.entries[slot as usize] = entry;
            slot
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        };
        let entries = &self.entries;
        self.index.insert_unique(secret.of_bytes(key.as_bytes()), slot, |&slot| {
            secret.of_bytes(entries[slot as usize].key.as_bytes())
        });
        self.link(slot, tw.expires);
        full
    }

    fn restart(&mut self, secret: &Secret, key: &K, now: Time, recent: Option<u32>) {
        if let Some(slot) = self.find(secret, key) {
            self.unlink(slot);
            self.advance(now);
            self.link(slot, now + TICK * self.longest);
            if let Some(recent) = recent {
                self.entries[slot as usize].ts_recent = recent;
            }
        }
    }

    fn remove_key(&mut self, secret: &Secret, key: &K) {
        if let Some(slot) = self.find(secret, key) {
            self.remove(secret, slot);
        }
    }

    fn remove(&mut self, secret: &Secret, slot: u32) {
        self.unlink(slot);
        let hash = secret.of_bytes(self.entries[slot as usize].key.as_bytes());
        if let Ok(found) = self.index.find_entry(hash, |&s| s == slot) {
            found.remove();
        }
        self.entries[slot as usize].next = self.free;
        self.free = slot;
    }

    fn expire(&mut self, secret: &Secret, now: Time, budget: usize) {
        for _ in 0..budget {
            match self.next_tick() {
                Some(tick) if tick <= passed(now) => self.remove(secret, self.heads[bucket_of(tick)]),
                _ => return,
            }
        }
    }

    fn next_expiry(&self) -> Option<Time> {
        if self.index.is_empty() {
            return None;
        }
        self.next_tick().map(|tick| Time::ZERO + TICK * tick)
    }

    /// Moves the cursor towards `now` over empty buckets.
    fn advance(&mut self, now: Time) {
        let limit = self.next_tick().map_or(u64::MAX, |tick| tick - 1);
        self.cursor = self.cursor.max(passed(now).min(limit));
    }

    /// The first tick whose bucket is not empty.
    fn next_tick(&self) -> Option<u64> {
        let start = bucket_of(self.cursor + 1);
        let (first, bit) = (start / 64, start % 64);
        let words = self.occupied.len();
        for i in 0..=words {
            let word = (first + i) % words;
            // The first word comes twice: its upper part at the beginning, its lower part at the end.
            let mask = match i {
                0 => u64::MAX << bit,
                i if i == words => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let bucket = word * 64 + bits.trailing_zeros() as usize;
                let distance = (bucket + BUCKETS - start) % BUCKETS;
                return Some(self.cursor + 1 + distance as u64);
            }
        }
        None
    }

    /// Puts an entry into the bucket of `expires`, or the last one of the ring.
    fn link(&mut self, slot: u32, expires: Time) {
        let tick = expires.as_nanos().div_ceil(TICK.as_nanos());
        let bucket = bucket_of(tick.clamp(self.cursor + 1, self.cursor + BUCKETS as u64 - 1));
        let head = core::mem::replace(&mut self.heads[bucket], slot);
        if head != NONE {
            self.entries[head as usize].prev = slot;
        }
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        let entry = &mut self.entries[slot as usize];
        entry.prev = NONE;
        entry.next = head;
        entry.place = entry.place & TIMESTAMPS | bucket as u16;
    }

    fn unlink(&mut self, slot: u32) {
        let &Entry { prev, next, place, .. } = &self.entries[slot as usize];
        let bucket = usize::from(place & !TIMESTAMPS);
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
        if prev != NONE {
            self.entries[prev as usize].next = next;
        } else {
            self.heads[bucket] = next;
            if next == NONE {
                self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            }
        }
    }
}

/// The last tick that has passed at `now`.
fn passed(now: Time) -> u64 {
    now.as_nanos() / TICK.as_nanos()
}

fn bucket_of(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            remote: SocketAddr::from(([10, 0, 0, 2], port)),
        }
    }

    fn tuple6(port: u16) -> FourTuple {
        FourTuple { local: SocketAddr::from(([1; 16], 80)), remote: SocketAddr::from(([2; 16], port)) }
    }

    fn entry(tuple: FourTuple, expires: Time) -> TimeWait {
        TimeWait {
            tuple,
            snd_nxt: Seq(u32::from(tuple.remote.port())),
            rcv_nxt: Seq(7),
            rcv_wnd: 1000,
            window: 10,
            timestamps: Some(TimeWaitTimestamps { offset: 3, recent: 4 }),
            expires,
        }
    }

    fn table(max: usize) -> TimeWaitTable {
        TimeWaitTable::new(max, Secret::new(&[9; 16]))
    }

    fn secs(s: u64) -> Time {
        Time::ZERO + Nanos::from_secs(s)
    }

    #[test]
    fn both_families_are_found_again() {
        let mut table = table(10);
        table.insert(secs(1), &entry(tuple(5), secs(61)));
        table.insert(secs(1), &TimeWait { timestamps: None, ..entry(tuple6(6), secs(61)) });
        let timestamps = Some(TimeWaitTimestamps { offset: 3, recent: 4 });
        let kept = Kept { snd_nxt: Seq(5), rcv_nxt: Seq(7), window: 10, timestamps };
        assert_eq!(table.get(&tuple(5)), Some(kept));
        assert_eq!(table.get(&tuple6(6)), Some(Kept { snd_nxt: Seq(6), timestamps: None, ..kept }));
        assert_eq!((table.get(&tuple(6)), table.get(&tuple6(5))), (None, None));
        table.remove(&tuple(5));
        assert_eq!((table.get(&tuple(5)), table.len()), (None, 1));
    }

    #[test]
    fn an_entry_ends_no_earlier_than_asked_and_at_most_a_tick_later() {
        let mut table = table(10);
        let expires = secs(61) + Nanos::from_millis(1);
        table.insert(secs(1), &entry(tuple(5), expires));
        let due = table.next_expiry().unwrap();
        assert!(due >= expires && due <= expires + TICK, "{due:?}");
        table.expire(expires, 10);
        assert_eq!(table.len(), 1);
        table.expire(due, 10);
        assert_eq!((table.len(), table.next_expiry()), (0, None));
    }

    #[test]
    fn must_13_restarting_takes_as_long_as_at_first() {
        let mut table = table(10);
        table.insert(secs(1), &entry(tuple(5), secs(61)));
        table.restart(secs(50), &tuple(5), Some(99));
        assert_eq!(table.next_expiry(), Some(secs(110)));
        assert_eq!(table.get(&tuple(5)).unwrap().timestamps.unwrap().recent, 99);
    }

    #[test]
    fn a_full_table_forgets_what_would_end_next() {
        let mut table = table(3);
        assert!(!table.insert(secs(1), &entry(tuple(1), secs(61))));
        assert!(!table.insert(secs(1), &entry(tuple(2), secs(11))));
        assert!(!table.insert(secs(1), &entry(tuple(3), secs(61))));
        assert!(!table.insert(secs(1), &entry(tuple(3), secs(62))), "the same tuple needs no room");
        assert!(table.insert(secs(1), &entry(tuple(4), secs(61))));
        assert!(table.get(&tuple(2)).is_none() && table.len() == 3);
    }

    #[test]
    fn a_table_without_room_keeps_nothing() {
        let mut table = table(0);
        assert!(table.insert(secs(1), &entry(tuple(1), secs(61))));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_bounded_number_expires_at_a_time() {
        let mut table = table(10);
        for port in 0..10 {
            table.insert(secs(1), &entry(tuple(port), secs(61)));
        }
        table.expire(secs(100), 4);
        assert_eq!(table.len(), 6);
        assert!(table.next_expiry().unwrap() <= secs(100), "the rest is due");
    }

    #[test]
    fn the_nearest_end_is_found_wherever_in_the_ring_it_lies() {
        for phase in (0..BUCKETS as u64 + 70).step_by(7) {
            let now = Time::ZERO + TICK * phase;
            for (near, far) in [(1, 1020), (5, 1023), (60, 1023), (64, 65), (500, 900), (1021, 1022)] {
                let mut table = table(10);
                for (port, ticks) in [(1, far), (2, near)] {
                    table.insert(now, &entry(tuple(port), now + TICK * ticks));
                }
                assert_eq!(table.next_expiry(), Some(now + TICK * near), "{phase} {near} {far}");
                table.remove(&tuple(2));
                assert_eq!(table.next_expiry(), Some(now + TICK * far), "{phase} {near} {far}");
            }
        }
    }

    #[test]
    fn what_ended_makes_room_without_more_memory() {
        let mut table = table(4);
        for round in 0..100 {
            let now = secs(10 * round);
            for port in 0..4 {
                assert!(!table.insert(now, &entry(tuple(port), now + Nanos::from_secs(5))));
            }
            table.expire(now + Nanos::from_secs(6), 10);
        }
        assert_eq!((table.len(), table.v4.entries.len()), (0, 4));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert {
            port: u16,
            millis: u64,
        },
        Restart(u16),
        Remove(u16),
        /// Time passes; whether the timer then runs. It runs two minutes late at most.
        Wait(u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u16..12, 0u64..130_000).prop_map(|(port, millis)| Step::Insert { port, millis }),
            1 => (0u16..12).prop_map(Step::Restart),
            1 => (0u16..12).prop_map(Step::Remove),
            2 => (0u64..100_000, any::<bool>()).prop_map(|(millis, timer)| Step::Wait(millis, timer)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec(step(), 1..100)) {
            let mut table = table(8);
            let mut map: HashMap<u16, Time> = HashMap::new();
            let mut now = Time::ZERO;
            let mut timer_ran = Time::ZERO;
            let mut longest = Nanos::ZERO;
            let up = |n: Nanos| TICK * n.as_nanos().div_ceil(TICK.as_nanos());
            for step in steps {
                match step {
                    Step::Insert { port, millis } => {
                        let wait = Nanos::from_millis(millis);
                        longest = longest.max(up(wait));
                        map.remove(&port);
                        let evicted = table.insert(now, &entry(tuple(port), now + wait));
                        prop_assert_eq!(evicted, map.len() == 8);
                        if evicted {
                            let gone: Vec<_> =
                                map.keys().copied().filter(|p| table.get(&tuple(*p)).is_none()).collect();
                            prop_assert_eq!(gone.len(), 1);
                            let first = map[&gone[0]];
                            prop_assert!(map.values().all(|e| first <= *e + TICK));
                            map.remove(&gone[0]);
                        }
                        map.insert(port, now + wait);
                    }
                    Step::Restart(port) => {
                        table.restart(now, &tuple(port), None);
                        if let Some(expires) = map.get_mut(&port) {
                            *expires = now + longest;
                        }
                    }
                    Step::Remove(port) => {
                        table.remove(&tuple(port));
                        map.remove(&port);
                    }
                    Step::Wait(millis, timer) => {
                        now += Nanos::from_millis(millis);
                        if timer || now.since(timer_ran) + Nanos::from_secs(100) > Nanos::from_secs(120) {
                            timer_ran = now;
                            table.expire(now, 1000);
                            for (port, expires) in &map {
                                let there = table.get(&tuple(*port)).is_some();
                                prop_assert!(!there || *expires + TICK > now, "{port} outlived {expires:?}");
                            }
                        }
                    }
                }
                // Whether an entry whose time has come is still there is the table's choice, and the timer's.
                map.retain(|port, expires| *expires > now || table.get(&tuple(*port)).is_some());
                for (port, expires) in &map {
                    prop_assert!(table.get(&tuple(*port)).is_some(), "{port} is gone before {expires:?}");
                }
                prop_assert_eq!(table.len(), map.len());
            }
        }
    }
}
