//! P6: connections opened and closed; P6b: bulk in frames of 1500 bytes.

use super::{MEMIF_CLI, VETH, VETH_FRAMES};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P6: Scenario = Scenario {
    name: "p6",
    title: "Connections opened, asked and closed",
    what: "Connect, a request, its answer, close; 64 at once. Requests and answers have a byte over the kernel's sockets, and 64 over ours.",
    measures: &[
        Measure {
            figure: "connections_per_busy_core",
            title: "Connections per second and busy client core",
            better: Better::More,
            goals: &[Goal::Value(1.4e6)],
        },
        Measure { figure: "connections", title: "Connections per second", better: Better::More, goals: &[] },
    ],
    contestants: &[
        Contestant::new(
            "ours",
            Who::Ours,
            "tsonami crr and serve, frames of 1500 bytes",
            "cli-crr",
            MEMIF_CLI,
        ),
        Contestant::new("kernel", Who::Kernel, "sockets and epoll", "kernel-crr", VETH),
        Contestant::new(
            "kernel-unsteered",
            Who::Kernel,
            "the same, receive work where it arises",
            "kernel-crr --steer none",
            VETH,
        ),
    ],
    axis: None,
};

pub(super) const P6B: Scenario = Scenario {
    name: "p6b",
    title: "Bulk in frames of 1500 bytes, nothing left to the device",
    what: "One connection; every frame is built as it goes onto a wire.",
    measures: &[
        Measure {
            figure: "cost",
            title: "Sender's ns for a kB",
            better: Better::Less,
            goals: &[Goal::Value(77.0)],
        },
        Measure { figure: "goodput", title: "Gbit/s", better: Better::More, goals: &[] },
    ],
    contestants: &[
        Contestant::new(
            "ours",
            Who::Ours,
            "copying writes of 1 MiB, tsonami send and serve",
            "cli-send",
            MEMIF_CLI,
        ),
        Contestant::new(
            "ours-by-reference",
            Who::Ours,
            "the same by reference",
            "cli-send --zerocopy",
            MEMIF_CLI,
        ),
        Contestant::new(
            "kernel-apart",
            Who::Kernel,
            "write(2) of 1 MiB, no TSO, no GRO, each end's receive work on its own core",
            "kernel-bulk --size 1048576 --frames --steer apart",
            VETH_FRAMES,
        ),
        Contestant::new(
            "kernel-unsteered",
            Who::Kernel,
            "the same, receive work where it arises",
            "kernel-bulk --size 1048576 --frames --steer none",
            VETH_FRAMES,
        ),
    ],
    axis: None,
};
