//! From four-tuple to connection: a hash table of slot numbers beside a slab of slots.
//!
//! The table holds eight bytes per bucket, so that a lookup that misses touches one cache line, and one that hits
//! two: the bucket and the slot it was looking for. The hash is keyed (SipHash-1-3): whoever can choose ports
//! cannot choose buckets. A burst of segments mostly belongs to one connection; the last tuple found is
//! remembered and skips the hash.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;
use tcp::FourTuple;

/// A handle on a connection of one engine. It stays unique after the connection is gone: a stale handle finds
/// nothing, whatever took its place.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The slot number, below [`max_connections`](crate::EngineConfig::max_connections): small and dense, so that an
    /// application can keep its own data about connections in a `Vec`. Numbers are used again.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The handle as a number, for languages that have no other handles.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle behind a number. One that never came from [`to_bits`](ConnId::to_bits) is stale.
    pub fn from_bits(bits: u64) -> ConnId {
        ConnId { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Slots with generations. Freed slots are reused, last freed first, while their cache lines are warm.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    max: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// Room for `max` values; memory is taken as they come.
    pub(crate) fn new(max: usize) -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new(), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.entries.len() == self.max
    }

    /// Puts `value` into a free slot; gives it back when there is none.
    pub(crate) fn insert(&mut self, value: T) -> Result<ConnId, T> {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.value = Some(value);
            return Ok(ConnId { index, generation: entry.generation });
        }
        if self.entries.len() == self.max {
            return Err(value);
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Ok(ConnId { index, generation: 0 })
    }

    /// Empties a slot; handles on it are stale from here on.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    /// The value `id` was issued for, unless it is gone.
    pub(crate) fn find(&self, id: ConnId) -> Option<&T> {
        self.entries.get(id.index as usize).filter(|e| e.generation == id.generation)?.value.as_ref()
    }

    pub(crate) fn find_mut(&mut self, id: ConnId) -> Option<&mut T> {
        self.entries.get_mut(id.index as usize).filter(|e| e.generation == id.generation)?.value.as_mut()
    }

    /// The handle on what is in slot `index` now.
    pub(crate) fn id_of(&self, index: u32) -> Option<ConnId> {
        let entry = self.entries.get(index as usize)?;
        entry.value.is_some().then_some(ConnId { index, generation: entry.generation })
    }

    /// Numbers of the slots in use, ascending.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().enumerate().filter(|(_, e)| e.value.is_some()).map(|(i, _)| i as u32)
    }
}

#[derive(Copy, Clone, Debug)]
struct Bucket {
    tag: u32,
    index: u32,
}

const EMPTY: Bucket = Bucket { tag: 0, index: u32::MAX };

/// Buckets looked at before a tuple is declared absent, or an insertion refused. At half load and with a keyed hash
/// the longest run of a million entries is about 40.
const MAX_PROBE: usize = 128;

/// Four-tuple → slot number, by open addressing with linear probing.
#[derive(Debug)]
pub(crate) struct FlowTable {
    buckets: Vec<Bucket>,
    mask: usize,
    key: [u8; 16],
    len: usize,
    /// The tuple found last. Removing any tuple forgets it.
    last: Option<(FourTuple, u32)>,
}

/// The probe limit was reached: the table is overfull or under attack.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableFull;

impl FlowTable {
    /// A table for `max` tuples, at most half full with them.
    pub(crate) fn new(max: usize, key: [u8; 16]) -> FlowTable {
        let buckets = (max.max(8) * 2).next_power_of_two();
        FlowTable { buckets: vec![EMPTY; buckets], mask: buckets - 1, key, len: 0, last: None }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn hash(&self, t: &FourTuple) -> u64 {
        let mut h = SipHasher13::new_with_key(&self.key);
        match (t.local, t.remote) {
            (SocketAddr::V4(l), SocketAddr::V4(r)) => {
                let mut b = [0; 12];
                b[0..4].copy_from_slice(&r.ip().octets());
                b[4..8].copy_from_slice(&l.ip().octets());
                b[8..10].copy_from_slice(&r.port().to_be_bytes());
                b[10..12].copy_from_slice(&l.port().to_be_bytes());
                h.write(&b);
            }
            (l, r) => {
                let mut b = [0; 36];
                b[0..16].copy_from_slice(&v6(r.ip()));
                b[16..32].copy_from_slice(&v6(l.ip()));
                b[32..34].copy_from_slice(&r.port().to_be_bytes());
                b[34..36].copy_from_slice(&l.port().to_be_bytes());
                h.write(&b);
            }
        }
        h.finish()
    }

    fn start(&self, t: &FourTuple) -> (usize, u32) {
        let h = self.hash(t);
        (h as usize & self.mask, (h >> 32) as u32)
    }

    /// The slot of `t`. `tuple_of` tells the tuple of a slot: a bucket only holds a tag of it.
    #[inline]
    pub(crate) fn find<'a>(
        &mut self,
        t: &FourTuple,
        tuple_of: impl Fn(u32) -> Option<&'a FourTuple>,
    ) -> Option<u32> {
        if let Some((last, index)) = &self.last
            && last == t
        {
            return Some(*index);
        }
        let index = self.buckets[self.probe(t, tuple_of)?].index;
        self.last = Some((*t, index));
        Some(index)
    }

