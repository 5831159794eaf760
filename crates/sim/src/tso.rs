//! What a NIC's transmit offloads do to a frame, done from the metadata alone as hardware does it: wrong
//! metadata, or a wrong seed in a checksum field, gives wrong packets.

use engine::nic::TxMeta;

/// The frames that appear on the wire for one frame handed to the device.
pub fn wire_frames(frame: &[u8], meta: &TxMeta) -> Vec<Vec<u8>> {
    let l3 = usize::from(meta.l2_len);
    let l4 = l3 + usize::from(meta.l3_len);
    let payload = l4 + usize::from(meta.l4_len);
    let segsz = usize::from(meta.tso_segsz);
    if segsz == 0 || payload > frame.len() || payload < l4 + 20 || l4 < l3 + 20 {
        let mut whole = frame.to_vec();
        fill_checksums(&mut whole, meta, 0);
        return vec![whole];
    }
    let (headers, data) = frame.split_at(payload);
    let count = data.len().div_ceil(segsz);
    data.chunks(segsz)
        .enumerate()
        .map(|(i, part)| {
            let mut segment = [headers, part].concat();
            let ip_length = (segment.len() - l3) as u16;
            if meta.ipv6 {
                put16(&mut segment, l3 + 4, ip_length - meta.l3_len);
            } else {
                let id = get16(headers, l3 + 4).wrapping_add(i as u16);
                if !meta.ip_checksum {
                    // Not asked for, so the field is kept true or false as it was (RFC 1624).
                    let old = [get16(headers, l3 + 2), get16(headers, l3 + 4)];
                    let sum = get16(headers, l3 + 10);
                    put16(&mut segment, l3 + 10, update(update(sum, old[0], ip_length), old[1], id));
                }
                put16(&mut segment, l3 + 2, ip_length);
                put16(&mut segment, l3 + 4, id);
            }
            let seq = [0, 1, 2, 3].map(|k| headers[l4 + 4 + k]);
            let seq = u32::from_be_bytes(seq).wrapping_add((i * segsz) as u32);
            segment[l4 + 4..l4 + 8].copy_from_slice(&seq.to_be_bytes());
            if i + 1 < count {
                segment[l4 + 13] &= !0x09; // FIN and PSH appear on the last only
            }
            if i > 0 {
                segment[l4 + 13] &= !0x80; // CWR on the first only
            }
            fill_checksums(&mut segment, meta, (segment_len(part, meta)) as u16);
            segment
        })
        .collect()
}

/// The TCP length of a segment.
fn segment_len(part: &[u8], meta: &TxMeta) -> usize {
    part.len() + usize::from(meta.l4_len)
}

/// Fills in the checksums that were asked for, as the cheapest silicon does: it sums what it is told to sum with
/// whatever the field holds. `length` is what the seed of a TSO frame still lacks.
fn fill_checksums(frame: &mut [u8], meta: &TxMeta, length: u16) {
    let l3 = usize::from(meta.l2_len);
    let l4 = l3 + usize::from(meta.l3_len);
    if meta.ip_checksum && frame.len() >= l4 && l4 >= l3 + 12 {
        let sum = !fold(sum(&frame[l3..l4]));
        put16(frame, l3 + 10, sum);
    }
    if meta.tcp_checksum && frame.len() >= l4 + 18 {
        let sum = !fold(sum(&frame[l4..]) + u64::from(length));
        put16(frame, l4 + 16, sum);
    }
}

fn update(sum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!sum) + u64::from(!old) + u64::from(new))
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The ones'-complement sum of `bytes`, unfolded (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, last) = bytes.as_chunks::<2>();
    let odd = last.first().map_or(0, |&b| u64::from(b) << 8);
    words.iter().map(|&w| u64::from(u16::from_be_bytes(w))).sum::<u64>() + odd
}

/// Folds a sum to 16 bits.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
