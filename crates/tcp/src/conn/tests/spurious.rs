//! Reductions that prove needless (`S40`): Eifel (RFC 3522, RFC 4015), F-RTO (RFC 5682), DSACK (RFC 2883).

use super::script::*;
use crate::conn::cc::ControllerKind;
use crate::conn::{ConnConfig, SendFlags};

/// Established at 100 ms, round trip 100 ms, timeout 300 ms; ten segments of 1000 bytes left then, and ten more wait.
fn ten_out(cfg: &ConnConfig, options: &str) -> Script {
    let mut s = Script::connect(&ConnConfig { tail_loss_probe: false, ..cfg.clone() });
    s.expect("S 0:0(0)").at(100);
    s.inject(&format!("S. 0:0(0) ack 1 win 65535 <{options}>")).expect(". 1:1(0) ack 1");
    s.write(20_000);
    assert_eq!(s.ranges().len(), 10);
    s
}

fn with_sack() -> ConnConfig {
    ConnConfig { sack: true, ..plain() }
}

fn with_timestamps() -> ConnConfig {
    // Options take twelve bytes of each segment.
    ConnConfig { timestamps: true, max_mss: Some(1012), ..plain() }
}

#[test]
fn rfc5682_a_timeout_is_spurious_when_what_was_sent_once_is_acknowledged_after_it() {
    for (cfg, options) in [(plain(), "mss 1000"), (with_sack(), "mss 1000,sackOK")] {
        let mut s = ten_out(&cfg, options);
        s.expect_at(400, ". 1:1001(1000) ack 1").nothing();
        assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (1, 5000));
        // The originals were late. After the first ACK two new segments leave and nothing again.
        s.at(550).inject(". 1:1(0) ack 1001").expect(". 10001:11001(1000) ack 1");
        s.expect(". 11001:12001(1000) ack 1").nothing();
        // After the second everything is as it was.
        s.at(560).inject(". 1:1(0) ack 2001");
        let stats = s.conn.stats();
        assert_eq!((stats.spurious_timeouts, stats.ssthresh, stats.lost), (1, u64::MAX, 0));
        assert!(stats.cwnd >= 10_000 && stats.rto > ms(1000), "{stats:?}");
        assert!(s.ranges().iter().all(|range| range.0 >= 12_000), "something leaves again");
        s.at(570).inject(". 1:1(0) ack 12001");
        assert_eq!((s.conn.stats().bytes_retransmitted, s.conn.stats().timeouts), (1000, 1));
    }
}

#[test]
fn rfc5682_a_duplicate_after_the_new_data_says_that_the_timeout_was_right() {
    for (cfg, options, duplicate) in
        [(plain(), "mss 1000", ""), (with_sack(), "mss 1000,sackOK", " <sack 10001:11001>")]
    {
        let mut s = ten_out(&cfg, options);
        s.expect_at(400, ". 1:1001(1000) ack 1");
        // The second is lost too.
        s.at(500).inject(". 1:1(0) ack 1001");
        assert_eq!(s.ranges(), [(10_000, 11_000), (11_000, 12_000)]);
        s.at(600).inject(&format!(". 1:1(0) ack 1001{duplicate}"));
        assert_eq!((s.conn.stats().spurious_timeouts, s.conn.stats().ssthresh), (0, 5000));
        s.at(601).inject(". 1:1(0) ack 1001 <sack 10001:12001>");
        assert!(s.ranges().contains(&(1000, 2000)) || s.conn.stats().lost > 0);
    }
}

#[test]
fn rfc5682_one_arrival_acknowledged_in_pieces_is_one_arrival() {
    // The first and the sixth are lost. What the repair of the first completes is acknowledged in pieces: the second of them is
    // for what left once, but nothing of that arrived after the timeout.
    for pieces in [[501, 2001], [1251, 3001], [2001, 3251]] {
        let mut s = ten_out(&plain(), "mss 1000");
        s.expect_at(400, ". 1:1001(1000) ack 1");
        for ack in pieces.into_iter().chain([5001]) {
            s.at(500).inject(&format!(". 1:1(0) ack {ack}"));
        }
        let stats = s.conn.stats();
        assert_eq!((stats.spurious_timeouts, stats.ssthresh), (0, 5000), "{pieces:?}");
        // So the sixth does not wait for a timeout of its own.
        assert!(s.ranges().iter().any(|(start, end)| (*start..*end).contains(&5000)), "{pieces:?}");
    }
}

#[test]
fn rfc5682_without_anything_new_to_send_what_is_lost_is_repaired() {
    let mut s = Script::established(&plain(), 65535);
    s.write(5000).sent.clear();
    s.expect_at(400, ". 1:1001(1000) ack 1").at(500).inject(". 1:1(0) ack 1001");
    assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
    // Nor where the peer's window has no room.
    let mut s = Script::established(&plain(), 5000);
    s.write(10_000).sent.clear();
    s.expect_at(400, ". 1:1001(1000) ack 1").at(500).inject(". 1:1(0) ack 1001 win 4000");
    assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
}

