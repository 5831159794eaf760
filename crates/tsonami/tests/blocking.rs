//! Waiting calls (`S2`) against the kernel's TCP, over a TAP, in a network namespace of each test's own. The kernel's side
//! is driven by other threads of the same process.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tsonami::{
    Cancel, Config, ConnId, ConnectOptions, Error, Event, LocalEngine, SendFlags, State, Wait, WaitStrategy,
};

use self::namespace::enter_namespace;

const PORT: u16 = 5001;
/// How long anything may take that is not under test itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the kernel takes for a peer that does not read.
const MUCH: usize = 32 << 20;
const PLAIN: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };

fn kernel() -> SocketAddr {
    "10.77.0.1:5001".parse().unwrap()
}

fn patient() -> Wait {
    Wait::at_most(PATIENCE)
}

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, body: impl FnOnce(LocalEngine)) {
    enter_namespace(test);
    let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
    config.wait = WaitStrategy::Park;
    config.check_tx = true;
    config.connection.send_buffer = Some(256 << 10);
    body(LocalEngine::builder(config).build_local().unwrap());
}

/// A receiver in the kernel: accepts one connection, and does as it is told with it.
struct Peer {
    orders: Sender<Order>,
    accepted: Receiver<()>,
    thread: JoinHandle<Vec<u8>>,
}

