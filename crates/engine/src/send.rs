//! How bytes get in (`S1`): one buffer, pieces of which each says whether it is copied, messages for many connections in
//! one call, whatever fills a buffer in place, and what another connection received.
//!
//! The rule of all of them: bytes are taken in order, and what a call returns is how many were; what is referenced is
//! taken whole or not at all, and stays with its owner when it is not. After a call took something it does not fail: the
//! reason comes with the next one (`S3`).

use core::mem;

use tcp::conn::{SendFlags, WriteErrorKind};
use tcp::{Offset, Payload, Time};

use crate::config::Streaming;
use crate::engine::Engine;
use crate::error::{SendError, SendRefusal};
use crate::flow::ConnId;
use crate::long_send::Turns;
use crate::nic::{Nic, SMALL_TAIL, TailBuf};
use crate::slot::Slot;

/// A handle that a send can refer to: the NIC's own, or one that wraps it.
pub trait Reference<B>: Into<B> + From<B> {
    /// Number of bytes.
    fn bytes(&self) -> usize;
}

impl<B: Payload> Reference<B> for B {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// One piece of a vectored send.
#[derive(Debug)]
pub enum Piece<'a, P> {
    /// Copied; maybe in part.
    Copy(&'a [u8]),
    /// Referred to, so it must not change: taken whole or not at all.
    Reference(P),
}

impl<P> Piece<'_, P> {
    /// True when nothing is left of it.
    pub fn is_empty<B>(&self) -> bool
    where
        P: Reference<B>,
    {
        match self {
            Piece::Copy(bytes) => bytes.is_empty(),
            Piece::Reference(p) => p.bytes() == 0,
        }
    }
}

/// Nothing.
impl<P> Default for Piece<'_, P> {
    fn default() -> Self {
        Piece::Copy(&[])
    }
}

/// A vectored send of a batch.
#[derive(Debug)]
pub struct Message<'m, 'd, P> {
    /// Whose it is.
    pub conn: ConnId,
    /// What it consists of.
    pub pieces: &'m mut [Piece<'d, P>],
    /// How it is sent.
    pub flags: SendFlags,
    /// Set by the call: how many bytes were taken, or why none was.
    pub outcome: Result<usize, SendRefusal>,
}

/// Why [`Engine::send_with`] sent nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FillError<E> {
    /// The connection takes nothing.
    Refused(SendRefusal),
    /// What was to fill the buffer failed.
    Source(E),
}

