//! Frames as mbuf chains: a fresh header mbuf, then one mbuf per payload slice that refers to it. The DPDK NIC
//! and the in-memory NIC build them with the same code.

use core::ops::{Deref, DerefMut, Range};

use ::dpdk::{AttachError, BufMut, BufPool, Chain, Frame, Mbuf, MbufStash, Mempool, Reads, TxOffload};
use tcp::Payload;

use super::{Buf, StageError, TxFrame, TxMeta};

/// A header mbuf's room, lent for one frame.
#[derive(Debug)]
pub struct HeaderBuf(Mbuf);

impl Deref for HeaderBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.room()
    }
}

impl DerefMut for HeaderBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.room_mut()
    }
}

/// Where mbufs for headers and for references come from.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) headers: MbufStash,
    links: MbufStash,
    /// Mbufs of one frame, at most.
    max_chain: u16,
    /// Which memory the device reads.
    reads: Reads,
    /// The driver sums pieces at odd offsets wrongly (`Profile::even_pieces_before`).
    even_pieces: bool,
    /// Where the payload of a frame is put together that the device cannot take as it is.
    bounce: BufPool,
    current: Option<BufMut>,
    /// Bytes of sends by reference that were copied here.
    pub(super) copied_after_all: u64,
}

impl Builder {
    /// `bounce`: memory of EAL's for what the device cannot take where it is, or as it is. `even_pieces`: the driver
    /// computes wrong checksums of pieces at odd offsets (`Profile::even_pieces_before`).
    pub(super) fn new(
        headers: &Mempool,
        links: &Mempool,
        bounce: &BufPool,
        max_chain: u16,
        reads: Reads,
        even_pieces: bool,
    ) -> Builder {
        Builder {
            headers: MbufStash::new(headers),
            links: MbufStash::new(links),
            max_chain,
            reads,
            even_pieces,
            bounce: bounce.clone(),
            current: None,
            copied_after_all: 0,
        }
    }

    /// One of the same kind, over other buffers.
    pub(super) fn another(&self, headers: &Mempool, links: &Mempool, bounce: &BufPool) -> Builder {
        Builder::new(headers, links, bounce, self.max_chain, self.reads, self.even_pieces)
    }

    #[inline]
    pub(super) fn lend_header(&mut self) -> Option<HeaderBuf> {
        self.headers.take().map(HeaderBuf)
    }

    /// Chains the payload behind the header. On an error everything taken is back.
    #[inline]
    pub(super) fn build<'a, I>(&mut self, frame: TxFrame<HeaderBuf>, payload: I) -> Result<Frame, StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
    {
        if self.max_chain == 1 {
            return self.linear(frame, payload);
        }
        let TxFrame { header, header_len, meta } = frame;
        let mut chain = Chain::new(header.0, header_len);
        let (mut within_reach, mut referred) = (true, 0);
        for (buf, mut range) in payload {
            if !buf.is_copy() {
                referred += range.len();
            }
            // One mbuf describes 65535 bytes at most; a slice is longer only when the caller wants no TSO limit.
            while !range.is_empty() {
                let part = range.start..range.end.min(range.start + usize::from(u16::MAX));
                range.start = part.end;
                let link = self.links.take().ok_or(StageError::NoBuffers)?;
                let attached = match buf {
                    Buf::Pool(slice) | Buf::Copied(slice) => {
                        within_reach &= slice.is_read_by(self.reads);
                        chain.attach(link, slice, part)
                    }
                    Buf::Rx(slice) => chain.attach_rx(link, slice, part),
                };
                attached.map_err(|e| match e {
                    AttachError::TooManyReferences => StageError::TooManyReferences,
                    _ => StageError::NoBuffers,
                })?;
            }
        }
        debug_assert!(
            chain.len() == u32::from(header_len) + meta.payload_len,
            "{meta:?} of {} bytes",
            chain.len()
        );
        let frame = chain.finish(offload(&meta));
        if !within_reach || (self.even_pieces && meta.tcp_checksum && has_odd_piece(&frame, &meta)) {
            let frame = self.put_together(&frame, &meta)?;
            self.copied_after_all += referred as u64;
            return Ok(frame);
        }
        Ok(frame)
    }

    /// A frame like `frame`, with its payload in one buffer.
    #[cold]
    fn put_together(&mut self, frame: &Frame, meta: &TxMeta) -> Result<Frame, StageError> {
        let len = meta.payload_len as usize;
        if self.current.as_ref().is_none_or(|b| b.spare().len() < len) {
            self.current = self.bounce.try_alloc();
        }
        let buf = self.current.as_mut().ok_or(StageError::NoBuffers)?;
        let mut room = buf.spare_mut().get_mut(..len).ok_or(StageError::NoBuffers)?;
        let mut segments = frame.segments();
        let first = segments.next().unwrap_or_default();
        for bytes in segments {
            let (here, rest) = room.split_at_mut_checked(bytes.len()).ok_or(StageError::NoBuffers)?;
            here.copy_from_slice(bytes);
            room = rest;
        }
        let payload = buf.freeze(len);
        let mut header = self.headers.take().ok_or(StageError::NoBuffers)?;
        header.room_mut()[..first.len()].copy_from_slice(first);
        let link = self.links.take().ok_or(StageError::NoBuffers)?;
        let mut chain = Chain::new(header, first.len() as u16);
        chain.attach(link, &payload, 0..len).map_err(|_| StageError::NoBuffers)?;
        Ok(chain.finish(offload(meta)))
    }

    /// The payload copied behind the header, for a device that takes one mbuf per frame.
    fn linear<'a, I>(&mut self, frame: TxFrame<HeaderBuf>, payload: I) -> Result<Frame, StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
    {
        let TxFrame { mut header, header_len, meta } = frame;
        let (mut len, mut referred) = (usize::from(header_len), 0);
        for (buf, range) in payload {
            let bytes = &buf.as_slice()[range];
            // Header buffers of such a device hold a frame of its MTU; a longer one has no place in it.
            let Some(room) = header.get_mut(len..len + bytes.len()) else {
                return Err(StageError::NoBuffers);
            };
            room.copy_from_slice(bytes);
            len += bytes.len();
            referred += if buf.is_copy() { 0 } else { bytes.len() };
        }
        let len = u16::try_from(len).map_err(|_| StageError::NoBuffers)?;
        self.copied_after_all += referred as u64;
        Ok(Chain::new(header.0, len).finish(offload(&meta)))
    }
}

/// True when a buffer ends at an odd offset inside a wire segment's payload, so that another one continues it.
fn has_odd_piece(frame: &Frame, meta: &TxMeta) -> bool {
    let headers = u32::from(meta.l2_len) + u32::from(meta.l3_len) + u32::from(meta.l4_len);
    let Some(total) = frame.len().checked_sub(headers) else { return false };
    let mss = if meta.tso_segsz == 0 { u32::MAX } else { u32::from(meta.tso_segsz) };
    let mut end = 0;
    frame.segments().enumerate().any(|(i, bytes)| {
        end += bytes.len() as u32 - if i == 0 { headers.min(bytes.len() as u32) } else { 0 };
        end < total && (end % mss) % 2 == 1
    })
}

#[inline]
fn offload(meta: &TxMeta) -> TxOffload {
    TxOffload {
        l2_len: meta.l2_len,
        l3_len: meta.l3_len,
        l4_len: meta.l4_len,
        tso_segsz: meta.tso_segsz,
        ipv6: meta.ipv6,
        ip_checksum: meta.ip_checksum,
        tcp_checksum: meta.tcp_checksum,
        stamp: meta.stamp,
    }
}
