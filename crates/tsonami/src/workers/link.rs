//! What a worker and the application's handles on one connection know in common.
//!
//! The worker writes, the application reads; in the other direction only wishes to be woken go. A wish is written down
//! first and the state looked at again; the worker publishes first and looks for wishes then; a fence stands in between
//! on both sides. So nobody waits for what has happened already.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::task::{Poll, Waker};

use atomic_waker::AtomicWaker;
use crossbeam_utils::CachePadded;
use tcp::{FourTuple, Marks, Offset};

use super::wake::wake;
use crate::{ConnId, Error};

/// The handshake is complete.
const OPEN: u8 = 1;
/// Everything there will ever be to read was handed over.
const READ_OUT: u8 = 2;
/// The peer acknowledged the end of ours.
const FINISHED: u8 = 4;
/// The connection is over; why, stands beside it.
const CLOSED: u8 = 8;
/// The application gave the order to abort it.
const ABORTED: u8 = 16;

/// Nobody waits.
const NOBODY: u64 = u64::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Link {
    published: CachePadded<Published>,
    room: CachePadded<Room>,
    readers: CachePadded<Readers>,
    acks: Acks,
    id: OnceLock<ConnId>,
    tuple: OnceLock<FourTuple>,
    end: OnceLock<Result<(), Error>>,
    /// Times of sends that nobody took in time.
    times_lost: AtomicU64,
}

/// A connection that is to be opened. Should that be dropped before the worker has made it, whoever connects is told.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) link: Arc<Link>,
    pub(crate) worker: u16,
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.link.id().is_none() {
            let acked = Offset::ZERO;
            self.link.close(Err(match self.link.is_aborted() {
                true => Error::Aborted { acked },
                false => Error::WorkerGone { worker: self.worker, acked },
            }));
            self.link.dismiss();
        }
    }
}

/// What the worker tells.
#[derive(Debug, Default)]
struct Published {
    phase: AtomicU8,
    /// The offset before which the application may send.
    grant: AtomicU64,
    sent: AtomicU64,
    acked: AtomicU64,
    reclaimed: AtomicU64,
}

/// Who waits for room to send, or for the connection to open or end.
#[derive(Debug)]
struct Room {
    /// The offset the application has come to; or nobody waits.
    at: AtomicU64,
    /// Bytes it wants room for.
    wanted: AtomicU64,
    waker: AtomicWaker,
}

/// Who waits for something to read.
#[derive(Debug, Default)]
struct Readers {
    waiting: AtomicBool,
    waker: AtomicWaker,
}

/// Who waits for acknowledgements; several may.
#[derive(Debug)]
struct Acks {
    /// The least offset that somebody waits for; or nobody does.
    least: AtomicU64,
    waiting: Mutex<Vec<(Offset, Waker)>>,
}

impl Default for Room {
    fn default() -> Room {
        Room { at: AtomicU64::new(NOBODY), wanted: AtomicU64::new(0), waker: AtomicWaker::new() }
    }
}

impl Default for Acks {
    fn default() -> Acks {
        Acks { least: AtomicU64::new(NOBODY), waiting: Mutex::default() }
    }
}

/// The worker's side.
impl Link {
    /// The worker has it under this name.
    pub(crate) fn name(&self, id: ConnId) {
        // Named once.
        let _ = self.id.set(id);
    }

    /// The handshake is complete.
    pub(crate) fn open(&self, tuple: Option<FourTuple>) {
        if let Some(tuple) = tuple {
            let _ = self.tuple.set(tuple);
        }
        self.published.phase.fetch_or(OPEN, Ordering::Release);
    }

    /// How far the stream has come, and how many bytes behind what was accepted there is room for. The grant is never
    /// taken back: what was granted may be under way already.
    pub(crate) fn publish(&self, marks: Marks, capacity: usize) {
        self.reach(marks);
        let p = &self.published;
        // Release: whoever sees that it passed what is acknowledged sees that the connection is over.
        p.reclaimed.store(marks.reclaimed.0, Ordering::Release);
        let grant = marks.accepted.0 + capacity as u64;
        if grant > p.grant.load(Ordering::Relaxed) {
            p.grant.store(grant, Ordering::Release);
        }
    }

