//! Frames: a header buffer followed by references to payload.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use crate::offload::{RxFlags, TxOffload};
use crate::{Mbuf, MbufStash, RxSlice, Slice};

/// Why a slice could not be attached.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Devices hold as many references to the buffer as its 16-bit count safely holds.
    #[error("the buffer has as many device references as its count safely holds")]
    TooManyReferences,
    /// An mbuf describes at most 65535 bytes.
    #[error("{0} bytes do not fit into one mbuf")]
    TooLong(usize),
    /// A frame has at most 65535 mbufs.
    #[error("the frame has as many mbufs as it can")]
    TooManySegments,
}

/// A frame being built. Dropping it returns everything it took.
#[derive(Debug)]
pub struct Chain {
    frame: Frame,
    tail: NonNull<dpdk_sys::rte_mbuf>,
}

// SAFETY: as `Frame`; `tail` points into it.
unsafe impl Send for Chain {}

impl Chain {
    /// A frame that so far is the first `len` bytes of `header`'s room.
    ///
    /// # Panics
    /// When the room is smaller.
    #[inline]
    pub fn new(mut header: Mbuf, len: u16) -> Chain {
        let m = header.view_mut();
        assert!(len <= m.buf_len - m.data_off, "a header of {len} bytes in a smaller buffer");
        m.data_len = len;
        m.pkt_len = len.into();
        m.nb_segs = 1;
        let head = header.into_raw();
        Chain { frame: Frame(head), tail: head }
    }

    /// Appends `range` of `payload` by reference, using `link` for the reference.
    ///
    /// # Errors
    /// [`AttachError`]; the chain is then as before, and `link` back in its pool.
    ///
    /// # Panics
    /// When `range` is not inside the slice.
    #[inline]
    pub fn attach(
        &mut self,
        mut link: Mbuf,
        payload: &Slice,
        range: Range<usize>,
    ) -> Result<(), AttachError> {
        let len = check(&range, payload.len())?;
        let lent = payload.lend(&range).ok_or(AttachError::TooManyReferences)?;
        let m = link.view_mut();
        m.buf_addr = lent.addr.cast();
        m.buf_iova = lent.iova;
        m.buf_len = len;
        m.data_off = 0;
        m.shinfo = lent.shinfo;
        // From here on, freeing the mbuf gives the device reference back.
        m.ol_flags = dpdk_sys::RTE_MBUF_F_EXTERNAL;
        self.append(link, len)
    }

    /// Appends `range` of received bytes by reference, using `link` for the reference.
    ///
    /// # Errors
    /// [`AttachError`]; the chain is then as before, and `link` back in its pool.
    ///
    /// # Panics
    /// When `range` is not inside the slice.
    #[inline]
    pub fn attach_rx(
        &mut self,
        mut link: Mbuf,
        payload: &RxSlice,
        range: Range<usize>,
    ) -> Result<(), AttachError> {
        let len = check(&range, payload.len())?;
        // SAFETY: an `Mbuf` is direct and ours alone.
        if !unsafe { payload.attach(link.view_mut(), &range) } {
            return Err(AttachError::TooManyReferences);
        }
        self.append(link, len)
    }

