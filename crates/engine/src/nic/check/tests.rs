//! One good frame of each kind, and every way of spoiling it that we could think of.

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn limits() -> NicLimits {
    NicLimits {
        mtu: 1500,
        header_room: 256,
        tso_max_len: 65_000,
        tso_max_segments: 64,
        tso_min_mss: 200,
        tso_ipv6: true,
        max_chain: 20,
        max_chain_per_segment: 4,
        tx_ip_checksum: true,
        tx_tcp_checksum: true,
        tx_ring: 256,
        tx_batch: 32,
        link_bps: None,
    }
}

/// A frame that can be spoilt before it is checked.
struct Frame {
    chain: Vec<Vec<u8>>,
    meta: TxMeta,
    limits: NicLimits,
}

impl Frame {
    /// A TCP segment with timestamps and these payload slices, every offload on, TSO when it is over 1448 bytes.
    fn tcp(slices: &[usize]) -> Frame {
        let payload: usize = slices.iter().sum();
        let mut head = vec![2, 0, 0, 0, 0, 2];
        head.extend(MAC);
        head.extend([8, 0]);
        head.extend([0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        head[16..18].copy_from_slice(&((52 + payload) as u16).to_be_bytes());
        head.extend([0xc0, 1, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x10, 1, 0, 0, 0, 0, 0]);
        head.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        let tso = payload > 1448;
        let mut chain = vec![head];
        chain.extend(slices.iter().map(|&n| (0..n).map(|i| (i * 7) as u8).collect::<Vec<u8>>()));
        let meta = TxMeta {
            l2_len: 14,
            l3_len: 20,
            l4_len: 32,
            ipv6: false,
            ip_checksum: true,
            tcp_checksum: true,
            tso_segsz: if tso { 1448 } else { 0 },
            payload_len: payload as u32,
            stamp: false,
        };
        let mut frame = Frame { chain, meta, limits: limits() };
        // 10.0.0.1 + 10.0.0.2 + TCP, and the length when there is no TSO.
        frame.seed(0x0a00 + 1 + 0x0a00 + 2 + 6 + if tso { 0 } else { 32 + payload as u16 });
        frame
    }

    /// The same without offloads: both checksums computed here, over one piece.
    fn software(slices: &[usize]) -> Frame {
        let mut frame = Frame::tcp(slices);
        frame.meta.ip_checksum = false;
        frame.meta.tcp_checksum = false;
        let ip = !fold(naive_sum(&frame.chain[0][14..34]));
        frame.chain[0][24..26].copy_from_slice(&ip.to_be_bytes());
        let all: Vec<u8> = frame.chain.concat();
        let tcp = !fold(naive_sum(&all[34..]));
        frame.seed(tcp);
        frame
    }

    fn arp() -> Frame {
        let mut head = vec![0xff; 6];
        head.extend(MAC);
        head.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        head.extend(MAC);
        head.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        Frame { chain: vec![head], meta: TxMeta { l2_len: 14, ..TxMeta::default() }, limits: limits() }
    }

    fn echo() -> Frame {
        let mut frame = Frame::software(&[]);
        frame.chain[0].truncate(34);
        frame.chain[0].extend([0, 0, 0xff - 0x12, 0xff - 0x34, 0x12, 0x34]);
        frame.chain[0][17] = 26;
        frame.chain[0][23] = 1;
        frame.chain[0][24..26].fill(0);
        let ip = !fold(naive_sum(&frame.chain[0][14..34]));
        frame.chain[0][24..26].copy_from_slice(&ip.to_be_bytes());
        frame.meta = TxMeta { l2_len: 14, l3_len: 20, ..TxMeta::default() };
        frame
    }

    fn seed(&mut self, value: u16) {
        self.chain[0][50..52].copy_from_slice(&value.to_be_bytes());
    }

    /// Rewrites TCP flags; they are in no seed, so nothing else changes.
    fn flags(&mut self, flags: u8) {
        self.chain[0][47] = flags;
    }

    fn found(&self) -> Vec<Violation> {
        let chain: Vec<&[u8]> = self.chain.iter().map(Vec::as_slice).collect();
        let mut found = Vec::new();
        Checker::new(&self.limits, MAC).staged(&chain, &self.meta, &mut |v| found.push(v));
        found
    }

    fn facts(&self) -> MbufFacts {
        MbufFacts {
            l2_len: self.meta.l2_len,
            l3_len: self.meta.l3_len,
            l4_len: self.meta.l4_len,
            tso_segsz: self.meta.tso_segsz,
            ipv4: true,
            ipv6: false,
            ip_checksum: self.meta.ip_checksum,
            tcp_checksum: self.meta.tcp_checksum && self.meta.tso_segsz == 0,
            tcp_seg: self.meta.tso_segsz != 0,
            pkt_len: self.chain.iter().map(Vec::len).sum::<usize>() as u32,
            nb_segs: self.chain.len() as u16,
        }
    }

    fn found_prepared(&self, facts: &MbufFacts, tso_sum: TsoSum) -> Vec<Violation> {
        let chain: Vec<&[u8]> = self.chain.iter().map(Vec::as_slice).collect();
        let mut found = Vec::new();
        Checker::new(&self.limits, MAC).prepared(&chain, facts, tso_sum, &mut |v| found.push(v));
        found
    }
}

/// The sum of one piece, byte by byte.
fn naive_sum(bytes: &[u8]) -> u64 {
    bytes.iter().enumerate().map(|(i, &b)| u64::from(b) << (8 * (1 - i % 2))).sum()
}

#[test]
fn good_frames_pass() {
    for frame in [
        Frame::tcp(&[]),
        Frame::tcp(&[1]),
        Frame::tcp(&[1448]),
        Frame::tcp(&[1000, 3000, 500]),
        Frame::tcp(&[65_000]),
        Frame::software(&[]),
        Frame::software(&[3, 5, 64]),
        Frame::arp(),
        Frame::echo(),
    ] {
        assert_eq!(frame.found(), []);
    }
}

/// Spoils a good frame and expects exactly this violation among those found.
#[track_caller]
fn spoilt(mut frame: Frame, spoil: impl FnOnce(&mut Frame), expected: Violation) {
    spoil(&mut frame);
    let found = frame.found();
    assert!(found.contains(&expected), "expected {expected:?}, found {found:?}");
}

#[test]
fn wrong_lengths_are_found() {
    let f = || Frame::tcp(&[100]);
    spoilt(f(), |f| f.meta.l2_len = 18, Violation::L2Len(18, 14));
    spoilt(f(), |f| f.meta.l3_len = 24, Violation::L3Len(24, 20));
    spoilt(f(), |f| f.meta.l4_len = 20, Violation::L4Len(20, 32));
    spoilt(f(), |f| f.meta.payload_len = 99, Violation::PayloadLen(99, 100));
    spoilt(f(), |f| f.chain[0][17] += 1, Violation::IpLength(153, 152));
    spoilt(f(), |f| f.chain[0][46] = 0x40, Violation::DataOffset(16));
    spoilt(f(), |f| f.chain[0][14] = 0x44, Violation::IpHeaderLength(16));
    spoilt(f(), |f| f.limits.mtu = 151, Violation::OverMtu(152, 151));
    spoilt(Frame::tcp(&[3000]), |f| f.limits.mtu = 1499, Violation::OverMtu(1500, 1499));
    spoilt(f(), |f| f.chain[0].truncate(40), Violation::HeadersSplit(40));
    spoilt(f(), |f| f.chain[0].truncate(13), Violation::Runt(13));
    let mut long = Frame::tcp(&[65_000]);
    long.chain.push(vec![0; 600]);
    long.meta.payload_len += 600;
    assert!(long.found().contains(&Violation::IpTooLong(65_652)));
}

#[test]
fn wrong_checksums_and_seeds_are_found() {
    spoilt(Frame::tcp(&[100]), |f| f.seed(0x1234), Violation::PseudoSum(0x1234, 0x1400 + 9 + 132));
    // TSO wants it without the length, everything else with it.
    let with_length = 0x1409 + 3032;
    spoilt(Frame::tcp(&[3000]), |f| f.seed(with_length), Violation::PseudoSum(with_length, 0x1409));
    spoilt(Frame::tcp(&[100]), |f| f.chain[0][25] = 1, Violation::IpChecksumNotZero(1));
    let good = Frame::software(&[7]);
    let (ip, tcp) = (be16(&good.chain[0], 24), be16(&good.chain[0], 50));
    spoilt(Frame::software(&[7]), |f| f.chain[0][25] ^= 1, Violation::IpChecksum(ip ^ 1, ip));
    spoilt(Frame::software(&[7]), |f| f.chain[0][51] ^= 1, Violation::TcpChecksum(tcp ^ 1, tcp));
    let seed_left = 0x1409 + 39;
    spoilt(Frame::software(&[7]), |f| f.seed(seed_left), Violation::TcpChecksum(seed_left, tcp));
    spoilt(Frame::echo(), |f| f.chain[0][39] ^= 1, Violation::IcmpChecksum(1));
}

#[test]
fn every_single_bit_of_a_software_checksummed_segment_matters() {
    let bytes: usize = Frame::software(&[9, 4]).chain.iter().map(Vec::len).sum();
    // The Ethernet header is covered by no checksum; its destination may be any station.
    for bit in 48..bytes * 8 {
        let mut frame = Frame::software(&[9, 4]);
        let mut at = bit / 8;
        let mut slice = 0;
        while at >= frame.chain[slice].len() {
            at -= frame.chain[slice].len();
            slice += 1;
        }
        frame.chain[slice][at] ^= 0x80 >> (bit % 8);
        assert_ne!(frame.found(), [], "bit {bit} flipped unseen");
    }
}

#[test]
fn what_the_port_cannot_do_is_found() {
    let tso = || Frame::tcp(&[4000]);
    spoilt(tso(), |f| f.limits.tx_ip_checksum = false, Violation::NotOffered("an IPv4 checksum"));
    spoilt(tso(), |f| f.limits.tx_tcp_checksum = false, Violation::NotOffered("a TCP checksum"));
    spoilt(tso(), |f| f.limits.tso_max_len = 0, Violation::NotOffered("segmentation"));
    spoilt(tso(), |f| f.limits.tso_max_len = 3999, Violation::TsoTooLong(4000, 3999));
    spoilt(tso(), |f| f.limits.tso_max_segments = 2, Violation::TsoSegments(3, 2));
    spoilt(tso(), |f| f.limits.tso_min_mss = 1449, Violation::TsoMss(1448, 1449));
    spoilt(tso(), |f| f.meta.tcp_checksum = false, Violation::TsoWithoutChecksum);
    spoilt(tso(), |f| f.meta.ip_checksum = false, Violation::TsoWithoutIpChecksum);
    spoilt(tso(), |f| f.meta.tso_segsz = 4000, Violation::TsoForOneSegment(4000, 4000));
    spoilt(tso(), |f| f.flags(0x12), Violation::TsoFlags(0x12));
    spoilt(tso(), |f| f.flags(0x11), Violation::TsoFlags(0x11));
}

#[test]
fn chains_beyond_the_limits_are_found() {
    spoilt(Frame::tcp(&[10, 10]), |f| f.limits.max_chain = 2, Violation::ChainTooLong(3, 2));
    spoilt(Frame::tcp(&[10]), |f| f.chain.push(Vec::new()), Violation::EmptySegment(2));
    // Without TSO the whole frame is one wire segment.
    spoilt(Frame::tcp(&[9; 4]), |_| {}, Violation::StretchTooLong(5, 4));
    // With TSO each stretch of 1448 counts for itself: 500 × 20 is at most four payload buffers and the header.
    spoilt(Frame::tcp(&[500; 19]), |_| {}, Violation::StretchTooLong(5, 4));
    // Stretches end inside the last of three buffers, or exactly with it.
    assert_eq!(Frame::tcp(&[724; 10]).found(), []);
    let mut tight = Frame::tcp(&[724; 10]);
    tight.limits.max_chain_per_segment = 3;
    assert_eq!(tight.found(), []);
    tight.limits.max_chain_per_segment = 2;
    assert!(tight.found().contains(&Violation::StretchTooLong(3, 2)));
}

#[test]
fn payload_behind_the_headers_counts_towards_the_first_stretch() {
    let headers = 66;
    let first = vec![0; headers + 1000];
    let rest = [vec![0; 400], vec![0; 48], vec![0; 1448]];
    let chain: Vec<&[u8]> = core::iter::once(&first).chain(&rest).map(Vec::as_slice).collect();
    assert_eq!(Chain(&chain).longest_stretch(headers, 1448), 3);
    assert_eq!(Chain(&chain[..2]).longest_stretch(headers, 1448), 2);
    assert_eq!(Chain(&chain[..1]).longest_stretch(headers, 1448), 1);
    assert_eq!(Chain(&chain).longest_stretch(headers, 0), 4);
}

#[test]
fn headers_that_make_no_sense_are_found() {
    let f = || Frame::tcp(&[100]);
    spoilt(f(), |f| f.chain[0][20] = 0, Violation::DfClear);
    spoilt(f(), |f| f.chain[0][20] = 0x60, Violation::Fragment(0x6000));
    spoilt(f(), |f| f.chain[0][22] = 0, Violation::HopLimit);
    spoilt(f(), |f| f.chain[0][26] = 224, Violation::SourceAddress);
    spoilt(f(), |f| f.chain[0][33] = 1, Violation::DestinationAddress);
    spoilt(f(), |f| f.chain[0][11] = 9, Violation::SourceMac([2, 0, 0, 0, 0, 9], MAC));
    spoilt(f(), |f| f.chain[0][5] = 1, Violation::DestinationMac(MAC));
    spoilt(f(), |f| f.chain[0][0] = 1, Violation::DestinationMac([1, 0, 0, 0, 0, 2]));
    spoilt(f(), |f| f.chain[0][12] = 9, Violation::Ethertype(0x0900));
    spoilt(f(), |f| f.meta.ipv6 = true, Violation::Family(true));
    spoilt(f(), |f| f.chain[0][14] = 0x65, Violation::IpVersion(6, 4));
    spoilt(f(), |f| f.chain[0][23] = 17, Violation::Protocol(17));
    spoilt(f(), |f| f.chain[0][37] = 0, Violation::PortZero);
    spoilt(f(), |f| f.chain[0][46] |= 0x02, Violation::ReservedBits(1));
    spoilt(Frame::arp(), |f| f.chain[0][18] = 5, Violation::Arp);
    spoilt(Frame::arp(), |f| f.meta.tcp_checksum = true, Violation::NotTcp);
    spoilt(Frame::echo(), |f| f.meta.l4_len = 8, Violation::NotTcp);
}

#[test]
fn control_bits_that_make_no_sense_are_found() {
    let f = || Frame::tcp(&[100]);
    spoilt(f(), |f| f.flags(0x00), Violation::Flags(0));
    spoilt(f(), |f| f.flags(0x13), Violation::Flags(0x13));
    spoilt(f(), |f| f.flags(0x15), Violation::Flags(0x15));
    spoilt(f(), |f| f.flags(0x08), Violation::Flags(0x08));
    spoilt(f(), |f| f.flags(0x04), Violation::AckFieldWithoutAck);
    spoilt(f(), |f| f.flags(0x12), Violation::PayloadOnControl(0x12, 100));
    spoilt(Frame::tcp(&[]), |f| f.flags(0x18), Violation::PshWithoutPayload);
    spoilt(f(), |f| f.chain[0][53] = 1, Violation::UrgentPointerWithoutUrg);
}

#[test]
fn malformed_and_misplaced_options_are_found() {
    let with = |options: [u8; 12]| {
        let mut frame = Frame::tcp(&[1]);
        frame.chain[0][54..66].copy_from_slice(&options);
        frame.found()
    };
    assert_eq!(with([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]), []);
    assert_eq!(with([1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2]), []);
    assert_eq!(with([1, 1, 8, 11, 0, 0, 0, 1, 0, 0, 0, 2]), [Violation::OptionLength(8)]);
    assert_eq!(with([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), [Violation::OptionLength(8)]);
    assert_eq!(with([2, 4, 5, 180, 1, 1, 1, 1, 1, 1, 1, 1]), [Violation::Option(2, 4)]);
    assert_eq!(with([5, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]), [Violation::Option(5, 9)]);
    assert_eq!(with([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), [Violation::OptionPadding]);
}

#[test]
fn a_vlan_tag_is_part_of_the_second_layer() {
    let mut frame = Frame::tcp(&[100]);
    frame.chain[0].splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(frame.found(), [Violation::L2Len(14, 18)]);
    frame.meta.l2_len = 18;
    assert_eq!(frame.found(), []);
}

#[test]
fn ipv6_frames_are_understood() {
    let mut frame = Frame::tcp(&[100]);
    let mut ip = vec![0x60, 0, 0, 0, 0, 132, 6, 64];
    ip.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ip.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    frame.chain[0].splice(14..34, ip);
    frame.chain[0][12..14].copy_from_slice(&[0x86, 0xdd]);
    let seed = fold(2 * 0xfd00 + 3 + 6 + 132);
    frame.chain[0][70..72].copy_from_slice(&seed.to_be_bytes());
    frame.meta = TxMeta { l3_len: 40, ipv6: true, ip_checksum: false, ..frame.meta };
    assert_eq!(frame.found(), []);
    frame.meta.ip_checksum = true;
    assert_eq!(frame.found(), [Violation::Ipv6HeaderChecksum]);
    frame.meta.ip_checksum = false;
    frame.chain[0][19] -= 1;
    assert_eq!(frame.found(), [Violation::IpLength(171, 172)]);
}

#[test]
fn mbuf_facts_are_checked_like_staged_metadata() {
    let frame = Frame::tcp(&[4000, 2000]);
    let facts = frame.facts();
    let found = |facts: MbufFacts| frame.found_prepared(&facts, TsoSum::WithoutLength);
    assert_eq!(found(facts), []);
    assert_eq!(found(MbufFacts { pkt_len: 1, ..facts }), [Violation::PktLen(1, 6066)]);
    assert_eq!(found(MbufFacts { nb_segs: 2, ..facts }), [Violation::NbSegs(2, 3)]);
    assert_eq!(found(MbufFacts { ipv4: false, ..facts }), [Violation::FamilyFlags(false, false)]);
    assert!(found(MbufFacts { tcp_seg: false, ..facts }).contains(&Violation::SegFlag(false, 1448)));
    assert_eq!(found(MbufFacts { l4_len: 20, ..facts }), [Violation::L4Len(20, 32)]);
}

#[test]
fn a_driver_may_want_the_length_in_the_seed() {
    let mut frame = Frame::tcp(&[4000]);
    let facts = frame.facts();
    assert_eq!(
        frame.found_prepared(&facts, TsoSum::WithLength),
        [Violation::PseudoSum(0x1409, 0x1409 + 4032)]
    );
    frame.seed(0x1409 + 4032);
    assert_eq!(frame.found_prepared(&facts, TsoSum::WithLength), []);
}

#[test]
fn nothing_in_a_random_frame_panics() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..50_000 {
        let mut frame = Frame::tcp(&[(random() % 64) as usize, 2000]);
        for _ in 0..random() % 8 {
            let at = (random() % frame.chain[0].len() as u64) as usize;
            frame.chain[0][at] = random() as u8;
        }
        frame.chain[0].truncate((random() % 120) as usize);
        frame.meta.tso_segsz = random() as u16;
        frame.meta.l4_len = random() as u8;
        frame.found();
        let facts = frame.facts();
        frame.found_prepared(&facts, TsoSum::WithLength);
    }
}
