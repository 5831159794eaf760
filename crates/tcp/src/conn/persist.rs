//! Probing a window that is closed or too small to use (RFC 9293 §3.8.6.1, RFC 6429, `S21`).
//!
//! A probe is one byte beyond the window. It does not move SND.NXT: the peer most likely refuses it, and when
//! the window opens the byte leaves again with its neighbours, not alone. So SND.NXT is not the highest sequence
//! number an ACK may cover; `Connection::offered` is.

use super::rtt::RttEstimator;
use crate::Nanos;

/// The state of probing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Persist {
    /// Probes since the window was last usable.
    sent: u32,
    /// The timer expired and the probe has not left yet.
    due: bool,
}

impl Persist {
    /// Until the next probe: the retransmission timeout first (SHLD-29), then twice as long each time, up to the
    /// timeout's own bound (SHLD-30).
    pub(crate) fn interval(&self, rtt: &RttEstimator) -> Nanos {
        rtt.probe_interval(self.sent)
    }

    /// The timer expired: a probe is due.
    pub(crate) fn on_timer(&mut self) {
        self.due = true;
        self.sent = self.sent.saturating_add(1);
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// A probe left.
    pub(crate) fn on_probe(&mut self) {
        self.due = false;
    }

    /// The window is usable: the ladder begins anew next time.
    pub(crate) fn stop(&mut self) {
        self.due = false;
        self.sent = 0;
    }
}

folds! { struct Persist { sent, due } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shld_29_shld_30_first_after_the_rto_then_doubling_to_the_bound() {
        let ms = Nanos::from_millis;
        let mut rtt = RttEstimator::new(ms(1000), ms(200), ms(60_000));
        rtt.sample(ms(100));
        let mut p = Persist::default();
        let mut ladder = Vec::new();
        for _ in 0..10 {
            ladder.push(p.interval(&rtt).as_millis());
            p.on_timer();
        }
        assert_eq!(ladder, [300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 60000, 60000]);
        assert!(p.is_due());
        p.on_probe();
        assert!(!p.is_due());
        p.stop();
        assert_eq!((p.is_due(), p.interval(&rtt)), (false, ms(300)));
    }
}
