//! SACK reneging (RFC 2018 §8): bytes that were reported are thrown away, and must be sent again.

use tcp::wire::TcpFlags;

use super::begins;
use super::segment::{Segment, ahead, read};
use crate::rng::Rng;

/// What was reported, and what of it is forgotten.
#[derive(Debug, Default)]
pub(super) struct Renege {
    /// Ranges reported by SACK beyond the acknowledgement.
    reported: Vec<(u32, u32)>,
    /// Ranges that the sender must send again, though our receiver has them.
    forgotten: Vec<(u32, u32)>,
    /// The sender is at its end: a receiver that has all of a stream forgets nothing of it any more.
    over: bool,
    /// The timestamp of the newest segment that brought the first of what is forgotten: our receiver, who has it all, takes
    /// it for a duplicate and does not note its timestamp (RFC 7323 §4.3).
    echo: Option<u32>,
    /// Some of what is forgotten has just arrived: our receiver says that it has it twice, the reneging one does not.
    brought: bool,
}

impl Renege {
    /// A segment of the sender arrives: what it brings is known again.
    pub(super) fn arrives(&mut self, segment: &Segment) {
        if begins(segment) {
            *self = Renege::default();
        }
        if segment.flags.any(TcpFlags::FIN | TcpFlags::RST) {
            self.over = true;
            self.forgotten.clear();
        }
        let (start, end) = (segment.seq, segment.seq.wrapping_add(segment.len()));
        let rest = |&(left, right): &(u32, u32)| {
            let before = (left, if ahead(right, start) < 0 { right } else { start });
            let after = (if ahead(left, end) > 0 { left } else { end }, right);
            [before, after].into_iter().filter(|(left, right)| ahead(*right, *left) > 0).collect::<Vec<_>>()
        };
        let brings = |&(left, right): &(u32, u32)| ahead(end, left) > 0 && ahead(right, start) > 0;
        if self.forgotten.first().is_some_and(brings) {
            self.echo = segment.options.timestamps.map(|times| times.val).or(self.echo);
        }
        self.brought |= self.forgotten.iter().any(brings);
        if segment.len() > 0 {
            self.forgotten = self.forgotten.iter().flat_map(rest).collect();
        }
    }

    /// Rewrites an ACK so that it says nothing of what is forgotten; with probability `p` more is forgotten when a gap
    /// closes.
    pub(super) fn leaves(&mut self, frame: &mut [u8], p: f64, rng: &mut Rng) {
        if let (Some(segment), Some(value)) = (read(frame), self.echo) {
            segment.echo(frame, value);
        }
        let Some(segment) = read(frame) else { return };
        let covered: Vec<_> =
            self.reported.extract_if(.., |(left, _)| ahead(segment.ack, *left) > 0).collect();
        if !self.over && !covered.is_empty() && rng.chance(p) {
            self.forgotten.extend(covered);
            self.forgotten.sort_by(|a, b| ahead(a.0, b.0).cmp(&0));
        }
        for block in segment.sack() {
            if ahead(block.0, segment.ack) > 0 && !self.reported.contains(&block) {
                // A block that grew takes the place of what it was.
                self.reported.retain(|old| ahead(old.0, block.0) < 0 || ahead(old.1, block.1) > 0);
                self.reported.push(block);
            }
        }
        if let Some(&(first, _)) = self.forgotten.first()
            && ahead(segment.ack, first) > 0
        {
            segment.rewrite(frame, first, segment.window, false);
        } else if std::mem::take(&mut self.brought) {
            segment.rewrite(frame, segment.ack, segment.window, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::build;
    use super::*;

    #[test]
    fn rfc2018_what_was_reported_is_acknowledged_only_when_it_was_sent_again() {
        let (mut renege, mut rng) = (Renege::default(), Rng::new(1));
        let mut ack = |renege: &mut Renege, ack, sack: &[(u32, u32)]| {
            let mut frame = build(true, (1, ack), 100, 0, sack);
            renege.leaves(&mut frame, 1.0, &mut rng);
            read(&frame).map(|s| (s.ack, s.sack().count()))
        };
        let arrives = |renege: &mut Renege, seq, len| {
            let frame = build(false, (seq, 1), 100, len, &[]);
            renege.arrives(&read(&frame).expect("whole"));
        };
        assert_eq!(ack(&mut renege, 1_000, &[(2_000, 4_000)]), Some((1_000, 1)));
        // The gap closes: our receiver has all up to 4000, the reneging one up to 2000.
        arrives(&mut renege, 1_000, 1_000);
        assert_eq!(ack(&mut renege, 4_000, &[]), Some((2_000, 0)));
        arrives(&mut renege, 4_000, 1_000);
        assert_eq!(ack(&mut renege, 5_000, &[]), Some((2_000, 0)));
        arrives(&mut renege, 2_000, 1_000);
        assert_eq!(ack(&mut renege, 5_000, &[(2_000, 3_000)]), Some((3_000, 0)));
        arrives(&mut renege, 2_500, 1_500);
        assert_eq!(ack(&mut renege, 5_000, &[]), Some((5_000, 0)));
    }

    #[test]
    fn a_receiver_that_has_the_whole_stream_forgets_nothing() {
        let (mut renege, mut rng) = (Renege::default(), Rng::new(1));
        let mut frame = build(true, (1, 1_000), 100, 0, &[(2_000, 4_000)]);
        renege.leaves(&mut frame, 1.0, &mut rng);
        let mut fin = read(&build(false, (4_000, 1), 100, 0, &[])).expect("whole");
        fin.flags |= TcpFlags::FIN;
        renege.arrives(&fin);
        let mut frame = build(true, (1, 4_001), 100, 0, &[]);
        renege.leaves(&mut frame, 1.0, &mut rng);
        assert_eq!(read(&frame).map(|s| s.ack), Some(4_001));
    }
}
