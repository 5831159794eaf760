//! How many workers, and where.

use clap::Args;

/// Workers.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Memory, rings and cores")]
pub(crate) struct WorkerArgs {
    /// Workers, 1 to 64: threads that share the device's queues and the connections [default: 1, or as many as --cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: Option<u16>,

    /// The CPU of each worker, e.g. 2,3 [default: where the scheduler puts them]
    #[arg(long, value_name = "CPUS", value_delimiter = ',', conflicts_with = "core")]
    pub(crate) cores: Option<Vec<usize>>,
}
