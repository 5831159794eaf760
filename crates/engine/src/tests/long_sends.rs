//! Long sends that transmit as they go: `S20`.

use tcp::Offset;

use super::*;
use crate::fake::limits;
use crate::long_send::BITE;
use crate::{Message, Piece};

/// A connection to a peer with a window of 64 KB, and room for a megabyte.
fn to_a_small_window() -> (Net, ConnId, ConnId) {
    let peer = ConnConfig { receive_buffer: 65_535, window_scale: false, quick_acks: 1000, ..cfg() };
    let own = ConnConfig { send_buffer: Some(4 << 20), initial_window: 60, ..peer.clone() };
    let mut net = Net::new(limits());
    net.b.listen(SocketAddr::from((B, PORT)), 1, peer).expect("a listener");
    let (a, b) = net.connected(&own);
    net.a.sent();
    (net, a, b)
}

#[test]
fn s20_a_long_send_is_on_its_way_while_it_is_copied() {
    let (mut net, a, b) = to_a_small_window();
    let data = pattern(1, 1 << 20);
    // An acknowledgement of something earlier waits to be received.
    net.a.send_copy(a, &data[..1000], SendFlags::default()).unwrap();
    net.a.poll(net.now);
    net.a.sent().iter().for_each(|frame| deliver(&mut net.b, frame));
    net.b.poll(net.now);
    net.b.sent().iter().for_each(|ack| deliver(&mut net.a, ack));
    assert_eq!(net.a.marks(a).unwrap().acked, Offset(0));
    let (begun, mut turns) = (net.now, 0);
    let rest = &data[1000..];
    let taken = net.a.send_long(a, rest, SendFlags::default(), || {
        turns += 1;
        begun + Nanos::from_micros(10 * turns)
    });
    assert_eq!(taken.unwrap(), rest.len());
    assert_eq!(turns, (rest.len() / BITE) as u64);
    // Nobody polled, and the window is full of it, and the acknowledgement was taken in.
    let marks = net.a.marks(a).unwrap();
    assert_eq!((marks.acked, marks.accepted), (Offset(1000), Offset(1 << 20)));
    let sent = net.a.sent();
    let lengths: Vec<usize> = sent.iter().map(|frame| payload_of(frame).len()).collect();
    assert!((63_000..=65_535).contains(&lengths.iter().sum::<usize>()), "{lengths:?}");
    // No bite's end is the end of a send: PSH where half the window is passed, alone.
    let mut since = 0;
    for frame in &sent {
        since += payload_of(frame).len();
        let push = tcp_of(frame).expect("a segment").psh;
        assert_eq!(push, since > 32_767, "PSH after {since} bytes");
        since = if push { 0 } else { since };
    }
    sent.iter().for_each(|frame| deliver(&mut net.b, frame));
    net.now = begun + Nanos::from_micros(10 * turns);
    net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == data.len());
    assert!(net.received_b(b) == data);
    net.finish();
}

#[test]
fn s20_a_short_send_takes_no_turn_and_what_does_not_fit_is_left() {
    let (mut net, a, b) = to_a_small_window();
    let now = net.now;
    let never = || -> Time { panic!("a turn for a short send") };
    assert_eq!(net.a.send_long(a, &pattern(1, BITE), SendFlags::default(), never).unwrap(), BITE);
    assert!(net.a.sent().is_empty());
    // 4 MiB of buffer, and nobody acknowledges.
    let data = pattern(2, 8 << 20);
    let taken = net.a.send_long(a, &data, SendFlags::default(), || now).unwrap();
    assert!((3 << 20..4 << 20).contains(&taken), "{taken}");
    assert!(net.a.send_long(a, &data[taken..], SendFlags::default(), || now).is_err());
    net.a.sent().iter().for_each(|frame| deliver(&mut net.b, frame));
    net.run(Nanos::from_secs(20), |n| n.received_b(b).len() == BITE + taken);
    net.finish();
}

#[test]
fn s20_other_connections_have_their_turn_during_a_long_send() {
    let (mut net, a, _) = to_a_small_window();
    let (other, _) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
    net.a.sent();
    net.a.send_copy(other, b"urgent", SendFlags::default()).unwrap();
    let now = net.now;
    net.a.send_long(a, &pattern(1, 1 << 20), SendFlags::default(), || now).unwrap();
    let sent = net.a.sent();
    let at = sent.iter().position(|frame| payload_of(frame) == b"urgent").expect("it left");
    assert!(at <= 1, "behind {at} frames");
    sent.iter().for_each(|frame| deliver(&mut net.b, frame));
    net.finish();
}

#[test]
fn s20_the_end_of_a_bite_is_no_end_of_a_send() {
    let own = ConnConfig { no_delay: true, initial_window: 400, send_buffer: Some(4 << 20), ..cfg() };
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&own);
    // The window on a SYN is not scaled: with an ACK for this it is as wide as it is.
    net.a.send_copy(a, b"hello", SendFlags::default()).unwrap();
    net.run(Nanos::from_secs(1), |n| n.a.marks(a).unwrap().acked == Offset(5));
    // An ACK of something earlier comes between two bites.
    net.a.send_copy(a, &pattern(2, 2000), SendFlags::default()).unwrap();
    net.a.poll(net.now);
    net.a.sent().iter().for_each(|frame| deliver(&mut net.b, frame));
    net.b.poll(net.now);
    net.b.sent().iter().for_each(|ack| deliver(&mut net.a, ack));
    let now = net.now;
    let data = pattern(1, 2 * BITE + 1000);
    net.a.send_long(a, &data, SendFlags::default(), || now).unwrap();
    assert!(net.a.marks(a).unwrap().acked > Offset(5));
    // Nothing short leaves before the end, though nothing would hold it.
    let (sent, mss) = (net.a.sent(), net.a.stats(a).unwrap().mss as usize);
    let lengths: Vec<usize> = sent.iter().map(|frame| payload_of(frame).len()).collect();
    assert!(lengths.iter().all(|len| len.is_multiple_of(mss)), "{lengths:?}");
    assert!(lengths.iter().sum::<usize>() > BITE);
    sent.iter().for_each(|frame| deliver(&mut net.b, frame));
    net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == 2005 + data.len());
    net.finish();
}

