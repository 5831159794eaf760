//! The `tsonami` command.
#![forbid(unsafe_code)]

mod args;
mod conns;
mod console;
mod devices;
mod doctor;
mod engine_errors;
mod exit;
mod failure;
mod report;
mod rr;
mod send;
mod serve;
mod settings;
mod signals;
mod sim;
mod start;
mod target;
mod units;
mod verdict;

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
        Command::Rr(args) => &args.common.log,
        Command::Crr(args) => &args.common.log,
        Command::Devices(args) => &args.log,
        Command::Doctor(_) | Command::Sim(_) => &quiet,
    };
    let console = Console::open(log)?;
    let (json, result) = match command {
        Command::Send(args) => (args.json, send::run(args, &console)),
        Command::Serve(args) => (args.json, serve::run(args, &console)),
        Command::Rr(args) => (args.common.json, rr::run(args, &console)),
        Command::Crr(args) => (args.common.json, rr::run_closing(args, &console)),
        Command::Devices(args) => (args.json, devices::run(args, &console)),
        Command::Doctor(args) => (args.json, doctor::run(args, &console)),
        Command::Sim(args) => (args.json, sim::run(args, &console)),
    };
    if let (true, Err(failure)) = (json, &result) {
        // What got under way has printed its summary; what did not still owes whoever parses the output an object.
        console.print(&report::error_json(failure))?;
    }
    result
}

/// Bytes in hexadecimal, as sha256sum prints them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
