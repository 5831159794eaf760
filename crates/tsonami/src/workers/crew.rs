//! The workers of one engine, where they are not on their own: at its end.
//!
//! A worker without a queue sends through another's, and frames of one may lie in a ring to the other. So each turns its engine
//! until the last has nothing more to do, and only then is the device closed, by the first: buffers that the device or a ring
//! held are home by then, and are counted together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::ShutdownError;
use crate::shutdown::{Wreck, close};

/// One worker's membership.
pub(crate) struct Member {
    /// Workers that still have something to do.
    working: Arc<AtomicUsize>,
    left: bool,
    part: Part,
}

enum Part {
    First(Receiver<Ended>),
    Other(Sender<Ended>),
}

/// How a worker ended.
pub(crate) struct Ended {
    /// What is left of its engine, if it could be taken apart.
    pub(crate) wreck: Option<Wreck>,
    /// Why it ended before its time.
    pub(crate) panic: Option<ShutdownError>,
}

/// Memberships for so many workers.
pub(crate) fn members(count: usize) -> Vec<Member> {
    let working = Arc::new(AtomicUsize::new(count));
    let (to_first, from_others) = channel();
    let member = |part| Member { working: working.clone(), left: false, part };
    let others = (1..count).map(|_| member(Part::Other(to_first.clone()))).collect::<Vec<_>>();
    std::iter::once(member(Part::First(from_others))).chain(others).collect()
}

impl Member {
    /// This one has nothing more to do.
    pub(crate) fn leave(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            self.working.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether none has.
    pub(crate) fn all_left(&self) -> bool {
        self.working.load(Ordering::Acquire) == 0
    }

    /// Ends the membership. The first waits for all others then, closes the device, and says how it went for all of them.
    pub(crate) fn end(mut self, ended: Ended) -> Result<(), ShutdownError> {
        self.leave();
        let mut all = vec![ended];
        match &self.part {
            Part::First(others) => all.extend(others.iter()),
            Part::Other(to_first) => match to_first.send(all.remove(0)) {
                Ok(()) => return Ok(()),
                // It never came to its end.
                Err(back) => all.push(back.0),
            },
        }
        let panic = all.iter_mut().find_map(|ended| ended.panic.take());
        let closed = close(all.into_iter().filter_map(|ended| ended.wreck));
        match panic {
            None => closed,
            Some(ShutdownError::Panicked { message, left: None }) => {
                Err(ShutdownError::Panicked { message, left: closed.err().map(Box::new) })
            }
            Some(other) => Err(other),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}
