//! Devices by a readable name.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::{interface_exists, is_tap};

/// A device, as a user writes it.
///
/// | Text | Device |
/// |---|---|
/// | `tap[:NAME][,host=ADDR/LEN]` | an interface of the kernel's, made for this; its kernel side gets the address |
/// | `virtio-user:SOCKET` | the virtio end of a vhost-user socket |
/// | `vhost:SOCKET` | the other end, which makes the socket |
/// | `memif:SOCKET[,server]` | shared memory between two processes |
/// | `pci:ADDRESS` | a NIC bound to a DPDK driver, for example `pci:0000:01:00.0` |
/// | `af_packet:IFACE` | an interface that the kernel keeps using |
/// | `null` | swallows everything |
/// | `vdev:<raw>` | a virtual device in DPDK's own words, for example `vdev:net_pcap0,iface=eth0` |
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeviceSpec {
    /// A TAP interface.
    Tap {
        /// Its name; `None`: the first free of `tsonami0`, `tsonami1`, …
        name: Option<String>,
        /// Address and prefix length of its kernel side.
        host: Option<(IpAddr, u8)>,
    },
    /// The virtio end of a vhost-user socket.
    VirtioUser {
        /// The socket.
        socket: String,
    },
    /// The vhost end of a vhost-user socket.
    Vhost {
        /// The socket.
        socket: String,
    },
    /// Shared memory between two processes.
    Memif {
        /// The control socket.
        socket: String,
        /// This end makes the socket.
        server: bool,
    },
    /// A NIC on the PCI bus.
    Pci {
        /// Domain, bus, device, function.
        address: String,
    },
    /// An interface shared with the kernel.
    AfPacket {
        /// Its name.
        interface: String,
    },
    /// Swallows what is sent.
    Null,
    /// DPDK's own words: name and arguments.
    Vdev {
        /// For example `net_ring0`.
        raw: String,
    },
}

/// What a device asks of how EAL is started and buffers are made.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Moves much memory, or lets another process map it: fast only with hugepages. It works without.
    pub hugepages: bool,
    /// Shares its memory with another process, by few large files.
    pub single_file_segments: bool,
    /// Receives frames of up to 64 KiB, copied once into each buffer: large receive buffers save chaining.
    pub large_rx_buffers: bool,
}

/// Why a device's name was not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("device {text:?}: {problem}. Devices are: {FORMS}")]
pub struct ParseDeviceError {
    text: String,
    problem: String,
}

const FORMS: &str = "tap[:NAME][,host=ADDR/LEN], virtio-user:SOCKET, vhost:SOCKET, memif:SOCKET[,server], \
                     pci:ADDRESS, af_packet:IFACE, null, vdev:<name,arguments as DPDK has them>";

impl FromStr for DeviceSpec {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<DeviceSpec, ParseDeviceError> {
        parse(text).map_err(|problem| ParseDeviceError { text: text.into(), problem })
    }
}

fn parse(text: &str) -> Result<DeviceSpec, String> {
    if let Some(raw) = text.strip_prefix("vdev:") {
        return match raw.split(',').next() {
            Some(name) if !name.is_empty() => Ok(DeviceSpec::Vdev { raw: raw.into() }),
            _ => Err("a name is missing after `vdev:`".into()),
        };
    }
    let mut parts = text.split(',');
    let (kind, name) = match parts.next().unwrap_or_default().split_once(':') {
        Some((kind, name)) => (kind, Some(name)),
        None => (text.split(',').next().unwrap_or_default(), None),
    };
    let options: Vec<&str> = parts.collect();
    let no_options = |spec| match options.first() {
        None => Ok(spec),
        Some(o) => Err(format!("{kind} knows no option {o:?}")),
    };
    let needed = |what: &str| match name {
        Some(n) if !n.is_empty() => Ok(n.to_owned()),
        _ => Err(format!("{kind} needs {what}: `{kind}:…`")),
    };
    match kind {
        "tap" => {
            let name = name.map(interface_name).transpose()?;
            let mut host = None;
            for option in options {
                match option.split_once('=') {
                    Some(("host", value)) => host = Some(prefix(value)?),
                    _ => return Err(format!("tap knows no option {option:?}, only host=ADDR/LEN")),
                }
            }
            Ok(DeviceSpec::Tap { name, host })
        }
        "virtio-user" => no_options(DeviceSpec::VirtioUser { socket: needed("a socket")? }),
        "vhost" => no_options(DeviceSpec::Vhost { socket: needed("a socket")? }),
        "memif" => {
            let socket = needed("a socket")?;
            match options.as_slice() {
                [] => Ok(DeviceSpec::Memif { socket, server: false }),
                ["server"] => Ok(DeviceSpec::Memif { socket, server: true }),
                _ => Err("memif knows one option, `server`".into()),
            }
        }
        "pci" => {
            let address = pci_address(&needed("an address")?)?;
            no_options(DeviceSpec::Pci { address })
        }
        "af_packet" => {
            let interface = interface_name(&needed("an interface")?)?;
            no_options(DeviceSpec::AfPacket { interface })
        }
        "null" if name.is_none() => no_options(DeviceSpec::Null),
        "null" => Err("null takes no name".into()),
        "" => Err("it is empty".into()),
        other => Err(format!("there is no kind {other:?}")),
    }
}

