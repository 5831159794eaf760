//! Connections open, carry bytes, close, and leave nothing behind.

use std::net::SocketAddr;

use tcp::conn::{ConnConfig, Linger, SendFlags, State};
use tcp::{Event, Nanos, Offset, Payload};

use super::*;
use crate::fake::{limits, plain_limits};
use crate::{Bounds, ConnectError, SendRefusal};

#[test]
fn bytes_arrive_in_both_directions_and_the_connection_closes() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    assert_eq!(net.a.state(a), Some(State::Established));
    let (up, down) = (pattern(1, 300_000), pattern(2, 77_777));
    let buf = net.b.buf(&down);
    net.b.send(b, buf, SendFlags::default()).unwrap();
    send_all(&mut net, a, &up);
    net.a.shutdown_write(a);
    net.b.shutdown_write(b);
    net.run(Nanos::from_secs(5), |n| {
        n.has_b(b, EngineEvent::Conn(Event::PeerFinished))
            && n.has_a(a, EngineEvent::Conn(Event::PeerFinished))
    });
    assert!(net.received_b(b) == up, "B received something else");
    assert!(net.received_a(a) == down, "A received something else");
    let marks = net.a.marks(a).unwrap();
    assert_eq!(marks.accepted, Offset(300_000));
    net.run(Nanos::from_secs(5), |n| n.a.marks(a).is_some_and(|m| m.acked == m.accepted));
    net.finish();
}

#[test]
fn a_port_without_any_offload_carries_the_same_bytes() {
    let mut net = Net::new(plain_limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(3, 200_001);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    assert!(net.a.counters().tx_soft_segmented > 5);
    assert_eq!(net.a.counters().tx_tso_bursts, 0);
    net.finish();
}

#[test]
fn s12_software_checksums_span_slices_of_odd_lengths() {
    let limits = NicLimits { tx_tcp_checksum: false, tx_ip_checksum: false, tso_max_len: 0, ..limits() };
    let mut net = Net::new(limits);
    let (a, b) = net.connected(&ConnConfig { no_delay: false, ..cfg() });
    let data = pattern(4, 40_000);
    let mut at = 0;
    for (i, len) in [1, 333, 7, 1461, 2, 997, 3].into_iter().cycle().enumerate() {
        let end = (at + len).min(data.len());
        let buf = net.a.buf(&data[at..end]);
        let flags = SendFlags { more: end < data.len(), ..SendFlags::default() };
        net.a.send(a, buf, flags).unwrap_or_else(|e| panic!("send {i}: {e}"));
        at = end;
        if at == data.len() {
            break;
        }
    }
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn s12_a_copy_sums_in_its_own_pass_and_what_is_referenced_is_read_for_it() {
    let software = NicLimits { tx_tcp_checksum: false, tx_ip_checksum: false, tso_max_len: 0, ..limits() };
    // Without scatter-gather everything is copied; with it, all but short payload and chains that do not fit.
    let linear = NicLimits { max_chain: 1, max_chain_per_segment: 1, ..software.clone() };
    let short = NicLimits { max_chain_per_segment: 2, ..software.clone() };
    for (limits, pieces, copying, reading) in [
        (linear, 4, true, false),
        (software.clone(), 4, false, true),
        (short, 4, true, false),
        (software, 14, true, false),
        (limits(), 4, false, false),
    ] {
        let mut net = Net::new(limits);
        let (a, b) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
        let data = pattern(79, 1_400);
        for part in data.chunks(1_400 / pieces) {
            let buf = net.a.buf(part);
            net.a.send(a, buf, SendFlags::default()).unwrap();
            if pieces > 4 {
                net.run(Nanos::from_secs(1), |n| n.a.marks(a).is_some_and(|m| m.acked == m.accepted));
            }
        }
        net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
        let c = net.a.counters();
        assert_eq!(
            (c.tx_checksums_copying > 0, c.tx_checksums_reading > 0),
            (copying, reading),
            "{pieces} pieces"
        );
        net.finish();
    }
}

#[test]
fn s10_chains_beyond_the_ports_limit_are_copied_together() {
    let mut net = Net::new(NicLimits { max_chain_per_segment: 3, ..limits() });
    let (a, b) = net.connected(&cfg());
    let data = pattern(5, 100_000);
    for chunk in data.chunks(300) {
        let buf = net.a.buf(chunk);
        net.a.send(a, buf, SendFlags { more: true, ..SendFlags::default() }).unwrap();
    }
    net.a.shutdown_write(a);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    assert!(net.a.counters().tx_linearised > 0);
    net.finish();
}

#[test]
fn s29_zero_copy_payloads_come_home_after_ack_and_device() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().hold = true;
    net.a.keep_reclaimed(a, true);
    let data = pattern(6, 50_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    let mut home = 0;
    let end = net.now + Nanos::from_millis(50);
    while net.now < end && net.received_b(b).len() < data.len() {
        net.step();
    }
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(50_000));
    assert!(net.a.pop_reclaimed(a).is_none(), "the device still reads it");
    assert!(net.a.marks(a).unwrap().reclaimed < Offset(50_000));
    let n = net.a.fake().in_ring();
    net.a.fake().complete(n);
    while let Some((_, p)) = net.a.pop_reclaimed(a) {
        home += p.len();
    }
    assert_eq!(home, 50_000);
    assert_eq!(net.a.marks(a).unwrap().reclaimed, Offset(50_000));
    net.finish();
}

#[test]
fn s29_nobody_looks_for_a_payload_of_which_a_part_is_acknowledged() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { receive_buffer: 1000, ..cfg() });
    net.reads_b = false;
    let data = pattern(16, 9_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(5), |n| n.a.marks(a).unwrap().acked > Offset::ZERO);
    // The window is closed: nothing happens but that it is probed.
    let (end, mut steps) = (net.now + Nanos::from_secs(5), 0);
    while net.now < end {
        net.step();
        steps += 1;
    }
    assert!(steps < 100, "{steps} steps in 5 s");
    net.reads_b = true;
    net.b.read(b);
    net.run(Nanos::from_secs(60), |n| n.a.marks(a).unwrap().reclaimed == Offset(9_000));
    net.finish();
}

