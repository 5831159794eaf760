//! Options that say which device, which addresses, and how much memory: the same for every subcommand.

// These comments are help texts: their brackets are no links.
#![allow(rustdoc::broken_intra_doc_links)]

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::units::{BitRate, Size};

/// Which device and which addresses.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Device and addresses")]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArg,

    /// Our own address and its network; several as FIRST-LAST/LEN: connections leave from each in turn
    /// [default with a TAP: 10.77.0.2/24]
    #[arg(long, value_name = "ADDR/LEN")]
    pub(crate) addr: Option<String>,

    /// Next hop for peers outside our network [default with a TAP: its host=, in our network]
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway: Option<IpAddr>,

    /// Largest IP packet, bytes [default: 1500, or what the device takes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: Option<u16>,

    /// Rate of the link, bits/s, where the device does not know it [default: 10G]
    #[arg(long, value_name = "RATE")]
    pub(crate) link_rate: Option<BitRate>,

    /// Read settings from a TOML file; options given here win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `--dev`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Device and addresses")]
pub(crate) struct SpecArg {
    /// The device to use; without it, a TAP of our own
    ///
    /// tap[:NAME][,host=ADDR/LEN]  a TAP; this machine's kernel is at its other end
    /// virtio-user:SOCKET          to a vhost-user backend, such as the next
    /// vhost:SOCKET                a vhost-user backend
    /// memif:SOCKET[,server]       shared memory; the server side must be started first
    /// pci:ADDRESS                 a network card bound to DPDK, e.g. pci:0000:3b:00.0
    /// af_packet:IFACE             a kernel interface, by packet socket
    /// null                        swallows everything
    /// vdev:STRING                 any DPDK virtual device, in DPDK's own words
    #[arg(long, value_name = "SPEC", verbatim_doc_comment)]
    pub(crate) dev: Option<String>,
}

/// Memory, rings and how the core waits.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Memory, rings and cores")]
pub(crate) struct TuningArgs {
    /// Packet buffers in each pool, at least 64 [default: several thousand]
    #[arg(long, value_name = "N")]
    pub(crate) mbufs: Option<u32>,

    /// Copy sends of at least this size past the cache; 0: never [default: 4K, once half of the largest cache is in flight]
    #[arg(long, value_name = "SIZE")]
    pub(crate) streaming_copies: Option<Size>,

    /// Memory that copying sends of all connections fill [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) send_memory: Option<Size>,

    /// Memory that the send queues of all connections together may hold [default: no bound but each one's]
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) queue_memory: Option<Size>,

    /// Descriptors of the transmit ring, 32 to 32768 [default: 1024, or what the device takes]
    #[arg(long, value_name = "N")]
    pub(crate) tx_ring: Option<u16>,

    /// Descriptors of the receive ring, 32 to 32768 [default: 1024, or what the device takes]
    #[arg(long, value_name = "N")]
    pub(crate) rx_ring: Option<u16>,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    /// What the core does when there is nothing to do [default: pause]
    #[arg(long, value_name = "HOW")]
    pub(crate) wait: Option<WaitArg>,

    /// The CPU to run on [default: where the scheduler puts us]
    #[arg(short = 'A', long, value_name = "CPU")]
    pub(crate) core: Option<usize>,
}

/// Memory.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Memory, rings and cores")]
pub(crate) struct MemoryArgs {
    /// Memory to start with, e.g. 512M
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) memory: Option<Size>,

    /// Use hugepages [default: auto, only for devices that need them]
    #[arg(long, value_name = "WHEN")]
    pub(crate) hugepages: Option<HugepagesArg>,
}

/// `--hugepages`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum HugepagesArg {
    /// Only for devices that need them
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

/// `--wait`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum WaitArg {
    /// Poll without rest: lowest latency, a whole core
    Spin,
    /// Poll, resting the core's pipeline between polls after a while
    Pause,
    /// Sleep up to 50 µs after a while: for shared machines
    Park,
}
