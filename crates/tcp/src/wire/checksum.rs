//! The Internet checksum (RFC 1071).
//!
//! Words are summed as the machine loads them, four bytes at a time into 64-bit lanes, and folded to 16 bits
//! only at the end: one's complement addition does not care about byte order (RFC 1071 §2 B) nor about
//! grouping, and the loop is one that compilers turn into vector code.

use std::net::IpAddr;

/// A running one's complement sum over bytes that may come in several slices, as one long sequence: a slice
/// may begin at an odd offset.
#[derive(Copy, Clone, Debug, Default)]
pub struct Sum {
    /// Partial sum in native byte order; each slice adds at most 0xffff.
    words: u64,
    /// An odd number of bytes was added so far.
    odd: bool,
}

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum { words: 0, odd: false };

    /// The pseudo-header of a TCP segment or ICMPv6 message of `len` bytes, header included (RFC 9293 §3.1,
    /// RFC 8200 §8.1).
    ///
    /// Give 0 for `len` where a device segments (TSO): it adds each segment's length itself.
    ///
    /// # Panics
    /// In debug builds, when the addresses are of different families.
    pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Sum {
        let mut sum = Sum::ZERO;
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                sum.add_u32(u32::from_be_bytes(src.octets()));
                sum.add_u32(u32::from_be_bytes(dst.octets()));
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                sum.add(&src.octets());
                sum.add(&dst.octets());
            }
            _ => debug_assert!(false, "{src} and {dst} are of different families"),
        }
        sum.add_u32(len);
        sum.add_u32(u32::from(protocol));
        sum
    }

    /// Appends bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.append(Sum { words: sum_native(bytes), odd: bytes.len() % 2 == 1 });
    }

    /// Appends the bytes of `from` and copies them to the front of `to` in the same pass (`S12`): each is loaded once.
    ///
    /// # Panics
    /// When `to` is shorter.
    pub fn add_copied(&mut self, from: &[u8], to: &mut [u8]) {
        let words = copy_native(from, &mut to[..from.len()]);
        self.append(Sum { words, odd: from.len() % 2 == 1 });
    }

    /// Appends what `next` was summed over.
    pub fn append(&mut self, next: Sum) {
        let sum = fold(next.words);
        // Bytes that begin at an odd offset count in the other half of their words (RFC 1071 §2 B).
        self.words += u64::from(if self.odd { sum.swap_bytes() } else { sum });
        self.odd ^= next.odd;
    }

    /// Appends a 32-bit number, in network byte order; only at an even offset.
    pub(super) fn add_u32(&mut self, number: u32) {
        debug_assert!(!self.odd);
        self.words += u64::from(number.to_be());
    }

    /// The sum, folded to 16 bits: what a device that computes the checksum wants in its field.
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.words))
    }

    /// The checksum: what goes into the field of a finished packet.
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// True when this is the sum over a packet whose checksum field is right.
    pub fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

/// The checksum of `bytes` alone.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = Sum::ZERO;
    sum.add(bytes);
    sum.checksum()
}

/// Adds the end-around carries until 16 bits are left.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The sum of the 32-bit words of `bytes`, padded with zeros; cannot overflow below 16 GiB.
fn sum_native(bytes: &[u8]) -> u64 {
    const LANES: usize = 8;
    let (blocks, rest) = bytes.as_chunks::<{ 4 * LANES }>();
    let mut sum = 0;
    if !blocks.is_empty() {
        let mut lanes = [0u64; LANES];
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        sum = lanes.iter().sum();
    }
    let (words, tail) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let tail = match *tail {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => return sum,
    };
    sum + u64::from(u32::from_ne_bytes(tail))
}

/// [`sum_native`] of `from`, which is copied to `to` on the way; both are of one length.
fn copy_native(from: &[u8], to: &mut [u8]) -> u64 {
    const LANES: usize = 8;
    let (blocks, rest) = from.as_chunks::<{ 4 * LANES }>();
    let (room, room_rest) = to.as_chunks_mut::<{ 4 * LANES }>();
    let mut lanes = [0u64; LANES];
    for (block, copy) in blocks.iter().zip(room) {
        *copy = *block;
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    room_rest.copy_from_slice(rest);
    lanes.iter().sum::<u64>() + sum_native(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §4.1, read literally.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let mut sum = Sum::ZERO;
        sum.add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), 0xddf2);
    }

    #[test]
    fn ones_do_not_overflow_a_jumbo_frame() {
        assert_eq!(checksum(&[0xff; 65535]), slow(&[0xff; 65535]));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&bytes), slow(&bytes));
        }

        #[test]
        fn slices_at_any_offset_add_up(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(0usize..300, 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort();
            let mut sum = Sum::ZERO;
            for pair in cuts.windows(2) {
                sum.add(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(sum.checksum(), slow(&bytes));
        }

        #[test]
        fn s12_copying_and_summing_in_one_pass_does_both(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            before in prop::collection::vec(any::<u8>(), 0..5),
            spare in 0usize..5,
        ) {
            let (mut one, mut two) = (Sum::ZERO, Sum::ZERO);
            one.add(&before);
            two.add(&before);
            let mut copy = vec![0xaa; bytes.len() + spare];
            one.add_copied(&bytes, &mut copy);
            two.add(&bytes);
            prop_assert_eq!(one.checksum(), two.checksum());
            prop_assert_eq!(&copy[..bytes.len()], &bytes[..]);
            prop_assert!(copy[bytes.len()..].iter().all(|&b| b == 0xaa), "beyond its end");
            // And goes on where it stopped.
            one.add(&before);
            two.add(&before);
            prop_assert_eq!(one.checksum(), two.checksum());
        }

        #[test]
        fn the_pseudo_header_of_both_families(
            v4 in any::<([u8; 4], [u8; 4])>(), v6 in any::<([u8; 16], [u8; 16])>(), protocol: u8, len in 0u32..65536,
        ) {
            let [_, _, hi, lo] = len.to_be_bytes();
            let bytes = [&v4.0[..], &v4.1, &[0, protocol, hi, lo]].concat();
            prop_assert_eq!(Sum::pseudo_header(v4.0.into(), v4.1.into(), protocol, len).checksum(), slow(&bytes));
            let bytes = [&v6.0[..], &v6.1, &len.to_be_bytes(), &[0, 0, 0, protocol]].concat();
            prop_assert_eq!(Sum::pseudo_header(v6.0.into(), v6.1.into(), protocol, len).checksum(), slow(&bytes));
        }

        #[test]
        fn a_flipped_bit_is_noticed(
            mut bytes in prop::collection::vec(any::<u8>(), 4..100), at: prop::sample::Index, bit in 0u8..8,
        ) {
            bytes[0] = 0;
            bytes[1] = 0;
            let sum = checksum(&bytes);
            bytes[..2].copy_from_slice(&sum.to_be_bytes());
            let mut whole = Sum::ZERO;
            whole.add(&bytes);
            prop_assert!(whole.is_valid());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut whole = Sum::ZERO;
            whole.add(&bytes);
            prop_assert!(!whole.is_valid());
        }
    }
}
