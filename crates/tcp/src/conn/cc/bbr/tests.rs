//! BBR over a path that is simulated here: one bottleneck with a queue that drops what it cannot hold, and a receiver that
//! acknowledges each segment. The phases and figures are those of the draft's test cases (Appendix A).

use std::collections::VecDeque;

use super::*;
use crate::Offset;
use crate::conn::cc::registry::Cc;
use crate::conn::cc::tests::ack;
use crate::conn::delivery::{Delivery, Losses, Snapshot, Stamp};

const MSS: u64 = 1000;

struct Packet {
    stamp: Stamp,
    sent: Time,
    /// When its ACK comes; `None`: it was dropped.
    acked: Option<Time>,
}

/// A sender, and the path before it.
struct Path {
    bbr: Bbr,
    window: Window,
    delivery: Delivery,
    losses: Losses,
    flight: VecDeque<Packet>,
    now: Time,
    /// When pacing lets the next segment go.
    departure: Time,
    rate: Rate,
    rtt: Nanos,
    buffer: u64,
    /// When the bottleneck is done with what it has.
    busy_until: Time,
    /// What the application writes per second, if it is slower.
    app: Option<Rate>,
    app_ready: Time,
    delivered: u64,
    /// Every state as it began, and when.
    states: Vec<(State, Time)>,
    drops: u64,
    /// Drops one segment in so many.
    drop_every: Option<u64>,
    sent: u64,
    shortest: Nanos,
}

impl Path {
    /// A bottleneck of `mbit` and `ms` of propagation, with a queue of so many percent of their product.
    fn new(mbit: u64, ms: u64, percent: u64) -> Path {
        let (rate, rtt) = (Rate::from_bps(mbit * 1_000_000), Nanos::from_millis(ms));
        let mut window = Window { cwnd: 10 * MSS, ssthresh: u64::MAX, mss: MSS, pacing_rate: None };
        let now = Time::from_nanos(1_000_000_000);
        Path {
            bbr: Bbr::new(&mut window),
            window,
            delivery: Delivery::default(),
            losses: Losses::default(),
            flight: VecDeque::new(),
            now,
            departure: now,
            rate,
            rtt,
            buffer: rate.bytes_in(rtt) * percent / 100,
            busy_until: now,
            app: None,
            app_ready: now,
            delivered: 0,
            states: vec![(State::Startup, now)],
            drops: 0,
            drop_every: None,
            sent: 0,
            shortest: Nanos::MAX,
        }
    }

    fn bdp(&self) -> u64 {
        self.rate.bytes_in(self.rtt)
    }

    fn in_flight(&self) -> u64 {
        self.flight.len() as u64 * MSS
    }

    fn send(&mut self) {
        let stamp = self.delivery.on_sent(
            self.now,
            self.flight.is_empty(),
            Snapshot { in_flight: self.in_flight() + MSS, lost: self.losses.total() },
        );
        if self.flight.is_empty() {
            self.bbr.on_start(&mut self.window, self.now);
        }
        self.sent += 1;
        let queue = self.rate.bytes_in(self.busy_until.since(self.now));
        let dropped = queue > self.buffer || self.drop_every.is_some_and(|n| self.sent.is_multiple_of(n));
        let acked = (!dropped).then(|| {
            self.busy_until = self.busy_until.max(self.now) + self.rate.time_for(MSS, 0).0;
            self.busy_until + self.rtt
        });
        self.drops += u64::from(dropped);
        self.flight.push_back(Packet { stamp, sent: self.now, acked });
        let pacing = self.window.pacing_rate.unwrap();
        self.departure = self.departure.max(self.now) + pacing.time_for(MSS, 0).0;
        if let Some(app) = self.app {
            self.app_ready = self.app_ready.max(self.now) + app.time_for(MSS, 0).0;
        }
    }

