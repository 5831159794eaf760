//! Both windows: what the peer lets us send, and what we let it send (RFC 9293 §3.8.6, RFC 7323 §2).

use crate::Offset;

/// Below this largest window a segment may fill all of it instead of half (`S8`).
const SMALL_WINDOW: u64 = 512;

/// The peer's window, as an edge in our stream. A FIN occupies the place behind the last byte.
#[derive(Clone, Debug)]
pub(crate) struct SendWindow {
    /// The peer's shift for its window fields.
    pub(crate) scale: u8,
    /// SND.WND, scaled.
    wnd: u64,
    /// SND.UNA + SND.WND when the window was last updated.
    right: Offset,
    /// Largest window the peer ever offered.
    max: u64,
    /// SND.WL1: where the segment of the last update stood in the peer's stream.
    wl1: Offset,
    /// SND.WL2: what it acknowledged.
    wl2: Offset,
}

impl SendWindow {
    pub(crate) fn new() -> SendWindow {
        SendWindow { scale: 0, wnd: 0, right: Offset::ZERO, max: 0, wl1: Offset::ZERO, wl2: Offset::ZERO }
    }

    /// Takes the window of the segment that made the connection known to both sides. On a SYN the field is not
    /// scaled (RFC 7323 §2.2); the caller passes bytes.
    pub(crate) fn begin(&mut self, seq: Offset, ack: Offset, wnd: u64) {
        (self.wl1, self.wl2) = (seq, ack);
        self.set(ack, wnd);
    }

    /// RFC 9293 §3.10.7.4: a newer segment than the last one that did updates the window. Unsigned (MUST-1).
    /// The right edge may move left; then nothing new is sent (SHLD-15).
    pub(crate) fn update(&mut self, seq: Offset, ack: Offset, field: u16) {
        if self.wl1 < seq || (self.wl1 == seq && self.wl2 <= ack) {
            self.begin(seq, ack, self.scaled(field));
        }
    }

    /// A window field of the peer, in bytes.
    pub(crate) fn scaled(&self, field: u16) -> u64 {
        u64::from(field) << self.scale
    }

    fn set(&mut self, ack: Offset, wnd: u64) {
        self.wnd = wnd;
        self.right = ack + wnd;
        self.max = self.max.max(wnd);
    }

    pub(crate) fn wnd(&self) -> u64 {
        self.wnd
    }

    /// The first offset that may not be sent.
    pub(crate) fn right(&self) -> Offset {
        self.right
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Half the largest window ever offered, all of it while that is small: what one segment or burst may fill,
    /// so that two of them keep a small window busy (`S8`).
    pub(crate) fn half(&self) -> u64 {
        if self.max > SMALL_WINDOW { self.max / 2 } else { self.max }
    }
}

/// The window we offer.
///
/// The right edge offered never moves left (SHLD-14), except by what a scaled field cannot express; bytes up to
/// the highest edge ever offered are taken all the same (RFC 7323 §2.4).
#[derive(Clone, Debug)]
pub(crate) struct RecvWindow {
    /// Our shift for our window fields.
    pub(crate) scale: u8,
    /// The highest right edge that left with a segment.
    offered: Offset,
}

/// What a receive window rests on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Room {
    /// The next byte expected.
    pub(crate) next: Offset,
    /// The first byte there is no room for.
    pub(crate) right: Offset,
    /// Bytes of buffer in all.
    pub(crate) capacity: u64,
    /// Payload bytes of a full segment of the peer.
    pub(crate) mss: u64,
}

impl RecvWindow {
    pub(crate) fn new() -> RecvWindow {
        RecvWindow { scale: 0, offered: Offset::ZERO }
    }

    /// The smallest shift that lets a window field express `capacity` bytes; at most 14 (RFC 7323 §2.3).
    pub(crate) fn shift_for(capacity: usize) -> u8 {
        (0..14).find(|&shift| (capacity >> shift) <= usize::from(u16::MAX)).unwrap_or(14)
    }

    /// The window field of a SYN, which is never scaled (RFC 7323 §2.2).
    pub(crate) fn syn_field(room: Room) -> u16 {
        u16::try_from(room.right.since(room.next)).unwrap_or(u16::MAX)
    }

    /// The window field of any other segment. The edge moves right only by something worth sending into:
    /// RFC 9293 §3.8.6.2.2 (MUST-39).
    pub(crate) fn field(&self, room: Room) -> u16 {
        let worth = (room.capacity / 2).min(room.mss);
        let edge = if room.right.since(self.offered) >= worth { room.right } else { self.offered };
        u16::try_from(edge.since(room.next) >> self.scale).unwrap_or(u16::MAX)
    }

    /// Reading made so much room that the peer should hear of it unasked: what may move the edge twice over, so that
    /// a segment read does not cost an ACK of its own; and only when the peer knows of little or the window doubles,
    /// since otherwise the ACKs of what it sends tell it in time.
    pub(crate) fn update_due(&self, room: Room) -> bool {
        let representable = room.right.since(room.next).min(u64::from(u16::MAX) << self.scale);
        let known = self.wnd(room.next);
        let worth = (room.capacity / 2).min(2 * room.mss).max(1);
        representable >= known + worth && (known < 2 * room.mss || representable >= 2 * known)
    }