/// The kernel takes 1 to 15 bytes without slash, colon or space.
fn interface_name(name: &str) -> Result<String, String> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(bad) {
        return Err(format!(
            "{name:?} cannot be an interface's name: 1 to 15 letters without `/`, `:` and spaces"
        ));
    }
    Ok(name.into())
}

fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is not an address with prefix length, such as 10.0.0.1/24");
    let (addr, len) = text.split_once('/').ok_or_else(wrong)?;
    let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
    let len: u8 = len.parse().map_err(|_| wrong())?;
    if len > if addr.is_ipv4() { 32 } else { 128 } {
        return Err(wrong());
    }
    Ok((addr, len))
}

/// `[DDDD:]BB:DD.F`, with the domain added.
fn pci_address(text: &str) -> Result<String, String> {
    let wrong =
        || format!("{text:?} is not a PCI address, such as 0000:01:00.0 (see `dpdk-devbind.py --status`)");
    let hex = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| b.is_ascii_hexdigit());
    let (rest, function) = text.rsplit_once('.').ok_or_else(wrong)?;
    let mut parts: Vec<&str> = rest.split(':').collect();
    if parts.len() == 2 {
        parts.insert(0, "0000");
    }
    match parts.as_slice() {
        [domain, bus, device]
            if hex(domain, 4)
                && hex(bus, 2)
                && hex(device, 2)
                && function.len() == 1
                && function.bytes().all(|b| (b'0'..=b'7').contains(&b)) =>
        {
            Ok(format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
        }
        _ => Err(wrong()),
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Tap { name, host } => {
                f.write_str("tap")?;
                if let Some(name) = name {
                    write!(f, ":{name}")?;
                }
                if let Some((addr, len)) = host {
                    write!(f, ",host={addr}/{len}")?;
                }
                Ok(())
            }
            DeviceSpec::VirtioUser { socket } => write!(f, "virtio-user:{socket}"),
            DeviceSpec::Vhost { socket } => write!(f, "vhost:{socket}"),
            DeviceSpec::Memif { socket, server } => {
                write!(f, "memif:{socket}{}", if *server { ",server" } else { "" })
            }
            DeviceSpec::Pci { address } => write!(f, "pci:{address}"),
            DeviceSpec::AfPacket { interface } => write!(f, "af_packet:{interface}"),
            DeviceSpec::Null => f.write_str("null"),
            DeviceSpec::Vdev { raw } => write!(f, "vdev:{raw}"),
        }
    }
}

impl DeviceSpec {
    /// What it asks of EAL and of buffers.
    pub fn needs(&self) -> Needs {
        match self {
            // The peer maps our memory: in few pieces, since a vhost-user message names eight at most.
            DeviceSpec::VirtioUser { .. } => {
                Needs { hugepages: true, single_file_segments: true, large_rx_buffers: false }
            }
            DeviceSpec::Vhost { .. } => {
                Needs { hugepages: true, single_file_segments: false, large_rx_buffers: true }
            }
            _ => Needs::default(),
        }
    }

