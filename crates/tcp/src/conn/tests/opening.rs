//! RFC 9293 §3.5: handshakes, their options, and how they fail.

use super::script::*;
use crate::conn::{ConnConfig, State};
use crate::wire::TcpFlags;
use crate::{ConnError, ConnErrorKind, Event, IcmpError, IcmpErrorKind, Offset, Seq};

fn failed(kind: ConnErrorKind) -> Event {
    Event::Closed(Err(ConnError { kind, acked: Offset::ZERO }))
}

#[test]
fn s44_active_open_with_all_options() {
    let mut s = Script::connect(&ConnConfig::default());
    s.expect("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 5>");
    assert_eq!(s.state(), State::SynSent);
    s.at(50).inject("S. 0:0(0) ack 1 win 29000 <mss 1400,sackOK,TS val 700 ecr 0,wscale 7>");
    s.expect(". 1:1(0) ack 1 win 32768 <TS val 50 ecr 700>");
    s.nothing();
    assert_eq!((s.state(), s.events()), (State::Established, vec![Event::Connected]));
    let stats = s.conn.stats();
    assert_eq!(stats.srtt, Some(ms(50)));
    // The SYN,ACK's window is not scaled; MUST-16: 12 bytes of every segment are timestamps.
    assert_eq!((stats.send_window, stats.mss), (29_000, 1388));
    assert_eq!(stats.cwnd, 13_880);
    s.write(1388).expect("P. 1:1389(1388) ack 1 <TS val 50 ecr 700>");
    s.at(60).inject(". 1:1(0) ack 1389 win 1000 <TS val 710 ecr 50>");
    assert_eq!(s.conn.stats().send_window, 128_000);
}

#[test]
fn s44_passive_open_with_all_options() {
    let mut s = Script::accept(
        &ConnConfig::default(),
        "S 0:0(0) win 64240 <mss 1460,sackOK,TS val 9 ecr 0,wscale 10>",
    );
    s.expect("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 0 ecr 9,wscale 5>");
    assert_eq!(s.state(), State::SynReceived);
    s.at(30).inject(". 1:1(0) ack 1 win 63 <TS val 39 ecr 0>").nothing();
    assert_eq!((s.state(), s.events()), (State::Established, vec![Event::Connected]));
    assert_eq!((s.conn.stats().send_window, s.conn.stats().srtt), (63 << 10, Some(ms(30))));
}

#[test]
fn only_what_both_offer_is_used_in_all_combinations() {
    for bits in 0..64u32 {
        let on = |i: u32| bits & (1 << i) != 0;
        let cfg = ConnConfig { timestamps: on(0), sack: on(1), window_scale: on(2), ..ConnConfig::default() };
        let offer = |ts: bool, sack: bool, ws: bool, ts_text: &str| {
            let mut list = vec!["mss 1460".to_string()];
            list.extend(sack.then(|| "sackOK".to_string()));
            list.extend(ts.then(|| ts_text.to_string()));
            list.extend(ws.then(|| "wscale 5".to_string()));
            format!("<{}>", list.join(","))
        };
        let both = |i: u32| on(i) && on(i + 3);
        let after = if both(0) { "<TS val 0 ecr 5>" } else { "<>" };
        let stamp = if both(0) { " <TS val 6 ecr 0>" } else { "" };
        let mss = if both(0) { 1448 } else { 1460 };

        let mut s = Script::connect(&cfg);
        s.expect(&format!("S 0:0(0) {}", offer(on(0), on(1), on(2), "TS val 0 ecr 0")));
        // A peer that answers only what was offered.
        let answer = offer(both(0), both(1), both(2), "TS val 5 ecr 0");
        s.inject(&format!("S. 0:0(0) ack 1 win 1000 {answer}"));
        s.expect(&format!(". 1:1(0) ack 1 {after}"));
        assert_eq!(s.conn.stats().mss, mss);
        s.inject(&format!(". 1:1(0) ack 1 win 1000{stamp}"));
        assert_eq!(s.conn.stats().send_window, if both(2) { 1000 << 5 } else { 1000 }, "{bits:06b}");

        let theirs = offer(on(3), on(4), on(5), "TS val 5 ecr 0");
        let mut s = Script::accept(&cfg, &format!("S 0:0(0) win 1000 {theirs}"));
        s.expect(&format!("S. 0:0(0) ack 1 {}", offer(both(0), both(1), both(2), "TS val 0 ecr 5")));
        s.inject(&format!(". 1:1(0) ack 1 win 1000{stamp}"));
        assert_eq!(s.state(), State::Established, "{bits:06b}");
        // SACK blocks are sent only when both said so.
        s.inject(&format!("P. 11:21(10) ack 1 win 1000{stamp}"));
        let ts = if both(0) { "TS val 0 ecr 6" } else { "" };
        let sack = if both(1) { "sack 11:21" } else { "" };
        let comma = if both(0) && both(1) { "," } else { "" };
        s.expect(&format!(". 1:1(0) ack 1 <{ts}{comma}{sack}>"));
    }
}

