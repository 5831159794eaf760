//! A NIC that is one queue pair of a DPDK port. It translates one to one and decides nothing.

mod nudge;
mod pools;
mod rx;
mod sharing;

use core::ops::Range;

use ::dpdk::{
    BufMut, BufPool, Clock, DeviceSpec, Eal, Frame, HostError, NoTxStamps, PoolError, Port, PortConfig,
    PortError, PortHandle, PortInfo, QueuePair, RelayCounters, RxOffloads, TapHost, TxOffloads, TxStamp,
    TxStamps, cycles, release,
};
use tcp::{DeviceTime, Time};

use self::nudge::Nudge;
pub use self::pools::PoolReport;
use self::pools::Pools;
pub use self::rx::RxCounters;
use self::rx::RxSide;
use super::chain::Builder;
use super::check::{Checker, MbufFacts, TsoSum};
use super::profile::{self, IdleReclaim, Setup};
use super::{Buf, CheckReport, HeaderBuf, Nic, NicLimits, RxPiece, StageError, Tail, TxFrame};
use super::{TxMeta, TxOutcome, TxStop};

/// How to open a port, and how much memory each of its queues gets. Sizes are per queue.
#[derive(Clone, Debug)]
pub struct DpdkConfig {
    /// Bytes of one IP packet on the wire; `None`: 1500, or the most that the port takes when that is less (a TAP
    /// of DPDK 22.11 takes 1490).
    pub mtu: Option<u16>,
    /// Receive descriptors; rounded to what the port takes.
    pub rx_descriptors: u16,
    /// Transmit descriptors; rounded to what the port takes.
    pub tx_descriptors: u16,
    /// Receive buffers, beside those that fill the ring.
    pub rx_buffers: u32,
    /// Bytes of a receive buffer; `None`: what suits the device.
    pub rx_buffer_size: Option<u16>,
    /// Header buffers: bounds the frames in flight in the port.
    pub headers: u32,
    /// Bytes of a header buffer, at least 256; more where the port takes no chains.
    pub header_room: u16,
    /// Mbufs that refer to payload: bounds the slices in flight in the port.
    pub links: u32,
    /// Buffers that copying sends fill.
    pub tail_buffers: u32,
    /// Bytes of each.
    pub tail_size: u32,
    /// Buffers of [`SMALL_TAIL`](crate::nic::SMALL_TAIL) bytes, for connections that send little, and for when the large ones are out.
    pub small_tail_buffers: u32,
    /// Let the port segment, where it can.
    pub tso: bool,
    /// Let the port compute checksums, where it can.
    pub checksums: bool,
    /// Have the port tell when frames left (`S33`).
    pub stamps: Stamping,
}

/// Whether the port is to tell when frames left.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Stamping {
    /// No.
    #[default]
    Off,
    /// Where it can.
    IfAvailable,
    /// Yes: one that cannot is an error.
    Required,
}

impl Default for DpdkConfig {
    fn default() -> Self {
        DpdkConfig {
            mtu: None,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            rx_buffers: 3072,
            rx_buffer_size: None,
            headers: 4096,
            header_room: 512,
            links: 8192,
            tail_buffers: 256,
            tail_size: 65536,
            small_tail_buffers: 512,
            tso: true,
            checksums: true,
            stamps: Stamping::Off,
        }
    }
}

