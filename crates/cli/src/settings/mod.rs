//! From the command line and the configuration file to the library's settings.

pub(crate) mod connection;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use tsonami::{Addresses, Config, ConfigFileError, DeviceSpec, Hugepages, ParseDeviceError, WaitStrategy};

use crate::args::{DeviceArgs, HugepagesArg, MemoryArgs, TuningArgs, WaitArg, WatchArgs, WorkerArgs};
use crate::exit::Exit;
use crate::failure::Failure;

/// The TAP that is made when no device is named: its name, and the kernel's side of it.
const OWN_TAP: &str = "tap:tsonami0,host=10.77.0.1/24";
/// Our address on it.
const OWN_TAP_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const OWN_TAP_PREFIX: u8 = 24;

/// Packet buffers of a pool, at least: the fewest that the tests send with.
const LEAST_MBUFS: u32 = 64;
/// Descriptors of a ring: the fewest that the tests send with, and more than devices have.
const RING_SIZES: std::ops::RangeInclusive<u16> = 32..=32_768;

/// Puts together the file named by `--config`, the options, and the defaults, in falling order of rank: options win
/// over the file, the file over the defaults.
pub(crate) fn config(device: &DeviceArgs, tuning: &TuningArgs, watch: &WatchArgs) -> Result<Config, Failure> {
    let mut config = match &device.config {
        Some(path) => Config::from_file(path).map_err(|e| match e {
            ConfigFileError::Unreadable { .. } => Failure::new(Exit::File, e),
            e => Failure::new(Exit::Usage, format!("the configuration '{}' is wrong:\n{e}", path.display())),
        })?,
        None => {
            let mut config = Config::new(OWN_TAP, one(OWN_TAP_ADDRESS, OWN_TAP_PREFIX));
            config.connection = connection::defaults();
            config
        }
    };
    if let Some(dev) = &device.spec.dev {
        config.device.clone_from(dev);
    }
    let spec = self::device(&config)?;
    match &device.addr {
        Some(text) => config.address = parse_address(text)?,
        // The default address belongs to the TAP of our own; elsewhere it would be somebody else's by accident.
        None if device.spec.dev.is_some() && device.config.is_none() => {
            config.address = address_beside(&spec)?
        }
        None => {}
    }
    if device.gateway.is_some() {
        config.gateway = device.gateway;
    } else if device.config.is_none() {
        config.gateway = kernel_side(&spec, &config.address);
    }
    config.mtu = device.mtu.or(config.mtu);
    config.link_rate = device.link_rate.map(|rate| rate.0).or(config.link_rate);
    config.pools.mbufs = tuning.mbufs.or(config.pools.mbufs);
    let streaming = tuning.streaming_copies.map(|size| u32::try_from(size.0).unwrap_or(u32::MAX));
    config.pools.streaming_copies = streaming.or(config.pools.streaming_copies);
    config.pools.send_bytes = tuning.send_memory.map(|size| size.0).or(config.pools.send_bytes);
    config.pools.queued_bytes = tuning.queue_memory.map(|size| size.0).or(config.pools.queued_bytes);
    config.rings.transmit = tuning.tx_ring.or(config.rings.transmit);
    config.rings.receive = tuning.rx_ring.or(config.rings.receive);
    check_sizes(&config)?;
    set_memory(&mut config, &tuning.memory)?;
    if let Some(wait) = tuning.wait {
        config.wait = match wait {
            WaitArg::Spin => WaitStrategy::Spin,
            WaitArg::Pause => WaitStrategy::Pause,
            WaitArg::Park => WaitStrategy::Park,
        };
    }
    config.core = tuning.core.or(config.core);
    config.check_tx |= watch.check_tx;
    config.pcap = watch.pcap.clone().or(config.pcap);
    Ok(config)
}

/// Room for so many connections at a time to one peer, if each of the workers has one and our addresses have a local port for each.
pub(crate) fn set_connections(config: &mut Config, connections: u32, workers: u16) -> Result<(), Failure> {
    if connections < u32::from(workers) {
        let what = format!("{workers} workers need as many connections at least: {connections} asked for");
        return Err(Failure::new(Exit::Usage, what).mend(format!("--parallel {workers}")));
    }
    let own = config.address;
    let ports = own.count().saturating_mul(LOCAL_PORTS);
    if u64::from(connections) > ports {
        let what = format!("{connections} connections need a local port each, and {own} has {ports}");
        let failure = Failure::new(Exit::Usage, what);
        return Err(match with_ports_for(&own, connections) {
            Some(enough) => {
                failure.mend(format!("--addr {enough}      (if nobody else uses these addresses)"))
            }
            None => failure.mend(format!("--parallel {ports}")),
        });
    }
    config.max_connections = config.max_connections.max(connections);
    Ok(())
}

