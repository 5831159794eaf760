//! Where PSH stands: `S14`, `S20`.

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{Payload, TxLimits};

const MORE: SendFlags = SendFlags { more: true, timestamp: false, eor: false, part: false };

#[test]
fn s14_psh_ends_a_send_and_more_holds_it_back() {
    let mut s = Script::established(&plain(), 65535);
    s.write(1500).expect(". 1:1001(1000) ack 1").expect("P. 1001:1501(500) ack 1");
    s.write_quietly(500, MORE).flush().nothing().inject(". 1:1(0) ack 1").expect(". 1501:2001(500) ack 1");
    // Queued together: the end of the first send is not the end of a segment.
    s.write_quietly(500, SendFlags::default()).write_quietly(500, MORE).flush();
    s.expect(". 2001:3001(1000) ack 1");
    s.write_quietly(500, MORE).write_quietly(500, SendFlags::default()).flush();
    s.expect("P. 3001:4001(1000) ack 1");
}

#[test]
fn s14_psh_at_least_every_half_window() {
    let mut s = Script::established(&plain(), 8000);
    for _ in 0..5 {
        s.write_quietly(1000, MORE);
    }
    s.flush();
    for (i, flags) in [".", ".", ".", ".", "P."].into_iter().enumerate() {
        s.expect(&format!("{flags} {}:{}(1000) ack 1", i * 1000 + 1, i * 1000 + 1001));
    }
}

#[test]
fn s14_a_chain_that_is_full_before_its_goal_carries_psh() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { max_slices: 3, ..TSO };
    for _ in 0..4 {
        s.write_quietly(1000, MORE);
    }
    s.flush().expect("P. 1:3001(3000) ack 1").expect(". 3001:4001(1000) ack 1");
    // Not where it ends inside of a send.
    for len in [100, 100, 2100, 100] {
        s.write_quietly(len, MORE);
    }
    s.flush().expect(". 4001:6001(2000) ack 1").inject(". 1:1(0) ack 1").expect(". 6001:6401(400) ack 1");
    // Slices so short that three make no segment: they go as they are.
    for _ in 0..5 {
        s.write_quietly(10, MORE);
    }
    s.flush().expect("P. 6401:6431(30) ack 1").inject(". 1:1(0) ack 1").expect(". 6431:6451(20) ack 1");
}

#[test]
fn s14_a_later_send_that_appends_clears_psh() {
    let mut s = Script::established(&ConnConfig { no_delay: false, ..plain() }, 65535);
    s.write(100).expect("P. 1:101(100) ack 1");
    // Held by Nagle, and would have PSH: then a send joins it that has none.
    s.write(100).nothing();
    s.write_quietly(50, MORE).flush().nothing();
    s.inject(". 1:1(0) ack 101").expect(". 101:251(150) ack 1");
    // And one that has.
    s.write_quietly(50, MORE).flush().write(50).nothing();
    s.inject(". 1:1(0) ack 251").expect("P. 251:351(100) ack 1");
    // In one piece of memory it is no different.
    let whole = bytes(350, 150);
    s.conn.write(whole.slice(0..100), SendFlags::default()).expect("room");
    s.conn.write(whole.slice(100..150), MORE).expect("room");
    s.inject(". 1:1(0) ack 351").inject(". 1:1(0) ack 351").expect(". 351:501(150) ack 1");
}

#[test]
fn s14_a_send_in_pieces_is_pushed_at_its_end_alone() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { max_slices: 2, ..TSO };
    // Not one buffer, so that the chain is full after two: sends of their own would be pushed there.
    for i in 0..4 {
        s.conn.write(bytes(i * 1000, 1000), SendFlags::default().of_a_part()).expect("room");
    }
    s.conn.write(bytes(4000, 1000), SendFlags::default()).expect("room");
    s.flush()
        .expect(". 1:2001(2000) ack 1")
        .expect(". 2001:4001(2000) ack 1")
        .expect("P. 4001:5001(1000) ack 1");
}

/// 1 MB, written at once, to a peer that has a window of 64 KB and takes all of it each time.
fn a_megabyte(limits: TxLimits) -> Vec<(u64, u64, bool)> {
    let mut s = Script::established(&ConnConfig { initial_window: 100, ..plain() }, 65535);
    s.limits = limits;
    s.write(1 << 20);
    let mut frames = Vec::new();
    while s.conn.marks().acked.0 < 1 << 20 {
        let now = s.now;
        for (at, burst) in s.sent.drain(..) {
            assert_eq!(at, now, "nothing waits for a timer");
            let end = burst.offset.0 + u64::from(burst.len);
            frames.push((burst.offset.0, end, burst.flags.has(crate::wire::TcpFlags::PSH)));
        }
        let sent = s.conn.marks().sent.0;
        s.at(s.now.as_millis() + 100).inject(&format!(". 1:1(0) ack {} win 65535", sent + 1));
    }
    assert_eq!(s.conn.stats().bytes_retransmitted, 0);
    frames
}

#[test]
fn s20_a_megabyte_into_a_window_of_64_kilobytes_is_pushed_every_half_of_it() {
    let frames = a_megabyte(PLAIN);
    // Whole segments; half of 65535 is passed with the 33rd.
    for (i, &(start, end, push)) in frames.iter().enumerate() {
        let n = i as u64 + 1;
        assert_eq!((start, end), ((n - 1) * 1000, (n * 1000).min(1 << 20)));
        assert_eq!(push, n.is_multiple_of(33) || end == 1 << 20, "PSH at {end}");
    }
    assert_eq!(frames.iter().filter(|frame| frame.2).count(), 32);
}

#[test]
fn s20_bursts_of_a_megabyte_are_pushed_every_half_of_the_window() {
    let frames = a_megabyte(TSO);
    // Two bursts of half a window, and what is left of it.
    let begin = [(0, 32_000, false), (32_000, 64_000, true), (64_000, 65_000, false)];
    assert_eq!(frames[..3], begin);
    let mut pushed = 0;
    for &(_, end, push) in &frames {
        assert_eq!(push, end - pushed > 32_767 || end == 1 << 20, "PSH at {end} after {pushed}");
        pushed = if push { end } else { pushed };
    }
    assert!(frames.len() < 60, "{} bursts", frames.len());
}
