//! Short segments held back on purpose, and let go: `S16`, `S17`.

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};

const MORE: SendFlags = SendFlags { more: true, timestamp: false };

fn corked() -> ConnConfig {
    ConnConfig { cork: true, ..plain() }
}

#[test]
fn s17_cork_holds_short_segments_until_uncorked() {
    let mut s = Script::established(&corked(), 65535);
    s.write(40).silence_until(150);
    s.write(40).silence_until(200);
    s.conn.set_cork(false);
    s.flush().expect("P. 1:81(80) ack 1").nothing();
    // Corked again: an ACK lets nothing out.
    s.conn.set_cork(true);
    s.write(30).inject(". 1:1(0) ack 81").silence_until(300);
    s.conn.set_cork(false);
    s.flush().expect("P. 81:111(30) ack 1");
}

#[test]
fn s17_cork_lets_whole_segments_through() {
    let mut s = Script::established(&corked(), 65535);
    s.write(2500).expect(". 1:1001(1000) ack 1").expect(". 1001:2001(1000) ack 1").nothing();
    s.write(500).expect("P. 2001:3001(1000) ack 1").nothing();
}

#[test]
fn s17_nothing_is_held_longer_than_a_timeout() {
    // At 100 ms; SRTT is 100 ms and the timeout 300 ms.
    let mut s = Script::established(&corked(), 65535);
    s.write(40).silence_until(399).expect_at(400, "P. 1:41(40) ack 1");
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(40, MORE).flush().silence_until(399).expect_at(400, "P. 1:41(40) ack 1");
    // It was let go once, not for good.
    s.inject(". 1:1(0) ack 41");
    s.write_quietly(40, MORE).flush().silence_until(600);
}

#[test]
fn s17_more_holds_for_one_send_and_until_an_ack() {
    let mut s = Script::established(&plain(), 65535);
    for _ in 0..3 {
        s.write_quietly(100, MORE).flush();
    }
    s.silence_until(150);
    s.write(5).expect("P. 1:306(305) ack 1");
    s.write_quietly(20, MORE).flush().silence_until(200);
    // Without PSH: the application said that more comes.
    s.inject(". 1:1(0) ack 306").expect(". 306:326(20) ack 1");
    s.write_quietly(20, MORE).flush().silence_until(220);
    s.inject(". 1:1(0) ack 326").expect(". 326:346(20) ack 1");
}

#[test]
fn s16_setting_no_delay_flushes_what_nagle_cork_and_more_hold() {
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    s.write(100).expect("P. 1:101(100) ack 1");
    s.write(100).nothing();
    s.conn.set_no_delay(true);
    s.flush().expect("P. 101:201(100) ack 1");
    s.conn.set_cork(true);
    s.write(100).nothing();
    s.conn.set_no_delay(true);
    s.flush().expect("P. 201:301(100) ack 1");
    s.conn.set_cork(false);
    s.write_quietly(100, MORE).flush().nothing();
    s.conn.set_no_delay(true);
    s.flush().expect(". 301:401(100) ack 1");
}

#[test]
fn s16_a_fin_is_not_held() {
    let mut s = Script::established(&corked(), 65535);
    s.write(40).nothing();
    s.shutdown().expect("FP. 1:41(40) ack 1");
}

#[test]
fn s16_turning_nagle_on_holds_the_next_short_segment() {
    let mut s = Script::established(&plain(), 65535);
    s.write(100).expect("P. 1:101(100) ack 1");
    s.conn.set_no_delay(false);
    s.write(100).nothing();
    s.inject(". 1:1(0) ack 101").expect("P. 101:201(100) ack 1");
}