impl DpdkConfig {
    /// Checks what no type can.
    fn check(&self) -> Result<(), OpenError> {
        if self.header_room < 256 {
            return Err(OpenError::Config("a header buffer needs at least 256 bytes"));
        }
        if self.tail_size < 65536 {
            // A frame's payload must fit into one where it is put together.
            return Err(OpenError::Config("a buffer for copying sends needs at least 65536 bytes"));
        }
        Ok(())
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Its buffers.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The kernel's side of a TAP.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The kernel does not show the TAP interface it made.
    #[error("the kernel does not show the interface behind {device}: {source}")]
    NoInterface {
        /// The device.
        device: DeviceSpec,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// It does not tell when frames left, as it is required to.
    #[error(
        "{port} does not tell when frames left: {why}. To go on without where a port cannot, set hardware_times = \
         \"if-available\"; without it times are those of software alone"
    )]
    NoTxStamps {
        /// Port and driver.
        port: String,
        /// Why not.
        why: NoTxStamps,
    },
    /// A size is outside its range.
    #[error("{0}")]
    Config(&'static str),
}

/// One queue pair of a port.
#[derive(Debug)]
pub struct DpdkNic {
    limits: NicLimits,
    mac: [u8; 6],
    builder: Builder,
    queue: QueuePair,
    port: PortHandle,
    tails: BufPool,
    small_tails: BufPool,
    rx: RxSide,
    pools: Pools,
    nudge: Option<Nudge>,
    nudges: u64,
    check: Option<CheckReport>,
    host: Option<TapHost>,
    clock: Clock,
    stamps: Option<TxStamps>,
}

impl DpdkNic {
    /// Opens the device with one queue pair.
    ///
    /// # Errors
    /// [`OpenError`]; everything taken is given back.
    pub fn open(eal: &Eal, device: &DeviceSpec, config: &DpdkConfig) -> Result<DpdkNic, OpenError> {
        Self::open_queues(eal, device, config, 1)?.pop().ok_or(OpenError::Config("a port needs a queue"))
    }

    /// Opens the device with `queues` queue pairs, a NIC for each.
    ///
    /// # Errors
    /// [`OpenError`]; everything taken is given back.
    pub fn open_queues(
        eal: &Eal,
        device: &DeviceSpec,
        config: &DpdkConfig,
        queues: u16,
    ) -> Result<Vec<DpdkNic>, OpenError> {
        config.check()?;
        Self::open_port(eal, device, config, Port::probe_with(eal, device, queues)?, queues)
    }

    fn open_port(
        eal: &Eal,
        device: &DeviceSpec,
        config: &DpdkConfig,
        port: Port,
        queues: u16,
    ) -> Result<Vec<DpdkNic>, OpenError> {
        let info = port.info().clone();
        let known = profile::profile(&info.driver);
        let mtu = config.mtu.unwrap_or(info.max_mtu.min(1500));
        let mut wanted = TxOffloads::MULTI_SEGS;
        if config.checksums {
            wanted = wanted | TxOffloads::IPV4_CKSUM | TxOffloads::TCP_CKSUM;
        }
        if config.checksums && config.tso {
            wanted = wanted | TxOffloads::TCP_TSO;
        }
        let mut tx_offloads = wanted & info.tx_offloads;
        // A device that segments computes the checksums of what it makes, and takes chains.
        if !tx_offloads.contains(TxOffloads::TCP_CKSUM | TxOffloads::MULTI_SEGS) {
            tx_offloads = tx_offloads.without(TxOffloads::TCP_TSO);
        }
        let rx_room = config.rx_buffer_size.unwrap_or_else(|| rx_buffer_size(device, mtu));
        let mut rx_offloads = RxOffloads::IPV4_CKSUM | RxOffloads::TCP_CKSUM;
        if u32::from(rx_room) < u32::from(mtu) + FRAME_OVERHEAD {
            rx_offloads = rx_offloads | RxOffloads::SCATTER;
        }
        if config.stamps != Stamping::Off {
            // Some keep a clock only with this (ice, hns3).
            rx_offloads = rx_offloads | RxOffloads::TIMESTAMP;
        }
        let tx_descriptors = config.tx_descriptors.clamp(info.tx_ring.0.max(1), info.tx_ring.1.max(1));
        let port_config = PortConfig {
            queues,
            rx_descriptors: config.rx_descriptors,
            tx_descriptors,
            mtu,
            tx_offloads,
            rx_offloads: rx_offloads & info.rx_offloads,
            promiscuous: false,
            // One that frees only while it sends is to do so on every send, not only when the ring is nearly full. Drivers want
            // this below the ring's size less 3.
            tx_free_thresh: (matches!(known.idle, IdleReclaim::Nudge(_)) && tx_descriptors >= 8)
                .then(|| tx_descriptors - 4),
        };
        port.check(&port_config)?;
        let header_room = if tx_offloads.contains(TxOffloads::MULTI_SEGS) {
            config.header_room
        } else {
            config.header_room.max(mtu.saturating_add(FRAME_OVERHEAD as u16))
        };
        let pools = (0..queues)
            .map(|_| {
                let rx = Pools::receive(eal, config, rx_room, info.socket)?;
                Pools::new(eal, config, &rx, header_room, info.socket)
            })
            .collect::<Result<Vec<_>, PoolError>>()?;
        let rx_pools: Vec<_> = pools.iter().map(|p| p.rx.clone()).collect();
        let (port, queues) = port.start(&port_config, &rx_pools)?;
        let clock = Clock::new(eal);
        let stamps = stamps(config.stamps, &port, clock, &pools)?;
        let host = match device {
            DeviceSpec::Tap { host, .. } => Some(tap_host(device, &port, *host, mtu)?),
            _ => None,
        };
        // Drivers of virtual wires make up a rate.
        let link_bps = match device {
            DeviceSpec::Pci { .. } => port.link().mbps.map(|m| u64::from(m) * 1_000_000),
            _ => None,
        };
        Ok(queues
            .into_iter()
            .zip(pools)
            .map(|(queue, pools)| {
                let setup = Setup {
                    mtu,
                    header_room,
                    tx_ring: queue.tx_descriptors(),
                    tx_batch: queue.batch() as u16,
                    link_bps,
                };
                let limits = profile::limits(&info, tx_offloads, &setup);
                DpdkNic {
                    builder: Builder::new(
                        &pools.headers,
                        &pools.links,
                        &pools.tails,
                        limits.max_chain,
                        port.reads(),
                        release() < known.even_pieces_before,
                    ),
                    limits,
                    mac: info.mac,
                    rx: RxSide::new(&pools, queue.rx_descriptors()),
                    queue,
                    port: port.clone(),
                    tails: pools.tails.clone(),
                    small_tails: pools.small_tails.clone(),
                    pools,
                    nudge: Nudge::new(known.idle),
                    nudges: 0,
                    check: None,
                    host: host.clone(),
                    clock,
                    stamps: stamps.clone(),
                }
            })
            .collect())
    }

