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
