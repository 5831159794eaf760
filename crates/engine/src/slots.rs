//! Where the connections of an engine are: those that work as they are, those at rest folded.
//!
//! A connection that works is kilobytes, laid out for speed. A million of them would be gigabytes, nearly all of it
//! zeros, since at any moment few of a million do anything. So a working set of connections is kept as it is, and beyond
//! that whoever is at rest and was not looked at for the longest is folded into a few hundred bytes
//! ([`Connection::fold`]). Whatever concerns it unfolds it: nobody but this file knows the difference. While there are no
//! more connections than the working set holds nothing is ever folded.
//!
//! Who is folded is decided as an operating system's page replacement does, by a clock hand that goes round over the
//! working set and gives each a second chance (Corbató, "A paging experiment with the Multics system"). The hand moves
//! in proportion to what was unfolded or added, so that each turn of the loop stays bounded.
//!
//! Numbers of slots are dense and used again, last freed first. The table of them has its room from the beginning, as
//! address space, so that it never moves: memory is taken as connections come.

use tcp::conn::Connection;
use tcp::{FourTuple, Time};

use crate::flow::ConnId;
use crate::nic::Nic;
use crate::nic::memory::MemoryNic;
use crate::slot::Slot;

/// Connections looked at by one turn of the loop beside those that its own unfolding calls for.
const LOOKS: usize = 16;

/// Connections looked at for each one that came.
const LOOKS_EACH: usize = 4;

/// Places of former connections of the working set that are kept for new ones.
const SPARE: usize = 64;

/// All connections of an engine.
pub(crate) struct Slots<N: Nic> {
    entries: Vec<Entry<N>>,
    free: Vec<u32>,
    max: usize,
    /// The working set: numbers of those that are not folded, in no order.
    awake: Vec<u32>,
    /// Connections that the working set may always hold.
    working_set: usize,
    /// The place in `awake` that is looked at next.
    hand: usize,
    /// How many came into the working set since the hand moved last.
    came: usize,
    /// How many were looked at since one was folded, or anything happened.
    in_vain: usize,
    spare: Vec<Box<Slot<N>>>,
    /// What is folded is written here first.
    scratch: Vec<u8>,
    pub(crate) folded: u64,
    pub(crate) unfolded: u64,
}

struct Entry<N: Nic> {
    generation: u32,
    held: Held<N>,
}

enum Held<N: Nic> {
    Nothing,
    Awake(Box<Slot<N>>),
    Folded(Box<[u8]>),
}

// One for each connection there may be, and none on two cache lines.
const _: () = assert!(size_of::<Entry<MemoryNic>>() == 32);

