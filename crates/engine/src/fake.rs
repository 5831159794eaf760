//! A NIC for this crate's tests: frames are recorded, injected and refused at will. Heap memory, counted.

use core::ops::{Deref, DerefMut, Range};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use tcp::{DeviceTime, Payload, Time};

use crate::nic::{
    Nic, NicLimits, RxChecksum, RxPiece, StageError, TailBuf, TxFrame, TxMeta, TxOutcome, TxStop,
};

/// Limits of a capable NIC.
pub(crate) fn limits() -> NicLimits {
    NicLimits {
        mtu: 1500,
        header_room: 2048,
        tso_max_len: 65_535,
        tso_max_segments: 64,
        tso_min_mss: 64,
        tso_ipv6: false,
        max_chain: 40,
        max_chain_per_segment: 8,
        tx_ip_checksum: true,
        tx_tcp_checksum: true,
        tx_ring: 512,
        tx_batch: 32,
        link_bps: Some(10_000_000_000),
    }
}

/// A NIC that cannot do anything by itself.
pub(crate) fn plain_limits() -> NicLimits {
    NicLimits {
        tso_max_len: 0,
        tso_max_segments: 0,
        max_chain: 1,
        max_chain_per_segment: 1,
        tx_ip_checksum: false,
        tx_tcp_checksum: false,
        ..limits()
    }
}

/// Bytes on the heap; `held` is how many handles a device holds.
#[derive(Clone, Debug)]
pub(crate) struct Buf {
    bytes: Rc<Bytes>,
    range: Range<usize>,
}

#[derive(Debug)]
struct Bytes {
    data: Vec<u8>,
    in_device: Cell<u32>,
    live: Rc<Cell<i64>>,
    /// A copying send made it.
    copy: bool,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.live.set(self.live.get() - 1);
    }
}

impl Payload for Buf {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes.data[self.range.clone()]
    }

    fn slice(&self, range: Range<usize>) -> Buf {
        assert!(range.start <= range.end && range.end <= self.len());
        let start = self.range.start;
        Buf { bytes: self.bytes.clone(), range: start + range.start..start + range.end }
    }

    fn try_merge(&mut self, next: &Buf) -> bool {
        let continues = Rc::ptr_eq(&self.bytes, &next.bytes) && self.range.end == next.range.start;
        if continues {
            self.range.end = next.range.end;
        }
        continues
    }

    fn footprint(&self) -> usize {
        self.bytes.data.len()
    }

    fn shares_buffer(&self, other: &Buf) -> bool {
        Rc::ptr_eq(&self.bytes, &other.bytes)
    }

    fn is_copy(&self) -> bool {
        self.bytes.copy
    }

    fn in_device(&self) -> bool {
        self.bytes.in_device.get() > 0
    }
}

/// A header buffer; dropping it returns it.
#[derive(Debug)]
pub(crate) struct Header {
    bytes: Vec<u8>,
    free: Rc<Cell<usize>>,
}

impl Drop for Header {
    fn drop(&mut self) {
        self.free.set(self.free.get() + 1);
    }
}

impl Deref for Header {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Header {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// A tail buffer: freezing copies here, which a real one does not, but pieces still merge.
#[derive(Debug)]
pub(crate) struct Tail {
    shared: Rc<Bytes>,
    pending: Vec<u8>,
}

impl TailBuf for Tail {
    type Buf = Buf;

    fn spare(&mut self) -> &mut [u8] {
        &mut self.pending
    }

    fn freeze(&mut self, n: usize) -> Buf {
        // Safe Rust cannot hand out parts of a buffer that is still being filled: each piece is its own.
        let data: Vec<u8> = self.pending.drain(..n).collect();
        let live = self.shared.live.clone();
        live.set(live.get() + 1);
        let range = 0..data.len();
        Buf { bytes: Rc::new(Bytes { data, in_device: Cell::new(0), live, copy: true }), range }
    }
}

/// A frame as the device got it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) meta: TxMeta,
    pub(crate) buffers: usize,
}

struct Staged {
    sent: Sent,
    header: Header,
    payload: Vec<Buf>,
}

/// What happens to frames offered.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Take,
    /// The ring has room for this many more.
    Room(usize),
    /// Rejects every frame that is longer than this or has more buffers than one.
    RejectAbove(usize),
}

