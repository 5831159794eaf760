//! Everything that can be wrong with a frame and what is said of it.

/// One thing wrong with one frame. Pairs are (what was said, what is right) unless the message says otherwise.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// `payload_len` is not what the slices add up to.
    #[error("payload_len says {0}, the slices hold {1} bytes")]
    PayloadLen(u32, usize),
    /// `pkt_len` is not what the mbufs add up to.
    #[error("pkt_len says {0}, the mbufs hold {1} bytes")]
    PktLen(u32, usize),
    /// `nb_segs` is not the chain's length.
    #[error("nb_segs says {0}, the chain has {1}")]
    NbSegs(u16, usize),
    /// The TSO flag and `tso_segsz` contradict each other.
    #[error("TSO flag {0} with tso_segsz {1}")]
    SegFlag(bool, u16),
    /// Both family flags, or none where an offload needs one.
    #[error("family flags: IPv4 {0}, IPv6 {1}")]
    FamilyFlags(bool, bool),
    /// A buffer of the chain is empty; its index.
    #[error("buffer {0} of the chain is empty")]
    EmptySegment(usize),
    /// More buffers than the device takes in one frame.
    #[error("{0} buffers in the chain, the device takes {1}")]
    ChainTooLong(usize, usize),
    /// More buffers under one wire segment than the device takes.
    #[error("one wire segment spans {0} buffers with its header, the device takes {1}")]
    StretchTooLong(usize, usize),
    /// The metadata asks for something the port does not offer.
    #[error("asks for {0}, which the port does not offer")]
    NotOffered(&'static str),
    /// No device tells when a frame left that it segments.
    #[error("asks for the time of a frame that the device segments")]
    TimedTso,
    /// IPv6 has no header checksum.
    #[error("asks for an IPv4 header checksum on an IPv6 frame")]
    Ipv6HeaderChecksum,
    /// Shorter than an Ethernet header.
    #[error("the first buffer has {0} bytes, less than an Ethernet header")]
    Runt(usize),
    /// The source is not the port.
    #[error("source MAC {0:02x?}, the port has {1:02x?}")]
    SourceMac([u8; 6], [u8; 6]),
    /// The destination is nobody, or the port itself.
    #[error("destination MAC {0:02x?} is nobody or ourselves")]
    DestinationMac([u8; 6]),
    /// Neither IPv4, IPv6 nor ARP.
    #[error("ethertype {0:#06x}")]
    Ethertype(u16),
    /// `l2_len`.
    #[error("l2_len says {0}, the Ethernet header has {1} bytes")]
    L2Len(u8, usize),
    /// `l3_len`.
    #[error("l3_len says {0}, the network header has {1} bytes")]
    L3Len(u16, usize),
    /// `l4_len`.
    #[error("l4_len says {0}, the TCP header has {1} bytes")]
    L4Len(u8, usize),
    /// `ipv6` contradicts the ethertype; what it says.
    #[error("ipv6 says {0}, the ethertype does not")]
    Family(bool),
    /// The headers do not lie whole in the first buffer, whose length this is.
    #[error("the headers do not fit the first buffer's {0} bytes")]
    HeadersSplit(usize),
    /// The version field contradicts the ethertype.
    #[error("IP version {0}, the ethertype says {1}")]
    IpVersion(u8, u8),
    /// An impossible IPv4 header length.
    #[error("IPv4 header length of {0} bytes")]
    IpHeaderLength(usize),
    /// The IP length field.
    #[error("the IP header says {0} bytes, the frame carries {1}")]
    IpLength(usize, usize),
    /// No 16-bit field can say this length.
    #[error("IP packet of {0} bytes, above 65535")]
    IpTooLong(usize),
    /// A wire packet would not fit.
    #[error("IP packet of {0} bytes on the wire, the MTU is {1}")]
    OverMtu(usize, u16),
    /// The IPv4 checksum field is not zero though the device shall fill it in.
    #[error("IPv4 checksum field is {0:#06x}, the device wants 0 to fill it in")]
    IpChecksumNotZero(u16),
    /// The IPv4 checksum is wrong and nobody fills it in.
    #[error("IPv4 checksum is {0:#06x}, right is {1:#06x}")]
    IpChecksum(u16, u16),
    /// A fragment, or the reserved bit; the fragment field.
    #[error("fragment field {0:#06x}")]
    Fragment(u16),
    /// DF is clear on a TCP segment (RFC 1191).
    #[error("DF is clear")]
    DfClear,
    /// TTL or hop limit of zero.
    #[error("TTL or hop limit is zero")]
    HopLimit,
    /// The source address is none a host may have.
    #[error("source address is zero or multicast")]
    SourceAddress,
    /// The destination address is nobody or the source.
    #[error("destination address is zero or the source's")]
    DestinationAddress,
    /// Neither TCP nor ICMP.
    #[error("IP protocol {0}")]
    Protocol(u8),
    /// The ICMP checksum does not come out; the folded sum.
    #[error("ICMP message sums to {0:#06x}")]
    IcmpChecksum(u16),
    /// A malformed ARP message.
    #[error("malformed ARP")]
    Arp,
    /// TCP offloads or `l4_len` on something else.
    #[error("TCP metadata on a frame that is not TCP")]
    NotTcp,
    /// An impossible TCP data offset, in bytes.
    #[error("TCP data offset of {0} bytes")]
    DataOffset(usize),
    /// Reserved bits are set.
    #[error("reserved bits {0:#05b} are set")]
    ReservedBits(u8),
    /// A port is zero.
    #[error("a port is zero")]
    PortZero,
    /// Control bits that do not go together.
    #[error("control bits {0:#05x} do not go together")]
    Flags(u16),
    /// PSH with nothing to push.
    #[error("PSH without payload")]
    PshWithoutPayload,
    /// Payload on a SYN or RST: the control bits, and how much.
    #[error("{1} bytes of payload with control bits {0:#05x}")]
    PayloadOnControl(u16, usize),
    /// The acknowledgement field must be zero without ACK.
    #[error("acknowledgement number without ACK")]
    AckFieldWithoutAck,
    /// The urgent pointer must be zero without URG.
    #[error("urgent pointer without URG")]
    UrgentPointerWithoutUrg,
    /// An option that runs past the header; its kind.
    #[error("option {0} runs past the header")]
    OptionLength(u8),
    /// An option of the wrong length, or out of place in this segment; its kind and length.
    #[error("option {0} of {1} bytes is malformed or out of place")]
    Option(u8, usize),
    /// Padding that is not zero (MUST-69).
    #[error("option padding is not zero")]
    OptionPadding,
    /// TSO without the TCP checksum.
    #[error("segmentation without TCP checksum offload")]
    TsoWithoutChecksum,
    /// TSO over IPv4 without the header checksum that the port offers.
    #[error("segmentation without IPv4 checksum offload, which the port offers")]
    TsoWithoutIpChecksum,
    /// TSO where there is nothing to segment: payload, `tso_segsz`.
    #[error("segmentation of {0} bytes into segments of {1}")]
    TsoForOneSegment(usize, usize),
    /// More payload than the device segments.
    #[error("segmentation of {0} bytes, the device takes {1}")]
    TsoTooLong(usize, u32),
    /// More wire segments than the device makes of one frame.
    #[error("segmentation into {0}, the device makes at most {1}")]
    TsoSegments(usize, u16),
    /// An MSS below what the device segments to.
    #[error("segments of {0} bytes, the device makes none below {1}")]
    TsoMss(usize, u16),
    /// Control bits that cannot be spread over segments, or that devices lose: only ACK, PSH and ECN's may be there.
    #[error("segmentation with control bits {0:#05x}")]
    TsoFlags(u16),
    /// The seed in the TCP checksum field is wrong.
    #[error("TCP checksum field holds {0:#06x}, the pseudo-header sum is {1:#06x}")]
    PseudoSum(u16, u16),
    /// The TCP checksum is wrong and nobody fills it in.
    #[error("TCP checksum is {0:#06x}, right is {1:#06x}")]
    TcpChecksum(u16, u16),
    /// More frames staged than the port said it takes before a burst.
    #[error("{0} frames staged, the port takes {1} in one burst")]
    OverBatch(usize, u16),
}
