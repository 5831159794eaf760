//! Ports: probing, what they can do, starting them.

use core::ffi::{CStr, c_char};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::CString;
use std::sync::{Arc, Weak};

use crate::{
    DeviceSpec, Eal, Errno, Mempool, QueuePair, Reads, RssInfo, RssUnknown, RxOffloads, TxOffloads, log, rss,
};

/// What went wrong with a port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The device could not be made or found.
    #[error("{device}: no such device, or DPDK could not open it{}. {advice} It said:{log}", reason(*.errno))]
    Probe {
        /// The device asked for.
        device: DeviceSpec,
        /// The reason.
        errno: Errno,
        /// What to do.
        advice: String,
        /// DPDK's last lines.
        log: String,
    },
    /// The wanted MTU is outside what the port can do.
    #[error("{port}: an MTU of {mtu} is not possible: the port takes {min} to {max}")]
    Mtu {
        /// Port and driver.
        port: String,
        /// The MTU asked for.
        mtu: u16,
        /// Smallest.
        min: u16,
        /// Largest.
        max: u16,
    },
    /// More queues than the port has.
    #[error("{port}: {queues} queue pairs asked for, it has {max}")]
    Queues {
        /// Port and driver.
        port: String,
        /// Queue pairs asked for.
        queues: u16,
        /// Queue pairs it has.
        max: u16,
    },
    /// An offload was asked for that the port does not have, or that this library never uses.
    #[error("{port}: it does not offer {missing}")]
    Offload {
        /// Port and driver.
        port: String,
        /// What is missing, in DPDK's names.
        missing: String,
    },
    /// A step of setting it up failed.
    #[error("{port}: {step} failed: {errno}. DPDK said:{log}")]
    Setup {
        /// Port and driver.
        port: String,
        /// The step.
        step: &'static str,
        /// The reason.
        errno: Errno,
        /// DPDK's last lines.
        log: String,
    },
}

/// What a port is and can do, as it says itself. Many drivers report 65535 for "unknown".
#[derive(Clone, Debug)]
pub struct PortInfo {
    /// DPDK's number.
    pub id: u16,
    /// DPDK's name, for example `net_tap0` or a PCI address.
    pub name: String,
    /// The driver, for example `net_tap`.
    pub driver: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// NUMA node, where known.
    pub socket: Option<i32>,
    /// The kernel's interface index, for drivers that share an interface with the kernel.
    pub if_index: Option<u32>,
    /// Smallest MTU.
    pub min_mtu: u16,
    /// Largest MTU at which everything works, TSO included.
    pub max_mtu: u16,
    /// Receive queues.
    pub max_rx_queues: u16,
    /// Transmit queues.
    pub max_tx_queues: u16,
    /// Receive offloads.
    pub rx_offloads: RxOffloads,
    /// Transmit offloads.
    pub tx_offloads: TxOffloads,
    /// Receive ring: fewest and most descriptors.
    pub rx_ring: (u16, u16),
    /// Transmit ring: fewest and most descriptors.
    pub tx_ring: (u16, u16),
    /// Mbufs of one frame, at most; 0 or 65535: unknown.
    pub nb_seg_max: u16,
    /// Mbufs that one wire segment may span, at most; 0 or 65535: unknown.
    pub nb_mtu_seg_max: u16,
    /// Smallest receive buffer.
    pub min_rx_buffer: u32,
    /// Largest coalesced frame.
    pub max_lro: u32,
    /// Entries of the RSS redirection table.
    pub rss_table_size: u16,
    /// Bytes of the RSS key.
    pub rss_key_size: u8,
    /// What RSS can hash, DPDK's `RTE_ETH_RSS_…`.
    pub rss_hashes: u64,
}

/// How to run a port.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Queue pairs.
    pub queues: u16,
    /// Receive descriptors of each queue; rounded to what the port takes.
    pub rx_descriptors: u16,
    /// Transmit descriptors of each queue; rounded to what the port takes.
    pub tx_descriptors: u16,
    /// Bytes of one IP packet on the wire.
    pub mtu: u16,
    /// Transmit offloads to turn on. All must be offered.
    pub tx_offloads: TxOffloads,
    /// Receive offloads to turn on. All must be offered.
    pub rx_offloads: RxOffloads,
    /// Receive frames for other addresses too.
    pub promiscuous: bool,
    /// Free descriptors below which the driver frees finished ones; `None`: the driver's own choice.
    pub tx_free_thresh: Option<u16>,
}

