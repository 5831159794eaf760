//! P4: small messages.

use super::{MEMORY, VETH};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P4: Scenario = Scenario {
    name: "p4",
    title: "Small messages: 64 bytes",
    what: "Sends of 64 bytes over one connection, as fast as they are taken; sent at once (no delay) or packed by Nagle's \
           algorithm. Ours sends to a NIC in memory.",
    measures: &[
        Measure {
            figure: "sends_per_busy_core",
            title: "Sends per second and busy sender core",
            better: Better::More,
            goals: &[Goal::Times(Who::Kernel, 10.0)],
        },
        Measure { figure: "sends", title: "Sends per second", better: Better::More, goals: &[] },
    ],
    contestants: &[
        Contestant::new(
            "ours",
            Who::Ours,
            "64 copying sends between two turns of the loop",
            "memory-small --batch 64",
            MEMORY,
        )
        .among(PACKED),
        Contestant::new(
            "ours-no-delay",
            Who::Ours,
            "each copying send offered to the NIC before the next",
            "memory-small --no-delay",
            MEMORY,
        )
        .among(AT_ONCE),
        Contestant::new("kernel", Who::Kernel, "send(2) of 64 bytes", "kernel-bulk --size 64", VETH)
            .among(PACKED),
        Contestant::new(
            "kernel-no-delay",
            Who::Kernel,
            "the same with TCP_NODELAY",
            "kernel-bulk --size 64 --no-delay",
            VETH,
        )
        .among(AT_ONCE),
        Contestant::new(
            "kernel-unsteered",
            Who::Kernel,
            "send(2) of 64 bytes, receive work on the sender's core",
            "kernel-bulk --size 64 --steer none",
            VETH,
        )
        .among(PACKED),
        Contestant::new(
            "kernel-no-delay-unsteered",
            Who::Kernel,
            "the same with TCP_NODELAY",
            "kernel-bulk --size 64 --no-delay --steer none",
            VETH,
        )
        .among(AT_ONCE),
    ],
    axis: None,
};

/// Compared with each other.
const PACKED: &str = "packed";
const AT_ONCE: &str = "no delay";
