//! One core's pair of receive and transmit queues.
//!
//! The transmit side keeps a reference of its own to each frame's header mbuf. When that is the only one left,
//! the device is done with the frame: an exact answer that every driver gives. (Descriptor status is offered by
//! some, and counts descriptors, whose number per frame only the driver knows.) The header mbuf then goes straight
//! back to the stash it came from.
//! It is as late as the driver's own freeing, which [`QueuePair::reclaim`] can hasten on some, and
//! [`QueuePair::nudge`] on others.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::relay::{self, RelayTo, Relays};
use crate::{Errno, Frame, Mbuf, MbufStash, PortHandle, port};

/// Frames received at once.
const RX_BURST: usize = 32;

/// Frames that can be staged.
pub(crate) const TX_BURST: usize = 64;

/// A receive and a transmit queue, for one core at a time.
#[derive(Debug)]
pub struct QueuePair {
    rx: [*mut dpdk_sys::rte_mbuf; RX_BURST],
    rx_at: usize,
    rx_len: usize,
    staged: Vec<NonNull<dpdk_sys::rte_mbuf>>,
    pending: Pending,
    tx_descriptors: u16,
    rx_descriptors: u16,
    done_cleanup: bool,
    pub(crate) index: u16,
    pub(crate) id: u16,
    /// What others want sent by this one.
    pub(crate) relays: Relays,
    /// Who sends for this one, which has no queue.
    relay: Option<RelayTo>,
    port: Arc<port::Inner>,
}

// SAFETY: all it points to is owned by it, and DPDK lets any one thread at a time use a queue.
unsafe impl Send for QueuePair {}

/// What became of a burst.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TxResult {
    /// Frames the device took, from the first. The rest was freed.
    pub sent: usize,
    /// Why the first frame not sent will never be; `None` when the ring was full, or all were sent.
    pub rejected: Option<Errno>,
}

impl QueuePair {
    pub(crate) fn new(
        port: Arc<port::Inner>,
        index: u16,
        rx_descriptors: u16,
        tx_descriptors: u16,
    ) -> QueuePair {
        QueuePair {
            rx: [core::ptr::null_mut(); RX_BURST],
            rx_at: 0,
            rx_len: 0,
            staged: Vec::with_capacity(TX_BURST),
            pending: Pending::new(usize::from(tx_descriptors) + TX_BURST),
            tx_descriptors,
            rx_descriptors,
            done_cleanup: true,
            index,
            id: port.info.id,
            relays: Relays::default(),
            relay: None,
            port,
        }
    }

    /// A pair of no queue: `relay` leads to the owner of `of`, which sends for it.
    pub(crate) fn without_queue(of: &QueuePair, relay: RelayTo) -> QueuePair {
        let mut pair = QueuePair::new(of.port.clone(), of.index, of.rx_descriptors, of.tx_descriptors);
        pair.done_cleanup = false;
        pair.relay = Some(relay);
        pair
    }

    /// Its port.
    pub fn port(&self) -> PortHandle {
        port::handle(&self.port)
    }

    /// Its number.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Descriptors of the receive ring.
    pub fn rx_descriptors(&self) -> u16 {
        self.rx_descriptors
    }

    /// Descriptors of the transmit ring.
    pub fn tx_descriptors(&self) -> u16 {
        self.tx_descriptors
    }

    /// Asks the device for a burst, unless frames of the last one are still here. Returns how many are. None ever for a
    /// pair [without a queue](QueuePair::relayed).
    #[inline]
    pub fn receive(&mut self) -> usize {
        if self.rx_at == self.rx_len {
            if self.relay.is_some() {
                return 0;
            }
            // SAFETY: the port runs while `self` exists; the array has room for as many as are asked for.
            let n = unsafe {
                dpdk_sys::shim_eth_rx_burst(self.id, self.index, self.rx.as_mut_ptr(), RX_BURST as u16)
            };
            self.rx_at = 0;
            self.rx_len = usize::from(n).min(RX_BURST);
        }
        self.rx_len - self.rx_at
    }

    /// Mbufs of the next received frame.
    #[inline]
    pub fn next_segments(&self) -> Option<u16> {
        let m = NonNull::new(*self.rx[..self.rx_len].get(self.rx_at)?)?;
        // SAFETY: a received frame that is ours.
        Some(unsafe { m.as_ref() }.nb_segs)
    }

