//! Sends that end in the middle (`S3`): what was taken is told, the reason comes with the next call, and nothing half done
//! stays behind.

use tcp::conn::{ConnConfig, SendFlags};
use tcp::{ConnErrorKind, Event, Nanos, Offset, Payload};

use super::*;
use crate::fake::limits;
use crate::{FillError, SendRefusal};

const FLAGS: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };

#[test]
fn s3_without_buffers_midway_the_call_tells_what_it_took_and_the_next_one_why() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(90, 10_000);
    // One buffer of 4096 bytes.
    net.a.fake().tails_free = 1;
    assert_eq!(net.a.send_copy(a, &data, FLAGS), Ok(4_096));
    assert_eq!(net.a.send_copy(a, &data[4_096..], FLAGS).unwrap_err().reason, SendRefusal::NoBuffers);
    assert_eq!(net.a.marks(a).unwrap().accepted, Offset(4_096));
    net.a.fake().tails_free = 10;
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    assert_eq!(net.a.send_copy(a, &data[4_096..], FLAGS), Ok(10_000 - 4_096));
    net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
    net.finish();
}

#[test]
fn s3_after_a_reset_midway_the_next_call_fails_and_the_end_is_told_once() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(5_000), ..cfg() });
    let data = pattern(91, 20_000);
    let taken = net.a.send_copy(a, &data, FLAGS).expect("some");
    assert!((4_000..5_000).contains(&taken), "{taken}");
    net.b.abort(b);
    net.run(Nanos::from_secs(1), |n| n.a.state(a) == Some(tcp::conn::State::Closed));
    let buf = net.a.buf(&data);
    let refused = net.a.send(a, buf, FLAGS).unwrap_err();
    assert_eq!(refused.reason, SendRefusal::Finished);
    assert!(refused.payload.as_slice() == data, "the payload is back as it was");
    drop(refused);
    assert_eq!(net.a.send_copy(a, &data, FLAGS).unwrap_err().reason, SendRefusal::Finished);
    let ends = net.events_a.iter().filter(|(id, event)| {
        *id == a
            && matches!(event, EngineEvent::Conn(Event::Closed(Err(e))) if e.kind == ConnErrorKind::Reset)
    });
    assert_eq!(ends.count(), 1);
    net.finish();
}

#[test]
fn s3_a_copy_that_fails_leaves_nothing_behind() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().tails_free = 1;
    let room = net.a.capacity(a);
    for _ in 0..10 {
        let failed = net.a.send_with(a, 4_000, |room| {
            room.fill(7);
            Err("the disk is gone")
        });
        assert_eq!(failed, Err(FillError::Source("the disk is gone")));
    }
    // No byte, no empty segment, no buffer lost: the only one still takes all it can.
    assert_eq!((net.a.marks(a).unwrap().accepted, net.a.capacity(a)), (Offset(0), room));
    for _ in 0..5 {
        net.step();
    }
    assert!(net.a.sent().is_empty());
    let data = pattern(92, 4_000);
    net.a.fake().tails_free = 1;
    assert_eq!(net.a.send_copy(a, &data, FLAGS), Ok(4_000));
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == data);
    net.finish();
}

#[test]
fn s3_a_zero_copy_send_is_all_or_nothing() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(10_000), ..cfg() });
    let first = pattern(93, 9_000);
    let buf = net.a.buf(&first);
    net.a.send(a, buf, FLAGS).unwrap();
    let second = pattern(94, 5_000);
    let buf = net.a.buf(&second);
    let refused = net.a.send(a, buf, FLAGS).unwrap_err();
    assert_eq!(refused.reason, SendRefusal::Full);
    assert_eq!(net.a.marks(a).unwrap().accepted, Offset(9_000));
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    net.a.send(a, refused.payload, FLAGS).unwrap();
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == [first.clone(), second.clone()].concat());
    net.finish();
}

#[test]
fn s4_what_cork_holds_leaves_before_a_writer_waits_for_a_buffer() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { cork: true, ..cfg() });
    net.a.fake().tails_free = 1;
    // The buffer is full, and its last 1200 bytes are no whole segment.
    assert_eq!(net.a.send_copy(a, &pattern(95, 5_000), FLAGS), Ok(4_096));
    let start = net.now;
    net.run(Nanos::from_millis(50), |n| n.received_b(b).len() == 4_096);
    assert!(net.now.since(start) < Nanos::from_millis(1), "{}", net.now.since(start));
    net.a.fake().tails_free = 1;
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    net.finish();
}
