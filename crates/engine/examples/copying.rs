//! What copying costs a send: past the cache or through it (`S13`), behind the header or by reference (`S15`).
//!
//! In memory: no device, no receiver. Real mbuf chains, real ACK frames, a virtual clock, and nobody reads the payload.
//!
//!     copying large|small|threshold [SECONDS] [FRAMES]
//!     copying count copy|reference BYTES SENDS
//!
//! `large`: sends of 4 KiB to 1 MiB, copied ordinarily, copied past the cache, and referenced, while the device holds the
//! newest `FRAMES` frames. `small`: sends of 64 to 1448 bytes in a frame each, referenced and copied behind the header.
//! `threshold`: sends of 64 bytes to 64 KiB as an application chooses between them, `send_copy` or `send`, all else as it is by
//! default. `count` does `SENDS` of one of these inside [`measured`], for callgrind: `scripts/copy-threshold`.
//! Nanoseconds of a send, its ACKs included: the median of batches, since that does not mind that somebody else had the core
//! now and then. The ways take turns.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dpdk::{BufPool, BufPoolConfig, Eal, EalConfig, Slice};
use engine::nic::Buf;
use engine::nic::memory::{MemoryConfig, MemoryNic};
use engine::{ConnId, Engine, EngineConfig, Secrets, Streaming};
use tcp::conn::{ConnConfig, SendFlags, State};
use tcp::{Nanos, Time};

type Failure = Box<dyn std::error::Error>;

/// Turns of each way.
const TURNS: u32 = 5;
/// Sends between two looks at the clock.
const BATCH: u64 = 16;
/// Different blocks that are sent.
const BLOCKS: usize = 16;

struct Bench {
    engine: Engine<MemoryNic>,
    conn: ConnId,
    blocks: Vec<Slice>,
    next: usize,
    now: Time,
    copy: bool,
    nanos: Vec<u64>,
}

impl Bench {
    fn new(
        eal: &Eal,
        size: usize,
        frames: u16,
        copy: bool,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Result<Bench, Failure> {
        // A frame takes two buffers to copy into at most.
        let tail_buffers = 2 * u32::from(frames) + 64;
        let memory =
            MemoryConfig { ring: frames, tail_buffers, header_room: 2_048, ..MemoryConfig::default() };
        let nic = MemoryNic::new(eal, &memory)?;
        let config = BufPoolConfig { name: "source", count: BLOCKS as u32, size: size as u32, socket: None };
        let pool = BufPool::new(eal, &config)?;
        let mut blocks = Vec::new();
        for seed in 0..BLOCKS {
            let mut buffer = pool.try_alloc().ok_or("no source buffer")?;
            buffer.spare_mut().iter_mut().zip(seed..).for_each(|(byte, i)| *byte = (i * 31) as u8);
            blocks.push(buffer.freeze(size));
        }
        let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
        let mut config = EngineConfig::new(Ipv4Addr::new(198, 18, 0, 2), 24, secrets);
        change(&mut config);
        let mut engine = Engine::new(nic, config)?;
        let mut now = Time::ZERO + Nanos::from_millis(1);
        let to: SocketAddr = "198.18.0.1:9".parse()?;
        let conn = engine.connect(now, to, &ConnConfig { no_delay: true, ..ConnConfig::default() })?;
        for _ in 0..1000 {
            now += Nanos::from_micros(10);
            engine.poll(now);
            if engine.state(conn) == Some(State::Established) {
                return Ok(Bench { engine, conn, blocks, next: 0, now, copy, nanos: Vec::new() });
            }
        }
        Err("the connection was not established".into())
    }

    fn turn(&mut self, length: Duration) {
        let start = Instant::now();
        while start.elapsed() < length {
            let before = Instant::now();
            for _ in 0..BATCH {
                self.send();
            }
            self.nanos.push(before.elapsed().as_nanos() as u64);
        }
    }

    fn send(&mut self) {
        self.next = (self.next + 1) % BLOCKS;
        let block = self.blocks[self.next].clone();
        let mut left = block.as_slice();
        while self.copy && !left.is_empty() {
            match self.engine.send_copy(self.conn, left, SendFlags::default()) {
                Ok(n) => left = &left[n..],
                Err(_) => self.poll(),
            }
        }
        while !self.copy
            && self.engine.send(self.conn, Buf::Pool(block.clone()), SendFlags::default()).is_err()
        {
            self.poll();
        }
        self.poll();
    }

    fn poll(&mut self) {
        self.now += Nanos::from_micros(5);
        self.engine.poll(self.now);
        while self.engine.poll_event().is_some() {}
    }
}

/// What callgrind counts: `--toggle-collect` names it.
#[inline(never)]
fn measured(bench: &mut Bench, sends: u32) {
    for _ in 0..sends {
        bench.send();
    }
}

/// Sends before counting: the ring is full and every pool's cache warm by then.
const WARM_UP: u32 = 4_096;

fn count(mut args: impl Iterator<Item = String>) -> Result<(), Failure> {
    const USAGE: &str = "usage: copying count copy|reference BYTES SENDS";
    let copy = match args.next().as_deref() {
        Some("copy") => true,
        Some("reference") => false,
        _ => return Err(USAGE.into()),
    };
    let size = args.next().ok_or(USAGE)?.parse()?;
    let sends = args.next().ok_or(USAGE)?.parse()?;
    let eal = Eal::start(EalConfig { no_huge: true, memory_mib: Some(512), ..EalConfig::default() })?;
    let mut bench = Bench::new(&eal, size, 64, copy, |_| ())?;
    for _ in 0..WARM_UP {
        bench.send();
    }
    measured(&mut bench, sends);
    Ok(())
}

fn median(nanos: &mut [u64]) -> u64 {
    nanos.sort_unstable();
    nanos[nanos.len() / 2] / BATCH
}

/// What is compared.
#[derive(Copy, Clone)]
enum What {
    Large,
    Small,
    Threshold,
}

impl What {
    fn sizes(self) -> &'static [usize] {
        match self {
            What::Large => &[4_096, 16_384, 65_536, 262_144, 1 << 20],
            What::Small => &[64, 128, 192, 256, 384, 512, 768, 1_024, 1_448],
            What::Threshold => {
                &[64, 128, 256, 384, 512, 768, 1_024, 1_448, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536]
            }
        }
    }

