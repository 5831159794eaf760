//! Live runs: real TCPs in network namespaces, over the simulator's link.
#![forbid(unsafe_code)]

mod link;

use std::process::ExitCode;

use clap::Parser;

/// Live runs over the simulator's link
#[derive(Parser, Debug)]
enum Command {
    /// Join two interfaces of this namespace by the simulator's link
    Link(link::LinkArgs),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Link(args) => link::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
