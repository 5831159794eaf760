//! Queues for more cores than the port has: one core sends what another one gives it.
//!
//! A core without a queue has a [`QueuePair`] all the same. What it transmits goes into a ring to the core that owns the queue,
//! which offers it to the device. Either knows when the device is done with a frame as it always does: by its own reference to
//! the header mbuf being the only one left.

use core::ptr::NonNull;

use ring::{Consumer, Producer};

use crate::queue::TX_BURST;
use crate::{Frame, QueuePair};

/// Frames that wait for the queue's owner, at most.
const RING: usize = 1024;

/// What cores without a queue want sent by this one.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    from: Vec<Consumer<Frame>>,
    counters: RelayCounters,
}

/// What a queue's owner counts of frames it sends for others.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RelayCounters {
    /// Taken by the device.
    pub sent: u64,
    /// Refused by it and freed: to who made them they are sent and lost.
    pub refused: u64,
}

/// Where a core without a queue of its own puts what it sends.
pub(crate) type RelayTo = Producer<Frame>;

impl QueuePair {
    /// A pair for one more core, which receives nothing, and whose frames are sent by the owner of this one.
    pub fn relayed(&mut self) -> QueuePair {
        let (to, from) = ring::ring(RING);
        self.relays.from.push(from);
        QueuePair::without_queue(self, to)
    }

    /// Offers the device what other cores want sent, a burst of each.
    pub fn relay(&mut self) {
        let mut frames: [*mut dpdk_sys::rte_mbuf; TX_BURST] = [core::ptr::null_mut(); TX_BURST];
        for from in &mut self.relays.from {
            let mut n = 0;
            for (place, frame) in frames.iter_mut().zip(from.take(TX_BURST)) {
                *place = frame.into_raw().as_ptr();
                n += 1;
            }
            if n == 0 {
                continue;
            }
            let mut sent = 0;
            // What prepares wrongly never will be sent; what comes behind it may.
            let mut at = 0;
            while at < n {
                // SAFETY: the port runs while `self` exists; these are valid frames, and ours.
                let prepared = usize::from(unsafe {
                    dpdk_sys::shim_eth_tx_prepare(
                        self.id,
                        self.index,
                        frames.as_mut_ptr().add(at),
                        (n - at) as u16,
                    )
                })
                .min(n - at);
                let taken = if prepared == 0 {
                    0
                } else {
                    // SAFETY: as above. The references of the frames it takes pass to the device.
                    usize::from(unsafe {
                        dpdk_sys::shim_eth_tx_burst(
                            self.id,
                            self.index,
                            frames.as_mut_ptr().add(at),
                            prepared as u16,
                        )
                    })
                    .min(prepared)
                };
                sent += taken;
                // The first one that is not taken is dropped, and all behind it if the queue is full.
                let dropped = if taken < prepared { n - at - taken } else { (n - at - taken).min(1) };
                for frame in frames[at + taken..at + taken + dropped].iter().filter_map(|m| NonNull::new(*m))
                {
                    // SAFETY: not taken, hence still ours.
                    drop(unsafe { Frame::from_raw(frame) });
                }
                at += taken + dropped;
            }
            self.relays.counters.sent += sent as u64;
            self.relays.counters.refused += (n - sent) as u64;
        }
    }

    /// What became of frames of other cores.
    pub fn relay_counters(&self) -> RelayCounters {
        self.relays.counters
    }
}

/// Puts frames into the ring to the queue's owner; how many it had room for. The others stay the caller's.
pub(crate) fn put(relay: &mut RelayTo, frames: &[NonNull<dpdk_sys::rte_mbuf>]) -> usize {
    let mut batch = relay.batch();
    let n = batch.room().min(frames.len());
    for &frame in &frames[..n] {
        // SAFETY: the caller's frame, which passes to the ring; there is room.
        let _ = batch.push(unsafe { Frame::from_raw(frame) });
    }
    n
}
