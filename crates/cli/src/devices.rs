//! `tsonami devices`: what a device can do, or what devices there are.

use serde::Serialize;
use tsonami::{PortInfo, RxOffloads, TxOffloads};

use crate::args::DevicesArgs;
use crate::console::Console;
use crate::doctor::{Host, nics};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{settings, start};

/// Runs `tsonami devices`.
pub(crate) fn run(args: &DevicesArgs, console: &Console) -> Result<Exit, Failure> {
    let text = if let Some(dev) = &args.spec.dev {
        let config = settings::config_to_look_at(dev, &args.memory)?;
        let info = start::builder(&config, console)?.probe().map_err(|e| start::failure(&e, &config))?;
        let device = Device::new(config.device, &info);
        if args.json { json(&device)? } else { device.text() }
    } else {
        let present = present(&Host::this_machine());
        if args.json { json(&present)? } else { list(&present) }
    };
    console.print(&text)?;
    Ok(Exit::Success)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|e| Failure::new(Exit::File, format!("cannot write JSON: {e}")))? + "\n")
}

/// What a device can do. Field names are the keys of the JSON; a limit that the driver does not know is `null`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Device {
    device: String,
    name: String,
    driver: String,
    mac: String,
    numa_node: Option<i32>,
    min_mtu_bytes: u16,
    max_mtu_bytes: u16,
    receive_queues: u16,
    transmit_queues: u16,
    receive_ring: [u16; 2],
    transmit_ring: [u16; 2],
    max_chain_segments: Option<u16>,
    max_chain_segments_per_packet: Option<u16>,
    tcp_checksum: bool,
    ipv4_checksum: bool,
    tso: bool,
    multi_segment: bool,
    rss_table_entries: u16,
    transmit_offloads: Vec<String>,
    receive_offloads: Vec<String>,
}

/// Drivers say 0 or this for "unknown".
fn known(limit: u16) -> Option<u16> {
    (limit != 0 && limit != u16::MAX).then_some(limit)
}

impl Device {
    fn new(device: String, info: &PortInfo) -> Device {
        let sends = |offload| info.tx_offloads.contains(offload);
        Device {
            device,
            name: info.name.clone(),
            driver: info.driver.clone(),
            mac: info.mac.map(|byte| format!("{byte:02x}")).join(":"),
            numa_node: info.socket,
            min_mtu_bytes: info.min_mtu,
            max_mtu_bytes: info.max_mtu,
            receive_queues: info.max_rx_queues,
            transmit_queues: info.max_tx_queues,
            receive_ring: [info.rx_ring.0, info.rx_ring.1],
            transmit_ring: [info.tx_ring.0, info.tx_ring.1],
            max_chain_segments: known(info.nb_seg_max),
            max_chain_segments_per_packet: known(info.nb_mtu_seg_max),
            tcp_checksum: sends(TxOffloads::TCP_CKSUM),
            ipv4_checksum: sends(TxOffloads::IPV4_CKSUM),
            tso: sends(TxOffloads::TCP_TSO),
            multi_segment: sends(TxOffloads::MULTI_SEGS),
            rss_table_entries: info.rss_table_size,
            transmit_offloads: info.tx_offloads.names(),
            receive_offloads: RxOffloads::names(info.rx_offloads),
        }
    }