    pub(crate) fn pci_address(&self) -> Option<&str> {
        match self {
            DeviceSpec::Pci { address } => Some(address),
            _ => None,
        }
    }

    /// DPDK's name of the device, new for a virtual one, and the arguments to make it with; `None` for a device
    /// that EAL probed when it started. `queues`: how many queue pairs it is to have, where that is said at its start.
    pub(crate) fn devargs(&self, queues: u16) -> (String, Option<String>) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = || NEXT.fetch_add(1, Ordering::Relaxed);
        match self {
            DeviceSpec::Tap { name, .. } => {
                let iface = name.clone().unwrap_or_else(free_interface_name);
                (format!("net_tap{}", n()), Some(format!("iface={iface}")))
            }
            DeviceSpec::VirtioUser { socket } => {
                // Several queues are switched on through the control queue.
                let control = if queues > 1 { ",cq=1" } else { "" };
                let arguments = format!("path={socket},queues={queues},queue_size=1024{control}");
                (format!("net_virtio_user{}", n()), Some(arguments))
            }
            // `tso=1` lets the other end send frames of 64 KiB.
            DeviceSpec::Vhost { socket } => {
                (format!("net_vhost{}", n()), Some(format!("iface={socket},queues={queues},tso=1")))
            }
            DeviceSpec::Memif { socket, server } => {
                let role = if *server { "server" } else { "client" };
                // `socket-abstract=no`: a path in the file system, visible and removable.
                (
                    format!("net_memif{}", n()),
                    Some(format!("socket={socket},socket-abstract=no,role={role},rsize=10")),
                )
            }
            DeviceSpec::Pci { address } => (address.clone(), None),
            DeviceSpec::AfPacket { interface } => (
                format!("net_af_packet{}", n()),
                // Frames of a TPACKET ring hold an MTU of 1500 with room.
                Some(format!("iface={interface},qpairs={queues},framesz=2048,framecnt=1024,blocksz=4096")),
            ),
            DeviceSpec::Null => (format!("net_null{}", n()), Some("no-rx=1".into())),
            DeviceSpec::Vdev { raw } => match raw.split_once(',') {
                Some((name, arguments)) => (name.into(), Some(arguments.into())),
                None => (raw.clone(), Some(String::new())),
            },
        }
    }

    /// What to try when it cannot be opened.
    pub(crate) fn advice(&self) -> String {
        match self {
            DeviceSpec::Tap { .. } if !Path::new("/dev/net/tun").exists() => {
                "There is no /dev/net/tun: `sudo modprobe tun`.".into()
            }
            // Only a TAP may be proposed for deletion: another interface may be the way to this machine.
            DeviceSpec::Tap { name: Some(name), .. } if is_tap(name) => {
                format!("There is a TAP {name} already: choose another name, or `sudo ip link del {name}`.")
            }
            DeviceSpec::Tap { name: Some(name), .. } if interface_exists(name) => {
                format!("There is an interface {name} already, and it is no TAP: choose another name.")
            }
            DeviceSpec::Tap { .. } => {
                "Making an interface needs CAP_NET_ADMIN: run it as root, or inside `unshare -Urn`.".into()
            }
            DeviceSpec::VirtioUser { socket } => {
                format!("The other end must be listening on {socket} already: start `vhost:{socket}` first.")
            }
            DeviceSpec::Vhost { .. } => {
                "The socket's folder must be writable, and no other process may own the socket.".into()
            }
            DeviceSpec::Memif { .. } => "The socket's folder must be writable; one end is `server`.".into(),
            DeviceSpec::Pci { address } => format!(
                "The NIC must be bound to a DPDK driver: `dpdk-devbind.py --status`, then \
                 `sudo dpdk-devbind.py -b vfio-pci {address}` (an mlx5 stays with its kernel driver)."
            ),
            DeviceSpec::AfPacket { interface } if !interface_exists(interface) => {
                format!("There is no interface {interface}: `ip link show` lists them.")
            }
            DeviceSpec::AfPacket { .. } => "Raw sockets need CAP_NET_RAW: run it as root.".into(),
            DeviceSpec::Null => String::new(),
            DeviceSpec::Vdev { .. } => {
                "The driver must be installed and its arguments right: see DPDK's NIC guide.".into()
            }
        }
    }
}

