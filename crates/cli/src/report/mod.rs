//! What a run tells: lines while it goes, a summary when it ends, as text or as JSON with the same content.

mod interval;
mod options;
mod progress;
pub(crate) mod stats;
mod summary;
mod text;
mod time;

pub(crate) use interval::{Interval, Intervals};
pub(crate) use options::Options;
pub(crate) use progress::{Goal, Progress};
pub(crate) use summary::{
    ConnectionSummary, Device, Drop, ErrorSummary, Rtt, Summary, WorkerSummary, error_json,
};
pub(crate) use text::row;
pub(crate) use time::TimeSummary;