pub(crate) struct FakeNic {
    pub(crate) limits: NicLimits,
    pub(crate) mac: [u8; 6],
    pub(crate) rx: VecDeque<Vec<RxPiece<Buf>>>,
    pub(crate) sent: Vec<Sent>,
    staged: Vec<Staged>,
    /// Frames the device still holds, when `hold`.
    ring: VecDeque<(Header, Vec<Buf>)>,
    pub(crate) hold: bool,
    pub(crate) verdict: Verdict,
    pub(crate) headers_free: Rc<Cell<usize>>,
    pub(crate) headers_total: usize,
    pub(crate) tails_free: usize,
    pub(crate) tail_len: usize,
    /// What it says is out of its tail buffers.
    pub(crate) tail_bytes: u64,
    /// What it says these have together.
    pub(crate) tail_total: Option<u64>,
    /// Says that most receive buffers are held.
    pub(crate) pressed: bool,
    /// Slices may be referred to only while this is above zero.
    pub(crate) references: usize,
    /// What it says when there are no more.
    pub(crate) without_references: StageError,
    /// Payload buffers alive anywhere.
    pub(crate) live: Rc<Cell<i64>>,
    pub(crate) completed: Option<u64>,
    pub(crate) taken: u64,
    pub(crate) tx_bursts: usize,
    pub(crate) tick: Cell<u64>,
    /// What its clock says.
    pub(crate) clock: Option<Time>,
    /// It tells when frames left.
    pub(crate) stamps: bool,
    /// The place for the time of one is reserved.
    pub(crate) stamp_claimed: bool,
    /// What it tells of the frame that asked.
    pub(crate) stamp: Option<DeviceTime>,
}

impl FakeNic {
    pub(crate) fn new(limits: NicLimits, last_mac_byte: u8) -> FakeNic {
        FakeNic {
            limits,
            mac: [2, 0, 0, 0, 0, last_mac_byte],
            rx: VecDeque::new(),
            sent: Vec::new(),
            staged: Vec::new(),
            ring: VecDeque::new(),
            hold: false,
            verdict: Verdict::Take,
            headers_free: Rc::new(Cell::new(1000)),
            headers_total: 1000,
            tails_free: usize::MAX,
            tail_len: 4096,
            tail_bytes: 0,
            tail_total: None,
            pressed: false,
            references: usize::MAX,
            without_references: StageError::NoBuffers,
            live: Rc::new(Cell::new(0)),
            completed: None,
            taken: 0,
            tx_bursts: 0,
            tick: Cell::new(0),
            clock: None,
            stamps: false,
            stamp_claimed: false,
            stamp: None,
        }
    }

    /// A header pool of another size; to be called before anything is lent.
    pub(crate) fn with_headers(mut self, n: usize) -> FakeNic {
        self.headers_free.set(n);
        self.headers_total = n;
        self
    }

    /// A payload of the application's.
    pub(crate) fn buf(&self, data: &[u8]) -> Buf {
        self.live.set(self.live.get() + 1);
        let bytes =
            Bytes { data: data.to_vec(), in_device: Cell::new(0), live: self.live.clone(), copy: false };
        Buf { bytes: Rc::new(bytes), range: 0..data.len() }
    }

    /// Receives a frame in one piece, with verdicts of a device that does not look.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        self.inject_as(&[frame], RxChecksum::Unknown, RxChecksum::Unknown);
    }

    pub(crate) fn inject_as(&mut self, pieces: &[&[u8]], ip: RxChecksum, l4: RxChecksum) {
        let last = pieces.len() - 1;
        let frame = pieces.iter().enumerate().map(|(i, p)| RxPiece {
            buf: self.buf(p),
            more: i < last,
            ip_checksum: ip,
            l4_checksum: l4,
        });
        let frame = frame.collect();
        self.rx.push_back(frame);
    }

    /// The device lets go of its `n` oldest frames.
    pub(crate) fn complete(&mut self, n: usize) {
        for _ in 0..n {
            let Some((_, payload)) = self.ring.pop_front() else { return };
            for b in payload {
                b.bytes.in_device.set(b.bytes.in_device.get() - 1);
            }
            if let Some(c) = &mut self.completed {
                *c += 1;
            }
        }
    }

    pub(crate) fn in_ring(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }
}

