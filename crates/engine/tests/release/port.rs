//! A port whose device keeps what it was given as long as it likes, and the peer behind it.
//!
//! It is DPDK's net_ring: what a queue hands to that driver comes back on its receive side, the same mbufs with the same
//! references. They are what the "device" has. It reads the payload when it lets go of it, no sooner, so whatever was done
//! to the memory meanwhile is found out.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk::{Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};
use engine::nic::{
    Buf, HeaderBuf, Nic, NicLimits, RxChecksum, RxPiece, StageError, Tail, TailBuf, TxFrame, TxOutcome,
};
use tcp::Payload;

/// How long the device keeps a frame.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// To the next turn.
    Short,
    /// So many turns.
    Turns(u32),
    /// Up to that turn.
    Until(u32),
    /// Frames that repeat bytes so many turns, others to the next one.
    Repeats(u32),
}

/// When the peer acknowledges.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ack {
    /// As soon as the frame is handed over, before the device has read it.
    Early,
    /// When the device has let go of it.
    Late,
    /// Half of a frame early, half of it late.
    Partly,
    /// What is repeated, and all before it, early.
    Repeats,
    /// Nothing but the SYN.
    Never,
}

/// A frame in the device.
struct Held {
    at: u32,
    repeats: bool,
    pieces: Vec<Buf>,
    segment: Option<Segment>,
}

/// What the peer makes of a frame's headers.
#[derive(Clone)]
pub(crate) struct Segment {
    headers: Vec<u8>,
    pub(crate) connection: [u8; 4],
    seq: u32,
    flags: u8,
    /// Its payload, as offsets in the stream.
    pub(crate) bytes: Range<u64>,
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const ETH: usize = 14;
const IP: usize = 20;
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// What is sent on each connection.
pub(crate) type Contents = fn(offset: u64) -> u8;

pub(crate) struct Port {
    ring: DpdkNic,
    received: Vec<RxPiece<Buf>>,
    held: VecDeque<Held>,
    answers: VecDeque<Buf>,
    tail: Option<Tail>,
    turn: u32,
    pub(crate) hold: Hold,
    ack: Ack,
    contents: Contents,
    /// Initial sequence number and the furthest byte seen, of each connection by its ports.
    streams: HashMap<[u8; 4], (u32, u64)>,
    /// Connections whose peer is silent.
    pub(crate) silent: Vec<[u8; 4]>,
    /// Payload bytes that the device read.
    pub(crate) read: u64,
    /// Of these, bytes that repeat others.
    pub(crate) repeated: u64,
}

/// EAL starts once per process.
pub(crate) fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        Eal::start(EalConfig {
            no_huge: true,
            memory_mib: Some(256),
            log: Box::new(std::io::stderr()),
            ..EalConfig::default()
        })
        .expect("EAL starts without hugepages")
    })
}

impl Port {
    pub(crate) fn open(hold: Hold, ack: Ack, contents: Contents) -> Port {
        // The ring of a port that was closed stays, and keeps its name.
        static PORTS: AtomicU32 = AtomicU32::new(0);
        let number = PORTS.fetch_add(1, Ordering::Relaxed);
        let device = format!("vdev:net_ring{number}").parse().expect("a device");
        let config = DpdkConfig { tail_buffers: 64, ..DpdkConfig::default() };
        Port {
            ring: DpdkNic::open(eal(), &device, &config).expect("a port"),
            received: Vec::with_capacity(256),
            held: VecDeque::new(),
            answers: VecDeque::new(),
            tail: None,
            turn: 0,
            hold,
            ack,
            contents,
            streams: HashMap::new(),
            silent: Vec::new(),
            read: 0,
            repeated: 0,
        }
    }

    pub(crate) fn ring(&self) -> &DpdkNic {
        &self.ring
    }

    pub(crate) fn into_ring(self) -> DpdkNic {
        self.ring
    }

