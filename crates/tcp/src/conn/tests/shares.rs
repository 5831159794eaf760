//! Where the time goes (`S28`): for each share a script that spends time in it, and one that does not.

use proptest::prelude::*;

use super::script::*;
use crate::conn::{ConnConfig, HeldBy, SendFlags, Share, State, WriteErrorKind};
use crate::{Event, Nanos, Time, TxLimits};

impl Script {
    /// The shares that time went to, with milliseconds, in their order; the sum was compared with the life.
    fn shares(&self) -> Vec<(Share, u64)> {
        let time = self.conn.time_shares(self.now);
        let sum = time.iter().fold(Nanos::ZERO, |sum, (_, spent)| sum + spent);
        assert_eq!(sum, time.life());
        time.iter().filter(|(_, t)| *t > Nanos::ZERO).map(|(s, t)| (s, t.as_millis())).collect()
    }
}

use Share::*;

#[test]
fn s28_opening_is_until_the_handshake_is_over_and_idle_is_without_work() {
    let mut s = Script::connect(&plain());
    s.expect("S 0:0(0)").expect_at(1000, "S 0:0(0)");
    assert_eq!(s.shares(), [(Opening, 1000)]);
    s.at(1100).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").at(1500);
    assert_eq!(s.shares(), [(Opening, 1100), (Idle, 400)]);
    // What arrives is no work of ours.
    s.inject("P. 1:101(100) ack 1").at(1600);
    assert_eq!(s.shares(), [(Opening, 1100), (Idle, 500)]);
}

#[test]
fn s28_a_passive_open_lives_from_the_peers_syn() {
    let mut s = Script::accept(&plain(), "S 0:0(0) win 65535 <mss 1000>");
    s.expect("S. 0:0(0) ack 1").at(50).inject(". 1:1(0) ack 1").at(70);
    assert_eq!(s.shares(), [(Opening, 50), (Idle, 20)]);
}

#[test]
fn s28_busy_is_while_all_that_was_written_is_under_way() {
    let mut s = Script::established(&plain(), 65535);
    s.at(200).write(3000).at(250).inject(". 1:1(0) ack 1001").at(300).inject(". 1:1(0) ack 3001").at(400);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 200), (Busy, 100)]);
}

#[test]
fn s28_peer_window_is_while_what_is_queued_does_not_fit_it() {
    let mut s = Script::established(&plain(), 2000);
    // 2000 bytes are under way, the rest waits for room; then the window is closed and probed.
    s.write(5000).at(150).inject(". 1:1(0) ack 2001 win 0").at(2100);
    assert_eq!(s.shares(), [(Opening, 100), (PeerWindow, 2000)]);
    assert!(s.conn.stats().window_probes > 0, "probes are no other share");
    s.inject(". 1:1(0) ack 2001 win 5000").at(2150).inject(". 1:1(0) ack 5001").at(2160);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 10), (Busy, 50), (PeerWindow, 2000)]);
    // As much as the window takes and no more is not held by it.
    let mut s = Script::established(&plain(), 2000);
    s.write(2000).at(150).inject(". 1:1(0) ack 2001 win 0").at(500);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 350), (Busy, 50)]);
}

#[test]
fn s28_congestion_is_while_cwnd_is_full() {
    let mut s = Script::established(&plain(), 65535);
    s.write(11_000).at(200);
    assert_eq!(s.shares(), [(Opening, 100), (Congestion, 100)]);
    s.inject(". 1:1(0) ack 2001").at(260);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 60), (Congestion, 100)]);
    let mut s = Script::established(&plain(), 65535);
    s.write(10_000).at(200);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 100)], "cwnd is full and nothing waits");
}

#[test]
fn s28_send_buffer_is_while_all_is_under_way_and_a_writer_was_refused() {
    let cfg = ConnConfig { send_buffer: Some(2128), ..plain() };
    let mut s = Script::established(&cfg, 65535);
    s.write(1000).write(1000);
    s.at(150);
    assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
    s.conn.on_writer_waits(s.now);
    s.at(180).inject(". 1:1(0) ack 1001");
    assert!(s.events().contains(&Event::Writable));
    // It may write again: that it does not is its own affair.
    s.at(200).inject(". 1:1(0) ack 2001").at(210);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 10), (Busy, 70), (SendBuffer, 30)]);
    // What is queued and held by the peer's window is the window's.
    let mut s = Script::established(&cfg, 1000);
    s.write(1000).write(1000);
    assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
    s.flush().at(200);
    assert_eq!(s.shares(), [(Opening, 100), (PeerWindow, 100)]);
}

