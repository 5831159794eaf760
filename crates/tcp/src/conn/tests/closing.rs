//! Every way to close (RFC 9293 §3.6, `S45`).

use super::script::*;
use crate::conn::{ConnConfig, Linger, SendFlags, State, TimeWaitTimestamps};
use crate::{ConnError, ConnErrorKind, Event, Nanos, Offset, Seq};

fn aborted(acked: u64) -> Event {
    Event::Closed(Err(ConnError { kind: ConnErrorKind::Aborted, acked: Offset(acked) }))
}

#[test]
fn rfc9293_figure_12_we_close_first() {
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1");
    assert_eq!(s.state(), State::FinWait1);
    s.inject(". 1:1(0) ack 2").nothing();
    assert_eq!((s.state(), s.events()), (State::FinWait2, vec![Event::Finished]));
    // Half closed: the peer still sends, for as long as it likes.
    s.at(1_000_000).inject("P. 1:1001(1000) ack 2").at(1_000_040).expect(". 2:2(0) ack 1001");
    assert_eq!(s.read(), 1000);
    s.conn.on_segment(s.now, parse("F. 1001:1001(0) ack 2"));
    assert_eq!((s.state(), s.conn.time_wait()), (State::TimeWait, None));
    s.flush().expect(". 2:2(0) ack 1002");
    assert_eq!(s.events(), [Event::Readable, Event::PeerFinished, Event::Closed(Ok(()))]);
    let tw = s.conn.time_wait().expect("TIME-WAIT");
    assert_eq!((tw.tuple, tw.snd_nxt, tw.rcv_nxt), (tuple(), ISS + 2, IRS + 1002));
    assert_eq!((tw.timestamps, tw.expires), (None, s.now + Nanos::from_secs(60)));
    // MUST-13: kept until 2 MSL after the last FIN.
    s.at(1_030_000).inject("F. 1001:1001(0) ack 2").expect(". 2:2(0) ack 1002");
    assert_eq!(s.conn.time_wait().expect("TIME-WAIT").expires, s.now + Nanos::from_secs(60));
    // Text from before it says as much: the peer has not got our last ACK, and its FIN will come again.
    s.at(1_040_000).inject("P. 1:1001(1000) ack 2").expect(". 2:2(0) ack 1002");
    // What nobody sent, and an ACK alone, say nothing.
    s.at(1_050_000).inject("P. 99001:99002(1) ack 2").expect(". 2:2(0) ack 1002");
    s.inject(". 1001:1001(0) ack 2").expect(". 2:2(0) ack 1002");
    s.silence_until(1_099_999);
    assert_eq!(s.state(), State::TimeWait);
    s.silence_until(1_100_000);
    assert!(s.conn.is_closed());
    assert_eq!(s.events(), []);
}

#[test]
fn rfc9293_the_peer_closes_first() {
    let mut s = Script::established(&plain(), 9000);
    s.inject("FP. 1:11(10) ack 1").expect(". 1:1(0) ack 12");
    assert_eq!((s.state(), s.events()), (State::CloseWait, vec![Event::Readable, Event::PeerFinished]));
    // We may still send.
    s.write(1500).expect(". 1:1001(1000) ack 12").expect("P. 1001:1501(500) ack 12");
    s.shutdown().expect("F. 1501:1501(0) ack 12");
    assert_eq!(s.state(), State::LastAck);
    s.inject(". 12:12(0) ack 1501").nothing();
    assert_eq!(s.state(), State::LastAck);
    s.inject(". 12:12(0) ack 1502").nothing();
    assert_eq!(s.state(), State::Closed);
    assert_eq!(s.events(), [Event::Acked, Event::Finished, Event::Closed(Ok(()))]);
    assert!(s.conn.is_closed() && s.conn.next_timeout().is_none() && s.conn.time_wait().is_none());
    // What was received is still there.
    assert_eq!(s.read(), 10);
}

#[test]
fn rfc9293_figure_13_both_close_at_once() {
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1");
    s.inject("F. 1:1(0) ack 1").expect(". 2:2(0) ack 2");
    assert_eq!(s.state(), State::Closing);
    s.inject(". 2:2(0) ack 2").nothing();
    assert_eq!(s.state(), State::TimeWait);
    assert_eq!(s.events(), [Event::PeerFinished, Event::Finished, Event::Closed(Ok(()))]);
}

#[test]
fn a_fin_that_acknowledges_ours_goes_straight_to_time_wait() {
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject("F. 1:1(0) ack 2").expect(". 2:2(0) ack 2");
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn time_wait_hands_over_timestamps() {
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..plain() });
    s.expect("S 0:0(0)").inject("S. 0:0(0) ack 1 <mss 1000,TS val 5 ecr 0>").expect(". 1:1(0) ack 1");
    s.shutdown()
        .expect("F. 1:1(0) ack 1")
        .inject("F. 1:1(0) ack 2 <TS val 9 ecr 0>")
        .expect(". 2:2(0) ack 2");
    let tw = s.conn.time_wait().expect("TIME-WAIT");
    assert_eq!(tw.timestamps, Some(TimeWaitTimestamps { offset: 0, recent: 9 }));
}

