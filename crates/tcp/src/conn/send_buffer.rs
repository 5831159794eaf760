//! How much may wait in the send queue, and who waits for room in it (`S4`, `S5`).
//!
//! The limit is one on memory: [`SendQueue::charge`] says what counts. A buffer of fixed size is the user's word.
//! Any other begins small and grows with the congestion window, as Linux's `tcp_sndbuf_expand` does: what is in the
//! network may be as much as the window, and as much again has to wait, or the window would run empty until the
//! application has heard of an ACK and written; a controller that keeps its window over a recovery needs a third. It never
//! shrinks, except while the core is short of memory.

use super::config::ConnConfig;
use super::send_queue::{CHUNK_COST, Cost, SendQueue};
use super::{Connection, WriteErrorKind};
use crate::{Event, Payload};

/// What a buffer that tunes itself begins with: two bursts of 64 KiB, one to send and one to fill.
const FIRST: u64 = 128 << 10;

/// Segments that even a new connection may have in the network (RFC 6928).
const LEAST_WINDOW: u64 = 10;

/// A writer that was refused. Its [`Event::Writable`] is outstanding.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Waiter {
    /// Bytes of buffer it needs.
    wanted: u64,
    /// For a further piece of a buffer that is held anyway.
    shared: bool,
}

/// The limit of a send queue.
#[derive(Clone, Debug)]
pub(crate) struct SendBuffer {
    limit: u64,
    /// What it may grow to; `None`: it is fixed.
    max: Option<u64>,
    /// Memory is short: it does not grow.
    pressed: bool,
    /// A congestion window beyond this asks for more.
    enough_for: u64,
    /// Bytes never sent that stop the writer.
    lowat: u64,
    waiter: Option<Waiter>,
}

impl SendBuffer {
    pub(crate) fn new(cfg: &ConnConfig) -> SendBuffer {
        let max = cfg.send_buffer_max as u64;
        let mut buffer = SendBuffer {
            limit: cfg.send_buffer.map_or(FIRST.min(max), |bytes| bytes as u64),
            max: cfg.send_buffer.is_none().then_some(max),
            pressed: false,
            enough_for: 0,
            lowat: cfg.notsent_lowat.map_or(u64::MAX, |bytes| bytes.max(1) as u64),
            waiter: None,
        };
        buffer.note_enough();
        buffer
    }

