//! What nobody outside may be able to guess: initial sequence numbers and timestamp offsets.

use core::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use crate::{FourTuple, Seq, Time};

/// One tick of the clock in initial sequence numbers (RFC 9293 §3.4.1).
const ISN_TICK_NS: u64 = 4_000;

/// A keyed hash of addresses.
#[derive(Clone)]
pub(super) struct Secret(SipHasher24);

impl Secret {
    pub(super) fn new(key: &[u8; 16]) -> Secret {
        Secret(SipHasher24::new_with_key(key))
    }

    /// The hash of a four-tuple.
    pub(super) fn of_tuple(&self, tuple: &FourTuple) -> u64 {
        let mut hasher = self.0;
        write_socket(&mut hasher, &tuple.local);
        write_socket(&mut hasher, &tuple.remote);
        hasher.finish()
    }

    /// The hash of a four-tuple whose local port is still to be chosen.
    pub(super) fn of_destination(&self, local: &IpAddr, remote: &SocketAddr) -> u64 {
        let mut hasher = self.0;
        write_ip(&mut hasher, local);
        write_socket(&mut hasher, remote);
        hasher.finish()
    }

    /// The hash of plain bytes.
    pub(super) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(bytes);
        hasher.finish()
    }

    /// The initial sequence number of a connection opened at `now`, and what it adds to its timestamp clock.
    ///
    /// The number is that of RFC 9293 §3.4.1 (MUST-8, MUST-9; RFC 6528 §3): a 4 µs clock, which keeps later
    /// incarnations of a tuple ahead of earlier ones, plus a keyed hash of the tuple. Another half of the
    /// same hash moves the timestamps (RFC 7323 §7.1): by as much for every incarnation, so that they go on
    /// growing and the peer can tell a new incarnation by them (RFC 6191).
    pub(super) fn initial(&self, tuple: &FourTuple, now: Time) -> (Seq, u32) {
        let hash = self.of_tuple(tuple);
        let clock = (now.as_nanos() / ISN_TICK_NS) as u32;
        (Seq(clock.wrapping_add(hash as u32)), (hash >> 32) as u32)
    }
}

/// A key is not for logs.
impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

/// Both families have a length of their own, so that no two addresses hash alike by construction.
fn write_ip(hasher: &mut SipHasher24, ip: &IpAddr) {
    match ip {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
}

fn write_socket(hasher: &mut SipHasher24, socket: &SocketAddr) {
    write_ip(hasher, &socket.ip());
    hasher.write(&socket.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> FourTuple {
        let local = SocketAddr::from(([10, 0, 0, 1], port));
        FourTuple { local, remote: SocketAddr::from(([10, 0, 0, 2], 80)) }
    }

    #[test]
    fn must_8_the_isn_of_a_tuple_grows_by_one_every_four_microseconds() {
        let secret = Secret::new(&[7; 16]);
        let (first, offset) = secret.initial(&tuple(1), Time::from_nanos(1_000_000));
        let (second, same) = secret.initial(&tuple(1), Time::from_nanos(1_000_000 + 4_000_000_000));
        assert_eq!(second.diff(first), 1_000_000);
        assert_eq!(offset, same, "the timestamp offset of a tuple never changes");
        assert_ne!(Seq(offset) + 250, first, "and does not give the sequence number away");
    }

    #[test]
    fn must_9_the_isn_depends_on_key_and_tuple() {
        let now = Time::ZERO;
        let isns: std::collections::HashSet<_> = (0..1000)
            .flat_map(|port| [[1; 16], [2; 16]].map(|key| Secret::new(&key).initial(&tuple(port), now).0))
            .collect();
        assert!(isns.len() > 1990, "{} of 2000 differ", isns.len());
        let swapped = FourTuple { local: tuple(1).remote, remote: tuple(1).local };
        assert_ne!(
            Secret::new(&[1; 16]).initial(&swapped, now),
            Secret::new(&[1; 16]).initial(&tuple(1), now)
        );
    }
}
