//! Address resolution as the wire sees it (`S49`).

use std::net::SocketAddr;

use tcp::{ConnErrorKind, Event, Nanos, Time};

use super::*;
use crate::arp::{Arp, Op};
use crate::fake::limits;

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn arp_frame(to: [u8; 6], arp: Arp) -> Vec<u8> {
    let mut f = Vec::new();
    f.extend_from_slice(&to);
    f.extend_from_slice(&arp.sender_mac);
    f.extend_from_slice(&[8, 6]);
    f.extend_from_slice(&arp.to_bytes());
    f.resize(60, 0);
    f
}

fn arps(e: &mut TestEngine) -> Vec<(Vec<u8>, Arp)> {
    e.sent().iter().filter_map(|s| Some((s.bytes[..6].to_vec(), Arp::parse(s.bytes.get(14..)?)?))).collect()
}

fn request(sender_mac: [u8; 6], sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Arp {
    Arp { op: Op::Request, sender_mac, sender_ip, target_mac: [0; 6], target_ip }
}

#[test]
fn no_answer_is_an_unreachable_error_after_three_requests() {
    let mut e = engine(A, limits());
    let mut now = Time::from_nanos(1_000_000_000);
    let start = now;
    let id = e.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    let mut asked = Vec::new();
    let error = loop {
        e.poll(now);
        asked.extend(arps(&mut e));
        if let Some((i, EngineEvent::Conn(Event::Closed(Err(error))))) = e.poll_event() {
            assert_eq!(i, id);
            break error;
        }
        now = now.max(e.next_deadline().expect("something is to come")) + Nanos::from_nanos(1);
        assert!(now.since(start) < Nanos::from_secs(5), "it takes three seconds");
    };
    assert_eq!(error.kind, ConnErrorKind::NoNeighbour);
    assert!(now.since(start) >= Nanos::from_millis(2900));
    assert_eq!(asked.len(), 3);
    for (to, arp) in asked {
        assert_eq!(to, [0xff; 6]);
        assert_eq!(arp, request(MAC_A, A, B));
    }
    assert_eq!((e.counters().arp_requests_sent, e.counters().arp_failed), (3, 1));
    e.release(id);
    e.poll(now);
    assert!(e.is_idle());
}

#[test]
fn connections_wait_for_the_address_and_all_go_on_with_it() {
    let mut e = engine(A, limits());
    let now = Time::from_nanos(1_000_000_000);
    for _ in 0..50 {
        e.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    }
    e.poll(now);
    e.poll(now + Nanos::from_micros(10));
    assert_eq!(arps(&mut e).len(), 1, "one request for all");
    let reply = Arp { op: Op::Reply, sender_mac: MAC_B, sender_ip: B, target_mac: MAC_A, target_ip: A };
    e.fake().inject(&arp_frame(MAC_A, reply));
    e.poll(now + Nanos::from_micros(20));
    e.poll(now + Nanos::from_micros(30));
    let syns = e.sent();
    assert_eq!(syns.len(), 50);
    assert!(syns.iter().all(|s| s.bytes[..6] == MAC_B && tcp_of(s).is_some_and(|t| t.syn)));
}

#[test]
fn beyond_our_network_the_gateway_is_asked_for() {
    let gateway = Ipv4Addr::new(10, 0, 0, 254);
    let mut e = engine_with(EngineConfig { gateway: Some(gateway), ..config(A) }, limits());
    let now = Time::from_nanos(1_000_000_000);
    e.connect(now, "192.0.2.1:80".parse().unwrap(), &cfg()).unwrap();
    e.poll(now + Nanos::from_micros(10));
    assert_eq!(arps(&mut e)[0].1.target_ip, gateway);
    let reply = Arp { op: Op::Reply, sender_mac: MAC_B, sender_ip: gateway, target_mac: MAC_A, target_ip: A };
    e.fake().inject(&arp_frame(MAC_A, reply));
    e.poll(now + Nanos::from_micros(20));
    let sent = e.sent();
    assert_eq!(sent[0].bytes[..6], MAC_B);
    assert_eq!(sent[0].bytes[30..34], [192, 0, 2, 1]);
}

#[test]
fn requests_for_our_address_are_answered_and_for_others_not() {
    let mut e = engine(A, limits());
    e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, B, A)));
    e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, B, Ipv4Addr::new(10, 0, 0, 3))));
    e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, Ipv4Addr::UNSPECIFIED, A)));
    e.poll(Time::from_nanos(1));
    let sent = arps(&mut e);
    assert_eq!(sent.len(), 2, "the request, and the probe of RFC 5227");
    let reply = Arp { op: Op::Reply, sender_mac: MAC_A, sender_ip: A, target_mac: MAC_B, target_ip: B };
    assert_eq!(sent[0], (MAC_B.to_vec(), reply));
    assert_eq!(e.counters().arp_replies_sent, 2);
    // The asker is known now: no request of ours is needed.
    e.connect(Time::from_nanos(2), SocketAddr::from((B, PORT)), &cfg()).unwrap();
    e.poll(Time::from_nanos(3));
    assert!(tcp_of(&e.sent()[0]).is_some_and(|t| t.syn));
}