    /// It is kept smaller than it would be, for memory is short.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed && self.max.is_some()
    }

    /// Bytes of limit.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Fixes it.
    pub(crate) fn fix(&mut self, bytes: u64) {
        (self.limit, self.max) = (bytes, None);
        self.note_enough();
    }

    pub(crate) fn set_lowat(&mut self, bytes: Option<usize>) {
        self.lowat = bytes.map_or(u64::MAX, |bytes| bytes.max(1) as u64);
    }

    /// Something besides an ACK may make room: sending does where the unsent is bounded.
    pub(crate) fn waits_for_sending(&self) -> bool {
        self.waiter.is_some() && self.lowat != u64::MAX
    }

    /// Bytes a write may bring now, where a segment has `mss`. An empty queue has room for a segment, whatever the limit
    /// (`S5`): nobody would ever wake a writer that waits for one to empty, and bytes one by one help nobody. So does one
    /// with less unsent than the bound on that, as far as there is memory: what is cut shorter leaves as a short segment
    /// when its writer waits.
    pub(crate) fn room<P: Payload>(&self, queue: &SendQueue<P>, mss: impl FnOnce() -> u64) -> u64 {
        // No segment is longer than that: its length need not be known.
        let a_segment = |bytes: u64| if bytes < u64::from(u16::MAX) { bytes.max(mss()) } else { bytes };
        let free = self.limit.saturating_sub(queue.charge(true) + CHUNK_COST);
        match self.lowat.saturating_sub(unsent(queue)) {
            _ if queue.is_empty() => a_segment(free.min(self.lowat)),
            0 => 0,
            below => free.min(a_segment(below)),
        }
    }

    /// Whether `payload` is taken, as a whole. An empty queue takes any length: what is larger than the limit would
    /// never be taken otherwise. So does a queue with less unsent than the bound on that, as Linux does.
    pub(crate) fn admits<P: Payload>(&self, queue: &SendQueue<P>, payload: &P) -> bool {
        if queue.is_empty() || payload.is_empty() {
            return true;
        }
        let Cost { bytes, slack, shared } = queue.cost(payload);
        // A further piece of a buffer that is held anyway holds no more memory.
        queue.charge(!shared) + bytes + slack <= self.limit && unsent(queue) < self.lowat
    }

    /// A writer was refused that needs `wanted` bytes of buffer; for a buffer that is held anyway when `shared`.
    pub(crate) fn refused(&mut self, wanted: u64, shared: bool) {
        self.waiter = Some(Waiter { wanted, shared });
    }

    /// Whether it is time to wake the waiter: a third is free, and what it needs, or everything; and less than half of the
    /// unsent's bound. Less would wake it for every ACK, and again at once.
    pub(crate) fn wakes<P: Payload>(&self, queue: &SendQueue<P>) -> bool {
        self.waiter.is_some_and(|Waiter { wanted, shared }| {
            // A limit that the least write exceeds has no third that could be free.
            let room = self
                .limit
                .checked_sub(queue.charge(!shared) + CHUNK_COST)
                .is_some_and(|free| free.saturating_mul(3) >= self.limit && free + CHUNK_COST >= wanted);
            queue.is_empty() || (room && unsent(queue).saturating_mul(2) < self.lowat)
        })
    }

    pub(crate) fn has_waiter(&self) -> bool {
        self.waiter.is_some()
    }

    /// The waiter was told.
    pub(crate) fn woken(&mut self) {
        self.waiter = None;
    }

    /// The congestion window is `cwnd` bytes: does it ask for more buffer?
    pub(crate) fn is_short_for(&self, cwnd: u64) -> bool {
        cwnd > self.enough_for
    }

    /// Grows so that `windows` times `cwnd` has room, and twice `wanted`: one such write waits while another is in the
    /// network.
    pub(crate) fn grow<P: Payload>(
        &mut self,
        queue: &SendQueue<P>,
        (windows, cwnd): (u64, u64),
        mss: u64,
        wanted: u64,
    ) {
        let Some(max) = self.max.filter(|_| !self.pressed) else { return };
        let window = cwnd.max(LEAST_WINDOW * mss);
        let bytes = queue.end().since(queue.una());
        // What a byte really costs: small pieces, or pieces of large buffers, cost more than their length.
        let charged = queue.charge(true).max(bytes + bytes / mss.max(1) * CHUNK_COST);
        let cost = |window: u64| match bytes {
            0 => window + window / mss.max(1) * CHUNK_COST,
            _ => {
                (u128::from(window) * u128::from(charged)).div_ceil(u128::from(bytes)).min(max.into()) as u64
            }
        };
        self.limit = self.limit.max((windows * cost(window)).max(2 * wanted).min(max));
        // Asked again when the window has grown by an eighth: not for every ACK.
        self.enough_for = if self.limit < max { window + window / 8 } else { u64::MAX };
    }

    /// Memory is short, or no more. While it is, a buffer that tunes itself does not grow; when it is said again it
    /// shrinks to half of what it holds (Linux: `sk_stream_moderate_sndbuf`), but keeps room for `least` bytes.
    pub(crate) fn on_pressure<P: Payload>(&mut self, queue: &SendQueue<P>, pressed: bool, least: u64) {
        self.pressed = pressed;
        if pressed && self.max.is_some() {
            self.limit = self.limit.min((queue.charge(true) / 2).max(least));
        }
        self.note_enough();
    }

    fn note_enough(&mut self) {
        let grows = self.max.is_some_and(|max| self.limit < max && !self.pressed);
        self.enough_for = if grows { self.limit / 2 } else { u64::MAX };
    }
}

/// Bytes that were never sent.
fn unsent<P: Payload>(queue: &SendQueue<P>) -> u64 {
    queue.end().since(queue.nxt())
}