    /// The next received frame.
    #[inline]
    pub fn next_frame(&mut self) -> Option<Frame> {
        let m = NonNull::new(*self.rx[..self.rx_len].get(self.rx_at)?)?;
        self.rx_at += 1;
        // SAFETY: a received frame that is ours, given out once.
        Some(unsafe { Frame::from_raw(m) })
    }

    /// Frames that can be staged before [`transmit`](QueuePair::transmit) must be called.
    pub fn batch(&self) -> usize {
        TX_BURST
    }

    /// Queues a frame for the next [`transmit`](QueuePair::transmit). Its first mbuf must be direct.
    ///
    /// # Errors
    /// The frame, when [`batch`](QueuePair::batch) are staged.
    #[inline]
    pub fn stage(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.staged.len() == TX_BURST {
            return Err(frame);
        }
        self.staged.push(frame.into_raw());
        Ok(())
    }

    /// Frames staged.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Offers the staged frames to the device, in order. What it does not take is freed: a driver may already
    /// have edited it, so it is never offered again.
    #[inline]
    pub fn transmit(&mut self) -> TxResult {
        self.transmit_inspected(|_| ())
    }

    /// As [`transmit`](QueuePair::transmit), and shows each frame as the driver's `tx_prepare` left it, just before
    /// the device gets it.
    pub fn transmit_inspected(&mut self, mut inspect: impl FnMut(&Frame)) -> TxResult {
        // More than these cannot be told apart later; then the ring counts as full.
        let n = self.staged.len().min(self.pending.room());
        for frame in &self.staged[..n] {
            // SAFETY: staged frames are ours.
            unsafe { frame.as_ref() }.refcnt.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(to) = &mut self.relay {
            // Prepared by who offers them to the device.
            let sent = relay::put(to, &self.staged[..n]);
            return self.transmitted(n, sent, None);
        }
        let frames = self.staged.as_mut_ptr().cast::<*mut dpdk_sys::rte_mbuf>();
        // SAFETY: the port runs while `self` exists; `frames` are `n` valid frames (`NonNull` and a raw pointer
        // have one layout).
        let prepared =
            usize::from(unsafe { dpdk_sys::shim_eth_tx_prepare(self.id, self.index, frames, n as u16) })
                .min(n);
        let mut rejected = (prepared < n).then(Errno::last);
        for &frame in &self.staged[..prepared] {
            // SAFETY: staged frames are ours; the view is forgotten, not dropped.
            inspect(&ManuallyDrop::new(unsafe { Frame::from_raw(frame) }));
        }
        let sent = if prepared == 0 {
            0
        } else {
            // SAFETY: as above. The references of the frames it takes pass to the device.
            usize::from(unsafe { dpdk_sys::shim_eth_tx_burst(self.id, self.index, frames, prepared as u16) })
                .min(prepared)
        };
        if sent < prepared {
            rejected = None;
        }
        self.transmitted(n, sent, rejected)
    }

    /// Of the staged frames, of which the first `n` were offered with a reference added, `sent` were taken.
    #[inline]
    fn transmitted(&mut self, n: usize, sent: usize, rejected: Option<Errno>) -> TxResult {
        for &frame in &self.staged[..sent] {
            self.pending.push(frame);
        }
        for (i, &frame) in self.staged.iter().enumerate().skip(sent) {
            // SAFETY: not taken, hence still ours: the reference meant for `pending`, if it was added, and the
            // frame's own.
            unsafe {
                if i < n {
                    frame.as_ref().refcnt.fetch_sub(1, Ordering::Relaxed);
                }
                drop(Frame::from_raw(frame));
            }
        }
        self.staged.clear();
        TxResult { sent, rejected }
    }

    /// Sends one frame that nobody asked for, ahead of those staged and not counted with them. Some drivers free
    /// finished frames only in the course of sending another. Returns whether the device took it.
    pub fn nudge(&mut self, frame: Frame) -> bool {
        if let Some(to) = &mut self.relay {
            return to.push(frame).is_ok();
        }
        let mut frame = frame.into_raw().as_ptr();
        // SAFETY: the port runs while `self` exists; `frame` is one valid frame, which passes to the device if taken.
        let sent = unsafe {
            dpdk_sys::shim_eth_tx_prepare(self.id, self.index, &raw mut frame, 1) == 1
                && dpdk_sys::shim_eth_tx_burst(self.id, self.index, &raw mut frame, 1) == 1
        };
        if !sent && let Some(frame) = NonNull::new(frame) {
            // SAFETY: not taken, hence still ours.
            drop(unsafe { Frame::from_raw(frame) });
        }
        sent
    }

    /// Frees the staged frames without offering them.
    pub fn discard(&mut self) {
        for frame in self.staged.drain(..) {
            // SAFETY: staged frames are ours.
            drop(unsafe { Frame::from_raw(frame) });
        }
    }

    /// Frames the device is done with, since the start. Their header mbufs go to `headers`.
    #[inline]
    pub fn completed(&mut self, headers: &mut MbufStash) -> u64 {
        self.pending.collect(headers)
    }

    /// Frames the device was given and is not done with, as of the last [`completed`](QueuePair::completed).
    pub fn in_device(&self) -> usize {
        self.pending.frames.len()
    }

    /// Asks the driver to free finished frames now. Returns false when it cannot (virtio, tap, mlx5, af_packet,
    /// memif): there they are freed when more is sent.
    pub fn reclaim(&mut self) -> bool {
        if self.done_cleanup {
            // SAFETY: the port runs while `self` exists. 0: as many as there are.
            let rc = unsafe { dpdk_sys::rte_eth_tx_done_cleanup(self.id, self.index, 0) };
            // Asked once: it is a property of the driver.
            self.done_cleanup = rc >= 0;
        }
        self.done_cleanup
    }
}

/// Whether the driver would take this frame, which is not sent.
pub(crate) fn prepares(port: u16, queue: u16, frame: Frame) -> Result<(), Errno> {
    let mut raw = frame.into_raw().as_ptr();
    // SAFETY: who calls has a running port; `raw` is one valid frame, which stays ours.
    let prepared = unsafe { dpdk_sys::shim_eth_tx_prepare(port, queue, &raw mut raw, 1) };
    let result = if prepared == 1 { Ok(()) } else { Err(Errno::last()) };
    if let Some(raw) = NonNull::new(raw) {
        // SAFETY: not offered, hence still ours.
        drop(unsafe { Frame::from_raw(raw) });
    }
    result
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        self.discard();
        while let Some(frame) = self.next_frame() {
            drop(frame);
        }
        // `pending` gives its references back; the device keeps its own until the port is closed.
    }
}

