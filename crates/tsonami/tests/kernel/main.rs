//! One script drives the kernel's TCP and ours; what both put on the wire is compared segment by segment.
//!
//! See docs/testing.md for how to add a scenario.

mod link;
mod linux;
mod losses;
#[path = "../../../dpdk/tests/common/namespace.rs"]
mod namespace;
mod ours;
mod path_mtu;
mod rates;
mod scenario;
mod scripted;
mod stand_in;
mod timeouts;
mod wire;

use std::io::ErrorKind;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::linux::Linux;
use crate::namespace::enter_namespace;
use crate::ours::Ours;
use crate::scenario::Step::*;
use crate::scenario::{Difference, Habits, Keepalive as When, Played, Receiver, Scenario, compare, play};
use crate::wire::Wire;

/// How often a scenario is played at most. One is played again only where the senders differ, it depends on time, and
/// whoever plays the wire and the peer had no turn for so long that it may be why.
const ATTEMPTS: usize = 8;

/// Plays the scenarios to both, side by side, and compares.
fn same_as_linux(test: &str, scenarios: &[Scenario]) {
    enter_namespace(test);
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").expect("IPv6 can be turned off");
    // Both before anybody plays: a program started while DPDK starts in another thread fails at times (EFAULT).
    let mut kernels = Wire::new("k", true);
    let mut own = Wire::new("t", false);
    let ready = Barrier::new(2);
    std::thread::scope(|scope| {
        let (ask_linux, asked_linux) = channel::<usize>();
        let (ask_us, asked_us) = channel::<usize>();
        let ready = &ready;
        let (linux_played, linux) = channel::<Played>();
        let (we_played, ours) = channel::<Played>();
        scope.spawn(move || {
            kernels.enter();
            let mut linux = Linux::default();
            ready.wait();
            for n in asked_linux {
                linux_played.send(play(&scenarios[n], &mut kernels, &mut linux)).expect("we listen");
            }
        });
        scope.spawn(move || {
            own.enter();
            let mut us = Ours::new();
            ready.wait();
            for n in asked_us {
                we_played.send(play(&scenarios[n], &mut own, &mut us)).expect("we listen");
            }
            us.shutdown();
        });
        let mut faults = Vec::new();
        let mut pending: Vec<usize> = (0..scenarios.len()).collect();
        for attempt in 1..=ATTEMPTS {
            for n in &pending {
                ask_linux.send(*n).and(ask_us.send(*n)).expect("they live");
            }
            pending.retain(|&n| {
                let (linux, ours) = (linux.recv().expect("the kernel plays"), ours.recv().expect("we play"));
                show(&scenarios[n], &linux, &ours);
                let late = linux.late.max(ours.late);
                let Err(fault) = compare(&scenarios[n], &linux.transcript, &ours.transcript) else {
                    return false;
                };
                let again =
                    scenarios[n].patience.is_some_and(|patience| late > patience) && attempt < ATTEMPTS;
                if !again {
                    faults.push(format!("{fault}\n(attempt {attempt}; late by {late:?})"));
                }
                again
            });
        }
        drop((ask_linux, ask_us));
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    });
}

/// Prints what both sent, where that is asked for.
fn show(scenario: &Scenario, linux: &Played, ours: &Played) {
    if std::env::var_os("TSONAMI_TEST_SHOW").is_none() {
        return;
    }
    println!("{} (late by {:?}, {:?})", scenario.name, linux.late, ours.late);
    for (at, step) in scenario.steps.iter().enumerate() {
        println!("  {at}. {step:?}\n     {:?}\n     {:?}", linux.transcript[at], ours.transcript[at]);
    }
}

fn scenario(name: &'static str, steps: impl Into<Vec<scenario::Step>>) -> Scenario {
    Scenario {
        name,
        receiver: Receiver::Kernel(None),
        habits: Habits::default(),
        patience: None,
        without_psh: false,
        steps: steps.into(),
        differences: Vec::new(),
    }
}

#[test]
fn s16_nagle_as_linux() {
    let scenarios = [
        scenario(
            "many small writes",
            [Write(100), Write(100), Write(100), Write(50), Ack, Write(10), Ack, Write(1), Ack],
        ),
        scenario("write, write, read", [Write(4), Write(300), PeerWrites(20), Ack, Ack, PeerWrites(20), Ack]),
        scenario("no delay", [NoDelay(true), Write(100), Write(100), Write(1), Ack, Write(1)]),
        scenario(
            "small ones fill a segment",
            [Write(1), Write(1000), Write(400), Write(60), Write(1500), Ack, Ack],
        ),
        scenario("a short tail behind whole segments", [Write(3000), Write(1460), Write(10), Ack, Ack]),
        scenario("no delay lets out", [Write(1), Write(2), NoDelay(true), NoDelay(false), Write(3), Ack]),
        scenario("a FIN waits for nobody", [Write(1), Write(2), Finish, Ack]),
    ];
    same_as_linux("s16_nagle_as_linux", &scenarios);
}