#[test]
fn copied_payload_goes_back_to_its_pool_by_itself() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(7, 500_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().reclaimed == Offset(500_000));
    assert_eq!(net.a.fake().live.get(), 0, "an idle connection holds no buffer");
    net.finish();
}

#[test]
fn s15_small_payload_travels_behind_its_header() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
    net.a.sent();
    let mut frames = Vec::new();
    send_all(&mut net, a, b"hello");
    net.a.poll(net.now);
    for s in net.a.sent() {
        if payload_of(&s) == b"hello" {
            frames.push(s.clone());
        }
        deliver(&mut net.b, &s);
    }
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].buffers, frames[0].meta.payload_len), (1, 0));
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == b"hello");
    net.finish();
}

#[test]
fn s15_payload_beyond_the_copy_break_is_referenced() {
    for (copy_break, len, buffers) in [(256, 256, 1), (256, 257, 2), (0, 1, 2), (u32::MAX, 1_400, 1)] {
        let mut net =
            Net::with(engine_with(EngineConfig { copy_break, ..config(A) }, limits()), engine(B, limits()));
        let (a, _) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
        net.a.sent();
        let buf = net.a.buf(&pattern(81, len));
        net.a.send(a, buf, SendFlags::default()).unwrap();
        net.a.poll(net.now);
        let sent = net.a.sent();
        assert_eq!(sent.iter().map(|s| s.buffers).collect::<Vec<_>>(), [buffers], "{len} of {copy_break}");
        sent.iter().for_each(|s| deliver(&mut net.b, s));
        net.finish();
    }
}

#[test]
fn large_bursts_are_tso_frames_with_the_fin_in_one_of_its_own() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(8, 400_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.a.shutdown_write(a);
    net.filter = Box::new(|s, _| {
        let fin = tcp_of(s).is_some_and(|t| t.fin);
        assert!(!(fin && s.meta.tso_segsz != 0), "a FIN on a TSO frame");
        true
    });
    net.run(Nanos::from_secs(5), |n| n.has_b(b, EngineEvent::Conn(Event::PeerFinished)));
    assert!(net.received_b(b) == data);
    let c = net.a.counters();
    assert!(c.tx_tso_bytes / c.tx_tso_bursts > 10_000, "mean burst of {}", c.tx_tso_bytes / c.tx_tso_bursts);
    net.finish();
}

#[test]
fn fairness_among_100_connections() {
    let mut net = Net::new(NicLimits { link_bps: Some(1_000_000_000), ..limits() });
    let mut conns = Vec::new();
    // Neither cwnd nor the peer's window shall hold anybody back.
    let eager = ConnConfig { initial_window: 1000, ..cfg() };
    for _ in 0..100 {
        let (a, b) = net.connected(&eager);
        net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
        net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
        conns.push((a, b));
    }
    for (a, _) in &conns {
        let buf = net.a.buf(&pattern(9, 1_000_000));
        net.a.send(*a, buf, SendFlags::default()).unwrap();
    }
    // Long enough for tens of turns each, far from the end.
    net.run(Nanos::from_secs(20), |n| n.b.counters().rx_payload_bytes > 40_000_000);
    let sent: Vec<u64> = conns.iter().map(|(a, _)| net.a.marks(*a).unwrap().sent.0).collect();
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(most - least <= 3 * 65_536, "{least} to {most}");
    net.finish();
}

