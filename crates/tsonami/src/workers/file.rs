//! Files into connections (`S1`): the kernel reads them straight into memory that the device reads from.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tcp::conn::SendFlags;

use super::send_half::{SendHalf, SendWithError};
use super::wait::block_on;
use crate::send::{known_length, read_at};
use crate::{Error, Wait};

impl SendHalf {
    /// Sends up to `length` bytes of `file` from `offset` on; returns how many, fewer where the room or the file ends. Where
    /// the file does, there ends the send, with these flags. The thread reads the file itself, so it waits as long as the
    /// disk does.
    ///
    /// # Errors
    /// When it takes none: what is wrong with the file, or the [`Error`] of the connection inside.
    pub fn try_send_file(
        &mut self,
        file: &File,
        offset: u64,
        length: usize,
        flags: SendFlags,
    ) -> io::Result<usize> {
        let known = known_length(file)?.map(|known| known.saturating_sub(offset).max(1));
        let length = known.map_or(length as u64, |known| known.min(length as u64));
        let mut sent = 0;
        while sent < length {
            match self.send_some(file, offset + sent, length - sent, flags) {
                // What is there was sent as a part of more.
                Ok(0) => {
                    self.end_send(flags);
                    break;
                }
                Ok(n) => sent += n as u64,
                Err(_) if sent > 0 => break,
                Err(SendWithError::Refused(reason)) => return Err(reason.into()),
                Err(SendWithError::Source(error)) => return Err(error),
            }
        }
        Ok(usize::try_from(sent).unwrap_or(usize::MAX))
    }

    /// Sends `length` bytes of `file` from `offset` on, or all that it has there if that is less, waiting for room as often
    /// as need be. Ready with how many that were. Dropped before it is ready, some may have been sent:
    /// [`marks`](SendHalf::marks) tell. The thread that polls it reads the file itself.
    pub fn send_file<'a>(
        &'a mut self,
        file: &'a File,
        offset: u64,
        length: u64,
        flags: SendFlags,
    ) -> SendingFile<'a> {
        SendingFile { half: self, file, offset, length, promised: None, flags, sent: 0 }
    }

    /// One step of [`send_file`](SendHalf::send_file): ready with how many bytes were sent; 0 when the file has none there.
    ///
    /// # Errors
    /// What is wrong with the file, or inside how the connection ended.
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: u64,
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        let sent = self.poll_until(cx, 1, |half| match half.send_some(file, offset, length, flags) {
            Ok(0) => {
                half.end_send(flags);
                Ok(Ok(0))
            }
            Ok(n) => Ok(Ok(n)),
            Err(SendWithError::Refused(reason)) => Err(reason),
            Err(SendWithError::Source(error)) => Ok(Err(error)),
        });
        sent.map(|sent| sent.unwrap_or_else(|reason| Err(reason.into())))
    }

    /// One buffer of a file. Unless it is the last of `length` it is a part of more.
    fn send_some(
        &mut self,
        file: &File,
        offset: u64,
        length: u64,
        flags: SendFlags,
    ) -> Result<usize, SendWithError<io::Error>> {
        self.try_send_with(usize::try_from(length).unwrap_or(usize::MAX), |room| {
            let n = read_at(file, room, offset)?;
            Ok((n, if n as u64 == length { flags } else { flags.of_a_part() }))
        })
    }
}

/// Why a file was not sent to its end, and how much of it was.
#[derive(Debug)]
pub struct SendFileError {
    /// Bytes of it that the connection took, from the offset on: these are delivered.
    pub sent: u64,
    /// Why there are no more.
    pub reason: SendFileReason,
}

/// See [`SendFileError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum SendFileReason {
    /// The file ended earlier than it was to: it was cut short while it was sent.
    CutShort,
    /// It could not be read.
    Read(io::Error),
    /// The connection ended, or the wait was over.
    Connection(Error),
}

impl fmt::Display for SendFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.sent;
        match &self.reason {
            SendFileReason::CutShort => {
                write!(f, "the file was cut short while it was sent: it ended {sent} bytes on")
            }
            SendFileReason::Read(error) => write!(f, "the file cannot be read {sent} bytes on: {error}"),
            SendFileReason::Connection(error) => write!(f, "{sent} bytes of the file were sent: {error}"),
        }
    }
}

impl std::error::Error for SendFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            SendFileReason::CutShort => None,
            SendFileReason::Read(error) => Some(error),
            SendFileReason::Connection(error) => Some(error),
        }
    }
}

impl From<SendFileError> for io::Error {
    fn from(error: SendFileError) -> io::Error {
        let kind = match &error.reason {
            SendFileReason::CutShort => io::ErrorKind::UnexpectedEof,
            SendFileReason::Read(error) => error.kind(),
            SendFileReason::Connection(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// See [`SendHalf::send_file`].
#[derive(Debug)]
#[must_use = "it sends when it is awaited or waited for"]
pub struct SendingFile<'a> {
    half: &'a mut SendHalf,
    file: &'a File,
    offset: u64,
    length: u64,
    /// The length that the file had when the send began, as far as it is to be sent; 0 when that is not known.
    promised: Option<u64>,
    flags: SendFlags,
    sent: u64,
}

impl Future for SendingFile<'_> {
    type Output = Result<u64, SendFileError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let promised = match this.promised {
            Some(promised) => promised,
            None => match known_length(this.file) {
                Ok(known) => {
                    let known = known.map(|known| known.saturating_sub(this.offset));
                    this.length = known.map_or(this.length, |known| known.min(this.length));
                    *this.promised.insert(known.map_or(0, |_| this.length))
                }
                Err(error) => return Poll::Ready(Err(this.failed(SendFileReason::Read(error)))),
            },
        };
        while this.sent < this.length {
            let (at, left) = (this.offset + this.sent, this.length - this.sent);
            match this.half.poll_send_file(cx, this.file, at, left, this.flags) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if this.sent < promised => {
                    return Poll::Ready(Err(this.failed(SendFileReason::CutShort)));
                }
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(n)) => this.sent += n as u64,
                Poll::Ready(Err(error)) => {
                    let reason = match error.downcast::<Error>() {
                        Ok(error) => SendFileReason::Connection(error),
                        Err(error) => SendFileReason::Read(error),
                    };
                    return Poll::Ready(Err(this.failed(reason)));
                }
            }
        }
        Poll::Ready(Ok(this.sent))
    }
}

impl SendingFile<'_> {
    /// Blocks until all was taken.
    ///
    /// # Errors
    /// Why not, and how much was; [`Error::WaitTimedOut`] and [`Error::Cancelled`] among the reasons.
    pub fn wait(mut self, wait: &Wait) -> Result<u64, SendFileError> {
        match block_on(&mut self, wait) {
            Ok(sent) => sent,
            Err(error) => Err(self.failed(SendFileReason::Connection(error))),
        }
    }

    fn failed(&self, reason: SendFileReason) -> SendFileError {
        SendFileError { sent: self.sent, reason }
    }
}