    /// How far the stream has come, apart from what is reclaimed: at the end of a connection that passes what is acknowledged.
    pub(crate) fn reach(&self, marks: Marks) {
        self.published.sent.store(marks.sent.0, Ordering::Relaxed);
        self.published.acked.store(marks.acked.0, Ordering::Relaxed);
    }

    /// Everything there will ever be to read was handed over.
    pub(crate) fn read_out(&self) {
        self.published.phase.fetch_or(READ_OUT, Ordering::Release);
    }

    /// The peer has everything, the end of our direction included.
    pub(crate) fn finished(&self) {
        self.published.phase.fetch_or(FINISHED, Ordering::Release);
    }

    /// It is over. The first reason stays.
    pub(crate) fn close(&self, end: Result<(), Error>) {
        let _ = self.end.set(end);
        self.published.phase.fetch_or(CLOSED, Ordering::Release);
    }

    /// Wakes those whose time has come. Between publishing and this stands a fence, one for all connections of a turn.
    /// False when somebody is just writing down that it waits: then call it again in the next turn, for a worker waits
    /// for nobody.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        let at = self.room.at.load(Ordering::Relaxed);
        if at != NOBODY && (self.is_writable(at, self.room.wanted.load(Ordering::Relaxed)) || self.is_over())
        {
            self.room.at.store(NOBODY, Ordering::Relaxed);
            wake(self.room.waker.take());
        }
        if self.readers.waiting.load(Ordering::Relaxed) {
            self.readers.waiting.store(false, Ordering::Relaxed);
            wake(self.readers.waker.take());
        }
        let acked = if self.is_over() { NOBODY - 1 } else { self.acked().0 };
        self.acks.least.load(Ordering::Relaxed) > acked || self.acks.wake(Offset(acked))
    }

    /// Wakes everybody: it is over, and the worker will not come back to it.
    pub(crate) fn dismiss(&self) {
        fence(Ordering::SeqCst);
        while !self.wake() {
            std::thread::yield_now();
        }
    }

    /// A time of a send found no room.
    pub(crate) fn lose_time(&self) {
        self.times_lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// The application's side.
impl Link {
    pub(crate) fn id(&self) -> Option<ConnId> {
        self.id.get().copied()
    }

    pub(crate) fn times_lost(&self) -> u64 {
        self.times_lost.load(Ordering::Relaxed)
    }

    pub(crate) fn tuple(&self) -> Option<&FourTuple> {
        self.tuple.get()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is(OPEN)
    }

    pub(crate) fn is_read_out(&self) -> bool {
        self.is(READ_OUT)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.is(FINISHED)
    }

    /// How it ended, if it did. It is over for the application as soon as that has aborted it.
    pub(crate) fn end(&self) -> Option<Result<(), Error>> {
        if !self.is(CLOSED | ABORTED) {
            return None;
        }
        // Closed or not: nobody reads the reason before it stands there.
        Some(self.end.get().cloned().unwrap_or_else(|| Err(Error::Aborted { acked: self.acked() })))
    }

    pub(crate) fn acked(&self) -> Offset {
        Offset(self.published.acked.load(Ordering::Relaxed))
    }

    /// How far the stream has come, of which `accepted` bytes were accepted.
    pub(crate) fn marks(&self, accepted: Offset) -> Marks {
        let p = &self.published;
        // Each is at most the one before it when they are read from the last to the first: none goes back.
        let reclaimed = Offset(p.reclaimed.load(Ordering::Acquire));
        let over = self.is(CLOSED);
        let acked = Offset(p.acked.load(Ordering::Acquire));
        let sent = Offset(p.sent.load(Ordering::Acquire));
        // What a connection that ended badly had not delivered comes home all the same.
        let acked = if over { acked } else { acked.max(reclaimed) };
        Marks { accepted, sent: sent.max(acked), acked, reclaimed }
    }

    /// Bytes that may be sent behind `at`.
    pub(crate) fn room(&self, at: Offset) -> u64 {
        self.published.grant.load(Ordering::Acquire).saturating_sub(at.0)
    }

    /// Whether a send of so many bytes behind `at` is taken as a whole: there is room, or nothing is before it.
    pub(crate) fn admits(&self, at: Offset, bytes: u64) -> bool {
        bytes <= self.room(at) || (self.is_open() && self.acked() >= at)
    }

    /// Ready when so many bytes may be sent behind `at`, and a third of the buffer is free (`S4`); or when the connection
    /// is over.
    pub(crate) fn poll_room(&self, at: Offset, bytes: u64, waker: &Waker) -> Poll<()> {
        let ready = || self.is_writable(at.0, bytes) || self.is_over();
        if ready() {
            return Poll::Ready(());
        }
        self.room.waker.register(waker);
        self.room.wanted.store(bytes, Ordering::Relaxed);
        self.room.at.store(at.0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if ready() {
            self.room.at.store(NOBODY, Ordering::Relaxed);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Ready when the handshake is complete, or the connection over.
    pub(crate) fn poll_open(&self, waker: &Waker) -> Poll<()> {
        let ready = || self.is(OPEN | CLOSED);
        if !ready() {
            self.wake_reader(waker);
        }
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has the reader woken when something changes. It looks again after this.
    pub(crate) fn wake_reader(&self, waker: &Waker) {
        self.readers.waker.register(waker);
        self.readers.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Ready when the peer acknowledged everything before `upto`, or the connection is over.
    pub(crate) fn poll_acked(&self, upto: Offset, waker: &Waker) -> Poll<()> {
        let ready = || self.acked() >= upto || self.is_over();
        if ready() {
            return Poll::Ready(());
        }
        self.acks.add(upto, waker);
        fence(Ordering::SeqCst);
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when the connection is over.
    pub(crate) fn poll_over(&self, waker: &Waker) -> Poll<()> {
        // No grant and no acknowledgement comes that far.
        self.poll_room(Offset(NOBODY - 1), 1, waker)
    }

    /// The application aborts it. Who waits is woken when the worker has done so.
    pub(crate) fn abort(&self) {
        self.published.phase.fetch_or(ABORTED, Ordering::Release);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is(ABORTED)
    }

    fn is_over(&self) -> bool {
        self.is(CLOSED | FINISHED)
    }

    fn is(&self, any: u8) -> bool {
        self.published.phase.load(Ordering::Acquire) & any != 0
    }

    fn is_writable(&self, at: u64, bytes: u64) -> bool {
        if !self.is(OPEN) {
            return false;
        }
        let (grant, acked) = (self.published.grant.load(Ordering::Acquire), self.acked().0);
        let free = grant.saturating_sub(at);
        acked >= at || (free >= bytes && free.saturating_mul(3) >= grant.saturating_sub(acked))
    }
}

impl Acks {
    fn add(&self, upto: Offset, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(at, known)| *at != upto || !known.will_wake(waker));
        waiting.push((upto, waker.clone()));
        self.note(&waiting);
    }

    /// False when the list is in use. Each is woken outside of the lock: it may ask for the next ACK at once.
    fn wake(&self, acked: Offset) -> bool {
        loop {
            let mut waiting = match self.waiting.try_lock() {
                Ok(waiting) => waiting,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return false,
            };
            let Some(due) = waiting.iter().position(|(at, _)| *at <= acked) else {
                self.note(&waiting);
                return true;
            };
            let (_, waker) = waiting.swap_remove(due);
            drop(waiting);
            wake(waker);
        }
    }

    fn note(&self, waiting: &[(Offset, Waker)]) {
        let least = waiting.iter().map(|(at, _)| at.0).min();
        self.least.store(least.unwrap_or(NOBODY), Ordering::Relaxed);
    }
}