    fn receive(&mut self) {
        let mut lost = false;
        while self.flight.front().is_some_and(|packet| packet.acked.is_none()) {
            // Overtaken: SACK told of it. What stands for it is new data.
            let packet = self.flight.pop_front().unwrap();
            self.losses.note(MSS, packet.stamp);
            lost = true;
        }
        if lost {
            let flight = self.in_flight();
            self.bbr.on_loss(&mut self.window, self.now, flight);
        }
        let packet = self.flight.pop_front().unwrap();
        let rtt = self.now.since(packet.sent);
        self.shortest = self.shortest.min(rtt);
        self.delivered += MSS;
        let newest = Some((packet.stamp, packet.sent));
        let rate = self.delivery.on_acked(self.now, MSS, newest, Some(self.shortest), self.losses.total());
        let sample = AckSample {
            now: self.now,
            una: Offset(self.delivered),
            flight: self.in_flight(),
            pipe: self.in_flight(),
            delivered: self.delivery.delivered(),
            window_full: self.in_flight() + 2 * MSS > self.window.cwnd,
            rtt: Some(rtt),
            srtt: Some(rtt),
            rate,
            lost: self.losses.take(),
            ..ack(MSS)
        };
        let before = self.bbr.state;
        self.bbr.on_ack(&mut self.window, &sample);
        if self.bbr.recovery.is_some_and(|began| self.bbr.round_count > began + 1) {
            self.bbr.on_recovered(&mut self.window, sample.flight);
        }
        if self.bbr.state != before {
            self.states.push((self.bbr.state, self.now));
        }
    }

    /// The next thing happens, if that is before `end`.
    fn step(&mut self, end: Time) -> bool {
        let next_ack = self.flight.iter().find_map(|packet| packet.acked);
        let open = self.in_flight() + MSS <= self.window.cwnd;
        let ready = if self.app.is_some() { self.app_ready } else { self.now };
        if open && ready > self.now.max(self.departure) {
            self.delivery.on_app_limited(self.in_flight());
        }
        let next_send = open.then(|| self.departure.max(ready).max(self.now));
        let next = next_ack.unwrap_or(Time::MAX).min(next_send.unwrap_or(Time::MAX));
        if next > end {
            self.now = end;
            return false;
        }
        self.now = next;
        if next_ack == Some(next) {
            self.receive()
        } else {
            self.send()
        }
        true
    }

    fn run(&mut self, time: Nanos) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Until `state` begins, `seconds` at the most.
    fn until(&mut self, state: State, seconds: u64) {
        let end = self.now + Nanos::from_secs(seconds);
        while self.bbr.state != state {
            assert!(self.step(end), "no {state:?} in {seconds} s: {:?}", self.states);
        }
    }

    fn order(&self) -> Vec<State> {
        self.states.iter().map(|(state, _)| *state).collect()
    }

    /// Percent of the bottleneck that was used in the next `time`.
    fn utilisation(&mut self, time: Nanos) -> u64 {
        let before = self.delivered;
        self.run(time);
        (self.delivered - before) * 100 / self.rate.bytes_in(time)
    }
}

#[test]
fn bbr_the_phases_come_in_their_order() {
    let mut p = Path::new(100, 40, 200);
    p.run(Nanos::from_secs(4));
    use State::*;
    // The first Down is over with the ACK it began with: Drain left it nothing to do.
    assert_eq!(p.order()[..7], [Startup, Drain, Cruise, Refill, Up, Down, Cruise], "{:?}", p.states);
    // Startup doubles in each round trip: from 10 segments to 500 in six, and three to be sure.
    let drained = p.states[1].1.since(p.states[0].1);
    assert!(drained < p.rtt * 14, "{drained}");
    assert_eq!(p.drops, 0);
}

#[test]
fn bbr_startup_ends_on_a_plateau_with_the_bandwidth_within_two_percent() {
    for (mbit, ms) in [(1, 100), (10, 20), (100, 40), (1000, 2)] {
        let mut p = Path::new(mbit, ms, 400);
        p.until(State::Drain, 20);
        let bw = p.bbr.model.max_bw();
        assert!((98..=102).contains(&(bw * 100 / p.rate.as_bps())), "{mbit} Mbit/s: {bw}");
        assert!(p.bbr.full_bw_reached && p.bbr.full_bw_now && p.bbr.full_bw_count == 3);
        assert_eq!(p.bbr.gains(), (50, 200));
        while p.bbr.state == State::Drain {
            assert!(p.step(Time::MAX));
        }
        assert!(p.in_flight() <= p.bbr.inflight(&p.window, 100));
    }
}

