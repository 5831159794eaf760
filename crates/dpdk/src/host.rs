//! The kernel's side of things: an address for a TAP interface, and addresses that are not ours to use.

use core::mem;
use core::ops::RangeInclusive;
use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::DeviceSpec;

/// Frames that wait for us in a TAP interface at most: what the kernel answers to one iteration of a sender's loop comes
/// at once, while the loop is not looking, and its default of 500 loses most of it.
const QUEUE_LEN: u32 = 10_000;

/// A change to an interface that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{interface}: {step} failed: {source}. By hand: `{command}`")]
pub struct HostError {
    interface: String,
    step: &'static str,
    command: String,
    source: io::Error,
}

/// An address that the kernel owns on an interface it keeps using: it would answer our peers with resets.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{addr} belongs to the kernel's interface {interface}: the kernel sees the same frames and would reset our \
     connections. Use an address the kernel does not own, or take it away: `sudo ip addr del {addr} dev {interface}`"
)]
pub struct KernelOwnsAddress {
    /// The address.
    pub addr: IpAddr,
    /// The interface that has it.
    pub interface: String,
}

/// Refuses `addresses` on a device whose frames the kernel sees too, when the kernel owns one of them.
///
/// # Errors
/// [`KernelOwnsAddress`].
pub fn refuse_kernel_address(
    device: &DeviceSpec,
    addresses: RangeInclusive<IpAddr>,
) -> Result<(), KernelOwnsAddress> {
    let shared = match device {
        DeviceSpec::AfPacket { .. } => true,
        DeviceSpec::Vdev { raw } => raw.starts_with("net_af_") || raw.starts_with("net_pcap"),
        _ => false,
    };
    match kernel_address_in(&addresses) {
        Some(owned) if shared => Err(owned),
        _ => Ok(()),
    }
}

/// A TAP that another process reads and writes: the kernel would deal frames out to it and to us.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the TAP {interface} is in use by another process: each would get a part of the frames. Choose another name"
)]
pub struct TapInUse {
    /// Its name.
    pub interface: String,
}

/// Refuses a TAP that is up and has somebody at its other end already.
///
/// # Errors
/// [`TapInUse`].
pub fn refuse_used_tap(device: &DeviceSpec) -> Result<(), TapInUse> {
    match device {
        // One that persists has a carrier only while somebody has it open.
        DeviceSpec::Tap { name: Some(name), .. } if is_tap(name) && is_running(name) => {
            Err(TapInUse { interface: name.clone() })
        }
        _ => Ok(()),
    }
}

/// Whether an interface of this network namespace is up and has a carrier.
fn is_running(name: &str) -> bool {
    let interface = TapHost { index: 0, name: name.to_owned() };
    interface.flags().is_ok_and(|flags| flags & libc::IFF_RUNNING as libc::c_short != 0)
}

/// Whether an interface of this network namespace is a TAP, as its driver says.
pub(crate) fn is_tap(name: &str) -> bool {
    const ETHTOOL_GDRVINFO: u32 = 3;
    // struct ethtool_drvinfo: the command, five names of 32 bytes, and counts.
    let mut info = [0u8; 196];
    info[..4].copy_from_slice(&ETHTOOL_GDRVINFO.to_ne_bytes());
    let mut req = TapHost { index: 0, name: name.to_owned() }.request();
    req.ifr_ifru.ifru_data = info.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads the command behind the pointer and writes what it asks for there, which has room for it.
    let known = unsafe { control(libc::AF_INET, libc::SIOCETHTOOL, &raw mut req) };
    // The driver's name, and where it says which of TUN and TAP it is.
    known.is_ok() && info[4..].starts_with(b"tun\0") && info[100..].starts_with(b"tap\0")
}

