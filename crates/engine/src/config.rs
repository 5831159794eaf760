//! What an engine is told at its start.

use core::fmt;
use std::net::Ipv4Addr;

use tcp::Nanos;
use tcp::endpoint::EndpointConfig;

use crate::error::ConfigError;
use crate::nic::NicLimits;
use crate::route::{MIN_MTU, Routes};

/// Which copying sends are copied past the cache (`S13`), with non-temporal stores: what is in the cache stays there, and the
/// copy is read from memory. That pays once more memory is out than the cache holds, when the next buffer has to be
/// fetched from memory only to be written over; before that it costs (`docs/results`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Streaming {
    /// Bytes of a send, at least.
    pub least: u32,
    /// While at least this many bytes of the NIC's buffers for copying sends are out.
    pub out: u64,
}

impl Streaming {
    /// None.
    pub const NEVER: Streaming = Streaming { least: u32::MAX, out: u64::MAX };
}

/// Addresses that one engine has, at most: the connections that leave from so many fill any table.
const MAX_ADDRESSES: u32 = 65_536;

/// Payload up to this many bytes is copied behind the header (`S15`).
const COPY_BREAK: u32 = 256;

/// What `working_set` is by default: 16 MB.
const WORKING_SET: u32 = 4096;

/// Settings of an [`Engine`](crate::Engine). Everything but the address and the secrets has a default that suits
/// a link of 1 to 100 Gbit/s.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Our IPv4 address; the first one of several.
    pub address: Ipv4Addr,
    /// The last one of several addresses, in the same network, at most 65536 with those between. All are answered for, and connections
    /// leave from them by turns. Default `None`: `address` is the only one.
    pub last_address: Option<Ipv4Addr>,
    /// Bits of the network part of `address`, 1 to 32: what is inside is reached directly.
    pub prefix: u8,
    /// Where packets for anybody else go. Must itself be reachable directly.
    pub gateway: Option<Ipv4Addr>,
    /// Bytes of the largest IP packet we send, at least 68 (RFC 791); `None`: the port's. Lowered to the port's.
    pub mtu: Option<u16>,
    /// IPv4 time to live, 1 to 255 (RFC 9293 MUST-49; 64 is the value assigned by IANA).
    pub ttl: u8,
    /// Payload of up to this many bytes is copied behind the header instead of being referenced (`S15`), where a header
    /// buffer has room: a frame of one buffer costs the driver one descriptor instead of two and spares a reference.
    /// Default 256; `examples/copying small` measures where it pays.
    pub copy_break: u32,
    /// Which copying sends leave the cache alone. Default: none.
    pub streaming: Streaming,
    /// Settings of what belongs to no connection: ports, TIME-WAIT, resets. The engine adds its network's broadcast
    /// address.
    pub endpoint: EndpointConfig,
    /// Key of the flow table's hash.
    pub flow_key: FlowKey,
    /// Connections at the same time, at most, 1 to 2^24; TIME-WAIT is not among them.
    pub max_connections: u32,
    /// Connections that are kept ready to work though they are at rest, 4 kB each. Of more, those at rest for the longest
    /// are folded into 450 to 700 bytes until something happens to them, which then takes about 7000 cycles longer, and
    /// folding another in its place as long: make it as many as are active at a time.
    pub working_set: u32,
    /// How much one iteration of the loop does at most.
    pub bounds: Bounds,
    /// How much may wait in the port (`S24`).
    pub device: DeviceBudget,
    /// Bytes of memory that the send queues of all connections together may hold, as each send buffer counts them (`S5`).
    /// Where it is short, buffers that tune themselves shrink and senders wait. `None`: as much as each of them may.
    pub queued_bytes: Option<u64>,
    /// Address resolution.
    pub neighbours: NeighbourConfig,
    /// How long the port may refuse every frame of a connection before the connection is given up.
    pub stuck_timeout: Nanos,
}

/// Keys of everything that must not be guessed: from the operating system's random source, fresh for each engine.
/// Fixed values are for tests.
#[derive(Copy, Clone)]
pub struct Secrets {
    /// Initial sequence numbers (RFC 6528).
    pub isn: [u8; 16],
    /// Local ports (RFC 6056).
    pub ports: [u8; 16],
    /// The flow table's hash.
    pub flows: [u8; 16],
}

