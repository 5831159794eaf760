//! `tsonami doctor`.

use clap::Args;

/// Looks at this machine and says what is missing, with the command that mends it.
///
/// Nothing is changed. The exit code is 3 when 'tsonami send' could not work here, 0 otherwise.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Print JSON instead of text
    #[arg(short = 'J', long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  tsonami doctor
  unshare -Urn tsonami doctor            as an ordinary user, in namespaces of your own";
