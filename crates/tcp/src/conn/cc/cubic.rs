//! CUBIC (RFC 9438), with HyStart++ in its first slow start (RFC 9406).
//!
//! After a reduction the window returns to where it was along a cubic function of time, fast at first, slow around the old
//! maximum, fast again beyond it: growth that depends on the round trip no more. Where Reno would be faster it is as fast
//! as Reno.
//!
//! All of it is in integers: bytes, and ticks of 1/4096 s.

use super::hystart::{HyStart, Step};
use super::{AckSample, Controller, Window};
use crate::{Nanos, Time};

/// A tick is 2^-12 s.
const TICK_BITS: u32 = 12;
/// The farthest from K that matters, ticks: 512 s, at which C·t³ is more than 50 million segments.
const HORIZON: u64 = 1 << 21;

/// β_cubic, §4.6.
const BETA: (u64, u64) = (7, 10);
/// α_cubic = 3·(1-β)/(1+β), §4.3.
const ALPHA: (u64, u64) = (9, 17);

/// CUBIC.
#[derive(Clone, Debug)]
pub(super) struct Cubic {
    /// The first slow start, until it ends.
    hystart: Option<HyStart>,
    curve: Curve,
    /// What the curve was before the last reduction.
    before: Curve,
    /// When the last ACK arrived.
    heard: Time,
}

/// What growth depends on.
#[derive(Copy, Clone, Debug)]
struct Curve {
    /// W_max: the window at the last reduction, or less (§4.7). 0 while there is none.
    w_max: u64,
    /// The window before the last reduction.
    cwnd_prior: u64,
    /// The current congestion avoidance, once its first ACK arrived.
    epoch: Option<Epoch>,
}

/// A time of congestion avoidance.
#[derive(Copy, Clone, Debug)]
struct Epoch {
    /// When it began, later by the time in which the window was not used.
    start: Time,
    /// K, ticks.
    k: u64,
    /// Where the plateau is, bytes.
    origin: u64,
    /// W_est: the window Reno would have.
    w_est: u64,
    /// Acknowledged bytes on the way to the next MSS of `w_est`, times the denominator of α.
    est_credit: u64,
    /// The remainder of the last increase: bytes times cwnd.
    credit: u64,
}

impl Cubic {
    /// Begins in slow start.
    pub(super) fn new(window: &mut Window) -> Cubic {
        let curve = Curve { w_max: 0, cwnd_prior: window.cwnd, epoch: None };
        Cubic { hystart: Some(HyStart::new()), curve, before: curve, heard: Time::ZERO }
    }

    /// Multiplicative decrease (§4.6).
    fn reduce(&mut self, window: &mut Window, flight: u64) {
        self.before = self.curve;
        self.hystart = None;
        let cwnd = window.cwnd;
        // §4.7, fast convergence: below the last maximum, somebody else needs room.
        let w_max = if cwnd < self.curve.w_max { cwnd / 20 * 17 } else { cwnd };
        self.curve = Curve { w_max, cwnd_prior: cwnd, epoch: None };
        window.ssthresh = scale(flight, BETA).max(2 * window.mss);
    }

    /// Congestion avoidance (§4.2 to §4.5).
    fn avoid(&mut self, window: &mut Window, sample: &AckSample) {
        let Curve { w_max, cwnd_prior, .. } = self.curve;
        let epoch = self.curve.epoch.get_or_insert_with(|| Epoch::begin(window, w_max, sample.now));
        let (mss, cwnd) = (window.mss, window.cwnd);
        epoch.grow_reno(sample.acked, window, cwnd_prior);
        let t = ticks(sample.now.since(epoch.start));
        if epoch.w_cubic(t, mss) < epoch.w_est {
            // §4.3: the Reno-friendly region.
            window.cwnd = cwnd.max(epoch.w_est);
            return;
        }
        // §4.4, §4.5: a round trip ahead, by half of cwnd per round trip at the most (§4.2).
        let ahead = t + ticks(sample.srtt.unwrap_or(Nanos::ZERO));
        let target = epoch.w_cubic(ahead, mss).clamp(cwnd, cwnd + cwnd / 2);
        epoch.credit = epoch.credit.saturating_add(sample.acked.saturating_mul(target - cwnd));
        let increase = epoch.credit / cwnd;
        epoch.credit -= increase * cwnd;
        window.cwnd = (cwnd + increase).min(target.max(cwnd));
    }
}

impl Epoch {
    fn begin(window: &Window, w_max: u64, now: Time) -> Epoch {
        let cwnd = window.cwnd;
        // §4.8, §4.10: after a timeout, or a slow start that no loss ended, the plateau is here. So it is when slow start
        // went beyond the old one.
        let (origin, k) = if w_max > cwnd { (w_max, plateau(w_max - cwnd, window.mss)) } else { (cwnd, 0) };
        Epoch { start: now, k, origin, w_est: cwnd, est_credit: 0, credit: 0 }
    }

