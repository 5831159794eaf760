//! Engines of several workers (P8), against the kernel's TCP over a TAP with a queue for each or one for all, and against each other
//! over vhost-user.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tsonami::{Config, Connection, Engine, Error, Hugepages, SendFlags, Wait, WaitStrategy};

const OURS: &str = "10.77.0.2:6001";
/// How long anything may take that is not under test itself.
const PATIENCE: Duration = Duration::from_secs(60);
const PLAIN: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };
const INSIDE: &str = "TSONAMI_TEST_INSIDE";
const SOCKET: &str = "TSONAMI_TEST_SOCKET";

fn kernel() -> SocketAddr {
    "10.77.0.1:5001".parse().unwrap()
}

fn patient() -> Wait {
    Wait::at_most(PATIENCE)
}

fn pattern(seed: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| ((i ^ seed << 20).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn count(engine: &Engine, name: &str) -> u64 {
    counted(engine.every_count(), name)
}

fn counted(counts: Vec<(&'static str, u64, &'static str)>, name: &str) -> u64 {
    counts.into_iter().find(|(known, ..)| *known == name).map(|(_, count, _)| count).unwrap()
}

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, workers: u16, queues: Option<u16>, body: impl FnOnce(Engine)) {
    if std::env::var_os(INSIDE).is_some() {
        let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
        config.wait = WaitStrategy::Park;
        config.check_tx = true;
        config.workers.queues = queues;
        return body(Engine::builder(config).workers(workers).build().unwrap());
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

/// A kernel's sockets that send back what they get, until each peer has finished.
fn echo(connections: usize) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind(kernel()).unwrap();
    thread::spawn(move || {
        let echoes: Vec<_> = (0..connections)
            .map(|_| {
                let mut stream = listener.accept().unwrap().0;
                thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    std::io::copy(&mut stream, &mut back).unwrap();
                    back.shutdown(Shutdown::Write).unwrap();
                })
            })
            .collect();
        echoes.into_iter().for_each(|echo| echo.join().unwrap());
    })
}

/// Sends and reads back, identical.
fn there_and_back(connection: Connection, data: &[u8]) {
    let (mut sends, mut receives) = connection.into_split();
    thread::scope(|scope| {
        scope.spawn(move || {
            sends.write_all(data).unwrap();
            sends.finish().wait(&patient()).unwrap();
        });
        let mut read = Vec::new();
        receives.read_to_end(&mut read).unwrap();
        assert!(read == data, "every byte, in order, once");
    });
}

/// Eight connections at once, by turns at each worker.
fn eight_there_and_back(engine: &Engine) {
    let echo = echo(8);
    thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || {
                let connection = engine.connect(kernel(), None).wait(&patient()).unwrap();
                there_and_back(connection, &pattern(n, 1_000_000));
            });
        }
    });
    echo.join().unwrap();
}

#[test]
fn p8_a_queue_for_each_worker() {
    in_namespace("p8_a_queue_for_each_worker", 2, None, |engine| {
        assert_eq!(engine.workers(), 2);
        eight_there_and_back(&engine);
        for worker in 0..2 {
            let count = |name| counted(engine.counts_of(worker), name);
            assert_eq!(count("connections_opened"), 4);
            assert!(count("rx_payload_bytes") >= 4_000_000, "it receives its own share");
            assert_eq!(count("tx_relayed"), 0);
        }
        assert_eq!(count(&engine, "connections_opened"), 8);
        // The kernel answers on the queue that it was spoken to on.
        let steering = engine.steering().unwrap();
        println!("{steering}");
        assert!(!steering.by_device && steering.landed > 100, "{steering:?}");
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn p8_one_queue_for_all_workers() {
    in_namespace("p8_one_queue_for_all_workers", 3, Some(1), |engine| {
        eight_there_and_back(&engine);
        for worker in 0..3 {
            let count = |name| counted(engine.counts_of(worker), name);
            assert!(count("connections_opened") >= 2);
            assert!(count("rx_payload_bytes") >= 2_000_000, "it receives its own share");
            assert_eq!(count("rx_misdirected") > 0, worker == 0, "only the first has a queue");
            assert_eq!(count("rx_taken_over") > 0, worker != 0);
            assert_eq!(count("tx_relayed") > 0, worker == 0);
        }
        // The first has nothing left to do, and goes on for the others until they are through.
        let listener = TcpListener::bind(kernel()).unwrap();
        let mut connection = engine.connect_at(2, kernel(), None).wait(&patient()).unwrap();
        let mut peer = listener.accept().unwrap().0;
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).map(|_| read)
        });
        let data = pattern(9, 1_000_000);
        assert_eq!(connection.send_copy(&data, PLAIN).wait(&patient()), Ok(data.len()));
        drop(connection);
        engine.shutdown(PATIENCE).unwrap();
        assert!(reader.join().unwrap().unwrap() == data);
    });
}

