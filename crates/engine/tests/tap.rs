//! The DPDK NIC on a TAP whose other end is a real kernel, in a network namespace of its own.
//! One test per file: EAL starts once per process.

#[path = "../../dpdk/tests/common/capture.rs"]
mod capture;
#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::time::{Duration, Instant};

use dpdk::{DeviceSpec, Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::{Nic, RxPiece, TailBuf, TxFrame, TxMeta};
use tcp::Payload;

use self::namespace::enter_namespace;

#[test]
fn the_kernel_answers_odd_pieces_arrive_right_and_kept_frames_starve_nobody() {
    enter_namespace("the_kernel_answers_odd_pieces_arrive_right_and_kept_frames_starve_nobody");
    let device: DeviceSpec = "tap:ts0,host=10.9.0.1/24".parse().expect("a device");
    let eal = Eal::start(EalConfig {
        no_huge: true,
        devices: vec![device.clone()],
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let config = DpdkConfig { rx_descriptors: 64, rx_buffers: 192, ..DpdkConfig::default() };
    let mut nic = DpdkNic::open(&eal, &device, &config).expect("a TAP");
    println!("{:#?}\n{:#?}", nic.port().info(), nic.limits());
    let host = nic.host().expect("a TAP has a kernel side");
    assert_eq!(host.name(), "ts0");
    assert_eq!(host.mtu().expect("the kernel tells"), nic.limits().mtu, "the wire's; DPDK's side has more");
    assert_eq!(nic.limits().tso_max_segments, 64);
    assert!(nic.limits().mtu >= 1490, "{}", nic.limits().mtu);

    let mac = nic.mac();
    let mut request = Vec::new();
    request.extend([0xff; 6]);
    request.extend(mac);
    request.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    request.extend(mac);
    request.extend([10, 9, 0, 2, 0, 0, 0, 0, 0, 0, 10, 9, 0, 1]);
    request.resize(60, 0);

    let mut out: Vec<RxPiece<_>> = Vec::with_capacity(64);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut asked = 0;
    'waiting: loop {
        assert!(Instant::now() < deadline, "no ARP reply within 5 s; asked {asked} times");
        let mut header = nic.lend_header().expect("a header");
        header[..60].copy_from_slice(&request);
        let frame = TxFrame { header, header_len: 60, meta: TxMeta::default() };
        nic.stage(frame, std::iter::empty()).expect("staged");
        let outcome = nic.tx_burst();
        assert_eq!((outcome.sent, outcome.stop), (1, None));
        asked += 1;
        let retry = Instant::now() + Duration::from_millis(200);
        while Instant::now() < retry {
            nic.rx_burst(&mut out);
            for piece in out.drain(..) {
                let f = piece.buf.as_slice();
                if f[12..14] == [8, 6] && f[20..22] == [0, 2] {
                    assert_eq!(f[28..32], [10, 9, 0, 1]);
                    assert_eq!(f[..6], mac);
                    assert_ne!(f[22..28], mac, "each side has an address of its own");
                    break 'waiting;
                }
            }
        }
    }
    assert_eq!(nic.tx_completed(), Some(asked), "TAP is done with a frame once it is written");
    // Pieces at odd offsets, which DPDK 22.11's net_tap sums wrongly, arrive right all the same.
    let capture = capture::Capture::new(nic.port().info().if_index.expect("a TAP has an interface"));
    let mut tail = nic.alloc_tail().expect("a buffer");
    let len = 7000;
    tail.spare()[..len].iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31 / 7) as u8);
    let payload = tail.freeze(len);
    drop(tail);
    for cut in [1, 333, 1000, 1001, 3333, 6999] {
        let mut h = vec![0x02, 0, 0, 0, 0, 9];
        h.extend(mac);
        h.extend([8, 0, 0x45, 0, ((40 + len) >> 8) as u8, (40 + len) as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        h.extend([10, 9, 0, 2, 10, 9, 0, 1, 0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 255, 255]);
        h.extend([0; 4]);
        let pseudo = capture::fold(capture::sum(&h[26..34]) + 6);
        h[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let mut header = nic.lend_header().expect("a header");
        header[..54].copy_from_slice(&h);
        let meta = TxMeta {
            l2_len: 14,
            l3_len: 20,
            l4_len: 20,
            ipv6: false,
            ip_checksum: true,
            tcp_checksum: true,
            tso_segsz: 1000,
            payload_len: len as u32,
            stamp: false,
        };
        let frame = TxFrame { header, header_len: 54, meta };
        nic.stage(frame, [(&payload, 0..cut), (&payload, cut..len)].into_iter()).expect("staged");
        assert_eq!(nic.tx_burst().sent, 1);
        for i in 0..7 {
            let f = capture.tcp();
            let (ip, tcp) = (&f[14..34], &f[34..]);
            assert_eq!(tcp[20..], payload.as_slice()[i * 1000..i * 1000 + 1000], "cut at {cut}, segment {i}");
            let sum = capture::sum(&ip[12..20]) + 6 + tcp.len() as u32 + capture::sum(tcp);
            assert_eq!(capture::fold(sum), 0xffff, "checksum of segment {i}, cut at {cut}");
        }
    }
    drop(payload);

    // Received frames that the application keeps do not starve the port: past half of the receive buffers they
    // are copied out, and when there is no memory for that either, large ones are dropped and small ones arrive.
    out.clear();
    let mut large = vec![0x55; 1000];
    large[..6].copy_from_slice(&mac);
    large[12..14].copy_from_slice(&[0x88, 0xb6]);
    let mut kept = Vec::new();
    let mut receive = |nic: &mut DpdkNic, kept: &mut Vec<_>, frame: &[u8]| {
        assert!(capture.send(frame));
        let deadline = Instant::now() + Duration::from_secs(5);
        let before = nic.rx_counters();
        loop {
            assert!(
                Instant::now() < deadline,
                "a frame of {} bytes does not arrive: {before:?}",
                frame.len()
            );
            nic.rx_burst(&mut out);
            let mut found = false;
            for piece in out.drain(..) {
                if piece.buf.as_slice()[..14] == frame[..14] {
                    assert_eq!(piece.buf.as_slice(), frame);
                    kept.push(piece.buf);
                    found = true;
                }
            }
            if found || nic.rx_counters().dropped_no_memory > before.dropped_no_memory {
                return found;
            }
        }
    };
    for i in 0..3000u32 {
        large[14..18].copy_from_slice(&i.to_be_bytes());
        if !receive(&mut nic, &mut kept, &large) {
            break;
        }
    }
    let counters = nic.rx_counters();
    println!("{} frames kept, {counters:?}", kept.len());
    assert!(kept.len() > 500, "half of the buffers, then a megabyte of copies");
    assert!(counters.copied > 400 && counters.dropped_no_memory == 1, "{counters:?}");
    assert!(receive(&mut nic, &mut kept, &large[..100]), "an ACK would still get through");
    for (i, buf) in kept[..kept.len() - 1].iter().enumerate() {
        assert_eq!(buf.as_slice()[14..18], (i as u32).to_be_bytes(), "what is kept stays as it was");
    }
    kept.clear();
    assert!((0..40).all(|_| receive(&mut nic, &mut kept, &large)), "memory is back");
    kept.clear();

    // Small ones with a few bytes of a stream are kept as well, more of them than there are buffers.
    let mut small = [&mac[..], &[0x55; 6], &[8, 0, 0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0]].concat();
    small.extend([10, 9, 0, 1, 10, 9, 0, 2, 0, 80, 0x30, 0x39, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 255, 255]);
    small.extend([0; 4]);
    for i in 0..1000u32 {
        small.truncate(54);
        small.extend(i.to_be_bytes());
        assert!(receive(&mut nic, &mut kept, &small), "{i} are kept: {:?}", nic.rx_counters());
    }
    for (i, buf) in kept.iter().enumerate() {
        assert_eq!(buf.as_slice()[54..], (i as u32).to_be_bytes(), "what is kept stays as it was");
    }
    drop(kept);

    let report = DpdkNic::close([nic]);
    assert!(report.all_home(), "{report}");
}