    /// Frames that the device has.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The first byte of any stream that the device still has.
    pub(crate) fn lowest_held(&self) -> Option<u64> {
        let of_payload = self.held.iter().filter_map(|held| held.segment.as_ref()).map(|s| &s.bytes);
        of_payload.filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.start).min()
    }

    /// Time passes for the device: it lets go of what is due.
    pub(crate) fn turn(&mut self) {
        self.turn += 1;
        for held in std::mem::take(&mut self.held) {
            let kept = match self.hold {
                Hold::Short => false,
                Hold::Turns(turns) => self.turn < held.at + turns,
                Hold::Until(turn) => self.turn < turn,
                Hold::Repeats(turns) => held.repeats && self.turn < held.at + turns,
            };
            if kept {
                self.held.push_back(held);
            } else {
                self.let_go(held);
            }
        }
    }

    /// Whether the device lets go of something when nothing else happens.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// At the last moment the device reads, then it lets go.
    fn let_go(&mut self, held: Held) {
        let Some(segment) = held.segment else { return };
        let headers = segment.headers.len();
        let mut at = segment.bytes.start;
        for (i, piece) in held.pieces.iter().enumerate() {
            for &byte in &piece.as_slice()[if i == 0 { headers } else { 0 }..] {
                assert_eq!(byte, (self.contents)(at), "the device read something else at byte {at}");
                at += 1;
            }
        }
        assert_eq!(at, segment.bytes.end);
        let len = segment.bytes.end - segment.bytes.start;
        self.read += len;
        self.repeated += if held.repeats { len } else { 0 };
        drop(held.pieces);
        if matches!(self.ack, Ack::Late | Ack::Partly) {
            self.acknowledge(&segment, segment.bytes.end);
        }
    }

    /// What was sent is in the device now.
    fn take_over(&mut self) {
        while self.ring.rx_burst(&mut self.received) > 0 {
            let mut pieces = Vec::new();
            for RxPiece { buf, more, .. } in std::mem::take(&mut self.received) {
                pieces.push(buf);
                if !more {
                    self.frame(std::mem::take(&mut pieces));
                }
            }
            self.received.reserve(256);
        }
    }

    fn frame(&mut self, pieces: Vec<Buf>) {
        let len: usize = pieces.iter().map(Payload::len).sum();
        let first = pieces[0].as_slice();
        if first[12..14] == [8, 6] {
            let reply = arp(first);
            self.answer(&reply);
            return;
        }
        let ports: [u8; 4] = first[ETH + IP..ETH + IP + 4].try_into().expect("four bytes");
        let segment = {
            let tcp = &first[ETH + IP..];
            let headers = ETH + IP + usize::from(tcp[12] >> 4) * 4;
            let seq = u32::from_be_bytes(tcp[4..8].try_into().expect("four bytes"));
            let flags = tcp[13];
            if flags & SYN != 0 {
                self.streams.insert(ports, (seq, 0));
            }
            let (iss, _) = self.streams[&ports];
            // Streams here are shorter than 4 GiB. A SYN's number is the byte before the first.
            let start = u64::from(seq.wrapping_sub(iss).saturating_sub(1));
            let bytes = start..start + (len - headers) as u64;
            Segment { headers: first[..headers].to_vec(), connection: ports, seq, flags, bytes }
        };
        let (_, seen) = self.streams.get_mut(&ports).expect("it had a SYN");
        let repeats = segment.bytes.start < *seen;
        *seen = segment.bytes.end.max(*seen);
        let (seen, silent) = (*seen, self.silent.contains(&ports));
        let start_or_end = segment.flags & (SYN | FIN) != 0;
        if segment.flags & RST == 0 && (start_or_end || !segment.bytes.is_empty()) && !silent {
            match self.ack {
                _ if segment.flags & SYN != 0 => self.acknowledge(&segment, 0),
                Ack::Early => self.acknowledge(&segment, seen),
                Ack::Partly => {
                    let middle = u64::midpoint(segment.bytes.start, segment.bytes.end);
                    self.acknowledge(&segment, middle);
                }
                Ack::Repeats if repeats => self.acknowledge(&segment, seen),
                Ack::Late | Ack::Repeats | Ack::Never => {}
            }
        }
        self.held.push_back(Held { at: self.turn, repeats, pieces, segment: Some(segment) });
    }

    /// The peer answers a segment; it has everything before `upto`, and the FIN if it came to that.
    pub(crate) fn acknowledge(&mut self, segment: &Segment, upto: u64) {
        let of = &segment.headers;
        let syn = segment.flags & SYN != 0;
        let fin = segment.flags & FIN != 0 && upto == segment.bytes.end;
        let (iss, _) = self.streams[&segment.connection];
        let ack = iss.wrapping_add(1 + upto as u32 + u32::from(fin));
        let options: &[u8] = if syn { &[2, 4, 5, 180, 1, 3, 3, 10] } else { &[] };
        let mut f = [&of[6..12], &PEER, &[8, 0]].concat();
        f.extend([0x45, 0, 0, (IP + 20 + options.len()) as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        f.extend_from_slice(&of[ETH + 16..ETH + 20]);
        f.extend_from_slice(&of[ETH + 12..ETH + 16]);
        f.extend_from_slice(&of[ETH + IP + 2..ETH + IP + 4]);
        f.extend_from_slice(&of[ETH + IP..ETH + IP + 2]);
        f.extend_from_slice(&(77 + u32::from(!syn)).to_be_bytes());
        f.extend_from_slice(&ack.to_be_bytes());
        f.extend([(5 + options.len() as u8 / 4) << 4, if syn { SYN | ACK } else { ACK }]);
        f.extend([0xff, 0xff, 0, 0, 0, 0]);
        f.extend_from_slice(options);
        debug_assert!(syn || segment.seq != iss);
        self.answer(&f);
    }

    /// What the device has of silent connections their peers have too, and now they say so.
    pub(crate) fn break_silence(&mut self) {
        let of_silent = self.held.iter().filter_map(|held| held.segment.clone());
        let segments: Vec<Segment> =
            of_silent.filter(|s| self.silent.contains(&s.connection) && !s.bytes.is_empty()).collect();
        for segment in segments {
            self.acknowledge(&segment, segment.bytes.end);
        }
    }

    fn answer(&mut self, frame: &[u8]) {
        if self.tail.as_mut().is_none_or(|tail| tail.spare().len() < frame.len()) {
            self.tail = self.ring.alloc_tail();
        }
        let tail = self.tail.as_mut().expect("memory for the peer's answers");
        tail.spare()[..frame.len()].copy_from_slice(frame);
        self.answers.push_back(tail.freeze(frame.len()));
    }
}

/// The peer has every address that is asked for.
fn arp(request: &[u8]) -> Vec<u8> {
    let mut f = [&request[6..12], &PEER, &request[12..20], &[0, 2], &PEER].concat();
    f.extend_from_slice(&request[38..42]);
    f.extend_from_slice(&request[22..32]);
    f
}

impl Nic for Port {
    type Buf = Buf;
    type Header = HeaderBuf;
    type Tail = Tail;

    fn limits(&self) -> &NicLimits {
        self.ring.limits()
    }

    fn mac(&self) -> [u8; 6] {
        self.ring.mac()
    }

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<Buf>>) -> usize {
        let n = self.answers.len().min(out.capacity() - out.len()).min(32);
        let good = RxChecksum::Good;
        let piece = |buf| RxPiece { buf, more: false, ip_checksum: good, l4_checksum: good };
        out.extend(self.answers.drain(..n).map(piece));
        n
    }

    fn lend_header(&mut self) -> Option<HeaderBuf> {
        self.ring.lend_header()
    }

    fn stage<'a, I>(&mut self, frame: TxFrame<HeaderBuf>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a Buf, Range<usize>)>,
    {
        self.ring.stage(frame, payload)
    }

    fn tx_burst(&mut self) -> TxOutcome {
        let outcome = self.ring.tx_burst();
        self.take_over();
        outcome
    }

    fn tx_completed(&mut self) -> Option<u64> {
        self.ring.tx_completed()
    }

    fn reclaim(&mut self) {
        self.ring.reclaim();
    }

    fn alloc_tail(&mut self) -> Option<Tail> {
        self.ring.alloc_tail()
    }

    fn cycles(&self) -> u64 {
        0
    }
}
