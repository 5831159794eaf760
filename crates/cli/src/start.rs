//! Starting the engine, and what to say when it does not start.

use std::path::Path;

use tsonami::{
    BuildError, Config, DeviceSpec, EalError, EngineBuilder, Hugepages, LocalEngine, LogLevel, OpenError,
    PoolError, PortError,
};

use crate::console::Console;
use crate::doctor::{self, Health, Host, hugepages, nics};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings;
use crate::units::Size;

/// What is to be told of an engine that started.
pub(crate) fn announce(engine: &LocalEngine, config: &Config) {
    let device = engine.device();
    if let Some(note) = rings_note(config, device.receive_ring, device.transmit_ring) {
        eprintln!("tsonami: {note}");
    }
    tracing::info!(
        device = config.device,
        driver = device.port.driver,
        address = %config.address,
        mtu = device.limits.mtu,
        tso_bytes = device.limits.tso_max_len,
        checksum_offload = device.limits.tx_tcp_checksum,
        tap = engine.tap_name(),
        "device started"
    );
    tracing::debug!(limits = ?device.limits, "limits");
}

/// A builder with the console's log, once nothing that can be seen beforehand stands in the way.
pub(crate) fn builder(config: &Config, console: &Console) -> Result<EngineBuilder, Failure> {
    let host = Host::this_machine();
    match settings::device(config)? {
        DeviceSpec::Tap { .. } => tap_can_be_made(&host)?,
        DeviceSpec::Pci { address } => card_is_there(&address, &host)?,
        DeviceSpec::VirtioUser { socket } => somebody_listens(&socket, config)?,
        DeviceSpec::Memif { socket, server: false } => memif_server_is_there(&socket, config)?,
        _ => {}
    }
    let level = if console.talkative() { LogLevel::Info } else { LogLevel::Notice };
    Ok(EngineBuilder::new(config.clone()).log(console.chatter()?, level))
}

/// What stands in the way of a TAP, in the doctor's words: the driver's are less clear.
fn tap_can_be_made(host: &Host) -> Result<(), Failure> {
    match doctor::tap_findings(host).into_iter().find(|finding| finding.health == Health::Broken) {
        None => Ok(()),
        Some(finding) => Err(Failure {
            exit: Exit::Start,
            what: format!("no permission or no means to make a TAP: {}", finding.state),
            mend: finding.mend,
        }),
    }
}

/// A card that is not there is said to be so before hugepages are missed for it.
fn card_is_there(address: &str, host: &Host) -> Result<(), Failure> {
    let cards = nics::list(host);
    let short = |full: &str| full.strip_prefix("0000:").unwrap_or(full).to_ascii_lowercase();
    if cards.iter().any(|card| short(&card.address) == short(address)) {
        return Ok(());
    }
    let failure = Failure::new(Exit::Start, format!("there is no network card at the PCI address {address}"));
    // One that the kernel uses is never proposed: taking it away may take the way to this machine away.
    let usable = cards.iter().filter(|card| card.usable());
    let failure = usable.fold(failure, |failure, card| failure.mend(format!("--dev pci:{}", card.address)));
    Err(failure.mend("tsonami devices      (lists what there is)"))
}

/// A vhost-user socket without a listener is said to be so in our words.
fn somebody_listens(socket: &str, config: &Config) -> Result<(), Failure> {
    if Path::new(socket).exists() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Start,
        format!("there is no socket '{socket}': the other end of the wire must be started first"),
    )
    .mend(format!(
        "tsonami serve --dev vhost:{socket} --addr ADDR/{}      (or another vhost-user backend)",
        config.address.prefix_len()
    )))
}

/// A memif client without its server would poll for it in silence.
fn memif_server_is_there(socket: &str, config: &Config) -> Result<(), Failure> {
    if Path::new(socket).exists() {
        return Ok(());
    }
    Err(Failure::new(Exit::Start, format!("there is no socket '{socket}': start the ',server' side first"))
        .mend(format!(
            "tsonami serve --dev memif:{socket},server --addr ADDR/{}",
            config.address.prefix_len()
        )))
}

