//! Two connections against each other over a network that loses, delays, reorders and repeats; devices that
//! refuse. Every byte arrives once and in order, every connection ends, and every payload comes home.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::script::{byte, bytes, ms, tuple};
use crate::conn::{ConnConfig, Connection, Linger, SendFlags, State};
use crate::testing::TestBuf;
use crate::wire::{TcpFlags, TcpOptions};
use crate::{Burst, Event, FourTuple, Nanos, Offset, Payload, Segment, Seq, Time, TxLimits};

/// SplitMix64: all a test network needs.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One side: a connection and its application.
struct Side {
    conn: Option<Connection<TestBuf>>,
    /// Bytes to write in all.
    total: u64,
    written: u64,
    read: u64,
    reclaimed: u64,
    /// Where its records end.
    records: Vec<u64>,
    finished: bool,
    peer_finished: bool,
    closed: Option<Event>,
    limits: TxLimits,
}

impl Side {
    fn new(total: u64, limits: TxLimits) -> Side {
        Side {
            conn: None,
            total,
            written: 0,
            read: 0,
            reclaimed: 0,
            records: Vec::new(),
            finished: false,
            peer_finished: false,
            closed: None,
            limits,
        }
    }

    /// No segment holds bytes of two records (`S19`).
    fn check_record(&self, iss: Seq, seg: &Segment<TestBuf>) {
        let start = u64::from(seg.seq.0.wrapping_sub(iss.0.wrapping_add(1)));
        let end = start + seg.payload.len() as u64;
        let next = self.records.partition_point(|&at| at <= start);
        let crossed = self.records.get(next).filter(|&&at| at < end);
        assert_eq!(crossed, None, "a segment {start}..{end} holds the end of a record");
    }

    fn done(&self) -> bool {
        self.conn.as_ref().is_some_and(|c| matches!(c.state(), State::Closed | State::TimeWait))
    }
}

#[derive(Clone, Debug)]
struct Setting {
    seed: u64,
    loss: u64,
    repeat: u64,
    jitter_ms: u64,
    refuse: u64,
    totals: [u64; 2],
    buffers: [usize; 2],
    tso: bool,
    timestamps: bool,
    scale: bool,
    no_delay: bool,
    slow_reader: bool,
    cork: bool,
    /// Percent of the writes that end a record.
    eor: u64,
    /// Now and then the port holds an earlier burst.
    held: bool,
}

fn setting() -> impl Strategy<Value = Setting> {
    let flags = prop::array::uniform8(any::<bool>());
    (any::<u64>(), 0..20u64, 0..10u64, 0..40u64, 0..30u64, [0..60_000u64, 0..20_000], flags).prop_flat_map(
        |(seed, loss, repeat, jitter_ms, refuse, totals, flags)| {
            [2000..100_000usize, 2000..100_000].prop_map(move |buffers| Setting {
                seed,
                loss,
                repeat,
                jitter_ms,
                refuse,
                totals,
                buffers,
                tso: flags[0],
                timestamps: flags[1],
                scale: flags[2],
                no_delay: flags[3],
                slow_reader: flags[4],
                cork: flags[5],
                eor: if flags[6] { 30 } else { 0 },
                held: flags[7],
            })
        },
    )
}

/// A packet on its way.
struct Packet {
    to: usize,
    seg: Segment<TestBuf>,
}

struct Net {
    set: Setting,
    rng: Rng,
    now: Time,
    /// Arrival time and index into `packets`, earliest first.
    queue: BinaryHeap<Reverse<(Time, usize)>>,
    packets: Vec<Option<Packet>>,
    sides: [Side; 2],
    cfg: [ConnConfig; 2],
    iss: [Seq; 2],
    sent: u64,
}

impl Net {
    fn new(set: Setting) -> Net {
        let mut rng = Rng(set.seed);
        let limits = |tso: bool, slices: u16| TxLimits {
            max_len: if tso { 30_000 } else { 0 },
            max_segments: 20,
            max_slices: slices,
            min_tso_mss: 64,
            cut_below_mss: 0,
            budget: u32::MAX,
            held: 0,
            loop_period: Nanos::ZERO,
        };
        let cfg = |i: usize| ConnConfig {
            mtu: 1500,
            timestamps: set.timestamps,
            window_scale: set.scale,
            no_delay: set.no_delay,
            send_buffer: Some(set.buffers[i]),
            cork: set.cork,
            receive_buffer: set.buffers[1 - i],
            user_timeout: Nanos::from_secs(100_000),
            connect_timeout: Nanos::from_secs(100_000),
            min_rto: ms(100),
            max_rto: Nanos::from_secs(5),
            time_wait: Nanos::from_secs(100_000),
            linger: Linger::Background,
            ..ConnConfig::default()
        };
        let cfg = [cfg(0), cfg(1)];
        let (slices_a, slices_b) = (1 + rng.below(8) as u16, 1 + rng.below(8) as u16);
        let mut a = Side::new(set.totals[0], limits(set.tso, slices_a));
        let b = Side::new(set.totals[1], limits(set.tso, slices_b));
        let iss = [Seq(0u32.wrapping_sub(rng.below(300_000) as u32)), Seq::default()];
        a.conn = Some(Connection::connect(&cfg[0], tuple(), iss[0], rng.next() as u32, Time::ZERO));
        Net {
            set,
            rng,
            now: Time::ZERO,
            queue: BinaryHeap::new(),
            packets: Vec::new(),
            sides: [a, b],
            cfg,
            iss,
            sent: 0,
        }
    }

