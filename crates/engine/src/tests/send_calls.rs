//! The send calls (`S1`): what is taken leaves in order, what is not stays with its owner.

use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Event, Nanos, Offset, Payload, SendTimeKind};

use super::*;
use crate::fake::limits;
use crate::{FillError, Message, Piece, SendRefusal, Streaming};

const MORE: SendFlags = SendFlags { more: true, timestamp: false, eor: false, part: false };

/// The clock of calls that send so little that they give the loop no turn.
fn no_turn() -> Time {
    panic!("a turn for a short send")
}

fn pushes(sent: &Sent) -> bool {
    tcp_of(sent).is_some_and(|t| t.psh)
}

/// Frames with payload that A sends in its next poll; B gets them.
fn frames(net: &mut Net) -> Vec<Sent> {
    net.a.poll(net.now);
    let sent = net.a.sent();
    sent.iter().for_each(|s| deliver(&mut net.b, s));
    sent.into_iter().filter(|s| !payload_of(s).is_empty()).collect()
}

#[test]
fn s1_each_piece_is_copied_or_referenced_as_it_says() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
    net.a.keep_reclaimed(a, true);
    let data = pattern(70, 1_400);
    let body = net.a.buf(&data[20..1_300]);
    let mut pieces = [
        Piece::Copy(&data[..20]),
        Piece::Copy(&[]),
        Piece::Reference(body),
        Piece::Copy(&data[1_300..]),
        Piece::Copy(&[]),
    ];
    assert_eq!(net.a.send_pieces(a, &mut pieces, SendFlags::default(), no_turn), Ok(1_400));
    assert!(pieces.iter().all(|p| p.is_empty()));
    let sent = frames(&mut net);
    assert_eq!(sent.len(), 1, "one send, one segment");
    assert_eq!((payload_of(&sent[0]), sent[0].buffers), (data.clone(), 4));
    assert!(pushes(&sent[0]));
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == data);
    // What was referenced comes back as it was, at its place in the stream.
    let mut home = Vec::new();
    net.run(Nanos::from_secs(1), |n| {
        home.extend(std::iter::from_fn(|| n.a.pop_reclaimed(a)).map(|(at, p)| (at.0, p.len())));
        home.len() == 3
    });
    assert_eq!(home, [(0, 20), (20, 1_280), (1_300, 100)]);
    net.finish();
}

#[test]
fn s1_the_flags_of_a_vectored_send_are_those_of_its_end() {
    // A frame for each segment, and a piece for each frame.
    let plain = NicLimits { tso_max_len: 0, ..limits() };
    for (flags, pushed) in [(SendFlags::default(), [false, false, true]), (MORE, [false; 3])] {
        let mut net = Net::new(plain.clone());
        let (a, _) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
        let data = pattern(71, 3 * 1_448);
        let mut pieces: Vec<Piece<'_, Buf>> = data.chunks(1_448).map(Piece::Copy).collect();
        let ask = SendFlags { timestamp: true, ..flags };
        assert_eq!(net.a.send_pieces(a, &mut pieces, ask, no_turn), Ok(3 * 1_448));
        let sent = frames(&mut net);
        assert_eq!(sent.iter().map(pushes).collect::<Vec<_>>(), pushed, "the end of a piece pushes nothing");
        let times: Vec<_> = std::iter::from_fn(|| net.a.poll_event())
            .filter_map(|(_, e)| match e {
                EngineEvent::Conn(Event::SendTime(t)) => Some((t.end, t.kind)),
                _ => None,
            })
            .collect();
        let one = [SendTimeKind::Scheduled, SendTimeKind::Sent].map(|kind| (Offset(3 * 1_448), kind));
        assert_eq!(times, one, "one send, one time of each kind");
        net.finish();
    }
}

