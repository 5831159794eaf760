//! Timers that expire (RFC 6298 §5, RFC 9293 §3.8.3, §3.8.6.1).

use super::timers::Timer;
use super::{Connection, State};
use crate::{ConnErrorKind, Payload, Time};

impl<P: Payload> Connection<P> {
    /// Time passed: handles every deadline up to `now`. Harmless when called too early or too often.
    ///
    /// Afterwards `poll_transmit`, `poll_event`, `is_closed` and `next_timeout` may all answer anew.
    pub fn on_timer(&mut self, now: Time) {
        for timer in Timer::ALL {
            if self.timers.take_expired(timer, now) {
                self.on_expired(now, timer);
            }
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    fn on_expired(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Reordering => self.on_reordering_timer(now),
            Timer::Retransmit => self.on_retransmission_timeout(now),
            Timer::Persist => {
                self.persist.on_timer();
                self.timers.arm(Timer::Persist, now + self.persist.interval(&self.rtt));
            }
            Timer::TailProbe => self.on_tail_probe_timer(),
            Timer::Cork => {
                self.cork.on_timer();
                self.counts.corks_expired += 1;
            }
            Timer::Autocork => self.autocork.on_timer(),
            // Time itself is what it waited for.
            Timer::Departure => {}
            Timer::DelayedAck => self.ack.now(),
            Timer::Connect | Timer::User => self.die_of_silence(now, ConnErrorKind::TimedOut),
            Timer::Keepalive => self.on_keepalive_timer(now),
            Timer::Linger => self.abort(now),
            // The peer never finished, and nobody here waits for it.
            Timer::FinWait | Timer::TimeWait => self.die(now, Ok(())),
        }
    }

    fn on_retransmission_timeout(&mut self, now: Time) {
        let handshake = matches!(self.state, State::SynSent | State::SynReceived);
        // What is due and could not leave yet was not lost by the network: a full device is no congestion
        // (S39). Only what was sent can time out.
        let unsent = if handshake { self.syn.due } else { self.head_is_due() };
        if unsent {
            // Were it cwnd that holds it, or F-RTO that waits for an answer, nothing else would ever let it go.
            self.end_probing();
            self.recovery.force();
        } else {
            self.counts.timeouts += 1;
            self.rtt.back_off();
            self.tail_probe.cancel();
            self.timers.stop(Timer::TailProbe);
            if handshake {
                self.syn.due = true;
            } else {
                self.settle_mtu_claim(now);
                self.on_mtu_timeout(now);
                self.prr = None;
                let flight = self.flight.bytes().saturating_sub(self.recovery.limited());
                let was = self.recovery.phase();
                let repeated = self.recovery.on_timeout(self.snd_una(), self.snd_nxt());
                self.doubt_timeout(was, repeated);
                self.cc.on_rto(now, flight, repeated);
                self.mark_timed_out(now);
                self.recovery.force();
            }
        }
        self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
    }

    /// What the timeout says is lost: everything; with SACK what the peer does not have, but for what left so lately that
    /// nothing is known of it yet (RFC 8985 §6.3).
    fn mark_timed_out(&mut self, now: Time) {
        if !self.peer.sack || self.flight.is_reneged() {
            self.counts.reneged += u64::from(self.peer.sack);
            self.flight.forget_sacked();
            return self.flight.mark_all_lost();
        }
        let (una, patience) = (self.snd_una(), self.patience());
        self.flight.mark_lost_if(|burst| burst.start == una || burst.last_sent + patience <= now);
    }

    /// The oldest byte in flight is to be sent again and did not leave yet.
    fn head_is_due(&self) -> bool {
        let una = self.snd_una();
        self.flight.next_lost(una, 1).is_some_and(|(start, _)| start == una)
    }
}
