//! A port that takes nothing, rejects, or runs out of buffers: nothing is lost, nothing spins, everything is counted.

use std::net::SocketAddr;

use tcp::conn::SendFlags;
use tcp::{Nanos, Offset, Time};

use super::*;
use crate::Counters;
use crate::SendRefusal;
use crate::fake::{Verdict, limits};
use crate::nic::StageError;

#[test]
fn s24_a_full_ring_is_not_sent() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(30, 200_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.a.fake().verdict = Verdict::Room(0);
    let end = net.now + Nanos::from_millis(20);
    let mut polls = 0;
    while net.now < end {
        net.step();
        polls += 1;
    }
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(0), "what the port did not take was not sent");
    assert_eq!(net.a.stats(a).unwrap().segments_retransmitted, 0, "and is no loss");
    assert!(net.a.counters().tx_ring_full > 0 && net.a.counters().tx_refused_bursts > 0);
    assert!(polls < 200, "{polls} polls: it waits instead of spinning");
    net.a.fake().verdict = Verdict::Take;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    assert_eq!(net.a.stats(a).unwrap().segments_retransmitted, 0);
    net.finish();
}

#[test]
fn s24_a_ring_that_takes_a_frame_now_and_then_gets_everything_in_order() {
    for tso in [true, false] {
        let limits = NicLimits { tso_max_len: if tso { 65_535 } else { 0 }, ..limits() };
        let mut net = Net::new(limits);
        let conns: Vec<_> = (0..5).map(|_| net.connected(&cfg())).collect();
        let data = pattern(31, 100_000);
        for (a, _) in &conns {
            let buf = net.a.buf(&data);
            net.a.send(*a, buf, SendFlags::default()).unwrap();
        }
        let mut n = 0;
        net.run(Nanos::from_secs(60), |net| {
            n += 1;
            net.a.fake().verdict = Verdict::Room(n % 4);
            conns.iter().all(|(_, b)| net.received_b(*b).len() == data.len())
        });
        for (a, b) in &conns {
            assert!(net.received_b(*b) == data);
            assert_eq!(net.a.stats(*a).unwrap().segments_retransmitted, 0);
        }
        net.a.fake().verdict = Verdict::Take;
        net.finish();
    }
}

#[test]
fn s5_a_burst_of_more_slices_than_buffers_will_ever_be_free_is_made_of_fewer() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(37, 40_000);
    for part in data.chunks(1_000) {
        let buf = net.a.buf(part);
        net.a.send(a, buf, SendFlags::default()).unwrap();
    }
    // Three at a time, however long one waits.
    net.run(Nanos::from_secs(60), |n| {
        n.a.fake().references = 3;
        n.received_b(b).len() == data.len()
    });
    assert!(net.received_b(b) == data);
    assert!(net.a.counters().tx_no_buffers > 0);
    net.a.fake().references = 1_000;
    net.finish();
}

#[test]
fn s24_what_waits_in_the_port_is_bounded() {
    // A link of 10 Mbit/s whose port tells nothing, and an unbounded ring.
    let limits = NicLimits { link_bps: Some(10_000_000), tx_ring: 4096, ..limits() };
    let mut net = Net::new(limits);
    let (a, b) = net.connected(&ConnConfig { initial_window: 1000, ..cfg() });
    // The first ACK opens the peer's window wide.
    net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
    let data = pattern(32, 1_000_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    // The peer is silent: only the link's rate drains the estimate.
    net.filter = Box::new(|_, from_a| from_a);
    for _ in 0..5 {
        net.a.poll(net.now);
    }
    let sent = net.a.marks(a).unwrap().sent.0;
    assert!((60_000..=131_072).contains(&sent), "{sent} bytes: two bursts, not a megabyte");
    assert!(net.a.counters().tx_budget_limited > 0);
    let deadline = net.a.next_deadline().unwrap();
    assert!(deadline.since(net.now) < Nanos::from_millis(60), "it goes on when the link had time");
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(30), |n| n.received_b(b).len() == data.len() + 5);
    net.finish();
}