enum Order {
    /// Reads to the end.
    Read,
    /// Closes it as it is: with bytes unread that is a reset.
    Drop,
    /// Writes this.
    Write(&'static [u8]),
}

impl Peer {
    fn new() -> Peer {
        let listener = TcpListener::bind(kernel()).unwrap();
        let (orders, inbox) = mpsc::channel();
        let (tell, accepted) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Something has arrived when this is heard.
            stream.peek(&mut [0]).unwrap();
            tell.send(()).unwrap();
            let mut read = Vec::new();
            for order in inbox {
                match order {
                    Order::Read => {
                        stream.read_to_end(&mut read).unwrap();
                    }
                    Order::Write(bytes) => stream.write_all(bytes).unwrap(),
                    Order::Drop => return read,
                }
            }
            read
        });
        Peer { orders, accepted, thread }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }

    /// What it read, once it is done.
    fn end(self) -> Vec<u8> {
        drop(self.orders);
        self.thread.join().unwrap()
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn connected(engine: &mut LocalEngine) -> ConnId {
    let id = engine.connect_wait(kernel(), None, &patient()).unwrap();
    assert_eq!(engine.state(id), Some(State::Established));
    id
}

#[test]
fn s2_s3_a_send_timeout_tells_what_was_taken_and_the_connection_goes_on() {
    in_namespace("s2_s3_a_send_timeout_tells_what_was_taken_and_the_connection_goes_on", |mut engine| {
        let peer = Peer::new();
        let id = connected(&mut engine);
        let data = pattern(MUCH);
        let began = Instant::now();
        let limit = Duration::from_millis(500);
        let mut taken = engine.send_wait(id, &data, PLAIN, &Wait::at_most(limit)).unwrap();
        assert!(taken > 0 && taken < MUCH, "{taken}");
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 10);
        assert_eq!(engine.marks(id).unwrap().accepted.0, taken as u64, "to the byte");
        // ACKs that came meanwhile may have made some room, less than a third, for which no writer is woken.
        while let Ok(n) = engine.send_copy(id, &data[taken..], PLAIN) {
            taken += n;
        }
        // Nothing more is taken: as of a kernel's socket with SO_SNDTIMEO.
        let error = engine.send_wait(id, &data[taken..], PLAIN, &Wait::at_most(limit / 5)).unwrap_err();
        assert_eq!((&error, error.kind()), (&Error::WaitTimedOut, ErrorKind::WouldBlock));
        assert_eq!(engine.send_copy(id, &data[taken..], PLAIN), Err(Error::Full), "non-blocking");
        // The reader makes room, and the writer wakes.
        peer.order(Order::Read);
        assert_eq!(engine.send_wait(id, &data[taken..], PLAIN, &patient()), Ok(MUCH - taken));
        engine.finish_wait(id, &patient()).unwrap();
        assert_eq!(engine.marks(id).unwrap().acked.0, MUCH as u64);
        assert!(peer.end() == data, "every byte, in order, once");
        let error = engine.send_wait(id, b"late", PLAIN, &patient()).unwrap_err();
        assert_eq!((&error, error.kind()), (&Error::Finished, ErrorKind::BrokenPipe));
        engine.release(id);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_s6_a_reset_ends_a_wait_and_is_told_once_with_the_offset() {
    in_namespace("s2_s6_a_reset_ends_a_wait_and_is_told_once_with_the_offset", |mut engine| {
        let peer = Peer::new();
        let id = connected(&mut engine);
        let Peer { orders, accepted, thread } = peer;
        let resetter = thread::spawn(move || {
            accepted.recv_timeout(PATIENCE).unwrap();
            orders.send(Order::Drop).unwrap();
        });
        let taken = engine.send_wait(id, &pattern(MUCH), PLAIN, &patient()).unwrap();
        assert!(taken > 0 && taken < MUCH, "{taken}");
        let error = engine.send_wait(id, b"more", PLAIN, &patient()).unwrap_err();
        let Error::Reset { acked } = error else { panic!("{error:?}") };
        assert!(acked.0 > 0 && acked.0 <= taken as u64, "{acked:?} of {taken}");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(engine.send_wait(id, b"more", PLAIN, &patient()), Err(Error::Finished));
        assert!(engine.read_wait(id, &patient()).unwrap().is_none());
        while let Some((of, event)) = engine.poll_event() {
            assert!(
                of == id && !matches!(event, Event::Closed(_) | Event::Connected),
                "told twice: {event:?}"
            );
        }
        resetter.join().unwrap();
        thread.join().unwrap();
        engine.release(id);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_another_thread_cancels_a_wait() {
    in_namespace("s2_another_thread_cancels_a_wait", |mut engine| {
        let peer = Peer::new();
        let id = connected(&mut engine);
        let cancel = Cancel::new();
        let data = pattern(MUCH);
        let taken = thread::scope(|scope| {
            let (accepted, theirs) = (peer.accepted, cancel.clone());
            scope.spawn(move || {
                accepted.recv_timeout(PATIENCE).unwrap();
                theirs.cancel();
            });
            engine.send_wait(id, &data, PLAIN, &patient().or(&cancel)).unwrap()
        });
        assert!(taken > 0 && taken < MUCH, "{taken}");
        // It stays cancelled, until it is reset.
        let forever = Wait::forever().or(&cancel);
        assert_eq!(engine.read_wait(id, &forever).unwrap_err(), Error::Cancelled);
        cancel.reset();
        peer.orders.send(Order::Read).unwrap();
        assert_eq!(engine.send_wait(id, &data[taken..], PLAIN, &forever), Ok(MUCH - taken));
        engine.finish_wait(id, &forever).unwrap();
        drop(peer.orders);
        assert!(peer.thread.join().unwrap() == data);
        engine.release(id);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_a_receive_timeout_governs_accept_and_read() {
    in_namespace("s2_a_receive_timeout_governs_accept_and_read", |mut engine| {
        let short = Wait::at_most(Duration::from_millis(100));
        let listener = engine.listen(SocketAddr::from(([10, 77, 0, 2], PORT)), 8, None).unwrap();
        assert_eq!(engine.accept_wait(listener, &short), Err(Error::WaitTimedOut));
        let (go, told) = mpsc::channel::<()>();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(("10.77.0.2", PORT)).unwrap();
            told.recv_timeout(PATIENCE).unwrap();
            stream.write_all(b"hello").unwrap();
            told.recv_timeout(PATIENCE).unwrap();
        });
        let id = engine.accept_wait(listener, &patient()).unwrap();
        assert_eq!(engine.read_wait(id, &short).unwrap_err().kind(), ErrorKind::WouldBlock);
        go.send(()).unwrap();
        assert_eq!(&engine.read_wait(id, &patient()).unwrap().unwrap()[..], b"hello");
        assert_eq!(engine.read_wait(id, &short).unwrap_err(), Error::WaitTimedOut);
        go.send(()).unwrap();
        assert!(engine.read_wait(id, &patient()).unwrap().is_none(), "the peer's end");
        client.join().unwrap();
        engine.unlisten(listener);
        assert_eq!(engine.accept_wait(listener, &Wait::forever()), Err(Error::ListenerClosed));
        // It was told by the call; what no call told is still there.
        let events: Vec<Event> = std::iter::from_fn(|| engine.poll_event()).map(|(_, event)| event).collect();
        assert!(!events.iter().any(|e| matches!(e, Event::Accepted(_))), "{events:?}");
        assert!(events.contains(&Event::PeerFinished), "{events:?}");
        engine.finish_wait(id, &patient()).unwrap();
        engine.release(id);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_before_the_handshake_a_send_would_block_and_a_waiting_one_waits() {
    in_namespace("s2_before_the_handshake_a_send_would_block_and_a_waiting_one_waits", |mut engine| {
        let peer = Peer::new();
        let now = engine.now();
        let id = engine.connect(kernel(), None, now).unwrap();
        assert_eq!(engine.state(id), Some(State::SynSent));
        let error = engine.send_copy(id, b"early", PLAIN).unwrap_err();
        assert_eq!((&error, error.kind()), (&Error::Full, ErrorKind::WouldBlock));
        let pool = engine.make_pool(1, 64).unwrap();
        let mut buffer = pool.try_alloc().unwrap();
        buffer.spare_mut()[..4].copy_from_slice(b"zero");
        let payload = tsonami::Payload::from(buffer.freeze(4));
        let refused = engine.send(id, payload, PLAIN).unwrap_err();
        assert_eq!(refused.reason, Error::Full);
        assert_eq!(
            engine.send_wait(id, b"early ", PLAIN, &Wait::at_most(Duration::ZERO)),
            Err(Error::WaitTimedOut)
        );
        assert_eq!(engine.send_wait(id, b"early ", PLAIN, &patient()), Ok(6));
        assert_eq!(engine.send_payload_wait(id, refused.payload, PLAIN, &patient()).unwrap().0, 6);
        assert!(std::iter::from_fn(|| engine.poll_event()).any(|(of, e)| of == id && e == Event::Connected));
        peer.order(Order::Read);
        engine.acked_wait(id, tsonami::Offset(10), &patient()).unwrap();
        assert_eq!(engine.marks(id).unwrap().acked.0, 10);
        engine.acked_wait(id, tsonami::Offset(11), &Wait::at_most(Duration::ZERO)).unwrap();
        engine.finish_wait(id, &patient()).unwrap();
        assert_eq!(peer.end(), b"early zero");
        engine.release(id);
        drop((buffer, pool));
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_s6_a_connect_that_fails_says_why_and_leaves_nothing() {
    in_namespace("s2_s6_a_connect_that_fails_says_why_and_leaves_nothing", |mut engine| {
        // Nobody listens; nobody is there; the wait is shorter than the handshake; cancelled before.
        assert_eq!(engine.connect_wait(kernel(), None, &patient()), Err(Error::Refused));
        let nobody = SocketAddr::from(([10, 77, 0, 9], PORT));
        let options =
            ConnectOptions { connect_timeout: Duration::from_millis(300), ..ConnectOptions::default() };
        let began = Instant::now();
        assert_eq!(engine.connect_wait(nobody, Some(&options), &patient()), Err(Error::ConnectTimedOut));
        assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
        assert_eq!(
            engine.connect_wait(nobody, None, &Wait::at_most(Duration::from_millis(50))),
            Err(Error::WaitTimedOut)
        );
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(engine.connect_wait(nobody, None, &Wait::forever().or(&cancel)), Err(Error::Cancelled));
        // Without a limit of ours the neighbour's silence is named.
        let error = engine.connect_wait(nobody, None, &patient()).unwrap_err();
        assert!(matches!(error, Error::NoNeighbour { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::HostUnreachable);
        assert_eq!(engine.poll_event(), None);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_events_of_others_wait_while_one_is_waited_for() {
    in_namespace("s2_events_of_others_wait_while_one_is_waited_for", |mut engine| {
        let peer = Peer::new();
        let now = engine.now();
        let other = engine.connect(kernel(), None, now).unwrap();
        // All of it happens to the other one during this.
        let nobody = SocketAddr::from(([10, 77, 0, 9], PORT));
        let short = Wait::at_most(Duration::from_millis(200));
        assert_eq!(engine.connect_wait(nobody, None, &short), Err(Error::WaitTimedOut));
        assert_eq!(engine.poll_event(), Some((other, Event::Connected)));
        engine.send_copy(other, b"?", PLAIN).unwrap();
        peer.order(Order::Write(b"!"));
        assert_eq!(engine.connect_wait(nobody, None, &short), Err(Error::WaitTimedOut));
        let events: Vec<_> = std::iter::from_fn(|| engine.poll_event()).collect();
        assert!(
            events.contains(&(other, Event::Readable)) && events.contains(&(other, Event::Acked)),
            "{events:?}"
        );
        peer.order(Order::Read);
        engine.finish_wait(other, &patient()).unwrap();
        assert_eq!(peer.end(), b"?");
        engine.release(other);
        engine.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn s2_a_stream_reads_and_writes_like_any_other() {
    in_namespace("s2_a_stream_reads_and_writes_like_any_other", |mut engine| {
        let peer = Peer::new();
        let id = connected(&mut engine);
        let data = pattern(1 << 20);
        let mut stream = engine.stream(id);
        stream.set_write_timeout(Some(PATIENCE));
        stream.set_read_timeout(Some(Duration::from_millis(100)));
        peer.order(Order::Write(b"what the kernel says"));
        stream.write_all(&data[..10]).unwrap();
        let mut start = [0; 4];
        stream.set_read_timeout(Some(PATIENCE));
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"what");
        peer.order(Order::Read);
        stream.write_all(&data[10..]).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100)));
        let mut rest = Vec::new();
        let error = stream.read_to_end(&mut rest).unwrap_err();
        assert_eq!((rest.as_slice(), error.kind()), (&b" the kernel says"[..], ErrorKind::WouldBlock));
        let cancel = Cancel::new();
        stream.cancel_by(&cancel);
        cancel.cancel();
        assert_ne!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::Interrupted);
        cancel.reset();
        stream.finish().unwrap();
        assert!(peer.end() == data);
        stream.set_read_timeout(Some(PATIENCE));
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "its end");
        assert_eq!(stream.write(b"late").unwrap_err().kind(), ErrorKind::BrokenPipe);
        engine.release(id);
        engine.shutdown(PATIENCE).unwrap();
    });
}