#[test]
fn must_15_a_peer_without_mss_option_gets_536() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)");
    s.inject("S. 0:0(0) ack 1 win 65535").expect(". 1:1(0) ack 1");
    assert_eq!((s.conn.stats().mss, s.conn.stats().cwnd), (536, 5360));
}

#[test]
fn an_absurd_mss_is_raised() {
    let mut s = Script::connect(&ConnConfig::default());
    s.expect("S 0:0(0)");
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 0,TS val 1 ecr 0>").expect(". 1:1(0) ack 1");
    assert_eq!(s.conn.stats().mss, 76);
    s.write(100).expect(". 1:77(76) ack 1");
}

#[test]
fn must_67_the_mss_announced_follows_the_mtu() {
    for (mtu, mss) in [(1500, 1460), (9000, 8960), (100, 536), (65535, 65495)] {
        let s = &mut Script::connect(&ConnConfig { mtu, ..plain() });
        let mss = if mtu == 100 { mss } else { mss.min(1000) };
        s.expect(&format!("S 0:0(0) <mss {mss}>"));
        let s = &mut Script::connect(&ConnConfig { mtu, max_mss: None, ..plain() });
        let mss = if mtu == 100 { 536 } else { u32::from(mtu) - 40 };
        s.expect(&format!("S 0:0(0) <mss {mss}>"));
    }
}

#[test]
fn must_22_a_lost_syn_is_repeated_with_backoff_and_shrinks_the_first_window() {
    let mut s = Script::connect(&plain());
    for t in [0, 1000, 3000, 7000, 15_000] {
        s.expect_at(t, "S 0:0(0) <mss 1000>");
    }
    s.at(15_100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    // Karn: no sample; RFC 6298 §5.7: 3 s; RFC 6928 §2: one segment.
    let stats = s.conn.stats();
    assert_eq!((stats.srtt, stats.rto, stats.cwnd), (None, ms(3000), 1000));
    s.write(3000).expect(". 1:1001(1000) ack 1").nothing();
    s.expect_at(18_100, ". 1:1001(1000) ack 1");
}

#[test]
fn rfc6928_one_lost_syn_is_forgiven() {
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..plain() });
    s.expect("S 0:0(0)").expect_at(1000, "S 0:0(0) <mss 1000,TS val 1000 ecr 0>");
    s.at(1040).inject("S. 0:0(0) ack 1 win 65535 <mss 1000,TS val 1 ecr 1000>").expect(". 1:1(0) ack 1");
    // The timestamp tells which SYN was answered.
    assert_eq!((s.conn.stats().srtt, s.conn.stats().cwnd), (Some(ms(40)), 9880));
}

#[test]
fn must_23_the_connect_timeout_ends_it_with_an_error() {
    let mut s = Script::connect(&plain());
    s.at(179_999);
    assert_eq!(s.ranges().len(), 8);
    assert_eq!(s.events(), []);
    s.at(180_000).nothing();
    assert_eq!(s.events(), [failed(ConnErrorKind::TimedOut)]);
    assert!(s.conn.is_closed() && s.conn.next_timeout().is_none());
}

