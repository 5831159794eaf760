//! getsockopt(2) and setsockopt(2).

use std::os::fd::RawFd;

use libc::c_int;
use rustix::io::Errno;
use tcp::Nanos;
use tcp::conn::{Linger, State};

use crate::info;
use crate::settings::Dialect;
use crate::settings::controller;
use crate::sockets::BEYOND_SNDBUF;
use crate::world::World;

/// Linux's option of that name, which the C library has no number for.
const SO_MEMINFO: c_int = 55;

/// Its answer: nine numbers, of which two are known here, the limits.
fn meminfo(rcvbuf: usize, sndbuf: usize) -> Vec<u8> {
    let mut numbers = [0u32; 9];
    (numbers[1], numbers[3]) = (rcvbuf as u32, sndbuf as u32);
    numbers.map(u32::to_ne_bytes).concat()
}

/// The number that an option's value begins with.
fn number(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Errno::INVAL)
}

impl World {
    /// setsockopt(2).
    pub(crate) fn set_option(
        &mut self,
        fd: RawFd,
        level: c_int,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        if (level, name) == (libc::IPPROTO_TCP, libc::TCP_CONGESTION) {
            return self.set_congestion(fd, value);
        }
        // What these steer lies beneath the protocol. Scripts that set them look at nothing of it.
        if matches!((level, name), (libc::IPPROTO_IP, libc::IP_TOS | libc::IP_MTU_DISCOVER)) {
            return self.get(fd).map(|_| ());
        }
        let n = number(value)?;
        let on = n != 0;
        let socket = self.get(fd)?;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => socket.options.reuse_address = on,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => {
                socket.options.keep_alive = on;
                self.apply_keepalive(fd)?;
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE | libc::TCP_KEEPINTVL | libc::TCP_KEEPCNT) => {
                let n = u32::try_from(n).ok().filter(|&n| n > 0).ok_or(Errno::INVAL)?;
                let keepalive = &mut socket.options.keepalive;
                match name {
                    libc::TCP_KEEPIDLE => keepalive.idle = Nanos::from_secs(n.into()),
                    libc::TCP_KEEPINTVL => keepalive.interval = Nanos::from_secs(n.into()),
                    _ => keepalive.probes = n,
                }
                self.apply_keepalive(fd)?;
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                // Linux doubles what it is told, to make room for its own accounting, and takes no less than this.
                let bytes = (n.max(0) as usize * 2).max(4_608);
                let limit = bytes + BEYOND_SNDBUF;
                (socket.sndbuf, socket.cfg.send_buffer) = (bytes, Some(limit));
                self.on_link(fd, |conn| conn.set_send_buffer(limit));
            }
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                let bytes = (n.max(0) as usize * 2).max(2_304);
                // Half of it is overhead.
                (socket.rcvbuf, socket.cfg.receive_buffer) = (bytes, bytes / 2);
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let seconds = number(value.get(4..).unwrap_or_default())?;
                let time = Nanos::from_secs(seconds.max(0) as u64);
                let linger = if on { Linger::Bounded(time) } else { Linger::Background };
                socket.cfg.linger = linger;
                self.on_link(fd, |conn| conn.set_linger(linger));
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => {
                socket.cfg.no_delay = on;
                self.on_link(fd, |conn| conn.set_no_delay(on));
            }
            (libc::IPPROTO_TCP, libc::TCP_CORK) => {
                socket.cfg.cork = on;
                self.on_link(fd, |conn| conn.set_cork(on));
            }
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let mss =
                    u16::try_from(n).ok().filter(|mss| (88..=32_767).contains(mss)).ok_or(Errno::INVAL)?;
                socket.cfg.max_mss = Some(mss);
            }
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                let time = Nanos::from_millis(u64::try_from(n).map_err(|_| Errno::INVAL)?);
                socket.user_timeout = time;
                if time > Nanos::ZERO {
                    socket.cfg.user_timeout = time;
                    self.on_link(fd, |conn| conn.set_user_timeout(time));
                }
            }
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO | libc::SO_PRIORITY | libc::SO_MARK)
            | (libc::IPPROTO_IP | libc::IPPROTO_IPV6, _) => return Err(Errno::OPNOTSUPP),
            _ => return Err(Errno::NOPROTOOPT),
        }
        self.reconfigure_listener(fd)?;
        self.settle();
        Ok(())
    }

    /// TCP_CONGESTION, the name of a controller: before there is a connection, which keeps the one it began with.
    fn set_congestion(&mut self, fd: RawFd, value: &[u8]) -> Result<(), Errno> {
        let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
        let name = core::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
        let controller = controller(name).ok_or(Errno::NOENT)?;
        if self.link(fd).is_ok() {
            return Err(Errno::OPNOTSUPP);
        }
        self.get(fd)?.cfg.controller = controller;
        self.reconfigure_listener(fd)
    }

    /// Keepalive as it is set now, on this socket and its connection.
    fn apply_keepalive(&mut self, fd: RawFd) -> Result<(), Errno> {
        let now = self.now;
        let socket = self.get(fd)?;
        let keepalive = socket.options.keep_alive.then_some(socket.options.keepalive);
        socket.cfg.keepalive = keepalive;
        self.on_link(fd, |conn| conn.set_keepalive(now, keepalive));
        Ok(())
    }

    /// What is set on a listening socket is in force for connections to come.
    fn reconfigure_listener(&mut self, fd: RawFd) -> Result<(), Errno> {
        let socket = self.get(fd)?;
        if let Some(id) = socket.listens() {
            let cfg = socket.cfg.clone();
            self.endpoint.set_listener_config(id, cfg);
        }
        Ok(())
    }

    fn on_link(&mut self, fd: RawFd, change: impl FnOnce(&mut tcp::conn::Connection<crate::bytes::Bytes>)) {
        if let Ok(link) = self.link(fd) {
            change(&mut link.conn);
        }
    }

    /// getsockopt(2).
    pub(crate) fn option(&mut self, fd: RawFd, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
        let socket = self.get(fd)?;
        let n = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => i32::from(socket.options.reuse_address),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => i32::from(socket.options.keep_alive),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => socket.sndbuf as i32,
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => self.rcvbuf(fd)? as i32,
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => i32::from(socket.listens().is_some()),
            (libc::SOL_SOCKET, libc::SO_ERROR) => {
                let error = self.link(fd).ok().and_then(|link| link.error.take());
                error.map_or(0, Errno::raw_os_error)
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let (on, seconds) = match socket.cfg.linger {
                    Linger::Background => (0i32, 0i32),
                    Linger::Bounded(time) => (1, (time.as_millis() / 1_000) as i32),
                };
                return Ok([on.to_ne_bytes(), seconds.to_ne_bytes()].concat());
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => i32::from(socket.cfg.no_delay),
            (libc::IPPROTO_TCP, libc::TCP_CORK) => i32::from(socket.cfg.cork),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => {
                (socket.options.keepalive.idle.as_millis() / 1_000) as i32
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
                (socket.options.keepalive.interval.as_millis() / 1_000) as i32
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => socket.options.keepalive.probes as i32,
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => socket.user_timeout.as_millis() as i32,
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let bound = socket.cfg.max_mss.map_or(536, i32::from);
                match self.link(fd) {
                    Ok(link) if link.connected => link.conn.stats().mss as i32,
                    _ => bound,
                }
            }
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => {
                return Ok(socket.cfg.controller.to_string().into_bytes());
            }
            (libc::IPPROTO_TCP, libc::TCP_INFO) => return self.tcp_info(fd),
            (libc::SOL_SOCKET, SO_MEMINFO) => return Ok(meminfo(socket.rcvbuf, socket.sndbuf)),
            // No controller tells anything of its own.
            (libc::IPPROTO_TCP, libc::TCP_CC_INFO) => return Ok(Vec::new()),
            _ => return Err(Errno::NOPROTOOPT),
        };
        Ok(n.to_ne_bytes().to_vec())
    }

    /// SO_RCVBUF. FreeBSD makes it a multiple of the MSS once the peer told its own.
    fn rcvbuf(&mut self, fd: RawFd) -> Result<usize, Errno> {
        let bytes = self.get(fd)?.rcvbuf;
        let freebsd = self.current.dialect == Dialect::FreeBsd;
        Ok(match self.link(fd) {
            Ok(link) if freebsd && link.conn.state() > State::SynSent => {
                bytes.next_multiple_of(link.conn.stats().mss.max(1) as usize)
            }
            _ => bytes,
        })
    }

    fn tcp_info(&mut self, fd: RawFd) -> Result<Vec<u8>, Errno> {
        let socket = self.sockets.get(&fd).ok_or(Errno::BADF)?;
        let link = socket.connection().and_then(|id| self.links.get(&id));
        Ok(info::of(socket, link))
    }
}
