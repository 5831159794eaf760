//! A deterministic network: everything that happens follows from one seed.
//!
//! Hosts are real engines with the real protocol on [simulated NICs](SimNic), which perform TSO as hardware does
//! and whose every frame is checked; a [link](Link) joins them, and the clock is virtual.
//!
//! Where the architecture's invariants are asserted in every run:
//!
//! | # | Invariant | Where |
//! |---|---|---|
//! | 1 | bytes read = bytes sent, in order, once | [`Session`] on both sides, [`Observer`] on the wire |
//! | 2 | window and cwnd | [`Observer`] (window, as it was offered); the connection's own assertions (cwnd) |
//! | 3 | SND.UNA ≤ SND.NXT ≤ end of queue, records tile what is in flight | the connection's own assertions, after every input |
//! | 4 | every buffer returned | [`World`], at the end, from the [pools](Pool) |
//! | 5 | reclaimed once, after ACK and device | [`Session`] |
//! | 6 | watermarks ordered and monotonic | [`Session`], every turn |
//! | 7 | one iteration is bounded | [`World`]: turns at one moment, moments in all |
//! | 8 | errors name what happened and where | [`Session`]: the error must be the one that happened |
//! | 9 | nothing waits for ever | [`World`]: every turn, and when nothing is left to happen |
//!
//! The connection's own assertions are compiled in where `debug_assertions` are, as in the profile `checked`.
#![forbid(unsafe_code)]

mod app;
mod buf;
pub mod bulk;
mod conditions;
mod fairness;
mod link;
pub mod matrix;
mod nic;
mod observer;
mod packet;
mod peer;
mod receive;
mod rng;
mod scenario;
mod trace;
pub mod tso;
mod world;

pub use app::{End, Plan, Session, Stream};
pub use buf::{Pool, SimBuf, SimHeader, SimTail};
pub use fairness::fairness;
pub use link::{
    CodelConfig, CrossTraffic, Delivery, Discipline, FallBack, FqCodelConfig, GilbertElliott, Link,
    LinkConfig, LinkCounts, Loss, QueueConfig, RedConfig, Reorder, RouteChange, Thinning, transmission_time,
};
pub use nic::{Faults, NicConfig, NicCounts, Release, SimNic};
pub use observer::Observer;
pub use packet::{Decoded, Packet, decode};
pub use peer::{Peer, PeerConfig};
pub use rng::Rng;
pub use scenario::{ConnPlan, HostPlan, Scenario};
pub use trace::{FlowTrace, Sample, SegmentTrace, Trace};
pub use world::{Failure, FlowResult, Outcome, Port, World, run_seed};
