//! One unkindness at a time, each in its extreme: every byte still arrives, and every buffer comes home.

use sim::{End, Outcome, Release, Scenario, World};
use tcp::{Nanos, Time};

const BYTES: u64 = 400_000;

/// Runs the plain scenario with a change.
#[track_caller]
fn run(change: impl FnOnce(&mut Scenario)) -> Outcome {
    let mut scenario = Scenario::plain(BYTES);
    change(&mut scenario);
    match World::new(scenario).run() {
        Ok(outcome) => outcome,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn nothing_goes_wrong_on_a_perfect_path() {
    let outcome = run(|_| {});
    assert_eq!(outcome.bytes, BYTES);
    // TSO: far fewer frames are handed to the NICs than segments leave them, ACKs counted on both sides.
    assert!(outcome.frames < outcome.segments, "{outcome:?}");
}

#[test]
fn copying_sends_arrive_like_zero_copy_ones() {
    let outcome = run(|s| {
        s.conns[0].plans[0].zero_copy = 0.0;
        s.conns[0].plans[0].chunk = (1, 300);
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s5_a_send_buffer_that_holds_nothing_beside_its_own_cost_is_enough() {
    for bytes in [0, 64] {
        let outcome = run(|s| {
            s.hosts[0].conn.send_buffer = Some(bytes);
            s.conns[0].plans[0].zero_copy = 0.0;
            s.conns[0].plans[0].total = 300;
        });
        assert_eq!(outcome.bytes, 300);
    }
}

#[test]
fn s24_a_ring_of_two_frames_on_a_slow_port_is_enough() {
    let outcome = run(|s| {
        s.hosts[0].nic.limits.tx_ring = 2;
        s.hosts[0].nic_rate = 10_000_000;
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s24_a_ring_that_mostly_refuses_loses_nothing() {
    for host in [0, 1] {
        assert_eq!(run(|s| s.hosts[host].nic.faults.ring_full = 0.9).bytes, BYTES);
    }
}

#[test]
fn s24_frames_that_left_in_part_and_were_refused_stop_nobody() {
    for torn in [0.1, 0.9] {
        assert_eq!(run(|s| s.hosts[0].nic.faults.torn = torn).bytes, BYTES);
    }
}

#[test]
fn s29_a_device_that_never_lets_go_stops_nobody() {
    let outcome = run(|s| {
        for host in &mut s.hosts {
            host.nic.release = Release::WhenFull;
            host.nic.limits.tx_ring = 1_024;
            host.nic.reports_completions = false;
            host.nic.reclaims = false;
        }
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s29_a_device_that_holds_for_seconds_delays_buffers_not_bytes() {
    let outcome = run(|s| {
        s.hosts[0].nic.release = Release::After(Nanos::from_secs(5));
        s.hosts[0].nic.reclaims = false;
        s.hosts[0].nic.limits.tx_ring = 1_024;
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s29_a_device_that_holds_while_the_application_pauses_for_hours_is_looked_at_all_the_while() {
    let outcome = run(|s| {
        s.hosts[0].nic.release = Release::WhenFull;
        s.hosts[0].nic.reclaims = false;
        s.conns[0].plans[0].keeps = false;
        s.conns[0].plans[0].pause = (1.0, Nanos::from_secs(1_000));
    });
    // Every 10 ms: more often than a run without such a device is given.
    assert!(outcome.time > Nanos::from_secs(5_000), "{outcome:?}");
}

#[test]
fn a_frame_that_tx_prepare_rejects_leaves_linear() {
    let outcome = run(|s| s.hosts[0].nic.faults.reject = 1.0);
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn empty_pools_delay_and_lose_nothing() {
    let outcome = run(|s| {
        for host in &mut s.hosts {
            host.nic.faults.no_header = 0.5;
            host.nic.faults.no_buffers = 0.3;
            host.nic.faults.too_many_references = 0.3;
            host.nic.faults.no_tail = 0.8;
        }
        s.conns[0].plans[0].zero_copy = 0.5;
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s10_a_device_without_scatter_gather_or_offloads_gets_plain_frames() {
    let outcome = run(|s| {
        for host in &mut s.hosts {
            let limits = &mut host.nic.limits;
            (limits.max_chain, limits.max_chain_per_segment) = (1, 1);
            (limits.tx_ip_checksum, limits.tx_tcp_checksum) = (false, false);
            limits.tso_max_len = 0;
            host.nic.rx_checksum = false;
        }
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn s10_an_mss_that_spans_at_most_two_buffers_is_linearised() {
    let outcome = run(|s| {
        s.hosts[0].nic.limits.max_chain_per_segment = 2;
        s.conns[0].plans[0].chunk = (1, 500);
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn received_frames_in_many_pieces_are_one_stream() {
    assert_eq!(run(|s| s.hosts[1].nic.rx_piece = 140).bytes, BYTES);
}

#[test]
fn a_receive_ring_of_four_frames_loses_many_and_delivers_all() {
    let outcome = run(|s| {
        s.hosts[1].nic.rx_ring = 4;
        s.hosts[1].loop_time = Nanos::from_micros(100);
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn an_outage_of_a_minute_is_survived() {
    let outcome = run(|s| {
        let outage = Some((Time::from_nanos(4_000_000), Time::from_nanos(60_000_000_000)));
        s.paths[0].outage = outage;
        s.paths[1].outage = outage;
    });
    assert_eq!(outcome.bytes, BYTES);
    assert!(outcome.time > Nanos::from_secs(60));
}

#[test]
fn a_reader_that_sleeps_closes_the_window_and_opens_it_again() {
    let outcome = run(|s| {
        s.conns[0].plans[1].slow_reader = Some((1, Nanos::from_millis(20)));
        s.hosts[1].conn.receive_buffer = 8_000;
    });
    assert_eq!(outcome.bytes, BYTES);
}

#[test]
fn a_reader_that_answers_gets_everything_back() {
    let outcome = run(|s| {
        s.conns[0].plans[1].answers = true;
        s.conns[0].plans[1].end = End::AfterPeer;
    });
    assert_eq!(outcome.bytes, 2 * BYTES);
}

#[test]
fn s45_a_released_connection_still_delivers_what_was_queued() {
    assert_eq!(run(|s| s.conns[0].plans[0].end = End::Release).bytes, BYTES);
}

#[test]
fn s45_an_abort_by_either_side_ends_both_and_returns_every_buffer() {
    for side in [0, 1] {
        for at in [0, 1, 100_000] {
            run(|s| {
                s.conns[0].plans[1].total = BYTES;
                s.conns[0].plans[side].end = End::Abort(at);
            });
        }
    }
}

#[test]
fn a_peer_that_falls_silent_times_out_and_not_later_than_asked() {
    let mut scenario = Scenario::plain(BYTES);
    scenario.hosts[0].conn.user_timeout = Nanos::from_secs(20);
    scenario.paths[1].outage = Some((Time::from_nanos(4_000_000), Time::MAX));
    match World::new(scenario).run() {
        Ok(outcome) => panic!("{outcome:?}"),
        Err(failure) => {
            assert!(failure.what.contains("TimedOut"), "{failure}");
            let late = failure.at.since(Time::ZERO);
            assert!(late >= Nanos::from_secs(19) && late < Nanos::from_secs(22), "{failure}");
        }
    }
}
