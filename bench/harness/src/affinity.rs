//! Which CPU a thread runs on.

use std::io::{Error, Result};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this thread, and threads and processes it starts from now on, on one CPU.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(Error::other(format!("there is no CPU {cpu}")));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| Error::other(format!("cannot run on CPU {cpu}: {error}")))
}
