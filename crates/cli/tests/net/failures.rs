//! What can go wrong ends with its message and its exit code, in time.

use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{KERNEL, Lab, Outcome, PATIENCE, PORT, Process, TAP, is_root, volume};

/// What `tsonami` exits with; `tsonami --help` lists them.
mod exit {
    pub(super) const USAGE: i32 = 2;
    pub(super) const START: i32 = 3;
    pub(super) const REFUSED: i32 = 4;
    pub(super) const UNREACHABLE: i32 = 5;
    pub(super) const TIMED_OUT: i32 = 6;
    pub(super) const RESET: i32 = 7;
    pub(super) const INTERRUPTED: i32 = 130;
    pub(super) const TERMINATED: i32 = 143;
}

/// The `--timeout` of these tests.
const TIMEOUT: &str = "3";
/// By then everything that `TIMEOUT` governs has ended, start and end of EAL included.
const LIMIT: Duration = Duration::from_secs(3 + 7);
/// An amount that takes longer to send than any of these tests.
const ENDLESS: &str = "-t 60";

/// Asserts that standard error names what happened.
fn explains(outcome: &Outcome, words: &[&str]) {
    let said = outcome.stderr.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "'{word}' is not in the message:\n{}", outcome.stderr);
    }
}

/// Starts to send without end to a receiver of this mode; returns when bytes arrive.
fn under_way(lab: &Lab, mode: &str) -> (Process, Process) {
    let receiver = lab.receiver(mode, 1);
    let sender = lab.send(&format!("{KERNEL}:{PORT} {ENDLESS} --timeout {TIMEOUT}"));
    receiver.says("got ", PATIENCE);
    (receiver, sender)
}

#[test]
fn a_refused_connection_is_reported() {
    let lab = Lab::new();
    let outcome = lab.send(&format!("{KERNEL}:{PORT} --timeout {TIMEOUT}")).ends_with(exit::REFUSED, LIMIT);
    explains(&outcome, &["refused", KERNEL]);
}

#[test]
fn s49_a_peer_that_answers_no_arp_is_unreachable() {
    let lab = Lab::new();
    // Three requests, a second apart, end before this timeout does.
    let outcome = lab.send(&format!("10.77.0.99:{PORT} --timeout 5")).ends_with(exit::UNREACHABLE, LIMIT);
    explains(&outcome, &["10.77.0.99", "ARP"]);
}

#[test]
fn a_peer_that_answers_no_syn_times_out() {
    let lab = Lab::new();
    // The kernel is the gateway, does not forward, and says nothing about it.
    let words = format!("192.0.2.1:{PORT} --gateway {KERNEL} --timeout {TIMEOUT}");
    let outcome = lab.send(&words).ends_with(exit::TIMED_OUT, LIMIT);
    explains(&outcome, &["192.0.2.1", "no answer"]);
}

#[test]
fn interrupting_a_connect_ends_at_once_with_the_summary() {
    let lab = Lab::new();
    let mut sender = lab.send(&format!("192.0.2.1:{PORT} --timeout 60 -v"));
    sender.says("sending", PATIENCE);
    sender.signal(Signal::INT);
    let outcome = sender.ends_with(exit::INTERRUPTED, PATIENCE);
    assert!(outcome.stdout.contains("acknowledged      0 bytes"), "no summary: {outcome:?}");
    // What is under way would have two seconds until it is reset; nothing is.
    explains(&outcome, &["draining"]);
    assert!(!outcome.stderr.contains("resetting"), "it waited: {outcome:?}");
}

#[test]
fn checksums_left_to_a_card_that_is_not_there_are_named_with_what_turns_them_on() {
    let lab = Lab::new();
    lab.veth();
    let _socat = lab.socat();
    let outcome = lab
        .send_over("af_packet:ts-veth0", &format!("{KERNEL}:{PORT} --timeout {TIMEOUT}"))
        .ends_with(exit::TIMED_OUT, LIMIT);
    explains(&outcome, &["wrong checksum", "ethtool -K PEER_INTERFACE tx off"]);
}

#[test]
fn a_sender_that_falls_silent_is_given_up_by_the_receiver() {
    let lab = Lab::new();
    let mut server = lab.serve("--once --timeout 1");
    // It connects, and neither sends nor closes.
    let _silent = lab.spawn("socat", ["-u", &format!("TCP:10.77.0.2:{PORT}"), "-"]);
    let outcome = server.ends_with(exit::TIMED_OUT, PATIENCE);
    explains(&outcome, &["timed out", "0 bytes were received"]);
    assert!(
        outcome.stdout.contains("ended early: the peer sent neither bytes nor its end for 1.00 s"),
        "{outcome:?}"
    );
}

