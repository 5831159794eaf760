//! Cutting a burst into frames: whole for a port that segments, per MSS for one that does not.
//!
//! Where the port has no TSO, or the MSS lies under its minimum, a burst still travels through the connection as
//! one and is cut here, at the last moment: what it costs to propose and commit is paid once for many segments.

use tcp::wire::TcpFlags;
use tcp::{Burst, Nanos, TxLimits};

use crate::frame::MAX_TCP_IP_HEADERS;
use crate::nic::NicLimits;

/// Payload bytes of the longest burst: with IPv4 and TCP headers at their longest the packet's length fits its 16-bit
/// field (the emulated igb loses longer ones without a word).
pub(crate) const MAX_BURST: u32 = 65_535 - MAX_TCP_IP_HEADERS as u32;

/// Segments of one burst where we cut it ourselves. More would save little and delay the others' turns.
const MAX_SOFT_SEGMENTS: u16 = 32;

/// Slices of one burst where the chain is ours to lay out again.
const MAX_SOFT_SLICES: u16 = 64;

/// Slices of one burst that a port which segments is offered at least. Where its chains are shorter the frame is
/// copied together: better than segments as short as a few of the application's smallest writes, which flood the path
/// and, after a loss, leave again as short as they were.
const MIN_SLICES: u16 = 16;

/// How a burst becomes frames.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cuts {
    /// Payload bytes of a frame.
    unit: u32,
    /// The device segments each frame.
    pub(crate) tso: bool,
    /// Payload is copied, not referenced.
    pub(crate) copy: bool,
    /// How many frames.
    pub(crate) frames: u32,
    /// The device notes when the last one leaves.
    pub(crate) stamp: bool,
}

/// Decides how to cut, by what the port can do.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Cutter {
    /// The device segments.
    tso: bool,
    min_mss: u16,
    /// Payload never travels by reference: no scatter-gather.
    copy: bool,
    /// Bytes of a header buffer.
    room: u32,
    limits: TxLimits,
}

impl Cutter {
    pub(crate) fn new(nic: &NicLimits) -> Cutter {
        // A device that segments must compute checksums: without that offload it cannot be asked to.
        let tso = nic.tso_max_len > 0 && nic.tx_tcp_checksum && nic.max_chain > 1;
        let limits = if tso {
            TxLimits {
                max_len: nic.tso_max_len.min(MAX_BURST),
                max_segments: nic.tso_max_segments.max(1),
                max_slices: (nic.max_chain - 1).max(MIN_SLICES),
                min_tso_mss: 1,
                cut_below_mss: nic.tso_min_mss,
                budget: u32::MAX,
                held: 0,
                loop_period: Nanos::ZERO,
            }
        } else {
            TxLimits {
                max_len: MAX_BURST,
                max_segments: MAX_SOFT_SEGMENTS.min(nic.tx_batch).max(1),
                max_slices: MAX_SOFT_SLICES,
                min_tso_mss: 1,
                cut_below_mss: u16::MAX,
                budget: u32::MAX,
                held: 0,
                loop_period: Nanos::ZERO,
            }
        };
        Cutter {
            tso,
            min_mss: nic.tso_min_mss,
            copy: nic.max_chain <= 1,
            room: u32::from(nic.header_room),
            limits,
        }
    }

    /// What a connection may propose. The minimum MSS is not among it: this cuts what the device cannot.
    pub(crate) fn limits(&self) -> &TxLimits {
        &self.limits
    }

    /// How to send `burst`. `plain` asks for the humblest form: a frame for each segment, in one buffer.
    pub(crate) fn cuts(&self, burst: &Burst, plain: bool) -> Cuts {
        let mss = u32::from(burst.mss.max(1));
        let tso = self.tso && !plain && burst.len > mss && burst.mss >= self.min_mss;
        if tso {
            return Cuts { unit: burst.len, tso, copy: false, frames: 1, stamp: false };
        }
        let frames = burst.len.div_ceil(mss).max(1);
        Cuts { unit: mss, tso, copy: plain || self.copy, frames, stamp: false }
    }

