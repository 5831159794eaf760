//! What belongs to no connection: listeners, TIME-WAIT, ports, initial sequence numbers, and the answers to
//! segments that nobody expects.

mod address;
mod counters;
mod limiter;
mod listeners;
mod ports;
mod range;
mod reset;
mod secrets;
mod time_wait;
mod time_wait_table;

use core::fmt;
use core::ops::RangeInclusive;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use counters::{DropReason, EndpointCounters};
pub use listeners::{ListenError, ListenerId};
pub use range::AddressRange;

use self::limiter::Limiter;
use self::listeners::Listeners;
use self::ports::{Ports, Verdict};
use self::secrets::Secret;
use self::time_wait::Action;
use self::time_wait_table::{Kept, TimeWaitTable};
use crate::conn::{ConnConfig, Connection, TimeWait};
use crate::wire::TcpFlags;
use crate::{Burst, FourTuple, Payload, Segment, Time};

/// TIME-WAITs of each family that one call of [`Endpoint::on_timer`] ends, at most.
const EXPIRE_BATCH: usize = 256;

/// Settings of an endpoint.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Key of initial sequence numbers and timestamp offsets (RFC 6528 §3). Random and secret; where it stays
    /// the same over a restart, sequence numbers of a tuple go on growing.
    pub isn_key: [u8; 16],
    /// Key of the choice of ports (RFC 6056) and of hash tables. Random and secret.
    pub port_key: [u8; 16],
    /// Local ports for connections that name none. Default 32768 to 60999, as Linux.
    pub ports: RangeInclusive<u16>,
    /// Connections of each family in TIME-WAIT, at most; beyond it the one nearest to its end is forgotten.
    /// At most 64 bytes each, and 10 in an index. Default 65536.
    pub max_time_wait: usize,
    /// RSTs per second to segments of unknown connections, at most. Default 1000.
    pub resets_per_second: u32,
    /// ACKs per second in answer to unacceptable segments in TIME-WAIT, at most (RFC 5961 §7). Default 1000.
    pub acks_per_second: u32,
    /// The directed broadcast addresses of our networks: nobody connects to them or from them (MUST-46,
    /// MUST-57, MUST-63). Default none.
    pub broadcasts: Vec<Ipv4Addr>,
}

impl EndpointConfig {
    /// The defaults, with the two secrets for which there is none.
    pub fn new(isn_key: [u8; 16], port_key: [u8; 16]) -> EndpointConfig {
        EndpointConfig {
            isn_key,
            port_key,
            ports: 32_768..=60_999,
            max_time_wait: 65_536,
            resets_per_second: 1_000,
            acks_per_second: 1_000,
            broadcasts: Vec::new(),
        }
    }
}

/// Without the keys.
impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("ports", &self.ports)
            .field("max_time_wait", &self.max_time_wait)
            .field("resets_per_second", &self.resets_per_second)
            .field("acks_per_second", &self.acks_per_second)
            .field("broadcasts", &self.broadcasts)
            .finish_non_exhaustive()
    }
}

/// Why no connection was opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// Nobody to connect to: a multicast, broadcast or unspecified address, or port 0 (MUST-46).
    InvalidRemote(SocketAddr),
    /// Not an address to connect from.
    InvalidLocal(IpAddr),
    /// The addresses are of different families.
    FamilyMismatch,
    /// A connection, or one in TIME-WAIT, has this tuple.
    InUse(FourTuple),
    /// Packets of this tuple would not arrive at its owner.
    Unusable(FourTuple),
    /// No port of the range is left for this destination.
    PortsExhausted {
        /// Ports in use: by connections, TIME-WAIT or listeners.
        in_use: u32,
        /// Ports whose packets would not arrive at their owner.
        unusable: u32,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::InvalidRemote(remote) => {
                write!(f, "cannot connect to {remote}: a unicast address and a port are needed")
            }
            ConnectError::InvalidLocal(local) => {
                write!(f, "cannot connect from {local}: a unicast address and a port are needed")
            }
            ConnectError::FamilyMismatch => {
                f.write_str("cannot connect: one address is IPv4 and the other IPv6")
            }
            ConnectError::InUse(FourTuple { local, remote }) => {
                write!(f, "there is a connection from {local} to {remote} already")
            }
            ConnectError::Unusable(FourTuple { local, remote }) => {
                write!(f, "packets from {remote} to {local} would arrive at another queue: take another port")
            }
            ConnectError::PortsExhausted { in_use, unusable } => write!(
                f,
                "no local port left for this destination: {in_use} are in use or in TIME-WAIT, {unusable} \
                 belong to another queue; use more local addresses or a wider range of ports"
            ),
        }
    }
}

