//! What every integration test here needs. EAL starts once per process, so each file has one test.
#![allow(dead_code)] // each file uses a part of it

pub(crate) mod capture;
pub(crate) mod namespace;

use dpdk::{DeviceSpec, Eal, EalConfig, Mempool, MempoolConfig, Port, PortConfig, RxOffloads, TxOffloads};

/// EAL without hugepages, its messages on stderr.
pub(crate) fn eal(memory_mib: u32, devices: &[&DeviceSpec]) -> Eal {
    Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(memory_mib),
        devices: devices.iter().map(|&d| d.clone()).collect(),
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages")
}

pub(crate) fn device(text: &str) -> DeviceSpec {
    text.parse().expect("a device")
}

/// A pool; without a cache, so that its level is exact at once.
pub(crate) fn pool(eal: &Eal, name: &'static str, count: u32, data_room: u16) -> Mempool {
    Mempool::new(eal, &MempoolConfig { name, count, cache: 0, data_room, socket: None }).expect("a pool")
}

/// A plain configuration with every transmit offload of ours that the port has.
pub(crate) fn config(port: &Port) -> PortConfig {
    let ours = TxOffloads::MULTI_SEGS | TxOffloads::TCP_TSO | TxOffloads::TCP_CKSUM | TxOffloads::IPV4_CKSUM;
    PortConfig {
        queues: 1,
        rx_descriptors: 64,
        tx_descriptors: 64,
        mtu: port.info().max_mtu.min(1500),
        tx_offloads: ours & port.info().tx_offloads,
        rx_offloads: RxOffloads::default(),
        promiscuous: false,
        tx_free_thresh: None,
    }
}

#[track_caller]
pub(crate) fn assert_full(pools: &[&Mempool]) {
    for pool in pools {
        assert!(pool.is_full(), "{} of {} buffers are home", pool.available(), pool.size());
    }
}
