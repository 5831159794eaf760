//! Cycles: whose they are, and what it costs to count them.

use dpdk::cycles;
use engine::Counters;

/// What it costs to read the cycle counter at the beginning and at the end of something.
#[derive(Copy, Clone, Debug)]
pub(crate) struct PairCost {
    /// Cycles of both readings.
    pub(crate) whole: f64,
    /// Cycles of them that count as spent on what is between.
    pub(crate) inside: f64,
}

impl PairCost {
    /// Measures pairs with nothing between, in batches, and takes the batch in the middle, which nobody interrupted.
    pub(crate) fn measure() -> PairCost {
        const PAIRS: u64 = 1_000;
        let mut batches: Vec<(u64, u64)> = (0..101)
            .map(|_| {
                let (begin, mut inside) = (cycles(), 0);
                for _ in 0..PAIRS {
                    let before = cycles();
                    inside += cycles().wrapping_sub(before);
                }
                (cycles().wrapping_sub(begin), inside)
            })
            .collect();
        batches.sort_unstable();
        let (whole, inside) = batches[batches.len() / 2];
        PairCost { whole: whole as f64 / PAIRS as f64, inside: inside as f64 / PAIRS as f64 }
    }

    /// Cycles of a pair that are outside of what it measures, so that taking that away leaves them behind.
    pub(crate) fn outside(&self) -> f64 {
        (self.whole - self.inside).max(0.0)
    }
}

/// Cycles that a sender's core was busy, by stage of the loop.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Stages {
    /// Receiving, and what acknowledgements entail.
    pub(crate) rx: f64,
    /// The application, between two turns of the loop.
    pub(crate) app: f64,
    /// Timers.
    pub(crate) timer: f64,
    /// Building frames and handing them over.
    pub(crate) tx: f64,
    /// Returning buffers.
    pub(crate) completion: f64,
}

impl Stages {
    /// From one look at the counters to a later one.
    pub(crate) fn between(before: &Counters, after: &Counters) -> Stages {
        let spent = |read: fn(&Counters) -> u64| read(after).wrapping_sub(read(before)) as f64;
        Stages {
            rx: spent(|c| c.cycles_rx_busy),
            app: spent(|c| c.cycles_app_busy),
            timer: spent(|c| c.cycles_timer_busy),
            tx: spent(|c| c.cycles_tx_busy),
            completion: spent(|c| c.cycles_completion_busy),
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> f64 {
        self.each().iter().map(|(_, cycles)| cycles).sum()
    }

    /// In the order of the loop.
    pub(crate) fn each(&self) -> [(&'static str, f64); 5] {
        [
            ("rx", self.rx),
            ("app", self.app),
            ("timer", self.timer),
            ("tx", self.tx),
            ("completion", self.completion),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_what_the_engine_counts_as_busy() {
        let before = Counters::default();
        let mut after = Counters::default();
        after.cycles_rx_busy = 1;
        after.cycles_app_busy = 20;
        after.cycles_timer_busy = 300;
        after.cycles_tx_busy = 4_000;
        after.cycles_completion_busy = 50_000;
        after.cycles_rx_idle = 600_000;
        let stages = Stages::between(&before, &after);
        assert_eq!(stages.total(), after.busy_cycles() as f64);
        assert_eq!(stages.each().map(|(_, cycles)| cycles), [1.0, 20.0, 300.0, 4_000.0, 50_000.0]);
    }

    #[test]
    fn a_pair_costs_something_and_part_of_it_is_inside() {
        let cost = PairCost::measure();
        assert!(0.0 < cost.inside && cost.inside <= cost.whole, "{cost:?}");
        assert_eq!(cost.outside(), cost.whole - cost.inside);
    }
}
