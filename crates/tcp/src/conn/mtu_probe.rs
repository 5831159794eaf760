//! Probing for the path MTU (RFC 4821, RFC 8899, `S42`): larger segments are tried one at a time where larger packets may
//! pass, and smaller ones are used where none of the present size arrives any more and nobody says why.
//!
//! A probe is a segment of new data that is longer than the others. Its loss says that the path is narrower, and nothing
//! about congestion (RFC 4821 §7.5): the window stays. So a probe has to be told from other losses, by SACK; with peers
//! that do not know it, nothing is probed, and an MTU that was lowered is taken to have grown after ten minutes, as RFC
//! 1191 §6.3 does.

use super::Connection;
use super::output::Hold;
use super::recovery::Phase;
use super::timers::Timer;
use crate::{Burst, BurstKind, Nanos, Offset, Payload, Time, TxLimits};

/// What is done about a path whose MTU nobody tells.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum MtuProbing {
    /// Nothing: what routers say about packets that are too big is all there is (RFC 1191, RFC 8201).
    Off,
    /// When the same large segment times out three times, small ones take its place, and probes find out how much larger
    /// they may be. After a router lowered the MTU, probes find out whether it has grown. The default.
    #[default]
    BlackHole,
    /// Begins with small segments and probes at once.
    On,
}

/// What every path carries: RFC 8899 §5.1.2 (BASE_PLPMTU), and over IPv6 the smallest MTU there is.
const BASE: (u16, u16) = (1200, 1280);

/// The smallest that is ever fallen to (`S7`).
const SMALLEST: (u16, u16) = (576, 1280);

/// Timeouts of the same segment that mean that no such segment passes, and twice as many where it is that small a one. A
/// burst of congestion is over before.
const BLACK_HOLE_TIMEOUTS: u8 = 3;

/// Probes of a size that must be lost before it is believed to be too big (RFC 8899 §5.1.2, MAX_PROBES).
const MAX_PROBES: u8 = 3;

/// A search that is as close as this is over: probes cost more than such a gain.
const CLOSE_ENOUGH: u32 = 8;

/// When a path that was narrower is looked at again (RFC 8899 §5.1.1, PMTU_RAISE_TIMER; RFC 8201 §4).
pub(super) const RAISE_AFTER: Nanos = Nanos::from_secs(600);

/// Segments that have to follow a probe, so that ACKs tell of its loss before a timeout does.
const FOLLOWERS: u64 = 3;

/// Nothing was sent there.
const NOWHERE: Offset = Offset(u64::MAX);

/// A probe in flight.
#[derive(Copy, Clone, Debug)]
struct Probe {
    /// Bytes of its IP packet.
    size: u16,
    start: Offset,
    end: Offset,
}

/// A search between what passes and what does not.
#[derive(Copy, Clone, Debug)]
struct Search {
    /// The smallest size that does not pass; one more than the largest there is while that is unknown.
    too_big: u32,
    /// What a router said passes.
    hint: Option<u16>,
    /// Probes of the present size that were lost.
    lost: u8,
}

/// Segments that timed out since one as long arrived: what a black hole looks like (RFC 4821 §7.6, RFC 8899 §4.3).
#[derive(Copy, Clone, Debug)]
struct TimedOut {
    /// The oldest at the last timeout.
    at: Offset,
    /// Payload of the longest.
    size: u64,
    /// How often.
    times: u8,
}

impl TimedOut {
    const NONE: TimedOut = TimedOut { at: NOWHERE, size: 0, times: 0 };

    /// The segment at `una`, of `size` bytes, timed out; none is sent now that is longer than `mss`. How often such did.
    ///
    /// A segment that is shorter than those that did not arrive counts only when it times out again. Where a device cuts
    /// segments short at times, the stream may go on by such pieces alone, each after a timeout of its own: those that
    /// arrive say nothing of the longer ones, and those that are lost once say nothing of their size.
    fn add(&mut self, una: Offset, size: u64, mss: u64) -> u8 {
        let longest = self.size.min(mss);
        if size >= longest || una == self.at {
            self.times = self.times.saturating_add(1);
            self.size = size.max(longest);
        }
        self.at = una;
        self.times
    }
}

