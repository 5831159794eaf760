//! The scenarios: a file for each group of measures, and one table of them all.

mod p1;
mod p10;
mod p2;
mod p3;
mod p4;
mod p5;
mod p6;
mod p7;
mod p8;

use crate::needs::{ETHTOOL, IPERF3, Need, TSONAMI};
use crate::scenario::Scenario;

/// All of them, in the order in which they are listed.
pub(crate) const SCENARIOS: &[&Scenario] = &[
    &p1::P1A,
    &p1::P1B,
    &p2::P2,
    &p3::P3,
    &p4::P4,
    &p5::P5,
    &p6::P6,
    &p6::P6B,
    &p7::P7,
    &p8::QUEUES,
    &p8::CORES,
    &p10::P10,
];

/// What the kernel's sockets over a veth pair need.
const VETH: &[Need] = &[Need::Root, Need::Cpus(2)];
const VETH_IPERF3: &[Need] = &[Need::Root, Need::Program(IPERF3), Need::Cpus(2)];
const VETH_FRAMES: &[Need] = &[Need::Root, Need::Program(ETHTOOL), Need::Cpus(2)];
/// What the in-memory NIC needs: buffers, and what is sent.
const MEMORY: &[Need] = &[Need::Root, Need::Hugepages(128)];
/// What both ends of a vhost-user wire need, 512 MiB each.
const VHOST: &[Need] = &[Need::Root, Need::Hugepages(528), Need::Cpus(2)];
/// The same for our program at both ends; and over memif, which does with normal pages.
const VHOST_CLI: &[Need] = &[Need::Root, Need::Program(TSONAMI), Need::Hugepages(528), Need::Cpus(2)];
const MEMIF_CLI: &[Need] = &[Need::Root, Need::Program(TSONAMI), Need::Cpus(2)];
