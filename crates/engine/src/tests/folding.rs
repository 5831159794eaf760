//! Connections at rest are folded where there are more than the working set holds, and nobody notices.

use tcp::conn::{Keepalive, State};

use super::*;
use crate::fake::limits;

/// Folds whoever is at rest, at once.
fn folding(address: Ipv4Addr) -> TestEngine {
    engine_with(EngineConfig { working_set: 0, ..config(address) }, limits())
}

#[test]
fn what_is_asked_of_a_folded_connection_is_what_it_was_and_leaves_it_folded() {
    let mut net = Net::with(folding(A), engine(B, limits()));
    let (a, b) = net.connected(&cfg());
    let data = pattern(1, 300_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == data.len());
    let ask = |n: &Net| {
        let stats = n.a.stats(a).map(|s| tcp::conn::ConnStats { time: Default::default(), ..s });
        (n.a.marks(a), n.a.capacity(a), n.a.state(a), n.a.tuple(a), n.a.must_wait(a), stats)
    };
    net.run(Nanos::from_secs(10), |n| n.a.marks(a).is_some_and(|m| m.acked.0 == data.len() as u64));
    let before = ask(&net);
    net.rest();
    assert_eq!(net.a.slots.awake(), 0, "it is folded");
    assert_eq!(ask(&net).0.map(|m| m.acked), before.0.map(|m| m.acked));
    assert_eq!(net.a.marks(a).map(|m| m.reclaimed.0), Some(data.len() as u64));
    assert_eq!(
        (ask(&net).1, ask(&net).2, ask(&net).3, ask(&net).4),
        (before.1, before.2, before.3, before.4)
    );
    assert_eq!(ask(&net).5, before.5);
    assert_eq!(net.a.slots.awake(), 0, "asking does not unfold it");
    assert_eq!(net.a.state(a), Some(State::Established));
    net.finish();
}

#[test]
fn either_side_may_begin_again() {
    let mut net = Net::with(folding(A), folding(B));
    let (a, b) = net.connected(&cfg());
    let mut sent = [0, 0];
    for round in 0..5 {
        net.rest();
        assert_eq!((net.a.slots.awake(), net.b.slots.awake()), (0, 0), "round {round}");
        let data = pattern(round, 40_000);
        if round % 2 == 0 {
            send_all(&mut net, a, &data);
            sent[0] += data.len();
        } else {
            let mut at = 0;
            net.run(Nanos::from_secs(60), |n| {
                at += n.b.send_copy(b, &data[at..], SendFlags::default()).unwrap_or(0);
                at == data.len()
            });
            sent[1] += data.len();
        }
        net.run(Nanos::from_secs(10), |n| {
            n.received_b(b).len() == sent[0] && n.received_a(a).len() == sent[1]
        });
    }
    net.rest();
    let c = net.a.counters();
    assert!(c.connections_unfolded >= 5 && c.connections_folded == c.connections_unfolded + 1, "{c:?}");
    net.finish();
}

#[test]
fn a_handle_on_a_folded_connection_that_is_gone_finds_nothing() {
    let mut net = Net::with(folding(A), engine(B, limits()));
    let (old, peer) = net.connected(&cfg());
    net.rest();
    net.a.release(old);
    net.b.release(peer);
    assert_eq!(net.a.state(old), None);
    net.run(Nanos::from_secs(10), |n| n.a.connections() == 0);
    let (new, _) = net.connected(&cfg());
    net.rest();
    assert_eq!(new.index(), old.index(), "its place is used again");
    assert_eq!((net.a.state(old), net.a.state(new)), (None, Some(State::Established)));
    assert!(net.a.send_copy(old, b"to nobody", SendFlags::default()).is_err());
    net.finish();
}

#[test]
fn s47_a_folded_connection_asks_a_silent_peer_in_its_time() {
    let keepalive = Some(Keepalive { idle: Nanos::from_secs(5), interval: Nanos::from_secs(1), probes: 3 });
    let mut net = Net::with(folding(A), engine(B, limits()));
    let (a, _) = net.connected(&ConnConfig { keepalive, ..cfg() });
    net.rest();
    assert_eq!(net.a.slots.awake(), 0);
    let probes = |n: &Net| n.a.stats(a).map_or(0, |s| s.keepalive_probes);
    net.run(Nanos::from_secs(20), |n| probes(n) == 2);
    net.rest();
    assert_eq!(net.a.slots.awake(), 0, "the peer answered, and all is quiet again");
    // Nobody answers any more.
    net.filter = Box::new(|_, _| false);
    net.run(Nanos::from_secs(60), |n| n.events_a.iter().any(|(id, e)| *id == a && is_closed(e)));
    net.filter = Box::new(|_, _| true);
    net.finish();
}

fn is_closed(event: &EngineEvent) -> bool {
    matches!(event, EngineEvent::Conn(Event::Closed(Err(_))))
}

#[test]
fn only_those_are_folded_that_the_working_set_has_no_room_for() {
    let a = engine_with(EngineConfig { working_set: 10, ..config(A) }, limits());
    let mut net = Net::with(a, engine(B, limits()));
    let all: Vec<_> = (0..10).map(|_| net.connected(&cfg()).0).collect();
    net.rest();
    assert_eq!((net.a.slots.awake(), net.a.counters().connections_folded), (10, 0));
    let more: Vec<_> = (0..20).map(|_| net.connected(&cfg()).0).collect();
    net.rest();
    assert_eq!(net.a.slots.awake(), 10);
    // Who works is not folded, though all others could be.
    let before = net.a.counters().connections_unfolded;
    for _ in 0..50 {
        send_all(&mut net, more[19], b"again");
        net.rest();
    }
    assert!(net.a.counters().connections_unfolded <= before + 1);
    assert_eq!(all.iter().filter(|&&id| net.a.state(id) == Some(State::Established)).count(), 10);
    net.finish();
}