/// Bytes of frames with payload, in the order they left.
fn lengths(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|frame| payload_of(frame).len()).filter(|&len| len > 0).collect()
}

#[test]
fn s20_a_long_vectored_send_is_on_its_way_between_its_pieces() {
    for referenced in [false, true] {
        let (mut net, a, b) = to_a_small_window();
        let data = pattern(3, 1 << 20);
        let mut piece_of = |chunk| match referenced {
            true => Piece::Reference(net.a.buf(chunk)),
            false => Piece::Copy(chunk),
        };
        let mut pieces: Vec<Piece<'_, Buf>> = data.chunks(16 << 10).map(&mut piece_of).collect();
        let (mut turns, now) = (0, net.now);
        let clock = || {
            turns += 1;
            now
        };
        let taken = net.a.send_pieces(a, &mut pieces, SendFlags::default(), clock);
        assert_eq!(taken, Ok(data.len()));
        // None behind the last bite.
        assert_eq!(turns, data.len() / BITE - 1, "referenced: {referenced}");
        let sent = net.a.sent();
        assert!((63_000..=65_535).contains(&lengths(&sent).iter().sum::<usize>()), "{:?}", lengths(&sent));
        sent.iter().for_each(|frame| deliver(&mut net.b, frame));
        net.run(Nanos::from_secs(10), |n| n.received_b(b).len() == data.len());
        assert!(net.received_b(b) == data);
        drop(pieces);
        net.finish();
    }
}

#[test]
fn s20_a_batch_is_on_its_way_between_its_messages() {
    let (mut net, a, _) = to_a_small_window();
    let (other, _) = net.connected(&cfg());
    net.a.sent();
    let data = pattern(4, BITE / 4);
    let now = net.now;
    let run = |net: &mut Net, messages: usize| {
        let mut pieces: Vec<_> = (0..messages).map(|_| [Piece::<Buf>::Copy(&data)]).collect();
        let mut batch: Vec<Message<'_, '_, Buf>> = pieces
            .iter_mut()
            .enumerate()
            .map(|(i, pieces)| Message {
                conn: if i % 2 == 0 { a } else { other },
                pieces,
                flags: SendFlags::default(),
                outcome: Ok(0),
            })
            .collect();
        let mut turns = 0;
        let clock = || {
            turns += 1;
            now
        };
        assert_eq!(net.a.send_batch(&mut batch, clock), messages);
        (turns, lengths(&net.a.sent()).len())
    };
    // A bite needs no turn, whomever it is for.
    assert_eq!(run(&mut net, 4), (0, 0));
    let (turns, frames) = run(&mut net, 9);
    assert_eq!(turns, 2);
    assert!(frames > 2, "{frames} frames");
    net.a.poll(now);
    net.a.sent().iter().for_each(|frame| deliver(&mut net.b, frame));
    net.finish();
}

#[test]
fn s20_a_splice_moves_what_had_arrived_and_is_on_its_way_meanwhile() {
    let peer = ConnConfig { receive_buffer: 1 << 20, ..cfg() };
    let own = ConnConfig { send_buffer: Some(4 << 20), initial_window: 400, no_delay: true, ..peer.clone() };
    let mut net = Net::new(limits());
    net.b.listen(SocketAddr::from((B, PORT)), 4, own.clone()).expect("a listener");
    let (a, b) = net.connected(&own);
    let (c, d) = net.connected(&own);
    net.reads_b = false;
    let data = pattern(5, 200_000);
    send_all(&mut net, a, &data);
    net.run(Nanos::from_secs(5), |n| n.a.marks(a).unwrap().acked == Offset(200_000));
    // More is on its way to B, and arrives during the call: it is left, or the call might never end.
    net.a.send_copy(a, &data[..1_000], SendFlags::default()).unwrap();
    net.a.poll(net.now);
    net.a.sent().iter().for_each(|frame| deliver(&mut net.b, frame));
    net.b.sent();
    let (mut turns, now) = (0, net.now);
    let clock = || {
        turns += 1;
        now
    };
    assert_eq!(net.b.splice(b, d, usize::MAX, SendFlags::default(), clock), Ok(data.len()));
    assert_eq!((turns, net.b.counters().rx_payload_bytes), (3, 201_000));
    let sent = net.b.sent();
    let (mss, lengths) = (net.b.stats(d).unwrap().mss as usize, lengths(&sent));
    assert!(lengths.iter().sum::<usize>() >= BITE, "{lengths:?}");
    assert!(lengths.iter().all(|len| len.is_multiple_of(mss)), "no turn ends a send: {lengths:?}");
    sent.iter().for_each(|frame| deliver(&mut net.a, frame));
    net.run(Nanos::from_secs(5), |n| n.received_a(c).len() == data.len());
    assert!(net.received_a(c) == data);
    net.reads_b = true;
    net.finish();
}