/// Link state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Carries frames.
    pub up: bool,
    /// Mbit/s, where known.
    pub mbps: Option<u32>,
}

/// What a port counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames dropped because the receive ring was full.
    pub rx_missed: u64,
    /// Frames received in error.
    pub rx_errors: u64,
    /// Times no receive buffer was left.
    pub rx_no_buffers: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames not sent for an error.
    pub tx_errors: u64,
}

/// 0 is no port's.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A probed port that does not run yet.
#[derive(Debug)]
pub struct Port {
    inner: Inner,
}

/// A running port. It stops when the last handle and the last [`QueuePair`] are gone.
#[derive(Clone, Debug)]
pub struct PortHandle {
    inner: Arc<Inner>,
}

/// Owns the port: stops and closes it.
pub(crate) struct Inner {
    pub(crate) info: PortInfo,
    /// No other port of this process ever had it.
    serial: u64,
    started: bool,
    mtu: u16,
    tx_offloads: TxOffloads,
    rx_offloads: RxOffloads,
    /// Dropped after the port was closed: drivers return buffers to it then.
    _rx_pools: Vec<Mempool>,
    _eal: Eal,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} {} ({})", self.info.id, self.info.name, self.info.driver)
    }
}

impl Port {
    /// Makes or finds the device and asks what it can do.
    ///
    /// # Errors
    /// [`PortError::Probe`], and [`PortError::Setup`] when the device does not answer.
    pub fn probe(eal: &Eal, device: &DeviceSpec) -> Result<Port, PortError> {
        Port::probe_with(eal, device, 1)
    }

    /// As [`probe`](Port::probe); a virtual device that is made with a number of queue pairs is made with this one.
    ///
    /// # Errors
    /// As there.
    pub fn probe_with(eal: &Eal, device: &DeviceSpec, queues: u16) -> Result<Port, PortError> {
        log::mark();
        let error = |errno| PortError::Probe {
            device: device.clone(),
            errno,
            advice: device.advice(),
            log: log::tail(),
        };
        let (name, arguments) = device.devargs(queues);
        let bad = |_| error(Errno(libc::EINVAL));
        let c_name = CString::new(name.as_str()).map_err(bad)?;
        if let Some(arguments) = arguments {
            let devargs = CString::new(format!("{name},{arguments}")).map_err(bad)?;
            // SAFETY: EAL runs; the string is copied.
            let rc = unsafe { dpdk_sys::rte_dev_probe(devargs.as_ptr()) };
            Errno::check(rc).map_err(error)?;
        }
        let mut id = 0;
        // SAFETY: EAL runs; one number is written.
        let rc = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut id) };
        Errno::check(rc).map_err(error)?;
        let mut port = Port {
            inner: Inner {
                info: PortInfo {
                    id,
                    name,
                    driver: String::new(),
                    mac: [0; 6],
                    socket: None,
                    if_index: None,
                    min_mtu: 0,
                    max_mtu: 0,
                    max_rx_queues: 0,
                    max_tx_queues: 0,
                    rx_offloads: RxOffloads::default(),
                    tx_offloads: TxOffloads::default(),
                    rx_ring: (0, 0),
                    tx_ring: (0, 0),
                    nb_seg_max: 0,
                    nb_mtu_seg_max: 0,
                    min_rx_buffer: 0,
                    max_lro: 0,
                    rss_table_size: 0,
                    rss_key_size: 0,
                    rss_hashes: 0,
                },
                serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
                started: false,
                mtu: 0,
                tx_offloads: TxOffloads::default(),
                rx_offloads: RxOffloads::default(),
                _rx_pools: Vec::new(),
                _eal: eal.clone(),
            },
        };
        port.inner.read_info()?;
        Ok(port)
    }

    /// What it is and can do.
    pub fn info(&self) -> &PortInfo {
        &self.inner.info
    }

    /// Whether it can run like that, as far as it tells: before memory is set aside for it.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn check(&self, config: &PortConfig) -> Result<(), PortError> {
        self.inner.check(config)
    }

    /// Configures and starts it; each queue receives into its own of `rx_pools`.
    ///
    /// # Errors
    /// [`PortError`]; the port is closed then.
    ///
    /// # Panics
    /// When `rx_pools` are not as many as queues.
    pub fn start(
        mut self,
        config: &PortConfig,
        rx_pools: &[Mempool],
    ) -> Result<(PortHandle, Vec<QueuePair>), PortError> {
        assert_eq!(rx_pools.len(), usize::from(config.queues), "one receive pool for each queue");
        let port = &mut self.inner;
        log::mark();
        let (rx_descriptors, tx_descriptors) = port.configure(config)?;
        port.set_up_queues(config, rx_pools, rx_descriptors, tx_descriptors)?;
        port._rx_pools = rx_pools.to_vec();
        // SAFETY: configured, with all queues set up.
        port.step("starting it", unsafe { dpdk_sys::rte_eth_dev_start(port.info.id) })?;
        port.started = true;
        if config.promiscuous {
            // SAFETY: the port is valid. Not all drivers can, and those have no filter either.
            unsafe { dpdk_sys::rte_eth_promiscuous_enable(port.info.id) };
        }
        let inner = Arc::new(self.inner);
        let queues = (0..config.queues)
            .map(|q| QueuePair::new(inner.clone(), q, rx_descriptors, tx_descriptors))
            .collect();
        Ok((PortHandle { inner }, queues))
    }
}

