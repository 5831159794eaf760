//! Accurate ECN (RFC 9768, `S35`): who agrees to what, what is counted and how it is told. `A`, `W` and `E` of a segment are
//! the three bits of ACE, the highest first; the count begins at five, `A` and `E`.

use super::script::*;
use crate::conn::cc::ControllerKind;
use crate::conn::{ConnConfig, EcnMode, State};
use crate::wire::TcpOptions;

fn accurate() -> ConnConfig {
    ConnConfig { ecn: EcnMode::Accurate, ..plain() }
}

/// An established connection that we opened, 100 ms old, and ten segments out.
fn ten_out(cfg: &ConnConfig) -> Script {
    let mut s = Script::connect(cfg);
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.expect("W. 1:1(0) ack 1 <ceb 0>").write(40_000);
    assert_eq!(s.ranges().len(), 10);
    s
}

/// An established connection that the peer opened and on which nothing was sent yet.
fn accepted(cfg: &ConnConfig) -> Script {
    let mut s = Script::accept(cfg, "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1").inject("W. 1:1(0) ack 1");
    s
}

#[test]
fn rfc9768_who_asks_and_is_agreed_with_counts_from_five_in_every_segment() {
    let mut s = Script::connect(&accurate());
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    // How the SYN,ACK arrived; the option once, to see whether it does.
    s.expect("W. 1:1(0) ack 1 <ceb 0>");
    assert!(s.conn.stats().ecn && s.conn.stats().accurate_ecn);
    s.inject("EA. 1:1(0) ack 1").inject("EA. 1:1001(1000) ack 1").inject("EA. 1001:2001(1000) ack 1");
    s.expect("EA. 1:1(0) ack 2001 <>");
    s.write(1_500).expect("[ect0] EA. 1:1001(1000) ack 2001 <>");
    s.expect("[ect0] PEA. 1001:1501(500) ack 2001 <>");
    s.expect_at(400, "EA. 1:1001(1000) ack 2001").at(500).inject("EA. 2001:2001(0) ack 1501");
    s.sent.clear();
    s.shutdown().expect("FEA. 1501:1501(0) ack 2001").nothing();
}

#[test]
fn rfc9768_every_answer_to_who_asks() {
    // The answer; whether it is ECN at all, Accurate ECN, and new data may be marked.
    for (answer, ecn, accurate_ecn, capable) in [
        ("S.", false, false, false),
        ("SEWA.", false, false, false),
        ("SE.", true, false, true),
        ("SEA.", true, false, true),
        ("SW.", true, true, true),
        // The SYN arrived otherwise than it left.
        ("SEW.", true, true, false),
        ("SA.", true, true, false),
        ("SWA.", true, true, false),
    ] {
        let mut s = Script::connect(&accurate());
        s.expect("SEWA 0:0(0)").at(100).inject(&format!("{answer} 0:0(0) ack 1 win 65535 <mss 1000>"));
        s.sent.clear();
        let stats = s.conn.stats();
        assert_eq!((stats.ecn, stats.accurate_ecn), (ecn, accurate_ecn), "{answer}");
        s.write(1_000);
        assert_eq!(s.sent[0].1.ect, capable, "{answer}");
    }
}

#[test]
fn rfc9768_the_first_ack_says_how_the_syn_ack_arrived() {
    for (field, flags, count) in
        [("", "W", "EA"), ("[ect1] ", "EW", "EA"), ("[ect0] ", "A", "EA"), ("[ce] ", "WA", "WA")]
    {
        let mut s = Script::connect(&accurate());
        s.expect("SEWA 0:0(0)").at(100).inject(&format!("{field}SW. 0:0(0) ack 1 win 65535 <mss 1000>"));
        s.expect(&format!("{flags}. 1:1(0) ack 1"));
        // It was lost: the same again, and counts from then on.
        s.inject(&format!("{field}SW. 0:0(0) ack 1 win 65535 <mss 1000>"));
        s.expect(&format!("{flags}. 1:1(0) ack 1")).write(1_000);
        s.expect(&format!("[ect0] P{count}. 1:1001(1000) ack 1")).nothing();
    }
}

