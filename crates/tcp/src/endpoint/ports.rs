//! Ephemeral ports (RFC 6056).

use core::ops::RangeInclusive;
use std::net::SocketAddr;

use super::secrets::Secret;
use super::{AddressRange, ConnectError};
use crate::FourTuple;

/// Counters of algorithm 4; RFC 6056 §3.3.4 suggests ten or more.
const COUNTERS: usize = 64;

/// Candidates that one choice looks at, at most: every port of one address.
const TRIES: u64 = 65_536;

/// Chooses ports by algorithm 4 of RFC 6056 §3.3.4, "double-hash": each destination begins at its own place
/// in the range and moves on by one of several counters, so that ports of one destination are used in turn,
/// as late as can be, and say nothing about other destinations.
///
/// Where there are several addresses they take turns, and the port moves on when each of them had it: a pair is used again when all
/// others were.
#[derive(Debug)]
pub(super) struct Ports {
    secret: Secret,
    first: u16,
    count: u32,
    counters: [u64; COUNTERS],
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

    /// The first tuple from one of `locals`, and from `port` if it is given, to `remote` that `judge` finds free. Asks for each at
    /// most once.
    pub(super) fn choose(
        &mut self,
        locals: AddressRange,
        port: Option<u16>,
        remote: SocketAddr,
        mut judge: impl FnMut(&FourTuple) -> Verdict,
    ) -> Result<FourTuple, ConnectError> {
        // F and G of the algorithm: two halves of one hash.
        let hash = self.secret.of_destination(&locals.first(), &remote);
        let (offset, index) = (u64::from(hash as u32), (hash >> 32) as usize % COUNTERS);
        let (first, count) = port.map_or((self.first, self.count), |port| (port, 1));
        let addresses = locals.count();
        let pairs = u64::from(count) * addresses;
        let (mut in_use, mut unusable) = (0, 0);
        for _ in 0..pairs.min(TRIES) {
            let step = offset.wrapping_add(self.counters[index]) % pairs;
            self.counters[index] = self.counters[index].wrapping_add(1);
            // Below 65536, since the range ends there.
            let port = first.wrapping_add((step / addresses) as u16);
            let tuple = FourTuple { local: SocketAddr::new(locals.nth(step), port), remote };
            match judge(&tuple) {
                Verdict::Free => return Ok(tuple),
                Verdict::InUse if pairs == 1 => return Err(ConnectError::InUse(tuple)),
                Verdict::Unusable if pairs == 1 => return Err(ConnectError::Unusable(tuple)),
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
    use std::net::IpAddr;

    use super::*;

    fn one() -> AddressRange {
        IpAddr::from([10, 0, 0, 1]).into()
    }

    fn several(last: u8) -> AddressRange {
        AddressRange::new([10, 0, 0, 1].into(), [10, 0, 0, last].into()).unwrap()
    }

    fn choose(ports: &mut Ports, judge: impl FnMut(&FourTuple) -> Verdict) -> Result<u16, ConnectError> {
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        ports.choose(one(), None, remote, judge).map(|t| t.local.port())
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
                ports.choose(one(), None, remote, |_| Verdict::Free).unwrap().local
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

    #[test]
    fn addresses_take_turns_and_every_pair_is_used_before_one_comes_again() {
        let mut ports = Ports::new(&[3; 16], 1000..=1009);
        let remote = SocketAddr::from(([10, 0, 9, 9], 80));
        let mut choose = |port| ports.choose(several(7), port, remote, |_| Verdict::Free).unwrap().local;
        let chosen: Vec<_> = (0..70).map(|_| choose(None)).collect();
        assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), 70);
        for seven in chosen.windows(7) {
            assert_eq!(seven.iter().map(SocketAddr::ip).collect::<HashSet<_>>().len(), 7, "{seven:?}");
        }
        let fixed: HashSet<_> = (0..7).map(|_| choose(Some(9))).collect();
        assert_eq!(fixed.len(), 7, "one port, on each address in turn");
    }

    #[test]
    fn a_choice_looks_at_a_bounded_number_of_pairs_and_the_next_goes_on_behind_them() {
        let mut ports = Ports::new(&[3; 16], 0..=65_535);
        let remote = SocketAddr::from(([10, 0, 9, 9], 80));
        let mut asked = HashSet::new();
        for call in 1..=3 {
            let refused = ports.choose(several(3), None, remote, |tuple| {
                assert!(asked.insert(tuple.local), "{tuple:?} twice");
                Verdict::InUse
            });
            assert_eq!(refused, Err(ConnectError::PortsExhausted { in_use: 65_536, unusable: 0 }));
            assert_eq!(asked.len(), call * 65_536);
        }
    }

    #[test]
    fn one_pair_that_is_taken_is_named() {
        let mut ports = Ports::new(&[3; 16], 1000..=1009);
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        let tuple = FourTuple { local: SocketAddr::new(one().first(), 7), remote };
        let mut choose =
            |locals, judge: fn(&FourTuple) -> Verdict| ports.choose(locals, Some(7), remote, judge);
        assert_eq!(choose(one(), |_| Verdict::InUse), Err(ConnectError::InUse(tuple)));
        assert_eq!(choose(one(), |_| Verdict::Unusable), Err(ConnectError::Unusable(tuple)));
        let exhausted = ConnectError::PortsExhausted { in_use: 2, unusable: 0 };
        assert_eq!(choose(several(2), |_| Verdict::InUse), Err(exhausted));
    }
}
