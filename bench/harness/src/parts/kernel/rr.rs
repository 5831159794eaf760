//! A byte there and a byte back, again and again.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use nix::sys::socket::setsockopt;

use super::ready::Ready;
use super::usage::Usage;
use super::wire::{RECEIVER, WireArgs};
use super::{listening, pair, warm_up};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// How both ends wait for a byte.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Waiting {
    /// Asleep, as most programs do
    Block,
    /// Awake: asking the socket again and again
    Spin,
    /// Asleep, after the kernel polled the device for 50 µs (SO_BUSY_POLL)
    BusyPoll,
}

impl Waiting {
    fn name(self) -> &'static str {
        match self {
            Waiting::Block => "block",
            Waiting::Spin => "spin",
            Waiting::BusyPoll => "busy-poll",
        }
    }
}

/// The kernel's sockets, a byte there and a byte back over a veth pair
#[derive(Args, Debug)]
pub(crate) struct RrArgs {
    #[command(flatten)]
    wire: WireArgs,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How both ends wait
    #[arg(long, value_enum, default_value = "block")]
    wait: Waiting,
}

#[derive(Args, Debug)]
pub(super) struct AskArgs {
    #[arg(long)]
    connections: usize,
    #[arg(long, value_enum)]
    wait: Waiting,
    #[arg(long)]
    time: f64,
    #[arg(long)]
    receiver_cpu: usize,
}

#[derive(Args, Debug)]
pub(super) struct AnswerArgs {
    #[arg(long)]
    connections: usize,
    #[arg(long, value_enum)]
    wait: Waiting,
}

mod option {
    use nix::{setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// For how long a call that waits polls the device first, microseconds.
        BusyPoll,
        SetOnly,
        libc::SOL_SOCKET,
        libc::SO_BUSY_POLL,
        u32
    );
}

/// Runs who answers and who asks.
pub(crate) fn run(setting: &Setting, args: &RrArgs) -> std::result::Result<Line, Failure> {
    if args.connections == 0 {
        return Err(Failure::new("nobody to ask").mend("--connections 1"));
    }
    let both = format!("--connections {} --wait {}", args.connections, args.wait.name());
    let passive = format!("answer {both}");
    let active = format!("ask {both} --time {} --receiver-cpu {}", setting.time, setting.receiver_cpu);
    pair(setting, &args.wire, &passive, &active)
}

/// Has a connection wait as it shall.
fn prepare(stream: &TcpStream, waiting: Waiting, connections: usize) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(waiting == Waiting::Spin || connections > 1)?;
    if waiting == Waiting::BusyPoll {
        setsockopt(stream, option::BusyPoll, &50)?;
    }
    Ok(())
}

/// Asks as long as it shall, and says how long answers took.
pub(super) fn ask(args: &AskArgs) -> Result<Line> {
    let mut streams = Vec::new();
    for _ in 0..args.connections {
        let stream = TcpStream::connect(RECEIVER)?;
        prepare(&stream, args.wait, args.connections)?;
        streams.push(stream);
    }
    let cpu = rustix::thread::sched_getcpu();
    let mut asker = Asker::new(streams, args.wait)?;
    asker.run(warm_up(args.time))?;
    asker.times.reset();
    let before = Usage::now(cpu, args.receiver_cpu)?;
    asker.run(Duration::from_secs_f64(args.time))?;
    let spent = before.until(&Usage::now(cpu, args.receiver_cpu)?);
    let requests = asker.times.len() as f64;
    Ok(spent
        .add(Line::new(Medium::Veth).latency(&asker.times))
        .figure("requests", requests / spent.seconds, Unit::PerSecond)
        .figure("requests_per_busy_core", requests / spent.process, Unit::PerSecondPerBusyCore))
}

/// Asks on all connections, and keeps the time.
struct Asker {
    streams: Vec<TcpStream>,
    /// When each asked last.
    asked: Vec<Instant>,
    /// Of one connection there is nothing to choose from.
    ready: Option<Ready>,
    sleeps: bool,
    times: Histogram<u64>,
}

impl Asker {
    fn new(streams: Vec<TcpStream>, waiting: Waiting) -> Result<Asker> {
        let times = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(std::io::Error::other)?;
        let ready = if streams.len() == 1 {
            None
        } else {
            let ready = Ready::new()?;
            for (n, mut stream) in streams.iter().enumerate() {
                ready.add(stream, n as u64)?;
                stream.write_all(&[0])?;
            }
            Some(ready)
        };
        let asked = vec![Instant::now(); streams.len()];
        Ok(Asker { streams, asked, ready, sleeps: waiting != Waiting::Spin, times })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let (began, mut tokens) = (Instant::now(), Vec::new());
        let mut now = began;
        while now - began < time {
            let Some(ready) = &mut self.ready else {
                let stream = &mut self.streams[0];
                stream.write_all(&[0])?;
                read_byte(stream)?;
                let answered = Instant::now();
                self.times.saturating_record((answered - now).as_nanos() as u64);
                now = answered;
                continue;
            };
            now = Instant::now();
            ready.wait(self.sleeps, &mut tokens)?;
            for &token in &tokens {
                let (stream, asked) = (&mut self.streams[token as usize], &mut self.asked[token as usize]);
                match stream.read_exact(&mut [0]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                }
                let answered = Instant::now();
                self.times.saturating_record((answered - *asked).as_nanos() as u64);
                *asked = answered;
                stream.write_all(&[0])?;
            }
        }
        Ok(())
    }
}

/// A byte, waiting as the socket does.
fn read_byte(stream: &mut TcpStream) -> Result<()> {
    loop {
        match stream.read_exact(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            done => return done,
        }
    }
}

/// Answers until it is killed, or the one who asks is gone.
pub(super) fn answer(args: &AnswerArgs) -> Result<()> {
    let listener = TcpListener::bind(RECEIVER)?;
    listening()?;
    let mut streams = Vec::new();
    for _ in 0..args.connections {
        let (stream, _) = listener.accept()?;
        prepare(&stream, args.wait, args.connections)?;
        streams.push(stream);
    }
    if let [stream] = &mut streams[..] {
        while read_byte(stream).is_ok() && stream.write_all(&[0]).is_ok() {}
        return Ok(());
    }
    let mut ready = Ready::new()?;
    for (n, stream) in streams.iter().enumerate() {
        ready.add(stream, n as u64)?;
    }
    let mut tokens = Vec::new();
    loop {
        ready.wait(args.wait != Waiting::Spin, &mut tokens)?;
        for &token in &tokens {
            let stream = &mut streams[token as usize];
            match stream.read_exact(&mut [0]) {
                Ok(()) => stream.write_all(&[0])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The one who asks is gone.
                Err(_) => return Ok(()),
            }
        }
    }
}
