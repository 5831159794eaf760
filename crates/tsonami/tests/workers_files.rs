//! Files, splices and batches on an engine of its own thread, against the kernel's TCP over a TAP, in a network namespace of each
//! test's own. The kernel gets what was in the file; a file that is cut short says where.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;
#[path = "lifetimes/scene.rs"]
#[expect(dead_code, reason = "the threads that wait are another test's")]
mod scene;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Waker};
use std::time::Duration;

use tsonami::{Error, Offset, SendFileReason, SendFlags, SendTimeKind, SpliceError, Wait};

use self::namespace::enter_namespace;
use self::scene::{EVERY_WAY, How, PATIENCE, PLAIN, connected, engine, in_thread, patient, payload, pool};

/// A file of this length without a name, and what is in it.
fn file(len: usize) -> (File, Vec<u8>) {
    let data: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&data).unwrap();
    (file, data)
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

fn awaited<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn s1_the_kernel_gets_a_file_identical_in_every_way_to_wait() {
    enter_namespace("s1_the_kernel_gets_a_file_identical_in_every_way_to_wait");
    let engine = engine();
    let (file, data) = file(5_000_001);
    for how in EVERY_WAY {
        let (mut connection, peer) = connected(&engine);
        let got = in_thread(move || read_all(peer));
        let from = 3;
        let sent = match how {
            // More than there is: it ends where the file does.
            How::Blocking => connection.send_file(&file, from, u64::MAX, PLAIN).wait(&patient()).unwrap(),
            How::Async => awaited(connection.send_file(&file, from, u64::MAX, PLAIN)).unwrap(),
            How::Polling => {
                let mut sent = 0;
                while sent < data.len() as u64 - from {
                    match connection.try_send_file(&file, from + sent, usize::MAX, PLAIN) {
                        Ok(n) => sent += n as u64,
                        Err(error) => {
                            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                            std::thread::yield_now();
                        }
                    }
                }
                sent
            }
        };
        assert_eq!(sent, data.len() as u64 - from);
        assert_eq!(connection.try_send_file(&file, 1 << 40, 5, PLAIN).unwrap(), 0, "there is nothing there");
        connection.finish().wait(&patient()).unwrap();
        assert_eq!(connection.marks().acked, Offset(sent));
        assert!(got.recv_timeout(PATIENCE).unwrap() == data[from as usize..], "{how:?}");
    }
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn s1_a_file_that_is_cut_short_while_it_is_sent_is_an_error_that_says_where() {
    enter_namespace("s1_a_file_that_is_cut_short_while_it_is_sent_is_an_error_that_says_where");
    let engine = engine();
    let (file, data) = file(8_000_000);
    let (mut connection, peer) = connected(&engine);
    connection.sends().keep_send_times();
    let mut sending = connection.send_file(&file, 0, u64::MAX, SendFlags { timestamp: true, ..PLAIN });
    // Nobody reads: more than the buffers hold waits in the file.
    assert!(std::pin::pin!(&mut sending).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    const CUT: u64 = 6_000_003;
    file.set_len(CUT).unwrap();
    let got = in_thread(move || read_all(peer));
    let error = sending.wait(&patient()).unwrap_err();
    assert!(matches!(error.reason, SendFileReason::CutShort), "{error}");
    assert_eq!(error.sent, CUT);
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::UnexpectedEof);
    // The send ended there, as who asked for its times is told.
    connection.acked(Offset(CUT)).wait(&patient()).unwrap();
    let times: Vec<_> = std::iter::from_fn(|| connection.sends().pop_send_time()).collect();
    let ends: Vec<_> = times.iter().map(|time| (time.kind, time.end.0)).collect();
    let kinds = [SendTimeKind::Scheduled, SendTimeKind::Sent, SendTimeKind::Acked];
    assert_eq!(ends, kinds.map(|kind| (kind, CUT)));
    // What was there is delivered, and the connection goes on.
    connection.send_copy(b"more", PLAIN).wait(&patient()).unwrap();
    connection.finish().wait(&patient()).unwrap();
    let got = got.recv_timeout(PATIENCE).unwrap();
    assert!(got == [&data[..CUT as usize], b"more"].concat());
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn s1_a_file_whose_receiver_resets_is_an_error_that_says_how_much_was_taken() {
    enter_namespace("s1_a_file_whose_receiver_resets_is_an_error_that_says_how_much_was_taken");
    let engine = engine();
    let (file, _) = file(8_000_000);
    let (mut connection, peer) = connected(&engine);
    let mut sending = connection.send_file(&file, 0, u64::MAX, PLAIN);
    assert!(std::pin::pin!(&mut sending).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let one = Wait::at_most(Duration::from_millis(1));
    let error = connection.send_file(&file, 0, u64::MAX, PLAIN).wait(&one).unwrap_err();
    assert!(matches!(error.reason, SendFileReason::Connection(Error::WaitTimedOut)), "{error}");
    let taken = connection.marks().accepted.0;
    let sending = connection.send_file(&file, taken, u64::MAX, PLAIN);
    // With bytes unread.
    drop(peer);
    let error = sending.wait(&patient()).unwrap_err();
    let SendFileReason::Connection(Error::Reset { acked }) = error.reason else { panic!("{error}") };
    assert!(acked.0 <= taken + error.sent);
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn s1_what_one_connection_receives_is_spliced_into_another_in_every_way_to_wait() {
    enter_namespace("s1_what_one_connection_receives_is_spliced_into_another_in_every_way_to_wait");
    let engine = engine();
    let (_, data) = file(3_000_000);
    for how in EVERY_WAY {
        let ((from, source), (mut to, sink)) = (connected(&engine), connected(&engine));
        let sent = data.clone();
        let writes = in_thread(move || {
            (&source).write_all(&sent).unwrap();
            source.shutdown(Shutdown::Write).unwrap();
            source
        });
        let got = in_thread(move || read_all(sink));
        let (_sends, mut from) = from.into_split();
        let moved = match how {
            How::Blocking => to.splice(&mut from, u64::MAX, PLAIN).wait(&patient()).unwrap(),
            How::Async => {
                // In parts, of which one ends amid a piece; and dropped before it is ready nothing is lost.
                let first = awaited(to.splice(&mut from, 1_000_001, PLAIN)).unwrap();
                let mut dropped = to.splice(&mut from, 1_000_000, PLAIN);
                let _ = std::pin::pin!(&mut dropped).poll(&mut Context::from_waker(Waker::noop()));
                let at = to.marks().accepted.0;
                assert!(at >= first && first == 1_000_001);
                at + awaited(to.splice(&mut from, u64::MAX, PLAIN)).unwrap()
            }
            How::Polling => {
                let mut moved = 0;
                loop {
                    match to.try_splice(&mut from, 70_000, PLAIN) {
                        Ok(0) | Err(SpliceError::To(Error::Full | Error::PoolExhausted)) => {
                            std::thread::yield_now()
                        }
                        Ok(n) => moved += n as u64,
                        Err(SpliceError::From(Error::Finished)) => break moved,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        assert_eq!(moved, data.len() as u64);
        to.finish().wait(&patient()).unwrap();
        assert!(got.recv_timeout(PATIENCE).unwrap() == data, "{how:?}");
        drop((to, from, writes.recv_timeout(PATIENCE).unwrap()));
    }
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn s1_a_splice_that_is_refused_leaves_all_to_be_read() {
    enter_namespace("s1_a_splice_that_is_refused_leaves_all_to_be_read");
    let engine = engine();
    let ((from, source), (mut to, sink)) = (connected(&engine), connected(&engine));
    let (_sends, mut from) = from.into_split();
    (&source).write_all(&[9; 1000]).unwrap();
    to.finish().wait(&patient()).unwrap();
    let refused = to.splice(&mut from, u64::MAX, PLAIN).wait(&patient());
    assert_eq!(refused, Err(SpliceError::To(Error::Finished)));
    let piece = from.read().wait(&patient()).unwrap().unwrap();
    assert_eq!(&piece[..], &[9; 1000]);
    drop((piece, from, to, source, sink));
    engine.shutdown(PATIENCE).unwrap();
}

#[test]
fn s1_a_batch_is_sent_in_order_in_every_way_to_wait() {
    enter_namespace("s1_a_batch_is_sent_in_order_in_every_way_to_wait");
    const MANY: usize = 400;
    let engine = engine();
    let pool = pool(&engine);
    for how in EVERY_WAY {
        let (mut connection, peer) = connected(&engine);
        let make = |i: usize| {
            let mut buffer = pool.try_alloc()?;
            buffer.spare_mut()[..10_000].fill(i as u8);
            Some(tsonami::Payload::from(buffer.freeze(10_000)))
        };
        let mut batch: Vec<_> = (0..MANY).map_while(make).collect();
        assert_eq!(batch.len(), MANY);
        // Not all have room before the peer reads.
        let memory = (batch.capacity(), batch.as_ptr());
        let sent = connection.try_send_batch(&mut batch, PLAIN).unwrap();
        assert_eq!((batch.capacity(), batch.as_ptr()), memory, "the list keeps its memory");
        assert!(0 < sent && sent < MANY && batch.len() == MANY - sent, "{sent}");
        assert_eq!(batch[0][0], sent as u8, "those left are the last");
        let got = in_thread(move || read_all(peer));
        let rest = match how {
            How::Blocking => connection.send_batch(&mut batch, PLAIN).wait(&patient()).unwrap(),
            How::Async => awaited(connection.send_batch(&mut batch, PLAIN)).unwrap(),
            How::Polling => {
                let mut rest = 0;
                while !batch.is_empty() {
                    match connection.try_send_batch(&mut batch, PLAIN) {
                        Ok(n) => rest += n,
                        Err(error) => assert_eq!(error, Error::Full),
                    }
                    std::thread::yield_now();
                }
                rest
            }
        };
        assert_eq!((sent + rest, batch.len()), (MANY, 0));
        connection.finish().wait(&patient()).unwrap();
        let got = got.recv_timeout(PATIENCE).unwrap();
        assert!(got.chunks(10_000).enumerate().all(|(i, chunk)| chunk.iter().all(|&byte| byte == i as u8)));
        assert_eq!(got.len(), MANY * 10_000);
    }
    // One that ended takes none, and they stay.
    let (mut connection, peer) = connected(&engine);
    drop(peer);
    connection.read().wait(&patient()).unwrap();
    connection.finish().wait(&patient()).unwrap();
    let mut batch = vec![payload(&pool, 1).unwrap()];
    assert_eq!(connection.send_batch(&mut batch, PLAIN).wait(&patient()), Err(Error::Finished));
    assert_eq!(batch.len(), 1);
    assert!(connection.flush().is_ok());
    drop((batch, connection));
    engine.shutdown(PATIENCE).unwrap();
    assert!(pool.is_full());
}
