//! Probing for the path MTU: black holes, the search for what passes, and what its probes must not do (`S42`).

use super::script::*;
use crate::conn::{ConnConfig, Connection, MtuProbing};
use crate::{FourTuple, IcmpError, IcmpErrorKind, Nanos, Time};

fn probing(mtu_probing: MtuProbing) -> ConnConfig {
    ConnConfig {
        max_mss: None,
        sack: true,
        tail_loss_probe: false,
        idle_restart: false,
        mtu_probing,
        ..plain()
    }
}

/// An established connection with SACK, 100 ms old.
fn open(mtu_probing: MtuProbing) -> Script {
    let mut s = Script::connect(&probing(mtu_probing));
    s.expect("S 0:0(0) <mss 1460,sackOK>").at(100);
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>").expect(". 1:1(0) ack 1");
    s
}

/// Everything is acknowledged, at `ms`.
fn acked(s: &mut Script, ms: u64, upto: u64) {
    s.at(ms).inject(&format!(". 1:1(0) ack {}", upto + 1));
}

#[test]
fn s42_a_black_hole_is_left_at_the_third_timeout() {
    let mut s = open(MtuProbing::BlackHole);
    s.write(1460).expect("P. 1:1461(1460) ack 1");
    acked(&mut s, 200, 1460);
    // From here on nothing above 1200 bytes passes, and nobody says so.
    s.write(2920).expect(". 1461:2921(1460) ack 1").expect("P. 2921:4381(1460) ack 1");
    s.expect_at(450, ". 1461:2921(1460) ack 1").expect_at(950, ". 1461:2921(1460) ack 1");
    s.expect_at(1950, ". 1461:2621(1160) ack 1").nothing();
    let stats = s.conn.stats();
    assert_eq!((stats.black_holes, stats.path_mtu, stats.timeouts), (1, 1200, 3));
    // It arrives, and so does the rest.
    s.at(2050).inject(". 1:1(0) ack 2621");
    s.expect(". 2621:3781(1160) ack 1").expect("P. 3781:4381(600) ack 1").nothing();
    acked(&mut s, 2150, 4380);
    assert_eq!(s.conn.in_flight(), 0);
}

#[test]
fn s42_a_black_hole_is_left_by_a_peer_without_sack_for_ten_minutes() {
    let mut s = Script::connect(&ConnConfig { sack: false, ..probing(MtuProbing::BlackHole) });
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1460>").write(1460).at(2200);
    assert_eq!(s.conn.stats().path_mtu, 1200);
    s.sent.clear();
    acked(&mut s, 2_300, 1_160);
    acked(&mut s, 2_400, 1_460);
    s.sent.clear();
    s.write(1_460).expect(". 1461:2621(1160) ack 1").expect("P. 2621:2921(300) ack 1");
    acked(&mut s, 2_500, 2_920);
    s.at(602_300).write(1_460).at(602_300).expect("P. 2921:4381(1460) ack 1");
}

#[test]
fn s42_options_make_a_segment_too_long_for_a_hole_too() {
    // 526 bytes fit 576 with 40 of headers, and do not with the timestamps.
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..probing(MtuProbing::BlackHole) });
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 10 ecr 0>");
    s.sent.clear();
    s.write(526).at(30_000);
    let lengths: Vec<u32> = s.sent.drain(..).map(|(_, b)| b.len).collect();
    assert_eq!((lengths[5], lengths[6]), (526, 524), "{lengths:?}");
    assert_eq!((s.conn.stats().black_holes, s.conn.stats().path_mtu), (1, 576));
    // What fits with all of them has another reason not to arrive.
    let mut s = Script::connect(&ConnConfig { timestamps: true, ..probing(MtuProbing::BlackHole) });
    s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 10 ecr 0>");
    s.write(524).at(200_000);
    assert_eq!(s.conn.stats().black_holes, 0);
}

