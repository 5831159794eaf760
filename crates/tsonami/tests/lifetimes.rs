//! Whatever ends, and whoever waits then, in whatever way: it is told what happened and how far the stream came, and every
//! buffer comes home. Over a TAP to the kernel's TCP, each test in a network namespace of its own.
//!
//! What happens when a worker panics is tried beside the worker, which alone can be made to: `src/workers/tests.rs`.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;
#[path = "lifetimes/scene.rs"]
mod scene;

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tsonami::{Acked, Connection, Engine, Error, Listener, Offset, SendWithError, ShutdownError};

use self::namespace::enter_namespace;
use self::scene::{
    EVERY_WAY, KERNEL, PATIENCE, PLAIN, Told, Waiting, acks, config, connected, engine, fill, in_thread, now,
    patient, payload, pool, read, silence,
};

/// Threads wait in every way on connections of an engine until `end` has happened. Returns what they were told.
fn waiting_in_every_way(
    engine: Engine,
    pool: &tsonami::BufPool,
    end: impl FnOnce(Engine, &mut [Waiting]),
) -> Vec<Told> {
    let mut waiting: Vec<_> = EVERY_WAY.into_iter().map(|how| Waiting::begin(&engine, pool, how)).collect();
    end(engine, &mut waiting);
    waiting.into_iter().map(Waiting::end).collect()
}

/// All were told the same, and how far the stream came: farther than nothing, and not to its end.
fn all_told(told: &[Told], what: impl Fn(Offset) -> Error) {
    for told in told {
        let marks = told.marks();
        let error = what(marks.acked);
        assert_eq!(told.send, error, "{:?}", told.how);
        assert_eq!(told.read, Err(error.clone()), "{:?}", told.how);
        assert_eq!(told.acked, Err(error), "{:?}", told.how);
        assert!(Offset::ZERO < marks.acked && marks.acked < marks.accepted, "{marks:?}");
    }
}

