//! What ends from outside, by threads that hold neither half of it: whoever waits is told, in whatever way it waits, and every
//! buffer comes home. Over a TAP to the kernel's TCP, each test in a network namespace of its own.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;
#[expect(dead_code, reason = "the rest of it is used by lifetimes.rs")]
#[path = "lifetimes/scene.rs"]
mod scene;

use std::io::Write;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tsonami::{Engine, Error, Offset, RecvHalf, SendHalf, SpliceError, Wait};

use self::namespace::enter_namespace;
use self::scene::{
    KERNEL, PATIENCE, PLAIN, config, connected, engine, in_thread, now, patient, payload, pool, silence,
};

#[test]
fn nothing_is_taken_from_the_moment_on_that_a_connection_is_aborted() {
    enter_namespace("nothing_is_taken_from_the_moment_on_that_a_connection_is_aborted");
    let engine = engine();
    let pool = pool(&engine);
    let (mut connection, _peer) = connected(&engine);
    let abort = connection.abort_handle();
    assert!(!abort.is_aborted());
    connection.receives().abort_handle().abort();
    assert!(abort.is_aborted());
    let aborted = Error::Aborted { acked: Offset::ZERO };
    assert_eq!(connection.try_send_copy(b"too late", PLAIN), Err(aborted.clone()));
    let refused = connection.try_send(payload(&pool, 64).unwrap(), PLAIN).unwrap_err();
    assert_eq!((refused.payload.len(), refused.reason), (64, aborted));
    drop(refused.payload);
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}

#[test]
fn a_handle_that_outlives_its_connection_and_its_engine_does_nothing() {
    enter_namespace("a_handle_that_outlives_its_connection_and_its_engine_does_nothing");
    let engine = engine();
    let (mut connection, mut peer) = connected(&engine);
    let handle = connection.receives().abort_handle();
    assert_eq!(connection.try_send_copy(b"delivered", PLAIN), Ok(9));
    drop(connection);
    handle.abort();
    let mut read = String::new();
    std::io::Read::read_to_string(&mut peer, &mut read).unwrap();
    assert_eq!(read, "delivered");
    drop(peer);
    engine.shutdown(PATIENCE).unwrap();
    handle.abort();
}

