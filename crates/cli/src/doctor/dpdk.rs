//! The library and its drivers.

use super::{Finding, Host};

/// The DPDK that is linked. Its drivers are shared objects beside it: without `net_tap` there is no TAP.
pub(super) fn library(host: &Host) -> Finding {
    let version = host.dpdk_version.trim_start_matches("DPDK ");
    let folders: Vec<String> = ["/usr/lib", "/usr/local/lib", "/usr/lib64", "/usr/local/lib64"]
        .iter()
        .flat_map(|lib| {
            let multiarch = host
                .names(lib)
                .into_iter()
                .filter(|name| name.ends_with("-linux-gnu"))
                .map(move |name| format!("{lib}/{name}"));
            multiarch.chain([(*lib).to_owned()])
        })
        .flat_map(|lib| {
            let below =
                host.names(&format!("{lib}/dpdk")).into_iter().map(move |name| format!("{lib}/dpdk/{name}"));
            below.filter(|path| path.contains("/pmds-")).collect::<Vec<_>>()
        })
        .collect();
    match folders
        .iter()
        .find(|folder| host.names(folder).iter().any(|name| name.starts_with("librte_net_tap")))
    {
        Some(folder) => Finding::good("DPDK", format!("{version}, drivers in {folder}")),
        None if folders.is_empty() => Finding::note(
            "DPDK",
            format!("{version}; no folder of drivers in the usual places, so they may be linked in"),
        ),
        None => Finding::missing(
            "DPDK",
            format!("{version}, but the TAP driver is not in {}", folders.join(", ")),
        )
        .mend("sudo apt-get install dpdk libdpdk-dev"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put};
    use super::*;

    #[test]
    fn a_missing_tap_driver_names_the_package() {
        let root = tempfile::tempdir().unwrap();
        let pmds = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0";
        let host = made_up(root.path());
        assert_eq!(library(&host).health, Health::Note);
        put(root.path(), &format!("{pmds}/librte_net_null.so.23"), "");
        let finding = library(&host);
        assert_eq!(finding.health, Health::Missing);
        assert!(finding.mend[0].contains("apt-get install"));
        put(root.path(), &format!("{pmds}/librte_net_tap.so.23"), "");
        assert_eq!(library(&host).state, format!("22.11.11, drivers in {pmds}"));
    }
}
