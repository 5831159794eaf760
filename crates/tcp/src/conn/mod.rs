//! One connection.
//!
//! # Required reading
//! RFC 9293 (TCP), RFC 5681 and 6582 (congestion control, NewReno), RFC 6298 (retransmission timer), RFC 7323
//! (timestamps, window scaling), RFC 2018 (SACK), RFC 5961 (blind attacks). Code cites them at the branch.
//!
//! # Polling
//! A [`Connection`] does nothing by itself. Whoever owns one feeds it and asks it, and the documentation of each
//! method says what must be asked again afterwards. In short: after feeding it anything,
//! 1. [`poll_transmit`](Connection::poll_transmit) until `None`, with
//!    [`on_sent`](Connection::on_sent) or [`on_refused`](Connection::on_refused) for each burst;
//! 2. [`poll_event`](Connection::poll_event) until `None`;
//! 3. [`next_timeout`](Connection::next_timeout), and [`on_timer`](Connection::on_timer) by then.
//!
//! # Offsets
//! Inside, all positions are 64-bit stream offsets, and never wrap. A FIN stands at the offset behind the last
//! byte; a SYN has none, and the state tells where it is. Sequence numbers exist only in segments.

// First: what it defines is used by all the others.
#[macro_use]
mod fold;

mod accurate_ecn;
mod ack;
mod acknowledge;
mod adjust;
mod autocork;
pub mod cc;
mod close;
mod commit;
mod config;
mod cork;
mod defer;
mod delivery;
mod duplicates;
mod ecn;
mod events;
mod expiry;
mod flight;
mod idle;
mod input;
mod keepalive;
mod mtu_probe;
mod open;
mod output;
mod overdue;
mod pacing;
mod path_mtu;
mod persist;
mod prr;
mod rack;
mod reassembly;
mod recovery;
mod rtt;
mod scoreboard;
mod send_buffer;
mod send_queue;
mod send_times;
mod shares;
mod spurious;
mod state;
mod stats;
mod streams;
mod tail_probe;
#[cfg(test)]
mod tests;
mod time_wait;
mod timers;
mod user_timeout;
mod window;

pub use adjust::Setting;
pub use config::{ConnConfig, Linger, SendFlags};
pub use ecn::EcnMode;
pub use keepalive::Keepalive;
pub use mtu_probe::MtuProbing;
pub use reassembly::{Pushed, RecvQueue};
pub use send_queue::Slices;
pub use shares::{HeldBy, Share, TimeShares};
pub use state::State;
pub use stats::{ConnStats, LossState};
pub use streams::{WriteError, WriteErrorKind};
pub use time_wait::{TimeWait, TimeWaitTimestamps};
pub use user_timeout::UserTimeoutOption;

use self::ack::AckState;
use self::autocork::Autocork;
use self::cc::Cc;
use self::cork::Cork;
use self::delivery::Delivery;
use self::ecn::Ecn;
use self::events::Events;
use self::flight::Flight;
use self::keepalive::Pulse;
use self::open::Syn;
use self::output::Proposed;
use self::pacing::Pacer;
use self::path_mtu::PathMtu;
use self::persist::Persist;
use self::prr::Prr;
use self::rack::Rack;
use self::recovery::Recovery;
use self::rtt::RttEstimator;
use self::send_buffer::SendBuffer;
use self::send_queue::SendQueue;
use self::send_times::SendTimes;
use self::shares::ShareClock;
use self::spurious::Doubt;
use self::state::Trigger;
use self::tail_probe::TailProbe;
use self::timers::{Timer, Timers};
use self::user_timeout::Announced;
use self::window::{RecvWindow, Room, SendWindow};
use crate::{
    ConnError, ConnErrorKind, Event, FourTuple, Marks, Nanos, Offset, Payload, Rate, Segment, Seq, Time,
};

/// The longest an ACK may be delayed (MUST-40).
const LONGEST_ACK_DELAY: Nanos = Nanos::from_millis(499);

/// The largest receive buffer a window can express (RFC 7323 §2.3).
const LARGEST_RECEIVE_BUFFER: usize = 1 << 30;

/// The lowest cap of a pacing rate: full segments on Ethernet then leave a second and a half apart.
const SLOWEST_RATE: Rate = Rate::from_bps(8_000);

/// The longest time a paced burst may stand for.
const LONGEST_BURST: Nanos = Nanos::from_millis(100);

