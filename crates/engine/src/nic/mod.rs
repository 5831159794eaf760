//! The one thing the engine asks of a NIC.
//!
//! The engine decides; a NIC translates. A frame is header bytes written into a buffer the NIC lends, plain
//! offload metadata, and payload by reference. Frames are staged in order, then offered to the device in one
//! burst; what the device does not take was *not sent* (`S24`) and is dropped by the NIC, never offered again.

mod buf;
mod chain;
pub mod check;
mod checked;
pub mod dpdk;
mod forward;
pub mod memory;
mod pcap;
pub mod profile;
pub mod rss;
mod shared;
mod traced;

pub use buf::{Buf, Tail};
pub use chain::HeaderBuf;
pub use checked::{CheckReport, Checked};
pub use pcap::PcapWriter;
pub use shared::{Seat, Shared, SharedCounters, SteeringReport};
pub use traced::{Direction, FrameSink, Traced};

use core::ops::{DerefMut, Range};

use tcp::{DeviceTime, FourTuple, Payload, Time};

/// One queue pair of a device, as its owning core sees it.
pub trait Nic {
    /// Payload this NIC can send by reference; also what received bytes arrive in.
    type Buf: Payload;
    /// A lent header buffer, at least [`NicLimits::header_room`] bytes long. Dropping it returns it.
    type Header: DerefMut<Target = [u8]>;
    /// Memory that copying sends fill.
    type Tail: TailBuf<Buf = Self::Buf>;

    /// What the device can do; fixed while it runs.
    fn limits(&self) -> &NicLimits;

    /// The port's own Ethernet address.
    fn mac(&self) -> [u8; 6];

    /// Receives one burst of frames and appends their pieces to `out`, in order, at most as many as `out` has
    /// spare capacity for: never reallocates it. Returns the number of pieces.
    fn rx_burst(&mut self, out: &mut Vec<RxPiece<Self::Buf>>) -> usize;

    /// Lends a header buffer for one frame, fresh for every transmission (`S15`). `None` when the pool is
    /// empty: the frame is then not sent, and nothing else changes.
    fn lend_header(&mut self) -> Option<Self::Header>;

    /// Whether a connection's frames belong here, where several workers share a port: a connection is opened only from a
    /// local port for which they do.
    #[inline]
    fn owns(&self, _tuple: &FourTuple) -> bool {
        true
    }

    /// Hands a received frame over to the worker that owns `tuple`. False when that is this one, which is then the one to
    /// answer.
    #[inline]
    fn pass_on(&mut self, _tuple: &FourTuple, _frame: &[RxPiece<Self::Buf>]) -> bool {
        false
    }

    /// Hands a received frame that is for everybody over to all other workers. False when one of them handed it over to this
    /// one, and answers it if need be.
    #[inline]
    fn share(&mut self, _frame: &[RxPiece<Self::Buf>]) -> bool {
        true
    }

    /// Sends what workers without a queue of their own want sent by this one.
    #[inline]
    fn relay(&mut self) {}

    /// Whether more than half of the receive buffers are held by somebody. Received payload that would be kept for long
    /// is then copied.
    fn rx_pressed(&self) -> bool {
        false
    }

    /// Queues a frame for the next [`tx_burst`](Nic::tx_burst). `payload` yields the payload's slices in order.
    ///
    /// # Errors
    /// [`StageError`] when no buffer was left to reference a slice or a reference count is at its cap. The frame
    /// is then not staged and everything it took was returned.
    fn stage<'a, I>(&mut self, frame: TxFrame<Self::Header>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a Self::Buf, Range<usize>)>,
        Self::Buf: 'a;

    /// Payload bytes, of what sends refer to, that this NIC copied by itself to stage them, since it started.
    fn copied_after_all(&self) -> u64 {
        0
    }

    /// Offers every staged frame to the device, in order. Afterwards nothing is staged.
    fn tx_burst(&mut self) -> TxOutcome;

    /// Frames the device has finished with since it started, where it tells (`None` otherwise). Frames finish
    /// in the order they were sent.
    fn tx_completed(&mut self) -> Option<u64>;

    /// Asks the device to let go of finished frames, by whatever means it has. Called when idle, and when a
    /// pool runs low.
    fn reclaim(&mut self);

    /// Frames of no meaning sent for that, since it started, where nothing else helps.
    fn nudges(&self) -> u64 {
        0
    }

    /// Memory for copying sends, at least one byte and at most 64 KiB of it; `None` under memory pressure. Where a
    /// header buffer has no room for a whole packet of [`NicLimits::mtu`] bytes, one of these must have: frames whose
    /// chains the device does not take are copied together.
    fn alloc_tail(&mut self) -> Option<Self::Tail>;

    /// Like [`alloc_tail`](Nic::alloc_tail), of [`SMALL_TAIL`] bytes where there are such, for a connection that sends little.
    /// Each gives the other's when it has none of its own (`S10`).
    fn alloc_small_tail(&mut self) -> Option<Self::Tail> {
        self.alloc_tail()
    }

    /// Bytes of all the buffers for copying sends; `None` where there is no bound.
    fn tail_bytes(&self) -> Option<u64> {
        None
    }

    /// Bytes of the buffers for copying sends that are out: being filled, waiting for an ACK, or in the device. 0 where
    /// nobody counts.
    fn tail_bytes_out(&self) -> u64 {
        0
    }

    /// A free-running cycle counter for busy and idle accounting; constant zero where there is no such thing.
    fn cycles(&self) -> u64;

