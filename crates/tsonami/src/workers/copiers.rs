//! Those who wait for a buffer to copy into, in the order in which they came: one is woken for each that comes home.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use tcp::{Nanos, Time};

use super::wake::wake;

/// After how long without a new buffer the next one is woken for those that lie there: who was woken for them went away.
const GIVEN_UP: Nanos = Nanos::from_millis(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Copiers {
    waiting: Mutex<VecDeque<Waker>>,
    any: AtomicBool,
}

/// What the worker remembers of buffers between its looks at them.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    available: usize,
    woke: Time,
}

impl Copiers {
    /// Has somebody woken when there is a buffer. Whoever waits tries again after this.
    pub(crate) fn add(&self, waker: &Waker) {
        let own = waker.clone();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = waiting.iter().any(|known| known.will_wake(waker));
        if !known {
            waiting.push_back(own);
        }
        self.any.store(true, Ordering::Relaxed);
        drop(waiting);
        // Whoever looks again sees what the worker told before it looked for who waits, or is seen by it.
        fence(Ordering::SeqCst);
    }

    /// Wakes as many as there are buffers that came home since the last look; `available`: how many there are.
    pub(crate) fn serve(&self, watch: &mut Watch, now: Time, available: impl FnOnce() -> usize) {
        if !self.any.load(Ordering::Relaxed) {
            // Whoever comes now has seen that there is none.
            watch.available = 0;
            return;
        }
        for _ in 0..watch.due(available(), now) {
            let Ok(mut waiting) = self.waiting.try_lock() else {
                // Somebody is just writing down that it waits: in the next turn.
                watch.available = 0;
                return;
            };
            let next = waiting.pop_front();
            self.any.store(!waiting.is_empty(), Ordering::Relaxed);
            drop(waiting);
            let Some(next) = next else { return };
            wake(next);
        }
    }

    /// Wakes all: nobody will look after them any more.
    pub(crate) fn dismiss(&self) {
        let due = mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        due.into_iter().for_each(wake);
    }
}

impl Watch {
    /// How many are to be woken.
    fn due(&mut self, available: usize, now: Time) -> usize {
        let fresh = available.saturating_sub(mem::replace(&mut self.available, available));
        let due = if fresh == 0 && available > 0 && now.since(self.woke) >= GIVEN_UP { 1 } else { fresh };
        if due > 0 {
            self.woke = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_is_woken_for_each_buffer_and_another_when_it_does_not_take_it() {
        let (copiers, mut watch) = (Copiers::default(), Watch::default());
        let tasks: Vec<_> = (0..4).map(|_| Arc::new(Count::default())).collect();
        for task in &tasks {
            let waker = Waker::from(task.clone());
            copiers.add(&waker);
            copiers.add(&waker);
        }
        let woken = || tasks.iter().map(|task| task.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut at = Time::from_nanos(1_000_000_000);
        copiers.serve(&mut watch, at, || 0);
        assert_eq!(woken(), [0, 0, 0, 0]);
        copiers.serve(&mut watch, at, || 1);
        copiers.serve(&mut watch, at, || 1);
        assert_eq!(woken(), [1, 0, 0, 0], "one buffer");
        // It was taken, and two came home.
        copiers.serve(&mut watch, at, || 0);
        copiers.serve(&mut watch, at, || 2);
        assert_eq!(woken(), [1, 1, 1, 0]);
        // One of those went away without its buffer.
        copiers.serve(&mut watch, at, || 1);
        at += GIVEN_UP;
        copiers.serve(&mut watch, at, || 1);
        assert_eq!(woken(), [1, 1, 1, 1]);
        copiers.serve(&mut watch, at, || unreachable!("nobody waits"));
        // Who comes when buffers lie there already is woken too.
        copiers.add(&Waker::from(tasks[0].clone()));
        copiers.serve(&mut watch, at, || 1);
        assert_eq!(woken(), [2, 1, 1, 1]);
        copiers.add(&Waker::from(tasks[3].clone()));
        copiers.dismiss();
        assert_eq!(woken(), [2, 1, 1, 2]);
    }
}
