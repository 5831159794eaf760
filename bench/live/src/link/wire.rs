//! One end of the link: a kernel interface, whose every frame passes through a packet socket.

use std::io::{Error, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg,
    sendmsg, setsockopt, socket, sockopt,
};
use tcp::Time;

use super::clock::Clock;

/// Longer than any frame of a link with an MTU of 1500: what does not fit was not cut as on a wire.
const LONGEST: usize = 1514;
/// The socket's buffers, bytes: the link may get no turn for this long at its rate.
const BUFFER: usize = 64 << 20;

/// What this end could not do as a wire would have. A run in which one of them is not zero measured something else.
#[derive(Copy, Clone, Default, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Faults {
    /// Frames longer than a wire carries: segmentation or receive offload was on.
    pub(crate) oversized: u64,
    /// Frames the kernel dropped before we read them.
    pub(crate) unread: u64,
    /// Frames the kernel did not take.
    pub(crate) unsent: u64,
}

impl Faults {
    pub(crate) fn any(self) -> bool {
        self.oversized + self.unread + self.unsent > 0
    }
}

/// A frame, and when it reached the interface.
pub(crate) struct Arrival<'a> {
    pub(crate) at: Time,
    pub(crate) frame: &'a [u8],
}

pub(crate) struct Wire {
    socket: OwnedFd,
    interface: LinkAddr,
    buffer: Vec<u8>,
    control: Vec<u8>,
    pub(crate) faults: Faults,
}

impl Wire {
    /// Opens this interface of our namespace.
    pub(crate) fn open(name: &str) -> Result<Wire> {
        let all = nix::ifaddrs::getifaddrs()?;
        let interface = all
            .filter(|i| i.interface_name == name)
            .find_map(|i| i.address?.as_link_addr().copied())
            .ok_or_else(|| Error::other(format!("there is no interface {name} in this namespace")))?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        bind(socket.as_raw_fd(), &interface)?;
        // By force: the system's limit is a few hundred frames.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        Ok(Wire {
            socket,
            interface,
            buffer: vec![0; LONGEST + 1],
            control: nix::cmsg_space!(nix::sys::time::TimeSpec, u32),
            faults: Faults::default(),
        })
    }

    /// The next frame that came in, if there is one.
    pub(crate) fn receive(&mut self, clock: &Clock) -> Result<Option<Arrival<'_>>> {
        loop {
            let mut into = [IoSliceMut::new(&mut self.buffer)];
            let (fd, control) = (self.socket.as_raw_fd(), Some(self.control.as_mut_slice()));
            let message = match recvmsg::<LinkAddr>(fd, &mut into, control, MsgFlags::MSG_TRUNC) {
                Ok(message) => message,
                // A TAP goes down when the program behind it ends; when it comes up again, so does this.
                Err(Errno::EAGAIN | Errno::ENETDOWN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let len = message.bytes;
            let mut stamp = None;
            for header in message.cmsgs()? {
                match header {
                    ControlMessageOwned::ScmTimestampns(time) => stamp = Some(time),
                    ControlMessageOwned::RxqOvfl(total) => self.faults.unread = u64::from(total),
                    _ => {}
                }
            }
            // Between its creation and its binding the socket heard every interface; and it hears what others send.
            let from = message.address;
            let incoming = from.is_some_and(|from| {
                from.ifindex() == self.interface.ifindex()
                    && i32::from(from.pkttype()) != i32::from(nix::libc::PACKET_OUTGOING)
            });
            if !incoming {
                continue;
            }
            if len > LONGEST {
                self.faults.oversized += 1;
                continue;
            }
            let at = clock.of_stamp(stamp);
            return Ok(Some(Arrival { at, frame: &self.buffer[..len] }));
        }
    }

    /// Puts a frame on the interface.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        let from = [IoSlice::new(frame)];
        if sendmsg::<()>(self.socket.as_raw_fd(), &from, &[], MsgFlags::empty(), None) != Ok(frame.len()) {
            self.faults.unsent += 1;
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
