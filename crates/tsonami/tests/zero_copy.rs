//! Zero copy, proven (`S29`): DPDK's own callback before the driver sees the very mbufs that are handed to it, and where
//! their bytes are. The memory is the application's in each of the forms there are; the receiver is the kernel's TCP, at the
//! other end of a TAP in a network namespace of the test's own.
//!
//! `TSONAMI_TEST_ZERO_COPY_MIB` says how much is sent, MiB.

use std::alloc::{self, Layout};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dpdk::watch_tx;
use tsonami::{BufPool, Config, LocalEngine, Payload, SendFlags, Wait, WaitStrategy};

const PLAIN: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };
/// Bytes of the headers of a data segment, at most: Ethernet, IPv4, TCP with all its options.
const HEADERS: usize = 14 + 20 + 60;
/// Bytes of a buffer, and how many of them there are.
const SIZE: usize = 65_536;
const BUFFERS: usize = 16;

fn kernel() -> SocketAddr {
    "10.77.0.1:5001".parse().unwrap()
}

/// This long, anything may take that is not under test itself.
fn patient() -> Wait {
    Wait::at_most(Duration::from_secs(60))
}

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, body: impl FnOnce(LocalEngine)) {
    const INSIDE: &str = "TSONAMI_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
        config.wait = WaitStrategy::Pause;
        return body(LocalEngine::builder(config).build_local().unwrap());
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let myself = std::env::current_exe().unwrap();
    let status =
        command.arg("--net").arg("--").arg(myself).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    assert!(status.status().expect("unshare (util-linux) runs").success(), "{test} failed inside");
}

/// How much each kind of memory sends, bytes.
fn amount() -> u64 {
    let mib: u64 = std::env::var("TSONAMI_TEST_ZERO_COPY_MIB")
        .map_or(256, |text| text.parse().expect("TSONAMI_TEST_ZERO_COPY_MIB is a number"));
    (mib << 20) / 4 / SIZE as u64 * SIZE as u64
}

/// Whole pages that the application allocated itself, for as long as the process lives.
fn malloced(len: usize) -> NonNull<[u8]> {
    let layout = Layout::from_size_align(len, 4096).unwrap();
    // SAFETY: the size is not zero.
    let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).unwrap();
    NonNull::slice_from_raw_parts(at, len)
}

/// Whole pages that the application mapped itself, for as long as the process lives.
fn mapped(len: usize) -> NonNull<[u8]> {
    let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, of nothing that is there.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, read_write, private, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    NonNull::slice_from_raw_parts(NonNull::new(at.cast()).unwrap(), len)
}

/// What a round's receiver read: how many bytes, and whether each was what was sent.
fn receiver(contents: Vec<u8>) -> JoinHandle<(u64, bool)> {
    let listener = TcpListener::bind(kernel()).unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let (mut read, mut right, mut buffer) = (0, true, vec![0; 1 << 20]);
        loop {
            let n = stream.read(&mut buffer).unwrap();
            if n == 0 {
                return (read, right);
            }
            let mut got = &buffer[..n];
            while !got.is_empty() {
                let expected = &contents[(read % contents.len() as u64) as usize..];
                let n = expected.len().min(got.len());
                right &= got[..n] == expected[..n];
                read += n as u64;
                got = &got[n..];
            }
        }
    })
}

/// What DPDK's callback saw, and where it is to look.
#[derive(Default)]
struct Seen {
    /// Where payload is to be.
    region: Range<usize>,
    /// Payload bytes in mbufs that point into it.
    inside: u64,
    /// Mbufs behind a header that point elsewhere, with the first of them.
    outside: u64,
    first_outside: Option<dpdk::Place>,
    /// Headers that are longer than headers are.
    long_headers: u64,
    /// Pieces of a buffer that continue the one before, and might have been one with it.
    unmerged: u64,
    /// Payload mbufs.
    pieces: u64,
    frames: u64,
}

impl Seen {
    fn frame(&mut self, frame: &dpdk::Frame) {
        self.frames += 1;
        let mut places = frame.places();
        self.long_headers += u64::from(places.next().is_none_or(|header| header.len > HEADERS));
        let mut end = None;
        for place in places {
            self.pieces += 1;
            // Virtual devices read where the processor does.
            let one = place.iova == place.address as u64;
            if one && self.region.start <= place.address && place.address + place.len <= self.region.end {
                self.inside += place.len as u64;
            } else {
                self.outside += 1;
                self.first_outside.get_or_insert(place);
            }
            let within = !place.address.wrapping_sub(self.region.start).is_multiple_of(SIZE);
            self.unmerged += u64::from(within && end == Some(place.address));
            end = Some(place.address + place.len);
        }
    }
}

