//! Two processes over a vhost-user socket: TSO chains whose payload stays where it is until the other process
//! has copied it. Without hugepages: EAL's memory is in a shared file there, too.

#[path = "../../dpdk/tests/common/capture.rs"]
#[allow(dead_code)] // only its sums
mod capture;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capture::{fold, sum};
use dpdk::{BufPool, DeviceSpec, Eal, EalConfig, Region, RegionError};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::{Buf, Nic, RxChecksum, RxPiece, TailBuf, TxFrame, TxMeta};
use tcp::Payload;

const FRAMES: u32 = 400;
const PAYLOAD: u32 = 20_003;
const SOCKET: &str = "TSONAMI_TEST_SOCKET";

fn open(device: &DeviceSpec) -> (Eal, DpdkNic) {
    let eal = Eal::start(EalConfig {
        no_huge: true,
        memory_mib: Some(256),
        devices: vec![device.clone()],
        log: Box::new(std::io::stderr()),
        ..EalConfig::default()
    })
    .expect("EAL starts without hugepages");
    let config = DpdkConfig { rx_buffers: 512, tail_buffers: 64, ..DpdkConfig::default() };
    let nic = DpdkNic::open(&eal, device, &config).expect("a port");
    (eal, nic)
}

fn byte(stream: u32) -> u8 {
    (stream.wrapping_mul(2_654_435_761) >> 24) as u8
}

/// Headers of a segment at `seq`, for a port without IPv4 checksums.
fn headers(mac: [u8; 6], seq: u32, payload: u32) -> Vec<u8> {
    let mut h = vec![0x02, 0, 0, 0, 0, 9];
    h.extend(mac);
    h.extend([8, 0, 0x45, 0]);
    h.extend(((40 + payload) as u16).to_be_bytes());
    h.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    let ip_sum = !fold(sum(&h[14..34]));
    h[24..26].copy_from_slice(&ip_sum.to_be_bytes());
    h.extend([0x30, 0x39, 0, 80]);
    h.extend(seq.to_be_bytes());
    h.extend([0, 0, 0, 2, 0x50, 0x10, 255, 255, 0, 0, 0, 0]);
    let pseudo = fold(sum(&h[26..34]) + 6);
    h[50..52].copy_from_slice(&pseudo.to_be_bytes());
    h
}

/// The other process: takes frames until it has seen every byte, each once and in order, then says so.
fn receive(socket: &str) {
    let device = DeviceSpec::Vhost { socket: socket.into() };
    let (_eal, mut nic) = open(&device);
    println!("receiver: {:?}", nic.limits());
    let mut rx: Vec<RxPiece<_>> = Vec::with_capacity(64);
    let mut next = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while next < FRAMES * PAYLOAD {
        assert!(Instant::now() < deadline, "{next} bytes within 60 s");
        if nic.rx_burst(&mut rx) == 0 {
            std::thread::yield_now();
        }
        for piece in rx.drain(..) {
            assert!(!piece.more, "a buffer of 64 KiB takes a frame whole");
            let f = piece.buf.as_slice();
            if f.len() < 54 || f[12..14] != [8, 0] || f[23] != 6 {
                continue;
            }
            assert_ne!(piece.l4_checksum, RxChecksum::Bad);
            let seq = u32::from_be_bytes(f[38..42].try_into().expect("four bytes"));
            assert_eq!(seq, next, "in order, once");
            assert_eq!(f.len(), 54 + PAYLOAD as usize);
            assert!(f[54..].iter().zip(seq..).all(|(&b, at)| b == byte(at)), "a wrong byte after {seq}");
            next += PAYLOAD;
        }
    }
    // Anything will do as an answer.
    while Instant::now() < deadline {
        let mut header = nic.lend_header().expect("a header");
        let h = headers(nic.mac(), 0, 0);
        header[..h.len()].copy_from_slice(&h);
        let frame = TxFrame { header, header_len: h.len() as u16, meta: TxMeta::default() };
        nic.stage(frame, std::iter::empty()).expect("staged");
        if nic.tx_burst().sent == 1 {
            break;
        }
    }
    // It goes on taking frames until the sender is done with its port.
    let done = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !done.is_finished() {
        assert!(Instant::now() < deadline, "the sender does not end");
        nic.rx_burst(&mut rx);
        rx.clear();
        std::thread::yield_now();
    }
    let report = DpdkNic::close([nic]);
    assert!(report.all_home(), "{report}");
}

