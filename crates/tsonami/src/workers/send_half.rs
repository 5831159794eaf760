//! The half of a connection that sends.
//!
//! It knows how many bytes were accepted; the worker grants offsets up to which more may be. So whether a send is taken is
//! decided here, without asking anybody, and what is taken waits in the thread's lane to the worker for its next turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use dpdk::BufMut;
use ring::Consumer;
use tcp::conn::{ConnStats, SendFlags, Setting};
use tcp::{Marks, Offset, SendTime};

use super::abort::AbortHandle;
use super::core::{PIECES, TIMES};
use super::desk::{ConnCall, Declined, Order};
use super::futures::{Acked, Copying, Finish, Sending};
use super::held::Held;
use super::wait::block_on;
use crate::{Error, Keepalive, Payload, Piece, TrySendError, Wait};

/// The half of a [`Connection`](crate::Connection) that sends. Dropping it finishes the direction, as [`SendHalf::finish`] does.
#[derive(Debug)]
pub struct SendHalf {
    held: Arc<Held>,
    /// The number of its next order.
    number: u32,
    /// Bytes accepted so far.
    accepted: Offset,
    /// What copying sends copy to.
    tail: Option<BufMut>,
    finished: bool,
    /// The last order sent a part of a send, whose rest has not come: its end is held back for that.
    part: bool,
    reclaimed: Option<Consumer<(Offset, Payload)>>,
    times: Option<Consumer<SendTime>>,
}

impl SendHalf {
    pub(crate) fn new(held: Arc<Held>) -> SendHalf {
        SendHalf {
            held,
            number: 0,
            accepted: Offset::ZERO,
            tail: None,
            finished: false,
            part: false,
            reclaimed: None,
            times: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> crate::ConnId {
        self.held.id
    }

    /// Our address.
    pub fn local_addr(&self) -> SocketAddr {
        self.held.link.tuple().map_or(UNKNOWN, |tuple| tuple.local)
    }

    /// The peer's.
    pub fn peer_addr(&self) -> SocketAddr {
        self.held.link.tuple().map_or(UNKNOWN, |tuple| tuple.remote)
    }

    /// Sends registered memory without a copy (`S29`): all of it or nothing (`S3`). Returns the offset of its first byte in the stream.
    /// It goes home to its pool when the peer acknowledged it and no device reads it any more.
    ///
    /// # Errors
    /// The payload comes back inside the error. [`Error::Full`]: later. [`Error::Finished`] after
    /// [`finish`](SendHalf::finish), else how the connection ended.
    pub fn try_send(&mut self, payload: Payload, flags: SendFlags) -> Result<Offset, TrySendError<Payload>> {
        let (at, bytes) = (self.accepted, payload.len() as u64);
        if let Err(reason) = self.admit(bytes) {
            return Err(TrySendError { payload, reason });
        }
        let order = Order::Send { conn: self.held.id, number: self.number, payload, flags };
        match self.held.desk.try_place(order) {
            Ok(()) => {
                self.number = self.number.wrapping_add(1);
                self.accepted.0 += bytes;
                self.part = flags.part;
                Ok(at)
            }
            Err(Declined::Full(order)) => Err(refused(order, Error::Full)),
            Err(Declined::Gone(order)) => Err(refused(order, self.gone())),
        }
    }

    /// Sends registered memory without a copy when there is room for all of it. Dropped before it is ready, the future
    /// sends nothing and the payload goes home; [`poll_send`](SendHalf::poll_send) lets it be kept.
    pub fn send(&mut self, payload: Payload, flags: SendFlags) -> Sending<'_> {
        Sending::new(self, payload, flags)
    }

    /// [`send`](SendHalf::send) for those who write futures themselves: takes the payload when it is ready and it was sent.
    ///
    /// # Errors
    /// As [`try_send`](SendHalf::try_send), [`Error::Full`] apart; the payload stays where it is.
    ///
    /// # Panics
    /// When there is no payload.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &mut Option<Payload>,
        flags: SendFlags,
    ) -> Poll<Result<Offset, Error>> {
        loop {
            let next = payload.take().expect("there is a payload to send");
            let bytes = next.len() as u64;
            let error = match self.try_send(next, flags) {
                Ok(offset) => return Poll::Ready(Ok(offset)),
                Err(error) => error,
            };
            *payload = Some(error.payload);
            match error.reason {
                Error::Full if self.held.link.admits(self.accepted, bytes) => {
                    // The lane was full: the worker is about to empty it.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Error::Full => {
                    if self.poll_room(cx, bytes).is_pending() {
                        return Poll::Pending;
                    }
                }
                reason => return Poll::Ready(Err(reason)),
            }
        }
    }