    fn run(&mut self) {
        let deadline = Time::ZERO + Nanos::from_secs(50_000);
        let mut idle = 0;
        while !(self.sides[0].done() && self.sides[1].done()) {
            self.step(0);
            self.step(1);
            let arrival = self.queue.peek().map(|r| r.0.0);
            let timers = self.sides.iter().filter_map(|s| s.conn.as_ref()?.next_timeout());
            let Some(next) = timers.chain(arrival).min() else {
                // The application may have looked away; it looks again.
                idle += 1;
                assert!(idle < 100, "nothing waits for ever: {}", self.report());
                continue;
            };
            idle = 0;
            self.now = self.now.max(next);
            assert!(self.now < deadline, "not done after {deadline:?}: {}", self.report());
            assert!(self.sent < 20_000, "too many segments: {}", self.report());
            while let Some(&Reverse((t, i))) = self.queue.peek()
                && t <= self.now
            {
                self.queue.pop();
                if let Some(packet) = self.packets[i].take() {
                    self.deliver(packet);
                }
            }
            for side in &mut self.sides {
                if let Some(conn) = &mut side.conn {
                    conn.on_timer(self.now);
                }
            }
        }
        self.finish();
    }

    fn report(&self) -> String {
        self.sides
            .iter()
            .map(|s| match &s.conn {
                Some(c) => format!(
                    "\n{:?} {:?} wrote {} of {} read {} timeout {:?} {:?}",
                    c.state(),
                    c.marks(),
                    s.written,
                    s.total,
                    s.read,
                    c.next_timeout(),
                    c.stats()
                ),
                None => "\n-".to_string(),
            })
            .collect()
    }

    fn deliver(&mut self, packet: Packet) {
        let side = &mut self.sides[packet.to];
        match &mut side.conn {
            Some(conn) => conn.on_segment(self.now, packet.seg),
            None if packet.seg.flags.has(TcpFlags::SYN) => {
                let t = tuple();
                let tuple = FourTuple { local: t.remote, remote: t.local };
                let iss = Seq(0u32.wrapping_sub(self.rng.below(100_000) as u32));
                let offset = self.rng.next() as u32;
                self.iss[1] = iss;
                side.conn = Some(Connection::accept(&self.cfg[1], tuple, iss, offset, &packet.seg, self.now));
            }
            None => {}
        }
    }

    /// The application and the device of one side take their turns.
    fn step(&mut self, i: usize) {
        let side = &mut self.sides[i];
        let Some(conn) = &mut side.conn else { return };
        while let Some(event) = conn.poll_event() {
            match event {
                Event::PeerFinished => side.peer_finished = true,
                Event::Closed(_) => side.closed = Some(event),
                _ => {}
            }
        }
        for _ in 0..self.rng.below(6) {
            let len = (1 + self.rng.below(9000)).min(side.total - side.written) as usize;
            if len == 0 {
                break;
            }
            let more = self.rng.chance(20);
            let eor = self.set.eor > 0 && self.rng.chance(self.set.eor);
            let marks = conn.marks();
            match conn.write(bytes(side.written, len), SendFlags { more, eor, ..SendFlags::default() }) {
                Ok(at) => {
                    assert_eq!(at.0, side.written);
                    side.written += len as u64;
                    if eor {
                        side.records.push(side.written);
                    }
                }
                Err(e) => {
                    assert_eq!((e.payload.len(), conn.marks()), (len, marks));
                    break;
                }
            }
        }
        if side.written == side.total && !side.finished {
            side.finished = true;
            conn.shutdown_write();
        }
        if !self.set.slow_reader || self.rng.chance(30) || conn.readable() == 0 {
            while let Some(payload) = conn.read() {
                for &b in payload.as_slice() {
                    assert_eq!(b, byte(side.read), "byte {}", side.read);
                    side.read += 1;
                }
            }
        }
        while let Some((at, payload)) = conn.pop_reclaimed() {
            assert_eq!(at.0, side.reclaimed);
            side.reclaimed += payload.len() as u64;
            assert!(conn.marks().reclaimed <= conn.marks().acked);
        }
        self.transmit(i);
        if let Some(conn) = &mut self.sides[i].conn {
            conn.check_invariants();
            conn.refold(self.now);
        }
    }

