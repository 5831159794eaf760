//! Live runs: real TCPs in network namespaces, over the simulator's link.
#![forbid(unsafe_code)]

mod kernel;
mod link;
mod matrix;
mod run;
mod simulated;
mod table;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

/// Live runs over the simulator's link
#[derive(Parser, Debug)]
enum Command {
    /// Join two interfaces of this namespace by the simulator's link
    Link(link::LinkArgs),
    /// Send zeros by the kernel's TCP until killed
    Send(kernel::SendArgs),
    /// Receive by the kernel's TCP until killed
    Receive(kernel::ReceiveArgs),
    /// Run the kernel's TCP and ours in the same cells
    Matrix(matrix::MatrixArgs),
    /// Make tables of what `matrix` wrote
    Table(table::TableArgs),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Link(args) => link::run(&args),
        Command::Send(args) => kernel::send(&args),
        Command::Receive(args) => kernel::receive(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Table(args) => table::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // By a signal, as other programs say it.
        Err(error) if error.kind() == ErrorKind::Interrupted => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
