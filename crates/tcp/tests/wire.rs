//! Every wire format against arbitrary bytes, against itself, and against an independent implementation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Type, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice,
    TcpOptionElement, TcpOptionReadError,
};
use proptest::prelude::*;
use tcp::wire::{
    ChecksumBy, Icmpv4, Icmpv6, Ipv4Header, Ipv6Header, OptionBytes, PROTOCOL_ICMPV6, PROTOCOL_TCP,
    SackBlocks, Sum, TcpFlags, TcpHeader, TcpOptions, Timestamps, UserTimeout, parse_quoted_v4,
    parse_quoted_v6, parse_tcp,
};
use tcp::{IcmpErrorKind, Seq};

fn ipv4() -> impl Strategy<Value = Ipv4Header> {
    let addresses = (any::<Ipv4Addr>(), any::<Ipv4Addr>());
    let rest = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u16>(), any::<bool>(), 0u16..65_515);
    (addresses, rest).prop_map(|((src, dst), (protocol, tos, ttl, id, dont_fragment, payload_len))| {
        Ipv4Header { src, dst, protocol, tos, ttl, id, dont_fragment, payload_len }
    })
}

fn ipv6() -> impl Strategy<Value = Ipv6Header> {
    let addresses = (any::<Ipv6Addr>(), any::<Ipv6Addr>());
    let rest = (any::<u8>(), any::<u8>(), 0u32..1 << 20, any::<u8>(), any::<u16>());
    (addresses, rest).prop_map(
        |((src, dst), (next_header, traffic_class, flow_label, hop_limit, payload_len))| Ipv6Header {
            src,
            dst,
            next_header,
            traffic_class,
            flow_label,
            hop_limit,
            payload_len,
        },
    )
}

fn tcp_header() -> impl Strategy<Value = TcpHeader> {
    let fields =
        (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), 0u16..512, any::<u16>(), any::<u16>());
    fields.prop_map(|(src_port, dst_port, seq, ack, flags, window, urgent)| TcpHeader {
        src_port,
        dst_port,
        seq: Seq(seq),
        ack: Seq(ack),
        flags: TcpFlags(flags),
        window,
        urgent,
    })
}

fn timestamps() -> impl Strategy<Value = Option<Timestamps>> {
    prop::option::of(any::<(u32, u32)>().prop_map(|(val, ecr)| Timestamps { val, ecr }))
}

fn blocks(max: usize) -> impl Strategy<Value = Vec<(Seq, Seq)>> {
    prop::collection::vec(any::<(u32, u32)>().prop_map(|(l, r)| (Seq(l), Seq(r))), 0..=max)
}

