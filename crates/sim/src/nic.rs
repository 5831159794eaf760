//! The simulated NIC: a transmit ring that segments in hardware's manner, a receive ring, finite pools, and
//! every unkindness of real drivers on demand.

use core::cell::Cell;
use core::ops::Range;
use std::collections::VecDeque;

use engine::nic::{
    Nic, NicLimits, RxChecksum, RxPiece, SMALL_TAIL, StageError, TxFrame, TxMeta, TxOutcome, TxStop,
};
use tcp::{Nanos, Payload, Time};

use crate::buf::{DeviceRef, Pool, SimBuf, SimHeader, SimTail};
use crate::rng::Rng;
use crate::{receive, tso};

/// How a simulated NIC behaves.
#[derive(Clone, Debug)]
pub struct NicConfig {
    /// Its own Ethernet address.
    pub mac: [u8; 6],
    /// What it says it can do. `tx_ring` is the ring's real size.
    pub limits: NicLimits,
    /// When it lets go of finished frames.
    pub release: Release,
    /// Whether [`Nic::tx_completed`] says anything.
    pub reports_completions: bool,
    /// Whether [`Nic::reclaim`] frees finished frames.
    pub reclaims: bool,
    /// Whether it verifies received checksums.
    pub rx_checksum: bool,
    /// Frames the receive ring holds.
    pub rx_ring: usize,
    /// Buffers for received frames, at most; frames beyond are lost.
    pub rx_buffers: usize,
    /// Received frames longer than this arrive in several pieces. Headers lie in one buffer on every real NIC: at
    /// least 134 bytes.
    pub rx_piece: usize,
    /// Bytes of a buffer for copying sends.
    pub tail_len: usize,
    /// How many of those there are.
    pub tail_buffers: usize,
    /// Header buffers, and payload references in the ring, at most.
    pub tx_buffers: usize,
    /// What goes wrong by chance.
    pub faults: Faults,
}

/// When a NIC drops its references on frames it has sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Release {
    /// As soon as a frame is on the wire.
    Prompt,
    /// In groups of this many, as mlx5 does.
    Batches(usize),
    /// So much time after a frame was on the wire.
    After(Nanos),
    /// Never before the ring needs the room, as virtio-user on an idle queue.
    WhenFull,
}

/// How long a port is down after it tore a frame: longer than most retransmission timeouts.
const DOWN_TIME: Nanos = Nanos::from_millis(700);

/// Probabilities of failure, each per call.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct Faults {
    /// A burst is taken only in part, or not at all.
    pub ring_full: f64,
    /// Of a frame that the device shall segment only the first segments leave, it is reported as not taken, and
    /// nothing more is taken for 700 ms: what net_tap does when the interface goes down.
    pub torn: f64,
    /// A frame with more than one buffer is rejected for good by `tx_prepare`.
    pub reject: f64,
    /// No header buffer.
    pub no_header: f64,
    /// No buffer to refer to a slice.
    pub no_buffers: f64,
    /// A reference count is at its cap.
    pub too_many_references: f64,
    /// No memory for copying sends.
    pub no_tail: f64,
}

/// What a simulated NIC counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct NicCounts {
    /// Frames taken from the engine.
    pub tx_frames: u64,
    /// Frames put on the wire; more than `tx_frames` by what TSO made.
    pub tx_wire: u64,
    /// Frames handed to the device for it to segment.
    pub tx_tso: u64,
    /// Frames offered and not taken because the ring was full, really or by chance.
    pub tx_refused: u64,
    /// Of these, frames of which some segments left all the same.
    pub tx_torn: u64,
    /// Frames rejected for good.
    pub tx_rejected: u64,
    /// Frames and buffers denied by a pool, really or by chance.
    pub denied: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Received frames lost because the ring or the pool was exhausted.
    pub rx_lost: u64,
    /// Received frames that were for another station.
    pub rx_filtered: u64,
}

/// A frame in the ring, or finished and not yet let go of.
struct Slot {
    /// Held for their effect on the pools and on [`Payload::in_device`].
    _header: SimHeader,
    _payload: Vec<DeviceRef>,
    /// Frames still to be put on the wire.
    wire: VecDeque<Vec<u8>>,
    /// It was reported as taken, and will be as completed.
    taken: bool,
}

struct Staged {
    header: SimHeader,
    payload: Vec<DeviceRef>,
    bytes: Vec<u8>,
    meta: TxMeta,
    pieces: usize,
}

/// A NIC on the simulated network.
pub struct SimNic {
    cfg: NicConfig,
    rng: Rng,
    now: Time,
    down_until: Time,
    pool: Pool,
    tails: Pool,
    headers: Pool,
    references: usize,
    rx_pool: Pool,
    staged: Vec<Staged>,
    ring: VecDeque<Slot>,
    finished: VecDeque<(Time, Slot)>,
    completed: u64,
    rx: VecDeque<Vec<u8>>,
    counts: NicCounts,
    cycles: Cell<u64>,
}

