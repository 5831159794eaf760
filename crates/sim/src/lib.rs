//! A deterministic network: everything that happens follows from one seed.
//!
//! Hosts are real engines with the real protocol on [simulated NICs](SimNic), which perform TSO as hardware does
//! and whose every frame is checked; a [link](Link) joins them, and the clock is virtual.
#![forbid(unsafe_code)]

mod app;
mod buf;
mod link;
mod nic;
mod observer;
mod packet;
mod receive;
mod rng;
mod scenario;
pub mod tso;
mod world;

pub use app::{End, Plan, Session, Stream};
pub use buf::{Pool, SimBuf, SimHeader, SimTail};
pub use link::{Link, LinkConfig, LinkCounts, transmission_time};
pub use nic::{Faults, NicConfig, NicCounts, Release, SimNic};
pub use observer::Observer;
pub use packet::{Decoded, Packet, decode};
pub use rng::Rng;
pub use scenario::{ConnPlan, HostPlan, Scenario};
pub use world::{Failure, Outcome, Port, World, run_seed};
