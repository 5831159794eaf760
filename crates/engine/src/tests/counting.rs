//! Every count of frames, bytes and segments is what the wire saw, counted again from the frames themselves.

use std::cell::RefCell;
use std::rc::Rc;

use tcp::conn::SendFlags;
use tcp::{Nanos, Offset};

use super::*;
use crate::fake::{Verdict, limits};

/// What a frame adds to the counters, as its bytes tell.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
struct Seen {
    frames: u64,
    bytes: u64,
    segments: u64,
    payload: u64,
    bursts: u64,
    tso: (u64, u64),
    acks: u64,
    syns: u64,
    resets: u64,
    /// Segments and bytes below what had been sent before.
    again: (u64, u64),
    /// The highest sequence number sent.
    nxt: u32,
}

impl Seen {
    fn count(&mut self, sent: &Sent) {
        self.frames += 1;
        self.bytes += sent.bytes.len() as u64;
        let Some(tcp) = tcp_of(sent) else { return };
        let payload = payload_of(sent).len() as u64;
        let segsz = u64::from(sent.meta.tso_segsz);
        let segments = if segsz > 0 { payload.div_ceil(segsz) } else { 1 };
        self.segments += segments;
        self.payload += payload;
        self.bursts += u64::from(payload > 0);
        if segsz > 0 {
            self.tso.0 += 1;
            self.tso.1 += payload;
        }
        self.acks += u64::from(payload == 0 && !tcp.syn && !tcp.fin && !tcp.rst);
        self.syns += u64::from(tcp.syn);
        self.resets += u64::from(tcp.rst);
        let end = tcp.sequence_number.wrapping_add(payload as u32);
        if tcp.syn {
            self.nxt = end;
        } else if payload > 0 && end.wrapping_sub(self.nxt) as i32 <= 0 {
            self.again.0 += segments;
            self.again.1 += payload;
        } else {
            self.nxt = end;
        }
    }

    fn counted(e: &TestEngine, nxt: u32) -> Seen {
        let c = e.counters();
        Seen {
            frames: c.tx_frames,
            bytes: c.tx_bytes,
            segments: c.tx_segments,
            payload: c.tx_payload_bytes,
            bursts: c.tx_bursts,
            tso: (c.tx_tso_bursts, c.tx_tso_bytes),
            acks: c.tx_acks,
            syns: c.tx_syns,
            resets: c.tx_resets,
            again: (c.tx_retransmitted_segments, c.tx_retransmitted_bytes),
            nxt,
        }
    }
}

#[test]
fn every_count_is_what_the_wire_saw() {
    let mut net = Net::new(limits());
    let seen = Rc::new(RefCell::new([Seen::default(); 2]));
    let (mut data_frames, counting) = (0, Rc::clone(&seen));
    net.filter = Box::new(move |sent, from_a| {
        counting.borrow_mut()[usize::from(!from_a)].count(sent);
        // Two frames of A's are lost, so that some bytes travel twice.
        data_frames += usize::from(from_a && !payload_of(sent).is_empty());
        !from_a || !matches!(data_frames, 3 | 12) || payload_of(sent).is_empty()
    });
    let (a, b) = net.connected(&cfg());
    let there = pattern(60, 300_000);
    send_all(&mut net, a, &there);
    let back = pattern(61, 20_001);
    assert_eq!(net.b.send_copy(b, &back, SendFlags::default()), Ok(back.len()));
    net.run(Nanos::from_secs(20), |n| {
        n.received_b(b).len() == there.len() && n.received_a(a).len() == back.len()
    });
    net.a.abort(a);
    net.run(Nanos::from_secs(1), |n| n.b.state(b) == Some(tcp::conn::State::Closed));
    let [by_a, by_b] = *seen.borrow();
    assert!(by_a.again.0 > 1 && by_a.tso.0 > 3 && by_a.resets > 0 && by_b.acks > 0, "{by_a:?} {by_b:?}");
    assert_eq!(Seen::counted(&net.a, by_a.nxt), by_a);
    assert_eq!(Seen::counted(&net.b, by_b.nxt), by_b);
    net.finish();
}

