//! Benchmarks: tsonami, the kernel's sockets and others in turn, and pages of what they reached.
#![forbid(unsafe_code)]

mod affinity;
mod failure;
mod line;
mod machine;
mod needs;
mod parts;
mod probe;
mod record;
mod report;
mod run;
mod scenario;
mod scenarios;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use failure::Failure;

/// Runs tsonami, the kernel's sockets and others in turn, and makes pages of what they reached
#[derive(Parser, Debug)]
#[command(version)]
enum Command {
    /// Print the scenarios, what each measures, its contestants and what they need
    List,
    /// Run scenarios, and write raw lines, tables and plots to a folder
    Run(run::RunArgs),
    /// Make the tables and plots of a folder anew from its raw lines
    Report {
        /// The folder that `run` wrote
        dir: PathBuf,
    },
    /// Measure how long a cache line takes between two CPUs, there and back
    Probe(probe::ProbeArgs),
    /// Run one contestant, and print its figures as a line of JSON
    Part(parts::PartArgs),
    /// The other process of a part; started by `part`
    #[command(hide = true)]
    End(parts::kernel::EndArgs),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List => print!("{}", scenario::list()),
        Command::Run(args) => return run::run(&args),
        Command::Report { dir } => {
            for file in report::write(&dir)? {
                println!("{}", file.display());
            }
        }
        Command::Probe(args) => print!("{}", probe::print(&args)?),
        Command::Part(args) => parts::run(&args)?.print()?,
        Command::End(args) => parts::kernel::end(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