#[test]
fn s28_a_send_buffer_that_pressure_keeps_small_is_memorys() {
    for (send_buffer, expected) in [(None, Memory), (Some(2128), SendBuffer)] {
        let cfg = ConnConfig { send_buffer, initial_window: 100, ..plain() };
        let mut s = Script::established(&cfg, 65535);
        s.write(1000).write(1000).conn.on_memory_pressure(true);
        while s.conn.capacity() >= 1000 {
            s.write(1000);
        }
        assert_eq!(s.conn.wait_for_room(), Err(WriteErrorKind::Full));
        s.conn.on_writer_waits(s.now);
        s.at(150);
        assert_eq!(s.shares(), [(Opening, 100), (expected, 50)], "a fixed one is not touched by pressure");
    }
}

#[test]
fn s28_a_clock_that_goes_back_takes_nothing_away() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { budget: 0, ..PLAIN };
    s.at(150).write(1000).at(170);
    s.conn.on_held(Time::ZERO, HeldBy::Memory);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 50), (Memory, 20)]);
    s.conn.check_invariants();
}

#[test]
fn s28_held_is_a_short_segment_waiting_for_company() {
    let nagle = ConnConfig { no_delay: false, ..plain() };
    let mut s = Script::established(&nagle, 65535);
    s.write(100).at(120).write(100).at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 20), (Held, 30)]);
    s.inject(". 1:1(0) ack 101").at(160);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 30), (Held, 30)]);

    let mut s = Script::established(&ConnConfig { cork: true, ..plain() }, 65535);
    s.write(100).at(180);
    s.conn.set_cork(false);
    s.flush().at(200);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 20), (Held, 80)]);

    let mut s = Script::established(&plain(), 65535);
    s.write(100).at(120).write(100).at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50)], "no_delay");
}

#[test]
fn s28_held_is_not_what_waits_while_full_segments_are_under_way() {
    let nagle = ConnConfig { no_delay: false, ..plain() };
    // A short segment, full ones, and a short one that waits for the first.
    let mut s = Script::established(&nagle, 65535);
    s.write(100).write(3050).at(150);
    assert_eq!(s.ranges(), [(0, 100), (100, 1100), (1100, 2100), (2100, 3100)]);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50)]);
    // Nor is it with cork, until what was full is acknowledged.
    let mut s = Script::established(&ConnConfig { cork: true, ..plain() }, 65535);
    s.write(3050).at(150).inject(". 1:1(0) ack 2001").at(160).inject(". 1:1(0) ack 3001").at(190);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 60), (Held, 30)]);
    // Any number of short ones under way is nothing full.
    let records = SendFlags { eor: true, ..SendFlags::default() };
    let mut s = Script::established(&ConnConfig { cork: true, ..plain() }, 65535);
    for _ in 0..5 {
        s.write_quietly(600, records);
    }
    s.flush().at(150);
    assert_eq!((s.ranges().len(), s.shares()), (4, vec![(Opening, 100), (Held, 50)]));
}

#[test]
fn s28_busy_is_while_the_rest_of_a_send_is_on_its_way_here() {
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(500, SendFlags::default().of_a_part()).flush().at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50)]);
    // The writer says that more comes, and is gone.
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(500, SendFlags { more: true, ..SendFlags::default() }).flush().at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Held, 50)]);
    // There is no buffer for the rest: what waits meanwhile is let out, and the time is memory's.
    let mut s = Script::established(&plain(), 65535);
    s.write_quietly(500, SendFlags::default().of_a_part()).flush().at(150);
    s.conn.push_before_waiting();
    s.conn.wait_for_memory(s.now);
    s.flush().expect("P. 1:501(500) ack 1").at(170);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50), (Memory, 20)]);
}

#[test]
fn s28_device_is_while_the_ports_budget_is_used_up_or_it_refuses() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { budget: 0, ..PLAIN };
    s.write(1000).nothing().at(130);
    s.limits = PLAIN;
    s.flush().at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 20), (Device, 30)]);

    // Refused: the owner says by whom.
    s.write_quietly(1000, SendFlags::default());
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a burst");
    s.conn.on_refused(&burst);
    s.conn.on_held(s.now, HeldBy::Port);
    s.at(160).flush().at(170);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 30), (Device, 40)]);
    // With nothing to send nothing is held.
    s.inject(". 1:1(0) ack 2001");
    s.conn.on_held(s.now, HeldBy::Port);
    s.at(180);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 10), (Busy, 30), (Device, 40)]);
}