#[test]
fn s24_a_reply_that_takes_the_last_descriptor_leaves_the_burst_behind_it_not_sent() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    // A stranger's SYN is answered by a reset that is staged before the burst.
    let mut stranger = engine(B, limits());
    stranger.connect(net.now, SocketAddr::from((A, 9)), &cfg()).unwrap();
    let mut syn = Vec::new();
    for _ in 0..10 {
        net.now += Nanos::from_micros(10);
        stranger.poll(net.now);
        let (tcp, arp): (Vec<_>, Vec<_>) = stranger.sent().into_iter().partition(|s| tcp_of(s).is_some());
        syn.extend(tcp);
        arp.iter().for_each(|request| deliver(&mut net.a, request));
        net.a.poll(net.now);
        net.a.sent().iter().for_each(|reply| deliver(&mut stranger, reply));
    }
    deliver(&mut net.a, syn.first().expect("a SYN"));
    let data = pattern(62, 5_000);
    let buf = net.a.buf(&data);
    net.a.send(a, buf, SendFlags::default()).unwrap();
    net.a.fake().verdict = Verdict::Room(1);
    net.a.poll(net.now);
    let sent = net.a.sent();
    assert_eq!(sent.len(), 1);
    assert!(tcp_of(&sent[0]).expect("a TCP segment").rst, "{sent:?}");
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(0), "the burst found no descriptor");
    net.a.fake().verdict = Verdict::Take;
    net.run(Nanos::from_secs(5), |n| n.received_b(b) == data);
    assert_eq!(net.a.stats(a).unwrap().segments_retransmitted, 0);
    net.finish();
}

#[test]
fn s24_of_a_burst_that_left_in_part_no_more_is_believed_than_was_offered() {
    let mut net = Net::new(NicLimits { tso_max_len: 0, ..limits() });
    let (a, b) = net.connected(&cfg());
    // A segment to alter.
    assert_eq!(net.b.send_copy(b, b"hello", SendFlags::default()), Ok(5));
    let segments = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&segments);
    net.filter = Box::new(move |sent, from_a| {
        if !from_a && payload_of(sent) == b"hello" {
            heard.borrow_mut().push(sent.bytes.clone());
        }
        true
    });
    net.run(Nanos::from_secs(1), |n| n.received_a(a) == b"hello");
    let mut segment = segments.borrow()[0].clone();
    let mss = net.a.stats(a).unwrap().mss as usize;
    // The port is offered a burst of half a window, five segments, and takes one.
    let data = pattern(63, 20 * mss);
    assert_eq!(net.a.send_copy(a, &data, SendFlags::default()), Ok(data.len()));
    net.a.fake().verdict = Verdict::Room(1);
    net.a.poll(net.now);
    net.a.fake().take_sent();
    assert_eq!(net.a.marks(a).unwrap().sent, Offset(mss as u64));
    // A byte more than that is acknowledged.
    let (seq, ack) = (14 + 20 + 4, 14 + 20 + 8);
    let advance = |segment: &mut [u8], at: usize, by: u32| {
        let n = u32::from_be_bytes(segment[at..at + 4].try_into().expect("four bytes"));
        segment[at..at + 4].copy_from_slice(&n.wrapping_add(by).to_be_bytes());
    };
    advance(&mut segment, seq, 5);
    advance(&mut segment, ack, 5 * mss as u32 + 1);
    net.a.fake().inject_as(&[&segment], RxChecksum::Good, RxChecksum::Good);
    net.a.poll(net.now);
    assert_eq!(net.a.marks(a).unwrap().acked, Offset(0));
    // The burst itself is believed, though the port said that it refused most of it.
    advance(&mut segment, ack, u32::MAX);
    net.a.fake().inject_as(&[&segment], RxChecksum::Good, RxChecksum::Good);
    net.a.poll(net.now);
    assert_eq!(net.a.marks(a).unwrap().acked, Offset(5 * mss as u64));
}
