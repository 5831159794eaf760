//! Network cards, and the drivers that hand them to userspace.

use super::{Finding, Host};

/// A network card on the PCI bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Nic {
    /// For example `0000:3b:00.0`.
    pub(crate) address: String,
    /// Vendor and device, for example `8086:1572`.
    pub(crate) id: String,
    /// The kernel driver that holds it, if any.
    pub(crate) driver: Option<String>,
    /// Its interfaces, while a kernel driver holds it.
    pub(crate) interfaces: Vec<String>,
}

/// Kernel drivers that hand a card to userspace.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "igb_uio", "uio_pci_generic"];
/// Kernel drivers beside which DPDK works (bifurcated).
const SHARED_DRIVERS: [&str; 2] = ["mlx5_core", "mlx4_core"];
/// PCI base class of network controllers.
const NETWORK_CLASS: &str = "0x02";

impl Nic {
    /// True when DPDK can use it as it is.
    pub(crate) fn usable(&self) -> bool {
        let driver = self.driver.as_deref().unwrap_or_default();
        USERSPACE_DRIVERS.contains(&driver) || SHARED_DRIVERS.contains(&driver)
    }
}

/// The cards on this machine's PCI bus.
pub(crate) fn list(host: &Host) -> Vec<Nic> {
    let bus = "/sys/bus/pci/devices";
    host.names(bus)
        .into_iter()
        .filter(|a| {
            host.read(&format!("{bus}/{a}/class")).is_some_and(|class| class.starts_with(NETWORK_CLASS))
        })
        .map(|address| {
            let id = |what| {
                let value = host.read(&format!("{bus}/{address}/{what}")).unwrap_or_default();
                value.trim_start_matches("0x").to_owned()
            };
            let mut interfaces = host.names(&format!("{bus}/{address}/net"));
            // A virtio card's interfaces hang off its virtio device.
            for name in host.names(&format!("{bus}/{address}")).iter().filter(|n| n.starts_with("virtio")) {
                interfaces.extend(host.names(&format!("{bus}/{address}/{name}/net")));
            }
            Nic {
                id: format!("{}:{}", id("vendor"), id("device")),
                driver: host.link_name(&format!("{bus}/{address}/driver")),
                interfaces,
                address,
            }
        })
        .collect()
}

/// Which cards DPDK can use, and how to hand over the others.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    let nics = list(host);
    for nic in &nics {
        let subject = format!("card {}", nic.address);
        let driver = nic.driver.as_deref().unwrap_or("no driver");
        findings.push(if nic.usable() {
            Finding::good(subject, format!("{} on {driver}: --dev pci:{}", nic.id, nic.address))
        } else if nic.interfaces.is_empty() {
            Finding::note(subject, format!("{} on {driver}", nic.id))
                .mend(format!("sudo dpdk-devbind.py -b vfio-pci {}", nic.address))
        } else {
            Finding::note(
                subject,
                format!(
                    "{} on {driver}, the kernel's {}: leave it there unless you can do without that interface",
                    nic.id,
                    nic.interfaces.join(" ")
                ),
            )
        });
    }
    if nics.is_empty() {
        findings.push(Finding::note("cards", "no network card on the PCI bus"));
    }
    let groups = host.names("/sys/kernel/iommu_groups");
    findings.push(match (host.exists("/dev/vfio/vfio"), groups.is_empty()) {
        (true, false) => Finding::good("VFIO", format!("/dev/vfio/vfio with {} IOMMU groups", groups.len())),
        (true, true) => {
            Finding::note("VFIO", "/dev/vfio/vfio without an IOMMU: only in the unsafe no-IOMMU mode")
                .mend("add intel_iommu=on iommu=pt (Intel) to the kernel's command line and reboot")
        }
        (false, _) => Finding::note("VFIO", "no /dev/vfio/vfio: only Mellanox cards could be used by DPDK")
            .mend("sudo modprobe vfio-pci"),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put};
    use super::*;
    use std::os::unix::fs::symlink;

    fn card(root: &std::path::Path, address: &str, driver: &str) {
        let device = format!("/sys/bus/pci/devices/{address}");
        put(root, &format!("{device}/class"), "0x020000\n");
        put(root, &format!("{device}/vendor"), "0x8086\n");
        put(root, &format!("{device}/device"), "0x1572\n");
        symlink(format!("../../../drivers/{driver}"), root.join(&device[1..]).join("driver")).unwrap();
    }

    #[test]
    fn a_bound_card_is_named_as_dev_takes_it() {
        let root = tempfile::tempdir().unwrap();
        card(root.path(), "0000:3b:00.0", "vfio-pci");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Ok);
        assert_eq!(findings[0].state, "8086:1572 on vfio-pci: --dev pci:0000:3b:00.0");
    }

    #[test]
    fn a_card_in_use_by_the_kernel_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        card(root.path(), "0000:3b:00.0", "i40e");
        put(root.path(), "/sys/bus/pci/devices/0000:3b:00.0/net/eth0/mtu", "1500");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].health, Health::Note);
        assert!(findings[0].mend.is_empty() && findings[0].state.contains("eth0"), "{}", findings[0]);
    }

    #[test]
    fn a_card_nobody_uses_comes_with_the_binding_command() {
        let root = tempfile::tempdir().unwrap();
        card(root.path(), "0000:3b:00.0", "i40e");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].mend, ["sudo dpdk-devbind.py -b vfio-pci 0000:3b:00.0"]);
    }

    #[test]
    fn other_devices_are_no_cards() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/sys/bus/pci/devices/0000:00:01.0/class", "0x030000\n");
        assert!(list(&made_up(root.path())).is_empty());
    }
}
