//! Loss: timeouts, duplicate ACKs, and what is sent again (RFC 6298, RFC 5681, RFC 6582, RFC 3042).

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{BurstKind, ConnError, ConnErrorKind, Event, IcmpError, IcmpErrorKind, Nanos, Offset, TxLimits};

/// Ten segments of 1000 bytes are out; nothing waits behind them.
fn ten_out() -> Script {
    let mut s = Script::established(&plain(), 65535);
    s.write(10_000);
    assert_eq!(s.ranges().len(), 10);
    s
}

#[test]
fn rfc6298_the_timeouts_ladder() {
    let mut s = Script::established(&plain(), 65535);
    // SRTT 100 ms, RTTVAR 50 ms: 300 ms.
    assert_eq!(s.conn.stats().rto, ms(300));
    s.write(1000).expect("P. 1:1001(1000) ack 1");
    for t in [400, 1000, 2200, 4600, 9400, 19_000, 38_200, 76_600, 153_400, 273_400] {
        s.expect_at(t, "P. 1:1001(1000) ack 1");
    }
    assert_eq!((s.conn.stats().timeouts, s.cwnd(), s.conn.stats().ssthresh), (10, 1, 2000));
}

#[test]
fn must_20_must_21_r2_ends_the_connection() {
    let cfg = ConnConfig { user_timeout: Nanos::from_secs(10), ..plain() };
    let mut s = Script::established(&cfg, 65535);
    s.write(2000).at(500).inject(". 1:1(0) ack 1001");
    // Ten seconds after the last progress.
    s.at(10_499);
    assert_eq!(s.events(), [Event::Acked]);
    s.at(10_500);
    let error = ConnError { kind: ConnErrorKind::TimedOut, acked: Offset(1000) };
    assert_eq!(s.events(), [Event::Closed(Err(error))]);
    assert!(s.conn.is_closed());
}

#[test]
fn rfc6298_5_3_an_ack_restarts_the_timer() {
    let mut s = Script::established(&plain(), 65535);
    s.write(2000).expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1");
    s.at(350).inject(". 1:1(0) ack 1001");
    // The sample of 250 ms: SRTT 118.75, RTTVAR 75.
    assert_eq!(s.conn.stats().rto, Nanos::from_micros(418_750));
    s.until(s.now + Nanos::from_micros(418_749)).nothing();
    s.until(s.now + Nanos::from_micros(1)).expect("P. 1001:2001(1000) ack 1");
}

#[test]
fn must_19_after_a_timeout_slow_start_sends_everything_again() {
    let mut s = ten_out();
    s.expect_at(400, ". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (1, 5000));
    s.at(500).inject(". 1:1(0) ack 1001");
    s.expect(". 1001:2001(1000) ack 1").expect(". 2001:3001(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 3001");
    assert_eq!(s.cwnd(), 3);
    assert_eq!(s.ranges(), [(3000, 4000), (4000, 5000), (5000, 6000)]);
    // What the peer had all along is skipped.
    s.inject(". 1:1(0) ack 9001");
    assert_eq!((s.ranges(), s.cwnd()), (vec![(9000, 10_000)], 4));
    s.inject(". 1:1(0) ack 10001").silence_until(100_000);
}

#[test]
fn s43_after_a_timeout_whole_bursts_leave_trimmed_to_what_is_missing() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(10_000);
    assert_eq!(s.ranges(), [(0, 5000), (5000, 10_000)]);
    s.expect_at(400, ". 1:1001(1000) ack 1");
    // A partial ACK inside of a burst; the window is wide again.
    s.inject(". 1:1(0) ack 1501").inject(". 1:1(0) ack 1701");
    s.sent.clear();
    for ack in [2501, 3501, 4501] {
        s.inject(&format!(". 1:1(0) ack {ack}"));
    }
    let all: Vec<(u64, u64)> = s.ranges();
    assert!(all.iter().all(|r| r.0 >= 1500 && r.1 <= 10_000), "{all:?}");
    assert!(all.iter().any(|r| r.0 < 5000 && r.1 > 5000), "bursts are merged: {all:?}");
}

