//! Ephemeral ports (RFC 6056).

use core::ops::RangeInclusive;
use std::net::{IpAddr, SocketAddr};

use super::ConnectError;
use super::secrets::Secret;
use crate::FourTuple;

/// Counters of algorithm 4; RFC 6056 §3.3.4 suggests ten or more.
const COUNTERS: usize = 64;

/// Chooses ports by algorithm 4 of RFC 6056 §3.3.4, "double-hash": each destination begins at its own place
/// in the range and moves on by one of several counters, so that ports of one destination are used in turn,
/// as late as can be, and say nothing about other destinations.
#[derive(Debug)]
pub(super) struct Ports {
    secret: Secret,
    first: u16,
    count: u32,
    counters: [u32; COUNTERS],
}

/// What an owner knows about a candidate.
pub(super) enum Verdict {
    /// Take it.
    Free,
    /// Another connection has this tuple, or a listener the port.
    InUse,
    /// Its packets would arrive elsewhere.
    Unusable,
}

impl Ports {
    pub(super) fn new(key: &[u8; 16], range: RangeInclusive<u16>) -> Ports {
        let (first, last) = range.into_inner();
        let count = (u32::from(last) + 1).saturating_sub(u32::from(first));
        Ports { secret: Secret::new(key), first, count, counters: [0; COUNTERS] }
    }

    /// The first tuple from `local` to `remote` that `judge` finds free. Asks for every port of the range
    /// once at most.
    pub(super) fn choose(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        mut judge: impl FnMut(&FourTuple) -> Verdict,
    ) -> Result<FourTuple, ConnectError> {
        // F and G of the algorithm: two halves of one hash.
        let hash = self.secret.of_destination(&local, &remote);
        let (offset, index) = (hash as u32, (hash >> 32) as usize % COUNTERS);
        let (mut in_use, mut unusable) = (0, 0);
        for _ in 0..self.count {
            let step = offset.wrapping_add(self.counters[index]) % self.count;
            self.counters[index] = self.counters[index].wrapping_add(1);
            // Below 65536, since the range ends there.
            let port = self.first.wrapping_add(step as u16);
            let tuple = FourTuple { local: SocketAddr::new(local, port), remote };
            match judge(&tuple) {
                Verdict::Free => return Ok(tuple),
                Verdict::InUse => in_use += 1,
                Verdict::Unusable => unusable += 1,
            }
        }
        Err(ConnectError::PortsExhausted { in_use, unusable })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn choose(ports: &mut Ports, judge: impl FnMut(&FourTuple) -> Verdict) -> Result<u16, ConnectError> {
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        ports.choose(IpAddr::from([10, 0, 0, 1]), remote, judge).map(|t| t.local.port())
    }

    #[test]
    fn every_port_of_the_range_is_used_before_one_comes_again() {
        let mut ports = Ports::new(&[3; 16], 65000..=65535);
        let seen: HashSet<_> = (0..536).map(|_| choose(&mut ports, |_| Verdict::Free).unwrap()).collect();
        assert_eq!(seen.len(), 536);
        assert!(seen.iter().all(|p| *p >= 65000));
    }

    #[test]
    fn another_key_or_destination_begins_elsewhere() {
        let first: HashSet<_> = (0..50u8)
            .map(|k| choose(&mut Ports::new(&[k; 16], 32768..=60999), |_| Verdict::Free).unwrap())
            .collect();
        assert!(first.len() > 40);
        let first: HashSet<_> = (0..50u16)
            .map(|p| {
                let remote = SocketAddr::from(([10, 0, 0, 2], p + 1));
                let mut ports = Ports::new(&[1; 16], 32768..=60999);
                ports.choose(IpAddr::from([10, 0, 0, 1]), remote, |_| Verdict::Free).unwrap().local
            })
            .collect();
        assert!(first.len() > 40);
    }

    #[test]
    fn ports_in_use_or_unusable_are_passed_over_and_exhaustion_says_why() {
        let mut ports = Ports::new(&[3; 16], 1000..=1009);
        let judge = |t: &FourTuple| match t.local.port() {
            1007 => Verdict::Free,
            p if p % 2 == 0 => Verdict::InUse,
            _ => Verdict::Unusable,
        };
        assert_eq!(choose(&mut ports, judge), Ok(1007));
        let judge = |t: &FourTuple| if t.local.port() < 1003 { Verdict::InUse } else { Verdict::Unusable };
        assert_eq!(choose(&mut ports, judge), Err(ConnectError::PortsExhausted { in_use: 3, unusable: 7 }));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn an_empty_range_is_exhausted_at_once() {
        let mut ports = Ports::new(&[3; 16], 2..=1);
        let error = Err(ConnectError::PortsExhausted { in_use: 0, unusable: 0 });
        assert_eq!(choose(&mut ports, |_| Verdict::Free), error);
    }
}
