//! The machine and the programs that figures are of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// CPUs that are there.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What a reader needs to know to take the figures anew. What cannot be read says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) numa_nodes: usize,
    /// Of CPU 0, level and kind by size.
    pub(crate) caches: BTreeMap<String, String>,
    pub(crate) governor: String,
    pub(crate) memory_mib: u64,
    pub(crate) virtual_machine: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// Programs and libraries by version.
    pub(crate) versions: BTreeMap<String, String>,
    /// Of this program's source.
    pub(crate) commit: String,
    /// The source differs from the commit.
    pub(crate) dirty: bool,
}

/// What is not there.
const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one.
    pub(crate) fn read() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib =
            value(&meminfo, "MemTotal:").split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let flags = value(&cpuinfo, "flags");
        let virtual_machine = match text("/sys/class/dmi/id/product_name") {
            _ if !flags.split(' ').any(|flag| flag == "hypervisor") => "no".to_owned(),
            Some(product) => format!("yes: {product}"),
            None => "yes".to_owned(),
        };
        Machine {
            cpu: value(&cpuinfo, "model name").to_owned(),
            cpus: cpus(),
            numa_nodes: folders("/sys/devices/system/node", "node").len().max(1),
            caches: caches(),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .unwrap_or_else(|| UNKNOWN.into()),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            virtual_machine,
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_else(|| UNKNOWN.into()),
            system: system.unwrap_or(UNKNOWN).trim_matches('"').to_owned(),
            versions: versions(),
            commit: says("git", &["rev-parse", "HEAD"]).unwrap_or_else(|| UNKNOWN.into()),
            dirty: says("git", &["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
        }
    }

    /// As rows of a table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let caches: Vec<String> = self.caches.iter().map(|(name, size)| format!("{name} {size}")).collect();
        let commit = if self.dirty { format!("{}, changed", self.commit) } else { self.commit.clone() };
        let mut rows = vec![
            ("CPU".to_owned(), self.cpu.clone()),
            ("CPUs, NUMA nodes".to_owned(), format!("{}, {}", self.cpus, self.numa_nodes)),
            ("Caches of CPU 0".to_owned(), caches.join(", ")),
            ("Governor".to_owned(), self.governor.clone()),
            ("Memory".to_owned(), format!("{} MiB", self.memory_mib)),
            ("Virtual machine".to_owned(), self.virtual_machine.clone()),
            ("Kernel".to_owned(), self.kernel.clone()),
            ("System".to_owned(), self.system.clone()),
            ("Commit".to_owned(), commit),
        ];
        rows.extend(self.versions.iter().map(|(name, version)| (name.clone(), version.clone())));
        rows
    }
}

/// What follows a name in the kernel's tables, `name : value`.
fn value<'a>(table: &'a str, name: &str) -> &'a str {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(UNKNOWN, |line| line.trim_start_matches([':', ' ', '\t']))
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Folders of this kind: the name and a number.
fn folders(parent: &str, name: &str) -> Vec<std::path::PathBuf> {
    let numbered = |file: &str| {
        file.strip_prefix(name).is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter(|entry| numbered(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

fn caches() -> BTreeMap<String, String> {
    let cache = |folder: std::path::PathBuf| {
        let kind = match text(folder.join("type"))?.as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        Some((format!("L{}{kind}", text(folder.join("level"))?), text(folder.join("size"))?))
    };
    folders("/sys/devices/system/cpu/cpu0/cache", "index").into_iter().filter_map(cache).collect()
}

/// Of those that are there, and of those that are not that they are not.
fn versions() -> BTreeMap<String, String> {
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let of = [
        ("DPDK", says("pkg-config", &["--modversion", "libdpdk"])),
        ("iperf3", says("iperf3", &["--version"]).map(first_line)),
        ("rustc", says("rustc", &["--version"])),
    ];
    of.into_iter()
        .map(|(name, version)| (name.to_owned(), version.unwrap_or_else(|| "not installed".into())))
        .collect()
}

/// What a program prints, if it is there and succeeds.
fn says(program: &str, words: &[&str]) -> Option<String> {
    let out = Command::new(program).args(words).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_told() {
        let machine = Machine::read();
        assert!(machine.cpus > 0 && machine.memory_mib > 0, "{machine:?}");
        assert_ne!(machine.kernel, UNKNOWN);
        assert!(machine.rows().iter().any(|(name, version)| name == "DPDK" && !version.is_empty()));
    }

    #[test]
    fn a_table_of_the_kernels_is_read_by_name() {
        assert_eq!(value("MemTotal:       24 kB\nOther: 1\n", "MemTotal:"), "24 kB");
        assert_eq!(value("model name\t: AMD EPYC\n", "model name"), "AMD EPYC");
        assert_eq!(value("", "model name"), UNKNOWN);
    }
}