impl core::error::Error for ConnectError {}

/// What to do about a segment of an unknown connection.
#[derive(Debug)]
// A connection is moved once, into its owner's table; a box would cost an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Unmatched<P> {
    /// Nothing. It was counted.
    Drop(DropReason),
    /// Send this to where the segment came from. It has no payload. When it cannot be sent, nothing is lost:
    /// the peer will ask again.
    Reply(Burst),
    /// A connection was born, for this listener. Own it under the segment's tuple; tell
    /// [`settled`](Endpoint::settled) when it leaves SYN-RECEIVED.
    Accept(ListenerId, Connection<P>),
}

/// Owns what no connection owns; one per core, or shared by packet script and simulator alike.
///
/// Its owner keeps the connections and looks for a segment's tuple there first.
#[derive(Debug)]
pub struct Endpoint {
    isn: Secret,
    ports: Ports,
    listeners: Listeners,
    time_wait: TimeWaitTable,
    resets: Limiter,
    acks: Limiter,
    broadcasts: Vec<Ipv4Addr>,
    counters: EndpointCounters,
}

impl Endpoint {
    /// An endpoint without listeners.
    pub fn new(cfg: EndpointConfig) -> Endpoint {
        Endpoint {
            isn: Secret::new(&cfg.isn_key),
            ports: Ports::new(&cfg.port_key, cfg.ports),
            listeners: Listeners::default(),
            time_wait: TimeWaitTable::new(cfg.max_time_wait, Secret::new(&cfg.port_key)),
            resets: Limiter::new(cfg.resets_per_second),
            acks: Limiter::new(cfg.acks_per_second),
            broadcasts: cfg.broadcasts,
            counters: EndpointCounters::default(),
        }
    }

