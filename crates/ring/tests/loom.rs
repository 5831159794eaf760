//! Every interleaving of two threads over a short run. `RUSTFLAGS="--cfg loom" cargo test -p tsonami-ring --test loom`
#![cfg(loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::mpsc;
use loom::thread;

/// Runs `f` in every interleaving with at most three switches that nobody had to make: loom's own advice, as nearly all
/// faults show with fewer.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// More values than places, which are made for the first, in a batch and one by one, taken in a batch and one by one: each arrives once, in order.
#[test]
fn values_arrive_once_and_in_order() {
    model(|| {
        let (mut tx, mut rx) = ring::late_ring(2);
        let producer = thread::spawn(move || {
            let mut batch = tx.batch();
            assert_eq!((batch.push(0), batch.push(1)), (Ok(()), Ok(())));
            drop(batch);
            let mut next = 2;
            while next < 3 {
                match tx.push(next) {
                    Ok(()) => next += 1,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        let mut next = 0;
        while next < 3 {
            let before = next;
            for value in rx.take(2) {
                assert_eq!(value, next);
                next += 1;
            }
            if next == before {
                thread::yield_now();
            }
        }
        assert_eq!(rx.pop(), None);
        producer.join().unwrap();
        assert!(rx.is_abandoned());
    });
}

/// Whatever side goes first: each value is dropped once.
#[test]
fn values_are_dropped_once_whoever_leaves_first() {
    model(|| {
        let value = Arc::new(());
        let (mut tx, mut rx) = ring::ring(2);
        let its = value.clone();
        let producer = thread::spawn(move || {
            let _ = tx.push(its.clone());
            let _ = tx.push(its);
        });
        drop(rx.pop());
        drop(rx);
        producer.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// Nobody sleeps over a full ring: without the bell, or with one that looks too early, loom finds the sleeper asleep for
/// ever.
#[test]
fn whoever_sleeps_is_woken() {
    model(|| {
        let (mut tx, mut rx) = ring::ring(2);
        let (bells, bell) = mpsc::channel();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let sleeping = thread::spawn(move || {
            let sleeper = ring::Sleeper::new();
            bells.send(sleeper.bell()).unwrap();
            while count.load(Ordering::Relaxed) < 2 {
                let n = rx.take(2).count();
                count.fetch_add(n, Ordering::Relaxed);
                if n == 0 {
                    sleeper.rest(Duration::MAX, || rx.is_empty());
                }
            }
        });
        let bell = bell.recv().unwrap();
        for i in 0..2 {
            tx.push(i).unwrap();
            bell.ring();
        }
        sleeping.join().unwrap();
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    });
}

/// Two who ring: neither's work is slept over.
#[test]
fn whoever_sleeps_is_woken_by_either_of_two() {
    model(|| {
        let sleeper = ring::Sleeper::new();
        let (mut a, mut from_a) = ring::ring(1);
        let (mut b, mut from_b) = ring::ring(1);
        let others = [sleeper.bell(), sleeper.bell()];
        let [bell_a, bell_b] = others;
        let one = thread::spawn(move || {
            a.push(()).unwrap();
            bell_a.ring();
        });
        let two = thread::spawn(move || {
            b.push(()).unwrap();
            bell_b.ring();
        });
        let mut taken = 0;
        while taken < 2 {
            taken += from_a.take(1).count() + from_b.take(1).count();
            if taken < 2 {
                sleeper.rest(Duration::MAX, || from_a.is_empty() && from_b.is_empty());
            }
        }
        one.join().unwrap();
        two.join().unwrap();
    });
}