impl Inner {
    /// Port and driver, for messages.
    fn title(&self) -> String {
        format!("{} ({})", self.info.name, self.info.driver)
    }

    fn step(&self, step: &'static str, rc: i32) -> Result<(), PortError> {
        Errno::check(rc).map(drop).map_err(|errno| PortError::Setup {
            port: self.title(),
            step,
            errno,
            log: log::tail(),
        })
    }

    fn read_info(&mut self) -> Result<(), PortError> {
        let id = self.info.id;
        let mut raw = dpdk_sys::rte_eth_dev_info::default();
        // SAFETY: the port is valid; one structure is written.
        self.step("asking what it can do", unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut raw) })?;
        let mut mac = dpdk_sys::rte_ether_addr::default();
        // SAFETY: as above.
        self.step("asking for its address", unsafe { dpdk_sys::rte_eth_macaddr_get(id, &raw mut mac) })?;
        // SAFETY: takes any number.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(id) };
        let info = &mut self.info;
        // SAFETY: a static string of the driver's, or null.
        info.driver = unsafe { text(raw.driver_name) };
        info.mac = mac.addr_bytes;
        info.socket = (socket >= 0).then_some(socket);
        info.if_index = (raw.if_index != 0).then_some(raw.if_index);
        info.min_mtu = raw.min_mtu;
        // DPDK also checks the frame, and takes 18 bytes around the packet where a driver states no MTU.
        let by_frame = match raw.max_mtu {
            u16::MAX => raw.max_rx_pktlen.saturating_sub(18).min(u16::MAX.into()) as u16,
            stated => stated,
        };
        info.max_mtu = by_frame.saturating_sub(hidden_overhead(&info.driver));
        info.max_rx_queues = raw.max_rx_queues;
        info.max_tx_queues = raw.max_tx_queues;
        info.rx_offloads = RxOffloads(raw.rx_offload_capa);
        info.tx_offloads = TxOffloads(raw.tx_offload_capa);
        info.rx_ring = (raw.rx_desc_lim.nb_min, raw.rx_desc_lim.nb_max);
        info.tx_ring = (raw.tx_desc_lim.nb_min, raw.tx_desc_lim.nb_max);
        info.nb_seg_max = raw.tx_desc_lim.nb_seg_max;
        info.nb_mtu_seg_max = raw.tx_desc_lim.nb_mtu_seg_max;
        info.min_rx_buffer = raw.min_rx_bufsize;
        info.max_lro = raw.max_lro_pkt_size;
        info.rss_table_size = raw.reta_size;
        info.rss_key_size = raw.hash_key_size;
        info.rss_hashes = raw.flow_type_rss_offloads;
        Ok(())
    }

    /// What the driver is told for a wire whose packets are `wire` bytes.
    fn device_mtu(&self, wire: u16) -> u16 {
        wire.saturating_add(hidden_overhead(&self.info.driver))
    }

    fn check(&self, config: &PortConfig) -> Result<(), PortError> {
        let info = &self.info;
        let max = info.max_rx_queues.min(info.max_tx_queues);
        if config.queues == 0 || config.queues > max {
            return Err(PortError::Queues { port: self.title(), queues: config.queues, max });
        }
        if config.mtu < info.min_mtu || config.mtu > info.max_mtu {
            let (min, max) = (info.min_mtu, info.max_mtu);
            return Err(PortError::Mtu { port: self.title(), mtu: config.mtu, min, max });
        }
        let missing =
            |names: Vec<String>| PortError::Offload { port: self.title(), missing: names.join(" ") };
        let lacking = config.tx_offloads.without(info.tx_offloads.without(TxOffloads::MBUF_FAST_FREE));
        if lacking != TxOffloads::default() {
            return Err(missing(lacking.names()));
        }
        let lacking = config.rx_offloads.without(info.rx_offloads);
        if lacking != RxOffloads::default() {
            return Err(missing(lacking.names()));
        }
        Ok(())
    }

    fn configure(&mut self, config: &PortConfig) -> Result<(u16, u16), PortError> {
        self.check(config)?;
        let info = &self.info;
        let mut conf = dpdk_sys::rte_eth_conf::default();
        conf.rxmode.mtu = self.device_mtu(config.mtu).into();
        conf.rxmode.offloads = config.rx_offloads.0;
        conf.txmode.offloads = config.tx_offloads.0;
        if config.queues > 1 && info.rss_hashes != 0 {
            let wanted = dpdk_sys::RTE_ETH_RSS_NONFRAG_IPV4_TCP | dpdk_sys::RTE_ETH_RSS_NONFRAG_IPV6_TCP;
            conf.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = u64::from(wanted) & info.rss_hashes;
        }
        // SAFETY: the port is valid and stopped; the configuration is copied.
        let rc = unsafe {
            dpdk_sys::rte_eth_dev_configure(info.id, config.queues, config.queues, &raw const conf)
        };
        self.step("configuring it", rc)?;
        let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
        // SAFETY: the port is valid; two numbers are read and written.
        let rc =
            unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.info.id, &raw mut rx, &raw mut tx) };
        self.step("choosing ring sizes", rc)?;
        self.mtu = config.mtu;
        self.tx_offloads = config.tx_offloads;
        self.rx_offloads = config.rx_offloads;
        Ok((rx, tx))
    }

    fn set_up_queues(
        &self,
        config: &PortConfig,
        rx_pools: &[Mempool],
        rx_descriptors: u16,
        tx_descriptors: u16,
    ) -> Result<(), PortError> {
        let id = self.info.id;
        let mut raw = dpdk_sys::rte_eth_dev_info::default();
        // SAFETY: the port is valid; one structure is written.
        self.step("asking what it can do", unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut raw) })?;
        let mut tx_conf = raw.default_txconf;
        if let Some(thresh) = config.tx_free_thresh {
            tx_conf.tx_free_thresh = thresh;
        }
        // SAFETY: takes any number.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(id) };
        for (queue, pool) in (0..config.queues).zip(rx_pools) {
            // SAFETY: configured and stopped; the configuration is copied; the pool is kept until the port was
            // closed (`_rx_pools`).
            let rc = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(
                    id,
                    queue,
                    rx_descriptors,
                    socket as u32,
                    &raw const raw.default_rxconf,
                    pool.raw(),
                )
            };
            self.step("setting up a receive queue", rc)?;
            // SAFETY: as above.
            let rc = unsafe {
                dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket as u32, &raw const tx_conf)
            };
            self.step("setting up a transmit queue", rc)?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the last handle and queue are gone, so nobody uses the port any more.
        unsafe {
            if self.started {
                dpdk_sys::rte_eth_dev_stop(self.info.id);
            }
            dpdk_sys::rte_eth_dev_close(self.info.id);
        }
    }
}

