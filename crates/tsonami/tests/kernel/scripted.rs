//! Scenarios with a peer that is a script, and what may be changed about them.

use std::time::Duration;

use crate::link::FASTER_AT_FIRST;
use crate::scenario;
use crate::scenario::{Difference, Habits, Receiver, Scenario, Step};
use crate::stand_in::Offer;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// The round trip of scenarios that have one.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A step, what Linux sends in it, and what we send.
pub(crate) type Differs = (usize, &'static [&'static str], &'static [&'static str]);

/// The peer takes segments of 1000 bytes, knows SACK and answers at once.
pub(crate) fn scripted(name: &'static str, steps: impl Into<Vec<Step>>) -> Scenario {
    let offer = Offer {
        mss: 1000,
        sack: true,
        timestamps: false,
        round_trip: Duration::ZERO,
        bytes_per_second: None,
    };
    Scenario {
        receiver: Receiver::Scripted(offer),
        habits: Habits { sack: true, min_rto: 200 * MS, ..Habits::default() },
        // The shortest times that count are a quarter of a round trip; four ticks of the kernel's clock are 16 ms.
        patience: Some(20 * MS),
        without_psh: true,
        ..scenario(name, steps)
    }
}

impl Scenario {
    fn patient_for(self, time: Duration) -> Scenario {
        Scenario { patience: Some(time), ..self }
    }

    fn change(self, change: impl FnOnce(&mut Offer, &mut Habits)) -> Scenario {
        let Scenario { receiver: Receiver::Scripted(mut offer), mut habits, .. } = self else {
            panic!("{}: the peer is a kernel", self.name);
        };
        change(&mut offer, &mut habits);
        Scenario { receiver: Receiver::Scripted(offer), habits, ..self }
    }

    pub(crate) fn with_timestamps(self) -> Scenario {
        self.change(|offer, habits| {
            // The option takes 12 bytes of each segment.
            offer.mss += 12;
            (offer.timestamps, habits.timestamps) = (true, true);
        })
    }

    pub(crate) fn without_sack(self) -> Scenario {
        self.change(|offer, habits| (offer.sack, habits.sack) = (false, false))
    }

    /// The connection knows a round trip of [`ROUND_TRIP`], and its timeout is far beyond.
    pub(crate) fn far_away(self) -> Scenario {
        self.change(|offer, habits| (offer.round_trip, habits.min_rto) = (ROUND_TRIP, 500 * MS))
    }

    pub(crate) fn with_tail_probes(self) -> Scenario {
        self.change(|_, habits| habits.tail_loss_probe = true)
    }

    pub(crate) fn with_mss(self, mss: u16) -> Scenario {
        self.change(|offer, _| offer.mss = mss)
    }

    pub(crate) fn looking_for_black_holes(self) -> Scenario {
        // Linux gives up on a length at the fifth timeout.
        self.change(|_, habits| (habits.black_holes, habits.min_rto) = (true, 100 * MS))
    }

    /// The peer acknowledges by itself what comes through a bottleneck, from so far away.
    pub(crate) fn through(self, bytes_per_second: u64, round_trip: Duration) -> Scenario {
        self.change(|offer, habits| {
            (offer.bytes_per_second, offer.round_trip) =
                (Some(bytes_per_second), round_trip - FASTER_AT_FIRST);
            habits.min_rto = 500 * MS;
        })
        .patient_for(FASTER_AT_FIRST)
    }

    /// Bytes per second.
    pub(crate) fn with_cap(self, rate: u64) -> Scenario {
        self.change(|_, habits| habits.cap = Some(rate))
    }

    pub(crate) fn with_bbr(self) -> Scenario {
        self.change(|_, habits| habits.bbr = true)
    }

    pub(crate) fn with_user_timeout(self, time: Duration) -> Scenario {
        self.change(|_, habits| habits.user_timeout = Some(time))
    }

    /// What we do otherwise than Linux, and why.
    pub(crate) fn but(self, why: &'static str, differences: &[Differs]) -> Scenario {
        let listed = differences.iter().map(|&(step, linux, ours)| Difference { step, linux, ours, why });
        Scenario { differences: listed.collect(), ..self }
    }
}
