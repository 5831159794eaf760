//! HyStart++ (RFC 9406): ends the first slow start when round trips become longer, before the queue overflows.
//!
//! A round whose shortest round trip is longer than the one before, by an eighth, suggests that the window outgrew the
//! path. Conservative slow start (CSS) then grows on at a quarter of the speed for five rounds: when round trips become
//! short again it was a false alarm, and slow start goes on; else it ends.

use super::AckSample;
use crate::{Nanos, Offset};

/// RFC 9406 §4.3.
const MIN_RTT_THRESH: Nanos = Nanos::from_millis(4);
const MAX_RTT_THRESH: Nanos = Nanos::from_millis(16);
const MIN_RTT_DIVISOR: u64 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;

/// The state of the first slow start.
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    /// SND.NXT when the round began; `None` before the first ACK.
    window_end: Option<Offset>,
    last_round_min: Nanos,
    round_min: Nanos,
    samples: u32,
    /// In CSS: the shortest round trip of the round it began in, and how many rounds it has lasted, that one counted.
    css: Option<(Nanos, u32)>,
}

/// What an ACK means for slow start.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// It goes on, by this many bytes.
    Grow(u64),
    /// It is over.
    Leave,
}

impl HyStart {
    pub(super) fn new() -> HyStart {
        HyStart { window_end: None, last_round_min: Nanos::MAX, round_min: Nanos::MAX, samples: 0, css: None }
    }

    /// An ACK arrived in slow start (§4.2).
    #[inline]
    pub(super) fn on_ack(&mut self, sample: &AckSample) -> Step {
        let next = sample.una + sample.flight;
        let window_end = *self.window_end.get_or_insert(next);
        if let Some(rtt) = sample.rtt {
            self.round_min = self.round_min.min(rtt);
            self.samples += sample.acks;
            self.judge();
        }
        if sample.una >= window_end {
            (self.last_round_min, self.round_min, self.samples) = (self.round_min, Nanos::MAX, 0);
            self.window_end = Some(next);
            if let Some((_, rounds)) = &mut self.css {
                *rounds += 1;
                if *rounds > CSS_ROUNDS {
                    return Step::Leave;
                }
            }
        }
        match self.css {
            None => Step::Grow(sample.acked),
            Some(_) => Step::Grow(sample.acked / CSS_GROWTH_DIVISOR),
        }
    }

    /// A round trip was measured.
    fn judge(&mut self) {
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.css {
            None if self.last_round_min != Nanos::MAX => {
                let thresh = (self.last_round_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.round_min >= self.last_round_min + thresh {
                    self.css = Some((self.round_min, 1));
                }
            }
            // Shorter than when it began: what looked like a queue was noise.
            Some((baseline, _)) if self.round_min < baseline => self.css = None,
            _ => {}
        }
    }
}

folds! { struct HyStart { window_end, last_round_min, round_min, samples, css } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::tests::ack;

    const MSS: u64 = 1000;

    /// A sender in slow start, with an ACK for each segment.
    struct Sender {
        hystart: HyStart,
        cwnd: u64,
        una: u64,
        nxt: u64,
        /// SND.NXT when the round began.
        end: u64,
    }

    impl Sender {
        fn new(window: u64) -> Sender {
            let nxt = window * MSS;
            Sender { hystart: HyStart::new(), cwnd: nxt, una: 0, nxt, end: nxt }
        }

        /// A round of round trips of `ms`: segments acknowledged, and what the window grew by, bytes; `None` when slow start
        /// ended.
        fn round(&mut self, ms: u64) -> Option<(u64, u64)> {
            let (una, cwnd, end) = (self.una, self.cwnd, self.end);
            while self.una < end {
                self.una += MSS;
                let sample = AckSample {
                    una: Offset(self.una),
                    flight: self.nxt - self.una,
                    rtt: Some(Nanos::from_millis(ms)),
                    ..ack(MSS)
                };
                self.end = self.nxt;
                match self.hystart.on_ack(&sample) {
                    Step::Grow(bytes) => self.cwnd += bytes,
                    Step::Leave => return None,
                }
                self.nxt = self.una + self.cwnd / MSS * MSS;
            }
            Some(((self.una - una) / MSS, self.cwnd - cwnd))
        }

        /// A round that grew by as much as it acknowledged.
        fn doubles(&mut self, ms: u64) -> bool {
            self.round(ms).is_some_and(|(acked, grown)| grown == acked * MSS)
        }
    }

    #[test]
    fn rfc9406_steady_round_trips_double_the_window_for_ever() {
        let mut s = Sender::new(10);
        // A little longer than an eighth of noise does not matter, as long as it is not the shortest of its round.
        assert!([50, 52, 50, 56, 50, 56].into_iter().all(|ms| s.doubles(ms)));
    }

    #[test]
    fn rfc9406_a_longer_round_leads_to_five_rounds_at_a_quarter_and_the_end() {
        let mut s = Sender::new(10);
        assert!(s.doubles(80) && s.doubles(80));
        // 80 ms and an eighth are 90: noticed at the eighth sample.
        let (acked, grown) = s.round(90).unwrap();
        assert_eq!(grown, 7 * MSS + (acked - 7) * MSS / 4);
        for _ in 0..3 {
            let (acked, grown) = s.round(90).unwrap();
            assert_eq!(grown, acked * MSS / 4);
        }
        assert_eq!(s.round(90), None);
    }

    #[test]
    fn rfc9406_thresholds_are_bounded_by_4_and_16_ms() {
        for (first, second, css) in [(1, 4, false), (1, 5, true), (400, 415, false), (400, 416, true)] {
            let mut s = Sender::new(10);
            s.round(first);
            s.round(second);
            assert_eq!(s.hystart.css.is_some(), css, "{first} {second}");
        }
    }

    #[test]
    fn rfc9406_short_round_trips_again_resume_slow_start() {
        let mut s = Sender::new(10);
        s.round(80);
        s.round(100);
        assert!(s.hystart.css.is_some());
        let (acked, grown) = s.round(80).unwrap();
        assert_eq!(grown, 7 * MSS / 4 + (acked - 7) * MSS);
        assert!(s.doubles(80));
    }

    #[test]
    fn rfc9406_fewer_than_eight_samples_say_nothing() {
        let mut s = Sender::new(3);
        s.round(10);
        s.round(100);
        assert!(s.hystart.css.is_none());
    }
}