/// The timestamp clock of RFC 7323 at `now`: one tick per millisecond, before the connection's own offset.
pub fn timestamp_clock(now: Time) -> u32 {
    now.as_millis() as u32
}

/// Our FIN.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Fin {
    /// The application may still write.
    Open,
    /// It follows what is queued.
    Queued,
    /// It left.
    Sent,
    /// It was acknowledged, and with it everything.
    Acked,
}

/// What the peer's SYN agreed to.
#[derive(Copy, Clone, Debug)]
struct Peer {
    /// The peer's MSS option, or what stands for it.
    mss: u32,
    /// Both use timestamps.
    timestamps: bool,
    /// Both know SACK.
    sack: bool,
    /// Both scale windows.
    scaled: bool,
}

/// The state of timestamps (RFC 7323).
#[derive(Copy, Clone, Debug)]
struct Stamps {
    /// Added to our clock.
    offset: u32,
    /// TS.Recent.
    recent: u32,
    /// When TS.Recent was updated.
    recent_at: Time,
}

/// What leaves before anything else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum First {
    Nothing,
    /// A RST.
    Reset {
        seq: Seq,
        ack: Option<Seq>,
    },
    /// A bare ACK that says how the peer's SYN,ACK arrived (RFC 9768 §3.2.2.1).
    Reflection,
}

/// One TCP connection; see the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Connection<P> {
    cfg: ConnConfig,
    tuple: FourTuple,
    state: State,
    /// Made by a SYN of the peer (MUST-11).
    passive: bool,
    /// The application closed it: nobody reads, nobody writes.
    detached: bool,
    peer: Peer,
    stamps: Stamps,
    path: PathMtu,
    ecn: Ecn,

    // Our direction.
    iss: Seq,
    syn: Syn,
    fin: Fin,
    queue: SendQueue<P>,
    send_buffer: SendBuffer,
    send_times: SendTimes,
    flight: Flight,
    window: SendWindow,
    persist: Persist,
    /// The offset behind the highest byte, or FIN, that the peer may have although SND.NXT does not count it: of window
    /// probes, and of bursts the device refused. An ACK may cover it.
    offered: Offset,
    /// The highest of them that the peer says it has, in a segment that is too old to count as an acknowledgement. Bare
    /// ACKs begin there: from SND.NXT the peer would think them old too, and both ends would wait for ever.
    known: Offset,
    recovery: Recovery,
    rack: Rack,
    /// While the controller's window is reduced.
    prr: Option<Prr>,
    /// While the last reduction may prove needless.
    doubt: Option<Doubt>,
    tail_probe: TailProbe,
    rtt: RttEstimator,
    cc: Cc,
    proposed: Proposed,
    cork: Cork,
    autocork: Autocork,
    delivery: Delivery,
    pacer: Pacer,
    /// When data left last, or the window was restarted since then (`S26`).
    quiet_since: Time,
    /// End of the last segment shorter than the MSS: Minshall's SND.SML.
    small_end: Offset,
    /// End of the last full segment that was sent.
    full_end: Offset,
    /// End of the last segment with PSH.
    pushed: Offset,
    /// Bytes before this were sent while cwnd was what held us back.
    limited_until: Offset,
    /// The most bytes in the network at once, in the window of data that ends here.
    peak: u64,
    peak_until: Offset,

    // The peer's direction.
    irs: Seq,
    recv: RecvQueue<P>,
    recv_window: RecvWindow,
    ack: AckState,
    /// Last.ACK.sent as an offset (RFC 7323 §4.3).
    acked_to: Offset,
    /// ACKs that the next segment made superfluous.
    outrun: u32,
    /// The peer's FIN was received in order.
    peer_fin: bool,

    // The whole.
    timers: Timers,
    events: Events,
    first: First,
    /// Why the peer cannot be reached, as somebody reported, and nothing has arrived since.
    unreachable: Option<ConnErrorKind>,
    time_wait_ends: Time,
    pulse: Pulse,
    announced: Announced,
    shares: ShareClock,
    counts: ConnStats,
}

impl<P: Payload> Connection<P> {
    /// Opens actively. `iss` is the initial sequence number (RFC 6528) and `ts_offset` what is added to the
    /// timestamp clock; both come from the endpoint's secrets.
    ///
    /// The SYN comes from `poll_transmit`.
    pub fn connect(cfg: &ConnConfig, tuple: FourTuple, iss: Seq, ts_offset: u32, now: Time) -> Self {
        let mut conn = Connection::new(cfg, tuple, iss, ts_offset, now);
        conn.transition(Trigger::ActiveOpen);
        conn.syn.due = true;
        conn
    }

