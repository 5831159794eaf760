//! P1: what a sender can do by reference, for each core that it keeps busy.

use super::{MEMORY, VETH, VETH_IPERF3};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P1A: Scenario = Scenario {
    name: "p1a",
    title: "Sender capacity by reference, one ACK per burst",
    what: "Bulk over one connection, payload by reference; the receiver acknowledges a burst at once, as one behind GRO does. \
           Ours sends to a NIC in memory; the kernel's sockets have a veth pair, which never segments.",
    measures: &measures(&[Goal::Times(Who::Kernel, 15.0)]),
    contestants: &and_kernel(OURS_A),
    axis: None,
};

pub(super) const P1B: Scenario = Scenario {
    name: "p1b",
    title: "Sender capacity by reference, one ACK per two segments",
    what: "As p1a, but the receiver acknowledges every second segment.",
    measures: &measures(&[Goal::Times(Who::Kernel, 5.0)]),
    contestants: &and_kernel(OURS_B),
    axis: None,
};

const fn measures(goals: &'static [Goal]) -> [Measure; 2] {
    [
        Measure {
            figure: "per_busy_core",
            title: "Gbit/s per busy sender core",
            better: Better::More,
            goals,
        },
        Measure { figure: "goodput", title: "Gbit/s", better: Better::More, goals: &[] },
    ]
}

const OURS_A: [Contestant; 3] = [
    Contestant::new("ours", Who::Ours, "sends of 64 KiB", "memory-bulk", MEMORY),
    Contestant::new("ours-1m", Who::Ours, "sends of 1 MiB", "memory-bulk --size 1048576", MEMORY),
    BLAST,
];

const OURS_B: [Contestant; 3] = [
    Contestant::new("ours", Who::Ours, "sends of 64 KiB", "memory-bulk --acks two-segments", MEMORY),
    Contestant::new(
        "ours-1m",
        Who::Ours,
        "sends of 1 MiB",
        "memory-bulk --acks two-segments --size 1048576",
        MEMORY,
    ),
    BLAST,
];

const BLAST: Contestant = Contestant::new(
    "blast",
    Who::Limit,
    "the same frames to the same NIC, without TCP",
    "memory-blast",
    MEMORY,
);

/// These and the kernel's.
const fn and_kernel(ours: [Contestant; 3]) -> [Contestant; 3 + KERNEL.len()] {
    let mut all = [BLAST; 3 + KERNEL.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < ours.len() { ours[at] } else { KERNEL[at - ours.len()] };
        at += 1;
    }
    all
}

/// The ways to `write(2)`, and where receive work is done then.
pub(super) const WRITES: [Contestant; 4] = [
    Contestant::new("write-128k", Who::Kernel, "write(2) of 128 KiB", "kernel-bulk --size 131072", VETH),
    Contestant::new("write-1m", Who::Kernel, "write(2) of 1 MiB", "kernel-bulk --size 1048576", VETH),
    Contestant::new(
        "write-1m-unsteered",
        Who::Kernel,
        "the same, data received on the sender's core",
        "kernel-bulk --size 1048576 --steer none",
        VETH,
    ),
    Contestant::new(
        "write-1m-apart",
        Who::Kernel,
        "the same, each end's receive work on its own core",
        "kernel-bulk --size 1048576 --steer apart",
        VETH,
    ),
];

/// Every way the kernel has to send in bulk.
const KERNEL: &[Contestant] = &[
    WRITES[0],
    WRITES[1],
    WRITES[2],
    WRITES[3],
    Contestant::new(
        "write-1m-to-copy",
        Who::Kernel,
        "the same to a receiver that copies",
        "kernel-bulk --size 1048576 --copy",
        VETH,
    ),
    Contestant::new(
        "zerocopy-128k",
        Who::Kernel,
        "MSG_ZEROCOPY of 128 KiB",
        "kernel-bulk --by zerocopy --size 131072",
        VETH,
    ),
    Contestant::new(
        "zerocopy-1m",
        Who::Kernel,
        "MSG_ZEROCOPY of 1 MiB",
        "kernel-bulk --by zerocopy --size 1048576",
        VETH,
    ),
    Contestant::new(
        "sendfile-128k",
        Who::Kernel,
        "sendfile(2) of 128 KiB",
        "kernel-bulk --by sendfile --size 131072",
        VETH,
    ),
    Contestant::new(
        "sendfile-1m",
        Who::Kernel,
        "sendfile(2) of 1 MiB",
        "kernel-bulk --by sendfile --size 1048576",
        VETH,
    ),
    Contestant::new("iperf3", Who::Kernel, "iperf3, 128 KiB", "iperf3 --size 131072", VETH_IPERF3),
    Contestant::new("iperf3-1m", Who::Kernel, "iperf3, 1 MiB", "iperf3 --size 1048576", VETH_IPERF3),
    Contestant::new(
        "iperf3-unsteered",
        Who::Kernel,
        "iperf3, 128 KiB, data received on the sender's core",
        "iperf3 --size 131072 --steer none",
        VETH_IPERF3,
    ),
];
