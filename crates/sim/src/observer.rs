//! Somebody who sees the whole wire and knows what TCP may do on it.
//!
//! It knows nothing of the hosts' insides: it sees each frame as it leaves a NIC, and each as it reaches one, and
//! from these works out what a sender may send. So it also catches faults that both of our ends share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use crate::packet::{Decoded, Packet, decode};

/// Both directions of every connection, as seen on the wire.
#[derive(Debug)]
pub struct Observer {
    /// Bytes of the largest IP packet.
    mtu: usize,
    halves: BTreeMap<(SocketAddrV4, SocketAddrV4), Half>,
    segments: u64,
}

/// One direction of a connection: what its sender sent, and what reached that sender.
#[derive(Clone, Debug, Default)]
struct Half {
    isn: u32,
    syn: Option<Syn>,
    /// The stream as it was sent, whole.
    bytes: Vec<u8>,
    /// Offset of the FIN.
    fin: Option<u64>,
    /// Where records end (`S19`): no segment may reach across.
    records: BTreeSet<i64>,
    /// The highest end of a segment with PSH.
    pushed: i64,
    /// The highest acknowledgement sent, as an offset in the peer's stream.
    acked: i64,
    /// The right edge of the window offered, as an offset in the peer's stream.
    offered: i64,
    tsval: Option<u32>,
    /// The peer's SYN as it arrived here, and its sequence number.
    peer_syn: Option<Syn>,
    peer_isn: u32,
    /// Ranges of the peer's stream that arrived here; its FIN counts as a byte.
    arrived: Vec<(i64, i64)>,
    /// The right edge of the window offered to us by anything that arrived.
    limit: i64,
}

#[derive(Copy, Clone, Debug)]
struct Syn {
    mss: u16,
    window_scale: Option<u8>,
    timestamps: bool,
    sack_permitted: bool,
    /// It asks for ECN, or agrees to it (RFC 3168 §6.1.1).
    ecn: bool,
    /// For Accurate ECN, or agrees to that (RFC 9768 §3.1).
    accurate: bool,
}

impl Observer {
    /// A view of a wire for packets of at most `mtu` bytes.
    pub fn new(mtu: usize) -> Observer {
        Observer { mtu, halves: BTreeMap::new(), segments: 0 }
    }

    /// TCP segments seen leaving.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The application at `src` ended a record at this offset of its stream to `dst`.
    pub fn record_ends(&mut self, src: SocketAddrV4, dst: SocketAddrV4, at: u64) {
        if let Some(half) = self.halves.get_mut(&(src, dst)) {
            half.records.insert(at as i64);
        }
    }

    /// Judges a stream from `src` to `dst` that was delivered whole and whose last write, which ended at `end`, asked for
    /// PSH.
    ///
    /// # Errors
    /// When its last segment had none.
    pub fn ended(&self, src: SocketAddrV4, dst: SocketAddrV4, end: u64) -> Result<(), String> {
        match self.halves.get(&(src, dst)) {
            Some(half) if half.bytes.len() as u64 == end && half.pushed < end as i64 => {
                Err(format!("{src} > {dst}: the stream ends at {end}, the last PSH was at {}", half.pushed))
            }
            _ => Ok(()),
        }
    }