    /// Answers `syn`, a SYN without ACK or RST that a listener accepts. Text in it is not taken: the peer repeats it.
    ///
    /// The SYN,ACK comes from `poll_transmit`; [`Event::Connected`] when the peer acknowledges it.
    pub fn accept(
        cfg: &ConnConfig,
        tuple: FourTuple,
        iss: Seq,
        ts_offset: u32,
        syn: &Segment<P>,
        now: Time,
    ) -> Self {
        let mut conn = Connection::new(cfg, tuple, iss, ts_offset, now);
        conn.passive = true;
        conn.state = State::Listen;
        conn.transition(Trigger::Syn);
        conn.on_peer_syn(now, syn.seq, &syn.options);
        conn.on_ecn_peer_syn(syn.flags, syn.ecn);
        // A window on a SYN is not scaled (RFC 7323 §2.2).
        conn.window.begin(Offset::ZERO, Offset::ZERO, u64::from(syn.window));
        conn.syn.due = true;
        conn
    }

    fn new(cfg: &ConnConfig, tuple: FourTuple, iss: Seq, ts_offset: u32, now: Time) -> Self {
        let mut cfg = cfg.clone();
        cfg.mtu = cfg.mtu.max(if tuple.local.is_ipv6() { 1280 } else { 576 });
        cfg.max_pacing_rate = cfg.max_pacing_rate.map(|rate| rate.max(SLOWEST_RATE));
        cfg.autosize = cfg.autosize.min(LONGEST_BURST);
        cfg.receive_buffer = cfg.receive_buffer.clamp(1, LARGEST_RECEIVE_BUFFER);
        cfg.keepalive = cfg.keepalive.map(Keepalive::bounded);
        let mut conn = Connection {
            tuple,
            state: State::Closed,
            passive: false,
            detached: false,
            peer: Peer { mss: 536, timestamps: false, sack: false, scaled: false },
            stamps: Stamps { offset: ts_offset, recent: 0, recent_at: now },
            path: PathMtu::new(cfg.mtu),
            ecn: Ecn::default(),
            iss,
            syn: Syn::default(),
            fin: Fin::Open,
            queue: SendQueue::new(),
            send_buffer: SendBuffer::new(&cfg),
            send_times: SendTimes::default(),
            flight: Flight::default(),
            window: SendWindow::new(),
            persist: Persist::default(),
            offered: Offset::ZERO,
            known: Offset::ZERO,
            recovery: Recovery::new(),
            rack: Rack::default(),
            prr: None,
            doubt: None,
            tail_probe: TailProbe::default(),
            rtt: RttEstimator::new(cfg.initial_rto, cfg.min_rto, cfg.max_rto),
            cc: Cc::new(cfg.controller, 0, 536),
            proposed: Proposed::default(),
            cork: Cork::default(),
            autocork: Autocork::default(),
            delivery: Delivery::default(),
            pacer: Pacer::new(),
            quiet_since: now,
            small_end: Offset::ZERO,
            full_end: Offset::ZERO,
            pushed: Offset::ZERO,
            limited_until: Offset::ZERO,
            peak: 0,
            peak_until: Offset::ZERO,
            irs: Seq::default(),
            recv: RecvQueue::new(cfg.receive_buffer),
            recv_window: RecvWindow::new(),
            ack: AckState::new(536, 0),
            acked_to: Offset::ZERO,
            outrun: 0,
            peer_fin: false,
            timers: Timers::new(),
            events: Events::default(),
            first: First::Nothing,
            unreachable: None,
            time_wait_ends: Time::MAX,
            pulse: Pulse::default(),
            announced: Announced::new(cfg.user_timeout),
            shares: ShareClock::new(now),
            counts: ConnStats::default(),
            cfg,
        };
        conn.ack = AckState::new(conn.announced_mss(), conn.cfg.quick_acks);
        conn.timers.arm(Timer::Connect, now + conn.cfg.connect_timeout);
        conn
    }

    /// When [`on_timer`](Connection::on_timer) must be called next, `None` for never. Ask again after feeding
    /// anything in and after every proposal.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The next event; poll until `None` after feeding anything in.
    pub fn poll_event(&mut self) -> Option<Event> {
        // The end of a connection is the last that is told of it.
        self.send_times.pop().map(Event::SendTime).or_else(|| self.events.pop())
    }

