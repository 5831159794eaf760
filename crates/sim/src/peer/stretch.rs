//! Stretch ACKs: one for many segments.

use tcp::{Nanos, Time};

use super::begins;
use super::segment::{ahead, read};

/// An ACK that waits for more to acknowledge.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// The last acknowledgement that left.
    acked: Option<u32>,
    held: Option<(Time, Vec<u8>)>,
}

impl Stretch {
    /// What leaves in the place of this frame.
    pub(super) fn leaves(&mut self, now: Time, frame: Vec<u8>, bytes: u32, hold: Nanos) -> Vec<Vec<u8>> {
        let Some(segment) = read(&frame) else { return vec![frame] };
        let news = self.acked.map_or(0, |acked| ahead(segment.ack, acked));
        // Duplicates, SACK, window updates and data cannot wait, nor what frees the sender from a closed window.
        let urgent =
            !segment.is_bare_ack() || begins(&segment) || news <= 0 || segment.sack().next().is_some();
        let held = self.held.take();
        if urgent || news >= bytes as i32 || segment.window == 0 {
            self.acked = Some(segment.ack);
            let behind = held.map(|(_, held)| held).filter(|_| !segment.is_bare_ack());
            return behind.into_iter().chain([frame]).collect();
        }
        // The newer ACK says what the older did, and more.
        self.held = Some((held.map_or(now + hold, |(until, _)| until), frame));
        Vec::new()
    }

    /// When the ACK that waits leaves at the latest.
    pub(super) fn next(&self) -> Option<Time> {
        self.held.as_ref().map(|(until, _)| *until)
    }

    /// It, if that has come.
    pub(super) fn expired(&mut self, now: Time) -> Option<Vec<u8>> {
        let (_, frame) = self.held.take_if(|(until, _)| *until <= now)?;
        self.acked = read(&frame).map(|segment| segment.ack);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::build;
    use super::*;

    #[test]
    fn one_ack_for_many_segments_or_after_a_while() {
        let mut stretch = Stretch::default();
        let ms = Nanos::from_millis;
        let mut leaves = |at, ack| {
            let out = stretch.leaves(Time::ZERO + ms(at), build(true, (1, ack), 100, 0, &[]), 4_000, ms(50));
            out.iter().filter_map(|f| read(f)).map(|s| s.ack).collect::<Vec<_>>()
        };
        assert_eq!(leaves(0, 1), [1]);
        assert_eq!(leaves(1, 1_001), []);
        assert_eq!(leaves(2, 3_001), []);
        assert_eq!(leaves(3, 4_001), [4_001]);
        assert_eq!(leaves(4, 5_001), []);
        // The same again: a duplicate ACK, at once.
        assert_eq!(leaves(5, 4_001), [4_001]);
        assert_eq!(leaves(6, 5_001), []);
        assert_eq!(stretch.next(), Some(Time::ZERO + ms(56)));
        assert_eq!(stretch.expired(Time::ZERO + ms(55)), None);
        assert!(stretch.expired(Time::ZERO + ms(56)).is_some());
        assert_eq!(stretch.next(), None);
    }
}
