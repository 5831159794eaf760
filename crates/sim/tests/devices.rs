//! One engine against every kind of device, and a peer of a hundred lines that announces every MSS there is.
//!
//! Three judges look at each frame: the offload checker, as it is staged (chain lengths, buffers under each wire
//! segment, TSO limits, checksum seeds); the simulated NIC, which segments by the metadata alone; and the peer here, which
//! reads what comes out with etherparse and compares payload and borders with what was written.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use engine::nic::{Checked, Nic, NicLimits};
use engine::{ConnId, Engine, EngineConfig, EngineEvent, Secrets};
use etherparse::PacketBuilder;
use sim::{Decoded, Faults, NicConfig, Packet, Release, Rng, SimBuf, SimNic, decode};
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Event, Nanos, Payload as _, Time};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The peer's initial sequence number.
const PEER_ISS: u32 = 5_000;
const MTU: u16 = 9_000;

/// A device with every offload, chains of 40 and 8 buffers under a wire segment.
fn capable() -> NicLimits {
    NicLimits {
        mtu: MTU,
        header_room: 256,
        tso_max_len: 65_415,
        tso_max_segments: u16::MAX,
        tso_min_mss: 1,
        tso_ipv6: false,
        max_chain: 40,
        max_chain_per_segment: 8,
        tx_ip_checksum: true,
        tx_tcp_checksum: true,
        tx_ring: 1_024,
        tx_batch: 32,
        link_bps: Some(100_000_000_000),
    }
}

fn chain(max_chain: u16) -> NicLimits {
    NicLimits { max_chain, ..capable() }
}

/// What the peer knows of a connection.
struct Flow {
    mss: u16,
    /// Sequence number of the first byte.
    first: u32,
    /// Bytes received.
    got: usize,
    /// Bytes the application wrote.
    written: usize,
    seed: usize,
    /// The newest timestamp, where both use them.
    echo: Option<u32>,
    /// Payload lengths in the order of arrival.
    lengths: Vec<usize>,
}

struct Lab {
    engine: Engine<Checked<SimNic>>,
    now: Time,
    /// By our port.
    flows: HashMap<u16, Flow>,
    /// Every byte sent comes from here.
    bytes: Vec<u8>,
    /// The MSS that the peer's next SYN,ACK announces, and whether it knows timestamps.
    announce: (u16, bool),
    /// The peer acknowledges what arrives.
    acks: bool,
    /// Frames that the device puts onto the wire in one step.
    wire: usize,
}

impl Lab {
    fn new(limits: NicLimits) -> Lab {
        Lab::with(limits, |_| {})
    }

