//! Connections as the standard library's and futures' readers and writers: bytes are copied both ways.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tcp::conn::SendFlags;

use super::connection::Connection;
use super::recv_half::RecvHalf;
use super::send_half::SendHalf;
use super::wait::block_on;
use crate::{Error, Payload, Wait};

impl RecvHalf {
    /// Copies what is there, up to the length of `to`; ready with 0 at the end of the stream.
    fn poll_copy_out(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if to.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_read(cx).map_ok(|piece| self.copy_out(piece, to)).map_err(io::Error::from)
    }

    fn copy_out(&mut self, piece: Option<Payload>, to: &mut [u8]) -> usize {
        let Some(piece) = piece else { return 0 };
        let n = piece.len().min(to.len());
        to[..n].copy_from_slice(&piece[..n]);
        self.put_back(piece.slice(n..));
        n
    }
}

/// Blocks until something arrived.
impl io::Read for RecvHalf {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let piece = RecvHalf::read(self).wait(&Wait::forever())?;
        Ok(self.copy_out(piece, to))
    }
}

/// Blocks until something was taken.
impl io::Write for SendHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.try_send_copy(bytes, SendFlags::default()) {
            Err(Error::Full | Error::PoolExhausted) => {
                let taken = poll_fn(|cx| self.poll_send_copy(cx, bytes, SendFlags::default()));
                Ok(block_on(taken, &Wait::forever())??)
            }
            done => Ok(done?),
        }
    }

    /// Does nothing: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl futures_io::AsyncRead for RecvHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_copy_out(cx, to)
    }
}

impl futures_io::AsyncWrite for SendHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send_copy(cx, bytes, SendFlags::default()).map_err(io::Error::from)
    }

    /// Does nothing: what was written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our direction; ready when the peer has everything.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut finish = self.get_mut().finish();
        Future::poll(Pin::new(&mut finish), cx).map_err(io::Error::from)
    }
}

impl io::Read for Connection {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self.receives(), to)
    }
}

impl io::Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self.sends(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(self.sends())
    }
}

impl futures_io::AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().receives().poll_copy_out(cx, to)
    }
}

impl futures_io::AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write(Pin::new(self.get_mut().sends()), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_close(Pin::new(self.get_mut().sends()), cx)
    }
}

#[cfg(feature = "tokio")]
mod for_tokio {
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    impl AsyncRead for RecvHalf {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let n = std::task::ready!(self.get_mut().poll_copy_out(cx, to.initialize_unfilled()))?;
            to.advance(n);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for SendHalf {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            futures_io::AsyncWrite::poll_write(self, cx, bytes)
        }

        /// Does nothing: what was written is on its way.
        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            futures_io::AsyncWrite::poll_flush(self, cx)
        }

        /// Ends our direction; ready when the peer has everything.
        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            futures_io::AsyncWrite::poll_close(self, cx)
        }
    }

    impl AsyncRead for Connection {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            AsyncRead::poll_read(Pin::new(self.get_mut().receives()), cx, to)
        }
    }

    impl AsyncWrite for Connection {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            futures_io::AsyncWrite::poll_write(self, cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            futures_io::AsyncWrite::poll_flush(self, cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            futures_io::AsyncWrite::poll_close(self, cx)
        }
    }
}
