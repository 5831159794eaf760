//! TCP options: what a segment said, and what goes into one (RFC 9293 §3.2, RFC 7323, RFC 2018).

use super::UserTimeout;
use crate::Seq;

/// The Timestamps option (RFC 7323 §3.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// The sender's clock.
    pub val: u32,
    /// The last value of ours that the sender saw.
    pub ecr: u32,
}

impl Timestamps {
    fn parse([a, b, c, d, e, f, g, h]: [u8; 8]) -> Timestamps {
        Timestamps { val: u32::from_be_bytes([a, b, c, d]), ecr: u32::from_be_bytes([e, f, g, h]) }
    }
}

/// Up to four SACK blocks `[left, right)` (RFC 2018 §3).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SackBlocks {
    blocks: [(Seq, Seq); 4],
    len: u8,
}

impl SackBlocks {
    /// Adds a block; returns false when four are there already.
    pub fn push(&mut self, left: Seq, right: Seq) -> bool {
        if usize::from(self.len) == self.blocks.len() {
            return false;
        }
        self.blocks[usize::from(self.len)] = (left, right);
        self.len += 1;
        true
    }

    /// The blocks in the order of the option.
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..usize::from(self.len)]
    }
}

/// The options of one segment. Unknown ones are skipped by their length (MUST-6).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpOptions {
    /// Maximum segment size (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// Window scale shift, at most 14 (RFC 7323 §2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018 §2).
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// User Timeout (RFC 5482).
    pub user_timeout: Option<UserTimeout>,
    /// Bytes that arrived marked, modulo 2^24, highest byte first: of an Accurate ECN option (RFC 9768 §3.2.3).
    pub marked_bytes: Option<[u8; 3]>,
}

impl TcpOptions {
    /// Reads the bytes between a TCP header's fixed part and its payload.
    ///
    /// Options may begin at any byte (MUST-64) and appear on any segment (MUST-5); it is the connection that
    /// ignores those which only a SYN may carry. What is unknown, or known but of another length than its
    /// standard gives, is skipped by its length (MUST-6). A length that is less than two or runs past the end
    /// leaves nothing to trust behind it: reading stops, and what was read so far holds (MUST-7).
    #[inline]
    pub fn parse(bytes: &[u8]) -> TcpOptions {
        // What nearly every segment of an established connection carries (RFC 7323 appendix A).
        if let &[NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h] = bytes {
            let timestamps = Some(Timestamps::parse([a, b, c, d, e, f, g, h]));
            return TcpOptions { timestamps, ..TcpOptions::default() };
        }
        TcpOptions::parse_any(bytes)
    }

    fn parse_any(bytes: &[u8]) -> TcpOptions {
        let mut options = TcpOptions::default();
        let mut rest = bytes;
        loop {
            match rest {
                [] | [END, ..] => return options,
                [NOP, tail @ ..] => rest = tail,
                [kind, length, tail @ ..] => {
                    let body = usize::from(*length).wrapping_sub(2);
                    let Some((body, tail)) = tail.split_at_checked(body) else { return options };
                    options.read(*kind, body);
                    rest = tail;
                }
                [_] => return options,
            }
        }
    }

    /// Takes in one option, if its kind is known and its body has the length of that kind.
    fn read(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            // RFC 7323 §2.3: a shift above 14 is taken as 14.
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                self.timestamps = Some(Timestamps::parse([a, b, c, d, e, f, g, h]));
            }
            (SACK, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
                self.sack = SackBlocks::default();
                for block in blocks.as_chunks::<8>().0 {
                    let [a, b, c, d, e, f, g, h] = *block;
                    let left = Seq(u32::from_be_bytes([a, b, c, d]));
                    let right = Seq(u32::from_be_bytes([e, f, g, h]));
                    // 40 bytes of options hold no fifth block.
                    self.sack.push(left, right);
                }
            }
            // Kinds differ in which of ECT(0) and ECT(1) is first and which third; either may leave out what is behind. What
            // fills no field is padding (RFC 9768 §3.2.3).
            (ACCURATE_ECN_0 | ACCURATE_ECN_1, &[_, _, _, a, b, c, ..]) => {
                self.marked_bytes = Some([a, b, c]);
            }
            (USER_TIMEOUT, &[a, b]) => {
                self.user_timeout = UserTimeout::from_bits(u16::from_be_bytes([a, b])).or(self.user_timeout);
            }
            _ => {}
        }
    }
}

