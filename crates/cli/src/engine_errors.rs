//! The library's errors, as the user reads them: what happened, and the exact command that mends it.

use std::net::SocketAddr;
use std::time::Duration;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use tsonami::{Error, Offset, ShutdownError};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::units::{Grouped, LONGEST_TIME, Short};

/// A connection could not be opened, or ended early.
pub(crate) fn connection(error: &Error, peer: SocketAddr, timeout: Duration) -> Failure {
    let (ip, port) = (peer.ip(), peer.port());
    let longer = longer(timeout);
    let so_far = |acked: &Offset| match acked.0 {
        0 => "before it acknowledged anything".to_owned(),
        bytes => format!("after {} bytes were acknowledged", Grouped(bytes)),
    };
    match error {
        Error::Refused => Failure::new(Exit::Refused, format!("{peer} refused the connection: nothing listens on port {port} there"))
            .mend(format!("socat -u TCP-LISTEN:{port},fork,reuseaddr OPEN:/dev/null      (on {ip})"))
            .mend("give the port that the receiver listens on, with -p PORT"),
        Error::Reset { acked } => {
            let failure = Failure::new(Exit::Reset, format!("{peer} reset the connection {}", so_far(acked)))
                .mend("look at the receiver: it ended, or closed without reading everything");
            match acked.0 {
                // What Linux does when connections arrive faster than they are accepted.
                0 => failure.mend("with many connections, give it a longer backlog: socat TCP-LISTEN:…,backlog=128"),
                _ => failure,
            }
        }
        Error::ConnectTimedOut => Failure::new(
            Exit::TimedOut,
            format!("no answer from {peer} within {}: connecting timed out", Short(timeout)),
        )
        .mend("check that a receiver runs there and no firewall drops what we send: look with --pcap FILE")
        .mend(longer),
        Error::TimedOut { acked } => Failure::new(
            Exit::TimedOut,
            format!("{peer} timed out: it fell silent {}, and stayed so for {}", so_far(acked), Short(timeout)),
        )
        .mend("check the peer, and the link to it")
        .mend(longer),
        Error::Silent { acked } => Failure::new(
            Exit::TimedOut,
            format!("{peer} is gone: it answered no keepalive probe {}", so_far(acked)),
        )
        .mend("check the peer, and the link to it; a firewall may have forgotten the connection")
        .mend("with more or rarer probes it is given up later: --keepalive IDLE,INTERVAL,PROBES"),
        Error::Unreachable { acked } => Failure::new(
            Exit::Unreachable,
            match acked.0 {
                0 => format!("{ip} is unreachable: a router says by ICMP that there is no way"),
                _ => format!("{ip} became unreachable {}, as a router says by ICMP", so_far(acked)),
            },
        )
        .mend(format!("traceroute {ip}      (where does the way end?)")),
        Error::NoNeighbour { acked } => Failure::new(
            Exit::Unreachable,
            match acked.0 {
                0 => format!("{ip} is unreachable: no ARP answer"),
                _ => format!("{ip} became unreachable {}: no ARP answer any more", so_far(acked)),
            },
        )
        .mend("check the address, and that the peer's interface is up and on our network (--addr)")
        .mend("for a peer on another network, name a router on ours: --gateway ADDR"),
        Error::DeviceStuck { .. } => Failure::new(Exit::Device, format!("sending to {peer} failed: {error}"))
            .mend("ip link set dev INTERFACE up      (the kernel's side of the TAP, or the interface behind the device)")
            .mend("--mss 1400, should the device refuse frames of full size"),
        Error::Connect(inner) => {
            let exit = match error.kind() {
                std::io::ErrorKind::NetworkUnreachable => Exit::Unreachable,
                std::io::ErrorKind::InvalidInput => Exit::Usage,
                _ => Exit::Device,
            };
            let failure = Failure::new(exit, inner);
            if exit == Exit::Unreachable {
                failure.mend("name a router on our network: --gateway ADDR").mend("give us an address on the peer's network: --addr ADDR/LEN")
            } else {
                failure
            }
        }
        other => Failure::new(Exit::Device, format!("sending to {peer} failed: {other}")),
    }
}

/// A longer patience, as typed.
fn longer(timeout: Duration) -> String {
    format!("--timeout {}", timeout.saturating_mul(3).min(LONGEST_TIME).as_secs_f64())
}

/// Adds why a peer that answers seems silent: frames of another process on this machine come with their checksums
/// left for a network card to fill in, which a virtual wire has none of.
pub(crate) fn with_checksums(failure: Failure, dropped: u64) -> Failure {
    if dropped == 0 || failure.exit != Exit::TimedOut {
        return failure;
    }
    Failure {
        what: format!(
            "{}; {} segments came with a wrong checksum and were dropped",
            failure.what,
            Grouped(dropped)
        ),
        mend: ["ethtool -K PEER_INTERFACE tx off      (at the peer: have its kernel fill in the checksums)"
            .to_owned()]
        .into_iter()
        .chain(failure.mend)
        .collect(),
        ..failure
    }
}

