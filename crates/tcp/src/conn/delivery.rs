//! How fast the peer gets what is sent (`S27`): delivery-rate samples, as draft-ietf-ccwg-bbr §4.1 estimates them
//! (first in draft-cheng-iccrg-delivery-rate-estimation).
//!
//! Each burst is stamped, when it leaves, with what had been delivered by then. When an ACK covers it, the difference
//! is what was delivered in between, over the longer of the time it took to send it and the time it took to be
//! acknowledged: ACKs that arrive compressed cannot make it look faster than it was sent. Samples taken while the
//! application had nothing more to send say how fast it was, not how fast the path is, and are marked.

use crate::{Nanos, Rate, Time};

/// What a burst remembers of the moment it left.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stamp {
    /// C.delivered: bytes the peer had acknowledged.
    delivered: u64,
    /// C.delivered_time: when the last of them were.
    delivered_at: Time,
    /// C.first_sent_time: when the burst that was acknowledged last then had left.
    window_began: Time,
    /// The application was what limited the sender.
    app_limited: bool,
    /// The network then.
    network: Snapshot,
}

/// What the network holds and has lost as a burst leaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Snapshot {
    /// P.tx_in_flight: bytes in it, this burst included.
    pub(crate) in_flight: u64,
    /// P.lost: bytes that had ever been found lost.
    pub(crate) lost: u64,
}

impl Stamp {
    /// Of two bursts the one sent later; `at` is when each left.
    pub(crate) fn is_newer(&self, at: Time, than: &(Stamp, Time)) -> bool {
        (self.delivered, at) >= (than.0.delivered, than.1)
    }
}

/// What one ACK says of the rate of delivery.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RateSample {
    /// Bytes delivered in `interval`.
    pub delivered: u64,
    /// How long that took.
    pub interval: Nanos,
    /// Bytes delivered in all when the newest burst of these left: what a round trip is counted by.
    pub prior_delivered: u64,
    /// The application limited the sender meanwhile: the path may be faster.
    pub app_limited: bool,
    /// Bytes in the network when the newest burst of these had left.
    pub tx_in_flight: u64,
    /// Bytes found lost since then.
    pub lost: u64,
}

/// What was found lost since the last ACK.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LossSample {
    /// Bytes of it.
    pub bytes: u64,
    /// Bursts, or parts of bursts, that it consists of.
    pub ranges: u32,
    /// Bytes in the network when the last of these had left.
    pub tx_in_flight: u64,
    /// Bytes found lost since then, these included.
    pub lost: u64,
    /// The application limited the sender then.
    pub app_limited: bool,
}

impl RateSample {
    /// The rate. There is always an interval.
    pub fn rate(&self) -> Rate {
        Rate::of(self.delivered, self.interval).unwrap_or(Rate::from_bps(u64::MAX))
    }
}

/// What was ever found lost, and what of it was not told yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    /// C.lost, bytes.
    total: u64,
    /// Since this was last asked: bytes, ranges, and the stamp of the one that left last.
    found: Option<(u64, u32, Stamp)>,
}

impl Losses {
    /// C.lost: bytes that were ever found lost.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// `bytes` that left with `stamp` were found lost.
    pub(crate) fn note(&mut self, bytes: u64, stamp: Stamp) {
        self.total += bytes;
        self.found = Some(match self.found {
            Some((before, ranges, newest)) => {
                let newest = if stamp.delivered >= newest.delivered { stamp } else { newest };
                (before + bytes, ranges + 1, newest)
            }
            None => (bytes, 1, stamp),
        });
    }

    /// What was found lost since this was last asked.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<LossSample> {
        let (bytes, ranges, stamp) = self.found.take()?;
        Some(LossSample {
            bytes,
            ranges,
            tx_in_flight: stamp.network.in_flight,
            lost: self.total - stamp.network.lost,
            app_limited: stamp.app_limited,
        })
    }
}

/// The estimator of one connection: the draft's connection state C.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// Bytes acknowledged, FIN counted.
    delivered: u64,
    delivered_at: Time,
    window_began: Time,
    /// What is sent before this much is delivered left while the application limited us; zero when it does not.
    app_limited_until: u64,
    /// The newest sample that was not app-limited, or a faster one that was.
    best: Option<RateSample>,
}

