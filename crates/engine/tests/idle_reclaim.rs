//! What was sent last on a queue comes home though nothing more is sent, on every driver there is here (`S29`). For
//! virtio-user see `vhost_pair.rs`.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::process::Command;
use std::time::{Duration, Instant};

use dpdk::{BufPool, BufPoolConfig, Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::profile::{IdleReclaim, profile};
use engine::nic::{Buf, Nic, RxPiece, TxFrame, TxMeta};
use tcp::Payload;

use self::namespace::enter_namespace;

/// Sends a few frames that refer to one buffer, then nothing more; `receive` is what the other end does meanwhile.
fn sent_last(eal: &Eal, nic: &mut DpdkNic, mut receive: impl FnMut(&mut DpdkNic)) {
    let driver = nic.port().info().driver.clone();
    let pool = BufPool::new(eal, &BufPoolConfig { name: "payload", count: 1, size: 1024, socket: None })
        .expect("a pool");
    let payload = Buf::Pool(pool.try_alloc().expect("its buffer").freeze(1000));
    let mut sent = 0;
    while sent < 5 {
        let mut header = nic.lend_header().expect("a header");
        header[..60].fill(0);
        header[..6].fill(0xff);
        header[6..12].copy_from_slice(&nic.mac());
        header[12..14].copy_from_slice(&[0x88, 0xb6]);
        let frame =
            TxFrame { header, header_len: 60, meta: TxMeta { payload_len: 1000, ..TxMeta::default() } };
        nic.stage(frame, [(&payload, 0..1000)].into_iter()).expect("staged");
        sent += nic.tx_burst().sent as u64;
        receive(nic);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while payload.in_device() || nic.tx_completed() != Some(sent) {
        assert!(Instant::now() < deadline, "{driver}: {} frames stay in the port", nic.in_device());
        nic.reclaim();
        receive(nic);
    }
    drop(payload);
    assert!(pool.is_full(), "{driver}: the buffer is home");
    assert_eq!((profile(&driver).idle, nic.nudges()), (IdleReclaim::AtOnce, 0), "{driver}");
    println!("{driver}: home with the queue idle");
}

#[test]
fn s29_the_last_frames_of_an_idle_queue_come_home_on_every_driver() {
    enter_namespace("s29_the_last_frames_of_an_idle_queue_come_home_on_every_driver");
    for arguments in ["link add ve0 type veth peer name ve1", "link set ve0 up", "link set ve1 up"] {
        let ok = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is there");
        assert!(ok.success(), "ip {arguments}");
    }
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(256),
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let config = DpdkConfig { tail_buffers: 4, ..DpdkConfig::default() };
    let open =
        |device: &str| DpdkNic::open(&eal, &device.parse().expect("a device"), &config).expect("a port");
    let mut received: Vec<RxPiece<Buf>> = Vec::with_capacity(64);
    let mut take = |nic: &mut DpdkNic| {
        nic.rx_burst(&mut received);
        received.clear();
    };

    for device in ["tap:ts0,host=10.8.0.1/24", "af_packet:ve0", "null", "vdev:net_ring0"] {
        let mut nic = open(device);
        // What goes into a ring comes out of it: the frames are their receiver's.
        sent_last(&eal, &mut nic, &mut take);
        let report = DpdkNic::close([nic]);
        assert!(report.all_home(), "{device}: {report}");
    }

    let socket = std::env::temp_dir().join(format!("tsonami-idle-{}", std::process::id()));
    let mut server = open(&format!("memif:{},server", socket.display()));
    let mut client = open(&format!("memif:{}", socket.display()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !(server.port().link().up && client.port().link().up) {
        assert!(Instant::now() < deadline, "the two ends do not meet");
        std::thread::yield_now();
    }
    sent_last(&eal, &mut client, |_| take(&mut server));
    let report = DpdkNic::close([server, client]);
    assert!(report.all_home(), "memif: {report}");
}
