//! What TSO autosizing and pacing make of a port (`S22`, `S25`): how long bursts are, how exactly they are spaced, and for
//! how much of the time the port has something to send. Virtual time, so the figures are the same everywhere.
//!
//! `cargo test --profile checked -p tsonami-sim --test bursts -- --nocapture` prints them.

use std::fs;

use sim::{QueueConfig, Scenario, World};
use tcp::{Nanos, Rate, Time};

/// Headers in front of the payload: Ethernet, IPv4, TCP with timestamps.
const HEADERS: u64 = 14 + 20 + 32;
/// Bits per second of the port.
const PORT: u64 = 400_000_000_000;

/// A run of frames that the port put onto the wire one behind the other.
#[derive(Copy, Clone, Debug)]
struct Burst {
    /// When it began, nanoseconds.
    at: u64,
    /// Payload.
    bytes: u64,
    /// How long the port was at it.
    busy: u64,
}

/// What one transfer did.
#[derive(Debug)]
struct Figures {
    /// Payload bytes: the shortest burst, the median, the longest.
    bytes: [u64; 3],
    /// By how much the distance of two bursts differs from the time that the first has at the rate, nanoseconds: the
    /// median, and the most.
    error: [u64; 2],
    /// The share of the time in which the port's ring holds something.
    occupied: f64,
    /// The rate, as a part of what was asked for.
    rate: f64,
}

/// A transfer at this rate over that round trip, after the start is over.
fn measure(gigabits: u64, rtt: Nanos, autosize: Nanos, loop_time: Nanos) -> Figures {
    let bps = gigabits * 1_000_000_000;
    // 2500 full segments, and at least two round trips.
    let time = Nanos::from_nanos(2_500 * 1_448 * 8 * 1_000_000_000 / bps).max(rtt * 2);
    let start = Nanos::from_millis(5) + rtt * 15;
    let mut scenario = Scenario::plain(u64::MAX / 4);
    for (host, path) in scenario.hosts.iter_mut().zip(&mut scenario.paths) {
        (host.conn.max_pacing_rate, host.conn.autosize) = (Some(Rate::from_bps(bps)), autosize);
        (host.conn.receive_buffer, host.conn.send_buffer_max) = (64 << 20, 128 << 20);
        (host.nic_rate, host.nic.limits.link_bps) = (PORT, Some(PORT));
        host.nic.rx_ring = 65_536;
        host.loop_time = loop_time;
        (path.rate, path.delay, path.queue) = (PORT, rtt / 2, QueueConfig::frames(100_000));
    }
    scenario.hosts[1].loop_time = Nanos::ZERO;
    scenario.conns[0].plans[0].chunk = (1 << 20, 1 << 20);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, begin) = (folder.path().join("paced"), Time::ZERO + start);
    let mut world = World::new(scenario).unobserved();
    let run = world.run_until(begin).and_then(|()| {
        world.capture_at(0, &file).expect("a capture");
        world.run_until(begin + time).and_then(|()| world.end())
    });
    if let Err(failure) = run {
        panic!("{bps} bit/s, {rtt}, loop of {loop_time}: {failure}");
    }
    figures(bps, &bursts(&fs::read(&file).expect("the capture")))
}

/// The bursts of a capture, without the first and the last, which it may have cut.
fn bursts(pcap: &[u8]) -> Vec<Burst> {
    let word = |at: usize| u64::from(u32::from_ne_bytes(pcap[at..at + 4].try_into().expect("four bytes")));
    let unit = if word(0) == 0xa1b2_3c4d { 1 } else { 1_000 };
    let (mut at, mut bursts): (usize, Vec<Burst>) = (24, Vec::new());
    while at + 16 <= pcap.len() {
        let (time, whole) = (word(at) * 1_000_000_000 + word(at + 4) * unit, word(at + 12));
        at += 16 + word(at + 8) as usize;
        // Preamble, check sequence and gap take 24 bytes more.
        let takes = (whole + 24) * 8 * 1_000_000_000 / PORT;
        match bursts.last_mut() {
            _ if whole <= HEADERS => {}
            // The clock counts whole nanoseconds.
            Some(last) if time <= last.at + last.busy + last.bytes / 1_000 + 1 => {
                (last.bytes, last.busy) = (last.bytes + whole - HEADERS, time + takes - last.at);
            }
            _ => bursts.push(Burst { at: time, bytes: whole - HEADERS, busy: takes }),
        }
    }
    bursts[1..bursts.len() - 1].to_vec()
}

