//! Tests in a network namespace of their own, where an ordinary user is root too.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs the test again in a network namespace of its own; returns when it is inside already.
pub(crate) fn enter_namespace(test: &str) {
    if std::env::var_os("TSONAMI_TEST_NAMESPACE").is_some() {
        return;
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let e = Command::new("unshare")
        .arg(if root { "-n" } else { "-Urn" })
        .arg(std::env::current_exe().expect("our own path"))
        .args(["--exact", test, "--nocapture"])
        .env("TSONAMI_TEST_NAMESPACE", "1")
        .exec();
    panic!("unshare: {e}");
}
