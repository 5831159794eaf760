//! Which frames are overtaken, and by how much.

use tcp::{Nanos, Time};

/// Frames that later ones overtake.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Reorder {
    /// The share of frames that are overtaken, 0 to 1.
    pub share: f64,
    /// How far they fall back.
    pub by: FallBack,
}

/// How far a frame falls back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FallBack {
    /// A time drawn evenly from zero to this much.
    Time(Nanos),
    /// Behind so many later frames; where they do not come, it arrives after `patience`.
    Distance {
        /// Frames that overtake it.
        frames: u32,
        /// How long it waits for them at most.
        patience: Nanos,
    },
}

/// Nothing is overtaken.
pub(super) const IN_ORDER: Reorder = Reorder { share: 0.0, by: FallBack::Time(Nanos::ZERO) };

/// Frames that wait until others have overtaken them.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    frames: u32,
    until: Time,
    frame: Vec<u8>,
}

impl Held {
    /// Holds a frame back.
    pub(super) fn hold(&mut self, frames: u32, until: Time, frame: Vec<u8>) {
        self.0.push(Waiting { frames: frames.max(1), until, frame });
    }

    /// When the first of them has waited long enough.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().map(|waiting| waiting.until).min()
    }

    /// A frame passed all of them: those it lets go.
    pub(super) fn passed(&mut self) -> Vec<Vec<u8>> {
        self.0.iter_mut().for_each(|waiting| waiting.frames -= 1);
        self.0.extract_if(.., |waiting| waiting.frames == 0).map(|waiting| waiting.frame).collect()
    }

    /// Those that have waited long enough at `now`.
    pub(super) fn expired(&mut self, now: Time) -> Vec<(Time, Vec<u8>)> {
        self.0.extract_if(.., |waiting| waiting.until <= now).map(|w| (w.until, w.frame)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_waits_for_so_many_others_or_for_so_long() {
        let mut held = Held::default();
        let at = |ms| Time::ZERO + Nanos::from_millis(ms);
        held.hold(3, at(50), vec![1]);
        held.hold(1, at(40), vec![2]);
        assert_eq!(held.next(), Some(at(40)));
        assert_eq!(held.passed(), [[2]]);
        assert!(held.passed().is_empty());
        assert!(held.expired(at(49)).is_empty());
        assert_eq!(held.passed(), [[1]]);
        held.hold(3, at(50), vec![3]);
        assert_eq!(held.expired(at(51)), [(at(50), vec![3])]);
        assert_eq!(held.next(), None);
    }
}