    /// Sends payloads in order, as many as there is room for, and takes them out of the front of `payloads`; returns how
    /// many that were. The flags are those of the last of them all.
    ///
    /// # Errors
    /// When none was sent, as [`try_send`](SendHalf::try_send).
    pub fn try_send_batch(&mut self, payloads: &mut Vec<Payload>, flags: SendFlags) -> Result<usize, Error> {
        let Some(first) = payloads.first() else { return Ok(0) };
        self.admit(first.len() as u64)?;
        let (link, conn) = (&self.held.link, self.held.id);
        let (number, accepted, part) = (&mut self.number, &mut self.accepted, &mut self.part);
        let all = payloads.len();
        // Taken from its end, the list keeps its memory.
        payloads.reverse();
        let there = self.held.desk.place_all(|| {
            let bytes = payloads.last()?.len() as u64;
            if !link.admits(*accepted, bytes) {
                return None;
            }
            let payload = payloads.pop()?;
            let flags = if payloads.is_empty() { flags } else { flags.of_a_part() };
            let order = Order::Send { conn, number: *number, payload, flags };
            accepted.0 += bytes;
            *part = flags.part;
            *number = number.wrapping_add(1);
            Some(order)
        });
        payloads.reverse();
        match all - payloads.len() {
            0 if there => Err(Error::Full),
            0 => Err(self.gone()),
            sent => Ok(sent),
        }
    }