fn syn_options() -> impl Strategy<Value = TcpOptions> {
    let timeout = any::<u16>().prop_map(UserTimeout::from_bits);
    let fields =
        (prop::option::of(any::<u16>()), prop::option::of(0u8..=14), any::<bool>(), timestamps(), timeout);
    fields.prop_map(|(mss, window_scale, sack_permitted, timestamps, user_timeout)| TcpOptions {
        mss,
        window_scale,
        sack_permitted,
        timestamps,
        sack: SackBlocks::default(),
        user_timeout,
        marked_bytes: None,
    })
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

/// Bytes that begin like a packet of this kind, so that arbitrary ones get beyond the first check.
fn almost(first: u8) -> impl Strategy<Value = Vec<u8>> {
    bytes(120).prop_flat_map(move |mut bytes| {
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        Just(bytes)
    })
}

/// The options as the other implementation reads them; the last of each kind, as ours.
fn independent_options(slice: &TcpHeaderSlice<'_>) -> TcpOptions {
    let mut options = TcpOptions::default();
    for element in slice.options_iterator() {
        match element {
            Ok(TcpOptionElement::MaximumSegmentSize(mss)) => options.mss = Some(mss),
            Ok(TcpOptionElement::WindowScale(shift)) => options.window_scale = Some(shift),
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => options.sack_permitted = true,
            Ok(TcpOptionElement::Timestamp(val, ecr)) => options.timestamps = Some(Timestamps { val, ecr }),
            Ok(TcpOptionElement::SelectiveAcknowledgement(first, more)) => {
                for (left, right) in core::iter::once(first).chain(more.into_iter().flatten()) {
                    options.sack.push(Seq(left), Seq(right));
                }
            }
            Ok(TcpOptionElement::Noop) => {}
            // The User Timeout option, which it does not know, and which stands last.
            Err(TcpOptionReadError::UnknownId(28)) => {
                options.user_timeout = slice
                    .options()
                    .last_chunk()
                    .and_then(|&last| UserTimeout::from_bits(u16::from_be_bytes(last)));
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    options
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn s50_no_bytes_make_a_parser_panic(bytes in bytes(200), frame_len in 0usize..70_000) {
        let _ = Ipv4Header::parse(&bytes, frame_len, ChecksumBy::Software);
        let _ = Ipv6Header::parse(&bytes, frame_len);
        let _ = parse_tcp(&bytes);
        let _ = TcpOptions::parse(&bytes);
        let _ = Icmpv4::parse(&bytes).map(|m| m.error());
        let _ = Icmpv6::parse(&bytes, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST).map(|m| m.error());
        let _ = parse_quoted_v4(IcmpErrorKind::TimeExceeded, &bytes);
        let _ = parse_quoted_v6(IcmpErrorKind::TimeExceeded, &bytes);
    }

    #[test]
    fn s50_no_ipv4_header_makes_a_parser_panic(bytes in almost(0x46), frame_len in 0usize..70_000) {
        if let Ok(packet) = Ipv4Header::parse(&bytes, frame_len, ChecksumBy::Device) {
            prop_assert!(packet.payload.start <= bytes.len() && packet.payload.start <= packet.payload.end);
            prop_assert!(packet.payload.end <= frame_len);
            prop_assert_eq!(packet.payload.len(), usize::from(packet.header.payload_len));
        }
        let _ = parse_quoted_v4(IcmpErrorKind::TimeExceeded, &bytes);
    }

    #[test]
    fn s50_no_ipv6_header_makes_a_parser_panic(bytes in almost(0x60), frame_len in 0usize..70_000) {
        if let Ok(packet) = Ipv6Header::parse(&bytes, frame_len) {
            prop_assert!(packet.payload.start <= bytes.len() && packet.payload.start <= packet.payload.end);
            prop_assert!(packet.payload.end <= frame_len);
        }
        let _ = parse_quoted_v6(IcmpErrorKind::TimeExceeded, &bytes);
    }

    #[test]
    fn s50_no_tcp_header_makes_a_parser_panic(mut bytes in bytes(100), offset in 5u8..16) {
        if let Some(byte) = bytes.get_mut(12) {
            *byte = offset << 4 | *byte & 0xf;
        }
        if let Ok(packet) = parse_tcp(&bytes) {
            prop_assert_eq!(packet.header_len, usize::from(offset) * 4);
            prop_assert!(packet.header_len <= bytes.len());
        }
    }

    #[test]
    fn ipv4_reads_what_it_wrote_and_so_does_etherparse(header in ipv4(), software: bool) {
        let by = if software { ChecksumBy::Software } else { ChecksumBy::Device };
        let mut bytes = [0xaa; 20];
        header.emit(&mut bytes, by);
        let packet = Ipv4Header::parse(&bytes, 65_535, by).unwrap();
        prop_assert_eq!(packet.header, header);
        prop_assert_eq!(packet.payload, 20..20 + usize::from(header.payload_len));
        prop_assert!(!packet.is_fragment);

        let theirs = Ipv4HeaderSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(theirs.source_addr(), header.src);
        prop_assert_eq!(theirs.destination_addr(), header.dst);
        prop_assert_eq!(theirs.protocol(), IpNumber(header.protocol));
        prop_assert_eq!(theirs.dcp().value() << 2 | theirs.ecn().value(), header.tos);
        prop_assert_eq!(theirs.ttl(), header.ttl);
        prop_assert_eq!(theirs.identification(), header.id);
        prop_assert_eq!(theirs.dont_fragment(), header.dont_fragment);
        prop_assert!(!theirs.more_fragments() && theirs.fragments_offset().value() == 0);
        prop_assert_eq!(theirs.payload_len().unwrap(), header.payload_len);
        let checksum = if software { theirs.to_header().calc_header_checksum() } else { 0 };
        prop_assert_eq!(theirs.header_checksum(), checksum);
    }

    #[test]
    fn ipv6_reads_what_it_wrote_and_so_does_etherparse(header in ipv6()) {
        let mut bytes = [0xaa; 40];
        header.emit(&mut bytes);
        let packet = Ipv6Header::parse(&bytes, 40 + 65_535).unwrap();
        prop_assert_eq!(packet.header, header);
        let theirs = Ipv6HeaderSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(theirs.source_addr(), header.src);
        prop_assert_eq!(theirs.destination_addr(), header.dst);
        prop_assert_eq!(theirs.next_header(), IpNumber(header.next_header));
        prop_assert_eq!(theirs.traffic_class(), header.traffic_class);
        prop_assert_eq!(theirs.flow_label().value(), header.flow_label);
        prop_assert_eq!(theirs.hop_limit(), header.hop_limit);
        prop_assert_eq!(theirs.payload_length(), header.payload_len);
    }

    #[test]
    fn tcp_reads_what_it_wrote_and_so_does_etherparse(
        header in tcp_header(), ts in timestamps(), sack in blocks(5), syn in prop::option::of(syn_options()),
        src: Ipv4Addr, dst: Ipv4Addr, payload in bytes(100), pieces in 1usize..40,
    ) {
        let options = match &syn {
            Some(syn) => OptionBytes::syn(syn),
            None => OptionBytes::established(ts, sack.iter().copied()),
        };
        let mut bytes = [0xaa; 60];
        let len = header.emit(&options, &mut bytes);
        let packet = parse_tcp(&bytes).unwrap();
        prop_assert_eq!(packet.header, header);
        prop_assert_eq!(packet.header_len, len);
        match &syn {
            Some(syn) => prop_assert_eq!(packet.options, *syn),
            None => {
                let fit = if ts.is_some() { 3 } else { 4 };
                prop_assert_eq!(packet.options.timestamps, ts);
                prop_assert_eq!(packet.options.sack.as_slice(), &sack[..sack.len().min(fit)]);
            }
        }

        // The checksum, summed piece by piece as over the slices of a chain.
        let segment = (len + payload.len()) as u32;
        let mut sum = Sum::pseudo_header(IpAddr::V4(src), IpAddr::V4(dst), PROTOCOL_TCP, segment);
        sum.add(&bytes[..len]);
        for piece in payload.chunks(pieces) {
            sum.add(piece);
        }
        TcpHeader::set_checksum(&mut bytes, sum.checksum());

        let theirs = TcpHeaderSlice::from_slice(&bytes[..len]).unwrap();
        prop_assert_eq!(theirs.source_port(), header.src_port);
        prop_assert_eq!(theirs.destination_port(), header.dst_port);
        prop_assert_eq!(theirs.sequence_number(), header.seq.0);
        prop_assert_eq!(theirs.acknowledgment_number(), header.ack.0);
        prop_assert_eq!(theirs.window_size(), header.window);
        prop_assert_eq!(theirs.urgent_pointer(), header.urgent);
        let bits = [
            theirs.fin(), theirs.syn(), theirs.rst(), theirs.psh(), theirs.ack(), theirs.urg(), theirs.ece(),
            theirs.cwr(), theirs.ns(),
        ];
        let flags = bits.iter().enumerate().fold(0, |flags, (i, &bit)| flags | u16::from(bit) << i);
        prop_assert_eq!(TcpFlags(flags), header.flags);
        prop_assert_eq!(independent_options(&theirs), packet.options);
        let checksum = theirs.calc_checksum_ipv4_raw(src.octets(), dst.octets(), &payload).unwrap();
        prop_assert_eq!(theirs.checksum(), checksum);
    }

    #[test]
    fn icmpv4_reads_what_it_wrote_and_so_does_etherparse(
        kind in 0u8..6, a: u16, b: u16, code: u8, data in bytes(100),
    ) {
        let data = &data[..];
        let message = match kind {
            0 => Icmpv4::EchoRequest { id: a, seq: b, data },
            1 => Icmpv4::EchoReply { id: a, seq: b, data },
            2 => Icmpv4::Unreachable { code, next_hop_mtu: b, quoted: data },
            3 => Icmpv4::TimeExceeded { code, quoted: data },
            4 => Icmpv4::ParameterProblem { code, pointer: a as u8, quoted: data },
            // Router solicitation: no type that has a variant of its own.
            _ => Icmpv4::Other { kind: 10, code },
        };
        let mut bytes = [0xaa; 120];
        let len = message.emit(&mut bytes);
        prop_assert_eq!(Icmpv4::parse(&bytes[..len]), Ok(message));

        let (theirs, _) = Icmpv4Header::from_slice(&bytes[..len]).unwrap();
        match (message, &theirs.icmp_type) {
            (Icmpv4::EchoRequest { .. }, Icmpv4Type::EchoRequest(echo))
            | (Icmpv4::EchoReply { .. }, Icmpv4Type::EchoReply(echo)) => {
                prop_assert_eq!((echo.id, echo.seq), (a, b));
            }
            (Icmpv4::Unreachable { code: 4, .. }, Icmpv4Type::DestinationUnreachable(unreachable)) => {
                prop_assert_eq!(unreachable, &etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded {
                    next_hop_mtu: b
                });
            }
            (Icmpv4::Unreachable { .. }, Icmpv4Type::DestinationUnreachable(unreachable)) => {
                prop_assert_eq!(unreachable.code_u8(), code);
            }
            (Icmpv4::TimeExceeded { .. }, Icmpv4Type::TimeExceeded(exceeded)) => {
                prop_assert_eq!(exceeded.code_u8(), code);
            }
            (Icmpv4::ParameterProblem { .. }, Icmpv4Type::ParameterProblem(_))
            | (_, Icmpv4Type::Unknown { .. }) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} is {theirs:?}"),
        }
        // It forgets fields that a code does not use, so its own sum is taken over the bytes.
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes[..len]);
        prop_assert_eq!(sum.ones_complement(), 0);
    }

    #[test]
    fn icmpv6_reads_what_it_wrote_and_so_does_etherparse(
        kind in 0u8..7, a: u16, b: u16, code: u8, data in bytes(100), src: Ipv6Addr, dst: Ipv6Addr,
    ) {
        let data = &data[..];
        let word = u32::from(a) << 16 | u32::from(b);
        let message = match kind {
            0 => Icmpv6::EchoRequest { id: a, seq: b, data },
            1 => Icmpv6::EchoReply { id: a, seq: b, data },
            2 => Icmpv6::Unreachable { code, quoted: data },
            3 => Icmpv6::PacketTooBig { mtu: word, quoted: data },
            4 => Icmpv6::TimeExceeded { code, quoted: data },
            5 => Icmpv6::ParameterProblem { code, pointer: word, quoted: data },
            _ => Icmpv6::Other { kind: 135, code },
        };
        let mut bytes = [0xaa; 120];
        let len = message.emit(src, dst, &mut bytes);
        prop_assert_eq!(Icmpv6::parse(&bytes[..len], src, dst), Ok(message));

        let theirs = etherparse::Icmpv6Slice::from_slice(&bytes[..len]).unwrap();
        prop_assert!(theirs.is_checksum_valid(src.octets(), dst.octets()));
        match (message, theirs.icmp_type()) {
            (Icmpv6::EchoRequest { .. }, Icmpv6Type::EchoRequest(echo))
            | (Icmpv6::EchoReply { .. }, Icmpv6Type::EchoReply(echo)) => {
                prop_assert_eq!((echo.id, echo.seq), (a, b));
            }
            (Icmpv6::PacketTooBig { .. }, Icmpv6Type::PacketTooBig { mtu }) => prop_assert_eq!(mtu, word),
            (Icmpv6::ParameterProblem { .. }, Icmpv6Type::ParameterProblem(problem)) => {
                prop_assert_eq!(problem.pointer, word);
            }
            (Icmpv6::Unreachable { .. }, Icmpv6Type::DestinationUnreachable(unreachable)) => {
                prop_assert_eq!(unreachable.code_u8(), code);
            }
            (Icmpv6::TimeExceeded { .. }, Icmpv6Type::TimeExceeded(exceeded)) => {
                prop_assert_eq!(exceeded.code_u8(), code);
            }
            // Codes it has no name for, and neighbour discovery.
            (_, Icmpv6Type::Unknown { code_u8, .. }) => prop_assert_eq!(code_u8, code),
            (Icmpv6::Other { .. }, _) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} is {theirs:?}"),
        }
    }

    #[test]
    fn s48_a_quote_names_the_connection_however_much_is_quoted(
        ip in ipv4(), tcp in tcp_header(), more in 0usize..13,
    ) {
        let ip = Ipv4Header { protocol: PROTOCOL_TCP, dont_fragment: true, ..ip };
        let mut bytes = [0; 40];
        ip.emit(&mut bytes, ChecksumBy::Software);
        tcp.emit(&OptionBytes::EMPTY, &mut bytes[20..]);
        let kind = IcmpErrorKind::PacketTooBig { mtu: Some(1400) };
        let (tuple, error) = parse_quoted_v4(kind, &bytes[..28 + more]).unwrap();
        prop_assert_eq!((tuple.local.ip(), tuple.remote.ip()), (IpAddr::V4(ip.src), IpAddr::V4(ip.dst)));
        prop_assert_eq!((tuple.local.port(), tuple.remote.port()), (tcp.src_port, tcp.dst_port));
        prop_assert_eq!((error.kind, error.seq), (kind, tcp.seq));
    }

    #[test]
    fn options_of_others_are_read_as_etherparse_reads_them(
        elements in prop::collection::vec(prop_oneof![
            Just(TcpOptionElement::Noop),
            any::<u16>().prop_map(TcpOptionElement::MaximumSegmentSize),
            (0u8..=14).prop_map(TcpOptionElement::WindowScale),
            Just(TcpOptionElement::SelectiveAcknowledgementPermitted),
            any::<(u32, u32)>().prop_map(|(val, ecr)| TcpOptionElement::Timestamp(val, ecr)),
            any::<[(u32, u32); 2]>().prop_map(|[a, b]| {
                TcpOptionElement::SelectiveAcknowledgement(a, [Some(b), None, None])
            }),
        ], 0..8),
    ) {
        let mut header = etherparse::TcpHeader::new(1, 2, 3, 4);
        // What does not fit is no header.
        if header.set_options(&elements).is_ok() {
            let bytes = header.to_bytes();
            let slice = TcpHeaderSlice::from_slice(&bytes).unwrap();
            let mut theirs = independent_options(&slice);
            let is_sack = |e: &&TcpOptionElement| matches!(e, TcpOptionElement::SelectiveAcknowledgement(..));
            if elements.iter().filter(is_sack).count() > 1 {
                // Two SACK options in one header: ours keeps the last only.
                theirs.sack = parse_tcp(&bytes).unwrap().options.sack;
            }
            prop_assert_eq!(parse_tcp(&bytes).unwrap().options, theirs);
        }
    }
}

#[test]
fn the_sum_for_tso_leaves_the_length_out() {
    let (src, dst) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    // 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6, and with 20 bytes of segment 0x14 more.
    assert_eq!(Sum::pseudo_header(src, dst, PROTOCOL_TCP, 0).folded(), 0x1409);
    assert_eq!(Sum::pseudo_header(src, dst, PROTOCOL_TCP, 20).folded(), 0x141d);
    let (src, dst) = (IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv6Addr::UNSPECIFIED));
    assert_eq!(Sum::pseudo_header(src, dst, PROTOCOL_ICMPV6, 0).folded(), 0x003b);
}
