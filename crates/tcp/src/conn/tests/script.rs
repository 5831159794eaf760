//! The harness of the packet scripts.
//!
//! Segments are written as packetdrill writes them, `FLAGS first:last(len) ack N win N <options>`, with sequence
//! numbers relative to the initial ones. What is sent must be expected, in order and at its exact time; the
//! window and the options are compared when the expectation names them. In front of it stands what the IP header says of
//! congestion, `[ect0]` on what is sent and `[ce]` on what arrives.

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::conn::cc::ControllerKind;
use crate::conn::{ConnConfig, Connection, MtuProbing, SendFlags, State};
use crate::testing::TestBuf;
use crate::wire::{SackBlocks, TcpFlags, TcpOptions, Timestamps, UserTimeout};
use crate::{Burst, Event, FourTuple, Nanos, Payload, Segment, Seq, Time, TxLimits};

/// Initial sequence numbers close to the end, so that every script wraps around.
pub(super) const ISS: Seq = Seq(u32::MAX - 2000);
pub(super) const IRS: Seq = Seq(u32::MAX - 700);

/// Byte `i` of either stream.
pub(super) fn byte(i: u64) -> u8 {
    (i % 251) as u8
}

pub(super) fn bytes(from: u64, len: usize) -> TestBuf {
    TestBuf::from(&(from..from + len as u64).map(byte).collect::<Vec<_>>()[..])
}

pub(super) fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

pub(super) fn tuple() -> FourTuple {
    FourTuple {
        local: "192.0.2.1:40000".parse().expect("an address"),
        remote: "192.0.2.2:80".parse().expect("an address"),
    }
}

/// A device that segments nothing: every burst is one segment.
pub(super) const PLAIN: TxLimits = TxLimits {
    max_len: 0,
    max_segments: 1,
    max_slices: 16,
    min_tso_mss: 0,
    cut_below_mss: 0,
    budget: u32::MAX,
    held: 0,
    loop_period: Nanos::ZERO,
};

/// A device that segments up to 64 KiB.
pub(super) const TSO: TxLimits = TxLimits {
    max_len: 65_000,
    max_segments: 64,
    max_slices: 16,
    min_tso_mss: 0,
    cut_below_mss: 0,
    budget: u32::MAX,
    held: 0,
    loop_period: Nanos::ZERO,
};

/// A configuration whose segments carry no options and exactly 1000 bytes, with windows that are not scaled, and that halve:
/// numbers that can be followed in one's head.
pub(super) fn plain() -> ConnConfig {
    ConnConfig {
        max_mss: Some(1000),
        timestamps: false,
        sack: false,
        window_scale: false,
        no_delay: true,
        controller: ControllerKind::NewReno,
        quick_acks: 0,
        mtu_probing: MtuProbing::Off,
        ..ConnConfig::default()
    }
}

/// A connection, its clock, and what it sent.
pub(super) struct Script {
    pub(super) conn: Connection<TestBuf>,
    pub(super) now: Time,
    pub(super) limits: TxLimits,
    pub(super) sent: VecDeque<(Time, Burst)>,
    written: u64,
    read: u64,
}

impl Script {
    /// An active open; nothing has left yet.
    pub(super) fn connect(cfg: &ConnConfig) -> Script {
        Script::with(Connection::connect(cfg, tuple(), ISS, 0, Time::ZERO))
    }

    /// A passive open for `syn`; nothing has left yet.
    pub(super) fn accept(cfg: &ConnConfig, syn: &str) -> Script {
        let syn = parse(syn);
        Script::with(Connection::accept(cfg, tuple(), ISS, 0, &syn, Time::ZERO))
    }

    /// An established connection 100 ms old, opened by us, whose RTT sample is 100 ms. The peer's MSS is 1000 and
    /// its window `win`; it understands no options but the MSS.
    pub(super) fn established(cfg: &ConnConfig, win: u16) -> Script {
        let mut s = Script::connect(cfg);
        s.expect("S 0:0(0)");
        s.at(100).inject(&format!("S. 0:0(0) ack 1 win {win} <mss 1000>"));
        s.expect(". 1:1(0) ack 1");
        assert_eq!(s.events(), [Event::Connected]);
        s
    }

    pub(super) fn with(conn: Connection<TestBuf>) -> Script {
        let mut s =
            Script { conn, now: Time::ZERO, limits: PLAIN, sent: VecDeque::new(), written: 0, read: 0 };
        s.flush();
        s
    }

    /// Lets time pass until `ms` milliseconds after the start; timers expire on the way, each at its time.
    pub(super) fn at(&mut self, ms: u64) -> &mut Script {
        self.until(Time::from_nanos(ms * 1_000_000))
    }

    pub(super) fn until(&mut self, to: Time) -> &mut Script {
        while let Some(t) = self.conn.next_timeout().filter(|&t| t <= to) {
            assert!(t >= self.now || t <= to, "a deadline in the past");
            self.now = self.now.max(t);
            self.conn.on_timer(self.now);
            self.flush();
        }
        self.now = self.now.max(to);
        self
    }

