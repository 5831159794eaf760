//! `tsonami devices`.

use clap::Args;

use super::{LogArgs, MemoryArgs, SpecArg};

/// Shows what a device can do: driver, offloads, limits, queues.
///
/// Without --dev it lists what is present on this machine and how each would be named.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevicesArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArg,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    /// Print JSON instead of text
    #[arg(short = 'J', long, help_heading = "Output")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  tsonami devices                        what is here
  tsonami devices --dev tap              what a TAP offers
  tsonami devices --dev pci:0000:3b:00.0 -J";