/// A key that is not printed.
#[derive(Copy, Clone)]
pub struct FlowKey(pub [u8; 16]);

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowKey")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// What one iteration of the loop does at most (invariant 7).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Pieces of received frames. The port is asked until it has none or there are so many; the burst that reaches the
    /// bound is processed whole. On a virtual wire the peer's ACKs come back at once: one for every second segment of
    /// `tx_frames` bursts of 64 KiB is within the default.
    pub rx_pieces: u16,
    /// Timers that fire or move.
    pub timers: u16,
    /// Frames offered to the port.
    pub tx_frames: u16,
    /// Bytes that one connection may send before the next one has its turn; at least one burst is always sent.
    pub quantum: u32,
}

/// Bounds on what waits in the port (`S24`, TCP small queues).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeviceBudget {
    /// How long the link may need for what one connection has in the port.
    pub time: Nanos,
    /// Bytes one connection may have in the port however fast the link is. Two bursts are always allowed.
    pub connection_bytes: u32,
    /// Bytes all connections together may have in the port. Two bursts are always allowed.
    pub queue_bytes: u32,
    /// Bits per second to reckon with where the port does not know its rate.
    pub assumed_bps: u64,
}

/// Address resolution: RFC 826 with the timings of RFC 4861 §10.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NeighbourConfig {
    /// Addresses remembered at most, at least 1.
    pub max: u32,
    /// Time between two requests.
    pub retry: Nanos,
    /// Requests before a neighbour is unreachable, at least 1.
    pub attempts: u8,
    /// How long an answer is trusted; then it is confirmed by unicast while it goes on being used.
    pub reachable: Nanos,
    /// How long an address nobody uses is remembered beyond that.
    pub keep: Nanos,
}

impl EngineConfig {
    /// Defaults for `address/prefix`.
    pub fn new(address: Ipv4Addr, prefix: u8, secrets: Secrets) -> EngineConfig {
        EngineConfig {
            address,
            last_address: None,
            prefix,
            gateway: None,
            mtu: None,
            ttl: 64,
            copy_break: COPY_BREAK,
            streaming: Streaming::NEVER,
            endpoint: EndpointConfig::new(secrets.isn, secrets.ports),
            flow_key: FlowKey(secrets.flows),
            max_connections: 65_536,
            working_set: WORKING_SET,
            bounds: Bounds::default(),
            device: DeviceBudget::default(),
            queued_bytes: None,
            neighbours: NeighbourConfig::default(),
            stuck_timeout: Nanos::from_secs(30),
        }
    }

    /// Where packets go, and which are for us.
    pub(crate) fn routes(&self) -> Routes {
        let last = self.last_address.unwrap_or(self.address);
        Routes::new(self.address..=last, self.prefix, self.gateway)
    }

    /// Checks what no type can.
    pub(crate) fn check(&self, limits: &NicLimits) -> Result<(), ConfigError> {
        if !(1..=32).contains(&self.prefix) {
            return Err(ConfigError::Prefix(self.prefix));
        }
        let routes = self.routes();
        let (address, prefix, last) = (self.address, self.prefix, self.last_address.unwrap_or(self.address));
        for a in [address, last] {
            if a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.is_loopback() {
                return Err(ConfigError::Address(a));
            }
            if !routes.is_on_link(a) {
                return Err(ConfigError::Range { first: address, last, prefix });
            }
            if routes.is_network_broadcast(a) {
                return Err(ConfigError::NotAHost { address: a, prefix });
            }
        }
        let more = u32::from(last).checked_sub(u32::from(address));
        if more.is_none_or(|more| more >= MAX_ADDRESSES) {
            return Err(ConfigError::Range { first: address, last, prefix });
        }
        if let Some(gateway) = self.gateway
            && (!routes.is_on_link(gateway) || !routes.is_peer(gateway))
        {
            return Err(ConfigError::Gateway { gateway, address, prefix });
        }
        let mtu = self.mtu.unwrap_or(limits.mtu).min(limits.mtu);
        if mtu < MIN_MTU {
            return Err(ConfigError::Mtu(mtu));
        }
        if self.ttl == 0 {
            return Err(ConfigError::Zero("ttl"));
        }
        if self.max_connections == 0 || self.max_connections > 1 << 24 {
            return Err(ConfigError::MaxConnections(self.max_connections));
        }
        let b = &self.bounds;
        let at_least_one = [
            ("bounds.rx_pieces", u64::from(b.rx_pieces)),
            ("bounds.timers", u64::from(b.timers)),
            ("bounds.tx_frames", u64::from(b.tx_frames)),
            ("device.assumed_bps", self.device.assumed_bps),
            ("neighbours.max", u64::from(self.neighbours.max)),
            ("neighbours.attempts", u64::from(self.neighbours.attempts)),
            ("neighbours.retry", self.neighbours.retry.as_nanos()),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, v)| *v == 0) {
            return Err(ConfigError::Zero(name));
        }
        Ok(())
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { rx_pieces: 2048, timers: 256, tx_frames: 64, quantum: 65_536 }
    }
}

