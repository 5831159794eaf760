//! The send calls over a TAP, with the kernel at both ends: a client of the kernel's sends to us, what it sent is spliced
//! into a connection to a server of the kernel's, between a piece that is copied, one that is referenced, and a file.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tsonami::{Config, ConnId, Error, Event, LocalEngine, Payload, Piece, SendFlags, SendTimeKind};

use self::namespace::enter_namespace;

/// Bytes that differ wherever they are mixed up.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Polls until `done` says so; what happens goes to it.
fn run(
    engine: &mut LocalEngine,
    what: &str,
    mut done: impl FnMut(&mut LocalEngine, Option<(ConnId, Event)>) -> bool,
) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        let now = engine.now();
        let busy = engine.poll(now).is_busy();
        let mut finished = false;
        while let Some((id, event)) = engine.poll_event() {
            assert!(!matches!(event, Event::Closed(Err(_))), "{id:?}: {event:?}");
            finished |= done(engine, Some((id, event)));
        }
        if finished || done(engine, None) {
            return;
        }
        engine.rest(busy);
    }
}

fn later(error: &Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
}

#[test]
fn s1_pieces_a_splice_and_a_file_arrive_at_the_kernel() {
    enter_namespace("s1_pieces_a_splice_and_a_file_arrive_at_the_kernel");
    let config = Config::from_toml(
        r#"
        device = "tap:ts0,host=10.9.0.1/24"
        address = "10.9.0.2/24"
        check_tx = true
        "#,
    );
    let mut engine = LocalEngine::builder(config.expect("settings")).build_local().expect("a TAP");
    let server = TcpListener::bind("10.9.0.1:5001").expect("the kernel's side of the TAP");
    let server = thread::spawn(move || {
        let mut all = Vec::new();
        server.accept().expect("a connection").0.read_to_end(&mut all).expect("all of it");
        all
    });
    engine.listen("10.9.0.2:80".parse().expect("an address"), 1, None).expect("a listener");
    let (head, body) = (pattern(1, 100), pattern(2, 40_000));
    let (through, filed) = (pattern(3, 8 << 20), pattern(4, 1_000_001));
    let client = thread::spawn({
        let through = through.clone();
        move || {
            let mut stream = TcpStream::connect("10.9.0.2:80").expect("it accepts");
            stream.write_all(&through).expect("it reads");
            stream.shutdown(Shutdown::Write).expect("it is open");
            // Until we close.
            let _ = stream.read(&mut [0]);
        }
    });

    let now = engine.now();
    let sink = engine.connect("10.9.0.1:5001".parse().expect("an address"), None, now).expect("a route");
    let (mut connected, mut source) = (false, None);
    run(&mut engine, "both connections", |_, event| {
        match event {
            Some((id, Event::Connected)) => connected |= id == sink,
            Some((id, Event::Accepted(_))) => source = Some(id),
            _ => {}
        }
        connected && source.is_some()
    });
    let source = source.expect("accepted");

    let pool = engine.make_pool(1, 65_536).expect("memory");
    let mut buffer = pool.try_alloc().expect("a buffer");
    buffer.spare_mut()[..body.len()].copy_from_slice(&body);
    let reference = Payload::from(buffer.freeze(body.len()));
    drop(buffer);
    let mut pieces = [Piece::Copy(&head[..]), Piece::Reference(reference)];
    let taken = engine.send_pieces(sink, &mut pieces, SendFlags::default()).expect("room");
    assert_eq!(taken, head.len() + body.len());

    let (mut moved, mut ended) = (0, false);
    run(&mut engine, "the splice", |engine, event| {
        ended |= matches!(event, Some((id, Event::PeerFinished)) if id == source);
        match engine.splice(source, sink, usize::MAX, SendFlags::default()) {
            Ok(n) => moved += n,
            Err(e) => assert!(later(&e), "{e}"),
        }
        ended && moved == through.len()
    });

    let mut file = tempfile();
    file.write_all(&filed).expect("written");
    let ask = SendFlags { timestamp: true, ..SendFlags::default() };
    let (mut at, mut times) = (0, Vec::new());
    run(&mut engine, "the file", |engine, event| {
        if let Some((_, Event::SendTime(time))) = event {
            times.push((time.kind, time.end.0));
        }
        // More than there is: the send ends where the file does.
        match engine.send_file(sink, &file, at, usize::MAX, ask) {
            Ok(n) => at += n as u64,
            Err(e) => assert!(e.kind() == std::io::ErrorKind::WouldBlock, "{e}"),
        }
        times.len() == 3
    });
    assert_eq!(engine.send_file(sink, &file, at, 1_000, ask).expect("the end of the file"), 0);
    let end = (taken + through.len() + filed.len()) as u64;
    assert_eq!(
        times,
        [SendTimeKind::Scheduled, SendTimeKind::Sent, SendTimeKind::Acked].map(|kind| (kind, end))
    );
    // And where that is known only when it has been read: the length of this one is 0.
    let unsized_file = std::fs::File::open("/proc/version").expect("a kernel");
    let version = std::fs::read("/proc/version").expect("a kernel");
    let n = engine.send_file(sink, &unsized_file, 0, 64 << 10, ask).expect("room");
    assert_eq!(n, version.len());
    times.clear();
    run(&mut engine, "the file of unknown length", |_, event| {
        if let Some((_, Event::SendTime(time))) = event {
            times.push((time.kind, time.end.0));
        }
        times.len() == 3
    });
    let end = end + version.len() as u64;
    assert_eq!(
        times,
        [SendTimeKind::Scheduled, SendTimeKind::Sent, SendTimeKind::Acked].map(|kind| (kind, end))
    );
    engine.shutdown_write(sink);
    engine.shutdown_write(source);
    run(&mut engine, "the end", |_, event| matches!(event, Some((id, Event::Finished)) if id == sink));
    let sums = engine.counters().clone();
    assert_eq!(sums.tail_exhausted, 0);
    engine.release(sink);
    engine.release(source);
    engine.shutdown(Duration::from_secs(10)).expect("everything comes home");
    client.join().expect("the client");
    let got = server.join().expect("the server");
    let expected = [head, body, through, filed, version].concat();
    assert_eq!(got.len(), expected.len());
    assert!(got == expected, "other bytes arrived");
}

/// A file without a name.
fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("tsonami-send-calls-{}", std::process::id()));
    let file =
        std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a file");
    std::fs::remove_file(path).expect("its name goes at once");
    file
}
