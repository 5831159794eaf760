//! Connections to a kernel's peer that reads nothing, on which threads wait in every way there is: for room, for something
//! to read, for an acknowledgement.

use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tsonami::{
    AbortHandle, Acked, BufPool, Config, Connection, Engine, Error, Marks, Offset, Payload, RecvHalf,
    SendFlags, SendHalf, Wait, WaitStrategy,
};

pub(crate) const KERNEL: &str = "10.77.0.1:5001";
/// How long anything may take that is not under test itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const PLAIN: SendFlags = SendFlags { more: false, timestamp: false, eor: false, part: false };
/// Bytes of a buffer.
const PIECE: usize = 16 << 10;

/// How a thread waits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// It blocks.
    Blocking,
    /// It asks again and again.
    Polling,
    /// A task of a runtime does.
    Async,
}

pub(crate) const EVERY_WAY: [How; 3] = [How::Blocking, How::Polling, How::Async];

pub(crate) fn patient() -> Wait {
    Wait::at_most(PATIENCE)
}

/// An engine over a TAP.
pub(crate) fn engine() -> Engine {
    Engine::builder(config()).build().unwrap()
}

pub(crate) fn config() -> Config {
    let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse().unwrap());
    config.wait = WaitStrategy::Park;
    config.check_tx = true;
    config.connection.send_buffer = Some(1 << 20);
    config.connection.max_rto = Duration::from_millis(200);
    config
}

/// An engine's pool for what the threads of a scene send.
pub(crate) fn pool(engine: &Engine) -> BufPool {
    engine.make_pool(512, PIECE as u32).unwrap()
}

/// A payload of it, if one is left.
pub(crate) fn payload(pool: &BufPool, bytes: usize) -> Option<Payload> {
    let mut buffer = pool.try_alloc()?;
    buffer.spare_mut()[..bytes].fill(7);
    Some(buffer.freeze(bytes).into())
}

/// A connection, and the kernel's end of it.
pub(crate) fn connected(engine: &Engine) -> (Connection, TcpStream) {
    let (connecting, accepted) = (engine.clone(), TcpListener::bind(KERNEL).unwrap());
    let peer = thread::spawn(move || accepted.accept().unwrap().0);
    let peer_addr: SocketAddr = KERNEL.parse().unwrap();
    let connection = connecting.connect(peer_addr, None).wait(&patient()).unwrap();
    (connection, peer.join().unwrap())
}

/// The peer's host falls silent: what it would say to us goes nowhere.
pub(crate) fn silence() {
    let done = Command::new("ip").args(["route", "add", "blackhole", "10.77.0.2/32"]).status();
    assert!(done.expect("ip (iproute2) runs").success());
}

/// Threads that wait on one connection.
pub(crate) struct Waiting {
    pub(crate) how: How,
    pub(crate) peer: Option<TcpStream>,
    pub(crate) abort: AbortHandle,
    writer: Receiver<(Error, SendHalf)>,
    reader: Receiver<(Result<(), Error>, RecvHalf)>,
    acks: Receiver<Result<(), Error>>,
}

/// What they were told, and the handles, which live until the test has seen enough.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) how: How,
    pub(crate) send: Error,
    /// `Ok` at the end of the stream.
    pub(crate) read: Result<(), Error>,
    pub(crate) acked: Result<(), Error>,
    pub(crate) sends: SendHalf,
    #[expect(dead_code, reason = "it lives on")]
    pub(crate) receives: RecvHalf,
}

impl Told {
    pub(crate) fn marks(&self) -> Marks {
        self.sends.marks()
    }
}

impl Waiting {
    /// One thread waits for room on a connection that is full, one for something to read, and one for the ACK of more than
    /// the peer's kernel takes.
    pub(crate) fn begin(engine: &Engine, pool: &BufPool, how: How) -> Waiting {
        let (connection, peer) = connected(engine);
        let abort = connection.abort_handle();
        let (mut sends, receives) = connection.into_split();
        let next = fill(&mut sends, pool);
        let all = sends.acked(sends.marks().accepted);
        sends.acked(Offset(1)).wait(&patient()).unwrap();
        let (reader, acks) = (read(receives, how), acks(all, how));
        Waiting { how, peer: Some(peer), abort, writer: write(sends, next, pool.clone(), how), reader, acks }
    }

    /// What they were told, soon.
    pub(crate) fn end(self) -> Told {
        let how = self.how;
        let (send, sends) = self.writer.recv_timeout(PATIENCE).expect("the writer is told");
        let (read, receives) = self.reader.recv_timeout(PATIENCE).expect("the reader is told");
        let acked = self.acks.recv_timeout(PATIENCE).expect("who waits for an ACK is told");
        Told { how, send, read, acked, sends, receives }
    }
}

/// Sends until the connection is full; the payload that it did not take.
pub(crate) fn fill(sends: &mut SendHalf, pool: &BufPool) -> Payload {
    loop {
        let next = payload(pool, PIECE).expect("the connection is full before the pool is empty");
        if let Err(refused) = sends.try_send(next, PLAIN) {
            assert_eq!(refused.reason, Error::Full);
            return refused.payload;
        }
    }
}

/// Sends on until that fails.
fn write(mut sends: SendHalf, first: Payload, pool: BufPool, how: How) -> Receiver<(Error, SendHalf)> {
    in_thread(move || {
        let mut next = Some(first);
        loop {
            let ready = next.take().unwrap_or_else(|| payload(&pool, PIECE).expect("a buffer"));
            let done = match how {
                How::Blocking => sends.send(ready, PLAIN).wait(&Wait::forever()),
                How::Async => awaited(sends.send(ready, PLAIN)),
                How::Polling => {
                    let mut ready = Some(ready);
                    polled(|| match sends.try_send(ready.take()?, PLAIN) {
                        Err(refused) if refused.reason == Error::Full => {
                            ready = Some(refused.payload);
                            None
                        }
                        done => Some(done),
                    })
                }
            };
            // The payload inside the error goes home.
            if let Err(refused) = done {
                return (refused.reason, sends);
            }
        }
    })
}

/// Reads to the end.
pub(crate) fn read(mut receives: RecvHalf, how: How) -> Receiver<(Result<(), Error>, RecvHalf)> {
    in_thread(move || {
        loop {
            let read = match how {
                How::Blocking => receives.read().wait(&Wait::forever()),
                How::Async => awaited(receives.read()),
                How::Polling => polled(|| match receives.try_read() {
                    Ok(None) => None,
                    Err(Error::Finished) => Some(Ok(None)),
                    done => Some(done),
                }),
            };
            match read {
                Ok(Some(_)) => {}
                Ok(None) => return (Ok(()), receives),
                Err(error) => return (Err(error), receives),
            }
        }
    })
}

/// Waits for an acknowledgement.
pub(crate) fn acks(mut acked: Acked, how: How) -> Receiver<Result<(), Error>> {
    in_thread(move || match how {
        How::Blocking => acked.wait(&Wait::forever()),
        How::Async => awaited(acked),
        How::Polling => polled(|| now(&mut acked)),
    })
}

/// What a thread comes to; it may never come to it.
pub(crate) fn in_thread<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, result) = mpsc::channel();
    // Whoever gave up waiting for it has said so.
    thread::spawn(move || done.send(what()).is_ok());
    result
}

/// What a future says now, to nobody who would be woken.
pub(crate) fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn polled<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "nothing came of asking again and again");
        thread::yield_now();
    }
}

fn awaited<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
