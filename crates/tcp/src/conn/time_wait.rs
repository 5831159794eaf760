//! What is left of a connection in TIME-WAIT.

use crate::{FourTuple, Seq, Time};

/// All that TIME-WAIT needs to know. The connection's owner hands it to the endpoint, which keeps many of
/// these and answers for them (RFC 9293 §3.10.7.4, RFC 6191, RFC 1337).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimeWait {
    /// Whose connection it was.
    pub tuple: FourTuple,
    /// SND.NXT, our FIN counted: the sequence number of every ACK sent from now on.
    pub snd_nxt: Seq,
    /// RCV.NXT, the peer's FIN counted.
    pub rcv_nxt: Seq,
    /// RCV.WND, bytes: with `rcv_nxt` it tells old segments from new ones.
    pub rcv_wnd: u32,
    /// The window field of ACKs, scaled as it goes on the wire.
    pub window: u16,
    /// Timestamps, when the connection used them.
    pub timestamps: Option<TimeWaitTimestamps>,
    /// When it ends, unless the peer's FIN arrives again.
    pub expires: Time,
}

/// The timestamps of a connection in TIME-WAIT.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimeWaitTimestamps {
    /// What the connection added to its clock: a timestamp value is [`timestamp_clock`](super::timestamp_clock)
    /// plus this.
    pub offset: u32,
    /// TS.Recent: the peer's newest timestamp in order; a SYN with a newer one may reuse the tuple (RFC 6191).
    pub recent: u32,
}
