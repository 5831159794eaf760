//! One core's worth of TCP, polled by its owner.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ptr::NonNull;
use std::time::Duration;

use dpdk::{
    BufPool, BufPoolConfig, Clock, Eal, PoolError, PortInfo, Reads, Region, RegionError, ThreadRegistration,
    WeakPool,
};
use engine::nic::dpdk::{DpdkConfig, Stamping};
use engine::nic::{NicLimits, SMALL_TAIL, Shared, SteeringReport};
use engine::{
    ConnId, Counters, DeviceBudget, EngineConfig, EngineEvent, NeighbourConfig, Progress, Received, Secrets,
    Streaming,
};
use hdrhistogram::Histogram;
use tcp::conn::{ConnStats, Setting, State};
use tcp::endpoint::{ListenError, ListenerId};
use tcp::{DeviceTime, FourTuple, Marks, Nanos, Offset, Time};

use crate::stack::{Stack, on};
use crate::{
    BuildError, Config, ConnectOptions, EngineBuilder, Error, Event, HardwareTimes, Keepalive, Payload,
    Waiter,
};

/// Bytes of each buffer that copying sends fill.
const TAIL_SIZE: u32 = 65_536;
/// Memory for copying sends, unless the settings say otherwise.
pub(crate) const SEND_BYTES: u64 = 64 << 20;

/// Copies shorter than this are not worth the fence that ends a streaming one: `docs/results`, S13.
const STREAMED_LEAST: u32 = 4_096;
/// What stands for a cache whose size the kernel does not tell.
const COMMON_CACHE: u64 = 32 << 20;

/// The shortest time between two ARP requests for one neighbour.
const SHORTEST_ARP_RETRY: Nanos = Nanos::from_millis(50);

/// What the device is and can do.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// What the driver says.
    pub port: PortInfo,
    /// What the engine goes by.
    pub limits: NicLimits,
    /// Descriptors of the receive ring: what the device made of the number asked for.
    pub receive_ring: u16,
    /// Descriptors of the transmit ring.
    pub transmit_ring: u16,
    /// It tells when frames left ([`Config::hardware_times`]).
    pub hardware_times: bool,
}

/// One core's TCP over one queue pair of a device.
///
/// It has no thread: its owner calls [`poll`](LocalEngine::poll) again and again, and uses connections in between. It
/// belongs to the thread that built it (`!Send`). Nothing it does blocks, except
/// [`rest`](LocalEngine::rest), [`shutdown`](LocalEngine::shutdown) and the calls that wait, whose names say so.
pub struct LocalEngine {
    pub(crate) stack: Stack,
    pub(crate) clock: Clock,
    pub(crate) waiter: Waiter,
    pub(crate) options: ConnectOptions,
    pub(crate) info: DeviceInfo,
    /// Connections of ours whose handshake is under way.
    pub(crate) opening: HashSet<ConnId>,
    /// Pools of registered memory that were handed out, to be found full in the end. One that is gone was.
    pub(crate) pools: Vec<WeakPool>,
    /// Of a thread that DPDK did not make, nor was started on.
    pub(crate) _registration: Option<ThreadRegistration>,
    /// Dropped last: what is above refers to it.
    pub(crate) eal: Eal,
    /// It stays on its thread: the device's queues and the pools' caches belong to that.
    pub(crate) _not_send: PhantomData<*mut ()>,
}

impl fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEngine").field("device", &self.info.port.name).finish_non_exhaustive()
    }
}

impl LocalEngine {
    /// A builder with these settings.
    pub fn builder(config: Config) -> EngineBuilder {
        EngineBuilder::new(config)
    }

    /// The time, as [`poll`](LocalEngine::poll) wants it. It costs a few dozen cycles.
    pub fn now(&self) -> Time {
        Time::from_nanos(self.clock.now())
    }

    /// One bounded iteration: receives and processes a burst, lets timers fire, sends, returns buffers. Times must not
    /// go back. Then ask [`poll_event`](LocalEngine::poll_event) until it has nothing more.
    pub fn poll(&mut self, now: Time) -> Progress {
        on!(&mut self.stack, engine => engine.poll(now))
    }

    /// The first half of [`poll`](LocalEngine::poll): receives and processes a burst. Ask [`poll_event`](LocalEngine::poll_event) until it
    /// has nothing more, and let [`poll_transmit`](LocalEngine::poll_transmit) follow: what was written meanwhile leaves with the
    /// acknowledgements of what was received, and not behind them in frames of its own. Servers of short requests save half of
    /// their frames by that.
    pub fn poll_receive(&mut self, now: Time) -> Received {
        on!(&mut self.stack, engine => engine.poll_receive(now))
    }

