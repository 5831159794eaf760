//! The engine as a whole, over fake NICs and a virtual wire with a virtual clock.

mod autocorking;
mod bounds;
mod chaos;
mod copied_after_all;
mod counting;
mod folding;
mod halves;
mod input;
mod last_resort;
mod long_sends;
mod marking;
mod neighbours;
mod outrun;
mod partial;
mod pressure;
mod send_calls;
mod settings;
mod shares;
mod shortage;
mod stamps;
mod transfer;
mod waits;
mod workers;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Event, Nanos, Payload, Time};

use crate::fake::{Buf, FakeNic, Sent};
use crate::nic::{Checked, NicLimits, RxChecksum};
use crate::{ConnId, Engine, EngineConfig, EngineEvent, Secrets};

pub(super) const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const PORT: u16 = 5001;

pub(super) type TestEngine = Engine<Checked<FakeNic>>;

pub(super) fn config(address: Ipv4Addr) -> EngineConfig {
    let n = address.octets()[3];
    EngineConfig::new(address, 24, Secrets { isn: [n; 16], ports: [n + 1; 16], flows: [n + 2; 16] })
}

pub(super) fn engine(address: Ipv4Addr, limits: NicLimits) -> TestEngine {
    engine_with(config(address), limits)
}

pub(super) fn engine_with(cfg: EngineConfig, limits: NicLimits) -> TestEngine {
    let nic = FakeNic::new(limits, cfg.address.octets()[3]);
    Engine::new(Checked::new(nic), cfg).expect("the configuration is sound")
}

/// The fake NIC behind the checker.
pub(super) trait Fake {
    fn fake(&mut self) -> &mut FakeNic;
    /// Bytes of a payload from the application's pool.
    fn buf(&mut self, data: &[u8]) -> Buf;
    fn sent(&mut self) -> Vec<Sent>;
}

impl Fake for TestEngine {
    fn fake(&mut self) -> &mut FakeNic {
        self.nic_mut().inner_mut()
    }

    fn buf(&mut self, data: &[u8]) -> Buf {
        self.fake().buf(data)
    }

    fn sent(&mut self) -> Vec<Sent> {
        self.fake().take_sent()
    }
}

type Filter = Box<dyn FnMut(&Sent, bool) -> bool>;

/// Two engines and the wire between them.
pub(super) struct Net {
    pub(super) a: TestEngine,
    pub(super) b: TestEngine,
    pub(super) now: Time,
    delay: Nanos,
    wire: VecDeque<(Time, bool, Sent)>,
    /// Called with each frame and whether it is A's; false loses it.
    pub(super) filter: Filter,
    pub(super) events_a: Vec<(ConnId, EngineEvent)>,
    pub(super) events_b: Vec<(ConnId, EngineEvent)>,
    /// What arrived at each side, by connection.
    pub(super) got_a: Vec<(ConnId, Vec<u8>)>,
    pub(super) got_b: Vec<(ConnId, Vec<u8>)>,
    /// Whether B's application reads what arrives.
    pub(super) reads_b: bool,
}

impl Net {
    pub(super) fn new(limits: NicLimits) -> Net {
        Net::with(engine(A, limits.clone()), engine(B, limits))
    }

    pub(super) fn with(a: TestEngine, b: TestEngine) -> Net {
        Net {
            a,
            b,
            now: Time::from_nanos(1_000_000_000),
            delay: Nanos::from_micros(50),
            wire: VecDeque::new(),
            filter: Box::new(|_, _| true),
            events_a: Vec::new(),
            events_b: Vec::new(),
            got_a: Vec::new(),
            got_b: Vec::new(),
            reads_b: true,
        }
    }

