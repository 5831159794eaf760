//! Building an engine: from settings to a running device.

use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;

use dpdk::{DeviceSpec, Eal, EalConfig, LogLevel, Port, PortInfo};

use crate::config::WorkerConfig;
use crate::opened::Opened;
use crate::{Config, Engine, HardwareTimes, LocalEngine};

/// Workers of one engine, at most: each has memory of its own, and a lane for each thread that gives orders.
const MAX_WORKERS: usize = 64;

/// MiB that EAL has in normal pages, unless told otherwise, and that each further worker adds.
const MEMORY_MIB: u32 = 256;
/// See [`MEMORY_MIB`].
const WORKER_MIB: u32 = 64;

/// Builds an [`Engine`], or a [`LocalEngine`].
pub struct EngineBuilder {
    config: Config,
    log: Box<dyn Write + Send>,
    log_level: LogLevel,
    eal: Option<Eal>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why an engine could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The device's name makes no sense.
    #[error(transparent)]
    Device(#[from] dpdk::ParseDeviceError),
    /// An IPv6 address, of our own or of the gateway.
    #[error("{0} is an IPv6 address: only IPv4 is sent as yet, give an IPv4 address")]
    Family(IpAddr),
    /// The kernel owns the address, on an interface it shares with us.
    #[error(transparent)]
    KernelOwnsAddress(#[from] dpdk::KernelOwnsAddress),
    /// Another process has the TAP.
    #[error(transparent)]
    TapInUse(#[from] dpdk::TapInUse),
    /// The thread could not be pinned.
    #[error("cannot run on CPU {core}: {source}")]
    Core {
        /// The CPU.
        core: usize,
        /// Why not.
        source: io::Error,
    },
    /// The settings of workers make no sense.
    #[error("{0}")]
    Workers(&'static str),
    /// More memory than there is. EAL would touch every page of it until the machine has none left.
    #[error("{wanted_mib} MiB of memory are asked for, and this machine has {total_mib} MiB")]
    Memory {
        /// What the settings ask for.
        wanted_mib: u32,
        /// What there is.
        total_mib: u64,
    },
    /// DPDK did not start.
    #[error(transparent)]
    Eal(#[from] dpdk::EalError),
    /// The device could not be asked what it is.
    #[error(transparent)]
    Port(#[from] dpdk::PortError),
    /// The device could not be opened or started.
    #[error(transparent)]
    Open(#[from] engine::nic::dpdk::OpenError),
    /// A pool of registered memory could not be made.
    #[error(transparent)]
    Pool(#[from] dpdk::PoolError),
    /// The capture file could not be made.
    #[error("cannot write the capture '{path}': {source}")]
    Capture {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The worker's thread could not be started, or ended at once.
    #[error("the engine's thread could not be started: {0}")]
    Thread(io::Error),
    /// No random numbers for the secrets.
    #[error("the kernel gave no random numbers: {0}")]
    Random(io::Error),
    /// A setting of the engine makes no sense.
    #[error(transparent)]
    Engine(#[from] engine::ConfigError),
}

impl EngineBuilder {
    /// A builder with these settings. DPDK's log goes nowhere.
    pub fn new(config: Config) -> EngineBuilder {
        EngineBuilder { config, log: Box::new(io::sink()), log_level: LogLevel::default(), eal: None }
    }

    /// Where DPDK's log goes, and how much of it. The last lines before an error are part of the error anyway.
    #[must_use]
    pub fn log(mut self, writer: impl Write + Send + 'static, level: LogLevel) -> EngineBuilder {
        self.log = Box::new(writer);
        self.log_level = level;
        self
    }

    /// Uses this EAL instead of starting one: for programs that start their own ([`Eal::adopt`]). What the settings say of
    /// memory, hugepages and logs is then theirs to say.
    #[must_use]
    pub fn eal(mut self, eal: Eal) -> EngineBuilder {
        self.eal = Some(eal);
        self
    }

    /// So many workers, 1 to 64: threads with connections of their own each.
    #[must_use]
    pub fn workers(mut self, count: u16) -> EngineBuilder {
        self.config.workers.count = Some(count);
        self
    }

    /// A worker on each of these CPUs.
    #[must_use]
    pub fn cores(mut self, cores: impl IntoIterator<Item = usize>) -> EngineBuilder {
        self.config.workers.cores = cores.into_iter().collect();
        self
    }

    /// The device's own times of sends that ask for times (`S33`). With [`HardwareTimes::Required`] a device that has none is an error.
    #[must_use]
    pub fn hardware_times(mut self, times: HardwareTimes) -> EngineBuilder {
        self.config.hardware_times = times;
        self
    }

    /// Starts DPDK and the device, and a thread for each worker, by which the engine's connections are looked after.
    ///
    /// # Errors
    /// As [`build_local`](EngineBuilder::build_local), and when there is no thread to be had.
    pub fn build(self) -> Result<Engine, BuildError> {
        Engine::start(self)
    }

    /// Bytes of memory for copying sends, which are not the engine's own business then: its handles copy.
    ///
    /// # Errors
    /// [`BuildError::Memory`].
    pub(crate) fn take_send_bytes(&mut self) -> Result<u64, BuildError> {
        let bytes = self.config.pools.send_bytes.replace(1);
        enough_memory(bytes.map(mib), &meminfo())?;
        Ok(bytes.unwrap_or(crate::local::SEND_BYTES))
    }

    /// A CPU for each worker, or none in particular.
    pub(crate) fn places(&self) -> Result<Vec<Option<usize>>, BuildError> {
        let WorkerConfig { count, cores, queues } = &self.config.workers;
        if *queues == Some(0) {
            return Err(BuildError::Workers("workers.queues: a device needs a queue at least"));
        }
        if !cores.is_empty() && self.config.core.is_some() {
            return Err(BuildError::Workers("core and workers.cores are both given: take one"));
        }
        let places: Vec<_> = match (count, cores.as_slice()) {
            (Some(count), []) => vec![None; usize::from(*count)],
            (None, []) => vec![None],
            (None, cores) => cores.iter().copied().map(Some).collect(),
            (Some(count), cores) if cores.len() == usize::from(*count) => {
                cores.iter().copied().map(Some).collect()
            }
            _ => return Err(BuildError::Workers("workers.cores must name a CPU for each of workers.count")),
        };
        match (places.len(), self.config.core) {
            (1, Some(core)) => Ok(vec![Some(core)]),
            (1..=MAX_WORKERS, None) => Ok(places),
            (_, Some(_)) => Err(BuildError::Workers("core is for one worker; several have workers.cores")),
            _ => Err(BuildError::Workers("there are 1 to 64 workers")),
        }
    }

    /// Starts DPDK and the device, on the thread of the first worker; what the others begin with.
    pub(crate) fn open(self) -> Result<Vec<Opened>, BuildError> {
        let places = self.places()?;
        let config = self.config.clone();
        let (eal, device) = self.start_eal(places[0])?;
        Opened::all(&eal, &device, &config, &places)
    }

    /// Starts DPDK and the device, and builds the engine on the calling thread, which it then belongs to.
    ///
    /// # Errors
    /// [`BuildError`] says what is missing and how to get it. DPDK starts once per process: after an error that came
    /// from it, another attempt needs another process.
    pub fn build_local(self) -> Result<LocalEngine, BuildError> {
        if self.places()?.len() > 1 {
            return Err(BuildError::Workers("a local engine is one worker, on its caller's thread"));
        }
        self.open()?.pop().ok_or(BuildError::Workers("there is no worker"))?.build()
    }

    /// Starts DPDK, asks the device what it is and can do, and closes it again.
    ///
    /// # Errors
    /// As [`build_local`](EngineBuilder::build_local).
    pub fn probe(self) -> Result<PortInfo, BuildError> {
        let core = self.config.core;
        let (eal, device) = self.start_eal(core)?;
        Ok(Port::probe(&eal, &device)?.info().clone())
    }

    /// Everything that comes before the device.
    fn start_eal(self, core: Option<usize>) -> Result<(Eal, DeviceSpec), BuildError> {
        let device: DeviceSpec = self.config.device.parse()?;
        dpdk::refuse_kernel_address(&device, self.config.address.all())?;
        dpdk::refuse_used_tap(&device)?;
        run_on(core)?;
        if let Some(eal) = self.eal {
            return Ok((eal, device));
        }
        let huge = self.config.memory.hugepages.used_by(&device);
        let meminfo = meminfo();
        if !huge {
            enough_memory(self.config.memory.mib, &meminfo)?;
        }
        // Each has rings and packet buffers of its own.
        let workers = self.places().map_or(1, |places| places.len() as u32);
        let more = (workers > 1 && !huge).then(|| MEMORY_MIB + WORKER_MIB * (workers - 1));
        enough_memory(self.config.pools.send_bytes.map(mib), &meminfo)?;
        let eal = Eal::start(EalConfig {
            no_huge: !huge,
            memory_mib: self.config.memory.mib.or(more),
            devices: vec![device.clone()],
            log: self.log,
            log_level: self.log_level,
            ..EalConfig::default()
        })?;
        Ok((eal, device))
    }
}

/// What the kernel tells of memory; nothing where it does not.
fn meminfo() -> String {
    std::fs::read_to_string("/proc/meminfo").unwrap_or_default()
}

/// Whole MiB of so many bytes.
fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// Refuses more memory than the machine has; `meminfo` is `/proc/meminfo`. Where it tells nothing EAL may try.
fn enough_memory(wanted_mib: Option<u32>, meminfo: &str) -> Result<(), BuildError> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total_kib: Option<u64> = total.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    match (wanted_mib, total_kib) {
        (Some(wanted_mib), Some(kib)) if u64::from(wanted_mib) > kib / 1024 => {
            Err(BuildError::Memory { wanted_mib, total_mib: kib / 1024 })
        }
        _ => Ok(()),
    }
}

/// Has the calling thread run on this CPU, if it is to run on one in particular.
pub(crate) fn run_on(core: Option<usize>) -> Result<(), BuildError> {
    core.map_or(Ok(()), |core| pin(core).map_err(|source| BuildError::Core { core, source }))
}

/// Pins the calling thread, and with it the threads it makes, to a CPU.
fn pin(core: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("CPUs are counted from 0 to {}", CpuSet::MAX_CPU - 1),
        ));
    }
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_have_a_cpu_each_or_none_does() {
        let places = |count, cores: &[usize], core| {
            let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
            config.core = core;
            config.workers.count = count;
            EngineBuilder::new(config).cores(cores.iter().copied()).places().map_err(|e| e.to_string())
        };
        assert_eq!(places(None, &[], None), Ok(vec![None]));
        assert_eq!(places(None, &[], Some(3)), Ok(vec![Some(3)]));
        assert_eq!(places(Some(1), &[], Some(3)), Ok(vec![Some(3)]));
        assert_eq!(places(Some(2), &[], None), Ok(vec![None, None]));
        assert_eq!(places(None, &[4, 2], None), Ok(vec![Some(4), Some(2)]));
        assert_eq!(places(Some(2), &[4, 2], None), Ok(vec![Some(4), Some(2)]));
        assert!(places(Some(3), &[4, 2], None).unwrap_err().contains("a CPU for each"));
        assert!(places(None, &[4], Some(3)).unwrap_err().contains("both"));
        assert!(places(Some(2), &[], Some(3)).unwrap_err().contains("workers.cores"));
        assert!(places(Some(0), &[], None).unwrap_err().contains("1 to 64"));
        assert!(places(Some(65), &[], None).unwrap_err().contains("1 to 64"));
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        config.workers.queues = Some(0);
        assert!(matches!(EngineBuilder::new(config).places(), Err(BuildError::Workers(_))));
    }

    #[test]
    fn more_memory_than_there_is_is_refused_before_eal_takes_it() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree:        11759476 kB\n";
        assert!(matches!(
            enough_memory(Some(100 << 20), meminfo),
            Err(BuildError::Memory { wanted_mib: 104_857_600, total_mib: 24_105 })
        ));
        assert!(enough_memory(Some(24_105), meminfo).is_ok());
        assert!(enough_memory(None, meminfo).is_ok());
        assert!(enough_memory(Some(1), "").is_ok());
        // Whoever copies, the engine's loop or its handles.
        for build in [|b: EngineBuilder| b.build().map(drop), |b: EngineBuilder| b.build_local().map(drop)] {
            let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
            config.pools.send_bytes = Some(1 << 60);
            let error = build(EngineBuilder::new(config)).expect_err("there is not that much");
            assert!(matches!(error, BuildError::Memory { .. }), "{error}");
        }
    }
}