pub(crate) fn handle(inner: &Arc<Inner>) -> PortHandle {
    PortHandle { inner: inner.clone() }
}

/// A port that may be closed.
#[derive(Clone, Debug)]
pub(crate) struct WeakPort(Weak<Inner>);

impl WeakPort {
    /// The port, unless it was closed.
    pub(crate) fn upgrade(&self) -> Option<PortHandle> {
        self.0.upgrade().map(|inner| PortHandle { inner })
    }
}

impl PortHandle {
    /// The port, for whoever is not to keep it open.
    pub(crate) fn downgrade(&self) -> WeakPort {
        WeakPort(Arc::downgrade(&self.inner))
    }

    /// What DPDK calls its device.
    pub(crate) fn device(&self) -> *mut dpdk_sys::rte_device {
        let mut raw = dpdk_sys::rte_eth_dev_info::default();
        // SAFETY: the port is valid; one structure is written, all zero when the port does not answer.
        unsafe { dpdk_sys::rte_eth_dev_info_get(self.inner.info.id, &raw mut raw) };
        raw.device
    }

    /// Which memory its device reads.
    pub fn reads(&self) -> Reads {
        match self.inner.info.driver.as_str() {
            // The processor copies, or reads, what these send.
            "net_tap" | "net_null" | "net_ring" | "net_pcap" | "net_af_packet" | "net_af_xdp"
            | "net_memif" | "net_vhost" => Reads::Everything,
            // Its peer is another process, and shares this one's EAL memory.
            "net_virtio_user" => Reads::Eal,
            _ => Reads::Mapped(self.inner.serial),
        }
    }

