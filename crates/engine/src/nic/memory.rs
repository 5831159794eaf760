//! The in-memory NIC: no device, no receiver. It measures the sender alone (`performance.md`, P1).
//!
//! Frames are built exactly as for a DPDK port, mbuf for mbuf. The "ring" holds them until as many newer ones
//! were sent, then frees them as a driver does. A [`Peer`] that keeps no state answers each with real receive
//! mbufs, to be parsed like any other: ARP, SYN-ACK, ACKs. So an unmodified engine connects, sends and closes.
//!
//! What a driver would do on the sender's core is done where it would be: filling the receive ring anew in `rx_burst`,
//! freeing finished chains in `tx_burst`. What the other end of the wire would do is timed apart, in
//! [`MemoryCounters::peer_cycles`].
//!
//! A figure from it must always say so: [`MemoryNic::CAVEAT`].

mod peer;

use core::fmt;
use core::ops::Range;
use std::collections::VecDeque;

use ::dpdk::{BufPool, BufPoolConfig, Eal, Frame, Mbuf, Mempool, MempoolConfig, PoolError, Reads, cycles};

pub use self::peer::{AckPolicy, Peer};
use super::chain::Builder;
use super::dpdk::PoolReport;
use super::{
    Buf, HeaderBuf, Nic, NicLimits, RxChecksum, RxPiece, StageError, Tail, TxFrame, TxOutcome, TxStop,
};

/// What the in-memory NIC pretends to be.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Bytes of one IP packet on the pretended wire, at least 68.
    pub mtu: u16,
    /// It segments (TSO).
    pub tso: bool,
    /// How often the peer acknowledges.
    pub acks: AckPolicy,
    /// Frames that stay in the ring after they were sent.
    pub ring: u16,
    /// Buffers of the receive ring: frames that wait to be received, at most; more are lost.
    pub rx_ring: u32,
    /// Header buffers; more than `ring`.
    pub headers: u32,
    /// Bytes of a header buffer, at least 256.
    pub header_room: u16,
    /// Mbufs that refer to payload.
    pub links: u32,
    /// Buffers that copying sends fill.
    pub tail_buffers: u32,
    /// Bytes of each.
    pub tail_size: u32,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig {
            mtu: 1500,
            tso: true,
            acks: AckPolicy::PerBurst,
            ring: 1024,
            rx_ring: 4096,
            headers: 4096,
            header_room: 512,
            links: 16384,
            tail_buffers: 256,
            tail_size: 65536,
        }
    }
}

/// What it counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryCounters {
    /// Frames "sent".
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Frames the peer answered with.
    pub answers: u64,
    /// Answers lost because the receive ring had no buffer left.
    pub answers_lost: u64,
    /// Cycles spent on answering: they are the other end's, and lie within what the engine counts as sending.
    pub peer_cycles: u64,
    /// Times that was measured, each by reading the cycle counter twice.
    pub peer_spans: u64,
}

/// Mbufs of one frame, at most.
const MAX_CHAIN: u16 = 64;

/// Frames staged at once.
const BATCH: usize = 64;

/// Frames given out per receive burst, as a driver would.
const RX_BURST: usize = 32;

/// Buffers put into the receive ring at once, as drivers do.
const REFILL: usize = 32;

/// Bytes of a receive buffer: answers are short.
const RX_ROOM: u16 = 256;

/// The in-memory NIC.
pub struct MemoryNic {
    limits: NicLimits,
    builder: Builder,
    tails: BufPool,
    peer: Peer,
    staged: Vec<Frame>,
    ring: VecDeque<Frame>,
    /// The receive ring: buffers that wait for a frame, and frames that wait to be received.
    posted: VecDeque<Mbuf>,
    rx: VecDeque<Frame>,
    rx_ring: usize,
    rx_pool: Mempool,
    /// On their way from the pool to the ring.
    fresh: Vec<Mbuf>,
    completed: u64,
    counters: MemoryCounters,
    pools: Vec<(&'static str, Mempool)>,
}

impl fmt::Debug for MemoryNic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryNic({:?}, {} frames in the ring)", self.counters, self.ring.len())
    }
}

impl MemoryNic {
    /// What to print beside every figure measured on it.
    pub const CAVEAT: &'static str = "in memory: no device, no receiver";

    /// Its Ethernet address.
    pub const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

    /// Makes one.
    ///
    /// # Errors
    /// [`PoolError`] when there is not memory enough for its buffers.
    pub fn new(eal: &Eal, config: &MemoryConfig) -> Result<MemoryNic, PoolError> {
        let mbufs = |name, count, cache, data_room: u16| {
            Mempool::new(eal, &MempoolConfig { name, count, cache, data_room, socket: None })
        };
        let header_room = config.header_room.max(256);
        let headers = mbufs("header", config.headers, 0, header_room.saturating_add(128))?;
        let links = mbufs("link", config.links, 256, 0)?;
        let rx = mbufs("rx", config.rx_ring.saturating_mul(2).max(64), 256, RX_ROOM + 128)?;
        let tails = BufPool::new(
            eal,
            &BufPoolConfig { name: "tail", count: config.tail_buffers, size: config.tail_size, socket: None },
        )?;
        let rx_ring = config.rx_ring.max(1) as usize;
        let mut nic = MemoryNic {
            limits: NicLimits {
                mtu: config.mtu,
                header_room,
                tso_max_len: if config.tso { u32::from(u16::MAX) - 120 } else { 0 },
                tso_max_segments: if config.tso { u16::MAX } else { 1 },
                tso_min_mss: 1,
                tso_ipv6: false,
                max_chain: MAX_CHAIN,
                max_chain_per_segment: MAX_CHAIN,
                tx_ip_checksum: true,
                tx_tcp_checksum: true,
                tx_ring: config.ring,
                tx_batch: BATCH as u16,
                link_bps: None,
            },
            builder: Builder::new(&headers, &links, &tails, MAX_CHAIN, Reads::Everything, false),
            tails,
            peer: Peer::new(config.acks, config.mtu),
            staged: Vec::with_capacity(BATCH),
            ring: VecDeque::with_capacity(usize::from(config.ring) + 1),
            posted: VecDeque::with_capacity(rx_ring),
            rx: VecDeque::with_capacity(rx_ring),
            rx_ring,
            rx_pool: rx.clone(),
            fresh: Vec::with_capacity(REFILL),
            completed: 0,
            counters: MemoryCounters::default(),
            pools: vec![("rx", rx), ("header", headers), ("link", links)],
        };
        nic.refill();
        Ok(nic)
    }