    #[inline]
    fn append(&mut self, mut link: Mbuf, len: u16) -> Result<(), AttachError> {
        // SAFETY: both belong to this chain, which is ours alone; head and tail may be the same mbuf, so one is
        // used after the other.
        unsafe {
            let head = self.frame.0.as_ptr();
            if (*head).nb_segs == u16::MAX {
                return Err(AttachError::TooManySegments);
            }
            (*head).nb_segs += 1;
            (*head).pkt_len += u32::from(len);
        }
        let m = link.view_mut();
        m.data_len = len;
        m.pkt_len = len.into();
        m.next = core::ptr::null_mut();
        m.nb_segs = 1;
        let link = link.into_raw();
        // SAFETY: as above. The chain owns the link from here on.
        unsafe { (*self.tail.as_ptr()).next = link.as_ptr() };
        self.tail = link;
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u32 {
        self.frame.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The finished frame with what it asks of the port.
    #[inline]
    pub fn finish(self, offload: TxOffload) -> Frame {
        // SAFETY: the chain is ours alone.
        let head = unsafe { &mut *self.frame.0.as_ptr() };
        // The header is direct: it has no other flags.
        head.ol_flags = offload.flags();
        head.tx_offload = offload.word();
        self.frame
    }
}

#[inline]
fn check(range: &Range<usize>, len: usize) -> Result<u16, AttachError> {
    assert!(range.start <= range.end && range.end <= len, "{range:?} of {len} bytes");
    u16::try_from(range.len()).map_err(|_| AttachError::TooLong(range.len()))
}

/// A whole frame, of one or more mbufs, that we own. Dropping it frees every mbuf and gives back every reference.
pub struct Frame(NonNull<dpdk_sys::rte_mbuf>);

// SAFETY: owned alone but for what is reference-counted, atomically; pools may be used on any thread.
unsafe impl Send for Frame {}

impl Frame {
    /// # Safety
    /// `raw` is the first mbuf of a valid frame whose reference passes to the result.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<dpdk_sys::rte_mbuf>) -> Frame {
        Frame(raw)
    }

    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<dpdk_sys::rte_mbuf> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    #[inline]
    fn head(&self) -> &dpdk_sys::rte_mbuf {
        // SAFETY: valid while owned.
        unsafe { self.0.as_ref() }
    }

    /// The first `len` bytes of `mbuf`'s room as a frame that a device vouches for: a device in software makes
    /// its received frames by this.
    ///
    /// # Panics
    /// When the room is smaller.
    #[inline]
    pub fn received(mbuf: Mbuf, len: u16) -> Frame {
        let frame = Chain::new(mbuf, len).frame;
        // SAFETY: the frame is ours alone.
        unsafe { (*frame.0.as_ptr()).ol_flags = RxFlags::ALL_GOOD.0 };
        frame
    }

    /// Frees a frame that was sent, but keeps its header mbuf in `headers` for the next one, when that is
    /// referred to by nobody else: a device in software lets go of its frames by this.
    #[inline]
    pub fn recycle(self, headers: &mut MbufStash) {
        let head = self.into_raw();
        // SAFETY: the frame is ours. Its first mbuf is direct, being a header, unless it says otherwise; it is cut
        // off the rest, and both parts are given back once.
        unsafe {
            let rest = core::mem::replace(&mut (*head.as_ptr()).next, core::ptr::null_mut());
            (*head.as_ptr()).nb_segs = 1;
            if let Some(rest) = NonNull::new(rest) {
                drop(Frame(rest));
            }
            let direct = (*head.as_ptr()).ol_flags
                & (dpdk_sys::RTE_MBUF_F_EXTERNAL | dpdk_sys::RTE_MBUF_F_INDIRECT)
                == 0;
            if direct && (*head.as_ptr()).refcnt.load(Ordering::Acquire) == 1 {
                let mut header = Mbuf::from_raw(head);
                header.reset();
                headers.put(header);
            } else {
                drop(Frame(head));
            }
        }
    }

    /// Bytes in all.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // a frame without bytes is a bug, not a case
    pub fn len(&self) -> u32 {
        self.head().pkt_len
    }

    /// Mbufs it is made of.
    #[inline]
    pub fn segment_count(&self) -> u16 {
        self.head().nb_segs
    }

    /// The bytes of each mbuf, in order.
    pub fn segments(&self) -> Segments<'_> {
        Segments { next: self.0.as_ptr(), _frame: PhantomData }
    }

