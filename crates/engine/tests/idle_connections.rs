//! What an established connection that does nothing costs: bytes, each counted by the allocator, and no time at all.
//! One test per file: EAL starts once per process, and the allocator counts for all of it.

use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr};

use dpdk::{Eal, EalConfig};
use engine::nic::memory::{MemoryConfig, MemoryNic};
use engine::{Engine, EngineConfig, EngineEvent, Secrets};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tcp::conn::ConnConfig;
use tcp::{Event, Nanos, Time};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes on the heap.
fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Connections opened at a time: what arrives is lost where the pretended receive ring is full.
const BATCH: usize = 1000;

/// What an idle connection may cost, all told (`performance.md`, P7).
const MOST: usize = 1024;

struct Opened {
    engine: Engine<MemoryNic>,
    now: Time,
    established: usize,
}

impl Opened {
    fn poll(&mut self) {
        self.now += Nanos::from_micros(20);
        self.engine.poll(self.now);
        while let Some((_, event)) = self.engine.poll_event() {
            assert_eq!(event, EngineEvent::Conn(Event::Connected));
            self.established += 1;
        }
    }

    /// Opens more, until there are `n`.
    fn open(&mut self, n: usize, cfg: &ConnConfig) {
        while self.established < n {
            for i in self.established..(self.established + BATCH).min(n) {
                // Sixteen hosts with a port for each thousand connections.
                let host = Ipv4Addr::new(198, 18, 0, 1 + (i % 16) as u8);
                let remote = SocketAddr::from((host, 1000 + (i / 16 / 1000) as u16));
                self.engine.connect(self.now, remote, cfg).expect("room for one more");
            }
            let goal = (self.established + BATCH).min(n);
            for turn in 0.. {
                assert!(turn < 10_000, "{} of {goal} are established", self.established);
                self.poll();
                if self.established == goal {
                    break;
                }
            }
        }
        // Whoever may be folded is.
        for _ in 0..100_000 {
            self.now += Nanos::from_micros(20);
            if !self.engine.poll(self.now).more {
                return;
            }
        }
        panic!("there is always more to do");
    }
}

#[test]
fn an_idle_connection_costs_less_than_a_kilobyte_and_no_time() {
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(128),
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let nic = MemoryNic::new(&eal, &MemoryConfig::default()).expect("enough memory");
    let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
    let max = 100_000;
    let mut cfg = EngineConfig::new(Ipv4Addr::new(198, 18, 1, 1), 16, secrets);
    cfg.max_connections = max as u32;
    let working_set = cfg.working_set as usize;
    let bare = heap();
    let engine = Engine::new(nic, cfg).expect("the configuration is sound");
    let mut all = Opened { engine, now: Time::ZERO + Nanos::from_millis(1), established: 0 };
    let made = heap();
    let conn = ConnConfig::default();
    let mut steps = vec![(0, made)];
    for n in [working_set, max / 4, max / 2, max] {
        all.open(n, &conn);
        steps.push((n, heap()));
    }

    println!("an engine for {max} connections, none open: {} bytes for each", (made - bare) / max);
    println!("{:>11} {:>14} {:>15} {:>15}", "connections", "heap bytes", "each, all told", "each more");
    for pair in steps.windows(2) {
        let [(before, had), (n, has)] = pair else { unreachable!() };
        println!("{n:>11} {has:>14} {:>15} {:>15}", (has - bare) / n, (has - had) / (n - before));
    }
    let all_told = (heap() - bare) / max;
    assert!(all_told <= MOST, "an idle connection costs {all_told} bytes, more than {MOST}");

    // Nothing is due for any of them: what is left are the neighbours, who are asked now and then whether they are there.
    let neighbours = all.engine.next_deadline().expect("there are neighbours");
    assert!(neighbours > all.now + Nanos::from_secs(1), "something is due at {neighbours:?}");
    let (fired, busy) = {
        let c = all.engine.counters();
        (c.timers_fired + c.timers_moved, c.iterations_busy)
    };
    let (allocations, until) = (HEAP.stats().allocations, all.now + Nanos::from_millis(900));
    while all.now < until {
        all.poll();
    }
    let c = all.engine.counters();
    assert_eq!(
        (c.timers_fired + c.timers_moved, c.iterations_busy),
        (fired, busy),
        "no timer, nothing to do"
    );
    assert_eq!(HEAP.stats().allocations, allocations, "nothing was allocated");
}
