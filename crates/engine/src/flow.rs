//! From four-tuple to connection: a hash table of slot numbers ([`Slots`](crate::slots)).
//!
//! The table holds eight bytes per bucket, so that a lookup that misses touches one cache line, and one that hits
//! two beside the connection itself: the bucket, and the place that says where the connection is. The hash is keyed (SipHash-1-3): whoever can choose ports
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

#[derive(Copy, Clone, Debug)]
struct Bucket {
    tag: u32,
    index: u32,
}

// Eight to a cache line.
const _: () = assert!(size_of::<Bucket>() == 8);

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

    /// The slot of `t`. `is` tells whether a slot is that of a tuple: a bucket only holds a tag of it.
    #[inline]
    pub(crate) fn find(&mut self, t: &FourTuple, is: impl Fn(u32, &FourTuple) -> bool) -> Option<u32> {
        if let Some((last, index)) = &self.last
            && last == t
        {
            return Some(*index);
        }
        let index = self.buckets[self.probe(t, is)?].index;
        self.last = Some((*t, index));
        Some(index)
    }

    /// Whether `t` is present, without remembering it.
    pub(crate) fn contains(&self, t: &FourTuple, is: impl Fn(u32, &FourTuple) -> bool) -> bool {
        self.probe(t, is).is_some()
    }

    fn probe(&self, t: &FourTuple, is: impl Fn(u32, &FourTuple) -> bool) -> Option<usize> {
        let (mut at, tag) = self.start(t);
        for _ in 0..MAX_PROBE {
            let b = self.buckets[at];
            if b.index == EMPTY.index {
                return None;
            }
            if b.tag == tag && is(b.index, t) {
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
    pub(crate) fn remove(&mut self, t: &FourTuple, tuple_of: impl Fn(u32) -> Option<FourTuple>) -> bool {
        let is = |index, t: &FourTuple| tuple_of(index).as_ref() == Some(t);
        let Some(mut gap) = self.probe(t, is) else { return false };
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
            let Some(home) = tuple_of(b.index).map(|t| self.start(&t).0) else { continue };
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
            assert_eq!(table.find(t, |k, t| tuples.get(k as usize) == Some(t)), Some(i as u32));
            assert!(table.contains(t, |k, t| tuples.get(k as usize) == Some(t)));
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
            let is = |i: u32, t: &FourTuple| tuples.get(i as usize) == Some(t);
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
                        prop_assert_eq!(table.remove(&t, |i| tuples.get(i as usize).copied()), oracle.remove(&t).is_some());
                    }
                    _ => prop_assert_eq!(table.find(&t, is), oracle.get(&t).copied()),
                }
                prop_assert_eq!(table.len(), oracle.len());
            }
            for n in 0..60 {
                prop_assert_eq!(table.find(&tuple(n), is), oracle.get(&tuple(n)).copied());
            }
        }
    }
}