/// The first of `tsonami0`, `tsonami1`, … that no interface has.
fn free_interface_name() -> String {
    (0..1000)
        .map(|i| format!("tsonami{i}"))
        .find(|name| !interface_exists(name))
        .unwrap_or_else(|| "tsonami".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ok(text: &str) -> DeviceSpec {
        let spec: DeviceSpec = text.parse().expect("a device");
        assert_eq!(spec.to_string().parse::<DeviceSpec>().as_ref(), Ok(&spec), "survives being written");
        spec
    }

    #[track_caller]
    fn wrong(text: &str, says: &str) {
        let e = text.parse::<DeviceSpec>().expect_err("not a device").to_string();
        assert!(e.contains(says), "{e:?} does not say {says:?}");
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(ok("tap"), DeviceSpec::Tap { name: None, host: None });
        let host = Some(("10.1.0.1".parse().expect("an address"), 24));
        assert_eq!(ok("tap,host=10.1.0.1/24"), DeviceSpec::Tap { name: None, host });
        assert_eq!(ok("tap:t0,host=10.1.0.1/24"), DeviceSpec::Tap { name: Some("t0".into()), host });
        ok("tap:t0,host=fd00::1/64");
        assert_eq!(ok("virtio-user:/tmp/s"), DeviceSpec::VirtioUser { socket: "/tmp/s".into() });
        assert_eq!(ok("vhost:/tmp/s"), DeviceSpec::Vhost { socket: "/tmp/s".into() });
        assert_eq!(ok("memif:/tmp/s"), DeviceSpec::Memif { socket: "/tmp/s".into(), server: false });
        assert_eq!(ok("memif:/tmp/s,server"), DeviceSpec::Memif { socket: "/tmp/s".into(), server: true });
        assert_eq!(ok("pci:01:00.0"), DeviceSpec::Pci { address: "0000:01:00.0".into() });
        assert_eq!(ok("pci:0001:0A:1f.7"), DeviceSpec::Pci { address: "0001:0a:1f.7".into() });
        assert_eq!(ok("af_packet:eth0"), DeviceSpec::AfPacket { interface: "eth0".into() });
        assert_eq!(ok("null"), DeviceSpec::Null);
        assert_eq!(ok("vdev:net_ring0"), DeviceSpec::Vdev { raw: "net_ring0".into() });
        ok("vdev:net_pcap0,rx_pcap=a.pcap,tx_iface=eth0");
    }

    #[test]
    fn what_is_wrong_is_said() {
        wrong("", "it is empty");
        wrong("eth0", "there is no kind \"eth0\"");
        wrong("eth0", "af_packet:IFACE");
        wrong("tap:an-interface-with-a-long-name", "1 to 15 letters");
        wrong("tap,mtu=9000", "only host=ADDR/LEN");
        wrong("tap,host=10.0.0.1", "such as 10.0.0.1/24");
        wrong("tap,host=10.0.0.1/33", "such as 10.0.0.1/24");
        wrong("vhost", "vhost needs a socket");
        wrong("memif:/tmp/s,client", "one option");
        wrong("pci:eth0", "not a PCI address");
        wrong("pci:0000:01:00.9", "not a PCI address");
        wrong("af_packet:", "needs an interface");
        wrong("null:1", "takes no name");
        wrong("vdev:", "a name is missing");
    }

    #[test]
    fn an_interface_that_is_no_tap_is_never_proposed_for_deletion() {
        if Path::new("/dev/net/tun").exists() {
            let advice = ok("tap:lo").advice();
            assert!(advice.contains("lo already, and it is no TAP"), "{advice}");
            assert!(!advice.contains("link del"), "{advice}");
        }
    }

    #[test]
    fn virtual_devices_get_names_of_their_own() {
        let (a, b) = (DeviceSpec::Null.devargs(1).0, DeviceSpec::Null.devargs(1).0);
        assert!(a != b && a.starts_with("net_null"));
    }
}
