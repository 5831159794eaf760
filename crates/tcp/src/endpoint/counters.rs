//! What the endpoint counts.

use core::fmt;

/// Why a segment that belongs to no connection was dropped without an answer.
///
/// The values count from 0 without a hole, so that counters can be an array of [`COUNT`](DropReason::COUNT).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// One of its addresses is multicast, broadcast or unspecified, or it pretends to come from us (MUST-57,
    /// MUST-63); or one of its ports is 0.
    BadAddress,
    /// A RST to nobody: never answered (RFC 9293 §3.10.7.1), and no end to a TIME-WAIT (RFC 1337).
    Reset,
    /// Neither SYN nor ACK nor RST, to a listener (RFC 9293 §3.10.7.2); or SYN and FIN at once.
    Nonsense,
    /// A SYN that the listener's backlog had no room for. The peer will try again.
    BacklogFull,
    /// Answers of this kind are rate limited, and this second's were used up.
    RateLimited,
    /// Nothing to answer in TIME-WAIT: an ACK of what was acknowledged.
    TimeWait,
}

impl DropReason {
    /// All of them, in the order of their values.
    pub const ALL: [DropReason; 6] = [
        DropReason::BadAddress,
        DropReason::Reset,
        DropReason::Nonsense,
        DropReason::BacklogFull,
        DropReason::RateLimited,
        DropReason::TimeWait,
    ];

    /// How many there are.
    pub const COUNT: usize = DropReason::ALL.len();

    /// A name for reports, such as `backlog-full`.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::BadAddress => "bad-address",
            DropReason::Reset => "reset",
            DropReason::Nonsense => "nonsense",
            DropReason::BacklogFull => "backlog-full",
            DropReason::RateLimited => "rate-limited",
            DropReason::TimeWait => "time-wait",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counters of an endpoint; they only grow.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointCounters {
    /// Connections opened actively.
    pub active_opens: u64,
    /// Connections opened for a SYN to a listener.
    pub passive_opens: u64,
    /// Segments dropped without an answer, by [`DropReason`].
    pub drops: [u64; DropReason::COUNT],
    /// RSTs answered to segments that belong to nobody.
    pub resets: u64,
    /// Late FINs acknowledged in TIME-WAIT, each starting 2 MSL anew (MUST-13).
    pub time_wait_fins: u64,
    /// Other ACKs sent in TIME-WAIT: to old segments, those with text starting 2 MSL anew too, and to SYNs that may not reuse the tuple (RFC 5961 §4).
    pub time_wait_acks: u64,
    /// Tuples in TIME-WAIT taken over by a new connection (RFC 6191).
    pub time_wait_reused: u64,
    /// TIME-WAITs ended early because the table was full.
    pub time_wait_evicted: u64,
}

impl EndpointCounters {
    /// How often segments were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_index_an_array() {
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i, "{reason}");
        }
    }
}
