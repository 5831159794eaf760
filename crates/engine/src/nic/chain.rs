//! Frames as mbuf chains: a fresh header mbuf, then one mbuf per payload slice that refers to it. The DPDK NIC
//! and the in-memory NIC build them with the same code.

use core::ops::{Deref, DerefMut, Range};

use ::dpdk::{AttachError, Chain, Frame, Mbuf, MbufStash, Mempool, TxOffload};
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
}

impl Builder {
    pub(super) fn new(headers: &Mempool, links: &Mempool, max_chain: u16) -> Builder {
        Builder { headers: MbufStash::new(headers), links: MbufStash::new(links), max_chain }
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
            return linear(frame, payload);
        }
        let TxFrame { header, header_len, meta } = frame;
        let mut chain = Chain::new(header.0, header_len);
        for (buf, mut range) in payload {
            // One mbuf describes 65535 bytes at most; a slice is longer only when the caller wants no TSO limit.
            while !range.is_empty() {
                let part = range.start..range.end.min(range.start + usize::from(u16::MAX));
                range.start = part.end;
                let link = self.links.take().ok_or(StageError::NoBuffers)?;
                let attached = match buf {
                    Buf::Pool(slice) => chain.attach(link, slice, part),
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
        Ok(chain.finish(offload(&meta)))
    }
}

/// The payload copied behind the header, for a device that takes one mbuf per frame.
fn linear<'a, I>(frame: TxFrame<HeaderBuf>, payload: I) -> Result<Frame, StageError>
where
    I: Iterator<Item = (&'a Buf, Range<usize>)>,
{
    let TxFrame { mut header, header_len, meta } = frame;
    let mut len = usize::from(header_len);
    for (buf, range) in payload {
        let bytes = &buf.as_slice()[range];
        // Header buffers of such a device hold a frame of its MTU; a longer one has no place in it.
        let Some(room) = header.get_mut(len..len + bytes.len()) else { return Err(StageError::NoBuffers) };
        room.copy_from_slice(bytes);
        len += bytes.len();
    }
    let len = u16::try_from(len).map_err(|_| StageError::NoBuffers)?;
    Ok(Chain::new(header.0, len).finish(offload(&meta)))
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
    }
}
