//! The device's own time of what left (`S33`): for sends that ask, where the port tells.
//!
//! A port keeps the time of one frame until it is read, so one burst at a time is timed. What leaves meanwhile is not, and counted.

use tcp::{Burst, Nanos, Time};

use crate::ConnId;
use crate::counters::Counters;
use crate::engine::Engine;
use crate::nic::Nic;
use crate::segment::Cuts;

/// How often the port is asked for a time that it does not have yet, while nothing else turns the loop.
const ASK_AGAIN: Nanos = Nanos::from_micros(20);

/// How long a time may be in coming. What waits in a port's ring is gone long before, unless the link is down.
const PATIENCE: Nanos = Nanos::from_secs(1);

/// Whose time the port keeps.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Free,
    /// Reserved for a burst that is staged.
    Claimed,
    /// A burst of this connection left.
    Awaited { conn: ConnId, since: Time },
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    on: bool,
    place: Place,
}

impl Stamps {
    pub(crate) fn new<N: Nic>(nic: &N) -> Stamps {
        Stamps { on: nic.stamps(), place: Place::Free }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Reserves the place for a burst. False while another's time is awaited.
    pub(crate) fn claim<N: Nic>(&mut self, nic: &mut N) -> bool {
        let claimed = matches!(self.place, Place::Free) && nic.claim_stamp();
        if claimed {
            self.place = Place::Claimed;
        }
        claimed
    }

    /// The burst will not be timed.
    pub(crate) fn release<N: Nic>(&mut self, nic: &mut N) {
        nic.release_stamp();
        self.place = Place::Free;
    }

    /// When to look for a time that is awaited.
    pub(crate) fn next(&self, now: Time) -> Option<Time> {
        matches!(self.place, Place::Awaited { .. }).then(|| now + ASK_AGAIN)
    }
}

impl<N: Nic> Engine<N> {
    /// The first `sent` frames of a burst left.
    #[cold]
    pub(crate) fn committed_stamp(&mut self, index: u32, burst: &Burst, cuts: &Cuts, sent: u32, now: Time) {
        let timed = cuts.stamp && sent == cuts.frames;
        if cuts.stamp && !timed {
            self.stamps.release(&mut self.nic);
        }
        let Some(conn) = self.slots.id_of(index).filter(|_| timed || sent > 0) else { return };
        let Some(slot) = self.slots.find_mut(conn) else { return };
        if timed {
            self.stamps.place = Place::Awaited { conn, since: now };
        }
        let left = if timed { *burst } else { cuts.first(burst, sent) };
        if !timed && slot.conn.wants_device_time(&left) {
            self.counters.tx_times_missed += 1;
        }
        slot.conn.on_sent_timed(&left, timed);
    }

    /// Looks for the time that is awaited, before the ACK of what it belongs to is looked at.
    #[cold]
    pub(crate) fn look_for_stamp(&mut self, now: Time) {
        let Place::Awaited { conn, since } = self.stamps.place else { return };
        let time = self.nic.take_stamp();
        if time.is_none() && now.since(since) < PATIENCE {
            return;
        }
        let Counters { tx_times, tx_times_missed, .. } = &mut self.counters;
        match time {
            Some(_) => {
                *tx_times += 1;
                self.stamps.place = Place::Free;
            }
            None => {
                *tx_times_missed += 1;
                self.stamps.release(&mut self.nic);
            }
        }
        if let Some(slot) = self.slots.find_mut(conn) {
            slot.conn.on_device_time(time);
            self.touch(conn.index);
        }
    }
}
