//! The send calls (`S1`).
//!
//! The rule of all of them: bytes are taken in order, and what a call returns is how many were; what is sent by
//! reference is taken whole or not at all, and stays with its owner when it is not. A call that took something does not
//! fail: the reason comes with the next one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use engine::{ConnId, FillError, Message, Piece};
use tcp::conn::SendFlags;
use tcp::{Offset, Time};

use crate::stack::on;
use crate::{Error, LocalEngine, Payload, TrySendError};

impl LocalEngine {
    /// Sends registered memory without a copy (`S29`): all of it or nothing (`S3`). Returns the offset of its first byte in the
    /// stream. It must not be changed until it is reclaimed, which the types see to.
    ///
    /// # Errors
    /// The payload comes back inside the error. [`Error::Full`]: later; an [`Event::Writable`] tells when.
    ///
    /// [`Event::Writable`]: crate::Event::Writable
    pub fn send(
        &mut self,
        id: ConnId,
        payload: Payload,
        flags: SendFlags,
    ) -> Result<Offset, TrySendError<Payload>> {
        on!(&mut self.stack, engine => engine.send(id, payload.0, flags))
            .map_err(|e| TrySendError { payload: Payload(e.payload), reason: e.reason.into() })
    }

    /// Copies bytes into the send buffer; returns how many it took, at least one unless `bytes` is empty (`S3`).
    ///
    /// A long send is on its way while it is copied: after every 64 KiB the engine has a turn, as by
    /// [`poll`](LocalEngine::poll).
    ///
    /// # Errors
    /// When it takes none. [`Error::Full`] and [`Error::PoolExhausted`]: later; an [`Event::Writable`] tells when.
    ///
    /// [`Event::Writable`]: crate::Event::Writable
    pub fn send_copy(&mut self, id: ConnId, bytes: &[u8], flags: SendFlags) -> Result<usize, Error> {
        let clock = || Time::from_nanos(self.clock.now());
        on!(&mut self.stack, engine => engine.send_long(id, bytes, flags, clock)).map_err(|e| e.reason.into())
    }

    /// Sends pieces in order, as one send: each is copied or referred to as it says, the flags are those of the end.
    /// Returns how many bytes were taken, more than 0 unless there are none, and takes them out of `pieces`, so that the
    /// same slice may be passed again for the rest. After every 64 KiB the engine has a turn, as in
    /// [`send_copy`](LocalEngine::send_copy).
    ///
    /// # Errors
    /// When it takes none. [`Error::Full`] and [`Error::PoolExhausted`]: later; an [`Event::Writable`] tells when.
    ///
    /// [`Event::Writable`]: crate::Event::Writable
    pub fn send_pieces(
        &mut self,
        id: ConnId,
        pieces: &mut [Piece<'_, Payload>],
        flags: SendFlags,
    ) -> Result<usize, Error> {
        let clock = || Time::from_nanos(self.clock.now());
        on!(&mut self.stack, engine => engine.send_pieces(id, pieces, flags, clock)).map_err(Error::from)
    }

    /// Sends messages, each to its own connection and whatever becomes of the others; their outcomes say what. Returns
    /// how many were taken whole. After every 64 KiB of them the engine has a turn.
    pub fn send_batch(&mut self, messages: &mut [Message<'_, '_, Payload>]) -> usize {
        let clock = || Time::from_nanos(self.clock.now());
        on!(&mut self.stack, engine => engine.send_batch(messages, clock))
    }

    /// Lends `fill` a part of the send buffer, which the device reads: at most `max` bytes, at least one unless `max` is
    /// 0. Sends as many of them as `fill` says it filled, with the flags it gives; returns how many that was.
    ///
    /// # Errors
    /// [`FillError::Refused`] when the connection takes nothing, else the error of `fill`. Nothing was sent then.
    pub fn send_with<E>(
        &mut self,
        id: ConnId,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(usize, SendFlags), E>,
    ) -> Result<usize, FillError<E>> {
        on!(&mut self.stack, engine => engine.send_with(id, max, fill))
    }

    /// Sends up to `length` bytes of `file` from `offset` on; returns how many, fewer where the send buffer or the file
    /// ends. Where the file does, there ends the send, with these flags. The kernel reads them straight into memory that
    /// the device reads from.
    ///
    /// That is one copy, out of the page cache. Without it the device would have to read the page cache itself: pages
    /// that others may write to while they wait to be sent again, that may vanish when the file is cut short, and that
    /// DPDK cannot keep in place for a device.
    ///
    /// # Errors
    /// When it takes none: what is wrong with the file, or the [`Error`] of the connection inside.
    pub fn send_file(
        &mut self,
        id: ConnId,
        file: &File,
        offset: u64,
        length: usize,
        flags: SendFlags,
    ) -> io::Result<usize> {
        let length = match known_length(file)? {
            None => length,
            // Behind the end a read says so.
            Some(known) => {
                length.min(usize::try_from(known.saturating_sub(offset)).unwrap_or(usize::MAX).max(1))
            }
        };
        let mut sent = 0;
        while sent < length {
            let left = length - sent;
            let filled = self.send_with(id, left, |room| {
                let n = read_at(file, room, offset + sent as u64)?;
                Ok::<_, io::Error>((n, if n == left { flags } else { flags.of_a_part() }))
            });
            match filled {
                // What is there was sent as a part of more.
                Ok(0) => {
                    on!(&mut self.stack, engine => engine.end_send(id, flags));
                    break;
                }
                Ok(n) => {
                    sent += n;
                    // S20: what was read is on its way while the rest is.
                    if sent < length {
                        self.poll(self.now());
                    }
                }
                Err(FillError::Source(e)) => {
                    on!(&mut self.stack, engine => engine.end_send(id, flags));
                    return if sent > 0 { Ok(sent) } else { Err(e) };
                }
                Err(_) if sent > 0 => break,
                Err(FillError::Refused(reason)) => return Err(Error::from(reason).into()),
            }
        }
        Ok(sent)
    }

    /// Ends a send of which only parts were sent, where they end.
    pub(crate) fn end_send(&mut self, id: ConnId, flags: SendFlags) {
        on!(&mut self.stack, engine => engine.end_send(id, flags));
    }

    /// Sends on `to` up to `max` bytes that `from` received, by reference; returns how many, 0 when `from` has none.
    /// What `to` does not take stays unread. Payload is copied where it is short, and while most receive buffers are
    /// held by somebody: slow readers of `to` do not silence the device. After every 64 KiB the engine has a turn; what
    /// `from` receives in it is left.
    ///
    /// # Errors
    /// When `to` takes none. [`Error::Full`] and [`Error::PoolExhausted`]: later; an [`Event::Writable`] of `to` tells
    /// when.
    ///
    /// [`Event::Writable`]: crate::Event::Writable
    pub fn splice(&mut self, from: ConnId, to: ConnId, max: usize, flags: SendFlags) -> Result<usize, Error> {
        let clock = || Time::from_nanos(self.clock.now());
        on!(&mut self.stack, engine => engine.splice(from, to, max, flags, clock)).map_err(Error::from)
    }
}

/// How long a file is, if that is known: those below /proc say that they are empty and are not.
pub(crate) fn known_length(file: &File) -> io::Result<Option<u64>> {
    let known = file.metadata()?;
    Ok((known.is_file() && known.len() > 0).then_some(known.len()))
}

/// One read that was not interrupted.
pub(crate) fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(room, offset) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