impl<P: Payload> Connection<P> {
    /// Bytes that a [`write`](Connection::write) may bring now.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.send_buffer.room(&self.queue, || self.mss().into())).unwrap_or(usize::MAX)
    }

    /// A write was refused and its [`Event::Writable`] is outstanding (`S4`).
    pub fn awaits_room(&self) -> bool {
        self.send_buffer.has_waiter()
    }

    /// For a writer of unknown length: `Ok` when there is [`capacity`](Connection::capacity), if need be after the buffer grew.
    /// When there is none it makes [`poll_transmit`](Connection::poll_transmit) productive.
    ///
    /// # Errors
    /// Why not; when that is [`Full`](WriteErrorKind::Full), [`Event::Writable`] follows as after a refused write.
    pub fn wait_for_room(&mut self) -> Result<(), WriteErrorKind> {
        if let Some(reason) = self.write_closed() {
            return Err(reason);
        }
        if self.capacity() > 0 {
            return Ok(());
        }
        self.grow_send_buffer(0);
        if self.capacity() > 0 {
            return Ok(());
        }
        self.refuse_write(0, false);
        Err(WriteErrorKind::Full)
    }

    /// Whether the queue takes `payload`, after it grew for it if it may. If not, its writer waits.
    pub(super) fn admit(&mut self, payload: &P) -> bool {
        if self.send_buffer.admits(&self.queue, payload) {
            return true;
        }
        let Cost { bytes, slack, shared } = self.queue.cost(payload);
        self.grow_send_buffer(bytes + slack);
        if self.send_buffer.admits(&self.queue, payload) {
            return true;
        }
        self.refuse_write(bytes + slack, shared);
        false
    }

    /// A writer waits from now on. What is queued is let out before, however short it is, or the writer and a segment held
    /// back by Nagle's algorithm, by cork or by `more` would wait for each other (`S4`; Linux pushes before it
    /// waits for memory).
    fn refuse_write(&mut self, wanted: u64, shared: bool) {
        self.send_buffer.refused(wanted, shared);
        self.push_before_waiting();
        self.tell_writable();
    }

    /// A writer waits for memory that its connection knows nothing of: what is queued is let out before, as when the send
    /// buffer is full. It makes [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn push_before_waiting(&mut self) {
        if self.queue.nxt() < self.queue.end() {
            self.cork.push_out();
        }
    }

    /// After room was made: tells a writer that was refused.
    pub(super) fn tell_writable(&mut self) {
        if self.send_buffer.wakes(&self.queue) {
            self.send_buffer.woken();
            self.events.push(Event::Writable);
        }
    }

    /// The congestion window may have grown.
    pub(super) fn tune_send_buffer(&mut self) {
        if self.send_buffer.is_short_for(self.cc.cwnd()) {
            self.grow_send_buffer(0);
        }
    }

    fn grow_send_buffer(&mut self, wanted: u64) {
        let mss = u64::from(self.mss());
        // Whoever keeps the window over a recovery has sent a further one by the time what was lost has arrived (Linux:
        // `bbr_sndbuf_expand`).
        let windows = if self.cc.runs_recovery() { 3 } else { 2 };
        self.send_buffer.grow(&self.queue, (windows, self.cc.cwnd()), mss, wanted);
        self.tell_writable();
    }

    /// Tells whether memory is short where this connection lives (`S5`). While it is, a send buffer that tunes itself
    /// does not grow, and shrinks to half of what it holds each time this is said, though never below two segments.
    /// One of fixed size stays as it is. Say it before a write, or before somebody is told to write.
    pub fn on_memory_pressure(&mut self, pressed: bool) {
        let least = 2 * (u64::from(self.mss()) + CHUNK_COST) + CHUNK_COST;
        self.send_buffer.on_pressure(&self.queue, pressed, least);
        self.tell_writable();
    }

    /// Bytes of memory that the send queue is charged for (`S4`).
    pub fn queued_memory(&self) -> u64 {
        self.queue.charge(true)
    }
}

