//! Application buffers: who owns them, how often they may be sent at once, and when they come home.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{assert_full, eal, pool};
use dpdk::{
    AttachError, BufPool, BufPoolConfig, Chain, Frame, MAX_DEVICE_REFERENCES, Mempool, Slice, TxOffload,
};

fn frame(headers: &Mempool, links: &Mempool, payload: &Slice) -> Frame {
    let mut chain = Chain::new(headers.alloc().expect("a header"), 0);
    chain.attach(links.alloc().expect("a link"), payload, 0..payload.len()).expect("attached");
    chain.finish(TxOffload::default())
}

#[test]
fn buffers_come_home_exactly_once_whoever_lets_go_last() {
    let eal = eal(128, &[]);
    let headers = pool(&eal, "header", 1023, 256);
    let links = pool(&eal, "link", 65535, 0);
    let new_pool = |count, size| {
        BufPool::new(&eal, &BufPoolConfig { name: "payload", count, size, socket: None }).expect("a pool")
    };
    let buffers = new_pool(4, 4000);
    assert_eq!(buffers.buffer_size(), 4032, "rounded up to cache lines");

    // Exhaustion is a `None`.
    let all: Vec<_> = std::iter::from_fn(|| buffers.try_alloc()).collect();
    assert_eq!((all.len(), buffers.available()), (4, 0));
    drop(all);
    assert!(buffers.is_full());

    // Pieces frozen one after the other are one buffer; they merge when they follow each other.
    let mut buf = buffers.try_alloc().expect("a buffer");
    buf.spare_mut()[..10].copy_from_slice(b"0123456789");
    let (mut a, b, c) = (buf.freeze(3), buf.freeze(3), buf.freeze(4));
    assert_eq!(buf.filled(), 10);
    assert_eq!(a.references().0, 4);
    assert!(!a.try_merge(&c), "not a neighbour");
    assert!(a.try_merge(&b) && a.try_merge(&c));
    drop((b, c));
    assert_eq!(a.as_slice(), b"0123456789");
    let middle = a.slice(2..5);
    assert_eq!(middle.as_slice(), b"234");
    buf.spare_mut()[0] = b'!';
    assert_eq!(a.as_slice(), b"0123456789", "what is frozen stays");
    drop(a);
    assert_eq!((buffers.available(), middle.references().0), (3, 2));
    drop((middle, buf));
    assert!(buffers.is_full());
    let mut other = buffers.try_alloc().expect("a buffer");
    let mut another = buffers.try_alloc().expect("a buffer");
    assert!(!other.freeze(4032).try_merge(&another.freeze(1)), "another buffer, even if next to it");
    drop((other, another));

    // The handles go first, then the device: it sends the buffer home. And the other way round.
    for device_last in [true, false] {
        let payload = buffers.try_alloc().expect("a buffer").freeze(100);
        let sent = frame(&headers, &links, &payload);
        assert!(payload.in_device());
        assert_eq!(payload.references(), (1, 1));
        if device_last {
            drop(payload);
            assert_eq!(buffers.available(), 3);
            drop(sent);
        } else {
            drop(sent);
            assert!(!payload.in_device());
            assert_eq!(buffers.available(), 3);
            drop(payload);
        }
        assert!(buffers.is_full());
    }

    // One buffer is in a device 60 000 times at most; the next attempt changes nothing.
    let payload = buffers.try_alloc().expect("a buffer").freeze(1);
    let mut chain = Chain::new(headers.alloc().expect("a header"), 0);
    for _ in 0..MAX_DEVICE_REFERENCES {
        chain.attach(links.alloc().expect("a link"), &payload, 0..1).expect("below the cap");
    }
    let before = (links.available(), payload.references(), chain.len());
    assert_eq!(
        chain.attach(links.alloc().expect("a link"), &payload, 0..1),
        Err(AttachError::TooManyReferences)
    );
    assert_eq!((links.available(), payload.references(), chain.len()), before);
    let clones = vec![payload.clone(); 200_000];
    assert_eq!(payload.references().0, 200_001, "owners are counted beyond 16 bits");
    drop((clones, payload));
    assert_eq!(buffers.available(), 3);
    drop(chain);
    assert!(buffers.is_full());
    assert_full(&[&headers, &links]);

    // More than an mbuf can describe is refused.
    let large = new_pool(1, 100_000);
    let payload = large.try_alloc().expect("a buffer").freeze(100_000);
    let mut chain = Chain::new(headers.alloc().expect("a header"), 0);
    let link = links.alloc().expect("a link");
    assert_eq!(chain.attach(link, &payload, 0..70_000), Err(AttachError::TooLong(70_000)));
    chain.attach(links.alloc().expect("a link"), &payload, 30_000..95_535).expect("65535 bytes");
    assert_eq!(chain.len(), 65535);
    // The pool may go first; the memory stays until the last buffer is home.
    drop(large);
    assert_eq!(payload.as_slice().len(), 100_000);
    drop((chain, payload));

    // Threads clone, attach and let go of the same buffer at once; it comes home once each time.
    let rounds = 300;
    let shared = new_pool(2, 4096);
    let homecomings = AtomicU32::new(0);
    for round in 0..rounds {
        let mut buf = shared.try_alloc().expect("it came home the last time");
        buf.spare_mut()[0] = round as u8;
        let payload = buf.freeze(64);
        drop(buf);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (payload, headers, links) = (payload.clone(), &headers, &links);
                scope.spawn(move || {
                    let mut in_flight = Vec::new();
                    for i in 0..20 {
                        in_flight.push(frame(headers, links, &payload.clone()));
                        assert_eq!(payload.as_slice()[0], round as u8, "somebody else has it");
                        if i % 3 == 0 {
                            in_flight.remove(0);
                        }
                    }
                    drop(payload);
                    drop(in_flight);
                });
            }
            drop(payload);
        });
        assert!(shared.is_full(), "round {round}");
        homecomings.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(homecomings.into_inner(), rounds);
    drop(shared);
    assert_full(&[&headers, &links]);
}
