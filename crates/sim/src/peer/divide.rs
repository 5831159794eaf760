//! ACK division: many ACKs for one segment.

use super::begins;
use super::segment::{ahead, read};

/// What was acknowledged last.
#[derive(Debug, Default)]
pub(super) struct Divide {
    acked: Option<u32>,
}

impl Divide {
    /// The ACKs in the place of this one: `pieces`, each for as many bytes as the others.
    pub(super) fn leaves(&mut self, frame: Vec<u8>, pieces: u32) -> Vec<Vec<u8>> {
        let Some(segment) = read(&frame) else { return vec![frame] };
        let last = self.acked.replace(segment.ack);
        let Some(last) = last.filter(|_| segment.is_bare_ack() && !begins(&segment)) else {
            return vec![frame];
        };
        let news = ahead(segment.ack, last).max(0) as u32;
        let pieces = pieces.min(news).max(1);
        let piece = |k: u32| {
            let mut copy = frame.clone();
            let ack = last.wrapping_add((u64::from(news) * u64::from(k) / u64::from(pieces)) as u32);
            segment.rewrite(&mut copy, ack, segment.window, k == pieces);
            copy
        };
        match news {
            0 => vec![frame],
            _ => (1..=pieces).map(piece).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::build;
    use super::*;

    #[test]
    fn an_ack_comes_in_pieces_that_end_where_it_would() {
        let mut divide = Divide::default();
        let mut leaves = |ack| {
            let out = divide.leaves(build(true, (1, ack), 100, 0, &[]), 4);
            out.iter().filter_map(|f| read(f)).map(|s| s.ack).collect::<Vec<_>>()
        };
        assert_eq!(leaves(1), [1]);
        assert_eq!(leaves(1_001), [251, 501, 751, 1_001]);
        assert_eq!(leaves(1_001), [1_001]);
        assert_eq!(leaves(1_003), [1_002, 1_003]);
    }
}