#[test]
fn s40_an_ack_before_anything_left_again_is_of_the_originals() {
    let mut s = ten_out(&plain(), "mss 1000");
    s.at(399);
    // The timer expires and the device takes nothing.
    s.now += ms(1);
    s.conn.on_timer(s.now);
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("the retransmission");
    s.conn.on_refused(&burst);
    s.inject(". 1:1(0) ack 1001");
    let stats = s.conn.stats();
    assert_eq!((stats.spurious_timeouts, stats.ssthresh, stats.lost), (1, u64::MAX, 0));
    assert!(s.ranges().iter().all(|range| range.0 >= 10_000));
}

#[test]
fn rfc5682_two_new_segments_are_enough_whatever_the_window() {
    // BBR has four segments of window when something arrives after a timeout.
    let mut s = Script::established(&ConnConfig { controller: ControllerKind::Bbr, ..plain() }, 65535);
    s.write(20_000).at(300);
    assert_eq!(s.ranges().len(), 10);
    s.at(600);
    assert_eq!((s.conn.stats().timeouts, s.ranges()), (1, vec![(0, 1000)]));
    s.inject(". 1:1(0) ack 1001").at(900);
    assert_eq!((s.ranges(), s.cwnd()), (vec![(10_000, 11_000), (11_000, 12_000)], 4));
}

#[test]
fn rfc5682_new_data_that_is_held_back_is_no_probe() {
    let mut s = Script::established(&plain(), 65535);
    s.write(3000).sent.clear();
    s.at(390).write_quietly(100, SendFlags { part: true, ..SendFlags::default() }).flush().nothing();
    s.expect_at(400, ". 1:1001(1000) ack 1").at(410).inject(". 1:1(0) ack 1001");
    assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
}

#[test]
fn rfc5682_when_nothing_answers_the_new_data_the_timer_ends_the_wait() {
    let mut s = ten_out(&plain(), "mss 1000");
    s.expect_at(400, ". 1:1001(1000) ack 1").at(500).inject(". 1:1(0) ack 1001");
    assert_eq!(s.ranges(), [(10_000, 11_000), (11_000, 12_000)]);
    s.silence_until(1099).expect_at(1100, ". 1001:2001(1000) ack 1").nothing();
}

#[test]
fn rfc5682_a_timeout_within_the_repair_of_another_is_believed() {
    let mut s = ten_out(&plain(), "mss 1000");
    s.expect_at(400, ". 1:1001(1000) ack 1").at(500).inject(". 1:1(0) ack 1001").sent.clear();
    s.inject(". 1:1(0) ack 1001").sent.clear();
    s.at(1200).inject(". 1:1(0) ack 2001");
    assert!(s.conn.stats().timeouts >= 2);
    assert!(s.ranges().iter().all(|range| range.0 < 12_000), "no probing with new data");
}

#[test]
fn s16_the_probe_of_f_rto_waits_for_nobody() {
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    s.write(2100);
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000), (2000, 2100)]);
    // Nagle holds back what is short while the last short one is out.
    s.write(100).nothing();
    s.expect_at(400, ". 1:1001(1000) ack 1").inject(". 1:1(0) ack 1001");
    // Short as it is, nothing is repaired beside it.
    s.expect("P. 2101:2201(100) ack 1").nothing();
}

#[test]
fn rfc3522_an_echo_older_than_the_retransmission_tells_that_the_original_arrived() {
    let mut s = ten_out(&with_timestamps(), "mss 1012,TS val 1 ecr 0");
    s.expect_at(400, ". 1:1001(1000) ack 1 <TS val 400 ecr 1>").nothing();
    s.at(550).inject(". 1:1(0) ack 1001 <TS val 2 ecr 100>");
    let stats = s.conn.stats();
    assert_eq!((stats.spurious_timeouts, stats.ssthresh, stats.lost), (1, u64::MAX, 0));
    assert!(s.cwnd() >= 10);
    // RFC 4015 §3.3: the timer waits for as long as it took, and four deviations.
    assert_eq!((stats.srtt, stats.rto), (Some(ms(450)), ms(450 + 4 * 225)));
    assert!(s.ranges().iter().all(|range| range.0 >= 10_000));
}

#[test]
fn rfc3522_an_echo_of_the_retransmission_proves_nothing() {
    let mut s = ten_out(&with_timestamps(), "mss 1012,TS val 1 ecr 0");
    s.expect_at(400, ". 1:1001(1000) ack 1");
    s.at(500).inject(". 1:1(0) ack 1001 <TS val 2 ecr 400>");
    // The first acceptable ACK decides; a later one may well be of an original.
    s.at(510).sent.clear();
    s.inject(". 1:1(0) ack 1001 <TS val 2 ecr 100>").inject(". 1:1(0) ack 1001 <TS val 2 ecr 100>");
    assert_eq!((s.conn.stats().spurious_timeouts, s.conn.stats().ssthresh), (0, 5000));
}

