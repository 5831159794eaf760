//! The congestion window after a silence (`S26`).

use super::Connection;
use super::cc;
use crate::{Payload, Time};

impl<P: Payload> Connection<P> {
    /// RFC 5681 §4.1: after a retransmission timeout in which nothing was sent no ACKs clock new data out, and the
    /// path may have changed. The window goes back to the one a connection begins with; not at once but by half for
    /// each timeout, as Linux does: a short pause proves little (RFC 7661 §4.4 argues for longer ones still).
    pub(super) fn restart_after_idle(&mut self, now: Time) {
        if !self.flight.is_empty() || self.proposed.bursts > 0 || !self.cfg.idle_restart {
            return;
        }
        let (silence, rto) = (now.since(self.quiet_since), self.rtt.rto());
        let restart = cc::initial_window(self.cfg.initial_window, self.mss());
        if silence <= rto || self.queue.proposed() == self.queue.end() || self.cc.cwnd() <= restart {
            return;
        }
        // The silence is spent: the next halving takes a timeout of its own.
        self.quiet_since = now;
        self.counts.idle_restarts += 1;
        let timeouts = (silence.as_nanos() - 1) / rto.as_nanos().max(1);
        self.doubt = None;
        self.cc.on_idle(timeouts, restart);
    }
}
