//! The same cells in the simulator: our TCP at both ends, in virtual time.

use sim::{Loss, QueueConfig, World};
use tcp::conn::cc::ControllerKind;
use tcp::{Nanos, Time};

use crate::run::Cell;

/// The MTU of live runs.
const MTU: u16 = 1490;

/// Bits per second acknowledged in so many seconds from the first data on, as `matrix` counts them; `None` for a controller
/// that the simulator does not know.
pub(crate) fn goodput(cell: &Cell, controller: &str, seconds: u64, seed: u64) -> Option<f64> {
    let controller: ControllerKind = controller.parse().ok()?;
    let rtt = Nanos::from_micros(cell.rtt_us);
    let conditions = sim::matrix::Cell { controller, loss: cell.loss, rtt, buffer: cell.buffer };
    let mut scenario = conditions.scenario(1);
    scenario.seed = seed;
    scenario.paths.iter_mut().for_each(|path| path.rate = cell.rate);
    scenario.hosts.iter_mut().for_each(|host| host.nic.limits.mtu = MTU);
    scenario.paths[0].queue = QueueConfig::frames(cell.queue());
    scenario.paths[0].loss = Loss::random(cell.loss);
    let mut world = World::new(scenario).unobserved();
    // Data leaves a round trip after the SYN; what arrives is acknowledged half a round trip later.
    world.run_until(Time::ZERO + rtt / 2 + Nanos::from_secs(seconds)).ok()?;
    Some(world.results().first()?.received as f64 * 8.0 / seconds.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_without_loss_comes_close_to_the_rate_and_a_seed_repeats_itself() {
        let cell = Cell { rate: 20_000_000, rtt_us: 10_000, buffer: 1.0, loss: 0.0 };
        let bps = goodput(&cell, "cubic", 2, 1).expect("known");
        // 1438 bytes of payload in 1528 on the wire.
        assert!((17.5e6..18.83e6).contains(&bps), "{bps}");
        let lossy = Cell { loss: 0.01, ..cell };
        assert_eq!(goodput(&lossy, "bbr", 2, 7), goodput(&lossy, "bbr", 2, 7));
        assert_eq!(goodput(&cell, "vegas", 2, 1), None);
    }
}
