//! P3: what gets through a wire.

use super::{VETH, VETH_IPERF3, VHOST};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P3: Scenario = Scenario {
    name: "p3",
    title: "Throughput of a wire, 1 and 64 connections",
    what: "Bulk to a receiver on another core: ours over vhost-user, whose receiver copies, beside the kernel's over a veth pair, \
           which hands pages on.",
    measures: &[
        Measure {
            figure: "goodput",
            title: "Gbit/s",
            better: Better::More,
            goals: &[Goal::Times(Who::Limit, 0.95)],
        },
        Measure {
            figure: "per_busy_core",
            title: "Gbit/s per busy sender core",
            better: Better::More,
            goals: &[],
        },
    ],
    contestants: &[
        Contestant::new("ours-1", Who::Ours, "sends of 64 KiB by reference", "vhost-bulk", VHOST).among(ONE),
        Contestant::new("blast-1", Who::Limit, "the same frames, without TCP", "vhost-blast", VHOST)
            .among(ONE),
        Contestant::new(
            "ours-64",
            Who::Ours,
            "sends of 64 KiB by reference, 64 connections",
            "vhost-bulk --connections 64",
            VHOST,
        )
        .among(MANY),
        Contestant::new("blast-64", Who::Limit, "the same frames, without TCP", "vhost-blast", VHOST)
            .among(MANY),
        Contestant::new("kernel-1", Who::Kernel, "write(2) of 1 MiB", "kernel-bulk --size 1048576", VETH)
            .among(ONE),
        Contestant::new(
            "kernel-64",
            Who::Kernel,
            "the same, 64 connections",
            "kernel-bulk --size 1048576 --connections 64",
            VETH,
        )
        .among(MANY),
        Contestant::new(
            "kernel-1-to-copy",
            Who::Kernel,
            "write(2) of 1 MiB to a receiver that copies",
            "kernel-bulk --size 1048576 --copy",
            VETH,
        )
        .among(ONE),
        Contestant::new(
            "kernel-64-to-copy",
            Who::Kernel,
            "the same, 64 connections",
            "kernel-bulk --size 1048576 --connections 64 --copy",
            VETH,
        )
        .among(MANY),
        Contestant::new(
            "iperf3-default",
            Who::Kernel,
            "iperf3 as it comes: 128 KiB, receive work on the sender's core",
            "iperf3 --size 131072 --steer none",
            VETH_IPERF3,
        )
        .among(ONE),
    ],
    axis: None,
};

/// Compared with each other.
const ONE: &str = "1 connection";
const MANY: &str = "64 connections";
