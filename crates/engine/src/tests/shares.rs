//! Where the time went (`S28`), as far as only the engine knows: what a port refuses, and what there is no memory for.

use tcp::conn::{SendFlags, Share, TimeShares};
use tcp::{Nanos, Offset};

use super::*;
use crate::fake::{Verdict, limits};

/// The shares of A's connection; they add up.
fn time(net: &Net, id: ConnId) -> TimeShares {
    let time = net.a.stats(id).unwrap().time;
    let sum = time.iter().fold(Nanos::ZERO, |sum, (_, spent)| sum + spent);
    assert_eq!(sum, time.life());
    time
}

/// How much longer `share` became in `span`.
fn grown(net: &mut Net, id: ConnId, share: Share, span: Nanos) -> Nanos {
    net.a.poll(net.now);
    let before = time(net, id).of(share);
    let end = net.now + span;
    while net.now < end {
        net.step();
    }
    net.a.poll(net.now);
    time(net, id).of(share).saturating_sub(before)
}

const SPAN: Nanos = Nanos::from_millis(20);
const NEARLY: Nanos = Nanos::from_millis(19);

#[test]
fn s28_time_in_front_of_a_full_ring_is_the_devices() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let (idle, _) = net.connected(&cfg());
    assert_eq!(time(&net, a).of(Share::Device), Nanos::ZERO);
    net.a.fake().verdict = Verdict::Room(0);
    let data = pattern(50, 100_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    assert!(grown(&mut net, a, Share::Device, SPAN) >= NEARLY);
    // One that comes later too.
    let buf = net.a.buf(b"late");
    net.a.send(idle, buf, SendFlags::default()).unwrap();
    assert!(grown(&mut net, idle, Share::Device, SPAN) >= NEARLY);
    net.a.fake().verdict = Verdict::Take;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert_eq!(grown(&mut net, a, Share::Device, SPAN), Nanos::ZERO);
    net.finish();
}

#[test]
fn s28_time_without_header_buffers_is_memorys() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.poll(net.now);
    let free = net.a.fake().headers_free.replace(0);
    let data = pattern(51, 100_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    assert!(grown(&mut net, a, Share::Memory, SPAN) >= NEARLY);
    net.a.fake().headers_free.set(free);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert_eq!(grown(&mut net, a, Share::Memory, SPAN), Nanos::ZERO);
    net.finish();
}

#[test]
fn s28_a_writer_without_a_buffer_to_copy_into_waits_for_memory() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    net.a.fake().tails_free = 0;
    assert!(net.a.send_copy(a, b"hello", SendFlags::default()).is_err());
    assert!(grown(&mut net, a, Share::Memory, SPAN) >= NEARLY);
    net.a.fake().tails_free = 10;
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    assert_eq!(grown(&mut net, a, Share::Memory, SPAN), Nanos::ZERO, "there is one now");
    net.finish();
}

#[test]
fn s28_a_writer_that_is_refused_while_all_is_under_way_waits_for_the_send_buffer() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(4_000), ..cfg() });
    // The peer is silent.
    net.filter = Box::new(|_, from_a| from_a);
    net.a.send_copy(a, &[7; 3_000], SendFlags::default()).unwrap();
    net.a.poll(net.now);
    net.now += Nanos::from_millis(2);
    assert!(net.a.send_copy(a, &[8; 4_000], SendFlags::default()).unwrap() < 4_000);
    let buf = net.a.buf(&[9; 4_000]);
    net.a.poll(net.now);
    let before = time(&net, a);
    assert_eq!((before.of(Share::Busy), before.of(Share::SendBuffer)), (Nanos::from_millis(2), Nanos::ZERO));
    assert!(net.a.send(a, buf, SendFlags::default()).is_err());
    net.now += Nanos::from_millis(3);
    net.a.poll(net.now);
    let after = time(&net, a);
    assert_eq!(
        (after.of(Share::Busy), after.of(Share::SendBuffer)),
        (before.of(Share::Busy), Nanos::from_millis(3))
    );
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() > 3_000);
    net.finish();
}

#[test]
fn s28_the_share_of_a_port_that_holds_enough_is_the_devices() {
    // 10 Mbit/s, and nothing tells what left: an estimate alone drains the port.
    let limits = NicLimits { link_bps: Some(10_000_000), tx_ring: 4096, ..limits() };
    let mut net = Net::new(limits);
    let (a, b) = net.connected(&ConnConfig { initial_window: 1000, ..cfg() });
    net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
    net.filter = Box::new(|_, from_a| from_a);
    let data = pattern(52, 1_000_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    assert!(grown(&mut net, a, Share::Device, SPAN) >= NEARLY);
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(30), |n| n.received_b(b).len() == data.len() + 5);
    net.finish();
}
