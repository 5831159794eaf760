//! How long a value takes from one thread to another that sleeps, and to one that looks all the time.
//!
//!     cargo run --release -p tsonami-ring --example wake [ROUNDS]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two values, so that the other thread is asleep again.
const PAUSE: Duration = Duration::from_micros(200);

fn main() {
    let rounds = std::env::args().nth(1).map_or(10_000, |text| text.parse().expect("a number of rounds"));
    for sleeps in [true, false] {
        let (mut times, woken) = measure(rounds, sleeps);
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "{}: median {:?}, 99 % {:?}, 99.9 % {:?} of {rounds}; woken by a system call {woken} times",
            if sleeps { "asleep" } else { "awake" },
            at(0.5),
            at(0.99),
            at(0.999),
        );
    }
}

/// How long each value took, and how often the bell had to wake.
fn measure(rounds: usize, sleeps: bool) -> (Vec<Duration>, usize) {
    let (mut values, mut inbox) = ring::ring::<Instant>(64);
    let (bells, bell) = mpsc::channel();
    let worker = thread::spawn(move || {
        let sleeper = ring::Sleeper::new();
        bells.send(sleeper.bell()).expect("somebody waits for it");
        let mut times = Vec::with_capacity(rounds);
        while times.len() < rounds {
            match inbox.pop() {
                Some(left) => times.push(left.elapsed()),
                None if sleeps => sleeper.rest(Duration::from_secs(1), || inbox.is_empty()),
                None => std::hint::spin_loop(),
            }
        }
        times
    });
    let bell = bell.recv().expect("a bell");
    let mut woken = 0;
    for _ in 0..rounds {
        thread::sleep(PAUSE);
        while values.push(Instant::now()).is_err() {
            thread::yield_now();
        }
        woken += usize::from(bell.ring());
    }
    (worker.join().expect("it got them all"), woken)
}
