//! A hierarchical timer wheel: one entry per key, bounded work per call.
//!
//! Pacing and RACK want a tick of at most 4 µs; a user timeout lies minutes ahead. Nine levels of 64 slots, each
//! level 64 times as coarse as the one below, hold every time a [`Time`] can name, so nothing is ever clamped. An
//! entry sits on the level of the highest base-64 digit in which its tick differs from the wheel's current tick;
//! when the wheel enters a coarse slot its entries move down. The scheme is that of Varghese and Lauck ("Hashed
//! and hierarchical timing wheels", scheme 6).
//!
//! The owner re-arms lazily: a deadline that moved *later* leaves the entry alone, and when it fires the owner
//! compares with the true deadline and inserts again. ACKs push the retransmission timer back all the time; they
//! then cost one comparison.

use tcp::Time;

/// Nanoseconds of one tick, as a power of two: 2^11 ns = 2.048 µs.
const TICK_SHIFT: u32 = 11;
/// Bits of one level's slot number.
const LEVEL_BITS: u32 = 6;
/// Slots of one level; one bit each in a `u64`.
const SLOTS: usize = 1 << LEVEL_BITS;
/// 9 × 6 bits cover the 53 bits that a 64-bit time has left above the tick.
const LEVELS: usize = 9;
/// End of a list.
const NIL: u32 = u32::MAX;

#[derive(Copy, Clone, Debug)]
struct Node {
    tick: u64,
    next: u32,
    prev: u32,
    /// `level * SLOTS + slot`, or [`IDLE`](Node::IDLE).
    place: u16,
}

// One for each connection there may be.
const _: () = assert!(size_of::<Node>() == 24);

impl Node {
    const IDLE: u16 = u16::MAX;
    const FREE: Node = Node { tick: 0, next: NIL, prev: NIL, place: Node::IDLE };
}

/// Timers for keys `0..n`, at most one each.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Ticks up to here have been processed, except in slots left half-emptied by a bounded call.
    current: u64,
    heads: Box<[u32; LEVELS * SLOTS]>,
    occupied: [u64; LEVELS],
    /// Levels with an occupied slot, one bit each.
    levels: u32,
    nodes: Vec<Node>,
    len: usize,
}

impl Wheel {
    /// An empty wheel that starts at `now`, with room for `keys` keys before it has to grow.
    pub(crate) fn new(now: Time, keys: usize) -> Wheel {
        Wheel {
            current: now.as_nanos() >> TICK_SHIFT,
            heads: Box::new([NIL; LEVELS * SLOTS]),
            occupied: [0; LEVELS],
            levels: 0,
            nodes: Vec::with_capacity(keys),
            len: 0,
        }
    }

    /// Number of armed timers.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// When the entry of `key` will fire, rounded up to a tick; `None` when it has none.
    #[cfg(test)]
    pub(crate) fn armed(&self, key: u32) -> Option<Time> {
        let node = self.nodes.get(key as usize)?;
        (node.place != Node::IDLE).then(|| time_of(node.tick))
    }

    /// Arms `key` for the first tick not before `at`, replacing what it had. A time that has passed fires in the
    /// next [`expire`](Wheel::expire).
    pub(crate) fn insert(&mut self, key: u32, at: Time) {
        if self.nodes.len() <= key as usize {
            self.nodes.resize(key as usize + 1, Node::FREE);
        }
        self.remove(key);
        self.link(key, tick_of(at));
        self.len += 1;
    }

    /// Arms `key` for `at` unless it is already armed for then or earlier: the lazy form.
    pub(crate) fn insert_no_later(&mut self, key: u32, at: Time) {
        let tick = tick_of(at);
        match self.nodes.get(key as usize) {
            Some(n) if n.place != Node::IDLE && n.tick <= tick => {}
            _ => self.insert(key, at),
        }
    }

    /// Disarms `key`.
    pub(crate) fn remove(&mut self, key: u32) {
        if self.nodes.get(key as usize).is_some_and(|n| n.place != Node::IDLE) {
            self.unlink(key);
            self.len -= 1;
        }
    }

