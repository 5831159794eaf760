//! What shares a segment with what: `S9`, `S19`.

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{IcmpError, IcmpErrorKind, Payload, TxLimits};

const MORE: SendFlags = SendFlags { more: true, timestamp: false, eor: false, part: false };
const EOR: SendFlags = SendFlags { more: false, timestamp: false, eor: true, part: false };

fn nagle() -> ConnConfig {
    ConnConfig { no_delay: false, ..plain() }
}

#[test]
fn s9_bytes_join_the_unsent_tail_until_the_size_goal() {
    let mut s = Script::established(&plain(), 65535);
    // Nothing leaves before the loop's turn: what is written by then shares segments.
    for _ in 0..28 {
        s.write_quietly(90, SendFlags::default());
    }
    s.flush()
        .expect(". 1:1001(1000) ack 1")
        .expect(". 1001:2001(1000) ack 1")
        .expect("P. 2001:2521(520) ack 1");
    // The goal of a device that segments is longer: half of cwnd here.
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { max_slices: 100, ..TSO };
    for _ in 0..72 {
        s.write_quietly(90, SendFlags::default());
    }
    s.flush().expect(". 1:5001(5000) ack 1").expect("P. 5001:6481(1480) ack 1").nothing();
}

#[test]
fn s9_nothing_joins_a_segment_that_was_sent() {
    let mut s = Script::established(&plain(), 65535);
    let whole = bytes(0, 400);
    s.conn.write(whole.slice(0..100), SendFlags::default()).expect("room");
    s.flush().expect("P. 1:101(100) ack 1");
    // It goes on in the same memory, and would be one slice had the first not left.
    s.conn.write(whole.slice(100..200), SendFlags::default()).expect("room");
    s.flush().expect("P. 101:201(100) ack 1");
    // Refused is not sent: what comes now joins.
    s.conn.write(whole.slice(200..300), SendFlags::default()).expect("room");
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a burst");
    s.conn.on_refused(&burst);
    s.conn.write(whole.slice(300..400), MORE).expect("room");
    // The last one said that more comes.
    s.conn.set_no_delay(true);
    s.flush().expect(". 201:401(200) ack 1").nothing();
    // After the timeout: the first segment as it was, though unacknowledged bytes follow it. Neighbours that are all
    // lost may share one (S43).
    s.at(400).expect(". 1:401(400) ack 1");
    // They come back as they were written, but for what joined before it left.
    s.inject(". 1:1(0) ack 401");
    let back: Vec<usize> =
        std::iter::from_fn(|| s.conn.pop_reclaimed()).map(|(_, payload)| payload.len()).collect();
    assert_eq!(back, [100, 100, 200]);
}

#[test]
fn s9_a_segment_sent_again_ends_where_it_ended() {
    let mut s = Script::established(&nagle(), 65535);
    let whole = bytes(0, 200);
    s.conn.write(whole.slice(0..100), SendFlags::default()).expect("room");
    s.flush().expect("P. 1:101(100) ack 1");
    s.conn.write(whole.slice(100..200), SendFlags::default()).expect("room");
    s.flush().nothing();
    s.expect_at(400, "P. 1:101(100) ack 1").nothing();
    s.inject(". 1:1(0) ack 101").expect("P. 101:201(100) ack 1");
}

#[test]
fn s19_no_later_byte_joins_a_record() {
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(300, EOR).write_quietly(200, MORE).write_quietly(200, EOR).write_quietly(50, EOR);
    s.flush();
    s.expect("P. 1:301(300) ack 1").expect("P. 301:701(400) ack 1").expect("P. 701:751(50) ack 1").nothing();
    // Neither where the bytes continue each other in memory.
    let whole = bytes(750, 100);
    for range in [0..40, 40..100] {
        s.conn.write(whole.slice(range), EOR).expect("room");
    }
    s.flush().expect("P. 751:791(40) ack 1").expect("P. 791:851(60) ack 1").nothing();
    // A FIN is no byte.
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(300, EOR).shutdown().expect("FP. 1:301(300) ack 1").nothing();
}

#[test]
fn s19_a_record_ends_a_wire_segment_of_a_burst() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    // At a segment's end the burst goes on, since the device cuts there anyway; inside of one it ends.
    s.write_quietly(1000, EOR).write_quietly(1500, EOR).write_quietly(700, EOR).write_quietly(300, EOR);
    s.flush()
        .expect("P. 1:2501(2500) ack 1")
        .expect("P. 2501:3201(700) ack 1")
        .expect("P. 3201:3501(300) ack 1");
    s.nothing();
}

