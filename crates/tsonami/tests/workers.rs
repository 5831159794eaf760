//! An engine on a thread of its own, used from other threads, against the kernel's TCP over a TAP, in a network namespace of
//! each test's own.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tsonami::{
    Cancel, Config, ConnectOptions, Connection, Engine, Error, Offset, Payload, SendFlags, SendHalf, Wait,
    WaitStrategy,
};

use self::namespace::enter_namespace;

const OURS: &str = "10.77.0.2:6001";
/// How long anything may take that is not under test itself.
const PATIENCE: Duration = Duration::from_secs(60);
const PLAIN: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };

fn kernel() -> SocketAddr {
    "10.77.0.1:5001".parse().unwrap()
}

fn patient() -> Wait {
    Wait::at_most(PATIENCE)
}

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, body: impl FnOnce(Engine)) {
    enter_namespace(test);
    let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
    config.wait = WaitStrategy::Park;
    config.check_tx = true;
    body(Engine::builder(config).build().unwrap());
}

/// A kernel's socket that accepts once, and what is done with the connection.
fn peer<T: Send + 'static>(what: impl FnOnce(TcpStream) -> T + Send + 'static) -> JoinHandle<T> {
    let listener = TcpListener::bind(kernel()).unwrap();
    thread::spawn(move || what(listener.accept().unwrap().0))
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    read
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn connected(engine: &Engine) -> Connection {
    engine.connect(kernel(), None).wait(&patient()).unwrap()
}

#[test]
fn what_is_used_from_threads_may_go_there() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Engine>();
    sync::<Engine>();
    send::<Connection>();
    send::<SendHalf>();
    send::<tsonami::RecvHalf>();
    send::<tsonami::Listener>();
    send::<tsonami::Connecting>();
    send::<tsonami::Acked>();
}

