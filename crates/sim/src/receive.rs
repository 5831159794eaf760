//! What a receiving NIC says of a frame's checksums.

use engine::nic::RxChecksum;

use crate::tso::{fold, sum};

/// The verdicts on the IPv4 header and on the TCP segment.
pub(crate) fn verdict(frame: &[u8]) -> (RxChecksum, RxChecksum) {
    let unknown = (RxChecksum::Unknown, RxChecksum::Unknown);
    let Some(ip) = frame.get(14..).filter(|ip| ip.len() >= 20 && frame[12..14] == [8, 0] && ip[0] >> 4 == 4)
    else {
        return unknown;
    };
    let ihl = usize::from(ip[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    if ihl < 20 || total < ihl || ip.len() < total {
        return unknown;
    }
    let judge = |sum: u64| if fold(sum) == 0xffff { RxChecksum::Good } else { RxChecksum::Bad };
    let header = judge(sum(&ip[..ihl]));
    if ip[9] != 6 {
        return (header, RxChecksum::Unknown);
    }
    let length = (total - ihl) as u64;
    (header, judge(sum(&ip[12..20]) + 6 + length + sum(&ip[ihl..total])))
}