    /// The second half of [`poll`](LocalEngine::poll): lets timers fire, sends, returns buffers.
    pub fn poll_transmit(&mut self, received: Received) -> Progress {
        on!(&mut self.stack, engine => engine.poll_transmit(received))
    }

    /// Waits as the settings say ([`WaitStrategy`](crate::WaitStrategy)), if it is time to. `busy`: this turn did
    /// something, here or in the application, so do not wait at all.
    pub fn rest(&mut self, busy: bool) {
        let (now, deadline) = self.rest_times();
        self.waiter.wait(busy, now, deadline);
    }

    /// What a waiter wants to know, if it does.
    fn rest_times(&self) -> (Time, Option<Time>) {
        if self.waiter.needs_deadline() { (self.now(), self.next_deadline()) } else { (Time::ZERO, None) }
    }

    /// [`rest`](LocalEngine::rest), with somebody else's sleep.
    pub(crate) fn rest_by(&mut self, busy: bool, sleep: impl FnOnce(Duration)) {
        let (now, deadline) = self.rest_times();
        self.waiter.wait_by(busy, now, deadline, sleep);
    }

    /// Finishes every connection.
    pub(crate) fn close_all(&mut self) {
        on!(&mut self.stack, engine => engine.close_all());
    }

    /// Nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        on!(&self.stack, engine => engine.is_idle())
    }

    /// When to call [`poll`](LocalEngine::poll) at the latest if no frame arrives; `None`: nothing happens by itself.
    pub fn next_deadline(&self) -> Option<Time> {
        on!(&self.stack, engine => engine.next_deadline())
    }

    /// Opens a connection. The SYN leaves with the next polls; [`Event::Connected`] or [`Event::Closed`] follows.
    /// `options`: `None` for those of the settings.
    ///
    /// # Errors
    /// [`Error::Connect`]: there is no way to the peer, or no port or slot for the connection.
    pub fn connect(
        &mut self,
        peer: SocketAddr,
        options: Option<&ConnectOptions>,
        now: Time,
    ) -> Result<ConnId, Error> {
        let options = options.unwrap_or(&self.options);
        let id = on!(&mut self.stack, engine => engine.connect(now, peer, &options.protocol(engine.mtu())))?;
        self.opening.insert(id);
        Ok(id)
    }

    /// Accepts connections at `local`; each is told by [`Event::Accepted`]. `backlog`: how many may be half open.
    ///
    /// # Errors
    /// When there is a listener at that address already, or nobody could connect to it.
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: Option<&ConnectOptions>,
    ) -> Result<ListenerId, ListenError> {
        let options = options.unwrap_or(&self.options);
        on!(&mut self.stack, engine => engine.listen(local, backlog, options.protocol(engine.mtu())))
    }

    /// Accepts no more connections there. Those accepted go on. False when there is no such listener.
    pub fn unlisten(&mut self, listener: ListenerId) -> bool {
        on!(&mut self.stack, engine => engine.unlisten(listener))
    }

    /// The next thing that happened, to any connection.
    pub fn poll_event(&mut self) -> Option<(ConnId, Event)> {
        loop {
            let (id, event) = on!(&mut self.stack, engine => engine.poll_event())?;
            let established = match event {
                EngineEvent::Conn(tcp::Event::Connected) => self.opening.remove(&id),
                EngineEvent::Conn(tcp::Event::Closed(_)) | EngineEvent::Stuck { .. } => {
                    !self.opening.remove(&id)
                }
                _ => true,
            };
            let acked = self.marks(id).map_or(Offset::ZERO, |marks| marks.acked);
            if let Some(event) = Event::from_engine(event, established, acked) {
                return Some((id, event));
            }
        }
    }

    /// The next bytes that arrived, in order, where the device put them. Holding many of them for long makes the
    /// device copy or drop: copy out what is to be kept.
    pub fn read(&mut self, id: ConnId) -> Option<Payload> {
        on!(&mut self.stack, engine => engine.read(id)).map(Payload)
    }

    /// `S29`: whether payloads of [`send`](LocalEngine::send) come back by
    /// [`pop_reclaimed`](LocalEngine::pop_reclaimed) (`true`), or go home to their pool by themselves (`false`, as it
    /// is at first).
    pub fn keep_reclaimed(&mut self, id: ConnId, keep: bool) {
        on!(&mut self.stack, engine => engine.keep_reclaimed(id, keep));
    }

    /// The next payload that is acknowledged and that no device reads any more, with its offset in the stream.
    pub fn pop_reclaimed(&mut self, id: ConnId) -> Option<(Offset, Payload)> {
        on!(&mut self.stack, engine => engine.pop_reclaimed(id)).map(|(offset, buf)| (offset, Payload(buf)))
    }

    /// Ends our direction behind what was sent: [`Event::Finished`] tells when the peer acknowledged all. Reading goes
    /// on.
    pub fn shutdown_write(&mut self, id: ConnId) {
        on!(&mut self.stack, engine => engine.shutdown_write(id));
    }

    /// Changes a setting of the connection from now on; what that lets out leaves with the next poll.
    pub fn set(&mut self, id: ConnId, setting: Setting) {
        on!(&mut self.stack, engine => engine.set(id, setting));
    }

    /// Lets out what is held back now, by cork, by `more` or by Nagle's algorithm; it leaves with the next poll.
    pub fn flush(&mut self, id: ConnId) {
        on!(&mut self.stack, engine => engine.let_out(id));
    }

    /// Turns keepalive on, changes it, or turns it off. Silence so far counts.
    pub fn set_keepalive(&mut self, id: ConnId, keepalive: Option<Keepalive>) {
        let keepalive = keepalive.map(Keepalive::protocol);
        on!(&mut self.stack, engine => engine.set_keepalive(id, keepalive));
    }

    /// Resets the connection; what the peer has not acknowledged is lost.
    pub fn abort(&mut self, id: ConnId) {
        on!(&mut self.stack, engine => engine.abort(id));
    }

    /// Gives the handle up. What was sent is still delivered, then the connection ends as the kernel's would.
    pub fn release(&mut self, id: ConnId) {
        self.opening.remove(&id);
        on!(&mut self.stack, engine => engine.release(id));
    }

    /// Bytes of send buffer that are free; 0 for a stale handle.
    pub fn capacity(&self, id: ConnId) -> usize {
        on!(&self.stack, engine => engine.capacity(id))
    }

    /// How far the stream has come, in bytes from its beginning (`S29`); `None` for a stale handle.
    pub fn marks(&self, id: ConnId) -> Option<Marks> {
        on!(&self.stack, engine => engine.marks(id))
    }

    /// What the connection counted; `None` for a stale handle.
    pub fn stats(&self, id: ConnId) -> Option<ConnStats> {
        on!(&self.stack, engine => engine.stats(id))
    }

    /// Where the connection stands; `None` for a stale handle.
    pub fn state(&self, id: ConnId) -> Option<State> {
        on!(&self.stack, engine => engine.state(id))
    }

    /// Both ends' addresses; `None` for a stale handle.
    pub fn tuple(&self, id: ConnId) -> Option<FourTuple> {
        on!(&self.stack, engine => engine.tuple(id))
    }

    /// A pool of registered memory to send from: `count` buffers of `size` bytes each (at least 64).
    ///
    /// # Errors
    /// Mostly when there is not memory enough.
    pub fn make_pool(&mut self, count: u32, size: u32) -> Result<BufPool, PoolError> {
        let pool = self.new_pool("application", count, size)?;
        self.remember(&pool);
        Ok(pool)
    }

    /// Looks after a pool in the end, without keeping it until then.
    fn remember(&mut self, pool: &BufPool) {
        self.pools.retain(|pool| pool.upgrade().is_some());
        self.pools.push(WeakPool::of(pool));
    }

    /// A pool that need not be full in the end.
    pub(crate) fn new_pool(&self, name: &'static str, count: u32, size: u32) -> Result<BufPool, PoolError> {
        BufPool::new(&self.eal, &BufPoolConfig { name, count, size, socket: self.info.port.socket })
    }

    /// An arena of the application's own, of hugepages where there are any, that the device can read: to be made a pool by
    /// [`make_pool_over`](LocalEngine::make_pool_over). Its memory is zero at first.
    ///
    /// # Errors
    /// [`RegionError`].
    pub fn make_arena(&self, bytes: usize) -> Result<Region, RegionError> {
        self.reachable()?;
        let region = Region::arena(&self.eal, bytes)?;
        region.map(self.stack.nic().port())?;
        Ok(region)
    }

    /// Makes memory that the caller has known to the device: to be made a pool by
    /// [`make_pool_over`](LocalEngine::make_pool_over). `page`: bytes of its pages. In a program that forks it should be kept from the
    /// children (`MADV_DONTFORK`), as an arena is.
    ///
    /// # Errors
    /// [`RegionError`].
    ///
    /// # Safety
    /// It stays mapped and where it is, and is written only through the result, until that, its clones and every buffer of a
    /// pool over it are gone. Its pages are as large as `page` says, and all its bytes are initialised.
    #[allow(unsafe_code)] // passes the caller's promise on
    pub unsafe fn register(&self, memory: NonNull<[u8]>, page: usize) -> Result<Region, RegionError> {
        self.reachable()?;
        // SAFETY: the caller's promise.
        let region = unsafe { Region::register(&self.eal, memory, page) }?;
        region.map(self.stack.nic().port())?;
        Ok(region)
    }

    /// A pool over a region of the application's: as many buffers of `size` bytes as fit into it.
    ///
    /// # Errors
    /// When not one fits, or there is a pool over the region.
    pub fn make_pool_over(&mut self, region: &Region, size: u32) -> Result<BufPool, PoolError> {
        let pool = BufPool::over(&self.eal, region, size)?;
        self.remember(&pool);
        Ok(pool)
    }

    /// Whether the device reads other memory than EAL's.
    fn reachable(&self) -> Result<(), RegionError> {
        match self.stack.nic().port().reads() {
            Reads::Eal => Err(RegionError::NotReachable { port: self.info.port.name.clone() }),
            _ => Ok(()),
        }
    }

    /// Everything the loop counts.
    pub fn counters(&self) -> &Counters {
        on!(&self.stack, engine => engine.counters())
    }

    /// Every count that is kept, the endpoint's and the port's too: name, value, and what it counts.
    pub fn every_count(&self) -> Vec<(&'static str, u64, &'static str)> {
        let mut counts: Vec<_> = on!(&self.stack, engine => engine.every_count().collect());
        counts.extend(self.stack.nic().rx_counters().iter());
        if let Some(shared) = self.stack.shared() {
            counts.extend(shared.counters().iter());
            let relayed = shared.inner().relay_counters();
            counts.push(("tx_relayed", relayed.sent, "frames sent for workers without a queue"));
            counts.push((
                "tx_relay_refused",
                relayed.refused,
                "those of them that the device did not take: lost",
            ));
        }
        counts
    }

    /// Where connections were computed to arrive and where they do; `None` where no other worker shares the device.
    pub fn steering(&self) -> Option<SteeringReport> {
        self.stack.shared().and_then(Shared::report)
    }

    /// Round-trip times of all connections, nanoseconds.
    pub fn rtt_histogram(&self) -> &Histogram<u64> {
        on!(&self.stack, engine => engine.rtt_histogram())
    }

    /// The device.
    pub fn device(&self) -> &DeviceInfo {
        &self.info
    }

    /// Our clock and the device's at one moment, where the device tells when frames left ([`Config::hardware_times`]): by two of these
    /// times of either are found on the other. Reading it costs a microsecond or so, which is how near they are.
    pub fn device_time(&self) -> Option<DeviceTime> {
        self.stack.nic().device_time()
    }

    /// The kernel's interface at the other end of a TAP.
    pub fn tap_name(&self) -> Option<&str> {
        self.stack.nic().host().map(dpdk::TapHost::name)
    }

    /// The length of `cycles`, as [`Counters`] count them.
    pub fn cycles_to_time(&self, cycles: u64) -> Duration {
        Duration::from_nanos(self.clock.nanos(cycles))
    }
}

