//! What leaves, in which pieces, and when: `S3` to `S23`.

use core::ops::Range;
use std::cell::Cell;
use std::rc::Rc;

use super::script::*;
use crate::conn::{ConnConfig, Connection, SendFlags, WriteErrorKind};
use crate::{BurstKind, Event, Marks, Offset, Payload, Time, TxLimits};

const MORE: SendFlags = SendFlags { more: true, timestamp: false, eor: false, part: false };

#[test]
fn rfc5681_slow_start_from_ten_segments() {
    let mut s = Script::established(&plain(), 65535);
    s.write(100_000);
    // IW10 of RFC 6928.
    assert_eq!(s.ranges().len(), 10);
    s.silence_until(200);
    let mut acked = 0;
    for round in [10, 20] {
        // A delayed ACK for every second segment: each lets out two and grows the window by two.
        for _ in 0..round / 2 {
            acked += 2000;
            s.inject(&format!(". 1:1(0) ack {}", acked + 1));
            assert_eq!(s.ranges().len(), 4);
        }
        assert_eq!((s.cwnd(), s.conn.in_flight()), (2 * round, 2 * round * 1000));
        s.silence_until(200 + 100 * round / 10);
    }
}

#[test]
fn rfc5681_congestion_avoidance_adds_a_segment_per_round_trip() {
    let mut s = Script::established(&plain(), 65535);
    s.write(100_000);
    for _ in 0..3 {
        s.inject(". 1:1(0) ack 1");
    }
    // Everything that was out arrives: nothing in flight, so two segments (RFC 6582), below an ssthresh of five.
    let mut acked = s.conn.marks().sent.0;
    s.inject(&format!(". 1:1(0) ack {}", acked + 1));
    assert_eq!((s.cwnd(), s.conn.stats().ssthresh), (2, 5000));
    let ack = |s: &mut Script, acked: &mut u64| {
        *acked += 1000;
        s.inject(&format!(". 1:1(0) ack {}", *acked + 1));
        s.cwnd()
    };
    // Slow start up to there, then one more for each whole window.
    assert_eq!([ack(&mut s, &mut acked), ack(&mut s, &mut acked), ack(&mut s, &mut acked)], [3, 4, 5]);
    for cwnd in 5..9 {
        for _ in 1..cwnd {
            assert_eq!(ack(&mut s, &mut acked), cwnd);
        }
        assert_eq!(ack(&mut s, &mut acked), cwnd + 1);
    }
}

#[test]
fn rfc7661_a_window_that_was_not_used_does_not_grow() {
    let mut s = Script::established(&plain(), 65535);
    for i in 0..20 {
        s.write(1000).expect(&format!("P. {}:{}(1000) ack 1", i * 1000 + 1, i * 1000 + 1001));
        s.inject(&format!(". 1:1(0) ack {}", i * 1000 + 1001));
    }
    assert_eq!(s.cwnd(), 10);
}

#[test]
fn rfc7661_slow_start_needs_more_than_half_of_the_window_in_use() {
    let grown = |segments: usize| {
        let mut s = Script::established(&plain(), 65535);
        s.write(segments * 1000);
        for acked in 1..=segments {
            s.inject(&format!(". 1:1(0) ack {}", acked * 1000 + 1));
        }
        s.cwnd()
    };
    // As far as twice what was in the network at once.
    assert_eq!([grown(5), grown(6), grown(7), grown(9)], [10, 12, 14, 18]);
}

#[test]
fn s21_no_byte_leaves_beyond_the_peers_window() {
    let mut s = Script::established(&plain(), 3500);
    s.write(20_000);
    s.expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1").expect(". 2001:3001(1000) ack 1");
    // 500 bytes of window are left: not worth a segment (MUST-38).
    s.silence_until(150);
    s.inject(". 1:1(0) ack 3001 win 3500");
    s.expect("P. 3001:4001(1000) ack 1").expect(". 4001:5001(1000) ack 1").expect("P. 5001:6001(1000) ack 1");
    s.nothing();
}

#[test]
fn s8_bursts_are_whole_segments_and_at_most_half_of_cwnd() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write(100_000);
    s.expect(". 1:5001(5000) ack 1").expect(". 5001:10001(5000) ack 1").nothing();
    s.inject(". 1:1(0) ack 10001");
    s.expect(". 10001:20001(10000) ack 1").expect(". 20001:30001(10000) ack 1").nothing();
    s.limits.max_len = 7999;
    s.inject(". 1:1(0) ack 30001");
    // PSH after more than half of the window (S14).
    for (i, flags) in ["P.", ".", ".", ".", "."].iter().enumerate() {
        s.expect(&format!("{flags} {}:{}(7000) ack 1", 30_001 + i * 7000, 37_001 + i * 7000));
    }
    s.expect("P. 65001:70001(5000) ack 1").nothing();
}