    /// Takes one event out of turn, for a caller that waits for just this one; false when it is not there.
    /// [`Event::Closed`] is none of these; see [`take_error`](Connection::take_error).
    pub fn take_event(&mut self, event: Event) -> bool {
        self.events.take(event)
    }

    /// Why the connection failed, unless that was told already; then it is not told by [`Event::Closed`] (`S6`: once).
    pub fn take_error(&mut self) -> Option<ConnError> {
        self.events.take_error()
    }

    /// The addresses.
    pub fn tuple(&self) -> &FourTuple {
        &self.tuple
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// How far the sending direction has come.
    pub fn marks(&self) -> Marks {
        Marks {
            accepted: self.queue.end(),
            sent: self.queue.nxt(),
            acked: self.queue.una(),
            reclaimed: self.queue.reclaimed(),
        }
    }

    /// The newest RTT sample since this was last asked.
    pub fn take_rtt_sample(&mut self) -> Option<Nanos> {
        self.rtt.take_latest()
    }

    /// Sequence numbers between SND.UNA and SND.NXT: bytes, and a FIN, sent and not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.flight.bytes()
    }

    /// True when the connection is over and the last RST it owed has left: no timer runs, nothing is to be sent.
    /// Its owner may drop it once `pop_reclaimed` has given everything back.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed && !matches!(self.first, First::Reset { .. })
    }

    /// Asserts the invariants of the architecture that concern a connection alone. Debug builds do so after
    /// every input; tests and the simulator may at any time.
    ///
    /// # Panics
    /// When one is broken.
    pub fn check_invariants(&self) {
        self.queue.check_invariants();
        self.shares.check_invariants();
        if self.state == State::Closed {
            return;
        }
        self.flight.check_invariants(self.snd_una(), self.snd_nxt());
        if self.state.is_synchronized() {
            assert_eq!(self.cc.mss(), u64::from(self.mss()), "the controller counts in other segments");
        }
        if self.state.may_send() && !self.flight.is_empty() {
            // Nothing waits for ever.
            let waits = self.timers.is_armed(Timer::Retransmit) || self.timers.is_armed(Timer::Persist);
            assert!(waits, "bytes in flight and no timer");
        }
        assert!(self.acked_to <= self.rcv_nxt(), "acknowledged what was not received");
        self.check_pulse();
        assert!(
            !self.send_buffer.wakes(&self.queue),
            "there is room, and the writer that waits for it was not told"
        );
    }

    fn transition(&mut self, trigger: Trigger) {
        let next = self.state.next(trigger);
        debug_assert!(next.is_some(), "{:?} in {:?}", trigger, self.state);
        self.state = next.unwrap_or(self.state);
    }

    /// SND.UNA. While our SYN is not acknowledged this is the offset behind it.
    fn snd_una(&self) -> Offset {
        self.queue.una() + u64::from(self.fin == Fin::Acked)
    }

    /// SND.NXT.
    fn snd_nxt(&self) -> Offset {
        self.queue.nxt() + u64::from(matches!(self.fin, Fin::Sent | Fin::Acked))
    }

    /// RCV.NXT.
    fn rcv_nxt(&self) -> Offset {
        self.recv.next() + u64::from(self.peer_fin)
    }

    /// RCV.WND: up to the highest edge that was ever offered (RFC 7323 §2.4).
    fn rcv_wnd(&self) -> u64 {
        self.recv_window.wnd(self.recv.next())
    }

    /// The sequence number of an offset of ours.
    fn snd_seq(&self, at: Offset) -> Seq {
        self.iss + 1 + at.0 as u32
    }

    /// The sequence number of an offset of the peer's.
    fn rcv_seq(&self, at: Offset) -> Seq {
        self.irs + 1 + at.0 as u32
    }

    /// What the receive window rests on.
    fn room(&self) -> Room {
        Room {
            next: self.recv.next(),
            right: self.recv.right_edge(),
            capacity: self.recv.capacity() as u64,
            mss: self.ack.segment(),
        }
    }

    /// Something is in flight or waits to be.
    fn has_work(&self) -> bool {
        !self.flight.is_empty() || self.queue.nxt() < self.queue.end() || self.fin == Fin::Queued
    }

    fn delayed_ack(&self) -> Nanos {
        self.cfg.delayed_ack.min(LONGEST_ACK_DELAY)
    }
}