    /// Accepts connections to `local` from now on. The unspecified address stands for all addresses of its
    /// family; several listeners may share a port, and the one on the exact address goes first (MUST-42).
    /// Connections get the settings `cfg`.
    ///
    /// `backlog` bounds how many connections may be half open, in SYN-RECEIVED, at once (at least one);
    /// further SYNs are dropped and counted.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        cfg: ConnConfig,
    ) -> Result<ListenerId, ListenError> {
        let ip = local.ip();
        if local.port() == 0 || !(ip.is_unspecified() || address::is_unicast(ip, &self.broadcasts)) {
            return Err(ListenError::InvalidAddress(local));
        }
        self.listeners.insert(local, backlog, cfg)
    }

    /// Changes the settings of connections that a listener accepts from now on. False when there is no such
    /// listener.
    pub fn set_listener_config(&mut self, id: ListenerId, cfg: ConnConfig) -> bool {
        self.listeners.get_mut(id).is_some_and(|listener| {
            listener.cfg = cfg;
            true
        })
    }

    /// Whether there is such a listener.
    pub fn has_listener(&self, id: ListenerId) -> bool {
        self.listeners.contains(id)
    }

    /// Ends a listener; its connections live on. False when there is no such listener.
    pub fn unlisten(&mut self, id: ListenerId) -> bool {
        self.listeners.remove(id)
    }

    /// Opens a connection from one of the addresses `local` to `remote`: checks the addresses, chooses one of ours by turns and
    /// a port unless one is given, and an initial sequence number. The SYN comes from the connection's `poll_transmit`.
    ///
    /// `in_use` tells which tuples other connections have; `usable`, which ones arrive at their owner
    /// (receive-side scaling may send them to another queue). Both are asked once at most for each port of the range on each
    /// address, and 65536 times at most in all; the next call goes on where this one gave up.
    ///
    /// # Errors
    /// [`ConnectError`]. Nothing has changed then.
    #[allow(clippy::too_many_arguments)] // Two of them are what the owner knows.
    pub fn connect<P: Payload>(
        &mut self,
        now: Time,
        local: AddressRange,
        local_port: Option<u16>,
        remote: SocketAddr,
        cfg: &ConnConfig,
        in_use: impl Fn(&FourTuple) -> bool,
        usable: impl Fn(&FourTuple) -> bool,
    ) -> Result<(FourTuple, Connection<P>), ConnectError> {
        // Segments come without flow label and scope.
        let remote = SocketAddr::new(remote.ip(), remote.port());
        if remote.port() == 0 || !address::is_unicast(remote.ip(), &self.broadcasts) {
            return Err(ConnectError::InvalidRemote(remote));
        }
        let refused =
            [local.first(), local.last()].into_iter().find(|ip| !address::is_unicast(*ip, &self.broadcasts));
        if let Some(ip) = refused.or((local_port == Some(0)).then(|| local.first())) {
            return Err(ConnectError::InvalidLocal(ip));
        }
        if local.first().is_ipv4() != remote.is_ipv4() {
            return Err(ConnectError::FamilyMismatch);
        }
        let (listeners, time_wait) = (&self.listeners, &self.time_wait);
        let tuple = self.ports.choose(local, local_port, remote, |tuple| {
            // Cheap first. A port that somebody listens on is left alone (RFC 6056 §3.2), unless it was asked for; a
            // connection to itself would be a simultaneous open with itself.
            let listening = local_port.is_none() && listeners.find(&tuple.local).is_some();
            if listening || tuple.local == tuple.remote || time_wait.get(tuple).is_some() || in_use(tuple) {
                Verdict::InUse
            } else if usable(tuple) {
                Verdict::Free
            } else {
                Verdict::Unusable
            }
        })?;
        self.counters.active_opens += 1;
        let (iss, ts_offset) = self.isn.initial(&tuple, now);
        Ok((tuple, Connection::connect(cfg, tuple, iss, ts_offset, now)))
    }

    /// Judges a segment whose tuple no connection has: TIME-WAIT first, then listeners, else it is for
    /// nobody.
    pub fn on_unmatched<P: Payload>(
        &mut self,
        now: Time,
        tuple: FourTuple,
        seg: &Segment<P>,
    ) -> Unmatched<P> {
        if !address::is_plausible(&tuple, &self.broadcasts) {
            return self.drop(DropReason::BadAddress);
        }
        match self.time_wait.get(&tuple) {
            Some(kept) => self.in_time_wait(now, tuple, seg, &kept),
            None if self.listeners.find(&tuple.local).is_some() => self.in_listen(now, tuple, seg),
            None => self.reset(now, seg),
        }
    }

    /// A connection that [`on_unmatched`](Endpoint::on_unmatched) accepted for `id` left SYN-RECEIVED: it was
    /// established, or is over. Must be told once for each; the listener may be gone by then.
    pub fn settled(&mut self, id: ListenerId) {
        self.listeners.settle(id);
    }

    /// Takes over from a connection that reached TIME-WAIT: it may be dropped. Waits beyond 255 s are cut to
    /// that.
    pub fn time_wait(&mut self, now: Time, tw: TimeWait) {
        self.counters.time_wait_evicted += u64::from(self.time_wait.insert(now, &tw));
    }

    /// Connections in TIME-WAIT now.
    pub fn time_wait_count(&self) -> usize {
        self.time_wait.len()
    }

    /// Ends TIME-WAITs whose time has come: some, and the rest in the next call, which
    /// [`next_timeout`](Endpoint::next_timeout) then asks for at once.
    pub fn on_timer(&mut self, now: Time) {
        self.time_wait.expire(now, EXPIRE_BATCH);
    }

    /// When to call [`on_timer`](Endpoint::on_timer). Ask again after any other call.
    pub fn next_timeout(&self) -> Option<Time> {
        self.time_wait.next_expiry()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &EndpointCounters {
        &self.counters
    }

    /// RFC 9293 §3.10.7.2.
    fn in_listen<P: Payload>(&mut self, now: Time, tuple: FourTuple, seg: &Segment<P>) -> Unmatched<P> {
        if seg.flags.any(TcpFlags::RST | TcpFlags::ACK) {
            return self.reset(now, seg);
        }
        if !seg.flags.has(TcpFlags::SYN) || seg.flags.has(TcpFlags::FIN) {
            return self.drop(DropReason::Nonsense);
        }
        self.accept(now, tuple, seg, None)
    }

    /// Makes a connection of a SYN, in place of `kept` if that is in TIME-WAIT.
    fn accept<P: Payload>(
        &mut self,
        now: Time,
        tuple: FourTuple,
        syn: &Segment<P>,
        kept: Option<&Kept>,
    ) -> Unmatched<P> {
        let Some(listener) = self.listeners.admit(&tuple.local) else {
            return self.drop(DropReason::BacklogFull);
        };
        let (mut iss, ts_offset) = self.isn.initial(&tuple, now);
        if let Some(kept) = kept {
            iss = time_wait::reopened_isn(kept, iss);
            self.time_wait.remove(&tuple);
            self.counters.time_wait_reused += 1;
        }
        self.counters.passive_opens += 1;
        Unmatched::Accept(listener.id, Connection::accept(&listener.cfg, tuple, iss, ts_offset, syn, now))
    }

    fn in_time_wait<P: Payload>(
        &mut self,
        now: Time,
        tuple: FourTuple,
        seg: &Segment<P>,
        kept: &Kept,
    ) -> Unmatched<P> {
        let listener = self.listeners.find(&tuple.local);
        let listening = listener.is_some();
        let timestamps = listener.is_some_and(|l| l.cfg.timestamps);
        match time_wait::judge(kept, seg, timestamps) {
            Action::IgnoreReset => self.drop(DropReason::Reset),
            Action::IgnoreNonsense => self.drop(DropReason::Nonsense),
            Action::Ignore => self.drop(DropReason::TimeWait),
            Action::Reopen if listening => self.accept(now, tuple, seg, Some(kept)),
            Action::AckFin => {
                self.time_wait.restart(now, &tuple, seg.options.timestamps.map(|ts| ts.val));
                self.counters.time_wait_fins += 1;
                Unmatched::Reply(time_wait::ack(kept, now))
            }
            action @ (Action::Ack | Action::AckText | Action::Reopen) if self.acks.allow(now) => {
                if action == Action::AckText {
                    self.time_wait.restart(now, &tuple, seg.options.timestamps.map(|ts| ts.val));
                }
                self.counters.time_wait_acks += 1;
                Unmatched::Reply(time_wait::ack(kept, now))
            }
            Action::Ack | Action::AckText | Action::Reopen => self.drop(DropReason::RateLimited),
        }
    }

    /// Answers a segment that nobody can use.
    fn reset<P: Payload>(&mut self, now: Time, seg: &Segment<P>) -> Unmatched<P> {
        match reset::reset_for(seg) {
            None => self.drop(DropReason::Reset),
            Some(_) if !self.resets.allow(now) => self.drop(DropReason::RateLimited),
            Some(burst) => {
                self.counters.resets += 1;
                Unmatched::Reply(burst)
            }
        }
    }

    fn drop<P>(&mut self, reason: DropReason) -> Unmatched<P> {
        self.counters.drops[reason as usize] += 1;
        Unmatched::Drop(reason)
    }
}

#[cfg(test)]
mod tests;