#[test]
fn s8_limits_of_the_device_bound_a_burst() {
    let burst = |limits: TxLimits| {
        let mut s = Script::established(&plain(), 65535);
        s.write_quietly(100_000, SendFlags::default());
        s.conn.poll_transmit(s.now, &limits).expect("a burst").len
    };
    assert_eq!(burst(TSO), 5000);
    assert_eq!(burst(TxLimits { max_segments: 3, ..TSO }), 3000);
    assert_eq!(burst(TxLimits { max_segments: 1, ..TSO }), 1000);
    assert_eq!(burst(TxLimits { max_len: 2500, ..TSO }), 2000);
    assert_eq!(burst(TxLimits { max_len: 1999, ..TSO }), 1000);
    assert_eq!(burst(TxLimits { max_len: 0, ..TSO }), 1000);
    // i40e segments to 256 bytes at least: below, a burst is one segment.
    assert_eq!(burst(TxLimits { min_tso_mss: 1001, ..TSO }), 1000);
    assert_eq!(burst(TxLimits { min_tso_mss: 1000, ..TSO }), 5000);
}

#[test]
fn s8_a_segment_takes_at_most_half_the_largest_window() {
    let mut s = Script::established(&plain(), 1200);
    s.write(5000);
    s.expect(". 1:601(600) ack 1").expect("P. 601:1201(600) ack 1").nothing();
    // A window of up to 512 bytes is filled by one segment.
    let mut s = Script::established(&plain(), 500);
    s.write(5000).expect("P. 1:501(500) ack 1").nothing();
}

#[test]
fn s24_a_burst_is_not_cut_short_for_a_port_that_will_soon_have_room() {
    let first = |limits: TxLimits| {
        let mut s = Script::established(&plain(), 65535);
        s.write_quietly(100_000, SendFlags::default());
        s.conn.poll_transmit(s.now, &limits).map(|burst| burst.len)
    };
    assert_eq!(first(TxLimits { budget: 4999, held: 1, ..TSO }), None);
    assert_eq!(first(TxLimits { budget: 5000, held: 1, ..TSO }), Some(5000));
    // It holds nothing of this connection: what there is need not become more.
    assert_eq!(first(TxLimits { budget: 4999, held: 0, ..TSO }), Some(4000));
}

#[test]
fn s24_the_devices_budget_holds_new_data_back_and_nothing_else() {
    let mut s = Script::established(&plain(), 65535);
    s.limits.budget = 999;
    s.write(3000).silence_until(250);
    // An ACK that is owed leaves, and so does a FIN with nothing before it.
    s.inject("P. 1:11(10) ack 1").expect_at(290, ". 1:1(0) ack 11").nothing();
    s.limits.budget = 2000;
    s.flush().expect(". 1:1001(1000) ack 11").expect(". 1001:2001(1000) ack 11");
    s.expect("P. 2001:3001(1000) ack 11").nothing();
    s.limits.budget = 0;
    // What is sent again is not bound by it either.
    s.expect_at(590, ". 1:1001(1000) ack 11");
    s.inject(". 11:11(0) ack 3001").shutdown().expect("F. 3001:3001(0) ack 11");
}

#[test]
fn s16_nagle_holds_a_short_segment_while_another_is_unacknowledged() {
    let cfg = ConnConfig { no_delay: false, ..plain() };
    let mut s = Script::established(&cfg, 65535);
    // Nothing is out: at once. Then one short segment is.
    s.write(100).expect("P. 1:101(100) ack 1");
    s.write(100).write(100).silence_until(150);
    // A full segment is not Nagle's business; the rest still waits.
    s.write(1000).expect(". 101:1101(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 101").expect("P. 1101:1301(200) ack 1");
    // Minshall: full segments outstanding do not hold a short one back.
    s.inject(". 1:1(0) ack 1301");
    s.write(2100).expect(". 1301:2301(1000) ack 1").expect(". 2301:3301(1000) ack 1");
    s.expect("P. 3301:3401(100) ack 1").nothing();
    // A FIN takes the short segment along.
    s.write(50).nothing();
    s.shutdown().expect("FP. 3401:3451(50) ack 1");
}

#[test]
fn must_17_no_delay_turns_nagle_off() {
    let mut s = Script::established(&plain(), 65535);
    s.write(100).expect("P. 1:101(100) ack 1").write(100).expect("P. 101:201(100) ack 1");
    // At any time; turning it off flushes.
    s.conn.set_no_delay(false);
    s.write(100).nothing();
    s.conn.set_no_delay(true);
    s.flush().expect("P. 201:301(100) ack 1");
}