    /// A frame leaves a NIC.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn leaves(&mut self, frame: &[u8]) -> Result<(), String> {
        match decode(frame) {
            Decoded::Tcp(packet) => {
                self.segments += 1;
                self.sent(&packet).map_err(|wrong| format!("{wrong}: {}", summary(&packet)))
            }
            Decoded::Other => Ok(()),
            Decoded::Malformed(wrong) => Err(format!("malformed frame on the wire: {wrong}")),
        }
    }

    /// A frame reaches a NIC, whole or not.
    pub fn reaches(&mut self, frame: &[u8]) {
        let Decoded::Tcp(packet) = decode(frame) else { return };
        let Some(sender) = self.halves.get(&(packet.src, packet.dst)) else { return };
        let (isn, scale) = (sender.isn, sender.syn.and_then(|s| s.window_scale));
        let receiver = self.halves.entry((packet.dst, packet.src)).or_default();
        if packet.rst {
            return;
        }
        if packet.syn && (receiver.peer_syn.is_none() || packet.ack.is_none()) {
            if receiver.peer_isn != packet.seq {
                receiver.arrived.clear();
            }
            let known = receiver.peer_syn.filter(|_| receiver.peer_isn == packet.seq);
            let asked = |which: fn(Syn) -> bool| known.is_some_and(which);
            let syn = Syn::of(&packet);
            // One that was repeated may have given up asking, and come too late to say so.
            let (ecn, accurate) = (syn.ecn || asked(|s| s.ecn), syn.accurate || asked(|s| s.accurate));
            receiver.peer_syn = Some(Syn { ecn, accurate, ..syn });
            receiver.peer_isn = packet.seq;
        }
        if receiver.peer_isn != isn {
            return; // of another incarnation, which this side does not know
        }
        if let Some(ack) = packet.ack {
            let scaled = !packet.syn && receiver.syn.is_some_and(|s| s.window_scale.is_some());
            let shift = if scaled { scale.unwrap_or(0) } else { 0 };
            let edge = offset(ack, receiver.isn) + (i64::from(packet.window) << shift);
            receiver.limit = receiver.limit.max(edge);
        }
        let start = if packet.syn { 0 } else { offset(packet.seq, isn) };
        let end = start + packet.payload.len() as i64 + i64::from(packet.fin);
        insert(&mut receiver.arrived, start, end);
    }

    fn sent(&mut self, p: &Packet<'_>) -> Result<(), String> {
        if p.rst {
            return Ok(());
        }
        let half = self.halves.entry((p.src, p.dst)).or_default();
        if p.syn && (half.syn.is_none() || half.isn != p.seq) {
            // A new connection; what reached this side already belongs to it.
            let reached = core::mem::take(half);
            *half = Half { isn: p.seq, syn: Some(Syn::of(p)), ..Half::default() };
            if p.ack.is_some() {
                (half.peer_syn, half.peer_isn) = (reached.peer_syn, reached.peer_isn);
                half.arrived = reached.arrived;
            }
        }
        let Some(syn) = half.syn else { return Err("a segment before any SYN".into()) };
        half.options(p, syn)?;
        half.congestion(p, syn)?;
        half.data(p, self.mtu)?;
        if let (Some(ack), Some(_)) = (p.ack, half.peer_syn) {
            let isn = half.peer_isn;
            half.acknowledgement(p, offset(ack, isn), isn)?;
        }
        Ok(())
    }
}

impl Half {
    fn options(&mut self, p: &Packet<'_>, syn: Syn) -> Result<(), String> {
        let answered = p.ack.is_some() || !p.syn;
        if let (true, Some(peer)) = (p.syn && p.ack.is_some(), self.peer_syn) {
            // RFC 7323 §1.3, RFC 2018 §2: options of a SYN,ACK are answers.
            let unasked = (syn.timestamps && !peer.timestamps)
                || (syn.window_scale.is_some() && peer.window_scale.is_none())
                || (syn.sack_permitted && !peer.sack_permitted);
            if unasked {
                return Err("the SYN,ACK answers an option that the SYN did not have".into());
            }
        }
        let negotiated = syn.timestamps && self.peer_syn.is_some_and(|s| s.timestamps);
        if !p.syn && p.timestamps.is_some() != negotiated {
            return Err(format!("timestamps were negotiated: {negotiated}"));
        }
        if let Some((val, _)) = p.timestamps {
            if self.tsval.is_some_and(|last| (val.wrapping_sub(last) as i32) < 0) {
                return Err("the timestamp went backwards".into());
            }
            self.tsval = Some(val);
        }
        let may_sack = syn.sack_permitted && self.peer_syn.is_some_and(|s| s.sack_permitted);
        if answered && !p.sack.is_empty() && !may_sack {
            return Err("SACK was not negotiated".into());
        }
        Ok(())
    }