    /// A number that no other port of this process had or will have.
    pub fn serial(&self) -> u64 {
        self.inner.serial
    }

    /// What it is and can do.
    pub fn info(&self) -> &PortInfo {
        &self.inner.info
    }

    /// Bytes of one IP packet on the wire.
    pub fn mtu(&self) -> u16 {
        self.inner.mtu
    }

    /// Transmit offloads that are on.
    pub fn tx_offloads(&self) -> TxOffloads {
        self.inner.tx_offloads
    }

    /// Receive offloads that are on.
    pub fn rx_offloads(&self) -> RxOffloads {
        self.inner.rx_offloads
    }

    /// Link state, without waiting for it.
    pub fn link(&self) -> Link {
        let (mut mbps, mut up) = (0, 0);
        // SAFETY: the port is valid; two numbers are written.
        let rc = unsafe { dpdk_sys::shim_eth_link(self.inner.info.id, &raw mut mbps, &raw mut up) };
        Link { up: rc == 0 && up != 0, mbps: (rc == 0 && mbps != 0).then_some(mbps) }
    }

    /// What it counted.
    ///
    /// # Errors
    /// When the driver does not tell.
    pub fn stats(&self) -> Result<PortStats, Errno> {
        let mut s = dpdk_sys::rte_eth_stats::default();
        // SAFETY: the port is valid; one structure is written.
        Errno::check(unsafe { dpdk_sys::rte_eth_stats_get(self.inner.info.id, &raw mut s) })?;
        Ok(PortStats {
            rx_packets: s.ipackets,
            rx_bytes: s.ibytes,
            rx_missed: s.imissed,
            rx_errors: s.ierrors,
            rx_no_buffers: s.rx_nombuf,
            tx_packets: s.opackets,
            tx_bytes: s.obytes,
            tx_errors: s.oerrors,
        })
    }

    /// How it spreads received flows over its queues.
    ///
    /// # Errors
    /// [`RssUnknown`] when it does not, or does not tell.
    pub fn rss(&self) -> Result<RssInfo, RssUnknown> {
        let info = &self.inner.info;
        rss::read(info.id, info.rss_key_size, info.rss_table_size)
    }
}

/// Drivers return -1 for "something": no reason to tell.
fn reason(errno: Errno) -> String {
    if errno.0 == 1 { String::new() } else { format!(": {errno}") }
}

/// Bytes around a packet that the driver wrongly counts towards its MTU.
///
/// net_tap compares a TSO segment *with* its Ethernet header to the MTU, and refuses the burst for ever when it is
/// longer. Its MTU must be that much above the wire's, and in 22.11 it is 1504 at most: the wire gets 1490.
fn hidden_overhead(driver: &str) -> u16 {
    if driver == "net_tap" { 14 } else { 0 }
}

/// # Safety
/// `p` is null or a NUL-terminated string.
unsafe fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: by the contract.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}