impl Default for DeviceBudget {
    fn default() -> DeviceBudget {
        DeviceBudget {
            time: Nanos::from_millis(1),
            connection_bytes: 512 * 1024,
            queue_bytes: 2 * 1024 * 1024,
            assumed_bps: 10_000_000_000,
        }
    }
}

impl Default for NeighbourConfig {
    fn default() -> NeighbourConfig {
        NeighbourConfig {
            max: 4096,
            retry: Nanos::from_secs(1),
            attempts: 3,
            reachable: Nanos::from_secs(30),
            keep: Nanos::from_secs(300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::limits;

    fn config() -> EngineConfig {
        EngineConfig::new(
            Ipv4Addr::new(10, 0, 0, 1),
            24,
            Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] },
        )
    }

    #[test]
    fn defaults_are_accepted() {
        assert_eq!(config().check(&limits()), Ok(()));
    }

    #[test]
    fn every_nonsense_is_named() {
        let wrong = |f: fn(&mut EngineConfig)| {
            let mut c = config();
            f(&mut c);
            c.check(&limits()).unwrap_err().to_string()
        };
        assert!(wrong(|c| c.prefix = 0).contains("prefix"));
        assert!(wrong(|c| c.prefix = 33).contains("33"));
        assert!(wrong(|c| c.address = Ipv4Addr::BROADCAST).contains("255.255.255.255"));
        assert!(wrong(|c| c.gateway = Some(Ipv4Addr::new(10, 0, 1, 1))).contains("10.0.1.1"));
        assert!(wrong(|c| c.address = Ipv4Addr::new(10, 0, 0, 0)).contains("10.0.0.0/24"));
        assert!(wrong(|c| c.address = Ipv4Addr::new(10, 0, 0, 255)).contains("10.0.0.255/24"));
        assert!(wrong(|c| c.gateway = Some(Ipv4Addr::new(10, 0, 0, 255))).contains("10.0.0.255"));
        assert!(wrong(|c| c.gateway = Some(c.address)).contains("gateway"));
        assert!(wrong(|c| c.last_address = Some(Ipv4Addr::new(10, 0, 0, 0))).contains("10.0.0.0"));
        assert!(wrong(|c| c.last_address = Some(Ipv4Addr::new(10, 0, 0, 255))).contains("10.0.0.255/24"));
        assert!(
            wrong(|c| c.last_address = Some(Ipv4Addr::new(10, 0, 1, 9))).contains("10.0.0.1 to 10.0.1.9")
        );
        assert!(
            wrong(|c| (c.prefix, c.last_address) = (8, Some(Ipv4Addr::new(10, 1, 0, 1)))).contains("65536")
        );
        assert!(
            wrong(|c| {
                c.last_address = Some(Ipv4Addr::new(10, 0, 0, 9));
                c.gateway = Some(Ipv4Addr::new(10, 0, 0, 5));
            })
            .contains("gateway")
        );
        assert!(wrong(|c| c.mtu = Some(67)).contains("67"));
        assert!(wrong(|c| c.ttl = 0).contains("ttl"));
        assert!(wrong(|c| c.max_connections = 0).contains("max_connections"));
        assert!(wrong(|c| c.bounds.timers = 0).contains("bounds.timers"));
    }

    #[test]
    fn several_addresses_of_the_network_are_ours() {
        let mut c = config();
        c.last_address = Some(Ipv4Addr::new(10, 0, 0, 254));
        assert_eq!(c.check(&limits()), Ok(()));
        c.prefix = 8;
        c.last_address = Some(Ipv4Addr::new(10, 1, 0, 0));
        assert_eq!(c.check(&limits()), Ok(()), "65536 of them");
        c.last_address = Some(c.address);
        assert_eq!(c.check(&limits()), Ok(()), "one");
    }

    #[test]
    fn both_addresses_of_a_slash_31_are_hosts_and_so_is_a_slash_32() {
        for (last, prefix) in [(0, 31), (1, 31), (0, 32), (255, 32)] {
            let c = EngineConfig { address: Ipv4Addr::new(10, 0, 0, last), prefix, ..config() };
            assert_eq!(c.check(&limits()), Ok(()));
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", config());
        assert!(!["1, 1", "2, 2", "3, 3"].iter().any(|key| printed.contains(key)), "{printed}");
    }
}
