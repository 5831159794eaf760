//! The end of an engine: drained or aborted, its device closed, and every buffer counted.

use std::any::Any;
use std::io;
use std::time::Duration;

use dpdk::WeakPool;
use engine::nic::CheckReport;
use engine::nic::dpdk::{DpdkNic, PoolReport};
use tcp::Nanos;

use crate::LocalEngine;
use crate::stack::{Remains, on};

/// How long resets and buffers that the device still holds are waited for.
const ABORT_TIME: Nanos = Nanos::from_millis(100);

/// What was not in order when an engine ended. The device is closed all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Buffers did not come home. Either the application still holds payloads, or this is a defect of ours.
    #[error("after the device was closed {missing} buffers were missing from their pools ({pools})")]
    Leak {
        /// How many.
        missing: u64,
        /// Each pool: what is home, of how many.
        pools: String,
    },
    /// Frames were handed to the device with wrong metadata.
    #[error("{violations} faults in {frames} frames handed to the device; the first: {first}")]
    Check {
        /// Faults found.
        violations: u64,
        /// Frames looked at.
        frames: u64,
        /// The first fault, and its frame.
        first: String,
    },
    /// The capture is not complete.
    #[error("the capture is not complete: {0}")]
    Capture(io::Error),
    /// The worker panicked. Its connections were told that it is gone.
    #[error("the engine's worker panicked: {message}{}", left.as_ref().map_or_else(String::new, |left| format!("; {left}")))]
    Panicked {
        /// What the panic said.
        message: String,
        /// What else was not in order when the device was closed.
        left: Option<Box<ShutdownError>>,
    },
    /// Time ran out before everything was acknowledged.
    #[error(
        "{connections} connections were reset with {bytes} bytes not acknowledged, when the time to finish was over"
    )]
    Undelivered {
        /// Connections that were reset.
        connections: usize,
        /// Bytes accepted and not acknowledged.
        bytes: u64,
    },
}

impl ShutdownError {
    pub(crate) fn panicked(panic: &(dyn Any + Send), left: Option<ShutdownError>) -> ShutdownError {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        ShutdownError::Panicked { message, left: left.map(Box::new) }
    }
}

impl LocalEngine {
    /// Ends every connection, closes the device and counts the buffers. Connections are closed properly within
    /// `drain`; what has not ended by then is reset. With a `drain` of zero everything is reset at once.
    ///
    /// # Errors
    /// The device is closed whatever happens; the error says what was not in order.
    pub fn shutdown(mut self, drain: Duration) -> Result<(), ShutdownError> {
        if !drain.is_zero() {
            self.drain(drain);
        }
        self.end(!drain.is_zero())
    }

    /// Finishes every connection, and turns the loop until they have ended, for so long at most. True when they have.
    pub fn drain(&mut self, at_most: Duration) -> bool {
        self.close_all();
        self.turn_until_idle(at_most.into())
    }

    /// Ends an engine whose connections had their time to finish, if `drained`.
    fn end(self, drained: bool) -> Result<(), ShutdownError> {
        close([self.wind_up(drained, || false)])
    }

    /// Ends all connections, which had their time to finish if `drained`, and takes the engine apart once nobody `needs` it any
    /// more. The device is still open.
    pub(crate) fn wind_up(mut self, drained: bool, mut needs: impl FnMut() -> bool) -> Wreck {
        let left = on!(&self.stack, engine => engine.remaining());
        let undelivered = if drained { (left.connections, left.unacknowledged) } else { (0, 0) };
        on!(&mut self.stack, engine => engine.abort_all());
        self.turn_until_idle(ABORT_TIME);
        while needs() {
            let now = self.now();
            let progress = self.poll(now);
            while self.poll_event().is_some() {}
            self.rest(progress.is_busy());
        }
        on!(&mut self.stack, engine => engine.trim());
        let LocalEngine { stack, pools, .. } = self;
        Wreck { remains: stack.end(), pools, undelivered }
    }

    /// Turns the loop until nothing is left to do, or for this long. True when nothing is left.
    fn turn_until_idle(&mut self, time: Nanos) -> bool {
        let end = self.now() + time;
        loop {
            let now = self.now();
            let progress = self.poll(now);
            while self.poll_event().is_some() {}
            if on!(&self.stack, engine => engine.is_idle()) {
                return true;
            }
            if now >= end {
                return false;
            }
            self.rest(progress.is_busy());
        }
    }
}

/// What is left of an engine whose device is still open.
pub(crate) struct Wreck {
    remains: Remains,
    /// Pools that were handed out.
    pools: Vec<WeakPool>,
    /// Connections that were reset, and bytes that their peers had not acknowledged.
    undelivered: (usize, u64),
}

/// Closes the device of all engines that shared it, and says what was not in order.
pub(crate) fn close(wrecks: impl IntoIterator<Item = Wreck>) -> Result<(), ShutdownError> {
    let (mut nics, mut pools, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let (mut connections, mut bytes) = (0, 0);
    for wreck in wrecks {
        nics.push(wreck.remains.nic);
        pools.extend(wreck.pools);
        rest.push((wreck.remains.checks, wreck.remains.capture));
        if wreck.undelivered.1 > 0 {
            connections += wreck.undelivered.0;
            bytes += wreck.undelivered.1;
        }
    }
    let mut report = DpdkNic::close(nics);
    let pools = pools.iter().filter_map(WeakPool::upgrade);
    report.pools.extend(pools.map(|pool| ("application", pool.available(), pool.count())));
    leak(&report)?;
    for (checks, capture) in rest {
        faults(checks.as_ref())?;
        capture.map_err(ShutdownError::Capture)?;
    }
    if bytes > 0 { Err(ShutdownError::Undelivered { connections, bytes }) } else { Ok(()) }
}

fn leak(report: &PoolReport) -> Result<(), ShutdownError> {
    if report.all_home() {
        return Ok(());
    }
    let missing = report.pools.iter().map(|(_, home, all)| u64::from(all - home)).sum();
    Err(ShutdownError::Leak { missing, pools: report.to_string() })
}

fn faults(checks: Option<&CheckReport>) -> Result<(), ShutdownError> {
    match checks {
        Some(report) if report.violations > 0 => Err(ShutdownError::Check {
            violations: report.violations,
            frames: report.frames,
            first: report
                .first
                .first()
                .map_or_else(String::new, |(frame, violation)| format!("frame {frame}: {violation}")),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_buffer_is_an_error_that_names_its_pool() {
        let full = PoolReport { pools: vec![("headers", 64, 64)] };
        assert!(leak(&full).is_ok());
        let report = PoolReport { pools: vec![("headers", 64, 64), ("links", 60, 64)] };
        let error = leak(&report).unwrap_err().to_string();
        assert!(error.contains("4 buffers") && error.contains("links 60/64"), "{error}");
    }

    #[test]
    fn a_fault_in_a_frame_is_an_error() {
        assert!(faults(None).is_ok());
        assert!(faults(Some(&CheckReport::default())).is_ok());
        let report = CheckReport { frames: 9, violations: 2, first: Vec::new() };
        assert!(faults(Some(&report)).unwrap_err().to_string().starts_with("2 faults in 9 frames"));
    }
}
