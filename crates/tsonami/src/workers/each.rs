//! Local engines on threads of their own: several workers for those who turn the loops themselves.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::crew::{Ended, Member, members};
use crate::opened::Opened;
use crate::{BuildError, EngineBuilder, LocalEngine, ShutdownError};

/// What a worker's body returned, and how its engine ended, which the first one's tells for all. An error is `None` where another
/// worker has it.
type Outcome<T> = Result<(T, Result<(), ShutdownError>), Option<BuildError>>;

/// The moment before the bodies.
struct Start {
    all: Barrier,
    /// One of them could not be built.
    failed: AtomicBool,
}

impl EngineBuilder {
    /// Builds a [`LocalEngine`] for each worker of the settings and has `body` use it, with the worker's number: each on a thread
    /// of its own, the first on the calling one. When all have returned, connections that are left are reset, the device is
    /// closed and the buffers are counted.
    ///
    /// What the bodies returned comes back by worker, with how the end went.
    ///
    /// # Errors
    /// [`BuildError`]: no body was called then.
    ///
    /// # Panics
    /// When a body does.
    pub fn build_each<T: Send>(
        self,
        body: impl Fn(u16, &mut LocalEngine) -> T + Sync,
    ) -> Result<(Vec<T>, Result<(), ShutdownError>), BuildError> {
        let opened = self.open()?;
        let start = Start { all: Barrier::new(opened.len()), failed: AtomicBool::new(false) };
        let mut seats = members(opened.len()).into_iter().zip(opened);
        let outcomes: Vec<Outcome<T>> = thread::scope(|scope| {
            let (start, body) = (&start, &body);
            let first = seats.next();
            let others: Vec<_> =
                seats.map(|(member, opened)| scope.spawn(move || run(opened, member, start, body))).collect();
            let first = first.map(|(member, opened)| run(opened, member, start, body));
            let others =
                others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            first.into_iter().chain(others).collect()
        });
        let (mut returned, mut ended) = (Vec::new(), Ok(()));
        for outcome in outcomes {
            match outcome {
                Ok((value, end)) => {
                    returned.push(value);
                    ended = ended.and(end);
                }
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        Ok((returned, ended))
    }
}

fn run<T>(
    opened: Opened,
    mut member: Member,
    start: &Start,
    body: impl Fn(u16, &mut LocalEngine) -> T,
) -> Outcome<T> {
    let worker = opened.worker();
    let built = opened.build();
    if built.is_err() {
        start.failed.store(true, Ordering::Release);
    }
    start.all.wait();
    let mut engine = built.map_err(Some)?;
    if start.failed.load(Ordering::Acquire) {
        return Err(None);
    }
    let value = body(worker, &mut engine);
    let wreck = engine.wind_up(false, || {
        member.leave();
        !member.all_left()
    });
    Ok((value, member.end(Ended { wreck: Some(wreck), panic: None })))
}