#[test]
fn bbr_the_bottleneck_is_used_and_its_queue_is_short() {
    for (mbit, ms) in [(5, 100), (100, 40), (1000, 5)] {
        let mut p = Path::new(mbit, ms, 400);
        p.until(State::Cruise, 30);
        let used = p.utilisation(Nanos::from_secs(3));
        assert!(used >= 94, "{mbit} Mbit/s: {used} %");
        // At the cruise's end: about what the path holds.
        p.until(State::Refill, 10);
        assert!(p.in_flight() <= p.bdp() * 13 / 10 + 10 * MSS, "{} of {}", p.in_flight(), p.bdp());
    }
}

#[test]
fn bbr_pacing_is_one_percent_below_and_gains_are_the_drafts() {
    let mut p = Path::new(100, 40, 400);
    let mut percents = vec![];
    for state in [State::Drain, State::Down, State::Cruise, State::Refill, State::Up] {
        p.until(state, 20);
        let rate = p.window.pacing_rate.unwrap().as_bps();
        percents.push((rate * 1000 / p.bbr.model.bw() + 5) / 10);
    }
    // 50, 90, 100, 100 and 125 percent, less one.
    assert_eq!(percents, [50, 89, 99, 99, 124]);
}

#[test]
fn bbr_startup_ends_on_heavy_loss_although_the_application_limits_it() {
    let mut p = Path::new(100, 40, 100);
    p.app = Some(Rate::from_bps(20_000_000));
    p.run(Nanos::from_secs(3));
    // Nothing is lost, and nothing shows what the path can do: it stays.
    assert_eq!(p.order(), [State::Startup]);
    p.drop_every = Some(10);
    while p.bbr.state == State::Startup {
        assert!(p.step(Time::from_nanos(7_000_000_000)), "still in Startup");
    }
    assert!(p.bbr.full_bw_reached && p.bbr.model.inflight_long != INFINITE);
    assert_eq!(p.bbr.undo_state, Some(State::Startup));
    // It was reordering: back to where it was.
    p.bbr.on_spurious(&mut p.window);
    assert_eq!((p.bbr.state, p.bbr.full_bw_reached), (State::Startup, false));
}

#[test]
fn bbr_a_probe_that_overflows_the_queue_remembers_what_fits() {
    // A queue of a fifth of what the path holds: a probe of 125 percent must overflow it.
    let mut p = Path::new(100, 40, 20);
    p.run(Nanos::from_secs(20));
    assert_ne!(p.bbr.model.inflight_long, INFINITE);
    let long = p.bbr.model.inflight_long * 100 / p.bdp();
    assert!((70..=135).contains(&long), "{long} %");
    let (drops, sent) = (p.drops, p.sent);
    let used = p.utilisation(Nanos::from_secs(10));
    assert!(used >= 80, "{used} %");
    // What is lost stays about the threshold, probes included.
    assert!((p.drops - drops) * 50 <= p.sent - sent, "{} of {}", p.drops - drops, p.sent - sent);
}

#[test]
fn bbr_one_percent_of_loss_that_is_no_congestion_costs_little() {
    let mut p = Path::new(100, 40, 200);
    p.drop_every = Some(100);
    p.run(Nanos::from_secs(10));
    let used = p.utilisation(Nanos::from_secs(10));
    assert!(used >= 75, "{used} %");
}

#[test]
fn bbr_a_path_that_becomes_slower_is_noticed() {
    let mut p = Path::new(100, 40, 400);
    p.until(State::Cruise, 10);
    p.rate = Rate::from_bps(50_000_000);
    p.run(Nanos::from_secs(15));
    let bw = p.bbr.model.max_bw();
    assert!((45_000_000..=56_000_000).contains(&bw), "{bw}");
    // And one that becomes faster.
    p.rate = Rate::from_bps(200_000_000);
    p.run(Nanos::from_secs(25));
    let bw = p.bbr.model.max_bw();
    assert!(bw >= 180_000_000, "{bw}");
}

#[test]
fn bbr_probe_rtt_comes_every_five_seconds_and_lasts_200_ms() {
    let mut p = Path::new(100, 40, 400);
    p.until(State::Cruise, 10);
    p.until(State::ProbeRtt, 8);
    let (began, cwnd) = (p.now, p.window.cwnd);
    assert_eq!(p.bbr.gains(), (100, 50));
    assert!(cwnd <= p.bdp() * 11 / 20, "{cwnd}");
    while p.bbr.state == State::ProbeRtt {
        assert!(p.step(Time::MAX));
    }
    let lasted = p.now.since(began);
    assert!(lasted >= PROBE_RTT_DURATION && lasted < PROBE_RTT_DURATION + p.rtt * 3, "{lasted}");
    assert_eq!(p.bbr.state, State::Cruise);
    assert!(p.window.cwnd > p.bdp());
    // Without a queue the path is as long as it is, give or take a segment.
    assert!(p.bbr.model.min_rtt < p.rtt + Nanos::from_millis(1), "{}", p.bbr.model.min_rtt);
}

