//! When to nudge a driver that lets go of finished frames only while it sends others.

use crate::nic::profile::IdleReclaim;

/// How often a driver is nudged.
#[derive(Debug, Default)]
pub(super) struct Nudge {
    /// Frames that one takes.
    frames: u16,
    /// Frames that were done at the last one.
    done: u64,
    /// Nudges since that number changed.
    in_vain: u32,
    /// Cycle counter at the last one.
    at: u64,
}

impl Nudge {
    /// Cycles between two nudges: tens of microseconds, in which a live peer takes what is in the ring.
    const APART: u64 = 100_000;
    /// A driver keeps back four finished frames at most. When more nudges than that free nothing, the peer takes
    /// nothing either, and further ones would only fill the ring.
    const IN_VAIN: u32 = 8;
    /// Then it is tried this much more seldom: peers come back.
    const PATIENCE: u64 = 1000;

    /// `None` for a driver that needs none.
    pub(super) fn new(idle: IdleReclaim) -> Option<Nudge> {
        match idle {
            IdleReclaim::Nudge(frames) => Some(Nudge { frames, ..Nudge::default() }),
            IdleReclaim::AtOnce | IdleReclaim::Cleanup => None,
        }
    }

    /// One for another queue of the same port.
    pub(super) fn another(&self) -> Nudge {
        Nudge { frames: self.frames, ..Nudge::default() }
    }

    pub(super) fn frames(&self) -> u16 {
        self.frames
    }

    /// Whether one is due, when `done` frames are done and the cycle counter is at `now`; if so, it counts as given.
    pub(super) fn due(&mut self, done: u64, now: u64) -> bool {
        if done != self.done {
            (self.done, self.in_vain) = (done, 0);
        }
        let apart = if self.in_vain < Self::IN_VAIN { Self::APART } else { Self::APART * Self::PATIENCE };
        if now.wrapping_sub(self.at) < apart {
            return false;
        }
        self.at = now;
        self.in_vain = self.in_vain.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nudges_are_rare_and_rarer_in_vain() {
        let mut nudge = Nudge::default();
        let mut sent = 0;
        let mut now = 0;
        for _ in 0..100 {
            now += Nudge::APART / 4;
            sent += u32::from(nudge.due(0, now));
        }
        assert_eq!(sent, Nudge::IN_VAIN, "then it waits");
        now += Nudge::APART;
        assert!(nudge.due(3, now), "something moved: it tries again");
        now += Nudge::APART * Nudge::PATIENCE;
        assert!(nudge.due(3, now));
    }
}