    /// The peer's segment arrives.
    pub(super) fn inject(&mut self, text: &str) -> &mut Script {
        self.inject_quietly(text);
        self.flush();
        self
    }

    /// The peer's segment arrives, together with others: nothing is sent in between.
    pub(super) fn inject_quietly(&mut self, text: &str) -> &mut Script {
        self.conn.on_segment(self.now, parse(text));
        self
    }

    /// Sends whatever can be sent.
    pub(super) fn flush(&mut self) -> &mut Script {
        for turn in 0.. {
            assert!(turn < 10_000, "sends for ever");
            let Some(burst) = self.conn.poll_transmit(self.now, &self.limits) else { break };
            let mut at = burst.offset.0;
            for (payload, range) in self.conn.slices(&burst) {
                for &b in &payload.as_slice()[range] {
                    assert_eq!(b, byte(at), "wrong byte at {at} of {burst:?}");
                    at += 1;
                }
            }
            assert_eq!(at, burst.offset.0 + u64::from(burst.len), "slices of {burst:?}");
            self.conn.on_sent(&burst, self.now);
            self.sent.push_back((self.now, burst));
        }
        self.conn.refold(self.now);
        self
    }

    /// The application writes `len` bytes.
    pub(super) fn write(&mut self, len: usize) -> &mut Script {
        self.write_quietly(len, SendFlags::default());
        self.flush()
    }

    pub(super) fn write_quietly(&mut self, len: usize, flags: SendFlags) -> &mut Script {
        let at = self.conn.write(bytes(self.written, len), flags).expect("room");
        assert_eq!(at.0, self.written);
        self.written += len as u64;
        self
    }

    /// The application reads all there is; returns how much.
    pub(super) fn read(&mut self) -> usize {
        let from = self.read;
        while let Some(payload) = self.conn.read() {
            for &b in payload.as_slice() {
                assert_eq!(b, byte(self.read), "wrong byte at {}", self.read);
                self.read += 1;
            }
        }
        self.flush();
        (self.read - from) as usize
    }

    pub(super) fn shutdown(&mut self) -> &mut Script {
        self.conn.shutdown_write();
        self.flush()
    }

    pub(super) fn close(&mut self) -> &mut Script {
        self.conn.close(self.now);
        self.flush()
    }

    pub(super) fn abort(&mut self) -> &mut Script {
        self.conn.abort(self.now);
        self.flush()
    }

    /// The next segment sent is this one, sent now.
    pub(super) fn expect(&mut self, text: &str) -> &mut Script {
        let now = self.now;
        self.expect_sent(now, text)
    }

    /// Time passes until `ms`; the next segment sent is this one, sent exactly then.
    pub(super) fn expect_at(&mut self, ms: u64, text: &str) -> &mut Script {
        self.at(ms);
        self.expect_sent(Time::from_nanos(ms * 1_000_000), text)
    }

    /// The next segment sent is this one, sent `ms` milliseconds after the start.
    pub(super) fn expect_sent_at(&mut self, ms: u64, text: &str) -> &mut Script {
        self.expect_sent(Time::from_nanos(ms * 1_000_000), text)
    }

    fn expect_sent(&mut self, at: Time, text: &str) -> &mut Script {
        let Some((sent_at, burst)) = self.sent.pop_front() else {
            panic!("expected `{text}`, nothing was sent by {:?}", self.now)
        };
        let sent = format(&burst, text);
        assert!(sent == text, "expected `{text}`, sent `{sent}` ({burst:?})");
        assert_eq!(sent_at, at, "`{text}` was sent at another time");
        self
    }

    /// Nothing was sent that was not expected.
    pub(super) fn nothing(&mut self) -> &mut Script {
        if let Some((at, burst)) = self.sent.pop_front() {
            panic!("nothing expected, `{}` sent at {at:?}", format(&burst, "win <"));
        }
        self
    }

    /// Time passes until `ms` and nothing is sent.
    pub(super) fn silence_until(&mut self, ms: u64) -> &mut Script {
        self.nothing().at(ms).nothing()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        let events = std::iter::from_fn(|| self.conn.poll_event()).collect();
        self.conn.refold(self.now);
        events
    }

    pub(super) fn state(&self) -> State {
        self.conn.state()
    }

    /// cwnd in segments of 1000 bytes.
    pub(super) fn cwnd(&self) -> u64 {
        self.conn.stats().cwnd / 1000
    }

    /// Everything sent so far, as `first:last` per segment, and forgotten.
    pub(super) fn ranges(&mut self) -> Vec<(u64, u64)> {
        self.sent.drain(..).map(|(_, b)| (b.offset.0, b.offset.0 + u64::from(b.len))).collect()
    }
}

const LETTERS: [(char, TcpFlags); 9] = [
    ('S', TcpFlags::SYN),
    ('F', TcpFlags::FIN),
    ('R', TcpFlags::RST),
    ('P', TcpFlags::PSH),
    ('U', TcpFlags::URG),
    ('E', TcpFlags::ECE),
    ('W', TcpFlags::CWR),
    ('A', TcpFlags::AE),
    ('.', TcpFlags::ACK),
];