/// Adds what mends an interface that somebody took down, when that is why.
pub(crate) fn with_interface(failure: Failure, tap: Option<&str>) -> Failure {
    match tap {
        Some(name) if is_down(name) => Failure {
            what: format!("{}; the kernel's interface {name} is down", failure.what),
            mend: [format!("sudo ip link set dev {name} up")].into_iter().chain(failure.mend).collect(),
            ..failure
        },
        _ => failure,
    }
}

/// Whether an interface is there, in this network namespace, and not up.
fn is_down(name: &str) -> bool {
    let up = |interface: InterfaceAddress| interface.flags.contains(InterfaceFlags::IFF_UP);
    getifaddrs().is_ok_and(|mut all| all.find(|i| i.interface_name == name).is_some_and(|i| !up(i)))
}

/// The peer's TCP answers, but takes nothing more.
pub(crate) fn not_reading(peer: SocketAddr, acked: u64, timeout: Duration) -> Failure {
    Failure::new(
        Exit::TimedOut,
        format!(
            "{peer} timed out: it took nothing for {} after {} bytes were acknowledged, though it still answers",
            Short(timeout),
            Grouped(acked),
        ),
    )
    .mend("look at the receiver: it does not read")
    .mend(longer(timeout))
}

/// A sender that sends nothing more, and does not say that it is done.
pub(crate) fn silent_sender(peer: SocketAddr, bytes: u64, timeout: Duration) -> Failure {
    Failure::new(
        Exit::TimedOut,
        format!(
            "{peer} timed out: it was silent for {} after {} bytes were received",
            Short(timeout),
            Grouped(bytes)
        ),
    )
    .mend("look at the sender: it neither sends nor closes")
    .mend(longer(timeout))
}

/// Something was not in order when the device was closed.
pub(crate) fn shutdown(error: &ShutdownError) -> Failure {
    match error {
        ShutdownError::Leak { .. } => Failure::new(Exit::Device, error)
            .mend("this is a defect of tsonami's: please report it with the output of --log FILE -vv"),
        ShutdownError::Check { .. } => Failure::new(Exit::Device, error)
            .mend("this is a defect of tsonami's: please report it with --pcap FILE and the device's name"),
        ShutdownError::Capture(_) => Failure::new(Exit::File, error).mend("df -h      (is the disk full?)"),
        error => Failure::new(Exit::TimedOut, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_exit_code_and_its_cure() {
        let peer: SocketAddr = "10.77.0.1:5001".parse().unwrap();
        let acked = Offset(1_000_000);
        for (error, exit, words) in [
            (Error::Refused, Exit::Refused, "refused the connection"),
            (Error::Reset { acked }, Exit::Reset, "reset the connection after 1 000 000 bytes"),
            (Error::ConnectTimedOut, Exit::TimedOut, "no answer from 10.77.0.1:5001 within 10.00 s"),
            (Error::TimedOut { acked }, Exit::TimedOut, "fell silent after 1 000 000 bytes"),
            (Error::Silent { acked }, Exit::TimedOut, "answered no keepalive probe after 1 000 000 bytes"),
            (
                Error::Unreachable { acked },
                Exit::Unreachable,
                "10.77.0.1 became unreachable after 1 000 000 bytes",
            ),
            (Error::NoNeighbour { acked }, Exit::Unreachable, "acknowledged: no ARP answer any more"),
            (Error::DeviceStuck { errno: None, acked }, Exit::Device, "took no frame"),
        ] {
            let failure = connection(&error, peer, Duration::from_secs(10));
            assert_eq!(failure.exit, exit);
            assert!(failure.what.contains(words), "'{words}' is not in: {failure}");
            assert!(!failure.mend.is_empty(), "{failure}");
        }
        assert_eq!(not_reading(peer, 5, Duration::from_secs(10)).exit, Exit::TimedOut);
    }

    #[test]
    fn the_longest_patience_does_not_overflow() {
        let peer: SocketAddr = "10.77.0.1:5001".parse().unwrap();
        for failure in
            [connection(&Error::ConnectTimedOut, peer, Duration::MAX), not_reading(peer, 5, Duration::MAX)]
        {
            assert!(failure.to_string().contains("--timeout 31536000"), "{failure}");
        }
    }

    #[test]
    fn wrong_checksums_are_named_as_why_nobody_seems_to_answer() {
        let peer: SocketAddr = "10.77.0.1:5001".parse().unwrap();
        let timed_out = connection(&Error::ConnectTimedOut, peer, Duration::from_secs(10));
        assert_eq!(with_checksums(timed_out.clone(), 0), timed_out);
        let failure = with_checksums(timed_out, 4);
        assert!(failure.what.contains("4 segments came with a wrong checksum"), "{failure}");
        assert!(failure.mend[0].starts_with("ethtool -K PEER_INTERFACE tx off"), "{failure}");
        let refused = connection(&Error::Refused, peer, Duration::from_secs(10));
        assert_eq!(with_checksums(refused.clone(), 4), refused);
    }
}