#[test]
fn s24_completions_free_the_budget() {
    let limits = NicLimits { link_bps: Some(1_000_000), ..limits() };
    let mut net = Net::new(limits);
    net.a.fake().completed = Some(0);
    let (a, b) = net.connected(&ConnConfig { initial_window: 1000, ..cfg() });
    let data = pattern(33, 500_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let start = net.now;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.now.since(start) < Nanos::from_millis(500), "the link alone would need four seconds");
    net.finish();
}

#[test]
fn a_rejected_frame_is_rebuilt_plain() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().verdict = Verdict::RejectAbove(1514);
    let data = pattern(34, 100_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    let c = net.a.counters();
    assert!(c.tx_rejected_frames > 0);
    assert_eq!((c.tx_rejected_plain, c.tx_retransmitted_segments), (0, 0));
    net.a.fake().verdict = Verdict::Take;
    net.finish();
}

#[test]
fn a_port_that_rejects_even_plain_frames_ends_the_connection_with_its_errno() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&cfg());
    net.a.fake().verdict = Verdict::RejectAbove(500);
    let buf = net.a.buf(&pattern(35, 10_000));
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let start = net.now;
    net.run(Nanos::from_secs(40), |n| n.has_a(a, EngineEvent::Stuck { errno: Some(22) }));
    assert!(net.now.since(start) >= Nanos::from_secs(30));
    assert!(net.a.counters().tx_rejected_plain < 10_000, "few tries, no spin");
    net.a.fake().verdict = Verdict::Take;
    net.finish();
}

#[test]
fn a_link_that_stays_down_ends_connections_and_one_that_comes_back_does_not() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(36, 50_000);
    net.a.fake().verdict = Verdict::Room(0);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let end = net.now + Nanos::from_secs(10);
    while net.now < end {
        net.step();
    }
    net.a.fake().verdict = Verdict::Take;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    net.a.fake().verdict = Verdict::Room(0);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(40), |n| n.has_a(a, EngineEvent::Stuck { errno: None }));
    assert_eq!(net.a.counters().connections_stuck, 1);
    net.a.fake().verdict = Verdict::Take;
    net.finish();
}

#[test]
fn s5_without_header_buffers_nothing_is_lost_and_acks_go_on() {
    let cfg_a = config(A);
    let nic = FakeNic::new(limits(), 1).with_headers(40);
    let a = Engine::new(Checked::new(nic), cfg_a).unwrap();
    let mut net = Net::with(a, engine(B, limits()));
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(1 << 20), ..cfg() });
    // The device holds on to every frame: the pool runs dry.
    net.a.fake().hold = true;
    let up = pattern(37, 400_000);
    let buf = net.a.buf(&up);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.a.send_copy(a, &pattern(1, 10), SendFlags::default()).unwrap();
    let down = pattern(38, 40_000);
    let buf = net.b.buf(&down);
    net.b.send(b, buf, SendFlags::default()).unwrap();
    let left = net.a.fake().headers_free.get();
    net.a.fake().headers_free.set(0);
    net.run(Nanos::from_secs(2), |n| n.received_a(a).len() == down.len());
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(0), "new data waits");
    assert!(net.a.counters().tx_reserve_used > 0, "ACKs do not");
    assert!(net.a.counters().tx_no_header > 0);
    net.a.fake().headers_free.set(left);
    net.a.fake().hold = false;
    let n = net.a.fake().in_ring();
    net.a.fake().complete(n);
    net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == up.len() + 10);
    assert!(net.received_b(b)[..up.len()] == up);
    net.finish();
}

#[test]
fn s5_without_buffers_to_refer_to_payload_the_bytes_wait() {
    waits_without(StageError::NoBuffers, |c| (c.tx_no_buffers, c.tx_too_many_references));
}

#[test]
fn s5_with_as_many_references_as_a_payload_can_have_the_bytes_wait() {
    waits_without(StageError::TooManyReferences, |c| (c.tx_too_many_references, c.tx_no_buffers));
}