#[test]
fn both_halves_of_a_connection_work_at_once_on_two_threads() {
    in_namespace("both_halves_of_a_connection_work_at_once_on_two_threads", |engine| {
        let echo = peer(|mut stream| {
            let mut back = stream.try_clone().unwrap();
            std::io::copy(&mut stream, &mut back).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
        });
        let data = pattern(20_000_000);
        let connection = connected(&engine);
        assert_eq!(
            (connection.peer_addr(), connection.local_addr().ip()),
            (kernel(), "10.77.0.2".parse().unwrap())
        );
        let (mut sends, mut receives) = connection.into_split();
        let sent = data.clone();
        let sender = thread::spawn(move || {
            sends.write_all(&sent).unwrap();
            sends.finish().wait(&patient()).unwrap();
            assert_eq!(sends.marks().acked, Offset(sent.len() as u64));
            assert_eq!(sends.write(b"late").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        });
        let mut read = Vec::new();
        receives.read_to_end(&mut read).unwrap();
        assert!(read == data, "every byte, in order, once");
        sender.join().unwrap();
        echo.join().unwrap();
        drop(receives);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s29_payload_comes_back_once_when_it_is_acknowledged() {
    in_namespace("s29_payload_comes_back_once_when_it_is_acknowledged", |engine| {
        let reader = peer(read_all);
        let mut connection = connected(&engine);
        let pool = engine.make_pool(8, 65_536).unwrap();
        let sends = connection.sends();
        sends.keep_reclaimed();
        let (mut all, mut at, mut back) = (Vec::new(), 0, 0);
        for round in 0..200_u8 {
            // Eight buffers for two hundred: each must come back before it is filled again.
            let mut buffer = loop {
                if let Some(buffer) = pool.try_alloc() {
                    break buffer;
                }
                sends.acked(Offset(back + 1)).wait(&patient()).unwrap();
                while let Some((offset, payload)) = sends.pop_reclaimed() {
                    assert_eq!(offset, Offset(back));
                    back += payload.len() as u64;
                }
            };
            buffer.spare_mut().fill(round);
            let payload = Payload::from(buffer.freeze(50_000 + usize::from(round)));
            all.extend_from_slice(&payload);
            let len = payload.len() as u64;
            assert_eq!(sends.send(payload, PLAIN).wait(&patient()).unwrap(), Offset(at));
            at += len;
        }
        sends.finish().wait(&patient()).unwrap();
        drop(connection);
        assert!(reader.join().unwrap() == all);
        engine.shutdown(PATIENCE).unwrap();
        assert!(pool.is_full());
    });
}

#[test]
fn s29_an_arena_of_ones_own_is_sent_from_without_a_copy() {
    in_namespace("s29_an_arena_of_ones_own_is_sent_from_without_a_copy", |engine| {
        let reader = peer(read_all);
        let mut connection = connected(&engine);
        let arena = engine.make_arena(1 << 20).unwrap();
        let pool = engine.make_pool_over(&arena, 65_536).unwrap();
        assert_eq!(pool.count() as usize, arena.len() / 65_536);
        let mut all = Vec::new();
        for round in 0..100_u8 {
            let Some(mut buffer) = pool.try_alloc() else {
                connection.acked(connection.marks().accepted).wait(&patient()).unwrap();
                continue;
            };
            buffer.spare_mut().fill(round);
            let payload = Payload::from(buffer.freeze(60_000));
            assert!(arena.addresses().contains(&payload.as_ptr().addr()));
            all.extend_from_slice(&payload);
            connection.send(payload, PLAIN).wait(&patient()).unwrap();
        }
        connection.finish().wait(&patient()).unwrap();
        assert!(reader.join().unwrap() == all);
        let copied = engine.every_count().into_iter().find(|(name, ..)| *name == "copied_bytes");
        assert_eq!(copied.map(|(_, count, _)| count), Some(0));
        drop(connection);
        engine.shutdown(PATIENCE).unwrap();
        assert!(pool.is_full());
    });
}

#[test]
fn a_connection_that_is_handed_from_thread_to_thread_keeps_its_order() {
    in_namespace("a_connection_that_is_handed_from_thread_to_thread_keeps_its_order", |engine| {
        let reader = peer(read_all);
        let data = pattern(3_000_000);
        let (to, from): (Vec<_>, Vec<_>) =
            (0..4).map(|_| mpsc::channel::<Option<(Connection, usize)>>()).unzip();
        to[0].send(Some((connected(&engine), 0))).unwrap();
        let threads: Vec<_> = from
            .into_iter()
            .enumerate()
            .map(|(i, inbox)| {
                let (data, next) = (data.clone(), to[(i + 1) % to.len()].clone());
                thread::spawn(move || {
                    while let Some((mut connection, at)) = inbox.recv().unwrap() {
                        let to = data.len().min(at + 777);
                        assert_eq!(connection.send_copy(&data[at..to], PLAIN).wait(&patient()), Ok(to - at));
                        if to == data.len() {
                            connection.finish().wait(&patient()).unwrap();
                            break;
                        }
                        next.send(Some((connection, to))).unwrap();
                    }
                    // The word that it is over goes round; the last one's neighbour has gone home.
                    let _ = next.send(None);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(reader.join().unwrap() == data);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn peers_are_accepted_and_a_listener_that_goes_resets_those_left() {
    in_namespace("peers_are_accepted_and_a_listener_that_goes_resets_those_left", |engine| {
        let mut listener = engine.listen(OURS.parse().unwrap(), 16, None).unwrap();
        assert!(listener.try_accept().unwrap().is_none());
        let client = thread::spawn(|| {
            let mut stream = TcpStream::connect(OURS).unwrap();
            stream.write_all(b"ping").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            read_all(stream)
        });
        let mut accepted = listener.accept().wait(&patient()).unwrap();
        let mut read = Vec::new();
        accepted.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"ping");
        accepted.write_all(b"pong").unwrap();
        // Dropping it is closing it.
        drop(accepted);
        assert_eq!(client.join().unwrap(), b"pong");
        let mut left = TcpStream::connect(OURS).unwrap();
        drop(listener);
        assert_eq!(left.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(TcpStream::connect(OURS).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn whoever_waits_when_the_engine_ends_is_told() {
    in_namespace("whoever_waits_when_the_engine_ends_is_told", |engine| {
        let (done, until) = mpsc::channel::<()>();
        let (full, is_full) = mpsc::channel::<()>();
        let silent = peer(move |stream| {
            let _ = until.recv();
            drop(stream);
        });
        let (mut sends, mut receives) = connected(&engine).into_split();
        let reader = thread::spawn(move || receives.read().wait(&patient()));
        let writer = thread::spawn(move || {
            let data = vec![0; 64 << 20];
            while sends.send_copy(&data, PLAIN).wait(&Wait::at_most(Duration::from_millis(300))).is_ok() {}
            full.send(()).unwrap();
            sends.send_copy(&data, PLAIN).wait(&patient())
        });
        is_full.recv().unwrap();
        engine.shutdown(Duration::from_millis(100)).unwrap_err();
        let gone = |error: Error| matches!(error, Error::WorkerGone { .. } | Error::Aborted { .. });
        assert!(gone(reader.join().unwrap().unwrap_err()));
        assert!(gone(writer.join().unwrap().unwrap_err()));
        done.send(()).unwrap();
        silent.join().unwrap();
    });
}

#[test]
fn waits_end_when_they_are_told_to() {
    in_namespace("waits_end_when_they_are_told_to", |engine| {
        assert_eq!(engine.connect(kernel(), None).wait(&patient()).unwrap_err(), Error::Refused);
        let (done, until) = mpsc::channel::<()>();
        let silent = peer(move |_stream| until.recv());
        let mut connection = connected(&engine);
        let soon = Wait::at_most(Duration::from_millis(20));
        assert_eq!(connection.read().wait(&soon).unwrap_err(), Error::WaitTimedOut);
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(connection.read().wait(&Wait::forever().or(&cancel)).unwrap_err(), Error::Cancelled);
        assert_eq!(connection.send_copy(b"still there", PLAIN).wait(&patient()), Ok(11));
        connection.acked(Offset(11)).wait(&Wait::at_most(Duration::MAX)).unwrap();
        connection.abort();
        assert!(done.send(()).is_ok());
        silent.join().unwrap().unwrap();
        engine.shutdown(PATIENCE).unwrap();
    });
}

/// More than a lane has room for orders that give them up.
#[test]
fn a_listener_that_goes_gives_up_however_many_nobody_took() {
    in_namespace("a_listener_that_goes_gives_up_however_many_nobody_took", |engine| {
        const MANY: usize = 600;
        let mut listener = engine.listen(OURS.parse().unwrap(), MANY, None).unwrap();
        let clients: Vec<_> = (0..MANY).map(|_| TcpStream::connect(OURS).unwrap()).collect();
        // The last to come is there: the others are.
        let mut taken = listener.accept().wait(&patient()).unwrap();
        taken.finish().wait(&patient()).unwrap();
        drop(listener);
        for mut client in clients.into_iter().skip(1) {
            assert_eq!(client.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
        drop(taken);
        engine.shutdown(PATIENCE).unwrap();
    });
}

/// What the application's thread copied is counted as what the core copies is, and is nobody's promise that was broken.
#[test]
fn s29_what_is_copied_is_counted_as_copied_and_what_is_referred_to_is_not() {
    in_namespace("s29_what_is_copied_is_counted_as_copied_and_what_is_referred_to_is_not", |engine| {
        let peer = peer(read_all);
        let mut connection = connected(&engine);
        connection.send_copy(&pattern(100), PLAIN).wait(&patient()).unwrap();
        connection.send_copy(&pattern(20_000), PLAIN).wait(&patient()).unwrap();
        let filled = connection.try_send_with(50, |part| Ok::<_, ()>((part.len(), PLAIN)));
        assert_eq!(filled.unwrap(), 50);
        let pool = engine.make_pool(4, 4096).unwrap();
        connection.try_send(Payload::from(pool.try_alloc().unwrap().freeze(4096)), PLAIN).unwrap();
        connection.finish().wait(&patient()).unwrap();
        assert_eq!(peer.join().unwrap().len(), 100 + 20_000 + 50 + 4096);
        let count = |wanted| engine.every_count().into_iter().find(|(name, ..)| *name == wanted).unwrap().1;
        assert_eq!((count("copied_bytes"), count("copied_after_all")), (20_150, 0));
        drop((connection, pool));
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s17_the_rest_of_a_send_that_waits_for_room_holds_nothing_back() {
    in_namespace("s17_the_rest_of_a_send_that_waits_for_room_holds_nothing_back", |engine| {
        // Less than a segment: what is taken of the send is short, and its rest cannot come before it left.
        let options = ConnectOptions { send_buffer: Some(1_000), ..ConnectOptions::default() };
        let reads = peer(read_all);
        let mut connection = engine.connect(kernel(), Some(&options)).wait(&patient()).unwrap();
        let data = pattern(10_000);
        connection.send_copy(&data, PLAIN).wait(&patient()).unwrap();
        // Of one that is given up while it waits nothing waits for what will not come.
        let mut given_up = Box::pin(connection.send_copy(&data, PLAIN));
        let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(given_up);
        let sent = connection.marks().accepted;
        connection.acked(sent).wait(&patient()).unwrap();
        assert_eq!(connection.stats(&patient()).unwrap().corks_expired, 0);
        connection.finish().wait(&patient()).unwrap();
        drop(connection);
        let read = reads.join().unwrap();
        assert!(read.len() as u64 == sent.0 && read[..10_000] == data && data.starts_with(&read[10_000..]));
        engine.shutdown(PATIENCE).unwrap();
    });
}
