//! What the script sees: a clock, connections, and the packets that leave.
//!
//! The owner of an [`Endpoint`] and its connections, as the engine is, only simpler: no device refuses anything, a
//! burst is one segment, and there are few connections.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::RawFd;

use rustix::io::Errno;
use tcp::conn::{ConnConfig, Connection, State};
use tcp::endpoint::{EndpointConfig, ListenerId, Unmatched};
use tcp::wire::TcpFlags;
use tcp::{
    Burst, BurstKind, ConnErrorKind, Endpoint, Event, FourTuple, Nanos, Payload, Segment, Time, TxLimits,
};

use crate::bytes::Bytes;
use crate::packet::{self, Arrived};
use crate::pcap::Pcap;
use crate::settings::{Dialect, Settings};
use crate::sockets::Socket;

/// Names the file that tells the script's shell lines which states there are.
const STATES: &str = "TSONAMI_PD_STATES";

/// One segment per burst: scripts see packets, and packetdrill puts together what a script wants as one.
const PLAIN: TxLimits = TxLimits {
    max_len: 0,
    max_segments: 1,
    max_slices: u16::MAX,
    min_tso_mss: 0,
    cut_below_mss: 0,
    budget: u32::MAX,
    held: 0,
    loop_period: Nanos::ZERO,
};

/// Where the clock begins: some time after boot, so that nothing is as old as the clock.
const START: Time = Time::from_nanos(1_000_000_000_000);

/// Names a connection.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkId(u32);

/// A connection and what its socket must know.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) conn: Connection<Bytes>,
    pub(crate) tuple: FourTuple,
    /// It was made for this listener, and is half open while this is set.
    half_open: Option<ListenerId>,
    /// The listening socket it came from, until it is established and waits there to be accepted.
    parent: Option<RawFd>,
    /// A descriptor stands for it, or will.
    pub(crate) owned: bool,
    /// The handshake is complete.
    pub(crate) connected: bool,
    /// It is over, or its endpoint keeps what is left of it: no segment is for it any more.
    pub(crate) ended: bool,
    /// Told to the socket's owner once.
    pub(crate) error: Option<Errno>,
    /// What a read left over of a payload.
    pub(crate) unread: Option<Bytes>,
    /// A writer found no room and waits for a third of the buffer (S4).
    pub(crate) short: bool,
    /// State before the segment that is being processed.
    before: State,
}

impl Link {
    fn new(conn: Connection<Bytes>) -> Link {
        Link {
            tuple: *conn.tuple(),
            before: conn.state(),
            conn,
            half_open: None,
            parent: None,
            owned: true,
            connected: false,
            ended: false,
            error: None,
            unread: None,
            short: false,
        }
    }

    /// Nothing more will come to be read behind what is there.
    pub(crate) fn at_end(&self) -> bool {
        use State::*;
        self.ended || matches!(self.conn.state(), CloseWait | Closing | LastAck | TimeWait | Closed)
    }
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    settings: Settings,
    /// The settings as sysctls changed them by the time the newest socket was made.
    pub(crate) current: Settings,
    pub(crate) now: Time,
    pub(crate) endpoint: Endpoint,
    pub(crate) sockets: BTreeMap<RawFd, Socket>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    next_link: u32,
    sent: VecDeque<(Time, Vec<u8>)>,
    pcap: Option<Pcap>,
    states: String,
}