/// A segment of the peer from its text.
pub(super) fn parse(text: &str) -> Segment<TestBuf> {
    let fields = [("[ce] ", 3), ("[ect0] ", 2), ("[ect1] ", 1)];
    let field = fields.iter().find_map(|(name, ecn)| Some((*ecn, text.strip_prefix(name)?)));
    let (ecn, text) = field.unwrap_or((0, text));
    let (head, options) = match text.split_once(" <") {
        Some((head, options)) => (head, options.trim_end_matches('>')),
        None => (text, ""),
    };
    let words: Vec<&str> = head.split(' ').collect();
    let mut flags = TcpFlags::NONE;
    for c in words[0].chars() {
        flags |= LETTERS.iter().find(|l| l.0 == c).unwrap_or_else(|| panic!("flag {c} in `{text}`")).1;
    }
    let number = |s: &str| s.parse::<i64>().unwrap_or_else(|_| panic!("number {s} in `{text}`"));
    let after = |name: &str| words.iter().position(|w| *w == name).map(|i| number(words[i + 1]));
    let (range, len) = words[1].trim_end_matches(')').split_once('(').expect("first:last(len)");
    let first = number(range.split_once(':').expect("first:last").0);
    let len = number(len) as usize;
    // A segment may claim to begin before the stream does.
    let payload: Vec<u8> =
        (first - 1..first - 1 + len as i64).map(|i| byte(i.rem_euclid(251) as u64)).collect();
    Segment {
        seq: Seq(IRS.0.wrapping_add(first as u32)),
        ack: Seq(ISS.0.wrapping_add(after("ack").unwrap_or(0) as u32)),
        flags,
        window: after("win").unwrap_or(65535) as u16,
        urgent: 0,
        options: parse_options(options),
        ecn,
        continues: false,
        payload: TestBuf::from(&payload[..]),
    }
}

fn parse_options(text: &str) -> TcpOptions {
    let mut options = TcpOptions::default();
    for option in text.split(',').filter(|o| !o.is_empty()) {
        let words: Vec<&str> = option.split(' ').collect();
        let number = |i: usize| words[i].parse::<u32>().expect("a number");
        match words[0] {
            "mss" => options.mss = Some(number(1) as u16),
            "wscale" => options.window_scale = Some(number(1) as u8),
            "ceb" => {
                let [_, a, b, c] = number(1).to_be_bytes();
                options.marked_bytes = Some([a, b, c]);
            }
            "uto" => options.user_timeout = Some(UserTimeout::of(Nanos::from_secs(number(1).into()))),
            "sackOK" => options.sack_permitted = true,
            "TS" => options.timestamps = Some(Timestamps { val: number(2), ecr: number(4) }),
            "sack" => {
                let mut blocks = SackBlocks::default();
                for block in &words[1..] {
                    let (l, r) = block.split_once(':').expect("a block");
                    let seq = |s: &str| Seq(ISS.0.wrapping_add(s.parse::<u32>().expect("a number")));
                    blocks.push(seq(l), seq(r));
                }
                options.sack = blocks;
            }
            other => panic!("option {other}"),
        }
    }
    options
}

/// A burst of ours as text, with those of its parts that `like` has.
fn format(burst: &Burst, like: &str) -> String {
    let mut out = String::from(if burst.ect { "[ect0] " } else { "" });
    for (c, flag) in LETTERS {
        if burst.flags.has(flag) {
            out.push(c);
        }
    }
    let first = burst.seq.0.wrapping_sub(ISS.0);
    let last = first.wrapping_add(burst.len);
    let _ = write!(out, " {first}:{last}({})", burst.len);
    if burst.flags.has(TcpFlags::ACK) {
        let _ = write!(out, " ack {}", burst.ack.0.wrapping_sub(IRS.0));
    }
    if like.contains("win ") {
        let _ = write!(out, " win {}", burst.window);
    }
    if like.contains('<') {
        let o = TcpOptions::parse(burst.options.as_slice());
        let mut list = Vec::new();
        list.extend(o.mss.map(|mss| format!("mss {mss}")));
        list.extend(o.sack_permitted.then(|| "sackOK".to_string()));
        list.extend(o.timestamps.map(|ts| format!("TS val {} ecr {}", ts.val, ts.ecr)));
        list.extend(o.window_scale.map(|shift| format!("wscale {shift}")));
        let blocks = o
            .sack
            .as_slice()
            .iter()
            .map(|(l, r)| format!(" {}:{}", l.0.wrapping_sub(IRS.0), r.0.wrapping_sub(IRS.0)));
        let blocks: String = blocks.collect();
        list.extend((!blocks.is_empty()).then(|| format!("sack{blocks}")));
        list.extend(o.marked_bytes.map(|[a, b, c]| format!("ceb {}", u32::from_be_bytes([0, a, b, c]))));
        list.extend(o.user_timeout.map(|timeout| format!("uto {}", timeout.time().as_millis() / 1_000)));
        let _ = write!(out, " <{}>", list.join(","));
    }
    out
}
