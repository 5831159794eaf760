//! Short segments held back on purpose, and let go: `S16`, `S17`.

use super::script::*;
use crate::Event;
use crate::conn::{ConnConfig, SendFlags};

const MORE: SendFlags = SendFlags { more: true, timestamp: false, eor: false, part: false };

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
fn s17_a_flush_lets_out_what_is_held_once_and_pushes_it() {
    let mut s = Script::established(&corked(), 65535);
    s.write(40).silence_until(150);
    s.conn.flush();
    s.flush().expect("P. 1:41(40) ack 1").nothing();
    // The cork stays, and there is nothing to flush twice.
    s.conn.flush();
    s.flush().nothing();
    s.write(40).inject(". 1:1(0) ack 41").silence_until(300);
    // Nagle's algorithm and `more` hold no longer either.
    let mut s = Script::established(&plain(), 65535);
    s.write(40).expect("P. 1:41(40) ack 1");
    s.write_quietly(30, MORE).flush().nothing();
    s.conn.flush();
    s.flush().expect("P. 41:71(30) ack 1").nothing();
}

#[test]
fn s17_no_ack_lets_out_the_end_of_a_part() {
    let part = SendFlags::default().of_a_part();
    let mut s = Script::established(&plain(), 65535);
    s.write(200).expect("P. 1:201(200) ack 1");
    // The rest of the send is on its way here: an ACK tells nothing of it.
    s.write_quietly(1100, part).flush().expect(". 201:1201(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 1201").silence_until(150);
    s.write(1900).expect(". 1201:2201(1000) ack 1").expect("P. 2201:3201(1000) ack 1").nothing();
    // Whoever never comes with the rest has it wait as long as any other, from when nothing is in flight.
    s.write_quietly(100, part).flush().at(200).inject(". 1:1(0) ack 3201");
    let due = s.now + s.conn.stats().rto;
    s.nothing().until(due).expect("P. 3201:3301(100) ack 1");
    // Or until the writer waits for us.
    s.at(600).inject(". 1:1(0) ack 3301");
    s.write_quietly(100, part).flush().nothing();
    s.conn.push_before_waiting();
    s.flush().expect("P. 3301:3401(100) ack 1");
}

