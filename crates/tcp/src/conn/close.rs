//! Closing: the application's three ways out, the end of a connection, and TIME-WAIT (RFC 9293 §3.6, `S45`).

use super::ack::Owed;
use super::state::Trigger;
use super::timers::Timer;
use super::{Connection, Fin, First, Linger, State, TimeWait, TimeWaitTimestamps};
use crate::{ConnError, ConnErrorKind, Event, Nanos, Payload, Seq, Time};

impl<P: Payload> Connection<P> {
    /// Finishes our direction: a FIN follows what is queued. Reading goes on. Does nothing when it was done
    /// before or the connection is over.
    ///
    /// Makes [`poll_transmit`](Connection::poll_transmit) productive.
    pub fn shutdown_write(&mut self) {
        if self.fin != Fin::Open || self.state == State::Closed {
            return;
        }
        self.fin = Fin::Queued;
        // In SYN-SENT and SYN-RECEIVED the wish waits for ESTABLISHED.
        if matches!(self.state, State::Established | State::CloseWait) {
            self.transition(Trigger::Finish);
        }
    }

    /// The application is done with both directions. Queued bytes and the FIN are delivered as
    /// [`ConnConfig::linger`](super::ConnConfig::linger) says. Bytes received and not read reset the connection,
    /// so that the peer learns they were lost (SHLD-3), and so do bytes that arrive later (RFC 2525 §2.17).
    ///
    /// Makes `poll_transmit` productive.
    pub fn close(&mut self, now: Time) {
        if self.state == State::Closed || self.detached {
            return;
        }
        self.detached = true;
        if self.state == State::SynSent {
            return self.abort(now);
        }
        // In TIME-WAIT everything is delivered both ways; what is owed is to repeat the last acknowledgement.
        let at_once = self.recv.readable() > 0 || self.cfg.linger == Linger::Bounded(Nanos::ZERO);
        if at_once && self.state != State::TimeWait {
            return self.abort(now);
        }
        self.recv.clear();
        self.shutdown_write();
        if let Linger::Bounded(time) = self.cfg.linger
            && self.fin != Fin::Acked
        {
            self.timers.arm(Timer::Linger, now + time);
        }
        if self.state == State::FinWait2 {
            self.timers.arm(Timer::FinWait, now + self.cfg.fin_wait_timeout);
        }
    }

    /// Ends the connection at once; unsent bytes are forgotten. In the states where the peer must be told, a RST
    /// comes from [`poll_transmit`](Connection::poll_transmit) (RFC 9293 §3.10.5).
    pub fn abort(&mut self, now: Time) {
        if self.state == State::Closed {
            return;
        }
        let told = self.state == State::SynReceived || self.state.may_receive();
        if told || self.state == State::CloseWait {
            self.queue_reset(self.snd_seq(self.snd_nxt()), Some(self.rcv_seq(self.rcv_nxt())));
        }
        self.die(now, Err(ConnErrorKind::Aborted));
    }

    /// Ends FIN-WAIT-2 of a [closed](Connection::close) connection at once, instead of after
    /// [`fin_wait_timeout`](super::ConnConfig::fin_wait_timeout) and as silently: the peer has everything, and no
    /// reset keeps it from reading that. Returns whether it was so; otherwise nothing happened.
    pub fn forget(&mut self, now: Time) -> bool {
        let forgotten = self.detached && self.state == State::FinWait2;
        if forgotten {
            self.die(now, Ok(()));
        }
        forgotten
    }

    /// A RST leaves next. With `ack` it acknowledges.
    pub(super) fn queue_reset(&mut self, seq: Seq, ack: Option<Seq>) {
        self.first = First::Reset { seq, ack };
    }

    /// The connection is over. Its payload stays until no device reads it; what can be read still can.
    pub(super) fn die(&mut self, now: Time, result: Result<(), ConnErrorKind>) {
        let acked = self.queue.una();
        self.transition(Trigger::Dead);
        self.timers.stop_all();
        self.retract();
        self.flight.clear();
        self.shares.end(now);
        self.events.push(Event::Closed(result.map_err(|kind| ConnError { kind, acked })));
    }

    /// Nobody answers. A router or a neighbour that said why is believed now (MUST-56).
    pub(super) fn die_of_silence(&mut self, now: Time, kind: ConnErrorKind) {
        self.die(now, Err(self.unreachable.unwrap_or(kind)));
    }

    /// Our FIN was acknowledged, and with it everything.
    pub(super) fn on_fin_acked(&mut self, now: Time) {
        self.fin = Fin::Acked;
        self.timers.stop(Timer::Linger);
        self.events.push(Event::Finished);
        self.transition(Trigger::FinAcked);
        match self.state {
            State::FinWait2 if self.detached => {
                self.timers.arm(Timer::FinWait, now + self.cfg.fin_wait_timeout);
            }
            State::TimeWait => self.enter_time_wait(now),
            State::Closed => self.die(now, Ok(())),
            _ => {}
        }
    }

    /// The peer's FIN is next in order.
    pub(super) fn on_peer_fin(&mut self, now: Time) {
        self.peer_fin = true;
        self.ack.now();
        self.events.push(Event::PeerFinished);
        self.transition(Trigger::Fin);
        if self.state == State::TimeWait {
            self.enter_time_wait(now);
        }
    }

    /// Begins TIME-WAIT, or begins it anew.
    pub(super) fn enter_time_wait(&mut self, now: Time) {
        self.timers.stop_all();
        self.timers.arm(Timer::TimeWait, now + self.cfg.time_wait);
        self.time_wait_ends = now + self.cfg.time_wait;
        self.shares.end(now);
        self.events.push(Event::Closed(Ok(())));
    }

    /// Some when the connection is in TIME-WAIT and the ACK of the peer's FIN has left: its owner hands this to
    /// the endpoint and drops the connection, once everything is read and reclaimed. A connection that is kept
    /// instead ends TIME-WAIT by itself.
    pub fn time_wait(&self) -> Option<TimeWait> {
        if self.state != State::TimeWait || self.ack.owed() == Owed::Now || self.proposed.bursts > 0 {
            return None;
        }
        Some(TimeWait {
            tuple: self.tuple,
            snd_nxt: self.snd_seq(self.snd_nxt()),
            rcv_nxt: self.rcv_seq(self.rcv_nxt()),
            rcv_wnd: u32::try_from(self.rcv_wnd()).unwrap_or(u32::MAX),
            window: self.recv_window.field(self.room()),
            timestamps: self
                .peer
                .timestamps
                .then_some(TimeWaitTimestamps { offset: self.stamps.offset, recent: self.stamps.recent }),
            expires: self.time_wait_ends,
        })
    }
}