    /// The port behind it.
    pub fn port(&self) -> &PortHandle {
        &self.port
    }

    /// The clock that the engine's times must come from: what arrives is stamped by it.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The port's clock and ours at one moment, where the port tells when frames left (`S33`).
    pub fn device_time(&self) -> Option<DeviceTime> {
        self.stamps.as_ref()?.now().ok().map(device_time)
    }

    /// Descriptors of the receive and of the transmit ring: what the port made of the numbers it was given.
    pub fn rings(&self) -> (u16, u16) {
        (self.queue.rx_descriptors(), self.queue.tx_descriptors())
    }

    /// The kernel's side, of a TAP.
    pub fn host(&self) -> Option<&TapHost> {
        self.host.as_ref()
    }

    /// Received frames that the engine never saw.
    pub fn rx_counters(&self) -> RxCounters {
        self.rx.counters
    }

    /// Frames sent for workers without a queue.
    pub fn relay_counters(&self) -> RelayCounters {
        self.queue.relay_counters()
    }

    /// Frames the port was given and is not known to be done with.
    pub fn in_device(&self) -> usize {
        self.queue.in_device()
    }

    /// From now on, checks every frame as the driver's `tx_prepare` leaves it. Slow.
    pub fn check_prepared(&mut self) {
        self.check.get_or_insert_default();
    }

    /// What [`check_prepared`](DpdkNic::check_prepared) found.
    pub fn check_report(&self) -> Option<&CheckReport> {
        self.check.as_ref()
    }

    /// A buffer from `take`; when there is none, once more after the device was asked for finished frames.
    fn tail(&mut self, take: impl Fn(&DpdkNic) -> Option<BufMut>) -> Option<Tail> {
        let buf = take(self).or_else(|| {
            self.reclaim();
            take(self)
        });
        buf.map(Tail)
    }

    /// Sends a frame of no meaning, where only that makes the driver let go of earlier ones, and there are any.
    fn nudge(&mut self) {
        let Some(nudge) = &mut self.nudge else { return };
        let done = self.queue.completed(&mut self.builder.headers);
        if self.queue.in_device() == 0 || !nudge.due(done, cycles()) {
            return;
        }
        for _ in 0..nudge.frames() {
            let Some(mut header) = self.builder.lend_header() else { return };
            // From us to us, of a type reserved for experiments: no receiver does anything with it.
            header[..60].fill(0);
            header[..6].copy_from_slice(&self.mac);
            header[6..12].copy_from_slice(&self.mac);
            header[12..14].copy_from_slice(&NUDGE_TYPE);
            let frame = TxFrame { header, header_len: 60, meta: TxMeta::default() };
            let Ok(frame) = self.builder.build(frame, core::iter::empty()) else { return };
            if !self.queue.nudge(frame) {
                return;
            }
            self.nudges += 1;
        }
    }

