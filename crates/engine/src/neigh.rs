//! The neighbour cache: which Ethernet address an IPv4 neighbour has, and who waits to know (`S49`).
//!
//! The states are those of RFC 4861 §7.3.2, which ARP lacks and needs as much. A neighbour in use is confirmed by
//! unicast while its known address goes on being used, so that a live connection never waits for a refresh.
//! Unsolicited replies and announcements change what is known, and never create an entry. Requests for our address do: the
//! asker is about to talk to us. Such entries belong to nobody until a connection holds them, and give way, oldest first,
//! where the table is full: a flood of them leaves room for every connection.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use tcp::Time;

use crate::config::NeighbourConfig;
use crate::wheel::Wheel;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Asked for by broadcast; nothing is known yet.
    Incomplete { asked: u8 },
    /// Heard of lately.
    Reachable,
    /// Known, not confirmed lately, not used since.
    Stale,
    /// In use and being confirmed by unicast.
    Probe { asked: u8 },
    /// Did not answer. The next one who wants it starts over.
    Failed,
}

#[derive(Debug)]
struct Entry {
    ip: Ipv4Addr,
    mac: [u8; 6],
    state: State,
    /// A frame was sent to it since it was last confirmed.
    used: bool,
    /// Connections that hold this entry's number.
    holders: u32,
    /// In `unheld`, perhaps since a former life of this entry.
    listed: bool,
    /// Connections with something to send, first come first served.
    waiting: VecDeque<u32>,
}

/// What has to be done about a neighbour.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Ask for `ip`: at `to`, or by broadcast.
    Request { ip: Ipv4Addr, to: Option<[u8; 6]> },
    /// It does not answer.
    Failed(u32),
}

/// What a received address changed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Learned {
    /// Nothing: we do not know the neighbour and have no need to.
    Ignored,
    /// It was unknown or unconfirmed.
    Resolved,
    /// It has another Ethernet address than before.
    Changed,
}

/// The cache is full of entries that are in use.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct CacheFull;

/// IPv4 address → Ethernet address. Connections hold entry numbers, so that sending needs no look-up.
#[derive(Debug)]
pub(crate) struct Neighbours {
    cfg: NeighbourConfig,
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_ip: BTreeMap<Ipv4Addr, u32>,
    /// Every entry that nobody holds, oldest first, each once; also some that are held again or gone. Each is looked at
    /// once for having been put here, so that finding room in a full table costs constant time on average.
    unheld: VecDeque<u32>,
    timers: Wheel,
    due: Vec<u32>,
}

impl Neighbours {
    pub(crate) fn new(cfg: NeighbourConfig, now: Time) -> Neighbours {
        Neighbours {
            cfg,
            entries: Vec::new(),
            free: Vec::new(),
            by_ip: BTreeMap::new(),
            unheld: VecDeque::new(),
            timers: Wheel::new(now, 0),
            due: Vec::new(),
        }
    }

    /// The entry of `ip` for a connection to hold; asks for the address if it is not known.
    pub(crate) fn hold(&mut self, ip: Ipv4Addr, now: Time) -> Result<u32, CacheFull> {
        let n = match self.by_ip.get(&ip) {
            Some(&n) => n,
            None => {
                let n = self.create(ip)?;
                self.timers.insert(n, now);
                n
            }
        };
        self.entries[n as usize].holders += 1;
        Ok(n)
    }

    /// Gives back what [`hold`](Neighbours::hold) returned.
    pub(crate) fn release(&mut self, n: u32) {
        if let Some(e) = self.entries.get_mut(n as usize) {
            e.holders = e.holders.saturating_sub(1);
        }
        self.list(n);
    }

    /// Where to send a frame for this neighbour; `None` when that must wait.
    #[inline]
    pub(crate) fn mac(&mut self, n: u32, now: Time) -> Option<[u8; 6]> {
        let e = self.entries.get_mut(n as usize)?;
        e.used = true;
        match e.state {
            State::Reachable | State::Probe { .. } => Some(e.mac),
            State::Stale => {
                e.state = State::Probe { asked: 0 };
                self.timers.insert(n, now);
                Some(self.entries[n as usize].mac)
            }
            State::Incomplete { .. } => None,
            State::Failed => {
                e.state = State::Incomplete { asked: 0 };
                self.timers.insert(n, now);
                None
            }
        }
    }

