//! Pacing (`S25`), and how long a burst is when paced (`S22`).
//!
//! A clock of departures says when what was sent will have taken its time at the rate; nothing leaves before. It
//! advances by exactly what was sent, fractions of a nanosecond included, from where it stood and not from when the
//! burst really left: a loop that comes late sends the next burst the sooner, and in the long run the rate is met
//! whatever the loop does. What may be made up for so is bounded twice: to the last [`MAX_DEBT`], and in speed, to
//! twice the rate. Time in which the application had nothing to send is not made up for; nor is, where the rate is the
//! controller's, time in which a window was full. A user's cap is an average, and survives a peer that pauses.
//!
//! What counts is payload, first time or again. ACKs and window probes are neither held back nor counted; a tail loss
//! probe is not held back, but counts.

use super::Connection;
use super::timers::Timer;
use crate::{Nanos, Payload, Rate, Time, TxLimits};

/// How far back a late sender makes up for what it could not send.
const MAX_DEBT: Nanos = Nanos::from_millis(100);

/// A rate derived from the window, in percent of a window per round trip (as Linux: `tcp_pacing_ss_ratio`,
/// `tcp_pacing_ca_ratio`): twice in slow start, so that pacing does not keep the window from doubling; later a little
/// more than the window, which then is what limits.
const SLOW_START_PERCENT: u64 = 200;
/// See [`SLOW_START_PERCENT`].
const AVOIDANCE_PERCENT: u64 = 120;

/// Bursts in a round trip, at least.
const BURSTS_PER_ROUND_TRIP: u64 = 8;

/// However short the round trip, a burst may stand for this much: shorter ones cost more than they smooth.
const SHORTEST_BURST: Nanos = Nanos::from_micros(100);

/// Segments of a burst that pacing always allows (Linux: `tcp_min_tso_segs`).
const MIN_SEGMENTS: u64 = 2;

/// The clock of departures.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// When all that was sent will have taken its time at the rate.
    next: Time,
    /// What is left over of a nanosecond.
    carry: u64,
    /// The same at twice the rate: what bounds making up for lost time.
    catch_up: Time,
    /// How much time may be made up for at once.
    slack: Nanos,
    /// It is not pacing that holds anything back: time that passes now is not made up for.
    resting: bool,
}

impl Pacer {
    pub(crate) fn new() -> Pacer {
        Pacer { next: Time::ZERO, carry: 0, catch_up: Time::ZERO, slack: Nanos::ZERO, resting: true }
    }

    /// When the next burst may leave.
    fn due(&self) -> Time {
        self.next.max(self.catch_up)
    }

    fn on_sent(&mut self, now: Time, bytes: u64, rate: Rate) {
        let (took, carry) = rate.time_for(bytes, self.carry);
        self.carry = carry;
        let from = if self.resting { now } else { now - MAX_DEBT };
        self.next = self.next.max(from) + took;
        self.resting = false;
        self.catch_up = self.catch_up.max(now - self.slack) + took / 2;
    }

    /// The rate rose from `old` to `new`, without a bound where that is `None`: what left last, at `sent`, takes its time
    /// at the new one.
    fn hurry(&mut self, sent: Time, old: Rate, new: Option<Rate>) {
        let shorter = |wait: Nanos| new.map_or(Nanos::ZERO, |new| old.rescale(wait, new));
        for clock in [&mut self.next, &mut self.catch_up] {
            // Where a clock lags behind there is nothing to shorten.
            if *clock > sent {
                *clock = sent + shorter(clock.since(sent));
            }
        }
    }
}

impl<P: Payload> Connection<P> {
    /// The rate data is sent at: the controller's, or that of its window where pacing is on, and no more than the
    /// user's cap; `None` for as fast as windows and device allow.
    #[inline]
    pub fn pacing_rate(&self) -> Option<Rate> {
        let controlled = match self.cc.pacing_rate() {
            None if self.cfg.pacing => self.rate_of_window(),
            rate => rate,
        };
        match (controlled, self.cfg.max_pacing_rate) {
            (Some(rate), Some(cap)) => Some(rate.min(cap)),
            (rate, cap) => rate.or(cap),
        }
    }

