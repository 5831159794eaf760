//! A router on the way whose next link takes less than ours (`S7`).

use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::lab::{FAR, Lab, PATIENCE, PORT, volume};

/// The largest payload of a segment with timestamps in a packet of `mtu` bytes.
fn mss(mtu: u64) -> Option<u64> {
    Some(mtu - 20 - 20 - 12)
}

/// The MSS in the end, of the one connection, which brought everything.
fn ended_with(stdout: &str) -> Option<u64> {
    let summary: Value = serde_json::from_str(stdout).expect("JSON");
    assert_eq!(summary["complete"], true, "{summary}");
    summary["connections"][0]["mss_bytes"].as_u64()
}

/// Bytes that the kernel there received and nobody read.
fn unread(lab: &Lab) -> u64 {
    let table = lab.run("ss --tcp --numeric --no-header state established");
    table.split_whitespace().next().map_or(0, |bytes| bytes.parse().expect("a number"))
}

#[test]
fn s7_a_router_with_a_smaller_mtu_lowers_the_mss_and_every_byte_arrives() {
    let lab = Lab::new();
    let far = lab.behind_a_router(1000);
    let (file, hash) = lab.random_file(volume() / 4);
    let socat = far.socat();
    let words = format!("{FAR}:{PORT} --file {} -J --check-tx", file.display());
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    socat.says(&hash, PATIENCE);
    assert_eq!(ended_with(&outcome.stdout), mss(1000));
    // The far side announced what its own link takes: only the router can have said so.
    assert_eq!(lab.kernel_counter("IpFragCreates"), 0, "nothing was cut on the way");
    assert!(lab.kernel_counter("IpFragFails") > 0);
}

#[test]
fn s7_a_path_that_becomes_smaller_under_way_is_believed_after_a_timeout() {
    let lab = Lab::new();
    let far = lab.behind_a_router(1400);
    let bytes = volume();
    let (file, hash) = lab.random_file(bytes);
    let mut receiver = far.receiver("late", 1);
    let mut send = lab.send(&format!("{FAR}:{PORT} --file {} -J", file.display()));
    // The window fills with segments of the first size, and opens on a smaller path.
    receiver.says("accepted", PATIENCE);
    let began = Instant::now();
    while unread(&far) < 50_000 {
        assert!(began.elapsed() < PATIENCE, "nothing arrives");
    }
    lab.run("ip link set ts-far mtu 800");
    receiver.signal(Signal::USR1);
    let outcome = send.ends_with(0, PATIENCE);
    let report = receiver.ends_with(0, PATIENCE).stdout;
    assert!(report.contains(&format!("done {bytes} {hash}")), "{report}");
    assert_eq!(ended_with(&outcome.stdout), mss(800));
}