impl SimNic {
    /// A NIC with an empty ring.
    pub fn new(cfg: NicConfig, rng: Rng) -> SimNic {
        SimNic {
            cfg,
            rng,
            now: Time::ZERO,
            down_until: Time::ZERO,
            pool: Pool::default(),
            tails: Pool::default(),
            headers: Pool::default(),
            references: 0,
            rx_pool: Pool::default(),
            staged: Vec::new(),
            ring: VecDeque::new(),
            finished: VecDeque::new(),
            completed: 0,
            rx: VecDeque::new(),
            counts: NicCounts::default(),
            cycles: Cell::new(0),
        }
    }

    /// Moves the NIC's clock; returns when it next does something of itself.
    pub fn advance(&mut self, now: Time) -> Option<Time> {
        self.now = now;
        let Release::After(hold) = self.cfg.release else { return None };
        while self.finished.front().is_some_and(|(at, _)| *at + hold <= now) {
            self.let_go(1);
        }
        self.finished.front().map(|(at, _)| *at + hold)
    }

    /// Takes the next frame that goes onto the wire.
    pub fn next_wire_frame(&mut self) -> Option<Vec<u8>> {
        let slot = self.ring.front_mut()?;
        let frame = slot.wire.pop_front();
        if slot.wire.is_empty()
            && let Some(slot) = self.ring.pop_front()
        {
            self.finished.push_back((self.now, slot));
            self.after_finish();
        }
        self.counts.tx_wire += u64::from(frame.is_some());
        frame
    }

    /// True when something waits to go onto the wire.
    pub fn has_wire_frame(&self) -> bool {
        !self.ring.is_empty()
    }

    /// A frame arrives from the wire.
    pub fn deliver(&mut self, frame: Vec<u8>) {
        if frame.len() < 14 || (frame[..6] != self.cfg.mac && frame[..6] != [0xff; 6]) {
            self.counts.rx_filtered += 1;
        } else if self.rx.len() >= self.cfg.rx_ring || self.rx_pool.live() >= self.cfg.rx_buffers {
            self.counts.rx_lost += 1;
        } else {
            self.counts.rx_frames += 1;
            self.rx.push_back(frame);
        }
    }

    /// True when received frames wait to be picked up.
    pub fn has_received(&self) -> bool {
        !self.rx.is_empty()
    }

    /// What was counted.
    pub fn counts(&self) -> &NicCounts {
        &self.counts
    }

    /// The pool of zero-copy and tail buffers; the application takes its own from here too.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Buffers of any pool that somebody still has.
    pub fn live_buffers(&self) -> usize {
        self.pool.live() + self.tails.live() + self.headers.live() + self.rx_pool.live()
    }

    /// Frames the device still holds references of.
    pub fn held_frames(&self) -> usize {
        self.ring.len() + self.finished.len()
    }

    /// Closes the port: the device lets go of everything, as `rte_eth_dev_close` does.
    pub fn close(&mut self) {
        self.staged.clear();
        self.ring.clear();
        self.finished.clear();
        self.rx.clear();
    }

    fn let_go(&mut self, frames: usize) {
        for _ in 0..frames {
            if let Some((_, slot)) = self.finished.pop_front() {
                self.references -= slot._payload.len();
                self.completed += u64::from(slot.taken);
            }
        }
    }

    fn after_finish(&mut self) {
        match self.cfg.release {
            Release::Prompt => self.let_go(1),
            Release::Batches(n) if self.finished.len() >= n => self.let_go(n),
            Release::Batches(_) | Release::After(_) | Release::WhenFull => {}
        }
    }

    /// Ring slots that are free, after finished frames made room if it had to be.
    fn room(&mut self, wanted: usize) -> usize {
        let size = usize::from(self.cfg.limits.tx_ring);
        let short = (self.ring.len() + self.finished.len() + wanted).saturating_sub(size);
        self.let_go(short);
        size.saturating_sub(self.ring.len() + self.finished.len())
    }

    fn denied<T>(&mut self) -> Option<T> {
        self.counts.denied += 1;
        None
    }
}

impl Nic for SimNic {
    type Buf = SimBuf;
    type Header = SimHeader;
    type Tail = SimTail;

    fn limits(&self) -> &NicLimits {
        &self.cfg.limits
    }

