//! Offload flags: what a port can do, and what a frame asks of it.

use core::ffi::{CStr, c_char};
use core::fmt;
use core::ops::{BitAnd, BitOr};

macro_rules! offloads {
    ($(#[$doc:meta])* $name:ident, $c_name:path, { $($(#[$fdoc:meta])* $flag:ident = $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, Default)]
        pub struct $name(pub u64);

        impl $name {
            $($(#[$fdoc])* pub const $flag: $name = $name($value as u64);)*

            /// True when all of `other` is in `self`.
            pub fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// `self` without `other`.
            #[must_use]
            pub fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }

            /// DPDK's names of the flags.
            pub fn names(self) -> Vec<String> {
                (0..64).map(|bit| self.0 & (1 << bit)).filter(|&f| f != 0).map(|f| {
                    // SAFETY: takes any number, returns a pointer to a static string.
                    flag_name(unsafe { $c_name(f) })
                }).collect()
            }
        }

        impl BitOr for $name {
            type Output = $name;
            fn bitor(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }
        }

        impl BitAnd for $name {
            type Output = $name;
            fn bitand(self, other: $name) -> $name {
                $name(self.0 & other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.names().join(" "))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

offloads! {
    /// What a port offers, or is asked, to do to frames it sends.
    TxOffloads, dpdk_sys::rte_eth_dev_tx_offload_name, {
        /// IPv4 header checksum.
        IPV4_CKSUM = dpdk_sys::RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
        /// TCP checksum.
        TCP_CKSUM = dpdk_sys::RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
        /// TCP segmentation.
        TCP_TSO = dpdk_sys::RTE_ETH_TX_OFFLOAD_TCP_TSO;
        /// Frames of several buffers.
        MULTI_SEGS = dpdk_sys::RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
        /// Frees without looking at references: never wanted here, named so that it can be refused.
        MBUF_FAST_FREE = dpdk_sys::RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    }
}

offloads! {
    /// What a port offers, or is asked, to do to frames it receives.
    RxOffloads, dpdk_sys::rte_eth_dev_rx_offload_name, {
        /// Verifies IPv4 header checksums.
        IPV4_CKSUM = dpdk_sys::RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
        /// Verifies TCP checksums.
        TCP_CKSUM = dpdk_sys::RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
        /// Coalesces TCP segments.
        TCP_LRO = dpdk_sys::RTE_ETH_RX_OFFLOAD_TCP_LRO;
        /// Frames of several buffers.
        SCATTER = dpdk_sys::RTE_ETH_RX_OFFLOAD_SCATTER;
        /// Reports when frames arrived; some ports keep a clock only with this.
        TIMESTAMP = dpdk_sys::RTE_ETH_RX_OFFLOAD_TIMESTAMP;
        /// Reports the RSS hash.
        RSS_HASH = dpdk_sys::RTE_ETH_RX_OFFLOAD_RSS_HASH;
    }
}

fn flag_name(name: *const c_char) -> String {
    if name.is_null() {
        return "?".into();
    }
    // SAFETY: not null, hence one of DPDK's static strings.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// What one frame asks of the port: header lengths and offload flags, as an mbuf carries them.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TxOffload {
    /// Ethernet header, bytes; 7 bits.
    pub l2_len: u8,
    /// IP header, bytes; 9 bits.
    pub l3_len: u16,
    /// TCP header, bytes.
    pub l4_len: u8,
    /// Payload bytes per segment; 0: do not segment.
    pub tso_segsz: u16,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// Fill in the IPv4 header checksum.
    pub ip_checksum: bool,
    /// Fill in the TCP checksum.
    pub tcp_checksum: bool,
    /// Note when it leaves: [`TxStamps`](crate::TxStamps).
    pub stamp: bool,
}

impl TxOffload {
    /// The lengths as the word `tx_offload` (its layout is asserted in the shim).
    #[inline]
    pub(crate) fn word(self) -> u64 {
        u64::from(self.l2_len & 0x7f)
            | u64::from(self.l3_len & 0x1ff) << 7
            | u64::from(self.l4_len) << 16
            | u64::from(self.tso_segsz) << 24
    }

    /// The flags as `ol_flags`.
    #[inline]
    pub(crate) fn flags(self) -> u64 {
        let mut flags = 0;
        if self.tso_segsz != 0 {
            // Implies the TCP checksum.
            flags |= dpdk_sys::RTE_MBUF_F_TX_TCP_SEG;
        }
        if self.tcp_checksum || self.tso_segsz != 0 {
            flags |= dpdk_sys::RTE_MBUF_F_TX_TCP_CKSUM;
        }
        if self.ip_checksum {
            flags |= dpdk_sys::RTE_MBUF_F_TX_IP_CKSUM;
        }
        if flags != 0 {
            // Only asked for together with an offload: some drivers read it as one.
            flags |= if self.ipv6 { dpdk_sys::RTE_MBUF_F_TX_IPV6 } else { dpdk_sys::RTE_MBUF_F_TX_IPV4 };
        }
        if self.stamp {
            flags |= dpdk_sys::RTE_MBUF_F_TX_IEEE1588_TMST;
        }
        flags
    }

    /// What a frame's flags and lengths say.
    pub(crate) fn read(flags: u64, word: u64) -> TxOffload {
        TxOffload {
            l2_len: (word & 0x7f) as u8,
            l3_len: (word >> 7 & 0x1ff) as u16,
            l4_len: (word >> 16 & 0xff) as u8,
            tso_segsz: if flags & dpdk_sys::RTE_MBUF_F_TX_TCP_SEG != 0 { (word >> 24) as u16 } else { 0 },
            ipv6: flags & dpdk_sys::RTE_MBUF_F_TX_IPV6 != 0,
            ip_checksum: flags & dpdk_sys::RTE_MBUF_F_TX_IP_CKSUM != 0,
            tcp_checksum: flags & dpdk_sys::RTE_MBUF_F_TX_L4_MASK == dpdk_sys::RTE_MBUF_F_TX_TCP_CKSUM,
            stamp: flags & dpdk_sys::RTE_MBUF_F_TX_IEEE1588_TMST != 0,
        }
    }
}

/// What the port says of a received frame.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RxFlags(pub(crate) u64);

impl RxFlags {
    /// Both checksums looked at and right.
    pub(crate) const ALL_GOOD: RxFlags =
        RxFlags((dpdk_sys::RTE_MBUF_F_RX_IP_CKSUM_GOOD | dpdk_sys::RTE_MBUF_F_RX_L4_CKSUM_GOOD) as u64);

    /// The IPv4 header checksum: `Some(true)` right or vouched for, `Some(false)` wrong, `None` not looked at.
    pub fn ip_checksum(self) -> Option<bool> {
        verdict(
            self.0,
            dpdk_sys::RTE_MBUF_F_RX_IP_CKSUM_GOOD.into(),
            dpdk_sys::RTE_MBUF_F_RX_IP_CKSUM_BAD.into(),
        )
    }

    /// The TCP or UDP checksum, likewise.
    pub fn l4_checksum(self) -> Option<bool> {
        verdict(
            self.0,
            dpdk_sys::RTE_MBUF_F_RX_L4_CKSUM_GOOD.into(),
            dpdk_sys::RTE_MBUF_F_RX_L4_CKSUM_BAD.into(),
        )
    }
}

/// Both bits together mean: the field is not filled in, but the data is vouched for (a virtual wire).
fn verdict(flags: u64, good: u64, bad: u64) -> Option<bool> {
    match (flags & good != 0, flags & bad != 0) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frames_wishes_survive_the_mbuf() {
        for tso_segsz in [0, 1, 536, 1448, 65535] {
            for ipv6 in [false, true] {
                let wish = TxOffload {
                    l2_len: 14,
                    l3_len: if ipv6 { 40 } else { 20 },
                    l4_len: 32,
                    tso_segsz,
                    ipv6,
                    ip_checksum: !ipv6,
                    tcp_checksum: true,
                    stamp: tso_segsz == 0,
                };
                assert_eq!(TxOffload::read(wish.flags(), wish.word()), wish);
            }
        }
    }

    #[test]
    fn a_frame_without_wishes_has_no_flags() {
        let plain = TxOffload { l2_len: 14, l3_len: 20, l4_len: 20, ..TxOffload::default() };
        assert_eq!(plain.flags(), 0);
    }

    #[test]
    fn checksum_verdicts() {
        let (good, bad) = (
            u64::from(dpdk_sys::RTE_MBUF_F_RX_L4_CKSUM_GOOD),
            u64::from(dpdk_sys::RTE_MBUF_F_RX_L4_CKSUM_BAD),
        );
        assert_eq!(RxFlags(0).l4_checksum(), None);
        assert_eq!(RxFlags(good).l4_checksum(), Some(true));
        assert_eq!(RxFlags(bad).l4_checksum(), Some(false));
        assert_eq!(RxFlags(good | bad).l4_checksum(), Some(true));
        assert_eq!(RxFlags(good).ip_checksum(), None);
    }
}
