//! What a silence does to the window, and what a slow application does to rate samples: `S26`, `S27`.

use super::script::*;
use crate::conn::ConnConfig;
use crate::{Nanos, Rate, Time};

/// Three round trips of 100 ms in slow start, everything acknowledged at 400 ms: a window of 80 segments, a
/// retransmission timeout of 200 ms, and data that left last at 300 ms.
fn warm(cfg: &ConnConfig) -> Script {
    let mut s = Script::established(cfg, 65535);
    let mut acked = 1;
    for (ms, segments) in [(200, 10), (300, 20), (400, 40)] {
        s.write(segments * 1000);
        assert_eq!(s.ranges().len(), segments);
        acked += segments * 1000;
        s.at(ms).inject(&format!(". 1:1(0) ack {acked}"));
    }
    assert_eq!((s.cwnd(), s.conn.stats().rto), (80, ms(200)));
    s
}

#[test]
fn s26_the_window_halves_for_each_timeout_of_silence() {
    let after = |nanos: u64| {
        let mut s = warm(&plain());
        s.until(Time::from_nanos(300_000_000 + nanos)).write(60_000);
        (s.cwnd(), s.ranges().len(), s.conn.stats().idle_restarts)
    };
    // Up to a timeout is no silence: the whole window leaves at once.
    assert_eq!(after(200_000_000), (80, 60, 0));
    assert_eq!(after(200_000_001), (40, 40, 1));
    assert_eq!(after(400_000_000), (40, 40, 1));
    assert_eq!(after(400_000_001), (20, 20, 1));
    // Down to the initial window, and no further.
    assert_eq!(after(600_000_001), (10, 10, 1));
    assert_eq!(after(3_600_000_000_000), (10, 10, 1));
}

#[test]
fn s26_the_old_window_is_reached_again_by_slow_start() {
    let mut s = warm(&plain());
    s.at(2_000).write(100_000);
    assert_eq!((s.ranges().len(), s.conn.stats().ssthresh), (10, u64::MAX));
    s.at(2_100).inject(". 1:1(0) ack 80001");
    assert_eq!((s.ranges().len(), s.cwnd()), (20, 20));
}

#[test]
fn s26_a_restart_happens_once_for_a_silence() {
    let mut s = warm(&plain());
    // What is refused was not sent; asking again a moment later does not halve again.
    s.at(501).write_quietly(60_000, Default::default());
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a burst");
    s.conn.on_refused(&burst);
    assert_eq!((s.cwnd(), s.conn.stats().idle_restarts), (40, 1));
    s.at(502).flush();
    assert_eq!((s.ranges().len(), s.cwnd(), s.conn.stats().idle_restarts), (40, 40, 1));
}

#[test]
fn s26_where_it_is_off_the_window_stays() {
    let mut s = warm(&ConnConfig { idle_restart: false, ..plain() });
    s.at(60_000).write(60_000);
    assert_eq!((s.ranges().len(), s.cwnd(), s.conn.stats().idle_restarts), (60, 80, 0));
}

#[test]
fn s26_waiting_for_acks_is_no_silence() {
    let mut s = warm(&plain());
    s.write(2000).at(590).inject(". 1:1(0) ack 71001");
    // Nothing left for longer than a timeout, but something is in flight, and its timer began anew with the ACK.
    s.at(700).write(60_000);
    assert!(s.conn.stats().rto < ms(300) && s.conn.stats().timeouts == 0);
    assert_eq!((s.ranges().len(), s.conn.stats().idle_restarts), (62, 0));
}

