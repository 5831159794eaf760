//! The segment size: from the peer, from the path, and from who claims what about it (`S7`).

use super::script::*;
use crate::conn::{ConnConfig, Connection};
use crate::{FourTuple, IcmpError, IcmpErrorKind, Time};

fn too_big(mtu: Option<u32>, at: u32) -> IcmpError {
    IcmpError { kind: IcmpErrorKind::PacketTooBig { mtu }, seq: ISS + at }
}

/// Up to 1460 bytes a segment, by a peer that takes `mss`; at 100 ms.
fn open(mss: u16) -> Script {
    let mut s = Script::connect(&ConnConfig { max_mss: None, ..plain() });
    s.expect("S 0:0(0) <mss 1460>").at(100);
    s.inject(&format!("S. 0:0(0) ack 1 win 65535 <mss {mss}>")).expect(". 1:1(0) ack 1");
    s
}

impl Script {
    fn icmp(&mut self, e: IcmpError) -> &mut Script {
        self.conn.on_icmp(self.now, e);
        self.flush()
    }

    fn mss(&self) -> u32 {
        self.conn.stats().mss
    }
}

#[test]
fn s7_the_first_claim_is_believed_at_once_and_what_is_out_is_cut_anew() {
    let mut s = open(1460);
    s.write(2920).expect(". 1:1461(1460) ack 1").expect("P. 1461:2921(1460) ack 1");
    s.icmp(too_big(Some(1000), 1));
    s.expect(". 1:961(960) ack 1").expect(". 961:1921(960) ack 1").expect(". 1921:2881(960) ack 1");
    s.expect("P. 2881:2921(40) ack 1").nothing();
    // The second segment of that flight says the same, and nothing of it is new.
    s.icmp(too_big(Some(1000), 1461)).nothing();
    assert_eq!(s.mss(), 960);
}

#[test]
fn s7_rfc5927_a_claim_against_what_has_arrived_waits_for_a_timeout() {
    let mut s = open(1460);
    s.write(1460).expect("P. 1:1461(1460) ack 1").at(200).inject(". 1:1(0) ack 1461");
    s.write(2920).expect(". 1461:2921(1460) ack 1").expect("P. 2921:4381(1460) ack 1");
    // Full segments are known to pass. Nothing is sent again for that.
    s.icmp(too_big(Some(600), 2921)).nothing();
    assert_eq!((s.mss(), s.conn.stats().icmp_errors), (1460, 1));
    // What it quotes is acknowledged: it was a lie, also for the timeout that comes later.
    s.at(300).inject(". 1:1(0) ack 4381");
    s.write(1460).expect("P. 4381:5841(1460) ack 1").at(2000);
    s.sent.clear();
    assert_eq!((s.mss(), s.conn.stats().timeouts > 0), (1460, true));

    // The path did become smaller: the timeout proves it.
    let mut s = open(1460);
    s.write(1460).expect("P. 1:1461(1460) ack 1").at(200).inject(". 1:1(0) ack 1461");
    s.write(1460).expect("P. 1461:2921(1460) ack 1").at(210).icmp(too_big(Some(1000), 1461)).nothing();
    s.silence_until(449);
    s.expect_at(450, ". 1461:2421(960) ack 1").nothing();
    s.at(600).inject(". 1:1(0) ack 2421").expect("P. 2421:2921(500) ack 1");
    assert_eq!(s.mss(), 960);
}

#[test]
fn s7_small_segments_prove_nothing_about_large_ones() {
    let mut s = open(1460);
    for n in 0..20 {
        s.write(100).inject(&format!(". 1:1(0) ack {}", 100 * n + 101));
    }
    s.sent.clear();
    s.write(1460).expect("P. 2001:3461(1460) ack 1").icmp(too_big(Some(1000), 2001));
    s.expect(". 2001:2961(960) ack 1").expect("P. 2961:3461(500) ack 1");
}

#[test]
fn s7_never_below_536_unless_the_peers_mss_is() {
    for (mss, expected) in [(1460, 536), (600, 536), (300, 300)] {
        for mtu in [None, Some(0), Some(68), Some(575)] {
            let mut s = open(mss);
            s.write(100).icmp(too_big(mtu, 1));
            assert_eq!(s.mss(), expected, "{mss} {mtu:?}");
        }
    }
    // A larger one than before is no news.
    let mut s = open(1460);
    s.write(100).icmp(too_big(Some(1500), 1)).icmp(too_big(Some(u32::MAX), 1));
    assert_eq!(s.mss(), 1460);
}

#[test]
fn s7_ipv6_has_its_own_floor_and_default() {
    let tuple = FourTuple {
        local: "[2001:db8::1]:40000".parse().expect("an address"),
        remote: "[2001:db8::2]:80".parse().expect("an address"),
    };
    let open = |options: &str| {
        let cfg = ConnConfig { max_mss: None, ..plain() };
        let mut s = Script::with(Connection::connect(&cfg, tuple, ISS, 0, Time::ZERO));
        s.expect("S 0:0(0) <mss 1440>").inject(&format!("S. 0:0(0) ack 1 win 65535{options}"));
        s.expect(". 1:1(0) ack 1");
        s
    };
    // MUST-15 of RFC 9293: 1220 without the option.
    assert_eq!(open("").mss(), 1220);
    assert_eq!(open(" <mss 500>").mss(), 500);
    let mut s = open(" <mss 1440>");
    s.write(100).expect("P. 1:101(100) ack 1");
    // RFC 8201 §4: what claims less than 1280 is discarded.
    s.icmp(too_big(Some(1279), 1)).nothing();
    assert_eq!(s.mss(), 1440);
    s.icmp(too_big(Some(1400), 1));
    assert_eq!(s.mss(), 1340);
    s.icmp(too_big(Some(1280), 1));
    assert_eq!(s.mss(), 1220);
}