/// What is known of sizes beyond the path MTU.
#[derive(Clone, Debug)]
pub(super) struct MtuSearch {
    /// When larger sizes are due to be tried; [`Time::MAX`] for never.
    pub(super) due: Time,
    /// Behind the probe in flight.
    pub(super) awaited: Offset,
    probe: Option<Probe>,
    search: Option<Search>,
    timed_out: TimedOut,
}

impl MtuSearch {
    pub(super) fn at(due: Time) -> MtuSearch {
        MtuSearch { due, awaited: NOWHERE, probe: None, search: None, timed_out: TimedOut::NONE }
    }

    fn take_probe(&mut self) -> Option<Probe> {
        self.awaited = NOWHERE;
        self.probe.take()
    }

    /// The next size to try, where `mtu` passes and nothing above `ceiling` can. `None`: the search is over.
    ///
    /// First the largest: most paths carry what the interface does. Then halves of what is left.
    fn candidate(&mut self, mtu: u16, ceiling: u16) -> Option<u16> {
        let unknown = u32::from(ceiling) + 1;
        let search = self.search.get_or_insert(Search { too_big: unknown, hint: None, lost: 0 });
        let too_big = search.too_big.min(unknown);
        match search.hint {
            Some(hint) if mtu < hint && u32::from(hint) < too_big => Some(hint),
            _ if too_big == unknown => Some(ceiling),
            _ if too_big <= u32::from(mtu) + CLOSE_ENOUGH => None,
            _ => Some(((u32::from(mtu) + too_big) / 2) as u16),
        }
    }

    /// A probe of `size` was lost.
    fn on_lost(&mut self, size: u16) {
        if let Some(search) = &mut self.search {
            search.lost += 1;
            if search.lost >= MAX_PROBES {
                *search = Search { too_big: size.into(), hint: None, lost: 0 };
            }
        }
    }
}

impl<P: Payload> Connection<P> {
    /// Of a pair for IPv4 and IPv6, ours.
    fn by_family(&self, (v4, v6): (u16, u16)) -> u16 {
        if self.tuple.local.is_ipv6() { v6 } else { v4 }
    }

    /// The largest IP packet that interface, peer and application allow.
    fn mtu_ceiling(&self) -> u16 {
        let segment = self.cfg.max_mss.map_or(self.peer.mss, |max| self.peer.mss.min(max.into()));
        let by_peer = u16::try_from(segment + self.headers()).unwrap_or(u16::MAX);
        self.cfg.mtu.min(by_peer)
    }

    /// The connection opens: where it is to be probed for at once, segments are small until probes say otherwise.
    pub(super) fn begin_mtu_search(&mut self) {
        let base = self.by_family(BASE);
        if self.cfg.mtu_probing == MtuProbing::On && self.peer.sack && base < self.mtu_ceiling() {
            self.path.settle(base, Time::ZERO);
        }
    }

