//! A receive window that starts small and grows with what arrives, as receivers tune it.

use tcp::wire::TcpFlags;

use super::begins;
use super::segment::{Segment, ahead, read};

/// The window offered.
#[derive(Debug, Default)]
pub(super) struct Autotune {
    /// The shift of its own SYN, which counts only if the sender's SYN had one too (RFC 7323 §2.2).
    shift: u8,
    sender_scales: bool,
    window: u32,
    /// The acknowledgement at which it last grew.
    grown_at: Option<u32>,
    /// The right edge offered, which does not go back (RFC 9293 §3.8.6).
    edge: Option<u32>,
}

impl Autotune {
    /// A segment of the sender arrives.
    pub(super) fn arrives(&mut self, segment: &Segment) {
        if begins(segment) {
            self.sender_scales = segment.options.window_scale.is_some();
        }
    }

    /// Writes the tuned window into a frame, where it is the smaller one.
    pub(super) fn leaves(&mut self, frame: &mut [u8], initial: u32) {
        let Some(segment) = read(frame).filter(|s| begins(s) || s.flags.has(TcpFlags::ACK)) else { return };
        if begins(&segment) {
            let (shift, sender_scales) = (segment.options.window_scale.unwrap_or(0), self.sender_scales);
            *self = Autotune { shift, sender_scales, window: initial, ..Autotune::default() };
            let window = u32::from(segment.window).min(initial) as u16;
            segment.rewrite(frame, segment.ack, window, true);
            return;
        }
        let grown_at = *self.grown_at.get_or_insert(segment.ack);
        if ahead(segment.ack, grown_at) >= self.window as i32 {
            (self.window, self.grown_at) = (self.window.saturating_mul(2).min(1 << 30), Some(segment.ack));
        }
        let shift = if self.sender_scales { self.shift } else { 0 };
        let real = u32::from(segment.window) << shift;
        let tuned = segment.ack.wrapping_add(real.min(self.window));
        let edge = self.edge.filter(|&edge| ahead(edge, tuned) > 0).unwrap_or(tuned);
        self.edge = Some(edge);
        let window = (edge.wrapping_sub(segment.ack) >> shift).min(u32::from(segment.window)) as u16;
        segment.rewrite(frame, segment.ack, window, true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::build;
    use super::*;

    #[test]
    fn rfc7323_the_window_is_scaled_only_if_both_offered_it() {
        for (sender_scales, field) in [(false, 4_000), (true, 500)] {
            let mut tune = Autotune { shift: 3, sender_scales, window: 4_000, ..Autotune::default() };
            let mut frame = build(true, (1, 1), 60_000, 0, &[]);
            tune.leaves(&mut frame, 4_000);
            assert_eq!(read(&frame).map(|s| s.window), Some(field));
        }
    }

    #[test]
    fn the_window_doubles_when_a_whole_one_has_arrived_and_its_edge_never_goes_back() {
        let mut tune = Autotune { window: 4_000, ..Autotune::default() };
        let mut window = |ack, real| {
            let mut frame = build(true, (1, ack), real, 0, &[]);
            tune.leaves(&mut frame, 4_000);
            read(&frame).map(|s| s.window)
        };
        assert_eq!(window(0, 60_000), Some(4_000));
        assert_eq!(window(1_000, 60_000), Some(4_000));
        assert_eq!(window(4_000, 60_000), Some(8_000));
        assert_eq!(window(11_000, 60_000), Some(8_000));
        assert_eq!(window(12_000, 60_000), Some(16_000));
        // Our receiver's own window is the smaller one, and what it closes is its own affair.
        assert_eq!(window(20_000, 5_000), Some(5_000));
    }
}
