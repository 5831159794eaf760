//! Connect, a byte there, a byte back, close; again and again.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

use super::ready::Ready;
use super::usage::Usage;
use super::wire::{RECEIVER, WireArgs};
use super::{listening, pair, warm_up};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// The kernel's sockets: connect, a byte there, a byte back, close, over a veth pair
#[derive(Args, Debug)]
pub(crate) struct CrrArgs {
    #[command(flatten)]
    wire: WireArgs,
    /// Connections under way at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

#[derive(Args, Debug)]
pub(super) struct OpenArgs {
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    time: f64,
    #[arg(long)]
    receiver_cpu: usize,
}

/// Runs who serves and who opens.
pub(crate) fn run(setting: &Setting, args: &CrrArgs) -> std::result::Result<Line, Failure> {
    if args.connections == 0 {
        return Err(Failure::new("nothing to open").mend("--connections 64"));
    }
    let Setting { time, receiver_cpu, .. } = setting;
    let active =
        format!("open --connections {} --time {time} --receiver-cpu {receiver_cpu}", args.connections);
    Ok(pair(setting, &args.wire, "serve", &active)?.note(
        "The client closes first and keeps TIME-WAIT for 60 s; its ports serve again after 1 s (tcp_tw_reuse).",
    ))
}

/// Opens connections as long as it shall, and says how many it finished.
pub(super) fn open(args: &OpenArgs) -> Result<Line> {
    let cpu = rustix::thread::sched_getcpu();
    let mut opener = Opener::new(args.connections)?;
    opener.run(warm_up(args.time))?;
    opener.times.reset();
    let before = Usage::now(cpu, args.receiver_cpu)?;
    opener.run(Duration::from_secs_f64(args.time))?;
    let spent = before.until(&Usage::now(cpu, args.receiver_cpu)?);
    let finished = opener.times.len() as f64;
    Ok(spent
        .add(Line::new(Medium::Veth).latency(&opener.times))
        .figure("connections", finished / spent.seconds, Unit::PerSecond)
        .figure("connections_per_busy_core", finished / spent.process, Unit::PerSecondPerBusyCore))
}

/// Connections, each replaced by the next when it is done.
struct Opener {
    ready: Ready,
    slots: Vec<Slot>,
    times: Histogram<u64>,
}

/// A connection under way.
struct Slot {
    stream: TcpStream,
    began: Instant,
    asked: bool,
}

impl Opener {
    fn new(connections: usize) -> Result<Opener> {
        let times = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(Error::other)?;
        let ready = Ready::new()?;
        let slots = (0..connections).map(|token| Slot::open(&ready, token as u64)).collect::<Result<_>>()?;
        Ok(Opener { ready, slots, times })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let (began, mut tokens) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            self.ready.wait(true, &mut tokens)?;
            for &token in &tokens {
                let slot = &mut self.slots[token as usize];
                if !slot.asked {
                    slot.stream.write_all(&[0])?;
                    slot.asked = true;
                    self.ready.turn_to_receive(&slot.stream, token)?;
                    continue;
                }
                match slot.stream.read_exact(&mut [0]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                }
                self.times.saturating_record(slot.began.elapsed().as_nanos() as u64);
                // The old one closes.
                *slot = Slot::open(&self.ready, token)?;
            }
        }
        Ok(())
    }
}

impl Slot {
    fn open(ready: &Ready, token: u64) -> Result<Slot> {
        let began = Instant::now();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        match connect(socket.as_raw_fd(), &SockaddrIn::from(RECEIVER)) {
            Ok(()) | Err(nix::Error::EINPROGRESS) => {}
            Err(error) => return Err(Error::other(format!("connect: {error}"))),
        }
        let stream = TcpStream::from(socket);
        ready.add_sender(&stream, token)?;
        Ok(Slot { stream, began, asked: false })
    }
}

/// The listener's token; connections have their place.
const LISTENER: u64 = u64::MAX;

/// Serves until it is killed.
pub(super) fn serve() -> Result<()> {
    let listener = TcpListener::bind(RECEIVER)?;
    listener.set_nonblocking(true)?;
    listening()?;
    let mut ready = Ready::new()?;
    ready.add(&listener, LISTENER)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut tokens = Vec::new();
    loop {
        ready.wait(true, &mut tokens)?;
        for &token in &tokens {
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let place = free.pop().unwrap_or_else(|| {
                        streams.push(None);
                        streams.len() - 1
                    });
                    ready.add(&stream, place as u64)?;
                    streams[place] = Some(stream);
                }
                continue;
            }
            let place = token as usize;
            let Some(stream) = &mut streams[place] else { continue };
            let done = match stream.read(&mut [0; 64]) {
                Ok(0) => true,
                Ok(n) => stream.write_all(&[0; 64][..n]).is_err(),
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            if done {
                streams[place] = None;
                free.push(place);
            }
        }
    }
}
