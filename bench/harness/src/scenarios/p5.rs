//! P5: how long a request waits for its answer.

use super::{VETH, VHOST_CLI};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P5: Scenario = Scenario {
    name: "p5",
    title: "Request and response of a byte",
    what: "One request under way on each of 1 or 64 connections; the kernel's sockets with both ends asleep between bytes, \
           awake, or busy-polling. Ours polls, over shared memory: no interface of the kernel's lies between.",
    measures: &[
        Measure {
            figure: "p50",
            title: "Median, ns",
            better: Better::Less,
            goals: &[Goal::Times(Who::Kernel, 0.25)],
        },
        Measure { figure: "p99", title: "99 %, ns", better: Better::Less, goals: &[] },
        Measure {
            figure: "p99.9",
            title: "99.9 %, ns",
            better: Better::Less,
            goals: &[Goal::Times(Who::Kernel, 0.25)],
        },
    ],
    contestants: &[
        Contestant::new("ours-1", Who::Ours, "1 connection, awake", "cli-rr", VHOST_CLI).among(ONE),
        Contestant::new(
            "ours-1-park",
            Who::Ours,
            "1 connection, asleep for up to 50 µs after a while",
            "cli-rr --wait park",
            VHOST_CLI,
        )
        .among(ONE),
        Contestant::new("ours-64", Who::Ours, "64 connections, awake", "cli-rr --connections 64", VHOST_CLI)
            .among(MANY),
        Contestant::new("kernel-1", Who::Kernel, "1 connection, asleep", "kernel-rr --wait block", VETH)
            .among(ONE),
        Contestant::new(
            "kernel-1-unsteered",
            Who::Kernel,
            "the same, receive work where it arises",
            "kernel-rr --wait block --steer none",
            VETH,
        )
        .among(ONE),
        Contestant::new("kernel-1-spin", Who::Kernel, "1 connection, awake", "kernel-rr --wait spin", VETH)
            .among(ONE),
        Contestant::new(
            "kernel-1-spin-unsteered",
            Who::Kernel,
            "the same, receive work where it arises",
            "kernel-rr --wait spin --steer none",
            VETH,
        )
        .among(ONE),
        Contestant::new(
            "kernel-1-busy-poll",
            Who::Kernel,
            "1 connection, SO_BUSY_POLL, receive work where it arises",
            "kernel-rr --wait busy-poll --steer none",
            VETH,
        )
        .among(ONE),
        Contestant::new(
            "kernel-64",
            Who::Kernel,
            "64 connections, asleep, receive work where it arises",
            "kernel-rr --wait block --connections 64 --steer none",
            VETH,
        )
        .among(MANY),
        Contestant::new(
            "kernel-64-spin",
            Who::Kernel,
            "64 connections, awake, receive work where it arises",
            "kernel-rr --wait spin --connections 64 --steer none",
            VETH,
        )
        .among(MANY),
    ],
    axis: None,
};

/// Compared with each other.
const ONE: &str = "1 connection";
const MANY: &str = "64 connections";
