//! A frame as its buffers: lengths, sums and stretches across their borders.

/// The buffers of one frame, headers in the first.
#[derive(Copy, Clone, Debug)]
pub(super) struct Chain<'a>(pub(super) &'a [&'a [u8]]);

impl<'a> Chain<'a> {
    /// Bytes in all.
    pub(super) fn len(self) -> usize {
        self.0.iter().map(|s| s.len()).sum()
    }

    /// The first buffer, which holds the headers.
    pub(super) fn head(self) -> &'a [u8] {
        self.0.first().copied().unwrap_or(&[])
    }

    /// The ones'-complement sum of every byte from offset `at` on, as if they lay in one piece.
    pub(super) fn sum_from(self, at: usize) -> u64 {
        let mut skip = at;
        let mut odd = false;
        let mut total = 0;
        for slice in self.0 {
            let part = &slice[skip.min(slice.len())..];
            skip -= slice.len() - part.len();
            // A part that starts at an odd position has its bytes in the other halves of the words.
            let part_sum = sum(part);
            total += if odd { swap(part_sum) } else { part_sum };
            odd ^= part.len() % 2 == 1;
        }
        total
    }

    /// The most buffers that any one wire segment spans, the header buffer included. With `segsz` 0 the frame
    /// is one segment. Payload that lies behind the headers in the first buffer costs no further buffer.
    pub(super) fn longest_stretch(self, headers: usize, segsz: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        if segsz == 0 {
            return self.0.len();
        }
        let mut longest = 1;
        // The stretch under way: bytes it has, and buffers beyond the header's that it spans.
        let mut filled = first.len().saturating_sub(headers) % segsz;
        let mut spanned = 1;
        for slice in rest {
            let mut left = slice.len();
            while left > 0 {
                spanned += 1;
                longest = longest.max(spanned);
                let take = left.min(segsz - filled);
                left -= take;
                filled += take;
                if filled == segsz {
                    (filled, spanned) = (0, 1);
                }
            }
        }
        longest
    }
}

/// The unfolded ones'-complement sum of `bytes` (RFC 1071), an odd last byte padded with zero.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, last) = bytes.as_chunks::<2>();
    let odd = last.first().map_or(0, |&b| u64::from(b) << 8);
    words.iter().map(|&w| u64::from(u16::from_be_bytes(w))).sum::<u64>() + odd
}

/// A sum of the same bytes one position further on.
fn swap(sum: u64) -> u64 {
    u64::from(super::fold(sum).swap_bytes())
}