    /// The rate is the controller's, and no cap of the user's is below it.
    pub(super) fn is_rate_controlled(&self) -> bool {
        self.pacing_rate() != self.cfg.max_pacing_rate
    }

    fn rate_of_window(&self) -> Option<Rate> {
        let cwnd = self.cc.cwnd();
        let percent = if cwnd < self.cc.ssthresh() / 2 { SLOW_START_PERCENT } else { AVOIDANCE_PERCENT };
        Some(Rate::of(cwnd.max(self.flight.bytes()), self.rtt.srtt()?)?.percent(percent))
    }

    /// Bytes of the bursts that the rate calls for (`S22`): about a millisecond's
    /// ([`autosize`](super::ConnConfig::autosize)), less where the round trip is short, but no less than passes while
    /// the loop is elsewhere, and two segments.
    pub fn paced_burst(&self, rate: Rate, limits: &TxLimits) -> u64 {
        let part = self.rtt.srtt().map_or(Nanos::MAX, |srtt| srtt / BURSTS_PER_ROUND_TRIP);
        let time = self.cfg.autosize.min(part.max(SHORTEST_BURST)).max(limits.loop_period);
        rate.bytes_in(time).max(MIN_SEGMENTS * u64::from(self.mss()))
    }

    /// When pacing lets the next burst go, once what is proposed left at `now`.
    fn departure(&self, now: Time) -> Time {
        let proposed = self.proposed_payload();
        match self.pacing_rate() {
            Some(rate) if proposed > 0 => {
                let mut pacer = self.pacer.clone();
                pacer.on_sent(now, proposed, rate);
                pacer.due()
            }
            _ => self.pacer.due(),
        }
    }

    /// Pacing holds back what could leave otherwise.
    pub(super) fn is_paced_at(&self, now: Time) -> bool {
        now < self.departure(now)
    }

    /// Pacing held a burst back: sees to it that its time does not pass unnoticed.
    pub(super) fn wait_for_departure(&mut self, now: Time, limits: &TxLimits) {
        self.wait_until(self.departure(now));
        self.pacer.slack = self.cfg.autosize.max(limits.loop_period);
    }

    /// What may leave by its windows waits until `at`.
    pub(super) fn wait_until(&mut self, at: Time) {
        self.timers.arm(Timer::Departure, at);
        self.proposed.waits = self.proposed.bursts > 0;
    }

    /// Something left: what was waited for before it was proposed is over.
    pub(super) fn end_wait(&mut self) {
        if !self.proposed.waits {
            self.timers.stop(Timer::Departure);
        }
    }

    /// Nothing more is proposed for now: something else than pacing and the device holds it back (`rests`), or pacing.
    /// What is proposed and not committed decides first.
    pub(super) fn note_rest(&mut self, rests: bool) {
        if self.proposed_payload() == 0 {
            self.pacer.resting = rests;
        } else {
            self.proposed.rests = Some(rests);
        }
    }

    /// All that was proposed left.
    pub(super) fn commit_rest(&mut self) {
        if let Some(rests) = self.proposed.rests {
            self.pacer.resting = rests;
        }
    }

    /// The user's cap changed; before, the rate was `old`. One that rose holds at once, one that fell from the next burst.
    pub(super) fn on_cap_changed(&mut self, old: Option<Rate>) {
        let new = self.pacing_rate();
        if let Some(old) = old.filter(|old| new.is_none_or(|new| new > *old)) {
            self.pacer.hurry(self.quiet_since, old, new);
        }
    }

    /// `bytes` of payload left.
    pub(super) fn on_paced_sent(&mut self, now: Time, bytes: u64) {
        if let Some(rate) = self.pacing_rate() {
            self.pacer.on_sent(now, bytes, rate);
        }
    }
}

folds! { struct Pacer { next, carry, catch_up, slack, resting } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s25_fractions_of_a_nanosecond_add_up() {
        let (mut pacer, rate) = (Pacer::new(), Rate::from_bps(7_777_777));
        for _ in 0..1_111_111 {
            pacer.on_sent(Time::ZERO, 7, rate);
        }
        // 62 222 216 bits: eight seconds to the nanosecond.
        assert_eq!(pacer.next, Time::ZERO + Nanos::from_secs(8));
    }
}
