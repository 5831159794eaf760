//! What only those beside a worker can have it do: panic, here or there, and stand still. The scene is that of
//! `tests/lifetimes.rs`.

#[path = "../../../dpdk/tests/common/namespace.rs"]
mod namespace;
#[expect(dead_code, reason = "some of it is used there alone")]
#[path = "../../tests/lifetimes/scene.rs"]
mod scene;

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::{self, Sender};
use std::thread;

use tcp::Offset;

use self::namespace::enter_namespace;
use self::scene::{
    EVERY_WAY, KERNEL, PATIENCE, PLAIN, Told, Waiting, connected, engine, in_thread, patient, payload, pool,
};
use super::core::Core;
use super::desk::Order;
use crate::stack::on;
use crate::{Engine, Error, SendFlags, ShutdownError};

fn order(engine: &Engine, what: impl FnOnce(&mut Core) + Send + 'static) {
    assert!(engine.first().place(Order::Core(Box::new(what))));
}

/// The worker does nothing until something is sent.
fn hold(engine: &Engine) -> Sender<()> {
    let (go, may_go) = mpsc::channel();
    let (holds, is_held) = mpsc::channel();
    order(engine, move |_| {
        holds.send(()).unwrap();
        let _ = may_go.recv_timeout(PATIENCE);
    });
    is_held.recv_timeout(PATIENCE).unwrap();
    go
}

fn all_told(told: &[Told]) {
    for told in told {
        let marks = told.marks();
        let gone = Error::WorkerGone { worker: 0, acked: marks.acked };
        assert_eq!(told.send, gone, "{:?}", told.how);
        assert_eq!(told.read, Err(gone.clone()), "{:?}", told.how);
        assert_eq!(told.acked, Err(gone), "{:?}", told.how);
        assert!(Offset::ZERO < marks.acked && marks.acked < marks.accepted, "{marks:?}");
    }
}

/// The panic is what `shutdown` tells, and that nothing is missing.
fn panicked(engine: Engine, what: &str) {
    match engine.shutdown(PATIENCE).unwrap_err() {
        ShutdownError::Panicked { message, left: None } => assert_eq!(message, what),
        other => panic!("{other}"),
    }
}

#[test]
fn a_worker_that_panics_tells_all_who_wait_and_gives_everything_back() {
    enter_namespace("workers::tests::a_worker_that_panics_tells_all_who_wait_and_gives_everything_back");
    let engine = engine();
    let pool = pool(&engine);
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    let waiting: Vec<_> = EVERY_WAY.into_iter().map(|how| Waiting::begin(&engine, &pool, how)).collect();
    let accepts = in_thread(move || listener.accept().wait(&patient()).map(drop));
    // What lies behind the order that panics, in this lane and in another, and what came too early.
    let go = hold(&engine);
    order(&engine, |_| panic!("as it should"));
    let mut connecting = engine.connect(KERNEL.parse().unwrap(), None);
    let (asks, placed) = (engine.clone(), mpsc::channel());
    let asked = in_thread(move || {
        let answer = asks.first().question(|_| 1);
        placed.0.send(()).unwrap();
        super::wait::block_on(answer, &patient())
    });
    placed.1.recv_timeout(PATIENCE).unwrap();
    go.send(()).unwrap();
    let connects = in_thread(move || connecting.wait(&patient()).map(drop));
    let told: Vec<_> = waiting.into_iter().map(Waiting::end).collect();
    all_told(&told);
    let gone = Error::WorkerGone { worker: 0, acked: Offset::ZERO };
    assert_eq!(connects.recv_timeout(PATIENCE), Ok(Err(gone.clone())));
    assert_eq!(accepts.recv_timeout(PATIENCE), Ok(Err(gone)));
    assert!(matches!(asked.recv_timeout(PATIENCE), Ok(Ok(None))));
    panicked(engine, "as it should");
    assert!(pool.is_full(), "while the handles live on");
}

