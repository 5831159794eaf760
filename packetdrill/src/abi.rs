//! The boundary to C: the table of functions that packetdrill calls, and `getsockopt` for the calls it makes past
//! the table.
//!
//! packetdrill loads this object with dlopen, finds [`packetdrill_interface_init`] and calls every slot of the table
//! without looking whether it is empty, so each one is filled. The same object stands in `LD_PRELOAD`, because
//! packetdrill asks the C library itself for `TCP_INFO`.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use core::task::Poll;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, sockaddr_in, sockaddr_in6,
    socklen_t, ssize_t, timeval,
};
use rustix::io::Errno;
use tcp::conn::SendFlags;
use tcp::{Nanos, Time};

use crate::settings::Settings;
use crate::stage::Stage;
use crate::world::World;

type Ud = *mut c_void;

/// `struct packetdrill_interface`: one pointer of ours, which we do not need, and the functions in packetdrill's
/// order. `fcntl` and `ioctl` are variadic in C; with at most one integer or pointer behind the named parameters the
/// calling conventions of Linux pass it where a named fourth parameter is looked for.
#[repr(C)]
struct Interface {
    userdata: Ud,
    free: extern "C" fn(Ud),
    socket: extern "C" fn(Ud, c_int, c_int, c_int) -> c_int,
    bind: extern "C" fn(Ud, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: extern "C" fn(Ud, c_int, c_int) -> c_int,
    accept: extern "C" fn(Ud, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: extern "C" fn(Ud, c_int, *const sockaddr, socklen_t) -> c_int,
    read: extern "C" fn(Ud, c_int, *mut c_void, size_t) -> ssize_t,
    readv: extern "C" fn(Ud, c_int, *const iovec, c_int) -> ssize_t,
    recv: extern "C" fn(Ud, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    recvfrom: extern "C" fn(Ud, c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    recvmsg: extern "C" fn(Ud, c_int, *mut msghdr, c_int) -> ssize_t,
    write: extern "C" fn(Ud, c_int, *const c_void, size_t) -> ssize_t,
    writev: extern "C" fn(Ud, c_int, *const iovec, c_int) -> ssize_t,
    send: extern "C" fn(Ud, c_int, *const c_void, size_t, c_int) -> ssize_t,
    sendto: extern "C" fn(Ud, c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    sendmsg: extern "C" fn(Ud, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: extern "C" fn(Ud, c_int, c_int, c_long) -> c_int,
    ioctl: extern "C" fn(Ud, c_int, c_ulong, *mut c_int) -> c_int,
    close: extern "C" fn(Ud, c_int) -> c_int,
    shutdown: extern "C" fn(Ud, c_int, c_int) -> c_int,
    getsockopt: extern "C" fn(Ud, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: extern "C" fn(Ud, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: extern "C" fn(Ud, *mut pollfd, nfds_t, c_int) -> c_int,
    netdev_send: extern "C" fn(Ud, *const c_void, size_t) -> c_int,
    netdev_receive: extern "C" fn(Ud, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    usleep: extern "C" fn(Ud, c_uint) -> c_int,
    gettimeofday: extern "C" fn(Ud, *mut timeval, *mut c_void) -> c_int,
    epoll_create: extern "C" fn(Ud, c_int) -> c_int,
    epoll_ctl: extern "C" fn(Ud, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: extern "C" fn(Ud, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: extern "C" fn(Ud, *mut c_int) -> c_int,
    splice: extern "C" fn(Ud, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> ssize_t,
}

/// The only world; never dropped, since packetdrill closes the descriptors behind our back at the end.
static STAGE: OnceLock<Stage> = OnceLock::new();

fn stage() -> &'static Stage {
    STAGE.get().unwrap_or_else(|| {
        eprintln!("tsonami: a call before packetdrill_interface_init");
        std::process::exit(2)
    })
}

/// What packetdrill looks for. `flags` is the argument of `--so_flags`, or null.
///
/// # Safety
/// `flags` is null or a C string; `interface` is valid for the write of the table.
#[unsafe(no_mangle)]
unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = match flags.is_null() {
        true => String::new(),
        // SAFETY: not null, and then a C string by this function's contract.
        false => unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned(),
    };
    match Settings::from_flags(&flags).and_then(World::new) {
        Ok(world) => drop(STAGE.set(Stage::new(world))),
        Err(error) => {
            eprintln!("tsonami: {error}");
            std::process::exit(2);
        }
    }
    let table = Interface {
        userdata: core::ptr::null_mut(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt: getsockopt_slot,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: valid for the write by this function's contract.
    unsafe { interface.write(table) };
}

// ---------------------------------------------------------------------------------------------------------------
// From C and back

/// A result as the C library would return it.
fn returned<T: TryInto<ssize_t>>(result: Result<T, Errno>) -> ssize_t {
    match result {
        Ok(value) => value.try_into().unwrap_or(ssize_t::MAX),
        Err(error) => {
            // SAFETY: the C library's pointer to this thread's errno is valid as long as the thread runs.
            unsafe { *libc::__errno_location() = error.raw_os_error() };
            -1
        }
    }
}

/// The same for functions that return an int.
fn status<T: TryInto<ssize_t>>(result: Result<T, Errno>) -> c_int {
    returned(result) as c_int
}

/// Nothing, as zero.
fn zero(result: Result<(), Errno>) -> c_int {
    status(result.map(|()| 0))
}

/// `len` bytes to read at `at`, none when that is null.
///
/// # Safety
/// `at` is null or valid for reads of `len` bytes that nobody changes while the slice lives.
unsafe fn input<'a>(at: *const c_void, len: usize) -> &'a [u8] {
    if at.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: valid by the contract; packetdrill's buffers are smaller than isize::MAX.
    unsafe { core::slice::from_raw_parts(at.cast(), len) }
}

/// `len` bytes to write at `at`, none when that is null.
///
/// # Safety
/// `at` is null or valid for writes of `len` initialised bytes that nobody else touches while the slice lives.
unsafe fn output<'a>(at: *mut c_void, len: usize) -> &'a mut [u8] {
    if at.is_null() || len == 0 {
        return &mut [];
    }
    // SAFETY: as in `input`. packetdrill allocates its buffers with calloc or fills them: they are initialised.
    unsafe { core::slice::from_raw_parts_mut(at.cast(), len) }
}

/// The pieces of a vector.
///
/// # Safety
/// `iov` is null or valid for reads of `count` entries.
unsafe fn pieces<'a>(iov: *const iovec, count: usize) -> &'a [iovec] {
    if iov.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: valid by the contract.
    unsafe { core::slice::from_raw_parts(iov, count) }
}

/// All bytes of a vector, one after the other.
///
/// # Safety
/// As [`pieces`], and each entry as [`input`] asks.
unsafe fn gathered(iov: *const iovec, count: usize) -> Vec<u8> {
    // SAFETY: the caller's promise is theirs.
    let parts = unsafe { pieces(iov, count) }.iter().map(|p| unsafe { input(p.iov_base, p.iov_len) });
    parts.collect::<Vec<_>>().concat()
}

/// Spreads `bytes` over a vector, as far as both go.
///
/// # Safety
/// As [`pieces`], and each entry as [`output`] asks.
unsafe fn scatter(bytes: &[u8], iov: *const iovec, count: usize) {
    let mut rest = bytes;
    // SAFETY: the caller's promise is theirs.
    for piece in unsafe { pieces(iov, count) } {
        // SAFETY: likewise.
        let out = unsafe { output(piece.iov_base, piece.iov_len) };
        let n = out.len().min(rest.len());
        out[..n].copy_from_slice(&rest[..n]);
        rest = &rest[n..];
    }
}

/// A socket address.
///
/// # Safety
/// `at` is null or valid for reads of `len` bytes.
unsafe fn address(at: *const sockaddr, len: socklen_t) -> Result<SocketAddr, Errno> {
    if at.is_null() || (len as usize) < size_of::<sockaddr_in>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: at least a sockaddr_in long, whose family comes first in every kind; alignment is not assumed.
    let v4 = unsafe { at.cast::<sockaddr_in>().read_unaligned() };
    match c_int::from(v4.sin_family) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 if len as usize >= size_of::<sockaddr_in6>() => {
            // SAFETY: long enough, just checked.
            let v6 = unsafe { at.cast::<sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Ok(SocketAddr::new(ip.into(), u16::from_be(v6.sin6_port)))
        }
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Writes a socket address as accept(2) does.
///
/// # Safety
/// `len` is null, or valid and then `at` is null or valid for writes of `*len` bytes.
unsafe fn put_address(from: SocketAddr, at: *mut sockaddr, len: *mut socklen_t) {
    if at.is_null() || len.is_null() {
        return;
    }
    // SAFETY: not null, and valid by the contract.
    let room = unsafe { *len } as usize;
    let bytes: Vec<u8> = match from {
        SocketAddr::V4(v4) => {
            [&(libc::AF_INET as u16).to_ne_bytes()[..], &v4.port().to_be_bytes(), &v4.ip().octets(), &[0; 8]]
                .concat()
        }
        SocketAddr::V6(v6) => [
            &(libc::AF_INET6 as u16).to_ne_bytes()[..],
            &v6.port().to_be_bytes(),
            &[0; 4],
            &v6.ip().octets(),
            &[0; 4],
        ]
        .concat(),
    };
    let n = room.min(bytes.len());
    // SAFETY: `at` has room for `room` bytes by the contract, and `len` is valid.
    unsafe {
        output(at.cast(), n).copy_from_slice(&bytes[..n]);
        *len = bytes.len() as socklen_t;
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Waiting

/// The deadline of a call on `fd`: now when it does not wait, never when it does.
fn deadline(fd: c_int, flags: c_int) -> Option<Time> {
    let waits = stage().run(|w| w.get(fd).is_ok_and(|s| !s.nonblocking)) && flags & libc::MSG_DONTWAIT == 0;
    if waits { None } else { Some(Time::ZERO) }
}

fn receive(fd: c_int, buf: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    let peek = flags & libc::MSG_PEEK != 0;
    stage().wait(deadline(fd, flags), |w| w.recv(fd, buf, peek)).unwrap_or(Err(Errno::AGAIN))
}

fn transmit(fd: c_int, bytes: &[u8], flags: c_int) -> Result<usize, Errno> {
    let send_flags = SendFlags {
        more: flags & libc::MSG_MORE != 0,
        eor: flags & libc::MSG_EOR != 0,
        ..SendFlags::default()
    };
    let mut done = 0;
    match stage().wait(deadline(fd, flags), |w| w.send(fd, bytes, send_flags, &mut done)) {
        Some(Err(_)) if done > 0 => Ok(done),
        Some(result) => result,
        None if done > 0 => Ok(done),
        None => Err(Errno::AGAIN),
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The table

extern "C" fn free(_: Ud) {}

extern "C" fn socket(_: Ud, domain: c_int, kind: c_int, _protocol: c_int) -> c_int {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    if !matches!(domain, libc::AF_INET | libc::AF_INET6) || kind & !flags != libc::SOCK_STREAM {
        return zero(Err(Errno::AFNOSUPPORT));
    }
    status(stage().run(|w| w.socket(domain == libc::AF_INET6, kind & libc::SOCK_NONBLOCK != 0)))
}

extern "C" fn bind(_: Ud, fd: c_int, at: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: packetdrill passes an address of `len` bytes.
    let local = unsafe { address(at, len) };
    zero(local.and_then(|local| stage().run(|w| w.bind(fd, local))))
}

extern "C" fn listen(_: Ud, fd: c_int, backlog: c_int) -> c_int {
    zero(stage().run(|w| w.listen(fd, backlog.max(0) as usize)))
}

extern "C" fn accept(_: Ud, fd: c_int, at: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let accepted = stage().wait(deadline(fd, 0), |w| w.accept(fd, false)).unwrap_or(Err(Errno::AGAIN));
    status(accepted.map(|(new, remote)| {
        // SAFETY: packetdrill passes room for `*len` bytes.
        unsafe { put_address(remote, at, len) };
        new
    }))
}

extern "C" fn connect(_: Ud, fd: c_int, at: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: packetdrill passes an address of `len` bytes.
    let remote = match unsafe { address(at, len) } {
        Ok(remote) => remote,
        Err(error) => return zero(Err(error)),
    };
    let again = stage().run(|w| w.connecting(fd));
    if let Err(error) = stage().run(|w| w.connect(fd, remote)) {
        return zero(Err(error));
    }
    let pending = if again { Errno::ALREADY } else { Errno::INPROGRESS };
    zero(stage().wait(deadline(fd, 0), |w| w.connected(fd)).unwrap_or(Err(pending)))
}

extern "C" fn read(_: Ud, fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: packetdrill passes `len` bytes of its own.
    returned(receive(fd, unsafe { output(buf, len) }, 0))
}

extern "C" fn readv(_: Ud, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let count = count.max(0) as usize;
    // SAFETY: packetdrill passes `count` entries.
    let room = unsafe { pieces(iov, count) }.iter().map(|p| p.iov_len).sum();
    let mut buf = vec![0; room];
    returned(receive(fd, &mut buf, 0).inspect(|&n| {
        // SAFETY: each entry has room for what it says.
        unsafe { scatter(&buf[..n], iov, count) };
    }))
}

extern "C" fn recv(_: Ud, fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: packetdrill passes `len` bytes of its own.
    returned(receive(fd, unsafe { output(buf, len) }, flags))
}

extern "C" fn recvfrom(
    ud: Ud,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    _from: *mut sockaddr,
    _from_len: *mut socklen_t,
) -> ssize_t {
    recv(ud, fd, buf, len, flags)
}

extern "C" fn recvmsg(ud: Ud, fd: c_int, msg: *mut msghdr, _flags: c_int) -> ssize_t {
    // SAFETY: packetdrill passes a valid header.
    let msg = unsafe { &mut *msg };
    (msg.msg_flags, msg.msg_controllen) = (0, 0);
    readv(ud, fd, msg.msg_iov, msg.msg_iovlen as c_int)
}

extern "C" fn write(ud: Ud, fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    send(ud, fd, buf, len, 0)
}

extern "C" fn writev(_: Ud, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: packetdrill passes `count` entries.
    let bytes = unsafe { gathered(iov, count.max(0) as usize) };
    returned(transmit(fd, &bytes, 0))
}

extern "C" fn send(_: Ud, fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: packetdrill passes `len` bytes of its own.
    returned(transmit(fd, unsafe { input(buf, len) }, flags))
}

extern "C" fn sendto(
    ud: Ud,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    _to_len: socklen_t,
) -> ssize_t {
    if flags & libc::MSG_FASTOPEN != 0 || !to.is_null() && stage().run(|w| w.link(fd).is_err()) {
        return returned::<usize>(Err(Errno::OPNOTSUPP));
    }
    send(ud, fd, buf, len, flags)
}

extern "C" fn sendmsg(_: Ud, fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: packetdrill passes a valid header.
    let msg = unsafe { &*msg };
    // SAFETY: whose vector has as many entries as it says.
    let bytes = unsafe { gathered(msg.msg_iov, msg.msg_iovlen) };
    returned(transmit(fd, &bytes, flags))
}

extern "C" fn fcntl(_: Ud, fd: c_int, cmd: c_int, arg: c_long) -> c_int {
    status(stage().run(|w| {
        let socket = w.get(fd)?;
        match cmd {
            libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                socket.nonblocking = arg & c_long::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            _ => Err(Errno::INVAL),
        }
    }))
}

extern "C" fn ioctl(_: Ud, fd: c_int, request: c_ulong, out: *mut c_int) -> c_int {
    const SIOCOUTQNSD: c_ulong = 0x894b;
    let answer = stage().run(|w| match request {
        libc::FIONREAD => w.inq(fd),
        libc::TIOCOUTQ => w.outq(fd, false),
        SIOCOUTQNSD => w.outq(fd, true),
        _ => Err(Errno::NOTTY),
    });
    zero(answer.map(|n| {
        // SAFETY: packetdrill passes an int for each of these requests.
        unsafe { *out = n as c_int };
    }))
}

extern "C" fn close(_: Ud, fd: c_int) -> c_int {
    zero(stage().run(|w| w.close(fd)))
}

extern "C" fn shutdown(_: Ud, fd: c_int, how: c_int) -> c_int {
    let (read, write) = (how != libc::SHUT_WR, how != libc::SHUT_RD);
    zero(stage().run(|w| w.shutdown(fd, read, write)))
}

extern "C" fn getsockopt_slot(
    _: Ud,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let answer = stage().run(|w| w.option(fd, level, name));
    zero(answer.map(|bytes| {
        // SAFETY: packetdrill passes a valid length and as much room as it says.
        unsafe {
            let n = bytes.len().min(*len as usize);
            output(value, n).copy_from_slice(&bytes[..n]);
            *len = n as socklen_t;
        }
    }))
}

/// In front of the C library's: answers for our descriptors.
///
/// # Safety
/// As getsockopt(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if STAGE.get().is_some_and(|stage| stage.run(|w| w.get(fd).is_ok())) {
        return getsockopt_slot(core::ptr::null_mut(), fd, level, name, value, len);
    }
    // SAFETY: what the caller passed, unchanged, to the call it meant.
    unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int }
}

extern "C" fn setsockopt(
    _: Ud,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: packetdrill passes `len` bytes.
    let value = unsafe { input(value, len as usize) };
    zero(stage().run(|w| w.set_option(fd, level, name, value)))
}

extern "C" fn poll(_: Ud, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    let fds = match fds.is_null() {
        true => &mut [][..],
        // SAFETY: packetdrill passes `count` entries.
        false => unsafe { core::slice::from_raw_parts_mut(fds, count as usize) },
    };
    let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
    let until = match u64::try_from(timeout) {
        Ok(millis) => Some(stage().run(|w| w.now) + Nanos::from_millis(millis)),
        Err(_) => None,
    };
    let ready = stage().wait(until, |w| {
        for entry in fds.iter_mut() {
            entry.revents = w.poll(entry.fd) & (entry.events | always);
        }
        match fds.iter().filter(|entry| entry.revents != 0).count() {
            0 => Poll::Pending,
            n => Poll::Ready(n),
        }
    });
    ready.unwrap_or(0) as c_int
}

extern "C" fn netdev_send(_: Ud, packet: *const c_void, len: size_t) -> c_int {
    // SAFETY: packetdrill passes a packet of `len` bytes.
    let packet = unsafe { input(packet, len) };
    stage().run(|w| w.receive(packet));
    0
}

extern "C" fn netdev_receive(_: Ud, buf: *mut c_void, len: *mut size_t, micros: *mut c_longlong) -> c_int {
    let (at, packet) = stage().next_packet();
    // SAFETY: packetdrill passes a buffer of `*len` bytes and room for a time.
    unsafe {
        let n = packet.len().min(*len);
        output(buf, n).copy_from_slice(&packet[..n]);
        *len = n;
        *micros = (at.as_nanos() / 1_000) as c_longlong;
    }
    0
}

extern "C" fn usleep(_: Ud, micros: c_uint) -> c_int {
    stage().sleep(Nanos::from_micros(u64::from(micros)));
    0
}

extern "C" fn gettimeofday(_: Ud, out: *mut timeval, _zone: *mut c_void) -> c_int {
    let micros = stage().time().as_nanos() / 1_000;
    let time = timeval { tv_sec: (micros / 1_000_000) as _, tv_usec: (micros % 1_000_000) as _ };
    // SAFETY: packetdrill passes room for a time.
    unsafe { out.write(time) };
    0
}

// What this TCP has no part in: a script that needs it fails and says so.

extern "C" fn epoll_create(_: Ud, _: c_int) -> c_int {
    zero(Err(Errno::NOSYS))
}

extern "C" fn epoll_ctl(_: Ud, _: c_int, _: c_int, _: c_int, _: *mut epoll_event) -> c_int {
    zero(Err(Errno::NOSYS))
}

extern "C" fn epoll_wait(_: Ud, _: c_int, _: *mut epoll_event, _: c_int, _: c_int) -> c_int {
    zero(Err(Errno::NOSYS))
}

extern "C" fn pipe(_: Ud, _: *mut c_int) -> c_int {
    zero(Err(Errno::NOSYS))
}

extern "C" fn splice(
    _: Ud,
    _: c_int,
    _: *mut loff_t,
    _: c_int,
    _: *mut loff_t,
    _: size_t,
    _: c_uint,
) -> ssize_t {
    returned::<usize>(Err(Errno::NOSYS))
}
