//! Two threads, one world, virtual time.
//!
//! packetdrill's main thread runs the script; calls that are expected to block run in a second one, which also waits
//! until it is time for the call. Time moves only when one of them waits for it: in `usleep`, in a loop that asks for
//! the time, and where a packet is expected. Before it moves, a call that blocks and whose condition
//! may have come true must look again, and if it is done, ask for the time once more, since packetdrill notes the end
//! of a blocking call so. Otherwise the end would be as late as the next thing the main thread waits for.

use core::task::Poll;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tcp::{Nanos, Time};

use crate::world::World;

/// Longest that a script may wait for a packet, virtual time.
const PATIENCE: Nanos = Nanos::from_secs(700);

/// Real time in which the other thread must have looked: it only has to be scheduled.
const HAND_SHAKE: Duration = Duration::from_secs(20);

/// Exit code when a script cannot go on.
const DEAD_END: i32 = 3;

/// What the threads share.
pub(crate) struct Stage {
    inner: Mutex<Inner>,
    /// Something happened.
    changed: Condvar,
    /// The waiter looked, or told the end of its call.
    settled: Condvar,
    main: ThreadId,
}

struct Inner {
    world: World,
    /// Counts what happened.
    events: u64,
    waiter: Option<Waiter>,
    /// A call returned in the second thread, which did not ask for the time yet.
    unstamped: bool,
}

/// A call that waits in the second thread.
#[derive(Copy, Clone)]
struct Waiter {
    /// `events` when it looked last.
    seen: u64,
    /// It ends then whatever happens.
    deadline: Option<Time>,
}

impl Stage {
    /// The calling thread is the main one.
    pub(crate) fn new(world: World) -> Stage {
        let inner = Inner { world, events: 0, waiter: None, unstamped: false };
        Stage {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            settled: Condvar::new(),
            main: thread::current().id(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_main(&self) -> bool {
        thread::current().id() == self.main
    }

    /// Something happened.
    fn announce(&self, inner: &mut Inner) {
        inner.events += 1;
        self.changed.notify_all();
    }

    /// A call that never waits.
    pub(crate) fn run<T>(&self, call: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.lock();
        let result = call(&mut inner.world);
        if self.is_main() {
            self.announce(&mut inner);
        } else {
            inner.unstamped = true;
        }
        result
    }

    /// A call that waits until it is ready, or `deadline`, or not at all when that is past. `None` when it is not
    /// ready by then.
    pub(crate) fn wait<T>(
        &self,
        deadline: Option<Time>,
        mut call: impl FnMut(&mut World) -> Poll<T>,
    ) -> Option<T> {
        let mut inner = self.lock();
        let result = loop {
            if let Poll::Ready(result) = call(&mut inner.world) {
                break Some(result);
            }
            if deadline.is_some_and(|at| at <= inner.world.now) {
                break None;
            }
            if self.is_main() {
                // Nobody else is there to do anything: only time can help.
                let Some(next) = inner.next_deadline().into_iter().chain(deadline).min() else {
                    dead_end("a call waits for what never happens: give it a range of time, as in +0...0.1");
                };
                inner.world.advance(next);
            } else {
                inner.waiter = Some(Waiter { seen: inner.events, deadline });
                inner.unstamped = false;
                self.settled.notify_all();
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
        };
        if self.is_main() {
            self.announce(&mut inner);
        } else {
            inner.waiter = None;
            inner.unstamped = true;
            self.settled.notify_all();
        }
        result
    }

    /// The time. Asking takes a microsecond, since packetdrill waits for the last few of them in a loop.
    pub(crate) fn time(&self) -> Time {
        let mut inner = self.lock();
        if inner.unstamped && !self.is_main() {
            inner.unstamped = false;
            self.settled.notify_all();
        } else {
            let to = inner.world.now + Nanos::from_micros(1);
            inner = self.advance(inner, to);
        }
        inner.world.now
    }

    /// Time passes.
    pub(crate) fn sleep(&self, time: Nanos) {
        let inner = self.lock();
        let to = inner.world.now + time;
        drop(self.advance(inner, to));
    }

    /// The next packet that leaves, and when it did: time passes until there is one.
    pub(crate) fn next_packet(&self) -> (Time, Vec<u8>) {
        let mut inner = self.settle(self.lock());
        let begin = inner.world.now;
        loop {
            if let Some(sent) = inner.world.pop_sent() {
                return sent;
            }
            match inner.next_deadline() {
                Some(at) if at.since(begin) <= PATIENCE => inner = self.advance(inner, at),
                _ => dead_end("a packet is expected, and none will ever leave"),
            }
        }
    }

    /// Time passes until `to`, one event after the other, and the waiter sees each at its time.
    fn advance<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, to: Time) -> MutexGuard<'a, Inner> {
        while let Some(at) = inner.next_deadline().filter(|&at| at <= to) {
            inner = self.settle(inner);
            // The waiter may have changed what is next.
            let at = inner.next_deadline().map_or(at, |next| next.min(at)).max(inner.world.now);
            inner.world.advance(at);
            self.announce(&mut inner);
        }
        if to > inner.world.now + Nanos::from_micros(1) {
            inner = self.settle(inner);
        }
        inner.world.advance(to);
        inner
    }

    /// Lets the waiter look at what happened, and tell when its call ended.
    fn settle<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        while inner.unstamped || inner.waiter.is_some_and(|w| w.seen < inner.events) {
            let (guard, timeout) =
                self.settled.wait_timeout(inner, HAND_SHAKE).unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if timeout.timed_out() {
                dead_end("the thread of blocking calls does not answer");
            }
        }
        inner
    }
}

impl Inner {
    /// When something happens by itself.
    fn next_deadline(&self) -> Option<Time> {
        let waiter = self.waiter.and_then(|w| w.deadline).filter(|&at| at > self.world.now);
        self.world.next_deadline().into_iter().chain(waiter).min()
    }
}

/// The script cannot go on.
fn dead_end(why: &str) -> ! {
    eprintln!("tsonami: {why}");
    std::process::exit(DEAD_END);
}
