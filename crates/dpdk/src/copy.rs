//! Copies that leave the cache to others (`S13`).

/// Copies `from` to the front of `to` past the cache, with non-temporal stores where the processor has them: whoever reads
/// the copy next, such as a device, reads it from memory, and what was in the cache stays there. Slower than an ordinary
/// copy when the copy is read again soon, or when `to` is in the cache already.
///
/// # Panics
/// When `to` is shorter.
#[inline]
pub fn copy_streaming(from: &[u8], to: &mut [u8]) {
    let to = &mut to[..from.len()];
    #[cfg(target_arch = "x86_64")]
    x86_64::copy(from, to);
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    /// Bytes stored in one go: a cache line, so that no line is written in parts.
    const LINE: usize = 64;
    const PARTS: usize = LINE / size_of::<__m128i>();

    pub(super) fn copy(from: &[u8], to: &mut [u8]) {
        let head = to.as_ptr().align_offset(LINE).min(to.len());
        let (from_head, from) = from.split_at(head);
        let (to_head, to) = to.split_at_mut(head);
        to_head.copy_from_slice(from_head);
        let (from_lines, from_tail) = from.as_chunks::<LINE>();
        let (to_lines, to_tail) = to.as_chunks_mut::<LINE>();
        for (from, to) in from_lines.iter().zip(to_lines) {
            let (from, to) = (from.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
            for part in 0..PARTS {
                // SAFETY: SSE2 is part of x86-64. Both pointers are to LINE bytes, of which this is one of PARTS equal
                // parts; loads may be unaligned, and `to` is at a multiple of LINE: behind the head, in steps of LINE.
                unsafe { _mm_stream_si128(to.add(part), _mm_loadu_si128(from.add(part))) };
            }
        }
        to_tail.copy_from_slice(from_tail);
        // SAFETY: SSE is part of x86-64. Non-temporal stores are ordered before what follows, such as the doorbell that
        // tells a device to read them, by this alone.
        unsafe { _mm_sfence() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s13_a_streaming_copy_is_a_copy_at_every_alignment_and_length() {
        let source: Vec<u8> = (0..700u32).map(|i| (i * 31) as u8).collect();
        for length in (0..200).chain([255, 256, 257, 511, 512, 600]) {
            for (from, to) in [(0, 0), (1, 0), (0, 1), (3, 17), (63, 64), (16, 15), (5, 63)] {
                let mut target = vec![0xaa; 700];
                copy_streaming(&source[from..from + length], &mut target[to..]);
                assert!(target[..to].iter().all(|&b| b == 0xaa), "{length} from {from} to {to}: before");
                assert_eq!(
                    target[to..to + length],
                    source[from..from + length],
                    "{length} from {from} to {to}"
                );
                assert!(
                    target[to + length..].iter().all(|&b| b == 0xaa),
                    "{length} from {from} to {to}: behind"
                );
            }
        }
    }
}