#[test]
fn s19_a_record_with_another_behind_it_waits_for_nothing() {
    let mut s = Script::established(&nagle(), 65535);
    s.write(10).expect("P. 1:11(10) ack 1");
    // The last one waits as Nagle says; when one more comes it can be joined with nothing any more.
    s.write_quietly(100, EOR).flush().nothing();
    s.write_quietly(100, EOR).flush().expect("P. 11:111(100) ack 1").nothing();
    s.inject(". 1:1(0) ack 111").expect("P. 111:211(100) ack 1").nothing();
    // The same with cork.
    s.conn.set_cork(true);
    s.write_quietly(100, EOR).flush().nothing();
    s.write_quietly(100, MORE).flush().expect("P. 211:311(100) ack 1").nothing();
}

#[test]
fn s19_a_record_that_fits_leaves_although_no_full_segment_does() {
    // 500 bytes of window are left (S21): too little for a segment, enough for a whole record.
    let mut s = Script::established(&plain(), 3500);
    s.write(3000);
    assert_eq!(s.ranges().len(), 3);
    s.write_quietly(400, EOR).write_quietly(5000, SendFlags::default()).flush();
    s.expect("P. 3001:3401(400) ack 1").nothing();
    // Without the mark it waits.
    let mut s = Script::established(&plain(), 3500);
    s.write(3000);
    s.sent.clear();
    s.write_quietly(400, MORE).write_quietly(5000, SendFlags::default()).flush().nothing();
}

#[test]
fn s19_records_sent_again_stay_apart() {
    let mut s = Script::established(&plain(), 65535);
    for _ in 0..3 {
        s.write_quietly(400, EOR);
    }
    s.flush();
    assert_eq!(s.ranges(), [(0, 400), (400, 800), (800, 1200)]);
    // All lost, and inside of cwnd one after the other.
    s.expect_at(400, "P. 1:401(400) ack 1").expect("P. 401:801(400) ack 1").nothing();
    s.inject(". 1:1(0) ack 401").expect("P. 801:1201(400) ack 1");
    assert_eq!(s.conn.stats().segments_retransmitted, 3);
    // Half of a record is acknowledged: the rest of it alone.
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write_quietly(1500, EOR).write_quietly(1500, EOR).flush();
    assert_eq!(s.ranges(), [(0, 1500), (1500, 3000)]);
    s.inject(". 1:1(0) ack 1001");
    let at = s.conn.next_timeout().expect("the timer");
    s.until(at).expect("P. 1001:1501(500) ack 1").nothing();
}

#[test]
fn s19_a_smaller_mss_cuts_records_and_joins_none() {
    let cfg = ConnConfig { max_mss: None, timestamps: false, ..plain() };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1460>").expect(". 1:1(0) ack 1");
    for len in [1460, 700, 700] {
        s.write_quietly(len, EOR);
    }
    s.flush();
    assert_eq!(s.ranges(), [(0, 1460), (1460, 2160), (2160, 2860)]);
    // 1000 bytes of packet: 960 of payload.
    let error = IcmpError { seq: ISS + 1, kind: IcmpErrorKind::PacketTooBig { mtu: Some(1000) } };
    s.conn.on_icmp(s.now, error);
    s.flush();
    assert_eq!(s.ranges(), [(0, 960), (960, 1460), (1460, 2160), (2160, 2860)]);
    // A device that segments gets a record in one piece, and no more.
    let error = IcmpError { kind: IcmpErrorKind::PacketTooBig { mtu: Some(640) }, ..error };
    s.conn.on_icmp(s.now, error);
    s.limits = TSO;
    s.flush();
    assert_eq!(s.ranges(), [(0, 1460), (1460, 2160), (2160, 2860)]);
}