#[test]
fn p8_every_worker_accepts() {
    in_namespace("p8_every_worker_accepts", 2, None, |engine| {
        let mut listener = engine.listen(OURS.parse().unwrap(), 64, None).unwrap();
        let again = engine.listen(OURS.parse().unwrap(), 64, None).unwrap_err().to_string();
        assert!(again.contains("already"), "{again}");
        let clients: Vec<_> = (0..24)
            .map(|n| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(OURS).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let data = pattern(n, 100_000);
                    let mut back = stream.try_clone().unwrap();
                    let sent = data.clone();
                    let sender = thread::spawn(move || {
                        stream.write_all(&sent).unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut read = Vec::new();
                    back.read_to_end(&mut read).unwrap();
                    sender.join().unwrap();
                    assert!(read == data, "every byte, in order, once");
                })
            })
            .collect();
        let servers: Vec<_> = (0..24)
            .map(|_| {
                let (mut sends, mut receives) = listener.accept().wait(&patient()).unwrap().into_split();
                thread::spawn(move || {
                    std::io::copy(&mut receives, &mut sends).unwrap();
                    sends.finish().wait(&patient()).unwrap();
                })
            })
            .collect();
        clients.into_iter().chain(servers).for_each(|thread| thread.join().unwrap());
        let accepted: Vec<_> =
            (0..2).map(|worker| counted(engine.counts_of(worker), "connections_accepted")).collect();
        assert_eq!(accepted.iter().sum::<u64>(), 24);
        assert!(accepted.iter().all(|count| *count > 2), "{accepted:?}");
        drop(listener);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn a_handle_names_the_worker_that_is_gone() {
    in_namespace("a_handle_names_the_worker_that_is_gone", 2, None, |engine| {
        let listener = TcpListener::bind(kernel()).unwrap();
        let mut connections: Vec<_> = [1, 0, 1]
            .map(|worker| engine.connect_at(worker, kernel(), None).wait(&patient()).unwrap())
            .into();
        let peers: Vec<_> = connections.iter().map(|_| listener.accept().unwrap().0).collect();
        assert_eq!(counted(engine.counts_of(1), "connections_opened"), 2);
        // One buffer for connections at both.
        let pool = engine.make_pool(1, 64).unwrap();
        let payload = tsonami::Payload::from(pool.try_alloc().unwrap().freeze(64));
        for connection in &mut connections {
            connection.send(payload.clone(), PLAIN).wait(&patient()).unwrap();
        }
        let mut acceptor = engine.listen(OURS.parse().unwrap(), 4, None).unwrap();
        drop(payload);
        let other = engine.clone();
        other.shutdown(Duration::ZERO).unwrap();
        for (connection, worker) in connections.iter_mut().zip([1, 0, 1]) {
            match connection.send_copy(b"late", PLAIN).wait(&patient()) {
                Err(Error::WorkerGone { worker: gone, .. }) => assert_eq!(gone, worker),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(acceptor.try_accept(), Err(Error::WorkerGone { .. })));
        assert!(matches!(
            engine.connect_at(1, kernel(), None).wait(&patient()),
            Err(Error::WorkerGone { worker: 1, .. })
        ));
        assert!(pool.is_full() && engine.every_count().is_empty() && engine.steering().is_none());
        drop(peers);
    });
}

fn over_vhost(device: String, address: &str) -> Engine {
    let mut config = Config::new(device, address.parse().unwrap());
    config.wait = WaitStrategy::Park;
    config.memory.hugepages = Hugepages::Off;
    config.memory.mib = Some(1024);
    config.pools.mbufs = Some(1024);
    config.pools.send_bytes = Some(8 << 20);
    Engine::builder(config).workers(2).build().unwrap()
}

/// The other end: sends everything back, then tells what it counted.
fn serve(socket: &str) {
    let engine = over_vhost(format!("vhost:{socket}"), "10.77.0.1/24");
    let mut listener = engine.listen("10.77.0.1:5001".parse().unwrap(), 64, None).unwrap();
    println!("listening");
    let echoes: Vec<_> = (0..8)
        .map(|_| {
            let (mut sends, mut receives) = listener.accept().wait(&patient()).unwrap().into_split();
            thread::spawn(move || {
                std::io::copy(&mut receives, &mut sends).unwrap();
                sends.finish().wait(&patient()).unwrap();
            })
        })
        .collect();
    echoes.into_iter().for_each(|echo| echo.join().unwrap());
    assert_eq!(count(&engine, "rx_misdirected"), 0);
    let accepted: Vec<_> =
        (0..2).map(|worker| counted(engine.counts_of(worker), "connections_accepted")).collect();
    assert_eq!(accepted, [4, 4], "a connection is at the worker of the same number at both ends");
    // Until the other end is done with its port.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn p8_two_workers_on_two_queues_of_a_vhost_user_wire_and_none_misdirected() {
    if let Ok(socket) = std::env::var(SOCKET) {
        return serve(&socket);
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s").display().to_string();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args([
            "p8_two_workers_on_two_queues_of_a_vhost_user_wire_and_none_misdirected",
            "--exact",
            "--nocapture",
        ])
        .env(SOCKET, &socket)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !dir.path().join("s").exists() {
        assert!(Instant::now() < deadline && server.try_wait().unwrap().is_none(), "no server");
        thread::yield_now();
    }
    let engine = over_vhost(format!("virtio-user:{socket}"), "10.77.0.2/24");
    // It may not listen yet, or not yet at both workers.
    let connect = |worker| loop {
        match engine.connect_at(worker, kernel(), None).wait(&patient()) {
            Err(Error::Refused) => {
                assert!(Instant::now() < deadline, "refused");
                thread::yield_now();
            }
            made => break made.unwrap(),
        }
    };
    thread::scope(|scope| {
        for n in 0..8 {
            let connection = connect(n as u16 % 2);
            scope.spawn(move || there_and_back(connection, &pattern(n, 1_000_000)));
        }
    });
    assert_eq!(count(&engine, "rx_misdirected"), 0);
    for worker in 0..2 {
        assert!(counted(engine.counts_of(worker), "rx_payload_bytes") >= 4_000_000, "both are busy");
    }
    let steering = engine.steering().unwrap();
    assert!(steering.landed > 0 && steering.astray == 0, "{steering}");
    engine.shutdown(PATIENCE).unwrap();
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success(), "the server found something wrong");
}