#[test]
fn s23_the_short_tail_of_a_burst_follows_nagle() {
    let cfg = ConnConfig { no_delay: false, ..plain() };
    let mut s = Script::established(&cfg, 65535);
    s.limits = TSO;
    // With no short segment out the tail goes along.
    s.write(2500).expect("P. 1:2501(2500) ack 1");
    s.write(2500).expect(". 2501:4501(2000) ack 1").nothing();
    s.inject(". 1:1(0) ack 2501").expect("P. 4501:5001(500) ack 1");
}

#[test]
fn must_16_options_that_are_carried_shorten_the_segment() {
    let mut s = Script::connect(&ConnConfig { no_delay: true, ..ConnConfig::default() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 1 ecr 0>");
    s.expect(". 1:1(0) ack 1");
    s.write(2000).expect(". 1:1449(1448) ack 1").expect("P. 1449:2001(552) ack 1");
    // A SACK block takes 12 more.
    s.inject("P. 11:21(10) ack 1 <TS val 2 ecr 0>")
        .expect(". 2001:2001(0) ack 1 <TS val 0 ecr 1,sack 11:21>");
    s.write(1448).expect(". 2001:3437(1436) ack 1 <TS val 0 ecr 1,sack 11:21>");
}

#[test]
fn s4_a_full_buffer_refuses_whole_writes_and_says_when_to_try_again() {
    let cfg = ConnConfig { send_buffer: Some(10_000), ..plain() };
    let mut s = Script::established(&cfg, 65535);
    assert_eq!(s.conn.capacity(), 10_000 - 64);
    s.write(8000);
    assert_eq!(s.conn.capacity(), 2000 - 128);
    let refused = s.conn.write(bytes(8000, 2000), SendFlags::default()).expect_err("full");
    assert_eq!((refused.reason, refused.payload.len()), (WriteErrorKind::Full, 2000));
    assert_eq!(s.conn.marks().accepted, Offset(8000));
    assert_eq!(s.events(), []);
    s.inject(". 1:1(0) ack 1001");
    assert_eq!(s.events(), [Event::Acked]);
    s.inject(". 1:1(0) ack 5001");
    assert_eq!(s.events(), [Event::Acked, Event::Writable]);
    s.inject(". 1:1(0) ack 8001");
    assert_eq!(s.events(), [Event::Acked]);
    // Larger than the whole buffer: only when nothing else is queued.
    s.write(50_000);
    let refused = s.conn.write(bytes(58_000, 1), SendFlags::default()).expect_err("full");
    assert_eq!(refused.reason, WriteErrorKind::Full);
}

#[test]
fn a_write_after_the_end_is_refused() {
    let mut s = Script::established(&plain(), 65535);
    s.shutdown();
    let refused = s.conn.write(bytes(0, 1), SendFlags::default()).expect_err("finished");
    assert_eq!(refused.reason, WriteErrorKind::Finished);
    s.abort();
    let refused = s.conn.write(bytes(0, 1), SendFlags::default()).expect_err("closed");
    assert_eq!(refused.reason, WriteErrorKind::Closed);
}

#[test]
fn s11_writes_that_continue_each_other_become_one_slice() {
    let mut s = Script::established(&plain(), 65535);
    let whole = bytes(0, 3000);
    for i in 0..30 {
        s.conn.write(whole.slice(i * 100..i * 100 + 100), MORE).expect("room");
    }
    let burst = s.conn.poll_transmit(s.now, &TSO).expect("a burst");
    assert_eq!((burst.len, s.conn.slices(&burst).count()), (3000, 1));
}

/// Payload that a device may be reading.
#[derive(Clone)]
struct Held {
    bytes: Rc<[u8]>,
    by_device: Rc<Cell<bool>>,
}

impl Payload for Held {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    fn slice(&self, range: Range<usize>) -> Held {
        Held { bytes: Rc::from(&self.bytes[range]), ..self.clone() }
    }

    fn try_merge(&mut self, _next: &Held) -> bool {
        false
    }

    fn in_device(&self) -> bool {
        self.by_device.get()
    }
}

#[test]
fn s29_a_payload_comes_home_after_its_ack_and_its_last_device_reference() {
    let segment = |text: &str| {
        let seg = parse(text);
        let payload = Held { bytes: Rc::from(seg.payload.as_slice()), by_device: Rc::default() };
        crate::Segment {
            seq: seg.seq,
            ack: seg.ack,
            flags: seg.flags,
            window: seg.window,
            urgent: 0,
            options: seg.options,
            ecn: 0,
            continues: false,
            payload,
        }
    };
    let flush = |conn: &mut Connection<Held>| {
        while let Some(burst) = conn.poll_transmit(Time::ZERO, &PLAIN) {
            conn.on_sent(&burst, Time::ZERO);
        }
    };
    let mut conn = Connection::connect(&plain(), tuple(), ISS, 0, Time::ZERO);
    flush(&mut conn);
    conn.on_segment(Time::ZERO, segment("S. 0:0(0) ack 1 <mss 1000>"));
    let flags: Vec<Rc<Cell<bool>>> = (0..3).map(|_| Rc::new(Cell::new(false))).collect();
    for by_device in &flags {
        let payload = Held { bytes: Rc::from(&[7u8; 500][..]), by_device: by_device.clone() };
        assert!(conn.write(payload, SendFlags::default()).is_ok());
    }
    flush(&mut conn);
    flags[1].set(true);
    let marks = |acked, reclaimed| Marks {
        accepted: Offset(1500),
        sent: Offset(1500),
        acked: Offset(acked),
        reclaimed: Offset(reclaimed),
    };
    assert!(conn.pop_reclaimed().is_none());
    conn.on_segment(Time::ZERO, segment(". 1:1(0) ack 501"));
    assert_eq!(conn.pop_reclaimed().map(|(at, _)| at), Some(Offset(0)));
    conn.on_segment(Time::ZERO, segment(". 1:1(0) ack 1501"));
    // Acknowledged, but the device reads the second: neither it nor the third, which is behind it, comes home.
    assert!(conn.pop_reclaimed().is_none());
    assert_eq!(conn.marks(), marks(1500, 500));
    // An ACK frees room all the same: nothing that sends waits for a device.
    assert!(conn.capacity() as u64 > conn.stats().send_buffer - 100);
    flags[1].set(false);
    assert_eq!(conn.pop_reclaimed().map(|(at, _)| at), Some(Offset(500)));
    assert_eq!(conn.pop_reclaimed().map(|(at, _)| at), Some(Offset(1000)));
    assert_eq!(conn.marks(), marks(1500, 1500));
}

#[test]
fn after_a_reset_everything_is_still_reclaimed() {
    let mut s = Script::established(&plain(), 1000);
    s.write(3000).inject("R 1:1(0)");
    assert_eq!(s.conn.pop_reclaimed().map(|(at, p)| (at, p.len())), Some((Offset(0), 3000)));
    assert!(s.conn.pop_reclaimed().is_none() && s.conn.is_closed());
}

#[test]
fn positions_beyond_four_gibibytes_are_no_different() {
    // 5 GiB, acknowledged in strides of a window's size; the sequence number wraps around at the second segment.
    let cfg = ConnConfig { window_scale: true, send_buffer: Some(1 << 26), ..plain() };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 win 65535 <mss 1000,wscale 14>").expect(". 1:1(0) ack 1");
    s.limits = TxLimits { max_segments: 65_535, max_len: 60_000_000, ..TSO };
    // One buffer that is a whole number of periods long, written again and again.
    let stride = 251 * 200_000;
    let payload = bytes(0, stride);
    let mut end = 0u64;
    while end < 5 << 30 {
        s.conn.write(payload.clone(), SendFlags::default()).expect("room");
        end += stride as u64;
        let mut turns = 0;
        while s.conn.marks().acked < Offset(end) {
            while let Some(burst) = s.conn.poll_transmit(s.now, &s.limits) {
                assert_eq!((burst.kind, burst.seq), (BurstKind::New, ISS + 1 + burst.offset.0 as u32));
                let slices = s.conn.slices(&burst).map(|(_, r)| r.len()).sum::<usize>();
                assert_eq!(slices, burst.len as usize);
                s.conn.on_sent(&burst, s.now);
            }
            let nxt = s.conn.marks().sent.0;
            s.conn.on_segment(s.now, parse(&format!(". 1:1(0) ack {} win 65535", (nxt + 1) as u32)));
            turns += 1;
            assert!(turns < 1000, "stuck at {:?}", s.conn.marks());
        }
        while s.conn.pop_reclaimed().is_some() {}
    }
    assert_eq!(s.conn.marks().reclaimed, Offset(end));
    assert_eq!(s.conn.stats().bytes_retransmitted, 0);
    s.shutdown();
    let fin = s.sent.pop_back().expect("a FIN").1;
    assert_eq!(fin.seq, ISS + 1 + end as u32);
}
