//! Explicit Congestion Notification (RFC 3168, `S35`): who asks, what is marked, what an echo does, what is echoed.

use super::script::*;
use crate::conn::{ConnConfig, EcnMode};
use crate::wire::TcpFlags;

fn asking() -> ConnConfig {
    ConnConfig { ecn: EcnMode::On, ..plain() }
}

/// An established connection with ECN, 100 ms old, whose round trip is 100 ms.
fn agreed() -> Script {
    let mut s = Script::connect(&asking());
    s.expect("SEW 0:0(0)");
    s.at(100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.expect(". 1:1(0) ack 1");
    s
}

#[test]
fn s35_who_asks_and_is_agreed_with_marks_new_data_as_capable_and_nothing_else() {
    let mut s = agreed();
    assert!(s.conn.stats().ecn);
    s.write(1_500);
    s.expect("[ect0] . 1:1001(1000) ack 1").expect("[ect0] P. 1001:1501(500) ack 1");
    s.at(200).inject(". 1:1(0) ack 1501").nothing();
    // Neither an ACK, nor what is sent again, nor a FIN alone.
    s.inject(". 1:1001(1000) ack 1501")
        .inject(". 1001:2001(1000) ack 1501")
        .expect(". 1501:1501(0) ack 2001");
    s.write(1_000).expect("[ect0] P. 1501:2501(1000) ack 2001");
    s.expect_at(450, "P. 1501:2501(1000) ack 2001");
    s.at(600).inject(". 2001:2001(0) ack 2501");
    s.shutdown().expect("F. 2501:2501(0) ack 2001").nothing();
}

#[test]
fn s35_an_answer_that_does_not_agree_is_none() {
    for answer in ["S.", "SEW.", "SW."] {
        let mut s = Script::connect(&asking());
        s.expect("SEW 0:0(0)");
        s.at(100).inject(&format!("{answer} 0:0(0) ack 1 win 65535 <mss 1000>")).expect(". 1:1(0) ack 1");
        assert!(!s.conn.stats().ecn, "{answer}");
        s.write(1_000).expect("P. 1:1001(1000) ack 1");
        // What echoes and marks then say is nothing.
        s.at(200).inject("E. 1:1(0) ack 1001");
        s.inject("[ce] . 1:1001(1000) ack 1001").inject("[ce] . 1001:2001(1000) ack 1001");
        s.expect(". 1001:1001(0) ack 2001");
        let stats = s.conn.stats();
        assert_eq!((stats.ecn_echoes, stats.ecn_reductions, stats.ecn_marked_segments), (0, 0, 0));
        assert!(stats.cwnd >= 10_000, "{answer}");
    }
}

#[test]
fn s35_only_who_is_told_to_asks() {
    for ecn in [EcnMode::Off, EcnMode::Passive] {
        let mut s = Script::connect(&ConnConfig { ecn, ..plain() });
        s.expect("S 0:0(0)");
        // Nobody asked: this agrees to nothing.
        s.at(100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
        assert!(!s.conn.stats().ecn);
    }
}

#[test]
fn s35_a_syn_that_is_repeated_does_not_ask_and_who_is_agreed_with_all_the_same_echoes() {
    let mut s = Script::connect(&asking());
    s.expect("SEW 0:0(0)").expect_at(1_000, "S 0:0(0)");
    s.at(1_100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    s.write(1_000).expect("P. 1:1001(1000) ack 1");
    // The peer had the first SYN, and may send what may be marked: who asked echoes marks (RFC 3168 §6.1.1).
    s.inject("[ce] . 1:501(500) ack 1001").expect("E. 1001:1001(0) ack 501");
    // And heeds echoes, though nothing of its own may be marked; it does not say that it did.
    s.limits = TSO;
    s.write(8_000).sent.clear();
    s.inject("E. 501:501(0) ack 9001").write(4_000);
    s.expect("E. 9001:11001(2000) ack 501").expect("PE. 11001:13001(2000) ack 501").nothing();
    // Nobody agreed.
    let mut s = Script::connect(&asking());
    s.at(1_100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").inject("[ce] . 1:501(500) ack 1");
    s.inject("[ce] . 501:1001(500) ack 1");
    assert!(s.sent.iter().all(|(_, burst)| burst.seq == ISS || !burst.flags.has(TcpFlags::ECE)));
}

#[test]
fn s35_a_passive_open_agrees_when_it_is_asked() {
    for ecn in [EcnMode::Passive, EcnMode::On] {
        let cfg = ConnConfig { ecn, ..plain() };
        let mut s = Script::accept(&cfg, "SEW 0:0(0) win 65535 <mss 1000>");
        s.expect("SE. 0:0(0) ack 1").expect_at(1_000, "SE. 0:0(0) ack 1");
        s.inject(". 1:1(0) ack 1").write(1_000).expect("[ect0] P. 1:1001(1000) ack 1");
        for syn in ["S", "SE", "SW"] {
            let mut s = Script::accept(&cfg, &format!("{syn} 0:0(0) win 65535 <mss 1000>"));
            s.expect("S. 0:0(0) ack 1").inject(". 1:1(0) ack 1");
            s.write(1_000).expect("P. 1:1001(1000) ack 1");
        }
    }
    let off = ConnConfig { ecn: EcnMode::Off, ..plain() };
    Script::accept(&off, "SEW 0:0(0) win 65535 <mss 1000>").expect("S. 0:0(0) ack 1");
}

#[test]
fn s35_a_peer_that_gives_up_asking_is_answered_without() {
    let mut s = Script::accept(&plain(), "SEW 0:0(0) win 65535 <mss 1000>");
    s.expect("SE. 0:0(0) ack 1");
    s.at(500).inject("S 0:0(0) win 65535 <mss 1000>").expect("S. 0:0(0) ack 1");
    s.inject(". 1:1(0) ack 1").write(1_000).expect("P. 1:1001(1000) ack 1");
}

#[test]
fn s35_both_ask_at_once_and_agree() {
    let mut s = Script::connect(&asking());
    s.expect("SEW 0:0(0)");
    s.at(100).inject("SEW 0:0(0) win 65535 <mss 1000>").expect("SE. 0:0(0) ack 1");
    s.inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.write(1_000).expect("[ect0] P. 1:1001(1000) ack 1");
}

#[test]
fn s35_an_echo_reduces_the_window_once_in_a_window_of_data_and_is_answered_once() {
    let mut s = agreed();
    s.write(40_000);
    assert_eq!(s.ranges().len(), 10);
    // Half of what is in flight: one segment leaves for two that arrive, and the first says why (RFC 9937).
    s.at(200).inject("E. 1:1(0) ack 2001").expect("[ect0] W. 10001:11001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().ssthresh, s.conn.in_flight()), (5_000, 9_000));
    s.at(210).inject("E. 1:1(0) ack 3001").nothing();
    s.at(220).inject("E. 1:1(0) ack 4001").expect("[ect0] . 11001:12001(1000) ack 1").nothing();
    s.at(230).inject("E. 1:1(0) ack 6001").expect("[ect0] . 12001:13001(1000) ack 1").nothing();
    // As much as may be is in the network.
    s.at(240).inject("E. 1:1(0) ack 8001").nothing();
    assert_eq!((s.cwnd(), s.conn.in_flight()), (5, 5_000));
    // Up to here the peer cannot know: one window, one reduction. Nor does it grow.
    s.at(250).inject("E. 1:1(0) ack 10001");
    s.expect("[ect0] . 13001:14001(1000) ack 1").expect("[ect0] . 14001:15001(1000) ack 1").nothing();
    assert_eq!(s.cwnd(), 5);
    let stats = s.conn.stats();
    assert_eq!((stats.ecn_echoes, stats.ecn_reductions), (6, 1));
    // Marked again in the next window.
    s.at(300).inject("E. 1:1(0) ack 12001").expect("[ect0] W. 15001:16001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().ssthresh, s.conn.stats().ecn_reductions), (2_500, 2));
    s.at(310).inject(". 1:1(0) ack 14001").nothing();
    s.at(320).inject(". 1:1(0) ack 16001");
    s.expect("[ect0] . 16001:17001(1000) ack 1").expect("[ect0] . 17001:18001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().segments_retransmitted), (2, 0));
}

#[test]
fn s39_an_echo_reduces_in_proportion_with_sack_too_and_a_loss_in_that_window_takes_over() {
    let mut s = Script::connect(&ConnConfig { sack: true, tail_loss_probe: false, ..asking() });
    s.expect("SEW 0:0(0)");
    s.at(100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>").expect(". 1:1(0) ack 1");
    s.write(40_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject("E. 1:1(0) ack 2001").expect("[ect0] W. 10001:11001(1000) ack 1").nothing();
    // The third is missing. Its repair leaves at once, and ssthresh stays: the window was reduced already.
    s.inject("E. 1:1(0) ack 2001 <sack 3001:6001>").expect(". 2001:3001(1000) ack 1");
    let stats = s.conn.stats();
    assert_eq!((stats.fast_recoveries, stats.ssthresh), (1, 5_000));
    s.sent.clear();
    s.inject("E. 1:1(0) ack 2001 <sack 3001:10001>");
    s.sent.clear();
    s.at(300).inject("E. 1:1(0) ack 11001");
    assert_eq!((s.cwnd(), s.conn.stats().ecn_reductions), (5, 1));
}

#[test]
fn s39_what_was_reported_before_a_mark_is_no_part_of_what_it_reduces() {
    let mut s = Script::connect(&ConnConfig { sack: true, tail_loss_probe: false, ..asking() });
    s.expect("SEW 0:0(0)");
    s.at(100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>").expect(". 1:1(0) ack 1");
    s.write(40_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject(". 1:1(0) ack 1 <sack 5001:7001>");
    assert_eq!(s.ranges().len(), 2);
    // Twelve segments are out and two of them there: of ten six may stay, one leaves for two that arrive.
    s.at(205)
        .inject("E. 1:1(0) ack 2001 <sack 5001:7001>")
        .expect("[ect0] W. 12001:13001(1000) ack 1")
        .nothing();
    assert_eq!(s.conn.stats().ssthresh, 6_000);
}

#[test]
fn s39_the_window_grows_again_with_the_one_after_a_marked_one() {
    let mut s = agreed();
    s.write(40_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject("E. 1:1(0) ack 2001").expect("[ect0] W. 10001:11001(1000) ack 1").nothing();
    s.at(210).inject(". 1:1(0) ack 10001");
    assert_eq!((s.ranges().len(), s.cwnd()), (4, 5));
    s.at(300).inject(". 1:1(0) ack 15001");
    assert_eq!((s.ranges().len(), s.cwnd()), (6, 6));
}

#[test]
fn s39_without_sack_a_loss_in_a_marked_window_is_repaired_as_any_other() {
    let mut s = agreed();
    s.write(40_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject("E. 1:1(0) ack 2001").expect("[ect0] W. 10001:11001(1000) ack 1").nothing();
    for _ in 0..2 {
        s.at(210).inject(". 1:1(0) ack 2001").nothing();
    }
    s.inject(". 1:1(0) ack 2001").expect(". 2001:3001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().fast_recoveries, s.conn.stats().ssthresh), (1, 5_000));
    // Nine segments were out. From the fifth duplicate on there is room in a window of five.
    s.inject(". 1:1(0) ack 2001").nothing();
    s.inject(". 1:1(0) ack 2001").expect("[ect0] . 11001:12001(1000) ack 1").nothing();
}

#[test]
fn s39_a_timeout_ends_a_reduction_for_a_mark() {
    let mut s = agreed();
    s.write(40_000);
    s.ranges();
    s.at(200).inject("E. 1:1(0) ack 2001").expect("[ect0] W. 10001:11001(1000) ack 1").nothing();
    s.at(3_000);
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (1, 4_500));
}

#[test]
fn s35_what_says_that_the_window_was_reduced_leaves_in_a_segment_of_its_own() {
    let mut s = agreed();
    s.limits = TSO;
    s.write(40_000);
    s.ranges();
    s.at(200).inject("E. 1:1(0) ack 1001").nothing();
    s.inject(". 1:1(0) ack 10001");
    s.expect("[ect0] W. 10001:11001(1000) ack 1").expect("[ect0] . 11001:13001(2000) ack 1");
    s.expect("[ect0] . 13001:15001(2000) ack 1").nothing();
}

#[test]
fn s35_of_several_proposals_one_tells_and_what_may_have_left_before_is_not_capable() {
    let mut s = agreed();
    s.write(40_000);
    s.ranges();
    s.at(200).inject_quietly("E. 1:1(0) ack 2001").inject_quietly(". 1:1(0) ack 10001");
    let (now, limits) = (s.now, s.limits);
    let proposals: Vec<_> = std::iter::from_fn(|| s.conn.poll_transmit(now, &limits)).collect();
    let told: Vec<bool> = proposals.iter().map(|b| b.flags.has(TcpFlags::CWR)).collect();
    assert!(told.len() > 3 && told[0] && !told[1..].contains(&true), "{told:?}");
    // The device refuses them all: part of the first may have left.
    proposals.iter().for_each(|burst| s.conn.on_refused(burst));
    s.flush();
    let sent: Vec<_> = s.sent.drain(..).map(|(_, b)| (b.ect, b.flags.has(TcpFlags::CWR))).collect();
    assert_eq!(sent[..3], [(false, false), (true, true), (true, false)]);
}

#[test]
fn s35_a_loss_is_told_like_a_mark_and_its_retransmission_is_not_capable() {
    let mut s = agreed();
    s.write(40_000);
    s.ranges();
    s.at(200).inject("E. 1:1(0) ack 1").inject(". 1:1(0) ack 1").inject(". 1:1(0) ack 1");
    let reduced = s.conn.stats();
    assert_eq!((reduced.ecn_reductions, reduced.fast_recoveries), (0, 1), "an ACK of nothing says nothing");
    let retransmitted = s.sent.iter().find(|(_, b)| b.offset.0 == 0).expect("sent again").1;
    assert!(!retransmitted.ect);
    s.sent.clear();
    // While a loss is repaired, marks of the same window do nothing more.
    s.at(300).inject("E. 1:1(0) ack 5001");
    assert_eq!(s.conn.stats().ecn_reductions, 0);
    s.sent.clear();
    s.at(400).inject(". 1:1(0) ack 12001");
    let told: Vec<_> = s.sent.iter().filter(|(_, b)| b.flags.has(TcpFlags::CWR)).collect();
    assert!(told.len() <= 1);
    assert!(s.sent.iter().all(|(_, b)| b.ect));
}

#[test]
fn s35_a_loss_in_a_window_that_was_marked_does_not_reduce_it_twice() {
    let mut s = agreed();
    s.write(40_000);
    s.ranges();
    s.at(200).inject("E. 1:1(0) ack 2001");
    for _ in 0..3 {
        s.inject("E. 1:1(0) ack 2001");
    }
    let stats = s.conn.stats();
    assert_eq!((stats.ecn_reductions, stats.fast_recoveries, stats.ssthresh), (1, 1, 5_000));
}

#[test]
fn s35_marks_are_echoed_until_the_peer_says_that_it_reduced_its_window() {
    let mut s = agreed();
    // At once, whatever delays ACKs.
    s.inject("[ce] . 1:1001(1000) ack 1").expect("E. 1:1(0) ack 1001");
    s.inject(". 1001:2001(1000) ack 1").inject(". 2001:3001(1000) ack 1").expect("E. 1:1(0) ack 3001");
    // Data says it too.
    s.write(500).expect("[ect0] PE. 1:501(500) ack 3001");
    // It did: and that again at once.
    s.inject("W. 3001:4001(1000) ack 501").expect(". 501:501(0) ack 4001");
    s.inject(". 4001:5001(1000) ack 501").inject(". 5001:6001(1000) ack 501").expect(". 501:501(0) ack 6001");
    // Marked since it did.
    s.inject("[ce] W. 6001:7001(1000) ack 501").expect("E. 501:501(0) ack 7001");
    s.inject("[ce] W. 7001:8001(1000) ack 501")
        .inject(". 8001:9001(1000) ack 501")
        .expect("E. 501:501(0) ack 9001");
    s.nothing();
    assert_eq!(s.conn.stats().ecn_marked_segments, 3);
}

#[test]
fn s35_a_mark_on_what_carries_nothing_is_none() {
    let mut s = agreed();
    s.write(1_000).expect("[ect0] P. 1:1001(1000) ack 1");
    s.at(200).inject("[ce] . 1:1(0) ack 1001").nothing();
    s.write(1_000).expect("[ect0] P. 1001:2001(1000) ack 1");
}