    /// Copies bytes and sends them; returns how many it took, at least one unless `bytes` is empty (`S3`).
    ///
    /// # Errors
    /// When it takes none: [`Error::Full`] and [`Error::PoolExhausted`]: later; else as [`try_send`](SendHalf::try_send).
    pub fn try_send_copy(&mut self, bytes: &[u8], flags: SendFlags) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.admit(1)?;
        let (link, desk, conn) = (&self.held.link, &self.held.desk, self.held.id);
        let (number, accepted, tail) = (&mut self.number, &mut self.accepted, &mut self.tail);
        let part = &mut self.part;
        let (mut taken, mut exhausted) = (0, false);
        let there = desk.place_all(|| {
            let left = &bytes[taken..];
            let room = usize::try_from(link.room(*accepted)).unwrap_or(usize::MAX);
            if left.is_empty() || (room == 0 && !link.admits(*accepted, 1)) {
                return None;
            }
            if tail.as_ref().is_none_or(|tail| tail.spare().is_empty()) {
                *tail = desk.buffer(left.len());
            }
            let Some(tail) = tail else {
                exhausted = true;
                return None;
            };
            let spare = tail.spare_mut();
            let n = left.len().min(room.max(1)).min(spare.len());
            spare[..n].copy_from_slice(&left[..n]);
            let payload = Payload::copied(tail.freeze(n));
            let flags = if n == left.len() { flags } else { flags.of_a_part() };
            let order = Order::Send { conn, number: *number, payload, flags };
            *number = number.wrapping_add(1);
            accepted.0 += n as u64;
            *part = flags.part;
            taken += n;
            Some(order)
        });
        self.keep_tail();
        match taken {
            0 if exhausted => Err(Error::PoolExhausted),
            0 if there => Err(Error::Full),
            0 => Err(self.gone()),
            taken => Ok(taken),
        }
    }

    /// Copies all of `bytes` and sends them, waiting for room as often as need be. Ready with how many were taken: all, or
    /// fewer when the connection ended, as the next call tells. Dropped before it is ready, some may have been taken:
    /// [`marks`](SendHalf::marks) tell.
    pub fn send_copy<'a>(&'a mut self, bytes: &'a [u8], flags: SendFlags) -> Copying<'a> {
        Copying::new(self, bytes, flags)
    }

    /// One step of [`send_copy`](SendHalf::send_copy): ready with how many bytes were taken, at least one unless `bytes` is
    /// empty.
    ///
    /// # Errors
    /// As [`try_send_copy`](SendHalf::try_send_copy), without those that mean later.
    pub fn poll_send_copy(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        flags: SendFlags,
    ) -> Poll<Result<usize, Error>> {
        self.poll_until(cx, 1, |half| half.try_send_copy(bytes, flags))
    }

    /// Tries, and tries again when there is room for so many bytes or a buffer, until it fails for another reason than those.
    pub(crate) fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: u64,
        mut attempt: impl FnMut(&mut SendHalf) -> Result<T, Error>,
    ) -> Poll<Result<T, Error>> {
        let mut waits_for_buffer = false;
        loop {
            match attempt(self) {
                Err(Error::Full) if self.held.link.admits(self.accepted, bytes) => {
                    // The lane was full: the worker is about to empty it.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(Error::Full) => {
                    if self.poll_room(cx, bytes).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(Error::PoolExhausted) if waits_for_buffer => {
                    self.let_part_out();
                    return Poll::Pending;
                }
                Err(Error::PoolExhausted) => {
                    self.held.desk.wait_for_buffer(cx.waker());
                    // Others may keep all of them for longer than this connection lives. Over or not, the next attempt says.
                    let _ = self.held.link.poll_over(cx.waker());
                    waits_for_buffer = true;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Ready when there is room for so many bytes, or the connection is over. What the rest of a send waits behind need not wait for it.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<()> {
        let room = self.held.link.poll_room(self.accepted, bytes, cx.waker());
        if room.is_pending() {
            self.let_part_out();
        }
        room
    }

    /// The rest of a send waits for what was sent of it: that leaves, however short its end.
    fn let_part_out(&mut self) {
        if core::mem::replace(&mut self.part, false) {
            self.order(Box::new(|core, id| core.engine().flush(id)));
        }
    }

    /// What was sent as a part of more ends there after all.
    pub(crate) fn end_send(&mut self, flags: SendFlags) {
        self.part = false;
        self.order(Box::new(move |core, id| core.engine().end_send(id, flags)));
    }

    /// Lends `fill` registered memory: at most `max` bytes, at least one unless `max` is 0. Sends as many of them as `fill`
    /// says it filled, with the flags it gives; returns how many that was.
    ///
    /// # Errors
    /// [`SendWithError::Refused`] when nothing can be sent now, else the error of `fill`. Nothing was sent then.
    pub fn try_send_with<E>(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(usize, SendFlags), E>,
    ) -> Result<usize, SendWithError<E>> {
        if max == 0 {
            return Ok(0);
        }
        self.admit(1).map_err(SendWithError::Refused)?;
        if !self.held.desk.has_room() {
            return Err(SendWithError::Refused(Error::Full));
        }
        let room = usize::try_from(self.held.link.room(self.accepted)).unwrap_or(usize::MAX).max(1);
        if self.tail.as_ref().is_none_or(|tail| tail.spare().is_empty()) {
            self.tail = self.held.desk.buffer(max);
        }
        let Some(tail) = &mut self.tail else { return Err(SendWithError::Refused(Error::PoolExhausted)) };
        let spare = tail.spare_mut();
        let most = max.min(room).min(spare.len());
        let (n, flags) = fill(&mut spare[..most]).map_err(SendWithError::Source)?;
        let n = n.min(most);
        if n == 0 {
            return Ok(0);
        }
        let payload = Payload::copied(tail.freeze(n));
        self.keep_tail();
        match self.try_send(payload, flags) {
            Ok(_) => Ok(n),
            Err(error) => Err(SendWithError::Refused(error.reason)),
        }
    }

    /// Sends pieces in order, as one send: each is copied or referred to as it says (`S1`), the flags are those of the end. Returns
    /// how many bytes were taken, more than 0 unless there are none, and takes them out of `pieces`, so that the same slice
    /// may be passed again for the rest.
    ///
    /// # Errors
    /// When it takes none: as [`try_send_copy`](SendHalf::try_send_copy).
    pub fn try_send_pieces(
        &mut self,
        pieces: &mut [Piece<'_, Payload>],
        flags: SendFlags,
    ) -> Result<usize, Error> {
        let end = pieces.iter().rposition(|piece| !piece.is_empty()).map_or(0, |last| last + 1);
        let mut taken = 0;
        for (i, piece) in pieces[..end].iter_mut().enumerate() {
            let flags = if i + 1 == end { flags } else { flags.of_a_part() };
            let refused = match core::mem::take(piece) {
                Piece::Copy(bytes) => match self.try_send_copy(bytes, flags) {
                    Ok(n) => {
                        taken += n;
                        *piece = Piece::Copy(&bytes[n..]);
                        // What does not fit now does not fit behind it either.
                        (n < bytes.len()).then_some(Error::Full)
                    }
                    Err(reason) => {
                        *piece = Piece::Copy(bytes);
                        Some(reason)
                    }
                },
                Piece::Reference(payload) => {
                    let len = payload.len();
                    match self.try_send(payload, flags) {
                        Ok(_) => {
                            taken += len;
                            None
                        }
                        Err(TrySendError { payload, reason }) => {
                            *piece = Piece::Reference(payload);
                            Some(reason)
                        }
                    }
                }
            };
            match refused {
                Some(reason) if taken == 0 => return Err(reason),
                Some(_) => break,
                None => {}
            }
        }
        Ok(taken)
    }

    /// Makes a send ready that [`fire`](Prepared::fire) then gives away: the payload is there and there is room for it, so
    /// that nothing can go wrong any more. Dropping it sends nothing.
    ///
    /// # Errors
    /// As [`try_send`](SendHalf::try_send).
    pub fn prepare(
        &mut self,
        payload: Payload,
        flags: SendFlags,
    ) -> Result<Prepared<'_>, TrySendError<Payload>> {
        match self.admit(payload.len() as u64) {
            Ok(()) => Ok(Prepared { half: self, payload, flags }),
            Err(reason) => Err(TrySendError { payload, reason }),
        }
    }

    /// How far the stream has come, in bytes from its beginning (`S29`). What was sent, acknowledged and reclaimed is as of the
    /// last ACK.
    pub fn marks(&self) -> Marks {
        self.held.link.marks(self.accepted)
    }

    /// Bytes that may be sent now.
    pub fn capacity(&self) -> usize {
        if self.finished {
            0
        } else {
            usize::try_from(self.held.link.room(self.accepted)).unwrap_or(usize::MAX)
        }
    }

    /// Ready when the peer acknowledged everything before `upto`, or all that was accepted until now if that is less.
    /// Sending goes on meanwhile.
    pub fn acked(&self, upto: Offset) -> Acked {
        Acked::new(self.held.link.clone(), upto.min(self.accepted))
    }

    /// Ends our direction behind what was sent: the peer reads an end of file. Ready when it acknowledged all of it; the
    /// direction ends whether or not the future is waited for. Reading goes on.
    pub fn finish(&mut self) -> Finish {
        self.shutdown_write();
        Finish::new(self.held.link.clone())
    }

    /// `S29`: payload comes back by [`pop_reclaimed`](SendHalf::pop_reclaimed) from now on, instead of going home to its pool. That of
    /// copying sends is among it, and may be dropped.
    pub fn keep_reclaimed(&mut self) {
        if self.reclaimed.is_none() {
            let (producer, consumer) = ring::late_ring(PIECES);
            self.reclaimed = Some(consumer);
            self.order(Box::new(move |core, id| core.give_back_to(id, producer)));
        }
    }

    /// The next payload that is acknowledged and that no device reads any more, with its offset in the stream.
    pub fn pop_reclaimed(&mut self) -> Option<(Offset, Payload)> {
        self.reclaimed.as_mut()?.pop()
    }

    /// `S33`: times that sends ask for ([`SendFlags::timestamp`]) are kept from now on, for
    /// [`pop_send_time`](SendHalf::pop_send_time): call it before the first such send.
    pub fn keep_send_times(&mut self) {
        if self.times.is_none() {
            let (producer, consumer) = ring::late_ring(TIMES);
            self.times = Some(consumer);
            self.order(Box::new(move |core, id| core.tell_times_to(id, producer)));
        }
    }

    /// The next time at which a part of the stream was scheduled, left for the device or was acknowledged.
    pub fn pop_send_time(&mut self) -> Option<SendTime> {
        self.times.as_mut()?.pop()
    }

    /// Times that were lost, for a thousand waited already.
    pub fn send_times_lost(&self) -> u64 {
        self.held.link.times_lost()
    }

    /// Lets out what is held back, by cork, by `more` or by Nagle's algorithm (`S17`), behind what was sent until now. What is
    /// not held back needs no flush: it is on its way.
    ///
    /// # Errors
    /// How the connection ended.
    pub fn flush(&mut self) -> Result<(), Error> {
        if let Some(Err(error)) = self.held.link.end() {
            return Err(error);
        }
        self.order(Box::new(|core, id| core.engine().flush(id)));
        Ok(())
    }

    /// Changes a setting of the connection, behind what was sent until now.
    pub fn set(&mut self, setting: Setting) {
        self.order(Box::new(move |core, id| core.engine().set(id, setting)));
    }

    /// Turns keepalive on, changes it, or turns it off. Silence so far counts.
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.order(Box::new(move |core, id| core.engine().set_keepalive(id, keepalive)));
    }

    /// What the connection counted, as its worker tells.
    ///
    /// # Errors
    /// [`Error::WaitTimedOut`], [`Error::Cancelled`], [`Error::WorkerGone`].
    pub fn stats(&mut self, wait: &Wait) -> Result<ConnStats, Error> {
        let id = self.held.id;
        let answer = self.held.desk.question(move |core| core.engine().stats(id));
        block_on(answer, wait)?.flatten().ok_or_else(|| self.gone())
    }

    /// Resets the connection; what the peer has not acknowledged is lost.
    pub fn abort(self) {
        self.abort_handle().abort();
    }

    /// What aborts the connection from another thread while this one waits, or has the halves elsewhere: whoever waits is told
    /// [`Error::Aborted`].
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(&self.held.desk, &self.held.link)
    }

    /// Ready when nothing can be sent any more: why.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<Error> {
        match (self.held.link.poll_over(cx.waker()), self.admit(0)) {
            (Poll::Ready(()), Err(reason)) => Poll::Ready(reason),
            _ => Poll::Pending,
        }
    }

    fn shutdown_write(&mut self) {
        if !core::mem::replace(&mut self.finished, true) {
            self.tail = None;
            self.order(Box::new(|core, id| core.engine().shutdown_write(id)));
        }
    }

    /// Gives the worker an order behind those before.
    pub(crate) fn order(&mut self, call: ConnCall) {
        if self.held.desk.place(Order::Conn { conn: self.held.id, number: self.number, call }) {
            self.number = self.number.wrapping_add(1);
        }
    }

    /// Keeps what is left of the buffer that was copied to, unless others need it more.
    fn keep_tail(&mut self) {
        let desk = &self.held.desk;
        self.tail.take_if(|tail| desk.is_short_of(tail));
    }

    /// Whether so many bytes may be sent now.
    fn admit(&self, bytes: u64) -> Result<(), Error> {
        match self.held.link.end() {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Err(Error::Finished),
            None if self.finished => Err(Error::Finished),
            None if self.held.link.admits(self.accepted, bytes) => Ok(()),
            None => Err(Error::Full),
        }
    }

    fn gone(&self) -> Error {
        Error::WorkerGone { worker: self.held.desk.worker(), acked: self.held.link.acked() }
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.shutdown_write();
        self.held.given.store(self.number, Ordering::Relaxed);
    }
}

/// What an address is called before anybody knows it: never seen, as a [`Connection`] is open.
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn refused(order: Order, reason: Error) -> TrySendError<Payload> {
    match order {
        Order::Send { payload, .. } => TrySendError { payload, reason },
        Order::Conn { .. } | Order::Core(_) => unreachable!("what comes back is what was given"),
    }
}

/// A send that only waits for the word: see [`SendHalf::prepare`].
#[derive(Debug)]
#[must_use = "dropping it sends nothing"]
pub struct Prepared<'a> {
    half: &'a mut SendHalf,
    payload: Payload,
    flags: SendFlags,
}

impl Prepared<'_> {
    /// Sends it; returns the offset of its first byte. Should the connection have ended since it was prepared, the next
    /// call says so.
    pub fn fire(self) -> Offset {
        let Prepared { half, payload, flags } = self;
        let at = half.accepted;
        half.accepted.0 += payload.len() as u64;
        half.part = flags.part;
        let order = Order::Send { conn: half.held.id, number: half.number, payload, flags };
        half.number = half.number.wrapping_add(1);
        half.held.desk.place(order);
        at
    }

    /// Sends nothing, and gives the payload back.
    pub fn cancel(self) -> Payload {
        self.payload
    }
}

/// Why nothing was sent of what was to be filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendWithError<E> {
    /// The connection takes nothing now, or nothing any more.
    Refused(Error),
    /// What was to fill the buffer failed.
    Source(E),
}