/// Local ports of one address for connections that name none (`EndpointConfig::ports`).
const LOCAL_PORTS: u64 = 28_232;

/// Addresses from the first of ours on, enough for so many connections, in a network that holds them.
fn with_ports_for(own: &Addresses, connections: u32) -> Option<Addresses> {
    let IpAddr::V4(first) = own.first() else { return None };
    let more = u32::try_from(u64::from(connections).div_ceil(LOCAL_PORTS) - 1).ok()?;
    let last = Ipv4Addr::from(u32::from(first).checked_add(more)?);
    (8..=own.prefix_len()).rev().find_map(|len| {
        // The network's last address is nobody's.
        let next = Ipv4Addr::from(u32::from(last).checked_add(1)?);
        Addresses::range(first.into(), next.into(), len).ok()?;
        Addresses::range(first.into(), last.into(), len).ok()
    })
}

/// How many workers there are, by the command line or the file.
pub(crate) fn set_workers(config: &mut Config, args: &WorkerArgs) -> u16 {
    let workers = &mut config.workers;
    if let Some(cores) = &args.cores {
        workers.cores.clone_from(cores);
        workers.count = None;
    }
    workers.count = args.workers.or(workers.count);
    workers.count.unwrap_or_else(|| workers.cores.len().try_into().unwrap_or(u16::MAX)).max(1)
}

/// Settings for a device that is only looked at, and never sends.
pub(crate) fn config_to_look_at(dev: &str, memory: &MemoryArgs) -> Result<Config, Failure> {
    let mut config = Config::new(dev, one(Ipv4Addr::UNSPECIFIED, 0));
    set_memory(&mut config, memory)?;
    Ok(config)
}

fn set_memory(config: &mut Config, args: &MemoryArgs) -> Result<(), Failure> {
    if let Some(memory) = args.memory {
        let mib = u32::try_from(memory.0.div_ceil(1 << 20)).map_err(|_| {
            Failure::new(Exit::Usage, format!("--memory {memory} is more than any machine has"))
        })?;
        config.memory.mib = Some(mib);
    }
    if let Some(hugepages) = args.hugepages {
        config.memory.hugepages = match hugepages {
            HugepagesArg::Auto => Hugepages::Auto,
            HugepagesArg::On => Hugepages::On,
            HugepagesArg::Off => Hugepages::Off,
        };
    }
    Ok(())
}

/// The kernel's side of a TAP, where it is a neighbour of ours.
fn kernel_side(device: &DeviceSpec, ours: &Addresses) -> Option<IpAddr> {
    match device {
        DeviceSpec::Tap { host: Some((kernel, _)), .. } => {
            Some(*kernel).filter(|kernel| ours.is_neighbourly(*kernel) && !ours.contains(*kernel))
        }
        _ => None,
    }
}

/// Refuses pools and rings too small to send with, from the options and from the file alike.
fn check_sizes(config: &Config) -> Result<(), Failure> {
    if let Some(mbufs) = config.pools.mbufs.filter(|mbufs| *mbufs < LEAST_MBUFS) {
        let what = format!("{mbufs} packet buffers in each pool are too few to send with");
        return Err(Failure::new(Exit::Usage, what).mend(format!("--mbufs {LEAST_MBUFS}")));
    }
    for (option, size) in [("--tx-ring", config.rings.transmit), ("--rx-ring", config.rings.receive)] {
        if let Some(size) = size.filter(|size| !RING_SIZES.contains(size)) {
            let what = format!(
                "a ring of {size} descriptors makes no sense: {} to {}",
                RING_SIZES.start(),
                RING_SIZES.end()
            );
            return Err(Failure::new(Exit::Usage, what).mend(format!("{option} 1024")));
        }
    }
    Ok(())
}

fn parse_address(text: &str) -> Result<Addresses, Failure> {
    text.parse().map_err(|error| {
        // With a length that all of them fit in.
        let whole = |len: u8| {
            text.split('/').next().and_then(|range| format!("{range}/{len}").parse::<Addresses>().ok())
        };
        let mend = [24, 16, 8].into_iter().find_map(whole).unwrap_or(one(OWN_TAP_ADDRESS, OWN_TAP_PREFIX));
        Failure::new(Exit::Usage, format!("--addr: {error}")).mend(format!("--addr {mend}"))
    })
}

/// One address.
fn one(address: Ipv4Addr, prefix_len: u8) -> Addresses {
    IpNet::new_assert(IpAddr::V4(address), prefix_len).into()
}

