//! P2: what a sender that copies can do, for each core that it keeps busy.

use super::{VETH, VETH_IPERF3};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P2: Scenario = Scenario {
    name: "p2",
    title: "Sender capacity by copy",
    what: "Bulk over one connection, payload copied. Ours sends to a NIC in memory; the kernel's sockets have a veth pair; \
           a loop of copies shows what no stack can pass.",
    measures: &[
        Measure {
            figure: "per_busy_core",
            title: "Gbit/s per busy sender core",
            better: Better::More,
            goals: &[Goal::Times(Who::Kernel, 1.5), Goal::Times(Who::Limit, 0.8)],
        },
        Measure { figure: "goodput", title: "Gbit/s", better: Better::More, goals: &[] },
    ],
    contestants: &[
        Contestant::new(
            "memcpy",
            Who::Limit,
            "copies of 64 KiB to 64 buffers in turn",
            "memcpy --size 65536 --targets 64",
            &[],
        ),
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
        Contestant::new("iperf3-1m", Who::Kernel, "iperf3, 1 MiB", "iperf3 --size 1048576", VETH_IPERF3),
    ],
    axis: None,
};
