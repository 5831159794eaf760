//! Engines that turn themselves: worker threads with a [`LocalEngine`](crate::LocalEngine) each, and handles on their
//! connections for any thread.
//!
//! The way of a byte: a handle checks that the worker granted room for it and puts the payload into its thread's lane to the
//! worker, which takes it out and hands it to its engine. The grant is the back-pressure: what a worker finds in a lane it
//! can always take, so no connection ever waits behind another one.

mod abort;
mod answer;
mod batch;
mod connection;
mod copiers;
mod copies;
mod core;
mod crew;
mod desk;
mod each;
mod file;
mod futures;
mod held;
mod io;
mod link;
mod listener;
mod memory;
mod recv_half;
mod send_half;
mod splice;
#[cfg(test)]
mod tests;
mod wait;
mod wake;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ring::{Consumer, Sleeper};
use tcp::DeviceTime;
use tcp::endpoint::ListenError;

pub use self::abort::AbortHandle;
pub use self::batch::Batching;
pub use self::connection::Connection;
pub use self::file::{SendFileError, SendFileReason, SendingFile};
pub use self::futures::{Acked, Copying, Finish, Reading, Sending};
pub use self::listener::{Accepting, CloseHandle, Listener};
pub use self::recv_half::RecvHalf;
pub use self::send_half::{Prepared, SendHalf, SendWithError};
pub use self::splice::{SpliceError, Splicing};

use self::copies::Copies;
use self::core::{Core, PIECES};
use self::crew::Member;
use self::desk::{Desk, Order};
use self::link::{Link, Opening};
use self::listener::Arrivals;
use self::wait::block_on;
use self::wake::is_worker;
use crate::opened::Opened;
use crate::{
    BuildError, Config, ConnectOptions, DeviceInfo, EngineBuilder, Error, Payload, ShutdownError,
    SteeringReport, Wait,
};

/// How long an engine that is dropped lets its connections finish.
const PARTING: Duration = Duration::from_secs(10);

/// TCP over a device, on threads of its own. Clones are handles on the same one; when the last is dropped its connections
/// are finished, which the drop waits for, ten seconds at most. Handles on connections do not keep it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    workers: Vec<Worker>,
    device: DeviceInfo,
    /// Whose turn it is to open a connection.
    next: AtomicUsize,
}

struct Worker {
    desk: Arc<Desk>,
    thread: Mutex<Option<Thread>>,
}

/// What a worker tells who builds the engine.
type Started = Result<(Arc<Desk>, DeviceInfo), BuildError>;

/// A worker's thread. What is not in order at its end, the first one says for all.
type Thread = JoinHandle<Result<(), ShutdownError>>;

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("device", &self.inner.device.port.name).finish_non_exhaustive()
    }
}

impl Engine {
    /// A builder with these settings.
    pub fn builder(config: Config) -> EngineBuilder {
        EngineBuilder::new(config)
    }

    /// Builds it on threads of its own. The first starts DPDK and the device.
    pub(crate) fn start(mut builder: EngineBuilder) -> Result<Engine, BuildError> {
        let count = builder.places()?.len();
        let copies = builder.take_send_bytes()? / count as u64;
        let mut members = crew::members(count).into_iter();
        let (hand_out, seats) = sync_channel(1);
        let first = members.next();
        let (mut thread, mut heard) = spawn(0, move |told| {
            let opened = builder.open().map(|mut all| (all.remove(0), all));
            match (opened, first) {
                (Ok((own, others)), Some(member)) => {
                    // Whoever builds waits for this.
                    let _ = hand_out.send(others);
                    work(own, copies, member, told)
                }
                (opened, _) => {
                    let _ = told.send(Err(opened.err().unwrap_or(BuildError::Workers("there is no worker"))));
                    Ok(())
                }
            }
        })?;
        // Before the others' seats: when one does not start, these are given up first, and those that run wait for nobody.
        let mut inner: Option<Inner> = None;
        // None where the first could not open the device, as it will say.
        let mut others = seats.recv().unwrap_or_default().into_iter().zip(members);
        loop {
            // Without a word it panicked, and said so on stderr.
            let gone = || Err(BuildError::Thread(std::io::ErrorKind::Other.into()));
            let (desk, device) = heard.recv().unwrap_or_else(|_| gone())?;
            let inner =
                inner.get_or_insert_with(|| Inner { workers: Vec::new(), device, next: AtomicUsize::new(0) });
            inner.workers.push(Worker { desk, thread: Mutex::new(Some(thread)) });
            let Some((opened, member)) = others.next() else { break };
            (thread, heard) = spawn(inner.workers.len(), move |told| work(opened, copies, member, told))?;
        }
        match inner {
            Some(inner) => Ok(Engine { inner: Arc::new(inner) }),
            None => Err(BuildError::Workers("there is no worker")),
        }
    }

