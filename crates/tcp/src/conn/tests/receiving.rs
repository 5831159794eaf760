//! The receive side: ACKs and their timing, windows, order (`S46`).

use super::script::*;
use crate::Event;
use crate::conn::ConnConfig;

#[test]
fn shld_18_a_single_segment_is_acknowledged_after_the_delay() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("P. 1:1001(1000) ack 1").silence_until(139);
    s.expect_at(140, ". 1:1(0) ack 1001").nothing();
    assert_eq!(s.conn.next_timeout(), None);
}

#[test]
fn shld_19_every_second_full_segment_is_acknowledged_at_once() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1:1001(1000) ack 1").nothing();
    s.inject(". 1001:2001(1000) ack 1").expect(". 1:1(0) ack 2001");
    s.inject(". 2001:3001(1000) ack 1").nothing();
    s.expect_at(140, ". 1:1(0) ack 3001");
    // Two MSS in one, as a device coalesces them.
    s.inject(". 3001:5001(2000) ack 1").expect(". 1:1(0) ack 5001");
}

#[test]
fn shld_19_what_closes_a_gap_does_not_make_full_segments_longer() {
    // The MSS is 1000; the peer's segments carry less, as options take their room of it.
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1:989(988) ack 1").nothing();
    s.inject(". 1977:2965(988) ack 1").expect(". 1:1(0) ack 989");
    // Two segments become readable by one.
    s.inject(". 989:1977(988) ack 1").expect(". 1:1(0) ack 2965");
    s.inject(". 2965:3953(988) ack 1").nothing();
    s.inject(". 3953:4941(988) ack 1").expect(". 1:1(0) ack 4941");
    // Nor does what a device coalesced.
    s.inject(". 4941:6917(1976) ack 1").expect(". 1:1(0) ack 6917");
    s.inject(". 6917:7905(988) ack 1").nothing();
    s.inject(". 7905:8893(988) ack 1").expect(". 1:1(0) ack 8893");
}

#[test]
fn must_40_the_delay_is_below_half_a_second_whatever_is_asked_for() {
    let mut s = Script::established(&ConnConfig { delayed_ack: ms(5000), ..plain() }, 9000);
    s.inject("P. 1:11(10) ack 1").expect_at(599, ". 1:1(0) ack 11");
}

#[test]
fn must_58_59_acks_of_one_receive_burst_are_one() {
    let mut s = Script::established(&plain(), 9000);
    for i in 0..6 {
        s.inject_quietly(&format!(". {}:{}(1000) ack 1", i * 1000 + 1, i * 1000 + 1001));
    }
    s.flush().expect(". 1:1(0) ack 6001").nothing();
}

#[test]
fn s46_data_going_out_carries_the_ack() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("P. 1:11(10) ack 1").nothing();
    s.write(10).expect("P. 1:11(10) ack 11").inject(". 11:11(0) ack 11");
    s.silence_until(10_000);
}

#[test]
fn rfc5681_a_gap_and_its_filling_are_acknowledged_at_once() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1001:1101(100) ack 1").expect(". 1:1(0) ack 1");
    s.inject(". 2001:2101(100) ack 1").expect(". 1:1(0) ack 1");
    s.inject(". 1:501(500) ack 1").expect(". 1:1(0) ack 501");
    s.inject(". 501:1001(500) ack 1").expect(". 1:1(0) ack 1101");
    assert_eq!(s.read(), 1100);
    s.inject(". 1101:2001(900) ack 1").expect(". 1:1(0) ack 2101");
    // What came before is answered at once, too: the peer did not see our ACK.
    s.inject(". 1:501(500) ack 1").expect(". 1:1(0) ack 2101");
    s.inject(". 1901:2201(300) ack 1").expect(". 1:1(0) ack 2201").nothing();
    assert_eq!(s.read(), 1100);
    assert_eq!((s.conn.stats().bytes_received, s.conn.stats().segments_out_of_order), (2200, 2));
}

