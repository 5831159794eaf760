//! The `tsonami` command.

mod args;
mod console;
mod exit;
mod failure;
mod report;
mod signals;
mod target;
mod units;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    eprintln!("tsonami: the engine is not joined to the command line yet: {:?}", cli.command);
    ExitCode::FAILURE
}
