//! What programs of measurement share: places to run in, and the middle of what they measured.
#![forbid(unsafe_code)]

pub mod place;
pub mod quantile;
