//! The states of RFC 9293 §3.3.2 and the only transitions between them.

/// Where a connection stands. No `Connection` is ever in LISTEN: listeners belong to the endpoint, which makes
/// a connection when a SYN arrives.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a connection request from any peer.
    Listen,
    /// Sent a SYN, waiting for the peer's.
    SynSent,
    /// Both SYNs were seen; ours is not acknowledged.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// We finished; our FIN is not acknowledged.
    FinWait1,
    /// We finished and the peer knows; it may still send.
    FinWait2,
    /// The peer finished; we may still send.
    CloseWait,
    /// Both finished at once; our FIN is not acknowledged.
    Closing,
    /// The peer finished first, then we; our FIN is not acknowledged.
    LastAck,
    /// Both finished; waits until the peer surely knows.
    TimeWait,
}

/// What moves a connection from state to state (RFC 9293 §3.3.2, figure 5).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trigger {
    /// An active OPEN.
    ActiveOpen,
    /// A SYN arrived: without an ACK of ours, or for a listener.
    Syn,
    /// Our SYN was acknowledged and the peer's is known.
    SynAcked,
    /// The application finished its stream. The state changes now, the FIN leaves behind the queued bytes. Before
    /// ESTABLISHED the wish is kept until then, which RFC 9293 §3.10.4 allows and which spares SYN-RECEIVED an
    /// exit of its own.
    Finish,
    /// The peer's FIN arrived in order.
    Fin,
    /// Our FIN was acknowledged.
    FinAcked,
    /// The end of 2 MSL, a reset in either direction, or a timeout.
    Dead,
}

impl State {
    /// The state after `trigger`, `None` where RFC 9293 knows no such transition: nothing changes then.
    pub(crate) fn next(self, trigger: Trigger) -> Option<State> {
        use State::*;
        Some(match (self, trigger) {
            (Closed, Trigger::ActiveOpen) => SynSent,
            (Listen, Trigger::Syn) | (SynSent, Trigger::Syn) => SynReceived,
            (SynSent | SynReceived, Trigger::SynAcked) => Established,
            (Established, Trigger::Finish) => FinWait1,
            (CloseWait, Trigger::Finish) => LastAck,
            (Established, Trigger::Fin) => CloseWait,
            (FinWait1, Trigger::Fin) => Closing,
            (FinWait2, Trigger::Fin) => TimeWait,
            (FinWait1, Trigger::FinAcked) => FinWait2,
            (Closing, Trigger::FinAcked) => TimeWait,
            (LastAck, Trigger::FinAcked) => Closed,
            (_, Trigger::Dead) => Closed,
            _ => return None,
        })
    }

    /// Both sides agree on the sequence numbers: ESTABLISHED and later (RFC 9293 §3.5.3).
    pub fn is_synchronized(self) -> bool {
        self >= State::Established
    }

    /// The handshake is under way: SYN-SENT or SYN-RECEIVED.
    pub fn is_opening(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived)
    }

    /// The peer's FIN arrived, and everything before it.
    pub fn has_peer_finished(self) -> bool {
        matches!(self, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
    }

    /// The peer may still send bytes.
    pub fn may_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Bytes may be handed in; before ESTABLISHED they wait (RFC 9293 §3.10.2).
    pub fn may_write(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived | State::Established | State::CloseWait)
    }

    /// Bytes or a FIN of ours may be on their way.
    pub(crate) fn may_send(self) -> bool {
        use State::*;
        matches!(self, Established | FinWait1 | CloseWait | Closing | LastAck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];
    const TRIGGERS: [Trigger; 7] = [
        Trigger::ActiveOpen,
        Trigger::Syn,
        Trigger::SynAcked,
        Trigger::Finish,
        Trigger::Fin,
        Trigger::FinAcked,
        Trigger::Dead,
    ];

    #[test]
    fn rfc9293_figure_5_every_transition_and_no_other() {
        use State::*;
        let allowed = [
            (Closed, Trigger::ActiveOpen, SynSent),
            (Listen, Trigger::Syn, SynReceived),
            (SynSent, Trigger::Syn, SynReceived),
            (SynSent, Trigger::SynAcked, Established),
            (SynReceived, Trigger::SynAcked, Established),
            (Established, Trigger::Finish, FinWait1),
            (Established, Trigger::Fin, CloseWait),
            (FinWait1, Trigger::Fin, Closing),
            (FinWait1, Trigger::FinAcked, FinWait2),
            (FinWait2, Trigger::Fin, TimeWait),
            (CloseWait, Trigger::Finish, LastAck),
            (Closing, Trigger::FinAcked, TimeWait),
            (LastAck, Trigger::FinAcked, Closed),
        ];
        for from in STATES {
            for trigger in TRIGGERS {
                let expected = match trigger {
                    Trigger::Dead => Some(Closed),
                    _ => allowed.iter().find(|a| a.0 == from && a.1 == trigger).map(|a| a.2),
                };
                assert_eq!(from.next(trigger), expected, "{from:?} {trigger:?}");
            }
        }
    }
}
