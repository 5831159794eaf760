//! What a port says about how it spreads received flows over its queues.

use crate::Errno;

/// Key and table of a port's receive-side scaling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RssInfo {
    /// The hash key.
    pub key: Vec<u8>,
    /// Queue per entry; the low bits of the hash choose the entry.
    pub table: Vec<u16>,
    /// Hashes addresses and ports of TCP over IPv4.
    pub ipv4_tcp: bool,
    /// Hashes addresses and ports of TCP over IPv6.
    pub ipv6_tcp: bool,
}

/// Why a port's spreading is not known.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RssUnknown {
    /// It has no table.
    #[error("the port has no receive-side scaling")]
    None,
    /// It does not tell its key.
    #[error("the port does not tell its hash key: {0}")]
    Key(Errno),
    /// It does not tell its table.
    #[error("the port does not tell its redirection table: {0}")]
    Table(Errno),
}

/// Reads key and table of a started port.
pub(crate) fn read(port: u16, key_size: u8, table_size: u16) -> Result<RssInfo, RssUnknown> {
    if table_size == 0 || key_size == 0 {
        return Err(RssUnknown::None);
    }
    let mut key = vec![0u8; key_size.into()];
    let mut conf =
        dpdk_sys::rte_eth_rss_conf { rss_key: key.as_mut_ptr(), rss_key_len: key_size, ..Default::default() };
    // SAFETY: the port is valid; `rss_key` has room for `rss_key_len` bytes, the size the port reports.
    let rc = unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(port, &raw mut conf) };
    Errno::check(rc).map_err(RssUnknown::Key)?;
    key.truncate(conf.rss_key_len.into());

    let group = dpdk_sys::RTE_ETH_RETA_GROUP_SIZE as usize;
    let mut groups = vec![
        dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, ..Default::default() };
        usize::from(table_size).div_ceil(group)
    ];
    // SAFETY: the port is valid; the array covers `table_size` entries.
    let rc = unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), table_size) };
    Errno::check(rc).map_err(RssUnknown::Table)?;
    let table = groups.iter().flat_map(|g| g.reta).take(table_size.into()).collect();
    Ok(RssInfo {
        key,
        table,
        ipv4_tcp: conf.rss_hf & u64::from(dpdk_sys::RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0,
        ipv6_tcp: conf.rss_hf & u64::from(dpdk_sys::RTE_ETH_RSS_NONFRAG_IPV6_TCP) != 0,
    })
}