/// What to say where the device's rings have other sizes than were asked for.
fn rings_note(config: &Config, receive: u16, transmit: u16) -> Option<String> {
    let rings =
        [("--tx-ring", config.rings.transmit, transmit), ("--rx-ring", config.rings.receive, receive)];
    let notes: Vec<String> = rings
        .into_iter()
        .filter_map(|(option, asked, used)| {
            let asked = asked.filter(|asked| *asked != used)?;
            Some(format!("{option} {asked}: the device uses {used} descriptors"))
        })
        .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// An engine that could not be built.
pub(crate) fn failure(error: &BuildError, config: &Config) -> Failure {
    failure_on(&Host::this_machine(), error, config)
}

fn failure_on(host: &Host, error: &BuildError, config: &Config) -> Failure {
    match error {
        BuildError::Device(_) | BuildError::Family(_) | BuildError::Engine(_) | BuildError::Workers(_) => {
            Failure::new(Exit::Usage, error)
        }
        BuildError::KernelOwnsAddress(owned) => Failure::new(
            Exit::Start,
            format!(
                "the kernel owns {} on {}, and would answer our peers with resets",
                owned.addr, owned.interface
            ),
        )
        .mend("give us another address of that network, which nobody uses: --addr ADDR/LEN")
        .mend(format!(
            "sudo ip address del {}/{} dev {}",
            owned.addr,
            config.address.prefix_len(),
            owned.interface
        )),
        BuildError::TapInUse(_) => Failure::new(Exit::Start, error).mend(
            "--dev tap:tsonami1,host=10.77.1.1/24      (a TAP of its own; its kernel side is 10.77.1.1)",
        ),
        BuildError::Memory { wanted_mib, total_mib } => {
            let (wanted, total) = (Size(u64::from(*wanted_mib) << 20), Size(total_mib << 20));
            let (option, mend) = match config.memory.mib {
                Some(mib) if mib == *wanted_mib => ("--memory", "--memory 1G"),
                _ => ("--send-memory", "--send-memory 64M"),
            };
            Failure::new(Exit::Start, format!("{option} {wanted} is more than this machine has: {total}"))
                .mend(mend)
        }
        BuildError::Core { .. } => Failure::new(Exit::Start, error)
            .mend("taskset -pc $$      (lists the CPUs this shell may use; give one with --core)"),
        BuildError::Eal(EalError::NoHugepages { free_mib }) => {
            let wanted = config.memory.mib.unwrap_or(512).max(512);
            let failure = Failure::new(
                Exit::Start,
                format!(
                    "'{}' needs {wanted} MiB in hugepages, and {free_mib} MiB of them are free",
                    config.device
                ),
            )
            .mend(hugepages::reserve(host, (u64::from(wanted) << 20).saturating_sub(free_mib << 20)));
            if config.memory.hugepages == Hugepages::On {
                failure.mend("--hugepages auto      (a TAP, memif and af_packet work without)")
            } else {
                failure
            }
        }
        BuildError::Pool(pool) | BuildError::Open(OpenError::Pool(pool)) => pool_failure(host, pool, config),
        BuildError::Open(OpenError::Port(PortError::Mtu { max, .. })) => {
            let mend = format!("--mtu {}", (*max).min(1500));
            Failure::new(Exit::Usage, error).mend(mend)
        }
        BuildError::Capture { .. } => Failure::new(Exit::File, error),
        error => Failure::new(Exit::Start, error).mend("tsonami doctor"),
    }
}

/// What `--mbufs` could be where memory is short: still plenty for one connection.
const FEW_MBUFS: u32 = 2048;
/// MiB that EAL has in normal pages, unless told otherwise.
const MEMORY_MIB: u32 = 256;

/// A pool that could not be made, mostly for want of memory.
fn pool_failure(host: &Host, pool: &PoolError, config: &Config) -> Failure {
    let failure = Failure::new(
        Exit::Start,
        format!(
            "no memory for {} packet buffers of {} bytes each (pool '{}'): {}",
            pool.count, pool.size, pool.name, pool.errno
        ),
    );
    let huge = settings::device(config).is_ok_and(|device| config.memory.hugepages.used_by(&device));
    let failure = if huge {
        failure.mend(hugepages::reserve(host, u64::from(pool.count) * u64::from(pool.size)))
    } else {
        // A quarter more than the pool itself, for what stands between its buffers and beside it.
        let beside = u64::from(pool.count) * u64::from(pool.size) * 5 / (4 << 20);
        let more = u64::from(config.memory.mib.unwrap_or(MEMORY_MIB)) * 2 + beside;
        failure.mend(format!("--memory {}M", more.max(1024)))
    };
    match config.pools.mbufs {
        _ if pool.name.ends_with("tail") => failure.mend("--send-memory 16M"),
        Some(mbufs) if mbufs <= FEW_MBUFS => failure,
        _ => failure.mend(format!("--mbufs {FEW_MBUFS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsonami::Errno;

    use crate::doctor::testing::{made_up, put, put_user};

    #[test]
    fn without_permission_the_mending_commands_come_before_the_driver_can_complain() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 1000, 0);
        let failure = tap_can_be_made(&made_up(root.path())).unwrap_err();
        assert_eq!(failure.exit, Exit::Start);
        assert!(failure.what.contains("permission"), "{failure}");
        assert!(failure.mend.iter().any(|mend| mend.contains("unshare -Urn")), "{failure}");
    }

    #[test]
    fn a_card_that_is_not_there_is_named_with_those_that_are() {
        let root = tempfile::tempdir().unwrap();
        let failure = card_is_there("0000:ff:1f.7", &made_up(root.path())).unwrap_err();
        assert!(failure.what.contains("0000:ff:1f.7"), "{failure}");
        let card = "/sys/bus/pci/devices/0000:3b:00.0";
        put(root.path(), &format!("{card}/class"), "0x020000");
        let failure = card_is_there("0000:ff:1f.7", &made_up(root.path())).unwrap_err();
        assert_eq!(failure.mend.len(), 1, "a card of the kernel's is not proposed: {failure}");
        std::os::unix::fs::symlink("../vfio-pci", root.path().join(&card[1..]).join("driver")).unwrap();
        let failure = card_is_there("0000:ff:1f.7", &made_up(root.path())).unwrap_err();
        assert_eq!(failure.mend[0], "--dev pci:0000:3b:00.0");
        assert!(card_is_there("3B:00.0", &made_up(root.path())).is_ok());
    }

    #[test]
    fn a_wire_without_its_other_end_names_the_command_that_starts_it() {
        let config = Config::new("virtio-user:/nonexistent/s", "10.0.0.2/24".parse().unwrap());
        let failure = somebody_listens("/nonexistent/s", &config).unwrap_err();
        assert!(failure.mend[0].starts_with("tsonami serve --dev vhost:/nonexistent/s"), "{failure}");
    }

    #[test]
    fn missing_hugepages_come_with_the_number_that_is_wanted() {
        let mut config = Config::new("virtio-user:/tmp/s", "10.0.0.2/24".parse().unwrap());
        config.memory.mib = Some(2048);
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/proc/sys/vm/nr_hugepages", "3000");
        let host = made_up(root.path());
        let failure = failure_on(&host, &BuildError::Eal(EalError::NoHugepages { free_mib: 3 }), &config);
        // (2048 - 3) / 2, rounded up, beside the 3000 that others use: the pool never shrinks.
        assert_eq!(failure.mend[0], "echo 4023 | sudo tee /proc/sys/vm/nr_hugepages");
        assert!(failure.what.contains("3 MiB"), "{failure}");
    }

    #[test]
    fn a_pool_without_memory_names_our_own_options() {
        let host = Host::this_machine();
        let error = || PoolError { name: "rx", count: 9999, size: 2048, errno: Errno(12) };
        let mut config = Config::new("tap", "10.0.0.2/24".parse().unwrap());
        let failure = failure_on(&host, &BuildError::Pool(error()), &config);
        assert_eq!(failure.mend, ["--memory 1024M", "--mbufs 2048"]);
        assert!(failure.what.contains("9999 packet buffers") && !failure.what.contains("-m "), "{failure}");
        config.memory.mib = Some(4096);
        config.pools.mbufs = Some(2048);
        assert_eq!(failure_on(&host, &BuildError::Pool(error()), &config).mend, ["--memory 8216M"]);
        // 2 GiB to copy into.
        let tail = PoolError { name: "tail", count: 32_768, size: 65_536, errno: Errno(12) };
        config.memory.mib = None;
        let failure = failure_on(&host, &BuildError::Pool(tail), &config);
        assert_eq!(failure.mend, ["--memory 3072M", "--send-memory 16M"]);
    }

    #[test]
    fn a_memif_client_waits_for_its_server_in_our_words() {
        let config = Config::new("memif:/nonexistent/s", "10.0.0.2/24".parse().unwrap());
        let failure = memif_server_is_there("/nonexistent/s", &config).unwrap_err();
        assert!(failure.what.contains("start the ',server' side first"), "{failure}");
        assert!(failure.mend[0].starts_with("tsonami serve --dev memif:/nonexistent/s,server"), "{failure}");
        assert!(memif_server_is_there("/", &config).is_ok());
    }

    #[test]
    fn rings_of_another_size_are_told() {
        let mut config = Config::new("tap", "10.0.0.2/24".parse().unwrap());
        assert_eq!(rings_note(&config, 512, 512), None);
        config.rings.transmit = Some(64);
        config.rings.receive = Some(32);
        assert_eq!(rings_note(&config, 32, 64), None);
        let note = rings_note(&config, 32, 128).unwrap();
        assert!(note.contains("--tx-ring 64") && note.contains("128"), "{note}");
        assert!(!note.contains("--rx-ring"), "{note}");
    }
}
