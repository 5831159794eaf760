//! Connections that peers open.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tcp::endpoint::ListenerId;

use super::connection::Connection;
use super::core::Core;
use super::desk::{Desk, Order};
use super::wait::block_on;
use super::wake::{is_worker, wake};
use crate::{Error, Wait};

/// Connections that were accepted and that nobody took yet.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Connection>,
    /// No more will come.
    closed: bool,
    waker: Option<Waker>,
}

impl Arrivals {
    /// One more. Accepting is no part of the path of a byte: a lock is good enough.
    pub(crate) fn push(&self, connection: Connection) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back(connection);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    pub(crate) fn close(&self) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    /// The next one, or that there will be no more.
    fn take(&self) -> Poll<Result<Connection, Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Queue {
    fn take(&mut self) -> Poll<Result<Connection, Error>> {
        match self.waiting.pop_front() {
            Some(connection) => Poll::Ready(Ok(connection)),
            None if self.closed => Poll::Ready(Err(Error::WorkerGone { acked: tcp::Offset::ZERO })),
            None => Poll::Pending,
        }
    }
}

/// Accepts connections. Dropping it accepts no more, and resets those that nobody took.
#[derive(Debug)]
pub struct Listener {
    desk: Arc<Desk>,
    id: ListenerId,
    local: SocketAddr,
    arrivals: Arc<Arrivals>,
}

impl Listener {
    pub(crate) fn new(
        desk: Arc<Desk>,
        id: ListenerId,
        local: SocketAddr,
        arrivals: Arc<Arrivals>,
    ) -> Listener {
        Listener { desk, id, local, arrivals }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// A connection that was accepted, if there is one.
    ///
    /// # Errors
    /// [`Error::WorkerGone`]: there will be no more.
    pub fn try_accept(&mut self) -> Result<Option<Connection>, Error> {
        match self.arrivals.take() {
            Poll::Ready(accepted) => accepted.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// The next connection. Dropping the future loses none.
    pub fn accept(&mut self) -> Accepting<'_> {
        Accepting { listener: self }
    }

    /// [`accept`](Listener::accept) for those who write futures themselves.
    ///
    /// # Errors
    /// As [`try_accept`](Listener::try_accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Connection, Error>> {
        let mut queue = self.arrivals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = queue.take();
        if taken.is_pending() {
            queue.waker = Some(cx.waker().clone());
        }
        taken
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let id = self.id;
        if is_worker() {
            // In a waker, which waits for nobody: those who still come are reset by the worker.
            self.desk.place(Order::Core(Box::new(move |core: &mut Core| core.unlisten(id))));
        } else {
            self.desk.ask(move |core| core.unlisten(id));
        }
        // No more come. They are given up here and not by the worker: it cannot wait for room in a lane that it empties itself.
        while let Poll::Ready(Ok(connection)) = self.arrivals.take() {
            connection.abort();
        }
    }
}

/// See [`Listener::accept`].
#[derive(Debug)]
#[must_use = "it accepts when it is awaited or waited for"]
pub struct Accepting<'a> {
    listener: &'a mut Listener,
}

impl Future for Accepting<'_> {
    type Output = Result<Connection, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().listener.poll_accept(cx)
    }
}

impl Accepting<'_> {
    /// Blocks until a connection was accepted.
    ///
    /// # Errors
    /// [`Error::WorkerGone`], [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(self, wait: &Wait) -> Result<Connection, Error> {
        block_on(self, wait)?
    }
}
