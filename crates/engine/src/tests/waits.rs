//! What callers that turn the loop themselves rest on (`S2`, `S6`).

use std::net::SocketAddr;

use tcp::conn::SendFlags;
use tcp::{ConnError, ConnErrorKind, Nanos, Offset};

use super::*;
use crate::SendRefusal;
use crate::fake::{Verdict, limits};

#[test]
fn s2_before_the_handshake_is_complete_a_send_is_refused_and_connected_tells() {
    let mut net = Net::new(limits());
    net.b.listen(SocketAddr::from((B, PORT)), 8, cfg()).unwrap();
    let id = net.a.connect(net.now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    let buf = net.a.buf(b"early");
    let refused = net.a.send(id, buf, SendFlags::default()).unwrap_err();
    assert_eq!((refused.payload.as_slice(), refused.reason), (&b"early"[..], SendRefusal::Full));
    assert_eq!(net.a.send_copy(id, b"early", SendFlags::default()).unwrap_err().reason, SendRefusal::Full);
    assert!(net.a.must_wait(id));
    net.run(Nanos::from_secs(10), |n| n.has_a(id, EngineEvent::Conn(Event::Connected)));
    assert!(!net.a.must_wait(id));
    net.a.send(id, refused.payload, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(10), |n| n.a.marks(id).unwrap().acked == Offset(5));
    // Outside of ESTABLISHED and CLOSE-WAIT it is no matter of waiting.
    net.a.shutdown_write(id);
    assert_eq!(net.a.send_copy(id, b"late", SendFlags::default()).unwrap_err().reason, SendRefusal::Finished);
    net.finish();
}

#[test]
fn s2_a_refused_writer_waits_until_a_third_is_free() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(30_000), max_mss: Some(1_000), ..cfg() });
    net.filter = Box::new(|_, from_a| from_a);
    assert!(!net.a.must_wait(a));
    net.a.send_copy(a, &[1; 40_000], SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert!(net.a.must_wait(a));
    net.filter = Box::new(|_, _| true);
    // While it waits less than a third is free; when it does not any more, at least that.
    let mut waited = 0;
    net.run(Nanos::from_secs(60), |n| {
        let waits = n.a.must_wait(a);
        waited += u32::from(waits && n.a.capacity(a) > 0);
        assert!(!waits || n.a.capacity(a) < 10_000, "{}", n.a.capacity(a));
        !waits
    });
    assert!(waited > 0 && net.a.capacity(a) >= 9_500, "{waited} {}", net.a.capacity(a));
    net.a.abort(a);
    assert!(!net.a.must_wait(a), "what is over has no room");
    net.run(Nanos::from_secs(60), |n| n.b.state(b) == Some(tcp::conn::State::Closed));
    net.finish();
}

#[test]
fn s2_one_event_is_taken_and_the_others_stay() {
    let mut net = Net::new(limits());
    let listener = net.b.listen(SocketAddr::from((B, PORT)), 8, cfg()).unwrap();
    let other = net.b.listen(SocketAddr::from((B, PORT + 1)), 8, cfg()).unwrap();
    assert_eq!(net.b.take_accepted(listener), None);
    let id = net.a.connect(net.now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    // Nobody asks for events meanwhile.
    while net.a.state(id) != Some(tcp::conn::State::Established)
        || net.b.connections() == 0
        || !settled(&mut net)
    {
        exchange(&mut net);
    }
    net.a.send_copy(id, b"hello", SendFlags::default()).unwrap();
    for _ in 0..10 {
        exchange(&mut net);
    }
    assert!(net.a.take_connected(id) && !net.a.take_connected(id));
    assert_eq!(net.b.take_accepted(other), None);
    let accepted = net.b.take_accepted(listener).expect("accepted");
    assert_eq!(net.b.take_accepted(listener), None);
    assert_eq!(net.b.poll_event(), Some((accepted, EngineEvent::Conn(Event::Readable))));
    assert_eq!(net.a.poll_event(), Some((id, EngineEvent::Conn(Event::Acked))));
    assert_eq!((net.a.poll_event(), net.b.poll_event()), (None, None));
    net.finish();
}

/// The handshake is complete on the side that accepts.
fn settled(net: &mut Net) -> bool {
    net.b.state(ConnId::from_bits(0)) == Some(tcp::conn::State::Established)
}

/// Both engines poll and frames travel; nobody asks for events.
fn exchange(net: &mut Net) {
    net.now += Nanos::from_millis(50);
    net.a.poll(net.now);
    for sent in net.a.sent() {
        deliver(&mut net.b, &sent);
    }
    net.b.poll(net.now);
    for sent in net.b.sent() {
        deliver(&mut net.a, &sent);
    }
}

#[test]
fn s6_a_failure_is_taken_once_and_never_told_again() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
    assert_eq!(net.a.take_error(a), None);
    net.b.abort(b);
    while net.a.state(a) != Some(tcp::conn::State::Closed) {
        exchange(&mut net);
    }
    let error = ConnError { kind: ConnErrorKind::Reset, acked: Offset(5) };
    assert_eq!(net.a.take_error(a), Some(EngineEvent::Conn(Event::Closed(Err(error)))));
    assert_eq!((net.a.take_error(a), net.a.poll_event()), (None, None));
    net.finish();
}

#[test]
fn s6_a_device_that_takes_nothing_is_told_once_and_no_abort_beside_it() {
    let mut config = config(A);
    config.stuck_timeout = Nanos::from_millis(100);
    let mut net = Net::with(engine_with(config, limits()), engine(B, limits()));
    let (a, _) = net.connected(&cfg());
    net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
    net.a.fake().verdict = Verdict::Room(0);
    let stuck = EngineEvent::Stuck { errno: None };
    net.run(Nanos::from_secs(10), |n| n.has_a(a, stuck));
    let end = net.now + Nanos::from_millis(100);
    while net.now < end && net.step() {}
    let ends = |e: &EngineEvent| matches!(e, EngineEvent::Stuck { .. } | EngineEvent::Conn(Event::Closed(_)));
    assert_eq!(net.events_a.iter().filter(|(id, e)| *id == a && ends(e)).count(), 1);
    net.a.fake().verdict = Verdict::Take;
    net.finish();
}
