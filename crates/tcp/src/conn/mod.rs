//! One connection.

mod reassembly;

pub use reassembly::{Pushed, RecvQueue};
