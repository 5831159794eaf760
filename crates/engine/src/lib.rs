//! One core's loop: it owns a set of connections and a NIC queue pair, and runs each to completion.
//!
//! An [`Engine`] is polled with the time, and used in between. One iteration, each step bounded:
//!
//! ```text
//!            frames                                   segments
//!   Nic ───────────────► receive: parse, classify ───────────────► Connection::on_segment
//!    ▲                      │ ARP, echo, errors, strangers                 │ touched
//!    │                      ▼                                              ▼
//!    │                   neighbours, Endpoint                  look after: events, timer, buffers, end
//!    │                                                                     │
//!    │                timers: Connection::on_timer ────────────────────────┤ run queue
//!    │                                                                     ▼
//!    └─ stage, tx_burst ◄─── frames ◄─── bursts cut ◄─── transmit: turns, Connection::poll_transmit
//!            │ taken, refused, rejected
//!            └──────────► on_sent, on_refused        then: buffers go home
//! ```
//!
//! All segments of a burst are processed before anything is sent. A burst that the port does not take was not sent.
//! What waits in the port is bounded by an estimate of what has left it. Connections that may send stand in one of a few
//! queues: the run queue; behind their own earlier bursts; for room in the port; for buffers; for their neighbour's
//! address. Nothing waits without a deadline: [`Engine::next_deadline`] knows the next.
//!
//! The NIC is behind one small trait, [`nic::Nic`]; the engine has no thread, no clock and no randomness of its own.
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
mod lateness;
mod long_send;
mod neigh;
pub mod nic;
mod occupancy;
mod outrun;
mod pressure;
mod reply;
mod reserve;
mod route;
mod rx;
mod segment;
mod send;
mod settle;
mod slot;
mod slots;
mod stage;
mod stamps;
#[cfg(test)]
mod tests;
mod tx;
mod waits;
mod wheel;

pub use config::{Bounds, DeviceBudget, EngineConfig, FlowKey, NeighbourConfig, Secrets, Streaming};
pub use counters::Counters;
pub use drain::Remaining;
pub use engine::Engine;
pub use error::{ConfigError, ConnectError, SendError, SendRefusal};
pub use events::{EngineEvent, Progress, Received};
pub use flow::ConnId;
pub use long_send::BITE;
pub use send::{FillError, Message, Piece, Reference};
