//! Sockets: what the calls of a script do.
//!
//! A call that would wait says [`Poll::Pending`]; whether it does wait is the stage's business.

use core::task::Poll;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use tcp::conn::{ConnConfig, Keepalive, SendFlags, State, WriteErrorKind};
use tcp::endpoint::{ConnectError, ListenerId};
use tcp::{Nanos, Payload};

use crate::bytes::Bytes;
use crate::world::{Link, LinkId, World};

/// A socket. Its descriptor is a real one, of an eventfd that nobody uses, because packetdrill closes what a script
/// left open by itself.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    v6: bool,
    pub(crate) nonblocking: bool,
    local: Option<SocketAddr>,
    /// Settings of the connection to be made, and as it was made.
    pub(crate) cfg: ConnConfig,
    pub(crate) rcvbuf: usize,
    pub(crate) sndbuf: usize,
    pub(crate) options: Options,
    /// TCP_USER_TIMEOUT as it was set; zero for the default.
    pub(crate) user_timeout: Nanos,
    kind: Kind,
    /// The application shut down its receiving side.
    read_shut: bool,
    /// `connect` was called and did not report yet.
    connecting: bool,
}

/// Options that are kept for whoever asks and change nothing else.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Options {
    pub(crate) reuse_address: bool,
    pub(crate) keep_alive: bool,
    /// What keepalive is when it is on.
    pub(crate) keepalive: Keepalive,
}

#[derive(Debug)]
enum Kind {
    Fresh,
    Listening(ListenerId, VecDeque<LinkId>),
    Connected(LinkId),
}

impl Socket {
    /// The listener it stands for.
    pub(crate) fn listens(&self) -> Option<ListenerId> {
        match &self.kind {
            Kind::Listening(id, _) => Some(*id),
            _ => None,
        }
    }

    /// The connection it stands for.
    pub(crate) fn connection(&self) -> Option<LinkId> {
        match self.kind {
            Kind::Connected(id) => Some(id),
            _ => None,
        }
    }

    /// Made for IPv6.
    pub(crate) fn is_v6(&self) -> bool {
        self.v6
    }

    /// Connections that wait to be accepted, of a listening socket.
    pub(crate) fn accept_queue(&mut self) -> Option<&mut VecDeque<LinkId>> {
        match &mut self.kind {
            Kind::Listening(_, queue) => Some(queue),
            _ => None,
        }
    }
}

/// The longest segment that waits to be sent, bytes.
const LONGEST_SEGMENT: u64 = 1 << 16;

/// What the connection's own limit exceeds SO_SNDBUF by, bytes: sockets are judged by their own rule.
pub(crate) const BEYOND_SNDBUF: usize = 2 << 16;