    /// How many workers it has.
    pub fn workers(&self) -> u16 {
        self.inner.workers.len() as u16
    }

    /// Opens a connection, at each worker in turn. `options`: `None` for those of the settings. The SYN leaves at once; dropping
    /// the future before it is ready gives the connection up.
    pub fn connect(&self, peer: SocketAddr, options: Option<&ConnectOptions>) -> Connecting {
        let workers = &self.inner.workers;
        let turn = self.inner.next.fetch_add(1, Ordering::Relaxed) % workers.len();
        workers[turn].connect(peer, options)
    }

    /// Opens a connection that this worker looks after: to have connections that one thread uses together at one worker.
    ///
    /// # Panics
    /// When there are not so many [`workers`](Engine::workers).
    pub fn connect_at(&self, worker: u16, peer: SocketAddr, options: Option<&ConnectOptions>) -> Connecting {
        self.inner.workers[usize::from(worker)].connect(peer, options)
    }

    /// Accepts connections at `local`. A connection is looked after by the worker whose queue it arrives at. `backlog`: how many may
    /// be half open, at each worker.
    ///
    /// # Errors
    /// When there is a listener at that address already, nobody could connect to it, or a worker is gone.
    pub fn listen(
        &self,
        local: SocketAddr,
        backlog: usize,
        options: Option<&ConnectOptions>,
    ) -> Result<Listener, RequestError<ListenError>> {
        let arrivals = Arc::new(Arrivals::new(self.inner.workers.len()));
        let mut listener = Listener::new(local, arrivals.clone());
        for Worker { desk, .. } in &self.inner.workers {
            let (theirs, options) = (arrivals.clone(), options.cloned());
            let id = desk
                .ask(move |core| core.listen(local, backlog, options.as_ref(), &theirs))
                .ok_or(RequestError::WorkerGone)??;
            listener.add(desk.clone(), id);
        }
        Ok(listener)
    }

    /// What the device is and can do.
    pub fn device(&self) -> &DeviceInfo {
        &self.inner.device
    }

    /// Every count that is kept: name, value, and what it counts. Sums over all workers that are not gone.
    pub fn every_count(&self) -> Vec<(&'static str, u64, &'static str)> {
        let mut sums: Vec<(&'static str, u64, &'static str)> = Vec::new();
        for counts in (0..self.workers()).map(|worker| self.counts_of(worker)) {
            if sums.is_empty() {
                sums = counts;
            } else {
                // All of them count the same.
                sums.iter_mut().zip(counts).for_each(|(sum, count)| sum.1 += count.1);
            }
        }
        sums
    }

    /// What one worker counted; nothing when it is gone.
    ///
    /// # Panics
    /// When there are not so many [`workers`](Engine::workers).
    pub fn counts_of(&self, worker: u16) -> Vec<(&'static str, u64, &'static str)> {
        let desk = &self.inner.workers[usize::from(worker)].desk;
        desk.ask(|core| core.every_count()).unwrap_or_default()
    }

    /// Whether connections arrive at their workers' queues, as the first received segments show; `None` where there is one
    /// worker, or the first is gone. Where they do not, everything goes on, and costs more: the count `rx_misdirected` says how
    /// often.
    pub fn steering(&self) -> Option<SteeringReport> {
        self.first().ask(|core| core.engine().steering()).flatten()
    }

    /// [`LocalEngine::device_time`](crate::LocalEngine::device_time) of the first worker; `None` when that is gone. All workers
    /// of an engine have one clock.
    pub fn device_time(&self) -> Option<DeviceTime> {
        self.first().ask(|core| core.engine().device_time()).flatten()
    }

    fn first(&self) -> &Arc<Desk> {
        &self.inner.workers[0].desk
    }

    /// Ends every connection, properly within `drain`, closes the device and counts the buffers. Other handles on the engine
    /// and its connections are told that it is gone. Of several calls at the same time one waits for the end and says how it went;
    /// the others return at once, and so does one in a waker.
    ///
    /// # Errors
    /// The device is closed whatever happens; the error says what was not in order.
    pub fn shutdown(self, drain: Duration) -> Result<(), ShutdownError> {
        self.inner.end(drain)
    }
}

