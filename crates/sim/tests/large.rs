//! Recovery in the large: what a user would notice.

use sim::matrix::Cell;
use sim::{FallBack, FlowResult, QueueConfig, Reorder, World};
use tcp::conn::cc::ControllerKind;
use tcp::{Nanos, Time};

const MS: Nanos = Nanos::from_millis(1);

/// One connection for a quarter of a minute through a path that overtakes, whose queue never overflows: the window that the
/// receiver offers is twice the bandwidth-delay product.
fn reordered(controller: ControllerKind, reorder: Option<Reorder>) -> FlowResult {
    let mut scenario = Cell { controller, loss: 0.0, rtt: MS * 40, buffer: 1.0 }.scenario(1);
    scenario.paths[0].queue = QueueConfig::bytes(1_000_000);
    scenario.hosts[1].conn.receive_buffer = 200_000;
    if let Some(reorder) = reorder {
        scenario.paths[0].reorder = reorder;
    }
    let mut world = World::new(scenario).unobserved();
    if let Err(failure) = world.run_until(Time::ZERO + MS * 15_000) {
        panic!("{controller}: {failure}");
    }
    assert!(world.paths().all(|path| path.overflowed + path.lost == 0), "nothing is lost here");
    world.results()[0]
}

#[test]
fn s38_reordering_by_up_to_a_round_trip_costs_less_than_five_per_cent() {
    let mut dear: Vec<String> = Vec::new();
    for controller in Cell::controllers() {
        let whole = reordered(controller, None);
        for (share, by) in
            [(0.01, FallBack::Time(MS * 40)), (0.01, FallBack::Distance { frames: 20, patience: MS * 40 })]
        {
            let result = reordered(controller, Some(Reorder { share, by }));
            let cost = 1.0 - result.received as f64 / whole.received as f64;
            if cost >= 0.05 {
                dear.push(format!(
                    "{controller}: {share} {by:?} costs {:.1} %: {:?}",
                    cost * 100.0,
                    result.stats
                ));
            }
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}
