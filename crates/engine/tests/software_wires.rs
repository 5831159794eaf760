//! Several queues of a TAP; af_packet on a veth pair, and memif between two ports: frames out of one arrive at the other, whole.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::process::Command;
use std::time::{Duration, Instant};

use dpdk::{DeviceSpec, Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::{Buf, Nic, RxPiece, TailBuf, TxFrame, TxMeta};
use tcp::Payload;

use self::namespace::enter_namespace;

fn ip(arguments: &str) {
    let ok = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is there").success();
    assert!(ok, "ip {arguments}");
}

/// Sends frames of header and payload from one to the other, `n` of them.
fn cross(from: &mut DpdkNic, to: &mut DpdkNic, n: u32) {
    let len = usize::from(from.limits().mtu) - 46;
    let mut tail = from.alloc_tail().expect("a buffer");
    tail.spare()[..len].iter_mut().enumerate().for_each(|(i, b)| *b = (i / 3) as u8);
    let payload = tail.freeze(len);
    drop(tail);
    let mut rx: Vec<RxPiece<Buf>> = Vec::with_capacity(64);
    let (mut sent, mut received) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while received < n {
        assert!(Instant::now() < deadline, "{sent} sent, {received} received within 20 s");
        if sent == received {
            let mut header = from.lend_header().expect("a header");
            header[..6].copy_from_slice(&to.mac());
            header[6..12].copy_from_slice(&from.mac());
            header[12..14].copy_from_slice(&[0x88, 0xb6]);
            header[14..18].copy_from_slice(&sent.to_be_bytes());
            let meta = TxMeta { payload_len: len as u32, ..TxMeta::default() };
            let frame = TxFrame { header, header_len: 60, meta };
            from.stage(frame, [(&payload, 0..777), (&payload, 777..len)].into_iter()).expect("staged");
            sent += from.tx_burst().sent as u32;
        }
        to.rx_burst(&mut rx);
        for piece in rx.drain(..) {
            let f = piece.buf.as_slice();
            if f[12..14] == [0x88, 0xb6] {
                assert_eq!(f[14..18], received.to_be_bytes());
                assert!(!piece.more && &f[60..] == payload.as_slice());
                received += 1;
            }
        }
        from.rx_burst(&mut rx);
        rx.clear();
    }
}

#[test]
fn frames_cross_af_packet_and_memif_whole() {
    enter_namespace("frames_cross_af_packet_and_memif_whole");
    ip("link add ve0 type veth peer name ve1");
    ip("link set ve0 up");
    ip("link set ve1 up");
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(256),
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let config = DpdkConfig { tail_buffers: 4, ..DpdkConfig::default() };
    let open = |device: &str| {
        let device: DeviceSpec = device.parse().expect("a device");
        let nic = DpdkNic::open(&eal, &device, &config).expect("a port");
        println!("{device}: {:?}\n{:?}", nic.limits(), nic.port().info());
        nic
    };

    // Several queues, a NIC for each; the port closes with the last of them.
    let tap: DeviceSpec = "tap:ts0,host=10.8.0.1/24".parse().expect("a device");
    let queues = DpdkNic::open_queues(&eal, &tap, &config, 4).expect("a TAP has 16 queues");
    assert_eq!(queues.len(), 4);
    let report = DpdkNic::close(queues);
    assert!(report.pools.len() >= 4 && report.all_home(), "tap: {report}");
    let e = DpdkNic::open_queues(&eal, &tap, &config, 17).expect_err("a TAP has 16 queues").to_string();
    assert!(e.contains("17 queue pairs asked for, it has 16"), "{e}");

    let (mut a, mut b) = (open("af_packet:ve0"), open("af_packet:ve1"));
    cross(&mut a, &mut b, 50);
    cross(&mut b, &mut a, 50);
    let report = DpdkNic::close([a, b]);
    assert!(report.all_home(), "af_packet: {report}");

    let socket = std::env::temp_dir().join(format!("tsonami-memif-{}", std::process::id()));
    let mut a = open(&format!("memif:{},server", socket.display()));
    let mut b = open(&format!("memif:{}", socket.display()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !(a.port().link().up && b.port().link().up) {
        assert!(Instant::now() < deadline, "the two ends do not meet");
        std::thread::yield_now();
    }
    cross(&mut a, &mut b, 50);
    cross(&mut b, &mut a, 50);
    let report = DpdkNic::close([a, b]);
    assert!(report.all_home(), "memif: {report}");
}