impl World {
    /// A world without sockets.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) fn new(settings: Settings) -> Result<World, String> {
        let pcap = match &settings.pcap {
            None => None,
            Some(path) => Some(Pcap::create(path).map_err(|error| format!("pcap={path}: {error}"))?),
        };
        Ok(World {
            endpoint: Endpoint::new(EndpointConfig::new([settings.seed; 16], [settings.seed; 16])),
            current: settings.clone(),
            settings,
            now: START,
            sockets: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 0,
            sent: VecDeque::new(),
            pcap,
            states: String::new(),
        })
    }

    /// Looks what sysctls say by now.
    pub(crate) fn refresh_settings(&mut self) {
        self.current = self.settings.with_sysctls();
    }

    /// The next packet that left, and when.
    pub(crate) fn pop_sent(&mut self) -> Option<(Time, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// When something happens by itself.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let links = self.links.values().filter(|l| !l.ended).filter_map(|l| l.conn.next_timeout());
        links.chain(self.endpoint.next_timeout()).min()
    }

    /// Time passes until `to`; what is due by then happens, each thing at its time.
    pub(crate) fn advance(&mut self, to: Time) {
        while let Some(at) = self.next_deadline().filter(|&at| at <= to) {
            self.now = self.now.max(at);
            for link in self.links.values_mut().filter(|l| !l.ended) {
                link.before = link.conn.state();
                link.conn.on_timer(self.now);
            }
            self.endpoint.on_timer(self.now);
            self.settle();
        }
        self.now = self.now.max(to);
    }

    /// A packet arrives.
    pub(crate) fn receive(&mut self, packet: &[u8]) {
        self.record(self.now, packet);
        match packet::parse(packet) {
            Ok(Arrived::Tcp(tuple, segment)) => self.receive_segment(tuple, segment),
            Ok(Arrived::Icmp(tuple, error)) => {
                let now = self.now;
                if let Some(link) = self.find(&tuple) {
                    link.before = link.conn.state();
                    link.conn.on_icmp(now, error);
                }
            }
            Ok(Arrived::Other) => self.tell(|| "passed over a packet that is not for TCP".into()),
            Err(reason) => self.tell(|| format!("dropped a packet: {}", reason.name())),
        }
        self.settle();
    }

    fn receive_segment(&mut self, tuple: FourTuple, segment: Segment<Bytes>) {
        let now = self.now;
        let reset = segment.flags.has(TcpFlags::RST);
        let dialect = self.current.dialect;
        if let Some(link) = self.find(&tuple) {
            link.before = link.conn.state();
            link.conn.on_segment(now, segment);
            if reset && link.conn.state() == State::Closed {
                link.error = reset_errno(link.before, dialect);
            }
            return;
        }
        match self.endpoint.on_unmatched(now, tuple, &segment) {
            Unmatched::Drop(reason) => self.tell(|| format!("dropped a segment: {reason:?}")),
            Unmatched::Reply(burst) => self.emit(&tuple, &burst, &[]),
            Unmatched::Accept(listener, conn) => {
                let id = self.add(conn);
                let parent =
                    self.sockets.iter().find(|(_, s)| s.listens() == Some(listener)).map(|(&fd, _)| fd);
                if let Some(link) = self.links.get_mut(&id) {
                    (link.half_open, link.parent, link.owned) = (Some(listener), parent, false);
                }
            }
        }
    }

    /// Opens a connection; its SYN leaves with the next [`settle`](World::settle).
    pub(crate) fn open(
        &mut self,
        local: IpAddr,
        port: Option<u16>,
        remote: std::net::SocketAddr,
        cfg: &ConnConfig,
    ) -> Result<LinkId, tcp::endpoint::ConnectError> {
        let links = &self.links;
        let in_use = |tuple: &FourTuple| links.values().any(|l| !l.ended && l.tuple == *tuple);
        let (_, conn) = self.endpoint.connect(self.now, local.into(), port, remote, cfg, in_use, |_| true)?;
        Ok(self.add(conn))
    }

    fn add(&mut self, conn: Connection<Bytes>) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(id, Link::new(conn));
        id
    }

    fn find(&mut self, tuple: &FourTuple) -> Option<&mut Link> {
        self.links.values_mut().find(|l| !l.ended && l.tuple == *tuple)
    }

    /// After anything happened: sends what can be sent, takes in what connections tell, and tidies up.
    pub(crate) fn settle(&mut self) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            self.transmit(id);
            self.events(id);
        }
        // Nobody refers to these any more.
        self.links.retain(|_, l| l.owned || l.parent.is_some() || !l.ended);
        self.write_states();
    }

    fn transmit(&mut self, id: LinkId) {
        let now = self.now;
        let Some(mut link) = self.links.remove(&id) else { return };
        let mut run: Option<Run> = None;
        let longest = self.run_segments(&link.conn);
        while !link.ended
            && let Some(burst) = link.conn.poll_transmit(now, &PLAIN)
        {
            let mut payload = Vec::with_capacity(burst.len as usize);
            for (bytes, range) in link.conn.slices(&burst) {
                payload.extend_from_slice(&bytes.as_slice()[range]);
            }
            link.conn.on_sent(&burst, now);
            if run.as_ref().is_some_and(|run| !run.goes_on(&burst, longest)) {
                self.emit_run(&link.tuple, run.take());
            }
            run.get_or_insert_default().0.push((burst, payload));
        }
        self.emit_run(&link.tuple, run);
        while link.conn.pop_reclaimed().is_some() {}
        self.links.insert(id, link);
    }

    fn events(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut established = None;
        while let Some(event) = link.conn.poll_event() {
            match event {
                Event::Connected => {
                    link.connected = true;
                    established = link.parent.take();
                }
                Event::Closed(Err(error)) => link.error = link.error.or(errno(error.kind)),
                _ => {}
            }
        }
        if let Some(time_wait) = link.conn.time_wait().filter(|_| !link.ended) {
            link.ended = true;
            self.endpoint.time_wait(self.now, time_wait);
        }
        link.ended |= link.conn.is_closed();
        if link.ended {
            link.short = false;
        }
        if let Some(listener) = link.half_open.filter(|_| link.connected || link.ended) {
            link.half_open = None;
            link.parent = None;
            self.endpoint.settled(listener);
        }
        if let Some(parent) = established {
            // Nobody may listen any more; then nobody accepts it.
            match self.sockets.get_mut(&parent).and_then(Socket::accept_queue) {
                Some(queue) => {
                    link.owned = true;
                    queue.push_back(id);
                }
                None => link.conn.abort(self.now),
            }
        }
    }

    /// Segments that Linux would hand to a device as one frame: a millisecond's worth at twice the window per round
    /// trip, more where the round trip is short, and never fewer than a sysctl says.
    fn run_segments(&self, conn: &Connection<Bytes>) -> usize {
        let stats = conn.stats();
        let Some(srtt) = stats.srtt else { return self.current.run_segments };
        let micros = |n: Nanos| (n.as_nanos() / 1_000).max(1);
        let rate = 2 * stats.cwnd * 1_000_000 / micros(srtt);
        let near = 65_536u64 >> (stats.min_rtt.map_or(u64::MAX, micros) >> 9).min(31);
        (((rate >> 10) + near) / u64::from(stats.mss.max(1))).min(44).max(self.current.run_segments as u64)
            as usize
    }

    fn emit_run(&mut self, tuple: &FourTuple, run: Option<Run>) {
        let Some(Run(mut segments)) = run else { return };
        if self.current.push_runs
            && segments.len() > 1
            && segments[0].0.kind == BurstKind::New
            && let Some((last, _)) = segments.last_mut()
        {
            last.flags |= TcpFlags::PSH;
        }
        for (burst, payload) in segments {
            self.emit(tuple, &burst, &payload);
        }
    }

    fn emit(&mut self, tuple: &FourTuple, burst: &Burst, payload: &[u8]) {
        let packet = packet::emit(tuple, burst, payload, self.current.dialect);
        self.record(self.now, &packet);
        self.sent.push_back((self.now, packet));
    }

    fn record(&mut self, at: Time, packet: &[u8]) {
        if let Some(pcap) = &mut self.pcap
            && let Err(error) = pcap.record(at, packet)
        {
            eprintln!("pcap: {error}; recording ends");
            self.pcap = None;
        }
    }

    /// The listening socket `fd` goes: what waits there is reset, what is half open is forgotten.
    pub(crate) fn abandon(&mut self, fd: RawFd, queue: VecDeque<LinkId>) {
        for id in queue {
            if let Some(link) = self.links.get_mut(&id) {
                link.owned = false;
                link.conn.abort(self.now);
            }
        }
        self.links.retain(|_, l| l.parent != Some(fd));
    }

    /// Tells on standard error what happens, when that was asked for.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.settings.debug {
            let at = Nanos::from_nanos(self.now.as_nanos() - START.as_nanos());
            eprintln!("tsonami {at}: {}", what());
        }
    }

    /// Tells the script's shell lines which sockets are in which state.
    fn write_states(&mut self) {
        let Some(path) = std::env::var_os(STATES) else { return };
        let mut text = String::new();
        let live = self.links.values().filter(|l| !l.ended).map(|l| l.conn.state());
        let waiting = (0..self.endpoint.time_wait_count()).map(|_| State::TimeWait);
        let listening = self.sockets.values().filter(|s| s.listens().is_some()).map(|_| State::Listen);
        for state in live.chain(waiting).chain(listening) {
            let _ = writeln!(text, "root packetdril 1 3 tcp 8080 {}", state_name(state));
        }
        if text != self.states {
            if let Err(error) = std::fs::write(path, &text) {
                eprintln!("{STATES}: {error}");
            }
            self.states = text;
        }
    }
}