    /// Both engines poll, frames travel, applications read what arrived. True when there is more to do at once.
    fn turn(&mut self) -> bool {
        while self.wire.front().is_some_and(|(at, _, _)| *at <= self.now) {
            let Some((_, from_a, sent)) = self.wire.pop_front() else { break };
            deliver(if from_a { &mut self.b } else { &mut self.a }, &sent);
        }
        let more = self.a.poll(self.now).more | self.b.poll(self.now).more;
        let told = collect(&mut self.a, &mut self.events_a, &mut self.got_a, true)
            | collect(&mut self.b, &mut self.events_b, &mut self.got_b, self.reads_b);
        let arrival = self.now + self.delay;
        for from_a in [true, false] {
            let engine = if from_a { &mut self.a } else { &mut self.b };
            for sent in engine.sent() {
                oracle(&sent);
                if (self.filter)(&sent, from_a) {
                    self.wire.push_back((arrival, from_a, sent));
                }
            }
        }
        // An application that may write does so before the next thing happens.
        more || told
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Time> {
        let next = [self.a.next_deadline(), self.b.next_deadline(), self.wire.front().map(|f| f.0)];
        next.into_iter().flatten().min()
    }

    /// A second goes by, and nothing happens that is not due by itself.
    pub(super) fn rest(&mut self) {
        let end = self.now + Nanos::from_secs(1);
        while self.turn() || self.next().is_some_and(|t| t < end) {
            self.now = self.next().unwrap_or(self.now).clamp(self.now, end) + Nanos::from_nanos(100);
        }
        self.now = self.now.max(end);
        // No turn is made for folding: those that come by themselves have to do.
        for _ in 0..4 {
            self.turn();
        }
    }

    /// One step: a turn; then time moves to the next thing that happens. False when nothing will.
    pub(super) fn step(&mut self) -> bool {
        if self.turn() {
            self.now += Nanos::from_nanos(100);
            return true;
        }
        match self.next() {
            Some(t) => {
                self.now = self.now.max(t) + Nanos::from_nanos(100);
                true
            }
            None => false,
        }
    }

    /// Steps until `done`; fails when that takes longer than `limit`, or nothing is left to happen.
    #[track_caller]
    pub(super) fn run(&mut self, limit: Nanos, mut done: impl FnMut(&mut Net) -> bool) {
        let end = self.now + limit;
        let mut steps = 0u64;
        while !done(self) {
            assert!(
                self.now < end,
                "not done after {limit}: A {:?}, B {:?}",
                self.a.remaining(),
                self.b.remaining()
            );
            let alive = self.step();
            assert!(alive || done(self), "nothing is left to happen, and it is not done");
            steps += 1;
            assert!(steps < 20_000_000, "too many steps");
        }
    }

    /// A connection from A to a listener of B, established; both handles.
    #[track_caller]
    pub(super) fn connected(&mut self, cfg: &ConnConfig) -> (ConnId, ConnId) {
        self.connected_from(cfg, None)
    }

    #[track_caller]
    pub(super) fn connected_from(&mut self, cfg: &ConnConfig, port: Option<u16>) -> (ConnId, ConnId) {
        // A listener may be there already.
        let _ = self.b.listen(SocketAddr::from((B, PORT)), 128, cfg.clone());
        let a = self.a.connect_from(self.now, port, SocketAddr::from((B, PORT)), cfg).expect("a connection");
        self.run(Nanos::from_secs(10), |n| n.has_a(a, EngineEvent::Conn(Event::Connected)));
        let accepted = |n: &Net| {
            n.events_b.iter().rev().find(|(_, e)| matches!(e, EngineEvent::Accepted(_))).map(|(id, _)| *id)
        };
        let peer = self.a.tuple(a).expect("it exists");
        self.run(Nanos::from_secs(10), |n| {
            accepted(n).is_some_and(|id| n.b.tuple(id).is_some_and(|t| t.remote == peer.local))
        });
        let b = accepted(self).expect("accepted");
        (a, b)
    }

    pub(super) fn has_a(&self, id: ConnId, event: EngineEvent) -> bool {
        self.events_a.contains(&(id, event))
    }

    pub(super) fn has_b(&self, id: ConnId, event: EngineEvent) -> bool {
        self.events_b.contains(&(id, event))
    }

    pub(super) fn received_b(&self, id: ConnId) -> &[u8] {
        self.got_b.iter().find(|(i, _)| *i == id).map_or(&[], |(_, v)| v)
    }

    pub(super) fn received_a(&self, id: ConnId) -> &[u8] {
        self.got_a.iter().find(|(i, _)| *i == id).map_or(&[], |(_, v)| v)
    }

    /// Closes everything and checks that nothing is left behind: no connection, no buffer, no violation of the offload
    /// rules.
    #[track_caller]
    pub(super) fn finish(mut self) {
        self.a.close_all();
        self.b.close_all();
        for e in [&mut self.a, &mut self.b] {
            e.fake().hold = false;
            let n = e.fake().in_ring();
            e.fake().complete(n);
        }
        self.run(Nanos::from_secs(400), |n| n.a.is_idle() && n.b.is_idle());
        for mut e in [self.a, self.b] {
            e.fake().rx.clear();
            let (fake, report) = e.into_nic().into_parts();
            assert_eq!(report.first, []);
            assert_eq!(fake.headers_free.get(), fake.headers_total, "header buffers");
            assert_eq!(fake.live.get(), 0, "payload buffers");
        }
    }
}

fn collect(
    e: &mut TestEngine,
    events: &mut Vec<(ConnId, EngineEvent)>,
    got: &mut Vec<(ConnId, Vec<u8>)>,
    reads: bool,
) -> bool {
    let mut writable = false;
    while let Some((id, event)) = e.poll_event() {
        writable |= event == EngineEvent::Conn(Event::Writable);
        events.push((id, event));
        // `Accepted` too: data may have come with the handshake.
        let at = match got.iter().position(|(i, _)| *i == id) {
            Some(at) => at,
            None => {
                got.push((id, Vec::new()));
                got.len() - 1
            }
        };
        while reads && let Some(buf) = e.read(id) {
            got[at].1.extend_from_slice(buf.as_slice());
        }
    }
    writable
}

/// Hands a sent frame to the other side, as a virtual wire does: what the sender's device was to compute counts as
/// good, what it claims to have computed itself is left to be verified.
fn deliver(to: &mut TestEngine, sent: &Sent) {
    let verdict = |by_device| if by_device { RxChecksum::Good } else { RxChecksum::Unknown };
    let (ip, l4) = (verdict(sent.meta.ip_checksum), verdict(sent.meta.tcp_checksum));
    to.fake().inject_as(&[&sent.bytes], ip, l4);
}

/// What every frame must be, by a parser that is not ours.
fn oracle(sent: &Sent) {
    let packet = SlicedPacket::from_ethernet(&sent.bytes).expect("a well-formed frame");
    match &packet.net {
        Some(NetSlice::Arp(arp)) => assert_eq!(arp.proto_addr_size(), 4),
        Some(NetSlice::Ipv4(ip)) => {
            let h = ip.header();
            assert!(h.dont_fragment() && !h.more_fragments(), "DF");
            assert_eq!(usize::from(h.total_len()) + 14, sent.bytes.len());
            if !sent.meta.ip_checksum {
                assert_eq!(h.header_checksum(), h.to_header().calc_header_checksum());
            }
            if let Some(TransportSlice::Tcp(tcp)) = &packet.transport
                && !sent.meta.tcp_checksum
            {
                let sum = tcp.calc_checksum_ipv4(h.source(), h.destination()).expect("its length is valid");
                assert_eq!(tcp.checksum(), sum);
            }
        }
        other => panic!("neither ARP nor IPv4: {other:?}"),
    }
}

/// The TCP part of a sent frame, as etherparse reads it.
pub(super) fn tcp_of(sent: &Sent) -> Option<etherparse::TcpHeader> {
    match SlicedPacket::from_ethernet(&sent.bytes).ok()?.transport? {
        TransportSlice::Tcp(tcp) => Some(tcp.to_header()),
        _ => None,
    }
}

/// The TCP payload of a sent frame.
pub(super) fn payload_of(sent: &Sent) -> Vec<u8> {
    match SlicedPacket::from_ethernet(&sent.bytes).ok().and_then(|p| p.transport) {
        Some(TransportSlice::Tcp(tcp)) => tcp.payload().to_vec(),
        _ => Vec::new(),
    }
}

/// Bytes that differ wherever they are mixed up.
pub(super) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 24) as u8
        })
        .collect()
}

pub(super) fn cfg() -> ConnConfig {
    ConnConfig { time_wait: Nanos::from_millis(10), ..ConnConfig::default() }
}

/// Sends all of `data` from A by copying, as fast as the connection takes it.
#[track_caller]
pub(super) fn send_all(net: &mut Net, id: ConnId, data: &[u8]) {
    let mut at = 0;
    net.run(Nanos::from_secs(60), |n| {
        while at < data.len() {
            match n.a.send_copy(id, &data[at..], SendFlags::default()) {
                Ok(k) => at += k,
                Err(_) => break,
            }
        }
        at == data.len()
    });
}