    /// Notes that connection `conn` waits for this neighbour. The caller sees to it that it does so once.
    pub(crate) fn wait(&mut self, n: u32, conn: u32) {
        if let Some(e) = self.entries.get_mut(n as usize) {
            e.waiting.push_back(conn);
        }
    }

    /// Takes those who wait for this neighbour, however many, in one step.
    pub(crate) fn take_waiting(&mut self, n: u32) -> VecDeque<u32> {
        self.entries.get_mut(n as usize).map(|e| std::mem::take(&mut e.waiting)).unwrap_or_default()
    }

    /// Takes in that `ip` is at `mac`. With `create`, an unknown neighbour is remembered too: it asked for us and
    /// so is about to talk to us.
    /// Says what that changed, and who waited for it.
    pub(crate) fn learn(
        &mut self,
        ip: Ipv4Addr,
        mac: [u8; 6],
        create: bool,
        now: Time,
    ) -> (Learned, VecDeque<u32>) {
        let n = match self.by_ip.get(&ip) {
            Some(&n) => n,
            None if create => match self.create(ip) {
                Ok(n) => n,
                Err(CacheFull) => return (Learned::Ignored, VecDeque::new()),
            },
            None => return (Learned::Ignored, VecDeque::new()),
        };
        let e = &mut self.entries[n as usize];
        let known = !matches!(e.state, State::Incomplete { .. } | State::Failed);
        let changed = known && e.mac != mac;
        e.mac = mac;
        e.state = State::Reachable;
        e.used = false;
        let woken = std::mem::take(&mut e.waiting);
        self.timers.insert(n, now + self.cfg.reachable);
        (if changed { Learned::Changed } else { Learned::Resolved }, woken)
    }

