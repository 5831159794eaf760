//! A paced transfer goes exactly at its rate (`S25`), through the whole engine, whatever the loop's period and the round
//! trip.

use std::fs;

use sim::{Scenario, World};
use tcp::{Nanos, Rate};

/// Headers in front of the payload: Ethernet, IPv4, TCP with timestamps.
const HEADERS: u64 = 14 + 20 + 32;

/// Sends for `seconds` and yields the rate at which payload left in the later half, bits per second.
fn rate(bps: u64, seconds: u64, loop_time: Nanos, delay: Nanos) -> f64 {
    let mut scenario = Scenario::plain(bps / 8 * seconds);
    for (host, path) in scenario.hosts.iter_mut().zip(&mut scenario.paths) {
        host.conn.max_pacing_rate = Some(Rate::from_bps(bps));
        host.loop_time = loop_time;
        path.rate = 10_000_000_000;
        path.delay = delay;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(scenario);
    world.capture(&folder.path().join("paced")).expect("a capture");
    if let Err(failure) = world.run() {
        panic!("{bps} bit/s, loop of {loop_time}, delay of {delay}: {failure}");
    }
    let pcap = fs::read(folder.path().join("paced-0.pcap")).expect("the capture");
    let sent = payload(&pcap);
    let sent = &sent[sent.len() / 2..];
    let (first, last) = (sent.first().expect("frames"), sent.last().expect("frames"));
    // What left after the first of them, in the time since.
    let bytes: u64 = sent.iter().skip_while(|frame| frame.0 == first.0).map(|frame| frame.1).sum();
    bytes as f64 * 8e9 / (last.0 - first.0) as f64
}

/// When frames with payload passed, nanoseconds, and how much each carried.
fn payload(pcap: &[u8]) -> Vec<(u64, u64)> {
    let word = |at: usize| u64::from(u32::from_ne_bytes(pcap[at..at + 4].try_into().expect("four bytes")));
    let unit = if word(0) == 0xa1b2_3c4d { 1 } else { 1_000 };
    let (mut at, mut frames) = (24, Vec::new());
    while at + 16 <= pcap.len() {
        let (time, captured, whole) =
            (word(at) * 1_000_000_000 + word(at + 4) * unit, word(at + 8), word(at + 12));
        if whole > HEADERS + 20 {
            frames.push((time, whole - HEADERS));
        }
        at += 16 + captured as usize;
    }
    frames
}

#[test]
fn s25_a_transfer_goes_at_its_rate() {
    let us = Nanos::from_micros;
    for (bps, seconds, loop_time, delay) in [
        (10_000_000, 10, us(0), us(1_000)),
        (10_000_000, 10, us(2_000), us(1_000)),
        (10_000_000, 10, us(20), us(50_000)),
        (33_333_336, 4, us(500), us(100)),
        (1_000_000_000, 1, us(20), us(1_000)),
        (1_000_000_000, 1, us(0), us(10)),
    ] {
        let off = rate(bps, seconds, loop_time, delay) / bps as f64 - 1.0;
        assert!(
            off.abs() <= 0.001,
            "{bps} bit/s, loop of {loop_time}, delay of {delay}: {:+.4} % off",
            off * 100.0
        );
    }
}
