//! P10: how long a turn of the loop takes.

use super::MEMORY;
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P10: Scenario = Scenario {
    name: "p10",
    title: "The longest turns of the loop",
    what: "A connection in bulk and 64 that are paced by timers, over a NIC in memory, one ACK per two segments. Another loop, which only waits, \
           has the core in turn: what is longer than its median there, the machine took.",
    measures: &[
        Measure {
            figure: "quiet_p99.99",
            title: "99.99 % of turns take at most, ns",
            better: Better::Less,
            goals: &[Goal::Value(50_000.0)],
        },
        Measure {
            figure: "machine_quiet_p99.99",
            title: "the same of a loop that only waits for our median, ns",
            better: Better::Less,
            goals: &[],
        },
        Measure {
            figure: "p99.99",
            title: "with slices in which others had the core, ns",
            better: Better::Less,
            goals: &[],
        },
    ],
    contestants: &[Contestant::new("ours", Who::Ours, "1 in bulk, 64 paced", "loop-latency", MEMORY)],
    axis: None,
};
