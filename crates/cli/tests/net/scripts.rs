//! The scripts a newcomer runs first: they work, and they clean up after themselves.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{Lab, Outcome, PATIENCE, Process, is_root, repository};

/// How long a script may take, EAL's start and the transfer included.
const LIMIT: Duration = Duration::from_secs(90);

/// A script of ours with the program under test, its temporary files in the lab's folder.
fn script(lab: &Lab, name: &str, args: &[&str]) -> Process {
    let mut command = Command::new(repository().join("scripts").join(name));
    command.args(args).env("TSONAMI", env!("CARGO_BIN_EXE_tsonami")).env("TMPDIR", lab.path(""));
    Process::spawn(name, command)
}

/// Asserts that nothing is left in the lab's folder.
fn left_nothing(lab: &Lab, outcome: &Outcome) {
    let left: Vec<_> = std::fs::read_dir(lab.path("")).expect("our folder").collect();
    assert!(left.is_empty(), "left behind: {left:?}\n{}\n{}", outcome.stdout, outcome.stderr);
}

#[test]
fn quickstart_sends_and_compares() {
    let lab = Lab::new();
    let outcome = script(&lab, "quickstart", &["--mib", "64"]).ends_with(0, LIMIT);
    assert!(outcome.stdout.contains("64 MiB arrived, byte for byte"), "{}", outcome.stdout);
    left_nothing(&lab, &outcome);
}

#[test]
fn quickstart_works_for_an_ordinary_user() {
    let lab = Lab::new();
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        command
    } else {
        Command::new("env")
    };
    // In places that everybody may enter, since this user is nobody.
    let (program, scripts, scratch) = (lab.path("tsonami"), lab.path("scripts"), lab.path("scratch"));
    std::fs::copy(env!("CARGO_BIN_EXE_tsonami"), &program).expect("a copy of the program");
    std::fs::create_dir(&scripts).expect("our folder");
    std::fs::create_dir(&scratch).expect("our folder");
    for name in ["quickstart", "lib.sh"] {
        std::fs::copy(repository().join("scripts").join(name), scripts.join(name))
            .expect("a copy of the script");
    }
    lab.run(&format!("chmod -R a+rwx {}", lab.path("").display()));
    command
        .arg(scripts.join("quickstart"))
        .args(["--mib", "32"])
        .env("TSONAMI", &program)
        .env("TMPDIR", &scratch);
    let outcome = Process::spawn("quickstart", command).ends_with(0, LIMIT);
    assert!(outcome.stdout.contains("32 MiB arrived, byte for byte"), "{}", outcome.stdout);
    assert_eq!(std::fs::read_dir(&scratch).expect("our folder").count(), 0, "something is left behind");
}

#[test]
fn quickstart_interrupted_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let lab = Lab::new();
        let mut quickstart = script(&lab, "quickstart", &["--mib", "600"]);
        quickstart.says("tsonami send", PATIENCE);
        quickstart.signal(signal);
        let outcome = quickstart.ends_with(code, LIMIT);
        left_nothing(&lab, &outcome);
    }
}

#[test]
fn s29_two_processes_share_a_vhost_user_wire() {
    let lab = Lab::new();
    let reserved = || std::fs::read_to_string("/proc/sys/vm/nr_hugepages").expect("a kernel with hugepages");
    let before = reserved();
    let outcome = script(&lab, "vhost-pair", &["--size", "256MiB"]).ends_with(0, LIMIT);
    for mode in ["copy", "zerocopy"] {
        assert!(outcome.stdout.contains(&format!("arrived, byte for byte ({mode})")), "{}", outcome.stdout);
    }
    assert_eq!(reserved(), before, "hugepages are given back");
    left_nothing(&lab, &outcome);
}
