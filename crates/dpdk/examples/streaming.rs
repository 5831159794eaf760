//! When a streaming copy pays (`S13`): what it costs beside an ordinary one, and what either leaves of the cache.
//!
//!     streaming [SECONDS]
//!
//! Copies of several sizes go through buffers of 64 KiB, as copying sends do: one that is used again and again, as where the
//! device is done at once, or up to 1024 in turn, as where 64 MiB are in flight. Between copies a working set of 256 KiB is
//! read, as an application's would be. Prints nanoseconds per KiB copied and per KiB of the working set read: ordinary and
//! streaming copies take turns, five times; medians of all.

use std::hint::black_box;
use std::time::{Duration, Instant};

const BUFFER: usize = 65_536;
const WORKING_SET: usize = 256 << 10;
const TURNS: usize = 5;

/// Nanoseconds of each copy, and of each read of the working set after it.
#[derive(Default)]
struct Times {
    copies: Vec<u64>,
    reads: Vec<u64>,
}

impl Times {
    fn turn(
        &mut self,
        copy: fn(&[u8], &mut [u8]),
        source: &[u8],
        target: &mut [u8],
        set: &[u64],
        length: Duration,
    ) {
        let (start, mut at) = (Instant::now(), 0);
        while start.elapsed() < length {
            let before = Instant::now();
            for part in source.chunks(BUFFER) {
                copy(part, &mut target[at..]);
                at = (at + BUFFER) % target.len();
            }
            let between = Instant::now();
            black_box(set.iter().fold(0, |sum: u64, &word| sum.wrapping_add(word)));
            self.copies.push((between - before).as_nanos() as u64);
            self.reads.push(between.elapsed().as_nanos() as u64);
        }
    }
}

/// The median, which does not mind that somebody else had the core now and then; per KiB of `bytes`.
fn per_kib(times: &mut [u64], bytes: usize) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64 * 1024.0 / bytes as f64
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20.0);
    let sizes = [1_448, 4_096, 65_536, 1 << 20];
    let counts = [1, 16, 64, 256, 1024];
    let turn_length = Duration::from_secs_f64(seconds / (sizes.len() * counts.len() * 2 * TURNS) as f64);
    let ordinary: fn(&[u8], &mut [u8]) = |from, to| to[..from.len()].copy_from_slice(from);
    let set = vec![1u64; WORKING_SET / 8];
    println!("   bytes  buffers  copy ns/KiB  streaming  then reading ns/KiB  streaming");
    for size in sizes {
        let source: Vec<u8> = (0..size).map(|i| (i * 31) as u8).collect();
        for buffers in counts {
            let mut target = vec![1u8; buffers * BUFFER];
            let mut times: [Times; 2] = Default::default();
            for _ in 0..TURNS {
                for (copy, times) in [ordinary, dpdk::copy_streaming].into_iter().zip(&mut times) {
                    times.turn(copy, &source, &mut target, &set, turn_length);
                }
            }
            let [o, s] = &mut times;
            println!(
                "{size:8}  {buffers:7}  {:11.1}  {:9.1}  {:19.1}  {:9.1}",
                per_kib(&mut o.copies, size),
                per_kib(&mut s.copies, size),
                per_kib(&mut o.reads, WORKING_SET),
                per_kib(&mut s.reads, WORKING_SET)
            );
        }
    }
}