#[test]
fn bbr_a_silence_is_as_good_as_probe_rtt_and_ends_at_the_bandwidth() {
    let mut p = Path::new(100, 40, 400);
    p.until(State::Cruise, 10);
    let cwnd = p.window.cwnd;
    p.app_ready = p.now + Nanos::from_secs(6);
    p.app = Some(Rate::from_bps(1_000_000_000));
    while !p.flight.is_empty() {
        assert!(p.step(Time::MAX));
    }
    p.bbr.on_idle(&mut p.window, 20, 10 * MSS);
    p.now = p.app_ready;
    p.send();
    assert!(p.bbr.idle_restart && p.window.cwnd >= cwnd / 2);
    p.run(Nanos::from_millis(100));
    assert!(!p.order().contains(&State::ProbeRtt), "{:?}", p.states);
}

#[test]
fn bbr_a_timeout_leaves_one_segment_and_the_window_returns() {
    let mut p = Path::new(100, 40, 400);
    p.until(State::Cruise, 10);
    let (cwnd, flight) = (p.window.cwnd, p.in_flight());
    p.bbr.on_rto(&mut p.window, p.now, flight);
    assert_eq!(p.window.cwnd, MSS);
    let sample = AckSample { after_rto: true, now: p.now, delivered: p.delivered, ..ack(MSS) };
    p.bbr.on_ack(&mut p.window, &sample);
    assert_eq!(p.window.cwnd, 4 * MSS);
    p.bbr.on_ack(&mut p.window, &AckSample { after_rto: false, ..sample });
    assert!(p.window.cwnd >= cwnd * 9 / 10, "{} {cwnd}", p.window.cwnd);
}

#[test]
fn bbr_runs_its_recovery_itself() {
    assert!(Cc::new(crate::conn::cc::ControllerKind::Bbr, 10 * MSS, MSS as u32).runs_recovery());
}

#[test]
fn bbr_a_probe_with_room_in_its_window_raises_no_bound_and_ends_on_the_plateau() {
    // What losses once taught is all that the window allows, and beyond what the probe reaches.
    let mut p = Path::new(100, 40, 400);
    p.until(State::Cruise, 10);
    let bound = p.bdp() * 21 / 10;
    p.bbr.model.inflight_long = bound;
    p.until(State::Up, 10);
    let began = p.now;
    p.until(State::Down, 10);
    assert_eq!((p.bbr.model.inflight_long, p.drops), (bound, 0));
    assert!(p.now.since(began) < p.rtt * 7, "{}", p.now.since(began));
}

#[test]
fn bbr_down_ends_by_what_the_path_was_seen_to_deliver_whatever_a_loss_made_of_it() {
    let mut p = Path::new(100, 40, 400);
    p.until(State::Up, 10);
    p.until(State::Down, 10);
    p.bbr.model.bw_short = p.bbr.model.max_bw() / 2;
    p.until(State::Cruise, 10);
    assert!(p.in_flight() > p.bdp() * 9 / 10, "{} of {}", p.in_flight(), p.bdp());
}

#[test]
fn bbr_begins_with_the_round_trip_of_the_handshake() {
    let mut p = Path::new(100, 40, 400);
    // Ten segments in a millisecond, and in 50.
    assert_eq!(p.window.pacing_rate, Some(Rate::from_bps(221_600_000)));
    p.bbr.on_connected(&mut p.window, p.now, Nanos::from_millis(50));
    assert_eq!(p.window.pacing_rate, Some(Rate::from_bps(4_432_000)));
    assert_eq!(p.bbr.model.min_rtt, Nanos::from_millis(50));
    // Later ones do not count for that.
    p.bbr.on_ack(&mut p.window, &AckSample { srtt: Some(p.rtt), now: p.now, ..ack(MSS) });
    assert_eq!(p.window.pacing_rate, Some(Rate::from_bps(4_432_000)));
}
