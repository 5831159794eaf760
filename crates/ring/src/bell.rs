//! Waking a thread that looks at rings when it has gone to sleep.
//!
//! The one who fills a ring and the one who goes to sleep each write first and look second: the former fills, then looks
//! whether anybody sleeps; the latter says that it sleeps, then looks whether anything came. Between writing and looking
//! stands a fence that is the same for all threads, so at least one of them sees what the other wrote: nobody sleeps over
//! a full ring.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicBool, Ordering, Thread, current, fence, park};

struct Shared {
    /// The sleeper sleeps, or is about to.
    asleep: CachePadded<AtomicBool>,
    sleeper: Thread,
    /// How often a bell woke it. The standard library's, always: nothing depends on it, so loom need not try its orders.
    woken: std::sync::atomic::AtomicUsize,
}

/// The thread that may be woken; it stays that thread's.
pub struct Sleeper {
    shared: Arc<Shared>,
    _not_send: PhantomData<*mut ()>,
}

/// Wakes a [`Sleeper`].
#[derive(Clone)]
pub struct Bell {
    shared: Arc<Shared>,
}

impl Sleeper {
    /// The calling thread.
    pub fn new() -> Sleeper {
        let asleep = CachePadded::new(AtomicBool::new(false));
        let shared = Shared { asleep, sleeper: current(), woken: Default::default() };
        Sleeper { shared: Arc::new(shared), _not_send: PhantomData }
    }

    /// A bell that wakes it.
    pub fn bell(&self) -> Bell {
        Bell { shared: self.shared.clone() }
    }

    /// How often it was woken, each time by a system call.
    pub fn woken(&self) -> usize {
        self.shared.woken.load(Ordering::Relaxed)
    }

    /// Sleeps until somebody rings, for this long at most, or not at all when `idle` finds that there is something to do;
    /// it is asked when those who come later will ring. May return early for no reason.
    pub fn rest(&self, at_most: Duration, idle: impl FnOnce() -> bool) {
        // Exchanged and not stored: a bell's exchange and this stand in one order, for loom too.
        self.shared.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if idle() {
            park(at_most);
        }
        self.shared.asleep.swap(false, Ordering::AcqRel);
    }
}

impl Default for Sleeper {
    fn default() -> Sleeper {
        Sleeper::new()
    }
}

impl Bell {
    /// Call it after something was put where the sleeper looks. A fence and a load while it is awake; whether it had to be
    /// woken, which takes a system call, is returned.
    #[inline]
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        if !self.shared.asleep.load(Ordering::Relaxed) {
            return false;
        }
        self.wake()
    }

    #[cold]
    fn wake(&self) -> bool {
        // Of several at the same time one wakes it.
        let asleep = self.shared.asleep.swap(false, Ordering::AcqRel);
        if asleep {
            self.shared.woken.fetch_add(1, Ordering::Relaxed);
            self.shared.sleeper.unpark();
        }
        asleep
    }
}

impl fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleeper").finish_non_exhaustive()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("asleep", &self.shared.asleep.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_bell_beside_somebody_awake_wakes_nobody() {
        let sleeper = Sleeper::new();
        let bell = sleeper.bell();
        assert!((0..100_000).all(|_| !bell.ring()));
        assert_eq!(sleeper.woken(), 0, "not one system call");
    }

    #[test]
    fn nobody_sleeps_who_has_something_to_do() {
        let sleeper = Sleeper::new();
        let begin = Instant::now();
        sleeper.rest(Duration::from_secs(60), || false);
        assert!(begin.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_sleeper_is_woken_however_long_it_wanted_to_sleep() {
        let (mut tx, mut rx) = crate::ring(8);
        let (bells, bell) = std::sync::mpsc::channel();
        let sleeping = std::thread::spawn(move || {
            let sleeper = Sleeper::new();
            bells.send(sleeper.bell()).expect("somebody wants to ring");
            let mut taken = 0;
            while taken < 1_000 {
                match rx.take(8).count() {
                    0 => sleeper.rest(Duration::from_secs(3_600), || rx.is_empty()),
                    n => taken += n,
                }
            }
            sleeper.woken()
        });
        let bell = bell.recv().expect("a bell");
        let mut woke = 0;
        for i in 0..1_000 {
            while tx.push(i).is_err() {
                std::thread::yield_now();
            }
            woke += usize::from(bell.ring());
        }
        let woken = sleeping.join().expect("it was woken each time");
        assert!(woken <= woke && woke <= woken + 1, "all but the last are counted: {woken} of {woke}");
    }
}