    fn with(limits: NicLimits, change: impl FnOnce(&mut NicConfig)) -> Lab {
        let mut nic = NicConfig {
            mac: MAC,
            limits,
            release: Release::Prompt,
            reports_completions: true,
            reclaims: true,
            rx_checksum: true,
            rx_ring: 4_096,
            rx_buffers: 100_000,
            rx_piece: 2_048,
            tail_len: 65_536,
            tail_buffers: 1_000_000,
            tx_buffers: 1_000_000,
            faults: Faults::default(),
        };
        change(&mut nic);
        let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
        let cfg = EngineConfig { max_connections: 1_000, ..EngineConfig::new(US, 24, secrets) };
        Lab {
            engine: Engine::new(Checked::new(SimNic::new(nic, Rng::new(1))), cfg)
                .expect("a sound configuration"),
            now: Time::from_nanos(1_000_000_000),
            flows: HashMap::new(),
            bytes: (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect(),
            announce: (1_460, false),
            acks: true,
            wire: usize::MAX,
        }
    }

    fn nic(&mut self) -> &mut SimNic {
        self.engine.nic_mut().inner_mut()
    }

    /// Polls until everything had its turn, and gives the peer what left.
    fn step(&mut self) {
        self.now += Nanos::from_micros(20);
        let now = self.now;
        self.nic().advance(now);
        while self.engine.poll(now).more {}
        let mut due = Vec::new();
        for _ in 0..self.wire {
            let Some(frame) = self.nic().next_wire_frame() else { break };
            self.on_frame(&frame, &mut due);
        }
        due.sort_unstable();
        due.dedup();
        for port in due {
            if self.acks {
                let flow = &self.flows[&port];
                let ack = flow.first.wrapping_add(flow.got as u32);
                let answer = segment(port, PEER_ISS + 1, ack, false, &stamps(flow.echo));
                self.nic().deliver(answer);
            }
        }
    }

    fn on_frame(&mut self, frame: &[u8], due: &mut Vec<u16>) {
        match decode(frame) {
            Decoded::Tcp(p) if p.syn => {
                let (mss, timestamps) = self.announce;
                let mut options = vec![2, 4, (mss >> 8) as u8, mss as u8, 1, 3, 3, 7];
                let echo = p.timestamps.filter(|_| timestamps).map(|t| t.0);
                options.extend(stamps(echo));
                let (port, first) = (p.src.port(), p.seq.wrapping_add(1));
                let flow = Flow { mss, first, got: 0, written: 0, seed: 0, echo, lengths: Vec::new() };
                let answer = segment(port, PEER_ISS, first, true, &options);
                self.flows.insert(port, flow);
                self.nic().deliver(answer);
            }
            Decoded::Tcp(p) if p.rst => drop(self.flows.remove(&p.src.port())),
            Decoded::Tcp(p) if !p.payload.is_empty() => {
                due.push(p.src.port());
                self.on_data(&p);
            }
            Decoded::Tcp(_) => {}
            Decoded::Other => {
                // ARP: whoever is asked for is the peer.
                let mut reply = [&MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &PEER_MAC].concat();
                reply.extend(PEER.octets());
                reply.extend(MAC);
                reply.extend(US.octets());
                self.nic().deliver(reply);
            }
            Decoded::Malformed(why) => panic!("{why}"),
        }
    }

    fn on_data(&mut self, p: &Packet<'_>) {
        let flow = self.flows.get_mut(&p.src.port()).expect("no connection");
        let at = p.seq.wrapping_sub(flow.first) as usize;
        assert_eq!(at, flow.got, "mss {}: a hole, or sent twice", flow.mss);
        let end = at + p.payload.len();
        assert!(end <= flow.written, "mss {}: more than was written", flow.mss);
        assert!(*p.payload == self.bytes[flow.seed + at..flow.seed + end], "mss {}: other bytes", flow.mss);
        assert!(
            p.payload.len() + p.options_len <= usize::from(flow.mss),
            "{} bytes and {} of options, the peer's MSS is {}",
            p.payload.len(),
            p.options_len,
            flow.mss
        );
        assert!(p.ip_len <= usize::from(MTU));
        assert_eq!(p.timestamps.is_some(), flow.echo.is_some());
        flow.echo = p.timestamps.map(|t| t.0);
        flow.got = end;
        flow.lengths.push(p.payload.len());
    }

    /// An established connection to a peer that announces `mss`, and our port.
    fn connect(&mut self, mss: u16, timestamps: bool, cfg: &ConnConfig) -> (ConnId, u16) {
        self.announce = (mss, timestamps);
        let id = self.engine.connect(self.now, SocketAddr::from((PEER, 80)), cfg).expect("a connection");
        for _ in 0..10 {
            self.step();
            while let Some((_, event)) = self.engine.poll_event() {
                if event == EngineEvent::Conn(Event::Connected) {
                    let port = self.engine.tuple(id).expect("it lives").local.port();
                    return (id, port);
                }
            }
        }
        panic!("mss {mss}: not connected");
    }

    /// Writes the next `len` bytes, by copying or by reference.
    fn write(&mut self, (id, port): (ConnId, u16), len: usize, copy: bool, more: bool) {
        let flow = self.flows.get_mut(&port).expect("a connection");
        let from = flow.seed + flow.written;
        flow.written += len;
        let bytes = &self.bytes[from..from + len];
        let flags = SendFlags { more, ..SendFlags::default() };
        if copy {
            assert_eq!(self.engine.send_copy(id, bytes, flags).expect("room"), len);
        } else {
            let buf: SimBuf = self.engine.nic().inner().pool().buf(bytes.to_vec());
            self.engine.send(id, buf, flags).expect("room");
        }
    }

    /// Until everything written has arrived.
    #[track_caller]
    fn drain(&mut self, port: u16) {
        for _ in 0..2_000 {
            let flow = &self.flows[&port];
            if flow.got == flow.written {
                return;
            }
            self.step();
        }
        let flow = &self.flows[&port];
        panic!("mss {}: {} of {} bytes arrived", flow.mss, flow.got, flow.written);
    }

    fn reset(&mut self, id: ConnId) {
        self.engine.abort(id);
        self.engine.release(id);
        self.step();
        while self.engine.poll_event().is_some() {}
    }

    /// Nothing is left, and nothing was wrong with any frame.
    fn finish(mut self) {
        for _ in 0..10 {
            self.step();
        }
        assert_eq!(self.engine.connections(), 0);
        let (mut nic, report) = self.engine.into_nic().into_parts();
        assert_eq!(report.violations, 0, "{:?}", report.first);
        nic.close();
        assert_eq!(nic.live_buffers(), 0, "buffers are missing");
    }
}

/// The Timestamps option that echoes this one.
fn stamps(echo: Option<u32>) -> Vec<u8> {
    let Some(echo) = echo else { return Vec::new() };
    [&[1, 1, 8, 10, 0, 0, 0, 9][..], &echo.to_be_bytes()].concat()
}

/// A segment of the peer with the largest window.
fn segment(port: u16, seq: u32, ack: u32, syn: bool, options: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER_MAC, MAC).ipv4(PEER.octets(), US.octets(), 64);
    let builder = builder.tcp(80, port, seq, 65_535).ack(ack);
    let builder = if syn { builder.syn() } else { builder };
    let mut frame = Vec::new();
    let builder = builder.options_raw(options).expect("short options");
    builder.write(&mut frame, &[]).expect("a vector takes all");
    frame
}

