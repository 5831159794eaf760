//! What a port reports, what it refuses, and that errors say what to do.

mod common;

use common::{assert_full, config, device, eal, pool};
use dpdk::{
    Chain, Clock, Eal, EalConfig, EalError, MbufStash, Port, PortConfig, PortError, TxOffload, TxOffloads,
};

#[test]
fn a_port_tells_its_limits_and_refuses_what_is_beyond_them() {
    let null = device("null");
    let eal = eal(32, &[&null]);
    assert!(matches!(
        Eal::start(EalConfig { no_huge: true, ..EalConfig::default() }),
        Err(EalError::AlreadyStarted)
    ));

    // A clock that runs, and never backwards.
    let before = std::time::Instant::now();
    let clock = Clock::new(&eal);
    let begun = std::time::Instant::now();
    let mut last = clock.now();
    while begun.elapsed().as_millis() < 20 {
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
    // Between two readings of the kernel's clock, however long we were away meanwhile.
    let least = begun.elapsed().as_nanos() as u64;
    last = clock.now();
    let most = before.elapsed().as_nanos() as u64;
    assert!((least / 4 * 3..=most / 3 * 4).contains(&last), "{last} ns for {least} to {most} ns");

    // What is not there, and what cannot be, is said.
    let e =
        Port::probe(&eal, &device("vdev:net_nonesuch0")).expect_err("there is no such driver").to_string();
    assert!(
        e.contains("vdev:net_nonesuch0: no such device") && e.contains("driver must be installed"),
        "{e}"
    );
    let e = Port::probe(&eal, &device("virtio-user:/nonexistent/socket")).expect_err("no socket").to_string();
    assert!(e.contains("start `vhost:/nonexistent/socket` first"), "{e}");
    let e = Port::probe(&eal, &device("af_packet:nonesuch")).expect_err("no interface").to_string();
    assert!(e.contains("no interface nonesuch"), "{e}");
    let e = Port::probe(&eal, &device("pci:0000:ff:1f.7")).expect_err("no NIC").to_string();
    assert!(e.contains("dpdk-devbind.py"), "{e}");

    let rx_pool = pool(&eal, "rx", 255, 2176);
    let headers = pool(&eal, "header", 63, 640);
    let start = |change: &dyn Fn(&mut PortConfig)| {
        let port = Port::probe(&eal, &null).expect("a port");
        assert_eq!(port.info().driver, "net_null");
        let mut config = config(&port);
        change(&mut config);
        let pools = vec![rx_pool.clone(); config.queues.into()];
        port.start(&config, &pools)
    };
    let e = start(&|c| c.mtu = 20).expect_err("too small");
    assert!(matches!(e, PortError::Mtu { mtu: 20, .. }), "{e}");
    let e = start(&|c| c.queues = 60_000).expect_err("too many");
    assert!(matches!(e, PortError::Queues { queues: 60_000, .. }), "{e}");
    let e = start(&|c| c.tx_offloads = TxOffloads::TCP_TSO).expect_err("it cannot segment").to_string();
    assert!(e.contains("TCP_TSO"), "{e}");
    let e = start(&|c| c.tx_offloads = TxOffloads::MBUF_FAST_FREE).expect_err("never used").to_string();
    assert!(e.contains("MBUF_FAST_FREE"), "{e}");

    // Two queues, each used by a thread of its own.
    let (handle, queues) = start(&|c| c.queues = 2).expect("starts");
    std::thread::scope(|scope| {
        for mut queue in queues {
            let (headers, eal) = (&headers, &eal);
            scope.spawn(move || {
                let registered = eal.register_thread().expect("an lcore id");
                let mut stash = MbufStash::new(headers);
                for i in 1..=100u64 {
                    let chain = Chain::new(stash.take().expect("they come back"), 60);
                    queue.stage(chain.finish(TxOffload::default())).expect("room");
                    assert_eq!(queue.transmit().sent, 1);
                    assert_eq!(queue.completed(&mut stash), i);
                }
                assert!(!queue.reclaim(), "net_null has nothing to clean up");
                drop((stash, queue));
                drop(registered);
            });
        }
    });
    assert_eq!(handle.stats().expect("it counts").tx_packets, 200);
    assert!(handle.rss().is_err() || !handle.rss().expect("known").table.is_empty());
    drop(handle);
    assert_full(&[&rx_pool, &headers]);

    // A pool of 64 gives 64, then none.
    let mut held = Vec::new();
    while let Some(m) = headers.alloc() {
        held.push(m);
    }
    assert_eq!(held.len(), 63);
    assert!(MbufStash::new(&headers).take().is_none());
    let e = dpdk::Mempool::new(
        &eal,
        &dpdk::MempoolConfig { name: "huge", count: 1 << 20, cache: 0, data_room: 60_000, socket: None },
    )
    .expect_err("60 GiB")
    .to_string();
    assert!(e.contains("the huge pool of 1048576 buffers") && e.contains("more memory"), "{e}");

    // Whatever is still out keeps its pool, and EAL with it: dropped in the wrong order on purpose.
    drop((headers, rx_pool, eal));
    drop(held);
}