#[test]
fn tso_chains_cross_to_another_process_and_every_buffer_comes_home() {
    if let Ok(socket) = std::env::var(SOCKET) {
        return receive(&socket);
    }
    let dir = std::env::temp_dir().join(format!("tsonami-vhost-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for the socket");
    let socket = dir.join("s").display().to_string();
    let mut receiver = Command::new(std::env::current_exe().expect("our own path"))
        .args(["--exact", "tso_chains_cross_to_another_process_and_every_buffer_comes_home", "--nocapture"])
        .env(SOCKET, &socket)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a second process");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !std::path::Path::new(&socket).exists() {
        assert!(Instant::now() < deadline, "the receiver makes no socket");
        assert!(receiver.try_wait().expect("its state").is_none(), "the receiver failed");
        std::thread::yield_now();
    }
    let (eal, mut nic) = open(&DeviceSpec::VirtioUser { socket });
    nic.check_prepared();
    let limits = nic.limits().clone();
    println!("sender: {limits:?}\n{:#?}", nic.port().info());
    assert!(limits.tso_max_len > PAYLOAD && !limits.tx_ip_checksum, "{limits:?}");

    // The other process sees DPDK's memory only. An arena is refused; what is sent from one all the same is copied first.
    let arena = Region::arena(&eal, 1 << 20).expect("an arena");
    assert!(matches!(arena.map(nic.port()), Err(RegionError::NotReachable { .. })));
    let foreign = BufPool::over(&eal, &arena, 1 << 15).expect("a pool");
    let mut from_arena = 0;

    let mut refused = 0;
    let mut sent = 0;
    let mut rx: Vec<RxPiece<_>> = Vec::with_capacity(64);
    while sent < FRAMES {
        assert!(Instant::now() < deadline, "{sent} frames within 60 s");
        let seq = sent * PAYLOAD;
        // When the large ones are gone small ones stand in for them: too small for this payload.
        let large = nic.alloc_tail().and_then(|mut t| (t.spare().len() >= PAYLOAD as usize).then_some(t));
        let Some(mut tail) = large else {
            // All large buffers are in the port: it lets go of them as frames are sent, or when asked.
            nic.reclaim();
            std::thread::yield_now();
            continue;
        };
        tail.spare()[..PAYLOAD as usize].iter_mut().zip(seq..).for_each(|(b, at)| *b = byte(at));
        let payload = if sent % 2 == 0 {
            tail.freeze(PAYLOAD as usize)
        } else {
            let mut buffer = foreign.try_alloc().expect("the device has none of them");
            buffer.spare_mut()[..PAYLOAD as usize].copy_from_slice(&tail.spare()[..PAYLOAD as usize]);
            from_arena += u64::from(PAYLOAD);
            Buf::Pool(buffer.freeze(PAYLOAD as usize))
        };
        drop(tail);
        let h = headers(nic.mac(), seq, PAYLOAD);
        let mut header = nic.lend_header().expect("a header");
        header[..h.len()].copy_from_slice(&h);
        let meta = TxMeta {
            l2_len: 14,
            l3_len: 20,
            l4_len: 20,
            tcp_checksum: true,
            tso_segsz: 1448,
            payload_len: PAYLOAD,
            stamp: false,
            ..TxMeta::default()
        };
        let frame = TxFrame { header, header_len: h.len() as u16, meta };
        let before = nic.copied_after_all();
        let cut = 1 + seq as usize % (PAYLOAD as usize - 1);
        nic.stage(frame, [(&payload, 0..cut), (&payload, cut..PAYLOAD as usize)].into_iter())
            .expect("staged");
        assert_eq!(nic.copied_after_all() - before, u64::from(PAYLOAD) * u64::from(sent % 2));
        match nic.tx_burst() {
            outcome if outcome.sent == 1 => sent += 1,
            outcome => {
                assert_eq!(outcome.stop, Some(engine::nic::TxStop::RingFull));
                assert!(!payload.in_device(), "what was refused is not held");
                refused += 1;
                std::thread::yield_now();
            }
        }
    }
    println!(
        "{refused} refusals; {} frames in the port; completed {:?}",
        nic.in_device(),
        nic.tx_completed()
    );
    while nic.rx_burst(&mut rx) == 0 {
        assert!(Instant::now() < deadline, "no answer within 60 s");
        std::thread::yield_now();
    }
    drop(rx);
    // An idle virtio-user queue keeps what it sent; asked again and again, it lets go of everything.
    while nic.in_device() > 0 {
        assert!(Instant::now() < deadline, "{} frames stay in the port", nic.in_device());
        nic.reclaim();
        std::thread::yield_now();
    }
    assert_eq!(nic.tx_completed(), Some(FRAMES.into()), "nudges are not counted");
    assert!(nic.nudges() > 0, "nothing else helps virtio");
    assert_eq!(nic.copied_after_all(), from_arena, "copied after all");
    assert!(foreign.is_full() && from_arena >= u64::from(FRAMES / 2 * PAYLOAD));
    let check = nic.check_report().expect("it was asked for");
    assert!(check.frames >= u64::from(FRAMES) && check.violations == 0, "{check:?}");
    let report = DpdkNic::close([nic]);
    assert!(report.all_home(), "{report}");
    drop(receiver.stdin.take());
    assert!(receiver.wait().expect("its end").success());
    std::fs::remove_dir_all(dir).expect("the folder goes");
}
