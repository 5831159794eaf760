//! The device's own times of what leaves.

use tcp::{DeviceTime, Offset, SendTime, SendTimeKind};

use super::*;
use crate::fake::{Verdict, limits};

const ASK: SendFlags = SendFlags { timestamp: true, more: false, eor: false, part: false };

/// Two ends of which A's device tells when frames leave, and a connection between them.
fn timed() -> (Net, ConnId, ConnId) {
    let mut nic = FakeNic::new(limits(), 1);
    nic.stamps = true;
    let a = Engine::new(Checked::new(nic), config(A)).expect("the configuration is sound");
    let mut net = Net::with(a, engine(B, limits()));
    let (a, b) = net.connected(&ConnConfig { no_delay: true, autocork: false, ..ConnConfig::default() });
    (net, a, b)
}

/// What A was told of its device's times.
fn device_times(net: &Net) -> Vec<SendTime> {
    let times = net.events_a.iter().filter_map(|(_, e)| match e {
        EngineEvent::Conn(Event::SendTime(t)) if matches!(t.kind, SendTimeKind::Device { .. }) => Some(*t),
        _ => None,
    });
    times.collect()
}

/// Turns until what A sent is acknowledged; the frames that left.
fn run_acked(net: &mut Net, a: ConnId) -> Vec<Sent> {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let sink = seen.clone();
    net.filter = Box::new(move |sent, from_a| {
        if from_a {
            sink.borrow_mut().push(sent.clone());
        }
        true
    });
    net.run(Nanos::from_secs(5), |n| n.a.marks(a).is_some_and(|m| m.acked == m.accepted));
    net.filter = Box::new(|_, _| true);
    seen.take()
}

#[test]
fn s33_a_send_that_asks_is_told_by_the_device_when_its_last_segment_left() {
    let (mut net, a, b) = timed();
    let data = pattern(11, 9_000);
    net.a.send_copy(a, &data[..3_000], SendFlags::default()).unwrap();
    assert!(run_acked(&mut net, a).iter().all(|sent| !sent.meta.stamp), "nobody asked");
    net.a.send_copy(a, &data[3_000..], ASK).unwrap();
    let at = net.now + Nanos::from_nanos(700);
    net.a.fake().stamp = Some(DeviceTime { at, clock: 123_456 });
    let sent = run_acked(&mut net, a);
    let asked: Vec<_> = sent.iter().filter(|sent| sent.meta.stamp).collect();
    let [last] = asked[..] else { panic!("{} frames asked", asked.len()) };
    assert_eq!(last.meta.tso_segsz, 0, "no device tells of what it segments");
    assert!(sent.iter().any(|sent| sent.meta.tso_segsz != 0), "what comes before is segmented as ever");
    assert!(last.bytes.ends_with(&data[8_990..]), "the end of the send");
    let kind = SendTimeKind::Device { clock: 123_456 };
    assert_eq!(device_times(&net), [SendTime { end: Offset(9_000), kind, at }]);
    assert_eq!((net.a.counters().tx_times, net.a.counters().tx_times_missed), (1, 0));
    assert_eq!(net.received_b(b), data);
    net.finish();
}

#[test]
fn s33_a_device_has_room_for_one_time_and_what_leaves_meanwhile_is_counted() {
    let (mut net, a, _) = timed();
    for _ in 0..3 {
        net.a.send_copy(a, b"a send", ASK).unwrap();
        net.a.poll(net.now);
    }
    assert_eq!(net.a.stats(a).map(|s| s.device_times_missed), Some(2));
    // Though the ACK came, the first one's time may come still, and then the next has its own.
    run_acked(&mut net, a);
    assert_eq!(device_times(&net), []);
    let (at, clock) = (net.now, 5);
    net.a.fake().stamp = Some(DeviceTime { at, clock });
    net.step();
    assert!(!net.a.fake().stamp_claimed);
    net.a.send_copy(a, b"a send", ASK).unwrap();
    net.a.fake().stamp = Some(DeviceTime { at, clock: 6 });
    run_acked(&mut net, a);
    let told: Vec<_> = device_times(&net).iter().map(|t| (t.end.0, t.kind)).collect();
    assert_eq!(told, [(6, SendTimeKind::Device { clock: 5 }), (24, SendTimeKind::Device { clock: 6 })]);
    assert_eq!(net.a.counters().tx_times_missed, 2);
    net.finish();
}

#[test]
fn s33_a_time_that_does_not_come_is_given_up_and_one_that_was_refused_is_asked_for_again() {
    let (mut net, a, _) = timed();
    net.a.fake().verdict = Verdict::Room(0);
    net.a.send_copy(a, b"a send", ASK).unwrap();
    net.a.poll(net.now);
    assert!(!net.a.fake().stamp_claimed, "what was not sent has no time");
    assert_eq!(net.a.stats(a).map(|s| s.device_times_missed), Some(0));
    net.a.fake().verdict = Verdict::Take;
    assert!(run_acked(&mut net, a).iter().any(|sent| sent.meta.stamp));
    assert!(net.a.fake().stamp_claimed);
    assert!(net.a.next_deadline().is_some_and(|at| at < net.now + Nanos::from_millis(1)), "it is looked for");
    net.now += Nanos::from_secs(1);
    net.a.poll(net.now);
    assert!(!net.a.fake().stamp_claimed);
    assert_eq!(net.a.stats(a).map(|s| s.device_times_missed), Some(1));
    assert_eq!(net.a.counters().tx_times_missed, 1);
    // A connection that is gone leaves the place to others, too.
    net.a.send_copy(a, b"the last", ASK).unwrap();
    run_acked(&mut net, a);
    assert!(net.a.fake().stamp_claimed);
    net.a.abort(a);
    net.a.release(a);
    net.a.fake().stamp = Some(DeviceTime { at: net.now, clock: 9 });
    net.step();
    net.step();
    assert!(!net.a.fake().stamp_claimed);
    net.finish();
}
