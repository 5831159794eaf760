//! Hugepages: needed by network cards and vhost-user wires, not by TAP.

use super::{Finding, Host};
use crate::units::Size;

/// What two processes on a vhost-user wire need at the least.
const WANTED: u64 = 1 << 30;

/// How many are reserved and free.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let subject = "hugepages";
    let folder = "/sys/kernel/mm/hugepages";
    let mut free = 0;
    let mut described = Vec::new();
    for name in host.names(folder) {
        let Some(kib) =
            name.strip_prefix("hugepages-").and_then(|n| n.strip_suffix("kB")?.parse::<u64>().ok())
        else {
            continue;
        };
        let count = host.number(&format!("{folder}/{name}/free_hugepages")).unwrap_or(0);
        let reserved = host.number(&format!("{folder}/{name}/nr_hugepages")).unwrap_or(0);
        free += count * kib * 1024;
        if reserved > 0 {
            described.push(format!("{count} of {reserved} pages of {} free", Size(kib * 1024)));
        }
    }
    if described.is_empty() {
        return vec![
            Finding::missing(
                subject,
                "none are reserved; TAP works without, network cards and vhost-user wires do not",
            )
            .mend(reserve(host, WANTED)),
        ];
    }
    // Where hugetlbfs is mounted does not matter: EAL is started with `--in-memory` and takes pages without files.
    let state = described.join(", ");
    vec![if free < WANTED {
        Finding::note(subject, format!("{state}; a vhost-user wire wants {} for its two ends", Size(WANTED)))
            .mend(reserve(host, WANTED - free))
    } else {
        Finding::good(subject, state)
    }]
}

/// The command that reserves so many bytes more: beside the pages there are, which others may use.
pub(crate) fn reserve(host: &Host, missing: u64) -> String {
    let now = host.number("/proc/sys/vm/nr_hugepages").unwrap_or(0);
    let pages = missing.div_ceil(page_bytes(host));
    format!("echo {} | sudo tee /proc/sys/vm/nr_hugepages", now + pages)
}

/// The size that `nr_hugepages` counts in.
fn page_bytes(host: &Host) -> u64 {
    let meminfo = host.read("/proc/meminfo").unwrap_or_default();
    let size = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"));
    let kib: Option<u64> = size.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.filter(|kib| *kib > 0).map_or(2 << 20, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put};
    use super::*;

    fn pages(root: &std::path::Path, reserved: u64, free: u64) {
        put(root, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", &reserved.to_string());
        put(root, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &free.to_string());
        put(root, "/proc/sys/vm/nr_hugepages", &reserved.to_string());
    }

    #[test]
    fn no_hugepages_is_missing_not_broken_and_names_the_command() {
        let root = tempfile::tempdir().unwrap();
        pages(root.path(), 0, 0);
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Missing);
        assert_eq!(findings[0].mend, ["echo 512 | sudo tee /proc/sys/vm/nr_hugepages"]);
    }

    #[test]
    fn pages_in_use_are_not_counted_as_free() {
        let root = tempfile::tempdir().unwrap();
        pages(root.path(), 600, 100);
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Note);
        assert_eq!(findings[0].mend, ["echo 1012 | sudo tee /proc/sys/vm/nr_hugepages"]);
        pages(root.path(), 600, 600);
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Ok);
    }

    #[test]
    fn reserved_pages_are_good_without_a_mount() {
        let root = tempfile::tempdir().unwrap();
        pages(root.path(), 512, 512);
        let findings = check(&made_up(root.path()));
        assert_eq!(findings.iter().map(|f| f.health).collect::<Vec<_>>(), [Health::Ok]);
    }

    #[test]
    fn what_is_missing_is_counted_in_the_machines_pages_beside_those_there_are() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/proc/meminfo", "MemTotal: 1 kB\nHugepagesize:    1048576 kB\n");
        put(root.path(), "/proc/sys/vm/nr_hugepages", "3");
        let command = reserve(&made_up(root.path()), (1 << 30) + 1);
        assert_eq!(command, "echo 5 | sudo tee /proc/sys/vm/nr_hugepages");
    }
}
