//! One buffer, sent to more connections than DPDK's count of references can hold.

use std::net::{Ipv4Addr, SocketAddr};

use dpdk::{BufPool, BufPoolConfig, Slice};
use engine::nic::Buf;
use engine::nic::dpdk::DpdkNic;
use engine::{ConnId, Engine, EngineConfig, EngineEvent, Secrets};
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Event, Nanos, Time};

use crate::port::{Ack, Hold, Port, eal};

/// DPDK counts references in 16 bits, which wrap silently at 65536.
const CONNECTIONS: u32 = 100_000;
/// Bytes of the buffer: more than are copied behind a header.
const LEN: usize = 1_000;
/// How many connections are opened at a time: their SYNs wait in the queue for the neighbour, at first.
const AT_A_TIME: u32 = 256;

fn contents(offset: u64) -> u8 {
    (offset * 7 / 3) as u8
}

struct Lab {
    engine: Engine<Port>,
    now: Time,
}

impl Lab {
    /// One turn of the device and of the engine; returns connections that came to be.
    fn turn(&mut self) -> Vec<ConnId> {
        self.engine.nic_mut().turn();
        self.now += Nanos::from_micros(20);
        self.engine.poll(self.now);
        let mut connected = Vec::new();
        while let Some((id, event)) = self.engine.poll_event() {
            match event {
                EngineEvent::Conn(Event::Connected) => connected.push(id),
                EngineEvent::Conn(Event::Closed(end)) => panic!("{end:?}"),
                _ => {}
            }
        }
        connected
    }

    /// Turns until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Engine<Port>) -> bool) {
        for _ in 0..200_000 {
            if done(&mut self.engine) {
                return;
            }
            self.turn();
        }
        panic!(
            "{what} takes too long: {} frames in the device, {:?}",
            self.engine.nic().held(),
            self.engine.counters()
        );
    }

    fn acked(&self, id: ConnId) -> u64 {
        self.engine.marks(id).map_or(0, |marks| marks.acked.0)
    }
}

#[test]
fn s29_a_buffer_sent_to_100_000_connections_comes_home_once_after_the_slowest() {
    let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
    let config = EngineConfig {
        max_connections: CONNECTIONS,
        ..EngineConfig::new(Ipv4Addr::new(10, 0, 0, 1), 24, secrets)
    };
    let engine = Engine::new(Port::open(Hold::Turns(2), Ack::Early, contents), config).expect("an engine");
    let mut lab = Lab { engine, now: Time::ZERO + Nanos::from_millis(1) };
    let mut ids = Vec::new();
    while ids.len() < CONNECTIONS as usize {
        let first = ids.len() as u32;
        for n in first..CONNECTIONS.min(first + AT_A_TIME) {
            // One address has not that many ports to another one's port.
            let peer = SocketAddr::from(([10, 0, 0, 2], 1000 + (n / 20_000) as u16));
            lab.engine.connect(lab.now, peer, &ConnConfig::default()).expect("a port");
        }
        let wanted = CONNECTIONS.min(first + AT_A_TIME) as usize;
        for _ in 0..1_000 {
            ids.extend(lab.turn());
            if ids.len() == wanted {
                break;
            }
        }
        assert_eq!(ids.len(), wanted, "connected");
    }

    let pool =
        BufPool::new(eal(), &BufPoolConfig { name: "shared", count: 1, size: LEN as u32, socket: None })
            .expect("a pool");
    let mut buffer = pool.try_alloc().expect("its only buffer");
    buffer.spare_mut().iter_mut().zip(0..).for_each(|(byte, i)| *byte = contents(i));
    let payload: Slice = buffer.freeze(LEN);
    drop(buffer);
    // The last one's peer is silent.
    let slowest = *ids.last().expect("a connection");
    let tuple = lab.engine.tuple(slowest).expect("it is there");
    let [a, b] = tuple.local.port().to_be_bytes();
    let [c, d] = tuple.remote.port().to_be_bytes();
    lab.engine.nic_mut().silent = vec![[a, b, c, d]];
    for (n, &id) in ids.iter().enumerate() {
        lab.engine.send(id, Buf::Pool(payload.clone()), SendFlags::default()).expect("room");
        assert_eq!(payload.references().0 as usize, n + 2, "owners: one for each connection, and we");
    }
    drop(payload);

    // All the others have it acknowledged and released.
    let others = ids.len() - 1;
    lab.until("all but one", |engine| {
        let sent = engine.counters().tx_payload_bytes == ids.len() as u64 * LEN as u64;
        sent && engine.nic().held() == 0
    });
    let mut reclaimed = ids[..others].iter().peekable();
    lab.until("what the others reclaim", |engine| {
        let whole = |id: &&ConnId| engine.marks(**id).is_some_and(|marks| marks.reclaimed.0 == LEN as u64);
        while reclaimed.next_if(whole).is_some() {}
        reclaimed.peek().is_none()
    });
    let counters = lab.engine.counters();
    assert_eq!((counters.copied_bytes, counters.tx_payload_copied), (0, 0));
    assert_eq!(lab.engine.nic().read, ids.len() as u64 * LEN as u64, "the device read it so often");
    assert_eq!((lab.acked(slowest), pool.available()), (0, 0), "the slowest has it still");

    // It is sent again. The slowest peer has it and says so, while the device keeps it.
    lab.engine.nic_mut().hold = Hold::Until(u32::MAX);
    lab.until("a retransmission", |engine| engine.nic().held() > 0);
    lab.engine.nic_mut().break_silence();
    lab.until("the last ACK", |engine| engine.marks(slowest).is_some_and(|m| m.acked.0 == LEN as u64));
    for _ in 0..100 {
        lab.turn();
        assert_eq!((lab.engine.marks(slowest).expect("there").reclaimed.0, pool.available()), (0, 0));
    }
    // Nobody has it.
    lab.engine.nic_mut().hold = Hold::Short;
    lab.until("the device", |_| pool.available() > 0);
    for _ in 0..100 {
        lab.turn();
    }
    assert_eq!(pool.available(), 1, "once");
    let again = pool.try_alloc();
    assert!(again.is_some() && pool.try_alloc().is_none(), "there is one of it");
    drop(again);

    let report = DpdkNic::close([lab.engine.into_nic().into_ring()]);
    assert!(report.all_home() && pool.is_full(), "{report}");
}
