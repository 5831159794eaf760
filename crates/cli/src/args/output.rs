//! Options for looking closer.

use std::path::PathBuf;

use clap::Args;

/// Captures and checks.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Looking closer")]
pub(crate) struct WatchArgs {
    /// Write a capture of every frame sent and received
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Check the offload fields of every frame before the device sees it; wrong ones fail the run
    #[arg(long)]
    pub(crate) check_tx: bool,
}

/// Logs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Looking closer")]
pub(crate) struct LogArgs {
    /// Say more on stderr: -v what happens, -vv DPDK's own log too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write the log, DPDK's included, to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}