    /// How to send the beginning of `burst` when there is nothing but a header buffer: one small frame.
    pub(crate) fn last_resort(&self, burst: &Burst) -> Cuts {
        let headers = (crate::frame::ETHERNET_LEN + MAX_TCP_IP_HEADERS) as u32;
        let unit = u32::from(burst.mss.max(1)).min(self.room.saturating_sub(headers)).max(1);
        Cuts { unit, tso: false, copy: true, frames: burst.len.div_ceil(unit).max(1), stamp: false }
    }
}

impl Cuts {
    /// The same, with the time of the last frame noted (`S33`). No device does that of a frame that it segments, so the last segment is a
    /// frame of its own.
    pub(crate) fn stamped(self, burst: &Burst) -> Cuts {
        if !self.tso {
            return Cuts { stamp: true, ..self };
        }
        let mss = u32::from(burst.mss.max(1));
        Cuts { unit: (burst.len - 1) / mss * mss, frames: 2, stamp: true, ..self }
    }

    /// Payload bytes that the first `frames` frames cover.
    pub(crate) fn covered(&self, burst: &Burst, frames: u32) -> u32 {
        self.unit.saturating_mul(frames).min(burst.len)
    }

    /// What the first `frames` frames carry, as a burst.
    pub(crate) fn first(&self, burst: &Burst, frames: u32) -> Burst {
        part(burst, 0, self.covered(burst, frames))
    }

    /// Payload bytes of frame number `n`, counted from 0.
    pub(crate) fn len_of(&self, burst: &Burst, n: u32) -> u32 {
        self.unit.min(burst.len - self.covered(burst, n))
    }

    /// Frame number `n`, counted from 0, as a burst of its own: what its headers say.
    pub(crate) fn nth(&self, burst: &Burst, n: u32) -> Burst {
        let at = self.covered(burst, n);
        part(burst, at, self.unit.min(burst.len - at))
    }
}

/// The part of `burst` that begins `at` payload bytes into it and is `len` long. SYN and CWR stay with its first byte,
/// FIN and PSH with its last.
pub(crate) fn part(burst: &Burst, at: u32, len: u32) -> Burst {
    let mut part = Burst { seq: burst.seq + at, offset: burst.offset + u64::from(at), len, ..*burst };
    if at > 0 {
        part.flags = part.flags.without(TcpFlags::SYN | TcpFlags::CWR);
    }
    if at + len < burst.len {
        part.flags = part.flags.without(TcpFlags::FIN | TcpFlags::PSH);
    }
    part
}

#[cfg(test)]
mod tests {
    use tcp::wire::OptionBytes;
    use tcp::{BurstKind, Offset, Seq};

    use super::*;
    use crate::fake::limits;

    fn burst(len: u32, flags: TcpFlags) -> Burst {
        Burst {
            seq: Seq(u32::MAX - 500),
            ack: Seq(7),
            flags: flags | TcpFlags::ACK,
            window: 100,
            options: OptionBytes::EMPTY,
            offset: Offset(1000),
            len,
            mss: 1000,
            kind: BurstKind::New,
            ect: false,
        }
    }

    fn frames(c: &Cuts, b: &Burst) -> Vec<(u32, u64, u32, TcpFlags)> {
        (0..c.frames)
            .map(|n| c.nth(b, n))
            .map(|f| (f.seq.0, f.offset.0, f.len, f.flags.without(TcpFlags::ACK)))
            .collect()
    }

