//! Every way in which a connection fails: an error of its own, told once, with how far the peer had acknowledged (`S6`).

use super::script::*;
use crate::conn::{ConnConfig, Linger, SendFlags, WriteErrorKind};
use crate::{ConnError, ConnErrorKind, Event, IcmpError, IcmpErrorKind, Nanos, Offset, Payload};

/// A connection that wrote 3000 bytes, of which the peer acknowledged 1000; at 150 ms.
fn under_way(cfg: &ConnConfig) -> Script {
    let mut s = Script::established(cfg, 65535);
    s.write(3000).at(150).inject(". 1:1(0) ack 1001");
    assert_eq!(s.events(), [Event::Acked]);
    s.sent.clear();
    s
}

/// It failed like this, with 1000 bytes acknowledged, and says so once, whatever comes afterwards.
fn ended(s: &mut Script, kind: ConnErrorKind) {
    ended_at(s, kind, 1000);
}

fn ended_at(s: &mut Script, kind: ConnErrorKind, acked: u64) {
    assert_eq!(s.events(), [Event::Closed(Err(ConnError { kind, acked: Offset(acked) }))]);
    s.conn.on_unreachable(s.now);
    s.conn.on_icmp(s.now, IcmpError { kind: IcmpErrorKind::HardUnreachable, seq: ISS + 1001 });
    s.inject("R. 1:1(0) ack 1001").inject(". 1:1(0) ack 3001");
    s.abort().close();
    s.until(s.now + Nanos::from_secs(10_000));
    assert_eq!((s.events(), s.conn.take_error()), (vec![], None));
    let refused = s.conn.write(bytes(0, 1), SendFlags::default()).unwrap_err();
    assert_eq!(refused.reason, WriteErrorKind::Closed);
}

#[test]
fn s6_reset() {
    let mut s = under_way(&plain());
    s.inject("R. 1:1(0) ack 1001");
    ended(&mut s, ConnErrorKind::Reset);
    // Refused is another one: nobody was ever there.
    let mut s = Script::connect(&plain());
    s.inject("R. 0:0(0) ack 1");
    ended_at(&mut s, ConnErrorKind::Refused, 0);
}

#[test]
fn s6_whoever_waits_for_it_takes_the_error_and_no_event_tells_it_again() {
    let mut s = under_way(&plain());
    s.inject("R. 1:1(0) ack 1001");
    let reset = ConnError { kind: ConnErrorKind::Reset, acked: Offset(1000) };
    assert_eq!((s.conn.take_error(), s.conn.take_error()), (Some(reset), None));
    assert!(!s.events().contains(&Event::Closed(Err(reset))));
}

#[test]
fn s6_timeout() {
    let cfg = ConnConfig { user_timeout: ms(5000), ..plain() };
    let mut s = under_way(&cfg);
    s.at(5149);
    assert_eq!(s.events(), []);
    s.at(5150);
    ended(&mut s, ConnErrorKind::TimedOut);
    let mut s = Script::connect(&ConnConfig { connect_timeout: ms(5000), ..plain() });
    s.at(5000);
    ended_at(&mut s, ConnErrorKind::TimedOut, 0);
}

#[test]
fn s6_unreachable_by_icmp() {
    let cfg = ConnConfig { user_timeout: ms(5000), ..plain() };
    let mut s = under_way(&cfg);
    s.conn.on_icmp(s.now, IcmpError { kind: IcmpErrorKind::SoftUnreachable, seq: ISS + 1001 });
    s.at(5150);
    ended(&mut s, ConnErrorKind::Unreachable);
    // What arrives says that there is a way after all.
    let mut s = under_way(&cfg);
    s.conn.on_icmp(s.now, IcmpError { kind: IcmpErrorKind::SoftUnreachable, seq: ISS + 1001 });
    s.inject(". 1:1(0) ack 1001").at(5150);
    ended(&mut s, ConnErrorKind::TimedOut);
}

#[test]
fn s6_neighbour_failure() {
    let mut s = under_way(&ConnConfig { user_timeout: ms(5000), ..plain() });
    s.conn.on_unreachable(s.now);
    assert_eq!(s.events(), [], "an open connection goes on trying");
    s.at(5150);
    ended(&mut s, ConnErrorKind::NoNeighbour);
    let mut s = Script::connect(&plain());
    s.conn.on_unreachable(s.now);
    ended_at(&mut s, ConnErrorKind::NoNeighbour, 0);
}

#[test]
fn s6_shutdown() {
    // Ours, by abort or at the end of linger.
    let mut s = under_way(&plain());
    s.abort();
    ended(&mut s, ConnErrorKind::Aborted);
    let mut s = under_way(&ConnConfig { linger: Linger::Bounded(ms(100)), ..plain() });
    s.close().at(250);
    ended(&mut s, ConnErrorKind::Aborted);
    // A write behind our FIN is refused, the payload comes back, and nothing else happens.
    let mut s = under_way(&plain());
    s.shutdown();
    let refused = s.conn.write(bytes(3000, 10), SendFlags::default()).unwrap_err();
    assert_eq!(
        (refused.reason, refused.payload.as_slice()),
        (WriteErrorKind::Finished, bytes(3000, 10).as_slice())
    );
    assert_eq!((s.events(), s.conn.marks().accepted), (vec![], Offset(3000)));
}

#[test]
fn s6_a_good_end_is_no_error() {
    let mut s = under_way(&plain());
    s.shutdown().inject(". 1:1(0) ack 3002").inject("F. 1:1(0) ack 3002");
    assert_eq!(s.conn.take_error(), None);
    assert_eq!(s.events(), [Event::Acked, Event::PeerFinished, Event::Finished, Event::Closed(Ok(()))]);
}