    /// Closes the NICs of a port, all of them, and tells which buffers came home. Handles on payload that still
    /// exist keep theirs.
    pub fn close(nics: impl IntoIterator<Item = DpdkNic>) -> PoolReport {
        // The port closes when its last queue goes, and only then gives back what it holds.
        let pools: Vec<Pools> = nics.into_iter().map(|nic| nic.pools.clone()).collect();
        PoolReport { pools: pools.iter().flat_map(Pools::report).collect() }
    }
}

/// Has the port tell when frames left, as it is to.
fn stamps(
    wanted: Stamping,
    port: &PortHandle,
    clock: Clock,
    pools: &[Pools],
) -> Result<Option<TxStamps>, OpenError> {
    if wanted == Stamping::Off {
        return Ok(None);
    }
    let mbuf = pools.first().and_then(|pools| pools.headers.alloc());
    let mbuf = mbuf.ok_or(OpenError::Config("a port needs a buffer for headers"))?;
    match TxStamps::enable(port, clock, mbuf) {
        Ok(stamps) => Ok(Some(stamps)),
        Err(_) if wanted == Stamping::IfAvailable => Ok(None),
        Err(why) => {
            let PortInfo { name, driver, .. } = port.info();
            Err(OpenError::NoTxStamps { port: format!("{name} ({driver})"), why })
        }
    }
}

fn device_time(stamp: TxStamp) -> DeviceTime {
    DeviceTime { at: Time::from_nanos(stamp.at), clock: stamp.device }
}

/// IEEE 802 local experimental Ethertype 1.
const NUDGE_TYPE: [u8; 2] = [0x88, 0xb5];

/// Ethernet header, two VLAN tags and a checksum.
const FRAME_OVERHEAD: u32 = 14 + 8 + 4;

/// What DPDK puts before the bytes of each buffer.
const HEADROOM: u16 = 128;

fn rx_buffer_size(device: &DeviceSpec, mtu: u16) -> u16 {
    if device.needs().large_rx_buffers {
        // One copy per frame of 64 KiB, and no chain.
        return u16::MAX - HEADROOM;
    }
    // Drivers count receive buffers in KiB.
    (u32::from(mtu) + FRAME_OVERHEAD).next_multiple_of(1024).clamp(2048, 16384) as u16
}

fn tap_host(
    device: &DeviceSpec,
    port: &PortHandle,
    addr: Option<(std::net::IpAddr, u8)>,
    mtu: u16,
) -> Result<TapHost, OpenError> {
    let index = port.info().if_index.unwrap_or(0);
    let host =
        TapHost::new(index).map_err(|source| OpenError::NoInterface { device: device.clone(), source })?;
    host.configure(port.info().mac, addr, mtu)?;
    Ok(host)
}

impl Nic for DpdkNic {
    type Buf = Buf;
    type Header = HeaderBuf;
    type Tail = Tail;

    fn limits(&self) -> &NicLimits {
        &self.limits
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<Buf>>) -> usize {
        let before = out.len();
        if self.queue.receive() == 0 {
            return 0;
        }
        self.rx.look();
        while let Some(segments) = self.queue.next_segments() {
            let fits = usize::from(segments) <= out.capacity() - out.len();
            if !fits && !out.is_empty() {
                // The rest waits in the queue's burst for the next call.
                break;
            }
            let Some(frame) = self.queue.next_frame() else { break };
            if fits {
                self.rx.push(frame, out);
            } else {
                // It never will: `out` is empty.
                self.rx.counters.dropped_oversize += 1;
            }
        }
        out.len() - before
    }

    fn relay(&mut self) {
        self.queue.relay();
    }

    fn rx_pressed(&self) -> bool {
        self.rx.is_pressed()
    }

    #[inline]
    fn lend_header(&mut self) -> Option<HeaderBuf> {
        self.builder.lend_header()
    }

