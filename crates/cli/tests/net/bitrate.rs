//! `--bitrate` over a TAP (`S25`). How exact it is under a busy machine no test can say; that it is never exceeded, one can.

use serde_json::Value;

use crate::frames;
use crate::lab::{KERNEL, Lab, PATIENCE, PORT};

#[test]
fn s25_a_bitrate_is_never_exceeded() {
    let lab = Lab::new();
    let _receiver = lab.receiver("plain", 2);
    let capture = lab.path("bitrate.pcap");
    let words = format!("{KERNEL}:{PORT} --bitrate 10M -P 2 -t 1 -J --pcap {}", capture.display());
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(summary["asked_bits_per_second"], 10_000_000);
    assert_eq!(summary["options"]["max_pacing_rate"], 5_000_000);
    for connection in summary["connections"].as_array().expect("connections") {
        assert_eq!(connection["stats"]["pacing_bits_per_second"], 5_000_000);
        assert!(connection["time"]["pacing_ns"].as_u64().expect("nanoseconds") > 0, "{connection}");
    }
    let sent: Vec<_> = frames::read(&capture, [10, 77, 0, 2]);
    let sent: Vec<_> = sent.iter().filter(|frame| frame.ours && frame.len > 0).collect();
    let (first, last) = (sent.first().expect("a frame").at, sent.last().expect("a frame").at);
    let bytes: u64 = sent.iter().map(|frame| frame.len as u64).sum();
    // From the first frame to the last: no more than the rate, and a burst of each connection. A burst is two segments
    // here, or what passes while the loop is away, which on a busy machine is up to 20 ms.
    let most = (last - first) / 800 + 2 * 25_000;
    assert!(bytes <= most, "{bytes} bytes in {} us", (last - first) / 1_000);
    // It did send, and as many bytes as were acknowledged.
    assert!(bytes >= summary["acknowledged_bytes"].as_u64().expect("bytes"), "{bytes}");
}

#[test]
fn s25_what_the_rate_holds_back_is_no_silence_of_the_peers() {
    let lab = Lab::new();
    let _receiver = lab.receiver("plain", 1);
    // Between two segments passes more time than the peer may be silent, for the protocol and for the run.
    let words = format!("{KERNEL}:{PORT} -n 4000 --max-pacing-rate 8000 --timeout 300ms -J");
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(summary["acknowledged_bytes"], 4000);
}