#[test]
fn nobody_starves_when_the_ports_queue_is_full() {
    // The wire is faster than the link is said to be: ACKs, not the estimate, make room, and the one whose ACK it is
    // stands there first.
    let mut net = Net::new(NicLimits { link_bps: Some(1_000_000_000), ..limits() });
    let conns: Vec<_> = (0..100).map(|_| net.connected(&cfg())).collect();
    for (a, _) in &conns {
        let buf = net.a.buf(&pattern(9, 1_000_000));
        net.a.send(*a, buf, SendFlags::default()).unwrap();
    }
    net.run(Nanos::from_secs(20), |n| n.b.counters().rx_payload_bytes > 40_000_000);
    assert!(net.a.counters().tx_queue_limited > 100);
    let sent: Vec<u64> = conns.iter().map(|(a, _)| net.a.marks(*a).unwrap().sent.0).collect();
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(least * 4 > *most, "{least} to {most}");
    net.finish();
}

#[test]
fn ten_thousand_connections_open_and_close() {
    let small = ConnConfig { time_wait: Nanos::from_millis(1), ..cfg() };
    let mut net = Net::new(limits());
    net.b.listen(SocketAddr::from((B, PORT)), 1000, small.clone()).unwrap();
    let (mut opened, mut closed) = (0u32, 0u32);
    while closed < 10_000 {
        while opened < 10_000 && opened - closed < 200 {
            net.a.connect(net.now, SocketAddr::from((B, PORT)), &small).expect("a connection");
            opened += 1;
        }
        assert!(net.step());
        for (id, event) in std::mem::take(&mut net.events_a) {
            match event {
                EngineEvent::Conn(Event::Connected) => {
                    net.a.send_copy(id, b"request", SendFlags::default()).unwrap();
                    net.a.release(id);
                    closed += 1;
                }
                EngineEvent::Conn(Event::Closed(Err(e))) => panic!("{id:?}: {e:?}"),
                _ => {}
            }
        }
        for (id, event) in std::mem::take(&mut net.events_b) {
            match event {
                EngineEvent::Conn(Event::PeerFinished) => net.b.release(id),
                EngineEvent::Conn(Event::Closed(Err(e))) => panic!("{id:?}: {e:?}"),
                _ => {}
            }
        }
        net.got_a.clear();
        net.got_b.clear();
    }
    net.run(Nanos::from_secs(5), |n| {
        for (id, event) in std::mem::take(&mut n.events_b) {
            if event == EngineEvent::Conn(Event::PeerFinished) {
                n.b.release(id);
            }
        }
        n.a.is_idle() && n.b.is_idle()
    });
    let (a, b) = (net.a.counters().clone(), net.b.counters().clone());
    assert_eq!((a.connections_opened, a.connections_closed), (10_000, 10_000));
    assert_eq!((b.connections_accepted, b.connections_closed), (10_000, 10_000));
    assert_eq!(b.rx_payload_bytes, 70_000);
    net.run(Nanos::from_secs(1), |n| n.a.time_wait_count() == 0 && n.b.time_wait_count() == 0);
    net.finish();
}

#[test]
fn a_released_handle_is_stale_and_what_was_sent_still_arrives() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(10, 100_000);
    send_all(&mut net, a, &data);
    net.a.release(a);
    assert_eq!(net.a.state(a), None);
    assert_eq!(
        net.a.send_copy(a, b"x", SendFlags::default()).unwrap_err().reason,
        SendRefusal::NoSuchConnection
    );
    net.run(Nanos::from_secs(5), |n| n.has_b(b, EngineEvent::Conn(Event::PeerFinished)));
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn s45_a_linger_of_zero_resets() {
    let mut net = Net::new(limits());
    let linger = ConnConfig { linger: Linger::Bounded(Nanos::ZERO), ..cfg() };
    let (a, b) = net.connected(&linger);
    net.a.release(a);
    net.run(Nanos::from_secs(1), |n| {
        n.events_b.iter().any(|(id, e)| *id == b && matches!(e, EngineEvent::Conn(Event::Closed(Err(_)))))
    });
    assert_eq!(net.a.counters().tx_resets, 1);
    net.finish();
}

#[test]
fn an_aborted_connection_gives_everything_back() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    // The peer's acknowledgements are lost: nothing is acknowledged.
    net.filter = Box::new(|_, from_a| from_a);
    let data = pattern(11, 300_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    for _ in 0..20 {
        net.step();
    }
    net.a.abort(a);
    net.run(Nanos::from_secs(1), |n| {
        n.events_b.iter().any(|(id, e)| *id == b && matches!(e, EngineEvent::Conn(Event::Closed(Err(_)))))
    });
    net.run(Nanos::from_millis(1), |n| n.a.fake().live.get() == 0);
    net.finish();
}