#[test]
fn rfc3042_two_duplicates_let_out_a_new_segment_each() {
    let mut s = ten_out();
    s.write(5000).nothing();
    s.inject(". 1:1(0) ack 1").expect(". 10001:11001(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 1").expect(". 11001:12001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().limited_transmits, s.conn.in_flight()), (2, 12_000));
    // RFC 5681 §3.2 step 2: they do not count in FlightSize.
    s.inject(". 1:1(0) ack 1").expect(". 1:1001(1000) ack 1").nothing();
    assert_eq!(s.conn.stats().ssthresh, 5000);
}

#[test]
fn rfc5681_what_is_no_duplicate_ack() {
    let mut s = ten_out();
    for text in [
        // Another window, text, a FIN; an ACK of less.
        ". 1:1(0) ack 1 win 60000",
        ". 1:1(0) ack 1 win 65535",
        "P. 1:11(10) ack 1 win 65535",
        ". 11:11(0) ack 0 win 65535",
    ] {
        s.inject(text).inject(text);
    }
    // Each window appeared twice in a row: the repetition of the first is one.
    assert_eq!(s.conn.stats().dup_acks, 2);
    let mut s = Script::established(&plain(), 65535);
    s.inject(". 1:1(0) ack 1").inject(". 1:1(0) ack 1").inject(". 1:1(0) ack 1");
    assert_eq!(s.conn.stats().dup_acks, 0);
}

#[test]
fn rfc6582_fast_retransmit_partial_acks_and_the_way_out() {
    let mut s = ten_out();
    s.write(20_000);
    // Segments 1, 4 and 7 are lost. The others cause a duplicate each: two new ones, the first repair, then
    // silence until half the flight has left.
    let dup = ". 1:1(0) ack 1";
    s.inject(dup).expect(". 10001:11001(1000) ack 1");
    s.inject(dup).expect(". 11001:12001(1000) ack 1");
    s.inject(dup).expect(". 1:1001(1000) ack 1").nothing();
    assert_eq!((s.cwnd(), s.conn.stats().recovery_exceptions), (5, 1));
    // 12 are out, less the three counted: the pipe is 9 and the window 5, until the duplicates 4 to 7. The next
    // two come from the segments of limited transmit: each lets out another.
    for _ in 0..4 {
        s.inject(dup).nothing();
    }
    s.inject(dup).expect(". 12001:13001(1000) ack 1").nothing();
    s.inject(dup).expect(". 13001:14001(1000) ack 1").nothing();
    // Partial: the fourth is missing. It leaves at once, and a new one as one segment left the pipe.
    s.at(200).inject(". 1:1(0) ack 3001");
    s.expect(". 3001:4001(1000) ack 1").expect(". 14001:15001(1000) ack 1").nothing();
    // The first partial ACK restarted the timer (RFC 6582 §4): it was to expire at 400.
    s.at(300).inject(". 1:1(0) ack 6001");
    s.expect(". 6001:7001(1000) ack 1").expect(". 15001:16001(1000) ack 1").nothing();
    // Everything that was out when it began: back to avoidance with ssthresh, without a burst.
    s.inject(". 1:1(0) ack 12001");
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh, s.conn.stats().fast_recoveries), (5, 5000, 1));
    assert_eq!(s.ranges(), [(16_000, 17_000)]);
    assert_eq!((s.conn.stats().bytes_retransmitted, s.conn.stats().timeouts), (3000, 0));
}

#[test]
fn rfc6582_a_partial_ack_repeats_nothing_that_this_recovery_sent_again() {
    let mut s = Script::established(&ConnConfig { initial_window: 150, ..plain() }, 65535);
    // Each write is a segment of its own: a burst takes one slice.
    s.limits = TxLimits { max_slices: 1, ..PLAIN };
    for _ in 0..150 {
        s.write(10);
    }
    assert_eq!(s.ranges().len(), 150);
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 1");
    }
    // A full segment's worth, in short ones.
    assert_eq!(s.ranges().len(), 100);
    for at in [11, 21, 501, 991] {
        s.inject(&format!(". 1:1(0) ack {at}")).nothing();
    }
    s.inject(". 1:1(0) ack 1001");
    assert_eq!(s.ranges().len(), 50, "the next that is missing was not sent again yet");
}

