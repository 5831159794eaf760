//! Our own contestants, and what no sender can pass: each sends for a while and says what that cost the sender's core.

mod blast;
mod bulk;
mod counter;
mod latency;
mod memory;
mod million;
mod sender;
mod small;
mod template;
mod vhost;
mod workers;

pub(crate) use blast::{BlastArgs, run as blast};
pub(crate) use bulk::{BulkArgs, run as bulk};
pub(crate) use latency::{LatencyArgs, run as latency};
pub(crate) use million::{MillionArgs, run as million};
pub(crate) use small::{SmallArgs, run as small};
pub(crate) use vhost::blast::{BlastArgs as VhostBlastArgs, run as vhost_blast};
pub(crate) use vhost::bulk::{BulkArgs as VhostBulkArgs, run as vhost_bulk};
pub(crate) use vhost::sink::{SinkArgs as VhostSinkArgs, run as vhost_sink};
pub(crate) use workers::{WorkersArgs, run as workers};
