//! Small sends that wait for the port: `S18`.

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{Nanos, Time, TxLimits};

const EOR: SendFlags = SendFlags { more: false, timestamp: false, eor: true, part: false };

fn us(n: u64) -> Nanos {
    Nanos::from_micros(n)
}

/// A burst of 5000 bytes left at 100 ms, and the port still holds it.
fn held(cfg: &ConnConfig) -> Script {
    let mut s = Script::established(cfg, 65535);
    s.limits = TSO;
    s.write(5000).expect("P. 1:5001(5000) ack 1");
    s.limits = TxLimits { held: 5000, ..TSO };
    s
}

#[test]
fn s18_small_sends_wait_for_the_port_and_leave_together_when_it_lets_go() {
    let mut s = held(&plain());
    assert!(!s.conn.waits_for_port());
    for _ in 0..12 {
        s.write(100).nothing();
    }
    assert!(s.conn.waits_for_port());
    assert_eq!(s.conn.stats().autocorks, 1);
    // 40 us later: the port let go of the burst.
    s.until(s.now + us(40)).nothing();
    s.limits.held = 0;
    s.flush().expect("P. 5001:6201(1200) ack 1").nothing();
    assert!(!s.conn.waits_for_port());
    // Nothing is left of the wait: the next one is bounded anew.
    s.limits.held = 1200;
    s.until(s.now + us(10)).write(100).nothing();
    let begun = s.now;
    s.until(begun + us(99)).nothing();
    s.until(begun + us(100)).expect("P. 6201:6301(100) ack 1").nothing();
    assert_eq!(s.conn.stats().autocorks, 2);
}

#[test]
fn s18_a_port_that_never_lets_go_is_waited_for_100_microseconds() {
    let mut s = held(&plain());
    let begun = s.now;
    s.write(100).nothing();
    // What joins later does not lengthen the wait.
    s.until(begun + us(60)).write(100).nothing();
    assert_eq!(s.conn.next_timeout(), Some(begun + us(100)));
    s.until(begun + us(100)).expect("P. 5001:5201(200) ack 1").nothing();
}

#[test]
fn s18_a_full_burst_does_not_wait() {
    let mut s = held(&plain());
    // Half of cwnd is what a burst may carry: 5000 bytes.
    s.write(4900).nothing();
    s.write(99).nothing();
    s.write(1).expect("P. 5001:10001(5000) ack 1").nothing();
    // Nor one whose chain is full: nothing more could join it.
    let mut s = held(&plain());
    s.limits.max_slices = 3;
    s.write(1000).write(1000).write(1000).nothing();
    s.write(1000).expect("P. 5001:8001(3000) ack 1").nothing();
    // Nor a full segment where the caller cuts bursts, the device segmenting none: company saves no frame.
    let mut s = held(&plain());
    s.limits.cut_below_mss = u16::MAX;
    s.write(999).nothing();
    s.write(1001).expect("P. 5001:7001(2000) ack 1").nothing();
}

#[test]
fn s18_the_end_of_a_long_send_does_not_wait() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TSO;
    s.write_quietly(5100, SendFlags::default());
    let burst = s.conn.poll_transmit(s.now, &s.limits).expect("a burst");
    s.conn.on_sent(&burst, s.now);
    s.limits.held = burst.len;
    s.flush().expect("P. 5001:5101(100) ack 1").nothing();
    // Nor does the end of one in pieces; the next send does.
    s.inject(". 1:1(0) ack 5101");
    s.conn.write(bytes(5100, 9000), SendFlags::default().of_a_part()).expect("room");
    s.flush();
    s.sent.clear();
    s.conn.write(bytes(14_100, 10), SendFlags::default()).expect("room");
    s.flush().expect("P. 14101:14111(10) ack 1").nothing();
    s.conn.write(bytes(14_110, 10), SendFlags::default()).expect("room");
    s.flush().nothing();
}

#[test]
fn s18_what_cannot_grow_or_was_flushed_does_not_wait() {
    // A record that ended, a FIN, a segment that is flushed.
    let mut s = held(&plain());
    s.write_quietly(100, EOR).flush().expect("P. 5001:5101(100) ack 1").nothing();
    s.write(100).nothing();
    s.shutdown().expect("FP. 5101:5201(100) ack 1").nothing();
    let mut s = held(&plain());
    s.write(100).nothing();
    s.conn.set_no_delay(true);
    s.flush().expect("P. 5001:5101(100) ack 1").nothing();
    // An ACK that is owed, and what is sent again.
    s.write(100).nothing();
    s.inject("P. 1:11(10) ack 1").inject("P. 11:2011(2000) ack 1").expect(". 5101:5101(0) ack 2011");
    // Off.
    let mut s = held(&ConnConfig { autocork: false, ..plain() });
    s.write(100).expect("P. 5001:5101(100) ack 1").nothing();
    assert_eq!(s.conn.stats().autocorks, 0);
}

#[test]
fn s18_what_nagle_holds_does_not_wait_for_the_port_too() {
    let mut s = held(&ConnConfig { no_delay: false, ..plain() });
    let begun = s.now;
    s.write(100).nothing();
    s.until(begun + us(100)).expect("P. 5001:5101(100) ack 1");
    // This one is Nagle's: no clock runs.
    s.write(100).nothing();
    assert!(!s.conn.waits_for_port());
    s.until(Time::ZERO + ms(150)).nothing();
    s.inject(". 1:1(0) ack 5101").nothing();
    // Now it is the port's.
    assert!(s.conn.waits_for_port());
    s.limits.held = 0;
    s.flush().expect("P. 5101:5201(100) ack 1").nothing();
}
