//! Accurate ECN (RFC 9768, `S35`) through the whole engine, with devices that segment and queues that mark: what a sender
//! knows of marks is what the link knows.

use sim::{Discipline, QueueConfig, Scenario, World};
use tcp::conn::EcnMode;
use tcp::conn::cc::ControllerKind;
use tcp::{Nanos, Time};

/// Sends 10 MB through a queue that marks, where nothing is lost. Marks of the link, and those the sender was told of.
fn marks(controller: ControllerKind, loop_time: Nanos) -> (u64, u64, u64) {
    let mut scenario = Scenario::plain(10_000_000);
    for host in &mut scenario.hosts {
        (host.conn.controller, host.conn.ecn) = (controller, EcnMode::Accurate);
        host.loop_time = loop_time;
    }
    let path = &mut scenario.paths[0];
    path.rate = 50_000_000;
    path.delay = Nanos::from_millis(5);
    let discipline = Discipline::Step { threshold: 20_000 };
    path.queue = QueueConfig { discipline, ..QueueConfig::bytes(10_000_000) };
    let mut world = World::new(scenario);
    if let Err(failure) = world.run_until(Time::ZERO + Nanos::from_secs(20)) {
        panic!("{controller}: {failure}");
    }
    let marked = world.paths().next().expect("a path").marked;
    let stats = world.results()[0].stats;
    assert!(stats.accurate_ecn && stats.segments_retransmitted == 0, "{stats:?}");
    (marked, stats.ecn_marks_reported, stats.ecn_reductions)
}

#[test]
fn rfc9768_where_no_ack_is_lost_the_sender_knows_of_every_mark() {
    for controller in [ControllerKind::Cubic, ControllerKind::NewReno, ControllerKind::Dctcp] {
        // A receiver that looks at every packet, and one that looks seldom and acknowledges dozens at once.
        for loop_time in [Nanos::ZERO, Nanos::from_millis(3)] {
            let (marked, known, reductions) = marks(controller, loop_time);
            assert!(marked > 10, "{controller}: {marked} marks show little");
            assert_eq!(known, marked, "{controller}, looking every {loop_time:?}");
            // Once in a round trip of 10 ms and more.
            assert!((1..=160).contains(&reductions), "{controller}: {reductions}");
        }
    }
}
