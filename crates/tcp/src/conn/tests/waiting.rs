//! Writers that wait for room in the send buffer.

use super::script::{Script, bytes, ms, plain};
use crate::conn::{ConnConfig, SendFlags, WriteErrorKind};
use crate::{Event, Nanos, Payload};

#[test]
fn s4_a_writer_that_found_no_room_hears_when_there_is() {
    let cfg = ConnConfig { send_buffer: Some(2000), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(2000);
    assert_eq!(s.conn.capacity(), 0);
    assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
    assert_eq!(s.events(), []);
    s.at(200).inject(". 1:1(0) ack 2001 win 8000");
    assert!(s.events().contains(&Event::Writable));
    s.shutdown();
    assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Finished));
}

/// A write of `len` bytes is refused: the send buffer is full.
fn refuse(s: &mut Script, len: usize) {
    let at = s.conn.marks().accepted.0;
    let refused = s.conn.write(bytes(at, len), SendFlags::default()).expect_err("no room");
    assert_eq!((refused.reason, refused.payload.len()), (WriteErrorKind::Full, len));
    s.flush();
}

#[test]
fn s4_what_cork_holds_leaves_before_a_writer_waits() {
    let cfg = ConnConfig { cork: true, send_buffer: Some(3000), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(1500).expect(". 1:1001(1000) ack 1").silence_until(150);
    refuse(&mut s, 2000);
    s.expect("P. 1001:1501(500) ack 1").nothing();
    // The next write is held again.
    s.inject(". 1:1(0) ack 1501 win 8000").write(500).silence_until(200);
}

#[test]
fn s4_what_more_holds_leaves_before_a_writer_waits_and_is_pushed() {
    let cfg = ConnConfig { send_buffer: Some(2064), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    let more = SendFlags { more: true, ..SendFlags::default() };
    s.write_quietly(1900, more).flush().expect(". 1:1001(1000) ack 1").silence_until(150);
    // This one found no room before it had anything to write.
    assert_eq!(s.conn.capacity(), 36);
    s.write_quietly(36, more).flush().silence_until(160);
    assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
    s.flush().expect("P. 1001:1937(936) ack 1").nothing();
}

#[test]
fn s4_what_nagle_holds_leaves_before_a_writer_waits() {
    let cfg = ConnConfig { no_delay: false, send_buffer: Some(1000), ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(400).expect("P. 1:401(400) ack 1").write(400).silence_until(150);
    refuse(&mut s, 300);
    s.expect("P. 401:801(400) ack 1").nothing();
    // Nothing is sent twice, and the next one waits for an ACK as ever.
    refuse(&mut s, 300);
    s.nothing().inject(". 1:1(0) ack 401 win 8000");
    assert!(s.events().contains(&Event::Writable));
    s.write(300).silence_until(200).inject(". 1:1(0) ack 801 win 8000").expect("P. 801:1101(300) ack 1");
}

#[test]
fn s4_a_refused_writer_hears_when_what_it_has_fits() {
    let cfg = ConnConfig { send_buffer: Some(10_000), ..plain() };
    let mut s = Script::established(&cfg, 65_535);
    s.write(9000);
    refuse(&mut s, 8000);
    s.inject(". 1:1(0) ack 5001");
    assert_eq!(s.events(), [Event::Acked], "half is free, and that is too little");
    s.inject(". 1:1(0) ack 7001");
    assert_eq!(s.events(), [Event::Acked]);
    s.inject(". 1:1(0) ack 8001");
    assert_eq!(s.events(), [Event::Acked, Event::Writable]);
    s.write(8000);
    // More than the buffer will ever hold: when it is empty.
    refuse(&mut s, 10_000);
    s.inject(". 1:1(0) ack 16001");
    assert_eq!(s.events(), [Event::Acked]);
    s.inject(". 1:1(0) ack 17001");
    assert_eq!(s.events(), [Event::Acked, Event::Writable]);
}

#[test]
fn s4_no_more_is_taken_while_much_was_never_sent() {
    let cfg = ConnConfig { notsent_lowat: Some(3000), initial_window: 2, ..plain() };
    let mut s = Script::established(&cfg, 65_535);
    s.write(2000).expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1");
    assert_eq!(s.conn.capacity(), 3000, "what was sent does not count");
    s.write(2500).nothing();
    assert_eq!(s.conn.capacity(), 1000, "500 are left, and a segment may be begun");
    // A whole write is taken while less than that is unsent, as Linux does.
    s.write(1000).nothing();
    assert_eq!(s.conn.capacity(), 0);
    refuse(&mut s, 1);
    assert_eq!(s.events(), []);
    // The window lets out two segments, then all: less than half of the bound is left, and only then it is told.
    s.inject(". 1:1(0) ack 1001")
        .expect(". 2001:3001(1000) ack 1")
        .expect(". 3001:4001(1000) ack 1")
        .nothing();
    assert_eq!(s.events(), [Event::Acked], "1500 are left");
    s.conn.set_notsent_lowat(Some(3001));
    assert_eq!(s.events(), [Event::Writable]);
    assert_eq!(s.conn.capacity(), 1501);
    // Without the bound only the buffer counts.
    s.conn.set_notsent_lowat(None);
    assert!(s.conn.capacity() > 100_000);
}

#[test]
fn s4_sending_alone_makes_a_bounded_writer_writable() {
    let cfg = ConnConfig { notsent_lowat: Some(1000), ..plain() };
    let mut s = Script::established(&cfg, 2000);
    s.write(2000).expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1").write(1000).nothing();
    refuse(&mut s, 1);
    assert_eq!(s.events(), []);
    // The window opens; nothing new is acknowledged.
    s.inject(". 1:1(0) ack 1 win 4000").expect("P. 2001:3001(1000) ack 1");
    assert_eq!(s.events(), [Event::Writable]);
}

#[test]
fn s4_the_buffer_grows_with_the_congestion_window_unless_it_is_fixed() {
    let cfg = ConnConfig { initial_window: 100, ..plain() };
    let mut s = Script::established(&cfg, 65_535);
    assert_eq!(s.conn.stats().send_buffer, 128 << 10);
    s.write(60_000).inject(". 1:1(0) ack 60001");
    let stats = s.conn.stats();
    assert!(stats.cwnd >= 100_000 && stats.send_buffer >= 2 * stats.cwnd, "{stats:?}");
    let mut s = Script::established(&ConnConfig { send_buffer: Some(70_000), ..cfg }, 65_535);
    s.write(60_000).inject(". 1:1(0) ack 60001");
    assert_eq!(s.conn.stats().send_buffer, 70_000);
}

#[test]
fn s4_the_buffer_grows_for_whole_writes_that_do_not_fit() {
    let mut s = Script::established(&plain(), 8000);
    s.write(100_000).write(200_000);
    assert_eq!(s.conn.stats().send_buffer, 2 * 200_064);
    refuse(&mut s, 4 << 20);
    assert_eq!(s.conn.stats().send_buffer, 4 << 20, "no further than it may");
    assert_eq!(s.conn.marks().accepted.0, 300_000);
}

#[test]
fn s4_a_buffer_that_grows_for_another_write_wakes_who_was_refused_before() {
    let cfg = ConnConfig { send_buffer_max: 400_000, ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(50_000);
    // Memory is short, so the buffer does not grow; then it may.
    s.conn.on_memory_pressure(true);
    refuse(&mut s, 60_000);
    assert_eq!(s.events(), []);
    s.conn.on_memory_pressure(false);
    s.write_quietly(60_000, SendFlags::default());
    assert_eq!(s.events(), [Event::Writable]);
    s.conn.check_invariants();
}

#[test]
fn s5_an_empty_queue_takes_a_segment_however_small_the_buffer() {
    for send_buffer in [0, 1, 64, 65] {
        let mut s = Script::established(&ConnConfig { send_buffer: Some(send_buffer), ..plain() }, 8000);
        for n in 1..4 {
            assert_eq!(s.conn.capacity(), 1000, "{send_buffer}");
            s.write(1).expect(&format!("P. {n}:{}(1) ack 1", n + 1));
            assert_eq!((s.conn.capacity(), s.conn.wait_for_room()), (0, Err(WriteErrorKind::Full)));
            s.inject(&format!(". 1:1(0) ack {} win 8000", n + 1));
            assert!(s.events().contains(&Event::Writable));
        }
        s.write(s.conn.capacity()).expect("P. 4:1004(1000) ack 1").inject(". 1:1(0) ack 1004 win 8000");
        // And so after the buffer was made smaller.
        s.conn.set_send_buffer(0);
        assert_eq!(s.conn.capacity(), 1000);
    }
}

#[test]
fn s4_a_bound_on_the_unsent_below_a_segment_cuts_no_segment_short() {
    for lowat in [1, 999, 1001] {
        let cfg = ConnConfig { notsent_lowat: Some(lowat), no_delay: false, ..plain() };
        let mut s = Script::established(&cfg, 8000);
        // A copying writer writes what there is room for, and after that waits for more.
        s.write(s.conn.capacity().min(1000)).expect("P. 1:1001(1000) ack 1");
        assert!(s.conn.capacity() >= 1000, "{lowat}");
        s.write(1000).expect("P. 1001:2001(1000) ack 1");
        // What Nagle's algorithm holds back fills the bound, and nothing more is taken.
        s.write_quietly(lowat.min(999), SendFlags { more: true, ..SendFlags::default() }).flush().nothing();
        assert_eq!(s.conn.capacity(), if lowat > 999 { 1000 } else { 0 }, "{lowat}");
    }
}

#[test]
fn nonsense_in_a_configuration_is_brought_into_range() {
    let cfg = ConnConfig {
        mtu: 1,
        max_mss: Some(1),
        send_buffer: Some(0),
        receive_buffer: 0,
        initial_rto: Nanos::ZERO,
        min_rto: Nanos::ZERO,
        max_rto: Nanos::ZERO,
        delayed_ack: Nanos::from_secs(3600),
        initial_window: 0,
        ..plain()
    };
    let mut s = Script::connect(&cfg);
    s.expect("S 0:0(0) win 1 <mss 88>");
    assert_eq!(s.conn.stats().rto, ms(1));
    s.inject("S. 0:0(0) ack 1 win 8000 <mss 1000>").expect(". 1:1(0) ack 1 win 1");
    let stats = s.conn.stats();
    assert_eq!((stats.mss, stats.cwnd, stats.rto), (88, 88, ms(1)));
    s.write(1).expect("P. 1:2(1) ack 1").inject(". 1:1(0) ack 2");

    // As large as they get.
    let cfg = ConnConfig {
        mtu: u16::MAX,
        max_mss: Some(u16::MAX),
        send_buffer: Some(usize::MAX),
        receive_buffer: usize::MAX,
        initial_rto: Nanos::MAX,
        min_rto: Nanos::MAX,
        max_rto: Nanos::MAX,
        user_timeout: Nanos::MAX,
        delayed_ack: Nanos::from_secs(3600),
        initial_window: u32::MAX,
        ..plain()
    };
    let mut s = Script::established(&cfg, 65535);
    s.write(2000).at(200).inject(". 1:1(0) ack 2001");
    s.sent.clear();
    s.inject(". 1:2(1) ack 2001").expect_at(699, ". 2001:2001(0) ack 2");
}

#[test]
fn s5_a_writer_that_a_tiny_buffer_refuses_is_not_woken_before_the_queue_is_empty() {
    for bytes in [0, 64, 128] {
        let mut s = Script::established(&ConnConfig { send_buffer: Some(bytes), ..plain() }, 9000);
        s.write(1).expect("P. 1:2(1) ack 1");
        assert_eq!(s.conn.capacity(), 0);
        assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
        assert_eq!(s.events(), [], "{bytes}");
        s.inject(". 1:1(0) ack 2");
        assert_eq!(s.events(), [Event::Acked, Event::Writable], "{bytes}");
    }
}