#[test]
fn s28_a_refused_syn_is_opening() {
    let mut s = Script::connect(&plain());
    s.conn.on_held(s.now, HeldBy::Port);
    s.conn.wait_for_memory(s.now);
    s.at(10);
    assert_eq!(s.shares(), [(Opening, 10)]);
}

#[test]
fn s28_memory_is_without_buffers_for_frames_or_for_the_writers_bytes() {
    let mut s = Script::established(&plain(), 65535);
    s.limits = TxLimits { budget: 0, ..PLAIN };
    s.write(1000);
    s.conn.on_held(s.now, HeldBy::Memory);
    s.at(130);
    s.limits = PLAIN;
    s.flush().inject(". 1:1(0) ack 1001").at(140);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 10), (Memory, 30)]);

    // A writer without a buffer: from idle, past the ACK of what is under way, until it writes.
    s.conn.wait_for_memory(s.now);
    s.at(150);
    s.conn.has_memory(s.now);
    s.at(160).write(1000);
    s.conn.wait_for_memory(s.now);
    s.at(170).inject(". 1:1(0) ack 2001").at(180).write(10).at(190);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 20), (Busy, 10), (Memory, 60)]);
}

#[test]
fn s28_closing_is_when_no_byte_can_come_any_more_and_time_wait_is_no_life() {
    let mut s = Script::established(&plain(), 65535);
    s.write(1000).shutdown().at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50)], "bytes are under way");
    s.inject(". 1:1(0) ack 1001").at(160).inject(". 1:1(0) ack 1002").at(200);
    assert_eq!((s.state(), s.shares()), (State::FinWait2, vec![(Opening, 100), (Busy, 50), (Closing, 50)]));
    s.inject("F. 1:1(0) ack 1002").at(30_000);
    assert_eq!((s.state(), s.shares()), (State::TimeWait, vec![(Opening, 100), (Busy, 50), (Closing, 50)]));
    assert_eq!(s.conn.stats().time.life(), ms(200));

    // The bytes and the FIN acknowledged in one; then an open that goes on.
    let mut s = Script::established(&plain(), 65535);
    s.write(500).shutdown().at(150).inject(". 1:1(0) ack 502").at(170);
    assert_eq!(s.shares(), [(Opening, 100), (Busy, 50), (Closing, 20)]);
    // The peer's end is not ours.
    let mut s = Script::established(&plain(), 65535);
    s.inject("F. 1:1(0) ack 1").at(150);
    assert_eq!(s.shares(), [(Opening, 100), (Idle, 50)]);
}

#[test]
fn s28_a_life_ends_with_the_connection_however_that_ends() {
    let life = |s: &mut Script| {
        assert!(s.events().iter().any(|e| matches!(e, Event::Closed(_))));
        s.at(1_000_000).shares()
    };
    let mut s = Script::established(&plain(), 65535);
    s.write(1000).at(150).inject("R. 1:1(0) ack 1");
    assert_eq!(life(&mut s), [(Opening, 100), (Busy, 50)]);

    let mut s = Script::established(&plain(), 65535);
    s.at(150).abort();
    assert_eq!(life(&mut s), [(Opening, 100), (Idle, 50)]);

    let mut s = Script::connect(&ConnConfig { connect_timeout: ms(500), ..plain() });
    s.at(5000);
    assert_eq!(life(&mut s), [(Opening, 500)]);

    let mut s = Script::connect(&plain());
    s.at(30);
    s.conn.on_unreachable(s.now);
    assert_eq!(life(&mut s), [(Opening, 30)]);
}

#[test]
fn s28_segments_are_those_of_the_wire_and_bursts_what_was_handed_over() {
    let mut s = Script::established(&plain(), 65535);
    let before = s.conn.stats();
    s.limits = TSO;
    s.write(9500);
    let stats = s.conn.stats();
    // Half of cwnd each, the rest in a third; nothing else left.
    assert_eq!((stats.bursts - before.bursts, s.sent.len()), (2, 2));
    assert_eq!(stats.segments_sent - before.segments_sent, 10);
    s.sent.clear();
    s.inject("P. 1:2001(2000) ack 1");
    let acked = s.conn.stats();
    assert_eq!((acked.bursts, acked.segments_sent), (stats.bursts, stats.segments_sent + 1), "a bare ACK");
}