/// End of option list.
const END: u8 = 0;
/// No operation.
const NOP: u8 = 1;
/// Maximum segment size.
const MSS: u8 = 2;
/// Window scale.
const WINDOW_SCALE: u8 = 3;
/// SACK permitted.
const SACK_PERMITTED: u8 = 4;
/// SACK blocks.
const SACK: u8 = 5;
/// Timestamps.
const TIMESTAMPS: u8 = 8;
/// User timeout.
const USER_TIMEOUT: u8 = 28;
/// Accurate ECN, the bytes of ECT(0) first.
const ACCURATE_ECN_0: u8 = 172;
/// Accurate ECN, the bytes of ECT(1) first.
const ACCURATE_ECN_1: u8 = 174;

/// The largest window scale shift (RFC 7323 §2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// Encoded options: at most 40 bytes, always a multiple of four, padded as MUST-69 asks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OptionBytes {
    bytes: [u8; OptionBytes::MAX_LEN],
    len: u8,
}

impl OptionBytes {
    /// As many bytes as a header has room for.
    pub const MAX_LEN: usize = 40;

    /// No options.
    pub const EMPTY: OptionBytes = OptionBytes { bytes: [0; OptionBytes::MAX_LEN], len: 0 };

    /// The options, and zeros behind them.
    pub(super) fn padded(&self) -> &[u8; OptionBytes::MAX_LEN] {
        &self.bytes
    }

    /// The options of a SYN or SYN,ACK: all that `options` has except SACK blocks, in the order Linux uses,
    /// so that middleboxes meet nothing they have not seen; behind them the user timeout. At most 24 bytes.
    ///
    /// # Panics
    /// In debug builds, when the window scale is above 14.
    pub fn syn(options: &TcpOptions) -> OptionBytes {
        let mut out = OptionBytes::EMPTY;
        if let Some(mss) = options.mss {
            let [a, b] = mss.to_be_bytes();
            out.push(&[MSS, 4, a, b]);
        }
        match (options.timestamps, options.sack_permitted) {
            // SACK permitted takes the place of the two NOPs that would align the timestamps.
            (Some(ts), true) => out.push_timestamps([SACK_PERMITTED, 2], ts),
            (Some(ts), false) => out.push_timestamps([NOP, NOP], ts),
            (None, true) => out.push(&[NOP, NOP, SACK_PERMITTED, 2]),
            (None, false) => {}
        }
        if let Some(shift) = options.window_scale {
            debug_assert!(shift <= MAX_WINDOW_SCALE, "RFC 7323 §2.3");
            out.push(&[NOP, WINDOW_SCALE, 3, shift]);
        }
        if let Some(timeout) = options.user_timeout {
            out.push_user_timeout(timeout);
        }
        out
    }

    /// The options of every other segment: timestamps, then as many of `sack`'s blocks as fit behind them, in
    /// the order given: three with timestamps, four without (RFC 2018 §3). An MSS has no place here
    /// (MUST-65).
    pub fn established(
        timestamps: Option<Timestamps>,
        sack: impl IntoIterator<Item = (Seq, Seq)>,
    ) -> OptionBytes {
        let mut out = OptionBytes::EMPTY;
        if let Some(ts) = timestamps {
            out.push_timestamps([NOP, NOP], ts);
        }
        let fits = (out.bytes.len() - out.len() - 4) / 8;
        let header = out.len();
        for (left, right) in sack.into_iter().take(fits) {
            if out.len() == header {
                out.push(&[NOP, NOP, SACK, 2]);
            }
            out.push(&left.0.to_be_bytes());
            out.push(&right.0.to_be_bytes());
            out.bytes[header + 3] += 8;
        }
        out
    }

    /// Appends the User Timeout option (RFC 5482 §3.3), if four bytes are left.
    pub fn push_user_timeout(&mut self, timeout: UserTimeout) {
        if self.len() + 4 <= self.bytes.len() {
            let [a, b] = timeout.bits().to_be_bytes();
            self.push(&[USER_TIMEOUT, 4, a, b]);
        }
    }

    /// Appends the Accurate ECN option with the bytes that came as ECT(0), CE and ECT(1), modulo 2^24 (RFC 9768 §3.2.3), if
    /// there is room: without the last where that is as it was at the beginning.
    pub fn push_accurate_ecn(&mut self, [ect0, ce, ect1]: [u32; 3]) {
        let field = |n: u32| n.to_be_bytes();
        let ([_, a, b, c], [_, d, e, f], [_, g, h, i]) = (field(ect0), field(ce), field(ect1));
        let all = [ACCURATE_ECN_0, 11, a, b, c, d, e, f, g, h, i, NOP];
        let most = self.bytes.len() - self.len();
        match ect1 {
            1 if most >= 8 => self.push(&[ACCURATE_ECN_0, 8, a, b, c, d, e, f]),
            _ if most >= all.len() => self.push(&all),
            _ => {}
        }
    }