/// Starts a worker's thread.
fn spawn(
    number: usize,
    body: impl FnOnce(SyncSender<Started>) -> Result<(), ShutdownError> + Send + 'static,
) -> Result<(Thread, Receiver<Started>), BuildError> {
    let (told, heard) = sync_channel(1);
    let named = thread::Builder::new().name(format!("tsonami-{number}"));
    Ok((named.spawn(move || body(told)).map_err(BuildError::Thread)?, heard))
}

/// What a worker's thread does from its start to its end.
fn work(opened: Opened, copies: u64, member: Member, told: SyncSender<Started>) -> Result<(), ShutdownError> {
    let worker = opened.worker();
    let made = opened.build().and_then(|engine| {
        let copies = Copies::new(&engine, copies)?;
        let sleeper = Sleeper::new();
        let desk = Arc::new(Desk::new(worker, sleeper.bell(), copies));
        Ok((engine, desk, sleeper))
    });
    match made {
        Ok((engine, desk, sleeper)) => {
            // Whoever builds waits for this.
            let _ = told.send(Ok((desk.clone(), engine.device().clone())));
            drop(told);
            Core::new(engine, desk, sleeper).run(member)
        }
        Err(error) => {
            let _ = told.send(Err(error));
            Ok(())
        }
    }
}

impl Worker {
    fn connect(&self, peer: SocketAddr, options: Option<&ConnectOptions>) -> Connecting {
        let link = Arc::new(Link::default());
        let (received, pieces) = ring::late_ring(PIECES);
        let theirs = Opening { link: link.clone(), worker: self.desk.worker() };
        let options = options.cloned();
        // What is not carried out is dropped, and says so.
        self.desk.place(Order::Core(Box::new(move |core: &mut Core| {
            core.connect(&theirs, received, peer, options.as_ref());
        })));
        Connecting { desk: self.desk.clone(), link, pieces: Some(pieces) }
    }
}

impl Inner {
    fn end(&self, drain: Duration) -> Result<(), ShutdownError> {
        for worker in &self.workers {
            worker.desk.place(Order::Core(Box::new(move |core: &mut Core| core.stop(drain))));
        }
        let threads = self.workers.iter().map(|worker| {
            let thread = worker.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            // In a waker: the worker ends when that returns, and nobody can wait for it here.
            thread.filter(|_| !is_worker())
        });
        let mut result = Ok(());
        for thread in threads.collect::<Vec<_>>() {
            let ended = match thread.map(JoinHandle::join) {
                Some(Ok(ended)) => ended,
                Some(Err(panic)) => Err(ShutdownError::panicked(&*panic, None)),
                // Somebody else ended it before.
                None => Ok(()),
            };
            result = result.and(ended);
        }
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `shutdown`.
        let _ = self.end(PARTING);
    }
}

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RequestError<E> {
    /// It could not.
    #[error(transparent)]
    Failed(#[from] E),
    /// It is gone.
    #[error("the engine was shut down")]
    WorkerGone,
}

/// See [`Engine::connect`].
#[derive(Debug)]
#[must_use = "dropping it gives the connection up"]
pub struct Connecting {
    desk: Arc<Desk>,
    link: Arc<Link>,
    /// Taken when it is open.
    pieces: Option<Consumer<Payload>>,
}

impl Future for Connecting {
    type Output = Result<Connection, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.link.poll_open(cx.waker()).is_pending() {
            return Poll::Pending;
        }
        // Polled again it does not give up what it gave out.
        let Some(pieces) = this.pieces.take() else { return Poll::Ready(Err(Error::Gone)) };
        let error = match (this.link.end(), this.link.id()) {
            (Some(Err(error)), _) => error,
            (_, Some(id)) => {
                return Poll::Ready(Ok(Connection::new(this.desk.clone(), this.link.clone(), id, pieces)));
            }
            (_, None) => Error::Gone,
        };
        this.give_up();
        Poll::Ready(Err(error))
    }
}

impl Connecting {
    /// Blocks until it is open. When the wait is over before that, it goes on opening and may be waited for again.
    ///
    /// # Errors
    /// Why it did not open, and then nothing is left of it; [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(&mut self, wait: &Wait) -> Result<Connection, Error> {
        block_on(self, wait)?
    }

    /// What aborts it, or the connection that it became, from another thread: whoever waits here is told [`Error::Aborted`].
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(&self.desk, &self.link)
    }

    fn give_up(&self) {
        self.link.abort();
        let link = self.link.clone();
        self.desk.place(Order::Core(Box::new(move |core: &mut Core| core.abandon(&link))));
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        // Otherwise a connection has it, or it was given up.
        if self.pieces.is_some() {
            self.give_up();
        }
    }
}
