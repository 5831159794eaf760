//! The harness as its user has it: parts, runs, reports, and what is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tsonami-bench"))
}

fn run(words: &str) -> Output {
    bench().args(words.split(' ')).output().expect("it runs")
}

/// The line of a part that ran for a fifth of a second.
fn part(words: &str) -> Value {
    let out = run(&format!("part --time 0.2 {words}"));
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words}: {why}");
    serde_json::from_str(said.lines().last().expect("a line")).expect("JSON")
}

/// A figure that is there, with this unit, and more than nothing.
fn figure(line: &Value, name: &str, unit: &str) -> f64 {
    assert_eq!(line["figures"][name]["unit"], unit, "{name} in {line}");
    let value = line["figures"][name]["value"].as_f64().expect("a number");
    assert!(value > 0.0, "{name} is {value}");
    value
}

#[test]
fn the_kernels_senders_say_what_they_reached_in_every_way() {
    for words in [
        "--by write",
        "--by write --size 64 --no-delay --steer none",
        "--by write --connections 8 --copy --steer apart",
        "--by sendfile --frames",
    ] {
        let line = part(&format!("kernel-bulk {words}"));
        assert_eq!(line["medium"], "veth");
        figure(&line, "goodput", "Gbit/s");
        figure(&line, "per_busy_core", "Gbit/s per busy core");
        figure(&line, "cost", "ns/kB");
        figure(&line, "sends", "1/s");
        figure(&line, "sends_per_busy_core", "1/s per busy core");
        let packet = figure(&line, "packet", "bytes");
        match words {
            "--by sendfile --frames" => assert!(packet <= 1514.0, "frames of {packet} bytes"),
            "--by write" => assert!(packet > 10_000.0, "{packet} bytes, none of them segmented"),
            _ => {}
        }
    }
}

#[test]
fn every_reference_that_was_sent_comes_back() {
    let line = part("kernel-bulk --by zerocopy --size 1048576");
    let calls = figure(&line, "zerocopy_completions", "count");
    let sent = figure(&line, "sends", "1/s") * 0.2;
    assert!(calls >= sent * 0.9, "{calls} completions of {sent} calls in the measured time alone");
}

#[test]
fn requests_are_answered_asleep_awake_and_many_at_once() {
    for words in
        ["--wait block", "--wait spin --steer none", "--wait busy-poll", "--wait spin --connections 64"]
    {
        let line = part(&format!("kernel-rr {words}"));
        let times: Vec<f64> =
            ["p50", "p99", "p99.9", "max"].iter().map(|name| figure(&line, name, "ns")).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(line["latency"]["count"].as_f64(), Some(figure(&line, "samples", "count")));
        figure(&line, "requests", "1/s");
    }
}

#[test]
fn connections_are_opened_and_closed() {
    let line = part("kernel-crr --connections 16");
    figure(&line, "connections", "1/s");
    figure(&line, "connections_per_busy_core", "1/s per busy core");
    figure(&line, "p50", "ns");
}

#[test]
fn iperf3_is_run_and_read() {
    let line = part("iperf3");
    figure(&line, "goodput", "Gbit/s");
    figure(&line, "per_busy_core", "Gbit/s per busy core");
    assert_eq!(line["commands"].as_array().map(Vec::len), Some(2), "{line}");
}

#[test]
fn a_run_writes_every_page_and_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let words = |repeat| {
        let out = out.display();
        format!("run p2 --out {out} --repeat {repeat} --time 0.1 --only memcpy,write-128k")
    };
    let first = run(&words(1));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!(turns(&out), ["memcpy 1", "write-128k 1"]);
    let second = run(&words(2));
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(turns(&out), ["memcpy 1", "write-128k 1", "memcpy 2", "write-128k 2"]);
    let third = run(&words(2));
    assert!(String::from_utf8_lossy(&third.stderr).contains("nothing to run"));

    let read =
        |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
    let scenario = &summary["scenarios"][0];
    assert_eq!(
        (&scenario["name"], scenario["contestants"].as_array().map(Vec::len)),
        (&"p2".into(), Some(2))
    );
    assert_eq!(scenario["contestants"][0]["figures"]["goodput"]["all"]["all"]["runs"], 2);
    for fact in ["cpu", "kernel", "commit", "governor", "versions"] {
        assert!(!summary["sessions"][0]["machine"][fact].is_null(), "{fact}");
    }
    let csv = read("summary.csv");
    let columns: BTreeSet<usize> = csv.lines().map(|row| row.split(',').count()).collect();
    assert_eq!(columns, BTreeSet::from([11]), "{csv}");
    assert!(
        csv.contains("p2,memcpy,copies alone,in memory; no device; no receiver,goodput,Gbit/s,all,2,"),
        "{csv}"
    );
    let table = read("table.md");
    assert!(
        table.contains(
            "| memcpy (copies of 64 KiB to 64 buffers in turn) | in memory: no device, no receiver |"
        )
    );
    assert!(table.contains("tsonami-bench part --time 0.1 --sender-cpu 1 --receiver-cpu 0 kernel-bulk"));
    let html = read("index.html");
    assert!(html.contains("<svg") && html.contains("</html>") && !html.contains("src="));

    // The pages come from the raw lines alone.
    for page in ["summary.json", "summary.csv", "table.md", "index.html"] {
        fs::remove_file(out.join(page)).expect("it was there");
    }
    assert!(run(&format!("report {}", out.display())).status.success());
    assert_eq!((read("table.md"), read("summary.csv"), read("index.html")), (table, csv, html));
}