    #[inline]
    fn stage<'a, I>(&mut self, frame: TxFrame<HeaderBuf>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
    {
        let frame = self.builder.build(frame, payload)?;
        self.queue.stage(frame).map_err(|_| StageError::NoBuffers)
    }

    #[inline]
    fn copied_after_all(&self) -> u64 {
        self.builder.copied_after_all
    }

    fn tx_burst(&mut self) -> TxOutcome {
        let staged = self.queue.staged();
        let result = match &mut self.check {
            None => self.queue.transmit(),
            Some(report) => {
                let checker = Checker::new(&self.limits, self.mac);
                let sum = if self.port.info().driver.starts_with("net_virtio") {
                    TsoSum::WithLength
                } else {
                    TsoSum::WithoutLength
                };
                self.queue.transmit_inspected(|frame| check_prepared(&checker, frame, sum, report))
            }
        };
        // Frames that are done give their header buffers back before the next are lent.
        self.queue.completed(&mut self.builder.headers);
        let stop = (result.sent < staged)
            .then_some(result.rejected.map_or(TxStop::RingFull, |errno| TxStop::Rejected(errno.0)));
        TxOutcome { sent: result.sent, stop }
    }

    fn tx_completed(&mut self) -> Option<u64> {
        // Intel's drivers free a sent mbuf when its descriptor is used again, a whole ring later, unless asked.
        // The work is the same, only earlier. Others have no such call, and are asked once.
        if self.queue.in_device() > 0 {
            self.queue.reclaim();
        }
        Some(self.queue.completed(&mut self.builder.headers))
    }

    fn reclaim(&mut self) {
        if !self.queue.reclaim() {
            self.nudge();
        }
        self.queue.completed(&mut self.builder.headers);
    }

    fn nudges(&self) -> u64 {
        self.nudges
    }

    fn tail_bytes_out(&self) -> u64 {
        self.tails.bytes_out() + self.small_tails.bytes_out()
    }

    fn tail_bytes(&self) -> Option<u64> {
        let bytes = |pool: &BufPool| u64::from(pool.count()) * u64::from(pool.buffer_size());
        Some(bytes(&self.tails) + bytes(&self.small_tails))
    }

    fn alloc_tail(&mut self) -> Option<Tail> {
        self.tail(|nic| nic.tails.try_alloc().or_else(|| nic.small_tails.try_alloc()))
    }

    fn alloc_small_tail(&mut self) -> Option<Tail> {
        self.tail(|nic| nic.small_tails.try_alloc().or_else(|| nic.tails.try_alloc()))
    }

    fn stamps(&self) -> bool {
        self.stamps.is_some()
    }

    fn claim_stamp(&mut self) -> bool {
        self.stamps.as_ref().is_some_and(TxStamps::claim)
    }

    fn take_stamp(&mut self) -> Option<DeviceTime> {
        let stamps = self.stamps.as_ref()?;
        let stamp = stamps.take()?;
        stamps.release();
        Some(device_time(stamp))
    }

    fn release_stamp(&mut self) {
        if let Some(stamps) = &self.stamps {
            stamps.release();
        }
    }

    #[inline]
    fn cycles(&self) -> u64 {
        cycles()
    }

    #[inline]
    fn now(&self) -> Option<Time> {
        Some(Time::from_nanos(self.clock.now()))
    }
}

fn check_prepared(checker: &Checker<'_>, frame: &Frame, sum: TsoSum, report: &mut CheckReport) {
    let chain: Vec<&[u8]> = frame.segments().collect();
    let (offload, flags) = (frame.offload(), frame.raw_flags());
    let facts = MbufFacts {
        l2_len: offload.l2_len,
        l3_len: offload.l3_len,
        l4_len: offload.l4_len,
        tso_segsz: flags.tso_segsz,
        ipv4: flags.ipv4,
        ipv6: flags.ipv6,
        ip_checksum: flags.ip_checksum,
        tcp_checksum: flags.tcp_checksum,
        tcp_seg: flags.tcp_seg,
        pkt_len: frame.len(),
        nb_segs: frame.segment_count(),
    };
    report.frames += 1;
    checker.prepared(&chain, &facts, sum, &mut |violation| report.add(violation));
}
