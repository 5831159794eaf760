//! The receive side: frames become pieces, and receive buffers never run out because somebody keeps them.

use ::dpdk::{BufMut, BufPool, Frame, Mempool, RxFlags, Slice};

use tcp::wire::{IPV6_HEADER_LEN, PROTOCOL_TCP};

use super::pools::Pools;
use crate::frame::{ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use crate::nic::{Buf, RxChecksum, RxPiece};

/// Received frames that the engine never saw.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RxCounters {
    /// Copied out of their receive buffers because more than half of those were held.
    pub copied: u64,
    /// Dropped because there was no memory left to copy to either.
    pub dropped_no_memory: u64,
    /// Dropped because they had more pieces than the engine takes at once.
    pub dropped_oversize: u64,
    /// Dropped because they were empty.
    pub dropped_empty: u64,
}

impl RxCounters {
    /// Each as (name, value, help).
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
        let RxCounters { copied, dropped_no_memory, dropped_oversize, dropped_empty } = *self;
        [
            (
                "rx_copied",
                copied,
                "Frames copied out of their receive buffers: somebody held more than half of those.",
            ),
            (
                "drop_no_memory",
                dropped_no_memory,
                "Frames dropped: more than half of all receive buffers are held, and there is no memory to copy to either.",
            ),
            ("drop_oversize", dropped_oversize, "Frames dropped: in more pieces than are taken at once."),
            ("drop_empty", dropped_empty, "Frames dropped: empty."),
        ]
        .into_iter()
    }
}

/// The receive side of a queue.
#[derive(Debug)]
pub(super) struct RxSide {
    pool: Mempool,
    copies: BufPool,
    copy: Option<BufMut>,
    /// Below this many free receive buffers, frames are copied out of them.
    low: u32,
    pressure: bool,
    /// Bursts until the pool is looked at again.
    countdown: u8,
    pub(super) counters: RxCounters,
}

/// Looking at a pool's level walks all cores' caches: done once in so many bursts.
const LOOK_EVERY: u8 = 16;

/// Frames up to this long are looked into: an ACK is not copied, as the engine is done with it at once.
const SMALL: u32 = 128;

impl RxSide {
    pub(super) fn new(pools: &Pools, ring: u16) -> RxSide {
        RxSide {
            low: pools.rx.size().saturating_sub(ring.into()) / 2,
            pool: pools.rx.clone(),
            copies: pools.rx_copies.clone(),
            copy: None,
            pressure: false,
            countdown: 0,
            counters: RxCounters::default(),
        }
    }

    pub(super) fn look(&mut self) {
        if self.countdown == 0 {
            self.countdown = LOOK_EVERY;
            self.pressure = self.pool.available() < self.low;
        }
        self.countdown -= 1;
    }

    pub(super) fn is_pressed(&self) -> bool {
        self.pressure
    }

    pub(super) fn push(&mut self, frame: Frame, out: &mut Vec<RxPiece<Buf>>) {
        let flags = frame.rx_flags();
        let start = out.len();
        if self.pressure && (frame.len() > SMALL || frame.segments().next().is_some_and(may_be_kept)) {
            match self.copy_out(&frame) {
                Some(copied) => {
                    self.counters.copied += 1;
                    out.push(piece(copied.into(), flags));
                }
                None => self.counters.dropped_no_memory += 1,
            }
            return;
        }
        for slice in frame.into_pieces() {
            if slice.is_empty() {
                continue;
            }
            if out.len() > start
                && let Some(last) = out.last_mut()
            {
                last.more = true;
            }
            out.push(piece(slice.into(), flags));
        }
        if out.len() == start {
            self.counters.dropped_empty += 1;
        }
    }

    fn copy_out(&mut self, frame: &Frame) -> Option<Slice> {
        let len = frame.len() as usize;
        if self.copy.as_ref().is_none_or(|c| c.spare().len() < len) {
            self.copy = self.copies.try_alloc();
        }
        let copy = self.copy.as_mut()?;
        let mut to = copy.spare_mut().get_mut(..len)?;
        for bytes in frame.segments() {
            let (here, rest) = to.split_at_mut_checked(bytes.len())?;
            here.copy_from_slice(bytes);
            to = rest;
        }
        Some(copy.freeze(len))
    }
}

/// Whether somebody may keep a part of this frame: it carries bytes of a stream. A single one of them keeps a whole receive
/// buffer, and as many as there are buffers would leave the port deaf.
fn may_be_kept(frame: &[u8]) -> bool {
    let word = |at: usize| frame.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
    let (protocol, tcp, end) = match word(12) as u16 {
        ETHERTYPE_IPV4 => {
            let header = usize::from(byte(ETHERNET_LEN) & 15) * 4;
            (byte(ETHERNET_LEN + 9), ETHERNET_LEN + header, ETHERNET_LEN + word(ETHERNET_LEN + 2))
        }
        ETHERTYPE_IPV6 => {
            let header = ETHERNET_LEN + IPV6_HEADER_LEN;
            (byte(ETHERNET_LEN + 6), header, header + word(ETHERNET_LEN + 4))
        }
        _ => return false,
    };
    protocol == PROTOCOL_TCP && tcp + usize::from(byte(tcp + 12) >> 4) * 4 < end
}

fn piece(buf: Buf, flags: RxFlags) -> RxPiece<Buf> {
    let verdict = |good| match good {
        None => RxChecksum::Unknown,
        Some(true) => RxChecksum::Good,
        Some(false) => RxChecksum::Bad,
    };
    RxPiece {
        buf,
        more: false,
        ip_checksum: verdict(flags.ip_checksum()),
        l4_checksum: verdict(flags.l4_checksum()),
    }
}