/// What the application, the peer and the device do.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Ack(u64, u16),
    Cork(bool),
    Budget(u32),
    Wait(u64),
    Held(bool),
    Starved,
    Shutdown,
    Fin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4000usize).prop_map(Step::Write),
        4 => (0..8000u64, prop_oneof![Just(0u16), 1..20_000u16]).prop_map(|(n, win)| Step::Ack(n, win)),
        1 => any::<bool>().prop_map(Step::Cork),
        1 => prop_oneof![Just(0u32), Just(u32::MAX)].prop_map(Step::Budget),
        6 => (1..300u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Held),
        1 => Just(Step::Starved),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Fin),
    ]
}

/// Which shares the time from here on may go to, by what can be seen from outside.
fn allowed(s: &Script) -> Vec<Share> {
    let (stats, marks) = (s.conn.stats(), s.conn.marks());
    let under_way = s.conn.in_flight() > 0;
    match s.state() {
        State::SynSent | State::SynReceived => vec![Opening],
        State::Closed | State::TimeWait => vec![],
        _ if stats.unsent > 0 || s.conn.flight.lost() > 0 => {
            // Less than a segment behind full ones is as good as under way.
            let full = s.conn.has_full_segments_out();
            let waits = if full && stats.unsent < 1000 { Busy } else { Held };
            vec![PeerWindow, Congestion, Device, waits, Memory]
        }
        State::Established | State::CloseWait if !under_way => vec![Idle, Memory],
        State::Established | State::CloseWait => vec![Busy, SendBuffer, Congestion, Memory],
        // A FIN needs room in the window too.
        _ if marks.acked < marks.accepted => vec![Busy, SendBuffer, PeerWindow, Congestion, Memory],
        _ => vec![Closing, PeerWindow],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever happens, every nanosecond goes to one share, and to one that makes sense.
    #[test]
    fn s28_the_shares_add_up_to_the_life(nagle: bool, steps in prop::collection::vec(step(), 1..80)) {
        let cfg = ConnConfig { send_buffer: Some(12_000), no_delay: !nagle, ..plain() };
        let mut s = Script::established(&cfg, 9000);
        let mut ended = None;
        let mut fin = 0;
        for step in steps {
            match step {
                Step::Write(len) => {
                    if s.conn.capacity() >= len && s.conn.stats().time.life() > Nanos::ZERO {
                        let open = matches!(s.state(), State::Established | State::CloseWait);
                        if open {
                            s.write_quietly(len, SendFlags::default());
                        }
                    } else {
                        let _ = s.conn.wait_for_room();
                    }
                }
                Step::Ack(n, win) => {
                    let marks = s.conn.marks();
                    let to = marks.sent.min(marks.acked + n).0 + 1;
                    s.inject_quietly(&format!(". {0}:{0}(0) ack {to} win {win}", 1 + fin));
                }
                Step::Cork(on) => s.conn.set_cork(on),
                Step::Budget(budget) => s.limits = TxLimits { budget, ..TSO },
                Step::Held(port) => {
                    s.conn.on_held(s.now, if port { HeldBy::Port } else { HeldBy::Memory });
                    continue;
                }
                Step::Starved => s.conn.wait_for_memory(s.now),
                Step::Shutdown => s.conn.shutdown_write(),
                Step::Fin if fin == 0 => {
                    let ack = s.conn.marks().acked.0 + 1;
                    s.inject_quietly(&format!("F. 1:1(0) ack {ack} win 9000"));
                    fin = 1;
                }
                Step::Fin => {}
                Step::Wait(n) => {
                    // In steps that nothing happens in between.
                    let end = s.now + ms(n);
                    while s.now < end {
                        let before = s.conn.time_shares(s.now);
                        let to = s.conn.next_timeout().map_or(end, |t| t.min(end).max(s.now));
                        let may = allowed(&s);
                        let after = s.conn.time_shares(to);
                        for (share, spent) in after.iter() {
                            let grew = spent.saturating_sub(before.of(share));
                            prop_assert!(grew == Nanos::ZERO || may.contains(&share), "{share:?} not in {may:?}");
                        }
                        prop_assert_eq!(after.life().saturating_sub(before.life()), if may.is_empty() {
                            Nanos::ZERO
                        } else {
                            Nanos::from_nanos(to.as_nanos() - s.now.as_nanos())
                        });
                        s.until(to);
                    }
                }
            }
            s.flush();
            s.conn.check_invariants();
            let over = matches!(s.state(), State::Closed | State::TimeWait);
            if over && ended.is_none() {
                ended = Some(s.now);
            }
            s.shares();
            let life = s.conn.time_shares(s.now).life();
            prop_assert_eq!(life, ended.unwrap_or(s.now).since(Time::ZERO));
        }
    }
}
