//! Kernel sockets: the sender we are compared with, and everybody's peer.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, getsockopt,
    listen as start, send, setsockopt, socket, sockopt,
};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

use crate::scenario::{Habits, Keepalive, Sender};
use crate::wire::{Counts, SENDER, SENDER_INTERFACE, route, set};

sockopt_impl!(
    /// What the kernel knows of a connection.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info
);
sockopt_impl!(
    /// Memory that a socket has in use; the third is of what waits below it to be sent.
    MemInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9]
);
sockopt_impl!(
    /// Sends no faster, bytes per second.
    MaxPacingRate,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_MAX_PACING_RATE,
    u64
);
sockopt_impl!(
    /// Holds back short segments.
    Cork,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_CORK,
    bool
);

fn tcp_socket() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket")
}

/// Listens, with this receive buffer for connections to come.
pub(crate) fn listen(at: SocketAddrV4, buffer: Option<usize>) -> TcpListener {
    let fd = tcp_socket();
    if let Some(bytes) = buffer {
        setsockopt(&fd, sockopt::RcvBuf, &bytes).expect("SO_RCVBUF");
    }
    bind(fd.as_raw_fd(), &SockaddrIn::from(at)).expect("the address is the peer's");
    start(&fd, Backlog::new(8).expect("a short one")).expect("it listens");
    fd.into()
}

/// Segments that a socket sent and received, beyond those of the handshake.
#[derive(Debug)]
struct Counter {
    sent: u64,
    received: u64,
}

impl Counter {
    /// All of them.
    fn now(stream: &TcpStream) -> Counter {
        let info = getsockopt(stream, TcpInfo).expect("TCP_INFO");
        Counter { sent: info.tcpi_segs_out.into(), received: info.tcpi_segs_in.into() }
    }

    /// What is to be left out, when so many passed until now.
    fn base(stream: &TcpStream, sent: u64, received: u64) -> Counter {
        let now = Counter::now(stream);
        Counter { sent: now.sent.wrapping_sub(sent), received: now.received.wrapping_sub(received) }
    }

    /// It received exactly this many, and this many of its own were seen.
    fn is(&self, stream: &TcpStream, sent: u64, received: u64) -> bool {
        let now = Counter::now(stream);
        now.sent.wrapping_sub(self.sent) == sent && now.received.wrapping_sub(self.received) == received
    }
}

/// The end of a connection at a kernel, gone with a reset.
fn reset(stream: TcpStream) {
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).expect("SO_LINGER");
    drop(stream);
}

/// Who receives.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    base: Counter,
}

impl Peer {
    pub(crate) fn accept(listener: &TcpListener) -> Option<TcpStream> {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true).expect("O_NONBLOCK");
                Some(stream)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("accept: {e}"),
        }
    }

    pub(crate) fn new(stream: TcpStream, counts: &Counts) -> Peer {
        let base = Counter::base(&stream, counts.segments_from_peer, counts.segments_to_peer);
        Peer { stream, base }
    }

    pub(crate) fn settled(&self, counts: &Counts) -> bool {
        self.base.is(&self.stream, counts.segments_from_peer, counts.segments_to_peer)
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.stream.read_exact(&mut vec![0; bytes]).expect("so much has arrived");
    }

    pub(crate) fn write(&mut self, bytes: usize) {
        self.stream.write_all(&vec![b'p'; bytes]).expect("there is room");
    }

    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    pub(crate) fn end(self) {
        reset(self.stream);
    }
}

/// The kernel as a sender.
#[derive(Debug, Default)]
pub(crate) struct Linux {
    stream: Option<TcpStream>,
    base: Option<Counter>,
    ended: Option<ErrorKind>,
}

impl Linux {
    /// Some of them are of the whole namespace.
    fn adopt(habits: Habits) {
        let on = |on: bool| if on { "1" } else { "0" };
        set("tcp_timestamps", on(habits.timestamps));
        set("tcp_sack", on(habits.sack));
        set("tcp_early_retrans", if habits.tail_loss_probe { "3" } else { "0" });
        set("tcp_mtu_probing", on(habits.black_holes));
        // Always: what the last connection learned of the path is of no use to this one.
        route(SENDER_INTERFACE, SENDER, habits.min_rto);
    }

    fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("connected")
    }
}

impl Sender for Linux {
    fn connect(&mut self, to: SocketAddrV4, habits: Habits) {
        Linux::adopt(habits);
        let fd = tcp_socket();
        if let Some(time) = habits.user_timeout {
            let millis = time.as_millis() as u32;
            setsockopt(&fd, sockopt::TcpUserTimeout, &millis).expect("TCP_USER_TIMEOUT");
        }
        if let Some(rate) = habits.cap {
            setsockopt(&fd, MaxPacingRate, &rate).expect("SO_MAX_PACING_RATE");
        }
        let controller = OsString::from(if habits.bbr { "bbr" } else { "reno" });
        setsockopt(&fd, sockopt::TcpCongestion, &controller)
            .expect("the kernel has BBR (CONFIG_TCP_CONG_BBR)");
        let begun = connect(fd.as_raw_fd(), &SockaddrIn::from(to));
        assert_eq!(begun, Err(Errno::EINPROGRESS));
        *self = Linux { stream: Some(fd.into()), base: None, ended: None };
    }

    fn is_connected(&mut self) -> bool {
        const ESTABLISHED: u8 = 1;
        getsockopt(self.stream(), TcpInfo).expect("TCP_INFO").tcpi_state == ESTABLISHED
    }

    fn opened(&mut self, counts: &Counts) {
        self.base =
            Some(Counter::base(self.stream(), counts.segments_from_sender, counts.segments_to_sender));
    }

    fn write(&mut self, bytes: &[u8], more: bool) {
        let flags = if more { MsgFlags::from_bits_retain(libc::MSG_MORE) } else { MsgFlags::empty() };
        assert_eq!(send(self.stream().as_raw_fd(), bytes, flags), Ok(bytes.len()), "a write is taken whole");
    }

    fn write_some(&mut self, bytes: &[u8]) {
        match send(self.stream().as_raw_fd(), bytes, MsgFlags::empty()) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(e) => panic!("send: {e}"),
        }
    }

    fn no_delay(&mut self, on: bool) {
        self.stream().set_nodelay(on).expect("TCP_NODELAY");
    }

    fn cork(&mut self, on: bool) {
        setsockopt(self.stream(), Cork, &on).expect("TCP_CORK");
    }

    fn keepalive(&mut self, Keepalive { idle, interval, probes }: Keepalive) {
        let stream = self.stream();
        let seconds = |time: Duration| time.as_secs() as u32;
        setsockopt(stream, sockopt::TcpKeepIdle, &seconds(idle)).expect("TCP_KEEPIDLE");
        setsockopt(stream, sockopt::TcpKeepInterval, &seconds(interval)).expect("TCP_KEEPINTVL");
        setsockopt(stream, sockopt::TcpKeepCount, &probes).expect("TCP_KEEPCNT");
        setsockopt(stream, sockopt::KeepAlive, &true).expect("SO_KEEPALIVE");
    }

    fn finish(&mut self) {
        self.stream().shutdown(Shutdown::Write).expect("it is connected");
    }

    fn turn(&mut self) {
        let error: Option<io::Error> = self.stream().take_error().expect("SO_ERROR");
        self.ended = self.ended.or(error.map(|e| e.kind()));
    }

    fn is_settled(&mut self, counts: &Counts) -> bool {
        // While a device has some of it a kernel may keep back more (TCP small queues).
        let [_, _, below, ..] = getsockopt(self.stream(), MemInfo).expect("SO_MEMINFO");
        if below != 0 {
            return false;
        }
        let base = self.base.as_ref().expect("opened");
        base.is(self.stream(), counts.segments_from_sender, counts.segments_to_sender)
    }

    fn ended(&self) -> Option<ErrorKind> {
        self.ended
    }

    fn end(&mut self) {
        reset(self.stream.take().expect("connected"));
    }
}