impl<N: Nic> Slots<N> {
    /// Room for `max` connections, of which `working_set` are never folded.
    pub(crate) fn new(max: usize, working_set: usize) -> Slots<N> {
        Slots {
            entries: Vec::with_capacity(max),
            free: Vec::new(),
            max,
            awake: Vec::new(),
            working_set,
            hand: 0,
            came: 0,
            in_vain: 0,
            spare: Vec::new(),
            scratch: Vec::new(),
            folded: 0,
            unfolded: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.entries.len() == self.max
    }

    /// Puts `slot` into a free place; gives it back when there is none.
    #[allow(clippy::result_large_err)] // It comes from the caller and goes back there.
    pub(crate) fn insert(&mut self, slot: Slot<N>) -> Result<ConnId, Slot<N>> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.entries.len() == self.max => return Err(slot),
            None => {
                self.entries.push(Entry { generation: 0, held: Held::Nothing });
                (self.entries.len() - 1) as u32
            }
        };
        self.wake(index, slot);
        Ok(ConnId { index, generation: self.entries[index as usize].generation })
    }

    /// Empties a place; handles on it are stale from here on.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Box<Slot<N>>> {
        self.get_mut(index)?;
        let slot = self.take_awake(index)?;
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(index);
        Some(slot)
    }

    /// The connection, unfolded if need be.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Slot<N>> {
        // Asked twice, as the borrow checker wants it; the compiler asks once.
        if let Some(Entry { held: Held::Folded(_), .. }) = self.entries.get(index as usize) {
            return self.unfold(index);
        }
        match &mut self.entries.get_mut(index as usize)?.held {
            Held::Awake(slot) => Some(slot),
            _ => None,
        }
    }

    /// The connection that `id` was issued for, unfolded if need be, unless it is gone.
    #[inline]
    pub(crate) fn find_mut(&mut self, id: ConnId) -> Option<&mut Slot<N>> {
        self.entries.get(id.index as usize).filter(|e| e.generation == id.generation)?;
        self.get_mut(id.index)
    }

    /// The connection if it is in the working set: one that is not has nothing to do, waits for nothing and holds nothing.
    #[inline]
    pub(crate) fn working(&self, index: u32) -> Option<&Slot<N>> {
        match &self.entries.get(index as usize)?.held {
            Held::Awake(slot) => Some(slot),
            _ => None,
        }
    }

    /// All of the working set.
    pub(crate) fn all_working(&self) -> impl Iterator<Item = &Slot<N>> + '_ {
        self.awake.iter().filter_map(|&index| self.working(index))
    }

    /// What `ask` says of the connection that `id` was issued for, unless it is gone. A folded one stays so.
    pub(crate) fn ask<T>(&self, id: ConnId, ask: impl FnOnce(&Slot<N>) -> T) -> Option<T> {
        match &self.entries.get(id.index as usize).filter(|e| e.generation == id.generation)?.held {
            Held::Nothing => None,
            Held::Awake(slot) => Some(ask(slot)),
            Held::Folded(bytes) => Some(ask(&Slot::unfold(bytes))),
        }
    }

    /// Whether the connection in place `index` is that of `tuple`.
    #[inline]
    pub(crate) fn is(&self, index: u32, tuple: &FourTuple) -> bool {
        match self.entries.get(index as usize).map(|e| &e.held) {
            Some(Held::Awake(slot)) => slot.conn.tuple() == tuple,
            Some(Held::Folded(bytes)) => Slot::<N>::folded_tuple(bytes) == *tuple,
            _ => false,
        }
    }

    /// Whose the connection in place `index` is.
    pub(crate) fn tuple_of(&self, index: u32) -> Option<FourTuple> {
        match &self.entries.get(index as usize)?.held {
            Held::Nothing => None,
            Held::Awake(slot) => Some(*slot.conn.tuple()),
            Held::Folded(bytes) => Some(Slot::<N>::folded_tuple(bytes)),
        }
    }

    /// The handle on what is in place `index` now.
    pub(crate) fn id_of(&self, index: u32) -> Option<ConnId> {
        let entry = self.entries.get(index as usize)?;
        let there = !matches!(entry.held, Held::Nothing);
        there.then_some(ConnId { index, generation: entry.generation })
    }

    /// Numbers of the places in use, ascending.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let used = |(_, e): &(usize, &Entry<N>)| !matches!(e.held, Held::Nothing);
        self.entries.iter().enumerate().filter(used).map(|(i, _)| i as u32)
    }

    /// How many are not folded.
    #[cfg(test)]
    pub(crate) fn awake(&self) -> usize {
        self.awake.len()
    }

    /// The working set is larger than it should be, and not each of it was found at work since anything happened.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        // Each gets its second chance, and time for its owner to hear of it.
        self.awake.len() > self.working_set && self.in_vain < 3 * self.awake.len()
    }

    /// Folds some of those at rest that nothing happened to for the longest; `left` frames have left the port. No turn of the
    /// loop is made for it: an application that looks at its connections in each would never see the last.
    #[cold]
    pub(crate) fn fold_some(&mut self, now: Time, left: u64) {
        // Once around at most: what is told of a connection is taken between two turns of the loop.
        let looks = (LOOKS + LOOKS_EACH * std::mem::take(&mut self.came)).min(self.awake.len());
        for _ in 0..looks {
            if !self.is_crowded() {
                return;
            }
            self.hand = if self.hand < self.awake.len() { self.hand } else { 0 };
            let index = self.awake[self.hand];
            let Held::Awake(slot) = &mut self.entries[index as usize].held else { return };
            let recent = std::mem::take(&mut slot.recent);
            if !recent && let Some(beside) = slot.at_rest(left) {
                self.scratch.clear();
                beside.fold(&mut self.scratch);
                slot.conn.fold(now, &mut self.scratch);
                let place = self.take_awake(index);
                if self.spare.len() < SPARE {
                    self.spare.extend(place);
                }
                self.entries[index as usize].held = Held::Folded(self.scratch.as_slice().into());
                self.folded += 1;
                self.in_vain = 0;
            } else {
                self.hand += 1;
                self.in_vain += 1;
            }
        }
    }

    /// Something happened to a connection, after which it may come to rest.
    #[inline]
    pub(crate) fn stir(&mut self) {
        self.in_vain = 0;
    }

    #[cold]
    fn unfold(&mut self, index: u32) -> Option<&mut Slot<N>> {
        let Held::Folded(bytes) = &self.entries[index as usize].held else { return None };
        let slot = Slot::unfold(bytes);
        self.unfolded += 1;
        Some(self.wake(index, slot))
    }

    /// Puts `slot` into the working set.
    fn wake(&mut self, index: u32, mut slot: Slot<N>) -> &mut Slot<N> {
        slot.place = self.awake.len() as u32;
        slot.recent = true;
        self.awake.push(index);
        self.came += 1;
        self.in_vain = 0;
        let slot = match self.spare.pop() {
            Some(mut place) => {
                *place = slot;
                place
            }
            None => Box::new(slot),
        };
        let held = &mut self.entries[index as usize].held;
        *held = Held::Awake(slot);
        match held {
            Held::Awake(slot) => slot,
            _ => unreachable!("it was put there a moment ago"),
        }
    }

    /// Takes a connection out of the working set; its place is empty then.
    fn take_awake(&mut self, index: u32) -> Option<Box<Slot<N>>> {
        let held = &mut self.entries[index as usize].held;
        let Held::Awake(slot) = std::mem::replace(held, Held::Nothing) else { return None };
        let place = slot.place as usize;
        self.awake.swap_remove(place);
        if let Some(&moved) = self.awake.get(place)
            && let Held::Awake(other) = &mut self.entries[moved as usize].held
        {
            other.place = slot.place;
        }
        Some(slot)
    }
}

