//! When buffers come home: over a device that keeps them long, with a peer that acknowledges early, late, partly or never
//! (`S29`).

mod many;
mod memory;
mod port;
