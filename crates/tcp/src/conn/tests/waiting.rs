//! Writers that wait for room in the send buffer.

use super::script::{Script, ms, plain};
use crate::conn::{ConnConfig, WriteErrorKind};
use crate::{Event, Nanos};

#[test]
fn s4_a_writer_that_found_no_room_hears_when_there_is() {
    let cfg = ConnConfig { send_buffer: 2000, ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(2000);
    assert_eq!(s.conn.capacity(), 0);
    assert_eq!(s.conn.wait_for_room(), WriteErrorKind::Full);
    assert_eq!(s.events(), []);
    s.at(200).inject(". 1:1(0) ack 2001 win 8000");
    assert!(s.events().contains(&Event::Writable));
    s.shutdown();
    assert_eq!(s.conn.wait_for_room(), WriteErrorKind::Finished);
}

#[test]
fn s5_an_empty_queue_takes_a_byte_however_small_the_buffer() {
    for send_buffer in [0, 1, 64, 65] {
        let mut s = Script::established(&ConnConfig { send_buffer, ..plain() }, 8000);
        for n in 1..4 {
            assert_eq!(s.conn.capacity(), 1, "{send_buffer}");
            s.write(1).expect(&format!("P. {n}:{}(1) ack 1", n + 1));
            assert_eq!((s.conn.capacity(), s.conn.wait_for_room()), (0, WriteErrorKind::Full));
            s.inject(&format!(". 1:1(0) ack {} win 8000", n + 1));
            assert!(s.events().contains(&Event::Writable));
        }
        // And so after the buffer was made smaller.
        s.conn.set_send_buffer(0);
        assert_eq!(s.conn.capacity(), 1);
    }
}

#[test]
fn nonsense_in_a_configuration_is_brought_into_range() {
    let cfg = ConnConfig {
        mtu: 1,
        max_mss: Some(1),
        send_buffer: 0,
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
        send_buffer: usize::MAX,
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