#[test]
fn rfc6582_only_the_first_partial_ack_restarts_the_timer() {
    let mut s = ten_out();
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 1");
    }
    s.expect(". 1:1001(1000) ack 1").nothing();
    s.at(200).inject(". 1:1(0) ack 2001").expect(". 2001:3001(1000) ack 1");
    s.at(300).inject(". 1:1(0) ack 4001").expect(". 4001:5001(1000) ack 1");
    // 300 ms after the first partial ACK; no sample came from what was sent twice.
    s.expect_at(500, ". 4001:5001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().timeouts, s.cwnd()), (1, 1));
}

#[test]
fn must_18_karn_no_sample_from_what_was_sent_twice() {
    let mut s = Script::established(&plain(), 65535);
    s.write(1000).expect("P. 1:1001(1000) ack 1").expect_at(400, "P. 1:1001(1000) ack 1");
    s.at(410).inject(". 1:1(0) ack 1001");
    // RFC 6298 §5: the backoff stays until something is measured.
    assert_eq!((s.conn.stats().srtt, s.conn.stats().rto), (Some(ms(100)), ms(600)));
    s.write(1000).expect("P. 1001:2001(1000) ack 1").at(510).inject(". 1:1(0) ack 2001");
    // RTTVAR 37.5 ms: the backoff is over.
    assert_eq!(s.conn.stats().rto, ms(250));
}

#[test]
fn rfc7323_timestamps_measure_what_was_sent_twice() {
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..plain() });
    s.expect("S 0:0(0)").at(100).inject("S. 0:0(0) ack 1 <mss 1000,TS val 1 ecr 0>").expect(". 1:1(0) ack 1");
    s.write(988).expect("P. 1:989(988) ack 1").expect_at(400, "P. 1:989(988) ack 1 <TS val 400 ecr 1>");
    s.at(480).inject(". 1:1(0) ack 989 <TS val 9 ecr 400>");
    assert_eq!(s.conn.take_rtt_sample(), Some(ms(80)));
    assert_eq!(s.conn.take_rtt_sample(), None);
    // An echo from the future measures nothing.
    s.write(988).at(800).inject(". 1:1(0) ack 1977 <TS val 9 ecr 5000>");
    assert_eq!(s.conn.take_rtt_sample(), None);
}

#[test]
fn rtt_samples_are_exact_to_the_nanosecond() {
    let mut s = Script::established(&plain(), 65535);
    s.conn.take_rtt_sample();
    let later = s.now + Nanos::from_nanos(12_345);
    s.write(1000).until(later).inject(". 1:1(0) ack 1001");
    assert_eq!(s.conn.take_rtt_sample(), Some(Nanos::from_nanos(12_345)));
}

#[test]
fn s39_what_never_left_is_neither_lost_nor_backed_off() {
    let mut s = ten_out();
    // The timer expires and the device takes nothing for a long time.
    s.limits = TxLimits { max_slices: 16, ..PLAIN };
    let mut now = s.now;
    for t in [400, 1000, 1600, 2200] {
        now = crate::Time::from_nanos(t * 1_000_000);
        s.conn.on_timer(now);
        let burst = s.conn.poll_transmit(now, &PLAIN).expect("the retransmission");
        assert_eq!((burst.offset, burst.kind), (Offset(0), BurstKind::Retransmit));
        s.conn.on_refused(&burst);
    }
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().rto), (1, ms(600)));
    s.now = now;
    s.flush().expect(". 1:1001(1000) ack 1").nothing();
    s.expect_at(2800, ". 1:1001(1000) ack 1");
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().rto), (2, ms(1200)));
}

#[test]
fn what_is_lost_leaves_before_anything_new() {
    let mut s = Script::established(&plain(), 65535);
    s.write(3000).ranges();
    s.expect_at(400, ". 1:1001(1000) ack 1").nothing();
    // Part of it arrived: cwnd is 1300, 700 are out, and the next lost segment does not fit.
    s.at(450).inject(". 1:1(0) ack 301").nothing();
    // Small new segments would fit, again and again, and the lost one never would.
    for _ in 0..5 {
        s.write(100).nothing();
    }
    s.at(500).inject(". 1:1(0) ack 1001");
    assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
}