#[test]
fn rfc9768_every_question_to_who_agrees() {
    for (syn, answer) in [
        ("S", "S"),
        ("SEW", "SE"),
        ("SEWA", "SW"),
        ("SA", "SW"),
        ("SE", "SW"),
        ("SEA", "SW"),
        ("SW", "SW"),
        ("SWA", "SW"),
    ] {
        Script::accept(&accurate(), &format!("{syn} 0:0(0) win 65535 <mss 1000>"))
            .expect(&format!("{answer}. 0:0(0) ack 1"));
    }
    for (field, answer) in [("[ect1] ", "SEW"), ("[ect0] ", "SA"), ("[ce] ", "SWA")] {
        Script::accept(&accurate(), &format!("{field}SEWA 0:0(0) win 65535 <mss 1000>"))
            .expect(&format!("{answer}. 0:0(0) ack 1"));
    }
    // Who was not told to knows RFC 3168 only, or nothing.
    for (ecn, answer) in [(EcnMode::On, "SE"), (EcnMode::Passive, "SE"), (EcnMode::Off, "S")] {
        Script::accept(&ConnConfig { ecn, ..plain() }, "SEWA 0:0(0) win 65535 <mss 1000>")
            .expect(&format!("{answer}. 0:0(0) ack 1"));
    }
}