#[test]
fn s27_samples_tell_the_path_from_the_application() {
    let rate = |s: &Script| {
        let stats = s.conn.stats();
        (stats.delivery_rate.map(Rate::as_bps), stats.delivery_rate_app_limited)
    };
    let mut s = Script::established(&plain(), 65535);
    assert_eq!(rate(&s), (None, false));
    s.write(100_000).at(200).inject(". 1:1(0) ack 10001");
    // Ten segments in a round trip of 100 ms. They left after the application had sent nothing at all.
    assert_eq!(rate(&s), (Some(800_000), true));
    s.at(300).inject(". 1:1(0) ack 30001");
    assert_eq!(rate(&s), (Some(1_600_000), false));
    s.at(400).inject(". 1:1(0) ack 70001");
    assert_eq!(rate(&s), (Some(3_200_000), false));
    // The rest, before the application ran dry.
    s.at(500).inject(". 1:1(0) ack 100001");
    assert_eq!(rate(&s), (Some(2_400_000), false));
    // A segment now and then says nothing of the path.
    for i in 0..5 {
        s.at(600 + 100 * i).write(1000);
        s.at(700 + 100 * i).inject(&format!(". 1:1(0) ack {}", 101_001 + 1000 * i));
    }
    assert_eq!(rate(&s), (Some(2_400_000), false));
}

#[test]
fn s27_a_retransmission_is_stamped_anew() {
    let mut s = Script::established(&plain(), 65535);
    s.write(100_000).at(200).inject(". 1:1(0) ack 10001");
    assert_eq!(s.cwnd(), 20);
    s.ranges();
    // The first of twenty is lost; it leaves again at 300 ms, when nothing more had been delivered than at 200 ms.
    s.at(300);
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 10001");
    }
    // Two by limited transmit, then the lost one.
    assert_eq!(s.ranges(), [(30_000, 31_000), (31_000, 32_000), (10_000, 11_000)]);
    s.at(400).inject(". 1:1(0) ack 30001");
    // The newest of what is acknowledged is the retransmission: 20 000 bytes in the 200 ms since 200 ms, not in the
    // 100 ms since it left.
    let stats = s.conn.stats();
    assert_eq!(
        (stats.delivery_rate, stats.min_rtt),
        (Some(Rate::from_bps(800_000)), Some(Nanos::from_millis(100)))
    );
    // Neither since its original left: 6000 bytes in the 110 ms since 4000 were delivered, not 10 000 in 210.
    let mut s = Script::established(&plain(), 65535);
    s.write(100_000).at(200).inject(". 1:1(0) ack 4001").at(210);
    s.ranges();
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 4001");
    }
    assert_eq!(s.ranges().last(), Some(&(4000, 5000)));
    s.at(310).inject(". 1:1(0) ack 10001");
    assert_eq!(s.conn.stats().delivery_rate, Some(Rate::from_bps(6000 * 8 * 1000 / 110)));
}

#[test]
fn s27_the_wait_for_a_timeout_is_no_transit_time() {
    for (cfg, options) in [(plain(), "mss 1000"), (ConnConfig { sack: true, ..plain() }, "mss 1000,sackOK")] {
        let mut s = Script::connect(&ConnConfig { tail_loss_probe: false, ..cfg });
        s.expect("S 0:0(0)").at(100);
        s.inject(&format!("S. 0:0(0) ack 1 win 65535 <{options}>")).expect(". 1:1(0) ack 1");
        s.write(10_000);
        assert_eq!(s.ranges().len(), 10);
        // All ten are lost. Two timeouts later the first arrives, within a round trip of 100 ms.
        s.expect_at(400, ". 1:1001(1000) ack 1").expect_at(1000, ". 1:1001(1000) ack 1");
        s.at(1100).inject(". 1:1(0) ack 1001");
        // 1000 bytes in that, not in the 1000 ms since the window left.
        assert_eq!(s.conn.stats().delivery_rate, Some(Rate::from_bps(80_000)));
        // The next two leave when it has arrived, and do not wait for each other.
        assert_eq!(s.ranges(), [(1000, 2000), (2000, 3000)]);
        s.at(1200).inject(". 1:1(0) ack 3001");
        assert_eq!(s.conn.stats().delivery_rate, Some(Rate::from_bps(160_000)));
    }
}