#[test]
fn a_lost_fin_is_sent_again() {
    let mut s = Script::established(&plain(), 65535);
    s.write(500).shutdown().expect("P. 1:501(500) ack 1").expect("F. 501:501(0) ack 1");
    s.at(200).inject(". 1:1(0) ack 501");
    s.expect_at(450, "F. 501:501(0) ack 1").expect_at(950, "F. 501:501(0) ack 1");
    s.inject(". 1:1(0) ack 502").silence_until(100_000);
}

#[test]
fn a_lost_fin_is_sent_again_with_its_data() {
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(500, SendFlags::default()).shutdown().expect("FP. 1:501(500) ack 1");
    s.expect_at(400, "FP. 1:501(500) ack 1");
    s.inject(". 1:1(0) ack 301").expect_at(1000, "FP. 301:501(200) ack 1");
    s.inject(". 1:1(0) ack 502").silence_until(100_000);
}

#[test]
fn lab_a_fin_does_not_ride_on_a_burst_that_the_device_segments() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write_quietly(3500, SendFlags::default()).shutdown();
    s.expect("P. 1:3501(3500) ack 1").expect("F. 3501:3501(0) ack 1").nothing();
    s.expect_at(400, ". 1:1001(1000) ack 1");
    s.inject(". 1:1(0) ack 1001")
        .inject(". 1:1(0) ack 2001")
        .inject(". 1:1(0) ack 3001")
        .nothing_but_the_tail();
}

impl Script {
    /// Whatever was sent again, the FIN came after its data and in a segment of its own or with the last.
    fn nothing_but_the_tail(&mut self) {
        use crate::wire::TcpFlags;
        for (_, burst) in self.sent.drain(..) {
            let fin = burst.flags.has(TcpFlags::FIN);
            assert!(!fin || burst.segments() == 1, "{burst:?}");
            assert!(!fin || burst.offset.0 + u64::from(burst.len) == 3500, "{burst:?}");
        }
    }
}

#[test]
fn s42_a_smaller_path_mtu_recuts_what_is_out() {
    let cfg = ConnConfig { no_delay: true, timestamps: false, sack: false, ..ConnConfig::default() };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1460>").expect(". 1:1(0) ack 1");
    s.write(2920);
    assert_eq!(s.ranges(), [(0, 1460), (1460, 2920)]);
    let too_big = |mtu, seq| IcmpError { kind: IcmpErrorKind::PacketTooBig { mtu: Some(mtu) }, seq };
    // Not about anything in flight; not smaller.
    s.conn.on_icmp(s.now, too_big(1000, ISS + 2921));
    s.conn.on_icmp(s.now, too_big(1500, ISS + 1));
    s.flush().nothing();
    s.conn.on_icmp(s.now, too_big(1000, ISS + 1461));
    s.flush();
    assert_eq!(s.ranges(), [(0, 960), (960, 1920), (1920, 2880), (2880, 2920)]);
    // Never below 576.
    s.conn.on_icmp(s.now, too_big(68, ISS + 1));
    assert_eq!(s.conn.stats().mss, 536);
    s.flush();
    assert_eq!(s.ranges().len(), 6);
}

#[test]
fn nothing_waits_for_ever_behind_a_full_pipe() {
    let mut s = ten_out();
    s.conn.flight.mark_first_lost(1000);
    s.conn.cc.on_loss(s.now, 10_000);
    s.flush().nothing();
    s.expect_at(400, ". 1:1001(1000) ack 1").nothing();
}

#[test]
fn rfc3042_what_duplicates_let_out_opens_no_window() {
    let mut s = Script::established(&plain(), 65535);
    s.write(15_000);
    assert_eq!(s.ranges().len(), 10);
    s.inject(". 1:1(0) ack 1").expect(". 10001:11001(1000) ack 1");
    s.inject(". 1:1(0) ack 1").expect(". 11001:12001(1000) ack 1");
    // It was reordering. Two of the three segments were counted when they left the network.
    s.inject(". 1:1(0) ack 3001");
    assert_eq!(s.cwnd(), 11);
    s.expect(". 12001:13001(1000) ack 1").expect(". 13001:14001(1000) ack 1").nothing();
}
