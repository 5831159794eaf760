//! Wire formats: IPv4, IPv6, TCP with its options, ICMP, and the Internet checksum.

mod flags;
mod options;

pub use flags::TcpFlags;
pub use options::{OptionBytes, SackBlocks, TcpOptions, Timestamps};