#[test]
fn s42_what_is_small_or_told_not_to_falls_into_no_black_hole() {
    let mut s = open(MtuProbing::Off);
    s.write(1460).expect("P. 1:1461(1460) ack 1");
    for at in [400, 1000, 2200, 4600, 9400] {
        s.expect_at(at, "P. 1:1461(1460) ack 1");
    }
    assert_eq!(s.conn.stats().black_holes, 0);
    // The path may be dead: small segments that time out say nothing of large ones.
    let mut s = open(MtuProbing::BlackHole);
    s.write(1160).expect("P. 1:1161(1160) ack 1");
    for at in [400, 1000, 2200, 4600, 9400] {
        s.expect_at(at, "P. 1:1161(1160) ack 1");
    }
    assert_eq!((s.conn.stats().black_holes, s.conn.stats().path_mtu), (0, 1500));
    // Until that has lasted: a path may take no more than the smallest.
    s.at(19_000);
    s.expect(". 1:537(536) ack 1");
    // Progress in between: these were other segments each.
    let mut s = open(MtuProbing::BlackHole);
    s.write(4380).expect(". 1:1461(1460) ack 1");
    s.sent.clear();
    s.at(900);
    s.sent.clear();
    acked(&mut s, 950, 1460);
    s.at(3000);
    assert!(s.conn.stats().timeouts >= 3);
    assert_eq!(s.conn.stats().black_holes, u64::from(s.conn.stats().timeouts >= 5));
}

#[test]
fn s42_a_hole_below_the_base_is_left_for_the_smallest() {
    let mut s = open(MtuProbing::BlackHole);
    s.write(1460).expect("P. 1:1461(1460) ack 1");
    s.expect_at(400, "P. 1:1461(1460) ack 1").expect_at(1000, "P. 1:1461(1460) ack 1");
    for at in [2_200, 4_600, 9_400] {
        s.at(at);
    }
    let lengths: Vec<u32> = s.sent.drain(..).map(|(_, b)| b.len).collect();
    assert_eq!(lengths, [1160, 1160, 1160]);
    s.expect_at(19_000, ". 1:537(536) ack 1");
    assert_eq!(s.conn.stats().black_holes, 2);
    // There is nothing smaller.
    s.at(200_000);
    assert!(s.sent.iter().all(|(_, b)| b.len == 536));
}

/// A device that now and then cuts a segment short of its size lets the stream go on, a short piece for each timeout. That those
/// arrive says nothing of the long ones.
#[test]
fn s42_what_is_shorter_and_arrives_does_not_hide_a_black_hole() {
    let mut s = open(MtuProbing::BlackHole);
    s.write(2920).expect(". 1:1461(1460) ack 1");
    s.at(400).at(1_000);
    // The end arrives; and the beginning, of which a router passed on no more.
    s.at(1_100).inject(". 1:1(0) ack 541");
    s.sent.clear();
    s.at(5_000);
    assert_eq!(s.conn.stats().black_holes, 1, "{:?}", s.sent);
}

/// What is shorter than the segments that time out counts as they do once it times out again.
#[test]
fn s42_a_short_end_of_the_stream_that_a_black_hole_takes_is_made_shorter_too() {
    let mut s = open(MtuProbing::BlackHole);
    s.write(1460 + 1000).expect(". 1:1461(1460) ack 1");
    s.at(400).at(1_000);
    // The long one got through in the end, in pieces, and the end of the stream does not.
    s.at(1_100).inject(". 1:1(0) ack 541").inject(". 1:1(0) ack 1461");
    s.sent.clear();
    s.at(120_000);
    assert_eq!(s.sent.back().map(|(_, b)| b.len), Some(536));
}

#[test]
fn s42_a_probe_that_arrives_makes_segments_longer() {
    let mut s = open(MtuProbing::On);
    assert_eq!(s.conn.stats().path_mtu, 1200);
    // The first segment is one, with others behind it.
    s.write(20_000).expect(". 1:1461(1460) ack 1").expect(". 1461:2621(1160) ack 1");
    assert!(s.sent.iter().all(|(_, b)| b.len == 1160 && b.mss == 1160), "one at a time");
    s.sent.clear();
    s.at(200).inject(". 1:1(0) ack 1461");
    let stats = s.conn.stats();
    assert_eq!((stats.path_mtu, stats.mtu_probes, stats.mtu_probes_lost), (1500, 1, 0));
    assert!(s.sent.iter().all(|(_, b)| b.mss == 1460));
    // There is nothing above.
    acked(&mut s, 300, 11_900);
    s.at(2_000_000);
    assert_eq!(s.conn.stats().mtu_probes, 1);
}

#[test]
fn s42_a_search_begins_where_the_peer_takes_more_than_it_begins_with() {
    for (mss, mtu) in [(1_160, 1_500), (1_161, 1_200)] {
        let mut s = Script::connect(&probing(MtuProbing::On));
        s.at(100).inject(&format!("S. 0:0(0) ack 1 win 65535 <mss {mss},sackOK>"));
        assert_eq!((s.conn.stats().path_mtu, s.conn.stats().mss), (mtu, 1_160));
    }
}