/// `counts` tells how often this was why nothing left, and how often the other reason was.
fn waits_without(what: StageError, counts: fn(&Counters) -> (u64, u64)) {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().references = 0;
    net.a.fake().without_references = what;
    let data = pattern(39, 50_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let end = net.now + Nanos::from_millis(5);
    while net.now < end {
        net.step();
    }
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(0));
    let (times, others) = counts(net.a.counters());
    assert!(times > 0 && times < 1000, "{times} times: no spin");
    assert_eq!(others, 0);
    net.a.fake().references = usize::MAX;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn s5_a_retransmission_needs_no_more_than_a_header_buffer() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.filter = Box::new(|s, from_a| !from_a || payload_of(s).is_empty());
    let data = pattern(40, 5_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().sent == Offset(5_000));
    // Everything was lost, and from now on nothing can be referred to.
    net.a.fake().references = 0;
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(60), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.a.fake().references = usize::MAX;
    net.finish();
}

#[test]
fn a_copying_send_without_buffers_says_so_and_hears_when_there_are_some() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().tails_free = 0;
    let e = net.a.send_copy(a, b"hello", SendFlags::default()).unwrap_err();
    assert_eq!(e.reason, SendRefusal::NoBuffers);
    for _ in 0..10 {
        net.step();
    }
    assert!(!net.has_a(a, EngineEvent::Conn(Event::Writable)));
    net.a.fake().tails_free = 1;
    net.run(Nanos::from_secs(1), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    assert_eq!(net.a.send_copy(a, b"hello", SendFlags::default()).unwrap(), 5);
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == b"hello");
    assert_eq!(net.a.counters().tail_exhausted, 1);
    net.finish();
}

#[test]
fn resets_to_strangers_need_no_connection_and_may_be_dropped() {
    let mut e = engine(A, limits());
    let mut net_b = engine(B, limits());
    e.fake().verdict = Verdict::Room(0);
    let id = net_b.connect(Time::from_nanos(1), SocketAddr::from((A, PORT)), &cfg()).unwrap();
    assert_eq!(net_b.state(id), Some(tcp::conn::State::SynSent));
    let mut now = Time::from_nanos(1);
    for _ in 0..10 {
        net_b.poll(now);
        for s in net_b.sent() {
            deliver(&mut e, &s);
        }
        e.poll(now);
        now += Nanos::from_millis(1);
    }
    assert!(e.counters().tx_replies_dropped > 0);
    assert!(e.is_idle());
}

#[test]
fn s43_nothing_is_repeated_that_the_port_still_holds() {
    // A kilobyte takes the link 80 ms, far more than the retransmission timeout; the port says nothing.
    let mut net = Net::new(NicLimits { link_bps: Some(100_000), ..limits() });
    let (a, b) = net.connected(&ConnConfig { min_rto: Nanos::from_millis(5), ..cfg() });
    net.filter = Box::new(|_, _| false);
    let sent_at = net.now;
    let data = pattern(41, 1_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(2), |n| n.a.counters().tx_retransmitted_segments > 0);
    assert!(net.now.since(sent_at) >= Nanos::from_millis(80), "{}", net.now.since(sent_at));
    assert!(net.a.counters().tx_retransmissions_held > 0);
    assert!(net.a.counters().tx_retransmissions_held < 20, "no spin");
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(60), |n| n.received_b(b).len() == data.len());
    net.finish();
}

#[test]
fn s5_being_short_of_buffers_never_ends_a_connection() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().references = 0;
    let data = pattern(42, 20_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let end = net.now + Nanos::from_secs(40);
    while net.now < end {
        net.step();
    }
    assert_eq!(net.a.counters().connections_stuck, 0);
    net.a.fake().references = usize::MAX;
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    net.finish();
}

#[test]
fn s24_refused_connections_are_first_in_line_in_the_order_they_had() {
    let mut net = Net::new(limits());
    let conns: Vec<_> = (0..4).map(|_| net.connected(&cfg())).collect();
    let ports: Vec<u16> = conns.iter().map(|(a, _)| net.a.tuple(*a).unwrap().local.port()).collect();
    for (a, _) in &conns[..3] {
        net.a.send_copy(*a, b"refused", SendFlags::default()).unwrap();
    }
    net.a.fake().verdict = Verdict::Room(0);
    net.a.poll(net.now);
    // One that comes later has to wait behind them.
    net.a.send_copy(conns[3].0, b"later", SendFlags::default()).unwrap();
    net.a.sent();
    net.a.fake().verdict = Verdict::Take;
    let mut order = Vec::new();
    for _ in 0..3 {
        net.now += Nanos::from_millis(1);
        net.a.poll(net.now);
        for s in net.a.sent() {
            order.extend(tcp_of(&s).map(|t| t.source_port));
            deliver(&mut net.b, &s);
        }
    }
    assert_eq!(order, ports);
    net.finish();
}

