//! Two flows of one controller share a bottleneck fairly (`S41`), through the whole engine, the second of them late.

use std::fs;

use sim::{Discipline, QueueConfig, Scenario, World};
use tcp::conn::EcnMode;
use tcp::conn::cc::ControllerKind;
use tcp::{Nanos, Rate, Time};

/// Bits per second of the bottleneck, and its round trip: 40 KB are under way when it is full.
const RATE: u64 = 8_000_000;
const ONE_WAY: Nanos = Nanos::from_millis(20);
const BDP: usize = 40_000;

/// Where the ports are, with Ethernet and IPv4 in front, and how long all headers are without options.
const PORTS: usize = 14 + 20;
const HEADERS: u64 = 14 + 20 + 20;

/// What two flows of `controller` got while both were sending, but for the first `settle`; both send `bytes`, the second
/// begins a second later.
fn shares(controller: ControllerKind, discipline: Discipline, bytes: u64, settle: Nanos) -> [u64; 2] {
    let mut scenario = Scenario::plain(bytes);
    for (host, path) in scenario.hosts.iter_mut().zip(&mut scenario.paths) {
        host.conn.controller = controller;
        host.conn.ecn = EcnMode::On;
        (path.rate, path.delay) = (RATE, ONE_WAY);
        path.queue = QueueConfig { discipline, ..QueueConfig::bytes(BDP) };
    }
    let mut second = scenario.conns[0].clone();
    (second.port, second.start) = (second.port + 1, second.start + Nanos::from_secs(1));
    let ports = [scenario.conns[0].port, second.port];
    scenario.conns.push(second);
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(scenario);
    world.capture(&folder.path().join("flows")).expect("a capture");
    if let Err(failure) = world.run() {
        panic!("{controller}: {failure}");
    }
    let arrived = arrived(&fs::read(folder.path().join("flows-1.pcap")).expect("the capture"));
    let of = |port: u16| arrived.iter().filter(move |(_, to, _)| *to == port);
    let until = ports.map(|port| of(port).next_back().expect("frames").0).into_iter().min().expect("two");
    let from = arrived[0].0 + settle;
    ports.map(|port| of(port).filter(|(at, ..)| (from..until).contains(at)).map(|(.., len)| len).sum())
}

/// Payload that arrived: when, at which port, and how much.
fn arrived(pcap: &[u8]) -> Vec<(Time, u16, u64)> {
    let word = |at: usize| u64::from(u32::from_ne_bytes(pcap[at..at + 4].try_into().expect("four bytes")));
    let unit = if word(0) == 0xa1b2_3c4d { 1 } else { 1_000 };
    let (mut at, mut frames) = (24, Vec::new());
    while at + 16 <= pcap.len() {
        let time = Time::from_nanos(word(at) * 1_000_000_000 + word(at + 4) * unit);
        let (captured, whole) = (word(at + 8) as usize, word(at + 12));
        let frame = &pcap[at + 16..at + 16 + captured];
        if whole > HEADERS + 40 {
            frames.push((time, u16::from_be_bytes([frame[PORTS + 2], frame[PORTS + 3]]), whole - HEADERS));
        }
        at += 16 + captured;
    }
    frames
}

/// Jain's index of two shares: 1 when they are equal, 1/2 when one has everything.
fn jain([a, b]: [u64; 2]) -> f64 {
    let (a, b) = (a as f64, b as f64);
    (a + b).powi(2) / (2.0 * (a * a + b * b))
}

fn share_fairly(controller: ControllerKind, discipline: Discipline, bytes: u64, settle: u64) {
    let shares = shares(controller, discipline, bytes, Nanos::from_secs(settle));
    println!("{controller}: {shares:?}, {:.3}", jain(shares));
    assert!(jain(shares) >= 0.95, "{controller}: {shares:?}, {:.3}", jain(shares));
}

#[test]
fn s41_two_flows_of_newreno_share_fairly() {
    share_fairly(ControllerKind::NewReno, Discipline::TailDrop, 8_000_000, 3);
}

#[test]
fn s41_two_flows_of_cubic_share_fairly() {
    share_fairly(ControllerKind::Cubic, Discipline::TailDrop, 8_000_000, 3);
}

#[test]
fn s41_two_flows_of_bbr_share_fairly() {
    share_fairly(ControllerKind::Bbr, Discipline::TailDrop, 16_000_000, 8);
}

#[test]
fn s41_two_flows_of_dctcp_share_fairly() {
    share_fairly(ControllerKind::Dctcp, Discipline::Step { threshold: 15_000 }, 8_000_000, 3);
}

#[test]
fn s41_two_fixed_rates_that_fit_get_what_they_ask_for() {
    share_fairly(ControllerKind::Fixed(Rate::from_bps(3_500_000)), Discipline::TailDrop, 4_000_000, 2);
}