#[test]
fn a_refused_connection_says_so() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)");
    // RST without or with a wrong ACK is nobody's.
    s.inject("R 0:0(0)").inject("R. 0:0(0) ack 2").inject("R. 0:0(0) ack 0").nothing();
    assert_eq!(s.state(), State::SynSent);
    s.inject("R. 0:0(0) ack 1").nothing();
    assert_eq!(s.events(), [failed(ConnErrorKind::Refused)]);
    assert!(s.conn.is_closed());
}

#[test]
fn rfc9293_an_ack_of_what_was_not_sent_draws_a_reset_and_changes_nothing() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)");
    s.inject(". 5:5(0) ack 77").expect("R 77:77(0)").nothing();
    s.inject("S. 5:5(0) ack 0").expect("R 0:0(0)").nothing();
    s.inject("S. 0:0(0) ack 1 <mss 1000>").expect(". 1:1(0) ack 1");
}

#[test]
fn must_10_simultaneous_open() {
    let mut s = Script::connect(&ConnConfig { sack: true, ..plain() });
    s.expect("S 0:0(0) <mss 1000,sackOK>");
    s.inject("S 0:0(0) win 5000 <mss 1000,sackOK>");
    s.expect("S. 0:0(0) ack 1 <mss 1000,sackOK>");
    assert_eq!(s.state(), State::SynReceived);
    s.inject("S. 0:0(0) ack 1 win 5000 <mss 1000,sackOK>").nothing();
    assert_eq!((s.state(), s.events()), (State::Established, vec![Event::Connected]));
}

#[test]
fn must_10_simultaneous_open_against_a_peer_that_acks_without_syn() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").inject("S 0:0(0) win 5000 <mss 1000>").expect("S. 0:0(0) ack 1");
    s.inject(". 1:1(0) ack 1 win 5000").nothing();
    assert_eq!(s.state(), State::Established);
}

#[test]
fn must_11_a_reset_means_refused_to_the_active_side_only() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").inject("S 0:0(0)").expect("S. 0:0(0) ack 1");
    s.inject("R 1:1(0)");
    assert_eq!(s.events(), [failed(ConnErrorKind::Refused)]);
    let mut s = Script::accept(&plain(), "S 0:0(0)");
    s.expect("S. 0:0(0) ack 1").inject("R 1:1(0)").nothing();
    assert_eq!(s.events(), [failed(ConnErrorKind::Reset)]);
}

#[test]
fn a_lost_syn_ack_is_repeated_by_its_timer_and_by_the_peers_syn() {
    let mut s = Script::accept(&plain(), "S 0:0(0) <mss 1000>");
    s.expect("S. 0:0(0) ack 1").expect_at(1000, "S. 0:0(0) ack 1 <mss 1000>");
    s.at(1500).inject("S 0:0(0) <mss 1000>").expect("S. 0:0(0) ack 1 <mss 1000>").nothing();
    s.expect_at(3500, "S. 0:0(0) ack 1");
    s.inject(". 1:1(0) ack 1");
    assert_eq!(s.state(), State::Established);
}

#[test]
fn rfc9293_a_wrong_ack_in_syn_received_draws_a_reset() {
    let mut s = Script::accept(&plain(), "S 0:0(0) <mss 1000>");
    s.expect("S. 0:0(0) ack 1").inject(". 1:1(0) ack 2").expect("R 2:2(0)").nothing();
    assert_eq!(s.state(), State::SynReceived);
    s.inject(". 1:1(0) ack 1");
    assert_eq!(s.state(), State::Established);
}

#[test]
fn what_is_due_behind_a_reset_that_only_told_of_a_wrong_ack_leaves_with_it() {
    let mut s = Script::accept(&plain(), "S 0:0(0) <mss 1000>");
    s.expect("S. 0:0(0) ack 1");
    // All in one turn of the loop, and text beyond a gap, which is acknowledged at once.
    s.inject_quietly(". 1:1(0) ack 2").inject_quietly(". 1:1(0) ack 1").inject_quietly("P. 11:21(10) ack 1");
    let (now, limits) = (s.now, s.limits);
    let flags = std::iter::from_fn(|| s.conn.poll_transmit(now, &limits)).map(|burst| burst.flags);
    assert_eq!(flags.collect::<Vec<_>>(), [TcpFlags::RST, TcpFlags::ACK]);
}