    /// Where the bytes of each mbuf are, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        // SAFETY: the frame is borrowed, so its mbufs stay as they are.
        let mbufs = core::iter::successors(Some(self.head()), |m| unsafe { m.next.as_ref() });
        mbufs.map(|m| Place {
            address: m.buf_addr.addr() + usize::from(m.data_off),
            iova: m.buf_iova + u64::from(m.data_off),
            len: m.data_len.into(),
        })
    }

    /// What it asks of the port, for a frame on its way out.
    pub fn offload(&self) -> TxOffload {
        TxOffload::read(self.head().ol_flags, self.head().tx_offload)
    }

    /// The flags that [`offload`](Frame::offload) reads, each as it is, for a checker: whether the IP header is
    /// said to be IPv4, IPv6, whether the IPv4 checksum, the TCP checksum and segmentation are asked for.
    pub fn raw_flags(&self) -> RawFlags {
        let flags = self.head().ol_flags;
        RawFlags {
            ipv4: flags & dpdk_sys::RTE_MBUF_F_TX_IPV4 != 0,
            ipv6: flags & dpdk_sys::RTE_MBUF_F_TX_IPV6 != 0,
            ip_checksum: flags & dpdk_sys::RTE_MBUF_F_TX_IP_CKSUM != 0,
            tcp_checksum: flags & dpdk_sys::RTE_MBUF_F_TX_L4_MASK == dpdk_sys::RTE_MBUF_F_TX_TCP_CKSUM,
            tcp_seg: flags & dpdk_sys::RTE_MBUF_F_TX_TCP_SEG != 0,
            tso_segsz: (self.head().tx_offload >> 24) as u16,
        }
    }

    /// What the port said of it, for a frame on its way in.
    #[inline]
    pub fn rx_flags(&self) -> RxFlags {
        RxFlags(self.head().ol_flags)
    }

    /// Takes a received frame apart.
    #[inline]
    pub fn into_pieces(self) -> Pieces {
        Pieces { next: self.into_raw().as_ptr() }
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the references to all its mbufs are ours, given back once.
        unsafe { dpdk_sys::shim_pktmbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes in {} mbufs, {:?})", self.len(), self.segment_count(), self.offload())
    }
}

/// Where the bytes of one mbuf are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// For the processor.
    pub address: usize,
    /// For the device.
    pub iova: u64,
    /// How many they are.
    pub len: usize,
}

/// Flags of a frame on its way out, each on its own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RawFlags {
    /// `RTE_MBUF_F_TX_IPV4`.
    pub ipv4: bool,
    /// `RTE_MBUF_F_TX_IPV6`.
    pub ipv6: bool,
    /// `RTE_MBUF_F_TX_IP_CKSUM`.
    pub ip_checksum: bool,
    /// `RTE_MBUF_F_TX_TCP_CKSUM`.
    pub tcp_checksum: bool,
    /// `RTE_MBUF_F_TX_TCP_SEG`.
    pub tcp_seg: bool,
    /// `tso_segsz`, whatever the flags.
    pub tso_segsz: u16,
}

/// The bytes of each mbuf of a frame.
#[derive(Debug)]
pub struct Segments<'a> {
    next: *const dpdk_sys::rte_mbuf,
    _frame: PhantomData<&'a Frame>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: a segment of the borrowed frame; its data is `data_len` bytes at `buf_addr + data_off`.
        unsafe {
            let m = &*self.next;
            self.next = m.next;
            let data = m.buf_addr.cast::<u8>().add(usize::from(m.data_off));
            Some(core::slice::from_raw_parts(data, usize::from(m.data_len)))
        }
    }
}

/// The pieces of a received frame; what is not taken is freed.
#[derive(Debug)]
pub struct Pieces {
    next: *mut dpdk_sys::rte_mbuf,
}

impl Iterator for Pieces {
    type Item = RxSlice;

    #[inline]
    fn next(&mut self) -> Option<RxSlice> {
        let segment = NonNull::new(self.next)?;
        // SAFETY: the rest of the frame is ours. The segment is cut off it, so that it is freed alone.
        unsafe {
            let m = segment.as_ptr();
            self.next = (*m).next;
            (*m).next = core::ptr::null_mut();
            (*m).nb_segs = 1;
            Some(RxSlice::from_segment(segment))
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        for piece in self {
            drop(piece);
        }
    }
}
