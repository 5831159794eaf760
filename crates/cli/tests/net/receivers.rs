//! Any plain TCP receiver gets the bytes that were sent: all, in order, once.

use rustix::process::Signal;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT, volume};

#[test]
fn socat_gets_a_file_three_times_in_a_row() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume());
    let socat = lab.socat();
    for round in 1..=3 {
        lab.send(&format!("{KERNEL}:{PORT} --file {}", file.display())).ends_with(0, PATIENCE);
        socat.says_times(round, &hash, PATIENCE);
    }
    assert_eq!(lab.kernel_counter("TcpInCsumErrors"), 0);
}

#[test]
fn socat_gets_a_file_from_each_of_eight_connections_three_times_in_a_row() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume() / 4);
    let socat = lab.socat();
    for round in 1..=3 {
        lab.send(&format!("{KERNEL}:{PORT} --file {} -P 8", file.display())).ends_with(0, PATIENCE);
        socat.says_times(8 * round, &hash, PATIENCE);
    }
    assert_eq!(lab.kernel_counter("TcpInCsumErrors"), 0);
}

#[test]
fn s29_socat_gets_a_file_sent_without_a_copy() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume());
    let socat = lab.socat();
    let words = format!("{KERNEL}:{PORT} --file {} --zerocopy --check-tx -J", file.display());
    let said = lab.send(&words).ends_with(0, PATIENCE).stdout;
    socat.says(&hash, PATIENCE);
    let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(json["counters"]["copied_bytes"], 0);
}

#[test]
fn s13_long_copies_go_past_the_cache_where_it_is_asked_for() {
    let lab = Lab::new();
    let _socat = lab.socat();
    for (option, length, streamed) in [
        ("", "64K", false),
        ("--streaming-copies 16K", "64K", true),
        ("--streaming-copies 16K", "8K", false),
        ("--streaming-copies 0", "64K", false),
    ] {
        let words = format!("{KERNEL}:{PORT} -n 1M --length {length} {option} -J");
        let said = lab.send(&words).ends_with(0, PATIENCE).stdout;
        let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        // The rest of a write that found no room may be too short.
        let bytes = json["counters"]["tx_streamed_bytes"].as_u64().expect("a number");
        assert!(if streamed { bytes > 900_000 } else { bytes == 0 }, "{words}: {bytes}");
    }
    assert_eq!(lab.kernel_counter("TcpInCsumErrors"), 0);
}

#[test]
fn s49_socat_gets_a_file_over_a_packet_socket_on_a_veth_pair() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume() / 4);
    lab.veth();
    lab.run("ethtool -K ts-veth1 tx off");
    let socat = lab.socat();
    lab.send_over("af_packet:ts-veth0", &format!("{KERNEL}:{PORT} --file {}", file.display()))
        .ends_with(0, PATIENCE);
    socat.says(&hash, PATIENCE);
    assert_eq!(lab.kernel_counter("TcpInCsumErrors"), 0);
}

#[test]
fn a_receiver_that_reads_after_we_left_still_gets_every_byte() {
    let lab = Lab::new();
    let bytes = 64 << 10;
    let (file, hash) = lab.random_file(bytes);
    let mut receiver = lab.receiver("late", 1);
    let words = format!("{KERNEL}:{PORT} --file {} --timeout 1 -J", file.display());
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    let remark = "has everything of 1 connection and did not close within";
    for said in [&outcome.stdout, &outcome.stderr] {
        assert!(said.contains(remark), "nothing is said of what was left open:\n{outcome:?}");
    }
    receiver.signal(Signal::USR1);
    let report = receiver.ends_with(0, PATIENCE).stdout;
    assert!(report.contains(&format!("done {bytes} {hash}")), "{report}");
}

#[test]
fn nc_gets_a_file() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume());
    let command = format!("nc -l -n -N -v {PORT} </dev/null | sha256sum");
    let mut nc = lab.spawn("sh", ["-c", &command]);
    nc.says("Listening on", PATIENCE);
    lab.send(&format!("{KERNEL}:{PORT} --file {}", file.display())).ends_with(0, PATIENCE);
    assert_eq!(nc.ends_with(0, PATIENCE).stdout[..64], hash);
}

/// Sends a file over one connection to a receiver in this mode, which must report it whole.
fn python_receives(mode: &str, bytes: u64) {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(bytes);
    let mut receiver = lab.receiver(mode, 1);
    lab.send(&format!("{KERNEL}:{PORT} --file {}", file.display())).ends_with(0, PATIENCE);
    let report = receiver.ends_with(0, PATIENCE).stdout;
    assert!(report.contains(&format!("done {bytes} {hash}")), "{report}");
}

#[test]
fn s21_a_slow_reader_whose_window_closes_gets_every_byte() {
    python_receives("slow", volume() / 2);
}

#[test]
fn s46_a_reader_that_answers_meanwhile_gets_every_byte() {
    python_receives("answer", volume());
}

#[test]
fn s45_a_reader_that_finished_its_own_direction_first_gets_every_byte() {
    python_receives("half-close", volume());
}

#[test]
fn a_file_of_one_byte_and_one_just_over_a_segment_arrive() {
    for bytes in [1, 1461] {
        python_receives("plain", bytes);
    }
}
