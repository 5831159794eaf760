//! One core's loop: it owns a set of connections and a NIC queue pair, and runs each to completion.
//!
//! An [`Engine`] is polled with the time, and asked for events in between. One iteration receives a burst and processes
//! all its segments, lets timers fire, lets connections take turns sending, and returns buffers; each step is
//! bounded. The NIC is behind one small trait, [`nic::Nic`].
#![deny(unsafe_code)]

mod api;
mod arp;
mod commit;
mod config;
mod counters;
mod drain;
mod engine;
mod error;
mod events;
#[cfg(test)]
mod fake;
mod flow;
mod frame;
mod neigh;
pub mod nic;
mod occupancy;
mod reply;
mod reserve;
mod route;
mod rx;
mod segment;
mod settle;
mod slot;
mod stage;
#[cfg(test)]
mod tests;
mod tx;
mod wheel;

pub use config::{Bounds, DeviceBudget, EngineConfig, FlowKey, NeighbourConfig, Secrets};
pub use counters::Counters;
pub use drain::Remaining;
pub use engine::Engine;
pub use error::{ConfigError, ConnectError, SendError, SendRefusal};
pub use events::{EngineEvent, Progress};
pub use flow::ConnId;
