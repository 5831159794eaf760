//! BBR's phases on the wire: pacing rate and window of each, and when it begins (`S41`, draft-ietf-ccwg-bbr).

use std::collections::VecDeque;

use super::script::*;
use crate::conn::ConnConfig;
use crate::conn::cc::ControllerKind;
use crate::{Nanos, Offset, Time};

fn bbr() -> ConnConfig {
    ConnConfig { controller: ControllerKind::Bbr, ..plain() }
}

/// A bottleneck of 8 Mbit/s, a segment each millisecond, whose queue never overflows, 19 ms of propagation, and a peer
/// that acknowledges each segment. 20 segments fill it.
struct Pipe {
    s: Script,
    /// When the bottleneck is done with what it has.
    busy: Time,
    /// ACKs on their way: when they come, and of what.
    acks: VecDeque<(Time, u64)>,
    written: u64,
}

const SERVICE: Nanos = Nanos::from_millis(1);

impl Pipe {
    fn new(cfg: &ConnConfig) -> Pipe {
        let mut s = Script::connect(cfg);
        s.expect("S 0:0(0)").at(20).inject("S. 0:0(0) ack 1 win 65535 <mss 1000>").expect(". 1:1(0) ack 1");
        let mut p = Pipe { s, busy: Time::ZERO, acks: VecDeque::new(), written: 0 };
        p.fill();
        p
    }

    /// There is always something to send.
    fn fill(&mut self) {
        let acked = self.s.conn.stats().bytes_acked;
        while self.written < acked + 100_000 {
            self.s.write(10_000);
            self.written += 10_000;
        }
        while let Some((at, burst)) = self.s.sent.pop_front() {
            assert_eq!(burst.len, 1000);
            self.busy = self.busy.max(at) + SERVICE;
            self.acks.push_back((self.busy + ms(19), burst.offset.0 + 1001));
        }
    }

    fn ms(&self) -> u64 {
        self.s.now.as_nanos() / 1_000_000
    }

    fn pacing(&self) -> u64 {
        self.s.conn.pacing_rate().map_or(0, |rate| rate.as_bps())
    }

    /// The next ACK arrives, after whatever the timers let out before.
    fn step(&mut self) {
        loop {
            let ack = self.acks.front().map(|(at, _)| *at);
            let timer = self.s.conn.next_timeout().filter(|&at| ack.is_none_or(|ack| at < ack));
            match timer {
                Some(at) => {
                    self.s.until(at);
                    self.fill();
                }
                None => break,
            }
        }
        let (at, ack) = self.acks.pop_front().expect("something in flight");
        self.s.until(at).inject(&format!(". 1:1(0) ack {ack}"));
        self.fill();
    }

    /// Until `end`, in milliseconds: when a rate was set, the rate, and the window then, in segments.
    fn phases(&mut self, end: u64) -> Vec<(u64, u64, u64)> {
        let mut phases = vec![];
        let mut rate = self.pacing();
        while self.ms() < end {
            self.step();
            if self.pacing() != rate {
                rate = self.pacing();
                phases.push((self.ms(), rate, self.s.cwnd()));
            }
        }
        phases
    }
}

#[test]
fn bbr_phases_pace_and_bound_what_leaves_as_the_draft_says() {
    let mut p = Pipe::new(&bbr());
    // InitPacingRate: ten segments in 20 ms, 277 percent of that.
    assert_eq!((p.pacing(), p.s.cwnd()), (11_080_000, 10));
    let phases = p.phases(900);
    // Startup raises the rate with what is delivered; 8 Mbit/s are reached after three round trips.
    let (startup, rest) = phases.split_at(phases.len() - 6);
    assert!(startup.is_sorted_by_key(|(_, rate, _)| *rate), "{phases:?}");
    assert_eq!(
        rest,
        [
            // 277 percent of the bandwidth, less one of margin. The window goes on to twice what the path holds, and an ACK.
            (80, 21_938_400, 35),
            // Three round trips without more bandwidth, of 40 ms by now: Drain, at half.
            (194, 3_960_000, 41),
            // 20 segments are left: Down has nothing to do, and Cruise begins; Refill after twenty round trips paces as fast.
            (234, 7_920_000, 41),
            // Up, a round trip later: 125 percent, and a window for 225, of which two segments are used at first.
            (660, 9_900_000, 42),
            // Three round trips without more bandwidth: Down, at 90 percent, until what the path holds is left.
            (736, 7_128_000, 41),
            (895, 7_920_000, 41),
        ]
    );
    // What the path holds is in flight, and no more.
    assert_eq!(p.s.conn.in_flight(), 20_000);
}

#[test]
fn bbr_probe_rtt_halves_what_is_in_flight_for_200_ms_every_5_seconds() {
    let mut p = Pipe::new(&bbr());
    let mut low = vec![];
    while low.len() < 2 {
        p.step();
        if p.ms() > 1000 && (p.s.cwnd() < 20) != (low.len() == 1) {
            low.push((p.ms(), p.pacing(), p.s.cwnd()));
        }
    }
    // The shortest round trip was the first, at 40 ms. Half of what the path holds, for 200 ms from when no more is in flight, and a
    // round trip; then all of the window again.
    assert_eq!(low, [(5040, 7_920_000, 10), (5260, 7_920_000, 41)]);
}

#[test]
fn bbr_a_window_that_pacing_leaves_room_in_was_not_full() {
    let mut p = Pipe::new(&bbr());
    let una = |p: &Pipe| Offset(p.acks[0].1 - 1001);
    // In Startup the window is what holds it back; in Up, a round trip old, still the rate.
    p.phases(190);
    assert!(p.s.conn.was_window_full(una(&p)));
    p.phases(690);
    assert_eq!((p.s.cwnd(), p.s.conn.in_flight()), (48, 27_000));
    assert!(!p.s.conn.was_window_full(una(&p)));
    // The window might grow all the same, by the rule for slow start: that says nothing of its being full.
    assert!(p.s.conn.is_cwnd_limited(una(&p)));
}

#[test]
fn s4_a_controller_that_keeps_its_window_over_a_recovery_gets_buffer_for_a_third_one() {
    let taken = |controller| {
        let cfg = ConnConfig { controller, initial_window: 60, ..plain() };
        let mut s = Script::established(&cfg, 65535);
        let mut taken = 0;
        while s.conn.write(bytes(taken, 1000), Default::default()).is_ok() {
            taken += 1000;
        }
        taken
    };
    // Two windows of 60 000 bytes are less than what every buffer begins with.
    assert_eq!(taken(ControllerKind::Cubic), 123_000);
    assert_eq!(taken(ControllerKind::Bbr), 180_000);
}