#[test]
fn a_peer_that_resets_is_told_to_all_who_wait() {
    enter_namespace("a_peer_that_resets_is_told_to_all_who_wait");
    let engine = engine();
    let pool = pool(&engine);
    let told = waiting_in_every_way(engine.clone(), &pool, |_, waiting| {
        // Closed with bytes unread: a reset.
        waiting.iter_mut().for_each(|one| one.peer = None);
    });
    all_told(&told, |acked| Error::Reset { acked });
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn a_peer_that_falls_silent_is_told_to_all_who_wait() {
    enter_namespace("a_peer_that_falls_silent_is_told_to_all_who_wait");
    let mut config = config();
    config.connection.user_timeout = Duration::from_secs(1);
    let engine = Engine::builder(config).build().unwrap();
    let pool = pool(&engine);
    let told = waiting_in_every_way(engine.clone(), &pool, |_, _| silence());
    all_told(&told, |acked| Error::TimedOut { acked });
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn an_abort_is_told_to_all_who_wait() {
    enter_namespace("an_abort_is_told_to_all_who_wait");
    let engine = engine();
    let pool = pool(&engine);
    for how in EVERY_WAY {
        let (connection, mut peer) = connected(&engine);
        let (mut sends, receives) = connection.into_split();
        drop(fill(&mut sends, &pool));
        let upto = sends.marks().accepted;
        let (reads, acked) = (read(receives, how), acks(sends.acked(upto), how));
        sends.abort();
        let (read, _receives) = reads.recv_timeout(PATIENCE).expect("the reader is told");
        let Err(Error::Aborted { acked: reached }) = read else { panic!("{how:?}: {read:?}") };
        assert!(reached < upto);
        assert_eq!(acked.recv_timeout(PATIENCE), Ok(Err(Error::Aborted { acked: reached })), "{how:?}");
        let error = std::io::copy(&mut peer, &mut std::io::sink()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn s2_an_abort_from_outside_is_told_to_all_who_wait() {
    enter_namespace("s2_an_abort_from_outside_is_told_to_all_who_wait");
    let engine = engine();
    let pool = pool(&engine);
    let mut told = waiting_in_every_way(engine.clone(), &pool, |_, waiting| {
        waiting.iter().for_each(|one| one.abort.abort());
    });
    all_told(&told, |acked| Error::Aborted { acked });
    for told in &mut told {
        let aborted = Error::Aborted { acked: told.marks().acked };
        assert_eq!(told.sends.try_send_copy(b"more", PLAIN), Err(aborted));
        // Twice is once.
        told.sends.abort_handle().abort();
    }
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn an_engine_that_ends_before_its_connections_tells_all_who_wait() {
    enter_namespace("an_engine_that_ends_before_its_connections_tells_all_who_wait");
    let engine = engine();
    let pool = pool(&engine);
    let told = waiting_in_every_way(engine, &pool, |engine, _| {
        let error = engine.shutdown(Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ShutdownError::Undelivered { connections: 3, .. }), "{error}");
    });
    all_told(&told, |acked| Error::WorkerGone { worker: 0, acked });
    assert!(pool.is_full(), "while the handles live on");
}

#[test]
fn an_engine_that_ends_in_time_delivers_and_tells_all_who_wait() {
    enter_namespace("an_engine_that_ends_in_time_delivers_and_tells_all_who_wait");
    let engine = engine();
    let pool = pool(&engine);
    let told = waiting_in_every_way(engine, &pool, |engine, waiting| {
        let mut readers = Vec::new();
        for one in waiting {
            let peer = one.peer.as_ref().unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut peer = peer.try_clone().unwrap();
            readers.push(in_thread(move || {
                let mut all = Vec::new();
                peer.read_to_end(&mut all).map(|n| n as u64)
            }));
        }
        engine.shutdown(PATIENCE).unwrap();
        for reader in readers {
            assert!(reader.recv_timeout(PATIENCE).unwrap().unwrap() >= 1 << 19);
        }
    });
    for told in told {
        // What came in between the last look at the lanes and the end is not delivered, and nobody says that it is.
        assert!(matches!(told.send, Error::Finished | Error::WorkerGone { .. }), "{:?}", told.send);
        assert_eq!(told.acked, Ok(()), "{:?}", told.how);
        assert_eq!(told.read, Ok(()), "{:?}", told.how);
    }
    assert!(pool.is_full());
}

#[test]
fn the_last_handle_on_an_engine_ends_it_and_tells_all_who_wait() {
    enter_namespace("the_last_handle_on_an_engine_ends_it_and_tells_all_who_wait");
    let mut config = config();
    // So long an engine that is dropped would wait for those who do not read.
    config.connection.linger = Some(Duration::ZERO);
    let engine = Engine::builder(config).build().unwrap();
    let pool = pool(&engine);
    let told = waiting_in_every_way(engine, &pool, |engine, _| drop(engine));
    for told in &told {
        let gone = |error: &Error| matches!(error, Error::WorkerGone { .. } | Error::Aborted { .. });
        assert!(gone(&told.send), "{told:?}");
        assert!(told.read.as_ref().is_err_and(gone), "{told:?}");
        assert!(told.acked.as_ref().is_err_and(gone), "{told:?}");
    }
    assert!(pool.is_full());
}

#[test]
fn an_engine_that_ends_tells_who_accepts_and_who_connects() {
    enter_namespace("an_engine_that_ends_tells_who_accepts_and_who_connects");
    let engine = engine();
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    silence();
    let mut opening = engine.connect(KERNEL.parse().unwrap(), None);
    assert!(now(&mut opening).is_none());
    let accepts = in_thread(move || (listener.accept().wait(&patient()).map(drop), listener));
    let connects = in_thread(move || opening.wait(&patient()).map(drop));
    let other = engine.clone();
    engine.shutdown(Duration::from_millis(50)).unwrap();
    let (accepted, mut listener) = accepts.recv_timeout(PATIENCE).unwrap();
    let gone = Error::WorkerGone { worker: 0, acked: Offset::ZERO };
    assert_eq!(accepted, Err(gone.clone()));
    assert_eq!(listener.try_accept().map(drop), Err(gone.clone()));
    let connected = connects.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(matches!(connected, Error::WorkerGone { .. } | Error::Aborted { .. }), "{connected}");
    // The other handle says the same of whatever it is asked.
    assert_eq!(other.connect(KERNEL.parse().unwrap(), None).wait(&patient()).map(drop), Err(gone));
    assert!(other.make_pool(1, 64).is_err());
    assert!(other.listen("10.77.0.2:6002".parse().unwrap(), 1, None).is_err());
    other.shutdown(PATIENCE).unwrap();
}

#[test]
fn a_future_that_outlives_its_connection_is_told() {
    enter_namespace("a_future_that_outlives_its_connection_is_told");
    let engine = engine();
    let pool = pool(&engine);
    for how in EVERY_WAY {
        let (connection, mut peer) = connected(&engine);
        let (mut sends, receives) = connection.into_split();
        drop(fill(&mut sends, &pool));
        let sent = sends.marks().accepted;
        let acked = acks(sends.acked(sent), how);
        drop(receives);
        drop(sends);
        assert_eq!(acked.recv_timeout(PATIENCE).unwrap(), Err(Error::Gone), "{how:?}");
        // What was sent is delivered.
        assert_eq!(std::io::copy(&mut peer, &mut std::io::sink()).unwrap(), sent.0);
    }
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn memory_outlives_its_engine_for_whoever_holds_it() {
    enter_namespace("memory_outlives_its_engine_for_whoever_holds_it");
    let engine = engine();
    let (mut connection, mut peer) = connected(&engine);
    let arena = engine.make_arena(4 << 20).unwrap();
    let addresses = arena.addresses();
    let pool = engine.make_pool_over(&arena, 16 << 10).unwrap();
    drop(arena);
    let (sent, kept) = (payload(&pool, 16 << 10).unwrap(), payload(&pool, 10).unwrap());
    // The last handle on the pool; its buffers are under way.
    drop(pool);
    connection.send(sent, PLAIN).wait(&patient()).unwrap();
    std::io::Write::write_all(&mut peer, b"received").unwrap();
    let received = connection.read().wait(&patient()).unwrap().unwrap();
    connection.acked(Offset(16 << 10)).wait(&patient()).unwrap();
    drop(peer);
    drop(connection);
    let error = engine.shutdown(PATIENCE).unwrap_err();
    assert!(matches!(error, ShutdownError::Leak { missing: 2, .. }), "ours and the received one: {error}");
    assert_eq!((&received[..], &kept[..]), (&b"received"[..], &[7; 10][..]));
    assert!(is_mapped(&addresses));
    thread::spawn(move || drop((received, kept))).join().unwrap();
    assert!(!is_mapped(&addresses), "the arena is given back");
}

/// Whether something is mapped there.
fn is_mapped(addresses: &std::ops::Range<usize>) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().any(|line| {
        let (from, rest) = line.split_once('-').unwrap();
        let to = rest.split(' ').next().unwrap();
        let (from, to) = (usize::from_str_radix(from, 16).unwrap(), usize::from_str_radix(to, 16).unwrap());
        from < addresses.end && addresses.start < to
    })
}

#[test]
fn a_thread_that_panics_with_handles_gives_everything_back() {
    enter_namespace("a_thread_that_panics_with_handles_gives_everything_back");
    let engine = engine();
    let pool = pool(&engine);
    let (mut connection, mut peer) = connected(&engine);
    let (other, others_peer) = connected(&engine);
    let (its_engine, its_pool) = (engine.clone(), pool.clone());
    let panicked = thread::spawn(move || {
        let (mut sends, _receives) = other.into_split();
        let _full = fill(&mut sends, &its_pool);
        let _ack = sends.acked(sends.marks().accepted);
        let _listener = its_engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
        let mut connecting = its_engine.connect("10.77.0.1:9".parse().unwrap(), None);
        assert!(now(&mut connecting).is_none());
        let _buffer = its_pool.try_alloc().unwrap();
        let sent = payload(&its_pool, 5).unwrap();
        connection.try_send(sent.clone(), PLAIN).unwrap();
        let _prepared = connection.prepare(sent, PLAIN).unwrap();
        panic!("as it should");
    });
    assert!(panicked.join().is_err());
    // Each connection was closed as if it had been dropped otherwise.
    let mut read = Vec::new();
    peer.read_to_end(&mut read).unwrap();
    assert_eq!(read, [7; 5]);
    assert!(std::io::copy(&mut &others_peer, &mut std::io::sink()).unwrap() > 1 << 18);
    assert!(TcpStream::connect("10.77.0.2:6001").is_err());
    drop((peer, others_peer));
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn a_connection_that_is_dropped_makes_room_for_another() {
    enter_namespace("a_connection_that_is_dropped_makes_room_for_another");
    let mut config = config();
    config.max_connections = 1;
    let engine = Engine::builder(config).build().unwrap();
    let peers = TcpListener::bind(KERNEL).unwrap();
    let (mut done, begun) = (0, std::time::Instant::now());
    while done < 5 {
        match engine.connect(KERNEL.parse().unwrap(), None).wait(&patient()) {
            Ok(connection) => {
                let peer = peers.accept().unwrap().0;
                let (sends, receives) = connection.into_split();
                drop(sends);
                assert_eq!((&peer).read(&mut [0]).unwrap(), 0, "the end of ours");
                drop(receives);
                done += 1;
            }
            // The one before is just ending.
            Err(Error::Connect(_)) => assert!(begun.elapsed() < PATIENCE),
            Err(error) => panic!("{error}"),
        }
    }
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn connections_that_sent_a_little_hold_no_memory_that_others_need() {
    enter_namespace("connections_that_sent_a_little_hold_no_memory_that_others_need");
    let mut config = config();
    // Four small buffers and three large ones.
    config.pools.send_bytes = Some(64 << 10);
    let engine = Engine::builder(config).build().unwrap();
    let mut all: Vec<_> = (0..20).map(|_| connected(&engine)).collect();
    for (connection, _) in &mut all {
        assert_eq!(connection.send_copy(b"a little", PLAIN).wait(&patient()), Ok(8));
        connection.acked(Offset(8)).wait(&patient()).unwrap();
    }
    drop(all);
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn what_fills_a_buffer_may_panic() {
    enter_namespace("what_fills_a_buffer_may_panic");
    let engine = engine();
    let (mut connection, mut peer) = connected(&engine);
    let filled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        connection.try_send_with(100, |_| -> Result<_, ()> { panic!("as it should") })
    }));
    assert!(filled.is_err());
    assert_eq!(connection.marks().accepted, Offset::ZERO);
    let refused = connection.try_send_with(100, |_| Err("no more"));
    assert_eq!(refused, Err(SendWithError::Source("no more")));
    assert_eq!(connection.try_send_copy(b"goes on", PLAIN), Ok(7));
    drop(connection);
    let mut read = String::new();
    peer.read_to_string(&mut read).unwrap();
    assert_eq!(read, "goes on");
    drop(peer);
    engine.shutdown(PATIENCE).unwrap();
}

/// Panics when it is woken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("as it should");
    }
}

#[test]
fn a_waker_that_panics_hurts_nobody_else() {
    enter_namespace("a_waker_that_panics_hurts_nobody_else");
    let engine = engine();
    let pool = pool(&engine);
    let bad = Waker::from(Arc::new(Panics));
    let mut bad = Context::from_waker(&bad);
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    assert!(listener.poll_accept(&mut bad).is_pending());
    // Nobody listens there.
    let mut connecting = engine.connect("10.77.0.1:9".parse().unwrap(), None);
    assert!(pin!(&mut connecting).poll(&mut bad).is_pending());
    let (connection, mut peer) = connected(&engine);
    let (mut sends, mut receives) = connection.into_split();
    let mut next = Some(fill(&mut sends, &pool));
    assert!(receives.poll_read(&mut bad).is_pending());
    assert!(sends.poll_send(&mut bad, &mut next, PLAIN).is_pending());
    let upto = sends.marks().accepted;
    let mut acked = sends.acked(upto);
    assert!(pin!(&mut acked).poll(&mut bad).is_pending());
    let good = acks(sends.acked(upto), scene::How::Async);
    let client = TcpStream::connect("10.77.0.2:6001").unwrap();
    std::io::Write::write_all(&mut peer, b"wakes the reader").unwrap();
    let reading = in_thread(move || std::io::copy(&mut peer, &mut std::io::sink()).unwrap());
    assert_eq!(good.recv_timeout(PATIENCE), Ok(Ok(())));
    assert_eq!(acked.wait(&patient()), Ok(()));
    sends.send(next.unwrap(), PLAIN).wait(&patient()).unwrap();
    assert_eq!(&receives.read().wait(&patient()).unwrap().unwrap()[..], b"wakes the reader");
    drop(listener.accept().wait(&patient()).unwrap());
    drop(connecting);
    drop((sends, receives, client, listener));
    assert_eq!(reading.recv_timeout(PATIENCE), Ok(upto.0 + (16 << 10)));
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

/// A task that is dropped, with all it has, where it is woken: its executor is gone.
struct Orphan<T>(Mutex<Option<T>>, Sender<()>);

impl<T: Send + 'static> Wake for Orphan<T> {
    fn wake(self: Arc<Self>) {
        let mine = self.0.lock().unwrap().take();
        drop(mine);
        self.1.send(()).unwrap();
    }
}

/// Something the peer does wakes a task that is dropped there and then, on the worker's thread: a listener with connections
/// that nobody took, more connections than a lane has room for orders, and the last handle on the engine.
#[test]
fn a_task_may_be_dropped_where_it_is_woken() {
    enter_namespace("a_task_may_be_dropped_where_it_is_woken");
    const MANY: usize = 700;
    let engine = engine();
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), MANY, None).unwrap();
    let clients: Vec<_> = (0..MANY).map(|_| TcpStream::connect("10.77.0.2:6001").unwrap()).collect();
    let taken: Vec<Connection> = (0..MANY).map(|_| listener.accept().wait(&patient()).unwrap()).collect();
    let waits = TcpStream::connect("10.77.0.2:6001").unwrap();
    let (connection, peer) = connected(&engine);
    let (_sends, mut receives) = connection.into_split();
    let (dropped, is_dropped) = mpsc::channel();
    let task: (Listener, Vec<Connection>, Engine) = (listener, taken, engine);
    let waker = Waker::from(Arc::new(Orphan(Mutex::new(Some(task)), dropped)));
    assert!(receives.poll_read(&mut Context::from_waker(&waker)).is_pending());
    peer.shutdown(Shutdown::Write).unwrap();
    is_dropped.recv_timeout(PATIENCE).expect("nothing waits in a waker");
    // Those that nobody took are reset, and those that somebody had are closed.
    let end = |mut stream: &TcpStream| stream.read(&mut [0]).map_err(|e| e.kind());
    assert_eq!(end(&waits), Err(std::io::ErrorKind::ConnectionReset));
    clients.iter().for_each(|client| assert_eq!(end(client), Ok(0)));
}

/// Polls its futures, one after the other, where it is woken.
struct Inline {
    acked: Mutex<Vec<Acked>>,
    done: Sender<Result<(), Error>>,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut acked = self.acked.lock().unwrap();
        while let Some(next) = acked.last_mut()
            && let Poll::Ready(end) = pin!(next).poll(&mut Context::from_waker(&waker))
        {
            acked.pop();
            self.done.send(end).unwrap();
        }
    }
}