    /// The encoded bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Their number.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Appends timestamps behind the two bytes that align them.
    fn push_timestamps(&mut self, [x, y]: [u8; 2], ts: Timestamps) {
        let ([a, b, c, d], [e, f, g, h]) = (ts.val.to_be_bytes(), ts.ecr.to_be_bytes());
        self.push(&[x, y, TIMESTAMPS, 10, a, b, c, d, e, f, g, h]);
    }

    /// Appends bytes; the callers above never reach 40.
    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.len);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TS: Timestamps = Timestamps { val: 0x0102_0304, ecr: 0x0506_0708 };

    #[test]
    fn syn_options_are_laid_out_as_linux_does() {
        let all = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(TS),
            ..TcpOptions::default()
        };
        assert_eq!(
            OptionBytes::syn(&all).as_slice(),
            [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7]
        );
        let no_ts = TcpOptions { timestamps: None, ..all };
        assert_eq!(OptionBytes::syn(&no_ts).as_slice(), [2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7]);
        let no_sack = TcpOptions { sack_permitted: false, ..no_ts };
        assert_eq!(OptionBytes::syn(&no_sack).as_slice(), [2, 4, 0x05, 0xb4, 1, 3, 3, 7]);
        let only_ts = TcpOptions { timestamps: Some(TS), ..TcpOptions::default() };
        assert_eq!(OptionBytes::syn(&only_ts).as_slice(), [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn established_options_hold_three_blocks_with_timestamps_and_four_without() {
        let blocks = (0..6).map(|i| (Seq(i * 10), Seq(i * 10 + 5)));
        let with = OptionBytes::established(Some(TS), blocks.clone());
        assert_eq!(with.len(), 40);
        assert_eq!(&with.as_slice()[12..20], [1, 1, 5, 26, 0, 0, 0, 0]);
        assert_eq!(TcpOptions::parse(with.as_slice()).sack.as_slice().len(), 3);
        let without = OptionBytes::established(None, blocks);
        assert_eq!(without.len(), 36);
        assert_eq!(TcpOptions::parse(without.as_slice()).sack.as_slice()[3], (Seq(30), Seq(35)));
        assert_eq!(OptionBytes::established(Some(TS), []).len(), 12);
        assert_eq!(OptionBytes::established(None, []).len(), 0);
    }

    /// The kinds of encoded options, walked by their lengths to the end.
    fn kinds(options: &OptionBytes) -> Vec<u8> {
        let mut rest = options.as_slice();
        let mut kinds = Vec::new();
        while let [kind, tail @ ..] = rest {
            kinds.push(*kind);
            rest = if *kind <= NOP { tail } else { &rest[usize::from(tail[0])..] };
        }
        kinds
    }

    #[test]
    fn must_65_only_a_syn_says_the_mss() {
        let established = OptionBytes::established(Some(TS), [(Seq(1), Seq(2))]);
        assert_eq!(kinds(&established), [NOP, NOP, TIMESTAMPS, NOP, NOP, SACK]);
        let syn = TcpOptions { mss: Some(536), ..TcpOptions::default() };
        assert_eq!(kinds(&OptionBytes::syn(&syn)), [MSS]);
    }

    #[test]
    fn must_68_69_options_have_lengths_and_fill_whole_words() {
        for bits in 0u8..16 {
            let on = |bit: u8| bits & 1 << bit != 0;
            let syn = TcpOptions {
                mss: on(0).then_some(1460),
                window_scale: on(1).then_some(7),
                sack_permitted: on(2),
                timestamps: on(3).then_some(TS),
                ..TcpOptions::default()
            };
            let encoded = OptionBytes::syn(&syn);
            assert!(encoded.len().is_multiple_of(4), "{syn:?}");
            assert_eq!(kinds(&encoded).iter().filter(|k| **k > NOP).count(), bits.count_ones() as usize);
            let blocks = (0..u32::from(bits)).map(|i| (Seq(i), Seq(i)));
            let encoded = OptionBytes::established(syn.timestamps, blocks);
            assert!(encoded.len().is_multiple_of(4) && kinds(&encoded).len() <= 6);
        }
    }

    #[test]
    fn rfc5482_the_user_timeout_has_what_room_is_left() {
        let timeout = UserTimeout::from_bits(0x812c).unwrap();
        let blocks = |n| (0..n).map(|i| (Seq(i * 10), Seq(i * 10 + 5)));
        let mut options = OptionBytes::established(Some(TS), blocks(2));
        options.push_user_timeout(timeout);
        assert_eq!(options.as_slice()[options.len() - 4..], [28, 4, 0x81, 0x2c]);
        assert_eq!(TcpOptions::parse(options.as_slice()).user_timeout, Some(timeout));
        let mut full = OptionBytes::established(Some(TS), blocks(3));
        full.push_user_timeout(timeout);
        assert_eq!((full.len(), TcpOptions::parse(full.as_slice()).user_timeout), (40, None));
        let syn = TcpOptions { mss: Some(1460), user_timeout: Some(timeout), ..TcpOptions::default() };
        assert_eq!(TcpOptions::parse(OptionBytes::syn(&syn).as_slice()), syn);
        // Reserved values, and another length, say nothing.
        for wrong in [&[28, 4, 0, 0][..], &[28, 4, 0x80, 0], &[28, 3, 1, 1], &[28, 5, 0, 0, 1]] {
            assert_eq!(TcpOptions::parse(wrong), TcpOptions::default());
        }
    }

    #[test]
    fn rfc9768_the_option_is_as_short_as_what_it_has_to_say() {
        let mut options = OptionBytes::established(Some(TS), [(Seq(1), Seq(2))]);
        options.push_accurate_ecn([0x00a0_b0c1, 0xff01_0203, 1]);
        assert_eq!(options.as_slice()[24..], [172, 8, 0xa0, 0xb0, 0xc1, 1, 2, 3]);
        assert_eq!(TcpOptions::parse(options.as_slice()).marked_bytes, Some([1, 2, 3]));
        let mut options = OptionBytes::established(Some(TS), []);
        options.push_accurate_ecn([1, 2, 3]);
        assert_eq!(options.as_slice()[12..], [172, 11, 0, 0, 1, 0, 0, 2, 0, 0, 3, 1]);
        assert_eq!(TcpOptions::parse(options.as_slice()).marked_bytes, Some([0, 0, 2]));
        // ECT(1) first: marks are in the middle all the same.
        assert_eq!(TcpOptions::parse(&[174, 8, 0, 0, 1, 0, 0, 9]).marked_bytes, Some([0, 0, 9]));
        // Of a length that there is not: whole fields count.
        for odd in [&[172, 9, 0, 0, 1, 0, 0, 9, 7][..], &[174, 12, 0, 0, 1, 0, 0, 9, 0, 0, 1, 7]] {
            assert_eq!(TcpOptions::parse(odd).marked_bytes, Some([0, 0, 9]));
        }
        // Without the marks.
        for none in [&[172, 2][..], &[172, 5, 0, 0, 1], &[172, 7, 0, 0, 1, 0, 0], &[174, 4, 0, 0]] {
            assert_eq!(TcpOptions::parse(none), TcpOptions::default());
        }
        let mut full = OptionBytes::established(Some(TS), (0..3).map(|i| (Seq(i), Seq(i))));
        full.push_accurate_ecn([1, 2, 1]);
        assert_eq!(full.len(), 40);
    }

    #[test]
    fn must_64_options_at_any_alignment() {
        let bytes = [1, 2, 4, 5, 220, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9];
        let parsed = TcpOptions::parse(&bytes);
        assert_eq!(parsed.mss, Some(1500));
        assert_eq!(parsed.timestamps, Some(TS));
        assert_eq!(parsed.sack.as_slice(), [(Seq(1), Seq(9))]);
    }

    #[test]
    fn must_6_unknown_options_are_skipped_by_their_length() {
        let parsed = TcpOptions::parse(&[99, 6, 2, 4, 0, 0, 2, 4, 5, 180, 200, 2, 4, 2]);
        assert_eq!(parsed, TcpOptions { mss: Some(1460), sack_permitted: true, ..TcpOptions::default() });
    }

    #[test]
    fn must_7_illegal_lengths_end_the_list_and_keep_what_came_before() {
        for bad in [&[99, 0][..], &[99, 1, 4, 2], &[99, 200, 4, 2], &[99], &[8, 10, 0, 0]] {
            let mut bytes = vec![2, 4, 5, 180];
            bytes.extend_from_slice(bad);
            let parsed = TcpOptions::parse(&bytes);
            assert_eq!(parsed, TcpOptions { mss: Some(1460), ..TcpOptions::default() }, "{bad:?}");
        }
    }

    #[test]
    fn known_options_of_a_wrong_length_are_skipped() {
        let parsed = TcpOptions::parse(&[2, 3, 5, 3, 4, 1, 2, 4, 3, 9, 5, 6, 0, 0, 0, 0, 3, 3, 15]);
        assert_eq!(parsed, TcpOptions { window_scale: Some(14), ..TcpOptions::default() });
    }

    #[test]
    fn nothing_behind_the_end_of_the_list_counts() {
        assert_eq!(TcpOptions::parse(&[1, 0, 2, 4, 5, 180]), TcpOptions::default());
    }
}
