//! P9: how many instructions a burst, a small send and an ACK cost. `scripts/p9` runs this under callgrind.
//!
//! In memory: no device, no receiver. Real mbuf chains, real ACK frames, a virtual clock.
//!
//!     p9 CASE ROUNDS
//!
//! Sends `ROUNDS` times what `CASE` says on an established connection, after enough of it to reach a steady state.
//! What is to be counted happens inside [`measured`].

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use dpdk::{BufPool, BufPoolConfig, Eal, EalConfig, Slice};
use engine::nic::Buf;
use engine::nic::memory::{AckPolicy, MemoryConfig, MemoryNic};
use engine::{ConnId, Engine, EngineConfig, Secrets};
use tcp::conn::{ConnConfig, SendFlags, State};
use tcp::{Nanos, Time};

type Failure = Box<dyn std::error::Error>;

/// Payload bytes of a full burst: 64 KiB as far as an IP packet holds whole 1448-byte segments.
const BURST: usize = 44 * 1448;

/// Payload bytes of a small send.
const SMALL: usize = 64;

/// Rounds before counting: the ring is full and every pool's cache warm by then.
const WARM_UP: u32 = 4096;

#[derive(Copy, Clone, PartialEq, Eq)]
enum Case {
    /// Zero-copy bursts, each answered by one ACK.
    Burst,
    /// The same with one ACK per two segments.
    BurstManyAcks,
    /// Copying sends of 64 bytes, `no_delay`, each a frame answered by one ACK.
    Small,
}

struct Bench {
    case: Case,
    engine: Engine<MemoryNic>,
    conn: ConnId,
    payload: Slice,
    now: Time,
}

impl Bench {
    fn new(case: Case) -> Result<Bench, Failure> {
        let eal = Eal::start(EalConfig { no_huge: true, memory_mib: Some(256), ..EalConfig::default() })?;
        let acks = if case == Case::BurstManyAcks { AckPolicy::PerTwoSegments } else { AckPolicy::PerBurst };
        let nic = MemoryNic::new(&eal, &MemoryConfig { acks, ring: 512, ..MemoryConfig::default() })?;
        let pool = BufPool::new(
            &eal,
            &BufPoolConfig { name: "payload", count: 1, size: BURST as u32, socket: None },
        )?;
        let payload = pool.try_alloc().ok_or("no payload buffer")?.freeze(BURST);

        let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
        let cfg = EngineConfig::new(Ipv4Addr::new(198, 18, 0, 2), 24, secrets);
        let mut engine = Engine::new(nic, cfg)?;
        let mut now = Time::ZERO + Nanos::from_millis(1);
        let to: SocketAddr = "198.18.0.1:9".parse()?;
        let options = ConnConfig { no_delay: true, send_buffer: Some(4 << 20), ..ConnConfig::default() };
        let conn = engine.connect(now, to, &options)?;
        for _ in 0..1000 {
            now += Nanos::from_micros(10);
            engine.poll(now);
            if engine.state(conn) == Some(State::Established) {
                engine.keep_reclaimed(conn, false);
                return Ok(Bench { case, engine, conn, payload, now });
            }
        }
        Err("the connection was not established".into())
    }

    /// One send and what its ACKs entail.
    fn round(&mut self) -> Result<(), Failure> {
        let flags = SendFlags::default();
        if self.case == Case::Small {
            let bytes = &self.payload.as_slice()[..SMALL];
            self.engine.send_copy(self.conn, bytes, flags).map_err(|e| e.to_string())?;
        } else {
            let payload = Buf::Pool(self.payload.clone());
            self.engine.send(self.conn, payload, flags).map_err(|e| e.to_string())?;
        }
        // The port's budget is refilled by ACKs; more than a millisecond per poll would only add idle timers.
        self.now += Nanos::from_micros(5);
        self.engine.poll(self.now);
        while self.engine.poll_event().is_some() {}
        Ok(())
    }

    fn rounds(&mut self, n: u32) -> Result<(), Failure> {
        for _ in 0..n {
            self.round()?;
        }
        Ok(())
    }
}

/// What callgrind counts: `--toggle-collect` names it.
#[inline(never)]
fn measured(bench: &mut Bench, rounds: u32) -> Result<(), Failure> {
    bench.rounds(rounds)
}

fn run() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let case = match args.next().as_deref() {
        Some("burst") => Case::Burst,
        Some("burst-many-acks") => Case::BurstManyAcks,
        Some("small") => Case::Small,
        _ => return Err("usage: p9 burst|burst-many-acks|small ROUNDS".into()),
    };
    let rounds: u32 = args.next().ok_or("usage: p9 CASE ROUNDS")?.parse()?;
    let mut bench = Bench::new(case)?;
    bench.rounds(WARM_UP)?;
    let before = (bench.engine.counters().clone(), bench.engine.nic().counters());
    measured(&mut bench, rounds)?;
    let (c, n) = (bench.engine.counters(), bench.engine.nic().counters());
    let bursts = c.tx_bursts - before.0.tx_bursts;
    let acks = n.answers - before.1.answers;
    println!("rounds {rounds} bursts {bursts} acks {acks} lost {}", n.answers_lost);
    if bursts != u64::from(rounds) || n.answers_lost != 0 {
        return Err(format!("not a steady state: {bursts} bursts in {rounds} rounds").into());
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("p9: {e}");
            ExitCode::FAILURE
        }
    }
}