#[test]
fn a_copying_send_takes_what_fits_and_then_says_full() {
    let mut net = Net::new(limits());
    let (a, _) = net.connected(&ConnConfig { send_buffer: Some(10_000), ..cfg() });
    net.filter = Box::new(|_, from_a| from_a);
    let data = pattern(12, 25_000);
    assert!((9_500..=10_000).contains(&net.a.capacity(a)));
    let taken = net.a.send_copy(a, &data, SendFlags::default()).unwrap();
    // Each piece also costs its bookkeeping.
    assert!((9_500..=10_000).contains(&taken), "{taken}");
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()).unwrap_err().reason, SendRefusal::Full);
    let large = net.a.buf(&data);
    let e = net.a.send(a, large, SendFlags::default()).unwrap_err();
    assert_eq!((e.reason, e.payload.len()), (SendRefusal::Full, 25_000));
    drop(e);
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(5), |n| n.has_a(a, EngineEvent::Conn(Event::Writable)));
    net.finish();
}

#[test]
fn connecting_beyond_the_bounds_says_so() {
    let mut e = engine_with(EngineConfig { max_connections: 2, ..config(A) }, limits());
    let to = |s: &str| s.parse::<SocketAddr>().unwrap();
    let now = Time::from_nanos(1);
    assert!(matches!(e.connect(now, to("10.0.0.1:80"), &cfg()), Err(ConnectError::Destination(_))));
    assert!(matches!(e.connect(now, to("[::1]:80"), &cfg()), Err(ConnectError::Family(_))));
    assert!(matches!(e.connect(now, to("10.9.0.1:80"), &cfg()), Err(ConnectError::NoRoute { .. })));
    e.connect(now, to("10.0.0.2:80"), &cfg()).unwrap();
    e.connect(now, to("10.0.0.2:80"), &cfg()).unwrap();
    assert_eq!(e.connect(now, to("10.0.0.2:80"), &cfg()), Err(ConnectError::TooManyConnections(2)));
    assert_eq!(e.connections(), 2);
}

#[test]
fn a_small_quantum_still_moves_whole_bursts() {
    let bounds = Bounds { quantum: 1, tx_frames: 3, ..Bounds::default() };
    let a = engine_with(EngineConfig { bounds, ..config(A) }, limits());
    let mut net = Net::with(a, engine(B, limits()));
    let (a, b) = net.connected(&cfg());
    let data = pattern(13, 300_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn a_lost_frame_is_sent_again() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let mut n = 0;
    net.filter = Box::new(move |s, from_a| {
        n += usize::from(from_a && !payload_of(s).is_empty());
        n != 3 || !from_a
    });
    let data = pattern(14, 500_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(20), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    assert!(net.a.counters().tx_retransmitted_segments > 0);
    net.finish();
}

#[test]
fn the_rtt_of_the_wire_is_in_the_histogram() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let data = pattern(15, 100_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    let h = net.a.rtt_histogram();
    assert!(!h.is_empty());
    assert!((100_000..250_000).contains(&h.min()), "{}", h.min());
    net.finish();
}

#[test]
fn s45_time_wait_outlives_the_connection_and_its_handle() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { time_wait: Nanos::from_secs(10), ..ConnConfig::default() });
    let start = net.now;
    net.a.release(a);
    net.run(Nanos::from_secs(1), |n| n.has_b(b, EngineEvent::Conn(Event::PeerFinished)));
    net.b.release(b);
    net.run(Nanos::from_secs(1), |n| n.a.is_idle() && n.b.is_idle());
    assert_eq!((net.a.time_wait_count(), net.b.time_wait_count()), (1, 0), "the side that closed first");
    net.run(Nanos::from_secs(20), |n| n.a.time_wait_count() == 0);
    assert!(net.now.since(start) >= Nanos::from_secs(10));
    net.finish();
}

#[test]
fn s49_the_ipv4_identification_counts_wire_segments() {
    // A device that segments numbers on from the frame's own, so the next frame's has to lie beyond.
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let frames = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = frames.clone();
    net.filter = Box::new(move |s, from_a| {
        if from_a && tcp_of(s).is_some() {
            let segments = match s.meta.tso_segsz {
                0 => 1,
                mss => payload_of(s).len().div_ceil(usize::from(mss)) as u16,
            };
            seen.borrow_mut().push((u16::from_be_bytes([s.bytes[18], s.bytes[19]]), segments));
        }
        true
    });
    let data = pattern(60, 200_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == data.len());
    let frames = frames.borrow();
    assert!(frames.iter().any(|(_, segments)| *segments > 5));
    for pair in frames.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(pair[0].1));
    }
    drop(frames);
    net.finish();
}