    /// RFC 3168 §6.1: only new data is ECT(0), only where both SYNs said so, and nobody speaks of marks otherwise.
    fn congestion(&self, p: &Packet<'_>, syn: Syn) -> Result<(), String> {
        if p.syn {
            return if p.ecn == 0 { Ok(()) } else { Err("a SYN that can be marked".into()) };
        }
        let agreed = syn.ecn && self.peer_syn.is_some_and(|peer| peer.ecn);
        let counts = syn.accurate && self.peer_syn.is_some_and(|peer| peer.accurate);
        if (!agreed && (p.ecn != 0 || p.ece || p.cwr)) || (!counts && p.ae) {
            return Err("ECN without agreement".into());
        }
        let new = !p.payload.is_empty() && offset(p.seq, self.isn) >= self.bytes.len() as i64;
        if p.ecn != 0 && (p.ecn != 0b10 || !new) {
            return Err(format!("ECN field {:#b} on what is no new data", p.ecn));
        }
        // With Accurate ECN it is a bit of a number (RFC 9768 §3.2.2).
        if p.cwr && !new && !counts {
            return Err("CWR on what is not new".into());
        }
        Ok(())
    }

    fn data(&mut self, p: &Packet<'_>, mtu: usize) -> Result<(), String> {
        if p.ip_len > mtu {
            return Err(format!("packet above the MTU of {mtu}"));
        }
        if p.syn {
            return Ok(());
        }
        // RFC 6691 §2: the MSS counts the fixed headers only, options come out of it.
        let mss = self.peer_syn.map_or(536, |s| usize::from(s.mss)).min(mtu - 40) - p.options_len;
        if p.payload.len() > mss {
            return Err(format!("payload above the MSS of {mss}"));
        }
        let start = offset(p.seq, self.isn);
        let sent = self.bytes.len() as i64;
        let end = start + p.payload.len() as i64;
        if start > sent + i64::from(self.fin.is_some()) {
            return Err(format!("a gap: byte {start} before {sent}"));
        }
        if let Some(at) = self.records.range(start + 1..end.max(start + 1)).next() {
            return Err(format!("bytes {start} to {end} reach across the end of a record at {at}"));
        }
        if p.psh {
            self.pushed = self.pushed.max(end);
        }
        if end > sent && !p.payload.is_empty() {
            if self.fin.is_some() {
                return Err(format!("bytes to {end} behind the FIN at {sent}"));
            }
            // A probe of a closed window is a byte (RFC 9293 §3.8.6.1).
            let probe = i64::from(p.payload.len() == 1);
            if end > self.limit + probe {
                return Err(format!("bytes to {end} beyond the window, which ends at {}", self.limit));
            }
        }
        if start >= 0 {
            let known = p.payload.len().min((sent - start).max(0) as usize);
            let at = start as usize;
            if known > 0 && self.bytes[at..at + known] != p.payload[..known] {
                return Err(format!("bytes from {start} are not those sent before"));
            }
            self.bytes.extend_from_slice(&p.payload[known..]);
        }
        if p.fin {
            match self.fin {
                Some(at) if at as i64 != end => return Err(format!("FIN at {end}, before at {at}")),
                Some(_) => {}
                None if end != self.bytes.len() as i64 => {
                    return Err("FIN before the end of the stream".into());
                }
                None => self.fin = Some(end as u64),
            }
        }
        Ok(())
    }

