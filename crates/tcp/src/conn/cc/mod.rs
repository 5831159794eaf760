//! Congestion control behind one small trait.
//!
//! The connection finds out what was sent, acknowledged and lost; a controller turns that into a [`Window`]: how much may
//! be in the network and, where it has an opinion, at which rate. Bytes everywhere, never segments.

mod bbr;
mod cubic;
mod dctcp;
mod fixed;
mod hystart;
mod newreno;
pub(crate) mod registry;

pub(crate) use registry::Cc;
pub use registry::{ControllerKind, UnknownController};

pub use super::delivery::{LossSample, RateSample};
use crate::{Nanos, Offset, Rate, Time};

/// What a controller steers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Bytes that may be in the network; at least one MSS.
    pub cwnd: u64,
    /// Where slow start ends, bytes; `u64::MAX` while unknown.
    pub ssthresh: u64,
    /// Payload bytes of a full segment. The connection sets it.
    pub mss: u64,
    /// The rate to send at, `None` to leave that to cwnd.
    pub pacing_rate: Option<Rate>,
}

impl Window {
    /// cwnd is still growing towards what is known to be safe, or nothing is known.
    pub fn is_in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Slow start (RFC 5681 §3.1) for `acked` bytes, of which no more than `bound` count.
    ///
    /// The bytes of an ACK have no other bound, as RFC 9406 §4.2 allows a sender that does not emit the whole growth in one
    /// burst: bursts are bounded at half the window (`S22`), and a receiver that coalesces (GRO) sends a single ACK for
    /// dozens of segments. After a timeout the bound is one MSS (RFC 3465 §2.3).
    fn slow_start(&mut self, sample: &AckSample) {
        let bound = if sample.after_rto { self.mss * u64::from(sample.acks) } else { u64::MAX };
        // Never beyond ssthresh by slow start alone: a stretch ACK would overshoot what loss has taught.
        let grown = self.cwnd + sample.acked.min(bound);
        self.cwnd = grown.min(self.ssthresh.max(self.cwnd + self.mss.min(sample.acked)));
    }

    /// Halves cwnd for each of `timeouts`, down to `restart`. Slow start may return quickly to where it was: RFC 7661 §4.4.2
    /// keeps 3/4 of the window in ssthresh.
    fn restart(&mut self, timeouts: u64, restart: u64) {
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let halved = self.cwnd.checked_shr(u32::try_from(timeouts).unwrap_or(u32::MAX)).unwrap_or(0);
        self.cwnd = halved.max(restart.min(self.cwnd));
    }
}

/// What an ACK says that tells of something new, acknowledged or reported by SACK.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AckSample {
    /// When it arrived.
    pub now: Time,
    /// How many ACKs it stands for: those that it outran on the way through the receive queue, and itself.
    pub acks: u32,
    /// Bytes the peer was not known to have before.
    pub acked: u64,
    /// SND.UNA after it.
    pub una: Offset,
    /// Bytes sent and not acknowledged, after it.
    pub flight: u64,
    /// Bytes in the network, after it: of those in flight the ones that neither arrived nor are lost.
    pub pipe: u64,
    /// Bytes that the peer had acknowledged in all, with it.
    pub delivered: u64,
    /// The window was what held the sender back when these bytes were sent. Otherwise they say nothing about a
    /// larger window, and it must not grow (RFC 9438 §4.2, RFC 7661 §3); nor while fast recovery repairs what it was too
    /// large for, nor for what arrived beyond a gap.
    pub cwnd_limited: bool,
    /// The window was full at some time in the last round trip, whatever phase that was: C.is_cwnd_limited of
    /// draft-ietf-ccwg-bbr §2.2.
    pub window_full: bool,
    /// The sender recovers from a retransmission timeout.
    pub after_rto: bool,
    /// The round-trip time this ACK measured, if it measured one.
    pub rtt: Option<Nanos>,
    /// The smoothed one, this included.
    pub srtt: Option<Nanos>,
    /// The delivery rate it measured, if it measured one (`S27`).
    pub rate: Option<RateSample>,
    /// Of these, the bytes that the peer says were marked: counted with Accurate ECN; all or none otherwise, rightly so where
    /// both ends count marks ([`wants_every_mark`](Controller::wants_every_mark)), else for something in the last window.
    pub marked: u64,
    /// The peer knows SACK: more than one loss is found in a round trip.
    pub sack: bool,
    /// What was found lost since the last one.
    pub lost: Option<LossSample>,
}

/// A congestion controller.
///
/// Every method gets the window to change. What a controller does not care for it need not implement: the defaults do
/// what RFC 5681 does.
pub trait Controller {
    /// The handshake measured a round trip.
    fn on_connected(&mut self, window: &mut Window, now: Time, srtt: Nanos) {
        let _ = (window, now, srtt);
    }

    /// An ACK of new data arrived, or one that reports some by SACK, in whichever phase.
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample);

    /// A loss began a recovery, with `flight` bytes outstanding, those of limited transmit left out.
    fn on_loss(&mut self, window: &mut Window, now: Time, flight: u64);

    /// The retransmission timer expired with `flight` bytes outstanding. Not called when it expires again for the same
    /// byte: then cwnd goes back to one MSS, and nothing else is learnt.
    fn on_rto(&mut self, window: &mut Window, now: Time, flight: u64);

    /// The peer echoed a congestion mark, at most once per round trip: as for a loss, without a retransmission (RFC 3168
    /// §6.1.2).
    fn on_ecn(&mut self, window: &mut Window, now: Time, flight: u64) {
        self.on_loss(window, now, flight);
    }

    /// It counts marks: those on the peer's data are echoed one by one (RFC 8257 §3.2) instead of until they are answered,
    /// and an ACK that echoes one does not keep the window from growing.
    fn wants_every_mark(&self) -> bool {
        false
    }

    /// The recovery ended with everything acknowledged that was outstanding when it began; `flight` bytes are
    /// outstanding now. RFC 6582 §3.2 step 3, option 1: no burst when little is in flight.
    fn on_recovered(&mut self, window: &mut Window, flight: u64) {
        window.cwnd = window.ssthresh.min(flight.max(window.mss) + window.mss);
    }

    /// The last reduction was wrong. cwnd and ssthresh are restored already: what else it changed is to be.
    fn on_spurious(&mut self, window: &mut Window) {
        let _ = window;
    }

    /// New bytes leave, and nothing was in flight before them.
    fn on_start(&mut self, window: &mut Window, now: Time) {
        let _ = (window, now);
    }

    /// The window was not used for `timeouts` whole retransmission timeouts (RFC 5681 §4.1, `S26`): it says little
    /// about the path any more. Never below `restart`, the window to begin with, unless it is that already.
    fn on_idle(&mut self, window: &mut Window, timeouts: u64, restart: u64) {
        window.restart(timeouts, restart);
    }

    /// It has a window of its own for recovery. Otherwise a proportional rate reduction leads to the ssthresh it chose
    /// (RFC 9937).
    fn runs_recovery(&self) -> bool {
        false
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

folds! { struct Window { cwnd, ssthresh, mss, pacing_rate } }

#[cfg(test)]
mod tests {
    use super::*;

    /// An ACK of `acked` bytes sent with a full window.
    pub(super) fn ack(acked: u64) -> AckSample {
        AckSample {
            now: Time::ZERO,
            acks: 1,
            acked,
            una: Offset::ZERO,
            flight: 0,
            pipe: 0,
            delivered: 0,
            cwnd_limited: true,
            window_full: true,
            after_rto: false,
            rtt: None,
            srtt: None,
            rate: None,
            marked: 0,
            sack: true,
            lost: None,
        }
    }

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
