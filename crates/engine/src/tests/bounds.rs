//! Every iteration is bounded (invariant 7), and deadlines are kept.

use std::net::SocketAddr;

use tcp::conn::SendFlags;
use tcp::{Nanos, Time};

use super::*;
use crate::fake::limits;
use crate::{Bounds, Progress};

#[test]
fn one_poll_does_no_more_than_its_bounds() {
    let bounds = Bounds { rx_pieces: 8, timers: 16, tx_frames: 4, ..Bounds::default() };
    let mut e = engine_with(EngineConfig { bounds, ..config(A) }, limits());
    let now = Time::from_nanos(1_000_000_000);
    for _ in 0..200 {
        e.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    }
    let reply = {
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6];
        let arp = crate::arp::Arp {
            op: crate::arp::Op::Reply,
            sender_mac: [2, 0, 0, 0, 0, 2],
            sender_ip: B,
            target_mac: [2, 0, 0, 0, 0, 1],
            target_ip: A,
        };
        f.extend_from_slice(&arp.to_bytes());
        f
    };
    for _ in 0..100 {
        e.fake().inject(&reply);
    }
    let mut t = now;
    let mut all = Progress::default();
    for _ in 0..400 {
        t += Nanos::from_micros(3);
        let before = e.fake().taken;
        let p = e.poll(t);
        assert!(p.received <= 8 && p.timers <= 16 && p.sent <= 5, "{p:?}");
        assert!(e.fake().taken - before <= 5, "four and an ARP request");
        all.received += p.received;
        all.sent += p.sent;
    }
    assert_eq!(all.received, 100);
    assert_eq!(e.sent().iter().filter(|s| tcp_of(s).is_some()).count(), 200);
    // All their retransmission timers are due at once, and fire a few at a time.
    t += Nanos::from_secs(2);
    let mut polls = 0;
    let mut fired = 0;
    while fired < 200 {
        let p = e.poll(t);
        assert!(p.timers <= 16);
        fired += p.timers;
        polls += 1;
        assert!(polls < 1000);
    }
    assert!(polls >= 200 / 16);
    assert!(e.counters().timers_bounded > 0);
}

#[test]
fn a_port_is_emptied_before_anything_is_sent() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let ack = {
        net.b.send_copy(b, b"x", SendFlags::default()).unwrap();
        net.b.poll(net.now);
        net.b.sent().pop().expect("a segment").bytes
    };
    send_all(&mut net, a, &pattern(51, 10_000));
    // More than one burst, more than a host's default queue: 500 frames.
    for _ in 0..700 {
        net.a.fake().inject(&ack);
    }
    assert_eq!(net.a.poll(net.now).received, 700);
    assert!(!net.a.sent().is_empty());
    for _ in 0..5000 {
        net.a.fake().inject(&ack);
    }
    assert_eq!(net.a.poll(net.now).received, u32::from(Bounds::default().rx_pieces), "yet it is bounded");
}

/// Connections to a peer that was never heard of, all of them waiting for its address.
fn waiting_for_b(connections: usize) -> (TestEngine, Vec<ConnId>, Time) {
    let mut e = engine(A, limits());
    let mut now = Time::from_nanos(1_000_000_000);
    let connect = |_| e.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    let ids = (0..connections).map(connect).collect();
    while e.poll(now).more {
        now += Nanos::from_micros(1);
    }
    (e, ids, now)
}

#[test]
fn an_address_that_many_wait_for_wakes_a_few_at_a_time() {
    let (mut e, ids, mut now) = waiting_for_b(2000);
    let waiting =
        |e: &TestEngine| (0..2000).filter(|&n| e.slots.working(n).is_some_and(|s| s.waiting)).count();
    assert_eq!(waiting(&e), ids.len());
    e.sent();
    let mut reply = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6];
    let (op, target_mac) = (crate::arp::Op::Reply, [2, 0, 0, 0, 0, 1]);
    let arp = crate::arp::Arp { op, sender_mac: [2, 0, 0, 0, 0, 2], sender_ip: B, target_mac, target_ip: A };
    reply.extend_from_slice(&arp.to_bytes());
    e.fake().inject(&reply);
    let mut polls = 0;
    loop {
        let before = waiting(&e);
        let more = e.poll(now).more;
        assert!(before - waiting(&e) <= 256);
        polls += 1;
        now += Nanos::from_micros(1);
        if !more {
            break;
        }
    }
    assert!(polls >= 2000 / 256);
    let syns = e.sent().iter().filter(|s| tcp_of(s).is_some_and(|t| t.syn)).count();
    assert_eq!(syns, ids.len(), "nobody is forgotten");
}