#[test]
fn the_fin_waits_for_what_is_queued() {
    let mut s = Script::established(&plain(), 2000);
    s.write(5000).shutdown();
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000)]);
    assert_eq!(s.state(), State::FinWait1);
    s.inject(". 1:1(0) ack 2001 win 2000").inject(". 1:1(0) ack 4001 win 2000");
    s.expect(". 2001:3001(1000) ack 1")
        .expect("P. 3001:4001(1000) ack 1")
        .expect("FP. 4001:5001(1000) ack 1");
    // An ACK of the bytes is not one of the FIN.
    s.inject(". 1:1(0) ack 5001").nothing();
    assert_eq!(s.state(), State::FinWait1);
    s.inject(". 1:1(0) ack 5002");
    assert_eq!(s.state(), State::FinWait2);
}

#[test]
fn shutting_down_twice_is_once() {
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().shutdown().expect("F. 1:1(0) ack 1").nothing();
    s.inject(". 1:1(0) ack 2").shutdown().nothing();
    assert_eq!(s.state(), State::FinWait2);
}

#[test]
fn abort_resets_where_the_peer_must_be_told() {
    let mut s = Script::established(&plain(), 9000);
    s.write(3000);
    s.sent.clear();
    s.inject(". 1:1(0) ack 1001").abort().expect("R. 3001:3001(0) ack 1").nothing();
    assert_eq!(s.events(), [Event::Acked, aborted(1000)]);
    assert!(s.conn.is_closed());
    s.abort().nothing();

    // CLOSE-WAIT, FIN-WAIT-1, FIN-WAIT-2, SYN-RECEIVED.
    let mut s = Script::established(&plain(), 9000);
    s.inject("F. 1:1(0) ack 1").expect(". 1:1(0) ack 2").abort().expect("R. 1:1(0) ack 2");
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").abort().expect("R. 2:2(0) ack 1");
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject(". 1:1(0) ack 2").abort().expect("R. 2:2(0) ack 1");
    let mut s = Script::accept(&plain(), "S 0:0(0)");
    s.expect("S. 0:0(0) ack 1").abort().expect("R. 1:1(0) ack 1");
}

#[test]
fn abort_is_silent_where_rfc9293_says_so() {
    // SYN-SENT: nobody knows us yet.
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").abort().nothing();
    assert_eq!(s.events(), [aborted(0)]);
    // CLOSING, LAST-ACK, TIME-WAIT.
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject("F. 1:1(0) ack 1").expect(". 2:2(0) ack 2");
    s.abort().nothing();
    let mut s = Script::established(&plain(), 9000);
    s.inject("F. 1:1(0) ack 1").expect(". 1:1(0) ack 2").shutdown().expect("F. 1:1(0) ack 2");
    s.abort().nothing();
    assert!(s.conn.is_closed());
}

#[test]
fn a_reset_that_the_device_refuses_is_still_owed() {
    let mut s = Script::established(&plain(), 9000);
    s.conn.abort(s.now);
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("the RST");
    assert!(s.conn.poll_transmit(s.now, &PLAIN).is_none());
    s.conn.on_refused(&burst);
    assert!(!s.conn.is_closed());
    s.flush().expect("R. 1:1(0) ack 1").nothing();
    assert!(s.conn.is_closed());
}

#[test]
fn shld_3_closing_with_unread_bytes_resets() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 1:1001(1000) ack 1").close().expect("R. 1:1(0) ack 1001").nothing();
    assert!(s.conn.is_closed());
}

#[test]
fn bytes_for_a_closed_application_reset() {
    let mut s = Script::established(&plain(), 9000);
    s.write(500).close().expect("P. 1:501(500) ack 1").expect("F. 501:501(0) ack 1");
    // Nothing new in it: no harm.
    s.inject(". 1:1(0) ack 502").nothing();
    assert_eq!(s.state(), State::FinWait2);
    s.inject("P. 1:11(10) ack 502").expect("R. 502:502(0) ack 1").nothing();
    assert!(s.conn.is_closed());
}

#[test]
fn close_lets_go_of_what_was_received_out_of_order() {
    let mut s = Script::established(&plain(), 9000);
    s.inject(". 101:201(100) ack 1").expect(". 1:1(0) ack 1");
    assert_eq!(s.conn.recv.buffered(), 100);
    s.close().expect("F. 1:1(0) ack 1");
    assert_eq!(s.conn.recv.buffered(), 0);
}