    /// Moves time on; appends what has to be done, at most `bound` things.
    pub(crate) fn expire(&mut self, now: Time, bound: usize, out: &mut Vec<Action>) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(now, bound, &mut due);
        for n in due.drain(..) {
            self.fire(n, now, out);
        }
        self.due = due;
    }

    fn fire(&mut self, n: u32, now: Time, out: &mut Vec<Action>) {
        let Neighbours { cfg, entries, timers, .. } = self;
        let Some(e) = entries.get_mut(n as usize) else { return };
        match &mut e.state {
            State::Incomplete { asked } | State::Probe { asked } if *asked >= cfg.attempts => {
                e.state = State::Failed;
                out.push(Action::Failed(n));
                timers.insert(n, now + cfg.keep);
            }
            State::Incomplete { asked } => {
                *asked += 1;
                out.push(Action::Request { ip: e.ip, to: None });
                timers.insert(n, now + cfg.retry);
            }
            State::Probe { asked } => {
                *asked += 1;
                out.push(Action::Request { ip: e.ip, to: Some(e.mac) });
                timers.insert(n, now + cfg.retry);
            }
            State::Reachable if e.used => {
                e.state = State::Probe { asked: 1 };
                out.push(Action::Request { ip: e.ip, to: Some(e.mac) });
                timers.insert(n, now + cfg.retry);
            }
            State::Reachable => {
                e.state = State::Stale;
                timers.insert(n, now + cfg.keep);
            }
            State::Stale | State::Failed if e.holders == 0 && e.waiting.is_empty() => self.forget(n),
            State::Stale | State::Failed => timers.insert(n, now + cfg.keep),
        }
    }

    /// A request could not be sent, for lack of a buffer: try again a little later, without counting it.
    pub(crate) fn not_sent(&mut self, ip: Ipv4Addr, now: Time) {
        let Some(&n) = self.by_ip.get(&ip) else { return };
        if let State::Incomplete { asked } | State::Probe { asked } = &mut self.entries[n as usize].state {
            *asked = asked.saturating_sub(1);
            self.timers.insert(n, now + self.cfg.retry / 64);
        }
    }

    /// When [`expire`](Neighbours::expire) is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.timers.next()
    }

    fn create(&mut self, ip: Ipv4Addr) -> Result<u32, CacheFull> {
        if self.by_ip.len() >= self.cfg.max as usize {
            let victim = self.oldest_unheld().ok_or(CacheFull)?;
            self.forget(victim);
        }
        let mut entry = Entry {
            ip,
            mac: [0; 6],
            state: State::Incomplete { asked: 0 },
            used: false,
            holders: 0,
            listed: false,
            waiting: VecDeque::new(),
        };
        let n = match self.free.pop() {
            Some(n) => {
                entry.listed = self.entries[n as usize].listed;
                self.entries[n as usize] = entry;
                n
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.by_ip.insert(ip, n);
        self.list(n);
        Ok(n)
    }

    /// Puts an entry that nobody holds among those that may give way.
    fn list(&mut self, n: u32) {
        if let Some(e) = self.entries.get_mut(n as usize)
            && e.holders == 0
            && !e.listed
        {
            e.listed = true;
            self.unheld.push_back(n);
        }
    }

    fn oldest_unheld(&mut self) -> Option<u32> {
        while let Some(n) = self.unheld.pop_front() {
            let e = &mut self.entries[n as usize];
            e.listed = false;
            if e.holders == 0 && self.by_ip.get(&e.ip) == Some(&n) {
                return Some(n);
            }
        }
        None
    }

    fn forget(&mut self, n: u32) {
        self.timers.remove(n);
        self.by_ip.remove(&self.entries[n as usize].ip);
        self.free.push(n);
    }
}

#[cfg(test)]
mod tests {
    use tcp::Nanos;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 8];

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }

    fn cfg() -> NeighbourConfig {
        NeighbourConfig { max: 3, ..NeighbourConfig::default() }
    }

    /// Runs until `end`; everything there was to do, with its time in milliseconds.
    fn run(n: &mut Neighbours, end: Time) -> Vec<(u64, Action)> {
        let mut all = Vec::new();
        while let Some(t) = n.next().filter(|&t| t <= end) {
            let mut out = Vec::new();
            n.expire(t, 100, &mut out);
            all.extend(out.into_iter().map(|a| (t.as_millis(), a)));
        }
        all
    }

    #[test]
    fn three_requests_then_failure_and_a_fresh_start() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        let e = n.hold(ip(9), Time::ZERO).unwrap();
        assert_eq!(n.mac(e, Time::ZERO), None);
        n.wait(e, 7);
        let ask = Action::Request { ip: ip(9), to: None };
        let done = run(&mut n, Time::from_nanos(4_000_000_000));
        assert_eq!(done, [(0, ask), (1000, ask), (2000, ask), (3000, Action::Failed(e))]);
        assert_eq!(n.take_waiting(e), [7]);
        let later = Time::from_nanos(5_000_000_000);
        assert_eq!(n.mac(e, later), None);
        assert_eq!(run(&mut n, later + Nanos::from_millis(1))[0].1, ask);
    }

    #[test]
    fn an_answer_wakes_those_who_wait() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        let e = n.hold(ip(9), Time::ZERO).unwrap();
        n.wait(e, 7);
        n.wait(e, 8);
        assert_eq!(n.learn(ip(9), MAC, false, Time::ZERO), (Learned::Resolved, [7, 8].into()));
        assert_eq!(n.mac(e, Time::ZERO), Some(MAC));
        assert_eq!(n.learn(ip(9), OTHER, false, Time::ZERO).0, Learned::Changed);
        assert_eq!(n.mac(e, Time::ZERO), Some(OTHER));
    }

    #[test]
    fn a_neighbour_in_use_is_confirmed_by_unicast_while_it_goes_on_being_used() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        let e = n.hold(ip(9), Time::ZERO).unwrap();
        n.learn(ip(9), MAC, false, Time::ZERO);
        n.mac(e, Time::ZERO);
        let reach = Time::ZERO + cfg().reachable;
        let done = run(&mut n, reach + Nanos::from_millis(1));
        assert_eq!(done[0].1, Action::Request { ip: ip(9), to: Some(MAC) });
        assert_eq!(n.mac(e, reach), Some(MAC), "no connection waits for a refresh");
        n.learn(ip(9), MAC, false, reach);
        assert!(run(&mut n, reach + Nanos::from_secs(10)).is_empty());
    }

    #[test]
    fn an_idle_neighbour_is_not_bothered_until_it_is_used_again() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        let e = n.hold(ip(9), Time::ZERO).unwrap();
        n.learn(ip(9), MAC, false, Time::ZERO);
        let later = Time::ZERO + Nanos::from_secs(100);
        assert!(run(&mut n, later).is_empty());
        assert_eq!(n.mac(e, later), Some(MAC));
        let done = run(&mut n, later + Nanos::from_millis(1));
        assert_eq!(done[0].1, Action::Request { ip: ip(9), to: Some(MAC) });
    }

    #[test]
    fn unsolicited_packets_create_nothing() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        assert_eq!(n.learn(ip(9), MAC, false, Time::ZERO).0, Learned::Ignored);
        assert_eq!(n.learn(ip(9), MAC, true, Time::ZERO).0, Learned::Resolved);
    }

    #[test]
    fn entries_in_use_are_never_evicted() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        let held: Vec<u32> = (1..=2).map(|k| n.hold(ip(k), Time::ZERO).unwrap()).collect();
        n.learn(ip(3), MAC, true, Time::ZERO);
        n.hold(ip(4), Time::ZERO).expect("the third is not held");
        assert_eq!(n.hold(ip(5), Time::ZERO), Err(CacheFull));
        assert_eq!(n.learn(ip(6), MAC, true, Time::ZERO).0, Learned::Ignored);
        n.release(held[0]);
        n.hold(ip(5), Time::ZERO).unwrap();
    }

    #[test]
    fn a_flood_of_requests_for_us_leaves_room_for_connections_and_grows_nothing() {
        let cfg = NeighbourConfig { max: 100, ..cfg() };
        let mut n = Neighbours::new(cfg, Time::ZERO);
        let held: Vec<u32> = (0..99).map(|k| n.hold(Ipv4Addr::from(k), Time::ZERO).unwrap()).collect();
        for k in 1000..50_000 {
            n.learn(Ipv4Addr::from(k), MAC, true, Time::ZERO);
            assert!(n.unheld.len() <= 100, "each entry is listed once");
        }
        assert_eq!((n.by_ip.len(), n.entries.len()), (100, 100));
        n.hold(Ipv4Addr::from(99), Time::ZERO).expect("the flood gives way");
        assert_eq!(n.learn(Ipv4Addr::from(5), MAC, true, Time::ZERO).0, Learned::Resolved);
        assert_eq!(
            n.learn(Ipv4Addr::from(1), MAC, true, Time::ZERO).0,
            Learned::Resolved,
            "nobody held gave way"
        );
        assert_eq!(n.hold(Ipv4Addr::from(7000), Time::ZERO), Err(CacheFull));
        assert!(n.unheld.is_empty(), "held entries are not looked at again and again");
        n.release(held[0]);
        n.release(held[1]);
        n.hold(Ipv4Addr::from(0), Time::ZERO).expect("held once more");
        assert_eq!(n.hold(Ipv4Addr::from(7000), Time::ZERO), Ok(held[1]), "the one that nobody holds");
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        n.learn(ip(9), MAC, true, Time::ZERO);
        run(&mut n, Time::ZERO + cfg().reachable + cfg().keep + Nanos::from_secs(1));
        assert!(n.by_ip.is_empty());
        assert_eq!(n.next(), None);
    }

    #[test]
    fn a_request_that_found_no_buffer_does_not_count() {
        let mut n = Neighbours::new(cfg(), Time::ZERO);
        n.hold(ip(9), Time::ZERO).unwrap();
        let mut asked = 0;
        for _ in 0..200 {
            let t = n.next().unwrap();
            let mut out = Vec::new();
            n.expire(t, 100, &mut out);
            for a in out {
                assert_eq!(a, Action::Request { ip: ip(9), to: None });
                asked += 1;
                n.not_sent(ip(9), t);
            }
        }
        assert!(asked >= 10, "{asked}");
    }
}