    fn mac(&self) -> [u8; 6] {
        self.cfg.mac
    }

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<SimBuf>>) -> usize {
        let before = out.len();
        while let Some(frame) = self.rx.front() {
            let pieces = frame.len().div_ceil(self.cfg.rx_piece);
            if pieces > out.capacity() - out.len() {
                break;
            }
            let (ip_checksum, l4_checksum) = if self.cfg.rx_checksum {
                receive::verdict(frame)
            } else {
                (RxChecksum::Unknown, RxChecksum::Unknown)
            };
            let Some(frame) = self.rx.pop_front() else { break };
            let mut piece = |bytes, more| {
                out.push(RxPiece { buf: self.rx_pool.buf(bytes), more, ip_checksum, l4_checksum });
            };
            if pieces == 1 {
                piece(frame, false);
                continue;
            }
            for (i, part) in frame.chunks(self.cfg.rx_piece).enumerate() {
                piece(part.to_vec(), i + 1 < pieces);
            }
        }
        out.len() - before
    }

    fn rx_pressed(&self) -> bool {
        self.rx_pool.live() * 2 > self.cfg.rx_buffers
    }

    fn lend_header(&mut self) -> Option<SimHeader> {
        if self.rng.chance(self.cfg.faults.no_header) || self.headers.live() >= self.cfg.tx_buffers {
            return self.denied();
        }
        Some(self.headers.header(usize::from(self.cfg.limits.header_room)))
    }

    fn stage<'a, I>(&mut self, frame: TxFrame<SimHeader>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a SimBuf, Range<usize>)>,
    {
        if self.rng.chance(self.cfg.faults.too_many_references) {
            self.counts.denied += 1;
            return Err(StageError::TooManyReferences);
        }
        let mut bytes = frame.header[..usize::from(frame.header_len)].to_vec();
        let mut references = Vec::new();
        for (buf, range) in payload {
            let full = self.references + references.len() >= self.cfg.tx_buffers;
            if full || self.rng.chance(self.cfg.faults.no_buffers) {
                self.counts.denied += 1;
                return Err(StageError::NoBuffers);
            }
            bytes.extend_from_slice(&buf.as_slice()[range]);
            references.push(DeviceRef::new(buf));
        }
        self.references += references.len();
        let pieces = 1 + references.len();
        self.staged.push(Staged {
            header: frame.header,
            payload: references,
            bytes,
            meta: frame.meta,
            pieces,
        });
        Ok(())
    }

    fn tx_burst(&mut self) -> TxOutcome {
        let offered = self.staged.len();
        let mut take = self.room(offered).min(offered);
        if self.rng.chance(self.cfg.faults.ring_full) {
            take = self.rng.range(0, take as u64) as usize;
        }
        if self.now < self.down_until {
            take = 0;
        }
        let mut torn = None;
        let mut sent = 0;
        let mut stop = (take < offered).then_some(TxStop::RingFull);
        for (i, staged) in self.staged.drain(..).enumerate() {
            let rejects = staged.pieces > 1 && self.rng.chance(self.cfg.faults.reject);
            let tears = staged.meta.tso_segsz != 0 && self.rng.chance(self.cfg.faults.torn);
            if i == sent && i < take && tears {
                take = i;
                stop = Some(TxStop::RingFull);
                torn = Some((tso::wire_frames(&staged.bytes, &staged.meta), staged.header));
                self.counts.tx_refused += 1;
                self.down_until = self.now + DOWN_TIME;
                self.counts.tx_torn += 1;
                self.references -= staged.payload.len();
            } else if i == sent && i < take && rejects {
                stop = Some(TxStop::Rejected(22));
                self.counts.tx_rejected += 1;
                self.references -= staged.payload.len();
            } else if i == sent && i < take {
                sent += 1;
                self.counts.tx_tso += u64::from(staged.meta.tso_segsz != 0);
                let wire = tso::wire_frames(&staged.bytes, &staged.meta).into();
                self.ring.push_back(Slot {
                    _header: staged.header,
                    _payload: staged.payload,
                    wire,
                    taken: true,
                });
            } else {
                self.counts.tx_refused += 1;
                self.references -= staged.payload.len();
            }
        }
        if let Some((mut wire, header)) = torn {
            // What left was copied: only a place in the ring is taken.
            wire.truncate(self.rng.range(1, wire.len().saturating_sub(1).max(1) as u64) as usize);
            self.ring.push_back(Slot {
                _header: header,
                _payload: Vec::new(),
                wire: wire.into(),
                taken: false,
            });
        }
        self.counts.tx_frames += sent as u64;
        TxOutcome { sent, stop }
    }

    fn tx_completed(&mut self) -> Option<u64> {
        self.cfg.reports_completions.then_some(self.completed)
    }

    fn reclaim(&mut self) {
        if self.cfg.reclaims {
            self.let_go(self.finished.len());
        }
    }

    fn alloc_tail(&mut self) -> Option<SimTail> {
        if self.rng.chance(self.cfg.faults.no_tail) {
            return self.denied();
        }
        if self.tails.live() >= self.cfg.tail_buffers {
            return self.denied();
        }
        Some(self.tails.tail(self.cfg.tail_len))
    }

    fn alloc_small_tail(&mut self) -> Option<SimTail> {
        let tail = self.alloc_tail()?;
        drop(tail);
        Some(self.tails.tail(self.cfg.tail_len.min(SMALL_TAIL)))
    }

    fn tail_bytes(&self) -> Option<u64> {
        Some(self.cfg.tail_buffers as u64 * self.cfg.tail_len as u64)
    }

    fn tail_bytes_out(&self) -> u64 {
        self.tails.live() as u64 * self.cfg.tail_len as u64
    }

    fn cycles(&self) -> u64 {
        self.cycles.set(self.cycles.get() + 1);
        self.cycles.get()
    }
}
