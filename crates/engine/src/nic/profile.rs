//! What is known of drivers beyond what they report (`S8`, `S10`).
//!
//! Many drivers report 65535 for "unknown", and none reports how long a TSO frame may be or which MSS it needs.
//! A port's limits are the smaller of what it says and what is known here.

use ::dpdk::{PortInfo, TxOffloads};

use super::NicLimits;

/// Known limits of a driver.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The driver, as DPDK names it. A name that ends in `*` covers every driver that begins like it.
    pub driver: &'static str,
    /// Wire segments of one TSO frame, at most.
    pub tso_max_segments: u16,
    /// Smallest MSS that it segments to.
    pub tso_min_mss: u16,
    /// Segments IPv6 too.
    pub tso_ipv6: bool,
    /// Mbufs of one frame, at most.
    pub max_chain: u16,
    /// Mbufs that one wire segment may span, at most.
    pub max_chain_per_segment: u16,
    /// How it is brought to let go of finished frames while nothing is sent.
    pub idle: IdleReclaim,
    /// Computes a wrong checksum when a buffer that is not the last of its wire segment ends at an odd offset in
    /// it, in DPDK before this release; `(0, 0)`: never did.
    pub even_pieces_before: (u32, u32),
}

/// How a driver is brought to let go of finished frames while nothing is sent (`S29`). Buffers wait for it, never senders.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum IdleReclaim {
    /// It need not be: it is done with a frame when it took it, or its receiver lets go of it.
    AtOnce,
    /// By `rte_eth_tx_done_cleanup`. A driver that turns out not to have that keeps what it sent until its ring comes round.
    Cleanup,
    /// It has no such call and looks at what is finished only while it sends: so it is sent so many frames of no meaning.
    Nudge(u16),
}

/// For a driver not listed: what every driver read so far can do.
const UNKNOWN: Profile = Profile {
    driver: "*",
    tso_max_segments: u16::MAX,
    tso_min_mss: 1,
    tso_ipv6: true,
    // Linux' own frames have 17 fragments and a head; no hardware that offers TSO does less.
    max_chain: 18,
    max_chain_per_segment: 8,
    idle: IdleReclaim::Cleanup,
    even_pieces_before: (0, 0),
};

/// One that keeps nothing.
const AT_ONCE: Profile = Profile { idle: IdleReclaim::AtOnce, ..UNKNOWN };

/// Drivers whose limits differ from the cautious ones, with where it is known from.
const PROFILES: &[Profile] = &[
    // Segments in software: at most 64 segments come out, and IPv6 frames pass through unsegmented, counted as
    // sent. Writes and frees at once. Up to 22.11 it sums buffers one by one, each as if it began at an even
    // offset.
    Profile {
        driver: "net_tap",
        tso_max_segments: 64,
        tso_ipv6: false,
        max_chain: 64,
        max_chain_per_segment: 64,
        even_pieces_before: (23, 11),
        idle: IdleReclaim::AtOnce,
        ..UNKNOWN
    },
    // The ring holds a chain of any length. `tx_done_cleanup` and descriptor status are not offered, and sent
    // chains stay held while idle, at least the last four of them.
    Profile {
        driver: "net_virtio*",
        max_chain: 128,
        max_chain_per_segment: 128,
        idle: IdleReclaim::Nudge(1),
        ..UNKNOWN
    },
    // Copied by the CPU.
    Profile { driver: "net_vhost", max_chain: 128, max_chain_per_segment: 128, ..AT_ONCE },
    Profile { driver: "net_null", max_chain: 128, max_chain_per_segment: 128, ..AT_ONCE },
    Profile { driver: "net_af_packet", ..AT_ONCE },
    Profile { driver: "net_memif", ..AT_ONCE },
    // Whoever receives a frame has it.
    Profile { driver: "net_ring", max_chain: 128, max_chain_per_segment: 128, ..AT_ONCE },
    // Asks for a completion once in 32 frames, and looks for it when it sends (`MLX5_TX_COMP_THRESH`).
    Profile { driver: "mlx5*", idle: IdleReclaim::Nudge(33), ..UNKNOWN },
    // Longer chains vanish without an error (seen on an emulated 82576); reports 255.
    Profile { driver: "net_e1000_igb*", max_chain: 64, max_chain_per_segment: 64, ..UNKNOWN },
    // `IXGBE_TX_MAX_SEG`.
    Profile { driver: "net_ixgbe*", max_chain: 40, max_chain_per_segment: 40, ..UNKNOWN },
    // `I40E_MIN_TSO_MSS`; a segment over more than 8 buffers stops the queue, and `tx_prepare` does not look.
    Profile { driver: "net_i40e*", tso_min_mss: 256, max_chain: 128, ..UNKNOWN },
    // `IAVF_MIN_TSO_MSS` of the older drivers.
    Profile { driver: "net_iavf", tso_min_mss: 256, max_chain: 128, ..UNKNOWN },
    // `ICE_MIN_TSO_MSS`.
    Profile { driver: "net_ice*", tso_min_mss: 64, max_chain: 128, ..UNKNOWN },
    // `VMXNET3_MAX_TXD_PER_PKT`.
    Profile {
        driver: "net_vmxnet3",
        max_chain: 255,
        max_chain_per_segment: 16,
        idle: IdleReclaim::Nudge(1),
        ..UNKNOWN
    },
];

