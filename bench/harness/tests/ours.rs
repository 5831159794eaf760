//! Our own parts: each runs for a moment and prints a line that says what it must. How fast anything is, is nobody's business
//! here.

use std::process::{Command, Output};

use serde_json::Value;

/// Each part for a tenth of a second, on normal pages; both ends of a wire on CPUs that every machine has.
fn run(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsonami-bench"));
    command
        .args(["part", "--time", "0.1", "--sender-cpu", "0", "--receiver-cpu", "0"])
        .args(words.split(' '));
    command.arg("--no-huge").output().expect("it runs")
}

#[track_caller]
fn part(words: &str) -> Value {
    let out = run(words);
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words}: {why}");
    serde_json::from_str(said.lines().last().expect("a line")).expect("JSON")
}

/// A figure that is there, with this unit.
#[track_caller]
fn figure(line: &Value, name: &str, unit: &str) -> f64 {
    assert_eq!(line["figures"][name]["unit"], unit, "{name} in {line}");
    line["figures"][name]["value"].as_f64().expect("a number")
}

#[track_caller]
fn positive(line: &Value, name: &str, unit: &str) -> f64 {
    let value = figure(line, name, unit);
    assert!(value > 0.0, "{name} is {value}");
    value
}

/// The stages, all of the loop's and in its order, are what the total is made of.
#[track_caller]
fn stages_are_the_whole(line: &Value) {
    let stages = line["stages"].as_array().expect("stages");
    let names: Vec<&str> = stages.iter().filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(names, ["rx", "app", "timer", "tx", "completion"]);
    let sum: f64 = stages.iter().filter_map(|stage| stage["cycles"].as_f64()).sum();
    let whole = positive(line, "cycles", "cycles/burst");
    assert!((sum / whole - 1.0).abs() < 1e-9, "{sum} of {whole}");
}

#[track_caller]
fn in_memory(line: &Value) {
    assert_eq!(line["medium"], "memory");
    let notes = line["notes"].as_array().expect("notes");
    let said = notes.iter().any(|note| note.as_str().is_some_and(|n| n.contains("no device, no receiver")));
    assert!(said, "{notes:?}");
}

#[test]
fn p1_p2_bulk_says_what_it_cost_without_the_pretended_peer() {
    for words in
        ["", " --acks two-segments --connections 8", " --copy --ring 64 --source 4", " --size 1048576"]
    {
        let line = part(&format!("memory-bulk{words}"));
        in_memory(&line);
        stages_are_the_whole(&line);
        let own = positive(&line, "per_busy_core", "Gbit/s per busy core");
        let measuring = positive(&line, "per_busy_core_with_measuring", "Gbit/s per busy core");
        let peer = positive(&line, "per_busy_core_with_peer", "Gbit/s per busy core");
        assert!(peer < measuring && measuring <= own, "{line}");
        positive(&line, "goodput", "Gbit/s");
        positive(&line, "cycles_per_64_kib", "cycles");
        let acks = positive(&line, "acks_per_burst", "count");
        assert_eq!(acks > 2.0, words.contains("two-segments"), "{acks}");
    }
}

#[test]
fn p1_a_run_that_lost_answers_is_no_run() {
    let out = run("memory-bulk --acks two-segments --rx-ring 64");
    let why = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && out.stdout.is_empty());
    assert!(why.contains("answers were lost") && why.contains("--rx-ring"), "{why}");
}

#[test]
fn p4_small_messages_are_packed_or_sent_at_once() {
    let line = part("memory-small --no-delay");
    in_memory(&line);
    stages_are_the_whole(&line);
    positive(&line, "sends", "1/s");
    positive(&line, "sends_per_busy_core", "1/s per busy core");
    assert_eq!(positive(&line, "sends_per_frame", "count").round(), 1.0);
    let packed = positive(&part("memory-small --batch 64"), "sends_per_frame", "count");
    assert!(packed > 10.0, "{packed} messages in a frame");
}

#[test]
fn p2_the_floors_are_frames_without_tcp_and_copies_without_frames() {
    for words in ["", " --copy --ring 64 --source 4", " --to nobody --ring 64 --source 4"] {
        let line = part(&format!("memory-blast{words}"));
        assert_eq!(line["medium"], "memory");
        positive(&line, "per_busy_core", "Gbit/s per busy core");
        positive(&line, "cycles", "cycles/burst");
    }
}

#[test]
fn p10_turns_are_told_apart_from_what_the_machine_took() {
    let line = part("loop-latency");
    in_memory(&line);
    for whose in ["", "quiet_", "machine_", "machine_quiet_", "engine_with_peer_"] {
        let times = ["p50", "p99", "p99.9", "p99.99", "max"];
        let times = times.map(|name| positive(&line, &format!("{whose}{name}"), "ns"));
        assert!(times.is_sorted(), "{whose}: {times:?}");
    }
    assert!(figure(&line, "machine_p50", "ns") >= figure(&line, "machine_turn", "ns") * 0.99);
    positive(&line, "timers_fired", "count");
}

#[test]
fn p8_engines_share_a_core_or_have_one_each() {
    for words in ["--one-core --queues 3", "--queues 2"] {
        let line = part(&format!("workers {words} --ring 64"));
        in_memory(&line);
        positive(&line, "per_busy_core", "Gbit/s per busy core");
        assert_eq!(figure(&line, "queues", "count"), if words.contains("one-core") { 3.0 } else { 2.0 });
    }
}

#[test]
fn p3_bulk_and_blast_go_over_the_same_wire_to_the_same_receiver() {
    let ours = part("vhost-bulk --connections 4 --source 8");
    assert_eq!(ours["medium"], "vhost-user");
    stages_are_the_whole(&ours);
    positive(&ours, "acks_per_burst", "count");
    let blast = part("vhost-blast --source 8");
    for line in [&ours, &blast] {
        positive(line, "goodput", "Gbit/s");
        positive(line, "per_busy_core", "Gbit/s per busy core");
        positive(line, "receiver_busy", "%");
        let commands = line["commands"].as_array().expect("commands");
        assert!(commands[0].as_str().is_some_and(|c| c.starts_with("tsonami-bench part")), "{commands:?}");
    }
}

#[test]
fn p7_few_of_many_connections_send_and_the_others_take_little() {
    let line = part("million --connections 6000 --active 100");
    in_memory(&line);
    stages_are_the_whole(&line);
    positive(&line, "per_busy_core", "Gbit/s per busy core");
    positive(&line, "opened", "1/s");
    let each = positive(&line, "bytes_per_connection", "bytes");
    assert!(each < 8192.0, "{each} bytes");
    assert_eq!(figure(&line, "connections", "count"), 6000.0);
    assert_eq!(figure(&line, "active", "count"), 100.0);
    // More than the working set of 4096 holds.
    assert!(positive(&line, "folded_at_rest", "count") >= 1904.0, "{line}");
    assert_eq!(figure(&line, "retransmitted", "bytes"), 0.0);
    let burst = positive(&line, "burst", "bytes");
    assert!(burst > 60_000.0, "whole bursts, of {burst} bytes");

    // Alone, it has always something to send; what its pages weigh is no figure.
    let alone = part("million --connections 1");
    assert_eq!(figure(&alone, "active", "count"), 1.0);
    assert!(alone["figures"]["bytes_per_connection"].is_null(), "{alone}");
}