    fn acknowledgement(&mut self, p: &Packet<'_>, ack: i64, peer_isn: u32) -> Result<(), String> {
        let whole = self.arrived.first().map_or(0, |&(start, end)| if start <= 0 { end } else { 0 });
        if ack > whole {
            return Err(format!("acknowledges {ack}, only {whole} arrived in order"));
        }
        if ack < self.acked {
            return Err(format!("acknowledges {ack} after {}", self.acked));
        }
        self.acked = ack;
        for (i, &(left, right)) in p.sack.iter().enumerate() {
            let (left, right) = (offset(left, peer_isn), offset(right, peer_isn));
            let arrived = self.arrived.iter().any(|&(start, end)| start <= left && right <= end);
            // RFC 2883 §4: the first block may report a duplicate, below the acknowledgement or not.
            if left >= right || !arrived || (i > 0 && left <= ack) {
                return Err(format!("SACK block {left}..{right}, acknowledged {ack}"));
            }
        }
        if !p.syn {
            let both = self.syn.is_some_and(|s| s.window_scale.is_some())
                && self.peer_syn.is_some_and(|s| s.window_scale.is_some());
            let shift = if both { self.syn.and_then(|s| s.window_scale).unwrap_or(0) } else { 0 };
            let edge = ack + (i64::from(p.window) << shift);
            // SHLD-14: the window is not shrunk; a scaled field rounds the edge down.
            if edge + (1 << shift) <= self.offered {
                return Err(format!("the window's right edge went from {} back to {edge}", self.offered));
            }
            self.offered = self.offered.max(edge);
        }
        Ok(())
    }
}

impl Syn {
    fn of(p: &Packet<'_>) -> Syn {
        let accurate = match ((p.ae, p.cwr, p.ece), p.ack) {
            ((true, true, true), ack) => ack.is_none(),
            ((ae, cwr, _), ack) => ack.is_some() && ((ae && !p.ece) || cwr),
        };
        Syn {
            accurate,
            mss: p.mss.unwrap_or(536),
            window_scale: p.window_scale,
            timestamps: p.timestamps.is_some(),
            sack_permitted: p.sack_permitted,
            ecn: accurate || (p.ece && p.cwr == p.ack.is_none()),
        }
    }
}

/// The stream offset of `seq`: its byte 0 follows the SYN. Streams here are short, so one wrap is never undone.
fn offset(seq: u32, isn: u32) -> i64 {
    i64::from(seq.wrapping_sub(isn).wrapping_sub(1) as i32)
}

/// Adds a range to a sorted list of disjoint ranges.
fn insert(ranges: &mut Vec<(i64, i64)>, start: i64, end: i64) {
    if start >= end {
        return;
    }
    let first = ranges.partition_point(|r| r.1 < start);
    let last = ranges.partition_point(|r| r.0 <= end);
    let (mut low, mut high) = (start, end);
    if first < last {
        low = low.min(ranges[first].0);
        high = high.max(ranges[last - 1].1);
    }
    ranges.splice(first..last, [(low, high)]);
}

