//! Chains with external buffers through net_ring, which gives back on its receive side the very mbufs it was
//! sent. One test per file: EAL starts once per process.

use dpdk::{
    BufPool, BufPoolConfig, Chain, DeviceSpec, Eal, EalConfig, MbufStash, Mempool, MempoolConfig, Port,
    PortConfig, RxOffloads, TxOffload, TxOffloads,
};

#[test]
fn a_chain_with_external_buffers_comes_back_whole_and_everything_comes_home() {
    let device: DeviceSpec = "vdev:net_ring0".parse().expect("a device");
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(64),
        devices: vec![device.clone()],
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let pool = |name, data_room| {
        let config = MempoolConfig { name, count: 255, cache: 0, data_room, socket: None };
        Mempool::new(&eal, &config).expect("a pool")
    };
    let (rx_pool, headers, links) = (pool("rx", 2176), pool("header", 640), pool("link", 0));
    let buffers = BufPool::new(&eal, &BufPoolConfig { name: "payload", count: 4, size: 65536, socket: None })
        .expect("a pool");

    let port = Port::probe(&eal, &device).expect("a port");
    println!("{:#?}", port.info());
    let config = PortConfig {
        queues: 1,
        rx_descriptors: 64,
        tx_descriptors: 64,
        mtu: 1500,
        tx_offloads: TxOffloads::MULTI_SEGS & port.info().tx_offloads,
        rx_offloads: RxOffloads::default(),
        promiscuous: true,
        tx_free_thresh: None,
    };
    let (handle, mut queues) = port.start(&config, std::slice::from_ref(&rx_pool)).expect("starts");
    assert!(handle.link().up);
    let mut queue = queues.pop().expect("one queue");

    let mut buf = buffers.try_alloc().expect("a buffer");
    buf.spare_mut()[..3000].iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
    let payload = buf.freeze(3000);
    drop(buf);
    assert_eq!(buffers.available(), 3);

    let mut stash = MbufStash::new(&headers);
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
    drop(frame);
    assert_eq!(queue.completed(&mut stash), 1);
    assert_eq!(buffers.available(), 4, "home when the last reference went");

    stash.clear();
    drop((queue, handle));
    for pool in [&rx_pool, &headers, &links] {
        assert!(pool.is_full(), "{} of {}", pool.available(), pool.size());
    }
}