    fn titles(self) -> &'static str {
        match self {
            What::Large => "   bytes     copied  past the cache  referenced",
            What::Small => "   bytes  referenced  behind the header",
            What::Threshold => "   bytes      copied      referenced",
        }
    }

    fn ways(self, eal: &Eal, size: usize, frames: u16) -> Result<Vec<Bench>, Failure> {
        Ok(match self {
            What::Large => vec![
                Bench::new(eal, size, frames, true, |_| {})?,
                Bench::new(eal, size, frames, true, |c| c.streaming = Streaming { least: 1, out: 0 })?,
                Bench::new(eal, size, frames, false, |_| {})?,
            ],
            What::Small => vec![
                Bench::new(eal, size, frames, false, |c| c.copy_break = 0)?,
                Bench::new(eal, size, frames, false, |c| c.copy_break = u32::MAX)?,
            ],
            What::Threshold => vec![
                Bench::new(eal, size, frames, true, |_| {})?,
                Bench::new(eal, size, frames, false, |_| {})?,
            ],
        })
    }
}

fn run() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let what = match args.next().as_deref() {
        Some("large") => What::Large,
        Some("small") => What::Small,
        Some("threshold") => What::Threshold,
        Some("count") => return count(args),
        _ => return Err("usage: copying large|small|threshold [SECONDS] [FRAMES]".into()),
    };
    let seconds: f64 = args.next().map_or(Ok(20.0), |text| text.parse())?;
    let frames: u16 = args.next().map_or(Ok(64), |text| text.parse())?;
    let sizes = what.sizes();
    let eal = Eal::start(EalConfig { no_huge: true, memory_mib: Some(2048), ..EalConfig::default() })?;
    println!("nanoseconds of a send; {}", MemoryNic::CAVEAT);
    println!("{}", what.titles());
    for &size in sizes {
        let mut ways = what.ways(&eal, size, frames)?;
        let length = Duration::from_secs_f64(seconds) / (TURNS * (sizes.len() * ways.len()) as u32);
        for _ in 0..TURNS {
            ways.iter_mut().for_each(|way| way.turn(length));
        }
        let medians: Vec<String> =
            ways.iter_mut().map(|way| format!("{:10}", median(&mut way.nanos))).collect();
        println!("{size:8}  {}", medians.join("      "));
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("copying: {e}");
            ExitCode::FAILURE
        }
    }
}