#[test]
fn s17_cork_and_more_as_linux() {
    let scenarios = [
        scenario("cork, then uncork", [Cork(true), Write(10), Write(20), Cork(false), Ack, Write(5)]),
        scenario(
            "cork lets whole segments through",
            [Cork(true), Write(1000), Write(1000), Write(1000), Ack, Cork(false)],
        ),
        scenario(
            "cork holds although nothing is in flight",
            [Write(10), Cork(true), Write(10), Ack, Cork(false)],
        ),
        scenario("cork ends after a timeout", [Cork(true), Write(100), Time(1), Write(50), Ack, Time(1)]),
        scenario("a FIN uncorks", [Cork(true), Write(100), Finish, Ack]),
        scenario("no delay uncorks", [Cork(true), Write(100), NoDelay(true), Ack, Write(10), Cork(false)]),
        scenario("a chain of more", [WriteMore(10), WriteMore(20), WriteMore(30), Write(40), Ack]),
        scenario("more fills segments", [WriteMore(1000), WriteMore(1000), WriteMore(1000), Write(1), Ack]),
        scenario("more without more", [WriteMore(10), Time(1), Ack, Write(10), WriteMore(10), Ack]),
        scenario(
            "more and no delay",
            [NoDelay(true), WriteMore(10), Write(10), WriteMore(10), NoDelay(true)],
        ),
    ];
    same_as_linux("s17_cork_and_more_as_linux", &scenarios);
}

#[test]
fn s14_psh_as_linux() {
    let scenarios = [
        scenario(
            "at the end of each write",
            [NoDelay(true), Write(10), Write(1460), Write(2920), Write(3000)],
        ),
        scenario("not while more follows", [WriteMore(2920), WriteMore(2920), Write(1460)]),
        scenario("as much as cwnd takes", [Write(14_600), Ack]),
        Scenario {
            // A window of 7300 bytes: half of it is two segments and a half.
            receiver: Receiver::Kernel(Some(8_192)),
            ..scenario("past half the largest window, although more follows", [WriteMore(1460); 5])
        },
    ];
    same_as_linux("s14_psh_as_linux", &scenarios);
}

/// RFC 9293 §3.8.6.1 has a window probe carry a byte (MUST-36); Linux repeats a byte number that is acknowledged, without
/// the byte. Peers must answer both.
fn probe(step: usize, linux: &'static [&'static str], ours: &'static [&'static str]) -> Difference {
    Difference { step, linux, ours, why: "S21: a window probe carries one byte, as the standard says" }
}

#[test]
fn s21_windows_as_linux() {
    let scenarios = [
        Scenario {
            receiver: Receiver::Kernel(Some(8_192)),
            without_psh: true,
            differences: vec![
                probe(3, &[". 10220:10220(0) ack 1"], &[". 10221:10222(1) ack 1"]),
                probe(5, &[". 10220:10220(0) ack 1"], &[". 10221:10222(1) ack 1"]),
            ],
            ..scenario(
                "zero window, probes, reopening",
                [
                    Write(20_000),
                    Ack,
                    Ack,
                    Time(1),
                    Ack,
                    Time(1),
                    Ack,
                    PeerReads(5_000),
                    Ack,
                    Ack,
                    PeerReads(5_000),
                    Ack,
                ],
            )
        },
        Scenario {
            receiver: Receiver::Kernel(Some(2_304)),
            without_psh: true,
            differences: vec![probe(4, &[". 1460:1460(0) ack 1"], &[". 1461:1462(1) ack 1"])],
            ..scenario(
                "a window smaller than the MSS",
                [Write(3_000), Ack, PeerReads(500), Ack, Time(1), Ack, PeerReads(960), Ack, Ack],
            )
        },
        Scenario {
            receiver: Receiver::Kernel(Some(16_384)),
            without_psh: true,
            ..scenario(
                "a long write into a short window",
                [Write(60_000), Ack, PeerReads(5_000), Ack, PeerReads(9_000), Ack],
            )
        },
    ];
    same_as_linux("s21_windows_as_linux", &scenarios);
}

#[test]
fn s45_half_close_as_linux() {
    let scenarios = [
        scenario(
            "we finish first",
            [Write(100), Finish, Ack, PeerWrites(50), Ack, PeerWrites(50), Ack, PeerFinishes, Ack],
        ),
        scenario("the peer finishes first", [PeerFinishes, Ack, Write(100), Write(100), Ack, Finish, Ack]),
        scenario("both at once", [Write(10), PeerFinishes, Finish, Ack, Ack]),
        scenario("with bytes that wait", [Cork(true), Write(2_000), Finish, Ack]),
    ];
    same_as_linux("s45_half_close_as_linux", &scenarios);
}

#[test]
fn s47_keepalive_as_linux() {
    let second = Duration::from_secs(1);
    let keepalive = When { idle: second, interval: second, probes: 2 };
    let scenarios = [
        scenario(
            "a peer that lives",
            [Keepalive(keepalive), Write(10), Ack, Time(1), Ack, Time(1), Ack, Write(10)],
        ),
        scenario(
            "a peer that died",
            [Write(10), Ack, Keepalive(keepalive), PeerDies, Time(2), Dies(ErrorKind::TimedOut)],
        ),
    ];
    same_as_linux("s47_keepalive_as_linux", &scenarios);
}