/// Segments that leave at once and continue each other: what a sender with segmentation offload hands to its device as
/// one frame. Linux sets PSH on every such frame, the protocol by S14 alone (it would hurt the receiver's coalescing),
/// and scripts compare the flag.
#[derive(Debug, Default)]
struct Run(Vec<(Burst, Vec<u8>)>);

impl Run {
    /// `next` continues it: whole segments before, payload behind.
    fn goes_on(&self, next: &Burst, longest: usize) -> bool {
        self.0.len() < longest
            && self.0.last().is_some_and(|(last, _)| {
                last.len > 0
                    && next.len > 0
                    && last.kind == next.kind
                    && last.len == self.0[0].0.len
                    && last.offset + u64::from(last.len) == next.offset
            })
    }
}

/// As sockstat and netstat write them.
fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SYN_SENT",
        State::SynReceived => "SYN_RCVD",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT_1",
        State::FinWait2 => "FIN_WAIT_2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::TimeWait => "TIME_WAIT",
    }
}

/// What a socket's owner is told when a RST ends a connection that was in state `before`. Where the protocol has
/// nothing to complain of, since everything was delivered, sockets complain all the same.
fn reset_errno(before: State, dialect: Dialect) -> Option<Errno> {
    match before {
        State::SynSent => Some(Errno::CONNREFUSED),
        // RFC 9293 §3.10.7.4, second; Linux says reset.
        State::SynReceived if dialect == Dialect::FreeBsd => Some(Errno::CONNREFUSED),
        // Linux: whoever only writes any more learns that nobody reads.
        State::CloseWait if dialect == Dialect::Linux => Some(Errno::PIPE),
        _ => Some(Errno::CONNRESET),
    }
}

/// What a socket's owner is told of another end of a connection.
fn errno(kind: ConnErrorKind) -> Option<Errno> {
    match kind {
        ConnErrorKind::Refused => Some(Errno::CONNREFUSED),
        ConnErrorKind::Reset => Some(Errno::CONNRESET),
        ConnErrorKind::TimedOut | ConnErrorKind::Silent => Some(Errno::TIMEDOUT),
        ConnErrorKind::Unreachable | ConnErrorKind::NoNeighbour => Some(Errno::HOSTUNREACH),
        _ => None,
    }
}