/// Neither cwnd nor Nagle shall be what shapes a segment.
fn eager() -> ConnConfig {
    ConnConfig {
        mtu: MTU,
        initial_window: 1_000,
        no_delay: true,
        time_wait: Nanos::from_millis(1),
        ..ConnConfig::default()
    }
}

/// How a connection's bytes are handed over.
#[derive(Copy, Clone)]
enum Style {
    /// One buffer, by reference.
    One,
    /// Pieces of a third to an eighth of a segment, by reference: sometimes just what a device takes under one wire
    /// segment, sometimes one more.
    Pieces,
    /// By copying, in odd lengths.
    Copied,
    /// Short headers copied, bodies by reference.
    Mixed,
}

/// Every MSS from 88 to 8960: what leaves is the bytes written, in whole segments but for the last one.
fn every_mss(limits: NicLimits, tso: impl Fn(u16) -> bool) {
    let mut lab = Lab::new(limits);
    for mss in 88..=8_960u16 {
        // Timestamps take 12 bytes of it now and then.
        let timestamps = mss % 7 == 0;
        let whole = usize::from(mss) - if timestamps { 12 } else { 0 };
        let conn = lab.connect(mss, timestamps, &eager());
        let port = conn.1;
        lab.flows.get_mut(&port).expect("connected").seed = usize::from(mss) * 5 % 1_024;
        // Three segments and a bit at least, a whole TSO frame at most now and then.
        let total = if mss % 64 == 0 { 100_000 } else { (whole * 12).min(30_000).max(whole * 3 + 1) };
        let style = [Style::One, Style::Pieces, Style::Copied, Style::Mixed][usize::from(mss) % 4];
        let before = lab.engine.counters().tx_tso_bursts;
        let mut left = total;
        let mut n = 0;
        while left > 0 {
            let (len, copy) = match style {
                Style::One => (total, false),
                Style::Pieces => (whole / (3 + usize::from(mss) / 4 % 6) + n % 3, false),
                Style::Copied => (whole / 3 + 1 + n % 5, true),
                Style::Mixed if n % 2 == 0 => (17, true),
                Style::Mixed => (whole / 2 + n % 7, false),
            };
            let len = len.clamp(1, left);
            left -= len;
            n += 1;
            lab.write(conn, len, copy, left > 0);
        }
        lab.drain(port);
        let (last, others) = lab.flows[&port].lengths.split_last().expect("something arrived");
        assert!(others.iter().all(|&len| len == whole), "mss {mss}: {others:?}");
        assert_eq!(*last, total - others.len() * whole, "mss {mss}");
        let counters = lab.engine.counters();
        assert_eq!(
            counters.tx_tso_bursts > before,
            tso(whole as u16),
            "mss {mss}: TSO where it should not, or not where it should"
        );
        lab.reset(conn.0);
    }
    let counters = lab.engine.counters();
    assert_eq!(counters.tx_retransmitted_segments, 0);
    let scatters = lab.engine.nic().inner().limits().max_chain > 1;
    assert_eq!(counters.tx_linearised > 0, scatters, "chains that do not fit were among them");
    lab.finish();
}

#[test]
fn s10_s23_every_mss_with_chains_of_8() {
    every_mss(chain(8), |_| true);
}

#[test]
fn s10_s23_every_mss_with_chains_of_16() {
    every_mss(chain(16), |_| true);
}

#[test]
fn s10_s23_every_mss_with_chains_of_64() {
    every_mss(chain(64), |_| true);
}

#[test]
fn s10_s23_every_mss_with_chains_of_255() {
    every_mss(chain(255), |_| true);
}

