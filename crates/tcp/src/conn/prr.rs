//! Proportional rate reduction (RFC 9937, `S39`): how much may leave for each ACK of a fast recovery, or of a window of data
//! that was marked (`S35`), so that it ends with as much in the network as the controller's ssthresh allows, and never falls
//! silent on the way there.

use super::Connection;
use super::flight::Arrived;
use super::recovery::Phase;
use crate::Payload;

/// The state of one reduction; named as RFC 9937 §6 names it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Prr {
    /// RecoverFS: bytes in flight when it began.
    recover_fs: u64,
    /// prr_delivered: bytes that arrived since.
    delivered: u64,
    /// prr_out: bytes sent since, first time or again.
    out: u64,
    /// What is left of sndcnt.
    left: u64,
    /// A loss is why: the first ACK lets the fast retransmission out. Nothing of what is only marked leaves again.
    repairs: bool,
}

impl Prr {
    fn new(recover_fs: u64, repairs: bool) -> Prr {
        Prr { recover_fs: recover_fs.max(1), delivered: 0, out: 0, left: 0, repairs }
    }

    /// An ACK arrived of `delivered` bytes; `pipe` are in the network. `safe`: SND.UNA advanced and nothing more was found
    /// lost.
    fn on_ack(&mut self, delivered: u64, pipe: u64, ssthresh: u64, mss: u64, safe: bool) {
        self.delivered += delivered;
        self.left = if pipe > ssthresh {
            let share = u128::from(self.delivered) * u128::from(ssthresh);
            let allowed = share.div_ceil(u128::from(self.recover_fs));
            u64::try_from(allowed).unwrap_or(u64::MAX).saturating_sub(self.out)
        } else {
            // PRR-CRB, and where the ACK says that the network drains PRR-SSRB.
            let conserve = self.delivered.saturating_sub(self.out).max(delivered);
            (conserve + if safe { mss } else { 0 }).min(ssthresh - pipe)
        };
        if self.repairs && self.out == 0 {
            // The fast retransmission.
            self.left = self.left.max(mss);
        }
    }

    /// More was found lost without an ACK: what was delivered and found no room may leave in its place.
    fn on_room(&mut self, pipe: u64, ssthresh: u64) {
        let credit = self.delivered.saturating_sub(self.out);
        self.left = self.left.max(credit.min(ssthresh.saturating_sub(pipe)));
    }

    fn on_sent(&mut self, bytes: u64) {
        self.out += bytes;
        self.left = self.left.saturating_sub(bytes);
    }
}

impl<P: Payload> Connection<P> {
    /// Bytes that may be in the network: the controller's window or, while it is reduced, what is there and what may
    /// follow now.
    #[inline]
    pub(super) fn cwnd(&self) -> u64 {
        match &self.prr {
            None => self.cc.cwnd(),
            Some(prr) => self.committed_pipe() + prr.left,
        }
    }

    /// A fast recovery began with an ACK of what `arrived`, or by time. A controller with a window of its own for that is
    /// left alone.
    pub(super) fn begin_reduction(&mut self, arrived: &Arrived) {
        // RFC 9937 §6.1: without what SACK reported before, and with what this ACK told.
        let recover_fs = self.flight.bytes() - self.flight.sacked() + arrived.delivered;
        self.prr = (!self.cc.runs_recovery()).then(|| Prr::new(recover_fs, true));
    }

    /// The window was reduced for a mark that an ACK echoed, which is not counted yet: what is in the network follows in the
    /// course of a round trip, as after a loss and as in Linux.
    pub(super) fn begin_marked_reduction(&mut self) {
        let recover_fs = self.flight.bytes() - self.flight.sacked();
        self.prr = (!self.cc.runs_recovery()).then(|| Prr::new(recover_fs, false));
    }

    /// SND.UNA advanced: a reduction for a mark is over with the window of data that was out when it began.
    #[inline]
    pub(super) fn end_marked_reduction(&mut self) {
        let over =
            |conn: &Self| conn.recovery.phase() == Phase::Open && conn.snd_una() >= conn.ecn.answered();
        if self.prr.is_some() && over(self) {
            self.prr = None;
        }
    }

    /// An ACK arrived in fast recovery or in a marked window, or began it; `lost` bytes more were found lost with it.
    pub(super) fn reduce(&mut self, arrived: &Arrived, lost: u64) {
        let (pipe, ssthresh, mss) = (self.committed_pipe(), self.cc.ssthresh(), u64::from(self.mss()));
        let Some(prr) = &mut self.prr else { return };
        if arrived.delivered > 0 || prr.out == 0 {
            prr.on_ack(arrived.delivered, pipe, ssthresh, mss, arrived.acked > 0 && lost == 0);
        } else if lost > 0 {
            prr.on_room(pipe, ssthresh);
        }
    }

    /// `bytes` of payload left.
    #[inline]
    pub(super) fn on_reduced_sent(&mut self, bytes: u64) {
        if let Some(prr) = &mut self.prr {
            prr.on_sent(bytes);
        }
    }
}

folds! { struct Prr { recover_fs, delivered, out, left, repairs } }

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    #[test]
    fn rfc9937_above_ssthresh_what_leaves_is_in_proportion() {
        // Twenty segments are halved: one leaves for two that arrive, the first at once.
        let mut prr = Prr::new(20 * MSS, true);
        let mut pipe = 19 * MSS;
        let mut sent = Vec::new();
        for _ in 0..8 {
            pipe -= MSS;
            prr.on_ack(MSS, pipe, 10 * MSS, MSS, false);
            let n = prr.left / MSS;
            sent.push(n);
            prr.on_sent(n * MSS);
            pipe += n * MSS;
        }
        assert_eq!(sent, [1, 0, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn rfc9937_below_ssthresh_as_much_leaves_as_arrives_and_one_more_when_that_is_safe() {
        let mut prr = Prr::new(10 * MSS, true);
        prr.on_sent(MSS);
        prr.on_ack(2 * MSS, 3 * MSS, 5 * MSS, MSS, false);
        assert_eq!(prr.left, 2 * MSS);
        prr.on_ack(MSS, 2 * MSS, 5 * MSS, MSS, true);
        assert_eq!(prr.left, 3 * MSS);
        // Never beyond ssthresh.
        prr.on_ack(5 * MSS, 4 * MSS, 5 * MSS, MSS, true);
        assert_eq!(prr.left, MSS);
    }

    #[test]
    fn rfc9937_what_is_found_lost_by_time_makes_room_for_what_was_delivered_only() {
        let mut prr = Prr::new(10 * MSS, true);
        prr.on_ack(3 * MSS, 5 * MSS, 5 * MSS, MSS, false);
        prr.on_sent(MSS);
        assert_eq!(prr.left, 0);
        prr.on_room(MSS, 5 * MSS);
        assert_eq!(prr.left, 2 * MSS);
        prr.on_room(4 * MSS, 5 * MSS);
        assert_eq!(prr.left, 2 * MSS);
        prr.on_sent(2 * MSS);
        prr.on_room(0, 5 * MSS);
        assert_eq!(prr.left, 0);
    }
}
