//! A path that reorders by up to a round trip and loses nothing costs little (`S38`, `S40`), through the whole engine.

use sim::{FallBack, QueueConfig, Reorder, Scenario, World};
use tcp::Nanos;
use tcp::conn::cc::ControllerKind;
use tcp::conn::{ConnConfig, ConnStats};

/// Bits per second of the bottleneck, and half of its round trip.
const RATE: u64 = 20_000_000;
const ONE_WAY: Nanos = Nanos::from_millis(20);
/// More than the peer's window takes, so that nothing is lost.
const QUEUE: usize = 1_000_000;
const BYTES: u64 = 16_000_000;

/// How long `BYTES` take when `share` of the frames fall back by up to `late`, and what the sender counted.
fn transfer(conn: &ConnConfig, share: f64, late: Nanos) -> (Nanos, ConnStats) {
    let mut scenario = Scenario::plain(BYTES);
    for (host, path) in scenario.hosts.iter_mut().zip(&mut scenario.paths) {
        host.conn = conn.clone();
        (path.rate, path.delay) = (RATE, ONE_WAY);
        path.queue = QueueConfig::bytes(QUEUE);
    }
    scenario.paths[0].reorder = Reorder { share, by: FallBack::Time(late) };
    let mut world = World::new(scenario);
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    let result = world.results()[0];
    (result.complete.expect("complete").since(result.opened), result.stats)
}

/// Goodput in per cent of that on the same path in order.
fn goodput(conn: &ConnConfig, share: f64, late: Nanos) -> (f64, ConnStats) {
    let (straight, _) = transfer(conn, 0.0, Nanos::ZERO);
    let (time, stats) = transfer(conn, share, late);
    (100.0 * straight.as_secs_f64() / time.as_secs_f64(), stats)
}

#[test]
fn s38_reordering_by_up_to_a_round_trip_costs_less_than_five_per_cent() {
    for controller in [ControllerKind::Cubic, ControllerKind::NewReno] {
        for share in [0.005, 0.02, 0.1] {
            let conn = ConnConfig { controller, receive_buffer: 600_000, ..ConnConfig::default() };
            let (percent, stats) = goodput(&conn, share, ONE_WAY * 2);
            println!("{controller} share {share}: {percent:.1} %, {stats:?}");
            assert!(percent > 95.0, "{controller} share {share}: {percent:.1} %");
        }
    }
}

#[test]
fn rfc2883_without_timestamps_duplicates_that_are_reported_undo_what_reordering_cost() {
    for share in [0.005, 0.02] {
        let conn = ConnConfig { receive_buffer: 600_000, timestamps: false, ..ConnConfig::default() };
        let (percent, stats) = goodput(&conn, share, ONE_WAY * 2);
        println!("share {share}: {percent:.1} %, {stats:?}");
        assert!(stats.dsacks > 0 && stats.spurious_recoveries > 0, "{stats:?}");
        assert!(percent > 95.0, "share {share}: {percent:.1} %");
    }
}