#[test]
fn the_last_ack_of_the_handshake_may_carry_text_and_fin() {
    let mut s = Script::accept(&plain(), "S 0:0(0) <mss 1000>");
    s.expect("S. 0:0(0) ack 1").inject("FP. 1:11(10) ack 1 win 9000");
    s.expect(". 1:1(0) ack 12");
    assert_eq!((s.read(), s.state()), (10, State::CloseWait));
    assert_eq!(s.events(), [Event::Connected, Event::Readable, Event::PeerFinished]);
}

#[test]
fn text_on_a_syn_ack_is_taken() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").inject("SP. 0:0(0) ack 1 win 9000 <mss 1000>").expect(". 1:1(0) ack 1");
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)");
    let mut seg = parse("S. 0:0(0) ack 1 win 9000 <mss 1000>");
    seg.payload = bytes(0, 10);
    s.conn.on_segment(s.now, seg);
    s.flush().expect(". 1:1(0) ack 11");
    assert_eq!(s.read(), 10);
}

#[test]
fn bytes_written_before_established_leave_then() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").write(500).shutdown().nothing();
    s.inject("S. 0:0(0) ack 1 <mss 1000>").expect("FP. 1:501(500) ack 1").nothing();
    assert_eq!(s.state(), State::FinWait1);
}

#[test]
fn a_neighbour_that_does_not_answer_ends_an_open() {
    let mut s = Script::connect(&plain());
    s.conn.on_unreachable(s.now);
    assert_eq!(s.events(), [failed(ConnErrorKind::NoNeighbour)]);
    let mut s = Script::established(&plain(), 9000);
    s.conn.on_unreachable(s.now);
    assert_eq!((s.state(), s.events()), (State::Established, vec![]));
}

#[test]
fn a_neighbour_that_answers_again_is_forgiven() {
    let mut s = Script::established(&plain(), 9000);
    s.write(2000);
    s.conn.on_unreachable(s.now);
    s.inject(". 1:1(0) ack 1001").at(500_000);
    let error = ConnError { kind: ConnErrorKind::TimedOut, acked: Offset(1000) };
    assert_eq!(s.events(), [Event::Acked, Event::Closed(Err(error))]);
}

#[test]
fn s48_icmp_is_believed_only_about_what_is_in_flight() {
    let hard = |seq| IcmpError { kind: IcmpErrorKind::HardUnreachable, seq };
    let mut s = Script::connect(&plain());
    s.conn.on_icmp(s.now, hard(Seq(ISS.0.wrapping_add(1))));
    assert_eq!(s.state(), State::SynSent);
    s.conn.on_icmp(s.now, hard(ISS));
    assert_eq!(s.events(), [failed(ConnErrorKind::Refused)]);
    // RFC 5927 §5.2: in synchronised states it is soft, and reported only should the connection time out.
    let mut s = Script::established(&plain(), 9000);
    s.write(1000).expect("P. 1:1001(1000) ack 1");
    s.conn.on_icmp(s.now, hard(ISS + 1));
    assert_eq!((s.state(), s.conn.stats().icmp_errors), (State::Established, 1));
    s.at(400_000);
    assert_eq!(s.events(), [failed(ConnErrorKind::Unreachable)]);
}

#[test]
fn must_56_soft_icmp_does_not_end_an_open() {
    let mut s = Script::connect(&plain());
    for kind in [IcmpErrorKind::SoftUnreachable, IcmpErrorKind::TimeExceeded, IcmpErrorKind::ParameterProblem]
    {
        s.conn.on_icmp(s.now, IcmpError { kind, seq: ISS });
        assert_eq!(s.state(), State::SynSent);
    }
    s.at(200_000);
    assert_eq!(s.events(), [failed(ConnErrorKind::Unreachable)]);
}