    #[test]
    fn a_port_that_segments_gets_the_burst_whole() {
        let c = Cutter::new(&NicLimits { tso_max_len: 65_536, ..limits() });
        let b = burst(3500, TcpFlags::PSH);
        let cuts = c.cuts(&b, false);
        assert!(cuts.tso && !cuts.copy);
        assert_eq!(frames(&cuts, &b), [(b.seq.0, 1000, 3500, TcpFlags::PSH)]);
        assert_eq!(c.limits().max_len, MAX_BURST);
        assert!(!c.cuts(&burst(1000, TcpFlags::NONE), false).tso, "one segment needs no segmenting");
    }

    #[test]
    fn s33_the_segment_whose_time_is_noted_is_a_frame_of_its_own() {
        let c = Cutter::new(&NicLimits { tso_max_len: 65_536, ..limits() });
        for (len, first) in [(3500, 3000), (3000, 2000), (1001, 1000)] {
            let b = burst(len, TcpFlags::PSH);
            let cuts = c.cuts(&b, false).stamped(&b);
            assert!(cuts.tso && cuts.stamp);
            assert_eq!(
                frames(&cuts, &b),
                [
                    (b.seq.0, 1000, first, TcpFlags::NONE),
                    ((b.seq + first).0, 1000 + u64::from(first), len - first, TcpFlags::PSH)
                ]
            );
        }
        let b = burst(1000, TcpFlags::PSH);
        assert_eq!(c.cuts(&b, false).stamped(&b).frames, 1);
    }

    #[test]
    fn s10_short_chains_make_no_short_segments() {
        let slices = |max_chain| Cutter::new(&NicLimits { max_chain, ..limits() }).limits().max_slices;
        assert_eq!([2, 8, 40].map(slices), [16, 16, 39]);
    }

    #[test]
    fn without_tso_each_frame_is_a_segment_and_only_the_ends_carry_flags() {
        let c = Cutter::new(&NicLimits { tso_max_len: 0, ..limits() });
        let b = burst(2500, TcpFlags::PSH | TcpFlags::FIN | TcpFlags::CWR);
        let cuts = c.cuts(&b, false);
        assert_eq!(
            frames(&cuts, &b),
            [
                (b.seq.0, 1000, 1000, TcpFlags::CWR),
                ((b.seq + 1000).0, 2000, 1000, TcpFlags::NONE),
                ((b.seq + 2000).0, 3000, 500, TcpFlags::PSH | TcpFlags::FIN),
            ]
        );
        assert_eq!((cuts.covered(&b, 1), cuts.covered(&b, 3)), (1000, 2500));
    }

    #[test]
    fn s8_below_the_devices_smallest_mss_we_segment() {
        let c = Cutter::new(&NicLimits { tso_max_len: 65_536, tso_min_mss: 1001, ..limits() });
        let cuts = c.cuts(&burst(2500, TcpFlags::NONE), false);
        assert!(!cuts.tso);
        assert_eq!(cuts.frames, 3);
    }

    #[test]
    fn without_checksum_offload_there_is_no_tso() {
        let c = Cutter::new(&NicLimits { tso_max_len: 65_536, tx_tcp_checksum: false, ..limits() });
        assert_eq!(c.cuts(&burst(2500, TcpFlags::NONE), false).frames, 3);
    }

    #[test]
    fn a_burst_without_payload_is_one_frame() {
        let c = Cutter::new(&limits());
        for flags in [TcpFlags::SYN, TcpFlags::FIN, TcpFlags::NONE] {
            let b = burst(0, flags);
            assert_eq!(frames(&c.cuts(&b, false), &b), [(b.seq.0, 1000, 0, flags)]);
            assert_eq!(c.last_resort(&b).frames, 1);
        }
    }

    #[test]
    fn parts_put_together_are_the_whole() {
        let b = burst(2500, TcpFlags::PSH | TcpFlags::FIN);
        let (first, rest) = (part(&b, 0, 700), part(&b, 700, 1800));
        assert_eq!(first.flags, TcpFlags::ACK);
        assert_eq!((rest.seq, rest.offset, rest.flags), (b.seq + 700, Offset(1700), b.flags));
    }
}