    /// W_cubic(t) = C·(t-K)³ + W_max, bytes (§4.2). C is 0.4 segments per cubic second.
    fn w_cubic(&self, t: u64, mss: u64) -> u64 {
        let distance = t.abs_diff(self.k).min(HORIZON);
        // Of 3·12 fractional bits, half go before the multiplication and half after: it fits 64 bits.
        let cube = (distance * distance * distance) >> (3 * TICK_BITS / 2);
        let bytes = (cube * 2 * mss / 5) >> (3 * TICK_BITS / 2);
        if t < self.k { self.origin.saturating_sub(bytes) } else { self.origin + bytes }
    }

    /// §4.3: as much as Reno would gain with CUBIC's decrease, and as much as Reno once it is where the last reduction was.
    fn grow_reno(&mut self, acked: u64, window: &Window, cwnd_prior: u64) {
        let (numerator, denominator) = if self.w_est < cwnd_prior { ALPHA } else { (ALPHA.1, ALPHA.1) };
        self.est_credit += acked * numerator;
        let step = window.cwnd * denominator;
        if self.est_credit >= step {
            self.w_est += self.est_credit / step * window.mss;
            self.est_credit %= step;
        }
    }
}

impl Controller for Cubic {
    #[inline]
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
        let since = sample.now.since(self.heard);
        self.heard = sample.now;
        if let Some(hystart) = self.hystart.as_mut().filter(|_| window.is_in_slow_start()) {
            match hystart.on_ack(sample) {
                Step::Grow(bytes) if sample.cwnd_limited => window.cwnd += bytes,
                Step::Grow(_) => {}
                Step::Leave => {
                    window.ssthresh = window.cwnd;
                    self.hystart = None;
                }
            }
            return;
        }
        if !sample.cwnd_limited {
            // §5.8: the clock of the curve stands while the window is not used.
            self.rest(since);
            return;
        }
        if window.is_in_slow_start() {
            return window.slow_start(sample);
        }
        self.avoid(window, sample);
    }

    fn on_loss(&mut self, window: &mut Window, _now: Time, flight: u64) {
        self.reduce(window, flight);
        window.cwnd = window.ssthresh;
    }

    fn on_rto(&mut self, window: &mut Window, _now: Time, flight: u64) {
        self.reduce(window, flight);
        // §4.8: congestion avoidance then begins at a plateau.
        self.curve.w_max = 0;
        window.cwnd = window.mss;
    }

    fn on_spurious(&mut self, _window: &mut Window) {
        // §4.9.2.
        self.curve = self.before;
    }

    fn on_start(&mut self, _window: &mut Window, now: Time) {
        self.rest(now.since(self.heard));
        self.heard = now;
    }

    fn on_idle(&mut self, window: &mut Window, timeouts: u64, restart: u64) {
        window.restart(timeouts, restart);
        self.curve.epoch = None;
    }
}

impl Cubic {
    /// Time in which the window was not used.
    fn rest(&mut self, time: Nanos) {
        if let Some(epoch) = &mut self.curve.epoch {
            epoch.start += time;
        }
    }
}

fn scale(n: u64, (numerator, denominator): (u64, u64)) -> u64 {
    n / denominator * numerator + n % denominator * numerator / denominator
}

/// Whole ticks in `time`, [`HORIZON`] at the most.
fn ticks(time: Nanos) -> u64 {
    // 2^12 / 10^9 = 2^3 / 5^9; nothing beyond 2^40 ns, 18 minutes, matters.
    (time.as_nanos().min(1 << 40) * 8 / 1_953_125).min(HORIZON)
}

/// K = ³√(distance / C), ticks, for `distance` bytes (§4.2).
fn plateau(distance: u64, mss: u64) -> u64 {
    let cube = ((u128::from(distance) * 5) << (3 * TICK_BITS)) / (2 * u128::from(mss.max(1)));
    let mut root: u128 = 0;
    // Bit by bit: once for each reduction.
    for bit in (0..HORIZON.ilog2()).rev() {
        let next = root | 1 << bit;
        if next * next * next <= cube {
            root = next;
        }
    }
    root as u64
}

