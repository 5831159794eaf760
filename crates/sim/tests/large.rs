//! Recovery and congestion control in the large: what a user would notice.

use sim::fairness;
use sim::matrix::Cell;
use tcp::Nanos;
use tcp::conn::cc::ControllerKind;

const MS: Nanos = Nanos::from_millis(1);

/// 20 Mbit/s, 40 ms there and back, and no loss.
fn cell(controller: ControllerKind) -> Cell {
    Cell { controller, loss: 0.0, rtt: MS * 40, buffer: 1.0 }
}

#[test]
fn s41_two_connections_of_one_controller_share_evenly() {
    for controller in Cell::controllers() {
        let shares = match cell(controller).shares(2, MS * 20_000, MS * 60_000) {
            Ok(shares) => shares,
            Err(failure) => panic!("{controller}: {failure}"),
        };
        let index = fairness(shares.iter().copied());
        assert!(index >= 0.95, "{controller}: {index:.3}, {shares:?}");
    }
}
