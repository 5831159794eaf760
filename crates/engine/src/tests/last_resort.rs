//! When no buffer is left to carry payload, some of it leaves behind its headers (`S5`): what is sent again, what probes a
//! window, and what itself occupies all the buffers. Other new data waits.

use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Nanos, Offset};

use super::*;
use crate::fake::{Verdict, limits};

/// A connection with 4000 bytes queued whose port rejected them once, so that they are copied together, when no buffer is
/// left; `full` says that queued data has them all. Header buffers are shorter than a segment.
fn without_buffers(full: bool) -> (Net, ConnId, ConnId, Vec<u8>) {
    let mut net = Net::new(NicLimits { header_room: 600, ..limits() });
    let (a, b) = net.connected(&cfg());
    let data = pattern(70, 4_000);
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()), Ok(data.len()));
    net.a.fake().verdict = Verdict::RejectAbove(1_000);
    net.a.poll(net.now);
    assert_eq!(net.a.counters().tx_rejected_frames, 1);
    let fake = net.a.fake();
    fake.verdict = Verdict::Take;
    fake.tails_free = 0;
    fake.tail_total = Some(100_000);
    fake.tail_bytes = if full { 100_000 } else { 1_000 };
    (net, a, b, data)
}

#[test]
fn s5_queued_data_that_has_all_buffers_leaves_behind_its_headers() {
    let (mut net, _, b, data) = without_buffers(true);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    // What fits behind headers of 114 bytes at the most.
    assert!(net.a.counters().tx_payload_bytes == 4_000 && net.a.counters().tx_segments > 4_000 / 600);
    assert_eq!(net.a.counters().tx_retransmitted_segments, 0);
    net.a.fake().tails_free = 1_000;
    net.finish();
}

#[test]
fn s5_new_data_waits_for_a_buffer_that_others_have() {
    let (mut net, a, b, data) = without_buffers(false);
    let end = net.now + Nanos::from_millis(5);
    while net.now < end {
        net.step();
    }
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(0));
    net.a.fake().tails_free = 1_000;
    net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
    assert!(net.a.counters().tx_segments < 10, "whole segments");
    net.finish();
}

#[test]
fn s5_a_probe_of_a_closed_window_needs_no_more_than_a_header_buffer() {
    // Nothing is copied behind its headers for its length alone.
    let a = engine_with(EngineConfig { copy_break: 0, ..config(A) }, limits());
    let mut net = Net::with(a, engine(B, limits()));
    net.reads_b = false;
    let cfg = ConnConfig { receive_buffer: 20_000, ..cfg() };
    let (a, b) = net.connected(&cfg);
    let data = pattern(71, 40_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(2), |n| n.a.stats(a).unwrap().send_window == 0);
    net.a.fake().references = 0;
    let before = net.a.counters().tx_window_probes;
    net.run(Nanos::from_secs(5), |n| n.a.counters().tx_window_probes > before + 1);
    net.a.fake().references = usize::MAX;
    net.reads_b = true;
    // What was told while it did not read is read with the next event.
    net.run(Nanos::from_secs(200), |n| {
        while let Some(buf) = n.b.read(b) {
            let at = n.got_b.iter().position(|(id, _)| *id == b).expect("it was accepted");
            n.got_b[at].1.extend_from_slice(buf.as_slice());
        }
        n.received_b(b).len() == data.len()
    });
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn s5_a_repair_that_finds_buffers_for_its_first_frames_leaves_with_those() {
    let mut net = Net::new(NicLimits { tso_max_len: 0, ..limits() });
    let (a, b) = net.connected(&cfg());
    net.filter = Box::new(|s, from_a| !from_a || payload_of(s).is_empty());
    let data = pattern(72, 14_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().sent == Offset(14_000));
    // Everything was lost. Each turn one frame can refer to its payload, and the next cannot.
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(60), |n| {
        n.a.fake().references = 1;
        n.received_b(b).len() == data.len()
    });
    assert!(net.received_b(b) == data);
    assert!(net.a.counters().tx_no_buffers > 0);
    let taken = net.a.fake().taken;
    assert_eq!(net.a.counters().tx_frames, taken, "what left is what was counted");
    net.a.fake().references = usize::MAX;
    net.finish();
}
