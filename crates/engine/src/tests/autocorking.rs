//! Sends that wait for the port, and sends that do not wait for their end: `S18`, `S20`.

use super::*;
use crate::fake::limits;

/// A connection of A's over a link of `bps`, with a burst of half its window in a port that says nothing of completions.
fn burst_in_port(bps: u64, cfg: &ConnConfig) -> (Net, ConnId, ConnId) {
    let mut net = Net::new(NicLimits { link_bps: Some(bps), ..limits() });
    let (a, b) = net.connected(cfg);
    // What the handshake left behind has gone.
    net.now += Nanos::from_millis(10);
    net.a.poll(net.now);
    net.a.sent();
    let burst = net.a.stats(a).unwrap().mss as usize * 5;
    net.a.send_copy(a, &pattern(1, burst), SendFlags::default()).unwrap();
    net.a.poll(net.now);
    let sent = net.a.sent();
    assert_eq!(sent.iter().map(payload_of).map(|p| p.len()).collect::<Vec<_>>(), [burst]);
    // It is delivered, but B's answer does not arrive as long as A alone is polled.
    sent.iter().for_each(|frame| deliver(&mut net.b, frame));
    (net, a, b)
}

/// Polls A whenever it wants to be until it sends payload; that, and when.
fn next_payload(net: &mut Net) -> (Vec<u8>, Time) {
    for _ in 0..1000 {
        net.now = net.now.max(net.a.next_deadline().expect("something is to come"));
        net.a.poll(net.now);
        let sent = net.a.sent();
        if let Some(frame) = sent.iter().find(|frame| !payload_of(frame).is_empty()) {
            deliver(&mut net.b, frame);
            return (payload_of(frame), net.now);
        }
        net.now += Nanos::from_nanos(1);
    }
    panic!("nothing is sent");
}

#[test]
fn s18_small_sends_leave_together_when_the_burst_before_them_has_left() {
    let (mut net, a, b) = burst_in_port(1_000_000_000, &ConnConfig { no_delay: true, ..cfg() });
    let begun = net.now;
    for n in 0..10 {
        net.now += Nanos::from_micros(1);
        net.a.send_copy(a, &[n; 10], SendFlags::default()).unwrap();
        net.a.poll(net.now);
        assert!(net.a.sent().is_empty(), "{n}");
    }
    let (payload, at) = next_payload(&mut net);
    assert_eq!(payload.len(), 100);
    // 7306 bytes at 8 ns.
    let waited = at.since(begun);
    assert!((58_000..60_000).contains(&waited.as_nanos()), "{waited}");
    assert_eq!(net.a.stats(a).unwrap().autocorks, 1);
    net.run(Nanos::from_secs(1), |n| n.received_b(b).len() == 7240 + 100);
    net.finish();
}

#[test]
fn s18_a_slow_port_is_waited_for_100_microseconds() {
    let (mut net, a, b) = burst_in_port(10_000_000, &ConnConfig { no_delay: true, ..cfg() });
    net.a.send_copy(a, b"small", SendFlags::default()).unwrap();
    let begun = net.now;
    net.a.poll(net.now);
    assert!(net.a.sent().is_empty());
    let (payload, at) = next_payload(&mut net);
    assert_eq!(payload, b"small");
    let waited = at.since(begun);
    assert!((100_000..110_000).contains(&waited.as_nanos()), "{waited}");
    net.run(Nanos::from_secs(1), |n| n.received_b(b).len() == 7240 + 5);
    net.finish();
}

#[test]
fn s18_an_ack_for_the_burst_says_that_it_has_left() {
    let (mut net, a, _) = burst_in_port(10_000_000, &ConnConfig { no_delay: true, ..cfg() });
    net.a.send_copy(a, b"small", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert!(net.a.sent().is_empty());
    net.b.poll(net.now);
    net.b.sent().iter().for_each(|ack| deliver(&mut net.a, ack));
    net.a.poll(net.now);
    assert_eq!(net.a.sent().iter().map(payload_of).collect::<Vec<_>>(), [b"small"]);
    net.finish();
}

#[test]
fn s18_waiting_for_the_port_can_be_turned_off() {
    let (mut net, a, _) = burst_in_port(10_000_000, &ConnConfig { no_delay: true, autocork: false, ..cfg() });
    net.a.send_copy(a, b"small", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert_eq!(net.a.sent().iter().map(payload_of).collect::<Vec<_>>(), [b"small"]);
    net.finish();
}

#[test]
fn s18_who_waits_for_the_port_costs_no_turns() {
    let (mut net, a, _) = burst_in_port(10_000_000, &ConnConfig { no_delay: true, ..cfg() });
    net.a.send_copy(a, b"small", SendFlags::default()).unwrap();
    net.a.poll(net.now);
    net.a.poll(net.now);
    let idle = net.a.counters().iterations_idle;
    for _ in 0..20 {
        net.now += Nanos::from_micros(1);
        assert!(!net.a.poll(net.now).more);
    }
    assert_eq!(net.a.counters().iterations_idle - idle, 20);
    net.finish();
}