    /// Whether the device tells when a frame left ([`TxMeta::stamp`]).
    fn stamps(&self) -> bool {
        false
    }

    /// Reserves the place where the device keeps the time of one frame, for the next one staged that asks for it. False while it is
    /// taken.
    fn claim_stamp(&mut self) -> bool {
        false
    }

    /// When the frame left that the place was reserved for, which is then free; `None` as yet.
    fn take_stamp(&mut self) -> Option<DeviceTime> {
        None
    }

    /// Gives the place back: the frame did not leave, or its time does not come.
    fn release_stamp(&mut self) {}

    /// The time, by the clock that [`poll`](crate::Engine::poll)'s times come from; `None` where they are all there is.
    fn now(&self) -> Option<Time> {
        None
    }
}

/// Bytes of a small buffer for copying sends.
pub const SMALL_TAIL: usize = 4096;

/// A buffer that is filled from the front and frozen piece by piece. Frozen pieces that follow each other merge
/// (`S11`), so that many small copying sends become few slices.
pub trait TailBuf {
    /// What a frozen piece is.
    type Buf: Payload;

    /// The part not filled yet.
    fn spare(&mut self) -> &mut [u8];

    /// Freezes the first `n` bytes of [`spare`](TailBuf::spare).
    ///
    /// # Panics
    /// When `n` is more than is spare.
    fn freeze(&mut self, n: usize) -> Self::Buf;
}

/// A piece of a received frame: the whole frame, unless the device delivered it in several buffers.
#[derive(Debug)]
pub struct RxPiece<B> {
    /// The bytes; the first piece of a frame begins with the Ethernet header.
    pub buf: B,
    /// True when the next piece belongs to the same frame.
    pub more: bool,
    /// What the device says of the IPv4 header checksum.
    pub ip_checksum: RxChecksum,
    /// What the device says of the TCP checksum.
    pub l4_checksum: RxChecksum,
}

/// A device's verdict on a received checksum.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RxChecksum {
    /// It did not look: verify in software.
    Unknown,
    /// Right, or vouched for by the other end of a virtual wire.
    Good,
    /// Wrong: drop and count.
    Bad,
}

/// A frame to send: what the header mbuf carries and what the device must know.
#[derive(Debug)]
pub struct TxFrame<H> {
    /// The lent buffer, with Ethernet, IP and TCP headers written, and for small frames the payload behind them.
    pub header: H,
    /// How many bytes of it belong to the frame.
    pub header_len: u16,
    /// What the device must know.
    pub meta: TxMeta,
}

/// Offload metadata of a frame, one to one what an mbuf's `ol_flags` and `tx_offload` say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TxMeta {
    /// Ethernet header length, bytes.
    pub l2_len: u8,
    /// IP header length, bytes.
    pub l3_len: u16,
    /// TCP header length with options, bytes; 0 for anything but TCP.
    pub l4_len: u8,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// The device shall fill in the IPv4 header checksum; the field holds 0.
    pub ip_checksum: bool,
    /// The device shall fill in the TCP checksum; the field holds the pseudo-header sum (without the length
    /// when `tso_segsz` is set).
    pub tcp_checksum: bool,
    /// Payload bytes per segment when the device shall segment (TSO); 0 when it shall not.
    pub tso_segsz: u16,
    /// Payload bytes in the slices, beyond `header_len`.
    pub payload_len: u32,
    /// The device shall note when the frame leaves; never together with `tso_segsz`.
    pub stamp: bool,
}

/// What became of the staged frames.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TxOutcome {
    /// The device took this many, counted from the first; the rest was dropped and is *not sent*.
    pub sent: usize,
    /// Why it stopped, when it did not take all.
    pub stop: Option<TxStop>,
}

/// Why a device took no more.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TxStop {
    /// The ring is full, or the link is down.
    RingFull,
    /// The driver rejects the first frame not sent, for good, with this (positive) errno (`rte_eth_tx_prepare`).
    Rejected(i32),
}

/// Why a frame could not be staged.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StageError {
    /// No mbuf left to refer to a slice.
    NoBuffers,
    /// A buffer already has as many device references as its 16-bit count safely holds.
    TooManyReferences,
}

/// Limits and abilities of a port, read from the device and lowered by its profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicLimits {
    /// Bytes of one IP packet on this port's wire.
    pub mtu: u16,
    /// Bytes a lent header buffer offers, at least.
    pub header_room: u16,
    /// Payload bytes of one TSO frame, at most; 0: the device does not segment.
    pub tso_max_len: u32,
    /// Wire segments of one TSO frame, at most.
    pub tso_max_segments: u16,
    /// Smallest MSS the device segments to.
    pub tso_min_mss: u16,
    /// Segments IPv6 too.
    pub tso_ipv6: bool,
    /// Buffers of one frame, header included (`nb_seg_max`); 1: no scatter-gather.
    pub max_chain: u16,
    /// Buffers that one wire segment may span, header included (`nb_mtu_seg_max`).
    pub max_chain_per_segment: u16,
    /// The device fills in IPv4 header checksums.
    pub tx_ip_checksum: bool,
    /// The device fills in TCP checksums.
    pub tx_tcp_checksum: bool,
    /// Frames the transmit ring holds.
    pub tx_ring: u16,
    /// Frames that may be staged before [`Nic::tx_burst`] must be called.
    pub tx_batch: u16,
    /// Link rate in bits per second, where known: the drain rate of the occupancy estimate.
    pub link_bps: Option<u64>,
}
