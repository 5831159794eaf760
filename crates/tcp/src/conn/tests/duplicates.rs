//! What arrived twice, as a receiver reports it (RFC 2883 §4, `S46`).

use super::script::*;
use crate::conn::ConnConfig;

/// Established with a peer that knows SACK; the first 1000 bytes have arrived.
fn open(cfg: &ConnConfig) -> Script {
    let mut s = Script::connect(&ConnConfig { sack: true, ..cfg.clone() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>").expect(". 1:1(0) ack 1 <>");
    s.inject(". 1:501(500) ack 1").inject(". 501:1001(500) ack 1").expect_at(40, ". 1:1(0) ack 1001 <>");
    s
}

#[test]
fn rfc2883_what_was_acknowledged_before_is_reported_once() {
    let mut s = open(&plain());
    s.inject(". 501:1001(500) ack 1").expect(". 1:1(0) ack 1001 <sack 501:1001>");
    // Neither a gap nor new bytes bring it back.
    s.inject(". 2001:2501(500) ack 1").expect(". 1:1(0) ack 1001 <sack 2001:2501>");
    s.inject(". 1001:2001(1000) ack 1").expect(". 1:1(0) ack 2501 <>").nothing();
}

#[test]
fn rfc2883_of_a_segment_that_is_partly_new_only_the_old_part_is_a_duplicate() {
    let mut s = open(&plain());
    s.inject(". 801:1201(400) ack 1").expect(". 1:1(0) ack 1201 <sack 801:1001>").nothing();
    // A FIN that comes again brings no text.
    s.inject("F. 1201:1201(0) ack 1").expect(". 1:1(0) ack 1202 <>");
    s.inject("F. 1201:1201(0) ack 1").expect(". 1:1(0) ack 1202 <>");
    s.inject("FP. 1101:1201(100) ack 1").expect(". 1:1(0) ack 1202 <sack 1101:1201>").nothing();
}

#[test]
fn rfc2883_behind_a_gap_the_duplicate_comes_first_and_then_what_it_is_a_part_of() {
    let mut s = open(&plain());
    s.inject(". 2001:3001(1000) ack 1").expect(". 1:1(0) ack 1001 <sack 2001:3001>");
    s.inject(". 4001:5001(1000) ack 1").expect(". 1:1(0) ack 1001 <sack 4001:5001 2001:3001>");
    s.inject(". 2001:2501(500) ack 1").expect(". 1:1(0) ack 1001 <sack 2001:2501 2001:3001 4001:5001>");
    s.inject(". 501:1001(500) ack 1").expect(". 1:1(0) ack 1001 <sack 501:1001 2001:3001 4001:5001>");
    // Of several that arrive together: what adjoins is one.
    s.inject_quietly(". 4001:4501(500) ack 1");
    s.inject_quietly(". 4501:5001(500) ack 1");
    s.inject_quietly(". 2001:2101(100) ack 1");
    s.flush().expect(". 1:1(0) ack 1001 <sack 2001:2101 2001:3001 4001:5001>");
    s.inject_quietly(". 4001:4501(500) ack 1");
    s.inject_quietly(". 4501:5001(500) ack 1");
    s.flush().expect(". 1:1(0) ack 1001 <sack 4001:5001 4001:5001 2001:3001>").nothing();
    // Before what arrived since, on either side.
    s.inject_quietly(". 2001:2101(100) ack 1");
    s.inject_quietly(". 5001:5101(100) ack 1");
    s.flush().expect(". 1:1(0) ack 1001 <sack 2001:2101 2001:3001 4001:5101>").nothing();
    s.inject_quietly(". 4001:4101(100) ack 1");
    s.inject_quietly(". 3001:3101(100) ack 1");
    s.flush().expect(". 1:1(0) ack 1001 <sack 4001:4101 4001:5101 2001:3101>").nothing();
}

#[test]
fn rfc2883_text_that_goes_out_meanwhile_does_not_report_it_and_a_bare_ack_does() {
    let mut s = open(&plain());
    s.limits = TSO;
    s.inject_quietly(". 501:1001(500) ack 1");
    s.write(3000).expect("P. 1:3001(3000) ack 1001 <>").expect(". 3001:3001(0) ack 1001 <sack 501:1001>");
    s.nothing();
    // It does not wait until that has left.
    s.inject(". 1001:1001(0) ack 3001").nothing();
    s.inject_quietly(". 501:1001(500) ack 3001");
    s.write_quietly(1000, Default::default());
    let both = [0, 1].map(|_| s.conn.poll_transmit(s.now, &TSO).expect("text, and an ACK"));
    assert_eq!(both.map(|burst| burst.len), [1000, 0]);
    assert!(s.conn.poll_transmit(s.now, &TSO).is_none());
    both.iter().for_each(|burst| s.conn.on_sent(burst, s.now));
    s.flush().nothing();
    // One that the device refuses is made again.
    s.inject_quietly(". 501:1001(500) ack 3001");
    let burst = s.conn.poll_transmit(s.now, &TSO).expect("an ACK");
    assert!(s.conn.poll_transmit(s.now, &TSO).is_none());
    s.conn.on_refused(&burst);
    s.flush().expect(". 4001:4001(0) ack 1001 <sack 501:1001>").nothing();
}

#[test]
fn rfc2883_an_original_that_its_timestamp_makes_late_is_reported() {
    let mut s = Script::connect(&ConnConfig { sack: true, timestamps: true, ..plain() });
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 10 ecr 0>");
    s.inject(". 1:1001(1000) ack 1 <TS val 20 ecr 0>").inject(". 1001:2001(1000) ack 1 <TS val 20 ecr 0>");
    s.at(500).inject(". 2001:3001(1000) ack 1 <TS val 30 ecr 0>").at(1000);
    s.inject(". 3001:4001(1000) ack 1 <TS val 31 ecr 0>").at(2000);
    s.sent.clear();
    s.inject(". 2001:3001(1000) ack 1 <TS val 25 ecr 0>");
    s.expect(". 1:1(0) ack 4001 <TS val 2000 ecr 31,sack 2001:3001>");
    assert_eq!(s.conn.stats().paws_rejected, 1);
    // What is old by its timestamp and was never seen is no duplicate.
    s.inject(". 5001:6001(1000) ack 1 <TS val 25 ecr 0>").expect(". 1:1(0) ack 4001 <TS val 2000 ecr 31>");
}

#[test]
fn rfc2883_nothing_is_said_to_a_peer_without_sack_nor_of_what_is_no_duplicate() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1:1001(1000) ack 1").expect_at(140, ". 1:1(0) ack 1001 <>");
    s.inject(". 501:1001(500) ack 1").expect(". 1:1(0) ack 1001 <>").nothing();
    let mut s = open(&ConnConfig { receive_buffer: 2000, ..plain() });
    // Beyond the window; a probe of one that is closed; before the stream's first byte.
    s.inject(". 9001:9101(100) ack 1").expect(". 1:1(0) ack 1001 <>");
    s.inject(". 1001:2001(1000) ack 1").expect_at(80, ". 1:1(0) ack 2001 <>");
    s.inject(". 2001:2002(1) ack 1").expect(". 1:1(0) ack 2001 <>");
    s.inject(". -99:1(100) ack 1").expect(". 1:1(0) ack 2001 <>").nothing();
}
