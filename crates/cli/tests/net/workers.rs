//! `--workers` over a TAP with a queue for each (P8).

use serde_json::Value;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT};

#[test]
fn p8_workers_share_the_connections_and_all_is_summed_up() {
    let lab = Lab::new();
    let receiver = lab.receiver("plain", 5);
    let words = format!("{KERNEL}:{PORT} -n 10M -P 5 --workers 2 --check-tx --sha256 --interval 10ms -J");
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(summary["acknowledged_bytes"], 10 << 20);
    assert_eq!(summary["connections"].as_array().expect("connections").len(), 5);
    let of = |worker: usize, name: &str| summary["workers"][worker][name].as_u64().expect("a number");
    assert_eq!((of(0, "connections"), of(1, "connections")), (3, 2));
    assert_eq!(of(0, "acknowledged_bytes") + of(1, "acknowledged_bytes"), 10 << 20);
    for worker in 0..2 {
        let counters = &summary["workers"][worker]["counters"];
        assert!(counters["tx_segments"].as_u64().expect("a number") > 0, "{counters}");
    }
    assert!(summary["steering"].as_str().expect("text").contains("arrived at their worker's queue"));
    // The intervals are those of all.
    let intervals = summary["intervals"].as_array().expect("intervals").iter();
    let bytes = |interval: &Value| interval["acknowledged_bytes"].as_u64().expect("a number");
    assert_eq!(intervals.map(bytes).sum::<u64>(), 10 << 20);
    for connection in summary["connections"].as_array().expect("connections") {
        receiver.says(connection["sha256"].as_str().expect("a hash"), PATIENCE);
    }
}

#[test]
fn p8_when_one_worker_cannot_connect_all_end() {
    let lab = Lab::new();
    let outcome = lab.send(&format!("{KERNEL}:{PORT} -t 60 -P 4 --workers 2 -J")).ends_with(4, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(summary["error"]["exit_code"], 4);
}

#[test]
fn a_worker_without_a_connection_is_refused() {
    let lab = Lab::new();
    let outcome = lab.send(&format!("{KERNEL}:{PORT} --workers 3 -P 2")).ends_with(2, PATIENCE);
    assert!(outcome.stderr.contains("--parallel 3"), "{}", outcome.stderr);
}

#[test]
fn p8_workers_serve_as_one() {
    let lab = Lab::new();
    let mut server = lab.serve("--workers 2 -n 12");
    let script = "import socket, threading, hashlib
def send(n):
    data = bytes([n]) * 300000
    c = socket.create_connection(('10.77.0.2', 5001)); c.sendall(data); c.shutdown(socket.SHUT_WR)
    c.recv(1); sent.append(hashlib.sha256(data).hexdigest())
sent = []
all = [threading.Thread(target=send, args=(n,)) for n in range(12)]
[t.start() for t in all]; [t.join() for t in all]; print('\\n'.join(sent))";
    let client = lab.spawn("/usr/bin/python3", ["-c", script]).ends_with(0, PATIENCE);
    let outcome = server.ends_with(0, PATIENCE);
    for hash in client.stdout.lines() {
        assert!(outcome.stdout.contains(hash), "{}", outcome.stdout);
    }
    assert_eq!(client.stdout.lines().count(), 12);
    assert!(outcome.stdout.contains("12 connections, 3 600 000 bytes"), "{}", outcome.stdout);
}
