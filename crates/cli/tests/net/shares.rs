//! Where the time went, as the summary tells it (`S28`).

use rustix::process::Signal;
use serde_json::Value;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT, volume};

/// The shares of one connection or of all, in nanoseconds; they add up to the life.
fn shares(time: &Value) -> (u64, Vec<(String, u64)>) {
    let life = time["life_ns"].as_u64().expect("a life");
    let shares: Vec<(String, u64)> = time
        .as_object()
        .expect("shares by name")
        .iter()
        .filter(|(name, _)| *name != "life_ns")
        .map(|(name, share)| (name.clone(), share.as_u64().expect("nanoseconds")))
        .collect();
    assert_eq!(shares.iter().map(|(_, share)| share).sum::<u64>(), life, "{time}");
    (life, shares)
}

#[test]
fn s28_the_shares_of_every_connection_add_up_to_its_life() {
    let lab = Lab::new();
    let (file, hash) = lab.random_file(volume() / 4);
    let socat = lab.socat();
    let words = format!("{KERNEL}:{PORT} --file {} -P 4 -J", file.display());
    let outcome = lab.send(&words).ends_with(0, PATIENCE);
    socat.says_times(4, &hash, PATIENCE);
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let elapsed = (summary["elapsed_seconds"].as_f64().expect("a number") * 1e9) as u64;
    let connections = summary["connections"].as_array().expect("connections");
    let mut sum = 0;
    for connection in connections {
        let (life, _) = shares(&connection["time"]);
        sum += life;
        // From the SYN to the peer's FIN: no shorter than the transfer, but for those that were done before others.
        assert!(life > 0 && life < elapsed + 5_000_000_000, "{connection}");
        let count = |name: &str| connection[name].as_u64().expect("a count");
        assert!(count("sent_bursts") > 0 && count("sent_bursts") < count("sent_segments"), "{connection}");
        assert!(count("sent_segments") >= count("accepted_bytes") / count("mss_bytes"), "{connection}");
    }
    let (life, _) = shares(&summary["time"]);
    assert_eq!((connections.len(), life), (4, sum));
    let longest = connections.iter().map(|c| shares(&c["time"]).0).max();
    assert!(longest >= Some(elapsed / 10 * 9), "{longest:?} of {elapsed} ns");
}

#[test]
fn s28_a_receiver_that_does_not_read_takes_the_time() {
    let lab = Lab::new();
    let (file, _) = lab.random_file(volume());
    let mut receiver = lab.receiver("late", 1);
    let mut send = lab.send(&format!("{KERNEL}:{PORT} --file {} -i 1", file.display()));
    // The window closes within the first second, and the rest is the receiver's.
    send.says_times(2, " 0 bit/s ", PATIENCE);
    receiver.signal(Signal::USR1);
    let outcome = send.ends_with(0, PATIENCE);
    let line = outcome.stdout.lines().find(|line| line.starts_with("time ")).expect("a line of shares");
    let percent = |name: &str| {
        let before = line.split(&format!(" % {name}")).next().filter(|before| before.len() < line.len());
        before
            .and_then(|before| before.rsplit(' ').next())
            .map(|number| number.parse::<f64>().expect("a number"))
    };
    let elapsed = outcome.stdout.lines().find(|line| line.starts_with("acknowledged ")).expect("a summary");
    let elapsed = elapsed.split(" in ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a time");
    // A second at least, of two in which nothing was acknowledged.
    let waited =
        percent("peer's window").expect("a share") / 100.0 * elapsed.parse::<f64>().expect("seconds");
    assert!(waited > 1.0, "{waited} s: {line}");
    receiver.ends_with(0, PATIENCE);
}