impl World {
    /// socket(2).
    pub(crate) fn socket(&mut self, v6: bool, nonblocking: bool) -> Result<RawFd, Errno> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        self.refresh_settings();
        let settings = self.current.clone();
        let number = fd.as_raw_fd();
        let mtu = if v6 { settings.mtu.1 } else { settings.mtu.0 };
        let socket = Socket {
            fd,
            v6,
            nonblocking,
            local: None,
            cfg: ConnConfig { mtu, send_buffer: Some(settings.sndbuf + BEYOND_SNDBUF), ..settings.conn },
            rcvbuf: settings.rcvbuf,
            sndbuf: settings.sndbuf,
            options: Options::default(),
            user_timeout: Nanos::ZERO,
            kind: Kind::Fresh,
            read_shut: false,
            connecting: false,
        };
        self.sockets.insert(number, socket);
        Ok(number)
    }

    pub(crate) fn get(&mut self, fd: RawFd) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&fd).ok_or(Errno::BADF)
    }

    /// bind(2).
    pub(crate) fn bind(&mut self, fd: RawFd, local: SocketAddr) -> Result<(), Errno> {
        self.get(fd)?.local = Some(plain(local));
        Ok(())
    }

    /// listen(2). A listener that listens again only changes its backlog.
    pub(crate) fn listen(&mut self, fd: RawFd, backlog: usize) -> Result<(), Errno> {
        let socket = self.get(fd)?;
        if socket.listens().is_some() {
            return Ok(());
        }
        let (local, cfg) = (socket.local.ok_or(Errno::INVAL)?, socket.cfg.clone());
        // Linux accepts one more than it is told.
        let id = self.endpoint.listen(local, backlog + 1, cfg).map_err(|_| Errno::ADDRINUSE)?;
        self.get(fd)?.kind = Kind::Listening(id, VecDeque::new());
        self.settle();
        Ok(())
    }

    /// accept(2).
    pub(crate) fn accept(
        &mut self,
        fd: RawFd,
        nonblocking: bool,
    ) -> Poll<Result<(RawFd, SocketAddr), Errno>> {
        let Ok(socket) = self.get(fd) else { return Poll::Ready(Err(Errno::BADF)) };
        let (v6, cfg, options, sndbuf) = (socket.v6, socket.cfg.clone(), socket.options, socket.sndbuf);
        let rcvbuf = socket.rcvbuf;
        let Some(queue) = socket.accept_queue() else { return Poll::Ready(Err(Errno::INVAL)) };
        let Some(id) = queue.pop_front() else { return Poll::Pending };
        Poll::Ready(self.socket(v6, nonblocking).and_then(|new| {
            let link = self.links.get(&id).ok_or(Errno::CONNABORTED)?;
            let tuple = link.tuple;
            let socket = self.get(new)?;
            socket.kind = Kind::Connected(id);
            (socket.local, socket.cfg, socket.options, socket.sndbuf) =
                (Some(tuple.local), cfg, options, sndbuf);
            socket.rcvbuf = rcvbuf;
            Ok((new, tuple.remote))
        }))
    }

    /// The first half of connect(2): opens, unless it was done before.
    pub(crate) fn connect(&mut self, fd: RawFd, remote: SocketAddr) -> Result<(), Errno> {
        let (ours4, ours6) = self.current.local;
        let socket = self.get(fd)?;
        match socket.kind {
            Kind::Listening(..) => return Err(Errno::ISCONN),
            Kind::Connected(_) if socket.connecting => return Ok(()),
            Kind::Connected(id) => {
                let connected = self.links.get(&id).is_some_and(|l| l.connected && !l.ended);
                return if connected { Err(Errno::ISCONN) } else { Ok(()) };
            }
            Kind::Fresh => {}
        }
        let remote = plain(remote);
        let port = socket.local.map(|l| l.port()).filter(|&port| port != 0);
        let ip = match (socket.local.map(|l| l.ip()).filter(|ip| !ip.is_unspecified()), remote) {
            (Some(ip), _) => ip,
            (None, SocketAddr::V4(_)) => IpAddr::V4(ours4),
            (None, SocketAddr::V6(_)) => IpAddr::V6(ours6),
        };
        let cfg = socket.cfg.clone();
        let id = self.open(ip, port, remote, &cfg).map_err(|error| match error {
            ConnectError::InUse(_) | ConnectError::PortsExhausted { .. } => Errno::ADDRNOTAVAIL,
            ConnectError::FamilyMismatch => Errno::AFNOSUPPORT,
            _ => Errno::INVAL,
        })?;
        let socket = self.get(fd)?;
        (socket.kind, socket.connecting) = (Kind::Connected(id), true);
        self.settle();
        Ok(())
    }

    /// A connect(2) is under way.
    pub(crate) fn connecting(&mut self, fd: RawFd) -> bool {
        self.get(fd).is_ok_and(|socket| socket.connecting)
    }

    /// The second half: how it went.
    pub(crate) fn connected(&mut self, fd: RawFd) -> Poll<Result<(), Errno>> {
        let Ok(link) = self.link(fd) else { return Poll::Ready(Err(Errno::NOTCONN)) };
        let (connected, ended) = (link.connected, link.ended);
        if !connected && !ended {
            return Poll::Pending;
        }
        let error = link.error.take();
        if let Some(socket) = self.sockets.get_mut(&fd) {
            socket.connecting = false;
        }
        Poll::Ready(match error {
            Some(error) => Err(error),
            None if connected => Ok(()),
            None => Err(Errno::CONNABORTED),
        })
    }

    /// The connection of a socket.
    pub(crate) fn link(&mut self, fd: RawFd) -> Result<&mut Link, Errno> {
        match self.get(fd)?.kind {
            Kind::Connected(id) => self.links.get_mut(&id).ok_or(Errno::NOTCONN),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// read(2) and its relatives, into `buf`; with `peek` the bytes stay.
    pub(crate) fn recv(&mut self, fd: RawFd, buf: &mut [u8], peek: bool) -> Poll<Result<usize, Errno>> {
        let read_shut = match self.get(fd) {
            Ok(socket) => socket.read_shut,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let link = match self.link(fd) {
            Ok(link) => link,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let mut done = 0;
        while done < buf.len() {
            let Some(payload) = link.unread.take().or_else(|| link.conn.read()) else { break };
            let n = payload.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&payload.as_slice()[..n]);
            done += n;
            if peek {
                link.unread = Some(payload);
                break;
            }
            if n < payload.len() {
                link.unread = Some(payload.slice(n..payload.len()));
            }
        }
        if done > 0 {
            self.settle();
            return Poll::Ready(Ok(done));
        }
        if let Some(error) = link.error.take() {
            return Poll::Ready(Err(error));
        }
        if link.at_end() || read_shut || buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Poll::Pending
    }

    /// write(2) and its relatives: as much of `bytes` as there is room for; ready when that is all, or with the error.
    /// `done` counts, and is all that tells when some fitted.
    pub(crate) fn send(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        flags: SendFlags,
        done: &mut usize,
    ) -> Poll<Result<usize, Errno>> {
        let link = match self.link(fd) {
            Ok(link) => link,
            Err(Errno::NOTCONN) => return Poll::Ready(Err(Errno::PIPE)),
            Err(error) => return Poll::Ready(Err(error)),
        };
        if !link.connected && !link.ended {
            return Poll::Pending;
        }
        if let Some(error) = link.error.take() {
            return Poll::Ready(Err(error));
        }
        while *done < bytes.len() {
            let room = self.send_room(fd);
            if room == 0 {
                self.settle();
                return Poll::Pending;
            }
            let end = bytes.len().min(*done + room);
            let link = match self.link(fd) {
                Ok(link) => link,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let piece = Bytes::from(&bytes[*done..end]);
            let piece_flags = if end < bytes.len() { flags.of_a_part() } else { flags };
            match link.conn.write(piece, piece_flags).map_err(|error| error.reason) {
                Ok(_) => *done = end,
                Err(WriteErrorKind::Full) => return Poll::Pending,
                Err(WriteErrorKind::Finished | WriteErrorKind::Closed) => {
                    return Poll::Ready(if *done > 0 { Ok(*done) } else { Err(Errno::PIPE) });
                }
            }
            // A long write is sent while it is copied (S20).
            self.settle();
        }
        Poll::Ready(Ok(*done))
    }

    /// Bytes that a write may add now, by Linux's rules for SO_SNDBUF: the last segment that was not sent is filled in
    /// any case, a new one begins while less is queued than the buffer holds, and after that was refused a third of
    /// the buffer must be free. A segment is as long as half the peer's window.
    fn send_room(&mut self, fd: RawFd) -> usize {
        let Ok(socket) = self.get(fd) else { return 0 };
        let limit = socket.sndbuf as u64;
        let Ok(link) = self.link(fd) else { return 0 };
        let (marks, stats) = (link.conn.marks(), link.conn.stats());
        let goal = (stats.send_window / 2).clamp(u64::from(stats.mss.max(1)), LONGEST_SEGMENT);
        let used = marks.accepted.since(marks.acked);
        link.short &= used * 3 > limit * 2;
        let room = match marks.accepted.since(marks.sent) % goal {
            _ if link.short || link.ended => 0,
            0 if used >= limit => 0,
            begun => goal - begun,
        };
        link.short |= room == 0 && !link.ended;
        // Whoever writes to what is over shall hear of it.
        if link.ended { 1 } else { room as usize }
    }

    /// shutdown(2).
    pub(crate) fn shutdown(&mut self, fd: RawFd, read: bool, write: bool) -> Result<(), Errno> {
        let link = self.link(fd)?;
        if !link.connected && link.ended {
            return Err(Errno::NOTCONN);
        }
        if write {
            link.conn.shutdown_write();
        }
        self.get(fd)?.read_shut |= read;
        self.settle();
        Ok(())
    }

    /// close(2).
    pub(crate) fn close(&mut self, fd: RawFd) -> Result<(), Errno> {
        let socket = self.sockets.remove(&fd).ok_or(Errno::BADF)?;
        debug_assert_eq!(socket.fd.as_raw_fd(), fd);
        match socket.kind {
            Kind::Fresh => {}
            Kind::Listening(id, queue) => {
                self.endpoint.unlisten(id);
                self.abandon(fd, queue);
            }
            Kind::Connected(id) => {
                let now = self.now;
                if let Some(link) = self.links.get_mut(&id) {
                    link.owned = false;
                    match link.unread.is_some() {
                        // Bytes that nobody read (RFC 2525 §2.17); the connection does not know of these.
                        true => link.conn.abort(now),
                        false => link.conn.close(now),
                    }
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Bytes that can be read.
    pub(crate) fn inq(&mut self, fd: RawFd) -> Result<usize, Errno> {
        let link = self.link(fd)?;
        Ok(link.conn.readable() as usize + link.unread.as_ref().map_or(0, Payload::len))
    }

    /// Bytes that are not acknowledged; with `unsent_only`, those that were never sent.
    pub(crate) fn outq(&mut self, fd: RawFd, unsent_only: bool) -> Result<usize, Errno> {
        let link = self.link(fd)?;
        let marks = link.conn.marks();
        Ok(marks.accepted.since(if unsent_only { marks.sent } else { marks.acked }) as usize)
    }

    /// poll(2) of one descriptor: what of `events` is true, with what is told unasked.
    pub(crate) fn poll(&mut self, fd: RawFd) -> i16 {
        let Ok(socket) = self.get(fd) else { return libc::POLLNVAL };
        let read_shut = socket.read_shut;
        if let Some(queue) = socket.accept_queue() {
            return if queue.is_empty() { 0 } else { libc::POLLIN | libc::POLLRDNORM };
        }
        if self.link(fd).is_ok_and(|link| link.short) {
            // It may be over.
            self.send_room(fd);
        }
        let Ok(link) = self.link(fd) else { return libc::POLLOUT | libc::POLLWRNORM | libc::POLLHUP };
        let mut ready = 0;
        let readable = link.conn.readable() > 0 || link.unread.is_some();
        if readable || link.at_end() || read_shut {
            ready |= libc::POLLIN | libc::POLLRDNORM;
        }
        if link.at_end() || read_shut {
            ready |= libc::POLLRDHUP;
        }
        let state = link.conn.state();
        if (link.connected && !link.short && state.may_write()) || link.ended {
            ready |= libc::POLLOUT | libc::POLLWRNORM;
        }
        if link.error.is_some() {
            ready |= libc::POLLERR | libc::POLLIN | libc::POLLRDNORM;
        }
        if link.ended || state == State::Closed {
            ready |= libc::POLLHUP;
        }
        ready
    }
}

/// Without flow label and scope; an IPv4 address that is written as an IPv6 one is an IPv4 address.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
