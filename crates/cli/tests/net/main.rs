//! `tsonami` against real receivers: each test has a network namespace of its own, with a TAP between our TCP and the
//! kernel's. A test that lacks what it needs (iproute2, ethtool, socat, python3, tcpdump, tshark, namespaces) fails: it never
//! skips. `TSONAMI_TEST_MIB` scales what is sent.

mod asking;
mod bitrate;
mod capture;
mod ecn;
mod failures;
mod frames;
mod knobs;
mod lab;
mod path_mtu;
mod pressure;
mod receivers;
mod scripts;
mod shares;
mod workers;
