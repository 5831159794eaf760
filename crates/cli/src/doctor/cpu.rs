//! Cores and how fast they run.

use super::{Finding, Host};

/// The number of cores, and a governor that would make them run slowly.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let cpus = "/sys/devices/system/cpu";
    let is_core = |n: &String| {
        n.strip_prefix("cpu").is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    };
    let cores: Vec<String> = host.names(cpus).into_iter().filter(is_core).collect();
    let governors: Vec<String> =
        cores.iter().filter_map(|c| host.read(&format!("{cpus}/{c}/cpufreq/scaling_governor"))).collect();
    let slow = governors.iter().find(|g| *g != "performance");
    let count = cores.len();
    let mut findings = vec![match slow {
        Some(governor) => {
            Finding::note("cores", format!("{count}, with the '{governor}' governor: figures will vary"))
                .mend("echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
        }
        None if governors.is_empty() => {
            Finding::good("cores", format!("{count}, no frequency scaling to be seen"))
        }
        None => Finding::good("cores", format!("{count}, with the performance governor")),
    }];
    if count == 1 {
        findings
            .push(Finding::note("cores", "sender and receiver share one core: --wait park leaves it time"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put};
    use super::*;

    #[test]
    fn a_saving_governor_is_named_with_its_cure() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
        put(root.path(), "/sys/devices/system/cpu/cpufreq/boost", "1\n");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Note);
        assert!(findings[0].state.starts_with("1, with the 'powersave'"), "{}", findings[0]);
        assert!(findings[0].mend[0].contains("scaling_governor"));
        assert!(findings[1].state.contains("--wait park"));
    }
}