/// What a slot at rest keeps beside its connection.
struct Beside {
    neighbour: u32,
    deficit: i64,
    errno: Option<i32>,
    ip_id: u16,
    slices: u16,
    plain: bool,
    returns: bool,
}

impl Beside {
    /// Bytes that it is folded into, in front of the connection.
    const FOLDED: usize = 21;

    fn fold(self, to: &mut Vec<u8>) {
        let Beside { neighbour, deficit, errno, ip_id, slices, plain, returns } = self;
        to.extend_from_slice(&neighbour.to_le_bytes());
        to.extend_from_slice(&deficit.to_le_bytes());
        to.extend_from_slice(&errno.unwrap_or(0).to_le_bytes());
        to.extend_from_slice(&ip_id.to_le_bytes());
        to.extend_from_slice(&slices.to_le_bytes());
        to.push(u8::from(plain) | u8::from(returns) << 1);
    }

    fn unfold(bytes: &[u8]) -> Beside {
        fn next<const L: usize>(from: &mut &[u8]) -> [u8; L] {
            let field = std::array::from_fn(|i| from[i]);
            *from = &from[L..];
            field
        }
        let from = &mut &*bytes;
        let neighbour = u32::from_le_bytes(next(from));
        let deficit = i64::from_le_bytes(next(from));
        let errno = Some(i32::from_le_bytes(next(from))).filter(|&errno| errno != 0);
        let ip_id = u16::from_le_bytes(next(from));
        let slices = u16::from_le_bytes(next(from));
        let [flags] = next(from);
        Beside { neighbour, deficit, errno, ip_id, slices, plain: flags & 1 != 0, returns: flags & 2 != 0 }
    }
}

impl<N: Nic> Slot<N> {
    /// What is to be kept of it beside its connection, if nothing is queued, staged or in the port, it waits for nothing and
    /// nobody waits for it. `left` frames have left the port.
    fn at_rest(&self, left: u64) -> Option<Beside> {
        // Every field has to be named here: one that is added decides whether it is kept, forbids rest, or does not matter.
        let &Slot {
            ref conn,
            // Kept.
            neighbour,
            deficit,
            errno,
            ip_id,
            slices,
            plain,
            returns,
            // In a queue.
            queued,
            touched,
            eventful,
            reclaiming,
            parked,
            waits_for_queue,
            starved,
            waiting,
            in_memory_queue: [for_payload, for_tail],
            // Something is owed to it, or to whoever accepts it.
            wants_memory,
            memory_ready,
            pressed,
            tell_stuck,
            embryonic,
            ref accepted_by,
            // Ending.
            stuck,
            released,
            attached,
            // Sending.
            staged,
            ref tail,
            charged,
            ref refused_since,
            ref retry_at,
            ref occupancy,
            // Without meaning at rest: said anew in each turn, of frames that have left, of memory that is not wanted, and of
            // the working set.
            allowance: _,
            held_by: _,
            wants_tail: _,
            recent: _,
            place: _,
        } = self;
        let lined_up = queued
            || touched
            || eventful
            || reclaiming
            || parked
            || waits_for_queue
            || starved
            || waiting
            || for_payload
            || for_tail;
        let owes =
            wants_memory || memory_ready || pressed || tell_stuck || embryonic || accepted_by.is_some();
        let ends = stuck || released || !attached;
        let sends = staged > 0
            || tail.is_some()
            || charged > 0
            || refused_since.is_some()
            || retry_at.is_some()
            || occupancy.last_frame() > left;
        let rests = !lined_up && !owes && !ends && !sends && conn.is_at_rest();
        rests.then_some(Beside { neighbour, deficit, errno, ip_id, slices, plain, returns })
    }

    fn unfold(bytes: &[u8]) -> Slot<N> {
        let (beside, conn) = bytes.split_at(Beside::FOLDED);
        let Beside { neighbour, deficit, errno, ip_id, slices, plain, returns } = Beside::unfold(beside);
        let mut slot = Slot::new(Connection::unfold(conn), neighbour);
        (slot.deficit, slot.errno, slot.ip_id, slot.slices) = (deficit, errno, ip_id, slices);
        (slot.plain, slot.returns) = (plain, returns);
        slot
    }

    fn folded_tuple(bytes: &[u8]) -> FourTuple {
        Connection::<N::Buf>::folded_tuple(&bytes[Beside::FOLDED..])
    }
}
