//! A device that was opened, and what each worker begins with.

use std::collections::HashSet;
use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::PathBuf;

use dpdk::{DeviceSpec, Eal};
use engine::Engine;
use engine::nic::dpdk::DpdkNic;
use engine::nic::{Checked, Nic, Shared, Traced};

use crate::builder::run_on;
use crate::local::{SEND_BYTES, device_config, engine_config};
use crate::stack::{Capture, Stack};
use crate::{BuildError, Config, DeviceInfo, LocalEngine, Waiter};

/// What a worker's engine is made of, on whatever thread that is to run.
pub(crate) struct Opened {
    eal: Eal,
    nic: Port,
    config: Config,
    worker: u16,
    core: Option<usize>,
}

/// A device of one's own, or one's share of it. Made once for each worker.
#[allow(clippy::large_enum_variant)]
enum Port {
    Own(DpdkNic),
    Shared(Shared<DpdkNic>),
}

impl Opened {
    /// Opens the device for workers in these places.
    pub(crate) fn all(
        eal: &Eal,
        device: &DeviceSpec,
        config: &Config,
        places: &[Option<usize>],
    ) -> Result<Vec<Opened>, BuildError> {
        // Before the device is opened: what can be seen to be wrong.
        engine_config(config)?;
        let workers = u16::try_from(places.len()).unwrap_or(u16::MAX);
        let config = &shared_out(config.clone(), workers);
        let settings = device_config(config);
        let nics = if workers == 1 {
            vec![Port::Own(DpdkNic::open(eal, device, &settings)?)]
        } else {
            let shares = DpdkNic::open_shared(eal, device, &settings, workers, config.workers.queues)?;
            shares.into_iter().map(Port::Shared).collect()
        };
        let opened = nics.into_iter().zip(places).zip(0..).map(|((nic, core), worker)| Opened {
            eal: eal.clone(),
            nic,
            config: config.clone(),
            worker,
            core: *core,
        });
        Ok(opened.collect())
    }

    /// Which worker it is for.
    pub(crate) fn worker(&self) -> u16 {
        self.worker
    }

    /// The engine, on the calling thread, which it then belongs to.
    pub(crate) fn build(self) -> Result<LocalEngine, BuildError> {
        let Opened { eal, nic, config, worker, core } = self;
        // The first one's thread is where EAL was started.
        let registration = (worker > 0).then(|| eal.register_thread().ok()).flatten();
        if worker > 0 {
            run_on(core)?;
        }
        let path = config.pcap.clone().map(|path| of_worker(path, worker));
        let capture = Capture::create(path.as_deref()).map_err(|source| BuildError::Capture {
            path: path.unwrap_or_default().display().to_string(),
            source,
        })?;
        let engine_config = engine_config(&config)?;
        let device = match &nic {
            Port::Own(nic) => nic,
            Port::Shared(shared) => shared.inner(),
        };
        let (receive_ring, transmit_ring) = device.rings();
        let clock = device.clock();
        let info = DeviceInfo {
            port: device.port().info().clone(),
            limits: device.limits().clone(),
            receive_ring,
            transmit_ring,
            hardware_times: device.stamps(),
        };
        let stack = match nic {
            nic if config.check_tx || config.pcap.is_some() => {
                let mut nic = match nic {
                    Port::Own(nic) => Shared::alone(nic),
                    Port::Shared(shared) => shared,
                };
                if config.check_tx {
                    nic.inner_mut().check_prepared();
                }
                let nic = Checked::new(Traced::new(nic, capture));
                Stack::Watched(Box::new(Engine::new(nic, engine_config)?))
            }
            Port::Own(nic) => Stack::Plain(Box::new(Engine::new(nic, engine_config)?)),
            Port::Shared(shared) => Stack::Shared(Box::new(Engine::new(shared, engine_config)?)),
        };
        Ok(LocalEngine {
            stack,
            clock,
            waiter: Waiter::new(config.wait),
            options: config.connection.clone(),
            info,
            opening: HashSet::new(),
            pools: Vec::new(),
            _registration: registration,
            eal,
            _not_send: PhantomData,
        })
    }
}

/// What is said of all connections together, divided among the workers.
fn shared_out(mut config: Config, workers: u16) -> Config {
    if workers > 1 {
        let bytes = config.pools.send_bytes.unwrap_or(SEND_BYTES);
        config.pools.send_bytes = Some((bytes / u64::from(workers)).max(1));
        config.pools.queued_bytes = config.pools.queued_bytes.map(|bytes| bytes / u64::from(workers));
    }
    config
}

/// The file that a worker captures into.
fn of_worker(path: PathBuf, worker: u16) -> PathBuf {
    if worker == 0 {
        return path;
    }
    let mut name = OsString::from(path);
    name.push(format!(".{worker}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_all_connections_is_divided_and_captures_have_names_of_their_own() {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        assert_eq!(shared_out(config.clone(), 1), config);
        assert_eq!(shared_out(config.clone(), 4).pools.send_bytes, Some(SEND_BYTES / 4));
        config.pools.send_bytes = Some(1);
        config.pools.queued_bytes = Some(1 << 20);
        let one = shared_out(config, 2).pools;
        assert_eq!((one.send_bytes, one.queued_bytes), (Some(1), Some(1 << 19)));
        assert_eq!(of_worker("a.pcap".into(), 0), PathBuf::from("a.pcap"));
        assert_eq!(of_worker("a.pcap".into(), 2), PathBuf::from("a.pcap.2"));
    }
}