#[test]
fn s1_what_a_vectored_send_does_not_take_stays_with_its_owner() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&ConnConfig { send_buffer: Some(10_000), ..cfg() });
    net.filter = Box::new(|_, from_a| from_a);
    let data = pattern(72, 18_000);
    let body = net.a.buf(&data[6_000..12_000]);
    let mut pieces = [Piece::Copy(&data[..6_000]), Piece::Reference(body), Piece::Copy(&data[12_000..])];
    assert_eq!(net.a.send_pieces(a, &mut pieces, SendFlags::default(), no_turn), Ok(6_000));
    assert!(pieces[0].is_empty());
    assert!(matches!(&pieces[1], Piece::Reference(p) if p.len() == 6_000), "whole or not at all");
    assert!(matches!(&pieces[2], Piece::Copy(c) if c.len() == 6_000), "nothing overtakes it");
    // Nothing was taken: now the call says why.
    assert_eq!(net.a.send_pieces(a, &mut pieces, SendFlags::default(), no_turn), Err(SendRefusal::Full));
    assert!(matches!(&pieces[1], Piece::Reference(p) if p.len() == 6_000));
    // A copied piece is taken in part.
    let rest = net.a.send_pieces(a, &mut pieces[2..], SendFlags::default(), no_turn).expect("some room");
    assert!((3_000..4_000).contains(&rest), "{rest}");
    assert!(matches!(&pieces[2], Piece::Copy(c) if c.len() == 6_000 - rest && c[0] == data[12_000 + rest]));
    net.filter = Box::new(|_, _| true);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == 6_000 + rest);
    assert_eq!(net.received_b(b)[6_000..], data[12_000..12_000 + rest]);
    drop(pieces);
    net.finish();
}

