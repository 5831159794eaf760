//! A connection as the standard library's traits see one.

use std::io::{self, Read, Write};
use std::time::Duration;

use tcp::conn::SendFlags;

use crate::{Cancel, ConnId, LocalEngine, Payload, Wait};

/// One connection, borrowed from its engine, for code that reads and writes and waits meanwhile (`S2`).
///
/// Timeouts are those of [`std::net::TcpStream`]: after one a call fails with [`io::ErrorKind::WouldBlock`], as on a
/// kernel's socket. [`flush`](Write::flush) has nothing to do: what was written is on its way already. Dropping it closes
/// nothing.
#[derive(Debug)]
pub struct Stream<'e> {
    engine: &'e mut LocalEngine,
    id: ConnId,
    send: Wait,
    receive: Wait,
    /// What the last read left over.
    rest: Option<Payload>,
}

impl LocalEngine {
    /// A connection to read from and to write to. What it has read and not handed over when it is dropped is lost.
    pub fn stream(&mut self, id: ConnId) -> Stream<'_> {
        Stream { engine: self, id, send: Wait::forever(), receive: Wait::forever(), rest: None }
    }
}

impl Stream<'_> {
    /// How long a write waits for room; `None` for ever.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.send.set_timeout(timeout);
    }

    /// How long a read waits for bytes; `None` for ever.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.receive.set_timeout(timeout);
    }

    /// Lets `cancel` end its waits.
    pub fn cancel_by(&mut self, cancel: &Cancel) {
        self.send = std::mem::take(&mut self.send).or(cancel);
        self.receive = std::mem::take(&mut self.receive).or(cancel);
    }

    /// Finishes our direction and waits for the acknowledgement, for the write timeout at most.
    ///
    /// # Errors
    /// Those of [`LocalEngine::finish_wait`].
    pub fn finish(&mut self) -> io::Result<()> {
        Ok(self.engine.finish_wait(self.id, &self.send)?)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.engine.send_wait(self.id, bytes, SendFlags::default(), &self.send)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let piece = match self.rest.take() {
            Some(rest) => rest,
            None => match self.engine.read_wait(self.id, &self.receive)? {
                Some(piece) => piece,
                None => return Ok(0),
            },
        };
        let n = piece.len().min(into.len());
        into[..n].copy_from_slice(&piece[..n]);
        self.rest = (n < piece.len()).then(|| piece.slice(n..));
        Ok(n)
    }
}