    /// Puts buffers into the receive ring, as far as the pool has them, once a batch or half of the ring is missing.
    #[inline]
    fn refill(&mut self) {
        let batch = REFILL.min(self.rx_ring.div_ceil(2));
        loop {
            let missing = self.rx_ring - self.rx.len() - self.posted.len();
            if missing < batch || !self.rx_pool.alloc_bulk(&mut self.fresh, missing.min(REFILL)) {
                return;
            }
            self.posted.extend(self.fresh.drain(..));
        }
    }

    /// What it counted.
    pub fn counters(&self) -> MemoryCounters {
        self.counters
    }

    /// What the other end of a wire would do for `frame`. Never inlined, so that a profiler can tell it from the
    /// sender's own work.
    #[inline(never)]
    fn answer(&mut self, frame: &Frame) {
        let header = frame.segments().next().unwrap_or_default();
        let mut answers = self.peer.answer(header, frame.len(), frame.offload().tso_segsz);
        while !answers.is_empty() {
            let Some(mut mbuf) = self.posted.pop_front() else {
                self.counters.answers_lost += 1;
                answers.skip();
                continue;
            };
            let len = answers.write(mbuf.room_mut());
            self.rx.push_back(Frame::received(mbuf, len));
            self.counters.answers += 1;
        }
    }

    /// Frees all it holds and tells which buffers are home. Handles on payload that still exist keep theirs.
    pub fn close(self) -> PoolReport {
        let (tails, pools) = (self.tails.clone(), self.pools.clone());
        drop(self);
        let mut report: Vec<_> = pools.iter().map(|(name, p)| (*name, p.available(), p.size())).collect();
        report.push(("tail", tails.available(), tails.count()));
        PoolReport { pools: report }
    }
}

impl Nic for MemoryNic {
    type Buf = Buf;
    type Header = HeaderBuf;
    type Tail = Tail;

    fn limits(&self) -> &NicLimits {
        &self.limits
    }

    fn mac(&self) -> [u8; 6] {
        MemoryNic::MAC
    }

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<Buf>>) -> usize {
        let n = self.rx.len().min(RX_BURST).min(out.capacity() - out.len());
        for frame in self.rx.drain(..n) {
            for slice in frame.into_pieces() {
                out.push(RxPiece {
                    buf: Buf::Rx(slice),
                    more: false,
                    ip_checksum: RxChecksum::Good,
                    l4_checksum: RxChecksum::Good,
                });
            }
        }
        self.refill();
        n
    }

    #[inline]
    fn lend_header(&mut self) -> Option<HeaderBuf> {
        self.builder.lend_header()
    }

    #[inline]
    fn stage<'a, I>(&mut self, frame: TxFrame<HeaderBuf>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
    {
        if self.staged.len() == BATCH {
            return Err(StageError::NoBuffers);
        }
        let frame = self.builder.build(frame, payload)?;
        self.staged.push(frame);
        Ok(())
    }

    fn tx_burst(&mut self) -> TxOutcome {
        let staged = self.staged.len();
        let mut frames = std::mem::take(&mut self.staged);
        let before = cycles();
        frames.iter().for_each(|frame| self.answer(frame));
        self.counters.peer_cycles += cycles().wrapping_sub(before);
        self.counters.peer_spans += 1;
        for frame in frames.drain(..) {
            self.counters.frames += 1;
            self.counters.bytes += u64::from(frame.len());
            self.ring.push_back(frame);
            // The oldest is done when the ring is full: a driver frees late.
            if self.ring.len() > usize::from(self.limits.tx_ring)
                && let Some(oldest) = self.ring.pop_front()
            {
                oldest.recycle(&mut self.builder.headers);
                self.completed += 1;
            }
        }
        self.staged = frames;
        // It takes everything: there is no wire to be slower than.
        TxOutcome { sent: staged, stop: None::<TxStop> }
    }

    fn tx_completed(&mut self) -> Option<u64> {
        Some(self.completed)
    }

    fn reclaim(&mut self) {
        for frame in self.ring.drain(..) {
            frame.recycle(&mut self.builder.headers);
            self.completed += 1;
        }
    }

    fn tail_bytes_out(&self) -> u64 {
        self.tails.bytes_out()
    }

    fn alloc_tail(&mut self) -> Option<Tail> {
        self.tails.try_alloc().map(Tail)
    }

    #[inline]
    fn cycles(&self) -> u64 {
        cycles()
    }
}
