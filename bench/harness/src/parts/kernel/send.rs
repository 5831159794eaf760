//! A sender: by `write`, by `MSG_ZEROCOPY`, or by `sendfile`.

use std::ffi::OsString;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn, connect, recvmsg, send,
    setsockopt, socket, sockopt,
};
use rustix::fs::{MemfdFlags, memfd_create, sendfile};

use super::ready::Ready;
use super::usage::Usage;
use super::warm_up;
use super::wire::RECEIVER;
use crate::line::{Line, Medium, Unit};

/// How bytes get into the kernel.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Way {
    /// Copied
    Write,
    /// By reference (MSG_ZEROCOPY), its completions taken from the error queue
    Zerocopy,
    /// From a file in memory
    Sendfile,
}

impl Way {
    /// As it is typed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Write => "write",
            Way::Zerocopy => "zerocopy",
            Way::Sendfile => "sendfile",
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct SendArgs {
    #[arg(long, value_enum)]
    by: Way,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    no_delay: bool,
    #[arg(long)]
    time: f64,
    #[arg(long)]
    receiver_cpu: usize,
}

mod option {
    use nix::{setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// Whether MSG_ZEROCOPY is heeded.
        ZeroCopy,
        SetOnly,
        libc::SOL_SOCKET,
        libc::SO_ZEROCOPY,
        bool
    );
}

/// Sends zeros as long as it shall, and says what it reached.
pub(super) fn run(args: &SendArgs) -> Result<Line> {
    let mut senders =
        (0..args.connections).map(|_| Sender::connect(args)).collect::<Result<Vec<Sender>>>()?;
    let cpu = rustix::thread::sched_getcpu();
    let mut pump = Pump::new(&mut senders, args.size)?;
    pump.run(warm_up(args.time))?;
    let (bytes, calls) = (pump.bytes, pump.calls);
    let before = Usage::now(cpu, args.receiver_cpu)?;
    pump.run(Duration::from_secs_f64(args.time))?;
    let after = Usage::now(cpu, args.receiver_cpu)?;
    let (bytes, calls) = (pump.bytes - bytes, pump.calls - calls);
    let spent = before.until(&after);
    let mut line = spent
        .add(Line::new(Medium::Veth).bulk(bytes, spent.seconds, spent.process))
        .figure("per_core_not_idle", bytes as f64 * 8e-9 / spent.sender_busy(), Unit::GbitPerBusyCore)
        .figure("sends", calls as f64 / spent.seconds, Unit::PerSecond)
        .figure("sends_per_busy_core", calls as f64 / spent.process, Unit::PerSecondPerBusyCore);
    if args.by == Way::Zerocopy {
        let (completed, copied) = reap_all(&mut senders)?;
        line = line
            .figure("zerocopy_completions", completed as f64, Unit::Count)
            .figure("zerocopy_copied", 100.0 * copied as f64 / completed.max(1) as f64, Unit::Percent)
            .note("Before a local receiver the kernel copies what MSG_ZEROCOPY sent (zerocopy_copied).");
    }
    Ok(line)
}

/// Keeps all senders busy.
struct Pump<'a> {
    senders: &'a mut [Sender],
    /// With one sender, calls wait; of many, those with room take turns.
    ready: Option<Ready>,
    /// Calls between two looks at the clock.
    stride: u32,
    bytes: u64,
    calls: u64,
}

