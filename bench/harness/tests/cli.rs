//! The parts that start `tsonami` at both ends of a wire: each runs for a moment and prints a line that says what it must. They need
//! that program beside this one, where a build of the workspace puts it.

use std::process::{Command, Output};

use serde_json::Value;

/// A part for a fifth of a second, on normal pages; both ends on a CPU that every machine has, which they leave to each other.
fn run(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsonami-bench"));
    command
        .args(["part", "--time", "0.2", "--sender-cpu", "0", "--receiver-cpu", "0"])
        .args(words.split(' '))
        .args(["--no-huge", "--wait", "park"]);
    command.output().expect("it runs")
}

#[track_caller]
fn part(words: &str) -> Value {
    let out = run(words);
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words}: {why}");
    let line: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    let commands = line["commands"].as_array().expect("commands");
    let command = |n: usize| commands[n].as_str().unwrap_or_default();
    assert!(command(0).starts_with("tsonami serve ") && command(1).starts_with("tsonami "), "{commands:?}");
    line
}

#[track_caller]
fn positive(line: &Value, name: &str, unit: &str) -> f64 {
    assert_eq!(line["figures"][name]["unit"], unit, "{name} in {line}");
    let value = line["figures"][name]["value"].as_f64().expect("a number");
    assert!(value > 0.0, "{name} is {value}");
    value
}

#[track_caller]
fn has_latencies(line: &Value) {
    let times = ["p50", "p90", "p99", "p99.9", "p99.99", "max"].map(|name| positive(line, name, "ns"));
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(line["latency"]["count"].as_f64(), Some(positive(line, "samples", "count")));
    assert_eq!(line["latency"]["points"][0][1].as_f64(), Some(times[0]));
}

#[test]
fn p5_requests_are_answered_over_a_vhost_user_wire() {
    for words in ["cli-rr", "cli-rr --connections 64"] {
        let line = part(words);
        assert_eq!(line["medium"], "vhost-user");
        has_latencies(&line);
        positive(&line, "requests", "1/s");
        positive(&line, "requests_per_busy_core", "1/s per busy core");
    }
}

#[test]
fn p6_connections_are_opened_and_closed_over_memif_by_whom_the_line_says() {
    let line = part("cli-crr --connections 16");
    assert_eq!(line["medium"], "memif");
    has_latencies(&line);
    let rate = positive(&line, "connections", "1/s");
    assert!(positive(&line, "connections_per_busy_core", "1/s per busy core") >= rate);
    positive(&line, "connections_per_busy_server_core", "1/s per busy core");
    let note = line["notes"][0].as_str().expect("a note");
    assert!(note.contains("The client closes first and keeps TIME-WAIT for 1m;"), "{note}");
}

#[test]
fn p6b_bulk_goes_in_frames_that_nobody_segments() {
    for words in ["cli-send", "cli-send --zerocopy"] {
        let line = part(words);
        assert_eq!(line["medium"], "memif");
        let goodput = positive(&line, "goodput", "Gbit/s");
        assert!(positive(&line, "per_busy_core", "Gbit/s per busy core") >= goodput);
        positive(&line, "cost", "ns/kB");
        positive(&line, "receiver_busy", "%");
    }
}

#[test]
fn what_the_program_complains_of_is_shown_with_its_command() {
    // There is no such CPU.
    let out = Command::new(env!("CARGO_BIN_EXE_tsonami-bench"))
        .args(["part", "--time", "0.1", "--receiver-cpu", "1000", "cli-crr"])
        .output()
        .expect("it runs");
    let why = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && out.stdout.is_empty(), "{why}");
    assert!(why.contains("1000") && why.contains("taskset"), "the program's own words: {why}");
    assert!(why.contains("it ended with exit code 3, for the reason above: tsonami serve "), "{why}");
}