    /// A segment left that acknowledged `next` and offered `wnd` bytes.
    pub(crate) fn on_sent(&mut self, next: Offset, wnd: u64) {
        self.offered = self.offered.max(next + wnd);
    }

    /// The window as the peer knows it.
    pub(crate) fn wnd(&self, next: Offset) -> u64 {
        self.offered.since(next)
    }
}

folds! { struct SendWindow { scale, wnd, right, max, wl1, wl2 } }
folds! { struct RecvWindow { scale, offered } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn must_1_a_window_with_the_top_bit_set_is_large() {
        let mut w = SendWindow::new();
        w.update(Offset(0), Offset(0), 0xffff);
        assert_eq!((w.wnd(), w.right()), (65535, Offset(65535)));
        w.scale = 14;
        w.update(Offset(0), Offset(10), 0xffff);
        assert_eq!(w.right(), Offset(10 + (65535 << 14)));
    }

    #[test]
    fn rfc9293_an_older_segment_does_not_update_the_window() {
        let mut w = SendWindow::new();
        w.begin(Offset(100), Offset(50), 1000);
        w.update(Offset(99), Offset(60), 5);
        w.update(Offset(100), Offset(49), 5);
        assert_eq!(w.right(), Offset(1050));
        w.update(Offset(100), Offset(50), 2000);
        assert_eq!(w.right(), Offset(2050));
        w.update(Offset(101), Offset(50), 3);
        assert_eq!((w.right(), w.max(), w.half()), (Offset(53), 2000, 1000));
    }

    #[test]
    fn s8_a_small_window_may_be_filled_by_one_segment() {
        let mut w = SendWindow::new();
        w.begin(Offset(0), Offset(0), 512);
        assert_eq!(w.half(), 512);
        w.begin(Offset(0), Offset(0), 514);
        assert_eq!(w.half(), 257);
    }

    fn room(next: u64, right: u64) -> Room {
        Room { next: Offset(next), right: Offset(right), capacity: 10_000, mss: 1000 }
    }

    #[test]
    fn must_39_the_edge_moves_by_a_segment_or_not_at_all() {
        let mut w = RecvWindow::new();
        assert_eq!(w.field(room(0, 10_000)), 10_000);
        w.on_sent(Offset(0), 10_000);
        // 4000 bytes came, 999 were read.
        assert_eq!(w.field(room(4000, 10_999)), 6000);
        assert_eq!(w.field(room(4000, 11_000)), 7000);
        // A buffer of little more than a segment: half of it is enough.
        let small = Room { capacity: 1200, ..room(4000, 10_600) };
        assert_eq!(w.field(small), 6600);
    }

    #[test]
    fn a_window_update_tells_a_peer_that_knows_of_little_or_of_half() {
        let mut w = RecvWindow::new();
        w.on_sent(Offset(0), 3000);
        // 1001 bytes of window are known at 1999; two segments more are worth saying.
        assert!(!w.update_due(room(1999, 4999)));
        assert!(w.update_due(room(1999, 5000)));
        // With 2000 known it is said when it doubles.
        assert!(!w.update_due(room(1000, 4999)));
        assert!(w.update_due(room(1000, 5000)));
        w.on_sent(Offset(1000), 9000);
        assert!(!w.update_due(room(1000, 18_999)));
        assert!(w.update_due(room(1000, 19_000)));
    }

    #[test]
    fn shld_14_the_edge_never_moves_left_but_for_what_scaling_cuts_off() {
        let mut w = RecvWindow::new();
        w.scale = 7;
        assert_eq!(w.field(room(0, 10_000)), 78);
        w.on_sent(Offset(0), 78 << 7);
        assert_eq!(w.field(room(1, 10_000)), 77);
        w.on_sent(Offset(1), 77 << 7);
        assert_eq!(w.wnd(Offset(1)), (78 << 7) - 1);
    }

    #[test]
    fn rfc7323_the_shift_is_as_small_as_it_can_be() {
        assert_eq!(RecvWindow::shift_for(65_535), 0);
        assert_eq!(RecvWindow::shift_for(65_536), 1);
        assert_eq!(RecvWindow::shift_for(1 << 20), 5);
        assert_eq!(RecvWindow::shift_for(1 << 30), 14);
        assert_eq!(RecvWindow::shift_for(usize::MAX), 14);
    }

    #[test]
    fn a_window_wider_than_its_field_is_cut() {
        let w = RecvWindow::new();
        assert_eq!(w.field(room(0, 100_000)), 65535);
        assert_eq!(RecvWindow::syn_field(room(0, 100_000)), 65535);
        assert_eq!(RecvWindow::syn_field(room(0, 5_000)), 5000);
    }
}
