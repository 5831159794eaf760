//! Frames without TCP: the headers that the engine would write, from a template, before payload by reference.

use std::net::Ipv4Addr;

use engine::nic::{Buf, HeaderBuf, Nic, StageError, TxFrame, TxMeta};
use tcp::wire::Sum;

const ETHERNET: usize = 14;
const IP: usize = 20;
/// With timestamps, as the engine's.
const TCP: usize = 32;
const HEADERS: usize = ETHERNET + IP + TCP;

/// Payload bytes of a segment on a wire with an MTU of 1500.
pub(crate) const MSS: u16 = 1448;

/// Headers of a burst, all bursts having the same payload length.
#[derive(Clone)]
pub(crate) struct Template {
    headers: [u8; HEADERS],
    meta: TxMeta,
    seq: u32,
}

impl Template {
    /// For bursts of `payload` bytes, from a port with this address and these abilities to `to`.
    pub(crate) fn new<N: Nic>(nic: &N, to: [u8; 6], payload: u16) -> Template {
        let mut headers = [0; HEADERS];
        let (source, destination) = (Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 18, 0, 1));
        headers[..6].copy_from_slice(&to);
        headers[6..12].copy_from_slice(&nic.mac());
        headers[12..14].copy_from_slice(&[0x08, 0x00]);
        let ip = &mut headers[ETHERNET..ETHERNET + IP];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(payload + (IP + TCP) as u16).to_be_bytes());
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = 6;
        ip[12..16].copy_from_slice(&source.octets());
        ip[16..20].copy_from_slice(&destination.octets());
        let ip_checksum = nic.limits().tx_ip_checksum;
        if !ip_checksum {
            let mut sum = Sum::ZERO;
            sum.add(ip);
            ip[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        }
        let tcp = &mut headers[ETHERNET + IP..];
        tcp[..4].copy_from_slice(&[0x30, 0x39, 0, 9]);
        tcp[12..16].copy_from_slice(&[((TCP / 4) as u8) << 4, 0x10, 0xff, 0xff]);
        tcp[20..24].copy_from_slice(&[1, 1, 8, 10]);
        // The device adds the length of each segment.
        let pseudo = Sum::pseudo_header(source.into(), destination.into(), 6, 0).folded();
        tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
        let meta = TxMeta {
            l2_len: ETHERNET as u8,
            l3_len: IP as u16,
            l4_len: TCP as u8,
            ip_checksum,
            tcp_checksum: true,
            tso_segsz: MSS,
            payload_len: payload.into(),
            ..TxMeta::default()
        };
        Template { headers, meta, seq: 0 }
    }

    /// The same for a receiver that is to make nothing of it: a type of frame for experiments (IEEE 802).
    pub(crate) fn unanswered(mut self) -> Template {
        self.headers[12..14].copy_from_slice(&[0x88, 0xb5]);
        self
    }

    /// Stages one burst. False: no header buffer, or none to refer to payload, is free.
    #[inline]
    pub(crate) fn stage<N: Nic<Buf = Buf, Header = HeaderBuf>>(
        &mut self,
        nic: &mut N,
        payload: &Buf,
    ) -> bool {
        let Some(mut header) = nic.lend_header() else { return false };
        header[..HEADERS].copy_from_slice(&self.headers);
        header[38..42].copy_from_slice(&self.seq.to_be_bytes());
        self.seq = self.seq.wrapping_add(self.meta.payload_len);
        let frame = TxFrame { header, header_len: HEADERS as u16, meta: self.meta };
        let staged = nic.stage(frame, [(payload, 0..self.meta.payload_len as usize)].into_iter());
        !matches!(staged, Err(StageError::NoBuffers | StageError::TooManyReferences))
    }
}
