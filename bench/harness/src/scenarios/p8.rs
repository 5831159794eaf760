//! P8: cores, and queues.

use crate::needs::Need;
use crate::scenario::{Better, Contestant, Measure, Scenario, Who};

pub(super) const QUEUES: Scenario = Scenario {
    name: "p8-queues",
    title: "Queues on one core",
    what: "Engines with a queue each, in turns on one core, 8 connections each, over NICs in memory: what a queue more costs the core.",
    measures: &MEASURES,
    contestants: &[
        point("queues-1", "workers --one-core --queues 1", 1.0, EIGHT),
        point("queues-2", "workers --one-core --queues 2", 2.0, EIGHT),
        point("queues-4", "workers --one-core --queues 4", 4.0, EIGHT),
        point("queues-8", "workers --one-core --queues 8", 8.0, EIGHT),
    ],
    axis: Some("queues"),
};

pub(super) const CORES: Scenario = Scenario {
    name: "p8-cores",
    title: "Cores",
    what: "Engines with a core and a queue each, 8 connections each, over NICs in memory. Nothing may arrive at another's queue.",
    measures: &MEASURES,
    contestants: &[
        point("cores-1", "workers --queues 1", 1.0, &[Need::Root, Need::Hugepages(320), Need::Cpus(1)]),
        point("cores-2", "workers --queues 2", 2.0, &[Need::Root, Need::Hugepages(320), Need::Cpus(2)]),
        point("cores-4", "workers --queues 4", 4.0, &[Need::Root, Need::Hugepages(320), Need::Cpus(4)]),
        point("cores-8", "workers --queues 8", 8.0, &[Need::Root, Need::Hugepages(320), Need::Cpus(8)]),
    ],
    axis: Some("cores"),
};

const MEASURES: [Measure; 2] = [
    Measure { figure: "per_busy_core", title: "Gbit/s per busy core", better: Better::More, goals: &[] },
    Measure { figure: "goodput", title: "Gbit/s of all", better: Better::More, goals: &[] },
];

/// What eight engines on one core need.
const EIGHT: &[Need] = &[Need::Root, Need::Hugepages(320)];

const fn point(name: &'static str, part: &'static str, at: f64, needs: &'static [Need]) -> Contestant {
    let mut contestant = Contestant::new(name, Who::Ours, "by reference, one ACK per burst", part, needs);
    contestant.at = Some(at);
    contestant
}