/// The library's settings in the engine's words.
pub(crate) fn engine_config(config: &Config) -> Result<EngineConfig, BuildError> {
    let v4 = |ip| match ip {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(_) => Err(BuildError::Family(ip)),
    };
    let mut neighbours = NeighbourConfig::default();
    // A neighbour that does not answer is to be named as the reason before the connect timeout hides it.
    let patience = Nanos::from(config.connection.connect_timeout) / (u64::from(neighbours.attempts) + 1);
    neighbours.retry = neighbours.retry.min(patience).max(SHORTEST_ARP_RETRY);
    let default = DeviceBudget::default();
    let secrets = Secrets { isn: random()?, ports: random()?, flows: random()? };
    Ok(EngineConfig {
        gateway: config.gateway.map(v4).transpose()?,
        mtu: config.mtu,
        max_connections: config.max_connections,
        queued_bytes: config.pools.queued_bytes,
        streaming: streaming(config, largest_cache()),
        device: DeviceBudget { assumed_bps: config.link_rate.unwrap_or(default.assumed_bps), ..default },
        neighbours,
        last_address: Some(v4(config.address.last())?),
        ..EngineConfig::new(v4(config.address.first())?, config.address.prefix_len(), secrets)
    })
}

/// Which copying sends go past the cache (`S13`). `cache`: bytes of the largest one, if known.
fn streaming(config: &Config, cache: Option<u64>) -> Streaming {
    match config.pools.streaming_copies {
        None => Streaming { least: STREAMED_LEAST, out: cache.unwrap_or(COMMON_CACHE) / 2 },
        Some(0) => Streaming::NEVER,
        Some(least) => Streaming { least, out: 0 },
    }
}