#[test]
fn a_worker_that_panics_amid_a_send_tells_all_who_wait_and_gives_everything_back() {
    enter_namespace(
        "workers::tests::a_worker_that_panics_amid_a_send_tells_all_who_wait_and_gives_everything_back",
    );
    let engine = engine();
    let pool = pool(&engine);
    let waiting: Vec<_> = EVERY_WAY.into_iter().map(|how| Waiting::begin(&engine, &pool, how)).collect();
    let (connection, _peer) = connected(&engine);
    let (sends, _receives) = connection.into_split();
    let id = sends.id();
    order(&engine, move |core| {
        let bytes = vec![0; 1 << 20];
        let flags = SendFlags::default();
        // In the turn that a long send gives the engine.
        let _ =
            on!(&mut core.engine().stack, engine => engine.send_long(id, &bytes, flags, || panic!("amid")));
    });
    let told: Vec<_> = waiting.into_iter().map(Waiting::end).collect();
    all_told(&told);
    panicked(engine, "amid");
    assert!(pool.is_full(), "while the handles live on");
}

#[test]
fn what_was_sent_before_the_engine_was_told_to_end_is_delivered() {
    enter_namespace("workers::tests::what_was_sent_before_the_engine_was_told_to_end_is_delivered");
    const MANY: usize = 1000;
    let engine = engine();
    let pool = engine.make_pool(1, 64).unwrap();
    let (mut connection, mut peer) = connected(&engine);
    // The lane of this thread, which tells the engine to end, is before the other's.
    let go = hold(&engine);
    let piece = payload(&pool, 64).unwrap();
    thread::spawn(move || {
        (0..MANY).for_each(|_| _ = connection.try_send(piece.clone(), PLAIN).unwrap());
    })
    .join()
    .unwrap();
    let ends = in_thread(move || engine.shutdown(PATIENCE));
    let reads = in_thread(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    go.send(()).unwrap();
    assert_eq!(reads.recv_timeout(PATIENCE).unwrap().unwrap(), vec![7; MANY * 64]);
    ends.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(pool.is_full());
}

/// Of two workers this one panics. The other one goes on.
fn one_of_two_panics(gone: u16) {
    let engine = Engine::builder(scene::config()).workers(2).build().unwrap();
    let pool = engine.make_pool(8, 64).unwrap();
    let accept = TcpListener::bind(KERNEL).unwrap();
    let mut at = [0, 1].map(|worker| {
        let mut connecting = engine.connect_at(worker, KERNEL.parse().unwrap(), None);
        (connecting.wait(&patient()).unwrap(), accept.accept().unwrap().0)
    });
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    let desk = &engine.inner.workers[usize::from(gone)].desk;
    assert!(desk.place(Order::Core(Box::new(|_| panic!("as it should")))));
    let said = Error::WorkerGone { worker: gone, acked: Offset::ZERO };
    assert_eq!(listener.accept().wait(&patient()).map(drop), Err(said.clone()));
    assert_eq!(
        listener.try_accept().map(|accepted| accepted.is_some()),
        Ok(false),
        "told once: the other one accepts"
    );
    let (connection, _peer) = &mut at[usize::from(gone)];
    assert_eq!(connection.read().wait(&patient()).map(drop), Err(said));
    assert!(engine.counts_of(gone).is_empty() && !engine.counts_of(1 - gone).is_empty());
    let (connection, peer) = &mut at[usize::from(1 - gone)];
    for _ in 0..100 {
        let piece = loop {
            // Eight buffers: they come home.
            match payload(&pool, 64) {
                Some(piece) => break piece,
                None => thread::yield_now(),
            }
        };
        connection.send(piece, PLAIN).wait(&patient()).unwrap();
    }
    connection.finish().wait(&patient()).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, vec![7; 6400]);
    // The peers close too.
    drop(at);
    panicked(engine, "as it should");
    assert!(pool.is_full());
}

#[test]
fn p8_when_the_first_worker_panics_the_other_goes_on() {
    enter_namespace("workers::tests::p8_when_the_first_worker_panics_the_other_goes_on");
    one_of_two_panics(0);
}

#[test]
fn p8_when_another_worker_panics_the_first_goes_on() {
    enter_namespace("workers::tests::p8_when_another_worker_panics_the_first_goes_on");
    one_of_two_panics(1);
}