folds! { struct Waiter { wanted, shared } }
folds! { struct SendBuffer { limit, max, pressed, enough_for, lowat, waiter } }

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Offset;
    use crate::conn::SendFlags;
    use crate::testing::TestBuf;

    fn fixed(bytes: usize) -> SendBuffer {
        SendBuffer::new(&ConnConfig { send_buffer: Some(bytes), ..ConnConfig::default() })
    }

    fn buffer(len: usize) -> TestBuf {
        TestBuf::from(&vec![0; len][..])
    }

    /// Writes when it is admitted.
    fn write(b: &SendBuffer, q: &mut SendQueue<TestBuf>, payload: TestBuf) -> bool {
        let admitted = b.admits(q, &payload);
        if admitted {
            q.write(payload, SendFlags::default());
        }
        q.check_invariants();
        admitted
    }

    fn acknowledge(q: &mut SendQueue<TestBuf>, to: u64) {
        q.commit(to.saturating_sub(q.nxt().0));
        q.acknowledge(Offset(to));
        q.check_invariants();
    }

    #[test]
    fn s4_each_chunk_is_charged_so_that_tiny_writes_are_bounded() {
        let (b, mut q) = (fixed(6500), SendQueue::new());
        let mut taken = 0;
        while write(&b, &mut q, buffer(1)) {
            taken += 1;
        }
        assert_eq!(taken, 100);
        acknowledge(&mut q, 40);
        // What is acknowledged is charged no more, though it was not reclaimed.
        assert_eq!(b.room(&q, || 10), 6500 - 60 - 61 * CHUNK_COST);
    }

    #[test]
    fn s4_a_small_piece_of_a_large_buffer_is_charged_for_all_of_it() {
        let (b, mut q) = (fixed(10_000), SendQueue::new());
        for _ in 0..2 {
            assert!(write(&b, &mut q, buffer(4000).slice(100..110)));
        }
        assert_eq!((q.charge(true), q.charge(false)), (2 * 4064, 2 * 74));
        assert!(!write(&b, &mut q, buffer(4000).slice(100..110)), "a third would hold 12 000 bytes");
        assert!(write(&b, &mut q, buffer(10)), "10 bytes that hold 10 do not");
        acknowledge(&mut q, 10);
        assert!(write(&b, &mut q, buffer(4000).slice(100..110)), "the first went home");
        acknowledge(&mut q, 40);
        assert_eq!((q.charge(true), q.is_empty()), (0, true));
    }

    #[test]
    fn s4_pieces_of_one_buffer_are_charged_for_it_once() {
        let (b, mut q) = (fixed(100_000), SendQueue::new());
        let (headers, body) = (buffer(2000), buffer(8000));
        // Two buffers in turn, and none of their pieces continues another.
        for i in 0..8 {
            assert!(write(&b, &mut q, headers.slice(200 * i..200 * i + 50)));
            assert!(write(&b, &mut q, body.slice(1000 * i..1000 * i + 900)));
        }
        assert_eq!(q.charge(true), 2000 + 8000 + 16 * CHUNK_COST);
        // The last pieces hold both buffers still.
        acknowledge(&mut q, 7 * 950);
        assert_eq!(q.charge(true), 2000 - 350 + 8000 - 7 * 900 + 2 * CHUNK_COST);
        acknowledge(&mut q, 7 * 950 + 50);
        assert_eq!(q.charge(true), 8000 - 7 * 900 + CHUNK_COST);
        // Further bytes of a buffer that is held need no more memory, but count as bytes.
        let (b, mut q, huge) = (fixed(10_000), SendQueue::new(), buffer(1 << 20));
        let mut at = 0;
        while write(&b, &mut q, huge.slice(at..at + 1000)) {
            at += 1000;
        }
        assert_eq!(at, 9000);
        assert!(!write(&b, &mut q, buffer(1)));
    }

    #[test]
    fn s4_the_buffer_has_room_for_twice_the_window_and_no_more_than_it_may() {
        let cfg = ConnConfig { send_buffer_max: 1_000_000, ..ConnConfig::default() };
        let (mut b, q) = (SendBuffer::new(&cfg), SendQueue::<TestBuf>::new());
        assert_eq!(b.limit(), 128 << 10);
        assert!(!b.is_short_for(64 << 10) && b.is_short_for((64 << 10) + 1));
        b.grow(&q, (2, 100_000), 1000, 0);
        assert_eq!(b.limit(), 2 * (100_000 + 100 * CHUNK_COST));
        assert!(!b.is_short_for(112_500) && b.is_short_for(112_501), "not asked again for every ACK");
        b.grow(&q, (2, 10_000), 1000, 0);
        assert_eq!(b.limit(), 2 * (100_000 + 100 * CHUNK_COST), "it never shrinks");
        b.grow(&q, (2, 10_000), 1000, 200_000);
        assert_eq!(b.limit(), 400_000, "a write that does not fit has room, and another one");
        b.grow(&q, (2, 900_000), 1000, 0);
        assert_eq!(b.limit(), 1_000_000);
        assert!(!b.is_short_for(u64::MAX));
        // Half of what is queued is waste: a window of it takes twice the memory.
        let (mut b, mut q) = (SendBuffer::new(&cfg), SendQueue::new());
        for _ in 0..10 {
            q.write(buffer(8000).slice(0..4000), SendFlags::default());
        }
        b.grow(&q, (2, 50_000), 1000, 0);
        assert_eq!(b.limit(), 2 * (50_000 * (80_000 + 640) / 40_000));
    }

    #[test]
    fn s4_a_fixed_buffer_is_neither_grown_nor_shrunk() {
        let (mut b, q) = (fixed(50_000), SendQueue::<TestBuf>::new());
        assert!(!b.is_short_for(u64::MAX - 1));
        b.grow(&q, (2, 1 << 30), 1000, 1 << 30);
        b.on_pressure(&q, true, 2000);
        assert_eq!(b.limit(), 50_000);
    }

    #[test]
    fn s5_under_pressure_the_buffer_halves_down_to_its_least_and_grows_again_afterwards() {
        let (mut b, mut q) = (SendBuffer::new(&ConnConfig::default()), SendQueue::new());
        q.write(buffer(80_000), SendFlags::default());
        for limit in [40_032, 40_032] {
            b.on_pressure(&q, true, 2000);
            assert_eq!(b.limit(), limit);
        }
        acknowledge(&mut q, 79_000);
        b.on_pressure(&q, true, 2000);
        assert_eq!(b.limit(), 2000);
        b.grow(&q, (2, 1 << 20), 1000, 1 << 20);
        assert_eq!((b.limit(), b.is_short_for(u64::MAX - 1)), (2000, false), "it does not grow meanwhile");
        acknowledge(&mut q, 80_000);
        assert!(b.admits(&q, &buffer(1_000_000)), "an empty queue takes anything");
        b.on_pressure(&q, false, 2000);
        assert!(b.is_short_for(1001));
        b.grow(&q, (2, 10_000), 1000, 0);
        assert_eq!(b.limit(), 2 * (10_000 + 10 * CHUNK_COST));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A piece of one of a few buffers.
        Write {
            buffer: usize,
            at: usize,
            len: usize,
        },
        Commit(u64),
        Acknowledge(u64),
        Pressure(bool),
        Grow(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..4usize, 0..3000usize, 1..1000usize)
                .prop_map(|(buffer, at, len)| Step::Write { buffer, at, len }),
            2 => (1..2000u64).prop_map(Step::Commit),
            2 => (1..2000u64).prop_map(Step::Acknowledge),
            1 => any::<bool>().prop_map(Step::Pressure),
            1 => (1..50_000u64).prop_map(Step::Grow),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn s4_no_wake_up_is_lost_and_none_comes_early(
            limit in prop::option::of(0..20_000usize),
            lowat in prop::option::of(0..5_000usize),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let cfg = ConnConfig { send_buffer: limit, send_buffer_max: 30_000, notsent_lowat: lowat, ..ConnConfig::default() };
            let (mut b, mut q) = (SendBuffer::new(&cfg), SendQueue::new());
            let buffers: Vec<TestBuf> = (0..4).map(|i| buffer(4000 * (i + 1))).collect();
            let mut waits = false;
            // As a connection does: looks after everything that may make room.
            let look = |b: &mut SendBuffer, q: &SendQueue<TestBuf>, waits: &mut bool| {
                if b.wakes(q) {
                    assert!(*waits, "nobody waited");
                    assert!(q.is_empty() || 3 * (b.limit() - q.charge(false)) >= b.limit(), "too early");
                    assert!(q.is_empty() || lowat.is_none_or(|l| 2 * unsent(q) < l.max(1) as u64), "too early");
                    b.woken();
                    *waits = false;
                }
            };
            for step in steps {
                match step {
                    Step::Write { buffer, at, len } => {
                        let payload = buffers[buffer].slice(at..at + len);
                        if b.admits(&q, &payload) {
                            q.write(payload, SendFlags::default());
                            prop_assert!(q.charge(false) <= b.limit() || q.charge(false) == len as u64 + CHUNK_COST
                                || q.end().since(q.una()) == len as u64, "beyond the limit");
                        } else {
                            let Cost { bytes, slack, shared } = q.cost(&payload);
                            b.refused(bytes + slack, shared);
                            waits = true;
                        }
                    }
                    Step::Commit(n) => q.commit(n.min(unsent(&q))),
                    Step::Acknowledge(n) => q.acknowledge(q.una() + n),
                    Step::Pressure(on) => b.on_pressure(&q, on, 2000),
                    Step::Grow(cwnd) => b.grow(&q, (2, cwnd), 1000, 0),
                }
                look(&mut b, &q, &mut waits);
                q.check_invariants();
            }
            // Whoever waits is woken at the latest when everything is acknowledged.
            q.commit(unsent(&q));
            q.acknowledge(q.end());
            look(&mut b, &q, &mut waits);
            prop_assert!(!waits, "waits for ever");
            prop_assert_eq!(q.charge(true), 0);
        }
    }
}
