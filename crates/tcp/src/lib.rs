//! The protocol: TCP without IO.
//!
//! A `Connection` is a value. Its owner feeds it segments and expired timers, hands it
//! payload, and asks it for [`Burst`]s to put on a wire. The current [`Time`] and all randomness are arguments:
//! the same code runs on a NIC, under the simulator's virtual clock and under packet scripts.
//!
//! Nothing here knows an mbuf, a socket or a clock; nothing here is `unsafe`.
#![forbid(unsafe_code)]

mod burst;
pub mod conn;
pub mod endpoint;
mod event;
mod icmp;
mod payload;
mod rate;
mod segment;
mod seq;
#[cfg(test)]
mod testing;
mod time;
pub mod wire;

pub use burst::{Burst, BurstKind, TxLimits};
pub use endpoint::Endpoint;
pub use event::{ConnError, ConnErrorKind, DeviceTime, Event, Marks, SendTime, SendTimeKind};
pub use icmp::{IcmpError, IcmpErrorKind};
pub use payload::Payload;
pub use rate::Rate;
pub use segment::{FourTuple, Segment};
pub use seq::{Offset, Seq};
pub use time::{Nanos, Time};
