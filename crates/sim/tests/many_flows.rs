//! Several connections through one bottleneck, watched and measured.

use sim::{ConnPlan, QueueConfig, Scenario, World};
use tcp::conn::ConnConfig;
use tcp::{Nanos, Time};

/// Two connections of this much each, 10 Mbit/s, 20 ms there and back.
fn two(bytes: u64) -> Scenario {
    let mut scenario = Scenario::plain(bytes);
    for path in &mut scenario.paths {
        (path.rate, path.delay) = (10_000_000, Nanos::from_millis(10));
        path.queue = QueueConfig::bytes(50_000);
    }
    let first = scenario.conns[0].clone();
    scenario.conns.push(ConnPlan { port: 81, start: Time::from_nanos(100_000_000), ..first });
    scenario
}

#[test]
fn connections_share_a_bottleneck_and_each_is_measured() {
    let mut world = World::new(two(1_000_000));
    world.record();
    if let Err(failure) = world.run() {
        panic!("{failure}");
    }
    let trace = world.take_trace().expect("recorded");
    for (result, flow) in world.results().iter().zip(&trace.flows) {
        assert_eq!((result.received, result.stats.bytes_acked), (1_000_000, 1_000_000));
        // Each alone would take 0.85 s.
        let took = result.complete.expect("complete").since(result.opened);
        assert!(took > Nanos::from_millis(850) && took < Nanos::from_millis(2_500), "{took}");
        let first_time: u64 = flow.segments.iter().filter(|s| !s.again).map(|s| s.end - s.start).sum();
        assert_eq!(first_time, 1_000_000);
        assert_eq!(flow.acks.last().map(|(_, ack)| *ack), Some(1_000_000));
        let again: u64 = flow.segments.iter().filter(|s| s.again).map(|s| s.end - s.start).sum();
        assert_eq!(again, result.stats.bytes_retransmitted);
        assert!(flow.samples.len() > 100 && flow.samples.is_sorted_by_key(|sample| sample.at));
    }
    let fullest = trace.queues[0].iter().map(|(_, _, bytes)| *bytes).max();
    assert!(fullest.is_some_and(|bytes| (45_000..=50_000).contains(&bytes)), "{fullest:?}");
}

#[test]
fn a_run_can_be_looked_at_in_its_midst() {
    let mut world = World::new(two(1 << 40)).unobserved();
    let mut last = 0;
    for second in 1..=3 {
        if let Err(failure) = world.run_until(Time::ZERO + Nanos::from_secs(second)) {
            panic!("{failure}");
        }
        let received: u64 = world.results().iter().map(|r| r.received).sum();
        // 10 Mbit/s of frames, a twentieth of it headers and the like.
        assert!(
            (900_000..1_250_000).contains(&(received - last)) || second == 1,
            "{received} after {second} s"
        );
        last = received;
    }
}

#[test]
fn a_connection_may_have_settings_of_its_own() {
    let mut scenario = two(100_000);
    scenario.conns[1].settings = Some(ConnConfig { max_mss: Some(500), ..scenario.hosts[0].conn.clone() });
    let mut world = World::new(scenario);
    if let Err(failure) = world.run() {
        panic!("{failure}");
    }
    let mss: Vec<u32> = world.results().iter().map(|r| r.stats.mss).collect();
    assert_eq!(mss, [1_448, 488]);
}