/// Bytes of the largest cache that this machine's first CPU has a share of, as the kernel tells.
fn largest_cache() -> Option<u64> {
    let size = |index: u32| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.trim().strip_suffix('K')?.parse::<u64>().ok()? << 10)
    };
    (0..8).map_while(size).max()
}

/// The library's settings in the device's words.
pub(crate) fn device_config(config: &Config) -> DpdkConfig {
    let default = DpdkConfig::default();
    let send_bytes = config.pools.send_bytes.unwrap_or(SEND_BYTES);
    let mbufs = config.pools.mbufs;
    DpdkConfig {
        mtu: config.mtu,
        rx_descriptors: config.rings.receive.unwrap_or(default.rx_descriptors),
        tx_descriptors: config.rings.transmit.unwrap_or(default.tx_descriptors),
        rx_buffers: mbufs.unwrap_or(default.rx_buffers),
        headers: mbufs.unwrap_or(default.headers),
        links: mbufs.unwrap_or(default.links),
        tail_buffers: u32::try_from(send_bytes.div_ceil(u64::from(TAIL_SIZE))).unwrap_or(u32::MAX).max(1),
        tail_size: TAIL_SIZE,
        // An eighth as much again in small ones.
        small_tail_buffers: u32::try_from((send_bytes / 8 / SMALL_TAIL as u64).max(16)).unwrap_or(u32::MAX),
        stamps: match config.hardware_times {
            HardwareTimes::Off => Stamping::Off,
            HardwareTimes::IfAvailable => Stamping::IfAvailable,
            HardwareTimes::Required => Stamping::Required,
        },
        ..default
    }
}