/// The first of `addresses` that the kernel has in this network namespace, with its interface.
fn kernel_address_in(addresses: &RangeInclusive<IpAddr>) -> Option<KernelOwnsAddress> {
    let mut list: *mut libc::ifaddrs = core::ptr::null_mut();
    // SAFETY: writes one pointer to a list that is freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return None;
    }
    let mut found = None;
    let mut entry = list;
    while !entry.is_null() && found.is_none() {
        // SAFETY: an entry of the list; `ifa_addr` is null or an address of its family's type.
        unsafe {
            let e = &*entry;
            if let Some(addr) = socket_address(e.ifa_addr).filter(|addr| addresses.contains(addr)) {
                let interface = CStr::from_ptr(e.ifa_name).to_string_lossy().into_owned();
                found = Some(KernelOwnsAddress { addr, interface });
            }
            entry = e.ifa_next;
        }
    }
    // SAFETY: made by `getifaddrs`, freed once.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// Sends one rtnetlink request and waits for the kernel's word on it.
fn netlink(request: &[u8]) -> io::Result<()> {
    // SAFETY: plain arguments; the result is checked.
    let fd =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the socket was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: reads as many bytes as the slice has.
    if unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // struct nlmsghdr, then struct nlmsgerr, which begins with a negative errno or 0.
    let mut answer = [0u8; 256];
    // SAFETY: writes at most as many bytes as the array has. The kernel answers inside `send`: nothing to wait for.
    let n = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    if n < 20 || i32::from(kind) != libc::NLMSG_ERROR {
        return Err(io::Error::other("rtnetlink answered with something else than a verdict"));
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

/// # Safety
/// `sa` is null or points to a socket address of the type its family says.
unsafe fn socket_address(sa: *const libc::sockaddr) -> Option<IpAddr> {
    if sa.is_null() {
        return None;
    }
    // SAFETY: by the contract; read unaligned, since only the family's alignment is promised.
    unsafe {
        match i32::from((*sa).sa_family) {
            libc::AF_INET => {
                let v4 = sa.cast::<libc::sockaddr_in>().read_unaligned();
                Some(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
            }
            libc::AF_INET6 => {
                let v6 = sa.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(IpAddr::from(v6.sin6_addr.s6_addr))
            }
            _ => None,
        }
    }
}

/// True when this network namespace has an interface of that name.
pub(crate) fn interface_exists(name: &str) -> bool {
    // SAFETY: reads a NUL-terminated string.
    CString::new(name).is_ok_and(|name| unsafe { libc::if_nametoindex(name.as_ptr()) } != 0)
}

/// The kernel's side of a TAP interface.
#[derive(Clone, Debug)]
pub struct TapHost {
    index: u32,
    name: String,
}

impl TapHost {
    /// The interface with the kernel's index `index` ([`PortInfo::if_index`](crate::PortInfo::if_index)).
    ///
    /// # Errors
    /// When there is none.
    pub fn new(index: u32) -> io::Result<TapHost> {
        let mut name = [0; libc::IF_NAMESIZE];
        // SAFETY: writes a NUL-terminated name of at most that size.
        if unsafe { libc::if_indextoname(index, name.as_mut_ptr()) }.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the name just written.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(TapHost { index, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its MTU.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mtu(&self) -> io::Result<u16> {
        let mut req = self.request();
        // SAFETY: SIOCGIFMTU writes the MTU into an `ifreq`.
        unsafe { control(libc::AF_INET, libc::SIOCGIFMTU, &raw mut req)? };
        // SAFETY: the kernel has written this member.
        Ok(unsafe { req.ifr_ifru.ifru_mtu }.try_into().unwrap_or(u16::MAX))
    }

    /// The length of its queue towards us, frames.
    ///
    /// # Errors
    /// The kernel's.
    pub fn queue_len(&self) -> io::Result<u32> {
        let mut req = self.request();
        // SAFETY: SIOCGIFTXQLEN writes an integer into an `ifreq`.
        unsafe { control(libc::AF_INET, libc::SIOCGIFTXQLEN, &raw mut req)? };
        // SAFETY: the kernel has written this member: `ifr_qlen` is the integer that `libc` knows as the metric.
        Ok(unsafe { req.ifr_ifru.ifru_metric }.try_into().unwrap_or(0))
    }

    /// Gives it the wire's MTU (DPDK's side of a TAP needs a higher one), an Ethernet address of its own next to
    /// the port's (net_tap gives both sides the same), a queue long enough for bursts, an IP address, and brings it up.
    ///
    /// # Errors
    /// [`HostError`] with the command that does it by hand.
    pub fn configure(
        &self,
        port_mac: [u8; 6],
        addr: Option<(IpAddr, u8)>,
        mtu: u16,
    ) -> Result<(), HostError> {
        let dev = &self.name;
        let mut mac = port_mac;
        // Unicast, locally administered, and never the port's.
        mac[0] = (mac[0] | 2) & !1;
        mac[5] ^= 1;
        let text = mac.map(|b| format!("{b:02x}")).join(":");
        self.set_mac(mac).map_err(|e| {
            self.error("setting its Ethernet address", format!("sudo ip link set {dev} address {text}"), e)
        })?;
        self.set_mtu(mtu)
            .map_err(|e| self.error("setting its MTU", format!("sudo ip link set {dev} mtu {mtu}"), e))?;
        self.set_queue_len(QUEUE_LEN).map_err(|e| {
            let command = format!("sudo ip link set {dev} txqueuelen {QUEUE_LEN}");
            self.error("setting the length of its queue", command, e)
        })?;
        if let Some((addr, len)) = addr {
            self.set_address(addr, len).map_err(|e| {
                self.error("adding its address", format!("sudo ip addr add {addr}/{len} dev {dev}"), e)
            })?;
        }
        self.set_up(true).map_err(|e| self.error("bringing it up", format!("sudo ip link set {dev} up"), e))
    }

    fn error(&self, step: &'static str, command: String, source: io::Error) -> HostError {
        HostError { interface: self.name.clone(), step, command, source }
    }

    /// A request with the interface's name in it.
    fn request(&self) -> libc::ifreq {
        // SAFETY: a plain C structure, for which zeros are valid.
        let mut req: libc::ifreq = unsafe { mem::zeroed() };
        for (to, from) in req.ifr_name.iter_mut().zip(self.name.bytes().take(libc::IF_NAMESIZE - 1)) {
            *to = from as libc::c_char;
        }
        req
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        let mut req = self.request();
        let mut addr = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
        for (to, from) in addr.sa_data.iter_mut().zip(mac) {
            *to = from as libc::c_char;
        }
        req.ifr_ifru.ifru_hwaddr = addr;
        // SAFETY: SIOCSIFHWADDR reads an `ifreq` with an Ethernet address in it.
        unsafe { control(libc::AF_INET, libc::SIOCSIFHWADDR, &raw mut req) }
    }

    fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        let mut req = self.request();
        req.ifr_ifru.ifru_mtu = mtu.into();
        // SAFETY: SIOCSIFMTU reads an `ifreq`.
        unsafe { control(libc::AF_INET, libc::SIOCSIFMTU, &raw mut req) }
    }

    /// By rtnetlink: the ioctl asks for privileges outside a user namespace too.
    fn set_queue_len(&self, frames: u32) -> io::Result<()> {
        const LEN: u32 = 40;
        let mut request = Vec::with_capacity(LEN as usize);
        // struct nlmsghdr
        request.extend(LEN.to_ne_bytes());
        request.extend(libc::RTM_NEWLINK.to_ne_bytes());
        request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        request.extend([0; 8]); // sequence and port: one request, one answer
        // struct ifinfomsg
        request.extend([0; 4]); // any family and type
        request.extend(self.index.to_ne_bytes());
        request.extend([0; 8]); // no flag changes
        // struct rtattr
        request.extend(8u16.to_ne_bytes());
        request.extend(libc::IFLA_TXQLEN.to_ne_bytes());
        request.extend(frames.to_ne_bytes());
        netlink(&request)
    }

    fn flags(&self) -> io::Result<libc::c_short> {
        let mut req = self.request();
        // SAFETY: SIOCGIFFLAGS writes the flags into an `ifreq`.
        unsafe { control(libc::AF_INET, libc::SIOCGIFFLAGS, &raw mut req)? };
        // SAFETY: the kernel has written this member.
        Ok(unsafe { req.ifr_ifru.ifru_flags })
    }

    /// Brings it up or down.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        let bit = libc::IFF_UP as libc::c_short;
        let flags = self.flags()?;
        let mut req = self.request();
        req.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
        // SAFETY: SIOCSIFFLAGS reads an `ifreq`.
        unsafe { control(libc::AF_INET, libc::SIOCSIFFLAGS, &raw mut req) }
    }

    fn set_address(&self, addr: IpAddr, len: u8) -> io::Result<()> {
        match addr {
            IpAddr::V4(addr) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                let mut req = self.request();
                req.ifr_ifru.ifru_addr = sockaddr_v4(u32::from_ne_bytes(addr.octets()));
                // SAFETY: SIOCSIFADDR reads an `ifreq` with an IPv4 address in it.
                unsafe { control(libc::AF_INET, libc::SIOCSIFADDR, &raw mut req)? };
                req.ifr_ifru.ifru_netmask = sockaddr_v4(mask.to_be());
                // SAFETY: SIOCSIFNETMASK likewise.
                unsafe { control(libc::AF_INET, libc::SIOCSIFNETMASK, &raw mut req) }
            }
            IpAddr::V6(addr) => {
                let mut req = libc::in6_ifreq {
                    ifr6_addr: libc::in6_addr { s6_addr: addr.octets() },
                    ifr6_prefixlen: len.into(),
                    ifr6_ifindex: self.index as libc::c_int,
                };
                // SAFETY: on an IPv6 socket SIOCSIFADDR reads an `in6_ifreq`.
                unsafe { control(libc::AF_INET6, libc::SIOCSIFADDR, &raw mut req) }
            }
        }
    }
}

fn sockaddr_v4(addr_be: u32) -> libc::sockaddr {
    let v4 = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: addr_be },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain C structures of 16 bytes; any bytes are a valid `sockaddr`.
    unsafe { mem::transmute::<libc::sockaddr_in, libc::sockaddr>(v4) }
}

/// # Safety
/// `argument` is what the kernel reads and writes for this request on a socket of this family.
unsafe fn control<T>(family: libc::c_int, request: libc::Ioctl, argument: *mut T) -> io::Result<()> {
    // SAFETY: makes a descriptor, which is closed below.
    let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: by the contract.
    let rc = unsafe { libc::ioctl(fd, request, argument) };
    let error = io::Error::last_os_error();
    // SAFETY: our descriptor, closed once.
    unsafe { libc::close(fd) };
    if rc < 0 { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_the_kernel_owns_is_refused_where_the_kernel_sees_the_frames() {
        let mine: IpAddr = "127.0.0.1".parse().expect("an address");
        let other: IpAddr = "192.0.2.77".parse().expect("an address");
        let shared: DeviceSpec = "af_packet:lo".parse().expect("a device");
        let e = refuse_kernel_address(&shared, mine..=mine).expect_err("the kernel owns it");
        assert_eq!(e.interface, "lo");
        assert!(e.to_string().contains("ip addr del 127.0.0.1 dev lo"), "{e}");
        let around =
            "126.255.255.255".parse().expect("an address")..="127.0.0.9".parse().expect("an address");
        assert_eq!(refuse_kernel_address(&shared, around).expect_err("it owns one of them").addr, mine);
        assert_eq!(refuse_kernel_address(&shared, other..=other), Ok(()));
        assert_eq!(refuse_kernel_address(&DeviceSpec::Null, mine..=mine), Ok(()));
    }
}
