//! The in-memory NIC as a part sees it: real chains held a ring's depth, real ACKs to parse, no device and no receiver.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};

use clap::{Args, ValueEnum};
use dpdk::{Clock, Eal, EalConfig};
use engine::nic::memory::{AckPolicy, MemoryConfig, MemoryNic};

/// How often the pretended receiver acknowledges.
#[derive(ValueEnum, Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Acks {
    /// Once for each burst: a receiver behind GRO
    Burst,
    /// Once for every two segments
    TwoSegments,
}

impl From<Acks> for AckPolicy {
    fn from(acks: Acks) -> AckPolicy {
        match acks {
            Acks::Burst => AckPolicy::PerBurst,
            Acks::TwoSegments => AckPolicy::PerTwoSegments,
        }
    }
}

/// Where a part's memory comes from, and how deep the rings are.
#[derive(Args, Clone, Debug)]
pub(crate) struct MemoryArgs {
    /// Normal pages instead of hugepages
    #[arg(long)]
    pub(crate) no_huge: bool,
    /// Frames that stay in the transmit ring before they are freed
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub(crate) ring: u16,
    /// Buffers of the receive ring
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub(crate) rx_ring: u32,
}

impl MemoryArgs {
    /// Starts DPDK with room for the NICs' buffers and so many bytes beside.
    pub(crate) fn eal(&self, nics: u32, beside: usize) -> Result<Eal> {
        // A header mbuf, a link and two receive mbufs for each place in the rings, and buffers to copy into.
        let nic = self.headers() * 1024 + self.links() * 256 + self.rx_ring * 2 * 768;
        let bytes = u64::from(nics) * (u64::from(nic) + (u64::from(self.tails()) << 16)) + beside as u64;
        let memory_mib = self.no_huge.then(|| (bytes >> 20) as u32 + 64);
        Eal::start(EalConfig { no_huge: self.no_huge, memory_mib, ..EalConfig::default() })
            .map_err(Error::other)
    }

    /// A NIC.
    pub(crate) fn nic(&self, eal: &Eal, acks: Acks) -> Result<MemoryNic> {
        let config = MemoryConfig {
            acks: acks.into(),
            ring: self.ring,
            rx_ring: self.rx_ring,
            headers: self.headers(),
            links: self.links(),
            header_room: 512,
            tail_buffers: self.tails(),
            tail_size: 65_536,
            ..MemoryConfig::default()
        };
        MemoryNic::new(eal, &config).map_err(Error::other)
    }

    /// Bytes of the buffers that frames in the ring keep from those that copy.
    pub(crate) fn ring_bytes(&self) -> usize {
        usize::from(self.ring) << 16
    }

    fn headers(&self) -> u32 {
        u32::from(self.ring) * 2 + 1024
    }

    fn links(&self) -> u32 {
        u32::from(self.ring) * 4 + 4096
    }

    /// A frame takes two buffers at most, of which it shares each with its neighbour, and the send queue as many again.
    fn tails(&self) -> u32 {
        u32::from(self.ring) + 128
    }
}

/// Our address, and the pretended peer's.
pub(crate) fn ends() -> (Ipv4Addr, SocketAddr) {
    (Ipv4Addr::new(198, 18, 0, 2), SocketAddr::from(([198, 18, 0, 1], 9)))
}

/// A clock at the measured rate of the cycle counter.
pub(crate) fn clock(eal: &Eal) -> Clock {
    Clock::new(eal)
}
