//! Hugepages: needed by network cards and vhost-user wires, not by TAP.

use super::{Finding, Host};
use crate::units::Size;

/// What two processes on a vhost-user wire need at the least.
const WANTED: u64 = 1 << 30;

/// How many are reserved and free, and where they are mounted.
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
            .mend(reserve(host)),
        ];
    }
    let mut findings = Vec::new();
    let state = described.join(", ");
    findings.push(if free < WANTED {
        Finding::note(subject, format!("{state}; a vhost-user wire wants {} for its two ends", Size(WANTED)))
            .mend(reserve(host))
    } else {
        Finding::good(subject, state)
    });
    let mounts = host.read("/proc/mounts").unwrap_or_default();
    match mounts.lines().map(|l| l.split(' ')).find_map(|mut l| {
        let place = l.nth(1)?;
        (l.next()? == "hugetlbfs").then_some(place)
    }) {
        Some(place) => findings.push(Finding::good("hugetlbfs", format!("mounted at {place}"))),
        None => findings.push(
            Finding::missing("hugetlbfs", "not mounted, so EAL cannot use the pages that are reserved")
                .mend("sudo mkdir -p /dev/hugepages && sudo mount -t hugetlbfs nodev /dev/hugepages"),
        ),
    }
    findings
}

/// The command that reserves enough; never fewer than there are.
fn reserve(host: &Host) -> String {
    let now = host.number("/proc/sys/vm/nr_hugepages").unwrap_or(0);
    format!("echo {} | sudo tee /proc/sys/vm/nr_hugepages", (WANTED >> 21) + now)
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
        put(root.path(), "/proc/mounts", "nodev /dev/hugepages hugetlbfs rw 0 0\n");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Note);
        assert_eq!(findings[0].mend, ["echo 1112 | sudo tee /proc/sys/vm/nr_hugepages"]);
        assert_eq!(findings[1].state, "mounted at /dev/hugepages");
        pages(root.path(), 600, 600);
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Ok);
    }

    #[test]
    fn reserved_pages_without_a_mount_are_no_use() {
        let root = tempfile::tempdir().unwrap();
        pages(root.path(), 512, 512);
        let findings = check(&made_up(root.path()));
        assert_eq!((findings[1].subject.as_str(), findings[1].health), ("hugetlbfs", Health::Missing));
    }
}
