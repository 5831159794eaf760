//! Long copying sends that transmit as they go (`S20`).
//!
//! Linux does so inside of `sendmsg`: it pushes what it has copied whenever that is half the window, or the first
//! segment of an idle connection, and takes in the ACKs that came meanwhile. Here the loop has its turn after every bite,
//! which does all of it and for every connection: nobody waits for a long copy. Where PSH stands is the protocol's
//! business.

use tcp::Time;
use tcp::conn::SendFlags;

use crate::engine::Engine;
use crate::error::SendError;
use crate::flow::ConnId;
use crate::nic::Nic;

/// Bytes copied between two turns: the largest burst, and some microseconds.
pub const BITE: usize = 64 << 10;

impl<N: Nic> Engine<N> {
    /// Like [`send_copy`](Engine::send_copy), with a turn of the loop after each [`BITE`]: a long send is on its way
    /// while it is copied, and acknowledgements make room for more of it. Nothing longer than a bite needs no turn.
    /// `clock` tells the time of each. What happens in them is told by [`poll_event`](Engine::poll_event) as ever.
    ///
    /// # Errors
    /// As for `send_copy`.
    pub fn send_long(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        flags: SendFlags,
        mut clock: impl FnMut() -> Time,
    ) -> Result<usize, SendError<()>> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if rest.len() <= BITE {
                return match self.send_copy(id, rest, flags) {
                    Err(e) if taken == 0 => Err(e),
                    last => Ok(taken + last.unwrap_or(0)),
                };
            }
            match self.send_copy(id, &rest[..BITE], flags.of_a_part()) {
                Ok(n) => taken += n,
                Err(e) if taken == 0 => return Err(e),
                Err(_) => return Ok(taken),
            }
            self.poll(clock());
        }
    }
}