/// What is known of `driver`.
pub fn profile(driver: &str) -> Profile {
    let covers = |p: &&Profile| match p.driver.strip_suffix('*') {
        Some(start) => driver.starts_with(start),
        None => driver == p.driver,
    };
    *PROFILES.iter().find(covers).unwrap_or(&UNKNOWN)
}

/// IP header and TCP header at their longest: what is left of an IP packet of 65535 bytes is payload.
const MAX_HEADERS: u32 = 60 + 60;

/// What the engine may ask of a port: what it reports, never more than is known of its driver.
pub fn limits(info: &PortInfo, offloads: TxOffloads, setup: &Setup) -> NicLimits {
    let known = profile(&info.driver);
    let tso = offloads.contains(TxOffloads::TCP_TSO);
    // 0 and 65535 both mean that the driver does not say.
    let reported = |n: u16| if n == 0 { u16::MAX } else { n };
    let max_chain = if offloads.contains(TxOffloads::MULTI_SEGS) {
        // A driver may need a descriptor of its own beside each mbuf's, and a frame must fit an empty ring.
        reported(info.nb_seg_max).min(known.max_chain).min(setup.tx_ring / 2).max(1)
    } else {
        1
    };
    NicLimits {
        mtu: setup.mtu,
        header_room: setup.header_room,
        tso_max_len: if tso { u32::from(u16::MAX) - MAX_HEADERS } else { 0 },
        tso_max_segments: if tso { known.tso_max_segments } else { 1 },
        tso_min_mss: known.tso_min_mss,
        tso_ipv6: tso && known.tso_ipv6,
        max_chain,
        max_chain_per_segment: reported(info.nb_mtu_seg_max).min(known.max_chain_per_segment).min(max_chain),
        tx_ip_checksum: offloads.contains(TxOffloads::IPV4_CKSUM),
        tx_tcp_checksum: offloads.contains(TxOffloads::TCP_CKSUM),
        tx_ring: setup.tx_ring,
        tx_batch: setup.tx_batch,
        link_bps: setup.link_bps,
    }
}

