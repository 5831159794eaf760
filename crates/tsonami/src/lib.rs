//! The library people depend on: a userspace TCP sender over DPDK.
