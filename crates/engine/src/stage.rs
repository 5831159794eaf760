//! Building frames: a burst is cut, each cut gets its headers, and its payload is referenced, copied behind them or copied
//! together.

use core::iter;

use tcp::wire::Sum;
use tcp::{Burst, BurstKind, Payload};

use crate::commit::Staged;
use crate::engine::Engine;
use crate::frame::Address;
use crate::nic::{Nic, StageError, TailBuf, TxFrame};
use crate::segment::Cuts;
use crate::slot::Slot;

/// Why a frame could not be staged.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shortage {
    Header,
    Buffers,
}

impl<N: Nic> Engine<N> {
    /// Stages up to `max` frames of a burst, cut as `cuts` says. Returns whether that was all of it, and what was lacking.
    pub(crate) fn stage_burst(
        &mut self,
        index: u32,
        burst: Burst,
        mut cuts: Cuts,
        mac: [u8; 6],
        max: u32,
    ) -> (bool, Option<Shortage>) {
        if self.stamps.is_on()
            && self.slots.working(index).is_some_and(|slot| slot.conn.wants_device_time(&burst))
            && self.stamps.claim(&mut self.nic)
        {
            cuts = cuts.stamped(&burst);
        }
        let (mut frames, mut shortage, mut header_bytes) = (0, None, 0);
        while frames < cuts.frames.min(max) {
            match self.stage_frame(index, &burst, &cuts, frames, mac) {
                Ok(headers) => {
                    header_bytes = headers;
                    frames += 1;
                }
                Err(why) => {
                    shortage = Some(why);
                    break;
                }
            }
        }
        // Nor must new data wait for a buffer to be copied together in when it is queued data that has them all (`S5`).
        let urgent = matches!(burst.kind, BurstKind::Retransmit | BurstKind::WindowProbe)
            || (cuts.copy && self.pressure.is_full(true));
        if frames == 0 && shortage == Some(Shortage::Buffers) && urgent {
            // No buffer to refer to its payload, but one for headers: copy a segment behind them.
            if cuts.stamp {
                self.stamps.release(&mut self.nic);
            }
            cuts = self.cutter.last_resort(&burst);
            if let Ok(headers) = self.stage_frame(index, &burst, &cuts, 0, mac) {
                header_bytes = headers;
                frames = 1;
            }
        }
        if !cuts.tso && cuts.frames > 1 {
            self.counters.tx_soft_segmented += 1;
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.staged += burst.len;
        }
        self.staged_bytes += burst.len;
        self.staged_frames += frames as u16;
        self.staged.push(Staged::Burst { index, burst, cuts, frames, header_bytes });
        (frames == cuts.frames, shortage)
    }