/// Contestants and rounds, in the order in which they ran.
fn turns(out: &Path) -> Vec<String> {
    let raw = fs::read_to_string(out.join("runs.jsonl")).expect("raw lines");
    let records = raw.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let runs = records.filter(|record| record["kind"] == "run");
    runs.map(|run| format!("{} {}", run["contestant"].as_str().expect("a name"), run["round"])).collect()
}

#[test]
fn a_program_that_is_missing_is_named_in_every_page_with_what_installs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = only_setpriv(folder.path());
    let out = folder.path().join("out");
    let words = format!("run p2 --out {} --repeat 2 --time 0.1 --only memcpy,iperf3-1m", out.display());
    let ran = bench().args(words.split(' ')).env("PATH", &programs).output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(said.matches("iperf3 is not installed").count(), 1, "once, not each round: {said}");
    assert_eq!(turns(&out), ["memcpy 1", "memcpy 2"]);
    for page in ["table.md", "index.html", "summary.json"] {
        let page = fs::read_to_string(out.join(page)).expect("a page");
        assert!(page.contains("iperf3 is not installed"), "{page}");
        assert!(page.contains("sudo apt-get install iperf3"), "{page}");
    }
}

/// A folder for the PATH with one program, without which no part is started.
fn only_setpriv(folder: &Path) -> PathBuf {
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("a folder");
    let path = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).exists());
    std::os::unix::fs::symlink(path.expect("setpriv"), programs.join("setpriv")).expect("a link");
    programs
}

#[test]
fn what_fails_is_told_and_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    // So the part cannot make a namespace.
    let programs = only_setpriv(folder.path());
    let words = format!("run p4 --out {} --repeat 1 --time 0.1 --only kernel", out.display());
    let failed = bench().args(words.split(' ')).env("PATH", &programs).output().expect("it runs");
    assert_eq!(failed.status.code(), Some(1));
    let table = fs::read_to_string(out.join("table.md")).expect("a page");
    assert!(table.contains("- kernel: failed in round 1: exit code 1"), "{table}");
    assert!(run(&words).status.success());
    let table = fs::read_to_string(out.join("table.md")).expect("a page");
    assert!(!table.contains("failed"), "it was made good: {table}");
}

#[test]
fn a_signal_ends_children_and_still_makes_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let words = format!("run p1a --out {} --repeat 1 --time 600 --only write-1m", out.display());
    let mut runner = Runner(bench().args(words.split(' ')).stderr(Stdio::null()).spawn().expect("it runs"));
    // A sender in a namespace: all of it is up.
    let sender = until("a sender", || descendants(runner.0.id()).into_iter().find(|pid| is(*pid, "send")));
    let all = descendants(runner.0.id());
    assert!(all.len() >= 5, "part, two holders, two ends: {all:?}");
    let namespace = fs::read_link(format!("/proc/{sender}/ns/net")).expect("it has one");
    kill_process(Pid::from_child(&runner.0), Signal::INT).expect("it runs");
    let status = until("its end", || runner.0.try_wait().expect("ours"));
    assert_eq!(status.code(), Some(130));
    for pid in all {
        until("the end of a descendant", || (!lives(pid)).then_some(()));
    }
    let inside =
        |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|there| there == namespace);
    assert_eq!(processes().into_iter().find(inside), None, "somebody is in the namespace");
    assert!(fs::read_to_string(out.join("index.html")).expect("a page").contains("</html>"));
    assert_eq!(turns(&out), [""; 0], "what was under way is no run");
}

#[test]
fn children_die_with_a_runner_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    // An end of a wire in a namespace, and our program, which asks another of its kind: which word of theirs says so.
    for (scenario, only, n, word) in [("p5", "kernel-1", 4, "ask"), ("p6", "ours", 1, "crr")] {
        let words = format!("run {scenario} --out {} --repeat 1 --time 600 --only {only}", out.display());
        let runner = Runner(bench().args(words.split(' ')).stderr(Stdio::null()).spawn().expect("it runs"));
        until("an asker", || {
            descendants(runner.0.id())
                .into_iter()
                .find(|pid| words_of(*pid).get(n).is_some_and(|w| w == word))
        });
        let all = descendants(runner.0.id());
        assert!(all.len() >= 3, "part and two ends: {all:?}");
        drop(runner);
        for pid in all {
            until("the end of a descendant", || (!lives(pid)).then_some(()));
        }
    }
}

/// A run that is killed when the test is over, however it ends.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something, with a deadline.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("there are processes").flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

/// A process's state and parent.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

/// Whoever waits to be fetched by his parent is gone.
fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

fn descendants(of: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = processes().into_iter().filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// How a process was started.
fn words_of(pid: u32) -> Vec<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// It is an end of a wire that does this.
fn is(pid: u32, what: &str) -> bool {
    let words = words_of(pid);
    words.get(1).is_some_and(|word| word == "end") && words.get(4).is_some_and(|word| word == what)
}
