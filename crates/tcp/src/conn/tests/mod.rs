//! Packet scripts: one connection against a hand-written peer, in virtual time; and two connections against
//! each other over a bad network.

mod arbitrary;
mod autocorking;
mod bbr;
mod closing;
mod controlling;
mod corking;
mod crude;
mod deferring;
mod duplicates;
mod ending;
mod flow;
mod idling;
mod keeping_alive;
mod marking;
mod mtu_probing;
mod network;
mod opening;
mod pacing;
mod path_mtu;
mod pushing;
mod receiving;
mod records;
mod recovering;
mod refusing;
mod reporting;
mod resetting;
mod sacking;
mod script;
mod sending;
mod shares;
mod splitting;
mod spurious;
mod tail_probing;
mod user_timeouts;
mod waiting;
