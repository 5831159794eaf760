//! Options for looking closer.

use std::path::PathBuf;

use clap::Args;

/// Logs, captures and checks.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Looking closer")]
pub(crate) struct OutputArgs {
    /// Write a capture of every frame sent and received
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Check the offload fields of every frame before the device sees it; the first wrong one ends the run
    #[arg(long)]
    pub(crate) check_tx: bool,

    /// Say more on stderr: -v what happens, -vv DPDK's own log too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write the log, DPDK's included, to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}
