//! A handle on a connection that a worker looks after, and its two halves.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ring::Consumer;
use tcp::conn::{ConnStats, SendFlags, Setting};
use tcp::{Marks, Offset};

use super::abort::AbortHandle;
use super::batch::Batching;
use super::desk::Desk;
use super::file::SendingFile;
use super::futures::{Acked, Copying, Finish, Reading, Sending};
use super::held::Held;
use super::link::Link;
use super::recv_half::RecvHalf;
use super::send_half::{Prepared, SendHalf, SendWithError};
use super::splice::{SpliceError, Splicing};
use crate::{ConnId, Error, Keepalive, Payload, Piece, TrySendError, Wait};

/// A connection.
///
/// It belongs to whoever has it, and may be taken to other threads, or split in two for two of them. Dropping it closes it
/// as the kernel closes a socket: what was sent is delivered, then it ends. Every call has three forms: one that does what
/// can be done at once (`try_…`), a future, and that future's `wait`, which blocks the thread.
#[derive(Debug)]
pub struct Connection {
    sends: SendHalf,
    receives: RecvHalf,
}

impl Connection {
    pub(crate) fn new(desk: Arc<Desk>, link: Arc<Link>, id: ConnId, pieces: Consumer<Payload>) -> Connection {
        let held = Arc::new(Held { desk, link, id, given: AtomicU32::new(0) });
        Connection { sends: SendHalf::new(held.clone()), receives: RecvHalf::new(held, pieces) }
    }

    /// The half that sends, and the one that receives.
    pub fn into_split(self) -> (SendHalf, RecvHalf) {
        (self.sends, self.receives)
    }

    /// The half that sends.
    pub fn sends(&mut self) -> &mut SendHalf {
        &mut self.sends
    }

    /// The half that receives.
    pub fn receives(&mut self) -> &mut RecvHalf {
        &mut self.receives
    }

    /// Our address.
    pub fn local_addr(&self) -> SocketAddr {
        self.sends.local_addr()
    }

    /// The peer's.
    pub fn peer_addr(&self) -> SocketAddr {
        self.sends.peer_addr()
    }

    /// See [`SendHalf::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&mut self, payload: Payload, flags: SendFlags) -> Result<Offset, TrySendError<Payload>> {
        self.sends.try_send(payload, flags)
    }

    /// See [`SendHalf::send`].
    pub fn send(&mut self, payload: Payload, flags: SendFlags) -> Sending<'_> {
        self.sends.send(payload, flags)
    }

    /// See [`SendHalf::try_send_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send_batch(&mut self, payloads: &mut Vec<Payload>, flags: SendFlags) -> Result<usize, Error> {
        self.sends.try_send_batch(payloads, flags)
    }

    /// See [`SendHalf::send_batch`].
    pub fn send_batch<'a>(&'a mut self, payloads: &'a mut Vec<Payload>, flags: SendFlags) -> Batching<'a> {
        self.sends.send_batch(payloads, flags)
    }

    /// See [`SendHalf::try_send_file`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send_file(
        &mut self,
        file: &File,
        offset: u64,
        length: usize,
        flags: SendFlags,
    ) -> io::Result<usize> {
        self.sends.try_send_file(file, offset, length, flags)
    }

    /// See [`SendHalf::send_file`].
    pub fn send_file<'a>(
        &'a mut self,
        file: &'a File,
        offset: u64,
        length: u64,
        flags: SendFlags,
    ) -> SendingFile<'a> {
        self.sends.send_file(file, offset, length, flags)
    }

    /// See [`SendHalf::try_splice`].
    ///
    /// # Errors
    /// As there.
    pub fn try_splice(
        &mut self,
        from: &mut RecvHalf,
        max: usize,
        flags: SendFlags,
    ) -> Result<usize, SpliceError> {
        self.sends.try_splice(from, max, flags)
    }

    /// See [`SendHalf::splice`].
    pub fn splice<'a>(&'a mut self, from: &'a mut RecvHalf, max: u64, flags: SendFlags) -> Splicing<'a> {
        self.sends.splice(from, max, flags)
    }

    /// See [`SendHalf::flush`].
    ///
    /// # Errors
    /// As there.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.sends.flush()
    }

    /// See [`SendHalf::try_send_pieces`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send_pieces(
        &mut self,
        pieces: &mut [Piece<'_, Payload>],
        flags: SendFlags,
    ) -> Result<usize, Error> {
        self.sends.try_send_pieces(pieces, flags)
    }

    /// See [`SendHalf::try_send_with`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send_with<E>(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(usize, SendFlags), E>,
    ) -> Result<usize, SendWithError<E>> {
        self.sends.try_send_with(max, fill)
    }

    /// See [`SendHalf::prepare`].
    ///
    /// # Errors
    /// As there.
    pub fn prepare(
        &mut self,
        payload: Payload,
        flags: SendFlags,
    ) -> Result<Prepared<'_>, TrySendError<Payload>> {
        self.sends.prepare(payload, flags)
    }

    /// See [`SendHalf::try_send_copy`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send_copy(&mut self, bytes: &[u8], flags: SendFlags) -> Result<usize, Error> {
        self.sends.try_send_copy(bytes, flags)
    }

    /// See [`SendHalf::send_copy`].
    pub fn send_copy<'a>(&'a mut self, bytes: &'a [u8], flags: SendFlags) -> Copying<'a> {
        self.sends.send_copy(bytes, flags)
    }

    /// See [`SendHalf::marks`].
    pub fn marks(&self) -> Marks {
        self.sends.marks()
    }

    /// See [`SendHalf::capacity`].
    pub fn capacity(&self) -> usize {
        self.sends.capacity()
    }

    /// See [`SendHalf::acked`].
    pub fn acked(&self, upto: Offset) -> Acked {
        self.sends.acked(upto)
    }

    /// See [`SendHalf::finish`].
    pub fn finish(&mut self) -> Finish {
        self.sends.finish()
    }

    /// See [`RecvHalf::try_read`].
    ///
    /// # Errors
    /// As there.
    pub fn try_read(&mut self) -> Result<Option<Payload>, Error> {
        self.receives.try_read()
    }

    /// See [`RecvHalf::read`].
    pub fn read(&mut self) -> Reading<'_> {
        self.receives.read()
    }

    /// See [`SendHalf::set`].
    pub fn set(&mut self, setting: Setting) {
        self.sends.set(setting);
    }

    /// See [`SendHalf::set_keepalive`].
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.sends.set_keepalive(keepalive);
    }

    /// See [`SendHalf::stats`].
    ///
    /// # Errors
    /// As there.
    pub fn stats(&mut self, wait: &Wait) -> Result<ConnStats, Error> {
        self.sends.stats(wait)
    }

    /// Resets the connection; what the peer has not acknowledged is lost.
    pub fn abort(self) {
        self.sends.abort();
    }

    /// See [`SendHalf::abort_handle`].
    pub fn abort_handle(&self) -> AbortHandle {
        self.sends.abort_handle()
    }
}
