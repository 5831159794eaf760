//! What a connection says of itself.

use super::script::*;
use crate::Nanos;

#[test]
fn gauges_tell_the_round_trip_the_windows_and_what_waits() {
    let mut s = Script::established(&plain(), 20_000);
    s.write(30_000);
    assert_eq!(s.ranges().len(), 10);
    s.at(150).inject(". 1:1(0) ack 1001 win 12000");
    let stats = s.conn.stats();
    // RFC 6298 §2: 100 ms of the handshake, then 50 ms.
    let (srtt, rttvar) = (Nanos::from_micros(93_750), Nanos::from_millis(50));
    assert_eq!((stats.srtt, stats.min_rtt, stats.rttvar), (Some(srtt), Some(ms(50)), rttvar));
    assert_eq!(stats.rto, srtt + rttvar * 4);
    assert_eq!((stats.send_window, stats.receive_window), (12_000, 65_535));
    assert_eq!((stats.cwnd, stats.mss), (11_000, 1000));
    assert_eq!(stats.unsent, 30_000 - s.conn.marks().sent.0);
    assert_eq!((stats.bytes_sent, stats.bytes_acked), (s.conn.marks().sent.0, 1000));
}

#[test]
fn what_a_dead_connection_held_is_given_back_without_asking_a_device() {
    let mut s = Script::established(&plain(), 65_535);
    s.write(2500);
    assert!(s.conn.pop_abandoned().is_none(), "of a live connection");
    s.abort();
    assert_eq!(s.conn.pop_abandoned().map(|payload| crate::Payload::len(&payload)), Some(2500));
    assert!(s.conn.pop_abandoned().is_none());
}

#[test]
fn a_setting_changes_by_its_name_too() {
    use crate::conn::{ConnConfig, Setting};
    let mut s = Script::established(&ConnConfig { cork: true, ..plain() }, 65_535);
    s.write(100).nothing();
    s.conn.set(Setting::Cork(false));
    s.flush().expect("P. 1:101(100) ack 1");
}