impl Delivery {
    /// A burst leaves: what to stamp it with. `idle`: nothing is in flight before it.
    #[inline]
    pub(crate) fn on_sent(&mut self, now: Time, idle: bool, network: Snapshot) -> Stamp {
        if idle {
            // Time in which nothing was under way is nobody's transit time.
            (self.window_began, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            window_began: self.window_began,
            app_limited: self.app_limited_until != 0,
            network,
        }
    }

    /// C.delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The application has nothing more to send although `in_flight` bytes leave room for it.
    #[inline]
    pub(crate) fn on_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// `bytes` were acknowledged; `newest` is the stamp of the burst of them that left last, and when that was.
    /// `lost` bytes were ever found lost. `None` where the interval is shorter than the path (`min_rtt`): then it measured
    /// nothing.
    pub(crate) fn on_acked(
        &mut self,
        now: Time,
        bytes: u64,
        newest: Option<(Stamp, Time)>,
        min_rtt: Option<Nanos>,
        lost: u64,
    ) -> Option<RateSample> {
        self.delivered += bytes;
        self.delivered_at = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let (stamp, sent) = newest?;
        self.window_began = sent;
        let interval = sent.since(stamp.window_began).max(now.since(stamp.delivered_at));
        if interval == Nanos::ZERO || min_rtt.is_some_and(|rtt| interval < rtt) {
            return None;
        }
        let sample = RateSample {
            delivered: self.delivered - stamp.delivered,
            interval,
            prior_delivered: stamp.delivered,
            app_limited: stamp.app_limited,
            tx_in_flight: stamp.network.in_flight,
            lost: lost - stamp.network.lost,
        };
        // A slow application hides what the path can do: what it showed before stands until it shows more.
        if !sample.app_limited || self.best.is_none_or(|best| sample.is_faster(&best)) {
            self.best = Some(sample);
        }
        Some(sample)
    }

    /// What the path was last seen to do.
    pub(crate) fn best(&self) -> Option<RateSample> {
        self.best
    }
}

impl RateSample {
    /// Compares without a division.
    fn is_faster(&self, than: &RateSample) -> bool {
        u128::from(self.delivered) * u128::from(than.interval.as_nanos())
            >= u128::from(than.delivered) * u128::from(self.interval.as_nanos())
    }
}

folds! { struct Stamp { delivered, delivered_at, window_began, app_limited, network } }
folds! { struct Snapshot { in_flight, lost } }
folds! { struct RateSample { delivered, interval, prior_delivered, app_limited, tx_in_flight, lost } }
folds! { struct Losses { total, found } }
folds! { struct Delivery { delivered, delivered_at, window_began, app_limited_until, best } }

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time::from_nanos(n * 1_000_000)
    }

    /// The sample in bytes per millisecond, and whether it is marked.
    fn rate(sample: Option<RateSample>) -> Option<(u64, bool)> {
        sample.map(|s| (s.delivered * 1_000_000 / s.interval.as_nanos(), s.app_limited))
    }

    #[test]
    fn s27_acks_that_arrive_together_do_not_look_faster_than_what_was_sent() {
        let mut d = Delivery::default();
        // A thousand bytes leave each millisecond, the last of them just after the first ACK.
        let first = (d.on_sent(ms(0), true, Snapshot::default()), ms(0));
        for at in 1..30 {
            d.on_sent(ms(at), false, Snapshot::default());
        }
        assert_eq!(rate(d.on_acked(ms(30), 1000, Some(first), None, 0)), Some((33, false)));
        let last = (d.on_sent(ms(30), false, Snapshot::default()), ms(30));
        // All other ACKs come at once: 30 000 bytes within ten milliseconds, which took thirty to leave.
        assert_eq!(rate(d.on_acked(ms(40), 30_000, Some(last), None, 0)), Some((1000, false)));
    }

    #[test]
    fn s27_what_took_longer_to_send_than_to_be_acknowledged_is_as_slow_as_it_was_sent() {
        let mut d = Delivery::default();
        let a = (d.on_sent(ms(0), true, Snapshot::default()), ms(0));
        d.on_acked(ms(10), 1000, Some(a), None, 0);
        // It left 20 ms after the one before, and was acknowledged 11 ms after that one.
        let b = (d.on_sent(ms(20), false, Snapshot::default()), ms(20));
        assert_eq!(rate(d.on_acked(ms(21), 1000, Some(b), None, 0)), Some((50, false)));
    }

    #[test]
    fn s27_samples_are_marked_until_what_was_limited_is_delivered() {
        let mut d = Delivery::default();
        let a = (d.on_sent(ms(0), true, Snapshot::default()), ms(0));
        d.on_app_limited(1000);
        let b = (d.on_sent(ms(1), false, Snapshot::default()), ms(1));
        assert_eq!(rate(d.on_acked(ms(10), 1000, Some(a), None, 0)), Some((100, false)));
        let c = (d.on_sent(ms(10), false, Snapshot::default()), ms(10));
        assert_eq!(rate(d.on_acked(ms(11), 1000, Some(b), None, 0)), Some((181, true)));
        let e = (d.on_sent(ms(12), false, Snapshot::default()), ms(12));
        assert!(d.on_acked(ms(20), 1000, Some(c), None, 0).is_some_and(|s| s.app_limited));
        assert!(d.on_acked(ms(22), 1000, Some(e), None, 0).is_some_and(|s| !s.app_limited));
    }

    #[test]
    fn s27_a_slow_application_does_not_hide_the_path() {
        let mut d = Delivery::default();
        let a = (d.on_sent(ms(0), true, Snapshot::default()), ms(0));
        d.on_acked(ms(10), 100_000, Some(a), None, 0);
        assert_eq!(rate(d.best()), Some((10_000, false)));
        d.on_app_limited(0);
        let b = (d.on_sent(ms(100), true, Snapshot::default()), ms(100));
        assert_eq!(rate(d.on_acked(ms(110), 1000, Some(b), None, 0)), Some((100, true)));
        assert_eq!(rate(d.best()), Some((10_000, false)));
        // Faster than ever, limited or not.
        d.on_app_limited(0);
        let c = (d.on_sent(ms(200), true, Snapshot::default()), ms(200));
        d.on_acked(ms(210), 200_000, Some(c), None, 0);
        assert_eq!(rate(d.best()), Some((20_000, true)));
        // Slower, but all the path gives.
        let e = (d.on_sent(ms(300), true, Snapshot::default()), ms(300));
        d.on_acked(ms(310), 5000, Some(e), None, 0);
        assert_eq!(rate(d.best()), Some((500, false)));
    }

    #[test]
    fn s27_less_than_a_round_trip_measures_nothing() {
        let mut d = Delivery::default();
        let a = (d.on_sent(ms(0), true, Snapshot::default()), ms(0));
        assert_eq!(d.on_acked(ms(0), 1000, Some(a), None, 0), None);
        let b = (d.on_sent(ms(1), false, Snapshot::default()), ms(1));
        assert_eq!(d.on_acked(ms(2), 1000, Some(b), Some(Nanos::from_millis(3)), 0), None);
        // An ACK of nothing that is in flight: counted, and no more.
        assert_eq!(d.on_acked(ms(9), 1000, None, None, 0), None);
        assert_eq!(d.best(), None);
    }

    #[test]
    fn s27_what_was_lost_since_a_burst_left_is_counted_from_then_on() {
        let (mut d, mut losses) = (Delivery::default(), Losses::default());
        let left = |d: &mut Delivery, losses: &Losses, at, in_flight| {
            d.on_sent(at, false, Snapshot { in_flight, lost: losses.total() })
        };
        let a = left(&mut d, &losses, ms(0), 1000);
        let b = left(&mut d, &losses, ms(0), 2000);
        assert_eq!(losses.take(), None);
        losses.note(1000, a);
        // Sent after the loss was found: none of its losses.
        let c = left(&mut d, &losses, ms(1), 2500);
        losses.note(300, b);
        let lost = losses.take().unwrap();
        assert_eq!((lost.bytes, lost.ranges, lost.lost, lost.tx_in_flight), (1300, 2, 1300, 2000));
        assert_eq!(losses.take(), None);
        let sample = d.on_acked(ms(10), 500, Some((c, ms(1))), None, losses.total()).unwrap();
        assert_eq!((sample.tx_in_flight, sample.lost), (2500, 300));
    }
}