#[test]
fn rfc9768_the_third_syn_asks_for_nothing_and_nothing_may_be_marked_then() {
    let mut s = Script::connect(&accurate());
    s.expect("SEWA 0:0(0)").expect_at(1_000, "SEWA 0:0(0)").expect_at(3_000, "S 0:0(0)");
    s.at(3_100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>").expect("W. 1:1(0) ack 1");
    s.write(1_000).expect("PEA. 1:1001(1000) ack 1");
    // Nor where the peer knows the older form, in answer to the first.
    let mut s = Script::connect(&accurate());
    s.at(3_100).inject("SE. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.sent.clear();
    s.write(1_000).expect("P. 1:1001(1000) ack 1");
    s.inject("[ce] . 1:501(500) ack 1001").expect("E. 1001:1001(0) ack 501");
    let mut s = Script::accept(&accurate(), "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1").expect_at(1_000, "SW. 0:0(0) ack 1").expect_at(3_000, "S. 0:0(0) ack 1");
    s.inject("W. 1:1(0) ack 1")
        .write(1_000)
        .expect("EA. 1:993(992) ack 1 <ceb 0>")
        .expect("PEA. 993:1001(8) ack 1");
    // The peer gave up asking.
    let mut s = Script::accept(&accurate(), "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1").at(500).inject("S 0:0(0) win 65535 <mss 1000>").expect("SW. 0:0(0) ack 1");
    s.inject("W. 1:1(0) ack 1").write(1_000).expect("EA. 1:993(992) ack 1");
}

#[test]
fn rfc9768_an_ack_of_the_syn_ack_that_cannot_be_true_turns_marking_off() {
    for (flags, capable) in
        [("W", true), ("", false), ("A", false), ("EW", false), ("WA", false), ("E", true), ("EA", true)]
    {
        let mut s = Script::accept(&accurate(), "SEWA 0:0(0) win 65535 <mss 1000>");
        s.expect("SW. 0:0(0) ack 1").inject(&format!("{flags}. 1:1(0) ack 1"));
        s.write(500);
        assert_eq!(s.sent[0].1.ect, capable, "{flags}");
    }
    // With data it is a count.
    let mut s = Script::accept(&accurate(), "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1").inject("A. 1:501(500) ack 1").write(500);
    assert!(s.sent[0].1.ect);
    // And zero at the beginning of one is what middleboxes make of it.
    let mut s = ten_out(&accurate());
    s.inject(". 1:1(0) ack 1001").inject(". 1:1(0) ack 3001");
    s.at(5_000).inject(". 1:1(0) ack 10001");
    assert!(s.sent.iter().all(|(_, burst)| !burst.ect));
    assert_eq!((s.conn.stats().ecn_marks_reported, s.conn.stats().ecn_reductions), (0, 0));
}

#[test]
fn rfc9768_marks_are_counted_around_eight_and_reduce_once_in_a_window() {
    let mut s = ten_out(&accurate());
    s.at(200).inject("EA. 1:1(0) ack 1001").expect("[ect0] EA. 10001:11001(1000) ack 1");
    s.expect("[ect0] EA. 11001:12001(1000) ack 1").nothing();
    // Two of two; and nothing says that the window was reduced: nobody waits for that.
    s.inject("EWA. 1:1(0) ack 3001").expect("[ect0] EA. 12001:13001(1000) ack 1").nothing();
    assert_eq!((s.conn.stats().ecn_marks_reported, s.conn.stats().ssthresh), (2, 5_500));
    // Seven, and then nought.
    s.inject(". 1:1(0) ack 4001").inject(". 1:1(0) ack 6001");
    let stats = s.conn.stats();
    assert_eq!((stats.ecn_marks_reported, stats.ecn_reductions, stats.ssthresh), (3, 1, 5_500));
    // An ACK of nothing new may be an old one: it counts nothing.
    s.inject("EA. 1:1(0) ack 6001");
    assert_eq!(s.conn.stats().ecn_marks_reported, 3);
}

#[test]
fn rfc9768_marked_bytes_tell_how_often_the_count_came_around() {
    let mut s = ten_out(&accurate());
    // Ten packets: the count is two further.
    s.at(200).inject("EWA. 1:1(0) ack 10001 <ceb 10000>");
    assert_eq!((s.conn.stats().ecn_marks_reported, s.conn.stats().ecn_reductions), (10, 1));
    s.sent.clear();
    // An ACK without the option, then what it left out: counted once.
    s.at(300).inject(". 1:1(0) ack 11001");
    assert_eq!(s.conn.stats().ecn_marks_reported, 11);
    s.inject("E. 1:1(0) ack 12001 <ceb 12000>");
    assert_eq!(s.conn.stats().ecn_marks_reported, 12);
    // One that is behind says nothing.
    s.inject("E. 1:1(0) ack 13001 <ceb 9000>");
    assert_eq!(s.conn.stats().ecn_marks_reported, 12);
}

#[test]
fn rfc9768_a_2_1_where_acks_were_lost_the_count_is_believed_to_have_come_around() {
    let cfg = ConnConfig { initial_window: 30, send_buffer: Some(1 << 20), ..accurate() };
    let mut s = Script::connect(&cfg);
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.write(40_000);
    for ack in (1_001..=9_001).step_by(1_000) {
        s.inject(&format!("EA. 1:1(0) ack {ack}"));
    }
    // Ten packets at once from somebody who acknowledges each.
    s.inject("EA. 1:1(0) ack 19001");
    assert_eq!(s.conn.stats().ecn_marks_reported, 8);
    // From somebody who coalesces it is the ordinary way.
    let mut s = Script::connect(&cfg);
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.write(60_000);
    s.inject("EA. 1:1(0) ack 7001").inject("EA. 1:1(0) ack 14001").inject("EA. 1:1(0) ack 21001");
    for ack in (28_001..=49_001).step_by(7_000) {
        s.inject(&format!("EA. 1:1(0) ack {ack}"));
    }
    s.inject("EA. 1:1(0) ack 59001");
    assert_eq!(s.conn.stats().ecn_marks_reported, 0);
    // And whoever sends the option would have sent it.
    let mut s = Script::connect(&cfg);
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.write(40_000).inject("EA. 1:1(0) ack 1001 <ceb 0>");
    for ack in (2_001..=9_001).step_by(1_000) {
        s.inject(&format!("EA. 1:1(0) ack {ack}"));
    }
    s.inject("EA. 1:1(0) ack 19001");
    assert_eq!(s.conn.stats().ecn_marks_reported, 0);
}

#[test]
fn rfc9768_news_of_marks_leaves_at_once_and_every_second_mark_does() {
    let mut s = accepted(&accurate());
    s.inject("[ect0] EA. 1:1001(1000) ack 1").inject("[ect0] EA. 1001:2001(1000) ack 1");
    s.expect("EA. 1:1(0) ack 2001 <ceb 0>");
    // The first mark, whatever delays ACKs.
    s.inject("[ce] EA. 2001:2501(500) ack 1").expect("WA. 1:1(0) ack 2501 <ceb 500>");
    // Two more make one ACK; the option a second time, in case the first was lost.
    s.inject("[ce] EA. 2501:2601(100) ack 1").nothing();
    s.inject("[ce] EA. 2601:2701(100) ack 1").expect(". 1:1(0) ack 2701 <ceb 700>");
    s.inject("[ect0] EA. 2701:3701(1000) ack 1").inject("[ect0] EA. 3701:4701(1000) ack 1");
    s.expect(". 1:1(0) ack 4701 <ceb 700>");
    s.inject("[ect0] EA. 4701:5701(1000) ack 1").inject("[ect0] EA. 5701:6701(1000) ack 1");
    s.expect(". 1:1(0) ack 6701 <>");
    assert_eq!(s.conn.stats().ecn_marked_segments, 3);
    // Data says it too.
    s.write(500).expect("[ect0] P. 1:501(500) ack 6701");
}

/// A mark on what nobody but a stranger can have sent is none: it acknowledges what was never sent.
#[test]
fn rfc9768_a_mark_with_an_ack_that_is_not_acceptable_does_not_count() {
    let mut s = accepted(&accurate());
    s.inject("[ce] EA. 1:101(100) ack 5001").expect("EA. 1:1(0) ack 1 <ceb 0>");
    s.inject("[ce] EA. 1:101(100) ack 1").expect("WA. 1:1(0) ack 101 <ceb 100>");
}

#[test]
fn rfc9768_the_option_counts_bytes_by_their_ecn_field() {
    let mut s = accepted(&accurate());
    s.inject("[ect0] EA. 1:1001(1000) ack 1").inject("[ect1] EA. 1001:1301(300) ack 1");
    s.sent.clear();
    s.inject("[ce] EA. 1301:1801(500) ack 1");
    let burst = s.sent.pop_front().expect("an ACK").1;
    // 1001, 500 and 301: the first and the last begin with one (§3.2.3).
    assert_eq!(burst.options.as_slice(), [172, 11, 0, 3, 0xe9, 0, 1, 0xf4, 0, 1, 0x2d, 1]);
}

#[test]
fn rfc9768_an_option_that_found_no_room_is_owed_still() {
    let cfg = ConnConfig { sack: true, timestamps: true, ..accurate() };
    let mut s = Script::accept(&cfg, "SEWA 0:0(0) win 65535 <mss 1000,TS val 1 ecr 0,sackOK>");
    s.expect("SW. 0:0(0) ack 1").inject("W. 1:1(0) ack 1 <TS val 1 ecr 0>");
    for first in [1_001, 2_001, 3_001] {
        s.inject(&format!("[ect0] EA. {first}:{}(100) ack 1 <TS val 1 ecr 0>", first + 100));
    }
    // Timestamps and three blocks leave nothing of the forty bytes, as often as something is marked.
    s.sent.clear();
    for first in [3_101, 3_201, 3_301, 3_401] {
        s.inject(&format!("[ce] EA. {first}:{}(100) ack 1 <TS val 1 ecr 0>", first + 100));
    }
    let counted = |s: &mut Script| -> Vec<bool> {
        s.sent
            .drain(..)
            .map(|(_, b)| TcpOptions::parse(b.options.as_slice()).marked_bytes.is_some())
            .collect()
    };
    assert_eq!(counted(&mut s), [false; 4]);
    // Twice it leaves when there are two.
    s.inject("[ect0] EA. 1:501(500) ack 1 <TS val 1 ecr 0>")
        .inject("[ect0] EA. 501:1001(500) ack 1 <TS val 1 ecr 0>");
    s.inject("[ect0] EA. 1101:1201(100) ack 1 <TS val 1 ecr 0>");
    s.inject("[ect0] EA. 1201:1301(100) ack 1 <TS val 1 ecr 0>");
    s.at(1_000);
    assert_eq!(counted(&mut s), [false, true, true, false]);
}

#[test]
fn rfc9768_marks_on_bare_acks_count_and_are_not_answered_one_by_one() {
    let mut s = accepted(&accurate());
    for _ in 0..2 {
        s.inject("[ce] EA. 1:1(0) ack 1").nothing();
    }
    // The third, while no data waits for an ACK.
    s.inject("[ce] EA. 1:1(0) ack 1").expect(". 1:1(0) ack 1 <ceb 0>").nothing();
    // While some does the second.
    s.inject("[ect0] EA. 1:501(500) ack 1").inject("[ce] EA. 501:501(0) ack 1").nothing();
    s.inject("[ce] EA. 501:501(0) ack 1").expect("W. 1:1(0) ack 501").nothing();
    assert_eq!(s.conn.stats().ecn_marked_segments, 0);
}

#[test]
fn rfc9768_a_mark_is_news_after_any_packet_that_had_none() {
    let mut s = accepted(&accurate());
    s.inject("[ce] EA. 1:501(500) ack 1").expect("WA. 1:1(0) ack 501 <ceb 500>");
    s.inject("[ce] EA. 501:601(100) ack 1").nothing();
    s.inject("EA. 601:601(0) ack 1").nothing();
    s.inject("[ce] EA. 601:701(100) ack 1").expect(". 1:1(0) ack 701 <ceb 700>");
    s.inject("EA. 701:701(0) ack 1").nothing();
    s.inject("[ce] EA. 701:801(100) ack 1").expect("E. 1:1(0) ack 801 <ceb 800>");
}

#[test]
fn rfc9768_a_mark_on_a_syn_is_told_by_the_syn_ack_and_does_not_count() {
    let mut s = Script::accept(&accurate(), "[ce] SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SWA. 0:0(0) ack 1").inject("W. 1:1(0) ack 1");
    s.write(500).expect("[ect0] PEA. 1:501(500) ack 1 <ceb 0>");
}

#[test]
fn rfc9768_the_latest_syn_and_the_latest_syn_ack_are_told_of() {
    let mut s = Script::accept(&accurate(), "[ce] SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SWA. 0:0(0) ack 1").at(500).inject("SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1");
    let mut s = Script::connect(&accurate());
    s.expect("SEWA 0:0(0)").at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.expect("W. 1:1(0) ack 1");
    // Marked, and marked again: it counts once.
    for _ in 0..2 {
        s.inject("[ce] SW. 0:0(0) ack 1 win 65535 <mss 1000>").expect("WA. 1:1(0) ack 1");
    }
    s.inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>").expect("W. 1:1(0) ack 1");
    s.write(500).expect("[ect0] PWA. 1:501(500) ack 1");
    // A SYN that is none of the handshake gets the count.
    s.inject("S 0:0(0) win 65535 <mss 1000>").expect("WA. 501:501(0) ack 1").nothing();
}

#[test]
fn rfc9768_a_bare_ack_answers_the_syn_ack_although_data_waits() {
    let mut s = Script::connect(&accurate());
    s.expect("SEWA 0:0(0)").write(1_000).at(100).inject("SW. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.expect("W. 1:1(0) ack 1 <ceb 0>").expect("[ect0] PEA. 1:1001(1000) ack 1").nothing();
    // In the older form nothing is said by it.
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").write(1_000).at(100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    s.expect("P. 1:1001(1000) ack 1").nothing();
}

#[test]
fn rfc9768_whoever_asks_for_one_form_and_then_the_other_is_reset() {
    for (first, answer, second) in [("SEWA", "SW", "SEW"), ("SEW", "SE", "SEWA"), ("SEW", "SE", "SA")] {
        let mut s = Script::accept(&accurate(), &format!("{first} 0:0(0) win 65535 <mss 1000>"));
        s.expect(&format!("{answer}. 0:0(0) ack 1"));
        s.at(500).inject(&format!("{second} 0:0(0) win 65535 <mss 1000>"));
        s.expect("R. 1:1(0) ack 1").nothing();
        assert_eq!(s.state(), State::Closed);
    }
    // Whoever knows the older form alone sees no difference.
    let mut s =
        Script::accept(&ConnConfig { ecn: EcnMode::On, ..plain() }, "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SE. 0:0(0) ack 1").at(500).inject("SEW 0:0(0) win 65535 <mss 1000>").expect("SE. 0:0(0) ack 1");
}

#[test]
fn rfc9768_marks_are_answered_by_who_marks_nothing_too() {
    let mut s = Script::connect(&accurate());
    s.expect("SEWA 0:0(0)")
        .at(100)
        .inject("SEW. 0:0(0) ack 1 win 65535 <mss 1000>")
        .expect("W. 1:1(0) ack 1");
    s.write(40_000).expect("EA. 1:1001(1000) ack 1");
    s.at(200).inject("WA. 1:1(0) ack 1001");
    assert_eq!((s.conn.stats().ecn_marks_reported, s.conn.stats().ecn_reductions), (1, 1));
    // A mark on our SYN,ACK is in the peer's count.
    let mut s = Script::accept(&accurate(), "SEWA 0:0(0) win 65535 <mss 1000>");
    s.expect("SW. 0:0(0) ack 1").inject("WA. 1:1(0) ack 1").write(2_500);
    s.inject("WA. 1:1(0) ack 993");
    assert_eq!(s.conn.stats().ecn_marks_reported, 0);
    s.inject("EWA. 1:1(0) ack 1985");
    assert_eq!(s.conn.stats().ecn_marks_reported, 1);
}

#[test]
fn rfc9768_more_marks_than_fit_32_bits() {
    let mut s = ten_out(&accurate());
    let marks = 1 << 36;
    (s.conn.ecn.counts.known, s.conn.ecn.counts.known_bytes) = (5 + marks, marks * 1000);
    s.inject("WA. 1:1(0) ack 1001 <ceb 1000>");
    assert_eq!(s.conn.stats().ecn_marks_reported, 1);
}

#[test]
fn rfc9768_no_device_cuts_what_says_the_bit_that_it_would_clear() {
    let mut s = accepted(&accurate());
    s.limits = TSO;
    s.write(7_000);
    // Five: a burst. The first has the option.
    s.expect("[ect0] EA. 1:4961(4960) ack 1 <ceb 0>").expect("[ect0] PEA. 4961:7001(2040) ack 1").nothing();
    s.inject("[ce] EA. 1:1001(1000) ack 7001").inject("[ce] EA. 1001:2001(1000) ack 7001");
    s.sent.clear();
    // Seven: single segments.
    s.write(2_984).expect("[ect0] EWA. 7001:7993(992) ack 2001 <ceb 2000>");
    s.expect("[ect0] EWA. 7993:8985(992) ack 2001 <ceb 2000>")
        .expect("[ect0] PEWA. 8985:9985(1000) ack 2001")
        .nothing();
    s.inject("[ce] EA. 2001:3001(1000) ack 9985");
    s.sent.clear();
    // Nought.
    s.write(2_000).expect("[ect0] P. 9985:11985(2000) ack 3001 <ceb 3000>");
}

#[test]
fn rfc9768_rfc8257_dctcp_counts_what_was_marked_and_nothing_else() {
    let cfg = ConnConfig { controller: ControllerKind::Dctcp, ..accurate() };
    // So many packets of ten, in an ACK of all, and one more in the window after. With the echo of RFC 8257 all ten would be
    // marked, or none.
    let after = |marked: u32| {
        let count = |n: u32| {
            let ace = (5 + n) & 7;
            let bits = [(4, 'A'), (2, 'W'), (1, 'E')].into_iter().filter(|(bit, _)| ace & bit != 0);
            bits.map(|(_, letter)| letter).rev().collect::<String>()
        };
        let mut s = ten_out(&cfg);
        s.at(200).inject("EA. 1:1(0) ack 10001");
        s.at(300).inject(&format!("{}. 1:1(0) ack 20001 <ceb {}>", count(marked), marked * 1_000));
        for (at, ack) in [(400, 21_001), (500, 31_001)] {
            s.at(at).inject(&format!("{}. 1:1(0) ack {ack}", count(marked)));
        }
        s.at(600).inject(&format!("{}. 1:1(0) ack 32001", count(marked + 1)));
        let stats = s.conn.stats();
        assert_eq!((stats.ecn_marks_reported, stats.ecn_reductions), (u64::from(marked) + 1, 2));
        stats.ssthresh
    };
    let (one, eight) = (after(1), after(8));
    assert!(eight < one, "{eight} after eight, {one} after one");
}
