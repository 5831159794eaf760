//! Many connections and little memory (`S5`), towards the kernel's TCP.

use serde_json::Value;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT};

const CONNS: usize = 50;

/// Sends a file on every connection at once, and returns the counters.
fn run(words: &str) -> Value {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(400_000);
    let socat = lab.socat();
    let words = format!("{KERNEL}:{PORT} --file {} -P {CONNS} --mbufs 512 {words} -J", file.display());
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    socat.says_times(CONNS, &hash, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    summary["counters"].clone()
}

fn count(counters: &Value, name: &str) -> u64 {
    counters[name].as_u64().unwrap_or_else(|| panic!("{name} in {counters}"))
}

#[test]
fn s5_little_memory_to_copy_into_is_shared_by_many_connections() {
    let counters = run("--send-memory 256K");
    let entered = count(&counters, "memory_pressure_entered");
    assert!(entered > 0 && count(&counters, "memory_waits") > 0, "{counters}");
    assert_eq!(entered, count(&counters, "memory_pressure_left"), "it is over in the end");
}

#[test]
fn s5_what_all_queues_may_hold_is_shared_by_many_connections() {
    let counters = run("--queue-memory 1M");
    let entered = count(&counters, "memory_pressure_entered");
    assert!(entered > 0, "{counters}");
    assert_eq!(entered, count(&counters, "memory_pressure_left"), "it is over in the end");
    let ample = run("");
    assert_eq!(count(&ample, "memory_pressure_entered") + count(&ample, "memory_waits"), 0, "{ample}");
}
