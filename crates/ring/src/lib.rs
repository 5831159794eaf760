//! What stands between an application's thread and a worker's.
//!
//! A [`ring`](fn@ring) carries values from one thread to one other, in order; a [`Bell`] wakes the thread at its far end
//! when that has gone to sleep, and costs a fence when it has not. Nothing here waits, and nothing here allocates once it
//! is made, but a [`late_ring`] for its first value.
//!
//! ```
//! use std::time::Duration;
//!
//! let (mut to_worker, mut from_app) = ring::ring(64);
//! let (bell_out, bell_in) = std::sync::mpsc::channel();
//! let worker = std::thread::spawn(move || {
//!     let sleeper = ring::Sleeper::new();
//!     bell_out.send(sleeper.bell()).unwrap();
//!     let mut sum = 0;
//!     while !from_app.is_abandoned() {
//!         sum += from_app.take(32).sum::<u32>();
//!         // What it is rung for: values, or that no more come.
//!         sleeper.rest(Duration::from_secs(1), || from_app.is_empty() && !from_app.is_abandoned());
//!     }
//!     sum
//! });
//! let bell = bell_in.recv().unwrap();
//! let mut batch = to_worker.batch();
//! for i in 1..=10 {
//!     batch.push(i).unwrap();
//! }
//! drop(batch);
//! bell.ring();
//! drop(to_worker);
//! bell.ring();
//! assert_eq!(worker.join().unwrap(), 55);
//! ```

mod bell;
mod spsc;
mod sync;

pub use bell::{Bell, Sleeper};
pub use spsc::{Batch, Consumer, LATE_RING, Producer, Take, late_ring, ring};