    /// Larger sizes are due. `None`: there is nothing to try, or not now. An error: a probe waits for room.
    #[cold]
    pub(super) fn propose_mtu_probe(&mut self, now: Time, limits: &TxLimits) -> Option<Result<Burst, Hold>> {
        let (mtu, ceiling) = (self.path.mtu, self.mtu_ceiling());
        if mtu >= ceiling {
            self.path.search.due = Time::MAX;
            return None;
        }
        if self.cfg.mtu_probing == MtuProbing::Off || !self.peer.sack {
            // RFC 1191 §6.3: routers will say when it is too much.
            self.path.settle(ceiling, Time::MAX);
            self.cc.set_mss(self.mss());
            // What the port may take was reckoned for shorter segments, and may be less than one of these: it is asked anew.
            return Some(Err(Hold::Pacing));
        }
        let busy = self.path.search.probe.is_some() || self.proposed.bursts > 0;
        let recovers = self.recovery.phase() != Phase::Open || self.flight.lost() > 0;
        // While a marked window is reduced there is no room for what is longer.
        if busy || recovers || self.prr.is_some() {
            return None;
        }
        let Some(size) = self.path.search.candidate(mtu, ceiling) else {
            self.path.search = MtuSearch::at(now + RAISE_AFTER);
            return None;
        };
        let options = self.ack_options(now);
        let mss = u64::from(self.segment_mss(options.len()));
        let len = u64::from(u32::from(size) - self.headers()) - options.len() as u64;
        let (from, train) = (self.queue.proposed(), len + FOLLOWERS * mss);
        let usable = self.window.right().since(from);
        let enough = self.queue.end().since(from).min(self.flight.bytes() + usable).min(self.cc.cwnd());
        if len <= mss || enough < train || len > self.window.half() || u64::from(limits.budget) < len {
            return None;
        }
        let span = self.queue.span(from, len, len, limits.max_slices.max(1));
        if span.len < len || span.record {
            return None;
        }
        // An ACK at a time makes room for less than a probe: it waits for more.
        if usable < len {
            return Some(Err(Hold::Window));
        }
        if self.cc.cwnd().saturating_sub(self.pipe()) < len {
            return Some(Err(Hold::Congestion));
        }
        if self.is_paced_at(now) {
            return Some(Err(Hold::Pacing));
        }
        self.queue.propose(len);
        self.proposed.mtu_probe = Some((from, size));
        Some(Ok(self.data_burst(from, len, false, BurstKind::New, len, options)))
    }

    /// A probe left, `start..end`, in an IP packet of `size` bytes.
    #[cold]
    pub(super) fn on_mtu_probe_sent(&mut self, size: u16, start: Offset, end: Offset) {
        self.counts.mtu_probes += 1;
        self.path.search.probe = Some(Probe { size, start, end });
        self.path.search.awaited = end;
    }

    /// Everything up to the end of the probe was acknowledged, and it was not found lost: such packets pass.
    #[cold]
    pub(super) fn on_mtu_probe_acked(&mut self) {
        let Some(probe) = self.path.search.take_probe() else { return };
        self.path.grow(probe.size, probe.end);
        if let Some(search) = &mut self.path.search.search {
            search.lost = 0;
        }
        self.cc.set_mss(self.mss());
    }

    /// Losses were just found: true when outside of a recovery it is the probe that was lost, and nothing else. It is sent
    /// again in segments that are known to pass, and that is all (RFC 4821 §7.5).
    pub(super) fn is_mtu_probe_lost(&mut self, now: Time) -> bool {
        let Some(probe) = self.path.search.probe else { return false };
        let lost = self.flight.next_lost(probe.start, 1).is_some_and(|(start, _)| start < probe.end);
        if !lost {
            return false;
        }
        self.path.search.take_probe();
        let alone = self.flight.lost() == probe.end.since(probe.start);
        if self.recovery.phase() != Phase::Open || !alone {
            // Lost with others it says nothing.
            return false;
        }
        self.counts.mtu_probes_lost += 1;
        self.path.search.on_lost(probe.size);
        // It is the oldest segment, most likely, and has been waited for long enough to time out before its repair arrives.
        self.timers.arm(Timer::Retransmit, now + self.rtt.rto());
        true
    }

    /// A router says that the probe, which began at `at`, is too big, and that `mtu` bytes pass. True when it was one.
    pub(super) fn is_mtu_probe_refused(&mut self, at: Offset, mtu: u16) -> bool {
        let Some(probe) = self.path.search.probe.filter(|probe| probe.start == at) else { return false };
        if mtu < self.path.mtu || mtu >= probe.size {
            return false;
        }
        self.path.search.take_probe();
        self.counts.mtu_probes_lost += 1;
        self.path.search.search = Some(Search { too_big: u32::from(mtu) + 1, hint: Some(mtu), lost: 0 });
        self.flight.mark_lost_within(probe.start, probe.end);
        true
    }