/// Our address on a TAP whose kernel side is given (`tap:x,host=192.0.2.1/24`): the next one. Other devices need
/// `--addr`.
fn address_beside(device: &DeviceSpec) -> Result<Addresses, Failure> {
    match device {
        DeviceSpec::Tap { host: None, .. } => {
            return Ok(one(OWN_TAP_ADDRESS, OWN_TAP_PREFIX));
        }
        DeviceSpec::Tap { host: Some((IpAddr::V4(host), prefix)), .. } => {
            let net = Ipv4Net::new_assert(*host, *prefix);
            let next = Ipv4Addr::from(u32::from(*host).wrapping_add(1));
            let free = |a: &Ipv4Addr| a != host;
            let address = if net.contains(&next) && next != net.broadcast() {
                Some(next)
            } else {
                net.hosts().find(free)
            };
            if let Some(address) = address {
                return Ok(one(address, *prefix));
            }
        }
        _ => {}
    }
    Err(Failure::new(Exit::Usage, format!("which address shall we have on '{device}'? There is no default"))
        .mend(
            "--addr ADDRESS/LENGTH, an address of that network nobody else uses, e.g. --addr 192.0.2.10/24",
        ))
}

/// The device, as the settings name it.
pub(crate) fn device(config: &Config) -> Result<DeviceSpec, Failure> {
    config.device.parse().map_err(|e: ParseDeviceError| {
        Failure::new(Exit::Usage, e).mend("tsonami devices      (lists what there is)")
    })
}

