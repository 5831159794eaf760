//! The User Timeout option (RFC 5482, `S36`): what is announced when, who is followed how far, and what comes of it.

use super::script::*;
use crate::conn::{ConnConfig, Keepalive, State, UserTimeoutOption};
use crate::{Event, Nanos};

const OPTION: UserTimeoutOption =
    UserTimeoutOption { adapt: true, shortest: Nanos::from_secs(10), longest: Nanos::from_secs(40) };

fn announcing(seconds: u64) -> ConnConfig {
    let (user_timeout, user_timeout_option) = (Nanos::from_secs(seconds), Some(OPTION));
    ConnConfig { user_timeout, user_timeout_option, ..plain() }
}

/// An established connection, 100 ms old, that announces 20 s; the peer's SYN,ACK has `option`.
fn opened(cfg: &ConnConfig, option: &str) -> Script {
    let mut s = Script::connect(cfg);
    s.expect("S 0:0(0) <mss 1000,uto 20>");
    s.at(100).inject(&format!("S. 0:0(0) ack 1 win 65535 <mss 1000{option}>"));
    s.expect(". 1:1(0) ack 1 <uto 20>");
    assert_eq!(s.events(), [Event::Connected]);
    s
}

/// Sends once, and says after how many milliseconds without an answer the connection is given up.
fn patience(s: &mut Script) -> u64 {
    s.write(1_000);
    s.sent.clear();
    let from = s.now;
    while s.state() == State::Established {
        let next = s.conn.next_timeout().expect("something is waited for");
        s.until(next);
    }
    s.now.since(from).as_millis()
}

#[test]
fn rfc5482_it_is_in_the_syn_in_the_first_segment_after_it_and_in_no_other() {
    let mut s = opened(&announcing(20), "");
    s.write(1_000).expect("P. 1:1001(1000) ack 1 <>").inject(". 1:1001(1000) ack 1001");
    s.expect_at(140, ". 1001:1001(0) ack 1001 <>");
    assert_eq!(s.conn.stats().peer_user_timeout, None);
    assert_eq!(patience(&mut s), 20_000);
}

#[test]
fn rfc5482_a_passive_open_answers_with_its_own_and_repeats_it_with_the_first_data() {
    let cfg = announcing(20);
    let mut s = Script::accept(&cfg, "S 0:0(0) win 65535 <mss 1000,uto 15>");
    s.expect("S. 0:0(0) ack 1 <mss 1000,uto 20>").inject(". 1:1(0) ack 1");
    // As much less payload as the option is long.
    s.write(2_000).expect(". 1:997(996) ack 1 <uto 20>").expect(". 997:1997(1000) ack 1 <>");
    s.expect("P. 1997:2001(4) ack 1 <>");
    // A peer without the option is told too: it ignores what it does not know.
    Script::accept(&cfg, "S 0:0(0) win 65535 <mss 1000>").expect("S. 0:0(0) ack 1 <mss 1000,uto 20>");
}

#[test]
fn rfc5482_off_unless_asked_for_and_then_what_a_peer_says_changes_nothing() {
    let cfg = ConnConfig { user_timeout: Nanos::from_secs(20), ..plain() };
    assert_eq!(ConnConfig::default().user_timeout_option, None);
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0) <mss 1000>");
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000,uto 30>").expect(". 1:1(0) ack 1 <>");
    s.inject(". 1:1(0) ack 1 <uto 35>").nothing();
    assert_eq!(s.conn.stats().peer_user_timeout, None);
    assert_eq!(patience(&mut s), 20_000);
}

#[test]
fn rfc5482_whoever_waits_longer_is_followed_between_the_limits() {
    for (peers, adopted) in [(5, 20), (25, 25), (40, 40), (41, 40), (30_000, 40)] {
        let mut s = opened(&announcing(20), &format!(",uto {peers}"));
        let stats = s.conn.stats();
        assert_eq!(stats.peer_user_timeout, Some(Nanos::from_secs(peers)));
        assert_eq!(stats.user_timeout, Nanos::from_secs(adopted));
        assert_eq!(patience(&mut s), adopted * 1_000, "{peers}");
    }
    // Both ends want less than the lower limit.
    let mut s = Script::connect(&announcing(2));
    s.expect("S 0:0(0) <mss 1000,uto 2>");
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000,uto 3>").expect(". 1:1(0) ack 1 <uto 2>");
    assert_eq!(patience(&mut s), 10_000);
}

