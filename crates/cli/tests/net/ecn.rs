//! Explicit Congestion Notification with the kernel at the other end (`S35`).

use serde_json::Value;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT};

/// What a transfer with these words says of ECN: whether it was agreed on, and in the form that counts.
fn agreed(lab: &Lab, words: &str) -> (bool, bool) {
    let words = format!("{KERNEL}:{PORT} -n 200K {words} --check-tx -J");
    let said = lab.send(&words).ends_with(0, PATIENCE).stdout;
    let json: Value = serde_json::from_str(&said).expect("JSON");
    let fact = |name: &str| json["connections"][0]["stats"][name].as_bool().expect("a fact");
    (fact("ecn"), fact("accurate_ecn"))
}

/// A kernel that is not told to use Accurate ECN knows the SYN that asks for it as one that asks for RFC 3168.
#[test]
fn s35_rfc9768_a_kernel_without_accurate_ecn_agrees_to_what_it_knows() {
    let lab = Lab::new();
    let _socat = lab.socat();
    assert_eq!(agreed(&lab, "--ecn accurate"), (true, false));
    assert_eq!(agreed(&lab, "--ecn off"), (false, false));
    lab.spawn("sh", ["-c", "echo 0 > /proc/sys/net/ipv4/tcp_ecn"]).ends_with(0, PATIENCE);
    assert_eq!(agreed(&lab, "--ecn accurate"), (false, false));
}