#[test]
fn close_delivers_in_the_background() {
    let mut s = Script::established(&plain(), 9000);
    s.write(2000).close().close();
    assert_eq!(s.ranges(), [(0, 1000), (1000, 2000), (2000, 2000)]);
    s.inject(". 1:1(0) ack 2002").inject("F. 1:1(0) ack 2002").expect(". 2002:2002(0) ack 2");
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn a_closed_application_does_not_wait_for_ever_for_the_peers_fin() {
    let mut s = Script::established(&plain(), 9000);
    s.close().expect("F. 1:1(0) ack 1").at(300).inject(". 1:1(0) ack 2").silence_until(60_299);
    assert_eq!(s.state(), State::FinWait2);
    s.silence_until(60_300);
    assert!(s.conn.is_closed());
    // The same when it closes only then.
    let mut s = Script::established(&plain(), 9000);
    s.shutdown()
        .expect("F. 1:1(0) ack 1")
        .inject(". 1:1(0) ack 2")
        .at(300_000)
        .close()
        .silence_until(360_000);
    assert!(s.conn.is_closed());
}

#[test]
fn a_closed_connection_whose_peer_has_everything_can_be_forgotten_without_a_reset() {
    let mut s = Script::established(&plain(), 9000);
    assert!(!s.conn.forget(s.now), "it is open");
    s.close().expect("F. 1:1(0) ack 1");
    assert!(!s.conn.forget(s.now), "the peer does not have the FIN yet");
    s.inject(". 1:1(0) ack 2");
    assert!(s.conn.forget(s.now));
    s.nothing();
    assert!(s.conn.is_closed());
    // As long as the application holds it, it is not.
    let mut s = Script::established(&plain(), 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject(". 1:1(0) ack 2");
    assert!(!s.conn.forget(s.now));
    assert_eq!(s.state(), State::FinWait2);
}

#[test]
fn linger_bounds_the_delivery() {
    let cfg = ConnConfig { linger: Linger::Bounded(Nanos::from_secs(2)), ..plain() };
    let mut s = Script::established(&cfg, 1000);
    s.write(3000).close();
    s.sent.clear();
    s.at(1500).inject(". 1:1(0) ack 1001 win 1000");
    s.sent.clear();
    s.at(2099);
    assert_eq!(s.state(), State::FinWait1);
    s.sent.clear();
    s.expect_at(2100, "R. 2001:2001(0) ack 1").nothing();
    assert_eq!(s.events(), [Event::Acked, aborted(1000)]);
    // Closing again does not begin anew, and a connection that is over stays so.
    let mut s = Script::established(&cfg, 0);
    s.write(10).close().at(1000).close().at(2100);
    assert_eq!(s.state(), State::Closed);
    s.close();
    assert_eq!(s.conn.next_timeout(), None);
    // Delivered in time: the peer's FIN may take longer.
    let mut s = Script::established(&cfg, 9000);
    s.close().expect("F. 1:1(0) ack 1").inject(". 1:1(0) ack 2").silence_until(50_000);
    assert_eq!(s.state(), State::FinWait2);
    // An ordinary close.
    let mut s = Script::established(&cfg, 9000);
    s.close().expect("F. 1:1(0) ack 1").inject(". 1:1(0) ack 2").inject("F. 1:1(0) ack 2");
    s.expect(". 2:2(0) ack 2").silence_until(50_000);
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn a_linger_of_zero_resets_at_once() {
    let cfg = ConnConfig { linger: Linger::Bounded(Nanos::ZERO), ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.write(1000).expect("P. 1:1001(1000) ack 1").close().expect("R. 1001:1001(0) ack 1").nothing();
    assert!(s.conn.is_closed());
}

#[test]
fn s45_a_linger_of_zero_has_nothing_to_reset_in_time_wait() {
    let cfg = ConnConfig { linger: Linger::Bounded(Nanos::ZERO), ..plain() };
    let mut s = Script::established(&cfg, 9000);
    s.shutdown().expect("F. 1:1(0) ack 1").inject(". 1:1(0) ack 2");
    // The peer's last bytes and its FIN are not acknowledged yet.
    s.inject_quietly("FP. 1:101(100) ack 2");
    assert_eq!(s.read(), 100);
    s.close().expect(". 2:2(0) ack 102");
    assert_eq!(s.state(), State::TimeWait);
    // That acknowledgement is lost: TIME-WAIT is there to repeat it.
    s.inject("FP. 1:101(100) ack 2").expect(". 2:2(0) ack 102");
}

#[test]
fn closing_an_open_in_progress() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").close().nothing();
    assert!(s.conn.is_closed());
    // In SYN-RECEIVED the wish is kept.
    let mut s = Script::accept(&plain(), "S 0:0(0) <mss 1000>");
    s.expect("S. 0:0(0) ack 1").close().nothing();
    s.inject(". 1:1(0) ack 1").expect("F. 1:1(0) ack 1");
    assert_eq!(s.state(), State::FinWait1);
}

#[test]
fn text_and_fin_wrap_around_the_sequence_space() {
    // ISS and IRS lie close below 2^32: every script wraps; this one looks at it.
    let mut s = Script::established(&plain(), 9000);
    s.write_quietly(1999, SendFlags::default()).shutdown();
    let (_, first) = s.sent.pop_front().expect("a segment");
    let (_, fin) = s.sent.pop_front().expect("a segment");
    assert_eq!((first.seq, fin.seq), (Seq(u32::MAX - 1999), Seq(u32::MAX - 999)));
    // The FIN is sequence number 2^32 - 1, and its ACK is 0.
    assert_eq!(fin.seq + fin.len, Seq(u32::MAX));
    s.inject(". 1:1(0) ack 2001");
    assert_eq!(s.state(), State::FinWait2);
}