/// Sixteen bytes nobody can guess.
fn random() -> Result<[u8; 16], BuildError> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole once the kernel's generator is seeded (getrandom(2)).
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => Ok(bytes),
        Ok(_) => Err(BuildError::Random(std::io::ErrorKind::UnexpectedEof.into())),
        Err(e) => Err(BuildError::Random(e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_the_device_and_have_defaults() {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        let device = device_config(&config);
        assert_eq!(u64::from(device.tail_buffers) * u64::from(device.tail_size), SEND_BYTES);
        config.pools.mbufs = Some(64);
        config.pools.send_bytes = Some(1);
        config.rings.transmit = Some(32);
        config.rings.receive = Some(16);
        let device = device_config(&config);
        assert_eq!((device.headers, device.links, device.rx_buffers), (64, 64, 64));
        assert_eq!((device.tx_descriptors, device.rx_descriptors, device.tail_buffers), (32, 16, 1));
    }

    #[test]
    fn arp_gives_up_before_the_connect_timeout() {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        for (timeout, retry) in [(180_000, 1000), (2_000, 500), (10, 50)] {
            config.connection.connect_timeout = Duration::from_millis(timeout);
            assert_eq!(engine_config(&config).unwrap().neighbours.retry, Nanos::from_millis(retry));
        }
    }

    #[test]
    fn an_ipv6_address_of_our_own_is_refused() {
        let config = Config::new("null", "2001:db8::2/64".parse().unwrap());
        assert!(matches!(engine_config(&config), Err(BuildError::Family(_))));
    }

    #[test]
    fn s13_copies_go_past_the_cache_once_more_is_out_than_half_of_it_holds() {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        assert_eq!(streaming(&config, Some(8 << 20)), Streaming { least: 4096, out: 4 << 20 });
        assert_eq!(streaming(&config, None), Streaming { least: 4096, out: 16 << 20 });
        config.pools.streaming_copies = Some(65_536);
        assert_eq!(streaming(&config, Some(8 << 20)), Streaming { least: 65_536, out: 0 });
        config.pools.streaming_copies = Some(0);
        assert_eq!(streaming(&config, Some(8 << 20)), Streaming::NEVER);
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
