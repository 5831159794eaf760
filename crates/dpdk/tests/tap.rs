//! Frames through a TAP, seen from the kernel's side, in a network namespace of its own.

mod common;

use common::capture::{Capture, fold, sum};
use common::namespace::enter_namespace;
use common::{assert_full, config, device, eal, pool};
use dpdk::{BufPool, BufPoolConfig, Chain, Frame, MbufStash, Mempool, Port, Slice, TapHost, TxOffload};

const MSS: u16 = 1000;
const SEGMENTS: usize = 10;

/// A TSO frame whose payload is `payload` in two references.
fn tso_frame(stash: &mut MbufStash, links: &Mempool, payload: &Slice) -> Frame {
    let mut h = vec![0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 8, 0];
    let ip_len = (40 + payload.len()) as u16;
    h.extend([0x45, 0, (ip_len >> 8) as u8, ip_len as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    h.extend([10, 9, 0, 2, 10, 9, 0, 1]);
    h.extend([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    // The pseudo-header without the length: that is what TSO asks for.
    let pseudo = fold(sum(&h[26..34]) + 6);
    h[50..52].copy_from_slice(&pseudo.to_be_bytes());
    let mut header = stash.take().expect("a header");
    header.room_mut()[..54].copy_from_slice(&h);
    let mut chain = Chain::new(header, 54);
    // An even piece: up to 22.11 net_tap sums odd ones wrongly (the engine's NIC works around it).
    for range in [0..3334, 3334..payload.len()] {
        chain.attach(links.alloc().expect("a link"), payload, range).expect("attached");
    }
    chain.finish(TxOffload {
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        tso_segsz: MSS,
        ipv6: false,
        ip_checksum: true,
        tcp_checksum: true,
        stamp: false,
    })
}

#[test]
fn a_tso_chain_leaves_as_right_segments_and_a_downed_interface_refuses() {
    enter_namespace("a_tso_chain_leaves_as_right_segments_and_a_downed_interface_refuses");
    let tap = device("tap:ts1");
    let eal = eal(64, &[&tap]);
    let (rx_pool, headers, links) =
        (pool(&eal, "rx", 255, 2176), pool(&eal, "header", 255, 640), pool(&eal, "link", 255, 0));
    let buffers = BufPool::new(&eal, &BufPoolConfig { name: "payload", count: 1, size: 65536, socket: None })
        .expect("a pool");
    let port = Port::probe(&eal, &tap).expect("a TAP");
    let config = config(&port);
    let (handle, mut queues) = port.start(&config, std::slice::from_ref(&rx_pool)).expect("starts");
    let index = handle.info().if_index.expect("a TAP has an interface");
    let host = TapHost::new(index).expect("it exists");
    host.configure(handle.info().mac, Some(("10.9.0.1".parse().expect("an address"), 24)), config.mtu)
        .expect("configured");
    assert_eq!(host.queue_len().expect("it has one"), 10_000, "the kernel's ACKs come in bursts");
    let mut queue = queues.pop().expect("one queue");
    let mut stash = MbufStash::new(&headers);
    let capture = Capture::new(index);

    let mut buf = buffers.try_alloc().expect("a buffer");
    let len = MSS as usize * (SEGMENTS - 1) + 7;
    buf.spare_mut()[..len].iter_mut().enumerate().for_each(|(i, b)| *b = (i / 7) as u8);
    let payload = buf.freeze(len);
    drop(buf);

    queue.stage(tso_frame(&mut stash, &links, &payload)).expect("room");
    assert_eq!(queue.transmit().sent, 1);
    for i in 0..SEGMENTS {
        let f = capture.tcp();
        let (ip, tcp) = (&f[14..34], &f[34..]);
        let last = i + 1 == SEGMENTS;
        assert_eq!(tcp.len() - 20, if last { 7 } else { usize::from(MSS) });
        assert_eq!(
            u32::from_be_bytes(tcp[4..8].try_into().expect("four bytes")),
            1 + i as u32 * u32::from(MSS)
        );
        assert_eq!(tcp[13] & 0x08 != 0, last, "PSH on the last only");
        assert_eq!(fold(sum(ip)), 0xffff, "IP checksum of segment {i}");
        assert_eq!(fold(sum(&ip[12..20]) + 6 + tcp.len() as u32 + sum(tcp)), 0xffff, "TCP checksum of {i}");
        let at = i * usize::from(MSS);
        assert_eq!(tcp[20..], payload.as_slice()[at..at + tcp.len() - 20]);
    }
    assert!(!payload.in_device(), "TAP copies, and lets go at once");
    assert_eq!(queue.completed(&mut stash), 1);

    // S24, lab: writes fail while the interface is down; the chain is freed, and a new one goes once it is up.
    host.set_up(false).expect("down");
    let mut refused = 0;
    for _ in 0..3 {
        queue.stage(tso_frame(&mut stash, &links, &payload)).expect("room");
        refused += 1 - queue.transmit().sent;
        assert!(!payload.in_device());
    }
    assert_eq!(refused, 3);
    host.set_up(true).expect("up");
    queue.stage(tso_frame(&mut stash, &links, &payload)).expect("room");
    assert_eq!(queue.transmit().sent, 1);
    assert_eq!(capture.tcp().len(), 54 + usize::from(MSS));

    drop((payload, stash, queue, handle));
    assert_full(&[&rx_pool, &headers, &links]);
    assert!(buffers.is_full());
}