#[test]
fn a_future_may_be_polled_where_it_is_woken_and_waiting_there_is_refused() {
    enter_namespace("a_future_may_be_polled_where_it_is_woken_and_waiting_there_is_refused");
    let engine = engine();
    let pool = pool(&engine);
    let (connection, peer) = connected(&engine);
    let (mut sends, receives) = connection.into_split();
    drop(fill(&mut sends, &pool));
    let (done, is_done) = mpsc::channel();
    sends.acked(Offset(1)).wait(&patient()).unwrap();
    // The next ACK, and the last: for that it waits when it is woken by the first.
    let marks = sends.marks();
    let acked = vec![sends.acked(marks.accepted), sends.acked(Offset(marks.acked.0 + 100_000))];
    Arc::new(Inline { acked: Mutex::new(acked), done }).wake();
    let reading = in_thread(move || std::io::copy(&mut &peer, &mut std::io::sink()).map(drop));
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Ok(())));
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Ok(())));
    // One that waits would wait for ever: it panics instead, which hurts nobody.
    let (tried, is_tried) = mpsc::channel();
    struct Waits(Engine, Sender<bool>);
    impl Wake for Waits {
        fn wake(self: Arc<Self>) {
            let waits = || self.0.make_pool(1, 64).is_ok();
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(waits)).is_err();
            self.1.send(panicked).unwrap();
        }
    }
    let waker = Waker::from(Arc::new(Waits(engine.clone(), tried)));
    let mut acked = sends.acked(Offset(u64::MAX));
    assert!(now(&mut acked).is_some());
    let mut finish = sends.finish();
    let pending = pin!(&mut finish).poll(&mut Context::from_waker(&waker)).is_pending();
    assert!(!pending || is_tried.recv_timeout(PATIENCE) == Ok(true));
    finish.wait(&patient()).unwrap();
    drop((sends, receives, waker));
    reading.recv_timeout(PATIENCE).unwrap().unwrap();
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}