impl Pump<'_> {
    fn new(senders: &mut [Sender], size: usize) -> Result<Pump<'_>> {
        let ready = if senders.len() == 1 {
            None
        } else {
            let ready = Ready::new()?;
            for (n, sender) in senders.iter().enumerate() {
                sender.stream.set_nonblocking(true)?;
                ready.add_sender(&sender.stream, n as u64)?;
            }
            Some(ready)
        };
        let stride = (65_536 / size).clamp(1, 64) as u32;
        Ok(Pump { senders, ready, stride, bytes: 0, calls: 0 })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let (began, mut tokens) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            match &mut self.ready {
                None => {
                    for _ in 0..self.stride {
                        self.bytes += self.senders[0].send()?;
                        self.calls += 1;
                    }
                }
                Some(ready) => {
                    ready.wait(true, &mut tokens)?;
                    for &token in &tokens {
                        let sent = self.senders[token as usize].send()?;
                        self.bytes += sent;
                        self.calls += u64::from(sent > 0);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A connection and what it sends.
struct Sender {
    stream: TcpStream,
    payload: Payload,
}

enum Payload {
    Copied(Vec<u8>),
    Referenced { bytes: Vec<u8>, outstanding: Outstanding },
    File(OwnedFd, usize),
}

/// References that the kernel has not given back.
#[derive(Default)]
struct Outstanding {
    sent: u64,
    completed: u64,
    /// Of them, copied by the kernel after all.
    copied: u64,
}

/// SO_EE_ORIGIN_ZEROCOPY of linux/errqueue.h: what is in the error queue is no error, but tells of memory given back.
const ORIGIN_ZEROCOPY: u8 = 5;
/// SO_EE_CODE_ZEROCOPY_COPIED: given back because it was copied after all.
const CODE_COPIED: u8 = 1;
/// Calls by reference between two looks into the error queue.
const REAP_EVERY: u64 = 16;

impl Sender {
    fn connect(args: &SendArgs) -> Result<Sender> {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::TcpCongestion, &OsString::from("cubic"))?;
        setsockopt(&socket, sockopt::TcpNoDelay, &args.no_delay)?;
        let payload = match args.by {
            Way::Write => Payload::Copied(vec![0; args.size]),
            Way::Zerocopy => {
                setsockopt(&socket, option::ZeroCopy, &true)?;
                Payload::Referenced { bytes: vec![0; args.size], outstanding: Outstanding::default() }
            }
            Way::Sendfile => Payload::File(zeros(args.size)?, args.size),
        };
        connect(socket.as_raw_fd(), &SockaddrIn::from(RECEIVER))?;
        Ok(Sender { stream: TcpStream::from(socket), payload })
    }

    /// One call; returns what it took, which is nothing when there is no room.
    fn send(&mut self) -> Result<u64> {
        let taken = match &mut self.payload {
            Payload::Copied(bytes) => self.stream.write(bytes),
            Payload::File(file, size) => {
                sendfile(&self.stream, file, Some(&mut 0), *size).map_err(Error::from)
            }
            Payload::Referenced { bytes, outstanding } => refer(&self.stream, bytes, outstanding),
        };
        match taken {
            Ok(taken) => Ok(taken as u64),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// A file in memory of so many zeros.
fn zeros(size: usize) -> Result<OwnedFd> {
    let file = std::fs::File::from(memfd_create("zeros", MemfdFlags::CLOEXEC)?);
    (&file).write_all(&vec![0; size])?;
    Ok(OwnedFd::from(file))
}

fn refer(stream: &TcpStream, bytes: &[u8], outstanding: &mut Outstanding) -> Result<usize> {
    let flags = MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);
    loop {
        match send(stream.as_raw_fd(), bytes, flags) {
            Ok(taken) => {
                outstanding.sent += 1;
                if outstanding.sent.is_multiple_of(REAP_EVERY) {
                    outstanding.reap(stream)?;
                }
                return Ok(taken);
            }
            // As many notifications wait as the socket may hold.
            Err(nix::Error::ENOBUFS) => {
                if outstanding.reap(stream)? == 0 {
                    std::thread::yield_now();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Outstanding {
    /// Takes all notifications there are; returns how many calls they complete.
    fn reap(&mut self, stream: &TcpStream) -> Result<u64> {
        let before = self.completed;
        let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        loop {
            let message = match recvmsg::<SockaddrIn>(stream.as_raw_fd(), &mut [], Some(&mut control), flags)
            {
                Ok(message) => message,
                Err(nix::Error::EAGAIN) => return Ok(self.completed - before),
                Err(error) => return Err(error.into()),
            };
            for part in message.cmsgs()? {
                let ControlMessageOwned::Ipv4RecvErr(notice, _) = part else { continue };
                if notice.ee_origin != ORIGIN_ZEROCOPY {
                    return Err(Error::from_raw_os_error(notice.ee_errno as i32));
                }
                // From the first to the last of a row of calls, both included.
                let calls = u64::from(notice.ee_data.wrapping_sub(notice.ee_info)) + 1;
                self.completed += calls;
                if notice.ee_code & CODE_COPIED != 0 {
                    self.copied += calls;
                }
            }
        }
    }
}

/// Waits until the kernel has given everything back; returns how many calls it completed, and how many of them it copied.
fn reap_all(senders: &mut [Sender]) -> Result<(u64, u64)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let (mut completed, mut copied) = (0, 0);
    for Sender { stream, payload } in senders {
        let Payload::Referenced { outstanding, .. } = payload else { continue };
        while outstanding.completed < outstanding.sent {
            if outstanding.reap(stream)? == 0 {
                std::thread::yield_now();
            }
            if Instant::now() > deadline {
                let held = outstanding.sent - outstanding.completed;
                return Err(Error::other(format!("the kernel keeps the memory of {held} calls for 5 s")));
            }
        }
        completed += outstanding.completed;
        copied += outstanding.copied;
    }
    Ok((completed, copied))
}
