//! P2: what a sender that copies can do, for each core that it keeps busy.

use super::p1::WRITES;
use super::{MEMORY, VETH_IPERF3};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};

pub(super) const P2: Scenario = Scenario {
    name: "p2",
    title: "Sender capacity by copy",
    what: "Bulk over one connection, payload copied. Ours sends to a NIC in memory; the kernel's sockets have a veth pair; \
           the same frames without TCP, and loops of copies, show what no stack can pass. Ours and its limits read 64 MiB over and \
           over, more than the cache holds, and write to what 64 frames keep.",
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
        Contestant::new("ours", Who::Ours, "sends of 64 KiB", "memory-bulk --copy --ring 64", MEMORY),
        Contestant::new(
            "ours-1m",
            Who::Ours,
            "sends of 1 MiB",
            "memory-bulk --copy --ring 64 --size 1048576",
            MEMORY,
        ),
        Contestant::new(
            "copy-and-blast",
            Who::Limit,
            "the same copies in the same frames, without TCP",
            "memory-blast --copy --ring 64",
            MEMORY,
        ),
        Contestant::new(
            "copy-loop",
            Who::Limit,
            "the same copies without frames",
            "memory-blast --to nobody --ring 64",
            MEMORY,
        )
        .among(COPIES),
        Contestant::new(
            "memcpy",
            Who::Limit,
            "copies of 64 KiB to 64 buffers in turn",
            "memcpy --size 65536 --targets 64",
            &[],
        )
        .among(COPIES),
        WRITES[0],
        WRITES[1],
        WRITES[2],
        WRITES[3],
        Contestant::new("iperf3-1m", Who::Kernel, "iperf3, 1 MiB", "iperf3 --size 1048576", VETH_IPERF3),
    ],
    axis: None,
};

/// Beside the others, compared with nobody: they make no frames.
const COPIES: &str = "copies alone";
