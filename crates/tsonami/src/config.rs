//! Settings of an engine: one struct for the builder, for TOML files and for whoever embeds us.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dpdk::DeviceSpec;
use serde::{Deserialize, Serialize};

use crate::{Addresses, ConnectOptions, WaitStrategy};

/// Everything an engine is told at its start.
///
/// Read from TOML, every key has the name of the field; unknown keys are errors. Only `device` and `address` have
/// no default:
///
/// ```
/// let config = tsonami::Config::from_toml(
///     r#"
///     device = "tap:tsonami0,host=10.77.0.1/24"
///     address = "10.77.0.2/24"
///     [connection]
///     connect_timeout = "5s"
///     "#,
/// )?;
/// assert_eq!(config.rings.transmit, None);
/// # Ok::<(), tsonami::ConfigFileError>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The device: `tap[:NAME][,host=ADDR/LEN]`, `virtio-user:SOCKET`, `vhost:SOCKET`, `memif:SOCKET`, `pci:ADDRESS`,
    /// `af_packet:IFACE`, `null`, or `vdev:` followed by DPDK's own words.
    pub device: String,
    /// Our own address, with the length of its network's prefix: `10.0.0.2/24`; or several in a row: `10.0.0.2-10.0.3.254/16`.
    /// Only IPv4 is sent as yet.
    pub address: Addresses,
    /// Next hop for peers outside that network. Without it they cannot be reached.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Bytes of the largest IP packet, at least 576. Without it 1500, or what the device takes when that is less.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Bits per second of the link, where the device does not know it: drivers of virtual wires make one up. What waits in the
    /// device is bounded by it, and small sends wait as long for company as it takes. Without it 10 Gbit/s.
    #[serde(default)]
    pub link_rate: Option<u64>,
    /// Connections at the same time, at most, of each worker.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// What the core does when there is nothing to do.
    #[serde(default)]
    pub wait: WaitStrategy,
    /// The CPU that the thread which builds the engine is pinned to. Without it, the thread is left where it is.
    #[serde(default)]
    pub core: Option<usize>,
    /// Workers of an [`Engine`](crate::Engine).
    #[serde(default)]
    pub workers: WorkerConfig,
    /// The device's own times of sends that ask for times (`S33`).
    #[serde(default)]
    pub hardware_times: HardwareTimes,
    /// Check the offload fields of every frame before the device sees it. For tests: it costs.
    #[serde(default)]
    pub check_tx: bool,
    /// Capture every frame sent and received into this file; of worker 1 into one with `.1` behind the name, and so on. For
    /// tests: it costs.
    #[serde(default)]
    pub pcap: Option<PathBuf>,
    /// Memory.
    #[serde(default)]
    pub memory: MemoryConfig,
    /// Pools of packet buffers.
    #[serde(default)]
    pub pools: PoolConfig,
    /// The device's rings.
    #[serde(default)]
    pub rings: RingConfig,
    /// What connections start with, unless told otherwise one by one.
    #[serde(default)]
    pub connection: ConnectOptions,
}

fn default_max_connections() -> u32 {
    65_536
}

/// Workers of an [`Engine`](crate::Engine): threads that share a device, and nothing else on the way of a byte. Each has its
/// own connections, timers and pools of packet buffers, and a queue pair of the device if that has so many.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// How many, 1 to 64. Without it as many as `cores`, or 1.
    pub count: Option<u16>,
    /// The CPU of each, in their order. Empty: they run where the scheduler puts them.
    pub cores: Vec<usize>,
    /// Queue pairs of the device, at most. Without it as many as workers. Workers beyond the last queue receive and send
    /// through those that have one.
    pub queues: Option<u16>,
}

/// Whether the device tells when sends that [ask for times](crate::SendFlags::timestamp) left it: by
/// [`SendTimeKind::Device`](crate::SendTimeKind::Device), beside the times of software.
///
/// A device keeps one time until it is read, so of sends that follow each other within microseconds it does not tell all: `tx_times_missed` and
/// [`ConnStats::device_times_missed`](crate::ConnStats::device_times_missed) count the others. The segment with the end of such a send leaves in a
/// frame of its own, as no device tells of one that it segments.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardwareTimes {
    /// It is not asked.
    #[default]
    Off,
    /// Where it can; [`DeviceInfo::hardware_times`](crate::DeviceInfo::hardware_times) says whether it does.
    IfAvailable,
    /// It has to: a device that cannot is an error.
    Required,
}

/// Memory that is set aside at the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Hugepages.
    pub hugepages: Hugepages,
    /// MiB in all. Without it 256 in normal pages, and 64 more for each worker beside the first; hugepages are taken as they are
    /// needed.
    pub mib: Option<u32>,
}

/// Whether memory is in hugepages.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hugepages {
    /// For devices that need them: network cards, virtio-user, vhost.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never. Devices that need them are then refused.
    Off,
}

