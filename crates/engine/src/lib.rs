//! One core's loop: it owns a set of connections and a NIC queue pair, and runs each to completion.
#![deny(unsafe_code)]

pub mod nic;