#[test]
fn rfc2018_the_newest_block_comes_first() {
    let mut s = Script::connect(&ConnConfig { sack: true, ..plain() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 <mss 1000,sackOK>").expect(". 1:1(0) ack 1 <>");
    s.inject(". 101:201(100) ack 1").expect(". 1:1(0) ack 1 <sack 101:201>");
    s.inject(". 301:401(100) ack 1").expect(". 1:1(0) ack 1 <sack 301:401 101:201>");
    s.inject(". 201:251(50) ack 1").expect(". 1:1(0) ack 1 <sack 101:251 301:401>");
    s.inject(". 1:101(100) ack 1").expect(". 1:1(0) ack 251 <sack 301:401>");
    s.inject(". 251:301(50) ack 1").expect(". 1:1(0) ack 401 <>");
}

#[test]
fn must_39_the_window_closes_and_opens_by_more_than_a_trifle() {
    let cfg = ConnConfig { receive_buffer: 4000, ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.inject(". 1:1001(1000) ack 1").inject(". 1001:2001(1000) ack 1").expect(". 1:1(0) ack 2001 win 2000");
    s.inject(". 2001:4001(2000) ack 1").expect(". 1:1(0) ack 4001 win 0");
    // The peer probes: refused, answered, and nothing changes.
    s.inject(". 4001:4002(1) ack 1").expect(". 1:1(0) ack 4001 win 0");
    // 1000 bytes read are not worth a window update; 2000 are.
    assert!(s.conn.read().is_some());
    s.flush().nothing();
    assert!(s.conn.read().is_some());
    s.flush().expect(". 1:1(0) ack 4001 win 2000").nothing();
    s.inject(". 4001:4101(100) ack 1").expect_at(140, ". 1:1(0) ack 4101 win 1900");
}

#[test]
fn must_66_a_closed_window_still_takes_acks_and_resets() {
    let cfg = ConnConfig { receive_buffer: 2000, ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.inject(". 1:2001(2000) ack 1").expect(". 1:1(0) ack 2001 win 0");
    s.write(1000).expect("P. 1:1001(1000) ack 2001 win 0");
    s.inject("P. 2001:2011(10) ack 1001").expect(". 1001:1001(0) ack 2001 win 0");
    assert_eq!(s.conn.in_flight(), 0);
    assert_eq!(s.events(), [Event::Readable, Event::Acked]);
    s.inject("R 2001:2001(0)");
    assert!(s.conn.is_closed());
    // What was received can still be read.
    assert_eq!(s.conn.read().map(|p| crate::Payload::len(&p)), Some(2000));
}

#[test]
fn rfc9293_text_beyond_the_window_is_cut_off() {
    let cfg = ConnConfig { receive_buffer: 1500, ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.inject(". 1:2001(2000) ack 1").expect(". 1:1(0) ack 1501 win 0");
    assert_eq!(s.read(), 1500);
    s.expect(". 1:1(0) ack 1501 win 1500");
    s.inject("F. 1501:2001(500) ack 1").expect(". 1:1(0) ack 2002");
    assert_eq!((s.read(), s.events().last().copied()), (500, Some(Event::PeerFinished)));
}

#[test]
fn bytes_before_the_first_are_cut_off() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". -4:11(15) ack 1").expect_at(140, ". 1:1(0) ack 11");
    assert_eq!(s.read(), 10);
}

#[test]
fn a_fin_that_overtakes_its_data_counts_when_the_data_is_there() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("F. 1001:1501(500) ack 1").expect(". 1:1(0) ack 1");
    assert_eq!(s.events(), []);
    s.inject(". 1:1001(1000) ack 1").expect(". 1:1(0) ack 1502");
    assert_eq!(s.events(), [Event::Readable, Event::PeerFinished]);
    assert_eq!(s.read(), 1500);
}

#[test]
fn rfc7323_the_timestamp_echoed_is_that_of_the_oldest_unacknowledged_segment() {
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..plain() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 <mss 1000,TS val 100 ecr 0>").expect(". 1:1(0) ack 1");
    s.inject(". 1:501(500) ack 1 <TS val 110 ecr 0>").inject(". 501:601(100) ack 1 <TS val 115 ecr 0>");
    // The delayed ACK's round trip began with the first of the two.
    s.expect_at(40, ". 1:1(0) ack 601 <TS val 40 ecr 110>");
    // Beyond a gap: not echoed before the gap is filled.
    s.inject(". 701:801(100) ack 1 <TS val 130 ecr 0>").expect(". 1:1(0) ack 601 <TS val 40 ecr 110>");
    s.inject(". 601:701(100) ack 1 <TS val 140 ecr 0>").expect(". 1:1(0) ack 801 <TS val 40 ecr 140>");
}

#[test]
fn s46_the_first_acks_are_at_once_and_delayed_once_we_answer() {
    let cfg = ConnConfig { quick_acks: 16, ..plain() };
    let mut s = Script::established(&cfg, 65535);
    for i in 0..16 {
        s.inject(&format!(". {}:{}(100) ack 1", i * 100 + 1, i * 100 + 101));
        s.expect(&format!(". 1:1(0) ack {}", i * 100 + 101));
    }
    s.inject(". 1601:1701(100) ack 1").silence_until(139).expect_at(140, ". 1:1(0) ack 1701");

    let mut s = Script::established(&cfg, 65535);
    s.inject("P. 1:101(100) ack 1").expect(". 1:1(0) ack 101");
    s.at(110).write(100).expect("P. 1:101(100) ack 101");
    s.inject("P. 101:201(100) ack 101").nothing();
    s.at(120).write(100).expect("P. 101:201(100) ack 201");
}