impl<N: Nic> Engine<N> {
    /// Sends `buf` without copying it. All or nothing.
    ///
    /// When the peer has acknowledged it and the port reads it no longer, it is dropped, which returns it to its pool;
    /// [`keep_reclaimed`](Engine::keep_reclaimed) hands it to the application instead.
    ///
    /// # Errors
    /// [`SendError`] hands `buf` back and says why.
    pub fn send(&mut self, id: ConnId, buf: N::Buf, flags: SendFlags) -> Result<Offset, SendError<N::Buf>> {
        let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) else {
            return Err(SendError { payload: buf, reason: SendRefusal::NoSuchConnection });
        };
        if let Some(reason) = not_open(slot) {
            return Err(SendError { payload: buf, reason });
        }
        if !self.memory_for(id.index, false) {
            return Err(SendError { payload: buf, reason: self.without_memory(id.index) });
        }
        let Some(slot) = self.slots.find_mut(id) else {
            return Err(SendError { payload: buf, reason: SendRefusal::NoSuchConnection });
        };
        // Copied by who hands it over, on another thread perhaps.
        let copied = if buf.is_copy() { buf.len() as u64 } else { 0 };
        match slot.conn.write(buf, flags) {
            Ok(offset) => {
                slot.wants_memory = false;
                self.counters.copied_bytes += copied;
                self.used(id.index);
                Ok(offset)
            }
            Err(e) => {
                slot.conn.on_writer_waits(self.now);
                // What is queued may leave now, to make room.
                self.used(id.index);
                Err(SendError { payload: e.payload, reason: refusal(e.reason) })
            }
        }
    }

    /// There is no memory for a send by reference: it waits for some, unless its connection takes nothing anyway.
    #[cold]
    fn without_memory(&mut self, index: u32) -> SendRefusal {
        match self.slots.get_mut(index).and_then(|s| s.conn.write_closed()) {
            Some(reason) => refusal(reason),
            None => {
                self.wait_for_memory(index, false);
                SendRefusal::NoBuffers
            }
        }
    }

    /// Copies as much of `bytes` as there is room for into the connection's own buffers and sends it; returns how
    /// much that was, more than 0 unless `bytes` is empty.
    ///
    /// # Errors
    /// [`SendError`] says why nothing was taken.
    pub fn send_copy(&mut self, id: ConnId, bytes: &[u8], flags: SendFlags) -> Result<usize, SendError<()>> {
        let Streaming { least, out } = self.cfg.streaming;
        let streaming = bytes.len() >= least as usize && self.nic.tail_bytes_out() >= out;
        let mut rest = bytes;
        loop {
            let filled = self.send_with(id, rest.len(), |room| {
                let n = room.len().min(rest.len());
                if streaming {
                    dpdk::copy_streaming(&rest[..n], room);
                } else {
                    room[..n].copy_from_slice(&rest[..n]);
                }
                Ok::<_, SendRefusal>((n, if n == rest.len() { flags } else { flags.of_a_part() }))
            });
            match filled {
                Ok(n) => rest = &rest[n..],
                Err(FillError::Refused(reason) | FillError::Source(reason)) if rest.len() == bytes.len() => {
                    return Err(SendError { payload: (), reason });
                }
                Err(_) => {
                    let taken = bytes.len() - rest.len();
                    self.counters.tx_streamed_bytes += if streaming { taken as u64 } else { 0 };
                    return Ok(taken);
                }
            }
            if rest.is_empty() {
                self.counters.tx_streamed_bytes += if streaming { bytes.len() as u64 } else { 0 };
                return Ok(bytes.len());
            }
        }
    }

    /// Lends `fill` a part of the connection's own buffers, from which the port reads: at most `max` bytes, at least one
    /// unless `max` is 0. Sends as many of them as `fill` says it filled, with the flags it gives. So bytes of a file, a
    /// socket or a generator need no buffer in between. Returns how many there were; 0 sends nothing.
    ///
    /// # Errors
    /// [`FillError`] says why nothing was sent.
    pub fn send_with<E>(
        &mut self,
        id: ConnId,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(usize, SendFlags), E>,
    ) -> Result<usize, FillError<E>> {
        let gone = || FillError::Refused(SendRefusal::NoSuchConnection);
        let slot = self.slots.find_mut(id).filter(|s| !s.released).ok_or_else(gone)?;
        if max == 0 {
            return Ok(0);
        }
        if let Some(reason) = not_open(slot) {
            return Err(FillError::Refused(reason));
        }
        let memory = self.memory_for(id.index, true);
        let slot = self.slots.find_mut(id).ok_or_else(gone)?;
        // The connection itself knows why there is no room, if so, and that somebody waits for it.
        if let Err(reason) = slot.conn.wait_for_room() {
            slot.conn.on_writer_waits(self.now);
            self.used(id.index);
            return Err(FillError::Refused(refusal(reason)));
        }
        let room = slot.conn.capacity().min(max);
        slot.memory_ready = false;
        let spent = slot.tail.as_mut().is_none_or(|t| t.spare().is_empty());
        if spent {
            // Little that a quiet connection sends shall not hold a large buffer.
            let marks = slot.conn.marks();
            slot.tail = match max <= SMALL_TAIL && marks.acked == marks.accepted {
                _ if !memory => None,
                true => self.nic.alloc_small_tail(),
                false => self.nic.alloc_tail(),
            };
        }
        let Some(tail) = &mut slot.tail else {
            self.counters.tail_exhausted += u64::from(memory);
            self.wait_for_memory(id.index, true);
            return Err(FillError::Refused(SendRefusal::NoBuffers));
        };
        let spare = tail.spare();
        let room = room.min(spare.len());
        let (n, flags) = fill(&mut spare[..room]).map_err(FillError::Source)?;
        let n = n.min(room);
        if n == 0 {
            return Ok(0);
        }
        let piece = tail.freeze(n);
        if let Err(e) = slot.conn.write(piece, flags) {
            return Err(FillError::Refused(refusal(e.reason)));
        }
        slot.wants_memory = false;
        self.counters.copied_bytes += n as u64;
        self.used(id.index);
        if spent {
            self.look_at_memory();
        }
        Ok(n)
    }

    /// Ends the send of which parts were sent ([`SendFlags::part`]) where they end, with these flags: for whoever learns
    /// afterwards that there is no more. Does nothing when the last send has its end.
    pub fn end_send(&mut self, id: ConnId, flags: SendFlags) {
        let now = self.now;
        if let Some(slot) = self.slots.find_mut(id).filter(|s| !s.released) {
            slot.conn.end_send(flags, now);
            self.used(id.index);
        }
    }

    /// Sends pieces in order, as one send: the flags are those of its end. Returns how many bytes were taken, more than
    /// 0 unless there are none. What was taken is taken out of `pieces`, so that the same slice may be passed again for
    /// the rest: a piece that was taken whole is empty then, one that was copied in part lacks its beginning, and
    /// whoever is left is as it was. The loop has a turn after each [`BITE`](crate::BITE), at the time that `clock` tells
    /// (`S20`).
    ///
    /// # Errors
    /// [`SendRefusal`] says why nothing was taken.
    pub fn send_pieces<P: Reference<N::Buf>>(
        &mut self,
        id: ConnId,
        pieces: &mut [Piece<'_, P>],
        flags: SendFlags,
        clock: impl FnMut() -> Time,
    ) -> Result<usize, SendRefusal> {
        self.send_pieces_in_bites(id, pieces, flags, &mut Turns::new(clock))
    }

    fn send_pieces_in_bites<P: Reference<N::Buf>, C: FnMut() -> Time>(
        &mut self,
        id: ConnId,
        pieces: &mut [Piece<'_, P>],
        flags: SendFlags,
        turns: &mut Turns<C>,
    ) -> Result<usize, SendRefusal> {
        let end = pieces.iter().rposition(|p| !p.is_empty()).map_or(0, |last| last + 1);
        let mut taken = 0;
        for (i, piece) in pieces[..end].iter_mut().enumerate() {
            let flags = if i + 1 == end { flags } else { flags.of_a_part() };
            let refused = match mem::take(piece) {
                Piece::Copy(bytes) => match self.send_in_bites(id, bytes, flags, turns) {
                    Ok(n) => {
                        taken += n;
                        *piece = Piece::Copy(&bytes[n..]);
                        // What does not fit now does not fit behind it either.
                        if n < bytes.len() { Some(SendRefusal::Full) } else { None }
                    }
                    Err(e) => {
                        *piece = Piece::Copy(bytes);
                        Some(e.reason)
                    }
                },
                Piece::Reference(p) => {
                    let len = p.bytes();
                    self.turn_before(len, turns);
                    match self.send(id, p.into(), flags) {
                        Ok(_) => {
                            taken += len;
                            turns.took(len);
                            None
                        }
                        Err(e) => {
                            *piece = Piece::Reference(e.payload.into());
                            Some(e.reason)
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

    /// Sends messages, each to its connection, whatever becomes of the others. Returns how many were taken whole; each
    /// message's `outcome` tells of it what [`send_pieces`](Engine::send_pieces) would. The loop has a turn after each
    /// [`BITE`](crate::BITE) of them all.
    pub fn send_batch<P: Reference<N::Buf>>(
        &mut self,
        messages: &mut [Message<'_, '_, P>],
        clock: impl FnMut() -> Time,
    ) -> usize {
        let (mut whole, mut turns) = (0, Turns::new(clock));
        for message in messages {
            message.outcome =
                self.send_pieces_in_bites(message.conn, message.pieces, message.flags, &mut turns);
            let left = message.pieces.iter().any(|piece| !piece.is_empty());
            whole += usize::from(message.outcome.is_ok() && !left);
        }
        whole
    }

    /// Sends on `to` up to `max` bytes that `from` received, by reference: a proxy copies nothing. Returns how many; 0
    /// when `from` has none. What `to` does not take stays where it is. Both may be the same connection. The loop has a
    /// turn after each [`BITE`](crate::BITE), at the time that `clock` tells; what `from` receives in it is left.
    ///
    /// A receive buffer stays with its payload until the peer of `to` acknowledged it. So that slow peers do not keep them
    /// all, payload is copied while more than half are held by somebody, and where it is short.
    ///
    /// # Errors
    /// [`SendRefusal`] says why nothing was taken.
    pub fn splice(
        &mut self,
        from: ConnId,
        to: ConnId,
        max: usize,
        flags: SendFlags,
        clock: impl FnMut() -> Time,
    ) -> Result<usize, SendRefusal> {
        let readable = self.ask(from, |source| source.conn.readable());
        let (Some(readable), Some(())) = (readable, self.ask(to, |_| ())) else {
            return Err(SendRefusal::NoSuchConnection);
        };
        let max = usize::try_from(readable).unwrap_or(usize::MAX).min(max);
        let (mut moved, mut turns) = (0, Turns::new(clock));
        while moved < max {
            let Some(payload) = self.slots.find_mut(from).and_then(|source| source.conn.peek()) else {
                // The end of the connection, which the turn brought, took the rest with it.
                self.end_send(to, flags);
                break;
            };
            let payload = payload.slice(0..payload.len().min(max - moved));
            let len = payload.len();
            self.turn_before(len, &mut turns);
            let part = if moved + len == max { flags } else { flags.of_a_part() };
            let taken = if len <= self.cfg.copy_break as usize || self.nic.rx_pressed() {
                self.send_copy(to, payload.as_slice(), part).map_err(|e| e.reason)
            } else {
                self.send(to, payload, part).map(|_| len).map_err(|e| e.reason)
            };
            match taken {
                Ok(n) => {
                    moved += n;
                    turns.took(n);
                    if let Some(source) = self.slots.find_mut(from) {
                        source.conn.read_up_to(n);
                    }
                    self.used(from.index);
                }
                Err(reason) if moved == 0 => return Err(reason),
                Err(_) => break,
            }
        }
        Ok(moved)
    }
}

/// Before the handshake is complete nothing is taken, though the protocol would queue it: whoever does not wait is told to
/// come back with [`tcp::Event::Connected`] (`S2`).
fn not_open<N: Nic>(slot: &Slot<N>) -> Option<SendRefusal> {
    let opening = slot.conn.state().is_opening();
    opening.then(|| slot.conn.write_closed().map_or(SendRefusal::Full, refusal))
}

fn refusal(reason: WriteErrorKind) -> SendRefusal {
    match reason {
        WriteErrorKind::Full => SendRefusal::Full,
        WriteErrorKind::Finished | WriteErrorKind::Closed => SendRefusal::Finished,
    }
}