#[test]
fn s1_a_batch_serves_every_connection_whatever_becomes_of_the_others() {
    let mut net = Net::new(limits());
    let conns: Vec<_> = (0..20).map(|_| net.connected(&cfg())).collect();
    let data = pattern(73, 3_000);
    net.a.shutdown_write(conns[3].0);
    net.a.release(conns[5].0);
    let bodies: Vec<Buf> = conns.iter().map(|_| net.a.buf(&data[100..])).collect();
    let mut pieces: Vec<[Piece<'_, Buf>; 2]> =
        bodies.into_iter().map(|body| [Piece::Copy(&data[..100]), Piece::Reference(body)]).collect();
    let mut batch: Vec<Message<'_, '_, Buf>> = pieces
        .iter_mut()
        .zip(&conns)
        .map(|(pieces, (conn, _))| Message {
            conn: *conn,
            pieces,
            flags: SendFlags::default(),
            outcome: Ok(0),
        })
        .collect();
    assert_eq!(net.a.send_batch(&mut batch, no_turn), 18);
    for (i, message) in batch.iter().enumerate() {
        let expected = match i {
            3 => Err(SendRefusal::Finished),
            5 => Err(SendRefusal::NoSuchConnection),
            _ => Ok(3_000),
        };
        assert_eq!(message.outcome, expected, "message {i}");
        assert_eq!(message.pieces.iter().all(|p| p.is_empty()), expected.is_ok(), "message {i}");
    }
    drop(batch);
    drop(pieces);
    let served = |i: &usize| ![3, 5].contains(i);
    net.run(Nanos::from_secs(5), |n| (0..20).filter(served).all(|i| n.received_b(conns[i].1) == data));
    net.finish();
}

#[test]
fn s1_a_source_fills_the_buffers_that_the_port_reads() {
    let mut net = Net::new(limits());
    net.a.fake().tail_len = 4_096;
    let (a, b) = net.connected(&cfg());
    let data = pattern(74, 10_000);
    let mut at = 0;
    while at < data.len() {
        let n = net.a.send_with(a, data.len() - at, |room| {
            assert!(!room.is_empty() && room.len() <= 4_096.min(data.len() - at));
            let n = room.len().min(1_000);
            room[..n].copy_from_slice(&data[at..at + n]);
            Ok::<_, ()>((n, SendFlags::default()))
        });
        at += n.expect("room");
    }
    net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
    // Nothing to give, nothing asked, a failure: nothing is sent.
    assert_eq!(net.a.send_with(a, 10, |_| Ok::<_, ()>((0, MORE))), Ok(0));
    assert_eq!(net.a.send_with(a, 0, |_| Err("not called")), Ok(0));
    let failed = net.a.send_with(a, 10, |room| {
        room.fill(1);
        Err("the disk is gone")
    });
    assert_eq!(failed, Err(FillError::Source("the disk is gone")));
    assert_eq!(net.a.marks(a).unwrap().accepted, Offset(10_000));
    // A source that claims more than it was lent is believed what it was lent.
    let most = net.a.send_with(a, 7, |_| Ok::<_, ()>((usize::MAX, SendFlags::default())));
    assert_eq!(most, Ok(7));
    net.a.shutdown_write(a);
    let refused = net.a.send_with(a, 7, |_| -> Result<_, ()> { panic!("asked in vain") });
    assert_eq!(refused, Err(FillError::Refused(SendRefusal::Finished)));
    net.finish();
}

#[test]
fn s13_long_copies_go_past_the_cache_when_much_is_out_and_arrive_the_same() {
    let streams = EngineConfig { streaming: Streaming { least: 4_096, out: 1 << 20 }, ..config(A) };
    let mut net = Net::with(engine_with(streams, limits()), engine(B, limits()));
    net.a.fake().tail_len = 1_021;
    let (a, b) = net.connected(&cfg());
    let data = pattern(80, 20_000);
    let mut at = 0;
    for (len, out, streamed) in
        [(4_095, 1 << 20, 0), (4_096, (1 << 20) - 1, 0), (4_096, 1 << 20, 4_096), (7_713, u64::MAX, 11_809)]
    {
        net.a.fake().tail_bytes = out;
        assert_eq!(net.a.send_copy(a, &data[at..at + len], SendFlags::default()).unwrap(), len);
        assert_eq!(net.a.counters().tx_streamed_bytes, streamed, "{len} bytes with {out} out");
        at += len;
    }
    net.run(Nanos::from_secs(1), |n| n.received_b(b) == data);
    net.b.fake().tail_bytes = u64::MAX - 1;
    net.b.send_copy(b, &data, SendFlags::default()).unwrap();
    assert_eq!(net.b.counters().tx_streamed_bytes, 0, "never, unless it is asked for");
    net.finish();
}

/// B sends back to A what it gets, until A has `len` bytes.
#[track_caller]
fn echo(net: &mut Net, a: ConnId, b: ConnId, len: usize) {
    let end = net.now + Nanos::from_secs(20);
    while net.received_a(a).len() < len {
        assert!(net.now < end && net.step(), "{} of {len} bytes came back", net.received_a(a).len());
        while net.b.splice(b, b, usize::MAX, SendFlags::default(), || net.now).is_ok_and(|n| n > 0) {}
    }
}

/// As `connected`, with nobody at B that reads.
fn unread(net: &mut Net, cfg: &ConnConfig) -> (ConnId, ConnId) {
    let pair = net.connected(cfg);
    net.reads_b = false;
    pair
}

#[test]
fn s1_a_splice_sends_what_was_received_without_a_copy() {
    let mut net = Net::new(limits());
    // Room for all of it: a last short segment would be copied.
    let (a, b) = unread(&mut net, &ConnConfig { send_buffer: Some(4 << 20), ..cfg() });
    // Whoever copies fails.
    net.b.fake().tails_free = 0;
    let data = pattern(75, 200_000);
    send_all(&mut net, a, &data);
    echo(&mut net, a, b, data.len());
    assert!(net.received_a(a) == data);
    assert_eq!(net.b.counters().tail_exhausted, 0);
    net.reads_b = true;
    net.finish();
}

#[test]
fn s1_a_splice_copies_while_receive_buffers_are_short() {
    let mut net = Net::new(limits());
    let (a, b) = unread(&mut net, &cfg());
    net.b.fake().pressed = true;
    net.b.fake().tails_free = 0;
    send_all(&mut net, a, &pattern(76, 5_000));
    net.run(Nanos::from_secs(1), |n| n.b.splice(b, b, usize::MAX, SendFlags::default(), || n.now).is_err());
    // Nothing to copy into: refused, and still there.
    let refused = net.b.splice(b, b, usize::MAX, SendFlags::default(), || net.now);
    assert_eq!(refused, Err(SendRefusal::NoBuffers));
    net.b.fake().tails_free = usize::MAX;
    echo(&mut net, a, b, 5_000);
    assert!(net.received_a(a) == pattern(76, 5_000));
    net.reads_b = true;
    net.finish();
}

#[test]
fn s1_what_the_sink_of_a_splice_does_not_take_stays_where_it_is() {
    let mut net = Net::new(limits());
    let small = ConnConfig { send_buffer: Some(5_000), ..cfg() };
    let (a, b) = unread(&mut net, &small);
    let (c, d) = net.connected(&small);
    let data = pattern(77, 60_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(1), |n| n.b.counters().rx_payload_bytes >= 60_000);
    // `max` bounds it, in the middle of a segment too.
    assert_eq!(net.b.splice(b, d, 1_000, SendFlags::default(), || net.now), Ok(1_000));
    let moved = net.b.splice(b, d, usize::MAX, SendFlags::default(), || net.now).expect("some");
    assert!((3_000..5_000).contains(&moved), "{moved}");
    assert_eq!(net.b.splice(b, d, usize::MAX, SendFlags::default(), || net.now), Err(SendRefusal::Full));
    net.run(Nanos::from_secs(20), |n| {
        let _ = n.b.splice(b, d, usize::MAX, SendFlags::default(), || n.now);
        n.received_a(c).len() == data.len()
    });
    assert!(net.received_a(c) == data);
    assert_eq!(net.b.splice(b, d, usize::MAX, SendFlags::default(), || net.now), Ok(0), "nothing is left");
    net.b.shutdown_write(d);
    send_all(&mut net, a, b"tail");
    net.run(Nanos::from_secs(1), |n| n.b.counters().rx_payload_bytes >= 60_004);
    assert_eq!(net.b.splice(b, d, usize::MAX, SendFlags::default(), || net.now), Err(SendRefusal::Finished));
    assert_eq!(net.b.read(b).map(|p| p.as_slice().to_vec()), Some(b"tail".to_vec()));
    net.b.release(d);
    assert_eq!(net.b.splice(b, d, 1, SendFlags::default(), || net.now), Err(SendRefusal::NoSuchConnection));
    net.reads_b = true;
    net.finish();
}

#[test]
fn s33_a_send_tells_when_it_had_its_turn_when_the_port_took_it_and_when_the_peer_had_it() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    net.a.fake().verdict = crate::fake::Verdict::Room(0);
    let ask = SendFlags { timestamp: true, ..SendFlags::default() };
    let data = pattern(78, 5_000);
    net.a.send_copy(a, &data[..2_000], SendFlags::default()).unwrap();
    net.a.send_copy(a, &data[2_000..], ask).unwrap();
    let asked = net.now;
    let end = net.now + Nanos::from_millis(3);
    while net.now < end {
        net.step();
    }
    let times = |n: &Net| -> Vec<_> {
        let times = n.events_a.iter().filter_map(|(_, e)| match e {
            EngineEvent::Conn(Event::SendTime(t)) => Some(*t),
            _ => None,
        });
        times.collect()
    };
    let [turn] = times(&net)[..] else { panic!("a full ring is not sent: {:?}", times(&net)) };
    assert_eq!((turn.end, turn.kind), (Offset(5_000), SendTimeKind::Scheduled));
    assert!(turn.at < asked + Nanos::from_millis(1), "it had its turn, and was refused");
    net.a.fake().verdict = crate::fake::Verdict::Take;
    net.run(Nanos::from_secs(1), |n| times(n).len() == 3);
    let [_, sent, acked] = times(&net)[..] else { panic!() };
    assert_eq!((sent.end, sent.kind), (Offset(5_000), SendTimeKind::Sent));
    assert_eq!((acked.end, acked.kind), (Offset(5_000), SendTimeKind::Acked));
    assert!(sent.at >= asked + Nanos::from_millis(3));
    assert!(acked.at >= sent.at + Nanos::from_micros(100), "a round trip later");
    assert_eq!(net.received_b(b).len(), 5_000);
    net.finish();
}
