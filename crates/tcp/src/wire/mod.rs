//! Wire formats: IPv4, IPv6, TCP with its options, ICMP, and the Internet checksum.
//!
//! Parsers take any bytes, never panic, and say in a [`Malformed`] what was wrong. They yield values and
//! offsets: the payload stays where it is.

mod checksum;
mod ecn;
mod flags;
mod icmpv4;
mod icmpv6;
mod ipv4;
mod ipv6;
mod malformed;
mod options;
mod quoted;
mod tcp;
mod user_timeout;

pub use checksum::{Sum, checksum};
pub use ecn::{CE, ECN_MASK, ECT_0, ECT_1};
pub use flags::TcpFlags;
pub use icmpv4::{ICMP_HEADER_LEN, Icmpv4, PROTOCOL_ICMP};
pub use icmpv6::{Icmpv6, PROTOCOL_ICMPV6};
pub use ipv4::{ChecksumBy, IPV4_HEADER_LEN, Ipv4Header, Ipv4Packet};
pub use ipv6::{IPV6_HEADER_LEN, Ipv6Header, Ipv6Packet};
pub use malformed::Malformed;
pub use options::{OptionBytes, SackBlocks, TcpOptions, Timestamps};
pub use quoted::{parse_quoted_v4, parse_quoted_v6};
pub use tcp::{PROTOCOL_TCP, TCP_HEADER_LEN, TcpHeader, TcpPacket, parse_tcp};
pub use user_timeout::UserTimeout;
