//! The buffers of a queue pair.

use ::dpdk::{BufPool, BufPoolConfig, Eal, Mempool, MempoolConfig, PoolError};

use super::{DpdkConfig, HEADROOM};
use crate::nic::SMALL_TAIL;

#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) rx: Mempool,
    pub(super) headers: Mempool,
    pub(super) links: Mempool,
    pub(super) tails: BufPool,
    pub(super) small_tails: BufPool,
    pub(super) rx_copies: BufPool,
}

impl Pools {
    /// A pool to receive into.
    pub(super) fn receive(
        eal: &Eal,
        config: &DpdkConfig,
        rx_room: u16,
        socket: Option<i32>,
    ) -> Result<Mempool, PoolError> {
        let count = config.rx_buffers.saturating_add(config.rx_descriptors.into());
        let data_room = rx_room.saturating_add(HEADROOM);
        Mempool::new(eal, &MempoolConfig { name: "rx", count, cache: 256, data_room, socket })
    }

    pub(super) fn new(
        eal: &Eal,
        config: &DpdkConfig,
        rx: &Mempool,
        header_room: u16,
        socket: Option<i32>,
    ) -> Result<Pools, PoolError> {
        let mbufs = |name, count, cache, data_room| {
            Mempool::new(eal, &MempoolConfig { name, count, cache, data_room, socket })
        };
        Ok(Pools {
            rx: rx.clone(),
            headers: mbufs("header", config.headers, 0, header_room.saturating_add(HEADROOM))?,
            links: mbufs("link", config.links, 256, 0)?,
            tails: BufPool::new(
                eal,
                &BufPoolConfig { name: "tail", count: config.tail_buffers, size: config.tail_size, socket },
            )?,
            small_tails: BufPool::new(
                eal,
                &BufPoolConfig {
                    name: "small-tail",
                    count: config.small_tail_buffers.max(1),
                    size: SMALL_TAIL as u32,
                    socket,
                },
            )?,
            rx_copies: BufPool::new(eal, &BufPoolConfig { name: "rx-copy", count: 16, size: 65536, socket })?,
        })
    }

    pub(super) fn report(&self) -> Vec<(&'static str, u32, u32)> {
        let mbufs = |name, p: &Mempool| (name, p.available(), p.size());
        let bufs = |name, p: &BufPool| (name, p.available(), p.count());
        vec![
            mbufs("rx", &self.rx),
            mbufs("header", &self.headers),
            mbufs("link", &self.links),
            bufs("tail", &self.tails),
            bufs("small-tail", &self.small_tails),
            bufs("rx-copy", &self.rx_copies),
        ]
    }
}

/// Which buffers of a closed port are home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolReport {
    /// Each pool's purpose, buffers at home, and buffers in all.
    pub pools: Vec<(&'static str, u32, u32)>,
}

impl PoolReport {
    /// True when nothing is missing.
    pub fn all_home(&self) -> bool {
        self.pools.iter().all(|(_, home, all)| home == all)
    }
}

impl core::fmt::Display for PoolReport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, (name, home, all)) in self.pools.iter().enumerate() {
            write!(f, "{}{name} {home}/{all}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