#[test]
fn with_json_a_start_that_fails_leaves_an_object_too() {
    let lab = Lab::new();
    let outcome = lab.send_over("tapp", &format!("{KERNEL} -J")).ends_with(exit::USAGE, LIMIT);
    assert!(outcome.stdout.contains("\"exit_code\":2") && outcome.stdout.contains("tapp"), "{outcome:?}");
}

#[test]
fn more_memory_than_there_is_is_refused_at_once() {
    let lab = Lab::new();
    let outcome = lab.send(&format!("{KERNEL} --memory 100T")).ends_with(exit::START, LIMIT);
    explains(&outcome, &["--memory 100 TiB is more than this machine has"]);
    let outcome = lab.send(&format!("{KERNEL} --send-memory 100T")).ends_with(exit::START, LIMIT);
    explains(&outcome, &["--send-memory 100 TiB is more than this machine has", "--send-memory 64M"]);
}

#[test]
fn an_interface_that_is_no_tap_is_not_proposed_for_deletion() {
    let lab = Lab::new();
    let outcome = lab.send_over("tap:lo", KERNEL).ends_with(exit::START, LIMIT);
    explains(&outcome, &["no TAP", "choose another name"]);
    assert!(!outcome.stderr.contains("link del"), "{outcome:?}");
}

#[test]
fn a_tap_that_another_sender_has_is_refused_and_the_other_goes_on() {
    let lab = Lab::new();
    let (_receiver, mut first) = under_way(&lab, "plain");
    let outcome = lab.send(&format!("{KERNEL}:{PORT} -n 1")).ends_with(exit::START, LIMIT);
    explains(&outcome, &[TAP, "in use", "--dev tap:"]);
    first.signal(Signal::INT);
    first.ends_with(exit::INTERRUPTED, PATIENCE);
}

#[test]
fn interval_lines_asked_for_come_off_a_terminal_too() {
    let lab = Lab::new();
    let _receiver = lab.receiver("plain", 1);
    let outcome = lab.send(&format!("{KERNEL}:{PORT} -t 1 -i 200ms")).ends_with(0, PATIENCE);
    let lines = outcome.stdout.lines().filter(|line| line.ends_with("retransmitted")).count();
    assert!(lines >= 3, "{outcome:?}");
}

#[test]
fn a_gateway_without_a_route_makes_the_peer_unreachable() {
    let lab = Lab::new();
    lab.run("sysctl -w net.ipv4.ip_forward=1");
    let words = format!("192.0.2.1:{PORT} --gateway {KERNEL} --timeout {TIMEOUT}");
    let outcome = lab.send(&words).ends_with(exit::UNREACHABLE, LIMIT);
    explains(&outcome, &["192.0.2.1", "unreachable"]);
}

#[test]
fn a_peer_that_falls_silent_times_out() {
    let lab = Lab::new();
    let (receiver, mut sender) = under_way(&lab, "plain");
    lab.run(&format!("ip address flush dev {TAP}"));
    receiver.falls_silent_for(Duration::from_millis(500), PATIENCE);
    let outcome = sender.ends_with(exit::TIMED_OUT, PATIENCE);
    explains(&outcome, &["timed out"]);
}

#[test]
fn a_killed_peer_resets() {
    let lab = Lab::new();
    let (receiver, mut sender) = under_way(&lab, "plain");
    receiver.signal(Signal::KILL);
    let outcome = sender.ends_with(exit::RESET, LIMIT);
    explains(&outcome, &["reset"]);
}

#[test]
fn an_interface_that_goes_down_and_up_again_costs_time_but_no_byte() {
    let lab = Lab::new();
    let bytes = 4 * volume();
    let (file, hash) = lab.random_file(bytes);
    let mut receiver = lab.receiver("slow", 1);
    let mut sender = lab.send(&format!("{KERNEL}:{PORT} --file {}", file.display()));
    receiver.says("got ", PATIENCE);
    lab.run(&format!("ip link set {TAP} down"));
    receiver.falls_silent_for(Duration::from_millis(700), PATIENCE);
    lab.run(&format!("ip link set {TAP} up"));
    sender.ends_with(0, PATIENCE);
    let report = receiver.ends_with(0, PATIENCE).stdout;
    assert!(report.contains(&format!("done {bytes} {hash}")), "{report}");
}

#[test]
fn s24_an_interface_that_goes_down_while_bursts_are_cut_goes_on_when_it_is_up() {
    let lab = Lab::new();
    let mut receiver = lab.receiver("plain", 1);
    // The driver cuts the bursts itself: going down, it has written part of one that it reports as not taken.
    let mut sender = lab.send(&format!("{KERNEL}:{PORT} -t 5 --timeout 6"));
    receiver.says("got ", PATIENCE);
    lab.run(&format!("ip link set {TAP} down"));
    receiver.falls_silent_for(Duration::from_secs(1), PATIENCE);
    lab.run(&format!("ip link set {TAP} up"));
    sender.ends_with(0, PATIENCE);
    receiver.ends_with(0, PATIENCE);
}

