//! What a connection is told when it is made.

use super::Keepalive;
use super::cc::ControllerKind;
use super::{EcnMode, MtuProbing, UserTimeoutOption};
use crate::{Nanos, Rate};

/// Settings of one connection. Every field has a default that suits the open Internet.
///
/// Values out of range are brought into it when a connection is made; each field says how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnConfig {
    /// Path MTU to begin with: bytes of an IP packet, at least 576 (IPv4) or 1280 (IPv6); lower values are
    /// raised to that. Default 1500.
    pub mtu: u16,
    /// Bounds the MSS beyond what the MTU allows: the one announced (RFC 9293 §3.7.1, MUST-67) and the one
    /// used. At least 88 bytes; lower values are raised to that. Default: no bound.
    pub max_mss: Option<u16>,
    /// Bytes of memory that may wait in the send queue, sent or not, until the peer acknowledges them (`S4`): the
    /// payload, 64 bytes for each piece, and what buffers hold beside it ([`Payload::footprint`](crate::Payload)).
    /// However little that is, an empty queue takes a segment. `None`: from 128 KiB up, as much as the congestion window
    /// can use, and less while the core is short of memory (`S5`). A number is kept to, whatever happens. Default
    /// `None`.
    pub send_buffer: Option<usize>,
    /// The most that a send buffer grows to by itself, bytes; no matter where `send_buffer` is set. Default 4 MiB.
    pub send_buffer_max: usize,
    /// No more is taken from the application while this many bytes were never sent: they wait where they can still be
    /// changed. While it is fewer, a write of a segment is taken. At least 1; 0 is raised to that. Default: no bound.
    pub notsent_lowat: Option<usize>,
    /// Bytes that may wait for the application to read; also what the receive window offers at most. Brought into
    /// 1 byte to 1 GiB (RFC 7323 §2.3). Default 1 MiB.
    pub receive_buffer: usize,
    /// Small segments leave at once instead of waiting for an ACK: Nagle's algorithm off (MUST-17). Default
    /// false.
    pub no_delay: bool,
    /// Short segments wait until this is unset, however idle the connection is, but for one retransmission timeout
    /// at most, or 200 ms where that is longer (`S17`). Default false.
    pub cork: bool,
    /// Small sends wait while the port still holds an earlier burst of the connection, 100 µs at most (`S18`), whatever
    /// `no_delay` says: they could not leave the port before it anyway. Default true, as Linux.
    pub autocork: bool,
    /// What is done about a path whose MTU nobody tells (RFC 4821, `S42`). Default: small segments where large ones time
    /// out again and again, and probes for larger ones from there.
    pub mtu_probing: MtuProbing,
    /// Explicit Congestion Notification (RFC 3168, `S35`). Default: agree when the peer, who opens, asks, as Linux.
    pub ecn: EcnMode,
    /// Offer and accept the Timestamps option (RFC 7323). Default true.
    pub timestamps: bool,
    /// Offer and accept SACK (RFC 2018). Default true.
    pub sack: bool,
    /// Ask for missing ACKs at the end of a flight by a probe, with peers that know SACK (RFC 8985 §7). Default true.
    pub tail_loss_probe: bool,
    /// Offer and accept window scaling (RFC 7323 §2). Without it no window exceeds 65535 bytes. Default true.
    pub window_scale: bool,
    /// Retransmission timeout before the first RTT sample, from `min_rto` to `max_rto`; others are brought into that.
    /// Default 1 s (RFC 6298 §2.1).
    pub initial_rto: Nanos,
    /// Lower bound of the retransmission timeout. RFC 6298 §2.4 says 1 s; everybody, and so the default, is
    /// 200 ms. Datacentres may go down to 1 ms; brought into 1 ms to one day.
    pub min_rto: Nanos,
    /// Upper bound of the retransmission timeout and of the interval between window probes, at least 60 s by
    /// RFC 6298 §2.5 unless the application knows better. Brought into `min_rto` to one day. Default 120 s.
    pub max_rto: Nanos,
    /// How long to try to open before the connection fails with `TimedOut`. Default 180 s (MUST-23).
    pub connect_timeout: Nanos,
    /// How long bytes may stay unacknowledged before the connection fails with `TimedOut`: R2 of RFC 9293
    /// §3.8.3 (MUST-20, MUST-21). At least 100 s unless the application knows better (SHLD-11). Default 300 s.
    pub user_timeout: Nanos,
    /// Tell the peer of `user_timeout`, and follow what it tells of its own (RFC 5482, `S36`). Default: do not, as §3 has
    /// it.
    pub user_timeout_option: Option<UserTimeoutOption>,
    /// Ask a peer that is silent whether it is still there, and give it up when it is not (RFC 9293 §3.8.4, `S47`).
    /// Default: do not (MUST-25).
    pub keepalive: Option<Keepalive>,
    /// How long a delayed ACK may wait, below 500 ms (MUST-40); higher values are lowered to that. Default
    /// 40 ms.
    pub delayed_ack: Nanos,
    /// How many ACKs of data are not delayed at first: a peer that begins lives on them. As soon as we answer, they
    /// are. Default 16, as Linux.
    pub quick_acks: u32,
    /// Initial congestion window in segments; the bytes are bounded by RFC 6928 §2 when this is 10 or less.
    /// At least 1; 0 is raised to that. Default 10.
    pub initial_window: u32,
    /// Spread what the window allows over the round trip: at twice the window per round trip in slow start, at 1.2 times
    /// later (`S25`). A controller with a rate of its own is paced in any case. Default false, as Linux where nothing
    /// asks for it: ACKs clock CUBIC well enough, and long bursts cost the least.
    pub pacing: bool,
    /// Payload is sent no faster than this, retransmissions included (`S25`). At least 8 kbit/s; lower rates are raised
    /// to that. Default: no cap.
    pub max_pacing_rate: Option<Rate>,
    /// How much time a paced burst stands for, at most 100 ms; longer times are lowered to that. At least two segments
    /// all the same, and no more than half of cwnd or of the peer's window (`S22`). Default 1 ms.
    pub autosize: Nanos,
    /// A burst that a window cuts short waits up to a millisecond for an ACK that is due (`S22`). Default true, as Linux.
    pub tso_defer: bool,
    /// After a retransmission timeout without sending, the congestion window restarts from the initial one (RFC 5681
    /// §4.1), halved for each timeout that passed (`S26`): what it once measured says little about the path now.
    /// Default true, as Linux (`tcp_slow_start_after_idle`); false for links of one's own, where nothing changes while
    /// one is silent.
    pub idle_restart: bool,
    /// What closing does with bytes not acknowledged yet. Default: [`Linger::Background`].
    pub linger: Linger,
    /// How long a closed connection waits for the peer's FIN once its own is acknowledged. Without an
    /// application nobody else would end the wait. Default 60 s.
    pub fin_wait_timeout: Nanos,
    /// Length of TIME-WAIT: twice the segment lifetime that is assumed (MUST-13). Default 60 s, as Linux.
    pub time_wait: Nanos,
    /// The congestion controller, chosen by name (`S41`). Default CUBIC.
    pub controller: ControllerKind,
}

