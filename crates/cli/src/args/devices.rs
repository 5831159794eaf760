//! `tsonami devices`.

use clap::{Arg, Args};

use super::{LogArgs, MemoryArgs, SpecArg};

/// Shows what a device can do: driver, offloads, limits, queues.
///
/// Without --dev it lists what is present on this machine and how each would be named.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_args(look_at))]
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

/// `--dev` here only chooses what is shown: the forms are the same.
fn look_at(dev: Arg) -> Arg {
    if dev.get_id() != "dev" {
        return dev;
    }
    let forms = dev.get_long_help().map(ToString::to_string).unwrap_or_default();
    let forms = forms.split_once('\n').map_or("", |(_, forms)| forms).to_owned();
    let help = "The device to look at; without it, what is present is listed";
    dev.help(help).long_help(format!("{help}\n{forms}"))
}

const EXAMPLES: &str = "\
Examples:
  tsonami devices                        what is here
  tsonami devices --dev tap              what a TAP offers
  tsonami devices --dev pci:0000:3b:00.0 -J";