#[test]
fn s40_a_fast_retransmission_of_what_was_late_is_taken_back() {
    let cfg = ConnConfig { sack: true, max_mss: Some(1012), ..with_timestamps() };
    let mut s = ten_out(&cfg, "mss 1012,TS val 1 ecr 0,sackOK");
    s.at(200).inject(". 1:1(0) ack 1 <TS val 2 ecr 100,sack 1001:4001>");
    s.expect(". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().fast_recoveries, s.conn.stats().ssthresh), (1, 5000));
    s.at(210).inject(". 1:1(0) ack 4001 <TS val 3 ecr 100>");
    let stats = s.conn.stats();
    assert_eq!((stats.spurious_recoveries, stats.ssthresh, s.cwnd()), (1, u64::MAX, 11));
    // The path reorders: from now on three segments prove nothing, time does.
    s.sent.clear();
    s.at(300).inject(". 1:1(0) ack 4001 <TS val 4 ecr 100,sack 5001:9001>");
    assert!(s.ranges().iter().all(|range| range.0 >= 10_000));
}

#[test]
fn rfc2883_a_recovery_whose_every_retransmission_arrived_twice_is_taken_back() {
    let mut s = ten_out(&with_sack(), "mss 1000,sackOK");
    s.at(200).inject(". 1:1(0) ack 1 <sack 2001:6001>").sent.clear();
    s.inject(". 1:1(0) ack 1 <sack 2001:7001>");
    assert_eq!((s.conn.stats().bytes_retransmitted, s.conn.stats().ssthresh), (2000, 5000));
    s.at(210).inject(". 1:1(0) ack 10001");
    assert_eq!((s.conn.stats().spurious_recoveries, s.conn.stats().ssthresh), (0, 5000));
    // One of the two retransmissions may have been needed.
    s.at(300).inject(". 1:1(0) ack 10001 <sack 1:1001>");
    assert_eq!(s.conn.stats().spurious_recoveries, 0);
    s.inject(". 1:1(0) ack 10001 <sack 1001:2001>");
    let stats = s.conn.stats();
    assert_eq!((stats.spurious_recoveries, stats.ssthresh, stats.dsacks), (1, u64::MAX, 2));
}

#[test]
fn rfc2883_what_is_reported_more_than_a_round_trip_later_takes_nothing_back() {
    let mut s = ten_out(&with_sack(), "mss 1000,sackOK");
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:4001>").sent.clear();
    s.at(210).inject(". 1:1(0) ack 10001").sent.clear();
    let sent = s.conn.marks().sent.0;
    s.at(310).inject(&format!(". 1:1(0) ack {}", sent + 1));
    s.inject(&format!(". 1:1(0) ack {} <sack 1:1001>", sent + 1));
    assert_eq!((s.conn.stats().spurious_recoveries, s.conn.stats().ssthresh), (0, 5000));
}

#[test]
fn s40_retransmissions_are_counted_by_their_cause() {
    let mut s = ten_out(&with_sack(), "mss 1000,sackOK");
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:10001>").sent.clear();
    s.at(10_000);
    let stats = s.conn.stats();
    assert_eq!(stats.fast_retransmits, 1);
    assert!(stats.timeout_retransmits >= stats.timeouts && stats.timeouts > 0);
    assert_eq!(stats.fast_retransmits + stats.timeout_retransmits, stats.segments_retransmitted);
}

/// The least timeout bounds the whole of it (RFC 6298 §2.4), so on a long path that never varied an ACK that is delayed for
/// once comes too late. What that costs: a segment, and a round trip of slow start at the most; then the timeout knows.
#[test]
fn s36_rfc6298_2_4_a_delayed_ack_on_a_long_even_path_costs_one_segment_and_no_window() {
    let mut s = Script::connect(&with_timestamps());
    s.expect("S 0:0(0)").at(300);
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1012,TS val 1 ecr 0>").expect(". 1:1(0) ack 1");
    let mut at = 300;
    for round in 0..12 {
        let (from, end) = (1000 * round + 1, 1000 * (round + 1) + 1);
        s.write(1000).expect(&format!("P. {from}:{end}(1000) ack 1"));
        s.silence_until(at + 300).inject(&format!(". 1:1(0) ack {end} <TS val 1 ecr {at}>")).nothing();
        at += 300;
    }
    let before = s.conn.stats();
    assert_eq!((before.rto.as_millis(), before.timeouts), (319, 0));
    s.write(1000).expect("P. 12001:13001(1000) ack 1");
    s.silence_until(at + 319).at(at + 320);
    assert_eq!(s.ranges(), [(12_000, 13_000)]);
    // The answer to the original, 40 ms late: Eifel knows by its timestamp.
    s.at(at + 340).inject(&format!(". 1:1(0) ack 13001 <TS val 1 ecr {at}>")).nothing();
    let after = s.conn.stats();
    assert_eq!((after.timeouts, after.spurious_timeouts, after.segments_retransmitted), (1, 1, 1));
    assert!(after.cwnd >= before.cwnd && after.ssthresh == u64::MAX, "{after:?}");
    // It does not happen again.
    at += 340;
    s.write(1000).expect("P. 13001:14001(1000) ack 1");
    s.silence_until(at + 340).inject(&format!(". 1:1(0) ack 14001 <TS val 1 ecr {at}>"));
    assert_eq!(s.conn.stats().timeouts, 1);
}