/// Refuses peers that cannot be meant, with the one that probably is.
pub(crate) fn check_peer(peer: SocketAddr, config: &Config) -> Result<(), Failure> {
    let failure = match peer.ip() {
        IpAddr::V6(_) => {
            Failure::new(Exit::Usage, format!("the peer {peer} is an IPv6 address; only IPv4 is sent as yet"))
                .mend("give the peer's IPv4 address")
        }
        ip if ip.is_loopback() => {
            let failure = Failure::new(
                Exit::Usage,
                format!("{ip} is the kernel's own loopback: no other network stack can reach it"),
            );
            match config.device.parse() {
                Ok(DeviceSpec::Tap { host: Some((kernel, _)), .. }) => failure.mend(format!(
                    "tsonami send {kernel}:{}     (the kernel's side of the TAP; the receiver must not listen on 127.0.0.1 only)",
                    peer.port()
                )),
                _ => failure.mend("give the address that the peer has on the device's network"),
            }
        }
        ip if config.address.contains(ip) => {
            Failure::new(Exit::Usage, format!("{ip} is our own address: nobody else would answer"))
                .mend("give the peer's address, or another one of our own with --addr")
        }
        _ => return Ok(()),
    };
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Config, Failure> {
        use clap::Parser;
        let cli = crate::args::Cli::parse_from([&["tsonami", "send", "10.77.0.1"], args].concat());
        let crate::args::Command::Send(args) = cli.command else { unreachable!() };
        config(&args.device, &args.tuning, &args.watch)
    }

    #[test]
    fn without_a_device_there_is_a_tap_with_the_kernel_as_gateway() {
        let config = parsed(&[]).unwrap();
        assert_eq!(config.device, OWN_TAP);
        assert_eq!(config.address.to_string(), "10.77.0.2/24");
        assert_eq!(config.gateway, Some("10.77.0.1".parse().unwrap()));
    }

    #[test]
    fn on_a_named_tap_we_sit_beside_the_kernel() {
        let address = |dev: &str| parsed(&["--dev", dev]).unwrap().address.to_string();
        assert_eq!(address("tap:x,host=192.0.2.1/24"), "192.0.2.2/24");
        assert_eq!(address("tap:x,host=192.0.2.254/24"), "192.0.2.1/24");
        assert_eq!(address("tap:x,host=192.0.2.1/30"), "192.0.2.2/30");
        assert_eq!(address("tap:x,host=192.0.2.2/30"), "192.0.2.1/30");
    }

    #[test]
    fn the_kernels_side_of_a_tap_is_the_gateway_where_it_is_a_neighbour() {
        let gateway = |args: &[&str]| parsed(args).unwrap().gateway.map(|ip| ip.to_string());
        assert_eq!(gateway(&["--dev", "tap:x,host=192.0.2.1/24"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(gateway(&["--addr", "10.77.0.9/24"]).as_deref(), Some("10.77.0.1"));
        assert_eq!(gateway(&["--dev", "tap:x"]), None);
        assert_eq!(gateway(&["--dev", "tap:x,host=192.0.2.1/24", "--addr", "10.0.0.1/24"]), None);
        let given = ["--dev", "tap:x,host=192.0.2.1/24", "--gateway", "192.0.2.9"];
        assert_eq!(gateway(&given).as_deref(), Some("192.0.2.9"));
    }

    #[test]
    fn pools_and_rings_too_small_to_send_with_are_refused_with_the_least() {
        for (option, bad, good, mend) in [
            ("--mbufs", "63", "64", "--mbufs 64"),
            ("--tx-ring", "31", "32", "--tx-ring 1024"),
            ("--rx-ring", "0", "32", "--rx-ring 1024"),
            ("--rx-ring", "65535", "32768", "--rx-ring 1024"),
        ] {
            let failure = parsed(&[option, bad]).unwrap_err();
            assert_eq!((failure.exit, failure.mend[0].as_str()), (Exit::Usage, mend));
            assert!(parsed(&[option, good]).is_ok(), "{option} {good}");
        }
    }

    #[test]
    fn other_devices_need_an_address() {
        let failure = parsed(&["--dev", "pci:0000:3b:00.0"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("--addr"), "{failure}");
        assert!(parsed(&["--dev", "pci:0000:3b:00.0", "--addr", "192.0.2.1/24"]).is_ok());
    }

    #[test]
    fn options_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(
            &path,
            "device = 'null'\naddress = '10.0.0.2/24'\nmtu = 9000\n[rings]\ntransmit = 64\n",
        )
        .unwrap();
        let path = path.to_str().unwrap();
        let config =
            parsed(&["--config", path, "--tx-ring", "32", "--mbufs", "64", "--memory", "1G"]).unwrap();
        assert_eq!((config.device.as_str(), config.mtu), ("null", Some(9000)));
        assert_eq!((config.rings.transmit, config.pools.mbufs), (Some(32), Some(64)));
        assert_eq!(config.memory.mib, Some(1024));
        assert_eq!(config.address.to_string(), "10.0.0.2/24");
    }

    #[test]
    fn a_wrong_file_is_a_usage_error_that_shows_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, "devise = 'null'\n").unwrap();
        let failure = parsed(&["--config", path.to_str().unwrap()]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.what.contains("devise"), "{failure}");
    }

    #[test]
    fn peers_that_cannot_be_meant_are_refused_with_the_one_that_is() {
        let config = parsed(&[]).unwrap();
        let refused = |peer: &str| check_peer(peer.parse().unwrap(), &config).unwrap_err().to_string();
        assert!(refused("127.0.0.1:5001").contains("tsonami send 10.77.0.1:5001"));
        assert!(refused("[::1]:5001").contains("IPv6"));
        assert!(refused("10.77.0.2:5001").contains("our own address"));
        assert!(check_peer("10.77.0.1:5001".parse().unwrap(), &config).is_ok());
    }

    #[test]
    fn more_connections_than_local_ports_are_refused_with_the_addresses_that_have_them() {
        let mut config = parsed(&["--addr", "10.77.0.2/24"]).unwrap();
        assert!(set_connections(&mut config, 28_232, 1).is_ok());
        assert_eq!(config.max_connections, 65_536, "the default is more");
        let refused = |config: &mut Config, n| set_connections(config, n, 1).unwrap_err().mend[0].clone();
        assert!(refused(&mut config, 28_233).starts_with("--addr 10.77.0.2-10.77.0.3/24"));
        assert!(refused(&mut config, 28_232 * 254).starts_with("--addr 10.77.0.2-10.77.0.255/23"));
        config.address = "10.77.0.2-10.77.0.40/24".parse().unwrap();
        assert!(set_connections(&mut config, 1_000_000, 2).is_ok());
        assert_eq!(config.max_connections, 1_000_000);
    }

    #[test]
    fn an_address_without_a_length_is_shown_with_one() {
        let failure = parsed(&["--addr", "10.1.2.3"]).unwrap_err();
        assert_eq!(failure.mend, ["--addr 10.1.2.3/24"]);
        let failure = parsed(&["--addr", "10.1.2.3-10.1.3.3"]).unwrap_err();
        assert_eq!(failure.mend, ["--addr 10.1.2.3-10.1.3.3/16"]);
        let failure = parsed(&["--addr", "nonsense"]).unwrap_err();
        assert_eq!(failure.mend, ["--addr 10.77.0.2/24"]);
        let several = parsed(&["--addr", "10.1.2.3-10.1.3.3/16"]).unwrap();
        assert_eq!(several.address.count(), 257);
        assert!(check_peer("10.1.2.77:5001".parse().unwrap(), &several).is_err(), "it is ours");
    }
}
