//! The SACK scoreboard and RACK: RFC 2018, RFC 2883, RFC 6675 (`S37`), RFC 8985 §6 (`S38`).

use super::script::*;
use crate::conn::ConnConfig;
use crate::{Nanos, Offset};

/// Established at 100 ms with a peer that knows SACK; the round trip is 100 ms, a quarter of it 25 ms.
fn established(cfg: &ConnConfig) -> Script {
    let mut s = Script::connect(&ConnConfig { sack: true, tail_loss_probe: false, ..cfg.clone() });
    s.expect("S 0:0(0)").at(100);
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>").expect(". 1:1(0) ack 1");
    s
}

/// Ten segments of 1000 bytes leave in one burst.
fn ten_out() -> Script {
    let mut s = established(&plain());
    s.limits = TSO;
    s.write(10_000);
    assert_eq!(s.ranges(), [(0, 5000), (5000, 10_000)]);
    s
}

#[test]
fn s37_what_sack_reports_is_not_sent_again() {
    let mut s = ten_out();
    s.at(200).inject(". 1:1(0) ack 1001 <sack 3001:5001 7001:10001>");
    s.expect(". 1001:3001(2000) ack 1").expect(". 5001:7001(2000) ack 1").nothing();
    let stats = s.conn.stats();
    assert_eq!((stats.sacked, stats.lost, stats.resent), (5000, 0, 4000));
    assert_eq!((stats.fast_recoveries, stats.bytes_sacked, stats.ssthresh), (1, 5000, 4500));
    s.at(300).inject(". 1:1(0) ack 5001 <sack 7001:10001>").nothing();
    assert_eq!(s.conn.stats().resent, 2000);
    s.at(400).inject(". 1:1(0) ack 10001").silence_until(10_000);
    let stats = s.conn.stats();
    assert_eq!((stats.sacked, stats.lost, stats.resent, stats.bytes_retransmitted), (0, 0, 0, 4000));
}

