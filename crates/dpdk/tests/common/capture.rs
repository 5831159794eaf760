//! What the kernel's side of a TAP receives.

use std::io;
use std::time::{Duration, Instant};

/// A socket that sees what the interface's kernel side receives.
pub(crate) struct Capture(libc::c_int);

impl Capture {
    pub(crate) fn new(index: u32) -> Capture {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: makes a descriptor, closed by `drop`.
        let fd =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, protocol.into()) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: zeros are a valid address of this plain C structure.
        let mut addr: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        addr.sll_family = libc::AF_PACKET as u16;
        addr.sll_protocol = protocol;
        addr.sll_ifindex = index as i32;
        // SAFETY: the address is of the size given.
        let rc = unsafe { libc::bind(fd, (&raw const addr).cast(), size_of_val(&addr) as u32) };
        assert_eq!(rc, 0, "{}", io::Error::last_os_error());
        Capture(fd)
    }

    /// Sends a frame as the kernel would. False when its queue is full.
    #[allow(dead_code)] // not every test sends
    pub(crate) fn send(&self, frame: &[u8]) -> bool {
        // SAFETY: the buffer is as long as said.
        unsafe { libc::send(self.0, frame.as_ptr().cast(), frame.len(), 0) >= 0 }
    }

    /// The next TCP frame, waited for.
    pub(crate) fn tcp(&self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let mut buf = vec![0u8; 2048];
            // SAFETY: the buffer is as long as said.
            let n = unsafe { libc::recv(self.0, buf.as_mut_ptr().cast(), buf.len(), 0) };
            if n > 0 {
                buf.truncate(n as usize);
                if buf[12..14] == [8, 0] && buf[23] == 6 {
                    return buf;
                }
            }
            assert!(Instant::now() < deadline, "no frame within 5 s");
            std::thread::yield_now();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // SAFETY: our descriptor, closed once.
        unsafe { libc::close(self.0) };
    }
}

/// Sum of 16-bit words.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum()
}

/// The sum folded to 16 bits: 0xffff over anything that carries its own right checksum.
pub(crate) fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