#[test]
fn rfc5482_no_timeout_is_shorter_than_the_retransmission_timeout() {
    let option = UserTimeoutOption { shortest: Nanos::ZERO, longest: Nanos::ZERO, ..OPTION };
    let cfg = ConnConfig { user_timeout_option: Some(option), ..announcing(20) };
    let s = opened(&cfg, ",uto 30");
    // One second, before there is a sample.
    assert_eq!(s.conn.stats().user_timeout, ms(1_000));
}

#[test]
fn rfc5482_a_timeout_that_grows_counts_for_what_is_in_flight() {
    let mut s = opened(&announcing(20), "");
    s.write(1_000);
    s.at(15_000).inject(". 1:1(0) ack 1 <uto 30>");
    s.sent.clear();
    s.at(44_999);
    assert_eq!(s.state(), State::Established);
    s.at(45_000);
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn rfc5482_the_applications_word_is_announced_again_and_is_not_overruled() {
    let mut s = opened(&announcing(20), ",uto 30");
    s.conn.set_user_timeout(Nanos::from_secs(12));
    s.flush().nothing();
    s.write(500).expect("P. 1:501(500) ack 1 <uto 12>").inject(". 1:1(0) ack 501 <uto 35>");
    s.write(500).expect("P. 501:1001(500) ack 1 <>").inject(". 1:1(0) ack 1001");
    let stats = s.conn.stats();
    assert_eq!(stats.peer_user_timeout, Some(Nanos::from_secs(35)));
    assert_eq!(patience(&mut s), 12_000);
}

#[test]
fn rfc5482_who_only_announces_does_not_follow() {
    let option = UserTimeoutOption { adapt: false, ..OPTION };
    let mut s = opened(&ConnConfig { user_timeout_option: Some(option), ..announcing(20) }, ",uto 30");
    assert_eq!(s.conn.stats().peer_user_timeout, Some(Nanos::from_secs(30)));
    assert_eq!(patience(&mut s), 20_000);
}

#[test]
fn rfc5482_what_is_refused_or_has_no_room_is_said_later() {
    let cfg = ConnConfig { sack: true, timestamps: true, ..announcing(20) };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0) <mss 1000,sackOK,TS val 0 ecr 0,uto 20>");
    s.at(100).inject_quietly("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 7 ecr 0>");
    let (now, limits) = (s.now, s.limits);
    let refused = s.conn.poll_transmit(now, &limits).expect("an ACK");
    s.conn.on_refused(&refused);
    // Three gaps: the blocks and the timestamps take all forty bytes.
    for from in [2001, 4001, 6001] {
        s.inject_quietly(&format!(". {from}:{}(1000) ack 1 <TS val 7 ecr 0>", from + 1000));
    }
    s.flush().expect(". 1:1(0) ack 1 <TS val 100 ecr 7,sack 6001:7001 4001:5001 2001:3001>");
    s.inject(". 1:2001(2000) ack 1 <TS val 7 ecr 0>");
    s.expect(". 1:1(0) ack 3001 <TS val 100 ecr 7,sack 6001:7001 4001:5001,uto 20>");
}

#[test]
fn rfc5482_keepalive_asks_no_sooner_than_the_timeout_is_over() {
    let keepalive = Keepalive { idle: Nanos::from_secs(1), interval: Nanos::from_secs(1), probes: 3 };
    let watched = ConnConfig { keepalive: Some(keepalive), ..announcing(20) };
    let mut s = opened(&watched, "");
    s.silence_until(20_100).expect_at(20_101, ". 0:0(0) ack 1");
    // Adopted, it is longer still.
    let mut s = opened(&watched, ",uto 30");
    s.silence_until(30_100).expect_at(30_101, ". 0:0(0) ack 1");
    // Without the option keepalive is as it was asked for.
    let mut s = Script::established(&ConnConfig { user_timeout_option: None, ..watched }, 8_000);
    s.expect_at(1_100, ". 0:0(0) ack 1");
}
