//! What connections take from the memory of the core, and what they leave to each other (`S5`).

use tcp::conn::{ConnConfig, SendFlags, State};
use tcp::{Event, Nanos};

use super::*;
use crate::SendRefusal;
use crate::fake::limits;

/// A host whose send queues may hold 100 kB, and a connection that has 99 kB of it queued for a peer that does not read.
fn full() -> (Net, ConnId, ConnId) {
    let bounded = EngineConfig { queued_bytes: Some(100_000), ..config(A) };
    let mut net = Net::with(engine_with(bounded, limits()), engine(B, limits()));
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(200_000), receive_buffer: 1000, ..cfg() });
    net.reads_b = false;
    let buf = net.a.buf(&pattern(50, 99_000));
    net.a.send(a, buf, SendFlags::default()).unwrap();
    (net, a, b)
}

fn reset(net: &mut Net, a: ConnId, b: ConnId) {
    net.b.abort(b);
    net.run(Nanos::from_secs(1), |n| n.a.state(a) == Some(State::Closed));
}

/// Sends 1000 bytes by reference.
fn refer(net: &mut Net, a: ConnId) -> Result<(), SendRefusal> {
    let buf = net.a.buf(&pattern(51, 1000));
    net.a.send(a, buf, SendFlags::default()).map(drop).map_err(|e| e.reason)
}

#[test]
fn s5_a_connection_that_is_over_counts_for_nothing_though_it_is_not_released() {
    let (mut net, dead, b) = full();
    let (a, _) = net.connected(&cfg());
    refer(&mut net, a).unwrap();
    net.a.poll(net.now);
    assert_eq!(refer(&mut net, a), Err(SendRefusal::NoBuffers), "while it lives, its queue counts");
    reset(&mut net, dead, b);
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    for _ in 0..20 {
        refer(&mut net, a).unwrap();
    }
    assert_eq!(net.a.counters().memory_pressure_left, 1);
}

#[test]
fn s3_a_send_by_reference_on_a_dead_connection_is_finished_though_memory_is_full() {
    let (mut net, dead, b) = full();
    let (other, _) = net.connected(&ConnConfig { send_buffer: Some(200_000), ..cfg() });
    reset(&mut net, dead, b);
    net.filter = Box::new(|_, from_a| from_a);
    let buf = net.a.buf(&pattern(52, 99_000));
    net.a.send(other, buf, SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert_eq!(refer(&mut net, other), Err(SendRefusal::NoBuffers), "memory is full");
    assert_eq!(refer(&mut net, dead), Err(SendRefusal::Finished));
    assert_eq!(net.a.counters().memory_waits, 1, "the dead one does not wait");
    // So does one that said itself that nothing follows.
    net.a.shutdown_write(other);
    assert_eq!(refer(&mut net, other), Err(SendRefusal::Finished));
}

#[test]
fn s5_a_send_by_reference_needs_none_of_what_copies_fill() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    // Nothing is acknowledged.
    net.filter = Box::new(|_, from_a| from_a);
    (net.a.fake().tail_bytes, net.a.fake().tail_total) = (1000, Some(1000));
    refer(&mut net, a).unwrap();
    net.a.poll(net.now);
    let limit = net.a.stats(a).unwrap().send_buffer;
    for _ in 0..3 {
        refer(&mut net, a).unwrap();
    }
    assert_eq!(net.a.stats(a).unwrap().send_buffer, limit, "nor does its buffer shrink");
    let e = net.a.send_copy(a, b"copied", SendFlags::default()).unwrap_err();
    assert_eq!(e.reason, SendRefusal::Full, "for a copy it does");
    assert!(net.a.stats(a).unwrap().send_buffer < limit);
    // Whoever waits for a copy may go on by reference, and copies again when there is room.
    refer(&mut net, a).unwrap();
    net.a.fake().tail_bytes = 0;
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == 5000);
    assert_eq!(net.a.send_copy(a, b"copied", SendFlags::default()).unwrap(), 6);
    net.finish();
}

#[test]
fn s5_whoever_waits_for_queue_memory_does_not_wait_behind_those_who_wait_for_a_copy() {
    let (mut net, filler, b) = full();
    (net.a.fake().tail_bytes, net.a.fake().tail_total) = (1000, Some(1000));
    let open = |net: &mut Net| net.connected(&ConnConfig { send_buffer: Some(200_000), ..cfg() }).0;
    let (copies, refers) = (open(&mut net), open(&mut net));
    net.filter = Box::new(|s, from_a| from_a || tcp_of(s).is_some_and(|t| t.rst));
    for id in [copies, refers] {
        refer(&mut net, id).unwrap();
    }
    net.a.poll(net.now);
    let e = net.a.send_copy(copies, b"copied", SendFlags::default()).unwrap_err();
    assert_eq!((e.reason, refer(&mut net, refers)), (SendRefusal::NoBuffers, Err(SendRefusal::NoBuffers)));
    // What queues may hold is free again, what copies fill is not.
    reset(&mut net, filler, b);
    net.run(Nanos::from_secs(1), |n| n.has_a(refers, EngineEvent::Conn(Event::Writable)));
    refer(&mut net, refers).unwrap();
    assert!(!net.has_a(copies, EngineEvent::Conn(Event::Writable)));
    net.a.fake().tail_bytes = 0;
    net.run(Nanos::from_secs(1), |n| n.has_a(copies, EngineEvent::Conn(Event::Writable)));
    assert_eq!(net.a.send_copy(copies, b"copied", SendFlags::default()).unwrap(), 6);
}

#[test]
fn s5_a_copy_into_the_smallest_buffer_is_a_segment() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(1), ..cfg() });
    let mss = net.a.stats(a).unwrap().mss as usize;
    let data = pattern(53, 5000);
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()).unwrap(), mss);
    assert!(net.a.send_copy(a, &data[mss..], SendFlags::default()).is_err(), "and one only");
    send_all(&mut net, a, &data[mss..]);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.finish();
}
