use super::*;
use crate::conn::{TimeWaitTimestamps, timestamp_clock};
use crate::testing::TestBuf;
use crate::wire::{TcpOptions, Timestamps};
use crate::{BurstKind, Nanos, Seq};

const SERVER: &str = "10.0.0.1:80";
const CLIENT: &str = "10.0.0.2:5000";

fn tuple(local: &str, remote: &str) -> FourTuple {
    FourTuple { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
}

fn ours() -> FourTuple {
    tuple(SERVER, CLIENT)
}

fn secs(s: u64) -> Time {
    Time::ZERO + Nanos::from_secs(s)
}

fn endpoint() -> Endpoint {
    let broadcasts = vec![Ipv4Addr::new(10, 0, 0, 255)];
    Endpoint::new(EndpointConfig { broadcasts, ..EndpointConfig::new([1; 16], [2; 16]) })
}

fn listening(backlog: usize) -> (Endpoint, ListenerId) {
    let mut endpoint = endpoint();
    let id = endpoint.listen(SERVER.parse().unwrap(), backlog, ConnConfig::default()).unwrap();
    (endpoint, id)
}

fn segment(flags: TcpFlags, seq: u32, ack: u32, payload: &[u8]) -> Segment<TestBuf> {
    Segment {
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: 1000,
        urgent: 0,
        options: TcpOptions::default(),
        ecn: 0,
        continues: false,
        payload: TestBuf::from(payload),
    }
}

fn with_ts(mut seg: Segment<TestBuf>, val: u32) -> Segment<TestBuf> {
    seg.options.timestamps = Some(Timestamps { val, ecr: 0 });
    seg
}

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

#[track_caller]
fn reply(answer: Unmatched<TestBuf>) -> Burst {
    match answer {
        Unmatched::Reply(burst) => burst,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn dropped(answer: Unmatched<TestBuf>) -> DropReason {
    match answer {
        Unmatched::Drop(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn accepted(answer: &Unmatched<TestBuf>) -> Option<ListenerId> {
    match answer {
        Unmatched::Accept(id, _) => Some(*id),
        _ => None,
    }
}

mod resets {
    use super::*;

    #[test]
    fn a_segment_with_ack_draws_a_reset_at_its_ack() {
        let burst = reply(endpoint().on_unmatched(secs(1), ours(), &segment(ACK, 100, 200, b"abc")));
        assert_eq!((burst.seq, burst.flags, burst.kind), (Seq(200), RST, BurstKind::Reset));
        assert_eq!((burst.len, burst.window, burst.options.len()), (0, 0, 0));
    }

    #[test]
    fn a_segment_without_ack_draws_a_reset_that_acknowledges_it() {
        let mut endpoint = endpoint();
        let burst = reply(endpoint.on_unmatched(secs(1), ours(), &segment(SYN | FIN, 100, 0, b"abc")));
        assert_eq!((burst.seq, burst.ack, burst.flags), (Seq(0), Seq(105), RST | ACK));
        assert_eq!(endpoint.counters().resets, 1);
    }

    #[test]
    fn a_reset_draws_nothing() {
        let mut endpoint = endpoint();
        for flags in [RST, RST | ACK, RST | SYN] {
            let answer = endpoint.on_unmatched(secs(1), ours(), &segment(flags, 1, 2, b""));
            assert_eq!(dropped(answer), DropReason::Reset);
        }
        assert_eq!(endpoint.counters().dropped(DropReason::Reset), 3);
    }

    #[test]
    fn must_57_63_nothing_goes_to_or_from_many() {
        let mut endpoint = endpoint();
        endpoint.listen("0.0.0.0:80".parse().unwrap(), 5, ConnConfig::default()).unwrap();
        for (local, remote) in [
            ("10.0.0.255:80", CLIENT),
            ("255.255.255.255:80", CLIENT),
            ("224.0.0.1:80", CLIENT),
            (SERVER, "10.0.0.255:5000"),
            (SERVER, "239.1.2.3:5000"),
            (SERVER, "0.0.0.0:5000"),
            (SERVER, SERVER),
            (SERVER, "10.0.0.9:0"),
            ("10.0.0.1:0", CLIENT),
            ("[ff02::1]:80", "[fe80::1]:5000"),
        ] {
            for flags in [SYN, ACK] {
                let answer = endpoint.on_unmatched(secs(1), tuple(local, remote), &segment(flags, 1, 2, b""));
                assert_eq!(dropped(answer), DropReason::BadAddress, "{local} {remote}");
            }
        }
    }

    #[test]
    fn s48_resets_are_rate_limited() {
        let mut endpoint = endpoint();
        let mut replies = |now| {
            let answers = (0..3000).map(|_| endpoint.on_unmatched(now, ours(), &segment(ACK, 1, 2, b"")));
            answers.filter(|a| matches!(a, Unmatched::Reply(_))).count()
        };
        assert_eq!(replies(secs(1)), 1000);
        assert_eq!(replies(secs(3)), 1000);
        assert_eq!(endpoint.counters().dropped(DropReason::RateLimited), 4000);
    }
}

mod listen {
    use super::*;

    #[test]
    fn a_syn_makes_a_connection() {
        let (mut endpoint, id) = listening(5);
        match endpoint.on_unmatched(secs(1), ours(), &segment(SYN, 100, 0, b"")) {
            Unmatched::Accept(listener, connection) => {
                assert_eq!((listener, *connection.tuple()), (id, ours()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(endpoint.counters().passive_opens, 1);
    }

    #[test]
    fn anything_else_is_reset_or_dropped() {
        let (mut endpoint, _) = listening(5);
        let mut on = |flags| endpoint.on_unmatched(secs(1), ours(), &segment(flags, 100, 200, b""));
        for flags in [ACK, SYN | ACK, FIN | ACK] {
            assert_eq!(reply(on(flags)).flags, RST, "{flags:?}");
        }
        assert_eq!(dropped(on(RST | SYN)), DropReason::Reset);
        for flags in [FIN, SYN | FIN, TcpFlags::NONE, TcpFlags::PSH] {
            assert_eq!(dropped(on(flags)), DropReason::Nonsense, "{flags:?}");
        }
    }

    #[test]
    fn s44_a_full_backlog_drops_the_syn_until_one_settles() {
        let (mut endpoint, id) = listening(1);
        let syn = segment(SYN, 100, 0, b"");
        assert_eq!(accepted(&endpoint.on_unmatched(secs(1), ours(), &syn)), Some(id));
        let other = tuple(SERVER, "10.0.0.3:1");
        assert_eq!(dropped(endpoint.on_unmatched(secs(1), other, &syn)), DropReason::BacklogFull);
        endpoint.settled(id);
        assert_eq!(accepted(&endpoint.on_unmatched(secs(1), other, &syn)), Some(id));
    }

    #[test]
    fn after_unlisten_a_syn_is_reset() {
        let (mut endpoint, id) = listening(1);
        assert!(endpoint.has_listener(id) && endpoint.set_listener_config(id, ConnConfig::default()));
        assert!(endpoint.unlisten(id) && !endpoint.unlisten(id));
        assert!(!endpoint.has_listener(id) && !endpoint.set_listener_config(id, ConnConfig::default()));
        let burst = reply(endpoint.on_unmatched(secs(1), ours(), &segment(SYN, 100, 0, b"")));
        assert_eq!((burst.flags, burst.ack), (RST | ACK, Seq(101)));
    }

    #[test]
    fn must_46_only_unicast_or_unspecified_addresses_listen() {
        let mut endpoint = endpoint();
        let mut listen = |at: &str| endpoint.listen(at.parse().unwrap(), 1, ConnConfig::default());
        for bad in ["224.0.0.1:80", "255.255.255.255:80", "10.0.0.255:80", "[ff02::1]:80", "10.0.0.1:0"] {
            assert_eq!(listen(bad), Err(ListenError::InvalidAddress(bad.parse().unwrap())));
        }
        assert!(listen("0.0.0.0:80").is_ok() && listen("[::]:80").is_ok());
    }
}

mod connect {
    use super::*;

    type Made = Result<FourTuple, ConnectError>;

    fn connect(endpoint: &mut Endpoint, local: &str, port: Option<u16>, remote: &str) -> Made {
        let (local, remote) = (local.parse::<IpAddr>().unwrap().into(), remote.parse().unwrap());
        let cfg = ConnConfig::default();
        let made = endpoint.connect::<TestBuf>(secs(1), local, port, remote, &cfg, |_| false, |_| true);
        made.map(|(tuple, connection)| {
            assert_eq!(*connection.tuple(), tuple);
            tuple
        })
    }

    #[test]
    fn a_port_of_the_range_is_chosen_or_the_given_one_taken() {
        let mut endpoint = endpoint();
        let chosen = connect(&mut endpoint, "10.0.0.1", None, "10.0.0.2:80").unwrap();
        assert!((32_768..=60_999).contains(&chosen.local.port()));
        let given = connect(&mut endpoint, "10.0.0.1", Some(7), "10.0.0.2:80").unwrap();
        assert_eq!(given, tuple("10.0.0.1:7", "10.0.0.2:80"));
        assert_eq!(endpoint.counters().active_opens, 2);
    }

    #[test]
    fn must_46_nobody_connects_to_many() {
        let mut endpoint = endpoint();
        for bad in ["224.0.0.1:80", "255.255.255.255:80", "10.0.0.255:80", "0.0.0.0:80", "10.0.0.2:0"] {
            let error = Err(ConnectError::InvalidRemote(bad.parse().unwrap()));
            assert_eq!(connect(&mut endpoint, "10.0.0.1", None, bad), error);
        }
        let from = |endpoint: &mut Endpoint, local, port| connect(endpoint, local, port, "10.0.0.2:80");
        for (bad, port) in [("0.0.0.0", None), ("10.0.0.255", None), ("10.0.0.1", Some(0))] {
            let error = Err(ConnectError::InvalidLocal(bad.parse().unwrap()));
            assert_eq!(from(&mut endpoint, bad, port), error);
        }
        assert_eq!(from(&mut endpoint, "::1", None), Err(ConnectError::FamilyMismatch));
    }

    #[test]
    fn what_the_owner_rules_out_is_passed_over() {
        let ports = 1000..=1009;
        let mut endpoint = Endpoint::new(EndpointConfig { ports, ..EndpointConfig::new([1; 16], [2; 16]) });
        endpoint.listen("0.0.0.0:1001".parse().unwrap(), 1, ConnConfig::default()).unwrap();
        endpoint.time_wait(secs(0), time_wait(tuple("10.0.0.1:1002", "10.0.0.2:80")));
        let cfg = ConnConfig::default();
        let mut made = |port, usable: u16| {
            endpoint
                .connect::<TestBuf>(
                    secs(1),
                    IpAddr::from([10, 0, 0, 1]).into(),
                    port,
                    "10.0.0.2:80".parse().unwrap(),
                    &cfg,
                    |t| t.local.port() == 1003,
                    |t| t.local.port() <= usable,
                )
                .map(|(tuple, _)| tuple.local.port())
        };
        assert_eq!(made(None, 1000), Ok(1000));
        assert_eq!(made(None, 1004).map(|p| p == 1000 || p == 1004), Ok(true));
        assert_eq!(made(None, 999), Err(ConnectError::PortsExhausted { in_use: 3, unusable: 7 }));
        let at =
            |port: u16| FourTuple { local: ([10, 0, 0, 1], port).into(), remote: ([10, 0, 0, 2], 80).into() };
        assert_eq!(made(Some(1002), 2000), Err(ConnectError::InUse(at(1002))));
        assert_eq!(made(Some(1003), 2000), Err(ConnectError::InUse(at(1003))));
        assert_eq!(made(Some(1005), 1004), Err(ConnectError::Unusable(at(1005))));
    }
}

/// SND.NXT 500, RCV.NXT 900, from 0 s to 60 s.
fn time_wait(tuple: FourTuple) -> TimeWait {
    TimeWait {
        tuple,
        snd_nxt: Seq(500),
        rcv_nxt: Seq(900),
        rcv_wnd: 10_000,
        window: 77,
        timestamps: Some(TimeWaitTimestamps { offset: 1_000, recent: 50 }),
        expires: secs(60),
    }
}

mod in_time_wait {
    use super::*;

    fn waiting(timestamps: bool) -> (Endpoint, ListenerId) {
        let (mut endpoint, id) = listening(5);
        let mut tw = time_wait(ours());
        tw.timestamps = tw.timestamps.filter(|_| timestamps);
        endpoint.time_wait(secs(0), tw);
        (endpoint, id)
    }

    #[test]
    fn must_13_a_late_fin_is_acknowledged_and_starts_2msl_anew() {
        let (mut endpoint, _) = waiting(true);
        assert_eq!(endpoint.next_timeout(), Some(secs(60)));
        let fin = with_ts(segment(FIN | ACK, 897, 500, b"xy"), 60);
        let burst = reply(endpoint.on_unmatched(secs(40), ours(), &fin));
        assert_eq!((burst.seq, burst.ack, burst.flags), (Seq(500), Seq(900), ACK));
        assert_eq!((burst.window, burst.kind, burst.len), (77, BurstKind::Ack, 0));
        let parsed = TcpOptions::parse(burst.options.as_slice());
        let val = timestamp_clock(secs(40)) + 1_000;
        assert_eq!(parsed.timestamps, Some(Timestamps { val, ecr: 50 }));
        assert_eq!(endpoint.next_timeout(), Some(secs(100)));
        assert_eq!(endpoint.counters().time_wait_fins, 1);
        endpoint.on_timer(secs(100));
        assert_eq!((endpoint.time_wait_count(), endpoint.next_timeout()), (0, None));
    }

    #[test]
    fn an_old_duplicate_of_the_fin_starts_nothing() {
        let (mut endpoint, _) = waiting(true);
        reply(endpoint.on_unmatched(secs(40), ours(), &with_ts(segment(FIN | ACK, 899, 500, b""), 49)));
        assert_eq!(endpoint.next_timeout(), Some(secs(60)));
    }

    #[test]
    fn rfc_1337_a_reset_does_not_end_it() {
        let (mut endpoint, _) = waiting(true);
        let answer = endpoint.on_unmatched(secs(1), ours(), &segment(RST, 900, 0, b""));
        assert_eq!(dropped(answer), DropReason::Reset);
        assert_eq!(endpoint.time_wait_count(), 1);
    }

    #[test]
    fn old_data_is_acknowledged_and_an_expected_ack_is_not() {
        let (mut endpoint, _) = waiting(false);
        let burst = reply(endpoint.on_unmatched(secs(1), ours(), &segment(ACK, 800, 500, b"old")));
        assert_eq!((burst.seq, burst.ack, burst.options.len()), (Seq(500), Seq(900), 0));
        let answer = endpoint.on_unmatched(secs(1), ours(), &segment(ACK, 900, 500, b""));
        assert_eq!(dropped(answer), DropReason::TimeWait);
        let answer = endpoint.on_unmatched(secs(1), ours(), &segment(FIN, 899, 0, b""));
        assert_eq!(dropped(answer), DropReason::Nonsense, "without ACK");
    }

    #[test]
    fn must_13_text_from_before_the_fin_starts_2msl_anew() {
        // The peer's FIN stands behind it: without our last ACK it will come, however many timeouts later.
        let (mut endpoint, _) = waiting(true);
        reply(endpoint.on_unmatched(secs(40), ours(), &with_ts(segment(ACK, 890, 500, b"text"), 60)));
        assert_eq!(endpoint.next_timeout(), Some(secs(100)));
        // What is old by its timestamp, beyond the FIN, or says nothing proves nothing.
        reply(endpoint.on_unmatched(secs(50), ours(), &with_ts(segment(ACK, 890, 500, b"text"), 49)));
        reply(endpoint.on_unmatched(secs(50), ours(), &with_ts(segment(ACK, 898, 500, b"text"), 60)));
        reply(endpoint.on_unmatched(secs(50), ours(), &with_ts(segment(ACK, 900, 500, b"text"), 60)));
        reply(endpoint.on_unmatched(secs(50), ours(), &with_ts(segment(ACK, 890, 500, b""), 60)));
        assert_eq!(endpoint.next_timeout(), Some(secs(100)));
    }

    #[test]
    fn acks_are_rate_limited_but_those_of_a_fin_are_not() {
        let (mut endpoint, _) = waiting(false);
        let old = segment(ACK, 800, 500, b"old");
        for _ in 0..1000 {
            reply(endpoint.on_unmatched(secs(1), ours(), &old));
        }
        assert_eq!(dropped(endpoint.on_unmatched(secs(1), ours(), &old)), DropReason::RateLimited);
        reply(endpoint.on_unmatched(secs(1), ours(), &segment(FIN | ACK, 899, 500, b"")));
    }

    /// Sends a SYN with sequence number and timestamp to a connection in TIME-WAIT; says whether it took
    /// over.
    fn reopens(used_timestamps: bool, seq: u32, ts: Option<u32>) -> bool {
        let (mut endpoint, id) = waiting(used_timestamps);
        let mut syn = segment(SYN, seq, 0, b"");
        syn.options.timestamps = ts.map(|val| Timestamps { val, ecr: 0 });
        let answer = endpoint.on_unmatched(secs(1), ours(), &syn);
        match accepted(&answer) {
            Some(listener) => {
                assert_eq!((listener, endpoint.time_wait_count()), (id, 0));
                assert_eq!(endpoint.counters().time_wait_reused, 1);
                true
            }
            None => {
                // A challenge ACK (RFC 5961 §4.2).
                let burst = reply(answer);
                assert_eq!((burst.flags, burst.ack), (ACK, Seq(900)));
                assert_eq!((endpoint.time_wait_count(), endpoint.counters().time_wait_acks), (1, 1));
                false
            }
        }
    }

    #[test]
    fn rfc_6191_a_syn_takes_over_when_it_is_surely_newer() {
        assert!(reopens(true, 0, Some(51)), "newer timestamp, whatever the sequence number");
        assert!(reopens(true, 900, Some(50)), "same timestamp, newer sequence number");
        assert!(!reopens(true, 899, Some(50)), "same timestamp, old sequence number");
        assert!(!reopens(true, 5000, Some(49)), "older timestamp");
        assert!(reopens(true, 900, None) && !reopens(true, 899, None), "no timestamp: by sequence number");
        assert!(reopens(false, 0, Some(1)), "timestamps where there were none");
        assert!(reopens(false, 900, None) && !reopens(false, 899, None));
    }

    #[test]
    fn rfc_6191_timestamps_of_a_syn_count_only_where_they_would_be_used() {
        let mut endpoint = endpoint();
        let cfg = ConnConfig { timestamps: false, ..ConnConfig::default() };
        endpoint.listen(SERVER.parse().unwrap(), 5, cfg).unwrap();
        endpoint.time_wait(secs(0), time_wait(ours()));
        let old = with_ts(segment(SYN, 899, 0, b""), 51);
        assert_eq!(reply(endpoint.on_unmatched(secs(1), ours(), &old)).flags, ACK);
        let new = with_ts(segment(SYN, 900, 0, b""), 49);
        assert!(accepted(&endpoint.on_unmatched(secs(1), ours(), &new)).is_some());
    }

    #[test]
    fn rfc_1122_the_new_incarnation_begins_beyond_the_old_one() {
        let kept = Kept { snd_nxt: Seq(u32::MAX), rcv_nxt: Seq(0), window: 0, timestamps: None };
        assert_eq!(time_wait::reopened_isn(&kept, Seq(10)), Seq(65_536));
        assert_eq!(time_wait::reopened_isn(&kept, Seq(70_000)), Seq(70_000));
    }

    #[test]
    fn a_syn_that_nobody_listens_for_or_has_no_room_for_ends_nothing() {
        let (mut endpoint, id) = waiting(true);
        let syn = with_ts(segment(SYN, 5000, 0, b""), 60);
        for port in 1..=5 {
            let other = FourTuple { local: ours().local, remote: ([10, 0, 0, 9], port).into() };
            assert!(accepted(&endpoint.on_unmatched(secs(1), other, &syn)).is_some());
        }
        assert_eq!(dropped(endpoint.on_unmatched(secs(1), ours(), &syn)), DropReason::BacklogFull);
        endpoint.unlisten(id);
        assert_eq!(reply(endpoint.on_unmatched(secs(1), ours(), &syn)).flags, ACK);
        assert_eq!(endpoint.time_wait_count(), 1);
    }

    #[test]
    fn rfc9293_whatever_else_has_syn_in_time_wait_is_challenged() {
        let (mut endpoint, _) = waiting(true);
        for flags in [SYN | ACK, SYN | FIN, SYN | FIN | ACK] {
            let burst = reply(endpoint.on_unmatched(secs(1), ours(), &segment(flags, 5000, 0, b"")));
            assert_eq!((burst.seq, burst.ack, burst.flags), (Seq(500), Seq(900), ACK));
        }
        assert_eq!(endpoint.time_wait_count(), 1);
    }

    #[test]
    fn a_full_table_is_counted() {
        let cfg = EndpointConfig { max_time_wait: 1, ..EndpointConfig::new([1; 16], [2; 16]) };
        let mut endpoint = Endpoint::new(cfg);
        endpoint.time_wait(secs(0), time_wait(ours()));
        endpoint.time_wait(secs(0), time_wait(tuple(SERVER, "10.0.0.3:1")));
        assert_eq!((endpoint.time_wait_count(), endpoint.counters().time_wait_evicted), (1, 1));
    }

    #[test]
    fn keys_are_not_printed() {
        let shown = format!("{:?} {:?}", EndpointConfig::new([201; 16], [202; 16]), endpoint());
        assert!(!shown.contains("201") && !shown.contains("202"), "{shown}");
    }
}
