//! One connection of a run, as the sender sees it.

use sha2::{Digest, Sha256};
use tsonami::{ConnId, ConnStats, Error, FourTuple, LocalEngine, Payload, Time};

/// How far a connection has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The handshake is under way.
    Opening,
    /// It has something to send.
    Sending,
    /// Everything is written and the FIN follows it; the peer has yet to acknowledge all.
    Draining,
    /// Everything is acknowledged; the peer has yet to close.
    Acknowledged,
    /// It is over.
    Over,
}

/// One connection.
pub(crate) struct Flow {
    pub(crate) id: ConnId,
    pub(crate) phase: Phase,
    /// Bytes it is to send in all; `None`: until the time is up.
    pub(crate) quota: Option<u64>,
    /// Bytes the engine took.
    pub(crate) accepted: u64,
    /// Bytes the peer sent us.
    pub(crate) received: u64,
    /// It is in the queue of connections that can take a write.
    pub(crate) ready: bool,
    /// The peer sent its FIN.
    pub(crate) peer_finished: bool,
    /// A payload from registered memory that came back refused, to be offered again.
    pub(crate) refused: Option<Payload>,
    /// Hash of what was accepted.
    pub(crate) hash: Option<Sha256>,
    /// What its handle told when it was given up: its addresses and counts.
    last_words: Option<(Option<FourTuple>, ConnStats)>,
    /// Why it ended early.
    pub(crate) error: Option<Error>,
    /// What the peer had acknowledged when last looked at, and when that last moved.
    pub(crate) acked: u64,
    pub(crate) moved: Time,
}

impl Flow {
    pub(crate) fn new(id: ConnId, quota: Option<u64>, hash: bool, now: Time) -> Flow {
        Flow {
            id,
            phase: Phase::Opening,
            quota,
            accepted: 0,
            received: 0,
            ready: false,
            peer_finished: false,
            refused: None,
            hash: hash.then(Sha256::new),
            last_words: None,
            error: None,
            acked: 0,
            moved: now,
        }
    }

    /// Bytes of its next write when writes are `write` long; zero when everything is written.
    pub(crate) fn next_write(&self, write: usize) -> usize {
        let left = self.quota.map_or(u64::MAX, |quota| quota - self.accepted);
        usize::try_from(left).unwrap_or(usize::MAX).min(write)
    }

    /// Notes bytes that the engine took.
    pub(crate) fn accept(&mut self, bytes: &[u8]) {
        self.accepted += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }

    /// Gives the handle up: the engine ends the connection in good order, without us.
    pub(crate) fn let_go(&mut self, engine: &mut LocalEngine) {
        self.last_words = Some(self.words(engine));
        self.phase = Phase::Over;
        self.refused = None;
        engine.release(self.id);
    }

    /// Its addresses, and what it counted.
    pub(crate) fn words(&self, engine: &LocalEngine) -> (Option<FourTuple>, ConnStats) {
        self.last_words.unwrap_or_else(|| (engine.tuple(self.id), engine.stats(self.id).unwrap_or_default()))
    }

    /// SHA-256 of what was accepted, in hexadecimal.
    pub(crate) fn sha256(&self) -> Option<String> {
        self.hash.clone().map(|hash| crate::hex(&hash.finalize()))
    }
}

/// Shares `total` bytes among `count` connections as evenly as whole bytes allow.
pub(crate) fn share(total: u64, count: u32, index: u32) -> u64 {
    let (each, left) = (total / u64::from(count), total % u64::from(count));
    each + u64::from(u64::from(index) < left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (total, count) in [(10, 3), (7, 8), (1 << 40, 7), (0, 2)] {
            let shares: Vec<u64> = (0..count).map(|i| share(total, count, i)).collect();
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
