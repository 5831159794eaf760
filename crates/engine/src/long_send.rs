//! Long sends that transmit as they go (`S20`).
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

/// Bytes taken between two turns: the largest burst, and some microseconds. Only a single payload that is longer, and is
/// referred to, passes by at once.
pub const BITE: usize = 64 << 10;

/// When a send call gives the loop its turn. A call that takes no more than a bite needs none.
#[derive(Debug)]
pub(crate) struct Turns<C> {
    /// Tells the time of each.
    clock: C,
    /// Bytes taken since the last.
    since: usize,
}

impl<C: FnMut() -> Time> Turns<C> {
    pub(crate) fn new(clock: C) -> Turns<C> {
        Turns { clock, since: 0 }
    }

    /// Bytes that may be taken before the next turn.
    fn left(&self) -> usize {
        BITE.saturating_sub(self.since)
    }

    /// `bytes` were taken.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.since = self.since.saturating_add(bytes);
    }
}

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
        clock: impl FnMut() -> Time,
    ) -> Result<usize, SendError<()>> {
        self.send_in_bites(id, bytes, flags, &mut Turns::new(clock))
    }

    /// The same as a part of a call that sends more.
    pub(crate) fn send_in_bites<C: FnMut() -> Time>(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        flags: SendFlags,
        turns: &mut Turns<C>,
    ) -> Result<usize, SendError<()>> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            let bite = rest.len().min(turns.left());
            let last = bite == rest.len();
            match self.send_copy(id, &rest[..bite], if last { flags } else { flags.of_a_part() }) {
                Ok(n) => {
                    taken += n;
                    turns.took(n);
                }
                Err(e) if taken == 0 => return Err(e),
                Err(_) => return Ok(taken),
            }
            if last {
                return Ok(taken);
            }
            self.take_turn(turns);
        }
    }

    /// Before `bytes` are taken whole: a turn, unless the bite that was begun has room for them.
    pub(crate) fn turn_before<C: FnMut() -> Time>(&mut self, bytes: usize, turns: &mut Turns<C>) {
        if turns.since > 0 && bytes > turns.left() {
            self.take_turn(turns);
        }
    }

    fn take_turn<C: FnMut() -> Time>(&mut self, turns: &mut Turns<C>) {
        turns.since = 0;
        self.poll((turns.clock)());
    }
}