    /// Segments arrived, the longest of which had so many bytes.
    #[inline]
    pub(super) fn on_mtu_arrived(&mut self, longest: u64) {
        let timed_out = self.path.search.timed_out;
        if timed_out.times > 0 && longest >= timed_out.size.min(self.mss().into()) {
            self.path.search.timed_out = TimedOut::NONE;
        }
    }

    /// The oldest segment timed out: when it did so again and again, it may be its size (RFC 4821 §7.6, RFC 8899 §4.3).
    pub(super) fn on_mtu_timeout(&mut self, now: Time) {
        if let Some(probe) = self.path.search.take_probe() {
            self.counts.mtu_probes_lost += 1;
            self.path.search.on_lost(probe.size);
        }
        let (una, oldest, mss) = (self.snd_una(), self.flight.oldest_segment(), self.mss().into());
        let times = self.path.search.timed_out.add(una, oldest, mss);
        if times < BLACK_HOLE_TIMEOUTS || self.cfg.mtu_probing == MtuProbing::Off {
            return;
        }
        let patience = if times < 2 * BLACK_HOLE_TIMEOUTS { 1 } else { 2 };
        let sizes = [self.by_family(BASE), self.by_family(SMALLEST)];
        // What is smaller than the packet that does not arrive, options and all.
        let headers = u64::from(self.headers()) + self.ack_options(now).len() as u64;
        let packet = oldest + headers;
        let smaller = |mtu: &u16| *mtu < self.path.mtu && u64::from(*mtu) < packet;
        if let Some(mtu) = sizes.into_iter().take(patience).find(smaller) {
            self.counts.black_holes += 1;
            // Without probes, larger ones are tried by sending them all: not at once.
            let timed_out = self.path.search.timed_out;
            self.path.settle(mtu, if self.peer.sack { now } else { now + RAISE_AFTER });
            self.path.search.timed_out = timed_out;
            self.cc.set_mss(self.mss());
        }
    }
}

folds! { enum MtuProbing { Off, BlackHole, On } }
folds! { struct Probe { size, start, end } }
folds! { struct Search { too_big, hint, lost } }
folds! { struct TimedOut { at, size, times } }
folds! { struct MtuSearch { due, awaited, probe, search, timed_out } }

#[cfg(test)]
mod tests {
    use super::*;

    /// The next size to try, where `mtu` passes, `too_big` does not, and nothing above 1500 can.
    fn next(mtu: u16, too_big: u32, hint: Option<u16>) -> Option<u16> {
        let search = Some(Search { too_big, hint, lost: 0 });
        MtuSearch { search, ..MtuSearch::at(Time::ZERO) }.candidate(mtu, 1500)
    }

    #[test]
    fn s42_the_largest_is_tried_first_then_halves_until_that_is_no_gain() {
        assert_eq!(MtuSearch::at(Time::ZERO).candidate(1200, 1500), Some(1500));
        // Also where more was possible when the search began.
        assert_eq!([next(1200, 1501, None), next(1200, 9001, None)], [Some(1500); 2]);
        assert_eq!([next(1200, 1500, None), next(1350, 1500, None)], [Some(1350), Some(1425)]);
        assert_eq!([next(1400, 1409, None), next(1400, 1408, None)], [Some(1404), None]);
        // What a router said comes first, if it is in between.
        assert_eq!([next(1200, 1401, Some(1400)), next(1400, 1401, Some(1400))], [Some(1400), None]);
        assert_eq!([next(1200, 1400, Some(1400)), next(1200, 1501, Some(1200))], [Some(1300), Some(1500)]);
    }

    #[test]
    fn rfc8899_a_size_is_too_big_when_three_probes_of_it_were_lost() {
        let mut search = MtuSearch::at(Time::ZERO);
        let sizes: Vec<_> = (0..6)
            .map(|_| {
                let size = search.candidate(1200, 1500).expect("a size");
                search.on_lost(size);
                size
            })
            .collect();
        assert_eq!(sizes, [1500, 1500, 1500, 1350, 1350, 1350]);
        assert_eq!(search.candidate(1200, 1500), Some(1275));
    }
}
