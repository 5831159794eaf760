//! Engines that turn themselves: a worker thread with a [`LocalEngine`](crate::LocalEngine) of its own, and handles on its
//! connections for any thread.
//!
//! The way of a byte: a handle checks that the worker granted room for it and puts the payload into its thread's lane to the
//! worker, which takes it out and hands it to its engine. The grant is the back-pressure: what a worker finds in a lane it
//! can always take, so no connection ever waits behind another one.

mod answer;
mod connection;
mod copies;
mod core;
mod desk;
mod futures;
mod held;
mod io;
mod link;
mod listener;
mod recv_half;
mod send_half;
#[cfg(test)]
mod tests;
mod wait;
mod wake;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dpdk::{BufPool, PoolError, Region, RegionError};
use ring::{Consumer, Sleeper};
use tcp::endpoint::ListenError;

pub use self::connection::Connection;
pub use self::futures::{Acked, Copying, Finish, Reading, Sending};
pub use self::listener::{Accepting, Listener};
pub use self::recv_half::RecvHalf;
pub use self::send_half::{Prepared, SendHalf, SendWithError};

use self::copies::Copies;
use self::core::{Core, PIECES};
use self::desk::{Desk, Order};
use self::link::{Link, Opening};
use self::listener::Arrivals;
use self::wait::block_on;
use self::wake::is_worker;
use crate::{
    BuildError, Config, ConnectOptions, DeviceInfo, EngineBuilder, Error, Payload, ShutdownError, Wait,
};

/// How long an engine that is dropped lets its connections finish.
const PARTING: Duration = Duration::from_secs(10);

