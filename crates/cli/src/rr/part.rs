//! What each worker tells of a run.

use tsonami::{Counters, Histogram, LocalEngine, SteeringReport};

use super::client::{Client, Outcome};
use crate::failure::Failure;
use crate::report::Device;

/// One worker's part.
pub(super) struct Part {
    pub(super) outcome: Outcome,
    pub(super) answers: Histogram<u64>,
    pub(super) connects: Histogram<u64>,
    pub(super) counters: Counters,
    /// Every count: name, value, help.
    pub(super) counts: Vec<(&'static str, u64, &'static str)>,
    pub(super) device: Device,
    pub(super) steering: Option<SteeringReport>,
    pub(super) failure: Option<Failure>,
}

impl Part {
    /// What is left when the worker is done.
    pub(super) fn new(client: Client<'_>, outcome: Outcome, engine: &LocalEngine, device: Device) -> Part {
        Part {
            outcome,
            answers: client.answers.into_all(),
            connects: client.connects.into_all(),
            counters: engine.counters().clone(),
            counts: engine.every_count(),
            device,
            steering: engine.steering(),
            failure: None,
        }
    }

    /// Share of the core's cycles in iterations that did work.
    pub(super) fn busy_share(&self) -> f64 {
        let busy = self.counters.busy_cycles();
        let all = busy + self.counters.idle_cycles();
        if all > 0 { busy as f64 / all as f64 } else { 0.0 }
    }
}
