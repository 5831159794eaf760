//! Connections that peers open.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tcp::endpoint::ListenerId;

use super::connection::Connection;
use super::core::Core;
use super::desk::{Desk, Order};
use super::wait::block_on;
use super::wake::{is_worker, wake};
use crate::{Error, Wait};

/// Connections that were accepted and that nobody took yet.
#[derive(Debug)]
pub(crate) struct Arrivals(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Connection>,
    /// Workers that accept.
    accepting: usize,
    /// Workers that do so no more, and of which nobody was told.
    gone: VecDeque<u16>,
    /// The last of whom somebody was.
    told: u16,
    /// The listener was closed: nobody takes any more.
    deserted: bool,
    waker: Option<Waker>,
}

impl Arrivals {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Arrivals {
        Arrivals(Mutex::new(Queue {
            waiting: VecDeque::new(),
            accepting: workers,
            gone: VecDeque::new(),
            told: 0,
            deserted: false,
            waker: None,
        }))
    }

    /// One more; it comes back when nobody will take it. Accepting is no part of the path of a byte: a lock is good enough.
    #[must_use]
    pub(crate) fn push(&self, connection: Connection) -> Option<Connection> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.deserted {
            return Some(connection);
        }
        queue.waiting.push_back(connection);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
        None
    }

    /// Nobody takes any more; those that nobody took.
    fn desert(&self) -> VecDeque<Connection> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.deserted = true;
        let left = std::mem::take(&mut queue.waiting);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
        left
    }

    /// A worker is gone. The others go on.
    pub(crate) fn close(&self, worker: u16) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.accepting = queue.accepting.saturating_sub(1);
        queue.gone.push_back(worker);
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
        if let Some(connection) = self.waiting.pop_front() {
            return Poll::Ready(Ok(connection));
        }
        if self.deserted {
            return Poll::Ready(Err(Error::ListenerClosed));
        }
        match self.gone.pop_front() {
            Some(worker) => self.told = worker,
            None if self.accepting > 0 => return Poll::Pending,
            None => {}
        }
        Poll::Ready(Err(Error::WorkerGone { worker: self.told, acked: tcp::Offset::ZERO }))
    }
}

/// What a listener is to the workers.
#[derive(Debug)]
struct Ears {
    /// Those of the workers; none once it is closed. Closing and opening are no part of the path of a byte either.
    open: Mutex<Vec<(Arc<Desk>, ListenerId)>>,
    arrivals: Arc<Arrivals>,
}

impl Ears {
    /// Accepts no more, and resets those that nobody took. Whoever accepts is told.
    fn close(&self) {
        // They are given up here and not by the worker: it cannot wait for room in a lane that it empties itself.
        for connection in self.arrivals.desert() {
            connection.abort();
        }
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (desk, id) in open {
            if is_worker() {
                // In a waker, which waits for nobody: those who still come are reset by the worker.
                desk.place(Order::Core(Box::new(move |core: &mut Core| core.unlisten(id))));
            } else {
                desk.ask(move |core| core.unlisten(id));
            }
        }
    }
}

/// Accepts connections, of all workers. Dropping it accepts no more, and resets those that nobody took.
#[derive(Debug)]
pub struct Listener {
    ears: Arc<Ears>,
    local: SocketAddr,
}

/// Closes a listener from any thread, though others wait on it: see [`Listener::close_handle`]. Clones do the same. It keeps
/// neither listener nor engine.
#[derive(Clone, Debug)]
pub struct CloseHandle(Weak<Ears>);

impl CloseHandle {
    /// Accepts no more, and resets those connections that nobody took. Whoever waits for one is told
    /// [`Error::ListenerClosed`]. It waits for a turn of every worker.
    pub fn close(&self) {
        if let Some(ears) = self.0.upgrade() {
            ears.close();
        }
    }
}

impl Listener {
    /// One that accepts nothing as yet.
    pub(crate) fn new(local: SocketAddr, arrivals: Arc<Arrivals>) -> Listener {
        Listener { ears: Arc::new(Ears { open: Mutex::default(), arrivals }), local }
    }

    /// A worker accepts for it.
    pub(crate) fn add(&mut self, desk: Arc<Desk>, id: ListenerId) {
        self.ears.open.lock().unwrap_or_else(PoisonError::into_inner).push((desk, id));
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// A connection that was accepted, if there is one.
    ///
    /// # Errors
    /// [`Error::WorkerGone`], once for each worker that accepts no more: the others go on. When none is left every call says so.
    /// [`Error::ListenerClosed`]: it was closed.
    pub fn try_accept(&mut self) -> Result<Option<Connection>, Error> {
        match self.ears.arrivals.take() {
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
        // To clone and to drop a waker is the application's code, which may come back here: not while the lock is held.
        let mut waker = Some(cx.waker().clone());
        let mut queue = self.ears.arrivals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = queue.take();
        if taken.is_pending() {
            std::mem::swap(&mut queue.waker, &mut waker);
        }
        drop(queue);
        taken
    }

    /// What closes it from another thread, while this one accepts.
    pub fn close_handle(&self) -> CloseHandle {
        CloseHandle(Arc::downgrade(&self.ears))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ears.close();
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
    /// [`Error::WorkerGone`], [`Error::ListenerClosed`], [`Error::WaitTimedOut`], [`Error::Cancelled`].
    pub fn wait(self, wait: &Wait) -> Result<Connection, Error> {
        block_on(self, wait)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[test]
    fn p8_a_worker_that_is_gone_is_told_of_once_and_the_last_one_for_good() {
        let arrivals = Arrivals::new(2);
        let take = || match arrivals.take() {
            Poll::Ready(Err(Error::WorkerGone { worker, .. })) => Some(worker),
            Poll::Pending => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(take(), None);
        arrivals.close(1);
        assert_eq!([take(), take(), take()], [Some(1), None, None], "the other one accepts");
        arrivals.close(0);
        assert_eq!([take(), take()], [Some(0), Some(0)]);
    }

    /// Its drop looks at the queue.
    struct Nosy(Arc<Arrivals>, Arc<AtomicBool>);

    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Nosy {
        fn drop(&mut self) {
            self.1.store(self.0.0.try_lock().is_ok(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_that_is_replaced_is_dropped_with_no_lock_held() {
        let arrivals = Arc::new(Arrivals::new(1));
        let mut listener = Listener::new(SocketAddr::from(([10, 0, 0, 1], 1)), arrivals.clone());
        let free = Arc::new(AtomicBool::new(false));
        let nosy = Waker::from(Arc::new(Nosy(arrivals, free.clone())));
        assert!(listener.poll_accept(&mut Context::from_waker(&nosy)).is_pending());
        drop(nosy);
        assert!(listener.poll_accept(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(free.load(Ordering::Relaxed));
    }
}