#[test]
fn s1_a_send_of_unknown_length_ends_when_it_is_known_to() {
    let part = SendFlags::default().of_a_part();
    let last = SendFlags { eor: true, timestamp: true, ..SendFlags::default() };
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(1100, part).flush().expect(". 1:1001(1000) ack 1").nothing();
    s.conn.end_send(last, s.now);
    s.flush().expect("P. 1001:1101(100) ack 1").nothing();
    assert_eq!(s.events().len(), 2, "it had its turn and left");
    s.inject(". 1:1(0) ack 1101");
    assert!(matches!(s.events()[..], [Event::SendTime(_), ..]));
    // Nothing joins the record.
    s.write_quietly(100, part);
    s.conn.end_send(last, s.now);
    s.write_quietly(100, SendFlags::default()).flush();
    s.expect("P. 1101:1201(100) ack 1").expect("P. 1201:1301(100) ack 1");
    s.inject(". 1:1(0) ack 1301").events();
    // All of it is acknowledged already: all times are told.
    s.write_quietly(1000, part).flush().expect(". 1301:2301(1000) ack 1");
    s.inject(". 1:1(0) ack 2301").events();
    s.conn.end_send(last, s.now);
    assert_eq!((s.flush().events().len(), s.sent.len()), (3, 0));
    // A send that has its end keeps it.
    s.write_quietly(100, MORE);
    s.conn.end_send(last, s.now);
    assert_eq!((s.flush().events().len(), s.sent.len()), (0, 0));
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

/// What leaves, and when (ms), of three sends of 100 bytes, each with these flags and a turn of the loop of its own, at
/// 100 ms; what is out by then is acknowledged at 150, cork is unset at 250, what is out is acknowledged at 300.
fn three_sends(no_delay: bool, cork: bool, flags: SendFlags) -> Vec<String> {
    let mut s = Script::established(&ConnConfig { no_delay, cork, ..plain() }, 65535);
    for _ in 0..3 {
        s.write_quietly(100, flags).flush();
    }
    let ack = |s: &Script| format!(". 1:1(0) ack {}", s.conn.marks().sent.0 + 1);
    let at_150 = ack(s.at(150));
    s.inject(&at_150).at(250);
    if cork {
        s.conn.set_cork(false);
        s.flush();
    }
    let at_300 = ack(s.at(300));
    s.inject(&at_300).at(2000);
    assert_eq!(s.conn.marks().sent.0, 300, "nothing is held for ever");
    let line = |(at, b): (crate::Time, crate::Burst)| {
        let psh = if b.flags.has(crate::wire::TcpFlags::PSH) { "P" } else { "." };
        format!("{} {psh} {}:{}", at.as_millis(), b.offset.0, b.offset.0 + u64::from(b.len))
    };
    s.sent.drain(..).map(line).collect()
}

#[test]
fn s16_s17_s19_every_combination_of_no_delay_cork_more_and_eor() {
    // (no_delay, cork, more, eor): what leaves.
    type Knobs = (u8, u8, u8, u8);
    let table: [(Knobs, &[&str]); 16] = [
        // One short segment at a time.
        ((0, 0, 0, 0), &["100 P 0:100", "150 P 100:300"]),
        // A record leaves when the next one comes.
        ((0, 0, 0, 1), &["100 P 0:100", "100 P 100:200", "150 P 200:300"]),
        // Whoever says that more comes and sends nothing waits for any ACK.
        ((0, 0, 1, 0), &["150 . 0:300"]),
        ((0, 0, 1, 1), &["100 . 0:100", "100 . 100:200", "150 . 200:300"]),
        // Cork does not care for ACKs.
        ((0, 1, 0, 0), &["250 P 0:300"]),
        ((0, 1, 0, 1), &["100 P 0:100", "100 P 100:200", "250 P 200:300"]),
        ((0, 1, 1, 0), &["250 . 0:300"]),
        ((0, 1, 1, 1), &["100 . 0:100", "100 . 100:200", "250 . 200:300"]),
        ((1, 0, 0, 0), &["100 P 0:100", "100 P 100:200", "100 P 200:300"]),
        ((1, 0, 0, 1), &["100 P 0:100", "100 P 100:200", "100 P 200:300"]),
        // What is held on purpose is held without Nagle too.
        ((1, 0, 1, 0), &["150 . 0:300"]),
        ((1, 0, 1, 1), &["100 . 0:100", "100 . 100:200", "150 . 200:300"]),
        ((1, 1, 0, 0), &["250 P 0:300"]),
        ((1, 1, 0, 1), &["100 P 0:100", "100 P 100:200", "250 P 200:300"]),
        ((1, 1, 1, 0), &["250 . 0:300"]),
        ((1, 1, 1, 1), &["100 . 0:100", "100 . 100:200", "250 . 200:300"]),
    ];
    let on = |n: u8| n == 1;
    let mut wrong = String::new();
    for ((no_delay, cork, more, eor), expected) in table {
        let left = three_sends(
            on(no_delay),
            on(cork),
            SendFlags { more: on(more), eor: on(eor), ..SendFlags::default() },
        );
        if left != expected {
            wrong += &format!("\n{:?}: {left:?}", (no_delay, cork, more, eor));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn s17_a_timeout_of_a_datacentre_does_not_end_the_wait_early() {
    let mut s = Script::connect(&ConnConfig { min_rto: ms(1), ..corked() });
    s.expect("S 0:0(0)").at(1).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
    assert_eq!(s.conn.stats().rto, ms(3));
    s.write(40).silence_until(200).expect_at(201, "P. 1:41(40) ack 1");
}

#[test]
fn s16_many_small_writes_are_a_segment_for_each_round_trip() {
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    // 100 bytes every 8 ms; ACKs come 100 ms after what they are for.
    for i in 0..30 {
        let t = 100 + i * 8;
        if t > 200 && t - 8 <= 200 {
            s.at(200).inject(". 1:1(0) ack 101");
        }
        if t > 300 && t - 8 <= 300 {
            s.at(300).inject(". 1:1(0) ack 1301");
        }
        s.at(t).write(100);
    }
    s.at(400).inject(". 1:1(0) ack 2601");
    let left: Vec<_> = s.sent.drain(..).map(|(at, b)| (at.as_millis(), b.offset.0, b.len)).collect();
    // A full segment leaves as soon as there is one, the rest of what came by then with the next ACK.
    assert_eq!(
        left,
        [
            (100, 0, 100),
            (180, 100, 1000),
            (200, 1100, 200),
            (276, 1300, 1000),
            (300, 2300, 300),
            (400, 2600, 400)
        ]
    );
}

#[test]
fn s16_write_write_read_waits_for_a_delayed_ack_unless_told_not_to() {
    // A header and a body in two writes, to a peer that answers when it has both and delays its ACKs by 40 ms.
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    s.write(100).expect("P. 1:101(100) ack 1").write(200).silence_until(139);
    s.at(140).inject(". 1:1(0) ack 101").expect("P. 101:301(200) ack 1");
    s.at(141).inject("P. 1:51(50) ack 301");
    assert_eq!(s.read(), 50);
    // It says that more comes: one segment, at once.
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    s.write_quietly(100, MORE).flush().nothing().write(200).expect("P. 1:301(300) ack 1");
    // Without Nagle: two, at once.
    let mut s = Script::established(&plain(), 65535);
    s.write(100).write(200).expect("P. 1:101(100) ack 1").expect("P. 101:301(200) ack 1");
}