/// How a port was set up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Bytes of one IP packet on the wire.
    pub mtu: u16,
    /// Bytes of a header buffer.
    pub header_room: u16,
    /// Transmit descriptors.
    pub tx_ring: u16,
    /// Frames staged at once, at most.
    pub tx_batch: u16,
    /// Link rate, where known.
    pub link_bps: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::dpdk::RxOffloads;

    fn info(driver: &str, nb_seg_max: u16, nb_mtu_seg_max: u16) -> PortInfo {
        PortInfo {
            id: 0,
            name: "p".into(),
            driver: driver.into(),
            mac: [2, 0, 0, 0, 0, 1],
            socket: None,
            if_index: None,
            min_mtu: 68,
            max_mtu: 9000,
            max_rx_queues: 1,
            max_tx_queues: 1,
            rx_offloads: RxOffloads::default(),
            tx_offloads: TxOffloads::default(),
            rx_ring: (32, 4096),
            tx_ring: (32, 4096),
            nb_seg_max,
            nb_mtu_seg_max,
            min_rx_buffer: 0,
            max_lro: 0,
            rss_table_size: 0,
            rss_key_size: 0,
            rss_hashes: 0,
        }
    }

    const SETUP: Setup = Setup { mtu: 1500, header_room: 512, tx_ring: 1024, tx_batch: 64, link_bps: None };
    const ALL: TxOffloads = TxOffloads(
        TxOffloads::TCP_TSO.0 | TxOffloads::TCP_CKSUM.0 | TxOffloads::IPV4_CKSUM.0 | TxOffloads::MULTI_SEGS.0,
    );

    #[test]
    fn s8_the_smaller_of_reported_and_known_counts() {
        let igb = limits(&info("net_e1000_igb", 255, 255), ALL, &SETUP);
        assert_eq!((igb.max_chain, igb.max_chain_per_segment), (64, 64));
        let i40e = limits(&info("net_i40e", 255, 8), ALL, &SETUP);
        assert_eq!((i40e.tso_min_mss, i40e.max_chain, i40e.max_chain_per_segment), (256, 128, 8));
        let vf = limits(&info("net_i40e_vf", 255, 8), ALL, &SETUP);
        assert_eq!(vf.tso_min_mss, 256);
        let ice = limits(&info("net_ice", 255, 8), ALL, &SETUP);
        assert_eq!((ice.tso_min_mss, ice.max_chain_per_segment), (64, 8));
        let ena = limits(&info("net_ena", 17, 17), ALL, &SETUP);
        assert_eq!((ena.max_chain, ena.max_chain_per_segment), (17, 8));
    }

    #[test]
    fn s8_unknown_is_not_unlimited() {
        for unknown in [0, 65535] {
            let l = limits(&info("net_brand_new", unknown, unknown), ALL, &SETUP);
            assert_eq!((l.max_chain, l.max_chain_per_segment), (18, 8));
        }
    }

    #[test]
    fn s29_each_driver_lets_go_in_its_own_way() {
        for (driver, idle) in [
            ("net_i40e", IdleReclaim::Cleanup),
            ("net_ice", IdleReclaim::Cleanup),
            ("net_brand_new", IdleReclaim::Cleanup),
            ("mlx5_pci", IdleReclaim::Nudge(33)),
            ("mlx5_auxiliary", IdleReclaim::Nudge(33)),
            ("net_virtio_user", IdleReclaim::Nudge(1)),
            ("net_vmxnet3", IdleReclaim::Nudge(1)),
            ("net_tap", IdleReclaim::AtOnce),
        ] {
            assert_eq!(profile(driver).idle, idle, "{driver}");
        }
    }

    #[test]
    fn a_tso_frame_fits_an_ip_packet() {
        let l = limits(&info("net_tap", 0, 0), ALL, &SETUP);
        assert!(l.tso_max_len + MAX_HEADERS <= 65535);
        assert_eq!((l.tso_max_segments, l.tso_ipv6), (64, false));
    }

    #[test]
    fn s10_without_multi_segments_a_frame_is_one_buffer() {
        let l = limits(&info("net_ixgbe", 40, 40), TxOffloads::TCP_CKSUM, &SETUP);
        assert_eq!((l.max_chain, l.max_chain_per_segment, l.tso_max_len, l.tso_ipv6), (1, 1, 0, false));
    }

    #[test]
    fn a_chain_fits_a_small_ring() {
        let l = limits(&info("net_virtio_user", 65535, 65535), ALL, &Setup { tx_ring: 32, ..SETUP });
        assert_eq!(l.max_chain, 16);
    }
}