    fn text(&self) -> String {
        let yes = |has: bool, otherwise: &'static str| if has { "by the device" } else { otherwise };
        let limit = |limit: Option<u16>| {
            limit.map_or("unknown".to_owned(), |limit| format!("{limit} buffers at most"))
        };
        let mut text = format!("{}\n", self.device);
        let mut row = |name: &str, value: String| {
            let line = format!("  {name:<20}{value}");
            text.push_str(line.trim_end());
            text.push('\n');
        };
        row("driver", format!("{} ({})", self.driver, self.name));
        row("address", self.mac.clone());
        row("NUMA node", self.numa_node.map_or("unknown".to_owned(), |node| node.to_string()));
        row("MTU", format!("{} to {} bytes", self.min_mtu_bytes, self.max_mtu_bytes));
        row("queues", format!("{} receive, {} transmit", self.receive_queues, self.transmit_queues));
        row("receive ring", format!("{} to {} descriptors", self.receive_ring[0], self.receive_ring[1]));
        row("transmit ring", format!("{} to {} descriptors", self.transmit_ring[0], self.transmit_ring[1]));
        row("chain of a frame", limit(self.max_chain_segments));
        row("chain of a packet", limit(self.max_chain_segments_per_packet));
        row("TCP segmentation", yes(self.tso, "in software").to_owned());
        row("TCP checksum", yes(self.tcp_checksum, "in software").to_owned());
        row("IPv4 checksum", yes(self.ipv4_checksum, "in software").to_owned());
        row("scatter-gather", yes(self.multi_segment, "no: frames are copied together").to_owned());
        row("RSS table", format!("{} entries", self.rss_table_entries));
        let offloads = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        row("transmit offloads", offloads(&self.transmit_offloads));
        row("receive offloads", offloads(&self.receive_offloads));
        text
    }
}

/// A device that is present, as `--dev` takes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Present {
    dev: String,
    remark: String,
    usable: bool,
}

/// What can be named on this machine.
fn present(host: &Host) -> Vec<Present> {
    let mut present = Vec::new();
    let mut add = |dev: String, remark: String, usable| present.push(Present { dev, remark, usable });
    let tun = host.exists("/dev/net/tun");
    let remark =
        if tun { "this machine's kernel at the other end" } else { "no /dev/net/tun: sudo modprobe tun" };
    add("tap".into(), remark.into(), tun);
    for nic in nics::list(host) {
        let driver = nic.driver.as_deref().unwrap_or("no driver");
        let remark = if nic.usable() {
            format!("{} on {driver}", nic.id)
        } else {
            format!("{} on {driver}, not bound to DPDK: see 'tsonami doctor'", nic.id)
        };
        add(format!("pci:{}", nic.address), remark, nic.usable());
    }
    // Of our own namespace, which /sys is not where `unshare -n` made it.
    let interfaces = host.read("/proc/self/net/dev").unwrap_or_default();
    for (interface, _) in interfaces.lines().filter_map(|line| line.trim().split_once(':')) {
        if interface != "lo" {
            let remark = "a kernel interface; use an address on it that the kernel does not own".to_owned();
            add(format!("af_packet:{interface}"), remark, true);
        }
    }
    add("virtio-user:SOCKET".into(), "to a vhost-user backend; needs hugepages".into(), true);
    add("vhost:SOCKET".into(), "a vhost-user backend".into(), true);
    add("memif:SOCKET[,server]".into(), "shared memory between two processes".into(), true);
    add("null".into(), "swallows everything".into(), true);
    present
}

fn list(present: &[Present]) -> String {
    let mut text: String = present.iter().map(|p| format!("{:<26}{}\n", p.dev, p.remark)).collect();
    text.push_str("\n'tsonami devices --dev DEVICE' shows what one can do.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::testing::{made_up, put};

    #[test]
    fn unknown_limits_are_not_numbers() {
        assert_eq!((known(0), known(u16::MAX), known(8)), (None, None, Some(8)));
    }

    #[test]
    fn what_is_present_is_named_as_dev_takes_it() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/dev/net/tun", "");
        let table = "Inter-|   Receive  |  Transmit\n face |bytes |bytes\n    lo: 0 0\n  eth0: 7 8\n";
        put(root.path(), "/proc/self/net/dev", table);
        let text = list(&present(&made_up(root.path())));
        assert!(text.starts_with("tap  "), "{text}");
        assert!(text.contains("af_packet:eth0") && !text.contains("af_packet:lo"), "{text}");
    }
}