impl Hugepages {
    /// Whether memory for this device is taken from hugepages.
    pub fn used_by(self, device: &DeviceSpec) -> bool {
        match self {
            Hugepages::Auto => device.needs().hugepages || matches!(device, DeviceSpec::Pci { .. }),
            Hugepages::On => true,
            Hugepages::Off => false,
        }
    }
}

/// Pools of packet buffers. A pool that runs empty delays sending; it loses nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Buffers of each pool: received frames (beside those in the ring), headers, references to payload. Without it
    /// several thousand.
    pub mbufs: Option<u32>,
    /// Bytes that copying sends of all connections may fill before the peers acknowledge them; several workers have equal
    /// shares. Without it, 64 MiB.
    pub send_bytes: Option<u64>,
    /// Memory that the send queues of all connections together may hold, bytes, as each send buffer counts them: what is
    /// copied and what is referred to; several workers have equal shares. Without it, as much as each of them may.
    pub queued_bytes: Option<u64>,
    /// Copying sends of at least this many bytes go past the cache, so that what is in it stays; 0: none do. Without it
    /// those of 4096 bytes or more, while `send_bytes` that are in use would fill half of the largest cache.
    pub streaming_copies: Option<u32>,
}

/// Descriptors of the device's rings. Without a number 1024, or what the device takes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RingConfig {
    /// Of the transmit ring.
    pub transmit: Option<u16>,
    /// Of the receive ring.
    pub receive: Option<u16>,
}

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFileError {
    /// The file cannot be opened or read.
    #[error("cannot read '{path}': {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no TOML, or a key is unknown, or a value has the wrong type.
    #[error("{0}")]
    Invalid(#[from] toml::de::Error),
}

impl Config {
    /// Settings for a device and an address, defaults for everything else.
    pub fn new(device: impl Into<String>, address: Addresses) -> Config {
        Config {
            device: device.into(),
            address,
            gateway: None,
            mtu: None,
            link_rate: None,
            max_connections: default_max_connections(),
            wait: WaitStrategy::default(),
            core: None,
            workers: WorkerConfig::default(),
            hardware_times: HardwareTimes::default(),
            check_tx: false,
            pcap: None,
            memory: MemoryConfig::default(),
            pools: PoolConfig::default(),
            rings: RingConfig::default(),
            connection: ConnectOptions::default(),
        }
    }

    /// Reads settings from the text of a TOML file.
    ///
    /// # Errors
    /// When it is no TOML, a key is unknown, or a value has the wrong type; the message shows the place.
    pub fn from_toml(text: &str) -> Result<Config, ConfigFileError> {
        Ok(toml::from_str(text)?)
    }

    /// Reads settings from a TOML file.
    ///
    /// # Errors
    /// As [`from_toml`](Config::from_toml), and when the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Config, ConfigFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigFileError::Unreadable { path: path.to_owned(), source })?;
        Config::from_toml(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn two_keys_are_enough() {
        let config = Config::from_toml("device = 'null'\naddress = '10.0.0.2/24'").unwrap();
        assert_eq!(config, Config::new("null", "10.0.0.2/24".parse().unwrap()));
    }

    #[test]
    fn every_key_can_be_written_and_read_back() {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        config.address = "10.0.0.2-10.0.0.9/24".parse().unwrap();
        config.gateway = Some("10.0.0.1".parse().unwrap());
        config.mtu = Some(9000);
        config.link_rate = Some(100_000_000);
        config.wait = WaitStrategy::Park;
        config.core = Some(1);
        config.check_tx = true;
        config.hardware_times = HardwareTimes::IfAvailable;
        config.pcap = Some("x.pcap".into());
        config.memory = MemoryConfig { hugepages: Hugepages::Off, mib: Some(256) };
        config.pools = PoolConfig { mbufs: Some(64), send_bytes: Some(1 << 20), ..PoolConfig::default() };
        config.rings = RingConfig { transmit: Some(32), receive: Some(64) };
        config.connection.user_timeout = Duration::from_millis(1500);
        config.connection.mss = Some(1400);
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("user_timeout = \"1s 500ms\""), "{text}");
        assert_eq!(Config::from_toml(&text).unwrap(), config);
    }

    #[test]
    fn the_example_in_the_repository_says_what_the_defaults_are() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/example.toml");
        let mut config = Config::new("tap:tsonami0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
        config.gateway = Some("10.77.0.1".parse().unwrap());
        assert_eq!(Config::from_file(&example).unwrap(), config);
        // The keys that are commented out exist too.
        let text = std::fs::read_to_string(&example).unwrap();
        let all: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) && key.contains(" = ") => key,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        Config::from_toml(&all).unwrap();
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it_and_its_line() {
        let error = Config::from_toml("device = 'null'\naddress = '10.0.0.2/24'\n[rings]\ntransmitt = 3")
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("transmitt") && text.contains("line 4"), "{text}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::from_file(Path::new("/nonexistent/x.toml")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read '/nonexistent/x.toml'"), "{error}");
    }
}
