//! One port for several workers: a queue pair each, or as many as there are.

use ::dpdk::{DeviceSpec, Eal, Port};

use super::nudge::Nudge;
use super::pools::Pools;
use super::rx::RxSide;
use super::{DpdkConfig, DpdkNic, OpenError};
use crate::nic::rss::Steering;
use crate::nic::{Seat, Shared};

impl DpdkNic {
    /// Opens the device with as many queue pairs as there are workers, or `most`, or as many as it has when that is less, and
    /// makes a NIC for each worker. One that has no queue pair receives nothing by itself, and sends by another's: that of the
    /// worker with its number, modulo the number of queues.
    ///
    /// # Errors
    /// [`OpenError`]; everything taken is given back.
    pub fn open_shared(
        eal: &Eal,
        device: &DeviceSpec,
        config: &DpdkConfig,
        workers: u16,
        most: Option<u16>,
    ) -> Result<Vec<Shared<DpdkNic>>, OpenError> {
        config.check()?;
        let wanted = workers.min(most.unwrap_or(workers)).max(1);
        let port = Port::probe_with(eal, device, wanted)?;
        let has = port.info().max_rx_queues.min(port.info().max_tx_queues);
        let queues = wanted.min(has).max(1);
        let mut nics = Self::open_port(eal, device, config, port, queues)?;
        for worker in queues..workers {
            let nic = nics[usize::from(worker % queues)].relayed(eal, config)?;
            nics.push(nic);
        }
        let rss = nics[0].port.rss().ok();
        let seats = Seat::for_all(Steering::new(rss.as_ref(), queues, workers));
        Ok(nics.into_iter().zip(seats).map(|(nic, seat)| Shared::new(nic, seat)).collect())
    }

    /// A NIC for a worker without a queue: what it sends is sent by this one.
    fn relayed(&mut self, eal: &Eal, config: &DpdkConfig) -> Result<DpdkNic, OpenError> {
        let pools =
            Pools::new(eal, config, &self.pools.rx, self.limits.header_room, self.port.info().socket)?;
        let queue = self.queue.relayed();
        Ok(DpdkNic {
            builder: self.builder.another(&pools.headers, &pools.links, &pools.tails),
            limits: self.limits.clone(),
            mac: self.mac,
            rx: RxSide::new(&pools, queue.rx_descriptors()),
            queue,
            port: self.port.clone(),
            tails: pools.tails.clone(),
            small_tails: pools.small_tails.clone(),
            pools,
            nudge: self.nudge.as_ref().map(Nudge::another),
            nudges: 0,
            check: None,
            host: self.host.clone(),
            clock: self.clock,
            stamps: self.stamps.clone(),
        })
    }
}
