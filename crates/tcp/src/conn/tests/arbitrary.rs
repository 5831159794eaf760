//! Segments nobody would send: nothing on the wire makes a connection panic, loop, forget its timers or deliver
//! anything but the peer's bytes (`S48`, `S50`).

use proptest::prelude::*;

use super::script::*;
use crate::conn::{ConnConfig, Connection, EcnMode, SendFlags, State, UserTimeoutOption};
use crate::testing::TestBuf;
use crate::wire::{SackBlocks, TcpFlags, TcpOptions, Timestamps, UserTimeout};
use crate::{IcmpError, IcmpErrorKind, Segment, Seq, Time};

/// Numbers close to what matters, and any others.
fn near(base: u32) -> impl Strategy<Value = Seq> {
    prop_oneof![
        6 => (-3000i32..6000).prop_map(move |d| Seq(base.wrapping_add(d as u32))),
        1 => any::<u32>().prop_map(Seq),
    ]
}

fn options() -> impl Strategy<Value = TcpOptions> {
    let stamps = prop::option::of((0..3000u32, 0..3000u32));
    let mss = prop::option::of(any::<u16>());
    (mss, prop::option::of(0..15u8), any::<bool>(), stamps, near(ISS.0), near(ISS.0)).prop_map(
        |(mss, window_scale, sack_permitted, ts, left, right)| {
            let mut sack = SackBlocks::default();
            sack.push(left, right);
            TcpOptions {
                mss,
                window_scale,
                sack_permitted,
                timestamps: ts.map(|(val, ecr)| Timestamps { val, ecr }),
                sack,
                user_timeout: UserTimeout::from_bits(right.0 as u16),
                marked_bytes: right.0.to_be_bytes().first_chunk().copied(),
            }
        },
    )
}