#[test]
fn s24_acks_free_the_budget_of_a_port_that_tells_nothing() {
    let mut net = Net::new(NicLimits { link_bps: Some(1_000_000), tx_ring: 4096, ..limits() });
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(8_000_000), ..cfg() });
    let start = net.now;
    // More than the whole queue may hold.
    send_all(&mut net, a, &pattern(43, 3_000_000));
    net.run(Nanos::from_secs(60), |n| n.received_b(b).len() == 3_000_000);
    assert!(net.now.since(start) < Nanos::from_secs(1), "the link alone would need 24 seconds");
    net.finish();
}

/// Connections whose windows are open wide, so that only the engine holds them back.
fn eager(net: &mut Net, n: usize) -> Vec<(ConnId, ConnId)> {
    let cfg = ConnConfig { initial_window: 1000, no_delay: true, ..cfg() };
    let open = |net: &mut Net| {
        let (a, b) = net.connected(&cfg);
        net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
        net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
        (a, b)
    };
    (0..n).map(|_| open(net)).collect()
}

#[test]
fn turns_end_with_the_quantum() {
    let bounds = crate::Bounds { tx_frames: 4, quantum: 30_000, ..crate::Bounds::default() };
    let device =
        crate::DeviceBudget { connection_bytes: 1 << 30, queue_bytes: 1 << 30, ..Default::default() };
    let cfg = EngineConfig { bounds, device, ..config(A) };
    let limits = NicLimits { link_bps: Some(100_000_000_000_000), ..limits() };
    let mut net = Net::with(engine_with(cfg, limits.clone()), engine(B, limits));
    let conns = eager(&mut net, 2);
    let data = pattern(44, 900_000);
    for (a, _) in &conns {
        let buf = net.a.buf(&data);
        net.a.send(*a, buf, SendFlags::default()).unwrap();
    }
    for _ in 0..4 {
        net.a.poll(net.now);
    }
    let sent: Vec<u64> = conns.iter().map(|(a, _)| net.a.marks(*a).unwrap().sent.0).collect();
    assert!(sent[0] + sent[1] > 500_000, "{sent:?}");
    assert!(sent[0].abs_diff(sent[1]) <= 65_536, "{sent:?}: one burst, not more");
    net.finish();
}

#[test]
fn s24_nobody_overtakes_those_who_wait_for_room_in_the_port() {
    let device = crate::DeviceBudget { queue_bytes: 150_000, ..Default::default() };
    let limits = NicLimits { link_bps: Some(10_000_000), ..limits() };
    let mut net =
        Net::with(engine_with(EngineConfig { device, ..config(A) }, limits.clone()), engine(B, limits));
    let conns = eager(&mut net, 3);
    net.filter = Box::new(|_, from_a| from_a);
    // The first takes its two bursts, the second what room is left; it waits for more.
    for (a, _) in &conns[..2] {
        let buf = net.a.buf(&pattern(45, 200_000));
        net.a.send(*a, buf, SendFlags::default()).unwrap();
        net.a.poll(net.now);
    }
    assert!(net.a.counters().tx_queue_limited >= 1);
    let second = net.a.marks(conns[1].0).unwrap().sent;
    // What the third has would still fit, but it is not its turn.
    net.a.send_copy(conns[2].0, &[7; 100], SendFlags::default()).unwrap();
    net.a.poll(net.now);
    assert_eq!(net.a.marks(conns[2].0).unwrap().sent, Offset(5));
    net.run(Nanos::from_secs(5), |n| n.a.marks(conns[2].0).unwrap().sent == Offset(105));
    assert!(net.a.marks(conns[1].0).unwrap().sent > second, "the second went first");
    net.filter = Box::new(|_, _| true);
    net.finish();
}
