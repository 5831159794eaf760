//! Chains through net_ring, which gives back on its receive side the very mbufs it was sent.

mod common;

use common::{assert_full, config, device, eal, pool};
use dpdk::{BufPool, BufPoolConfig, Chain, MbufStash, Port, TxOffload};

#[test]
fn chains_come_back_whole_refused_ones_are_freed_and_everything_comes_home() {
    let device = device("vdev:net_ring0");
    let eal = eal(64, &[&device]);
    let (rx_pool, headers, links) =
        (pool(&eal, "rx", 255, 2176), pool(&eal, "header", 4095, 640), pool(&eal, "link", 4095, 0));
    let buffers = BufPool::new(&eal, &BufPoolConfig { name: "payload", count: 4, size: 65536, socket: None })
        .expect("a pool");
    let port = Port::probe(&eal, &device).expect("a port");
    let config = config(&port);
    let (handle, mut queues) = port.start(&config, std::slice::from_ref(&rx_pool)).expect("starts");
    assert!(handle.link().up);
    let mut queue = queues.pop().expect("one queue");
    let mut stash = MbufStash::new(&headers);

    // A chain of a header and two references comes back as it was sent.
    let mut buf = buffers.try_alloc().expect("a buffer");
    buf.spare_mut()[..3000].iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
    let payload = buf.freeze(3000);
    drop(buf);
    assert_eq!(buffers.available(), 3);
    let mut header = stash.take().expect("a header");
    header.room_mut()[..4].copy_from_slice(b"head");
    let mut chain = Chain::new(header, 4);
    for range in [0..1000, 1000..2500] {
        chain.attach(links.alloc().expect("a link"), &payload, range).expect("attached");
    }
    assert_eq!(payload.references(), (1, 2));
    queue.stage(chain.finish(TxOffload::default())).expect("room");
    let result = queue.transmit();
    assert_eq!((result.sent, result.rejected), (1, None));
    assert!(payload.in_device());
    assert_eq!(queue.completed(&mut stash), 0);
    drop(payload);
    assert_eq!(buffers.available(), 3, "the device still refers to it");
    assert_eq!(queue.receive(), 1);
    assert_eq!(queue.next_segments(), Some(3));
    let frame = queue.next_frame().expect("a frame");
    assert_eq!(frame.len(), 2504);
    let bytes: Vec<u8> = frame.segments().flatten().copied().collect();
    assert_eq!(&bytes[..4], b"head");
    assert!(bytes[4..].iter().enumerate().all(|(i, &b)| b == i as u8));

    // What was received is sent on by reference: the pieces of an external buffer, and of a header mbuf.
    let pieces: Vec<_> = frame.into_pieces().collect();
    assert_eq!(pieces.iter().map(|p| p.len()).collect::<Vec<_>>(), [4, 1000, 1500]);
    let mut onward = Chain::new(stash.take().expect("a header"), 0);
    for piece in &pieces {
        onward.attach_rx(links.alloc().expect("a link"), piece, 1..piece.len()).expect("attached");
    }
    queue.stage(onward.finish(TxOffload::default())).expect("room");
    assert_eq!(queue.transmit().sent, 1);
    assert!(pieces.iter().all(|p| p.in_device()));
    drop(pieces);
    assert_eq!(buffers.available(), 3, "the second frame still refers to it");
    assert_eq!(queue.receive(), 1);
    let frame = queue.next_frame().expect("a frame");
    let again: Vec<u8> = frame.segments().flatten().copied().collect();
    let expected: Vec<u8> = [&bytes[1..4], &bytes[5..1004], &bytes[1005..]].concat();
    assert_eq!(again, expected);
    drop(frame);
    assert_eq!(queue.completed(&mut stash), 2);
    assert_eq!(buffers.available(), 4, "home when the last reference went");
    stash.clear();
    assert_full(&[&headers, &links]);

    // S24: what a full ring refuses is freed, at once and all of it.
    let mut buf = buffers.try_alloc().expect("a buffer");
    let payload = buf.freeze(100);
    drop(buf);
    let (mut sent, mut refused) = (0, 0);
    while refused == 0 {
        for _ in 0..queue.batch() {
            let mut chain = Chain::new(stash.take().expect("a header"), 4);
            chain.attach(links.alloc().expect("a link"), &payload, 0..100).expect("attached");
            queue.stage(chain.finish(TxOffload::default())).expect("room");
        }
        let spare = stash.take().expect("a header");
        queue
            .stage(Chain::new(spare, 4).finish(TxOffload::default()))
            .expect_err("a full batch takes no more, and hands the frame back");
        let staged = queue.staged();
        let result = queue.transmit();
        assert_eq!((queue.staged(), result.rejected), (0, None));
        sent += result.sent;
        refused = staged - result.sent;
        assert!(sent < 4000, "the ring never fills");
    }
    assert_eq!(queue.in_device(), sent);
    assert_eq!(usize::from(payload.references().1), sent, "refused chains hold nothing");
    while queue.receive() > 0 {
        while let Some(frame) = queue.next_frame() {
            drop(frame);
        }
    }
    assert_eq!(queue.completed(&mut stash), 2 + sent as u64);
    assert!(!payload.in_device());

    // Frames left in the device when it closes come home too.
    let mut chain = Chain::new(stash.take().expect("a header"), 4);
    chain.attach(links.alloc().expect("a link"), &payload, 0..100).expect("attached");
    queue.stage(chain.finish(TxOffload::default())).expect("room");
    assert_eq!(queue.transmit().sent, 1);
    drop(payload);
    queue.receive();
    drop((stash, queue, handle));
    assert_full(&[&rx_pool, &headers, &links]);
    assert!(buffers.is_full());
}