fn segment() -> impl Strategy<Value = Segment<TestBuf>> {
    let flags = prop_oneof![
        4 => Just(TcpFlags::ACK),
        2 => Just(TcpFlags::ACK | TcpFlags::FIN),
        1 => Just(TcpFlags::ACK | TcpFlags::SYN),
        1 => Just(TcpFlags::SYN),
        3 => (0..512u16).prop_map(TcpFlags),
    ];
    let window = prop_oneof![Just(0u16), 0..3000u16, any::<u16>()];
    (near(IRS.0), near(ISS.0), flags, window, options(), prop_oneof![Just(0usize), 0..3000usize]).prop_map(
        |(seq, ack, flags, window, options, len)| {
            // The peer's stream has one content, wherever a segment claims to lie. Behind a SYN it begins one later.
            let at = seq.diff(IRS + 1) + i32::from(flags.has(TcpFlags::SYN));
            let payload: Vec<u8> =
                (0..len as i64).map(|i| (i64::from(at) + i).rem_euclid(251) as u8).collect();
            Segment {
                seq,
                ack,
                flags,
                window,
                urgent: 0,
                options,
                ecn: (seq.0 & 3) as u8,
                continues: false,
                payload: TestBuf::from(&payload[..]),
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Segment(Segment<TestBuf>),
    Icmp(IcmpError),
    Write(usize),
    Read,
    Wait(u64),
    Shutdown,
    Close,
    Unreachable,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        any::<Option<u32>>().prop_map(|mtu| IcmpErrorKind::PacketTooBig { mtu }),
        Just(IcmpErrorKind::HardUnreachable),
        Just(IcmpErrorKind::SoftUnreachable),
        Just(IcmpErrorKind::TimeExceeded),
    ];
    prop_oneof![
        12 => segment().prop_map(Step::Segment),
        1 => (kinds, near(ISS.0)).prop_map(|(kind, seq)| Step::Icmp(IcmpError { kind, seq })),
        3 => (0..4000usize).prop_map(Step::Write),
        2 => Just(Step::Read),
        3 => (0..3000u64).prop_map(Step::Wait),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Close),
        1 => Just(Step::Unreachable),
    ]
}

fn drive(conn: Connection<TestBuf>, steps: Vec<Step>) {
    let mut conn = conn;
    let mut now = Time::ZERO;
    let (mut written, mut read) = (0u64, 0u64);
    // An active open takes any SYN for the peer's first.
    let mut first = None;
    let mut ended = false;
    for step in steps {
        match step {
            Step::Segment(seg) => conn.on_segment(now, seg),
            Step::Icmp(e) => conn.on_icmp(now, e),
            Step::Write(len) => {
                if conn.write(bytes(written, len), SendFlags::default()).is_ok() {
                    written += len as u64;
                }
            }
            Step::Read => {
                while let Some(payload) = conn.read() {
                    for &b in crate::Payload::as_slice(&payload) {
                        let first = *first.get_or_insert(u64::from(b));
                        assert_eq!(b, byte(first + read), "byte {read}");
                        read += 1;
                    }
                }
            }
            Step::Wait(n) => {
                let to = now + ms(n);
                for turn in 0.. {
                    assert!(turn < 1000, "timers without end");
                    let Some(at) = conn.next_timeout().filter(|&at| at <= to) else { break };
                    now = now.max(at);
                    conn.on_timer(now);
                }
                now = to;
            }
            Step::Shutdown => conn.shutdown_write(),
            Step::Close => conn.close(now),
            Step::Unreachable => conn.on_unreachable(now),
        }
        for turn in 0.. {
            assert!(turn < 1000, "sends without end: {conn:?}");
            let Some(burst) = conn.poll_transmit(now, &TSO) else { break };
            let len: usize = conn.slices(&burst).map(|(_, r)| r.len()).sum();
            assert_eq!(len, burst.len as usize);
            assert!(burst.mss > 0 && burst.options.len() <= 40);
            conn.on_sent(&burst, now);
        }
        conn.check_invariants();
        let marks = conn.marks();
        assert!(marks.accepted >= marks.sent && marks.sent >= marks.acked && marks.acked >= marks.reclaimed);
        let idle =
            matches!(conn.state(), State::Closed | State::FinWait2 | State::Established | State::CloseWait);
        let nothing_owed = marks.acked == marks.accepted;
        assert!(
            idle && nothing_owed || conn.next_timeout().is_some() || conn.is_closed(),
            "waits for ever: {conn:?}"
        );
        let over =
            std::iter::from_fn(|| conn.poll_event()).filter(|e| matches!(e, crate::Event::Closed(_))).count();
        assert!(over <= usize::from(!ended), "told twice that it is over");
        ended |= over > 0;
        assert_eq!(ended, matches!(conn.state(), State::Closed | State::TimeWait));
    }
}

fn configs() -> impl Strategy<Value = ConnConfig> {
    let lowat = prop::option::of(0..20_000usize);
    (any::<[bool; 4]>(), 576..9000u16, prop::option::of(0..100_000usize), 0..100_000usize, lowat).prop_map(
        |([timestamps, sack, window_scale, no_delay], mtu, send_buffer, receive_buffer, notsent_lowat)| {
            ConnConfig {
                timestamps,
                sack,
                window_scale,
                no_delay,
                mtu,
                send_buffer,
                receive_buffer,
                notsent_lowat,
                user_timeout_option: no_delay.then(UserTimeoutOption::default),
                ecn: if mtu % 2 == 0 { EcnMode::Accurate } else { EcnMode::On },
                ..ConnConfig::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn s50_an_open_connection_survives_anything(cfg in configs(), steps in prop::collection::vec(step(), 1..80)) {
        let mut s = Script::connect(&cfg);
        s.conn.on_segment(s.now, parse("S. 0:0(0) ack 1 win 3000 <mss 1000,sackOK,TS val 1000 ecr 0,wscale 2>"));
        drive(s.conn, steps);
    }

    #[test]
    fn s50_an_active_open_survives_anything(cfg in configs(), steps in prop::collection::vec(step(), 1..40)) {
        drive(Script::connect(&cfg).conn, steps);
    }

    #[test]
    fn s50_a_passive_open_survives_anything(
        cfg in configs(),
        options in options(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let syn = Segment { options, ..parse("S 0:0(0) win 500") };
        drive(Connection::accept(&cfg, tuple(), ISS, 7, &syn, Time::ZERO), steps);
    }
}