impl Default for ConnConfig {
    fn default() -> ConnConfig {
        ConnConfig {
            mtu: 1500,
            max_mss: None,
            send_buffer: None,
            send_buffer_max: 4 << 20,
            notsent_lowat: None,
            receive_buffer: 1 << 20,
            no_delay: false,
            cork: false,
            autocork: true,
            mtu_probing: MtuProbing::BlackHole,
            ecn: EcnMode::Passive,
            timestamps: true,
            sack: true,
            tail_loss_probe: true,
            window_scale: true,
            initial_rto: Nanos::from_secs(1),
            min_rto: Nanos::from_millis(200),
            max_rto: Nanos::from_secs(120),
            connect_timeout: Nanos::from_secs(180),
            user_timeout: Nanos::from_secs(300),
            user_timeout_option: None,
            keepalive: None,
            delayed_ack: Nanos::from_millis(40),
            quick_acks: 16,
            initial_window: 10,
            pacing: false,
            max_pacing_rate: None,
            autosize: Nanos::from_millis(1),
            tso_defer: true,
            idle_restart: true,
            linger: Linger::Background,
            fin_wait_timeout: Nanos::from_secs(60),
            time_wait: Nanos::from_secs(60),
            controller: ControllerKind::default(),
        }
    }
}

/// What [`close`](super::Connection::close) does with bytes the peer has not acknowledged (`S45`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Linger {
    /// Deliver them and the FIN, for as long as the user timeout allows.
    Background,
    /// Deliver them within this time, then reset. Zero resets at once.
    Bounded(Nanos),
}

/// How one send differs from others.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SendFlags {
    /// More is coming at once: no PSH at the end of this send (`S14`), and a short segment at its end waits for the
    /// next send, or an ACK, or one retransmission timeout (`S17`).
    pub more: bool,
    /// Tell when the last byte of this send had its turn, when the device took it, when the peer acknowledged it, and, where the engine
    /// asks the device too, when that sent it: [`Event::SendTime`](crate::Event::SendTime) for each (`S1`, `S33`). At most 64 sends of
    /// a connection may wait for that; the times of more are not told but counted.
    pub timestamp: bool,
    /// A record ends with this send: no later byte joins its last segment, neither when that leaves first nor when it
    /// leaves again (`S19`). It waits by the rules of other short segments while it is the last, and for nothing once
    /// there is another behind it, which it cannot be joined with anyway.
    pub eor: bool,
    /// These are not the last bytes of the send: the rest follows at once, by further calls. Their end is no end of a
    /// send: it has no PSH for that (`S14`), and a short segment at it waits for the rest, though ACKs come (`S20`).
    pub part: bool,
}

impl SendFlags {
    /// The flags of a part of the send that is not its last one: the end of a part is not the end of the send.
    #[must_use]
    pub fn of_a_part(self) -> SendFlags {
        SendFlags { more: true, timestamp: false, eor: false, part: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shld_11_must_23_the_defaults_are_as_patient_as_the_standard_asks() {
        let cfg = ConnConfig::default();
        assert!(cfg.user_timeout >= Nanos::from_secs(100));
        assert!(cfg.connect_timeout >= Nanos::from_secs(180));
        assert!(cfg.max_rto >= Nanos::from_secs(60) && cfg.initial_rto == Nanos::from_secs(1));
    }
}