impl Nic for FakeNic {
    type Buf = Buf;
    type Header = Header;
    type Tail = Tail;

    fn limits(&self) -> &NicLimits {
        &self.limits
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<Buf>>) -> usize {
        let mut n = 0;
        while let Some(frame) = self.rx.front() {
            if frame.len() > out.capacity() - out.len() {
                break;
            }
            n += frame.len();
            out.extend(self.rx.pop_front().into_iter().flatten());
        }
        n
    }

    fn rx_pressed(&self) -> bool {
        self.pressed
    }

    fn lend_header(&mut self) -> Option<Header> {
        let left = self.headers_free.get().checked_sub(1)?;
        self.headers_free.set(left);
        Some(Header {
            bytes: vec![0xee; usize::from(self.limits.header_room)],
            free: self.headers_free.clone(),
        })
    }

    fn stage<'a, I>(&mut self, frame: TxFrame<Header>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
        Buf: 'a,
    {
        let mut bytes = frame.header[..usize::from(frame.header_len)].to_vec();
        let mut held = Vec::new();
        for (buf, range) in payload {
            bytes.extend_from_slice(&buf.as_slice()[range.clone()]);
            held.push(buf.slice(range));
        }
        if held.len() > self.references {
            return Err(self.without_references);
        }
        self.references -= held.len();
        for b in &held {
            b.bytes.in_device.set(b.bytes.in_device.get() + 1);
        }
        let sent = Sent { bytes, meta: frame.meta, buffers: 1 + held.len() };
        self.staged.push(Staged { sent, header: frame.header, payload: held });
        assert!(self.staged.len() <= usize::from(self.limits.tx_batch), "more than a batch was staged");
        Ok(())
    }

    fn tx_burst(&mut self) -> TxOutcome {
        self.tx_bursts += 1;
        let mut outcome = TxOutcome { sent: 0, stop: None };
        for s in std::mem::take(&mut self.staged) {
            if outcome.stop.is_none() {
                outcome.stop = match &mut self.verdict {
                    Verdict::Take => None,
                    Verdict::Room(0) => Some(TxStop::RingFull),
                    Verdict::Room(n) => {
                        *n -= 1;
                        None
                    }
                    Verdict::RejectAbove(len) if s.sent.bytes.len() > *len || s.sent.buffers > 1 => {
                        Some(TxStop::Rejected(22))
                    }
                    Verdict::RejectAbove(_) => None,
                };
            }
            let taken = outcome.stop.is_none();
            if taken {
                outcome.sent += 1;
                self.taken += 1;
                self.sent.push(s.sent);
            }
            if taken && self.hold {
                self.ring.push_back((s.header, s.payload));
            } else {
                for b in &s.payload {
                    b.bytes.in_device.set(b.bytes.in_device.get() - 1);
                }
                if let (true, Some(c)) = (taken, &mut self.completed) {
                    *c += 1;
                }
            }
        }
        outcome
    }

    fn tx_completed(&mut self) -> Option<u64> {
        self.completed
    }

    fn reclaim(&mut self) {}

    fn tail_bytes_out(&self) -> u64 {
        self.tail_bytes
    }

    fn tail_bytes(&self) -> Option<u64> {
        self.tail_total
    }

    fn alloc_tail(&mut self) -> Option<Tail> {
        self.tails_free = self.tails_free.checked_sub(1)?;
        let shared =
            Rc::new(Bytes { data: Vec::new(), in_device: Cell::new(0), live: self.live.clone(), copy: true });
        self.live.set(self.live.get() + 1);
        Some(Tail { shared, pending: vec![0; self.tail_len] })
    }

    fn stamps(&self) -> bool {
        self.stamps
    }

    fn claim_stamp(&mut self) -> bool {
        !std::mem::replace(&mut self.stamp_claimed, true)
    }

    fn take_stamp(&mut self) -> Option<DeviceTime> {
        assert!(self.stamp_claimed);
        let stamp = self.stamp.take();
        self.stamp_claimed = stamp.is_none();
        stamp
    }

    fn release_stamp(&mut self) {
        self.stamp_claimed = false;
    }

    fn cycles(&self) -> u64 {
        self.tick.set(self.tick.get() + 10);
        self.tick.get()
    }

    fn now(&self) -> Option<Time> {
        self.clock
    }
}