#[test]
fn s19_a_tail_probe_repeats_the_last_record_alone() {
    let mut s = Script::connect(&ConnConfig { no_delay: true, sack: true, timestamps: false, ..plain() });
    s.expect("S 0:0(0)")
        .at(100)
        .inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>")
        .expect(". 1:1(0) ack 1");
    s.limits = TSO;
    s.write_quietly(1000, EOR).write_quietly(300, EOR).write_quietly(5000, MORE);
    s.flush().expect("P. 1:1301(1300) ack 1").expect(". 1301:6301(5000) ack 1").nothing();
    s.at(200).inject(". 1:1(0) ack 1 <sack 1001:1301>").nothing();
    let mut s = Script::connect(&ConnConfig { no_delay: true, sack: true, timestamps: false, ..plain() });
    s.expect("S 0:0(0)")
        .at(100)
        .inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>")
        .expect(". 1:1(0) ack 1");
    s.limits = TSO;
    s.write_quietly(2000, EOR).write_quietly(300, EOR).flush().expect("P. 1:2301(2300) ack 1");
    // Two round trips of 100 ms later: not the last 1000 bytes, which belong to two records.
    s.expect_at(302, "P. 2001:2301(300) ack 1").nothing();
}

#[test]
fn s21_short_segments_at_the_limit_of_their_number_let_cwnd_grow() {
    let mut s = Script::established(&plain(), 65535);
    for _ in 0..200 {
        s.write_quietly(100, EOR);
    }
    s.flush();
    assert_eq!((s.ranges().len(), s.conn.stats().cwnd), (10, 10_000));
    // cwnd is not full in bytes, and was the limit all the same: slow start adds what each ACK acknowledges.
    let rounds = (1..=11).map(|round| {
        let out = s.conn.marks().sent.0;
        s.at(100 + 100 * round).inject(&format!(". 1:1(0) ack {}", out + 1));
        s.ranges().len()
    });
    assert_eq!(rounds.collect::<Vec<_>>(), [11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 19]);
    // Two segments out of ten are no limit.
    let mut s = Script::established(&plain(), 65535);
    for round in 1..=10 {
        s.write_quietly(100, EOR).write_quietly(100, EOR).flush();
        s.at(100 + 100 * round).inject(&format!(". 1:1(0) ack {}", 200 * round + 1));
    }
    assert_eq!(s.conn.stats().cwnd, 10_000);
}

#[test]
fn s21_any_short_segment_counts_as_one() {
    // Each has left before the next is written.
    let mut s = Script::established(&plain(), 65535);
    for _ in 0..200 {
        s.write(1);
    }
    assert_eq!(s.ranges(), (0..10).map(|i| (i, i + 1)).collect::<Vec<_>>());
    // What waits joins; an ACK for three makes room for it.
    s.limits = TxLimits { max_slices: 190, ..PLAIN };
    s.inject(". 1:1(0) ack 4").expect("P. 11:201(190) ack 1").nothing();
    // A duplicate ACK tells that one arrived, and lets out one (RFC 3042), not as many as it has bytes for.
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { max_slices: 1, ..PLAIN };
    for _ in 0..30 {
        s.write(1);
    }
    s.sent.clear();
    s.inject(". 1:1(0) ack 1").expect("P. 11:12(1) ack 1").nothing();
    s.inject(". 1:1(0) ack 1").expect("P. 12:13(1) ack 1").nothing();
    // Full ones are bounded by their bytes alone, and a short one behind fewer than ten leaves.
    let mut s = Script::established(&plain(), 65535);
    s.write(9100);
    assert_eq!(s.ranges().len(), 10);
    s.write(1000).nothing();
}

#[test]
fn s19_short_records_are_counted_in_segments() {
    let mut s = Script::established(&ConnConfig { initial_window: 40, ..plain() }, 65535);
    for _ in 0..1000 {
        s.write_quietly(3, EOR);
    }
    s.flush();
    // cwnd is forty segments, though of bytes there would be room for all of the records.
    assert_eq!((s.sent.len(), s.cwnd()), (40, 40));
    s.inject(". 1:1(0) ack 10");
    assert_eq!(s.sent.drain(..).count(), 40 + 3);
    // All lost: ten again, not as many as a full segment has bytes for.
    let at = s.conn.next_timeout().expect("the timer");
    s.until(at);
    assert_eq!((s.cwnd(), s.ranges().len()), (1, 10));
    // Each ACK lets out the next; in the end everything has left.
    let mut acked = 9;
    while s.conn.marks().acked.0 < 3000 {
        acked += 3;
        s.inject(&format!(". 1:1(0) ack {}", acked + 1));
        // The last one has nothing behind it.
        assert!(s.conn.flight.bursts() <= s.cwnd().max(10) + 1, "{:?}", s.conn.stats());
    }
}