#[test]
fn an_abort_is_told_to_who_waits_for_a_connection_to_open() {
    enter_namespace("an_abort_is_told_to_who_waits_for_a_connection_to_open");
    let engine = engine();
    silence();
    let mut opening = engine.connect(KERNEL.parse().unwrap(), None);
    assert_eq!(opening.wait(&Wait::at_most(Duration::ZERO)).map(drop), Err(Error::WaitTimedOut));
    let abort = opening.abort_handle();
    let told = in_thread(move || (opening.wait(&Wait::forever()).map(drop), opening));
    abort.abort();
    let (told, mut opening) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, Err(Error::Aborted { acked: Offset::ZERO }));
    assert_eq!(opening.wait(&Wait::forever()).map(drop), Err(Error::Gone), "nothing is left of it");
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn a_wait_for_a_connection_to_open_may_go_on() {
    enter_namespace("a_wait_for_a_connection_to_open_may_go_on");
    let engine = engine();
    let peers = std::net::TcpListener::bind("0.0.0.0:5001").unwrap();
    let mut opening = engine.connect(KERNEL.parse().unwrap(), None);
    // Whatever this says: it may be open by then.
    let first = opening.wait(&Wait::at_most(Duration::ZERO));
    let connection = first.or_else(|_| opening.wait(&patient())).unwrap();
    let abort = opening.abort_handle();
    drop(opening);
    let (mut peer, _) = peers.accept().unwrap();
    // What it became is aborted by what aborted it.
    abort.abort();
    assert_eq!(
        std::io::copy(&mut peer, &mut std::io::sink()).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    drop(connection);
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn an_abort_ends_a_wait_for_memory_that_others_hold() {
    enter_namespace("an_abort_ends_a_wait_for_memory_that_others_hold");
    let mut config = config();
    config.pools.send_bytes = Some(64 << 10);
    let engine = Engine::builder(config).build().unwrap();
    let (mut full, _peer) = connected(&engine);
    let (mut waits, _other) = connected(&engine);
    // Nothing is acknowledged any more, so the copies stay where they are.
    silence();
    while full.try_send_copy(&[7; 4096], PLAIN).is_ok() {}
    assert_eq!(waits.try_send_copy(b"copy", PLAIN), Err(Error::PoolExhausted));
    let abort = waits.abort_handle();
    let (begun, has_begun) = mpsc::channel();
    let told = in_thread(move || {
        let mut copying = waits.send_copy(b"copy", PLAIN);
        let first = now(&mut copying);
        begun.send(()).unwrap();
        first.unwrap_or_else(|| copying.wait(&Wait::forever()))
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    abort.abort();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Err(Error::Aborted { acked: Offset::ZERO }));
    full.abort();
    engine.shutdown(PATIENCE).unwrap();
}

/// Splices without end, in a thread; how that ended. It has begun to wait when `begun` says so.
fn splices(mut from: RecvHalf, mut to: SendHalf) -> Receiver<(Result<u64, SpliceError>, RecvHalf, SendHalf)> {
    let (begun, has_begun) = mpsc::channel();
    let ends = in_thread(move || {
        let mut splicing = to.splice(&mut from, u64::MAX, PLAIN);
        let first = now(&mut splicing);
        begun.send(()).unwrap();
        let done = first.unwrap_or_else(|| splicing.wait(&Wait::forever()));
        (done, from, to)
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    ends
}

#[test]
fn an_abort_of_either_end_is_told_to_who_splices() {
    enter_namespace("an_abort_of_either_end_is_told_to_who_splices");
    const RECEIVED: &[u8] = b"cannot be sent";
    let engine = engine();
    let (all, _peers): (Vec<_>, Vec<_>) = [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .map(|case| {
            let ((mut from, mut source), (to, sink)) = (connected(&engine), connected(&engine));
            if case.0 {
                source.write_all(RECEIVED).unwrap();
                let begun = Instant::now();
                while from.stats(&patient()).unwrap().bytes_received < RECEIVED.len() as u64 {
                    assert!(begun.elapsed() < PATIENCE, "it never arrives");
                }
            }
            ((case, from, to), (source, sink))
        })
        .unzip();
    // What is full stays so.
    silence();
    for ((waits_for_room, aborts_from), from, to) in all {
        let ((others, from), (mut to, _unread)) = (from.into_split(), to.into_split());
        while waits_for_room && to.try_send_copy(&[7; 4096], PLAIN).is_ok() {}
        let abort = if aborts_from { from.abort_handle() } else { to.abort_handle() };
        let ends = splices(from, to);
        abort.abort();
        let (told, mut from, to) = ends.recv_timeout(PATIENCE).expect("who splices is told");
        let expected = match aborts_from {
            true => SpliceError::From(Error::Aborted { acked: others.marks().acked }),
            false => SpliceError::To(Error::Aborted { acked: to.marks().acked }),
        };
        assert_eq!(told, Err(expected), "{waits_for_room} {aborts_from}");
        if waits_for_room {
            assert_eq!(&*from.try_read().unwrap().unwrap(), RECEIVED, "it stays to be read");
        }
        others.abort();
        to.abort();
    }
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn a_listener_that_is_closed_is_told_to_who_accepts() {
    enter_namespace("a_listener_that_is_closed_is_told_to_who_accepts");
    let engine = engine();
    let mut listener = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    let close = listener.close_handle();
    let told = in_thread(move || (listener.accept().wait(&Wait::forever()).map(drop), listener));
    close.close();
    let (told, mut listener) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, Err(Error::ListenerClosed));
    assert_eq!(listener.try_accept().map(drop), Err(Error::ListenerClosed));
    // Closed it is, though its handle lives: the address is free.
    let again = engine.listen("10.77.0.2:6001".parse().unwrap(), 1, None).unwrap();
    close.close();
    drop(listener);
    close.close();
    drop(again);
    engine.shutdown(PATIENCE).unwrap();
}