#[test]
fn rfc3042_each_segment_that_sack_reports_lets_out_a_new_one() {
    let mut s = established(&plain());
    s.write(15_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:2001>").expect(". 10001:11001(1000) ack 1").nothing();
    // The same again says nothing.
    s.inject(". 1:1(0) ack 1 <sack 1001:2001>").inject(". 1:1(0) ack 1").nothing();
    s.inject(". 1:1(0) ack 1 <sack 1001:3001>").expect(". 11001:12001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().limited_transmits, s.conn.stats().dup_acks), (2, 2));
    // It was reordering: one of the three segments is news to the window.
    s.inject(". 1:1(0) ack 3001");
    assert_eq!((s.cwnd(), s.conn.stats().reordered, s.conn.stats().reordering), (11, 1, 3000));
}

#[test]
fn rfc6675_the_third_segment_beyond_a_gap_means_a_loss() {
    let mut s = ten_out();
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:2001>").inject(". 1:1(0) ack 1 <sack 1001:3001>").nothing();
    // Text and another window do not hide it.
    s.inject("P. 1:11(10) ack 1 win 60000 <sack 1001:4001>").expect(". 1:1001(1000) ack 11").nothing();
    // The window comes down by and by: what is in the network now.
    assert_eq!((s.conn.stats().fast_recoveries, s.cwnd(), s.conn.stats().ssthresh), (1, 7, 5000));
}

#[test]
fn s38_what_was_overtaken_is_lost_a_quarter_of_a_round_trip_later() {
    let mut s = established(&plain());
    s.write(4000);
    s.sent.clear();
    s.at(200).inject(". 1:1(0) ack 1 <sack 3001:4001>").nothing();
    s.silence_until(224).expect_at(225, ". 1:1001(1000) ack 1").nothing();
    assert_eq!(
        (s.conn.stats().fast_recoveries, s.conn.stats().lost, s.conn.stats().ssthresh),
        (1, 2000, 2000)
    );
    s.at(300).inject(". 1:1(0) ack 1001 <sack 3001:4001>");
    s.expect(". 1001:2001(1000) ack 1").expect(". 2001:3001(1000) ack 1");
    s.at(400).inject(". 1:1(0) ack 4001");
    assert_eq!((s.conn.stats().timeouts, s.cwnd()), (0, 2));
}

#[test]
fn s38_what_arrives_late_was_not_lost() {
    let mut s = established(&plain());
    s.write(4000);
    s.sent.clear();
    s.at(200).inject(". 1:1(0) ack 1 <sack 3001:4001>").nothing();
    s.at(224).inject(". 1:1(0) ack 4001").silence_until(5000);
    assert_eq!((s.conn.stats().fast_recoveries, s.conn.stats().reordered), (0, 1));
    // On a path that reorders three segments prove nothing, only time does.
    s.write(5000);
    assert_eq!(s.ranges().len(), 5);
    s.at(5100).inject(". 1:1(0) ack 4001 <sack 5001:9001>").nothing();
    s.silence_until(5124).expect_at(5125, ". 4001:5001(1000) ack 1").nothing();
}

#[test]
fn s38_a_retransmission_that_is_lost_again_is_found_by_time() {
    let mut s = ten_out();
    s.write(5000);
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:4001>").expect(". 1:1001(1000) ack 1");
    s.inject(". 1:1(0) ack 1 <sack 1001:10001>");
    assert_eq!(s.ranges(), [(10_000, 12_000), (12_000, 14_000)]);
    // What left after the retransmission arrived; no timeout was needed, and one reduction is enough.
    s.at(300).inject(". 1:1(0) ack 1 <sack 1001:11001>");
    s.expect(". 1:1001(1000) ack 1").expect("P. 14001:15001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().fast_recoveries, s.cwnd()), (0, 1, 5));
    // Sent again, it may not be called lost for what left before it did.
    s.at(301).inject(". 1:1(0) ack 1 <sack 1001:14001>").nothing();
}

#[test]
fn s38_the_window_for_reordering_grows_for_each_needless_retransmission() {
    let mut s = established(&plain());
    let mut at = 0;
    // SND.UNA moves a round trip on each time; the wait is 25, 50, 75, 100 ms, and never more than a round trip.
    for wait in [25, 50, 75, 100, 100, 100] {
        at += 1000;
        let una = s.conn.marks().sent.0 + 1;
        let text = |ack, blocks: &str| format!(". 1:1(0) ack {ack} <sack {blocks}>");
        s.at(at).write(2000).sent.clear();
        s.at(at + 100).inject(&text(una, &format!("{}:{}", una + 1000, una + 2000))).nothing();
        s.silence_until(at + 100 + wait - 1).at(at + 100 + wait);
        s.expect(&format!(". {una}:{}(1000) ack 1", una + 1000)).nothing();
        // The original arrives, then the copy.
        s.at(at + 210).inject(&format!(". 1:1(0) ack {}", una + 2000));
        s.at(at + 300).inject(&text(una + 2000, &format!("{una}:{}", una + 1000)));
    }
    assert_eq!((s.conn.stats().dsacks, s.conn.stats().timeouts), (6, 0));
}

#[test]
fn s38_the_window_for_reordering_shrinks_after_sixteen_recoveries() {
    let mut s = established(&ConnConfig { idle_restart: false, ..plain() });
    s.conn.on_needless();
    s.conn.rtt.sample(ms(100));
    for recovery in 0..17 {
        let (at, una) = (1000 * (recovery + 1), s.conn.marks().sent.0 + 1);
        s.at(at).write(2000).sent.clear();
        s.at(at + 100).inject(&format!(". 1:1(0) ack {una} <sack {}:{}>", una + 1000, una + 2000));
        let wait = if recovery < 16 { 50 } else { 25 };
        s.silence_until(at + 99 + wait).at(at + 100 + wait);
        s.expect(&format!(". {una}:{}(1000) ack 1", una + 1000)).nothing();
        s.at(at + 300).inject(&format!(". 1:1(0) ack {}", una + 2000));
    }
}

#[test]
fn rfc8985_an_echo_older_than_the_retransmission_condemns_no_other() {
    for (ecr, again) in [(100, false), (199, false), (200, true)] {
        let cfg = ConnConfig {
            sack: true,
            timestamps: true,
            tail_loss_probe: false,
            max_mss: Some(1012),
            ..plain()
        };
        let mut s = Script::connect(&cfg);
        s.at(100).inject("S. 0:0(0) ack 1 <mss 1012,sackOK,TS val 1 ecr 0>").write(10_000).sent.clear();
        s.at(200).inject(". 1:1(0) ack 1 <TS val 2 ecr 100,sack 1001:2001 3001:10001>");
        assert_eq!(s.ranges(), [(0, 1000), (2000, 3000)]);
        // The third came, a round trip later: the original, or what left after the first had once more.
        s.at(305).inject(&format!(". 1:1(0) ack 1 <TS val 3 ecr {ecr},sack 1001:10001>"));
        assert_eq!(!s.ranges().is_empty(), again, "{ecr}");
    }
}

#[test]
fn s37_part_of_a_segment_is_not_a_segment() {
    let mut s = ten_out();
    s.at(200).inject(". 1:1(0) ack 1 <sack 4000:4001>").inject(". 1:1(0) ack 1 <sack 4000:5999>").nothing();
    assert_eq!((s.conn.stats().sacked, s.conn.stats().dup_acks), (1000, 1));
}

#[test]
fn s37_blocks_that_cannot_be_true_say_nothing() {
    let mut s = ten_out();
    for blocks in ["1001:1001", "3001:2001", "9001:10002", "2147480000:2147483000", "20001:30001"] {
        s.at(200).inject(&format!(". 1:1(0) ack 1 <sack {blocks}>")).nothing();
    }
    // Of what it does not acknowledge the peer may report the oldest, too.
    let mut old = ten_out();
    old.at(200).inject(". 1:1(0) ack 1 <sack 1:1001>").inject(". 1:1(0) ack 1 <sack 1:2001>");
    assert_eq!((old.conn.stats().sacked, old.conn.flight.records()), (2000, 3));
    // RFC 2883 §4: what arrived twice is no news of a loss.
    s.inject(". 1:1(0) ack 1 <sack 0:1>").inject(". 1:1(0) ack 1 <sack 2001:3001 1001:4001>");
    assert_eq!((s.conn.stats().sacked, s.conn.stats().dsacks), (3000, 1));
}

#[test]
fn s37_a_peer_that_reports_byte_by_byte_costs_a_record_for_each_segment_at_most() {
    let mut s = ten_out();
    s.at(200);
    for at in (2..10_001).step_by(7) {
        s.inject_quietly(&format!(". 1:1(0) ack 1 <sack {at}:{}>", at + 3));
    }
    assert_eq!((s.conn.flight.records(), s.conn.stats().sacked), (2, 0));
    for at in (1001..10_001).step_by(2000) {
        s.inject_quietly(&format!(". 1:1(0) ack 1 <sack {at}:{}>", at + 1000));
    }
    assert_eq!((s.conn.flight.records(), s.conn.stats().sacked), (10, 5000));
    s.inject_quietly(". 1:1(0) ack 1 <sack 1001:10001>");
    assert_eq!((s.conn.flight.records(), s.conn.stats().sacked), (2, 9000));
}

#[test]
fn rfc7323_what_was_reported_long_ago_measures_nothing_when_it_is_acknowledged() {
    let cfg = ConnConfig { sack: true, timestamps: true, max_mss: Some(1012), ..plain() };
    let mut s = Script::connect(&cfg);
    s.at(100).inject("S. 0:0(0) ack 1 <mss 1012,sackOK,TS val 1 ecr 0>").write(2000).sent.clear();
    s.conn.take_rtt_sample();
    s.at(150).inject(". 1:1(0) ack 1 <TS val 2 ecr 100,sack 1001:2001>");
    assert_eq!(s.conn.take_rtt_sample(), Some(ms(50)));
    s.at(160).inject(". 1:1(0) ack 1001 <TS val 3 ecr 100,sack 1001:2001>");
    assert_eq!(s.conn.take_rtt_sample(), Some(ms(60)));
    // It arrived at 150.
    s.at(200).inject(". 1:1(0) ack 2001 <TS val 4 ecr 100>");
    assert_eq!((s.conn.take_rtt_sample(), s.conn.in_flight()), (None, 0));
}

#[test]
fn s37_a_late_ack_reports_all_the_same() {
    let mut s = ten_out();
    s.at(200).inject(". 1:1(0) ack 4001").inject(". 1:1(0) ack 2001 <sack 5001:7001>").nothing();
    assert_eq!((s.conn.stats().sacked, s.conn.marks().acked), (2000, Offset(4000)));
}

#[test]
fn s37_a_timeout_keeps_what_was_reported() {
    let mut s = established(&plain());
    s.write(3000);
    s.sent.clear();
    // The retransmission of the first is lost too, and nothing tells.
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:2001>").expect_at(225, ". 1:1001(1000) ack 1");
    s.silence_until(399).at(625).sent.clear();
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().sacked), (1, 1000));
    s.at(700).inject(". 1:1(0) ack 2001 <sack 2001:2002>").expect("P. 2001:3001(1000) ack 1").nothing();
    assert_eq!(s.conn.stats().reneged, 0);
}

#[test]
fn s37_a_peer_that_drops_what_it_reported_gets_it_again() {
    let mut s = established(&plain());
    s.write(3000);
    s.sent.clear();
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:3001>").expect_at(225, ". 1:1001(1000) ack 1");
    // It acknowledges the first alone: the others are gone (RFC 2018 §8).
    s.at(300).inject(". 1:1(0) ack 1001").nothing();
    assert_eq!(s.conn.stats().sacked, 2000);
    // Half a round trip later, long before the timeout at 550.
    s.at(2000).expect_sent_at(350, ". 1001:2001(1000) ack 1");
    assert_eq!((s.conn.stats().reneged, s.conn.stats().sacked), (1, 0));
    s.sent.clear();
    s.inject(". 1:1(0) ack 2001").expect("P. 2001:3001(1000) ack 1").inject(". 1:1(0) ack 3001");
    s.silence_until(60_000);
}

#[test]
fn s37_acks_that_are_late_to_say_it_are_no_reneging() {
    let mut s = established(&plain());
    s.write(3000);
    s.sent.clear();
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:3001>").expect_at(225, ". 1:1001(1000) ack 1");
    // The ACK of everything was overtaken, but not for half a round trip.
    s.at(300).inject(". 1:1(0) ack 1001").at(349).inject(". 1:1(0) ack 3001");
    s.silence_until(60_000);
    assert_eq!((s.conn.stats().reneged, s.conn.stats().timeouts), (0, 0));
}

#[test]
fn s27_what_sack_reports_is_delivered() {
    let mut s = established(&plain());
    s.limits = TSO;
    s.write(10_000).at(200).inject(". 1:1(0) ack 1 <sack 1001:10001>");
    // 9000 bytes in 100 ms.
    assert_eq!(s.conn.stats().delivery_rate.map(|rate| rate.as_bps()), Some(720_000));
    assert_eq!(s.conn.take_rtt_sample(), Some(Nanos::from_millis(100)));
}

#[test]
fn s39_a_window_is_reduced_in_proportion() {
    let mut s = established(&ConnConfig { initial_window: 20, ..plain() });
    s.write(60_000);
    assert_eq!(s.ranges().len(), 20);
    // The first of twenty is lost. ssthresh is 10: a segment leaves for every second one that arrives.
    let mut sent = Vec::new();
    for at in 2..=20 {
        s.at(200 + at).inject(&format!(". 1:1(0) ack 1 <sack 1001:{}>", at * 1000 + 1));
        sent.push(s.ranges().len());
    }
    // Two by limited transmit, the repair, then by proportion: 17 arrive from then on, 8 and a half leave.
    assert_eq!(sent[..3], [1, 1, 1]);
    assert_eq!((sent[3..].iter().sum::<usize>(), *sent.iter().max().expect("some")), (7, 1));
    s.at(330).inject(". 1:1(0) ack 20001");
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh, s.conn.stats().recovery_exceptions), (10, 10_000, 0));
    assert_eq!(s.conn.in_flight(), 10_000);
}