#[test]
fn rfc8200_over_ipv6_everything_begins_and_ends_with_1280_bytes() {
    let open = |mode| {
        let tuple = FourTuple {
            local: "[2001:db8::1]:40000".parse().expect("an address"),
            remote: "[2001:db8::2]:80".parse().expect("an address"),
        };
        let mut s = Script::with(Connection::connect(&probing(mode), tuple, ISS, 0, Time::ZERO));
        s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1440,sackOK>").sent.clear();
        s
    };
    let mut s = open(MtuProbing::On);
    assert_eq!((s.conn.stats().path_mtu, s.conn.stats().mss), (1_280, 1_220));
    s.write(20_000).expect(". 1:1441(1440) ack 1").expect(". 1441:2661(1220) ack 1");
    // A black hole is left at the third timeout, and there is nothing smaller.
    let mut s = open(MtuProbing::BlackHole);
    s.write(1_440).at(60_000);
    let lengths: Vec<u32> = s.sent.drain(..).map(|(_, b)| b.len).collect();
    assert_eq!((&lengths[..3], &lengths[3..6]), (&[1_440; 3][..], &[1_220; 3][..]));
    assert!(lengths[6..].iter().all(|len| *len == 1_220));
    assert_eq!((s.conn.stats().black_holes, s.conn.stats().path_mtu), (1, 1_280));
}

#[test]
fn s42_little_to_send_is_no_probe() {
    let mut s = open(MtuProbing::On);
    s.write(4_000);
    assert!(s.sent.drain(..).all(|(_, b)| b.len <= 1160));
    assert_eq!(s.conn.stats().mtu_probes, 0);
}

/// Sends whatever can be sent, a microsecond apart: what leaves at one time has no order for RACK.
fn trickle(s: &mut Script) {
    while let Some(burst) = s.conn.poll_transmit(s.now, &s.limits) {
        s.conn.on_sent(&burst, s.now);
        s.sent.push_back((s.now, burst));
        s.now += Nanos::from_micros(1);
    }
}

/// A path for packets of up to `mtu` bytes, with a round trip of 100 ms, and a receiver that reports what arrived by SACK.
/// Feeds the application's `bytes`; returns the sizes of the probes. Nothing but probes and what is too big is lost.
fn send_through(s: &mut Script, mtu: u32, bytes: usize) -> Vec<u32> {
    let (mut left, first) = (bytes, s.conn.marks().accepted.0);
    let (mut probes, mut arrived) = (Vec::new(), vec![(0, first)]);
    let mut answers = std::collections::VecDeque::new();
    let end = first + bytes as u64;
    while s.conn.marks().acked.0 < end {
        while left > 0 && s.conn.capacity() > 2_000 {
            let n = left.min(2_000);
            s.write_quietly(n, crate::conn::SendFlags::default());
            left -= n;
        }
        trickle(s);
        for (at, burst) in std::mem::take(&mut s.sent) {
            let path = s.conn.stats().path_mtu;
            if u32::from(burst.mss) + 40 > path && burst.len > 0 && burst.len + 40 > path {
                probes.push(burst.len + 40);
            }
            if burst.len + 40 <= mtu {
                answers.push_back((at + ms(100), burst.offset.0, burst.offset.0 + u64::from(burst.len)));
            }
        }
        let next =
            answers.front().map(|a| a.0).into_iter().chain(s.conn.next_timeout()).min().expect("a way on");
        assert!(s.now < Time::ZERO + ms(10_000_000), "it gets on");
        s.until(next);
        while let Some((_, start, end)) = answers.front().copied().filter(|a| a.0 <= s.now) {
            answers.pop_front();
            arrived.push((start, end));
            arrived.sort_unstable();
            arrived.dedup_by(|b, a| {
                let joins = b.0 <= a.1;
                a.1 = if joins { a.1.max(b.1) } else { a.1 };
                joins
            });
            let una = arrived[0].1;
            let block = arrived.iter().skip(1).find(|r| r.0 <= start && end <= r.1);
            let sack = block.map_or(String::new(), |r| format!(" <sack {}:{}>", r.0 + 1, r.1 + 1));
            s.inject_quietly(&format!(". 1:1(0) ack {}{sack}", una + 1));
            trickle(s);
        }
    }
    probes
}

