//! P7: how many connections there may be beside those that send.

use super::MEMORY;
use crate::scenario::{Better, Contestant, Measure, Scenario, Who};

pub(super) const P7: Scenario = Scenario {
    name: "p7",
    title: "Many established connections",
    what: "A thousand of so many established connections, or all where there are fewer, send bursts of 64 KiB in turn, by \
           reference, to a NIC in memory. The others are at rest.",
    measures: &[
        Measure { figure: "cycles", title: "Cycles per burst", better: Better::Less, goals: &[] },
        Measure { figure: "per_busy_core", title: "Gbit/s per busy core", better: Better::More, goals: &[] },
        Measure {
            figure: "bytes_per_connection",
            title: "Bytes per connection",
            better: Better::Less,
            goals: &[],
        },
        Measure {
            figure: "opened",
            title: "Connections opened per second",
            better: Better::More,
            goals: &[],
        },
    ],
    contestants: &[
        point("connections-1", "million --connections 1", 1.0),
        point("connections-1000", "million --connections 1000", 1e3),
        point("connections-100000", "million --connections 100000", 1e5),
        point("connections-1000000", "million --connections 1000000", 1e6),
    ],
    axis: Some("established connections"),
};

const fn point(name: &'static str, part: &'static str, at: f64) -> Contestant {
    let mut contestant = Contestant::new(name, Who::Ours, "by reference, one ACK per burst", part, MEMORY);
    contestant.at = Some(at);
    contestant
}
