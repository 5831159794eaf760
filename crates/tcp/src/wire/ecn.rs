//! The ECN field: the lower two bits of IPv4's type of service and of IPv6's traffic class (RFC 3168 §5). Zero: neither end
//! understands marks.

/// The field's bits.
pub const ECN_MASK: u8 = 0b11;
/// Both ends understand marks.
pub const ECT_0: u8 = 0b10;
/// They do, and it is an experiment (RFC 8311).
pub const ECT_1: u8 = 0b01;
/// Congestion was experienced: the mark.
pub const CE: u8 = 0b11;