    /// Builds frame number `n` of a burst and stages it; returns the length of its headers.
    fn stage_frame(
        &mut self,
        index: u32,
        burst: &Burst,
        cuts: &Cuts,
        n: u32,
        mac: [u8; 6],
    ) -> Result<u32, Shortage> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(Shortage::Buffers) };
        let part;
        let cut = if cuts.frames == 1 {
            burst
        } else {
            part = cuts.nth(burst, n);
            &part
        };
        let tso = cuts.tso && cut.len > u32::from(cut.mss);
        let Some(to) = address(slot, mac) else { return Err(Shortage::Buffers) };

        let mut header = match self.nic.lend_header() {
            Some(h) => h,
            None => {
                self.counters.tx_no_header += 1;
                let urgent = !matches!(burst.kind, BurstKind::New | BurstKind::Syn);
                let kept = if urgent { self.reserve.take() } else { None };
                let kept = kept.ok_or(Shortage::Header)?;
                self.counters.tx_reserve_used += 1;
                kept
            }
        };
        let (headers, mut meta) = self.framer.headers(&to, cut, tso, &mut header);
        meta.stamp = cuts.stamp && n + 1 == cuts.frames;
        let segments = if tso { cut.segments() } else { 1 };

        let sums = self.framer.sums();
        // Bytes of sends by reference that are copied all the same.
        let mut copied = 0;
        let before = self.nic.copied_after_all();
        let behind = self.framer.fits_behind(headers, cut.len);
        let staged = if behind && (cuts.copy || cut.len <= self.cfg.copy_break) {
            let (mut at, mut sum) = (headers, Sum::ZERO);
            for (buf, range) in slot.conn.slices(cut) {
                let bytes = &buf.as_slice()[range];
                copy(bytes, &mut header[at..], sums.then_some(&mut sum));
                at += bytes.len();
                copied += if buf.is_copy() { 0 } else { bytes.len() as u64 };
            }
            self.framer.finish(&to, &meta, &mut header, cut.len, sum);
            if cut.len > 0 {
                self.counters.tx_payload_copied += 1;
                self.counters.tx_checksums_copying += u64::from(sums);
            }
            let frame = TxFrame { header, header_len: at as u16, meta };
            self.nic.stage(frame, iter::empty())
        } else {
            meta.payload_len = cut.len;
            let slices = slot.conn.slices(cut);
            if !cuts.copy && self.framer.chain_fits(meta.tso_segsz, slices.clone()) {
                if sums {
                    // What is sent by reference costs a pass of its own.
                    let mut sum = Sum::ZERO;
                    slices.clone().for_each(|(b, r)| sum.add(&b.as_slice()[r]));
                    self.framer.finish(&to, &meta, &mut header, cut.len, sum);
                    self.counters.tx_checksums_reading += 1;
                }
                let frame = TxFrame { header, header_len: headers as u16, meta };
                self.nic.stage(frame, slices)
            } else {
                self.counters.tx_linearised += 1;
                let mut sum = Sum::ZERO;
                let summed = sums.then_some(&mut sum);
                linearise(&mut self.nic, slot, cut, &mut self.pieces, summed)?;
                let referred = slot.conn.slices(cut).filter(|(buf, _)| !buf.is_copy());
                copied += referred.map(|(_, range)| range.len() as u64).sum::<u64>();
                let pieces = || self.pieces.iter().map(|p| (p, 0..p.len()));
                if !self.framer.chain_fits(meta.tso_segsz, pieces()) {
                    // Tail buffers too small for this burst: smaller frames need fewer of them.
                    self.pieces.clear();
                    slot.plain = true;
                    return Err(Shortage::Buffers);
                }
                self.framer.finish(&to, &meta, &mut header, cut.len, sum);
                self.counters.tx_checksums_copying += u64::from(sums);
                let frame = TxFrame { header, header_len: headers as u16, meta };
                let staged = self.nic.stage(frame, pieces());
                self.pieces.clear();
                staged
            }
        };
        match staged {
            Ok(()) => {
                copied += self.nic.copied_after_all() - before;
                if copied > 0 {
                    self.counters.copied_after_all += copied;
                    slot.conn.on_copied_after_all(copied);
                }
                slot.ip_id = slot.ip_id.wrapping_add(segments as u16);
                Ok(headers as u32)
            }
            Err(StageError::NoBuffers) => {
                self.counters.tx_no_buffers += 1;
                Err(Shortage::Buffers)
            }
            Err(StageError::TooManyReferences) => {
                self.counters.tx_too_many_references += 1;
                Err(Shortage::Buffers)
            }
        }
    }
}

/// Whom this connection's frames are for. `None` for IPv6, which no connection here has.
fn address<N: Nic>(slot: &Slot<N>, mac: [u8; 6]) -> Option<Address> {
    use std::net::SocketAddr::V4;
    let tuple = slot.conn.tuple();
    match (tuple.local, tuple.remote) {
        (V4(local), V4(remote)) => Some(Address { mac, local, remote, ip_id: slot.ip_id }),
        _ => None,
    }
}

/// Copies `bytes` to the front of `to`, and sums them on the way where the checksum is ours to compute (`S12`).
fn copy(bytes: &[u8], to: &mut [u8], sum: Option<&mut Sum>) {
    match sum {
        Some(sum) => sum.add_copied(bytes, to),
        None => to[..bytes.len()].copy_from_slice(bytes),
    }
}

/// Copies the payload of `cut` into as few buffers as can be had.
fn linearise<N: Nic>(
    nic: &mut N,
    slot: &Slot<N>,
    cut: &Burst,
    out: &mut Vec<N::Buf>,
    mut sum: Option<&mut Sum>,
) -> Result<(), Shortage> {
    out.clear();
    let mut tail: Option<N::Tail> = None;
    let mut filled = 0;
    for (buf, range) in slot.conn.slices(cut) {
        let mut bytes = &buf.as_slice()[range];
        while !bytes.is_empty() {
            let room = match &mut tail {
                Some(t) => t.spare().len() - filled,
                None => 0,
            };
            if room == 0 {
                if let Some(t) = &mut tail {
                    out.push(t.freeze(filled));
                }
                filled = 0;
                tail = nic.alloc_tail();
                if tail.is_none() {
                    out.clear();
                    return Err(Shortage::Buffers);
                }
                continue;
            }
            let n = room.min(bytes.len());
            if let Some(t) = &mut tail {
                copy(&bytes[..n], &mut t.spare()[filled..], sum.as_deref_mut());
            }
            filled += n;
            bytes = &bytes[n..];
        }
    }
    if let Some(t) = &mut tail
        && filled > 0
    {
        out.push(t.freeze(filled));
    }
    Ok(())
}
