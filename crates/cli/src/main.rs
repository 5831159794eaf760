//! The `tsonami` command.
#![forbid(unsafe_code)]

mod args;
mod console;
mod devices;
mod doctor;
mod engine_errors;
mod exit;
mod failure;
mod report;
mod send;
mod serve;
mod settings;
mod signals;
mod start;
mod target;
mod units;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use console::Console;
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

fn run(command: &Command) -> Result<Exit, Failure> {
    let quiet = args::LogArgs::default();
    let log = match command {
        Command::Send(args) => &args.log,
        Command::Serve(args) => &args.log,
        Command::Devices(args) => &args.log,
        Command::Doctor(_) => &quiet,
    };
    let console = Console::open(log)?;
    match command {
        Command::Send(args) => send::run(args, &console),
        Command::Serve(args) => serve::run(args, &console),
        Command::Devices(args) => devices::run(args, &console),
        Command::Doctor(args) => doctor::run(args, &console),
    }
}

/// Bytes in hexadecimal, as sha256sum prints them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