#[test]
fn a_station_that_claims_our_address_is_counted_and_told_once_in_a_while() {
    let mut e = engine(A, limits());
    let claim = arp_frame([0xff; 6], request(MAC_B, A, A));
    let mut now = Time::from_nanos(1_000_000_000);
    for _ in 0..5 {
        e.fake().inject(&claim);
        e.poll(now);
        now += Nanos::from_secs(1);
    }
    assert_eq!(e.counters().arp_conflicts, 5);
    let defence = arps(&mut e);
    assert_eq!(defence.len(), 1);
    assert_eq!(defence[0].1, request(MAC_A, A, A));
    now += Nanos::from_secs(10);
    e.fake().inject(&claim);
    e.poll(now);
    assert_eq!(arps(&mut e).len(), 1);
}

#[test]
fn an_announcement_changes_what_is_known() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    let moved = [2, 0, 0, 0, 0, 0x22];
    let frame = arp_frame([0xff; 6], request(moved, B, B));
    net.a.fake().inject(&frame);
    net.a.send_copy(a, b"x", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert_eq!(net.a.sent()[0].bytes[..6], moved);
    assert_eq!(net.a.counters().arp_changed, 1);
}

#[test]
fn a_peer_that_vanishes_is_noticed_by_unicast_probes() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    let start = net.now;
    net.filter = Box::new(|_, _| false);
    let mut sent_unicast = 0;
    // Something in flight keeps the neighbour in use.
    net.a.send_copy(a, &pattern(1, 5000), SendFlags::default()).unwrap();
    while net.now.since(start) < Nanos::from_secs(40) {
        net.now = net.now.max(net.a.next_deadline().unwrap()) + Nanos::from_nanos(1);
        net.a.poll(net.now);
        sent_unicast += arps(&mut net.a).iter().filter(|(to, _)| to[..] == MAC_B).count();
    }
    assert_eq!(sent_unicast, 3);
    assert!(net.a.counters().arp_failed >= 1);
    // The last reset has nobody to go to, and is not waited for.
    net.a.abort(a);
    net.a.release(a);
    let end = net.now + Nanos::from_secs(10);
    while !net.a.is_idle() {
        net.now = net.now.max(net.a.next_deadline().unwrap()) + Nanos::from_nanos(1);
        net.a.poll(net.now);
        assert!(net.now < end, "still there: {:?}", net.a.remaining());
    }
}

#[test]
fn a_neighbour_nobody_needs_any_more_makes_room() {
    let neighbours = crate::NeighbourConfig { max: 1, ..crate::NeighbourConfig::default() };
    let mut e = engine_with(EngineConfig { neighbours, ..config(A) }, limits());
    let mut now = Time::from_nanos(1_000_000_000);
    let first = e.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    let other = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 3), PORT));
    assert_eq!(e.connect(now, other, &cfg()), Err(crate::ConnectError::TooManyNeighbours(1)));
    e.release(first);
    for _ in 0..10 {
        now += Nanos::from_secs(1);
        e.poll(now);
    }
    assert!(e.is_idle());
    e.connect(now, other, &cfg()).unwrap();
}

/// The last one of nine addresses that A has; its peer is further off.
const LAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn engine_of_nine() -> TestEngine {
    engine_with(EngineConfig { last_address: Some(LAST), ..config(A) }, limits())
}

#[test]
fn each_of_our_addresses_is_answered_for_as_itself() {
    let mut e = engine_of_nine();
    let now = Time::from_nanos(1_000_000_000);
    for ours in [A, Ipv4Addr::new(10, 0, 0, 5), LAST] {
        e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, FAR, ours)));
        e.poll(now);
        let reply =
            Arp { op: Op::Reply, sender_mac: MAC_A, sender_ip: ours, target_mac: MAC_B, target_ip: FAR };
        assert_eq!(arps(&mut e), [(MAC_B.to_vec(), reply)]);
    }
    e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, FAR, Ipv4Addr::new(10, 0, 0, 10))));
    e.poll(now);
    assert_eq!(arps(&mut e), [], "the next one is somebody else's");
    assert_eq!(e.counters().arp_replies_sent, 3);
    // Who claims one of them is told whose it is.
    e.fake().inject(&arp_frame([0xff; 6], request(MAC_B, LAST, LAST)));
    e.poll(now);
    assert_eq!(arps(&mut e), [([0xff; 6].to_vec(), request(MAC_A, LAST, LAST))]);
    assert_eq!(e.counters().arp_conflicts, 1);
}

#[test]
fn connections_leave_from_each_of_our_addresses_in_turn_and_are_answered_there() {
    let mut net =
        Net::with(engine_of_nine(), engine_with(EngineConfig { address: FAR, ..config(B) }, limits()));
    net.b.listen(SocketAddr::from((FAR, PORT)), 100, cfg()).unwrap();
    let ids: Vec<_> =
        (0..18).map(|_| net.a.connect(net.now, SocketAddr::from((FAR, PORT)), &cfg()).unwrap()).collect();
    let mut from: Vec<_> = ids.iter().map(|id| net.a.tuple(*id).unwrap().local.ip()).collect();
    from.sort_unstable();
    from.dedup();
    assert_eq!(from.len(), 9);
    while net.step()
        && net.events_b.iter().filter(|(_, e)| matches!(e, EngineEvent::Accepted(_))).count() < 18
    {}
    let connected = net.events_a.iter().filter(|(_, e)| matches!(e, EngineEvent::Conn(Event::Connected)));
    assert_eq!(connected.count(), 18, "segments to each address are taken in");
    assert_eq!(net.a.counters().drop_ip_not_ours, 0);
}
