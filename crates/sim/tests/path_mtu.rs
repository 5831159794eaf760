//! Routes that take no large packets, or none any more: `S42`. A connection that makes no progress within its user timeout
//! fails.

use sim::{Failure, RouteChange, Scenario, World};
use tcp::conn::MtuProbing;
use tcp::{Nanos, Time};

const BYTES: u64 = 2_000_000;

/// Two megabytes over a route that takes packets of `mtu` bytes after 20 ms, and says so (`icmp`) or not.
fn run(mtu: u16, icmp: bool, mtu_probing: MtuProbing, patience: Nanos) -> Result<u64, Failure> {
    route(
        RouteChange { mtu: Some(mtu), ..RouteChange::at(Time::from_nanos(20_000_000)) },
        icmp,
        mtu_probing,
        patience,
    )
}

fn route(change: RouteChange, icmp: bool, mtu_probing: MtuProbing, patience: Nanos) -> Result<u64, Failure> {
    let mut scenario = Scenario::plain(BYTES);
    for path in &mut scenario.paths {
        (path.rate, path.icmp, path.changes) = (100_000_000, icmp, vec![change]);
    }
    for host in &mut scenario.hosts {
        (host.conn.mtu_probing, host.conn.user_timeout) = (mtu_probing, patience);
    }
    World::new(scenario).run().map(|outcome| outcome.bytes)
}

#[test]
fn s42_a_route_that_becomes_narrow_costs_a_few_timeouts_at_the_most() {
    let ms = Nanos::from_millis;
    for mtu in [1_400, 1_280, 1_200] {
        // 200 ms, 400 ms, 800 ms.
        assert_eq!(run(mtu, false, MtuProbing::BlackHole, ms(1_700)).expect("delivered"), BYTES);
        // Routers are believed about what had arrived before at the first.
        assert_eq!(run(mtu, true, MtuProbing::Off, ms(600)).expect("delivered"), BYTES);
        // Nobody says anything, and nobody looks.
        let dead = run(mtu, false, MtuProbing::Off, Nanos::from_secs(60)).expect_err("it cannot arrive");
        assert!(dead.what.contains("TimedOut"), "{}", dead.what);
    }
    // Below what is tried first: three more, each twice as long.
    assert_eq!(run(600, false, MtuProbing::BlackHole, ms(15_000)).expect("delivered"), BYTES);
}

#[test]
fn s42_who_begins_small_needs_no_timeout() {
    let narrow = RouteChange { mtu: Some(1_300), ..RouteChange::at(Time::ZERO) };
    assert_eq!(route(narrow, false, MtuProbing::On, Nanos::from_millis(400)).expect("delivered"), BYTES);
}