    /// Moves time on to `now` and appends keys whose time has come to `out`, in the order of their ticks, disarmed.
    /// Touches at most `bound` entries, whether they fire or only move down a level; returns the number touched. When
    /// that equals `bound` there may be more: call again.
    pub(crate) fn expire(&mut self, now: Time, bound: usize, out: &mut Vec<u32>) -> usize {
        let now = now.as_nanos() >> TICK_SHIFT;
        let mut touched = 0;
        while touched < bound {
            let Some((level, slot, start)) = self.earliest() else { break };
            if start > now {
                break;
            }
            self.current = self.current.max(start);
            while touched < bound {
                let key = self.heads[level * SLOTS + slot];
                if key == NIL {
                    break;
                }
                touched += 1;
                let tick = self.nodes[key as usize].tick;
                self.unlink(key);
                if tick <= self.current {
                    self.len -= 1;
                    out.push(key);
                } else {
                    self.link(key, tick);
                }
            }
        }
        // A bounded call may stop early: the clock must not run past entries that still wait.
        if touched < bound {
            self.current = self.current.max(now);
        }
        touched
    }

    /// A time at which to call [`expire`](Wheel::expire) next: never later than the earliest timer, and earlier only
    /// when that timer has to move down a level first. `None` when nothing is armed.
    pub(crate) fn next(&self) -> Option<Time> {
        self.earliest().map(|(_, _, start)| time_of(start))
    }

    /// The slot to empty next, as (level, slot, first tick of it). Of two that begin together the coarser comes
    /// first: its entries may belong into the finer.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let mut best: Option<(usize, usize, u64)> = None;
        let mut levels = self.levels;
        while levels != 0 {
            let level = levels.trailing_zeros() as usize;
            levels &= levels - 1;
            let shift = LEVEL_BITS * level as u32;
            let here = (self.current >> shift) & (SLOTS as u64 - 1);
            // Entries never lie in a slot behind the current one, so the first set bit at or after it is the next.
            let ahead = u64::from((self.occupied[level] >> here).trailing_zeros());
            let slot = here + ahead;
            let base = (self.current >> shift) - here;
            let start = (base + slot) << shift;
            if best.is_none_or(|(_, _, s)| start <= s) {
                best = Some((level, slot as usize, start));
            }
        }
        best
    }

    fn link(&mut self, key: u32, tick: u64) {
        // A tick in the past shares the current slot of the finest level, which the next call empties.
        let seat = tick.max(self.current);
        let differing = seat ^ self.current;
        let level = if differing == 0 { 0 } else { (63 - differing.leading_zeros()) / LEVEL_BITS } as usize;
        let slot = (seat >> (LEVEL_BITS * level as u32)) as usize & (SLOTS - 1);
        let place = level * SLOTS + slot;
        let head = self.heads[place];
        self.nodes[key as usize] = Node { tick, next: head, prev: NIL, place: place as u16 };
        if head != NIL {
            self.nodes[head as usize].prev = key;
        }
        self.heads[place] = key;
        self.occupied[level] |= 1 << slot;
        self.levels |= 1 << level;
    }

    fn unlink(&mut self, key: u32) {
        let Node { next, prev, place, .. } = self.nodes[key as usize];
        let place = usize::from(place);
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NIL {
            self.nodes[prev as usize].next = next;
        } else {
            self.heads[place] = next;
            if next == NIL {
                let level = place / SLOTS;
                self.occupied[level] &= !(1 << (place % SLOTS));
                if self.occupied[level] == 0 {
                    self.levels &= !(1 << level);
                }
            }
        }
        self.nodes[key as usize].place = Node::IDLE;
    }
}

/// The first tick that begins at `at` or later: a timer never fires early.
fn tick_of(at: Time) -> u64 {
    let ns = at.as_nanos();
    (ns >> TICK_SHIFT) + u64::from(ns & ((1 << TICK_SHIFT) - 1) != 0)
}

