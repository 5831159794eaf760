//! Hugepages for a turn, given back after it.

use std::fs;

use crate::failure::Failure;
use crate::needs::Need;

const PAGES: &str = "/proc/sys/vm/nr_hugepages";

/// Pages that were reserved. Counted, not set, so that several programs at once do not take each other's.
#[derive(Debug)]
pub(super) struct Hugepages(u64);

impl Hugepages {
    /// As many as these needs name; those that are free already count.
    pub(super) fn reserve(needs: &[Need]) -> Result<Hugepages, Failure> {
        let wanted = needs.iter().map(|need| match need {
            Need::Hugepages(n) => *n as u64,
            _ => 0,
        });
        let wanted: u64 = wanted.sum();
        let more = wanted.saturating_sub(free());
        if more == 0 {
            return Ok(Hugepages(0));
        }
        let reserved = Hugepages(more);
        add(more, 0)?;
        match free() {
            there if there >= wanted => Ok(reserved),
            there => Err(Failure::new(format!(
                "{wanted} hugepages are needed and the kernel has {there}: memory is fragmented or short"
            ))
            .mend(format!(
                "reboot, or reserve them at boot: hugepages={wanted} on the kernel's command line"
            ))),
        }
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        // Whoever could raise the number can lower it.
        let _ = add(0, self.0);
    }
}

fn free() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

fn add(more: u64, less: u64) -> Result<(), Failure> {
    if more == less {
        return Ok(());
    }
    let change = || {
        let there: u64 = fs::read_to_string(PAGES)?.trim().parse().map_err(std::io::Error::other)?;
        fs::write(PAGES, (there + more).saturating_sub(less).to_string())
    };
    change().map_err(|error| {
        Failure::new(format!("cannot reserve hugepages: {error}"))
            .mend("run it as root: sudo tsonami-bench …")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_none_reserves_none() {
        assert_eq!(Hugepages::reserve(&[Need::Root, Need::Cpus(2)]).expect("nothing to do").0, 0);
    }
}