    /// Whether `t` is present, without remembering it.
    pub(crate) fn contains<'a>(
        &self,
        t: &FourTuple,
        tuple_of: impl Fn(u32) -> Option<&'a FourTuple>,
    ) -> bool {
        self.probe(t, tuple_of).is_some()
    }

    fn probe<'a>(&self, t: &FourTuple, tuple_of: impl Fn(u32) -> Option<&'a FourTuple>) -> Option<usize> {
        let (mut at, tag) = self.start(t);
        for _ in 0..MAX_PROBE {
            let b = self.buckets[at];
            if b.index == EMPTY.index {
                return None;
            }
            if b.tag == tag && tuple_of(b.index) == Some(t) {
                return Some(at);
            }
            at = (at + 1) & self.mask;
        }
        None
    }

    /// Adds `t`, which must not be present.
    pub(crate) fn insert(&mut self, t: &FourTuple, index: u32) -> Result<(), TableFull> {
        if self.len * 2 >= self.buckets.len() {
            return Err(TableFull);
        }
        let (mut at, tag) = self.start(t);
        for _ in 0..MAX_PROBE {
            if self.buckets[at].index == EMPTY.index {
                self.buckets[at] = Bucket { tag, index };
                self.len += 1;
                return Ok(());
            }
            at = (at + 1) & self.mask;
        }
        Err(TableFull)
    }

    /// Removes `t`. The rest of the run moves back over the gap, so that no tombstones pile up; `tuple_of` must still
    /// know every tuple in the table.
    pub(crate) fn remove<'a>(
        &mut self,
        t: &FourTuple,
        tuple_of: impl Fn(u32) -> Option<&'a FourTuple>,
    ) -> bool {
        let Some(mut gap) = self.probe(t, &tuple_of) else { return false };
        self.last = None;
        self.len -= 1;
        let mut at = gap;
        // The table is at most half full, so an empty bucket ends the run.
        loop {
            at = (at + 1) & self.mask;
            let b = self.buckets[at];
            if b.index == EMPTY.index {
                break;
            }
            let Some(home) = tuple_of(b.index).map(|t| self.start(t).0) else { continue };
            // It may move only if its home is not between the gap (exclusive) and where it is.
            let from_home = at.wrapping_sub(home) & self.mask;
            let from_gap = at.wrapping_sub(gap) & self.mask;
            if from_home >= from_gap {
                self.buckets[gap] = b;
                gap = at;
            }
        }
        self.buckets[gap] = EMPTY;
        true
    }
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_handle_survives_being_a_number() {
        let id = ConnId { index: 7, generation: u32::MAX };
        assert_eq!(ConnId::from_bits(id.to_bits()), id);
    }

    fn tuple(n: u32) -> FourTuple {
        let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80));
        FourTuple { local, remote: SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | (n >> 4)), n as u16 & 15)) }
    }

    #[test]
    fn a_stale_handle_finds_nothing() {
        let mut slab = Slab::new(2);
        let a = slab.insert("a").unwrap();
        let b = slab.insert("b").unwrap();
        assert!(slab.is_full());
        assert_eq!(slab.insert("c"), Err("c"));
        assert_eq!(slab.remove(a.index), Some("a"));
        assert_eq!(slab.remove(a.index), None);
        let c = slab.insert("c").unwrap();
        assert_eq!(c.index, a.index);
        assert_eq!(slab.find(a), None);
        assert_eq!(slab.find(c), Some(&"c"));
        assert_eq!(slab.find(b), Some(&"b"));
        assert_eq!(slab.id_of(0), Some(c));
        assert_eq!(slab.len(), 2);
    }

    #[test]
    fn both_families_are_keys() {
        let tuples = [
            tuple(1),
            FourTuple {
                local: SocketAddr::from((Ipv6Addr::LOCALHOST, 80)),
                remote: SocketAddr::from((Ipv6Addr::LOCALHOST, 81)),
            },
        ];
        let mut table = FlowTable::new(2, [3; 16]);
        for (i, t) in tuples.iter().enumerate() {
            table.insert(t, i as u32).unwrap();
        }
        for (i, t) in tuples.iter().enumerate() {
            assert_eq!(table.find(t, |k| tuples.get(k as usize)), Some(i as u32));
            assert!(table.contains(t, |k| tuples.get(k as usize)));
        }
    }

    #[test]
    fn a_full_table_refuses() {
        let mut table = FlowTable::new(4, [0; 16]);
        let mut refused = 0;
        for n in 0..100 {
            refused += usize::from(table.insert(&tuple(n), n).is_err());
        }
        assert_eq!(table.len() + refused, 100);
        assert_eq!(table.len(), 8);
    }

    proptest! {
        #[test]
        fn agrees_with_a_hash_map(key: [u8; 16], ops in proptest::collection::vec((0..3u8, 0..60u32), 1..400)) {
            let tuples: Vec<FourTuple> = (0..60).map(tuple).collect();
            let tuple_of = |i: u32| tuples.get(i as usize);
            let mut table = FlowTable::new(64, key);
            let mut oracle = HashMap::new();
            for (op, n) in ops {
                let t = tuple(n);
                match op {
                    0 if !oracle.contains_key(&t) => {
                        table.insert(&t, n).unwrap();
                        oracle.insert(t, n);
                    }
                    1 => {
                        prop_assert_eq!(table.remove(&t, tuple_of), oracle.remove(&t).is_some());
                    }
                    _ => prop_assert_eq!(table.find(&t, tuple_of), oracle.get(&t).copied()),
                }
                prop_assert_eq!(table.len(), oracle.len());
            }
            for n in 0..60 {
                prop_assert_eq!(table.find(&tuple(n), tuple_of), oracle.get(&tuple(n)).copied());
            }
        }
    }
}