    fn transmit(&mut self, i: usize) {
        for turn in 0.. {
            assert!(turn < 5_000, "sends for ever: {}", self.report());
            let Some(conn) = &mut self.sides[i].conn else { return };
            let held = if self.set.held && self.rng.chance(50) { 1000 } else { 0 };
            let limits = TxLimits { held, ..self.sides[i].limits };
            // A batch of proposals, of which the device takes the first few, and perhaps a part of the next.
            let batch: Vec<Burst> =
                (0..1 + self.rng.below(5)).map_while(|_| conn.poll_transmit(self.now, &limits)).collect();
            if batch.is_empty() {
                return;
            }
            let refuse = self.rng.chance(self.set.refuse);
            let taken = if refuse { self.rng.below(batch.len() as u64) as usize } else { batch.len() };
            let mut left = Vec::new();
            for burst in &batch[..taken] {
                left.extend(cut(conn, burst));
                conn.on_sent(burst, self.now);
            }
            if let Some(burst) = batch.get(taken) {
                let whole = u64::from(burst.segments());
                let part = self.rng.below(whole) as u32 * u32::from(burst.mss);
                if part > 0 {
                    let first = burst.first(part);
                    left.extend(cut(conn, &first));
                    conn.on_sent(&first, self.now);
                }
                for burst in &batch[taken..] {
                    conn.on_refused(burst);
                }
            }
            for seg in left {
                self.sides[i].check_record(self.iss[i], &seg);
                self.send(1 - i, seg);
            }
        }
    }

    fn send(&mut self, to: usize, seg: Segment<TestBuf>) {
        self.sent += 1;
        if self.rng.chance(self.set.loss) {
            return;
        }
        let copies = 1 + u64::from(self.rng.chance(self.set.repeat));
        for _ in 0..copies {
            let delay = ms(5) + Nanos::from_micros(self.rng.below(1 + self.set.jitter_ms * 1000));
            // Without jitter packets keep their order, as the index breaks ties.
            let index = self.packets.len();
            self.packets.push(Some(Packet { to, seg: seg.clone() }));
            self.queue.push(Reverse((self.now + delay, index)));
        }
    }

    fn finish(&mut self) {
        for i in 0..2 {
            let peer_total = self.sides[1 - i].total;
            let side = &mut self.sides[i];
            let conn = side.conn.as_mut().expect("a connection");
            while let Some(payload) = conn.read() {
                for &b in payload.as_slice() {
                    assert_eq!(b, byte(side.read));
                    side.read += 1;
                }
            }
            assert_eq!(side.read, peer_total, "side {i} read everything");
            let marks = conn.marks();
            let all = Offset(side.total);
            assert_eq!((marks.accepted, marks.sent, marks.acked), (all, all, all));
            while let Some((_, payload)) = conn.pop_reclaimed() {
                side.reclaimed += payload.len() as u64;
            }
            assert_eq!(side.reclaimed, side.total);
            while let Some(event) = conn.poll_event() {
                side.peer_finished |= event == Event::PeerFinished;
                if let Event::Closed(_) = event {
                    side.closed = Some(event);
                }
            }
            assert!(side.peer_finished);
            assert_eq!(side.closed, Some(Event::Closed(Ok(()))));
        }
    }
}

/// What a device makes of a burst: one segment per MSS; FIN and PSH on the last.
fn cut(conn: &Connection<TestBuf>, burst: &Burst) -> Vec<Segment<TestBuf>> {
    let all: Vec<u8> = conn.slices(burst).flat_map(|(p, r)| p.as_slice()[r].to_vec()).collect();
    assert_eq!(all.len(), burst.len as usize);
    let pieces: Vec<&[u8]> = match all.len() {
        0 => vec![&[]],
        _ => all.chunks(usize::from(burst.mss)).collect(),
    };
    let last = pieces.len() - 1;
    let mut seq = burst.seq;
    let mut out = Vec::new();
    for (i, piece) in pieces.into_iter().enumerate() {
        let flags = if i == last { burst.flags } else { burst.flags.without(TcpFlags::FIN | TcpFlags::PSH) };
        out.push(Segment {
            seq,
            ack: burst.ack,
            flags,
            window: burst.window,
            urgent: 0,
            options: TcpOptions::parse(burst.options.as_slice()),
            ecn: 0,
            continues: false,
            payload: TestBuf::from(piece),
        });
        seq += piece.len() as u32;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_byte_arrives_once_in_order_whatever_the_network_does(set in setting()) {
        Net::new(set).run();
    }
}

/// The same without misfortune, where exact counts can be asked for.
#[test]
fn a_perfect_network_needs_no_retransmission() {
    for seed in 0..20 {
        let mut net = Net::new(Setting {
            seed,
            loss: 0,
            repeat: 0,
            jitter_ms: 0,
            refuse: 30,
            totals: [500_000, 100_000],
            buffers: [300_000, 300_000],
            tso: seed % 2 == 0,
            timestamps: true,
            scale: true,
            no_delay: false,
            slow_reader: false,
            cork: false,
            eor: 0,
            held: false,
        });
        net.run();
        for side in &net.sides {
            let stats = side.conn.as_ref().expect("a connection").stats();
            assert_eq!((stats.bytes_retransmitted, stats.timeouts, stats.dup_acks), (0, 0, 0), "seed {seed}");
            assert_eq!(stats.bytes_sent, side.total);
        }
    }
}
