//! The protocol under packetdrill.
//!
//! packetdrill runs scripts of socket calls and packets against a TCP. This shared object is what its
//! `--so_filename` option loads: it answers the socket calls, takes and yields the packets, and tells the time, all
//! over the `tcp` crate alone. Time is virtual: it moves when packetdrill waits, so that every run is exact and none
//! takes long. `scripts/packetdrill` runs it.
//!
//! - `abi` is the boundary to C and the only file with `unsafe`.
//! - `stage` lets packetdrill's two threads and virtual time get along.
//! - `world` is the socket layer: descriptors, connections, the clock.
//! - `packet` is IP around the protocol's segments; `settings` is what flags and sysctls ask for; `info` is
//!   `TCP_INFO`; `pcap` records.
#![deny(unsafe_code)]

mod abi;
mod bytes;
mod info;
mod packet;
mod pcap;
mod settings;
mod sockets;
mod sockopt;
mod stage;
mod world;