#[test]
fn an_interface_that_stays_down_times_out() {
    let lab = Lab::new();
    let (receiver, mut sender) = under_way(&lab, "plain");
    lab.run(&format!("ip link set {TAP} down"));
    receiver.falls_silent_for(Duration::from_millis(500), PATIENCE);
    let outcome = sender.ends_with(exit::TIMED_OUT, PATIENCE);
    explains(&outcome, &["is down", &format!("sudo ip link set dev {TAP} up")]);
}

#[test]
fn interrupting_ends_with_the_summary() {
    let lab = Lab::new();
    for (signal, code) in [(Signal::INT, exit::INTERRUPTED), (Signal::TERM, exit::TERMINATED)] {
        let (_receiver, mut sender) = under_way(&lab, "plain");
        sender.signal(signal);
        let outcome = sender.ends_with(code, PATIENCE);
        assert!(outcome.stdout.contains("acknowledged "), "no summary: {outcome:?}");
    }
}

#[test]
fn s21_a_peer_that_never_reads_does_not_keep_us_from_ending() {
    let lab = Lab::new();
    let _receiver = lab.receiver("deaf", 1);
    let words = format!("{KERNEL}:{PORT} -t 2 --timeout {TIMEOUT}");
    // After two seconds it closes, waits for the peer as long as --timeout says, and gives up.
    lab.send(&words).ends_with(exit::TIMED_OUT, Duration::from_secs(2) + LIMIT);
}

#[test]
fn a_wrong_device_is_named_with_the_right_ones() {
    let lab = Lab::new();
    let outcome = lab.send_over("tapp", KERNEL).ends_with(exit::USAGE, LIMIT);
    explains(&outcome, &["tapp", "tap", "pci:", "virtio-user:"]);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let lab = Lab::new();
    let outcome = lab.send_over("pci:0000:ff:1f.7", KERNEL).ends_with(exit::START, LIMIT);
    explains(&outcome, &["0000:ff:1f.7"]);
}

#[test]
fn s49_an_address_the_kernel_owns_is_refused_on_af_packet() {
    let lab = Lab::new();
    lab.run("ip link add ts-veth0 type veth peer name ts-veth1");
    lab.run("ip address add 10.77.0.2/24 dev ts-veth0");
    lab.run("ip link set ts-veth0 up");
    lab.run("ip link set ts-veth1 up");
    let outcome = lab.send_over("af_packet:ts-veth0", KERNEL).ends_with(exit::START, LIMIT);
    explains(&outcome, &["10.77.0.2", "ip address del 10.77.0.2/24 dev ts-veth0"]);
}

#[test]
fn missing_hugepages_are_named_with_the_command_that_reserves_them() {
    let lab = Lab::new();
    // More than any machine that runs these tests has reserved.
    let outcome = lab.send(&format!("{KERNEL} --hugepages on --memory 1T")).ends_with(exit::START, LIMIT);
    explains(&outcome, &["hugepages", "nr_hugepages"]);
}

#[test]
fn a_missing_permission_is_named_with_what_grants_it() {
    let lab = Lab::new();
    // In a place that everybody may enter, since this user is nobody.
    let program = lab.path("tsonami");
    std::fs::copy(env!("CARGO_BIN_EXE_tsonami"), &program).expect("a copy of the program");
    lab.run(&format!("chmod 755 {} {}", program.display(), lab.path("").display()));
    let mut command = if is_root() {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&program);
        command
    } else {
        std::process::Command::new(&program)
    };
    command.args(["send", KERNEL]).current_dir("/");
    let outcome = Process::spawn("tsonami", command).ends_with(exit::START, LIMIT);
    explains(&outcome, &["permission", "unshare -Urn"]);
}

/// Sends a file with these further words and asserts that it arrives.
fn arrives_with(words: &str) {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume() / 4);
    let socat = lab.socat();
    lab.send(&format!("{KERNEL}:{PORT} --file {} {words}", file.display())).ends_with(0, PATIENCE);
    socat.says(&hash, PATIENCE);
}

#[test]
fn s5_a_pool_of_64_buffers_is_enough_to_send() {
    arrives_with("--mbufs 64");
}

#[test]
fn s24_rings_of_32_descriptors_are_enough_to_send() {
    arrives_with("--tx-ring 32 --rx-ring 32 -P 4");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let lab = Lab::new();
    let outcome = lab.send(&format!("{KERNEL} --file /nonexistent/data")).ends_with(1, LIMIT);
    explains(&outcome, &["/nonexistent/data"]);
}