#[test]
fn s42_the_search_ends_close_to_what_the_path_carries_and_reduces_no_window() {
    for mtu in [1_500, 1_492, 1_400, 1_320, 1_280, 1_206] {
        let mut s = open(MtuProbing::On);
        s.limits.max_slices = 64;
        let probes = send_through(&mut s, mtu, 2_000_000);
        let stats = s.conn.stats();
        assert!((mtu - 8..=mtu).contains(&stats.path_mtu), "{} of {mtu}: {probes:?}", stats.path_mtu);
        assert_eq!((stats.fast_recoveries, stats.timeouts, stats.black_holes), (0, 0, 0), "{mtu}");
        assert_eq!(stats.ssthresh, u64::MAX, "no probe's loss reduced the window");
        // The largest first, and no size more than three times.
        assert_eq!(probes.first().copied().unwrap_or(1_500), 1_500);
        assert!(probes.iter().all(|size| probes.iter().filter(|p| *p == size).count() <= 3), "{probes:?}");
        assert_eq!(stats.mtu_probes_lost as usize, probes.iter().filter(|size| **size > mtu).count());
    }
}

#[test]
fn s42_a_route_that_becomes_narrow_without_a_word_costs_a_few_timeouts_and_is_measured() {
    let mut s = open(MtuProbing::BlackHole);
    s.limits.max_slices = 64;
    send_through(&mut s, 1_500, 100_000);
    let before = s.now;
    let probes = send_through(&mut s, 1_400, 20_000);
    // Three timeouts of 200 ms, doubled twice, and what is left of the round trips.
    assert!(s.now.since(before) < ms(3_000), "{:?}", s.now.since(before));
    assert_eq!(s.conn.stats().black_holes, 1);
    send_through(&mut s, 1_400, 2_000_000);
    let stats = s.conn.stats();
    assert!((1_392..=1_400).contains(&stats.path_mtu), "{} {probes:?}", stats.path_mtu);
    assert_eq!(stats.black_holes, 1);
    // Wide again: nobody says so, but after ten minutes somebody looks.
    let wait = s.now + ms(600_000);
    send_through(&mut s, 1_500, 50_000);
    assert!(s.conn.stats().path_mtu <= 1_400);
    s.until(wait);
    send_through(&mut s, 1_500, 50_000);
    assert_eq!(s.conn.stats().path_mtu, 1_500);
}

fn too_big(mtu: u32, at: u32) -> IcmpError {
    IcmpError { kind: IcmpErrorKind::PacketTooBig { mtu: Some(mtu) }, seq: ISS + at }
}

#[test]
fn s42_a_router_that_answers_a_probe_shortens_the_search() {
    let mut s = open(MtuProbing::On);
    s.write(40_000).expect(". 1:1461(1460) ack 1");
    s.sent.clear();
    s.at(150);
    s.conn.on_icmp(s.now, too_big(1_400, 1));
    s.flush();
    // It leaves again at once in segments that pass; the window is what it was.
    s.expect(". 1:1161(1160) ack 1").expect(". 1161:1461(300) ack 1");
    assert_eq!((s.conn.stats().path_mtu, s.conn.stats().ssthresh), (1_200, u64::MAX));
    s.sent.clear();
    let out = s.conn.marks().sent.0;
    acked(&mut s, 250, out);
    // What the router said passes is tried next.
    let first = s.sent.pop_front().expect("a segment").1;
    assert_eq!(first.len, 1_360);
    s.sent.clear();
    acked(&mut s, 350, first.offset.0 + 1_360);
    assert_eq!(s.conn.stats().path_mtu, 1_400);
    assert_eq!(s.conn.stats().mtu_probes, 2);
    // That is known then: larger ones are due again after ten minutes.
    for at in [450, 550, 650] {
        let out = s.conn.marks().sent.0;
        acked(&mut s, at, out);
    }
    s.at(600_349).sent.clear();
    s.write(6_000).expect(". 40001:41361(1360) ack 1").sent.clear();
    acked(&mut s, 600_449, 46_000);
    s.write(6_000).expect(". 46001:47461(1460) ack 1");
}

#[test]
fn s42_a_router_is_believed_that_names_a_size_between_what_passes_and_the_probe() {
    for (mtu, refused) in [(1_199, 0), (1_200, 1), (1_499, 1), (1_500, 0)] {
        let mut s = open(MtuProbing::On);
        s.write(40_000).at(150);
        s.conn.on_icmp(s.now, too_big(mtu, 1));
        assert_eq!(s.conn.stats().mtu_probes_lost, refused, "{mtu}");
    }
}