#[test]
fn a_neighbour_that_does_not_answer_ends_many_connections_a_few_at_a_time() {
    let (mut e, ids, mut now) = waiting_for_b(2000);
    let mut told = 0;
    while told < ids.len() {
        now = now.max(e.next_deadline().expect("something is to come"));
        e.poll(now);
        let mut now_told = 0;
        while let Some((_, event)) = e.poll_event() {
            now_told += usize::from(matches!(event, EngineEvent::Conn(Event::Closed(Err(_)))));
        }
        assert!(now_told <= 256, "{now_told}");
        told += now_told;
        now += Nanos::from_nanos(1);
        assert!(now < Time::from_nanos(10_000_000_000), "{told}");
    }
}

#[test]
fn buffers_to_copy_into_are_given_out_a_few_at_a_time() {
    let mut net = Net::new(limits());
    let ids: Vec<_> = (0..200).map(|_| net.connected(&cfg()).0).collect();
    net.a.fake().tails_free = 0;
    for &id in &ids {
        assert!(net.a.send_copy(id, b"x", SendFlags::default()).is_err());
    }
    net.events_a.clear();
    net.a.fake().tails_free = 1000;
    let mut given = 0;
    while given < 200 {
        let before = net.a.fake().tails_free;
        let more = net.a.poll(net.now).more;
        let now_given = before - net.a.fake().tails_free;
        assert!((1..=64).contains(&now_given), "{now_given}");
        given += now_given;
        assert_eq!(more, given < 200, "whoever is left is served at once");
    }
}

#[test]
fn timers_fire_on_time() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    net.filter = Box::new(|_, _| false);
    net.a.send_copy(a, b"lost", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    let sent_at = net.now;
    let rto = net.a.stats(a).unwrap().rto;
    net.a.sent();
    loop {
        let at = net.a.next_deadline().expect("the retransmission timer");
        net.now = net.now.max(at);
        net.a.poll(net.now);
        if net.a.sent().iter().any(|s| payload_of(s) == b"lost") {
            break;
        }
        net.now += Nanos::from_nanos(1);
    }
    let late = net.now.since(sent_at).saturating_sub(rto);
    assert!(net.now.since(sent_at) >= rto, "early");
    assert!(late <= Nanos::from_micros(10), "{late} late");
}

#[test]
fn an_idle_engine_has_no_deadline_but_the_neighbours() {
    let mut e = engine(A, limits());
    assert_eq!(e.next_deadline(), None);
    let p = e.poll(Time::from_nanos(5));
    assert!(!p.is_busy() && !p.more);
    assert_eq!(e.next_deadline(), None);
    assert_eq!(e.counters().iterations_idle, 1);
}

#[test]
fn what_arrives_while_the_loop_is_away_arrived_after_its_turn_began() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let path = net.a.stats(a).and_then(|stats| stats.min_rtt).expect("the handshake measured it");
    // Whoever turns the loop looked at the clock, was away for a second, and then turned it.
    let away = Nanos::from_secs(1);
    net.a.fake().clock = Some(net.now + away);
    send_all(&mut net, a, &pattern(50, 1000));
    net.run(Nanos::from_secs(5), |n| {
        n.received_b(b).len() == 1000 && n.a.stats(a).is_some_and(|s| s.bytes_acked == 1000)
    });
    let srtt = net.a.stats(a).and_then(|stats| stats.srtt).expect("measured");
    // An eighth of the smoothed round trip is the new one: away for so long, and not a path as short as ever.
    assert!(path < away / 8 && srtt >= away / 8, "{srtt} {path}");
}

#[test]
fn cycles_are_booked_as_busy_or_idle() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    send_all(&mut net, a, &pattern(50, 100_000));
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == 100_000);
    net.a.poll(net.now + Nanos::from_millis(1));
    net.a.poll(net.now + Nanos::from_millis(1));
    let c = net.a.counters();
    assert!(
        c.cycles_rx_busy > 0
            && c.cycles_tx_busy > 0
            && c.cycles_timer_busy > 0
            && c.cycles_completion_busy > 0
    );
    assert!(c.cycles_app_busy > 0 && c.cycles_rx_idle > 0);
    let total = net.a.nic().inner().tick.get();
    // Each iteration reads the counter five times, ten cycles apart; nothing is booked twice or lost.
    assert_eq!(c.busy_cycles() + c.idle_cycles(), total - 10);
    assert_eq!(net.a.iteration_histogram().len(), c.iterations_busy);
}