fn time_of(tick: u64) -> Time {
    Time::from_nanos(tick.saturating_mul(1 << TICK_SHIFT))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tcp::Nanos;

    use super::*;

    const TICK: u64 = 1 << TICK_SHIFT;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn the_tick_is_at_most_four_microseconds() {
        const { assert!(TICK <= 4_000) };
    }

    #[test]
    fn timers_never_fire_early_and_at_most_one_tick_late() {
        for ns in [
            1,
            TICK - 1,
            TICK,
            TICK + 1,
            63 * TICK,
            64 * TICK + 5,
            1_000_000,
            200_000_000,
            86_400_000_000_000,
        ] {
            let mut w = Wheel::new(Time::ZERO, 1);
            let mut fired = Vec::new();
            w.insert(0, at(ns));
            while fired.is_empty() {
                let next = w.next().unwrap();
                assert!(next <= at(ns) + Nanos::from_nanos(TICK), "{next:?} for {ns}");
                w.expire(next, 10, &mut fired);
                if !fired.is_empty() {
                    assert!(next >= at(ns), "{next:?} is before {ns}");
                }
            }
            assert_eq!(w.len(), 0);
        }
    }

    #[test]
    fn the_largest_time_is_accepted() {
        let mut w = Wheel::new(at(123), 1);
        w.insert(3, Time::MAX);
        let mut fired = Vec::new();
        w.expire(at(1 << 60), 100, &mut fired);
        assert!(fired.is_empty());
        assert_eq!(w.len(), 1);
        w.remove(3);
        assert_eq!(w.next(), None);
    }

    #[test]
    fn a_bounded_call_leaves_the_rest_for_the_next() {
        let mut w = Wheel::new(Time::ZERO, 100);
        for k in 0..100 {
            w.insert(k, at(5_000_000 + u64::from(k)));
        }
        let mut fired = Vec::new();
        let mut calls = 0;
        while fired.len() < 100 {
            assert!(w.expire(at(6_000_000), 7, &mut fired) <= 7);
            calls += 1;
            assert!(calls < 1000);
        }
        assert!(calls >= 100 / 7);
        assert_eq!(w.next(), None);
    }

    #[test]
    fn a_later_deadline_leaves_the_entry_alone() {
        let mut w = Wheel::new(Time::ZERO, 1);
        w.insert_no_later(0, at(10 * TICK));
        w.insert_no_later(0, at(50 * TICK));
        assert_eq!(w.armed(0), Some(at(10 * TICK)));
        w.insert_no_later(0, at(5 * TICK));
        assert_eq!(w.armed(0), Some(at(5 * TICK)));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u32, u64),
        Remove(u32),
        Advance(u64, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let span = prop_oneof![0..10 * TICK, 0..10_000_000u64, 0..100_000_000_000u64];
        prop_oneof![
            4 => (0..40u32, span.clone()).prop_map(|(k, d)| Op::Insert(k, d)),
            1 => (0..40u32).prop_map(Op::Remove),
            3 => (span, 1..50usize).prop_map(|(d, b)| Op::Advance(d, b)),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(start in 0..1u64 << 50, ops in proptest::collection::vec(op(), 1..200)) {
            let mut now = start;
            let mut wheel = Wheel::new(at(now), 0);
            let mut oracle: BTreeMap<u32, u64> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(k, d) => {
                        wheel.insert(k, at(now + d));
                        oracle.insert(k, tick_of(at(now + d)));
                    }
                    Op::Remove(k) => {
                        wheel.remove(k);
                        oracle.remove(&k);
                    }
                    Op::Advance(d, bound) => {
                        now += d;
                        let mut fired = Vec::new();
                        let before = wheel.current;
                        let touched = wheel.expire(at(now), bound, &mut fired);
                        prop_assert!(touched <= bound && fired.len() <= touched);
                        let mut last = 0;
                        for k in fired {
                            let tick = oracle.remove(&k);
                            prop_assert!(tick.is_some_and(|t| t <= now >> TICK_SHIFT), "{k} fired early or twice");
                            // Those inserted in the past have no order among themselves.
                            let tick = tick.unwrap_or(0);
                            prop_assert!(tick >= last || tick <= before, "out of order");
                            last = tick;
                        }
                        if touched < bound {
                            prop_assert!(oracle.values().all(|&t| t > now >> TICK_SHIFT), "one is late");
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), oracle.len());
                match (wheel.next(), oracle.values().min()) {
                    (None, None) => {}
                    (Some(next), Some(&first)) => prop_assert!(next <= time_of(first.max(wheel.current))),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