/// Frames in the device, oldest first, each with our own reference to its header mbuf.
#[derive(Debug)]
pub(crate) struct Pending {
    frames: VecDeque<NonNull<dpdk_sys::rte_mbuf>>,
    capacity: usize,
    done: u64,
}

impl Pending {
    pub(crate) fn new(capacity: usize) -> Pending {
        Pending { frames: VecDeque::with_capacity(capacity), capacity, done: 0 }
    }

    fn room(&self) -> usize {
        self.capacity - self.frames.len()
    }

    fn push(&mut self, header: NonNull<dpdk_sys::rte_mbuf>) {
        debug_assert!(self.frames.len() < self.capacity);
        self.frames.push_back(header);
    }

    #[inline]
    fn collect(&mut self, headers: &mut MbufStash) -> u64 {
        while let Some(&header) = self.frames.front() {
            // SAFETY: our reference keeps it valid; only the atomic count is read.
            if unsafe { (*header.as_ptr()).refcnt.load(Ordering::Acquire) } != 1 {
                break;
            }
            self.frames.pop_front();
            self.done += 1;
            // SAFETY: ours is the only reference, and header mbufs are direct. A driver that drops its reference
            // while we hold one leaves the links as they were: `reset` undoes them before anyone sees them.
            let mut header = unsafe { Mbuf::from_raw(header) };
            header.reset();
            headers.put(header);
        }
        self.done
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        for header in self.frames.drain(..) {
            // SAFETY: our reference, given back once. Only this mbuf: the rest of the frame is the device's.
            unsafe { dpdk_sys::shim_pktmbuf_free_seg(header.as_ptr()) }
        }
    }
}
