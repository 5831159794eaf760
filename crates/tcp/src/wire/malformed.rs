//! Why a frame could not be read (`S50`).

use core::fmt;

/// What is wrong with a received packet: it is counted under this and dropped.
///
/// The values count from 0 without a hole, so that counters can be an array of [`COUNT`](Malformed::COUNT).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Malformed {
    /// Fewer than 20 bytes, or fewer than the header length says.
    Ipv4Truncated,
    /// The version is not 4.
    Ipv4Version,
    /// The header length is below 20.
    Ipv4HeaderLength,
    /// The total length is shorter than the header or longer than the frame.
    Ipv4TotalLength,
    /// The header checksum is wrong.
    Ipv4Checksum,
    /// Fewer than 40 bytes.
    Ipv6Truncated,
    /// The version is not 6.
    Ipv6Version,
    /// The payload length is longer than the frame.
    Ipv6PayloadLength,
    /// Fewer bytes than the TCP header has.
    TcpTruncated,
    /// The data offset is below 5.
    TcpDataOffset,
    /// The TCP checksum is wrong.
    TcpChecksum,
    /// Fewer than 8 bytes of ICMP.
    IcmpTruncated,
    /// The ICMP checksum is wrong.
    IcmpChecksum,
    /// An ICMP error that does not quote the start of a TCP segment.
    IcmpQuote,
}

impl Malformed {
    /// All of them, in the order of their values.
    pub const ALL: [Malformed; 14] = [
        Malformed::Ipv4Truncated,
        Malformed::Ipv4Version,
        Malformed::Ipv4HeaderLength,
        Malformed::Ipv4TotalLength,
        Malformed::Ipv4Checksum,
        Malformed::Ipv6Truncated,
        Malformed::Ipv6Version,
        Malformed::Ipv6PayloadLength,
        Malformed::TcpTruncated,
        Malformed::TcpDataOffset,
        Malformed::TcpChecksum,
        Malformed::IcmpTruncated,
        Malformed::IcmpChecksum,
        Malformed::IcmpQuote,
    ];

    /// How many there are.
    pub const COUNT: usize = Malformed::ALL.len();

    /// A name for reports, such as `ipv4-checksum`.
    pub const fn name(self) -> &'static str {
        match self {
            Malformed::Ipv4Truncated => "ipv4-truncated",
            Malformed::Ipv4Version => "ipv4-version",
            Malformed::Ipv4HeaderLength => "ipv4-header-length",
            Malformed::Ipv4TotalLength => "ipv4-total-length",
            Malformed::Ipv4Checksum => "ipv4-checksum",
            Malformed::Ipv6Truncated => "ipv6-truncated",
            Malformed::Ipv6Version => "ipv6-version",
            Malformed::Ipv6PayloadLength => "ipv6-payload-length",
            Malformed::TcpTruncated => "tcp-truncated",
            Malformed::TcpDataOffset => "tcp-data-offset",
            Malformed::TcpChecksum => "tcp-checksum",
            Malformed::IcmpTruncated => "icmp-truncated",
            Malformed::IcmpChecksum => "icmp-checksum",
            Malformed::IcmpQuote => "icmp-quote",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_index_an_array() {
        for (i, m) in Malformed::ALL.iter().enumerate() {
            assert_eq!(*m as usize, i, "{m}");
        }
    }
}