fn summary(p: &Packet<'_>) -> String {
    let flags = [(p.syn, "SYN "), (p.fin, "FIN "), (p.ack.is_some(), "ACK ")];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    format!(
        "{} > {} {flags}seq {} ack {:?} win {} len {} ts {:?} sack {:?}",
        p.src,
        p.dst,
        p.seq,
        p.ack,
        p.window,
        p.payload.len(),
        p.timestamps,
        p.sack
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_sorted_and_disjoint() {
        let mut ranges = Vec::new();
        for (start, end) in [(5, 7), (0, 2), (9, 9), (10, 12), (2, 3), (6, 11)] {
            insert(&mut ranges, start, end);
        }
        assert_eq!(ranges, [(0, 3), (5, 12)]);
        insert(&mut ranges, 3, 5);
        assert_eq!(ranges, [(0, 12)]);
    }

    /// A conversation between two sockets whose packets can be spoilt.
    struct Talk(Observer);

    const A: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 1), 1);
    const B: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 2), 2);

    fn packet(
        src: SocketAddrV4,
        dst: SocketAddrV4,
        seq: u32,
        ack: Option<u32>,
        payload: &[u8],
    ) -> Packet<'_> {
        Packet {
            src,
            dst,
            seq,
            ack,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            ecn: 0,
            ece: false,
            cwr: false,
            ae: false,
            window: 1000,
            ip_len: 40 + payload.len(),
            options_len: 0,
            mss: None,
            window_scale: None,
            sack_permitted: false,
            timestamps: None,
            sack: Vec::new(),
            payload,
        }
    }

    impl Talk {
        /// After the handshake, A's window and B's being 1000 bytes; the frames of it reached nobody but in fact
        /// both, which the fields say.
        fn new() -> Talk {
            let mut o = Observer::new(1500);
            let syn = Packet { syn: true, mss: Some(1460), ..packet(A, B, 99, None, &[]) };
            o.sent(&syn).unwrap();
            let syn_ack = Packet { syn: true, mss: Some(100), ..packet(B, A, 499, Some(100), &[]) };
            let b = o.halves.entry((B, A)).or_default();
            (b.peer_syn, b.peer_isn) = (Some(Syn::of(&syn)), 99);
            o.sent(&syn_ack).unwrap();
            let a = o.halves.get_mut(&(A, B)).unwrap();
            (a.peer_syn, a.peer_isn) = (Some(Syn::of(&syn_ack)), 499);
            a.limit = 1000;
            Talk(o)
        }

        #[track_caller]
        fn wrong(&mut self, p: Packet<'_>, what: &str) {
            let said = self.0.sent(&p).unwrap_err();
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn each_fault_of_a_sender_is_named() {
        fn data(seq: u32, payload: &[u8]) -> Packet<'_> {
            packet(A, B, seq, Some(500), payload)
        }
        let mut talk = Talk::new();
        talk.0.sent(&data(100, b"abcdef")).unwrap();
        talk.0.sent(&data(102, b"cdefgh")).unwrap();
        talk.wrong(data(103, b"x"), "not those sent before");
        talk.wrong(data(109, b"x"), "a gap");
        talk.wrong(data(108, &[0; 101]), "above the MSS of 100");
        talk.0.halves.get_mut(&(A, B)).unwrap().limit = 10;
        talk.wrong(data(108, b"ijk"), "beyond the window");
        talk.0.sent(&data(108, b"ij")).unwrap();
        talk.0.sent(&data(110, b"k")).unwrap();
        talk.wrong(packet(A, B, 111, Some(501), &[]), "only 0 arrived");
        talk.wrong(Packet { window: 999, ..data(111, &[]) }, "right edge");
        talk.0.halves.get_mut(&(A, B)).unwrap().limit = 1000;
        talk.0.record_ends(A, B, 13);
        talk.0.sent(&data(111, b"lm")).unwrap();
        talk.wrong(data(111, b"lmn"), "reach across the end of a record at 13");
        talk.wrong(data(112, b"mn"), "reach across");
        talk.0.sent(&data(113, b"n")).unwrap();
        assert!(talk.0.ended(A, B, 14).unwrap_err().contains("the last PSH was at 0"));
        talk.0.sent(&Packet { psh: true, ..data(113, b"n") }).unwrap();
        talk.0.ended(A, B, 14).unwrap();
        talk.0.sent(&Packet { fin: true, ..data(114, &[]) }).unwrap();
        talk.wrong(data(114, b"o"), "behind the FIN");
        talk.wrong(Packet { fin: true, ..data(113, &[]) }, "FIN at 13, before at 14");
        talk.wrong(Packet { timestamps: Some((1, 1)), ..data(112, &[]) }, "negotiated: false");
        talk.wrong(Packet { sack: vec![(500, 501)], ..data(112, &[]) }, "SACK was not negotiated");
        talk.wrong(Packet { ece: true, ..data(112, &[]) }, "ECN without agreement");
        let a = talk.0.halves.get_mut(&(A, B)).unwrap();
        (a.syn.as_mut().unwrap().ecn, a.peer_syn.as_mut().unwrap().ecn) = (true, true);
        talk.0.sent(&Packet { ece: true, ..data(112, &[]) }).unwrap();
        talk.wrong(Packet { ecn: 0b10, ..data(112, &[]) }, "on what is no new data");
        talk.wrong(Packet { ecn: 0b10, ..data(113, b"n") }, "on what is no new data");
        talk.wrong(Packet { cwr: true, ..data(113, b"n") }, "CWR on what is not new");
        talk.wrong(Packet { syn: true, ecn: 0b10, ..data(99, &[]) }, "a SYN that can be marked");
        talk.0.halves.get_mut(&(A, B)).unwrap().acked = 3;
        talk.wrong(data(112, &[]), "acknowledges 0 after 3");
    }
}