#[test]
fn s10_s23_every_mss_without_scatter_gather() {
    let limits = NicLimits {
        max_chain: 1,
        max_chain_per_segment: 1,
        tso_max_len: 0,
        tso_max_segments: 1,
        header_room: MTU + 14,
        ..capable()
    };
    every_mss(limits, |_| false);
}

#[test]
fn s8_s23_every_mss_without_tso_is_a_frame_of_one_mss() {
    every_mss(NicLimits { tso_max_len: 0, tso_max_segments: 1, ..capable() }, |_| false);
}

#[test]
fn s8_s23_every_mss_with_checksums_in_software_is_a_frame_of_one_mss() {
    // The device would segment, but cannot be asked to: it does not compute the segments' checksums.
    every_mss(NicLimits { tx_tcp_checksum: false, tx_ip_checksum: false, ..capable() }, |_| false);
}

#[test]
fn s8_s23_every_mss_on_a_device_that_segments_to_256_at_least() {
    every_mss(NicLimits { tso_min_mss: 256, ..capable() }, |mss| mss >= 256);
}

#[test]
fn s8_s23_every_mss_on_a_device_of_64_segments_and_20000_bytes() {
    every_mss(NicLimits { tso_max_segments: 64, tso_max_len: 20_000, ..capable() }, |_| true);
}

/// 64 bytes in turn on each of 100 connections, 60 times, before anything leaves.
fn interleaved(limits: NicLimits) {
    let tso = limits.tso_max_len > 0;
    let mut lab = Lab::new(limits);
    let conns: Vec<_> = (0..100).map(|_| lab.connect(1_448, false, &eager())).collect();
    let before = lab.engine.counters().clone();
    for _ in 0..60 {
        for &conn in &conns {
            lab.write(conn, 64, true, false);
        }
    }
    for &(_, port) in &conns {
        lab.drain(port);
        let lengths = &lab.flows[&port].lengths;
        assert_eq!(lengths[..], [1_448, 1_448, 3_840 - 2 * 1_448]);
    }
    let after = lab.engine.counters();
    // One frame for each connection, or for each segment.
    assert_eq!(after.tx_frames - before.tx_frames, if tso { 100 } else { 300 });
    // 23 writes make a segment; as buffers of their own they would not fit under it.
    assert_eq!(after.tx_linearised, 0, "each burst is one slice");
    for (id, _) in conns {
        lab.reset(id);
    }
    lab.finish();
}

#[test]
fn s11_interleaved_small_sends_on_100_connections_coalesce() {
    for limits in [chain(8), chain(255), NicLimits { tso_max_len: 0, ..capable() }] {
        interleaved(limits);
    }
    interleaved(NicLimits {
        max_chain: 1,
        max_chain_per_segment: 1,
        tso_max_len: 0,
        header_room: MTU + 14,
        ..capable()
    });
}

#[test]
fn s11_interleaved_small_sends_coalesce_behind_what_nagle_lets_out() {
    let mut lab = Lab::new(capable());
    let cfg = ConnConfig { no_delay: false, ..eager() };
    let conns: Vec<_> = (0..100).map(|_| lab.connect(1_448, false, &cfg)).collect();
    lab.acks = false;
    for _ in 0..200 {
        for &conn in &conns {
            lab.write(conn, 64, true, false);
        }
        lab.step();
    }
    for &(_, port) in &conns {
        // The first finds an idle connection; what follows waits until it fills a segment.
        assert_eq!(lab.flows[&port].lengths[..2], [64, 1_448]);
        assert_eq!(lab.flows[&port].lengths.len(), 9);
    }
    assert_eq!(lab.engine.counters().tx_linearised, 0);
    lab.acks = true;
    for &(id, port) in &conns {
        // Its ACK, and those of all segments since, were never sent: anything new brings one.
        lab.write((id, port), 1_448, true, false);
    }
    for (id, port) in conns {
        lab.drain(port);
        let lengths = &lab.flows[&port].lengths;
        assert!(lengths[1..lengths.len() - 1].iter().all(|&len| len == 1_448), "{lengths:?}");
        lab.reset(id);
    }
    lab.finish();
}