fn figures(bps: u64, bursts: &[Burst]) -> Figures {
    let (first, last) = (bursts[0], bursts[bursts.len() - 1]);
    let time = (last.at - first.at) as f64;
    let before = &bursts[..bursts.len() - 1];
    let mut bytes: Vec<u64> = bursts.iter().map(|burst| burst.bytes).collect();
    let mut error: Vec<u64> = bursts
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).abs_diff(pair[0].bytes * 8 * 1_000_000_000 / bps))
        .collect();
    bytes.sort_unstable();
    error.sort_unstable();
    Figures {
        bytes: [bytes[0], bytes[bytes.len() / 2], bytes[bytes.len() - 1]],
        error: [error[error.len() / 2], error[error.len() - 1]],
        occupied: before.iter().map(|burst| burst.busy).sum::<u64>() as f64 / time,
        rate: before.iter().map(|burst| burst.bytes).sum::<u64>() as f64 * 8e9 / time / bps as f64,
    }
}

/// A tick of the timer wheel: what waits for a moment leaves up to so much later.
const TICK: u64 = 2_048;

#[test]
fn s22_s25_bursts_spacing_and_the_ports_occupancy_at_1_10_and_100_gigabits() {
    let us = Nanos::from_micros;
    let (millisecond, short, large) = (us(1_000), us(100), 63_712);
    println!(
        "Gbit/s\tRTT\tautosize\tloop\tburst bytes: least, median, most\tspacing error, ns: median, most\tport occupied, %\trate, %"
    );
    for (gigabits, rtt, autosize, loop_time, bytes) in [
        // 100 µs of the rate at least: 12.5 KB, 8 segments.
        (1, short, millisecond, us(0), 11_584),
        // An eighth of the round trip: 10 segments.
        (1, millisecond, millisecond, us(0), 14_480),
        (1, short, millisecond, us(2), 11_584),
        (1, short, millisecond, us(20), 11_584),
        // As much as a device segments at once.
        (10, short, millisecond, us(0), large),
        (10, millisecond, millisecond, us(0), large),
        (10, millisecond, us(10), us(0), 11_584),
        (10, short, millisecond, us(2), large),
        (10, short, millisecond, us(20), large),
        (100, short, millisecond, us(0), large),
        (100, millisecond, millisecond, us(0), large),
        (100, short, millisecond, us(2), large),
        // Three or four of them in each turn: 250 KB pass while the loop is elsewhere.
        (100, short, millisecond, us(20), 4 * large),
    ] {
        let f = measure(gigabits, rtt, autosize, loop_time);
        let what = format!("{gigabits}\t{rtt}\t{autosize}\t{loop_time}");
        println!("{what}\t{:?}\t{:?}\t{:.3}\t{:.3}", f.bytes, f.error, f.occupied * 100.0, f.rate * 100.0);
        let least = if bytes == 4 * large { 3 * large } else { bytes };
        assert_eq!(f.bytes, [least, bytes, bytes], "{what}");
        assert!(f.error[1] <= TICK + loop_time.as_nanos(), "{what}: {f:?}");
        assert!((f.rate - 1.0).abs() <= 0.005, "{what}: {f:?}");
        // The wire's share, and no more: the port is idle between two bursts.
        let share = gigabits as f64 * 1e9 / PORT as f64 * 1_538.0 / 1_448.0 * f.rate;
        assert!((f.occupied / share - 1.0).abs() <= 0.03, "{what}: {f:?}, not {share}");
    }
}
