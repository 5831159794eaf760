//! Settings that change while a connection lives, as they reach the wire.

use tcp::conn::{ConnConfig, Linger, SendFlags, Setting};
use tcp::{Event, Nanos};

use super::{Net, cfg, pattern};
use crate::fake::limits;
use crate::{EngineEvent, SendRefusal};

/// Nothing but these few microseconds passes: too little for any timer.
const SOON: Nanos = Nanos::from_millis(1);

#[test]
fn s17_a_cork_that_is_taken_out_lets_the_short_segment_go_in_the_next_turn() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.set(a, Setting::Cork(true));
    net.a.send_copy(a, b"held", SendFlags::default()).unwrap();
    let end = net.now + SOON;
    while net.now < end && net.step() {}
    assert_eq!(net.received_b(b), b"");
    net.a.set(a, Setting::Cork(false));
    net.run(SOON, |n| n.received_b(b) == b"held");
    net.finish();
}

#[test]
fn s16_no_delay_set_lets_out_what_nagle_holds() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    // No acknowledgement comes, so the second small segment waits.
    net.filter = Box::new(|_, from_a| from_a);
    net.a.send_copy(a, b"one", SendFlags::default()).unwrap();
    net.run(SOON, |n| n.received_b(b) == b"one");
    net.a.send_copy(a, b"two", SendFlags::default()).unwrap();
    let end = net.now + SOON;
    while net.now < end && net.step() {}
    assert_eq!(net.received_b(b), b"one");
    net.a.set(a, Setting::NoDelay(true));
    net.run(SOON, |n| n.received_b(b) == b"onetwo");
    net.filter = Box::new(|_, _| true);
    net.finish();
}

#[test]
fn s4_a_larger_send_buffer_tells_who_waits_for_room() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&ConnConfig { send_buffer: Some(2_000), ..cfg() });
    net.filter = Box::new(|_, from_a| from_a);
    let data = pattern(1, 10_000);
    net.a.send_copy(a, &data, SendFlags::default()).unwrap();
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()).unwrap_err().reason, SendRefusal::Full);
    net.a.set(a, Setting::SendBuffer(100_000));
    net.run(SOON, |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()), Ok(10_000));
    net.filter = Box::new(|_, _| true);
    net.finish();
}

#[test]
fn s45_a_linger_of_zero_set_late_resets() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.set(a, Setting::Linger(Linger::Bounded(Nanos::ZERO)));
    net.a.release(a);
    // The handle is stale: nothing happens.
    net.a.set(a, Setting::Cork(true));
    net.run(SOON, |n| {
        n.events_b.iter().any(|(id, e)| *id == b && matches!(e, EngineEvent::Conn(Event::Closed(Err(_)))))
    });
    net.finish();
}

#[test]
fn must_21_the_user_timeout_can_be_shortened_on_a_live_connection() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    net.filter = Box::new(|_, from_a| from_a);
    net.a.set(a, Setting::UserTimeout(Nanos::from_secs(2)));
    net.a.send_copy(a, b"nobody answers", SendFlags::default()).unwrap();
    let began = net.now;
    net.run(Nanos::from_secs(5), |n| {
        n.events_a.iter().any(|(id, e)| *id == a && matches!(e, EngineEvent::Conn(Event::Closed(Err(_)))))
    });
    assert!(net.now.since(began) >= Nanos::from_secs(2));
    net.filter = Box::new(|_, _| true);
    net.finish();
}