#[test]
fn s39_a_burst_of_losses_is_repaired_at_the_pace_of_acks() {
    let mut s = established(&ConnConfig { initial_window: 20, ..plain() });
    s.write(20_000);
    assert_eq!(s.ranges().len(), 20);
    // The first sixteen are lost: the pipe is empty, and may fill no faster than the network drains.
    s.at(200).inject(". 1:1(0) ack 1 <sack 16001:19001>");
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000), (2000, 3000)]);
    s.at(201).inject(". 1:1(0) ack 1 <sack 16001:20001>");
    assert_eq!(s.ranges(), [(3000, 4000)]);
    // SND.UNA advances and nothing more is lost: one more than arrived.
    s.at(300).inject(". 1:1(0) ack 1001 <sack 16001:20001>");
    assert_eq!(s.ranges(), [(4000, 5000), (5000, 6000)]);
    assert_eq!((s.conn.stats().ssthresh, s.conn.stats().fast_recoveries), (10_000, 1));
}

#[test]
fn s39_what_is_found_lost_by_time_makes_room_for_what_was_delivered() {
    let mut s = established(&ConnConfig { initial_window: 20, ..plain() });
    s.conn.rack.on_late();
    s.write(6000).at(110).write(14_000);
    assert_eq!(s.ranges().len(), 20);
    // A quarter of the round trip later what left 10 ms earlier is lost.
    s.at(210).inject(". 1:1(0) ack 1 <sack 19001:20001>").silence_until(224);
    s.expect_at(225, ". 1:1001(1000) ack 1").nothing();
    // In proportion three segments that arrive let no two out.
    s.at(226).inject(". 1:1(0) ack 1 <sack 16001:20001>").nothing();
    // The other ten are lost too, 116 ms of round trip and 25 of patience after they left: as much leaves as arrived.
    s.silence_until(250).at(251);
    assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
    assert_eq!((s.conn.stats().fast_recoveries, s.conn.stats().ssthresh), (1, 10_000));
}

