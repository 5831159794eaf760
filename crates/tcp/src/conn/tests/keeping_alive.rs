//! Keepalive (RFC 9293 §3.8.4, `S47`).

use super::script::*;
use crate::conn::{ConnConfig, Keepalive, State};
use crate::{ConnError, ConnErrorKind, Event, Nanos, Offset, Payload};

/// 10 s of silence, then up to three probes 2 s apart.
const KEEPALIVE: Keepalive =
    Keepalive { idle: Nanos::from_secs(10), interval: Nanos::from_secs(2), probes: 3 };

fn watched() -> ConnConfig {
    ConnConfig { keepalive: Some(KEEPALIVE), ..plain() }
}

fn silent(acked: u64) -> Event {
    Event::Closed(Err(ConnError { kind: ConnErrorKind::Silent, acked: Offset(acked) }))
}

#[test]
fn s47_must_25_silence_is_allowed_for_ever_unless_asked() {
    let mut s = Script::established(&plain(), 8000);
    assert_eq!(s.conn.next_timeout(), None);
    s.write(1000).expect("P. 1:1001(1000) ack 1").at(200).inject(". 1:1(0) ack 1001");
    s.silence_until(30 * 24 * 3_600_000);
    assert_eq!(s.state(), State::Established);
}

#[test]
fn s47_must_28_the_default_is_two_hours() {
    let cfg = ConnConfig { keepalive: Some(Keepalive::default()), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    // It was established at 100 ms.
    s.silence_until(7_200_099);
    s.expect_at(7_200_100, ". 0:0(0) ack 1");
    for n in 1..9 {
        s.silence_until(7_200_099 + n * 75_000).expect_at(7_200_100 + n * 75_000, ". 0:0(0) ack 1");
    }
    assert_eq!(s.state(), State::Established);
    s.expect_at(7_200_100 + 9 * 75_000, "R. 1:1(0) ack 1");
}

#[test]
fn s47_must_29_a_whole_row_of_probes_must_fail() {
    let mut s = Script::established(&watched(), 8000);
    s.at(900).write(500).expect("P. 1:501(500) ack 1").at(1000).inject("P. 1:11(10) ack 501");
    s.expect_at(1040, ". 501:501(0) ack 11");
    assert_eq!(s.events(), [Event::Readable, Event::Acked]);
    for t in [11_000, 13_000, 15_000] {
        s.silence_until(t - 1).expect_at(t, ". 500:500(0) ack 11");
    }
    s.silence_until(16_999).expect_at(17_000, "R. 501:501(0) ack 11");
    assert_eq!(s.events(), [silent(500)]);
    assert_eq!((s.conn.stats().keepalive_probes, s.conn.stats().timeouts), (3, 0));
    assert!(s.conn.is_closed() && s.conn.next_timeout().is_none());
}

#[test]
fn s47_one_answer_in_time_is_enough() {
    let mut s = Script::established(&watched(), 8000);
    for _ in 0..3 {
        let heard = s.now.as_millis();
        for n in 0..3 {
            s.expect_at(heard + 10_000 + n * 2_000, ". 0:0(0) ack 1");
        }
        // Then 10 s from here, not 2 s from the probe.
        s.at(heard + 15_500).inject(". 1:1(0) ack 1 win 8000").nothing();
    }
    assert_eq!(s.state(), State::Established);
}

#[test]
fn s47_a_probe_that_is_answered_at_once_counts_from_the_answer() {
    let mut s = Script::established(&watched(), 8000);
    for n in 1..20 {
        s.silence_until(100 + n * 10_000 - 1).expect_at(100 + n * 10_000, ". 0:0(0) ack 1");
        s.inject(". 1:1(0) ack 1 win 8000").nothing();
    }
    assert_eq!(s.conn.stats().keepalive_probes, 19);
}

#[test]
fn s47_an_interval_longer_than_the_idle_time_is_kept() {
    let keepalive = Keepalive { idle: ms(1000), interval: ms(5000), probes: 2 };
    let mut s = Script::established(&ConnConfig { keepalive: Some(keepalive), ..plain() }, 8000);
    s.expect_at(1100, ". 0:0(0) ack 1").silence_until(6099);
    s.expect_at(6100, ". 0:0(0) ack 1").silence_until(11_099);
    s.expect_at(11_100, "R. 1:1(0) ack 1");
}

#[test]
fn s47_must_26_what_arrives_puts_it_off() {
    let mut s = Script::established(&watched(), 8000);
    s.at(9_000).inject("P. 1:11(10) ack 1").expect_at(9_040, ". 1:1(0) ack 11");
    s.silence_until(18_999).expect_at(19_000, ". 0:0(0) ack 11");
    // What has no place in the sequence says nothing: it may be anybody's.
    s.at(20_000).inject(". 90000:90000(0) ack 1").expect(". 1:1(0) ack 11");
    s.expect_at(21_000, ". 0:0(0) ack 11");
}

#[test]
fn s47_must_26_never_while_data_is_in_flight() {
    let mut s = Script::established(&watched(), 8000);
    s.at(9_999).write(1000).expect("P. 1:1001(1000) ack 1");
    // Only the retransmission timer speaks.
    s.at(60_000);
    assert!(s.sent.iter().all(|(_, b)| b.seq == ISS + 1 && b.len == 1000), "{:?}", s.sent);
    s.sent.clear();
    s.inject(". 1:1(0) ack 1001 win 8000").silence_until(69_999).expect_at(70_000, ". 1000:1000(0) ack 1");
    assert_eq!(s.conn.stats().keepalive_probes, 1);
}

#[test]
fn s47_a_closed_window_is_probed_for_the_window() {
    let mut s = Script::established(&watched(), 2000);
    s.write(3000).expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1");
    s.at(200).inject(". 1:1(0) ack 2001 win 0");
    s.at(120_000);
    assert!(!s.sent.is_empty() && s.sent.iter().all(|(_, b)| b.len == 1), "{:?}", s.sent);
    assert_eq!(s.conn.stats().keepalive_probes, 0);
}

#[test]
fn s47_goes_on_after_either_side_finished() {
    let mut s = Script::established(&watched(), 8000);
    s.shutdown().expect("F. 1:1(0) ack 1").at(200).inject(". 1:1(0) ack 2");
    assert_eq!(s.state(), State::FinWait2);
    // The FIN's number is one that the peer acknowledged.
    s.expect_at(10_200, ". 1:1(0) ack 1").inject(". 1:1(0) ack 2").expect_at(20_200, ". 1:1(0) ack 1");
    s.at(20_300).inject("F. 1:1(0) ack 2").expect(". 2:2(0) ack 2");
    assert_eq!(s.state(), State::TimeWait);
    s.conn.set_keepalive(s.now, Some(KEEPALIVE));
    s.silence_until(80_299);

    let mut s = Script::established(&watched(), 8000);
    s.at(200).inject("F. 1:1(0) ack 1").expect(". 1:1(0) ack 2");
    s.expect_at(10_200, ". 0:0(0) ack 2")
        .expect_at(12_200, ". 0:0(0) ack 2")
        .expect_at(14_200, ". 0:0(0) ack 2");
    s.expect_at(16_200, "R. 1:1(0) ack 2");
}

#[test]
fn s47_must_24_must_27_it_can_be_changed_while_the_connection_lives() {
    let mut s = Script::established(&plain(), 8000);
    s.at(5_000);
    s.conn.set_keepalive(s.now, Some(KEEPALIVE));
    // The silence before counts.
    s.silence_until(10_099).expect_at(10_100, ". 0:0(0) ack 1");
    s.at(11_000);
    s.conn.set_keepalive(s.now, Some(Keepalive { interval: ms(3000), ..KEEPALIVE }));
    s.silence_until(13_099).expect_at(13_100, ". 0:0(0) ack 1");
    s.at(14_000);
    s.conn.set_keepalive(s.now, None);
    assert_eq!(s.conn.next_timeout(), None);
    s.at(60_000);
    s.conn.set_keepalive(s.now, Some(KEEPALIVE));
    // Nobody was heard for long: at once.
    let now = s.now;
    s.until(now).expect(". 0:0(0) ack 1");
    // Before it is open and after it is over nothing is armed.
    let mut s = Script::connect(&plain());
    let connect = s.conn.next_timeout();
    s.conn.set_keepalive(s.now, Some(KEEPALIVE));
    assert_eq!(s.conn.next_timeout(), connect);
    s.abort();
    s.conn.set_keepalive(s.now, Some(KEEPALIVE));
    assert_eq!(s.conn.next_timeout(), None);
}

#[test]
fn s47_a_probe_the_device_refuses_is_no_failed_probe() {
    let mut s = Script::established(&watched(), 8000);
    s.now += Nanos::from_secs(10);
    s.conn.on_timer(s.now);
    for _ in 0..10 {
        let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a probe");
        assert!(s.conn.poll_transmit(s.now, &PLAIN).is_none());
        s.conn.on_refused(&burst);
    }
    // What comes up meanwhile makes it needless.
    s.inject(". 1:1(0) ack 1 win 8000").nothing();
    assert_eq!(s.conn.stats().keepalive_probes, 0);
    s.expect_at(20_100, ". 0:0(0) ack 1");
    s.now += Nanos::from_secs(2);
    s.conn.on_timer(s.now);
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a probe");
    s.conn.on_refused(&burst);
    s.write(10).expect("P. 1:11(10) ack 1").nothing();
    assert_eq!(s.conn.stats().keepalive_probes, 1);
}

#[test]
fn s47_a_peer_that_was_reported_unreachable_is_named_so() {
    let mut s = Script::established(&watched(), 8000);
    s.at(11_000).expect_sent_at(10_100, ". 0:0(0) ack 1");
    s.conn.on_unreachable(s.now);
    s.at(20_000);
    let end = s.events().pop();
    assert!(matches!(end, Some(Event::Closed(Err(e))) if e.kind == ConnErrorKind::NoNeighbour), "{end:?}");
}

#[test]
fn s47_answers_the_probes_of_a_peer() {
    let mut s = Script::established(&plain(), 8000);
    s.inject("P. 1:11(10) ack 1").at(200).expect_sent_at(140, ". 1:1(0) ack 11");
    for n in 1..50 {
        s.at(n * 75_000).inject(". 10:10(0) ack 1").expect(". 1:1(0) ack 11");
        // With a byte of garbage, as old stacks do (RFC 9293 §3.8.4, MAY-6).
        s.inject(". 10:11(1) ack 1").expect(". 1:1(0) ack 11");
    }
    assert_eq!(s.conn.read().map(|p| p.len()), Some(10));
    assert!(s.conn.read().is_none());
}

#[test]
fn s47_nonsense_is_brought_into_range() {
    let keepalive = Keepalive { idle: Nanos::ZERO, interval: Nanos::ZERO, probes: 0 };
    let mut s = Script::established(&ConnConfig { keepalive: Some(keepalive), ..plain() }, 8000);
    s.expect_at(101, ". 0:0(0) ack 1").expect_at(102, "R. 1:1(0) ack 1");
}

#[test]
fn s47_a_probe_leaves_the_ack_owed_that_it_carries() {
    let keepalive = Keepalive { idle: ms(300), interval: ms(1000), probes: 3 };
    let cfg = ConnConfig { keepalive: Some(keepalive), delayed_ack: ms(400), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.at(200).inject("P. 1:11(10) ack 1");
    // Outside of the peer's window, it is answered and not read any further: the peer still waits for its ACK.
    s.expect_at(500, ". 0:0(0) ack 11").expect_at(600, ". 1:1(0) ack 11").silence_until(1499);
}

#[test]
fn s47_probes_and_the_reset_carry_timestamps_and_the_reset_offers_no_window() {
    let keepalive = Keepalive { idle: ms(1000), interval: ms(1000), probes: 1 };
    let mut s = Script::connect(&ConnConfig { keepalive: Some(keepalive), timestamps: true, ..plain() });
    s.expect("S 0:0(0)").at(50).inject("S. 0:0(0) ack 1 win 29000 <mss 1000,TS val 700 ecr 0>");
    s.expect(". 1:1(0) ack 1 <TS val 50 ecr 700>");
    s.expect_at(1050, ". 0:0(0) ack 1 <TS val 1050 ecr 700>");
    // RFC 7323 §3.2: on a RST too.
    s.expect_at(2050, "R. 1:1(0) ack 1 win 0 <TS val 2050 ecr 700>");
}