/// Sends everything in `pool` again and again, and looks at what leaves.
fn send(
    engine: &mut LocalEngine,
    seen: &Mutex<Seen>,
    what: &str,
    pool: &BufPool,
    region: Option<Range<usize>>,
) {
    let mut payloads = Vec::new();
    while payloads.len() < BUFFERS {
        let mut buffer = pool.try_alloc().expect("a buffer of sixteen");
        let number = payloads.len() as u32;
        buffer.spare_mut().iter_mut().zip(0u32..).for_each(|(byte, i)| {
            *byte = ((i ^ number << 20).wrapping_mul(2_654_435_761) >> 24) as u8;
        });
        payloads.push(Payload::from(buffer.freeze(SIZE)));
    }
    // Memory of DPDK's pool is where its buffers are, whichever they are.
    let region = region.unwrap_or_else(|| {
        let starts = payloads.iter().map(|payload| payload.as_ptr().addr());
        starts.clone().min().unwrap()..starts.max().unwrap() + SIZE
    });
    let contents = payloads.iter().flat_map(|payload| payload.iter().copied()).collect();
    let before = engine.counters().clone();
    *seen.lock().unwrap() = Seen { region, ..Seen::default() };

    let reader = receiver(contents);
    let id = engine.connect_wait(kernel(), None, &patient()).unwrap();
    let all = amount();
    for payload in payloads.iter().cycle().take((all / SIZE as u64) as usize) {
        // In slices that follow each other, which are to leave in one piece all the same (`S11`).
        for slice in [0..2_000, 2_000..40_000, 40_000..SIZE] {
            engine.send_payload_wait(id, payload.slice(slice), PLAIN, &patient()).unwrap();
        }
    }
    engine.finish_wait(id, &patient()).unwrap();
    assert_eq!(reader.join().unwrap(), (all, true), "{what}: every byte, in order, once");
    engine.release(id);

    let after = engine.counters();
    let seen = seen.lock().unwrap();
    println!(
        "{what}: {all} bytes sent in {} frames with {} payload mbufs: {} bytes of payload lay in the region, {} mbufs outside; copied {}",
        seen.frames,
        seen.pieces,
        seen.inside,
        seen.outside,
        after.copied_bytes - before.copied_bytes + after.copied_after_all - before.copied_after_all,
    );
    assert_eq!((seen.outside, seen.first_outside), (0, None), "{what}: payload elsewhere");
    assert_eq!(seen.long_headers, 0, "{what}: no payload behind a header");
    assert_eq!(seen.inside, after.tx_payload_bytes - before.tx_payload_bytes, "{what}: all of it was seen");
    assert!(seen.inside >= all, "{what}");
    assert_eq!(seen.unmerged, 0, "{what}: what is in one piece leaves in one");
    assert_eq!(after.copied_bytes, before.copied_bytes, "{what}: bytes copied");
    assert_eq!(after.copied_after_all, before.copied_after_all, "{what}: bytes copied after all");
    drop(payloads);
    assert!(pool.is_full(), "{what}: {} of {} buffers are home", pool.available(), pool.count());
}

#[test]
fn s29_what_the_device_is_handed_lies_in_the_applications_memory() {
    in_namespace("s29_what_the_device_is_handed_lies_in_the_applications_memory", |mut engine| {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watcher = seen.clone();
        watch_tx(engine.device().port.id, 0, move |frame| watcher.lock().unwrap().frame(frame)).unwrap();

        let pool = engine.make_pool(BUFFERS as u32, SIZE as u32).unwrap();
        send(&mut engine, &seen, "DPDK's memory", &pool, None);

        let arena = engine.make_arena(BUFFERS * SIZE).unwrap();
        let pool = engine.make_pool_over(&arena, SIZE as u32).unwrap();
        send(&mut engine, &seen, "an arena", &pool, Some(arena.addresses()));

        for (what, memory) in [("malloc", malloced(BUFFERS * SIZE)), ("mmap", mapped(BUFFERS * SIZE))] {
            // SAFETY: it stays as long as the process, is written by nobody else, and its pages are the smallest there are.
            let region = unsafe { engine.register(memory, 4096) }.unwrap();
            let start = memory.addr().get();
            assert_eq!(region.addresses(), start..start + BUFFERS * SIZE);
            let pool = engine.make_pool_over(&region, SIZE as u32).unwrap();
            send(&mut engine, &seen, what, &pool, Some(region.addresses()));
            drop((pool, region));
            // SAFETY: as above.
            let again = unsafe { engine.register(memory, 4096) };
            assert!(again.is_ok(), "nobody has it any more, the engine neither: {again:?}");
        }
        engine.shutdown(Duration::from_secs(60)).unwrap();
    });
}

#[test]
fn s29_pieces_that_the_driver_sums_wrongly_are_copied_after_all_and_counted() {
    in_namespace("s29_pieces_that_the_driver_sums_wrongly_are_copied_after_all_and_counted", |mut engine| {
        let pool = engine.make_pool(2, 1_024).unwrap();
        let odd = || Payload::from(pool.try_alloc().unwrap().freeze(501));
        let reader = receiver(vec![0; 1_002]);
        let id = engine.connect_wait(kernel(), None, &patient()).unwrap();
        // Two buffers in one segment, which meet at an odd place in it.
        let more = SendFlags { more: true, ..PLAIN };
        engine.send_payload_wait(id, odd(), more, &patient()).unwrap();
        engine.send_payload_wait(id, odd(), PLAIN, &patient()).unwrap();
        engine.finish_wait(id, &patient()).unwrap();
        assert_eq!(reader.join().unwrap(), (1_002, true));
        // net_tap learnt in 23.11.
        let copied = if dpdk::release() < (23, 11) { 1_002 } else { 0 };
        assert_eq!(engine.stats(id).unwrap().bytes_copied_after_all, copied);
        assert_eq!(engine.counters().copied_after_all, copied);
        engine.release(id);
        engine.shutdown(Duration::from_secs(60)).unwrap();
    });
}