#[test]
fn s11_slices_of_one_buffer_merge_and_those_of_many_do_not() {
    for (one, linearised) in [(true, 0), (false, 1)] {
        let mut lab = Lab::new(capable());
        let (id, port) = lab.connect(1_448, false, &eager());
        let whole = lab.engine.nic().inner().pool().buf(lab.bytes[..2_048].to_vec());
        for from in (0..2_048).step_by(64) {
            let part = match one {
                true => whole.slice(from..from + 64),
                false => lab.engine.nic().inner().pool().buf(lab.bytes[from..from + 64].to_vec()),
            };
            lab.engine.send(id, part, SendFlags::default()).expect("room");
        }
        lab.flows.get_mut(&port).expect("connected").written = 2_048;
        lab.drain(port);
        assert_eq!(lab.flows[&port].lengths, [1_448, 600]);
        assert_eq!(lab.engine.counters().tx_linearised, linearised);
        drop(whole);
        lab.reset(id);
        lab.finish();
    }
}

/// A port that says nothing: frames are let go of when the ring needs the room, and nobody is told.
fn silent(nic: &mut NicConfig) {
    nic.release = Release::WhenFull;
    nic.reports_completions = false;
    nic.reclaims = false;
}

#[test]
fn s24_a_small_ring_of_a_silent_port_loses_nothing_and_repeats_nothing() {
    let mut lab = Lab::with(NicLimits { tx_ring: 4, link_bps: None, ..capable() }, silent);
    let conns: Vec<_> = (0..5).map(|_| lab.connect(1_448, false, &eager())).collect();
    for &conn in &conns {
        for _ in 0..10 {
            lab.write(conn, 10_000, false, false);
        }
    }
    // A frame of the wire at a time: far slower than the engine offers.
    lab.wire = 1;
    for &(_, port) in &conns {
        lab.drain(port);
    }
    let counters = lab.engine.counters();
    assert!(counters.tx_ring_full > 0 && counters.tx_refused_bursts > 0);
    assert_eq!(counters.tx_retransmitted_segments, 0, "not sent is not lost");
    lab.wire = usize::MAX;
    for (id, _) in conns {
        lab.reset(id);
    }
    lab.finish();
}

#[test]
fn s24_an_optimistic_ack_frees_budget_and_releases_nothing() {
    // By its rate the link needs a second for a burst: only ACKs make room.
    let mut lab = Lab::with(NicLimits { link_bps: Some(500_000), ..capable() }, silent);
    let (id, port) = lab.connect(1_448, false, &eager());
    lab.engine.keep_reclaimed(id, true);
    lab.wire = 0;
    for _ in 0..4 {
        lab.write((id, port), 50_000, false, false);
    }
    lab.step();
    let marks = lab.engine.marks(id).expect("it lives");
    assert!((60_000..=131_072).contains(&marks.sent.0), "{marks:?}: two bursts");
    // Nothing is on the wire, and yet the peer acknowledges all of it.
    let ack = lab.flows[&port].first.wrapping_add(marks.sent.0 as u32);
    lab.nic().deliver(segment(port, PEER_ISS + 1, ack, false, &[]));
    lab.step();
    let after = lab.engine.marks(id).expect("it lives");
    assert_eq!(after.acked, marks.sent, "it is believed");
    assert!(after.sent > marks.sent, "there is budget again");
    assert_eq!(after.reclaimed.0, 0, "the device reads all of it");
    assert!(lab.engine.pop_reclaimed(id).is_none());
    // The frames go out as they were built: the peer here looks at every byte.
    lab.wire = usize::MAX;
    lab.drain(port);
    lab.step();
    // It is done with them, and does not say so; what was let go of comes back all the same, in order, once.
    let mut home = 0;
    while let Some((at, payload)) = lab.engine.pop_reclaimed(id) {
        assert_eq!(at.0, home);
        home += payload.len() as u64;
    }
    let held = lab.nic().held_frames();
    assert!(held > 0 && home < 200_000, "{held} frames are held, {home} bytes are home");
    lab.reset(id);
    lab.nic().close();
    lab.finish();
}

#[test]
fn s24_what_the_device_let_go_of_is_kept_until_it_is_acknowledged() {
    let mut lab = Lab::new(capable());
    let (id, port) = lab.connect(1_448, false, &eager());
    lab.engine.keep_reclaimed(id, true);
    lab.acks = false;
    lab.write((id, port), 50_000, false, false);
    for _ in 0..5 {
        lab.step();
    }
    assert_eq!((lab.flows[&port].got, lab.nic().held_frames()), (50_000, 0));
    assert!(lab.engine.pop_reclaimed(id).is_none(), "the peer has not said that it has it");
    let ack = lab.flows[&port].first.wrapping_add(50_000);
    lab.nic().deliver(segment(port, PEER_ISS + 1, ack, false, &[]));
    lab.step();
    assert_eq!(lab.engine.pop_reclaimed(id).map(|(at, p)| (at.0, p.len())), Some((0, 50_000)));
    lab.reset(id);
    lab.finish();
}
