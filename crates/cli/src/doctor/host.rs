//! The machine as the doctor sees it: files under a root, and who we are.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A machine: this one, or a made-up one in a test.
pub(crate) struct Host {
    root: PathBuf,
    /// Version of the DPDK that is linked.
    pub(crate) dpdk_version: String,
}

/// Bits of the capability sets in `/proc/self/status` (capabilities(7)).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Capability {
    /// Configure interfaces, make TAPs.
    NetAdmin = 12,
    /// Open packet sockets.
    NetRaw = 13,
}

impl Host {
    /// The machine we run on.
    pub(crate) fn this_machine() -> Host {
        Host { root: PathBuf::from("/"), dpdk_version: tsonami::dpdk_version() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The trimmed contents of a file, or `None` when it cannot be read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(path)).ok()?.trim().to_owned())
    }

    /// A file's contents as a number.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Opens a device for reading and writing and closes it again.
    pub(crate) fn try_open(&self, path: &str) -> io::Result<()> {
        fs::File::options().read(true).write(true).open(self.path(path)).map(drop)
    }

    /// Names in a folder, sorted; empty when there is none.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The last part of what a symbolic link points to.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The value behind `key:` in `/proc/self/status`.
    fn status(&self, key: &str) -> Option<String> {
        let status = self.read("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }

    /// Effective user id, inside our user namespace.
    pub(crate) fn euid(&self) -> Option<u32> {
        self.status("Uid")?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether we have a capability, in our user namespace.
    pub(crate) fn has(&self, capability: Capability) -> bool {
        let effective = self.status("CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
        effective.is_some_and(|set| set >> capability as u32 & 1 == 1)
    }

    /// True in a user namespace other than the machine's first.
    pub(crate) fn in_user_namespace(&self) -> bool {
        // The first namespace maps all 2^32 - 1 ids to themselves.
        let map = self.read("/proc/self/uid_map").unwrap_or_default();
        !map.is_empty() && map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
    }
}

/// Made-up machines.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;

    use super::*;

    /// A machine made of files below `root`.
    pub(crate) fn made_up(root: &Path) -> Host {
        Host { root: root.to_owned(), dpdk_version: "DPDK 22.11.11".into() }
    }

    /// Writes `contents` below `root`, making folders as needed.
    pub(crate) fn put(root: &Path, path: &str, contents: &str) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Makes the made-up user: root or not, with these capability bits.
    pub(crate) fn put_user(root: &Path, euid: u32, capabilities: u64) {
        let status =
            format!("Name:\tx\nUid:\t{euid}\t{euid}\t{euid}\t{euid}\nCapEff:\t{capabilities:016x}\n");
        put(root, "/proc/self/status", &status);
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{made_up, put, put_user};
    use super::*;

    #[test]
    fn who_we_are_is_read_from_proc() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 1000, 1 << 12);
        put(root.path(), "/proc/self/uid_map", "         0          0 4294967295\n");
        let host = made_up(root.path());
        assert_eq!(host.euid(), Some(1000));
        assert!(host.has(Capability::NetAdmin));
        assert!(!host.has(Capability::NetRaw));
        assert!(!host.in_user_namespace());
        put(root.path(), "/proc/self/uid_map", "         0       1000          1\n");
        assert!(host.in_user_namespace());
    }
}