#[test]
fn s42_a_probe_fits_what_the_device_takes_and_half_of_the_window() {
    for (budget, probes) in [(1_459, 0), (1_460, 1)] {
        let mut s = open(MtuProbing::On);
        s.limits.budget = budget;
        s.write(20_000);
        assert_eq!(s.conn.stats().mtu_probes, probes, "{budget}");
    }
    // 8960 bytes, of jumbo frames.
    for (window, probes) in [(17_919, 0), (17_920, 1)] {
        let cfg = ConnConfig { mtu: 9_000, initial_window: 20, ..probing(MtuProbing::On) };
        let mut s = Script::connect(&cfg);
        s.at(100).inject(&format!("S. 0:0(0) ack 1 win {window} <mss 8960,sackOK>"));
        s.write(30_000);
        assert_eq!(s.conn.stats().mtu_probes, probes, "{window}");
    }
}

#[test]
fn s42_a_probe_that_times_out_was_lost() {
    let mut s = open(MtuProbing::On);
    s.write(20_000).expect(". 1:1461(1460) ack 1").sent.clear();
    s.expect_at(400, ". 1:1161(1160) ack 1");
    assert_eq!((s.conn.stats().mtu_probes, s.conn.stats().mtu_probes_lost), (1, 1));
    // It is counted once, and nothing that leaves now is one.
    s.at(1_000);
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().mtu_probes_lost), (2, 1));
}

#[test]
fn s42_what_was_lost_right_behind_a_probe_is_not_the_probe() {
    let mut s = open(MtuProbing::On);
    s.write(1_160).expect("P. 1:1161(1160) ack 1").write(20_000).expect(". 1161:2621(1460) ack 1");
    s.expect(". 2621:3781(1160) ack 1").sent.clear();
    // The segments on both sides of it are lost.
    s.at(200).inject(". 1:1(0) ack 1 <sack 1161:2621 3781:7261>");
    assert_eq!((s.conn.stats().fast_recoveries, s.conn.stats().path_mtu), (1, 1_200));
    acked(&mut s, 300, 7_260);
    assert_eq!((s.conn.stats().path_mtu, s.conn.stats().mtu_probes_lost), (1_500, 0));
}

#[test]
fn s42_a_probe_leaves_as_soon_as_it_fits_the_window_with_three_segments_to_follow() {
    let open = |window| {
        let mut s = Script::connect(&probing(MtuProbing::On));
        s.at(100).inject(&format!("S. 0:0(0) ack 1 win {window} <mss 1460,sackOK>")).sent.clear();
        s
    };
    // A probe of 1460 bytes and three segments of 1160 are 4940; less than that is out, and it fits to the byte.
    let mut s = open(4_940);
    s.write(3_480).sent.clear();
    s.write(10_000).expect(". 3481:4941(1460) ack 1").nothing();
    let mut s = open(4_939);
    s.write(3_480).sent.clear();
    s.write(10_000).expect(". 3481:4641(1160) ack 1");
    assert_eq!(s.conn.stats().mtu_probes, 0);
    // Where there is room for less than a probe it waits, instead of filling that up for ever.
    let mut s = open(6_000);
    s.write(4_640).sent.clear();
    s.write(10_000).nothing();
    s.at(200).inject(". 1:1(0) ack 1161 win 6000").expect(". 4641:6101(1460) ack 1");
}

#[test]
fn s42_rfc1191_what_a_router_lowered_grows_again_after_ten_minutes() {
    for (mode, sack) in [(MtuProbing::Off, true), (MtuProbing::BlackHole, false)] {
        let mut s = Script::connect(&ConnConfig { sack, ..probing(mode) });
        s.at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>");
        s.write(1_460).at(150);
        s.conn.on_icmp(s.now, too_big(1_000, 1));
        s.flush();
        acked(&mut s, 250, 1_460);
        s.sent.clear();
        s.at(600_000).write(1_460).expect(". 1461:2421(960) ack 1");
        acked(&mut s, 600_100, 2_420);
        s.sent.clear();
        let out = s.conn.marks().accepted.0;
        acked(&mut s, 600_140, out);
        // As large as the interface allows: the router will say when that is too much. What the port may take was reckoned
        // before, and may be less than such a segment: the port is asked again, at once.
        s.limits.budget = 1_400;
        s.at(600_150).write(1_460).nothing();
        assert!(s.conn.next_timeout().is_some_and(|at| at <= s.now));
        s.limits.budget = 2_920;
        s.at(600_150).expect("P. 2921:4381(1460) ack 1");
        assert_eq!((s.conn.stats().path_mtu, s.conn.stats().mtu_probes), (1_500, 0));
    }
}