folds! { struct Cubic { hystart, curve, before, heard } }
folds! { struct Curve { w_max, cwnd_prior, epoch } }
folds! { struct Epoch { start, k, origin, w_est, est_credit, credit } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::cc::tests::ack;
    use crate::conn::cc::{Cc, ControllerKind};

    const MSS: u64 = 1000;

    /// A sender whose window is always full, over a path of one round-trip time.
    struct Path {
        cc: Cc,
        now: Time,
        rtt: Nanos,
    }

    impl Path {
        /// Its window, `segments`, was just reduced.
        fn reduced(segments: u64, rtt: Nanos) -> Path {
            let mut cc = Cc::new(ControllerKind::Cubic, segments * MSS, MSS as u32);
            cc.on_loss(Time::ZERO, segments * MSS);
            Path { cc, now: Time::ZERO, rtt }
        }

        fn segments(&self) -> f64 {
            self.cc.cwnd() as f64 / MSS as f64
        }

        /// Acknowledges a window, segment by segment.
        fn round(&mut self) {
            let n = self.cc.cwnd() / MSS;
            let began = self.now;
            for i in 1..=n {
                let now = began + self.rtt * i / n;
                self.cc.on_ack(&AckSample { now, srtt: Some(self.rtt), ..ack(MSS) });
            }
            self.now = began + self.rtt;
        }

        fn until(&mut self, at: Nanos) {
            while self.now.since(Time::ZERO) < at {
                self.round();
            }
        }
    }

    fn near(value: f64, expected: f64, within: f64) {
        assert!((value - expected).abs() <= within, "{value}, not {expected}");
    }

    #[test]
    fn rfc9438_the_curve_passes_through_its_points() {
        // W_max 100, cwnd_epoch 70: K = cbrt(30 / 0.4) = 4.2172 s.
        let window = Window { cwnd: 70 * MSS, ssthresh: 70 * MSS, mss: MSS, pacing_rate: None };
        let epoch = Epoch::begin(&window, 100 * MSS, Time::ZERO);
        near(epoch.k as f64 / 4096.0, 4.217_163, 0.000_5);
        let at = |seconds: f64| epoch.w_cubic((seconds * 4096.0) as u64, MSS) as f64 / MSS as f64;
        for t in [0.0, 1.0, 2.5, 4.217, 5.0, 8.4343, 20.0, 100.0] {
            let exact = 0.4 * (t - 4.217_163_f64).powi(3) + 100.0;
            near(at(t), exact, 0.1 + exact / 1e4);
        }
        // However long it lasts, and however large the segments.
        assert_eq!(epoch.w_cubic(2 * HORIZON, MSS), epoch.w_cubic(u64::MAX, MSS));
        assert!(epoch.w_cubic(u64::MAX, 65_535) > 1 << 40);
    }

    #[test]
    fn rfc9438_the_window_follows_the_curve_where_it_is_faster_than_reno() {
        let mut p = Path::reduced(1000, Nanos::from_millis(100));
        near(p.segments(), 700.0, 0.0);
        // K = cbrt(300 / 0.4) = 9.086 s: a round trip ahead of W_cubic.
        for (seconds, within) in [(2, 3.0), (5, 3.0), (9, 3.0), (12, 3.0)] {
            p.until(Nanos::from_secs(seconds));
            near(p.segments(), 0.4 * (seconds as f64 - 9.086).powi(3) + 1000.0, within);
        }
    }

    #[test]
    fn rfc9438_reno_friendly_where_reno_is_faster() {
        // 10 ms and 100 segments: Reno with alpha 9/17 gains 53 segments a second.
        let mut p = Path::reduced(100, Nanos::from_millis(10));
        p.until(Nanos::from_millis(500));
        // 50 round trips of 9/17 segments.
        near(p.segments(), 70.0 + 50.0 * 9.0 / 17.0, 1.0);
        // Once it is back at the window before the loss, one segment per round trip.
        p.until(Nanos::from_millis(1070));
        let before = p.segments();
        p.until(Nanos::from_millis(1270));
        near(p.segments(), before + 20.0, 1.0);
    }

    #[test]
    fn rfc9438_reno_gains_nine_seventeenths_of_a_segment_per_window_and_then_a_whole_one() {
        let window = Window { cwnd: 10 * MSS, ssthresh: 10 * MSS, mss: MSS, pacing_rate: None };
        let mut epoch = Epoch::begin(&window, 0, Time::ZERO);
        let mut after = |windows: u64, cwnd_prior| {
            epoch.grow_reno(windows * 10 * MSS, &window, cwnd_prior);
            epoch.w_est
        };
        assert_eq!([after(1, u64::MAX), after(1, u64::MAX), after(15, u64::MAX)], [10_000, 11_000, 19_000]);
        assert_eq!([after(34, u64::MAX), after(1, 38 * MSS)], [37_000, 37_000]);
        // 9/17 are left over, and add up with the next.
        assert_eq!([after(1, 37 * MSS), after(8, 37 * MSS)], [38_000, 46_000]);
    }

    #[test]
    fn rfc9438_beta_is_seven_tenths_and_fast_convergence_gives_room() {
        let mut p = Path::reduced(100, Nanos::from_millis(100));
        assert_eq!((p.cc.cwnd(), p.cc.ssthresh()), (70 * MSS, 70 * MSS));
        // Again before the old maximum: W_max is 70 * 0.85 = 59.5, and the plateau comes sooner than at 70.
        p.cc.on_loss(Time::ZERO, 70 * MSS);
        assert_eq!(p.cc.ssthresh(), 49 * MSS);
        p.until(Nanos::from_millis(100));
        // K = cbrt(10.5 / 0.4) = 2.97 s: at the plateau then.
        p.until(Nanos::from_millis(2_900));
        near(p.segments(), 49.0 + 29.0 * 9.0 / 17.0, 1.5);
        // Never below two segments.
        p.cc.on_loss(Time::ZERO, 0);
        assert_eq!(p.cc.ssthresh(), 2 * MSS);
    }

    #[test]
    fn rfc9438_after_a_timeout_slow_start_and_then_a_plateau_where_it_ends() {
        let mut p = Path::reduced(1000, Nanos::from_millis(100));
        p.cc.on_rto(Time::ZERO, 700 * MSS, false);
        assert_eq!((p.cc.cwnd(), p.cc.ssthresh()), (MSS, 490 * MSS));
        while p.cc.cwnd() < p.cc.ssthresh() {
            p.round();
        }
        let (began, from) = (p.now, p.segments());
        near(from, 490.0, 2.0);
        // K is 0: 0.4 t³ from here, or Reno where that is more.
        p.until(began.since(Time::ZERO) + Nanos::from_secs(10));
        near(p.segments(), from + 400.0, 20.0);
    }

    #[test]
    fn rfc9438_a_spurious_reduction_leaves_no_trace() {
        let mut a = Path::reduced(1000, Nanos::from_millis(100));
        a.until(Nanos::from_secs(5));
        let mut b = Path { cc: a.cc.clone(), ..a };
        b.cc.on_rto(b.now, 800 * MSS, false);
        b.cc.on_rto(b.now, MSS, true);
        b.cc.on_spurious();
        for p in [&mut a, &mut b] {
            p.until(Nanos::from_secs(8));
        }
        assert_eq!((a.cc.cwnd(), a.cc.ssthresh()), (b.cc.cwnd(), b.cc.ssthresh()));
    }

    #[test]
    fn rfc9438_a_window_that_is_not_used_does_not_grow_and_its_time_does_not_count() {
        let mut p = Path::reduced(1000, Nanos::from_millis(100));
        p.until(Nanos::from_secs(2));
        let before = p.cc.cwnd();
        // Half a minute of a slow application, and one of silence.
        for _ in 0..300 {
            p.now += p.rtt;
            p.cc.on_ack(&AckSample { now: p.now, srtt: Some(p.rtt), cwnd_limited: false, ..ack(MSS) });
        }
        p.now += Nanos::from_secs(60);
        p.cc.on_start(p.now);
        assert_eq!(p.cc.cwnd(), before);
        // It goes on where it was: three seconds on the curve later, not ninety.
        p.until(Nanos::from_secs(2 + 30 + 60 + 3));
        near(p.segments(), 0.4 * (5.0_f64 - 9.086).powi(3) + 1000.0, 5.0);
    }

    #[test]
    fn rfc9438_no_more_than_half_of_cwnd_in_a_round_trip() {
        let mut p = Path::reduced(10, Nanos::from_millis(1));
        p.round();
        p.cc.on_ack(&AckSample { now: p.now + Nanos::from_secs(600), srtt: Some(p.rtt), ..ack(p.cc.cwnd()) });
        near(p.segments(), 7.0 * 1.5, 1.5);
    }

    #[test]
    fn s26_a_silence_restarts_the_window_and_the_curve() {
        let mut p = Path::reduced(1000, Nanos::from_millis(100));
        p.until(Nanos::from_secs(2));
        let before = p.cc.cwnd();
        p.cc.on_idle(3, 10 * MSS);
        assert_eq!((p.cc.cwnd(), p.cc.ssthresh()), (before >> 3, 700 * MSS));
        assert!(p.cc.cwnd() < 300 * MSS);
        // The old plateau is still what it returns to.
        p.now += Nanos::from_secs(30);
        let began = p.now;
        while p.cc.cwnd() < p.cc.ssthresh() {
            p.round();
        }
        p.until(began.since(Time::ZERO) + Nanos::from_secs(12));
        near(p.segments(), 1000.0, 10.0);
    }
}
