//! Ending everything in good order.

use crate::engine::Engine;
use crate::nic::Nic;

/// What is left to do before an engine can be dropped without cutting anybody off.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Remaining {
    /// Connections that exist.
    pub connections: usize,
    /// Bytes they were given and that their peers have not acknowledged.
    pub unacknowledged: u64,
    /// Bytes acknowledged, or of connections that are over, whose buffers the port still holds.
    pub unreclaimed: u64,
}

impl<N: Nic> Engine<N> {
    /// [Releases](Engine::release) every connection. Go on [polling](Engine::poll) until
    /// [`is_idle`](Engine::is_idle), or until patience ends and [`abort_all`](Engine::abort_all) is called.
    pub fn close_all(&mut self) {
        self.end_all(false);
    }

    /// Resets every connection and gives up all handles. Only a released one whose peer has everything, the FIN
    /// included, and merely has not closed in turn, is forgotten without a reset. The resets leave with the next polls; until
    /// [`is_idle`](Engine::is_idle), some buffers may still be the port's.
    pub fn abort_all(&mut self) {
        self.end_all(true);
    }

    fn end_all(&mut self, abort: bool) {
        let now = self.now;
        let all: Vec<u32> = self.slots.indices().collect();
        for index in all {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            if abort {
                if !slot.conn.forget(now) {
                    slot.conn.abort(now);
                }
            } else if !slot.released {
                slot.conn.close(now);
            }
            slot.released = true;
            self.notice(index);
        }
    }

    /// True when there is no connection and nothing waits to be sent. TIME-WAIT does not count: it needs no buffers,
    /// and its end is only a matter of time.
    pub fn is_idle(&self) -> bool {
        self.slots.len() == 0 && self.staged.is_empty()
    }

    /// What keeps the engine from being [idle](Engine::is_idle).
    pub fn remaining(&self) -> Remaining {
        let mut left = Remaining { connections: self.slots.len(), ..Remaining::default() };
        // Those at rest have neither.
        for slot in self.slots.all_working() {
            let marks = slot.conn.marks();
            left.unacknowledged += marks.accepted.since(marks.acked);
            let due = if slot.is_over() { marks.accepted } else { marks.acked };
            left.unreclaimed += due.since(marks.reclaimed);
        }
        left
    }

    /// Gives back the header buffers kept in reserve: for a caller that is about to check that all pools are full. The
    /// next poll takes them again.
    pub fn trim(&mut self) {
        self.reserve.clear();
        self.nic.reclaim();
    }
}
