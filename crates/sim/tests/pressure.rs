//! Many connections and little memory (`S5`): it becomes short, senders wait, and every byte arrives.

use sim::{Outcome, Scenario, World};
use tcp::Time;

const CONNS: u64 = 40;
const BYTES: u64 = 60_000;

/// Forty connections on a slow link, each of which writes all it can.
fn run(change: impl FnOnce(&mut Scenario)) -> Outcome {
    let mut s = Scenario::plain(BYTES);
    for path in &mut s.paths {
        path.rate = 20_000_000;
    }
    change(&mut s);
    let first = s.conns[0].clone();
    s.conns = (0..CONNS)
        .map(|i| {
            let mut conn = first.clone();
            conn.port += i as u16;
            conn.start = Time::from_nanos(i * 1_000);
            conn
        })
        .collect();
    World::new(s).run().unwrap_or_else(|failure| panic!("{failure}"))
}

#[track_caller]
fn was_short_and_is_no_more(outcome: Outcome) {
    assert_eq!(outcome.bytes, CONNS * BYTES);
    assert!(outcome.pressure.0 > 0, "{outcome:?}");
    assert_eq!(outcome.pressure.0, outcome.pressure.1, "{outcome:?}");
}

#[test]
fn s5_few_buffers_to_copy_into_serve_many_connections() {
    for buffers in [3, 16, 39] {
        let outcome = run(|s| {
            s.conns[0].plans[0].zero_copy = 0.0;
            s.conns[0].plans[0].chunk = (100, 9_000);
            s.hosts[0].nic.tail_len = 4_096;
            s.hosts[0].nic.tail_buffers = buffers;
        });
        was_short_and_is_no_more(outcome);
        assert!(outcome.memory_waits > 0, "{outcome:?}");
    }
}

#[test]
fn s5_ample_buffers_put_nobody_under_pressure() {
    let outcome = run(|s| s.conns[0].plans[0].zero_copy = 0.0);
    assert_eq!((outcome.bytes, outcome.pressure, outcome.memory_waits), (CONNS * BYTES, (0, 0), 0));
}

#[test]
fn s5_queues_that_tune_themselves_share_what_all_may_hold() {
    let outcome = run(|s| s.hosts[0].queued_bytes = Some(600_000));
    was_short_and_is_no_more(outcome);
}

#[test]
fn s5_queues_of_fixed_size_wait_where_all_may_hold_no_more() {
    let outcome = run(|s| {
        s.hosts[0].conn.send_buffer = Some(1 << 20);
        s.conns[0].plans[0].chunk = (5_000, 5_000);
        s.hosts[0].queued_bytes = Some(600_000);
    });
    was_short_and_is_no_more(outcome);
    assert!(outcome.memory_waits > 0, "{outcome:?}");
}

#[test]
fn s5_frames_that_must_be_copied_together_leave_when_queued_bytes_have_all_buffers() {
    let outcome = run(|s| {
        s.conns[0].plans[0].zero_copy = 0.0;
        s.conns[0].plans[0].chunk = (100, 9_000);
        let nic = &mut s.hosts[0].nic;
        (nic.tail_len, nic.tail_buffers, nic.limits.header_room) = (4_096, 4, 256);
        // The driver rejects frames of several buffers: they are built again in one.
        nic.faults.reject = 0.3;
    });
    was_short_and_is_no_more(outcome);
}
