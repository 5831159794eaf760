//! What it costs to ring for a worker: nothing while it looks, a system call when it sleeps.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;
#[path = "lifetimes/scene.rs"]
#[expect(dead_code, reason = "the threads that wait are another test's")]
mod scene;

use std::time::Instant;

use tsonami::{Engine, WaitStrategy};

use self::namespace::enter_namespace;
use self::scene::{PATIENCE, PLAIN, config, connected, in_thread, patient};

fn woken(engine: &Engine) -> u64 {
    engine.every_count().into_iter().find(|(name, ..)| *name == "worker_woken").unwrap().1
}

/// Ten thousand sends, and none of them wakes the worker.
fn never_woken(wait: WaitStrategy) {
    let mut config = config();
    config.wait = wait;
    let engine = Engine::builder(config).build().unwrap();
    let (mut connection, mut peer) = connected(&engine);
    let reads = in_thread(move || std::io::copy(&mut peer, &mut std::io::sink()).unwrap());
    for _ in 0..10_000 {
        connection.send_copy(&[1; 64], PLAIN).wait(&patient()).unwrap();
    }
    connection.finish().wait(&patient()).unwrap();
    assert_eq!(reads.recv_timeout(PATIENCE), Ok(640_000));
    assert_eq!(woken(&engine), 0);
    drop(connection);
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn a_worker_that_spins_is_never_woken_by_a_system_call() {
    enter_namespace("a_worker_that_spins_is_never_woken_by_a_system_call");
    never_woken(WaitStrategy::Spin);
}

#[test]
fn a_worker_that_pauses_is_never_woken_by_a_system_call() {
    enter_namespace("a_worker_that_pauses_is_never_woken_by_a_system_call");
    never_woken(WaitStrategy::Pause);
}

#[test]
fn a_worker_that_sleeps_is_woken_by_a_send() {
    enter_namespace("a_worker_that_sleeps_is_woken_by_a_send");
    let engine = Engine::builder(config()).build().unwrap();
    let (mut connection, mut peer) = connected(&engine);
    let reads = in_thread(move || std::io::copy(&mut peer, &mut std::io::sink()).unwrap());
    let (begun, mut sent) = (Instant::now(), 0);
    // It sleeps when nothing happens for a while, of which it alone knows how long it takes it.
    while woken(&engine) < 3 {
        assert!(begun.elapsed() < PATIENCE, "it never slept");
        connection.send_copy(&[1; 64], PLAIN).wait(&patient()).unwrap();
        sent += 64;
        connection.acked(connection.marks().accepted).wait(&patient()).unwrap();
        while connection.read().wait(&tsonami::Wait::at_most(std::time::Duration::from_millis(20))).is_ok() {}
    }
    connection.finish().wait(&patient()).unwrap();
    assert_eq!(reads.recv_timeout(PATIENCE), Ok(sent));
    drop(connection);
    engine.shutdown(PATIENCE).unwrap();
}