/// TCP over a device, on a thread of its own. Clones are handles on the same one; when the last is dropped its connections
/// are finished, which the drop waits for, ten seconds at most. Handles on connections do not keep it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    desk: Arc<Desk>,
    device: DeviceInfo,
    worker: Mutex<Option<JoinHandle<Result<(), ShutdownError>>>>,
}

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

    /// Builds it on a thread of its own.
    pub(crate) fn start(mut builder: EngineBuilder) -> Result<Engine, BuildError> {
        let copies = builder.take_send_bytes();
        let (told, heard) = std::sync::mpsc::sync_channel(1);
        let worker = thread::Builder::new().name("tsonami".into()).spawn(move || {
            let made = builder.build_local().and_then(|engine| {
                let copies = Copies::new(&engine, copies)?;
                let sleeper = Sleeper::new();
                let desk = Arc::new(Desk::new(sleeper.bell(), copies));
                Ok((engine, desk, sleeper))
            });
            let (engine, desk, sleeper) = match made {
                Ok(made) => made,
                Err(error) => {
                    // Whoever builds waits for this.
                    let _ = told.send(Err(error));
                    return Ok(());
                }
            };
            let _ = told.send(Ok((desk.clone(), engine.device().clone())));
            Core::new(engine, desk, sleeper).run()
        });
        let worker = worker.map_err(BuildError::Thread)?;
        match heard.recv() {
            Ok(Ok((desk, device))) => {
                Ok(Engine { inner: Arc::new(Inner { desk, device, worker: Mutex::new(Some(worker)) }) })
            }
            Ok(Err(error)) => Err(error),
            // It panicked, and said so on stderr.
            Err(_) => Err(BuildError::Thread(std::io::ErrorKind::Other.into())),
        }
    }

    /// Opens a connection. `options`: `None` for those of the settings. The SYN leaves at once; dropping the future before
    /// it is ready gives the connection up.
    pub fn connect(&self, peer: SocketAddr, options: Option<&ConnectOptions>) -> Connecting {
        let link = Arc::new(Link::default());
        let (received, pieces) = ring::ring(PIECES);
        let (theirs, options) = (Opening(link.clone()), options.cloned());
        // What is not carried out is dropped, and says so.
        self.inner.desk.place(Order::Core(Box::new(move |core: &mut Core| {
            core.connect(&theirs, received, peer, options.as_ref());
        })));
        Connecting { desk: self.inner.desk.clone(), link, pieces: Some(pieces) }
    }

    /// Accepts connections at `local`. `backlog`: how many may be half open.
    ///
    /// # Errors
    /// When there is a listener at that address already, nobody could connect to it, or the worker is gone.
    pub fn listen(
        &self,
        local: SocketAddr,
        backlog: usize,
        options: Option<&ConnectOptions>,
    ) -> Result<Listener, RequestError<ListenError>> {
        let arrivals = Arc::new(Arrivals::default());
        let (theirs, options) = (arrivals.clone(), options.cloned());
        let id = self
            .inner
            .desk
            .ask(move |core| core.listen(local, backlog, options.as_ref(), &theirs))
            .ok_or(RequestError::WorkerGone)??;
        Ok(Listener::new(self.inner.desk.clone(), id, local, arrivals))
    }

    /// A pool of registered memory to send from: `count` buffers of `size` bytes each (at least 64).
    ///
    /// # Errors
    /// Mostly when there is not memory enough.
    pub fn make_pool(&self, count: u32, size: u32) -> Result<BufPool, RequestError<PoolError>> {
        Ok(self
            .inner
            .desk
            .ask(move |core| core.engine().make_pool(count, size))
            .ok_or(RequestError::WorkerGone)??)
    }

    /// An arena of the application's own, of hugepages where there are any, that the device can read: to be made a pool by
    /// [`make_pool_over`](Engine::make_pool_over). Its memory is zero at first.
    ///
    /// # Errors
    /// [`RegionError`](crate::RegionError).
    pub fn make_arena(&self, bytes: usize) -> Result<Region, RequestError<RegionError>> {
        Ok(self
            .inner
            .desk
            .ask(move |core| core.engine().make_arena(bytes))
            .ok_or(RequestError::WorkerGone)??)
    }

    /// A pool over a region of the application's: as many buffers of `size` bytes as fit into it.
    ///
    /// # Errors
    /// When not one fits.
    pub fn make_pool_over(&self, region: &Region, size: u32) -> Result<BufPool, RequestError<PoolError>> {
        let region = region.clone();
        let pool = self.inner.desk.ask(move |core| core.engine().make_pool_over(&region, size));
        Ok(pool.ok_or(RequestError::WorkerGone)??)
    }

    /// What the device is and can do.
    pub fn device(&self) -> &DeviceInfo {
        &self.inner.device
    }

    /// Every count that is kept: name, value, and what it counts. Empty when the worker is gone.
    pub fn every_count(&self) -> Vec<(&'static str, u64, &'static str)> {
        self.inner.desk.ask(|core| core.engine().every_count()).unwrap_or_default()
    }

    /// Ends every connection, properly within `drain`, closes the device and counts the buffers. Other handles on the engine
    /// and its connections are told that it is gone.
    ///
    /// # Errors
    /// The device is closed whatever happens; the error says what was not in order.
    pub fn shutdown(self, drain: Duration) -> Result<(), ShutdownError> {
        self.inner.end(drain)
    }
}

impl Inner {
    fn end(&self, drain: Duration) -> Result<(), ShutdownError> {
        self.desk.place(Order::Core(Box::new(move |core: &mut Core| core.stop(drain))));
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        // In a waker: the worker ends when that returns, and nobody can wait for it here.
        let worker = worker.filter(|_| !is_worker());
        match worker.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(ShutdownError::panicked(&*panic, None)),
            // Somebody else ended it before.
            None => Ok(()),
        }
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
        let error = match (this.link.end(), this.link.id(), this.pieces.take()) {
            (Some(Err(error)), _, _) => error.clone(),
            (_, Some(id), Some(pieces)) => {
                return Poll::Ready(Ok(Connection::new(this.desk.clone(), this.link.clone(), id, pieces)));
            }
            (_, _, _) => Error::Gone,
        };
        this.pieces = None;
        this.give_up();
        Poll::Ready(Err(error))
    }
}

impl Connecting {
    /// Blocks until it is open.
    ///
    /// # Errors
    /// Why it did not open, [`Error::WaitTimedOut`], [`Error::Cancelled`]. Nothing is left of it then.
    pub fn wait(self, wait: &Wait) -> Result<Connection, Error> {
        block_on(self, wait)?
    }

    fn give_up(&self) {
        self.link.abandon();
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
