//! Congestion control behind one small trait.
//!
//! The connection finds out what was sent, acknowledged and lost; a controller turns that into a window and,
//! where it has an opinion, a rate. Bytes everywhere, never segments.

mod newreno;

pub use newreno::NewReno;

pub use super::delivery::RateSample;
use crate::{Nanos, Rate, Time};

/// What an ACK that moved SND.UNA says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AckSample {
    /// When it arrived.
    pub now: Time,
    /// Bytes it acknowledged.
    pub acked: u64,
    /// Bytes sent and not acknowledged, after it.
    pub flight: u64,
    /// The window was what held the sender back when these bytes were sent. Otherwise they say nothing about a
    /// larger window, and it must not grow (RFC 9438 §4.2, RFC 7661 §3).
    pub cwnd_limited: bool,
    /// The sender recovers from a retransmission timeout.
    pub after_rto: bool,
    /// The round-trip time this ACK measured, if it measured one.
    pub rtt: Option<Nanos>,
    /// The delivery rate it measured, if it measured one (`S27`).
    pub rate: Option<RateSample>,
}

/// A congestion controller.
pub trait Controller {
    /// `bytes` of new data left at `now`; `pipe` are in the network with them.
    fn on_sent(&mut self, now: Time, bytes: u64, pipe: u64);

    /// New data was acknowledged, outside fast recovery.
    fn on_ack(&mut self, sample: &AckSample);

    /// A loss began a recovery, with `flight` bytes outstanding, those of limited transmit left out.
    fn on_loss(&mut self, now: Time, flight: u64);

    /// The recovery ended with everything acknowledged that was outstanding when it began; `flight` bytes are
    /// outstanding now.
    fn on_recovered(&mut self, flight: u64);

    /// The retransmission timer expired with `flight` bytes outstanding; `repeated` when it had expired before
    /// for the same byte.
    fn on_rto(&mut self, now: Time, flight: u64, repeated: bool);

    /// The peer echoed a congestion mark, at most once per round trip.
    fn on_ecn(&mut self, now: Time, flight: u64);

    /// The effective send MSS changed.
    fn set_mss(&mut self, mss: u32);

    /// Bytes that may be in the network.
    fn cwnd(&self) -> u64;

    /// Where slow start ends, bytes; `u64::MAX` while unknown.
    fn ssthresh(&self) -> u64;

    /// The window was not used for `timeouts` whole retransmission timeouts (RFC 5681 §4.1, `S26`): it says little
    /// about the path any more. Never below `restart`, the window to begin with, unless it is that already.
    fn on_idle(&mut self, timeouts: u64, restart: u64);

    /// The rate to send at, `None` to leave that to the window.
    fn pacing_rate(&self) -> Option<Rate>;
}

/// Which controller a connection uses.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ControllerKind {
    /// RFC 5681 with RFC 6582.
    #[default]
    NewReno,
}

/// The controllers, dispatched without a table.
#[derive(Clone, Debug)]
pub(crate) enum Cc {
    NewReno(NewReno),
}

impl Cc {
    /// The controller `kind` with a window of `initial` bytes.
    pub(crate) fn new(kind: ControllerKind, initial: u64, mss: u32) -> Cc {
        match kind {
            ControllerKind::NewReno => Cc::NewReno(NewReno::new(initial, mss)),
        }
    }
}

impl Controller for Cc {
    fn on_sent(&mut self, now: Time, bytes: u64, pipe: u64) {
        match self {
            Cc::NewReno(c) => c.on_sent(now, bytes, pipe),
        }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        match self {
            Cc::NewReno(c) => c.on_ack(sample),
        }
    }

    fn on_loss(&mut self, now: Time, flight: u64) {
        match self {
            Cc::NewReno(c) => c.on_loss(now, flight),
        }
    }

    fn on_recovered(&mut self, flight: u64) {
        match self {
            Cc::NewReno(c) => c.on_recovered(flight),
        }
    }

    fn on_rto(&mut self, now: Time, flight: u64, repeated: bool) {
        match self {
            Cc::NewReno(c) => c.on_rto(now, flight, repeated),
        }
    }

    fn on_ecn(&mut self, now: Time, flight: u64) {
        match self {
            Cc::NewReno(c) => c.on_ecn(now, flight),
        }
    }

    fn set_mss(&mut self, mss: u32) {
        match self {
            Cc::NewReno(c) => c.set_mss(mss),
        }
    }

    fn cwnd(&self) -> u64 {
        match self {
            Cc::NewReno(c) => c.cwnd(),
        }
    }

    fn ssthresh(&self) -> u64 {
        match self {
            Cc::NewReno(c) => c.ssthresh(),
        }
    }

    fn on_idle(&mut self, timeouts: u64, restart: u64) {
        match self {
            Cc::NewReno(c) => c.on_idle(timeouts, restart),
        }
    }

    fn pacing_rate(&self) -> Option<Rate> {
        match self {
            Cc::NewReno(c) => c.pacing_rate(),
        }
    }
}

/// The initial window in bytes for `segments` segments of `mss` bytes: IW10 of RFC 6928 §2,
/// min(10·MSS, max(2·MSS, 14600)), with `segments` in the place of 10. More than 10 is a private network's
/// choice and is taken as it is.
pub(crate) fn initial_window(segments: u32, mss: u32) -> u64 {
    let (segments, mss) = (u64::from(segments.max(1)), u64::from(mss));
    match segments {
        ..=10 => (segments * mss).min((2 * mss).max(14_600)),
        _ => segments * mss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6928_initial_window() {
        assert_eq!(initial_window(10, 1460), 14_600);
        assert_eq!(initial_window(10, 536), 5_360);
        assert_eq!(initial_window(10, 8960), 17_920);
        assert_eq!(initial_window(1, 1460), 1_460);
        assert_eq!(initial_window(0, 1460), 1_460);
        assert_eq!(initial_window(40, 1460), 58_400);
    }
}