#[test]
fn s38_an_ack_that_closes_a_gap_condemns_nothing_that_left_with_what_was_late() {
    let mut s = ten_out();
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:2001>").inject(". 1:1(0) ack 1 <sack 1001:3001>").nothing();
    s.inject(". 1:1(0) ack 1 <sack 1001:3001 8001:9001>").expect(". 1:1001(1000) ack 1").nothing();
    // The retransmission took 110 ms, and the last segment is out for 210: but so was the fourth, and it arrived.
    s.at(310).inject(". 1:1(0) ack 4001 <sack 8001:9001>");
    assert!(s.ranges().iter().all(|range| range.1 <= 8000));
    assert_eq!((s.conn.stats().lost + s.conn.stats().resent, s.conn.stats().sacked), (4000, 1000));
}

#[test]
fn s38_the_state_of_recovery_is_told() {
    let mut s = ten_out();
    let mut states = vec![s.conn.stats().loss_state];
    for text in [". 1:1(0) ack 1 <sack 3001:4001>", ". 1:1(0) ack 1 <sack 3001:6001>", ". 1:1(0) ack 10001"] {
        s.at(200).inject(text);
        states.push(s.conn.stats().loss_state);
    }
    s.write(1000).at(3000);
    states.push(s.conn.stats().loss_state);
    let names: Vec<String> = states.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["open", "disorder", "recovery", "open", "loss"]);
}
